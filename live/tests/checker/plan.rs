//! What a seed decides before a run begins: how many there are of each, how much is kept, and what will break.

use std::time::Duration;

use openline_live::Retain;

use crate::rng::Rng;

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    pub topics: usize,
    /// So many topics, the last ones, are lots, in which only deciders speak.
    pub lots: usize,
    pub readers: usize,
    pub publishers: usize,
    pub deciders: usize,
    pub retain: Retain,
    /// Age or room may let go of messages before there are too many.
    pub short: bool,
    /// How many bytes a hub has for all topics.
    pub room: usize,
    /// Until the last fault is over.
    pub chaos: Duration,
    /// Milliseconds between two messages of a publisher, at most.
    pub pace: u64,
    pub net: Net,
    pub faults: Vec<Fault>,
    /// Milliseconds between two faults, at most.
    pub every: u64,
    /// After the last fault each node says something in each topic. Otherwise nothing new tells what was lost before.
    pub probes: bool,
    /// The engine is `Memory`, without a network.
    pub memory: bool,
    pub plant: Option<Plant>,
}

/// What can happen to a call or a message on its way, in so many of a thousand cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Net {
    pub not_sent: u64,
    pub request_lost: u64,
    pub answer_lost: u64,
    /// It takes seconds.
    pub slow: u64,
    pub fed_twice: u64,
    /// `Stale` comes instead of a message, or beside it.
    pub stale: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillNode,
    PauseNode,
    CutLink,
    /// It loses what it has answered to last, or everything, and takes a while to come back.
    KillEngine,
    /// Nobody runs the hub for a while.
    StopRun,
    /// Another server takes over, which has everything.
    Failover,
    PauseEngine,
    FlushEngine,
}

/// Something wrong that a run must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The engine answers before it appends.
    AckBeforeAppend,
    /// An engine that has lost its tail goes on in the same epoch.
    SameEpoch,
    /// One message less is kept than was asked for.
    KeepsOneLess,
    /// Nobody is told that the feed was cut.
    CutUnnoticed,
    /// An id that is known is answered, whatever the message is.
    IdsSwallow,
    IdsForgotten,
    /// A message that is said again is fed again, in its new words.
    FedAgain,
    ExpectIgnored,
    /// An offset is given to two messages.
    OffsetTwice,
    /// A page has a gap.
    PageLacksOne,
    /// A message that was appended is said to be refused.
    FailedIsAppended,
    /// A publisher says its message again without its id.
    RetryWithoutId,
    /// Deciders do not say where they expect the log to stand.
    DecidesBlindly,
}

impl Plan {
    pub fn new(seed: u64, plant: Option<Plant>) -> Plan {
        let rng = &mut Rng::new(seed, "plan");
        let mut retain = Retain::default();
        retain.messages = rng.pick(&[1, 2, 5, 20, 256, 1000]);
        retain.slack_messages = rng.pick(&[0, 3, 30, 4096]);
        let ages = rng.chance(120);
        if ages {
            (retain.age, retain.linger) = (rng.millis(500..6_000), rng.millis(100..3_000));
        }
        let room = if rng.chance(60) { rng.within(500..8_000) as usize } else { 256 << 20 };
        let all = [
            Fault::KillNode,
            Fault::PauseNode,
            Fault::CutLink,
            Fault::KillEngine,
            Fault::Failover,
            Fault::PauseEngine,
            Fault::FlushEngine,
            Fault::StopRun,
        ];
        // Few kinds at a time, so that one of them does not always cover up for another.
        let kinds = rng.below(4);
        let mut faults: Vec<_> = (0..kinds).map(|_| rng.pick(&all)).collect();
        // Now and then so bad that nearly nothing works.
        let mut rate: fn(&mut Rng, u64) -> u64 = |rng, most| match rng.below(10) {
            0 => rng.within(most..most * 4),
            1..4 => rng.within(1..most),
            _ => 0,
        };
        let memory = plant.is_none() && rng.chance(80);
        if memory {
            let without = [Fault::KillNode, Fault::PauseNode, Fault::FlushEngine, Fault::StopRun];
            faults.retain(|fault| without.contains(fault));
            rate = |_, _| 0;
        }
        let mut rate = |most| rate(rng, most);
        let net = Net {
            not_sent: rate(60),
            request_lost: rate(60),
            answer_lost: rate(150),
            slow: rate(100),
            fed_twice: rate(200),
            stale: rate(100),
        };
        let topics = 1 + rng.below(3);
        let lots = rng.below(2).min(topics);
        Plan {
            seed,
            nodes: 1 + rng.below(4),
            topics,
            lots,
            readers: 1 + rng.below(6),
            publishers: 1 + rng.below(4),
            deciders: lots * rng.below(4),
            retain,
            short: ages || room < 256 << 20,
            room,
            chaos: rng.millis(3_000..30_000),
            pace: rng.pick(&[5, 50, 400, 2_000]),
            net,
            every: rng.pick(&[300, 2_000, 8_000]),
            // Who holds messages of a log that was flushed learns of it by the next one only.
            probes: faults.contains(&Fault::FlushEngine) || rng.chance(500),
            faults,
            memory,
            plant,
        }
    }

    pub fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }
}
