//! What must hold for every input, whoever made it up: how bytes are cut changes
//! nothing; what one end says the other hears; deadlines lead somewhere.

mod common;

use std::time::Duration;

use common::*;
use openline::{
    CloseCode, CloseFrame, Config, Connection, Event, Keepalive, Message, ProtocolError, Role, SendError, State, Time,
};
use proptest::prelude::*;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// Sizes to cut a stream in, used in turn.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4_usize, 1..40_usize, 1..40_000_usize], 1..8)
}

/// Cuts `bytes` into pieces of `sizes`, again and again.
fn cut<'a>(mut bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = (*sizes.next()?).min(bytes.len());
        let (piece, rest) = bytes.split_at(size);
        bytes = rest;
        (size > 0).then_some(piece)
    })
}

/// Payloads that are text, nearly text, or not at all.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z水ß🦀]{0,20}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(prop_oneof![Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), Just(0x41)], 0..6),
        1 => (120..140_usize).prop_map(|len| vec![b'x'; len]),
        1 => (65_530..65_540_usize).prop_map(|len| vec![b'y'; len]),
        1 => (17_000..300_000_usize).prop_map(|len| (0..len).map(|i| (i % 251) as u8).collect()),
        1 => prop_oneof![Just(vec![3, 0xe8]), Just(vec![3, 0xed]), Just(vec![3]), Just(b"\x0f\xa0bye".to_vec())],
    ]
}

