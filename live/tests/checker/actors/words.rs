//! What a subscriber gets, and what a client asks for, in one line of text for each.

use openline_live::{Delivery, Lag, Position, Start};

use crate::history::Words;

/// What a subscriber gets, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Joined { topic: usize, at: Position, whole: bool },
    Message { topic: usize, at: Position, words: Words },
    Missed { topic: usize, count: u64 },
    Left { topic: usize },
}

/// What hubs make of a message.
#[derive(Clone, Debug)]
pub struct Seen {
    pub topic: usize,
    pub at: Position,
    pub words: Words,
}

impl Heard {
    pub fn new(delivery: Delivery<Seen>) -> Heard {
        let topic = |name: &str| topic(name).unwrap();
        match delivery {
            Delivery::Joined { topic: name, at, whole } => Heard::Joined { topic: topic(&name), at, whole },
            Delivery::Message(Seen { topic, at, words }) => Heard::Message { topic, at, words },
            Delivery::Missed(gap) => Heard::Missed { topic: topic(&gap.topic), count: gap.count },
            Delivery::Left(name) => Heard::Left { topic: topic(&name) },
            _ => unreachable!("there are four"),
        }
    }

    pub fn topic(&self) -> usize {
        let (Heard::Joined { topic, .. }
        | Heard::Message { topic, .. }
        | Heard::Missed { topic, .. }
        | Heard::Left { topic }) = self;
        *topic
    }

    pub fn write(&self) -> String {
        let name = name(self.topic());
        match self {
            Heard::Joined { at, whole, .. } => format!("joined {name} {at} {whole}"),
            Heard::Message { at, words, .. } => format!("message {name} {at} {words}"),
            Heard::Missed { count, .. } => format!("missed {name} {count}"),
            Heard::Left { .. } => format!("left {name}"),
        }
    }

    pub fn read(text: &str) -> Option<Heard> {
        let mut words = text.splitn(4, ' ');
        let (kind, topic) = (words.next()?, topic(words.next()?)?);
        let (one, two) = (words.next(), words.next());
        Some(match kind {
            "joined" => Heard::Joined { topic, at: one?.parse().ok()?, whole: two?.parse().ok()? },
            "message" => Heard::Message { topic, at: one?.parse().ok()?, words: two?.parse().ok()? },
            "missed" => Heard::Missed { topic, count: one?.parse().ok()? },
            "left" => Heard::Left { topic },
            _ => return None,
        })
    }
}

/// How a client joins.
pub fn join(topic: usize, start: Start, lag: Lag) -> String {
    let start = match start {
        Start::Now => "now".to_owned(),
        Start::Oldest => "oldest".to_owned(),
        Start::After(at) => at.to_string(),
    };
    let lag = match lag {
        Lag::Skip => "skip",
        Lag::Latest => "latest",
        Lag::Leave => "leave",
    };
    format!("join {} {start} {lag}", name(topic))
}

/// The name of a topic, by its number.
pub fn name(topic: usize) -> String {
    format!("topic-{topic}")
}

pub fn topic(name: &str) -> Option<usize> {
    name.strip_prefix("topic-")?.parse().ok()
}

#[test]
fn what_is_written_is_read() {
    let at = Position { epoch: openline_live::Epoch::from_bytes([7; 16]), offset: 9 };
    let said = crate::history::Said { number: 3, deal: crate::history::Deal::Bid(4) };
    let (topic, words) = (1, Words { said, attempt: 2 });
    for heard in [
        Heard::Joined { topic, at, whole: true },
        Heard::Joined { topic, at, whole: false },
        Heard::Message { topic, at, words },
        Heard::Missed { topic, count: 5 },
        Heard::Left { topic },
    ] {
        assert_eq!(Heard::read(&heard.write()), Some(heard));
    }
}
