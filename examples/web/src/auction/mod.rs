//! The lots: who bids most in ten minutes. Any number of nodes decide together, because each of them decides on its own
//! copy of a lot's log and appends its decision only if the log still stands there.
//!
//! | topic | its messages |
//! |---|---|
//! | `auction:LOT` | `{"price":N,"bidder":NAME,"id":X}` for each accepted bid; `{"over":N,"winner":NAME}` at the end |
//! | `auction:LOT:state` | how the lot stands, said again each minute, since old messages go |
//!
//! Each message has on its hidden first line how the lot stands after it, so the newest one is all that a node needs. It
//! goes when it is too old (5 minutes), so how a lot stands is kept in a second topic, with the position to which it belongs.
//! A lot's time begins with the first bid of a round. A new round begins at the price of the last one, because within an
//! epoch prices only rise.

mod desk;
mod lot;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openline_live::Hub;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::message::Item;
use crate::say::{PATIENCE, Refusal};
use crate::site::Site;
use desk::Desk;
pub use lot::{Lot, Phase};

/// How many lots there are: 1 to 5.
pub const LOTS: usize = 5;

/// All lots of this node.
pub struct Auction {
    desks: Vec<Mutex<Desk>>,
    started: (SystemTime, Instant),
}

/// A bid.
pub struct Bid<'a> {
    /// The socket.
    pub by: &'a str,
    /// The name that others see.
    pub bidder: &'a str,
    /// From 1 to 2^53 - 1.
    pub amount: u64,
    /// The client's name for the bid.
    pub id: Option<&'a str>,
}

/// What became of a bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the log.
    Accepted {
        /// Its amount.
        price: u64,
    },
    /// It was not more than the price, or came too late.
    Refused {
        /// How the lot stands.
        price: u64,
        /// The lot is over.
        over: bool,
    },
}

impl Auction {
    pub(crate) fn new(hub: &Hub<Item>) -> Auction {
        // A hub has room for these, since it is new.
        let desks = (1..=LOTS).filter_map(|lot| Desk::new(hub, lot).ok().map(Mutex::new)).collect();
        Auction { desks, started: (SystemTime::now(), Instant::now()) }
    }

    /// Bids. `lot` is 1 to 5.
    ///
    /// # Errors
    ///
    /// There is no such lot, the id belongs to another bid, or the engine is away.
    pub async fn bid(&self, site: &Site, lot: Option<usize>, bid: &Bid<'_>) -> Result<Verdict, Refusal> {
        let desk = lot.and_then(|lot| self.desks.get(lot.checked_sub(1)?));
        let desk = desk.ok_or_else(|| Refusal::Wrong(format!("the lots are 1 to {LOTS}")))?;
        let decided = async { desk.lock().await.bid(site, bid, || self.now()).await };
        timeout(PATIENCE, decided)
            .await
            .unwrap_or_else(|_| Err(Refusal::Retry("the lot is busy; the bid may have been accepted or not".into())))
    }

    /// Ends lots when their time is over, and keeps what old messages have told.
    pub(crate) async fn run(&self) {
        loop {
            for desk in &self.desks {
                // While the engine is away nothing can be decided; then the next round does it.
                drop(timeout(PATIENCE, async { desk.lock().await.look_after(self.now()).await }).await);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// How all lots stand, as JSON for the page: price, bidder, `open` or `over`, and the seconds until that changes.
    pub async fn describe(&self) -> serde_json::Value {
        let mut lots = Vec::new();
        for (index, desk) in self.desks.iter().enumerate() {
            let lot = match timeout(PATIENCE, desk.lock()).await {
                Ok(mut desk) => desk.read().clone(),
                Err(_) => continue,
            };
            let now = self.now();
            let seconds = |until: u64| until.saturating_sub(now).div_ceil(1000);
            let (over, seconds) = match lot.phase(now) {
                Phase::Waiting => (false, None),
                Phase::Open { ends } => (ends <= now, Some(seconds(ends))),
                Phase::Over { reopens } => (true, Some(seconds(reopens))),
            };
            lots.push(json!({
                "lot": index + 1, "price": lot.price, "bidder": lot.bidder, "over": over, "seconds": seconds,
            }));
        }
        lots.into()
    }

    /// Milliseconds since 1970. It never goes back.
    fn now(&self) -> u64 {
        let since_1970 = self.started.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        (since_1970 + self.started.1.elapsed()).as_millis() as u64
    }
}
