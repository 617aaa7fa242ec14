//! Read buffers. A connection has one only while it holds unread bytes, or is
//! reading; each thread keeps a few for all of its connections.

#![expect(clippy::arithmetic_side_effects, reason = "`start <= end <= memory.len()` always")]

use std::boxed::Box;
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::thread_local;
use std::vec;
use std::vec::Vec;

/// Bytes that have been read and not been taken.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    /// Empty, or memory with the unread bytes at `start..end`.
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// A buffer that holds `bytes`.
    pub(crate) fn holding(bytes: &[u8]) -> ReadBuffer {
        ReadBuffer { memory: bytes.into(), start: 0, end: bytes.len() }
    }

    #[expect(clippy::indexing_slicing, reason = "`start <= end <= memory.len()` always")]
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Lets `f` take bytes off the front; what it leaves stays.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`start <= end <= memory.len()` always")]
    pub(crate) fn take<'b, T>(&'b mut self, f: impl FnOnce(&mut &'b mut [u8]) -> T) -> T {
        let mut input = &mut self.memory[self.start..self.end];
        let result = f(&mut input);
        self.start = self.end - input.len();
        result
    }

    /// Bytes that were taken, and lie there still.
    #[expect(clippy::indexing_slicing, reason = "the caller has just been told that they lie there")]
    pub(crate) fn slice(&self, at: usize, len: usize) -> &[u8] {
        &self.memory[at..at + len]
    }

    /// Where the memory lies.
    pub(crate) fn address(&self) -> usize {
        self.memory.as_ptr().addr()
    }

    /// Memory to read into. Nothing may be unread.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        debug_assert!(self.bytes().is_empty(), "unread bytes would be overwritten");
        if self.memory.len() != SIZE {
            self.memory = SPARE.with_borrow_mut(|spare| spare.pop()).unwrap_or_else(|| vec![0; SIZE].into());
        }
        &mut self.memory
    }

    /// The first `len` bytes of the [`space`](Self::space) have been filled.
    #[inline]
    pub(crate) fn fill(&mut self, len: usize) {
        (self.start, self.end) = (0, len);
    }

    /// Gives the memory back if nothing in it is unread.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.bytes().is_empty() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        (self.start, self.end) = (0, 0);
        let memory = mem::take(&mut self.memory);
        if memory.len() == SIZE {
            // A thread that is ending has no place to keep it any more.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < MOST_SPARE {
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

/// What one read can bring: enough that a burst of messages, or a 16 KiB message
/// with the next one's header, takes a single system call.
const SIZE: usize = 64 * 1024;

/// How many idle buffers a thread keeps.
const MOST_SPARE: usize = 4;
