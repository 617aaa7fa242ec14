//! A client that speaks its own bytes over a socket, and behaves as badly as it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use openline::Role::Client;

use crate::common::{CLOSE, close_frame};

pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// For a loop that hangs. No test waits for this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// A peer that has not said anything.
    pub(crate) fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer(stream)
    }

    /// A peer with the opening handshake behind it.
    pub(crate) fn open(address: SocketAddr) -> Peer {
        let mut peer = Peer::connect(address);
        peer.say(REQUEST);
        peer.hear_agreement();
        peer
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Says something while it hears something else.
    pub(crate) fn saying<T>(&self, bytes: impl AsRef<[u8]> + Send, hear: impl FnOnce(&mut Peer) -> T) -> T {
        let (mut us, mut other) = (Peer(self.0.try_clone().unwrap()), Peer(self.0.try_clone().unwrap()));
        thread::scope(|scope| {
            scope.spawn(move || us.say(bytes));
            hear(&mut other)
        })
    }

    pub(crate) fn hear_head(&mut self) -> String {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    pub(crate) fn hear_agreement(&mut self) {
        let head = self.hear_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// The next frame: its first byte, and its payload. `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        hear(&mut self.0)
    }

    pub(crate) fn expect(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let (got, heard) = self.hear().expect("not yet");
        assert_eq!((got, heard.len()), (first, payload.as_ref().len()));
        assert!(heard == payload.as_ref(), "other bytes");
    }

    /// Says Close, and hears the answer and the end.
    pub(crate) fn finish(mut self) {
        self.say(close_frame(Client, 1000, "bye"));
        self.expect_end(1000);
    }

    /// Hears a Close frame with this code, and the end.
    pub(crate) fn expect_end(&mut self, code: u16) {
        let (first, payload) = self.hear().expect("a Close frame");
        assert_eq!((first, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
        assert_eq!(self.hear(), None);
    }

    /// Hears these answers; from a loop that is not in step, perhaps not all of them. Then what ends it.
    pub(crate) fn expect_answers(&mut self, in_step: bool, answers: &[(u8, Vec<u8>)]) -> Option<(u8, Vec<u8>)> {
        let mut heard = 0;
        let after = loop {
            match self.hear() {
                Some(frame) if answers.get(heard) == Some(&frame) => heard += 1,
                other => break other,
            }
        };
        assert!(heard == answers.len() || !in_step, "{heard} answers of {}", answers.len());
        after
    }

    /// Repeats itself until the other end is gone. It never reads.
    pub(crate) fn rant(mut self, bytes: &[u8]) {
        let begun = Instant::now();
        loop {
            match self.0.write(bytes) {
                Ok(_) => assert!(begun.elapsed() < PATIENCE, "nobody gave this peer up"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nobody gave this peer up");
                }
                Err(_) => return,
            }
        }
    }
}

pub(crate) fn hear(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 2];
    let first = stream.read(&mut header[..1]).unwrap();
    if first == 0 {
        return None;
    }
    stream.read_exact(&mut header[1..]).unwrap();
    let mut long = [0; 8];
    let len = match header[1] {
        126 => {
            stream.read_exact(&mut long[6..]).unwrap();
            u64::from_be_bytes(long)
        }
        127 => {
            stream.read_exact(&mut long).unwrap();
            u64::from_be_bytes(long)
        }
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    stream.read_exact(&mut payload).unwrap();
    Some((header[0], payload))
}
