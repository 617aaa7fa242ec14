//! What a client says on `/live`, as values. What is wrong is answered with an error that names what it answers.

use openline::Prepared;
use openline_live::{Epoch, Lag, Position, Start};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::answer::error;
use crate::message::compact;

/// What a client wants.
#[derive(Debug)]
pub(super) enum Request {
    Join(Join),
    Leave(String),
    Watch(String),
    Unwatch(String),
    Say(Say),
    Bid(Bid),
}

#[derive(Debug)]
pub(super) struct Join {
    pub(super) topic: String,
    pub(super) start: Start,
    pub(super) lag: Lag,
    pub(super) name: Option<String>,
}

#[derive(Debug)]
pub(super) struct Say {
    pub(super) topic: String,
    /// JSON without line breaks.
    pub(super) message: String,
    pub(super) id: Option<String>,
}

#[derive(Debug)]
pub(super) struct Bid {
    /// As the client has written it.
    pub(super) lot: String,
    /// `None`: there is no such lot.
    pub(super) number: Option<usize>,
    pub(super) amount: u64,
    pub(super) id: Option<String>,
}

/// The members that mean something here. A member that is null is there.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "some")]
    join: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    leave: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    watch: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    unwatch: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    say: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    bid: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    from: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    epoch: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    offset: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    lag: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "as", deserialize_with = "some")]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    amount: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "some")]
    id: Option<&'a RawValue>,
}

fn some<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

impl Request {
    /// Reads a message; the error is what the client is told.
    pub(super) fn parse(text: &str) -> Result<Request, Prepared> {
        let members: Members<'_> =
            serde_json::from_str(text).map_err(|_| error(&[], "a message must be one JSON object", false))?;
        let verbs = [
            ("join", members.join),
            ("leave", members.leave),
            ("watch", members.watch),
            ("unwatch", members.unwatch),
            ("say", members.say),
            ("bid", members.bid),
        ];
        let mut asked = verbs.into_iter().filter_map(|(verb, about)| Some((verb, about?)));
        let Some((verb, about)) = asked.next() else {
            return Err(error(&[], "a message must join, leave, say, watch, unwatch or bid", false));
        };
        let result = match asked.next() {
            Some(_) => Err("a message may ask for one thing only".to_owned()),
            None => members.read(verb, about),
        };
        result.map_err(|why| {
            let (about, id) = (compact(about), members.id.map(compact));
            let mut context = vec![(verb, &*about)];
            context.extend(id.as_deref().filter(|_| verb == "say" || verb == "bid").map(|id| ("id", id)));
            error(&context, &why, false)
        })
    }
}

impl Members<'_> {
    fn read(&self, verb: &str, about: &RawValue) -> Result<Request, String> {
        Ok(match verb {
            "join" => Request::Join(Join {
                topic: topic(about)?,
                start: self.start()?,
                lag: self.lag()?,
                name: self.name.map(name).transpose()?,
            }),
            "leave" => Request::Leave(topic(about)?),
            "watch" => Request::Watch(topic(about)?),
            "unwatch" => Request::Unwatch(topic(about)?),
            "say" => Request::Say(Say {
                topic: topic(about)?,
                message: compact(self.message.ok_or("there is no message to say")?),
                id: self.id()?,
            }),
            _ => Request::Bid(Bid { lot: compact(about), number: lot(about), amount: self.amount()?, id: self.id()? }),
        })
    }

    fn start(&self) -> Result<Start, String> {
        match (self.from, self.epoch, self.offset) {
            (None, None, None) => Ok(Start::Oldest),
            (Some(from), None, None) if text(from).as_deref() == Some("now") => Ok(Start::Now),
            (None, Some(epoch), Some(offset)) => {
                let epoch = text(epoch).filter(|epoch| !epoch.contains(':'));
                let epoch = epoch.ok_or("an epoch is a string without a colon")?;
                let offset =
                    serde_json::from_str(offset.get()).map_err(|_| "an offset is a whole number, 0 or more")?;
                Ok(after(&epoch, offset))
            }
            (Some(_), None, None) => Err("from can only be \"now\"".into()),
            (None, ..) => Err("a position has an epoch and an offset".into()),
            _ => Err("from and a position are not for the same join".into()),
        }
    }

    fn lag(&self) -> Result<Lag, String> {
        let Some(lag) = self.lag else { return Ok(Lag::Leave) };
        match text(lag).as_deref() {
            Some("skip") => Ok(Lag::Skip),
            Some("latest") => Ok(Lag::Latest),
            Some("leave") => Ok(Lag::Leave),
            _ => Err("lag is \"skip\", \"latest\" or \"leave\"".into()),
        }
    }

    fn id(&self) -> Result<Option<String>, String> {
        let Some(id) = self.id else { return Ok(None) };
        text(id).map(Some).ok_or_else(|| "an id is a string".into())
    }

    fn amount(&self) -> Result<u64, String> {
        let amount = self.amount.and_then(|amount| serde_json::from_str(amount.get()).ok());
        let amount = amount.filter(|amount| (1..1 << 53).contains(amount));
        amount.ok_or_else(|| "an amount is a whole number from 1 to 2^53 - 1".into())
    }
}

/// The start after a position. An epoch that is none of ours is another epoch.
pub(crate) fn after(epoch: &str, offset: u64) -> Start {
    // No log gets that far, so this is beyond the end of each.
    let other = Position { epoch: Epoch::from_bytes([0; 16]), offset: u64::MAX };
    Start::After(epoch.parse().map_or(other, |epoch| Position { epoch, offset }))
}

fn topic(value: &RawValue) -> Result<String, String> {
    let topic = text(value).filter(|topic| (1..=MAX_NAME).contains(&topic.len()));
    topic.ok_or_else(|| "a topic is a string of 1 to 128 bytes".into())
}

fn name(value: &RawValue) -> Result<String, String> {
    let name = text(value).filter(|name| (1..=MAX_NAME).contains(&name.len()));
    name.ok_or_else(|| "a name is a string of 1 to 128 bytes".into())
}

/// A lot by its number, or by its number as a string.
fn lot(value: &RawValue) -> Option<usize> {
    serde_json::from_str(value.get()).ok().or_else(|| text(value)?.parse().ok())
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

const MAX_NAME: usize = 128;
