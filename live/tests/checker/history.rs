//! What was seen in a run, in the order in which it was seen: by those who publish, by those who read, and what was done
//! to the machines meanwhile. Nothing here comes from inside a hub or an engine.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

use openline_live::{Lag, Position, PublishError, Start};

/// All of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(pub Vec<Event>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the run began.
    pub at: Duration,
    /// The number of the topic. Nothing for what concerns all.
    pub topic: Option<usize>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A publisher says a message at a node, or says it again.
    Says {
        node: usize,
        said: Said,
        id: Option<u64>,
        expect: Option<Position>,
    },
    /// The answer to the last `Says` of this message. `Unknown` also stands for an answer that never came.
    Answer {
        number: u64,
        answer: Result<Position, PublishError>,
    },
    /// A reader joins at a node.
    Join {
        reader: usize,
        node: usize,
        start: Start,
        lag: Lag,
    },
    Joined {
        reader: usize,
        at: Position,
        whole: bool,
    },
    Message {
        reader: usize,
        at: Position,
        words: Words,
    },
    Missed {
        reader: usize,
        count: u64,
    },
    Left {
        reader: usize,
    },
    /// The reader has gone, or was cut off, and sees nothing more of this topic until it joins again.
    Gone {
        reader: usize,
    },
    /// Something was done to a node, the engine or the network. `forgets`: the engine may have lost what it has answered
    /// to, so each topic may begin a new epoch.
    Fault {
        text: String,
        forgets: bool,
    },
    /// The last fault is over.
    Quiet,
    /// Where the engine's log stands after everybody had time enough.
    End {
        at: Position,
    },
}

/// A message: its number, which no other message of the run has, and what it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said {
    pub number: u64,
    pub deal: Deal,
}

/// What a message is made of when it is said once. Whoever says it again says it in other words under the same id, as a client
/// does that comes back under another name, and all read those that were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    pub said: Said,
    /// 0: for the first time.
    pub attempt: u64,
}

/// What a message decides about the lot that its topic is. Whoever decides has read the log up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deal {
    None,
    /// The price is this now. Bids rise.
    Bid(u64),
    /// The lot is sold for this price, once.
    Sold(u64),
}

impl Said {
    pub fn plain(number: u64) -> Said {
        Said { number, deal: Deal::None }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.deal {
            Deal::None => write!(f, "{}", self.number),
            Deal::Bid(price) => write!(f, "{} bid {price}", self.number),
            Deal::Sold(price) => write!(f, "{} sold {price}", self.number),
        }
    }
}

impl FromStr for Said {
    type Err = String;

    fn from_str(text: &str) -> Result<Said, String> {
        let wrong = || format!("no message: {text}");
        let number = |word: &str| word.parse().map_err(|_| wrong());
        match text.split(' ').collect::<Vec<_>>()[..] {
            [said] => Ok(Said::plain(number(said)?)),
            [said, "bid", price] => Ok(Said { number: number(said)?, deal: Deal::Bid(number(price)?) }),
            [said, "sold", price] => Ok(Said { number: number(said)?, deal: Deal::Sold(number(price)?) }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.attempt, self.said)
    }
}

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Words, String> {
        let (attempt, said) = text.split_once(": ").ok_or_else(|| format!("no words: {text}"))?;
        Ok(Words { said: said.parse()?, attempt: attempt.parse().map_err(|_| format!("no attempt: {attempt}"))? })
    }
}

impl History {
    /// A number that differs if anything differs.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.iter().for_each(|event| event.to_string().hash(&mut hasher));
        hasher.finish()
    }

    /// The events of a topic, and those that concern all, up to the one with this index. The last 250 of them.
    pub fn of(&self, topic: Option<usize>, last: usize) -> String {
        let concerns = |event: &&Event| topic.is_none() || event.topic.is_none() || event.topic == topic;
        let lines: Vec<_> = self.0.iter().take(last + 1).filter(concerns).map(Event::to_string).collect();
        lines[lines.len().saturating_sub(250)..].join("\n")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} ", self.at.as_secs_f64())?;
        if let Some(topic) = self.topic {
            write!(f, "topic {topic}: ")?;
        }
        match &self.what {
            What::Says { node, said, id, expect } => {
                write!(f, "at node {node} is said {said}")?;
                id.map_or(Ok(()), |id| write!(f, ", id {id}"))?;
                expect.map_or(Ok(()), |at| write!(f, ", expected {}", short(at)))
            }
            What::Answer { number, answer: Ok(at) } => write!(f, "{number} has {}", short(*at)),
            What::Answer { number, answer: Err(PublishError::Conflict(at)) } => {
                write!(f, "{number} conflicts with {}", short(*at))
            }
            What::Answer { number, answer: Err(error) } => write!(f, "{number}: {error:?}"),
            What::Join { reader, node, start, lag } => {
                write!(f, "reader {reader} joins at node {node}, ")?;
                match start {
                    Start::After(at) => write!(f, "after {}, {lag:?}", short(*at)),
                    start => write!(f, "{start:?}, {lag:?}"),
                }
            }
            What::Joined { reader, at, whole } => write!(f, "reader {reader} joined at {}, whole {whole}", short(*at)),
            What::Message { reader, at, words } => write!(f, "reader {reader} reads {} {words}", short(*at)),
            What::Missed { reader, count } => write!(f, "reader {reader} missed {count}"),
            What::Left { reader } => write!(f, "reader {reader} was let go"),
            What::Gone { reader } => write!(f, "reader {reader} is gone"),
            What::Fault { text, forgets } => write!(f, "## {text}{}", if *forgets { " (forgets)" } else { "" }),
            What::Quiet => f.write_str("## all faults are over"),
            What::End { at } => write!(f, "the log ends at {}", short(*at)),
        }
    }
}

/// The first and the last digits of the epoch, and the offset.
pub fn short(at: Position) -> String {
    let epoch = at.epoch.to_string();
    format!("{}{}:{}", &epoch[..4], &epoch[28..], at.offset)
}
