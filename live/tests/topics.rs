//! What a subscriber of one topic or several sees, and what a publisher is told.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use common::*;
use openline_live::Lag::{Latest, Leave, Skip};
use openline_live::Start::{After, Now, Oldest};
use openline_live::{Delivery, EpochSeed, Hub, Id, Limits, Position, PublishError, Subscriber, TopicError};

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_join_begins_where_it_asks_to() {
    let hub = hub(retain(3, 0));
    let topic = hub.topic("t").unwrap();
    let start = topic.position().unwrap();
    let join = |start| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, start, Leave);
        all(&mut subscriber)
    };
    assert_eq!(start.offset, 0);
    for begin in [Now, Oldest, After(start)] {
        assert_eq!(join(begin), ["joined 0"]);
    }
    count(&topic, 1..=3);
    assert_eq!(join(Oldest), ["joined 3", "1", "2", "3"]);
    count(&topic, 4..=5);
    let after = |offset| After(Position { offset, ..start });
    assert_eq!(join(Now), ["joined 5"]);
    assert_eq!(join(Oldest), ["joined 5 not whole", "3", "4", "5"]);
    assert_eq!(join(after(1)), ["joined 5 not whole", "3", "4", "5"]);
    assert_eq!(join(after(2)), ["joined 5", "3", "4", "5"]);
    assert_eq!(join(after(4)), ["joined 5", "5"]);
    assert_eq!(join(after(5)), ["joined 5"]);
    for beyond in [6, u64::MAX] {
        assert_eq!(join(after(beyond)), ["joined 5 not whole", "3", "4", "5"], "a position from the future");
    }
    let elsewhere = hub.topic("other").unwrap().position().unwrap();
    assert_eq!(join(After(elsewhere)), ["joined 5 not whole", "3", "4", "5"], "another epoch");
}

#[test]
fn who_lags_is_told_by_the_policy() {
    let hub = hub(retain(2, 3));
    let topic = hub.topic("t").unwrap();
    let mut subscribers = [Skip, Latest, Leave].map(|lag| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Now, lag);
        subscriber
    });
    count(&topic, 1..=5);
    for subscriber in &mut subscribers {
        assert_eq!(all(subscriber), ["joined 0", "1", "2", "3", "4", "5"], "within the slack nothing is lost");
    }
    count(&topic, 6..=11);
    let [skip, latest, leave] = &mut subscribers;
    assert_eq!(all(skip), ["missed 1", "7", "8", "9", "10", "11"]);
    assert_eq!(all(latest), ["missed 5", "11"]);
    assert_eq!((all(leave), leave.topics()), (vec!["left".to_owned()], 0));
    assert_eq!(topic.subscribers(), 2);
    let counters = hub.counters();
    assert_eq!((counters.missed, counters.left, counters.published, counters.messages), (6, 1, 11, 2));
    count(&topic, 12..=12);
    assert_eq!((all(skip), all(latest), all(leave)), (vec!["12".into()], vec!["12".into()], vec![]));
}

#[test]
fn three_thousand_messages_at_once_throw_nobody_out() {
    let hub = hub(openline_live::Retain::default());
    let topic = hub.topic("room").unwrap();
    let mut room: Vec<_> = (0..50).map(|_| Subscriber::new()).collect();
    room.iter_mut().for_each(|subscriber| subscriber.join(&topic, Now, Leave));
    count(&topic, 1..=3000);
    assert_eq!(hub.counters().lag, 3000);
    let expected: Vec<_> = std::iter::once("joined 0".into()).chain((1..=3000).map(|n: u64| n.to_string())).collect();
    for subscriber in &mut room {
        assert_eq!(all(subscriber), expected);
    }
    assert_eq!((hub.counters().messages, hub.counters().lag), (256, 0), "the slack is given back when all have read");
}

#[test]
fn a_new_join_moves_the_cursor() {
    let hub = hub(retain(100, 0));
    let topic = hub.topic("t").unwrap();
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Now, Leave);
    count(&topic, 1..=50);
    assert_eq!(subscriber.try_next().map(word).unwrap(), "joined 0");
    assert_eq!(subscriber.try_next().map(word).unwrap(), "1");
    let at = Position { offset: 48, ..topic.position().unwrap() };
    subscriber.join(&topic, After(at), Leave);
    assert_eq!(all(&mut subscriber), ["joined 50", "49", "50"]);
    subscriber.join(&topic, Now, Leave);
    subscriber.join(&topic, Now, Leave);
    assert_eq!(all(&mut subscriber), ["joined 50", "joined 50"]);
    assert_eq!((topic.subscribers(), subscriber.topics()), (1, 1));
    count(&topic, 51..=51);
    assert_eq!(all(&mut subscriber), ["51"]);
}

