//! Read buffers. A connection has one only while it reads or has unread bytes. Each thread keeps a few for all of its
//! connections.

#![expect(clippy::arithmetic_side_effects, reason = "`start <= end <= memory.len()` always")]

use std::boxed::Box;
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::thread_local;
use std::vec;
use std::vec::Vec;

/// Bytes that have been read and not taken. A buffer without unread bytes can be [released](Self::release): then it
/// owns no memory, and other connections of the thread can use that.
#[derive(Default)]
pub struct ReadBuffer {
    /// The memory, which has the unread bytes at `start..end`; or nothing.
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// The unread bytes.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "`start <= end <= memory.len()` always")]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Whether nothing is unread.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Lets `f` take bytes off the front; what it leaves stays.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`start <= end <= memory.len()` always")]
    pub fn take<'b, T>(&'b mut self, f: impl FnOnce(&mut &'b mut [u8]) -> T) -> T {
        let mut input = &mut self.memory[self.start..self.end];
        let result = f(&mut input);
        self.start = self.end - input.len().min(self.end - self.start);
        result
    }

    /// Bytes that have been taken, and still lie in the memory. Empty if the memory has been given back.
    pub(super) fn slice(&self, at: usize, len: usize) -> &[u8] {
        self.memory.get(at..).and_then(|bytes| bytes.get(..len)).unwrap_or_default()
    }

    /// The address of the memory.
    pub(super) fn address(&self) -> usize {
        self.memory.as_ptr().addr()
    }

    /// Memory to read into: at most `most` bytes, and at most 64 KiB, so that one system call can read many messages.
    /// It is empty while bytes are unread.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "not beyond the length")]
    pub fn space(&mut self, most: usize) -> &mut [u8] {
        if !self.is_empty() {
            return &mut [];
        }
        let size = most.min(SIZE);
        if self.memory.len() != size {
            self.change(size);
        }
        (self.start, self.end) = (0, 0);
        &mut self.memory[..size]
    }

    /// The first `len` bytes of [`space`](Self::space) have been filled, or all of it if it has fewer.
    #[inline]
    pub fn fill(&mut self, len: usize) {
        (self.start, self.end) = (0, len.min(self.memory.len()));
    }

    /// Gives the memory back if nothing in it is unread.
    #[inline]
    pub fn release(&mut self) {
        if self.is_empty() && !self.memory.is_empty() {
            self.give_back();
        }
    }

    /// Changes to memory of this size, which the thread keeps or which is new; a thread that is ending keeps none any
    /// more. Never inlined, so that what calls it can be: mostly there is memory.
    #[inline(never)]
    fn change(&mut self, size: usize) {
        if self.memory.len() > size {
            // So much memory is not needed any more, and the thread need not keep it.
            self.memory = Box::default();
        } else if !self.memory.is_empty() {
            self.give_back();
        }
        let kept = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            // Mostly the last one fits, since an adapter seldom uses two sizes.
            if spare.last()?.len() == size {
                return spare.pop();
            }
            let at = spare.iter().rposition(|memory| memory.len() == size)?;
            Some(spare.swap_remove(at))
        });
        self.memory = kept.ok().flatten().unwrap_or_else(|| vec![0; size].into());
    }

    fn give_back(&mut self) {
        (self.start, self.end) = (0, 0);
        let memory = mem::take(&mut self.memory);
        if !memory.is_empty() {
            // A thread that is ending has no place to keep it any more.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                let alike = || spare.iter().filter(|other| other.len() == memory.len()).count();
                if spare.len() < MOST_SPARE || (spare.len() < 2 * MOST_SPARE && alike() < MOST_SPARE) {
                    spare.push(memory);
                }
            });
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadBuffer({} bytes unread)", self.bytes().len())
    }
}

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// The most that one read brings, in bytes.
const SIZE: usize = 64 * 1024;

/// How many idle buffers of one size a thread keeps. An adapter has two sizes at the most.
const MOST_SPARE: usize = 4;
