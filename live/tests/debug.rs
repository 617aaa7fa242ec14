//! `Debug` shows no payload, no name of anybody who is here and no id, whatever holds them.

mod common;

use bytes::Bytes;
use common::now;
use openline_live::{EpochSeed, Hub, Id, Lag, Retain, Snapshot, Start, Subscriber};

const SECRET: &str = "s3cr3t-payload";

/// As text, as the list of its bytes, and as errors are shown to people.
fn shows_nothing(what: &str, shown: &str) {
    let bytes = format!("{:?}", SECRET.as_bytes());
    assert!(!shown.is_empty() && !shown.contains(SECRET), "{what}: {shown}");
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{what}: {shown}");
}

#[test]
fn nothing_of_a_hub_shows_a_payload() {
    let hub = Hub::local(Retain::default(), EpochSeed::from([1; 16]), |_: &str, _, payload: &Bytes| payload.clone());
    let topic = hub.topic("t").unwrap();
    let mut subscriber = Subscriber::<Bytes>::new();
    subscriber.join(&topic, Start::Now, Lag::Leave);
    subscriber.watch(&topic);
    let guard = topic.enter(SECRET).unwrap();
    for number in 0..40 {
        let id = (number == 0).then(|| Id::new(SECRET));
        now(topic.publish(id, Bytes::from_static(SECRET.as_bytes()), None)).unwrap();
    }
    // The answer, and the first of the messages that it takes. The others lie there.
    _ = (subscriber.try_next(), subscriber.try_next());
    shows_nothing("subscriber", &format!("{subscriber:?} {subscriber:#?}"));
    shows_nothing("hub", &format!("{hub:?}"));
    shows_nothing("topic", &format!("{topic:?}"));
    shows_nothing("presence", &format!("{guard:?}"));
    shows_nothing("snapshot", &format!("{:?}", hub.snapshot()));
    shows_nothing("id", &format!("{:?}", Id::new(SECRET).of(SECRET.as_bytes())));
    let mut damaged = hub.snapshot().to_bytes();
    damaged.push(0);
    let error = Snapshot::from_bytes(&damaged).unwrap_err();
    shows_nothing("what is wrong with a snapshot", &format!("{error:?} {error}"));
}

#[cfg(feature = "tokio")]
#[test]
fn nothing_of_an_engine_in_memory_shows_a_payload() {
    use openline_live::{Append, Backplane, Memory};

    let memory = Memory::new();
    let node = memory.node();
    now(node.interest(vec!["t".into()], vec![])).unwrap();
    let epoch = openline_live::Epoch::from_bytes([1; 16]);
    let append = Append::new("t".into(), Bytes::from_static(SECRET.as_bytes()), Retain::default(), epoch);
    now(node.append(append)).unwrap();
    shows_nothing("memory", &format!("{memory:?} {node:?}"));
}

#[cfg(feature = "client")]
#[tokio::test]
async fn nothing_of_a_client_shows_a_payload() {
    use openline_live::client::{Event, Offline, Options, Persistent};

    let mut options = Options::default();
    options.offline = Offline::Queue { messages: 1, bytes: 100, age: std::time::Duration::from_secs(1) };
    let connect = || async { Err(openline::Error::TimedOut.into()) };
    let mut client = Persistent::<tokio::io::DuplexStream>::with_options(options, connect);
    client.try_send(SECRET).unwrap();
    let unsent = client.try_send(SECRET).unwrap_err();
    shows_nothing("a message that is not sent", &format!("{unsent:?} {unsent}"));
    shows_nothing("client", &format!("{client:?}"));
    shows_nothing("event", &format!("{:?}", Event::Message(SECRET.into())));
}