#[test]
fn joins_that_nobody_reads_are_bounded() {
    let hub = hub(retain(1, 0));
    let topic = hub.topic("t").unwrap();
    let mut subscriber = Subscriber::new();
    (0..1000).for_each(|_| subscriber.join(&topic, Oldest, Leave));
    assert_eq!(all(&mut subscriber).len(), 65);
}

#[test]
fn nothing_comes_after_leave() {
    let hub = hub(retain(100, 0));
    let (left, stays) = (hub.topic("left").unwrap(), hub.topic("stays").unwrap());
    let mut subscriber = Subscriber::new();
    subscriber.leave(&left);
    for read in 0..4 {
        subscriber.join(&left, Now, Leave);
        subscriber.join(&stays, Now, Leave);
        count(&left, 1..=50);
        say(&stays, "still").unwrap();
        (0..read).for_each(|_| drop(subscriber.try_next()));
        subscriber.leave(&left);
        let words = all(&mut subscriber);
        assert!(words.last().unwrap().ends_with("=still"), "{words:?}");
        assert!(!words.iter().any(|word| word.parse::<u64>().is_ok()), "{words:?}");
        assert_eq!((left.subscribers(), subscriber.topics()), (0, 1));
        subscriber.leave(&stays);
    }
}

#[test]
fn topics_take_turns() {
    let hub = hub(retain(1000, 0));
    let topics = ["a", "b", "c"].map(|name| hub.topic(name).unwrap());
    let mut subscriber = Subscriber::new();
    topics.iter().for_each(|topic| subscriber.join(topic, Now, Leave));
    count(&topics[0], 1..=200);
    count(&topics[1], 1..=2);
    count(&topics[2], 1..=40);
    let words = all(&mut subscriber);
    let at = |count: usize| words.iter().skip(3).skip(count).take(2).cloned().collect::<Vec<_>>();
    assert_eq!(at(32), ["1", "2"], "b is not behind all of a");
    assert_eq!(at(34), ["1", "2"], "nor is c");
    assert_eq!(words.len(), 3 + 200 + 2 + 40);
}

#[test]
fn a_dropped_subscriber_leaves_nothing() {
    let hub = hub(retain(4, 100));
    let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
    let mut reader = Subscriber::new();
    reader.join(&one, Now, Leave);
    all(&mut reader);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut dropped = Subscriber::new();
    dropped.join(&one, Now, Leave);
    dropped.join(&two, Now, Leave);
    all(&mut dropped);
    assert_eq!(dropped.poll_next(&mut Context::from_waker(&waker)), Poll::Pending);
    count(&one, 1..=50);
    count(&two, 1..=50);
    // In the middle of a turn of the first topic, with the second one waiting.
    assert_eq!(dropped.try_next().map(word).unwrap(), "1");
    all(&mut reader);
    assert!(hub.counters().messages > 8);
    drop(dropped);
    assert_eq!((one.subscribers(), two.subscribers(), hub.counters().messages), (1, 0, 8));
    assert_eq!(woken.0.load(Relaxed), 1);
    drop(waker);
    assert_eq!(Arc::strong_count(&woken), 1, "no waker is left");
    count(&one, 51..=51);
    assert_eq!(all(&mut reader), ["51"]);
}

#[test]
fn a_subscriber_is_woken_once_until_it_has_read() {
    let hub = hub(retain(10, 0));
    let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut subscriber = Subscriber::new();
    subscriber.join(&one, Now, Leave);
    subscriber.join(&two, Now, Leave);
    all(&mut subscriber);
    for round in 1..=3 {
        assert_eq!(subscriber.poll_next(&mut Context::from_waker(&waker)), Poll::Pending);
        count(&one, 1..=3);
        count(&two, 1..=3);
        assert_eq!(woken.0.load(Relaxed), round);
        assert_eq!(all(&mut subscriber).len(), 6);
    }
}

