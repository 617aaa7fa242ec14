//! Publishers, subscribers and those who leave, under loom: in every order in which their threads may run, no wake-up is
//! lost. If one were, a thread would wait for ever, and loom reports that as a deadlock. `.ci/run` has the command.

#![cfg(openline_loom)]

mod common;

use std::future::poll_fn;

use common::*;
use loom::future::block_on;
use loom::sync::{Arc, Mutex};
use loom::thread;
use openline_live::Lag::Leave;
use openline_live::Start::{Now, Oldest};
use openline_live::{Delivery, Subscriber};

/// Explores the orders with up to three preemptions, which is where such mistakes show.
fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

/// Waits for this many messages.
fn read(subscriber: &mut Subscriber<Said>, count: usize) -> Vec<u64> {
    let mut offsets = vec![];
    while offsets.len() < count {
        match block_on(subscriber.next()) {
            Delivery::Message((offset, _)) => offsets.push(offset),
            Delivery::Joined { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    offsets
}

#[test]
fn a_reader_wakes_for_each_message() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let mut reader = Subscriber::new();
        reader.join(&topic, Now, Leave);
        let reading = thread::spawn(move || read(&mut reader, 2));
        count(&topic, 1..=2);
        assert_eq!(reading.join().unwrap(), [1, 2]);
    });
}

#[test]
fn a_reader_of_two_topics_wakes_for_both() {
    model(|| {
        let hub = hub(retain(4, 4));
        let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
        let mut reader = Subscriber::new();
        reader.join(&one, Now, Leave);
        reader.join(&two, Now, Leave);
        let reading = thread::spawn(move || read(&mut reader, 2));
        let saying = thread::spawn(move || count(&one, 1..=1));
        count(&two, 1..=1);
        saying.join().unwrap();
        assert_eq!(reading.join().unwrap(), [1, 1]);
    });
}

#[test]
fn two_publishers_make_one_order() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let mut reader = Subscriber::new();
        reader.join(&topic, Now, Leave);
        let other = topic.clone();
        let saying = thread::spawn(move || say(&other, "a").unwrap().offset);
        let mut said = vec![say(&topic, "b").unwrap().offset];
        assert_eq!(read(&mut reader, 2), [1, 2]);
        said.push(saying.join().unwrap());
        said.sort_unstable();
        assert_eq!(said, [1, 2]);
    });
}

#[test]
fn who_leaves_takes_no_wake_up_with_it() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let (mut first, mut reader) = (Subscriber::new(), Subscriber::new());
        first.join(&topic, Now, Leave);
        reader.join(&topic, Now, Leave);
        let saying = topic.clone();
        let saying = thread::spawn(move || count(&saying, 1..=1));
        // The other's place is free now, and is taken again.
        let leaving = topic.clone();
        let leaving = thread::spawn(move || {
            drop(first);
            let mut late = Subscriber::new();
            late.join(&leaving, Oldest, Leave);
            read(&mut late, 1)
        });
        assert_eq!(read(&mut reader, 1), [1]);
        assert_eq!(leaving.join().unwrap(), [1]);
        saying.join().unwrap();
        drop(reader);
        assert_eq!((topic.subscribers(), hub.counters().messages), (0, 1));
    });
}

#[test]
fn a_number_that_waits_in_the_bell_rings_for_who_takes_it_over() {
    model(|| {
        let hub = hub(retain(4, 4));
        let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
        let mut reader = Subscriber::new();
        reader.join(&one, Now, Leave);
        let saying = (one.clone(), two.clone());
        let saying = thread::spawn(move || {
            count(&saying.0, 1..=1);
            count(&saying.1, 1..=1);
        });
        // It leaves before the bell rings for it or afterwards, and the next cursor has its number.
        reader.leave(&one);
        reader.join(&two, Oldest, Leave);
        assert_eq!(read(&mut reader, 1), [1]);
        saying.join().unwrap();
        count(&two, 2..=2);
        assert_eq!(read(&mut reader, 1), [2]);
        assert_eq!(reader.try_next(), None);
    });
}

/// The names that are here, after so many news.
fn see(watcher: &mut Subscriber<Said>, names: &[&str]) {
    let mut here = std::collections::BTreeSet::new();
    while !here.iter().map(|name: &std::sync::Arc<str>| &**name).eq(names.iter().copied()) {
        match block_on(watcher.next()) {
            Delivery::Here { names, .. } => here = names.iter().cloned().collect(),
            Delivery::Changed { joined, gone, .. } => {
                here.extend(joined.iter().cloned());
                gone.iter().for_each(|name| assert!(here.remove(name)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_watcher_wakes_for_who_came_before_the_turn() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let (coming, watching) = (topic.clone(), topic.clone());
        let watching = thread::spawn(move || {
            let mut watcher = Subscriber::new();
            watcher.watch(&watching);
            see(&mut watcher, &["ann"]);
        });
        let coming = thread::spawn(move || coming.enter("ann").unwrap());
        // The turn may be before her, and then another one comes.
        hub.tick(seconds(1));
        let ann = coming.join().unwrap();
        hub.tick(seconds(2));
        watching.join().unwrap();
        drop(ann);
    });
}

#[test]
fn a_guard_that_goes_during_a_turn_lingers_and_goes() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let ann = topic.enter("ann").unwrap();
        let mut watcher = Subscriber::new();
        watcher.watch(&topic);
        see(&mut watcher, &["ann"]);
        let leaving = thread::spawn(move || drop(ann));
        let watching = thread::spawn(move || see(&mut watcher, &[]));
        hub.tick(seconds(1));
        leaving.join().unwrap();
        hub.tick(seconds(2));
        assert_eq!(topic.present(), 1);
        hub.tick(seconds(32));
        watching.join().unwrap();
        assert_eq!(topic.present(), 0);
    });
}

