//! What is counted against [`Limits::bytes`]: exactly what there is, never more than the limit for anybody who looks, and
//! nothing in the end.

use super::*;
use crate::error::PublishError;
use crate::id::Id;
use crate::limits::Limits;
use crate::snapshot::Snapshot;
use crate::sync::lock;

fn seconds(seconds: usize) -> crate::Time {
    crate::Time::from_epoch(std::time::Duration::from_secs(seconds as u64))
}

fn publish(topic: &Topic<Said>, id: Option<Id>, payload: Vec<u8>) -> Result<Position, PublishError> {
    match pin!(topic.publish(id, payload.into(), None)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(said) => said,
        Poll::Pending => panic!("a local hub keeps nobody waiting"),
    }
}

/// A number below this one, and one chance of so many.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }

    fn one_of(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// After this the topics' time is over, whatever was in them.
fn end(hub: &Hub<Said>, time: usize) {
    hub.tick(seconds(time + 10_000));
    hub.tick(seconds(time + 20_000));
    assert_eq!((hub.counters().topics, hub.counters().bytes), (0, 0));
}

fn limit(hub: &Hub<Said>, bytes: usize) {
    hub.set_limits(Limits { bytes, ..Limits::default() });
}

/// With messages that are too long, that are known already, for which older ones go, and for which there is no room; with
/// readers that lag, with sweeps and restarts.
#[test]
fn what_is_counted_is_what_there_is() {
    let (mut said, mut known, mut full, mut missed, mut left) = (0, 0, 0, 0, 0);
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut retain = Retain::default();
        (retain.messages, retain.bytes) = (random.below(20), 50 + random.below(400));
        (retain.slack_messages, retain.slack_bytes) = (random.below(20), random.below(400));
        let most = random.below(8_000);
        let mut hub = Hub::local(retain, EpochSeed::from([7; 16]), make);
        let (mut topics, mut subscribers) = (vec![], vec![]);
        let mut time = 0;
        for step in 0..3000 {
            if step == 0 || random.one_of(200) {
                let snapshot = Snapshot::from_bytes(&hub.snapshot().to_bytes()).unwrap();
                (missed, left) = (missed + hub.counters().missed, left + hub.counters().left);
                hub = Hub::restore(&snapshot, retain, EpochSeed::from([step as u8; 16]), seconds(time), make);
                limit(&hub, most);
                topics = (0..4).map(|number| hub.topic(&number.to_string()).unwrap()).collect();
                subscribers = (0..3).map(|_| Subscriber::new()).collect();
            }
            let (topic, subscriber) = (&topics[random.below(4)], &mut subscribers[random.below(3)]);
            match random.below(100) {
                0..70 => {
                    let id = random.one_of(3).then(|| random.below(60));
                    // Under one id nearly always the same message.
                    let len = id.filter(|_| !random.one_of(5)).unwrap_or_else(|| random.below(90));
                    let head = topic.position().unwrap().offset;
                    match publish(topic, id.map(|id| Id::new(&id.to_string())), vec![0; len]) {
                        Ok(at) if at.offset > head => said += 1,
                        Ok(_) => known += 1,
                        Err(PublishError::Full) => full += 1,
                        Err(PublishError::IdTaken | PublishError::TooLong) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                70..80 => {
                    let lag = [Lag::Skip, Lag::Latest, Lag::Leave][random.below(3)];
                    subscriber.join(topic, [Start::Now, Start::Oldest][random.below(2)], lag);
                }
                80..84 => subscriber.leave(topic),
                84..96 => _ = subscriber.try_next(),
                96..98 => *subscriber = Subscriber::new(),
                _ => {
                    time += random.below(200);
                    hub.tick(seconds(time));
                }
            }
            let counted = hub.counters().bytes;
            let weighs = |topic: &Topic<Said>| lock(&topic.0.state).log.weight() + lock(&topic.0.ids).weight();
            assert_eq!(counted, topics.iter().map(weighs).sum::<usize>(), "seed {seed}");
            assert!(counted <= most, "seed {seed}: {counted} of {most}");
        }
        drop((topics, subscribers));
        end(&hub, time);
    }
    assert!(
        said > 1000 && known > 100 && full > 100 && missed > 100 && left > 10,
        "{said} {known} {full} {missed} {left}"
    );
}

/// Three threads publish, read, lag and sweep, and a fourth one looks all the time.
#[test]
fn nobody_sees_more_than_the_limit() {
    let mut retain = Retain::default();
    (retain.messages, retain.slack_messages) = (8, 8);
    let hub = Hub::local(retain, EpochSeed::from([7; 16]), make);
    limit(&hub, 4000);
    let work = |seed| {
        let (mut random, mut subscriber, mut full) = (Random(seed), Subscriber::new(), 0);
        for number in 0..3000 {
            let topic = hub.topic(&random.below(3).to_string()).unwrap();
            let id = (number % 3 == 0).then(|| Id::new(&random.below(1000).to_string()));
            full += u32::from(publish(&topic, id, vec![0; random.below(1200)]) == Err(PublishError::Full));
            match random.below(5) {
                0 => subscriber.join(&topic, Start::Oldest, Lag::Skip),
                1 => subscriber.leave(&topic),
                _ => _ = subscriber.try_next(),
            }
            if number % 500 == 0 {
                hub.tick(seconds(number));
            }
        }
        assert!(full > 0, "the limit was reached");
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=3).map(|seed| scope.spawn(move || work(seed))).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            let counted = hub.0.shared.bytes.load(Relaxed);
            assert!(counted <= 4000, "{counted}");
        }
    });
    end(&hub, 3000);
}
