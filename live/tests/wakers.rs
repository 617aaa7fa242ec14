//! Wakers that use the hub when they are woken or dropped, as those of an executor do that frees a task with its last waker.

mod common;

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
