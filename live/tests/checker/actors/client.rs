//! A client that reads: it joins at a node, writes down what it gets, remembers how far it has processed each topic, and
//! comes back there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openline_live::{Lag, Position, Start};
use tokio::time::{Instant, timeout, timeout_at};

use super::words::Heard;
use super::{Connection, Site};
use crate::history::What;

pub struct Client<S: Site> {
    site: Arc<S>,
    /// Its number.
    reader: usize,
    pub places: BTreeMap<usize, Place>,
    connection: Option<(usize, S::Connection)>,
}

/// How far a client has come in a topic.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    lag: Lag,
    /// Where it goes on when it comes back.
    pub start: Start,
    /// Its position is that of `start`; otherwise a message must come first, because there is a hole before it.
    is_exact: bool,
}

pub enum Step {
    Heard(Heard),
    /// Nothing came in time.
    Time,
    /// The connection is over.
    Over,
}

impl<S: Site> Client<S> {
    pub fn new(site: &Arc<S>, reader: usize, topics: impl IntoIterator<Item = (usize, Start, Lag)>) -> Client<S> {
        let place = |(topic, start, lag)| (topic, Place { lag, start, is_exact: false });
        let places = topics.into_iter().map(place).collect();
        Client { site: Arc::clone(site), reader, places, connection: None }
    }

    /// Connects to a node, and joins all topics there. Returns whether somebody answered.
    pub async fn connect(&mut self, node: &Arc<S::Node>, plainly: bool) -> bool {
        let connecting = self.site.connect(node, plainly);
        let Ok(Some(connection)) = timeout(Duration::from_secs(5), connecting).await else { return false };
        self.connection = Some((self.site.number_of(node), connection));
        self.places.keys().copied().collect::<Vec<_>>().into_iter().for_each(|topic| self.join(topic));
        true
    }

    /// Leaves a topic, if it knows how to.
    pub fn leave(&mut self, topic: usize) {
        if let Some((_, connection)) = &mut self.connection
            && connection.leave(topic)
        {
            self.site.notes().saw(Some(topic), What::Gone { reader: self.reader });
        }
    }

    /// Joins a topic that it has left, or moves in one that it has joined, if it knows how to.
    pub fn join_again(&mut self, topic: usize, start: Start) {
        if let Some((_, connection)) = &self.connection
            && connection.can_leave()
            && let Some(place) = self.places.get_mut(&topic)
        {
            place.start = start;
            self.join(topic);
        }
    }

    fn join(&mut self, topic: usize) {
        let Some((node, connection)) = &mut self.connection else { return };
        let Some(place) = self.places.get_mut(&topic) else { return };
        place.is_exact = false;
        let (start, lag) = (place.start, place.lag);
        self.site.notes().saw(Some(topic), What::Join { reader: self.reader, node: *node, start, lag });
        connection.join(topic, start, lag);
    }

    /// Goes, or is cut off.
    pub fn cut(&mut self) {
        if self.connection.is_some() {
            for topic in self.places.keys() {
                self.site.notes().saw(Some(*topic), What::Gone { reader: self.reader });
            }
            self.connection = None;
        }
    }

    /// What comes next until this moment.
    pub async fn next(&mut self, until: Instant) -> Step {
        let Some((_, connection)) = &mut self.connection else { return Step::Over };
        match timeout_at(until, connection.next()).await {
            Ok(Some(heard)) => {
                self.hear(&heard);
                Step::Heard(heard)
            }
            Ok(None) => Step::Over,
            Err(_) => Step::Time,
        }
    }

    /// Writes it down, and remembers how far it has come.
    fn hear(&mut self, heard: &Heard) {
        let (reader, topic) = (self.reader, heard.topic());
        let what = match *heard {
            Heard::Joined { at, whole, .. } => What::Joined { reader, at, whole },
            Heard::Message { at, words, .. } => What::Message { reader, at, words },
            Heard::Missed { count, .. } => What::Missed { reader, count },
            Heard::Left { .. } => What::Left { reader },
        };
        self.site.notes().saw(Some(topic), what);
        let place = self.places.get_mut(&topic).expect("only what was joined comes");
        match *heard {
            Heard::Joined { at, whole, .. } => {
                (place.start, place.is_exact) = match place.start {
                    Start::Now => (Start::After(at), true),
                    Start::After(asked) if whole => (Start::After(asked), true),
                    // Nothing of this epoch has been processed.
                    _ => (Start::After(Position { offset: 0, ..at }), whole),
                };
            }
            Heard::Message { at, .. } => (place.start, place.is_exact) = (Start::After(at), true),
            Heard::Missed { count, .. } => {
                if let Start::After(at) = &mut place.start
                    && place.is_exact
                {
                    at.offset += count;
                }
            }
            Heard::Left { .. } => self.join(topic),
        }
    }
}

/// Longer than a run.
pub const LONG: Duration = Duration::from_secs(3600);
