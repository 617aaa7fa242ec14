//! One lot: how it stands, and what a bid or the time does to it. Nothing here knows logs or clocks.
//!
//! ```text
//!            first bid              time is over           a minute later
//!  Waiting ────────────▶ Open ────────────────────▶ Over ────────────────▶ Waiting
//!                        │ ▲
//!                        └─┘ a higher bid
//! ```

use serde::{Deserialize, Serialize};

/// How a lot stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The highest bid, 0 at first.
    pub price: u64,
    /// Who has made it.
    pub bidder: Option<String>,
    phase: Phase,
}

/// Where a lot is in its round. Times are in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Bids are taken, and the first one begins the round.
    #[default]
    Waiting,
    /// Bids are taken.
    Open {
        /// When the round is over.
        ends: u64,
    },
    /// No bids are taken.
    Over {
        /// When bids are taken again.
        reopens: u64,
    },
}

/// What is to be done. The lot is how it stands afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The bid is accepted, once it is in the log.
    Accept(Lot),
    /// The lot's time is over. That goes into the log first; then the bid is judged anew.
    End(Lot),
    /// The bid is too low.
    Low,
    /// The lot is over.
    Over,
}

impl Lot {
    /// Where it is now. The end of a lot is not the time, but the message that says so.
    #[must_use]
    pub fn phase(&self, now: u64) -> Phase {
        match self.phase {
            Phase::Over { reopens } if now >= reopens => Phase::Waiting,
            phase => phase,
        }
    }

    /// Judges a bid.
    #[must_use]
    pub fn judge(&self, now: u64, amount: u64, bidder: &str) -> Decision {
        let accept = |ends| {
            if amount <= self.price {
                return Decision::Low;
            }
            Decision::Accept(Lot { price: amount, bidder: Some(bidder.to_owned()), phase: Phase::Open { ends } })
        };
        match (self.end(now), self.phase(now)) {
            (Some(ended), _) => Decision::End(ended),
            (None, Phase::Waiting) => accept(now.saturating_add(LASTS)),
            (None, Phase::Open { ends }) => accept(ends),
            (None, Phase::Over { .. }) => Decision::Over,
        }
    }

    /// How it stands after its end, if its time is over and nobody has said so.
    #[must_use]
    pub fn end(&self, now: u64) -> Option<Lot> {
        match self.phase {
            Phase::Open { ends } if now >= ends => {
                // Counted from when it is said: if all nodes were down at the time, there is still a minute to see it.
                Some(Lot { phase: Phase::Over { reopens: now.saturating_add(CLOSED) }, ..self.clone() })
            }
            _ => None,
        }
    }
}

/// Ten minutes.
const LASTS: u64 = 600_000;
/// One minute.
const CLOSED: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lot: &Lot, now: u64, amount: u64) -> Lot {
        match lot.judge(now, amount, "ann") {
            Decision::Accept(lot) => lot,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_higher_bid_is_accepted() {
        let lot = after(&Lot::default(), 0, 5);
        assert_eq!((lot.price, lot.bidder.as_deref()), (5, Some("ann")));
        assert_eq!(lot.judge(1, 5, "bob"), Decision::Low);
        assert_eq!(lot.judge(1, 4, "bob"), Decision::Low);
        assert_eq!(after(&lot, 1, 6).price, 6);
    }

    #[test]
    fn ten_minutes_from_the_first_bid_and_a_minute_closed() {
        let (first, second) = (1_000_000, 1_300_000);
        let lot = after(&after(&Lot::default(), first, 5), second, 6);
        assert_eq!(lot.end(first + LASTS - 1), None);
        let ended = lot.end(first + LASTS).unwrap();
        assert_eq!(lot.judge(first + LASTS, 7, "bob"), Decision::End(ended.clone()));
        assert_eq!((ended.price, ended.bidder.as_deref()), (6, Some("ann")));
        assert_eq!(ended.judge(first + LASTS + CLOSED - 1, 7, "bob"), Decision::Over);
        // A new round, in which prices go on rising.
        let reopened = first + LASTS + CLOSED;
        assert_eq!(ended.judge(reopened, 6, "bob"), Decision::Low);
        let again = after(&ended, reopened + 5000, 7);
        assert_eq!(again.phase(reopened), Phase::Open { ends: reopened + 5000 + LASTS });
        assert_eq!(again.end(reopened + LASTS), None);
    }

    #[test]
    fn a_lot_without_bids_waits_for_ever() {
        assert_eq!(Lot::default().end(u64::MAX), None);
        assert_eq!(after(&Lot::default(), u64::MAX, 1).price, 1);
    }
}
