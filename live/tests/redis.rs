//! `Redis` against a real server, which each test starts for itself on a free port of the loopback, and kills.
//!
//! The server is `redis-server`, or what `REDIS_SERVER` names. Without one these tests fail, unless `OPENLINE_NO_REDIS` is
//! set. They wait for conditions, with generous limits.

#![allow(clippy::unwrap_used)]

#[path = "redis/server.rs"]
#[allow(dead_code)]
mod server;

mod contract;

use openline_live::Redis;
use server::Server;

async fn nodes() -> Option<(Server, Redis, Redis)> {
    let server = Server::start(&[]).await?;
    let (one, two) = (server.node().await, server.node().await);
    Some((server, one, two))
}

mod holds_to_the_contract {
    crate::contract::tests!(super::nodes);
}
