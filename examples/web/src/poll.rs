//! `GET /poll`: what is there after a position, for clients without sockets. It waits if there is nothing.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use openline_live::{Delivery, Lag, Position, Start, Subscriber};
use tokio::time::{sleep, timeout};

use crate::message::Item;
use crate::query::{Queried, Refused, refused, shared, topic_and_start};
use crate::site::Site;

/// `/poll?topic=T[&after=EPOCH:OFFSET]`.
pub async fn poll(State(site): State<Site>, headers: HeaderMap, query: Queried) -> Response {
    let answer = answer(&site, query)
        .await
        .map(|body| ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body));
    shared(&site, &headers, answer)
}

async fn answer(site: &Site, query: Queried) -> Result<String, Refused> {
    let (topic, start) = topic_and_start(site, query)?;
    let mut subscriber = Subscriber::new();
    subscriber.join(&topic, start, Lag::Leave);
    let joined = timeout(LOADING, subscriber.next()).await;
    let Ok(Delivery::Joined { at, whole, .. }) = joined else {
        return Err(refused(http::StatusCode::SERVICE_UNAVAILABLE, "the topic is not loaded yet".into()));
    };
    let mut page = Page { at, whole, messages: String::new() };
    page.take_all(&mut subscriber);
    if page.messages.is_empty() && whole && start != Start::Oldest {
        tokio::select! {
            delivery = subscriber.next() => page.take(delivery),
            () = sleep(WAIT) => {}
            // The client asks another server, or this one later. Not all come at once.
            () = site.turn_to_go() => {}
        }
        page.take_all(&mut subscriber);
    }
    Ok(page.into_json())
}

struct Page {
    at: Position,
    whole: bool,
    messages: String,
}

impl Page {
    /// What is at hand. A log that lags or begins a new epoch meanwhile ends the page: the next one tells of it.
    fn take_all(&mut self, subscriber: &mut Subscriber<Item>) {
        while let Some(delivery) = subscriber.try_next() {
            self.take(delivery);
        }
    }

    fn take(&mut self, delivery: Delivery<Item>) {
        match delivery {
            Delivery::Message(item) => {
                if !self.messages.is_empty() {
                    self.messages.push(',');
                }
                self.messages.push_str(item.text());
                self.at = item.at();
            }
            // The epoch has changed.
            Delivery::Joined { at, whole, .. } => {
                *self = Page { at, whole, messages: String::new() };
            }
            _ => {}
        }
    }

    fn into_json(self) -> String {
        let Page { at, whole, messages } = self;
        let Position { epoch, offset } = at;
        format!("{{\"epoch\":\"{epoch}\",\"offset\":{offset},\"whole\":{whole},\"messages\":[{messages}]}}")
    }
}

/// How long it waits for a message.
const WAIT: Duration = Duration::from_secs(25);
/// How long it waits for a topic that is loaded from an engine.
const LOADING: Duration = Duration::from_secs(5);
