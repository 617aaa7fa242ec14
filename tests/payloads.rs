//! Payloads in every form that they have in memory: who owns them, whether they are copied, and
//! that nothing shows them.

mod common;

use bytes::Bytes;
use common::*;
use openline::Role::{Client, Server};
use openline::frame::{Decoder, Header, MaskKey, Opcode};
use openline::{
    Agreement, BytesMessage, Chunk, CloseCode, CloseFrame, Event, Message, Outgoing, Prepared, SendError, Upgrade,
};
#[cfg(feature = "deflate")]
use openline::{Connection, Deflate};

// Payloads that others may hold too.

#[test]
fn a_message_of_bytes_is_a_message() {
    for role in BOTH {
        for len in [0, 5, 125, 126, 4 * 1024 - 1, 4 * 1024, 100_000] {
            let word = "x".repeat(len);
            let mut us = open(role);
            us.send(Bytes::from(word.clone())).unwrap();
            us.handle_transmitted(0, s(0));
            assert_eq!(said(&mut us), [(BINARY, word.clone().into_bytes())]);
            us.send(BytesMessage::text(Bytes::from(word.clone())).unwrap()).unwrap();
            assert_eq!(said(&mut us), [(TEXT, word.clone().into_bytes())]);
            // Somebody else holds it, who must not see it masked.
            let held = Bytes::from(word.clone());
            us.send(Outgoing::from(held.clone())).unwrap();
            assert_eq!(said(&mut us), [(BINARY, word.clone().into_bytes())]);
            us.send(BytesMessage::binary(held.slice(len / 3..len / 2))).unwrap();
            assert_eq!(said(&mut us), [(BINARY, held[len / 3..len / 2].to_vec())]);
            assert_eq!(held, word);
        }
    }
    // §8.1: what is no text cannot be sent as text; where it is wrong is said.
    for len in [1, 1000] {
        let bytes = Bytes::from([vec![b'x'; len], vec![0xff], vec![b'x'; len]].concat());
        assert_eq!(BytesMessage::text(bytes).unwrap_err().valid_up_to(), len);
    }
    let message = BytesMessage::text(Bytes::from_static(b"word")).unwrap();
    assert!(message.is_text() && message.payload() == "word" && message != BytesMessage::binary("word".into()));
}

/// From 4 KiB on it leaves from where it lies; a client masks it there, or, if somebody else
/// holds it too, on its way into one copy.
#[test]
fn a_long_message_of_bytes_is_not_copied() {
    for role in BOTH {
        for len in [4 * 1024, 1 << 20] {
            for shared in [false, true] {
                let data = Bytes::from(vec![7; len]);
                let (at, held) = (data.as_ptr(), shared.then(|| data.clone()));
                let mut us = open(role);
                let info = allocation_counter::measure(|| us.send(data).unwrap());
                let in_place = role == Server || !shared;
                let most = if in_place { 512 } else { len as u64 + 8192 };
                assert!(info.bytes_total < most, "{role:?}, shared: {shared}, {} bytes", info.bytes_total);
                assert_eq!(us.transmits().any(|slice| slice.as_ptr() == at), in_place);
                assert_eq!(said(&mut us), [(BINARY, vec![7; len])]);
                assert!(held.is_none_or(|held| held == vec![7; len]));
            }
        }
    }
}

/// A transport that takes a part, at every byte: what comes after a payload that lies where it lay stays behind it, and
/// a Pong never gets between its header and it.
#[test]
fn a_payload_that_is_not_copied_leaves_in_order() {
    let data = Bytes::from((0..4100_u16).map(|i| i as u8).collect::<Vec<_>>());
    let expected = [
        frame(Server, BINARY, &data),
        frame(Server, TEXT, "behind"),
        frame(Server, PONG, "ping"),
        frame(Server, TEXT, "last"),
    ];
    let expected = expected.concat();
    for cut in 0..data.len() + 20 {
        let mut us = open(Server);
        us.send(data.clone()).unwrap();
        us.send("behind").unwrap();
        let mut wire = us.transmits().flatten().copied().take(cut).collect::<Vec<_>>();
        us.handle_transmitted(wire.len(), s(0));
        assert_eq!(hear(&mut us, &frame(Client, PING, "ping")).1, None);
        us.queue("last").unwrap();
        assert_eq!(us.queued(), expected.len() - wire.len());
        wire.extend(transmit(&mut us, s(0)));
        assert!(wire == expected, "cut at {cut}");
    }
}

