//! What the tests share.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use openline_live::{Delivery, EpochSeed, Hub, Position, PublishError, Retain, Subscriber, Time, Topic};

/// What subscribers get in these tests: offset and text.
pub type Said = (u64, String);

pub fn make(_: &str, at: Position, payload: &Bytes) -> Said {
    (at.offset, String::from_utf8_lossy(payload).into_owned())
}

pub fn retain(messages: usize, slack: usize) -> Retain {
    let mut retain = Retain::default();
    (retain.messages, retain.slack_messages) = (messages, slack);
    retain
}

pub fn hub(retain: Retain) -> Hub<Said> {
    Hub::local(retain, EpochSeed::from([7; 16]), make)
}

/// The value of a future that is ready at once.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a local hub keeps nobody waiting"),
    }
}

pub fn say<M>(topic: &Topic<M>, text: &str) -> Result<Position, PublishError> {
    now(topic.publish(None, Bytes::copy_from_slice(text.as_bytes()), None))
}

/// Says the numbers.
pub fn count<M>(topic: &Topic<M>, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        say(topic, &number.to_string()).unwrap();
    }
}

pub fn seconds(seconds: u64) -> Time {
    Time::from_epoch(Duration::from_secs(seconds))
}

/// A delivery in one word: `joined 5`, `joined 5 not whole`, `7`, `missed 3`, `left`.
pub fn word(delivery: Delivery<Said>) -> String {
    match delivery {
        Delivery::Joined { at, whole: true, .. } => format!("joined {}", at.offset),
        Delivery::Joined { at, whole: false, .. } => format!("joined {} not whole", at.offset),
        Delivery::Message((offset, text)) if text == offset.to_string() => text,
        Delivery::Message((offset, text)) => format!("{offset}={text}"),
        Delivery::Missed(gap) => format!("missed {}", gap.count),
        Delivery::Left(_) => "left".to_owned(),
        _ => unreachable!(),
    }
}

/// All that is there now.
pub fn all(subscriber: &mut Subscriber<Said>) -> Vec<String> {
    std::iter::from_fn(|| subscriber.try_next().map(word)).collect()
}
