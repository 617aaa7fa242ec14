//! What is written to Redis and read from it: names of keys and channels, what the feed carries, and answers of scripts.
//!
//! No input panics, and a list is never longer than the bytes that it came in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use bytes::Bytes;

use crate::backplane::{Announce, Fed, Kept, Lease, NodeId, Page, Present};
use crate::error::PublishError;
use crate::position::Position;

/// The names of all keys and channels of one hub.
///
/// A topic's name stands between the first `{` and the first `}` of a key, so all keys of a topic have one hash slot.
/// Redis takes the whole key for an empty name between them, and ends the name at the first `}`: `}` is escaped.
pub(super) struct Names {
    prefix: String,
    /// Channels do not belong to a database, but two databases are two hubs.
    database: i64,
}

impl Names {
    /// None if the prefix would change where a topic's name begins, or is longer than 128 bytes.
    pub(super) fn new(prefix: &str, database: i64) -> Option<Names> {
        let fits = prefix.len() <= 128 && !prefix.contains(['{', '}']);
        fits.then(|| Names { prefix: prefix.to_owned(), database })
    }

    pub(super) fn key(&self, topic: &str, part: &str) -> String {
        let topic = topic.replace('%', "%25").replace('}', "%7D");
        format!("{}{{{topic}}}:{part}", self.prefix)
    }

    /// In the order in which the scripts want them.
    pub(super) fn log(&self, topic: &str) -> [String; 4] {
        ["log", "messages", "ids", "order"].map(|part| self.key(topic, part))
    }

    pub(super) fn presence(&self, topic: &str) -> String {
        self.key(topic, "here")
    }

    pub(super) fn channel(&self, topic: &str) -> String {
        self.key(topic, &format!("feed:{}", self.database))
    }

    pub(super) fn leases(&self) -> String {
        format!("{}leases", self.prefix)
    }
}

/// What came on the channel of a topic. What is not understood, perhaps of a later version, makes the topic stale.
pub(super) fn fed(topic: &Arc<str>, came: Vec<u8>) -> Fed {
    let came = Bytes::from(came);
    let fed = match came.first() {
        Some(b'm') => message(topic, &came),
        Some(b'p') => presence(topic, &came).map(Fed::Presence),
        _ => None,
    };
    fed.unwrap_or_else(|| Fed::Stale(topic.clone()))
}

/// `m`, a position, a colon, and the payload.
fn message(topic: &Arc<str>, came: &Bytes) -> Option<Fed> {
    let colons = || came.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let end = colons().nth(1)?;
    let at = std::str::from_utf8(came.get(1..end)?).ok()?.parse().ok()?;
    Some(Fed::Message { topic: topic.clone(), at, payload: came.slice(end + 1..) })
}

/// `p`, the node, and two lists: each is a count and so many names, each with its length before it.
pub(super) fn announcement(announce: &Announce) -> Vec<u8> {
    let mut out = vec![b'p'];
    out.extend(announce.node.0);
    for names in [&announce.joined, &announce.gone] {
        out.extend(length(names.len()));
        for name in names {
            out.extend(length(name.len()));
            out.extend(name.as_bytes());
        }
    }
    out
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn presence(topic: &Arc<str>, came: &[u8]) -> Option<Announce> {
    let (node, mut rest) = came.get(1..)?.split_first_chunk::<16>()?;
    let (joined, gone) = (names(&mut rest)?, names(&mut rest)?);
    rest.is_empty().then(|| Announce { topic: topic.clone(), node: NodeId(*node), joined, gone })
}

fn names(rest: &mut &[u8]) -> Option<Vec<Arc<str>>> {
    let mut names = Vec::new();
    for _ in 0..count(rest)? {
        let length = count(rest)?;
        let (name, after) = rest.split_at_checked(length)?;
        *rest = after;
        names.push(Arc::from(std::str::from_utf8(name).ok()?));
    }
    Some(names)
}

fn count(rest: &mut &[u8]) -> Option<usize> {
    let (count, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*count)).ok()
}

/// The answer of `append.lua`. None if it is none.
pub(super) fn parse_append(answer: Value) -> Option<Result<Position, PublishError>> {
    let answer = list(answer)?;
    let at = || position(answer.get(1)?, answer.get(2)?);
    match bytes(answer.first()?)? {
        b"at" => Some(Ok(at()?)),
        b"taken" => Some(Err(PublishError::IdTaken)),
        b"conflict" => Some(Err(PublishError::Conflict(at()?))),
        _ => None,
    }
}

/// The answer of `after.lua`.
pub(super) fn parse_after(answer: Value) -> Option<Page> {
    let mut answer = list(answer)?.into_iter();
    let at = position(&answer.next()?, &answer.next()?)?;
    let mut messages = Vec::new();
    while let Some(offset) = answer.next() {
        let offset = number(&offset)?;
        let age = Duration::from_millis(number(&answer.next()?)?);
        let Value::BulkString(payload) = answer.next()? else { return None };
        messages.push(Kept { offset, age, payload: Bytes::from(payload) });
    }
    Some(Page { at, messages })
}