/// It counts as what waits, and is given back when the peer is gone.
#[test]
fn a_payload_that_is_not_copied_is_bounded_and_given_back() {
    for lost in [false, true] {
        let mut config = quiet();
        config.high_water = 10_000;
        let mut us = connection(Server, config);
        let data = Bytes::from(vec![7; 5000]);
        us.send(data.clone()).unwrap();
        us.send(data.clone()).unwrap();
        assert_eq!((us.queued(), us.send(data.clone())), (2 * 5004, Err(SendError::Full)));
        assert!(!data.is_unique());
        match lost {
            true => us.handle_write_failed(s(1)),
            false => us.handle_transmitted(2 * 5004, s(1)),
        }
        assert_eq!((us.queued(), data.is_unique(), us.has_lost()), (0, true, lost));
    }
}

/// Where permessage-deflate was agreed: what it makes no shorter leaves from where it lies.
#[cfg(feature = "deflate")]
#[test]
fn what_cannot_be_compressed_is_not_copied() {
    let open = |role| {
        let mut agreement = Agreement::default();
        let mut deflate = Deflate::default();
        (deflate.send.takeover, deflate.receive.takeover) = (false, false);
        agreement.deflate = Some(deflate);
        let upgrade = if role == Client { Upgrade::client(agreement, [7; 32]) } else { Upgrade::server(agreement) };
        Connection::new(upgrade, quiet(), s(0))
    };
    let mut seed = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(200_000)
    .collect();
    for role in BOTH {
        let hear = |us: &mut Connection| {
            let mut wire = transmit(us, s(0));
            match open(role.peer()).receive_owned(&mut &mut wire[..], s(0)) {
                Ok(Some(Event::Message(message))) => message.into_bytes(),
                event => panic!("{event:?}"),
            }
        };
        let (data, mut us) = (Bytes::from(noise.clone()), open(role));
        let at = data.as_ptr();
        us.send(data).unwrap();
        assert!(us.transmits().any(|slice| slice.as_ptr() == at), "{role:?}");
        assert_eq!(hear(&mut us), noise);
        let data = noise.clone();
        let at = data.as_ptr();
        us.send(data).unwrap();
        assert!(us.transmits().any(|slice| slice.as_ptr() == at), "{role:?}");
        assert_eq!(hear(&mut us), noise);
        us.send(Bytes::from(vec![5; 200_000])).unwrap();
        assert!(us.queued() < 1000, "{role:?}");
        assert_eq!(hear(&mut us), vec![5; 200_000]);
    }
}

#[test]
fn what_was_reserved_for_an_owned_message_is_given_back() {
    for role in BOTH {
        let mut us = open(role);
        let info = allocation_counter::measure(|| {
            let mut data = Vec::with_capacity(1 << 20);
            data.resize(20_000, 1_u8);
            us.send(data).unwrap();
        });
        assert!(info.bytes_current < 22_000, "{role:?} holds {} bytes", info.bytes_current);
        assert_eq!(said(&mut us), [(BINARY, vec![1; 20_000])]);
    }
}

#[test]
fn an_owned_message_becomes_bytes_without_a_copy() {
    for first in [TEXT, BINARY] {
        let mut wire = frame(Client, first, vec![b'x'; 1000]);
        let mut us = open(Server);
        let Ok(Some(Event::Message(message))) = us.receive_owned(&mut &mut wire[..], s(0)) else {
            panic!("no message")
        };
        let at = message.as_bytes().as_ptr();
        let bytes = Bytes::from(message);
        assert_eq!((bytes.as_ptr(), &bytes[..]), (at, &[b'x'; 1000][..]));
    }
    assert_eq!(Bytes::from(Message::from("borrowed")), "borrowed");
}

