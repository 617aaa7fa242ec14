//! Thousands of topics at one subscriber, and thousands of subscribers of one topic: what each call costs, in steps of the
//! loops that [`steps`] counts, and that nothing is lost or mixed meanwhile.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;

use ::bytes::Bytes;

use super::*;
use crate::hub::Hub;
use crate::limits::Retain;
use crate::position::EpochSeed;
use crate::sync::steps;

mod bytes;

type Said = (Arc<str>, u64);
type ByTopic<T> = BTreeMap<Arc<str>, T>;

/// How many topics or subscribers there are. A step for each pair of them would be a million and more.
const MANY: usize = 2000;

fn make(name: &str, at: Position, _: &Bytes) -> Said {
    (name.into(), at.offset)
}

fn topics(hub: &Hub<Said>) -> Vec<Topic<Said>> {
    (0..MANY).map(|number| hub.topic(&format!("topic {number}")).unwrap()).collect()
}

fn local() -> Hub<Said> {
    Hub::local(Retain::default(), EpochSeed::from([7; 16]), make)
}

fn say<M>(topic: &Topic<M>) {
    let said = pin!(topic.publish(None, Bytes::new(), None)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(said, Poll::Ready(Ok(_))));
}

/// In an order that is far from that of the numbers.
fn shuffled(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| at * 1_000_003 % count)
}

/// No more than so many steps for each of the many.
fn costs<T>(each: u64, what: &str, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let took = steps(|| result = Some(run()));
    assert!(took <= each * MANY as u64, "{what}: {took} steps, {} for each", took / MANY as u64);
    result.unwrap()
}

/// What comes out now: answers and messages by topic.
fn read(subscriber: &mut Subscriber<Said>) -> (ByTopic<u32>, ByTopic<Vec<u64>>) {
    let (mut joined, mut said) = (ByTopic::new(), ByTopic::<Vec<_>>::new());
    while let Some(delivery) = subscriber.try_next() {
        match delivery {
            Delivery::Joined { topic, .. } => *joined.entry(topic).or_default() += 1,
            Delivery::Message((topic, offset)) => said.entry(topic).or_default().push(offset),
            other => panic!("{other:?}"),
        }
    }
    (joined, said)
}

#[test]
fn joins_moves_and_leaves_cost_the_same_however_many_topics_there_are() {
    let hub = local();
    let topics = topics(&hub);
    let mut subscriber = Subscriber::new();
    costs(30, "join", || topics.iter().for_each(|topic| subscriber.join(topic, Start::Now, Lag::Leave)));
    // Nobody takes an answer, so at last each replaces another one.
    costs(30, "move", || {
        (0..3).flat_map(|_| shuffled(MANY)).for_each(|at| subscriber.join(&topics[at], Start::Oldest, Lag::Leave));
    });
    assert_eq!(subscriber.aside.answers(), MANY + SPARE);
    // With answers that nobody has taken.
    let left = || shuffled(MANY).filter(|at| at % 2 == 0);
    costs(30, "leave", || left().for_each(|at| subscriber.leave(&topics[at])));
    assert_eq!(subscriber.topics(), MANY / 2);
    // All others have something to read, and each has it once.
    topics.iter().for_each(say);
    let (joined, said) = costs(30, "read", || read(&mut subscriber));
    assert!((0..MANY).all(|at| joined.contains_key(topics[at].name()) == (at % 2 == 1)));
    assert!((0..MANY).all(|at| said.get(topics[at].name()) == (at % 2 == 1).then_some(&vec![1])));
    // They leave while the bell has rung for them, and others come in their place, with something to read and without.
    topics.iter().for_each(say);
    costs(30, "leave with something to read", || {
        shuffled(MANY).filter(|at| at % 4 == 1).for_each(|at| subscriber.leave(&topics[at]));
        left().for_each(|at| {
            subscriber.join(&topics[at], if at % 4 == 0 { Start::Now } else { Start::Oldest }, Lag::Leave);
        });
    });
    let (joined, said) = costs(30, "read", || read(&mut subscriber));
    assert_eq!((joined.len(), said.len()), (MANY / 2, MANY / 2));
    assert!((0..MANY).filter(|at| at % 4 == 2).all(|at| said[topics[at].name()] == [1, 2]));
    assert!((0..MANY).filter(|at| at % 4 == 3).all(|at| said[topics[at].name()] == [2]));
    topics.iter().for_each(say);
    let (_, said) = read(&mut subscriber);
    assert!((0..MANY).all(|at| said.get(topics[at].name()) == (at % 4 != 1).then_some(&vec![3])));
    costs(30, "drop", || drop(subscriber));
    assert!(topics.iter().all(|topic| topic.subscribers() == 0));
}

/// Who comes and goes and never reads holds no more numbers than it has had cursors at a time.
#[test]
fn who_never_reads_fills_no_bell() {
    let hub = local();
    let topics = &topics(&hub)[..10];
    topics.iter().for_each(say);
    let mut subscriber = Subscriber::new();
    for _ in 0..100 {
        for topic in topics {
            subscriber.join(topic, Start::Oldest, Lag::Leave);
            subscriber.watch(topic);
        }
        topics.iter().for_each(|topic| (subscriber.leave(topic), subscriber.unwatch(topic)).0);
    }
    let mut numbers = 0;
    assert_eq!(steps(|| assert!(subscriber.try_next().is_none())), 2 * 10 + 1);
    topics.iter().for_each(|topic| subscriber.join(topic, Start::Oldest, Lag::Leave));
    while let Some(delivery) = subscriber.try_next() {
        numbers += u32::from(matches!(delivery, Delivery::Message(_)));
    }
    assert_eq!(numbers, 10);
}

