//! How a request becomes a WebSocket: over HTTP/1.1 by an upgrade, over HTTP/2 by an extended CONNECT (RFC 8441).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use openline::tokio::WebSocket;
use openline::{Accept, CloseCode, Error, Server};

use crate::serve::Place;
use crate::site::Site;

/// A socket whose bytes hyper carries.
pub type Socket = WebSocket<TokioIo<Upgraded>>;

/// The paths at which sockets are.
const PATHS: [&str; 2] = ["/echo", "/live"];

/// Whether it is a CONNECT that nothing here answers: for a proxy, or for a socket at a page.
#[must_use]
pub fn is_foreign_connect<B>(request: &http::Request<B>) -> bool {
    request.method() == Method::CONNECT && !PATHS.contains(&request.uri().path())
}

/// `/echo`.
pub async fn echo(State(site): State<Site>, request: Request) -> Response {
    let server = site.echo().clone();
    upgrade(&site.clone(), &server, request, async move |mut socket| {
        tokio::select! {
            ended = crate::echo::serve(&mut socket) => return ended,
            () = site.turn_to_go() => {}
        }
        socket.close(CloseCode::SERVICE_RESTART, "").await
    })
}

/// `/live`.
pub async fn live(State(site): State<Site>, request: Request) -> Response {
    let server = site.live().clone();
    upgrade(&site.clone(), &server, request, async move |socket| crate::live::serve(socket, site).await)
}

fn upgrade<F>(
    site: &Site,
    server: &Server,
    mut request: Request,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let protocol = request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
    let asked = openline::Request::from_http(&request, protocol.as_deref());
    let (response, upgrade) = match server.answer(&asked, &Accept::default()) {
        Ok(accepted) => accepted,
        Err(refusal) => return into_axum(&refusal.response),
    };
    if !site.origins().allow(asked.origin(), host(&request)) {
        return (StatusCode::FORBIDDEN, "pages of this origin may not connect\n").into_response();
    }
    if site.stop().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is about to end\n").into_response();
    }
    let (config, upgrading) = (Arc::clone(server.connection_config()), hyper::upgrade::on(&mut request));
    let held = (site.count_socket(), request.extensions().get::<Place>().cloned());
    site.sockets().spawn(async move {
        let _held = held;
        // hyper has sent the response when this is ready. An error on the way is the end of this client's connection.
        if let Ok(io) = upgrading.await {
            drop(serve(WebSocket::new(TokioIo::new(io), upgrade, config, &[])).await);
        }
    });
    into_axum(&response)
}

/// The authority that the client has asked: `:authority` or Host.
pub(crate) fn host<B>(request: &http::Request<B>) -> Option<&str> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    authority.or_else(|| request.headers().get(http::header::HOST)?.to_str().ok())
}

fn into_axum(response: &openline::Response) -> Response {
    response
        .to_http()
        .map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), |response| response.map(Body::from))
}
