//! Saying something to a topic, for all ways to say it: the rules, the id, and an engine that is away.

use std::fmt;
use std::time::Duration;

use openline_live::{EnterError, Id, Position, PublishError, Topic, TopicError};
use tokio::time::{Instant, sleep, timeout_at};

use crate::message::{Head, Item, payload};
use crate::site::Site;

/// What somebody says. `message` is JSON without line breaks.
pub struct Said<'a> {
    /// The socket, or who else says it.
    pub by: &'a str,
    /// JSON, as [`compact`](crate::message::compact) makes it.
    pub message: &'a str,
    /// The client's name for it.
    pub id: Option<&'a str>,
}

/// Why something was not said, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is wrong, and stays so.
    Wrong(String),
    /// It is in the log or not, or there is no room now. It may be said again under the same id.
    Retry(String),
}

impl Refusal {
    /// The sentence for people.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Refusal::Wrong(text) | Refusal::Retry(text) => text,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Refusal {}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Refusal {
        match error {
            TopicError::TooMany => Refusal::Retry(error.to_string()),
            _ => Refusal::Wrong(error.to_string()),
        }
    }
}

impl From<EnterError> for Refusal {
    fn from(error: EnterError) -> Refusal {
        match error {
            EnterError::TooMany => Refusal::Retry(error.to_string()),
            _ => Refusal::Wrong(error.to_string()),
        }
    }
}

/// Topics whose messages come from the server: lots, and the figures on the first page.
#[must_use]
pub fn may_be_said_to(topic: &str) -> bool {
    !topic.starts_with("auction:") && topic != crate::metrics::TOPIC
}

/// Appends it to the log. While the engine is away it tries again, for 5 s.
///
/// # Errors
///
/// See [`Refusal`].
pub async fn say(site: &Site, topic: &Topic<Item>, said: &Said<'_>) -> Result<Position, Refusal> {
    let bytes = payload(&Head { by: said.by.into(), state: None }, said.message);
    let id = id(site, said.id, said.message);
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Pause::default();
    loop {
        let error = match timeout_at(deadline, topic.publish(Some(id), bytes.clone(), None)).await {
            Ok(Ok(at)) => return Ok(at),
            Ok(Err(error)) => error,
            Err(_) => PublishError::Unknown,
        };
        match error {
            PublishError::Unknown | PublishError::Failed if Instant::now() < deadline => pause.wait().await,
            error => return Err(refusal(error)),
        }
    }
}

/// The id for the log. The same message by another socket is the same one, since a client may have come back meanwhile.
/// Without an id of the client's it has one all the same: to append it again is safe under an id only.
#[must_use]
pub fn id(site: &Site, id: Option<&str>, message: &str) -> Id {
    id.map_or_else(|| Id::new(&site.new_name()), Id::new).of(message.as_bytes())
}

/// What a client is told of it.
#[must_use]
pub fn refusal(error: PublishError) -> Refusal {
    match error {
        PublishError::Unknown | PublishError::Failed | PublishError::Full => Refusal::Retry(error.to_string()),
        _ => Refusal::Wrong(error.to_string()),
    }
}

/// A little longer each time, with a part that is random.
#[derive(Default)]
pub struct Pause(u32);

impl Pause {
    /// Waits between 10 and 500 ms.
    pub async fn wait(&mut self) {
        let most = 20u64 << self.0.min(5);
        self.0 += 1;
        sleep(Duration::from_millis(rand::random_range(most / 2..=most.min(500)))).await;
    }
}

/// How long the server tries again by itself.
pub const PATIENCE: Duration = Duration::from_secs(5);