#[test]
fn who_watches_no_more_takes_no_wake_up_with_it() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let (mut first, mut watcher) = (Subscriber::<Said>::new(), Subscriber::new());
        first.watch(&topic);
        watcher.watch(&topic);
        see(&mut watcher, &[]);
        let ann = topic.enter("ann").unwrap();
        let leaving = thread::spawn(move || drop(first));
        let watching = thread::spawn(move || see(&mut watcher, &["ann"]));
        hub.tick(seconds(1));
        leaving.join().unwrap();
        watching.join().unwrap();
        drop(ann);
    });
}

#[test]
fn who_moves_its_cursor_hears_of_what_comes_then() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let mut reader = Subscriber::new();
        reader.join(&topic, Now, Leave);
        let saying = topic.clone();
        let saying = thread::spawn(move || count(&saying, 1..=2));
        reader.join(&topic, Oldest, Leave);
        assert_eq!(read(&mut reader, 2), [1, 2]);
        saying.join().unwrap();
        assert_eq!(reader.try_next(), None);
    });
}

#[test]
fn a_reader_that_moves_to_another_task_wakes_there() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let mut reader = Subscriber::new();
        reader.join(&topic, Now, Leave);
        let saying = topic.clone();
        let saying = thread::spawn(move || count(&saying, 1..=2));
        // Each of these is a task of its own, which is over before the next one begins.
        assert_eq!(read(&mut reader, 1), [1]);
        assert_eq!(reader.try_next().map(word).unwrap_or_else(|| word(block_on(reader.next()))), "2");
        saying.join().unwrap();
        assert_eq!(reader.try_next(), None);
    });
}

/// Whoever is there throughout is rung for, though gaps before its seat grow to both sides while a publisher is between two
/// groups, of one seat each here. So is who comes in the meantime.
#[test]
fn a_reader_behind_a_gap_that_grows_to_both_sides_wakes() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let mut crowd = [(); 4].map(|()| Subscriber::new());
        crowd.iter_mut().for_each(|subscriber| subscriber.join(&topic, Now, Leave));
        let [zero, one, two, mut reader] = crowd;
        let saying = topic.clone();
        let saying = thread::spawn(move || count(&saying, 1..=1));
        let leaving = topic.clone();
        let leaving = thread::spawn(move || {
            drop(one);
            drop(zero);
            drop(two);
            let mut late = Subscriber::new();
            late.join(&leaving, Oldest, Leave);
            late
        });
        assert_eq!(read(&mut reader, 1), [1]);
        let mut late = leaving.join().unwrap();
        saying.join().unwrap();
        assert_eq!(read(&mut late, 1), [1]);
    });
}

/// The same where the gap grows to the right, and all its places are taken again and one more.
#[test]
fn a_reader_behind_a_gap_that_is_filled_again_wakes() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let mut crowd = [(); 3].map(|()| Subscriber::new());
        crowd.iter_mut().for_each(|subscriber| subscriber.join(&topic, Now, Leave));
        let [zero, one, mut reader] = crowd;
        let saying = topic.clone();
        let saying = thread::spawn(move || count(&saying, 1..=1));
        let leaving = topic.clone();
        let leaving = thread::spawn(move || {
            drop(zero);
            drop(one);
            let mut late = [(); 3].map(|()| Subscriber::new());
            late.iter_mut().for_each(|subscriber| subscriber.join(&leaving, Oldest, Leave));
            late
        });
        assert_eq!(read(&mut reader, 1), [1]);
        let late = leaving.join().unwrap();
        saying.join().unwrap();
        for mut late in late {
            assert_eq!(read(&mut late, 1), [1]);
        }
    });
}

/// The number of a watch goes to the next one, too, before a turn rings for the old one or afterwards.
#[test]
fn a_watch_that_takes_a_number_over_is_told() {
    model(|| {
        let hub = hub(retain(4, 4));
        let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
        let (ann, bob) = (one.enter("ann").unwrap(), two.enter("bob").unwrap());
        let mut watcher = Subscriber::new();
        watcher.watch(&one);
        let turning = hub.clone();
        let turning = thread::spawn(move || _ = turning.tick(seconds(1)));
        watcher.unwatch(&one);
        watcher.watch(&two);
        turning.join().unwrap();
        hub.tick(seconds(2));
        see(&mut watcher, &["bob"]);
        drop((ann, bob));
    });
}

