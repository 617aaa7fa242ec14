//! Where one lot is decided on this node: the copy of its log, and what this node appends to it.

use openline_live::{Delivery, Epoch, Hub, Lag, Position, PublishError, Start, Subscriber, Topic, TopicError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::lot::{Decision, Lot};
use super::{Bid, Verdict};
use crate::message::{Head, Item, payload};
use crate::say::{Pause, Refusal, id, refusal};
use crate::site::Site;

/// One lot on this node. Who wants to decide something locks it.
pub(super) struct Desk {
    topic: Topic<Item>,
    reader: Subscriber<Item>,
    lot: Lot,
    /// The position of the message after which the lot stands so.
    of: Option<Position>,
    /// Where the log stands. `None`: the topic is not loaded yet.
    at: Option<Position>,
    /// As far as this the log is known to go. Nothing is decided before it has been read.
    reach: Option<Position>,
    records: Records,
}

/// The second topic of a lot: how the lot stands, for nodes that come when its last message has gone.
struct Records {
    topic: Topic<Item>,
    reader: Subscriber<Item>,
    newest: Option<Record>,
    at: Option<Position>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// Where the lot's log stood.
    at: String,
    lot: Lot,
    /// When it was said, in milliseconds since 1970.
    said: u64,
}

impl Desk {
    pub(super) fn new(hub: &Hub<Item>, lot: usize) -> Result<Desk, TopicError> {
        // Each message tells all, so the newest one is enough.
        let open = |name: String| {
            let topic = hub.topic(&name)?;
            let mut reader = Subscriber::new();
            reader.join(&topic, Start::Oldest, Lag::Latest);
            Ok((topic, reader))
        };
        let (topic, reader) = open(format!("auction:{lot}"))?;
        let (states, states_reader) = open(format!("auction:{lot}:state"))?;
        let records = Records { topic: states, reader: states_reader, newest: None, at: None };
        Ok(Desk { topic, reader, lot: Lot::default(), of: None, at: None, reach: None, records })
    }

    /// Reads what is there, and returns how the lot stands.
    pub(super) fn read(&mut self) -> &Lot {
        while let Some(delivery) = self.records.reader.try_next() {
            self.records.take(delivery);
        }
        while let Some(delivery) = self.reader.try_next() {
            self.take(delivery);
        }
        if self.of != self.at {
            // The message that told it has gone.
            self.lot = self.at.and_then(|at| self.records.lot(at)).unwrap_or_default();
            self.of = self.at;
        }
        &self.lot
    }

    /// Decides on a bid. It tries as long as the engine is away.
    pub(super) async fn bid(&mut self, site: &Site, bid: &Bid<'_>, now: impl Fn() -> u64) -> Result<Verdict, Refusal> {
        let message = json!({ "price": bid.amount, "bidder": bid.bidder, "id": bid.id }).to_string();
        // The bidder may have come back as another socket.
        let id = id(site, bid.id, &bid.amount.to_string());
        let accepted = Ok(Verdict::Accepted { price: bid.amount });
        let mut pause = Pause::default();
        loop {
            let judged = self.ready().await.judge(now(), bid.amount, bid.bidder);
            let refused = Ok(Verdict::Refused { price: self.lot.price, over: judged == Decision::Over });
            let (lot, expect) = match judged {
                Decision::End(lot) => {
                    match self.end(lot).await {
                        Err(Refusal::Retry(_)) => pause.wait().await,
                        ended => ended?,
                    }
                    continue;
                }
                Decision::Accept(lot) => (lot, self.at),
                _ if bid.id.is_none() => return refused,
                // Perhaps the same bid was accepted before. The log knows, so it is asked to append at a place where no
                // log ever stands: a known id is looked at first.
                _ => (self.lot.clone(), Some(nowhere())),
            };
            let state = state(&lot)?;
            let head = Head { by: bid.by.into(), state: Some(&state) };
            match self.topic.publish(Some(id), payload(&head, &message), expect).await {
                Ok(at) => {
                    self.reach = Some(at);
                    return accepted;
                }
                Err(PublishError::Conflict(_)) if expect == Some(nowhere()) => return refused,
                Err(PublishError::Conflict(at)) => self.reach = Some(at),
                Err(PublishError::Unknown | PublishError::Failed) => pause.wait().await,
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    /// Says that the lot is over if its time is, and how it stands if that has not been said for a minute.
    pub(super) async fn look_after(&mut self, now: u64) -> Result<(), Refusal> {
        if let Some(ended) = self.ready().await.end(now) {
            self.end(ended).await?;
        }
        match self.at.filter(|at| at.offset > 0 && self.records.is_old(now)) {
            Some(at) => self.records.say(at, &self.lot, now).await,
            None => Ok(()),
        }
    }

    async fn end(&mut self, ended: Lot) -> Result<(), Refusal> {
        let message = json!({ "over": ended.price, "winner": ended.bidder }).to_string();
        let state = state(&ended)?;
        let head = Head { by: SERVER.into(), state: Some(&state) };
        match self.topic.publish(None, payload(&head, &message), self.at).await {
            Ok(at) | Err(PublishError::Conflict(at)) => {
                self.reach = Some(at);
                Ok(())
            }
            Err(error) => Err(refusal(error)),
        }
    }

    /// Waits until both topics are loaded and read as far as the log is known to go.
    async fn ready(&mut self) -> &Lot {
        while self.records.at.is_none() {
            let delivery = self.records.reader.next().await;
            self.records.take(delivery);
        }
        self.read();
        while self.is_behind() {
            let delivery = self.reader.next().await;
            self.take(delivery);
        }
        self.reach = None;
        self.read()
    }

    fn is_behind(&self) -> bool {
        let Some(at) = self.at else { return true };
        self.reach.is_some_and(|reach| at.epoch != reach.epoch || at.offset < reach.offset)
    }

    fn take(&mut self, delivery: Delivery<Item>) {
        match delivery {
            // What is kept follows at once. Another epoch than the one to reach may have begun meanwhile.
            Delivery::Joined { at, .. } => (self.at, self.reach) = (Some(at), None),
            Delivery::Message(item) => {
                let at = item.at();
                // A message that tells nothing changes nothing.
                if let Some(lot) = item.head().and_then(|head| serde_json::from_str(head.state?.get()).ok()) {
                    self.lot = lot;
                }
                self.of = Some(at);
                if self.at.is_none_or(|before| before.epoch != at.epoch || before.offset < at.offset) {
                    self.at = Some(at);
                }
            }
            _ => {}
        }
    }
}

impl Records {
    fn take(&mut self, delivery: Delivery<Item>) {
        match delivery {
            Delivery::Joined { at, .. } => self.at = Some(at),
            Delivery::Message(item) => {
                self.at = Some(item.at());
                self.newest = item.head().and_then(|head| serde_json::from_str(head.state?.get()).ok());
            }
            _ => {}
        }
    }

    /// How the lot stands at this position.
    fn lot(&self, at: Position) -> Option<Lot> {
        self.newest.as_ref().filter(|record| record.at == at.to_string()).map(|record| record.lot.clone())
    }

    fn is_old(&self, now: u64) -> bool {
        self.newest.as_ref().is_none_or(|record| now.saturating_sub(record.said) >= REFRESH)
    }

    /// Of several nodes, one does it.
    async fn say(&mut self, at: Position, lot: &Lot, now: u64) -> Result<(), Refusal> {
        let state = state(&Record { at: at.to_string(), lot: lot.clone(), said: now })?;
        let head = Head { by: SERVER.into(), state: Some(&state) };
        match self.topic.publish(None, payload(&head, &json!({ "at": at.to_string() }).to_string()), self.at).await {
            Ok(_) | Err(PublishError::Conflict(_)) => Ok(()),
            Err(error) => Err(refusal(error)),
        }
    }
}

fn state(state: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    to_raw_value(state).map_err(|error| Refusal::Wrong(error.to_string()))
}

/// Who says what no client says.
const SERVER: &str = "server";
/// How often it is said how a lot stands, in milliseconds. Messages are kept for 5 minutes.
const REFRESH: u64 = 60_000;
/// No log ever stands here.
fn nowhere() -> Position {
    Position { epoch: Epoch::from_bytes([0; 16]), offset: u64::MAX }
}
