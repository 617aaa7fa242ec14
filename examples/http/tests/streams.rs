//! How a stream of HTTP/2 may end, and what its WebSocket makes of it. The client is the `h2` crate, which says each frame
//! by itself.

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use openline::{Accept, Cause, CloseCode, Closed, Server};
use openline_http_examples::axum_extractor::WebSocketUpgrade;
use openline_http_examples::h2_server;
use openline_http_examples::hyper_server::Host;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A frame of a client, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Bytes {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat().into()
}

/// A server, and a connection to it.
struct Line {
    requests: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
    /// How each socket ended.
    ends: mpsc::UnboundedReceiver<Option<Closed>>,
}

/// Whose HTTP/2 the server speaks.
#[derive(Clone, Copy)]
enum Library {
    Axum,
    H2,
}

/// Sends back what comes, and says how the socket ended.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: openline::tokio::WebSocket<S>,
    ended: mpsc::UnboundedSender<Option<Closed>>,
) {
    while let Ok(Some(message)) = socket.recv().await {
        drop(socket.feed(message).await);
    }
    drop(ended.send(socket.closed().cloned()));
}

async fn connect(library: Library) -> Outcome<Line> {
    let (ended, ends) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    match library {
        Library::Axum => {
            let handler = move |upgrade: WebSocketUpgrade| async move {
                upgrade.accept(Accept::default(), |socket| echo(socket, ended))
            };
            tokio::spawn(async { axum::serve(listener, Router::new().route("/echo", any(handler))).await });
        }
        Library::H2 => {
            let handle = move |socket| echo(socket, ended.clone());
            tokio::spawn(h2_server::serve(listener, Server::default(), handle));
        }
    }
    let (requests, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(async { drop(connection.await) });
    Ok(Line { requests, connection, ends })
}

/// A WebSocket that has echoed a message.
async fn open(requests: &SendRequest<Bytes>) -> Outcome<(SendStream<Bytes>, RecvStream)> {
    let mut requests = requests.clone().ready().await?;
    let mut request = http::Request::connect("http://h/echo").version(http::Version::HTTP_2).body(())?;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, mut sending) = requests.send_request(request, false)?;
    let response = response.await?;
    assert_eq!(response.status(), 200);
    let mut receiving = response.into_body();
    sending.send_data(frame(0x81, b"a"), false)?;
    assert_eq!(receiving.data().await.unwrap()?, &b"\x81\x01a"[..]);
    Ok((sending, receiving))
}

/// What comes until the stream has ended in order.
async fn rest(receiving: &mut RecvStream) -> Outcome<Vec<u8>> {
    let mut rest = vec![];
    while let Some(data) = receiving.data().await {
        rest.extend_from_slice(&data?);
    }
    Ok(rest)
}

fn cut_short(closed: Option<Option<Closed>>) {
    let closed = closed.flatten().expect("it has ended");
    assert_eq!((closed.code, closed.cause), (CloseCode::ABNORMAL, Cause::Eof));
}

/// RFC 8441 §5: an orderly end of TCP is END_STREAM here, and the server says it behind its Close frame.
#[tokio::test]
async fn after_both_close_frames_the_stream_ends_in_order() -> Outcome {
    for library in [Library::Axum, Library::H2] {
        let Line { requests, connection: _connection, mut ends } = connect(library).await?;
        let (mut sending, mut receiving) = open(&requests).await?;
        sending.send_data(frame(0x88, &[3, 0xe8]), false)?;
        assert_eq!(rest(&mut receiving).await?, b"\x88\x02\x03\xe8");
        sending.send_data(Bytes::new(), true)?;
        let closed = ends.recv().await.flatten().unwrap();
        assert_eq!((closed.code, closed.cause), (CloseCode::NORMAL, Cause::Clean));
    }
    Ok(())
}

/// END_STREAM without a Close frame is an end of TCP without one.
#[tokio::test]
async fn end_stream_without_a_close_frame_is_1006() -> Outcome {
    for library in [Library::Axum, Library::H2] {
        let Line { requests, connection: _connection, mut ends } = connect(library).await?;
        let (mut sending, _receiving) = open(&requests).await?;
        sending.send_data(Bytes::new(), true)?;
        cut_short(ends.recv().await);
    }
    Ok(())
}

