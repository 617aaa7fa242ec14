//! An extractor for axum 0.8: a handler that takes a [`WebSocketUpgrade`] is only called for requests that ask for a
//! WebSocket rightly, over HTTP/1.1 or HTTP/2. Route it with `any`, since HTTP/2 asks by CONNECT.
//!
//! `axum::serve` offers extended CONNECT by itself, and leaves the windows of HTTP/2 as hyper has them: 1 MiB for a stream and
//! for the connection, so that two sockets that nobody reads stop all others. A server of many sockets over HTTP/2 gives its
//! router to hyper itself, as [`hyper_server`](crate::hyper_server) does with its service.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;
use http::request::Parts;
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use openline::tokio::WebSocket;
use openline::{Accept, Request, Server};

/// A request for a WebSocket that is in order.
pub struct WebSocketUpgrade {
    server: Server,
    request: Request,
    on_upgrade: OnUpgrade,
}

impl WebSocketUpgrade {
    /// Accepts it; `handle` runs in a task of its own once the response has been sent.
    pub fn accept<F>(
        self,
        accept: Accept,
        handle: impl FnOnce(WebSocket<TokioIo<Upgraded>>) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let (response, upgrade) = match self.server.answer(&self.request, &accept) {
            Ok(accepted) => accepted,
            Err(refusal) => return into_axum(&refusal.response),
        };
        tokio::spawn(async move {
            if let Ok(io) = self.on_upgrade.await {
                handle(WebSocket::new(TokioIo::new(io), upgrade, Arc::clone(self.server.connection_config()), &[]))
                    .await;
            }
        });
        into_axum(&response)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let server = parts.extensions.get::<Server>().cloned().unwrap_or_default();
        let protocol = parts.extensions.get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
        let request = Request::from_http_parts(parts, protocol.as_deref());
        server.judge(&request).map_err(|refusal| into_axum(&refusal.response))?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let on_upgrade = on_upgrade.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())?;
        Ok(WebSocketUpgrade { server, request, on_upgrade })
    }
}

fn into_axum(response: &openline::Response) -> Response {
    response
        .to_http()
        .map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), |response| response.map(Body::from))
}

/// An application with an echo.
pub fn app() -> Router {
    Router::new().route("/", any(|| async { "a page" })).route(
        "/echo",
        any(|upgrade: WebSocketUpgrade| async {
            upgrade.accept(Accept::default(), |socket| async { drop(crate::echo(socket).await) })
        }),
    )
}
