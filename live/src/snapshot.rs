//! Snapshots: what a hub holds, as bytes for a file.
//!
//! ```text
//! "openline-live 1\n"  topics (u64)  { topic }…  SHA-1 of all before
//! topic:   name  epoch (16)  offset of the last message (u64)  messages (u64)  { message }…  ids (u64)  { id }…
//! message: age in nanoseconds (u64)  payload
//! id:      id (16)  age in nanoseconds (u64)  offset (u64)  hash of the payload (16)
//! ```
//!
//! Numbers are big-endian. A name and a payload have their length (u64) before them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::error::SnapshotError;
use crate::id::{Ids, Key, Seen};
use crate::limits::MAX_NAME;
use crate::log::{Entry, Log};
use crate::position::{Epoch, Position};
use crate::shared::Shared;
use crate::sync::lock;
use crate::topic::Inner;

/// The histories, epochs and ids of all topics of a hub. [`Hub::snapshot`](crate::Hub::snapshot) takes it and
/// [`Hub::restore`](crate::Hub::restore) takes it up.
///
/// It does not hold who is here ([`Topic::enter`](crate::Topic::enter)): those are connections, which end with the
/// process, so after a restart a name is here when its client has come back.
///
/// ```
/// # use bytes::Bytes;
/// # use openline_live::{EpochSeed, Hub, Retain, Snapshot, Time};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let make = |_: &str, _, payload: &Bytes| payload.clone();
/// let hub = Hub::local(Retain::default(), EpochSeed::from_os()?, make);
/// let said = hub.topic("news")?.publish(None, Bytes::from("rain"), None).await?;
/// let file = hub.snapshot().to_bytes();
/// drop(hub);
///
/// let snapshot = Snapshot::from_bytes(&file)?;
/// let hub = Hub::restore(&snapshot, Retain::default(), EpochSeed::from_os()?, Time::ZERO, make);
/// assert_eq!(hub.topic("news")?.position(), Some(said));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    topics: Vec<Saved>,
}

#[derive(Clone, PartialEq, Eq)]
struct Saved {
    name: Arc<str>,
    at: Position,
    /// Age and payload of the last messages.
    messages: Vec<(Duration, Bytes)>,
    ids: Vec<(Key, Duration, Seen)>,
}

pub(crate) fn take<M>(topics: impl Iterator<Item = Arc<Inner<M>>>) -> Snapshot {
    let save = |inner: Arc<Inner<M>>| {
        let ids = lock(&inner.ids);
        let now = inner.shared.now();
        inner.change(|state| {
            state.log.trim(&inner.shared.retain, now);
            let messages = state.log.kept_entries().map(|entry| (now.since(entry.at), entry.payload.clone()));
            let ids = ids.iter().map(|(id, at, seen)| (id, now.since(at), seen));
            let (messages, ids) = (messages.collect(), ids.collect());
            Saved { name: Arc::clone(&inner.name), at: state.log.position(), messages, ids }
        })
    };
    let mut topics: Vec<_> = topics.map(save).collect();
    // The same content gives the same bytes.
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Snapshot { topics }
}

pub(crate) fn restore<M>(snapshot: &Snapshot, shared: &Arc<Shared<M>>) -> impl Iterator<Item = Inner<M>> {
    let now = shared.now();
    snapshot.topics.iter().map(move |saved| {
        let before = saved.at.offset.saturating_sub(saved.messages.len() as u64);
        let mut log = Log::new(Position { offset: before, ..saved.at });
        for (age, payload) in &saved.messages {
            let at = Position { offset: log.head() + 1, ..saved.at };
            let message = (shared.make)(&saved.name, at, payload);
            log.append(Entry::new(message, payload.clone(), now.earlier(*age)));
            log.trim(&shared.retain, now);
        }
        let mut ids = Ids::default();
        for (id, age, seen) in &saved.ids {
            ids.insert(*id, *seen, now.earlier(*age));
        }
        Inner::new(Arc::clone(&saved.name), Arc::clone(shared), log, ids)
    })
}

impl Snapshot {
    /// The bytes to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend_from_slice(&number.to_be_bytes());
        let string = |bytes: &mut Vec<u8>, string: &[u8]| {
            number(bytes, string.len() as u64);
            bytes.extend_from_slice(string);
        };
        number(&mut bytes, self.topics.len() as u64);
        for saved in &self.topics {
            string(&mut bytes, saved.name.as_bytes());
            bytes.extend_from_slice(&saved.at.epoch.to_bytes());
            number(&mut bytes, saved.at.offset);
            number(&mut bytes, saved.messages.len() as u64);
            for (age, payload) in &saved.messages {
                number(&mut bytes, nanos(*age));
                string(&mut bytes, payload);
            }
            number(&mut bytes, saved.ids.len() as u64);
            for (id, age, seen) in &saved.ids {
                bytes.extend_from_slice(id);
                number(&mut bytes, nanos(*age));
                number(&mut bytes, seen.offset);
                bytes.extend_from_slice(&seen.hash);
            }
        }
        let sum = Sha1::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Payloads are copied.
    ///
    /// # Errors
    ///
    /// The bytes are of another version, or have been cut or changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        if !bytes.starts_with(HEAD) {
            return Err(SnapshotError::Version);
        }
        Snapshot::read(bytes).ok_or(SnapshotError::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<Snapshot> {
        let (content, sum) = bytes.split_last_chunk::<20>()?;
        if Sha1::digest(content)[..] != sum[..] {
            return None;
        }
        let mut reader = Reader(content.get(HEAD.len()..)?);
        // Nothing is allocated by a number alone: each turn of a loop needs bytes that are there.
        let mut topics = Vec::new();
        for _ in 0..reader.number()? {
            let name =
                std::str::from_utf8(reader.string()?).ok().filter(|name| (1..=MAX_NAME).contains(&name.len()))?;
            let epoch = Epoch::from_bytes(reader.array()?);
            let at = Position { epoch, offset: reader.number()? };
            let mut messages = Vec::new();
            for _ in 0..reader.number()? {
                let age = Duration::from_nanos(reader.number()?);
                messages.push((age, Bytes::copy_from_slice(reader.string()?)));
            }
            let mut ids = Vec::new();
            for _ in 0..reader.number()? {
                let (id, age) = (reader.array()?, Duration::from_nanos(reader.number()?));
                ids.push((id, age, Seen { offset: reader.number()?, hash: reader.array()? }));
            }
            // Offsets begin with 1, and end long before the numbers do.
            let possible = messages.len() as u64 <= at.offset && at.offset < u64::MAX / 2;
            topics.push(Some(Saved { name: name.into(), at, messages, ids }).filter(|_| possible)?);
        }
        reader.0.is_empty().then_some(Snapshot { topics })
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn string(&mut self) -> Option<&'b [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(string)
    }
}

impl fmt::Debug for Snapshot {
    // It shows no payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("topics", &self.topics.len()).finish_non_exhaustive()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const HEAD: &[u8] = b"openline-live 1\n";