/// What a peer of any honesty might write: mostly frames, mostly lawful.
fn wire(sender: Role) -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        TEXT,
        BINARY,
        TEXT,
        BINARY,
        TEXT_BEGINS,
        BINARY_BEGINS,
        GOES_ON,
        GOES_ON,
        ENDS,
        ENDS,
        ENDS,
        PING,
        PONG,
        CLOSE,
    ]);
    let part = prop_oneof![
        30 => (known, payload()).prop_map(move |(first, payload)| {
            let len = if first & 8 != 0 { payload.len().min(125) } else { payload.len() };
            frame(sender, first, &payload[..len])
        }),
        1 => (any::<u8>(), payload()).prop_map(move |(first, payload)| frame(sender, first, payload)),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => (any::<u64>(), 0..15_usize).prop_map(move |(len, cut)| {
            let bytes = header(sender, BINARY, len);
            bytes[..cut.min(bytes.len())].to_vec()
        }),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn limits() -> impl Strategy<Value = Config> {
    (prop_oneof![Just(50_u64), Just(100_000), Just(u64::MAX)], prop_oneof![Just(2_u32), Just(1000)]).prop_map(
        |(size, fragments)| {
            let mut config = quiet();
            config.max_message_size = size;
            config.max_fragments = fragments;
            config
        },
    )
}

type Outcome = (Vec<Event<'static>>, Option<ProtocolError>, State, Vec<u8>);

fn outcome(us: &mut Connection, heard: Heard) -> Outcome {
    let answer = transmit(us, s(0));
    (heard.0, heard.1, us.state(), answer)
}

/// Chunks joined to the messages that they are parts of, as far as they came.
fn join(events: Vec<Event<'static>>) -> (Vec<Event<'static>>, usize) {
    let (mut joined, mut parts): (Vec<_>, Option<(bool, Vec<u8>)>) = (vec![], None);
    for event in events {
        let Event::Chunk(chunk) = event else {
            joined.push(event);
            continue;
        };
        assert_eq!(chunk.first, parts.is_none());
        assert!(chunk.last || !chunk.data.is_empty());
        let text = chunk.data.is_text();
        let (first_text, mut data) = parts.take().unwrap_or((text, vec![]));
        assert_eq!(text, first_text);
        data.extend_from_slice(chunk.data.as_bytes());
        if chunk.last {
            joined.push(Event::Message(if text {
                Message::from(String::from_utf8(data).unwrap())
            } else {
                Message::from(data)
            }));
        } else {
            parts = Some((text, data));
        }
    }
    (joined, usize::from(parts.is_some()))
}

proptest! {
    #![proptest_config(cases(400))]

    /// Any bytes, any cut: the same events, the same error, the same answer.
    #[test]
    fn how_bytes_are_cut_changes_nothing(
        (role, bytes) in role().prop_flat_map(|role| (Just(role), wire(role.peer()))),
        config in limits(),
        sizes in sizes(),
    ) {
        let mut us = connection(role, config);
        let heard = hear(&mut us, &bytes);
        let whole = outcome(&mut us, heard);
        let (events, verdict) = naive(role, config, &bytes);
        prop_assert!(events == whole.0, "naively heard: {:?}", events);
        prop_assert!(verdict.is_none_or(|guilt| whole.1.is_none_or(|error| guilt.contains(&error)) && guilt.is_empty() == whole.1.is_none()));

        let mut us = connection(role, config);
        let heard = hear_in(&mut us, cut(&bytes, &sizes), s(0));
        prop_assert!(outcome(&mut us, heard) == whole, "cut");

        let mut us = connection(role, config);
        let heard = hear_owned(&mut us, cut(&bytes, &sizes));
        prop_assert!(outcome(&mut us, heard) == whole, "owned");

        // Byte by byte nothing lies whole in the input, so that no fast path is taken.
        if bytes.len() < 3000 {
            let mut us = connection(role, config);
            let heard = hear_in(&mut us, bytes.chunks(1), s(0));
            prop_assert!(outcome(&mut us, heard) == whole, "byte by byte");
        }

        // In chunks: the same once joined, but for order, since a chunk does not wait.
        let mut us = connection(role, config);
        let heard = hear_chunks(&mut us, cut(&bytes, &sizes));
        let (events, unfinished) = join(heard.0);
        prop_assert!(outcome(&mut us, (events, heard.1)) == whole, "in chunks");
        prop_assert!(unfinished <= 1);

        // Through the space to read into, wherever there is some.
        let mut us = connection(role, config);
        let heard = hear_by_space(&mut us, &bytes, &sizes, hear);
        prop_assert!(outcome(&mut us, heard) == whole, "by space");

        let mut us = connection(role, config);
        let heard = hear_by_space(&mut us, &bytes, &sizes, |us, piece| hear_chunks(us, [piece]));
        let (events, unfinished) = join(heard.0);
        prop_assert!(outcome(&mut us, (events, heard.1)) == whole, "in chunks by space");
        prop_assert!(unfinished <= 1);
    }

    /// Whichever way each piece is asked for, nothing is invented and nothing gets out of step.
    #[test]
    fn any_mixture_of_calls_is_legal(
        (role, bytes) in role().prop_flat_map(|role| (Just(role), wire(role.peer()))),
        sizes in sizes(),
        modes in prop::collection::vec(0..4_u8, 1..8),
    ) {
        let mut us = connection(role, quiet());
        let whole = hear(&mut us, &bytes);
        let not_data = |events: &[Event<'static>]| -> Vec<Event<'static>> {
            let data = |event: &&Event<'_>| !matches!(event, Event::Message(_) | Event::Chunk(_));
            events.iter().filter(data).cloned().collect()
        };
        let mut us = connection(role, quiet());
        let (mut events, mut error) = (vec![], None);
        for (piece, mode) in cut(&bytes, &sizes).zip(modes.iter().cycle()) {
            let mut now = s(0);
            let space = if mode & 2 != 0 { us.receive_space() } else { None };
            if let Some(space) = space && space.len() >= piece.len() {
                space[..piece.len()].copy_from_slice(piece);
                us.handle_filled(piece.len(), now);
            } else if mode & 1 != 0 {
                let heard = hear_chunks(&mut us, [piece]);
                events.extend(heard.0);
                error = error.or(heard.1);
            } else {
                let heard = hear_in(&mut us, [piece], now);
                events.extend(heard.0);
                error = error.or(heard.1);
            }
            now += Duration::from_secs(1);
            us.handle_timeout(now);
        }
        let last = hear(&mut us, b"");
        events.extend(last.0);
        prop_assert_eq!(error.or(last.1), whole.1);
        prop_assert_eq!(not_data(&events), not_data(&whole.0));
    }

    /// What one end sends the other hears, in any cut, in both directions.
    #[test]
    fn what_one_end_says_the_other_hears(
        script in prop::collection::vec((role(), act()), 0..25),
        sizes in sizes(),
    ) {
        let mut config = quiet();
        config.high_water = usize::MAX;
        let mut pair = Pair::new(config);
        let mut said = [vec![], vec![]];
        let mut heard = [vec![], vec![]];
        for (role, act) in script {
            let us = if role == Role::Client { &mut pair.client } else { &mut pair.server };
            let (before, open) = (us.queued(), us.state() == State::Open);
            match act.perform(us) {
                Ok(event) => said[role as usize].extend(event),
                Err(error) => {
                    prop_assert_eq!(us.queued(), before, "{} queues nothing", error);
                    prop_assert_eq!(error == SendError::Closed, !open);
                }
            }
            if matches!(act, Act::Deliver) {
                carry(&mut pair, role, &sizes, &mut heard);
            }
        }
        for _ in 0..2 {
            carry(&mut pair, Role::Client, &sizes, &mut heard);
            carry(&mut pair, Role::Server, &sizes, &mut heard);
        }
        for role in BOTH {
            // Pongs that answer, and the echo of a Close, are said by the connection itself.
            let chosen = |event: &&Event<'_>| !matches!(event, Event::Pong { .. } | Event::Close(_));
            let said: Vec<_> = said[role as usize].iter().filter(chosen).collect();
            let heard: Vec<_> = heard[role.peer() as usize].iter().filter(chosen).collect();
            prop_assert!(said == heard, "{:?} said {:?}, the other heard {:?}", role, said, heard);
        }
        prop_assert_eq!(pair.client.state(), pair.server.state());
    }

    /// Whatever happens when: a deadline that was handled moves on, and lies ahead;
    /// the state never goes back; left alone, a connection with a keepalive ends.
    #[test]
    fn deadlines_lead_somewhere(
        role in role(),
        interval in 1..20_u64,
        timeout in 1..20_u64,
        script in prop::collection::vec((0..12_u64, 0..8_u8), 0..30),
    ) {
        let mut config = quiet();
        config.close_timeout = Duration::from_secs(7);
        config.keepalive =
            Some(Keepalive::new(Duration::from_secs(interval), Duration::from_secs(timeout)));
        let mut us = connection(role, config);
        let mut now = Time::ZERO;
        let they = role.peer();
        for (wait, act) in script {
            now += Duration::from_secs(wait);
            match act {
                0 => drop(hear_in(&mut us, [&frame(they, TEXT, "x")[..]], now)),
                1 => drop(hear_in(&mut us, [&frame(they, PONG, 1_u64.to_be_bytes())[..]], now)),
                2 => drop(us.ping(b"mine", now)),
                3 => drop(us.send("x")),
                4 => us.handle_transmitted(3, now),
                5 => drop(transmit(&mut us, now)),
                6 => drop(hear_in(&mut us, [&frame(they, PING, "x")[..]], now)),
                _ if wait == 11 => drop(us.close(CloseCode::NORMAL, "", now)),
                _ => {}
            }
            let due = us.until().is_some_and(|next| next <= now);
            let (state, queued) = (us.state(), us.queued());
            us.handle_timeout(now);
            prop_assert!(us.until().is_none_or(|next| next > now), "handled, and still due");
            prop_assert_eq!(due, (us.state(), us.queued()) != (state, queued), "due is what does something");
        }
        let mut turns = 0;
        while let Some(next) = us.until() {
            prop_assert!(next >= now);
            now = next;
            us.handle_timeout(now);
            turns += 1;
            prop_assert!(turns < 4, "a Ping, the silence after it, and the end");
        }
        prop_assert_eq!(us.state(), State::Closed);
    }
}

/// The RFC's chapter 5 once more, without cuts, speed or memory: what is heard, and the
/// errors that the first guilty byte proves (none if there is none, `None` if the end of
/// the bytes lies within a payload, of which a part may prove something or not).
fn naive(receiver: Role, config: Config, mut bytes: &[u8]) -> (Vec<Event<'static>>, Option<Vec<ProtocolError>>) {
    use ProtocolError as E;
    let mut events = vec![];
    let mut message: Option<(bool, Vec<u8>, u32)> = None;
    let guilty = |rules: &[(bool, E)]| -> Vec<E> { rules.iter().filter(|rule| rule.0).map(|rule| rule.1).collect() };
    macro_rules! judge {
        ($($rule:expr),*) => {
            let guilt = guilty(&[$($rule),*]);
            if !guilt.is_empty() {
                return (events, Some(guilt));
            }
        };
    }
    macro_rules! need {
        ($len:expr) => {
            if bytes.len() < $len {
                return (events, Some(vec![]));
            }
        };
    }
    loop {
        need!(1);
        let (fin, rsv, opcode) = (bytes[0] & 0x80 != 0, bytes[0] >> 4 & 7, bytes[0] & 0xf);
        let control = opcode >= 8;
        judge!(
            (matches!(opcode, 3..=7 | 11..), E::ReservedOpcode(opcode)),
            (rsv != 0, E::ReservedBits(rsv)),
            (control && !fin, E::ControlFragmented)
        );
        need!(2);
        let (masked, short) = (bytes[1] & 0x80 != 0, bytes[1] & 0x7f);
        judge!(
            (masked && receiver == Role::Client, E::FrameMasked),
            (!masked && receiver == Role::Server, E::FrameNotMasked),
            (control && short > 125, E::ControlTooLong),
            (opcode == 8 && short == 1, E::CloseTruncated)
        );
        let (len, mut at) = if short == 126 {
            need!(4);
            let len = u64::from(bytes[2]) << 8 | u64::from(bytes[3]);
            judge!((len < 126, E::LengthNotMinimal));
            (len, 4)
        } else if short == 127 {
            need!(3);
            judge!((bytes[2] > 127, E::LengthTooLarge));
            need!(8);
            judge!((bytes[2..8] == [0; 6], E::LengthNotMinimal));
            need!(10);
            (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), 10)
        } else {
            (u64::from(short), 2)
        };
        let mut key = [0; 4];
        if masked {
            need!(at + 4);
            key.copy_from_slice(&bytes[at..at + 4]);
            at += 4;
        }
        if !control {
            let (so_far, count) = message.as_ref().map_or((0, 0), |(_, data, count)| (data.len() as u64, *count));
            judge!(
                (opcode == 0 && message.is_none(), E::UnexpectedContinuation),
                (opcode != 0 && message.is_some(), E::ExpectedContinuation)
            );
            let (size, fragments) = (config.max_message_size, config.max_fragments);
            judge!(
                (so_far.saturating_add(len) > size, E::MessageTooBig { limit: size }),
                (count + 1 > fragments, E::TooManyFragments { limit: fragments })
            );
        }
        if ((bytes.len() - at) as u64) < len {
            return (events, None);
        }
        let payload: Vec<u8> =
            bytes[at..at + len as usize].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        bytes = &bytes[at + len as usize..];
        match opcode {
            8 if payload.is_empty() => {
                events.push(Event::Close(CloseFrame { code: CloseCode::NO_STATUS, reason: String::new() }));
                return (events, Some(vec![]));
            }
            8 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                let known = matches!(code, 1000..=1014 | 3000..=4999) && !matches!(code, 1004..=1006);
                judge!((!known, E::CloseCodeInvalid(CloseCode::new(code))));
                let reason = String::from_utf8(payload[2..].to_vec());
                judge!((reason.is_err(), E::CloseReasonInvalid));
                events.push(Event::Close(CloseFrame { code: CloseCode::new(code), reason: reason.unwrap() }));
                return (events, Some(vec![]));
            }
            9 => events.push(Event::Ping(payload.into())),
            10 => events.push(Event::Pong { payload: payload.into(), latency: None }),
            _ => {
                let (text, mut data, count) = message.take().unwrap_or((opcode == 1, vec![], 0));
                data.extend(payload);
                if let (true, Err(error)) = (text, str::from_utf8(&data)) {
                    let at = error.valid_up_to() as u64;
                    judge!((fin || error.error_len().is_some(), E::InvalidUtf8 { at }));
                }
                if !fin {
                    message = Some((text, data, count + 1));
                } else if text {
                    events.push(Event::Message(String::from_utf8(data).unwrap().into()));
                } else {
                    events.push(binary(data));
                }
            }
        }
    }
}

/// As an adapter reads: into the space if there is some, else into a buffer.
fn hear_by_space(
    us: &mut Connection,
    mut bytes: &[u8],
    sizes: &[usize],
    hear: impl Fn(&mut Connection, &[u8]) -> Heard,
) -> Heard {
    let mut heard: Heard = (vec![], None);
    let mut sizes = sizes.iter().cycle();
    while !bytes.is_empty() && heard.1.is_none() {
        let mut size = (*sizes.next().unwrap()).min(bytes.len());
        let piece = if let Some(space) = us.receive_space() {
            size = size.min(space.len());
            space[..size].copy_from_slice(&bytes[..size]);
            us.handle_filled(size, s(0));
            &[]
        } else {
            &bytes[..size]
        };
        bytes = &bytes[size..];
        let (events, error) = hear(us, piece);
        heard.0.extend(events);
        heard.1 = error;
    }
    heard
}

/// What an application may do.
#[derive(Clone, Debug)]
enum Act {
    Text(String),
    Binary(Vec<u8>),
    Fragments(Vec<String>, String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(String),
    Deliver,
}

fn act() -> impl Strategy<Value = Act> {
    let word =
        || prop_oneof!["[a-z水🦀]{0,9}", "[a-z]{120,140}", (16_300..17_000_usize).prop_map(|len| "w".repeat(len))];
    let short = || prop::collection::vec(any::<u8>(), 0..125);
    prop_oneof![
        4 => word().prop_map(Act::Text),
        4 => word().prop_map(|word| Act::Binary(word.into())),
        1 => (65_530..65_540_usize).prop_map(|len| Act::Binary(vec![9; len])),
        2 => (prop::collection::vec(word(), 0..4), word()).prop_map(|(parts, last)| Act::Fragments(parts, last)),
        2 => short().prop_map(Act::Ping),
        1 => short().prop_map(Act::Pong),
        1 => "[a-z]{0,9}".prop_map(Act::Close),
        6 => Just(Act::Deliver),
    ]
}

impl Act {
    /// Does it, and says what the other end is to hear.
    fn perform(&self, us: &mut Connection) -> Result<Option<Event<'static>>, SendError> {
        Ok(Some(match self {
            Act::Text(word) => {
                us.send(word)?;
                text(word)
            }
            Act::Binary(data) => {
                us.send(data.clone())?;
                binary(data.clone())
            }
            Act::Fragments(parts, last) => {
                for part in parts {
                    us.send_fragment(part, false)?;
                }
                us.send_fragment(last, true)?;
                text(&(parts.concat() + last))
            }
            Act::Ping(payload) => {
                us.ping(payload, s(0))?;
                Event::Ping(payload.clone().into())
            }
            Act::Pong(payload) => {
                us.pong(payload)?;
                return Ok(None);
            }
            Act::Close(reason) => {
                us.close(CloseCode::NORMAL, reason, s(0))?;
                return Ok(None);
            }
            Act::Deliver => return Ok(None),
        }))
    }
}

/// Carries what `role` has to say to the other end, in pieces.
fn carry(pair: &mut Pair, role: Role, sizes: &[usize], heard: &mut [Vec<Event<'static>>; 2]) {
    let (us, them) = match role {
        Role::Client => (&mut pair.client, &mut pair.server),
        Role::Server => (&mut pair.server, &mut pair.client),
    };
    let bytes = transmit(us, s(0));
    let (events, error) = hear_in(them, cut(&bytes, sizes), s(0));
    assert_eq!(error, None);
    heard[role.peer() as usize].extend(events);
}
