//! Memory that all connections of a thread share: compressors and decompressors that no message uses, and a buffer
//! for their output.

#![expect(clippy::arithmetic_side_effects, reason = "window bits: 15 at the most")]

use std::boxed::Box;
use std::cell::RefCell;
use std::thread_local;
use std::vec;
use std::vec::Vec;

use zlib_rs::{Deflate as Compressor, DeflateConfig, Inflate as Decompressor};

use crate::deflate::Deflate;

/// The settings of a compressor. One with equal settings can serve another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    level: u8,
    memory: u8,
    pub(super) window_bits: u8,
}

impl Settings {
    pub(super) fn new(agreed: &Deflate) -> Settings {
        // 9 bits stand for 8, which zlib does not support. No distance that zlib writes is longer than the window
        // less 262 bytes, so with a window of 512 bytes it is at most 250. `tests/deflate.rs` checks this.
        let window_bits = agreed.send.bits().max(9);
        Settings { level: agreed.level.min(9), memory: agreed.memory.clamp(1, 9), window_bits }
    }

    fn compressor(self) -> Box<Compressor> {
        // A negative number means DEFLATE without the zlib header.
        let config = DeflateConfig {
            level: self.level.into(),
            window_bits: -i32::from(self.window_bits),
            mem_level: self.memory.into(),
            ..DeflateConfig::default()
        };
        Box::new(Compressor::new_with_config(config))
    }
}

thread_local! {
    #[expect(clippy::vec_box, reason = "it goes to a connection and comes back without an allocation")]
    static INFLATERS: RefCell<Vec<Box<Decompressor>>> = const { RefCell::new(Vec::new()) };
    static DEFLATERS: RefCell<Vec<(Settings, Box<Compressor>)>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A decompressor at the beginning of a stream.
pub(super) fn inflater() -> Box<Decompressor> {
    let spare = INFLATERS.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
    spare.unwrap_or_else(|| Box::new(Decompressor::new(false, Deflate::default().receive.bits())))
}

/// Takes a decompressor back.
pub(super) fn keep_inflater(mut inflater: Box<Decompressor>) {
    inflater.reset(false);
    // A thread that is ending has no pool any more, and this fails.
    let _ = INFLATERS.try_with(|spares| keep(&mut spares.borrow_mut(), inflater));
}

/// A compressor at the beginning of a stream.
pub(super) fn deflater(settings: Settings) -> Box<Compressor> {
    let spare = DEFLATERS.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        let at = spares.iter().position(|(made_for, _)| *made_for == settings)?;
        Some(spares.swap_remove(at).1)
    });
    spare.ok().flatten().unwrap_or_else(|| settings.compressor())
}

/// Takes a compressor back.
pub(super) fn keep_deflater(settings: Settings, mut deflater: Box<Compressor>) {
    deflater.reset();
    let _ = DEFLATERS.try_with(|spares| keep(&mut spares.borrow_mut(), (settings, deflater)));
}

fn keep<T>(spares: &mut Vec<T>, spare: T) {
    if spares.len() == MOST_SPARE {
        spares.remove(0);
    }
    spares.push(spare);
}

/// Calls `f` with a buffer of [`SCRATCH_SIZE`] bytes for output.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.try_with(|scratch| scratch.take()).unwrap_or_default();
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_SIZE];
    }
    let result = f(&mut scratch);
    let _ = SCRATCH.try_with(|place| place.replace(scratch));
    result
}

/// The length of the output buffer: most messages fit into it, and it fits into the processor's cache.
pub(crate) const SCRATCH_SIZE: usize = 32 * 1024;

/// How many compressors, and how many decompressors, a thread keeps.
const MOST_SPARE: usize = 4;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::string::String;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use super::*;
    use crate::connection::{Config, Connection, Event};
    use crate::time::Time;
    use crate::upgrade::{Agreement, Upgrade};

    /// Both ends of a conversation. When it is dropped it sends what was received to `heard`.
    struct Last {
        ends: [Connection; 2],
        heard: Sender<String>,
    }

    impl Last {
        fn new(heard: Sender<String>) -> Last {
            let mut agreement = Agreement::default();
            let mut deflate = Deflate { threshold: 0, ..Deflate::default() };
            (deflate.send.takeover, deflate.receive.takeover) = (false, false);
            agreement.deflate = Some(deflate);
            let client = Upgrade::client(agreement.clone(), [7; 32]);
            let open = |upgrade| Connection::new(upgrade, Config::default(), Time::ZERO);
            Last { ends: [open(client), open(Upgrade::server(agreement))], heard }
        }

        fn talk(&mut self) -> String {
            let [client, server] = &mut self.ends;
            client.send("Hello, Hello, Hello").unwrap();
            let mut wire = client.transmits().collect::<Vec<_>>().concat();
            assert!(wire.len() < 20, "it is compressed");
            client.handle_transmitted(wire.len(), Time::ZERO);
            match server.receive_owned(&mut &mut wire[..], Time::ZERO) {
                Ok(Some(Event::Message(message))) => message.as_text().unwrap().into(),
                event => panic!("{event:?}"),
            }
        }
    }

    impl Drop for Last {
        fn drop(&mut self) {
            let heard = self.talk();
            self.heard.send(heard).unwrap();
        }
    }

    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    }

    /// A thread that ends drops its thread-local variables one after the other. Whichever is dropped first, a
    /// connection in one of them can still send and receive.
    #[test]
    fn a_thread_that_ends_has_no_pool_and_does_without() {
        for pool_first in [false, true] {
            let (heard, hears) = channel();
            let ended = thread::spawn(move || {
                let mut last = Last::new(heard);
                if pool_first {
                    last.talk();
                }
                LAST.with(|place| place.replace(Some(last)));
                LAST.with(|place| place.borrow_mut().as_mut().unwrap().talk());
            });
            ended.join().unwrap();
            assert_eq!(hears.recv().unwrap(), "Hello, Hello, Hello", "the pool was used first: {pool_first}");
        }
    }
}