#[test]
fn all_of_many_are_woken() {
    let hub = hub(retain(10, 0));
    let topic = hub.topic("t").unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut subscribers: Vec<_> = (0..1000).map(|_| Subscriber::new()).collect();
    for subscriber in &mut subscribers {
        subscriber.join(&topic, Now, Leave);
        all(subscriber);
    }
    // Places that are free are passed over.
    let mut number = 0;
    subscribers.retain(|_| {
        number += 1;
        number % 3 != 0
    });
    for subscriber in &mut subscribers {
        assert!(subscriber.poll_next(&mut Context::from_waker(&waker)).is_pending());
    }
    count(&topic, 1..=1);
    assert_eq!(woken.0.load(Relaxed), subscribers.len());
    assert!(subscribers.iter_mut().all(|subscriber| all(subscriber) == ["1"]));
}

/// An executor may poll as soon as it is told to wake, in the same call.
#[test]
fn a_waker_may_use_the_topic() {
    struct Looks(openline_live::Topic<Said>, AtomicUsize);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let mut subscriber = Subscriber::new();
            subscriber.join(&self.0, Oldest, Leave);
            self.1.fetch_add(all(&mut subscriber).len(), Relaxed);
        }
    }
    let hub = hub(retain(10, 0));
    let topic = hub.topic("t").unwrap();
    let looks = Arc::new(Looks(topic.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&looks));
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Now, Leave);
    all(&mut subscriber);
    assert!(subscriber.poll_next(&mut Context::from_waker(&waker)).is_pending());
    count(&topic, 1..=1);
    assert_eq!(looks.1.load(Relaxed), 2);
}

/// The last clone of a waker can take a task with it, and all that the task holds.
#[test]
fn a_waker_that_is_dropped_may_use_the_topic() {
    struct Holds {
        _subscriber: Subscriber<Said>,
    }
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let hub = hub(retain(100, 0));
        let topic = hub.topic("t").unwrap();
        let joined = || {
            let mut subscriber = Subscriber::new();
            subscriber.join(&topic, Now, Leave);
            all(&mut subscriber);
            subscriber
        };
        // A task that is over, but for the waker that its subscriber has left.
        let wait = |subscriber: &mut Subscriber<Said>| {
            let waker = Waker::from(Arc::new(Holds { _subscriber: joined() }));
            while subscriber.poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        };
        let mut subscriber = joined();
        for _ in 0..3 {
            wait(&mut subscriber);
            assert_eq!(topic.subscribers(), 2, "the subscriber, and that of the last task");
            count(&topic, 1..=40);
            subscriber.join(&topic, Now, Leave);
        }
        wait(&mut subscriber);
        count(&topic, 1..=1);
        subscriber.leave(&topic);
        drop(subscriber);
        assert_eq!(topic.subscribers(), 0);
        done.send(topic.subscribers()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(std::time::Duration::from_secs(60)), Ok(0), "a lock was held");
}

#[test]
fn an_id_is_appended_once() {
    let hub = hub(retain(2, 0));
    let topic = hub.topic("t").unwrap();
    let say = |id, text: &'static str| now(topic.publish(Some(Id::new(id)), text.into(), None));
    let first = say("a", "hello");
    assert_eq!(first.unwrap().offset, 1);
    assert_eq!(say("b", "hello").unwrap().offset, 2);
    assert_eq!(say("c", "hello").unwrap().offset, 3);
    assert_eq!(say("a", "hello"), first, "also when the message itself is gone");
    assert_eq!(say("a", "other"), Err(PublishError::IdTaken));
    hub.tick(seconds(300));
    assert_eq!(say("a", "hello"), first);
    hub.tick(seconds(301));
    assert_eq!(say("a", "other").unwrap().offset, 4, "five minutes are over");
    let elsewhere = hub.topic("u").unwrap();
    assert_eq!(now(elsewhere.publish(Some(Id::new("b")), "other".into(), None)).unwrap().offset, 1);
}

#[test]
fn one_of_two_decisions_holds() {
    let hub = hub(retain(2, 0));
    let topic = hub.topic("lot").unwrap();
    let publish = |id: Option<Id>, expect| now(topic.publish(id, "sold".into(), Some(expect)));
    let start = topic.position().unwrap();
    let id = Some(Id::new("a"));
    let sold = publish(id, start).unwrap();
    assert_eq!(publish(None, start), Err(PublishError::Conflict(sold)));
    assert_eq!(publish(id, start), Ok(sold), "the same decision again");
    let elsewhere = hub.topic("other").unwrap().position().unwrap();
    assert_eq!(publish(None, Position { offset: 1, ..elsewhere }), Err(PublishError::Conflict(sold)));
    assert_eq!(publish(None, sold).unwrap().offset, 2);
}

