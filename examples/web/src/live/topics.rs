//! The topics of one socket: what it has joined, under which name, what it watches, and what it has said something to.

use std::collections::HashMap;

use openline::Prepared;
use openline_live::{Presence, Subscriber, Topic};

use super::Doing;
use super::answer::{self, error, left};
use super::opening::{Opening, Verb};
use super::request::{Bid, Join, Say};
use crate::auction::Verdict;
use crate::message::{Item, quote};
use crate::say::{Refusal, Said, may_be_said_to, say};
use crate::site::Site;

pub(super) struct Topics {
    site: Site,
    socket: String,
    topics: HashMap<String, Held>,
    opening: Opening,
}

/// A topic that the socket has joined, watches, or has said something to.
struct Held {
    topic: Topic<Item>,
    /// While it is joined: the name under which the socket is here.
    joined: Option<Presence<Item>>,
    watched: bool,
}

impl Topics {
    pub(super) fn new(site: Site, socket: String) -> Topics {
        Topics { site, socket, topics: HashMap::new(), opening: Opening::default() }
    }

    /// Joins; the answer comes as the first delivery, unless it is an error.
    pub(super) fn join(&mut self, subscriber: &mut Subscriber<Item>, join: &Join) -> Option<Prepared> {
        let name = join.name.as_ref().unwrap_or(&self.socket).clone();
        let entered = self.held(&join.topic).and_then(|held| Ok((held.topic.enter(&name)?, held)));
        match entered {
            Ok((here, held)) => {
                subscriber.join(&held.topic, join.start, join.lag);
                // If the socket was here under another name, that name goes now.
                held.joined = Some(here);
                self.opening.begin(Verb::Join, &join.topic);
                None
            }
            Err(refusal) => Some(refused(&[("join", &quote(&join.topic))], &refusal)),
        }
    }

    pub(super) fn leave(&mut self, subscriber: &mut Subscriber<Item>, topic: &str) -> Option<Prepared> {
        self.forget(subscriber, topic);
        Some(left(topic))
    }

    /// The answer to a join or a watch is on its way.
    pub(super) fn has_begun(&mut self, verb: Verb, topic: &str) {
        self.opening.end(verb, topic);
    }

    /// What is not answered yet.
    pub(super) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Gives up a join or a watch that was not answered in time.
    pub(super) fn take_overdue(&mut self, subscriber: &mut Subscriber<Item>) -> Option<Prepared> {
        let (verb, topic) = self.opening.take_overdue()?;
        let verb = match verb {
            Verb::Join => {
                self.forget(subscriber, &topic);
                "join"
            }
            Verb::Watch => {
                self.unwatch(subscriber, &topic);
                "watch"
            }
        };
        Some(refused(&[(verb, &quote(&topic))], &Refusal::Retry("the topic cannot be loaded now".into())))
    }

    fn forget(&mut self, subscriber: &mut Subscriber<Item>, topic: &str) {
        self.opening.end(Verb::Join, topic);
        if let Some(held) = self.topics.get_mut(topic) {
            subscriber.leave(&held.topic);
            held.joined = None;
            self.drop_unused(topic);
        }
    }

    /// Who is here is told from now on, by deliveries.
    pub(super) fn watch(&mut self, subscriber: &mut Subscriber<Item>, topic: &str) -> Option<Prepared> {
        match self.held(topic) {
            Ok(held) => {
                subscriber.watch(&held.topic);
                held.watched = true;
                self.opening.begin(Verb::Watch, topic);
                None
            }
            Err(refusal) => Some(refused(&[("watch", &quote(topic))], &refusal)),
        }
    }

    pub(super) fn unwatch(&mut self, subscriber: &mut Subscriber<Item>, topic: &str) {
        self.opening.end(Verb::Watch, topic);
        if let Some(held) = self.topics.get_mut(topic) {
            subscriber.unwatch(&held.topic);
            held.watched = false;
            self.drop_unused(topic);
        }
    }

    /// Makes room for another topic.
    fn drop_unused(&mut self, topic: &str) {
        if self.topics.get(topic).is_some_and(|held| held.joined.is_none() && !held.watched) {
            self.topics.remove(topic);
        }
    }

    /// The subscriber has left it by itself.
    pub(super) fn has_left(&mut self, topic: &str) {
        if let Some(held) = self.topics.get_mut(topic) {
            held.joined = None;
        }
    }

    /// The future says it, and what the client is told then.
    pub(super) fn say(&mut self, said: Say) -> Result<Doing, Prepared> {
        let about = about("say", quote(&said.topic), said.id.as_deref());
        let held = if may_be_said_to(&said.topic) {
            self.held(&said.topic)
        } else {
            Err(Refusal::Wrong("nobody can say something to this topic".into()))
        };
        let topic = held.map(|held| held.topic.clone()).map_err(|refusal| about.refused(&refusal))?;
        let (site, socket) = (self.site.clone(), self.socket.clone());
        Ok(Box::pin(async move {
            let id = said.id.as_deref();
            match say(&site, &topic, &Said { by: &socket, message: &said.message, id }).await {
                Ok(at) => answer::said(&said.topic, id, at),
                Err(refusal) => about.refused(&refusal),
            }
        }))
    }

    /// The future bids, and says what the client is told then.
    pub(super) fn bid(&self, bid: Bid) -> Doing {
        let (site, socket) = (self.site.clone(), self.socket.clone());
        let name = bid.number.and_then(|lot| self.name_in(&format!("auction:{lot}"))).unwrap_or(&socket).to_owned();
        Box::pin(async move {
            let id = bid.id.as_deref();
            let said = crate::auction::Bid { by: &socket, bidder: &name, amount: bid.amount, id };
            match site.auction().bid(&site, bid.number, &said).await {
                Ok(Verdict::Accepted { price }) => answer::bid("accepted", &bid.lot, price, id, false),
                Ok(Verdict::Refused { price, over }) => answer::bid("refused", &bid.lot, price, id, over),
                Err(refusal) => about("bid", bid.lot, id).refused(&refusal),
            }
        })
    }

    fn name_in(&self, topic: &str) -> Option<&str> {
        self.topics.get(topic)?.joined.as_ref().map(Presence::name)
    }

    /// A topic that is held, or is now.
    fn held(&mut self, name: &str) -> Result<&mut Held, Refusal> {
        if !self.topics.contains_key(name) {
            if self.topics.len() >= MOST {
                return Err(Refusal::Wrong(format!("a socket has at most {MOST} topics")));
            }
            let topic = self.site.topic(name)?;
            self.topics.insert(name.to_owned(), Held { topic, joined: None, watched: false });
        }
        self.topics.get_mut(name).ok_or_else(|| Refusal::Wrong("there is no such topic".into()))
    }
}

/// What an error answers.
struct About {
    verb: &'static str,
    of: String,
    id: Option<String>,
}

fn about(verb: &'static str, of: String, id: Option<&str>) -> About {
    About { verb, of, id: id.map(quote) }
}

impl About {
    fn refused(&self, refusal: &Refusal) -> Prepared {
        let mut about = vec![(self.verb, &*self.of)];
        about.extend(self.id.as_deref().map(|id| ("id", id)));
        refused(&about, refusal)
    }
}

fn refused(about: &[(&str, &str)], refusal: &Refusal) -> Prepared {
    error(about, refusal.text(), matches!(refusal, Refusal::Retry(_)))
}

/// How many topics a socket may have.
const MOST: usize = 128;