/// One task waits with a subscriber that lies behind a lock. Another one takes what is there and joins a topic: the first
/// hears of that.
#[test]
fn a_task_that_waits_hears_of_what_another_one_has_joined() {
    model(|| {
        let hub = hub(retain(4, 4));
        let (one, two) = (hub.topic("one").unwrap(), hub.topic("two").unwrap());
        let mut subscriber = Subscriber::new();
        subscriber.join(&one, Now, Leave);
        // Its answer.
        assert!(subscriber.try_next().is_some());
        let shared = Arc::new(Mutex::new(subscriber));
        let (joining, topics) = (Arc::clone(&shared), (one.clone(), two.clone()));
        let joining = thread::spawn(move || {
            let mut subscriber = joining.lock().unwrap();
            _ = subscriber.try_next();
            subscriber.leave(&topics.0);
            subscriber.join(&topics.1, Oldest, Leave);
        });
        let saying = thread::spawn(move || {
            count(&one, 1..=1);
            count(&two, 1..=1);
        });
        let next = || block_on(poll_fn(|cx| shared.lock().unwrap().poll_next(cx)));
        // The message of topic one may come or not. That of topic two comes after the answer to its join.
        while !matches!(next(), Delivery::Joined { .. }) {}
        assert!(matches!(next(), Delivery::Message((1, _))));
        saying.join().unwrap();
        joining.join().unwrap();
    });
}

/// A subscriber is dropped while it is rung for by a message and by a turn.
#[test]
fn who_is_dropped_while_it_is_rung_for_harms_nobody() {
    model(|| {
        let hub = hub(retain(4, 4));
        let topic = hub.topic("t").unwrap();
        let (mut gone, mut reader) = (Subscriber::new(), Subscriber::new());
        gone.join(&topic, Now, Leave);
        gone.watch(&topic);
        reader.join(&topic, Now, Leave);
        let saying = topic.clone();
        let saying = thread::spawn(move || count(&saying, 1..=1));
        let dropping = thread::spawn(move || drop(gone));
        hub.tick(seconds(1));
        assert_eq!(read(&mut reader, 1), [1]);
        dropping.join().unwrap();
        saying.join().unwrap();
        assert_eq!(topic.subscribers(), 1);
    });
}

/// With the feature `tokio`: a topic opens while somebody joins it, and the hub sleeps before the first join.
#[cfg(feature = "tokio")]
mod opening {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;

    use openline_live::{
        Announce, Append, Away, Backplane, Epoch, EpochSeed, Fed, Hub, Lease, NodeId, Page, Position, Present,
        PublishError, Retain,
    };

    use super::*;

    /// It answers at once, and has no locks that loom does not know.
    struct Empty;

    impl Backplane for Empty {
        async fn append(&self, _: Append) -> Result<Position, PublishError> {
            Err(PublishError::Failed)
        }

        async fn after(&self, _: Arc<str>, _: Option<Position>, _: usize, epoch: Epoch) -> Result<Page, Away> {
            Ok(Page { at: Position { epoch, offset: 0 }, messages: vec![] })
        }

        async fn interest(&self, _: Vec<Arc<str>>, _: Vec<Arc<str>>) -> Result<(), Away> {
            Ok(())
        }

        async fn fed(&self) -> Fed {
            pending().await
        }

        async fn lease(&self, _: NodeId, _: Duration) -> Result<Lease, Away> {
            Err(Away)
        }

        async fn announce(&self, _: Announce) -> Result<(), Away> {
            Err(Away)
        }

        async fn here(&self, _: Arc<str>) -> Result<Vec<Present>, Away> {
            Err(Away)
        }
    }

    #[test]
    fn who_joins_while_a_topic_opens_is_answered() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _inside = runtime.enter();
            let hub = Hub::with(Empty, Retain::default(), EpochSeed::from([7; 16]), make);
            let topic = hub.topic("t").unwrap();
            let (joining, other) = (topic.clone(), topic.clone());
            let joined = |topic| {
                let mut reader = Subscriber::new();
                reader.join(&topic, Now, Leave);
                assert!(matches!(block_on(reader.next()), Delivery::Joined { whole: true, .. }));
            };
            let first = thread::spawn(move || joined(joining));
            let second = thread::spawn(move || joined(other));
            // It runs until the topic is open, which nobody but the first join makes it wake up for.
            let mut running = pin!(hub.run());
            block_on(poll_fn(|cx| {
                assert!(running.as_mut().poll(cx).is_pending());
                if topic.position().is_some() { Poll::Ready(()) } else { Poll::Pending }
            }));
            first.join().unwrap();
            second.join().unwrap();
        });
    }
}
