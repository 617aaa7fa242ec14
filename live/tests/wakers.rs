//! Wakers that use the hub when they are woken or dropped, as those of an executor do that frees a task with its last waker,
//! and wakers that panic.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::*;
use openline_live::Lag::Leave;
use openline_live::Start::Now;
use openline_live::{Subscriber, Topic};

/// A task that holds something of the hub. It is freed with its last waker.
struct Task(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(run) = self.0.lock().unwrap().take() {
            run();
        }
    }
}

fn task(run: impl FnOnce() + Send + 'static) -> Waker {
    Arc::new(Task(Mutex::new(Some(Box::new(run))))).into()
}

/// Runs it in a thread. It must end; the time only ends a test that hangs.
fn ends(what: &str, run: impl FnOnce() + Send + 'static) {
    let (say, hear) = channel();
    std::thread::spawn(move || {
        run();
        say.send(()).unwrap();
    });
    assert!(hear.recv_timeout(Duration::from_secs(20)).is_ok(), "{what} hangs");
}

fn joined(topic: &Topic<Said>) -> Subscriber<Said> {
    let mut subscriber = Subscriber::new();
    subscriber.join(topic, Now, Leave);
    subscriber
}

/// A task that waits with a subscriber holds somebody's presence. The subscriber is dropped elsewhere, and the task with it.
#[test]
fn a_subscriber_that_watches_is_dropped_with_the_last_waker_of_a_task_that_is_here() {
    ends("the drop", || {
        let topic = hub(retain(4, 4)).topic("t").unwrap();
        let mut subscriber = Subscriber::new();
        subscriber.watch(&topic);
        let ann = topic.enter("ann").unwrap();
        {
            let waker = task(move || drop(ann));
            while subscriber.poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        }
        drop(subscriber);
    });
}

/// The same with a reader, whose task looks at the topic.
#[test]
fn a_subscriber_that_reads_is_dropped_with_the_last_waker_of_a_task_that_reads() {
    ends("the drop", || {
        let topic = hub(retain(4, 4)).topic("t").unwrap();
        let mut subscriber = joined(&topic);
        let other = joined(&topic);
        {
            let topic = topic.clone();
            let waker = task(move || {
                drop(other);
                assert_eq!(topic.subscribers(), 0);
            });
            while subscriber.poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        }
        drop(subscriber);
    });
}

/// Leaving and unwatching drop no waker with a lock held.
#[test]
fn who_leaves_and_unwatches_drops_no_waker() {
    ends("the end", || {
        let topic = hub(retain(4, 4)).topic("t").unwrap();
        let mut subscriber = joined(&topic);
        subscriber.watch(&topic);
        {
            let (topic, ann) = (topic.clone(), topic.enter("ann").unwrap());
            let waker = task(move || {
                drop(ann);
                assert_eq!(topic.subscribers(), 0);
            });
            while subscriber.poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        }
        subscriber.leave(&topic);
        subscriber.unwatch(&topic);
        // Another task waits.
        assert!(subscriber.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(subscriber);
    });
}

/// How often a task has been woken. Those of an executor that is gone panic.
struct Counts {
    woken: AtomicU32,
    is_gone: bool,
}

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Relaxed);
        assert!(!self.is_gone, "this executor is gone");
    }
}

/// A crowd, more than are rung for at a time. The wakers of the first one and of each hundredth panic.
fn crowd() -> Vec<(Subscriber<Said>, Arc<Counts>)> {
    let counts = |number| Arc::new(Counts { woken: AtomicU32::new(0), is_gone: number % 100 == 0 });
    (0..1000).map(|number| (Subscriber::new(), counts(number))).collect()
}

/// All wait.
fn wait(crowd: &mut [(Subscriber<Said>, Arc<Counts>)]) {
    for (subscriber, counts) in crowd {
        let waker = Waker::from(Arc::clone(counts));
        while subscriber.poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        counts.woken.store(0, Relaxed);
    }
}

/// Whoever makes a waker panic sees that, and each of them has been woken once.
fn all_are_woken(crowd: &[(Subscriber<Said>, Arc<Counts>)], by: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(by)).is_err());
    assert!(crowd.iter().all(|(_, counts)| counts.woken.load(Relaxed) == 1));
}

/// A waker that panics harms its own task: a message wakes all other readers.
#[test]
fn a_readers_waker_that_panics_takes_no_other_wake_up_with_it() {
    let topic = hub(retain(4, 4)).topic("t").unwrap();
    let mut crowd = crowd();
    crowd.iter_mut().for_each(|(subscriber, _)| subscriber.join(&topic, Now, Leave));
    wait(&mut crowd);
    all_are_woken(&crowd, || _ = say(&topic, "1"));
    assert_eq!(topic.position().unwrap().offset, 1);
    assert!(crowd.iter_mut().all(|(subscriber, _)| all(subscriber) == ["1"]));
}

/// The same for a turn, which tells the watchers of several topics.
#[test]
fn a_watchers_waker_that_panics_takes_no_other_wake_up_with_it() {
    let hub = hub(retain(4, 4));
    let topics = ["a", "b", "c"].map(|name| hub.topic(name).unwrap());
    let mut crowd = crowd();
    // The first of each topic has a waker that panics.
    crowd.iter_mut().enumerate().for_each(|(number, (subscriber, _))| subscriber.watch(&topics[number / 400]));
    hub.tick(seconds(1));
    wait(&mut crowd);
    let _guards = topics.each_ref().map(|topic| topic.enter("ann").unwrap());
    all_are_woken(&crowd, || _ = hub.tick(seconds(2)));
    assert!(crowd.iter_mut().all(|(subscriber, _)| subscriber.try_next().is_some()));
}

/// The same for the nodes of an engine in memory.
#[cfg(feature = "tokio")]
#[test]
fn a_nodes_waker_that_panics_takes_no_other_wake_up_with_it() {
    use std::pin::pin;

    use openline_live::{Backplane, Memory};

    let memory = Memory::new();
    let nodes = [true, false, true, false].map(|is_gone| {
        let counts = Arc::new(Counts { woken: AtomicU32::new(0), is_gone });
        let node = memory.node();
        assert!(pin!(node.fed()).poll(&mut Context::from_waker(&Arc::clone(&counts).into())).is_pending());
        (node, counts)
    });
    assert!(catch_unwind(AssertUnwindSafe(|| memory.forget())).is_err());
    assert!(nodes.iter().all(|(_, counts)| counts.woken.load(Relaxed) == 1));
}
