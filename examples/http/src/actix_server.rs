//! actix-web 4, whose types are older than the `http` crate 1: the request is made by hand. actix gives the bytes that
//! come as the request's payload, and takes the bytes that go as the response's body; a pipe in memory joins them.

use std::io;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::TryStreamExt;
use openline::tokio::WebSocket;
use openline::{Accept, HandshakeError, Request, Response, Server};
use tokio::io::{join, simplex};
use tokio_util::io::{ReaderStream, StreamReader};

/// A handler, for a route of the method GET: a WebSocket that echoes.
///
/// # Errors
///
/// None that a request can cause: what is wrong with it is in the response.
pub async fn echo(
    request: HttpRequest,
    payload: Payload,
    server: Data<Server>,
) -> Result<HttpResponse, Box<dyn std::error::Error>> {
    let (response, upgrade) = match server.answer(&by_hand(&request)?, &Accept::default()) {
        Ok(accepted) => accepted,
        Err(refusal) => return Ok(into_actix(&refusal.response)?.body(refusal.response.body)),
    };
    let (outgoing, near) = simplex(64 << 10);
    let incoming = StreamReader::new(payload.map_err(io::Error::other));
    let socket = WebSocket::new(join(incoming, near), upgrade, Arc::clone(server.connection_config()), &[]);
    actix_web::rt::spawn(crate::echo(socket));
    Ok(into_actix(&response)?.upgrade("websocket").streaming(ReaderStream::new(outgoing)))
}

fn by_hand(request: &HttpRequest) -> Result<Request, HandshakeError> {
    let mut made = Request::new(request.method().as_str(), &request.uri().to_string());
    made.version = match request.version() {
        actix_web::http::Version::HTTP_10 => (1, 0),
        actix_web::http::Version::HTTP_2 => (2, 0),
        _ => (1, 1),
    };
    for (name, value) in request.headers() {
        made.headers.append(name.as_str(), value)?;
    }
    Ok(made)
}

fn into_actix(response: &Response) -> Result<actix_web::HttpResponseBuilder, Box<dyn std::error::Error>> {
    let mut made = HttpResponse::build(StatusCode::from_u16(response.status)?);
    for (name, value) in response.headers.iter() {
        made.append_header((name, value));
    }
    Ok(made)
}