/// RFC 8441 §5: RST_STREAM with CANCEL is a reset of TCP. Other streams go on.
#[tokio::test]
async fn a_cancelled_stream_is_1006_and_the_others_go_on() -> Outcome {
    for library in [Library::Axum, Library::H2] {
        let Line { requests, connection: _connection, mut ends } = connect(library).await?;
        let (mut sending, _receiving) = open(&requests).await?;
        let (mut other, mut others) = open(&requests).await?;
        sending.send_data(Bytes::from_static(b"\x81\x85half"), false)?;
        sending.send_reset(Reason::CANCEL);
        cut_short(ends.recv().await);
        other.send_data(frame(0x81, b"b"), false)?;
        assert_eq!(others.data().await.unwrap()?, &b"\x81\x01b"[..]);
    }
    Ok(())
}

/// When the connection goes, so do all of its sockets.
#[tokio::test]
async fn the_end_of_the_connection_is_1006_for_each_socket() -> Outcome {
    for library in [Library::Axum, Library::H2] {
        let Line { requests, connection, mut ends } = connect(library).await?;
        let _first = open(&requests).await?;
        let _second = open(&requests).await?;
        connection.abort();
        cut_short(ends.recv().await);
        cut_short(ends.recv().await);
    }
    Ok(())
}

/// A fault is answered by a Close frame, and then the stream ends.
#[tokio::test]
async fn a_fault_has_its_close_frame_before_the_stream_ends() -> Outcome {
    for library in [Library::Axum, Library::H2] {
        let Line { requests, connection: _connection, mut ends } = connect(library).await?;
        let (mut sending, mut receiving) = open(&requests).await?;
        sending.send_data(Bytes::from_static(b"\x83\x80\0\0\0\0"), false)?;
        let rest = rest(&mut receiving).await?;
        assert_eq!((rest[0], &rest[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
        sending.send_data(Bytes::new(), true)?;
        assert!(matches!(ends.recv().await.flatten().unwrap().cause, Cause::Protocol(_)));
    }
    Ok(())
}

/// A refusal has a body, and then the stream ends.
#[tokio::test]
async fn a_refusal_has_a_body() -> Outcome {
    for library in [Library::Axum, Library::H2] {
        let Line { requests, connection: _connection, ends: _ends } = connect(library).await?;
        let mut requests = requests.ready().await?;
        let mut request = http::Request::connect("http://h/echo").version(http::Version::HTTP_2);
        request = request.header("sec-websocket-version", "8");
        let mut request = request.body(())?;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let (response, _sending) = requests.send_request(request, false)?;
        let response = response.await?;
        assert_eq!((response.status().as_u16(), &response.headers()["sec-websocket-version"]), (400, &"13".parse()?));
        let body = response.into_body().data().await.unwrap()?;
        assert_eq!(body, "Sec-WebSocket-Version is not 13\n");
    }
    Ok(())
}

/// RFC 9113 §6.8: a server that stops says GOAWAY, and opens no stream after it. The sockets that are open go on until their
/// own closing handshake, over HTTP/2 and HTTP/1.1, and the server waits for them.
#[tokio::test]
async fn after_goaway_a_socket_goes_on_until_its_close_frame() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = Host::new(Server::default()).serve_until(listener, async { drop(stopped.await) });
    let serving = tokio::spawn(serving);
    let mut over_http1 = openline::tokio::connect(&format!("ws://{at}/echo")).await?;
    let (requests, connection) = h2::client::handshake(TcpStream::connect(at).await?).await?;
    let connection = tokio::spawn(connection);
    let (mut sending, mut receiving) = open(&requests).await?;

    stop.send(()).unwrap();
    // The client's library refuses requests once it has GOAWAY. Each echo is a round trip, in which GOAWAY may come.
    let mut gone_away = false;
    while !gone_away {
        gone_away = requests.clone().ready().await.is_err();
        sending.send_data(frame(0x81, b"b"), false)?;
        let echo = receiving.data().await.unwrap()?;
        assert_eq!(echo, &b"\x81\x01b"[..]);
        receiving.flow_control().release_capacity(echo.len())?;
    }
    assert!(TcpStream::connect(at).await.is_err(), "it listens no more");

    sending.send_data(frame(0x88, &[3, 0xe8]), false)?;
    assert_eq!(rest(&mut receiving).await?, b"\x88\x02\x03\xe8");
    sending.send_data(Bytes::new(), true)?;
    // With its last stream the connection ends, and the socket over HTTP/1.1 goes on.
    connection.await??;
    over_http1.send("c").await?;
    assert_eq!(over_http1.recv().await?, Some("c".into()));
    assert!(!serving.is_finished());
    over_http1.close(CloseCode::NORMAL, "").await?;
    assert_eq!(over_http1.closed().unwrap().cause, Cause::Clean);
    serving.await??;
    Ok(())
}