/// All topics have something to read when they are left, in this order or in that, and are joined again. Nobody polls, and the
/// numbers of cursors that are gone do not gather.
#[test]
fn numbers_that_are_gone_do_not_gather() {
    let hub = local();
    let topics = topics(&hub);
    let mut subscriber = Subscriber::new();
    for round in 0..5 {
        costs(60, "join, say and leave", || {
            for topic in &topics {
                subscriber.join(topic, Start::Oldest, Lag::Skip);
                say(topic);
            }
            if round % 2 == 0 {
                topics.iter().for_each(|topic| subscriber.leave(topic));
            } else {
                shuffled(MANY).for_each(|at| subscriber.leave(&topics[at]));
            }
        });
    }
    assert!(steps(|| assert!(subscriber.try_next().is_none())) <= MANY as u64 + 1);
}

#[test]
fn watches_cost_the_same_however_many_there_are() {
    let hub = local();
    let topics = topics(&hub);
    let mut subscriber = Subscriber::new();
    costs(30, "watch", || topics.iter().for_each(|topic| subscriber.watch(topic)));
    costs(30, "begin anew", || shuffled(MANY).for_each(|at| subscriber.watch(&topics[at])));
    costs(30, "unwatch", || {
        shuffled(MANY).filter(|at| at % 2 == 0).for_each(|at| subscriber.unwatch(&topics[at]));
    });
    topics.iter().step_by(4).for_each(|topic| subscriber.watch(topic));
    hub.tick(crate::Time::from_epoch(std::time::Duration::from_secs(1)));
    let here = costs(30, "read", || {
        let next = || match subscriber.try_next()? {
            Delivery::Here { topic, .. } => Some(topic),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(next).collect::<Vec<_>>()
    });
    assert_eq!(here.len(), MANY / 4 * 3, "each once");
    let here: std::collections::BTreeSet<_> = here.into_iter().collect();
    assert!((0..MANY).all(|at| here.contains(topics[at].name()) == (at % 4 != 2)));
}

/// On a hub whose topics do not open, since nobody runs it.
#[cfg(feature = "tokio")]
#[test]
fn joins_that_wait_cost_the_same_however_many_there_are() {
    let hub = Hub::with(crate::Memory::new().node(), Retain::default(), EpochSeed::from([7; 16]), make);
    let topics = topics(&hub);
    let mut subscriber = Subscriber::new();
    let check = |subscriber: &mut Subscriber<Said>, expected| {
        let cursors = &mut subscriber.cursors;
        let counted: usize = topics.iter().fold(0, |sum, topic| {
            let number = cursors.find(Arc::as_ptr(&topic.0).addr());
            sum + number.and_then(|number| cursors.get_mut(number)).map_or(0, |cursor| cursor.place.waiting() as usize)
        });
        assert_eq!((subscriber.waiting as usize, counted), (expected, expected));
    };
    costs(30, "join", || topics.iter().for_each(|topic| subscriber.join(topic, Start::Now, Lag::Leave)));
    check(&mut subscriber, MANY);
    costs(30, "move", || {
        (0..3).flat_map(|_| shuffled(MANY)).for_each(|at| subscriber.join(&topics[at], Start::Now, Lag::Leave));
    });
    check(&mut subscriber, MANY + SPARE);
    costs(30, "leave", || topics[10..].iter().for_each(|topic| subscriber.leave(topic)));
    let counted = subscriber.waiting as usize;
    check(&mut subscriber, counted);
    assert!((10..=10 + SPARE).contains(&counted), "{counted}");
    topics[..10].iter().for_each(|topic| subscriber.leave(topic));
    check(&mut subscriber, 0);
}

/// 100,000 come and nearly all go, in any order. A message costs those who are there.
#[test]
fn a_crowd_that_has_gone_costs_nothing() {
    let topic = local().topic("t").unwrap();
    let join = |_| {
        let mut subscriber = Subscriber::new();
        subscriber.join(&topic, Start::Now, Lag::Leave);
        subscriber
    };
    let mut crowd: Vec<_> = (0..100_000).map(join).map(Some).collect();
    let mut present = crowd.len();
    for at in shuffled(100_000) {
        crowd[at] = None;
        present -= 1;
        if present.is_power_of_two() || present == 10 {
            let took = steps(|| say(&topic));
            assert!(took <= 2 * present as u64 + 2, "{took} steps for {present}");
        }
        if present == 10 {
            break;
        }
    }
    for subscriber in crowd.iter_mut().flatten() {
        let (_, said) = read(subscriber);
        // 65,536, 32,768, … 16, and 10.
        assert_eq!(said["t"].len(), 14);
    }
    // Newcomers fill the gaps.
    let mut late: Vec<_> = (0..1000).map(join).collect();
    let took = steps(|| say(&topic));
    assert!(took <= 2 * 1010 + 2, "{took}");
    assert!(late.iter_mut().chain(crowd.iter_mut().flatten()).all(|subscriber| read(subscriber).1["t"] == [15]));
}

/// The same for watchers, who go in the order in which they came: so a turn comes to a gap again and again.
#[test]
fn watchers_that_have_gone_cost_a_turn_nothing() {
    let hub = local();
    let topic = hub.topic("t").unwrap();
    let watch = |_| {
        let mut subscriber = Subscriber::<Said>::new();
        subscriber.watch(&topic);
        Some(subscriber)
    };
    let mut crowd: Vec<_> = (0..20_000).map(watch).collect();
    let last = crowd.len() - 1;
    crowd[1..last].iter_mut().for_each(|subscriber| *subscriber = None);
    let _ann = topic.enter("ann").unwrap();
    let took = steps(|| _ = hub.tick(crate::Time::from_epoch(std::time::Duration::from_secs(1))));
    assert!(took <= 100, "{took} steps for 2 watchers");
}
