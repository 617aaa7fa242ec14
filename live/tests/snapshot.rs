//! A restart with a snapshot keeps epochs, histories and ids; bytes that are no snapshot are refused.

mod common;

use common::*;
use openline_live::Lag::Leave;
use openline_live::Start::{After, Oldest};
use openline_live::{EpochSeed, Hub, Id, Position, PublishError, Retain, Snapshot, SnapshotError, Subscriber};

fn restore(bytes: &[u8], retain: Retain, now: u64) -> Hub<Said> {
    let snapshot = Snapshot::from_bytes(bytes).unwrap();
    Hub::restore(&snapshot, retain, EpochSeed::from([9; 16]), seconds(now), make)
}

#[test]
fn a_client_comes_back_after_a_restart_and_has_missed_nothing() {
    let hub = hub(retain(5, 100));
    let topic = hub.topic("t").unwrap();
    let mut slow = Subscriber::new();
    slow.join(&topic, Oldest, Leave);
    count(&topic, 1..=8);
    now(topic.publish(Some(Id::new("a")), "9".into(), None)).unwrap();
    let (seen, at) = (Position { offset: 6, ..topic.position().unwrap() }, topic.position().unwrap());
    hub.topic("empty").unwrap();
    let bytes = hub.snapshot().to_bytes();
    for keep in [5, 2] {
        let hub = restore(&bytes, retain(keep, 0), 0);
        assert_eq!((hub.counters().topics, hub.counters().messages), (2, keep));
        let topic = hub.topic("t").unwrap();
        assert_eq!(topic.position(), Some(at));
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, After(seen), Leave);
        let words = all(&mut subscriber);
        assert_eq!(
            words,
            if keep == 5 { vec!["joined 9", "7", "8", "9"] } else { vec!["joined 9 not whole", "8", "9"] }
        );
        assert_eq!(now(topic.publish(Some(Id::new("a")), "9".into(), None)), Ok(at));
        assert_eq!(now(topic.publish(Some(Id::new("a")), "8".into(), None)), Err(PublishError::IdTaken));
        assert_eq!(say(&topic, "10").unwrap(), Position { offset: 10, ..at });
        assert_eq!(all(&mut subscriber), ["10"]);
        let again = restore(&hub.snapshot().to_bytes(), retain(keep, 0), 0);
        assert_eq!(again.snapshot(), hub.snapshot());
    }
}

#[test]
fn who_is_here_is_not_in_it() {
    let hub = hub(retain(5, 0));
    let topic = hub.topic("t").unwrap();
    count(&topic, 1..=2);
    let before = hub.snapshot();
    let _ann = topic.enter("ann").unwrap();
    assert_eq!(hub.snapshot(), before);
    let restored = restore(&before.to_bytes(), retain(5, 0), 0);
    assert_eq!((topic.present(), restored.topic("t").unwrap().present()), (1, 0));
}

#[test]
fn ages_go_on_with_the_new_clock() {
    let hub = hub(retain(5, 0));
    let topic = hub.topic("t").unwrap();
    hub.tick(seconds(1000));
    count(&topic, 1..=1);
    hub.tick(seconds(1200));
    now(topic.publish(Some(Id::new("a")), "2".into(), None)).unwrap();
    let bytes = hub.snapshot().to_bytes();
    // 200 s old, on a clock that has just begun.
    let hub = restore(&bytes, retain(5, 0), 3);
    hub.tick(seconds(103));
    assert_eq!(hub.counters().messages, 2);
    hub.tick(seconds(109));
    assert_eq!(hub.counters().messages, 1);
    hub.tick(seconds(310));
    assert_eq!((hub.counters().topics, hub.counters().bytes), (0, 0));
}

#[test]
fn no_cut_and_no_changed_bit_is_taken_for_a_snapshot() {
    let hub = hub(retain(5, 0));
    count(&hub.topic("t").unwrap(), 1..=3);
    now(hub.topic("u").unwrap().publish(Some(Id::new("a")), "2".into(), None)).unwrap();
    let bytes = hub.snapshot().to_bytes();
    assert_eq!(Snapshot::from_bytes(&bytes), Ok(hub.snapshot()));
    for cut in 0..bytes.len() {
        let expected = if cut < 16 { SnapshotError::Version } else { SnapshotError::Damaged };
        assert_eq!(Snapshot::from_bytes(&bytes[..cut]), Err(expected));
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Snapshot::from_bytes(&changed).is_err(), "{at}");
    }
    assert_eq!(Snapshot::from_bytes(&[&bytes[..], b"x"].concat()), Err(SnapshotError::Damaged));
}

/// With a right checksum, so that the reader of the content is tested too.
#[test]
fn nonsense_is_refused_and_allocates_nothing() {
    use sha1::Digest;
    let number = |number: u64| number.to_be_bytes().to_vec();
    let snapshot = |content: &[Vec<u8>]| {
        let mut bytes = [b"openline-live 1\n".to_vec(), content.concat()].concat();
        let sum = sha1::Sha1::digest(&bytes);
        bytes.extend_from_slice(&sum);
        Snapshot::from_bytes(&bytes)
    };
    let name = |name: &[u8]| [number(name.len() as u64), name.to_vec()].concat();
    let log = |offset, messages| [vec![3; 16], number(offset), number(messages)].concat();
    let message = [number(5), number(1), b"x".to_vec()].concat();
    assert!(snapshot(&[number(0)]).is_ok());
    assert!(snapshot(&[number(1), name(b"t"), log(1, 1), message.clone(), number(0)]).is_ok());
    for wrong in [
        vec![number(u64::MAX)],
        vec![number(1), name(b""), log(0, 0), number(0)],
        vec![number(1), name(&[b'n'; 129]), log(0, 0), number(0)],
        vec![number(1), name(b"\xff"), log(0, 0), number(0)],
        vec![number(1), name(b"t"), log(9, u64::MAX), number(0)],
        vec![number(1), name(b"t"), log(0, 1), message.clone(), number(0)],
        vec![number(1), name(b"t"), log(u64::MAX, 1), message.clone(), number(0)],
        vec![number(1), name(b"t"), log(0, 0), number(u64::MAX)],
        vec![number(1), number(u64::MAX), b"t".to_vec()],
    ] {
        assert_eq!(snapshot(&wrong), Err(SnapshotError::Damaged));
    }
}
