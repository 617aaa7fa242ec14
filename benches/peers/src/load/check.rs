//! Checks every byte that a server answers. A benchmark of wrong answers is worth nothing.

use std::rc::Rc;

use flate2::{Decompress, FlushDecompress, Status};

use super::frame::{self, Head};
use super::script::{Packing, Script};

pub struct Check {
    script: Rc<Script>,
    /// The number of the message that is to come, within a cycle.
    number: usize,
    kind: Kind,
    /// Bytes of all that came.
    pub wire: u64,
}

enum Kind {
    /// The very bytes that were sent. Here is where we are among them.
    Raw {
        at: usize,
        cycles: usize,
    },
    Frames(Frames),
}

#[derive(Default)]
struct Frames {
    /// A header that has not come whole.
    pending: Vec<u8>,
    /// The frame whose payload comes now, and how much of it is still to come.
    head: Option<(Head, usize)>,
    /// Of the message: whether it has begun, whether it is compressed, and how many bytes have come.
    message: Option<(bool, usize)>,
    packed: Vec<u8>,
    control: Vec<u8>,
    unpack: Option<Box<Decompress>>,
}

/// What some bytes completed.
#[derive(Default)]
pub struct Progress {
    pub messages: usize,
    /// A Ping's payload, to be answered.
    pub ping: Option<Vec<u8>>,
    pub closed: bool,
}

impl Check {
    pub fn new(script: Rc<Script>, raw: bool, packing: Packing) -> Check {
        let unpack = (packing != Packing::None).then(|| Box::new(Decompress::new(false)));
        let kind = match raw {
            true => Kind::Raw { at: 0, cycles: 0 },
            false => Kind::Frames(Frames { unpack, ..Frames::default() }),
        };
        Check { script, number: 0, kind, wire: 0 }
    }

    pub fn take(&mut self, bytes: &[u8]) -> Result<Progress, String> {
        self.wire += bytes.len() as u64;
        match &mut self.kind {
            Kind::Raw { at, cycles } => {
                let mut progress = Progress::default();
                let mut rest = bytes;
                while !rest.is_empty() {
                    // From the start of a frame to its end, at most.
                    let index = (*cycles).min(1) * self.script.len() + self.number;
                    let end = self.script.starts[index + 1];
                    let begin = self.script.starts[index] + *at;
                    let (head, tail) = rest.split_at(rest.len().min(end - begin));
                    if head != &self.script.bytes[begin..begin + head.len()] {
                        return Err("other bytes than were sent".into());
                    }
                    *at += head.len();
                    rest = tail;
                    if begin + head.len() == end {
                        *at = 0;
                        progress.messages += 1;
                        self.number += 1;
                        if self.number == self.script.len() {
                            (self.number, *cycles) = (0, *cycles + 1);
                        }
                    }
                }
                Ok(progress)
            }
            Kind::Frames(frames) => frames.take(bytes, &self.script, &mut self.number),
        }
    }
}

impl Frames {
    fn take(&mut self, mut bytes: &[u8], script: &Script, number: &mut usize) -> Result<Progress, String> {
        let mut progress = Progress::default();
        while !bytes.is_empty() {
            let Some((head, left)) = &mut self.head else {
                bytes = self.header(bytes, script)?;
                // A frame without payload is over as soon as it has begun.
                if matches!(self.head, Some((_, 0))) {
                    self.end_frame(script, number, &mut progress)?;
                }
                continue;
            };
            let (part, rest) = bytes.split_at(bytes.len().min(*left));
            *left -= part.len();
            let done = *left == 0;
            bytes = rest;
            if head.opcode >= frame::CLOSE {
                self.control.extend_from_slice(part);
            } else {
                let (packed, got) = self.message.as_mut().expect("a data frame belongs to a message");
                if *packed {
                    self.packed.extend_from_slice(part);
                } else {
                    let wanted = script.messages[*number].get(*got..*got + part.len());
                    if wanted != Some(part) {
                        return Err(format!("message {number} is another than was sent"));
                    }
                    *got += part.len();
                }
            }
            if done {
                self.end_frame(script, number, &mut progress)?;
            }
        }
        Ok(progress)
    }

    /// Takes a header in, whole or a part of it; returns the bytes behind it.
    fn header<'b>(&mut self, bytes: &'b [u8], script: &Script) -> Result<&'b [u8], String> {
        let rest = if self.pending.is_empty() {
            match Head::read(bytes)? {
                Some(head) => self.begin_frame(head, script).map(|()| &bytes[head.size..])?,
                None => {
                    self.pending.extend_from_slice(bytes);
                    &[]
                }
            }
        } else {
            self.pending.push(bytes[0]);
            if let Some(head) = Head::read(&self.pending)? {
                self.pending.clear();
                self.begin_frame(head, script)?;
            }
            &bytes[1..]
        };
        Ok(rest)
    }

    fn begin_frame(&mut self, head: Head, script: &Script) -> Result<(), String> {
        self.head = Some((head, head.payload));
        if head.opcode >= frame::CLOSE {
            self.control.clear();
            return Ok(());
        }
        let expected = if self.message.is_some() { 0 } else { script.opcode };
        if head.opcode != expected {
            return Err(format!("opcode {}, not {expected}", head.opcode));
        }
        if head.rsv1 && (self.message.is_some() || self.unpack.is_none()) {
            return Err("RSV1 out of place".into());
        }
        self.message.get_or_insert((head.rsv1, 0));
        Ok(())
    }

    fn end_frame(&mut self, script: &Script, number: &mut usize, progress: &mut Progress) -> Result<(), String> {
        let (head, _) = self.head.take().expect("a frame ends that has begun");
        match head.opcode {
            frame::PING => progress.ping = Some(std::mem::take(&mut self.control)),
            frame::CLOSE => progress.closed = true,
            frame::PONG => {}
            _ if head.fin => {
                let (packed, got) = self.message.take().expect("a data frame belongs to a message");
                let wanted = &script.messages[*number];
                let right = if packed { &self.unpack()? == wanted } else { got == wanted.len() };
                if !right {
                    return Err(format!("message {number} is another than was sent"));
                }
                progress.messages += 1;
                *number = (*number + 1) % script.len();
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 7692 §7.2.2. The window is kept whatever was agreed: a server that forgets it does not refer to it.
    fn unpack(&mut self) -> Result<Vec<u8>, String> {
        let unpack = self.unpack.as_mut().ok_or("compressed without agreement")?;
        self.packed.extend_from_slice(&[0, 0, 0xff, 0xff]);
        let mut message = Vec::with_capacity(8 * 1024);
        let status = unpack.decompress_vec(&self.packed, &mut message, FlushDecompress::Sync);
        self.packed.clear();
        match status.map_err(|error| error.to_string())? {
            Status::StreamEnd => unpack.reset(false),
            _ if message.len() == message.capacity() => return Err("a longer message than was sent".into()),
            _ => {}
        }
        Ok(message)
    }
}