#[test]
fn names_and_messages_have_limits() {
    let mut retain = retain(0, 0);
    (retain.bytes, retain.slack_bytes) = (10, 0);
    let hub = hub(retain);
    assert_eq!(hub.topic("").unwrap_err(), TopicError::Name);
    assert_eq!(hub.topic(&"n".repeat(129)).unwrap_err(), TopicError::Name);
    let topic = hub.topic(&"n".repeat(128)).unwrap();
    assert_eq!(topic.name().len(), 128);
    assert_eq!(say(&topic, "12345678901"), Err(PublishError::TooLong));
    assert_eq!(topic.position().unwrap().offset, 0);
    assert_eq!(say(&topic, "1234567890").unwrap().offset, 1);
    assert_eq!(say(&topic, "").unwrap().offset, 2);
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Oldest, Leave);
    assert_eq!(all(&mut subscriber), ["joined 2 not whole", "2="], "0 messages count as 1");
}

#[test]
fn topics_and_bytes_are_limited_in_all() {
    let hub = hub(retain(100, 0));
    let mut limits = Limits::default();
    limits.topics = 2;
    hub.set_limits(limits);
    let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
    assert_eq!(hub.topic("three").unwrap_err(), TopicError::TooMany);
    assert_eq!(hub.topic("one").unwrap().position(), one.position(), "the old ones are there");
    say(&one, &"x".repeat(1000)).unwrap();
    let each = hub.counters().bytes;
    assert!((1000..1300).contains(&each), "{each}");
    limits.bytes = 5 * each;
    hub.set_limits(limits);
    let mut reader = Subscriber::new();
    reader.join(&one, Oldest, Skip);
    assert!((0..9).all(|_| say(&one, &"x".repeat(1000)).is_ok()));
    assert_eq!((hub.counters().bytes, hub.counters().messages), (5 * each, 5));
    let words = all(&mut reader);
    assert_eq!((&words[..2], words.len()), (&["joined 1".to_owned(), "missed 5".to_owned()][..], 7));
    assert_eq!(say(&two, &"x".repeat(1000)), Err(PublishError::Full));
    assert_eq!(now(two.publish(Some(Id::new("a")), Bytes::new(), None)), Err(PublishError::Full));
    assert_eq!(say(&one, &"x".repeat(6000)), Err(PublishError::Full));
    assert_eq!(hub.counters().messages, 5, "nothing is dropped for a message that has no room anyway");
    assert_eq!(say(&one, &"x".repeat(1000)).unwrap().offset, 11);
}

/// Who publishes to another topic meanwhile, and fits, is not refused. The moment between two steps of a publish is
/// reached by the `Drop` of the message that goes; otherwise it may not use the hub.
#[test]
fn a_message_that_takes_the_place_of_another_is_not_counted_beside_it() {
    use std::sync::Mutex;
    type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;
    struct Goes(Meanwhile);
    impl Drop for Goes {
        fn drop(&mut self) {
            let meanwhile = self.0.lock().unwrap().take();
            meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        }
    }
    let meanwhile = Meanwhile::default();
    let made = Arc::clone(&meanwhile);
    let hub = Hub::local(retain(1, 0), EpochSeed::from([1; 16]), move |_, _, _: &Bytes| Goes(Arc::clone(&made)));
    let (large, small) = (hub.topic("large").unwrap(), hub.topic("small").unwrap());
    let text = |len| "x".repeat(len);
    say(&large, &text(1000)).unwrap();
    say(&small, "").unwrap();
    let mut limits = Limits::default();
    // Twice the large one would fit beside the small one as it is, but not beside the one that comes.
    limits.bytes = hub.counters().bytes + 1300;
    hub.set_limits(limits);
    let (said, other) = (Arc::new(Mutex::new(None)), small.clone());
    let saying = Arc::clone(&said);
    *meanwhile.lock().unwrap() = Some(Box::new(move || *saying.lock().unwrap() = Some(say(&other, &"x".repeat(700)))));
    let counted = hub.counters().bytes;
    say(&large, &text(1000)).unwrap();
    assert_eq!(said.lock().unwrap().take().map(|said| said.map(|at| at.offset)), Some(Ok(2)));
    assert_eq!(hub.counters().bytes, counted + 700);
    // Ids and messages that go for want of room are counted once, too.
    limits.bytes = 0;
    hub.set_limits(limits);
    for id in ["a", "b"] {
        assert_eq!(now(large.publish(Some(Id::new(id)), Bytes::new(), None)), Err(PublishError::Full));
    }
    assert_eq!(hub.counters().bytes, counted + 700);
    limits.bytes = usize::MAX;
    hub.set_limits(limits);
    for id in ["a", "b", "a"] {
        now(large.publish(Some(Id::new(id)), text(1000).into(), None)).unwrap();
    }
    hub.tick(seconds(301));
    let counters = hub.counters();
    assert_eq!((counters.messages, counters.bytes), (0, 0), "all have gone, and so have the ids");
}

