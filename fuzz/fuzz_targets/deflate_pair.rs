//! What one end sends compressed, by any settings, whole, in fragments or prepared, is
//! what the other hears, however the bytes are cut.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use openline::{Config, Deflate, DeflateContext, Event, Message, Prepared, Time};
use openline_fuzz::{connection, role};

#[derive(Arbitrary, Debug)]
enum Say<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// The same bytes many times over.
    Long(&'a [u8], u16),
    Fragments(Vec<&'a str>),
    Prepared(&'a [u8]),
    Ping,
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    server: bool,
    level: u8,
    memory: u8,
    threshold: u8,
    window_bits: u8,
    takeover: bool,
    cut: u16,
    say: Vec<Say<'a>>,
}

fuzz_target!(|input: Input<'_>| {
    let Input { server, level, memory, threshold, window_bits, takeover, cut, say } = input;
    let mut deflate = Deflate::default();
    (deflate.level, deflate.memory, deflate.threshold) = (level, memory, threshold.into());
    deflate.send = DeflateContext { takeover, window_bits };
    deflate.receive = deflate.send;
    let open = |server| {
        let mut config = Config::default();
        config.high_water = usize::MAX;
        connection(role(server), Some(deflate), config)
    };
    let (mut us, mut peer) = (open(server), open(!server));
    let mut said: Vec<Message<'static>> = vec![];
    for say in &say {
        match say {
            Say::Text(text) => said.push(Message::from(*text).into_owned()),
            Say::Binary(data) | Say::Prepared(data) => said.push(Message::from(*data).into_owned()),
            Say::Long(data, times) => {
                let times = usize::from(*times).min(200_000 / data.len().max(1));
                said.push(Message::from(data.repeat(times)));
            }
            Say::Fragments(parts) => {
                for part in parts {
                    us.send_fragment(*part, false).unwrap();
                }
                us.send_fragment("", true).unwrap();
                said.push(Message::from(parts.concat()));
                continue;
            }
            Say::Ping => {
                us.ping(b"?", Time::ZERO).unwrap();
                continue;
            }
        }
        let message = said.last().expect("just pushed");
        match say {
            Say::Prepared(_) => us.send(&Prepared::new(message)).unwrap(),
            _ => us.send(message).unwrap(),
        }
    }

    let mut wire: Vec<u8> = us.transmits().flatten().copied().collect();
    let mut heard = said.iter();
    for piece in wire.chunks_mut(usize::from(cut).max(1)) {
        let mut input = piece;
        while let Some(event) = peer.receive(&mut input, Time::ZERO).expect("what we send is valid") {
            if let Event::Message(message) = event {
                assert_eq!(Some(&message), heard.next());
            }
        }
    }
    assert_eq!(heard.next(), None);
});
