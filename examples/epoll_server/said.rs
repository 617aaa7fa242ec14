//! What is said to all, and who keeps the others from speaking.

use std::time::Duration;

use openline::{CloseCode, Prepared, SendError, Time};
use slab::Slab;

use super::peer::Peer;

/// Once so many bytes are to be sent to all, nobody may say more in this round of the loop.
const MOST: usize = 16 * 1024;
/// For how long a client that has no room for more may keep all others from speaking. One that reads slowly slows all down.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is for all.
#[derive(Default)]
pub(crate) struct Said {
    /// What has been said in this round of the loop.
    pub(crate) messages: Vec<Prepared>,
    /// Since when some client has no room for more. Nobody may speak before all have.
    full: Option<Time>,
}

impl Said {
    pub(crate) fn has_room(&self) -> bool {
        self.full.is_none() && self.messages.iter().map(|message| message.payload().len() + 64).sum::<usize>() < MOST
    }

    /// When those are let go who have no room.
    pub(crate) fn patience_ends(&self) -> Option<Time> {
        self.full.map(|since| since + PATIENCE)
    }

    /// Sends to all what has been said, and lets those go who have had no room for too long: they may come back. Returns whether
    /// all must have a turn, to write, or because they may speak again.
    pub(crate) fn pass_on(&mut self, peers: &mut Slab<Peer>, now: Time) -> bool {
        if self.messages.is_empty() && self.full.is_none() {
            return false;
        }
        let is_over = self.patience_ends().is_some_and(|end| end <= now);
        let mut full = None;
        for (_, Peer { connection, .. }) in peers {
            for message in &self.messages {
                // It is refused if the connection is not open.
                let _ = connection.queue(message);
            }
            if connection.check_send() == Err(SendError::Full) {
                if is_over {
                    let _ = connection.close(CloseCode::TRY_AGAIN_LATER, "too slow", now);
                } else {
                    full = self.full.or(Some(now));
                }
            }
        }
        let may_speak_again = self.full.is_some() && full.is_none();
        let has_messages = !self.messages.is_empty();
        self.messages.clear();
        self.full = full;
        has_messages || may_speak_again
    }
}
