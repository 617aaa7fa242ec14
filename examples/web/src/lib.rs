//! A server of pages and WebSockets on openline and openline-live: a chat, live text, auctions.
//!
//! | module | what it does |
//! |---|---|
//! | [`serve`], [`tls`] | connections: HTTP/1.1 and HTTP/2 on one port, with or without TLS; the end in good order |
//! | [`upgrade`], [`origins`] | a request becomes a WebSocket |
//! | [`live`] | `/live`: topics over one socket |
//! | [`poll`], [`events`], [`publish`] | the same topics without sockets |
//! | [`say`], [`message`] | how something gets into a topic's log, once |
//! | [`auction`] | lots that several nodes decide together |
//! | [`pages`], [`metrics`] | what people see |

pub mod auction;
pub mod echo;
pub mod events;
pub mod live;
pub mod message;
pub mod metrics;
pub mod options;
pub mod origins;
pub mod pages;
pub mod poll;
pub mod publish;
pub mod query;
pub mod say;
pub mod serve;
pub mod site;
pub mod tls;
pub mod upgrade;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::{any, get, options as preflight, post};

use crate::site::Site;

/// All paths.
pub fn router(site: &Site) -> Router {
    let mut router = Router::new()
        .route("/echo", any(upgrade::echo))
        .route("/live", any(upgrade::live))
        .route("/health", get(async || "ok\n"))
        .route("/poll", get(poll::poll))
        .route("/events", get(events::events))
        .route("/publish", post(publish::publish).merge(preflight(publish::preflight)))
        .route("/lots", get(async |State(site): State<Site>| Json(site.auction().describe().await)))
        .route("/{asset}", get(pages::asset))
        .fallback(pages::nothing);
    for (path, ..) in pages::PAGES {
        router = router.route(path, get(pages::page));
    }
    router.with_state(site.clone())
}