/// Two hubs, and the same name: each cursor is of its own topic, whatever happens to the other one.
#[test]
fn topics_of_two_hubs_with_one_name_do_not_mix() {
    let mark = |mark: &'static str| {
        Hub::local(retain(3, 0), EpochSeed::from([mark.len() as u8; 16]), move |_, at, _: &Bytes| {
            (at.offset, mark.to_owned())
        })
    };
    let hubs = [mark("a"), mark("bb")];
    let [a, b] = hubs.each_ref().map(|hub| hub.topic("t").unwrap());
    let mut subscriber = Subscriber::new();
    subscriber.join(&a, Now, Leave);
    subscriber.join(&b, Now, Skip);
    assert_eq!((subscriber.topics(), a.subscribers(), b.subscribers()), (2, 1, 1));
    assert_eq!(all(&mut subscriber), ["joined 0", "joined 0"]);
    count(&a, 1..=2);
    count(&b, 1..=3);
    assert_eq!(all(&mut subscriber), ["1=a", "2=a", "1=bb", "2=bb", "3=bb"]);
    // One lags and is told so; the other one reads on.
    count(&a, 3..=3);
    count(&b, 4..=9);
    assert_eq!(all(&mut subscriber), ["3=a", "missed 3", "7=bb", "8=bb", "9=bb"]);
    // One moves, and its answer stands; then the other one leaves, and takes nothing with it.
    subscriber.join(&b, Oldest, Skip);
    subscriber.join(&a, Oldest, Leave);
    subscriber.leave(&a);
    assert_eq!(all(&mut subscriber), ["joined 9 not whole", "7=bb", "8=bb", "9=bb"]);
    subscriber.watch(&a);
    subscriber.watch(&b);
    subscriber.unwatch(&a);
    let _guests = (a.enter("ann").unwrap(), b.enter("bob").unwrap());
    hubs.iter().for_each(|hub| assert!(hub.tick(seconds(1)).is_some()));
    let mut here = vec![];
    while let Some(delivery) = subscriber.try_next() {
        let Delivery::Here { names, .. } = delivery else { panic!("{delivery:?}") };
        here.extend(names.iter().map(ToString::to_string));
    }
    assert_eq!(here, ["bob"]);
}

#[test]
fn a_clone_that_panics_does_not_make_the_cursor_deaf() {
    struct Sometimes(u64);
    impl Clone for Sometimes {
        fn clone(&self) -> Sometimes {
            static CLONED: AtomicUsize = AtomicUsize::new(0);
            assert_ne!(CLONED.fetch_add(1, Relaxed), 2);
            Sometimes(self.0)
        }
    }
    let hub = Hub::local(retain(10, 0), EpochSeed::from([1; 16]), |_, at, _: &Bytes| Sometimes(at.offset));
    let topic = hub.topic("t").unwrap();
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, Now, Leave);
    let mut next = || match subscriber.try_next() {
        Some(Delivery::Message(Sometimes(offset))) => offset,
        _ => 0,
    };
    count(&topic, 1..=3);
    assert_eq!(next(), 0, "joined");
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut next)).is_err());
    count(&topic, 4..=4);
    assert_eq!([(); 5].map(|()| next()), [1, 2, 3, 4, 0]);
}