#[test]
fn a_message_is_prepared_with_one_copy() {
    for len in [10, 100_000] {
        let data = vec![1_u8; len];
        let info = allocation_counter::measure(|| drop(Prepared::new(data)));
        assert!(info.bytes_total < len as u64 + 1024, "{} bytes allocated for {len}", info.bytes_total);
    }
}

// What is shown.

/// Logs must not give away what is said, nor the keys that it is masked with.
#[test]
fn debug_shows_no_payload() {
    const SECRET: &str = "secret";
    let mut shown = vec![];
    let mut show = |what: &dyn std::fmt::Debug| {
        let text = format!("{what:?} {what:#?}");
        // Also as numbers, in a list or one below the other.
        for part in [SECRET, "115, 101", "115,\n", "73, 65", "ecre"] {
            assert!(!text.contains(part), "{text}");
        }
        shown.push(format!("{what:?}"));
    };
    let (text, binary) = (Message::from(SECRET), Message::from(SECRET.as_bytes().to_vec()));
    show(&text);
    show(&binary);
    show(&Chunk::new(text.clone(), true, false));
    show(&Event::Message(text.clone()));
    show(&Event::Chunk(Chunk::new(binary.clone(), true, false)));
    show(&Event::Ping(SECRET.as_bytes().into()));
    show(&Event::Pong { payload: SECRET.as_bytes().into(), latency: None });
    let mut agreement = Agreement::default();
    agreement.subprotocol = Some(SECRET.into());
    show(&agreement);
    show(&Upgrade::server(agreement));
    let prepared = Prepared::new(SECRET);
    show(&prepared);
    show(&Outgoing::from(&prepared));
    show(&Outgoing::from(text));
    show(&Outgoing::from(Bytes::from(SECRET)));
    show(&BytesMessage::text(SECRET.into()).unwrap());
    let frame_said = CloseFrame { code: CloseCode::NORMAL, reason: SECRET.into() };
    show(&frame_said);
    show(&Event::Close(frame_said));
    let key = MaskKey::new(*b"secr");
    show(&key);
    show(&Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: Some(key), len: 6 });
    let mut payload = SECRET.as_bytes().to_vec();
    let _ = key.apply(&mut payload);
    let wire = [&[0x81, 0x86][..], b"secr", &payload].concat();
    let (mut whole, mut cut) = (wire.clone(), wire[..5].to_vec());
    show(&Decoder::new(Server).decode(&mut &mut whole[..]).unwrap().unwrap());
    let mut decoder = Decoder::new(Server);
    assert_eq!(decoder.decode(&mut &mut cut[..]), Ok(None));
    show(&decoder);
    show(&openline::Seed::from(*b"secretsecretsecretsecretsecretse"));

    // A connection in the middle of everything: bytes to send, a message gathered in part and in
    // the middle of a character, a header that was cut.
    for first in [TEXT_BEGINS, BINARY_BEGINS] {
        let mut us = open(Server);
        us.send(SECRET).unwrap();
        us.send(SECRET.repeat(10_000)).unwrap();
        let said = [SECRET.as_bytes(), &[0xe6]].concat();
        let bytes = frames(Client, [(first, &said[..])]);
        assert_eq!(hear(&mut us, &bytes), (vec![], None));
        hear(&mut us, &[0x80, 0x86, b's', b'e']);
        show(&us);
    }
    assert_eq!(shown[..2], ["Text(6 bytes)", "Binary(6 bytes)"]);
    assert_eq!(shown[5..7], ["Ping(6 bytes)", "Pong(6 bytes, latency: None)"]);
    assert_eq!(shown[14], "CloseFrame { code: CloseCode(1000 (normal closure)), reason: 6 bytes }");
    assert_eq!(shown[16], "MaskKey(..)");
}