/// The answer of `lease.lua`: when the lease ends, and what the caller wants to know.
pub(super) fn parse_lease(answer: Value) -> Option<(u64, Lease)> {
    let mut answer = list(answer)?.into_iter();
    let held = matches!(answer.next()?, Value::Int(1));
    let ends = number(&answer.next()?)?;
    let node = |value| Some(NodeId(bytes(&value)?.try_into().ok()?));
    Some((ends, Lease { held, alive: answer.map(node).collect::<Option<_>>()? }))
}

/// Who is here, by the fields and numbers of a topic's presence and the answer of `lives.lua`; and which fields are void.
/// `announce.lua` says what they mean.
pub(super) fn parse_here(entries: Value, lives: Value) -> Option<(Vec<Present>, Vec<Vec<u8>>)> {
    let mut began = HashMap::new();
    let mut lives = list(lives)?.into_iter();
    while let Some(node) = lives.next() {
        began.insert(bytes(&node)?.to_vec(), number(&lives.next()?)?);
    }
    let (mut here, mut void) = (BTreeMap::<NodeId, Vec<Arc<str>>>::new(), Vec::new());
    let entries: Vec<(Vec<u8>, Vec<u8>)> = ::redis::from_redis_value(entries).ok()?;
    for (field, value) in entries {
        // What is not understood was written by somebody else.
        let Some((node, name)) = field.split_first_chunk::<16>() else { continue };
        let number = value.split(|byte| *byte == b' ').next().and_then(|number| std::str::from_utf8(number).ok());
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else { continue };
        if began.get(&node[..]).is_none_or(|began| number <= *began) {
            void.push(field);
        } else if let Some(name) = std::str::from_utf8(name).ok().filter(|name| !name.is_empty()) {
            here.entry(NodeId(*node)).or_default().push(Arc::from(name));
        }
    }
    Some((here.into_iter().map(|(node, names)| Present { node, names }).collect(), void))
}

/// The lines `key:value` of `INFO`.
pub(super) fn parse_info(answer: &Value) -> HashMap<String, String> {
    let text = match answer {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    };
    let pair = |line: &str| line.split_once(':').map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
    text.lines().filter_map(pair).collect()
}

fn list(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(list) = value { Some(list) } else { None }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

fn number(value: &Value) -> Option<u64> {
    std::str::from_utf8(bytes(value)?).ok()?.parse().ok()
}

fn position(epoch: &Value, offset: &Value) -> Option<Position> {
    let epoch = std::str::from_utf8(bytes(epoch)?).ok()?.parse().ok()?;
    Some(Position { epoch, offset: number(offset)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;

    /// What Redis hashes for the slot of a key, by its documentation.
    fn hashed(key: &str) -> &str {
        let Some((_, rest)) = key.split_once('{') else { return key };
        match rest.split_once('}') {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => key,
        }
    }

    #[test]
    fn each_topic_has_one_slot_and_names_of_its_own() {
        let names = Names::new("app:", 3).unwrap();
        let topics = ["a", "}", "{", "}{", "{}", "a}b", "a%7Db", "%", "%25", "a b\r\n", "ü", "a}:log", ":", "%7D"];
        let mut keys = Vec::new();
        for topic in topics {
            let all = [&names.log(topic)[..], &[names.presence(topic), names.channel(topic)]].concat();
            for key in &all {
                assert_eq!(hashed(key), hashed(&all[0]), "{topic:?}");
                assert_ne!(hashed(key), key, "{topic:?}");
            }
            keys.extend(all);
        }
        keys.push(names.leases());
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert_eq!(names.channel("a"), "app:{a}:feed:3");
        assert!(Names::new("{", 0).is_none() && Names::new("a}", 0).is_none());
        assert!(Names::new(&"a".repeat(129), 0).is_none());
    }

    #[test]
    fn what_is_fed_is_read_back() {
        let topic: Arc<str> = "t".into();
        let at = Position { epoch: Epoch::from_bytes([7; 16]), offset: 3 };
        let payload = Bytes::from_static(b":\0:\xff");
        let came = [format!("m{at}:").as_bytes(), &payload].concat();
        assert!(fed(&topic, came) == Fed::Message { topic: topic.clone(), at, payload });
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
        let announce =
            Announce { topic: topic.clone(), node: NodeId([9; 16]), joined: names(&["", "ü"]), gone: names(&["b"]) };
        let came = announcement(&announce);
        assert!(fed(&topic, came.clone()) == Fed::Presence(announce));
        for end in 0..came.len() {
            assert!(fed(&topic, came[..end].to_vec()) == Fed::Stale(topic.clone()), "{end}");
        }
        let many = [&b"p"[..], &[0; 16], &[255; 8]].concat();
        for stale in [many, [&came[..], b"x"].concat(), b"m".to_vec(), b"m:1:".to_vec(), b"x".to_vec()] {
            assert!(fed(&topic, stale) == Fed::Stale(topic.clone()));
        }
    }
}