#[test]
fn what_is_too_old_goes_and_so_does_a_topic_that_nobody_holds() {
    let hub = hub(retain(100, 100));
    let topic = hub.topic("t").unwrap();
    let start = topic.position().unwrap();
    count(&topic, 1..=2);
    assert_eq!(hub.tick(seconds(300)), Some(seconds(305)));
    assert_eq!(hub.counters().messages, 2);
    assert_eq!(hub.tick(seconds(301)), Some(seconds(305)), "it is not time to sweep");
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, After(Position { offset: 1, ..start }), Leave);
    assert_eq!(all(&mut subscriber), ["joined 2 not whole"], "age is judged at a join too");
    count(&topic, 3..=3);
    drop(topic);
    hub.tick(seconds(1000));
    assert_eq!((hub.counters().topics, hub.counters().messages), (1, 1), "a subscriber holds it, and waits for 3");
    assert_eq!(all(&mut subscriber), ["3"]);
    drop(subscriber);
    hub.tick(seconds(1060));
    assert_eq!(hub.counters().topics, 1, "it lingers");
    hub.tick(seconds(1066));
    assert_eq!((hub.counters().topics, hub.counters().bytes), (0, 0));
    assert_ne!(hub.topic("t").unwrap().position().unwrap().epoch, start.epoch);
    hub.tick(seconds(1));
    hub.tick(seconds(1127));
    assert_eq!(hub.counters().topics, 0, "without a message, linger alone counts");
}

#[test]
fn a_topic_stays_for_its_ids() {
    let mut retain = retain(1, 0);
    (retain.age, retain.linger) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    let hub = hub(retain);
    let said = now(hub.topic("t").unwrap().publish(Some(Id::new("a")), "x".into(), None));
    hub.tick(seconds(299));
    assert_eq!(hub.counters().messages, 0);
    assert_eq!(now(hub.topic("t").unwrap().publish(Some(Id::new("a")), "x".into(), None)), said);
    hub.tick(seconds(301));
    assert_eq!(hub.counters().topics, 0);
}

#[test]
fn make_runs_once_for_each_message_and_may_use_the_hub() {
    let (cell, made) = (Arc::new(std::sync::OnceLock::<Hub<u64>>::new()), Arc::new(AtomicUsize::new(0)));
    let inner = (Arc::clone(&cell), Arc::clone(&made));
    let hub = Hub::local(retain(10, 0), EpochSeed::from([1; 16]), move |name, at, _: &Bytes| {
        inner.1.fetch_add(1, Relaxed);
        let hub = inner.0.get().unwrap();
        assert_eq!(hub.topic(name).unwrap().position().unwrap().offset + 1, at.offset);
        at.offset
    });
    cell.set(hub.clone()).unwrap();
    let topic = hub.topic("t").unwrap();
    let mut subscribers: Vec<_> = (0..3).map(|_| Subscriber::new()).collect();
    subscribers.iter_mut().for_each(|subscriber| subscriber.join(&topic, Now, Leave));
    count(&topic, 1..=5);
    for subscriber in &mut subscribers {
        assert_eq!(std::iter::from_fn(|| subscriber.try_next()).skip(1).last(), Some(Delivery::Message(5)));
    }
    assert_eq!(made.load(Relaxed), 5);
}

#[test]
fn a_make_that_panics_leaves_the_topic_as_it_was() {
    let hub = Hub::local(retain(10, 0), EpochSeed::from([1; 16]), |_, at, payload: &Bytes| {
        assert!(!payload.is_empty());
        at.offset
    });
    let topic = hub.topic("t").unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| say(&topic, ""))).is_err());
    assert_eq!(hub.counters().bytes, 0);
    assert_eq!(say(&topic, "x").unwrap().offset, 1);
}

#[test]
fn the_log_holds_no_buffer_of_the_publisher() {
    let hub = Hub::local(retain(10, 0), EpochSeed::from([1; 16]), |_, _, payload: &Bytes| payload.clone());
    let topic = hub.topic("t").unwrap();
    let buffer = Bytes::from(vec![b'x'; 100_000]);
    now(topic.publish(None, buffer.slice(10..30), None)).unwrap();
    assert!(buffer.is_unique());
}

#[test]
fn all_can_be_sent_to_other_threads() {
    fn sent<T: Send + Sync>(_: &T) {}
    let hub = hub(retain(1, 0));
    let (topic, mut subscriber) = (hub.topic("t").unwrap(), Subscriber::<Said>::new());
    sent(&hub);
    sent(&topic);
    sent(&subscriber);
    fn moved(_: &impl Send) {}
    moved(&topic.publish(None, Bytes::new(), None));
    moved(&subscriber.next());
}
