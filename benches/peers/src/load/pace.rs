//! When messages are due, and how late their answers are. Time is an input here, so tests can make it up.
//!
//! A message is due by the clock, and its time runs from then: also while an earlier answer keeps it waiting, and also
//! while the client itself is late. A client that sends the next message only after an answer sends nothing while a server
//! pauses, and so counts a pause once that every user would have felt (*coordinated omission*).

use std::time::Duration;

pub struct Pace {
    /// Messages in a second, dealt out to the connections in turn.
    rate: f64,
    /// How many there are to be.
    total: usize,
    /// How many have been handed out.
    sent: usize,
    /// How many answers each connection has had. They come in order.
    answered: Vec<usize>,
    /// How many answers have come in all.
    came: usize,
    /// For each message, how long it took from when it was due to its answer.
    pub took: Vec<Duration>,
    /// From when a message was due to when it was handed out: the client's own delay, which is a part of the above.
    pub late: Vec<Duration>,
}

impl Pace {
    pub fn new(connections: usize, rate: f64, time: Duration) -> Pace {
        let total = (rate * time.as_secs_f64()).ceil() as usize;
        // No allocation in the middle of it.
        let (took, late) = (vec![Duration::ZERO; total], Vec::with_capacity(total));
        Pace { rate, total, sent: 0, answered: vec![0; connections], came: 0, took, late }
    }

    fn due(&self, message: usize) -> Duration {
        Duration::from_secs_f64(message as f64 / self.rate)
    }

    /// The connection on which a message is due, if one is. It is to be called until there is none.
    pub fn next(&mut self, now: Duration) -> Option<usize> {
        if self.sent == self.total {
            return None;
        }
        let late = now.checked_sub(self.due(self.sent))?;
        let connection = self.sent % self.answered.len();
        self.sent += 1;
        self.late.push(late);
        Some(connection)
    }

    /// So many answers have come.
    pub fn answered(&mut self, connection: usize, count: usize, now: Duration) -> Result<(), String> {
        for _ in 0..count {
            let message = connection + self.answered[connection] * self.answered.len();
            if message >= self.sent {
                return Err("more answers than messages".into());
            }
            self.answered[connection] += 1;
            self.came += 1;
            self.took[message] = now.saturating_sub(self.due(message));
        }
        Ok(())
    }

    /// Whether every message has been sent, and every answer has come.
    pub fn done(&self) -> bool {
        self.came == self.total
    }

    /// The median of the percentiles of each stretch of time, by when messages were due. A pause, whoever makes it, counts
    /// in the stretches that it is in: so this is what it is like while less than half of them have one.
    pub fn typical(&self, share: f64, stretch: Duration) -> Duration {
        let messages = (self.rate * stretch.as_secs_f64()).ceil().max(1.0) as usize;
        // A short rest at the end is none.
        let stretches = self.took.chunks(messages).filter(|some| some.len() == messages.min(self.total));
        let mut percentiles: Vec<_> = stretches
            .map(|some| {
                let mut sorted = some.to_vec();
                sorted.sort_unstable();
                percentile(&sorted, share)
            })
            .collect();
        percentiles.sort_unstable();
        percentile(&percentiles, 0.5)
    }
}

/// The value that this share of all does not exceed: the nearest rank. `sorted` has one value or more.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
