//! `GET /events`: a topic as server-sent events.
//!
//! A client that comes back names the last id that it has seen. The first event has an id and no data, so a client has a
//! position even if it has received nothing yet.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use openline_live::{Delivery, Lag, Position, Start, Subscriber};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use crate::live::{joined_text, missed_text};
use crate::message::Item;
use crate::query::{Queried, Refused, position, refused, shared, topic_and_start};
use crate::site::Site;

/// `/events?topic=T[&after=EPOCH:OFFSET]`.
pub async fn events(State(site): State<Site>, headers: HeaderMap, query: Queried) -> Response {
    let stream = open(&site, &headers, query).await.map(|(begin, events)| {
        let told = [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-store"),
            // nginx would hold events back.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (told, Body::from_stream(unfold(Some((begin, events)), step)))
    });
    shared(&site, &headers, stream)
}

struct Events {
    subscriber: Subscriber<Item>,
    comments: Interval,
    /// Ready when this stream is to end. It is made once, since it ends after a random time.
    turn_to_go: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The first event, and those that follow.
async fn open(site: &Site, headers: &HeaderMap, query: Queried) -> Result<(String, Events), Refused> {
    let (topic, mut start) = topic_and_start(site, query)?;
    let last = headers.get("last-event-id").map(|last| last.to_str().unwrap_or(":")).filter(|last| !last.is_empty());
    if let Some(last) = last {
        start = position(last)?;
    }
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, start, Lag::Skip);
    let Ok(Delivery::Joined { topic, at, whole }) = timeout(LOADING, subscriber.next()).await else {
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "the topic is not loaded yet".into()));
    };
    // What follows begins behind this position. To come back with that of the log's end would miss what is on the way.
    let next = subscriber.try_next();
    let from = match &next {
        Some(Delivery::Message(item)) => Position { offset: item.at().offset - 1, ..item.at() },
        _ => at,
    };
    let mut begin = format!("id: {from}\n\n");
    // Who names no position misses nothing.
    if !whole && start != Start::Oldest {
        begin.push_str(&format!("event: joined\nid: {from}\ndata: {}\n\n", joined_text(&topic, at, whole)));
    }
    if let Some(delivery) = next {
        write(&mut begin, delivery);
    }
    let mut comments = interval_at(Instant::now() + COMMENT, COMMENT);
    comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let site = site.clone();
    Ok((begin, Events { subscriber, comments, turn_to_go: Box::pin(async move { site.turn_to_go().await }) }))
}

/// The next part of the body, and what comes after it.
type Step = Option<(Result<Bytes, std::convert::Infallible>, Option<(String, Events)>)>;

async fn step(state: Option<(String, Events)>) -> Step {
    let (mut text, mut events) = state?;
    if text.is_empty() {
        tokio::select! {
            biased;
            // The client comes back by itself. Not all come at once.
            () = &mut events.turn_to_go => return None,
            _ = events.comments.tick() => text.push_str(":\n\n"),
            delivery = events.subscriber.next() => write(&mut text, delivery),
        }
    }
    // What is at hand leaves together.
    while text.len() < CHUNK
        && let Some(delivery) = events.subscriber.try_next()
    {
        write(&mut text, delivery);
    }
    Some((Ok(text.into()), Some((String::new(), events))))
}

fn write(text: &mut String, delivery: Delivery<Item>) {
    match delivery {
        Delivery::Message(item) => text.push_str(&format!("id: {}\ndata: {}\n\n", item.at(), item.text())),
        Delivery::Missed(gap) => {
            text.push_str(&format!("event: missed\ndata: {}\n\n", missed_text(&gap.topic, gap.count)));
        }
        Delivery::Joined { topic, at, whole } => {
            text.push_str(&format!("event: joined\ndata: {}\n\n", joined_text(&topic, at, whole)));
        }
        _ => {}
    }
}

const COMMENT: Duration = Duration::from_secs(15);
/// About how many bytes leave together.
const CHUNK: usize = 32 << 10;
/// How long it waits for a topic that is loaded from an engine.
const LOADING: Duration = Duration::from_secs(5);
