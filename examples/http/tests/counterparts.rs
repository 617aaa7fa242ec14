//! Each example against a real counterpart, over loopback.

use std::future::Future;

use bytes::Bytes;
use http_body_util::Empty;
use openline::{Client, ClientRequest, HandshakeConfig, HandshakeError, Message, Response, Server};
use openline_http_examples::hyper_server::Host;
use openline_http_examples::{actix_server, axum_extractor, h2_server, hyper_client};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn server() -> Server {
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["chat".into()];
    handshake.deflate = vec![openline::Deflate::default()];
    Server::default().handshake(handshake)
}

fn client(uri: &str) -> Client {
    let mut handshake = HandshakeConfig::default();
    handshake.deflate = vec![openline::Deflate::default()];
    Client::new(ClientRequest::new(uri).unwrap().subprotocol("chat").unwrap()).handshake(handshake)
}

async fn listen<F: Future<Output = std::io::Result<()>> + Send + 'static>(
    serve: impl FnOnce(TcpListener) -> F,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(listener));
    at
}

/// Text and binary, short and longer than any window of HTTP/2, come back, and both ends end cleanly.
async fn talk(mut socket: openline::tokio::WebSocket<impl AsyncRead + AsyncWrite + Unpin>) -> Outcome {
    for message in [Message::from("Hello"), Message::from(vec![7; 10]), Message::from(vec![9; 3_000_000])] {
        let sent = message.clone().into_owned();
        let (mut received, mut sender) = (None, Some(sent));
        while received.is_none() {
            if let Some(message) = sender.take() {
                socket.send(message).await?;
            }
            received = socket.recv().await?;
            assert!(received.is_some(), "the server ended: {:?}", socket.closed());
        }
        assert!(received == Some(message.into_owned()));
    }
    socket.close(openline::CloseCode::NORMAL, "").await?;
    assert_eq!(socket.closed().unwrap().cause, openline::Cause::Clean);
    Ok(())
}

#[tokio::test]
async fn hyper_serves_http1_and_http2_on_one_port() -> Outcome {
    let at = listen(|listener| Host::new(server()).serve(listener)).await;
    let client = client(&format!("ws://{at}/echo"));
    // Our own client, and hyper's.
    let socket = openline::tokio::connect_with(&client).await?;
    assert_eq!(socket.agreement().subprotocol.as_deref(), Some("chat"));
    assert!(socket.agreement().deflate.is_some());
    talk(socket).await?;
    talk(hyper_client::over_http1(&client, TcpStream::connect(&at).await?).await?).await?;
    // Two sockets and a page on one connection of HTTP/2.
    let mut connection = hyper_client::http2_connection(TcpStream::connect(&at).await?).await?;
    let first = hyper_client::over_http2(&client, &mut connection).await?;
    assert!(first.agreement().deflate.is_some());
    let second = hyper_client::over_http2(&client, &mut connection).await?;
    talk(second).await?;
    let page = http::Request::get(format!("http://{at}/")).body(Empty::<Bytes>::new())?;
    assert_eq!(connection.send_request(page).await?.status(), 200);
    talk(first).await
}

/// Sockets that nobody reads hold up their own streams: another socket and the page go on. Each of them holds back between
/// half of its window and all of it, for windows are enlarged by halves.
#[tokio::test]
async fn stalled_sockets_on_http2_stop_nobody_else() -> Outcome {
    /// Says what it can, and reads nothing: the echo fills the window of its stream.
    async fn endless(mut socket: hyper_client::Socket) {
        while socket.feed(vec![0; 60_000]).await.is_ok() {}
    }
    let hyper = listen(|listener| Host::new(server()).serve(listener)).await;
    let h2 = listen(|listener| h2_server::serve(listener, server(), openline_http_examples::echo)).await;
    for (at, page) in [(hyper, 200), (h2, 400)] {
        let client = Client::new(ClientRequest::new(&format!("ws://{at}/echo"))?);
        let mut connection = hyper_client::http2_connection(TcpStream::connect(&at).await?).await?;
        let mut stalled = JoinSet::new();
        for _ in 0..4 {
            stalled.spawn(endless(hyper_client::over_http2(&client, &mut connection).await?));
        }
        // The bytes of all take turns, and these are more than the stalled sockets find room for.
        talk(hyper_client::over_http2(&client, &mut connection).await?).await?;
        let request = http::Request::get(format!("http://{at}/")).body(Empty::<Bytes>::new())?;
        assert_eq!(connection.send_request(request).await?.status(), page);
        assert!(stalled.try_join_next().is_none(), "a stalled socket has ended");
    }
    Ok(())
}

/// What is refused over HTTP/2, by the status alone: nothing of HTTP/1.1's upgrade stands in it.
#[tokio::test]
async fn refusals_over_http2() -> Outcome {
    use hyper::ext::Protocol;
    let at = listen(|listener| Host::new(server()).serve(listener)).await;
    let mut connection = hyper_client::http2_connection(TcpStream::connect(&at).await?).await?;
    for (path, protocol, version, status) in [
        ("/echo", "websocket", Some("13"), 200),
        ("/echo", "WebSocket", None, 200),
        ("/echo", "websocket", Some("8"), 400),
        ("/echo", "connect-udp", Some("13"), 501),
        ("/", "websocket", Some("13"), 501),
    ] {
        let mut request = http::Request::connect(format!("http://{at}{path}")).body(Empty::<Bytes>::new())?;
        if let Some(version) = version {
            request.headers_mut().insert("sec-websocket-version", version.parse()?);
        }
        request.extensions_mut().insert(Protocol::from_static(protocol));
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        assert_eq!(response.status(), status, "{path} {protocol} {version:?}");
        for name in ["upgrade", "connection"] {
            assert!(!response.headers().contains_key(name), "{name} with {status}");
        }
    }
    // A CONNECT without `:protocol` is for a proxy, which this is not.
    connection.ready().await?;
    let request = http::Request::connect(at.as_str()).body(Empty::<Bytes>::new())?;
    assert_eq!(connection.send_request(request).await?.status(), 501);
    Ok(())
}

#[tokio::test]
async fn axum_extracts_over_http1_and_http2() -> Outcome {
    let app = axum_extractor::app().layer(axum::Extension(server()));
    let at = listen(|listener| async { axum::serve(listener, app).await }).await;
    let client = client(&format!("ws://{at}/echo"));
    let socket = openline::tokio::connect_with(&client).await?;
    assert_eq!(socket.agreement().subprotocol.as_deref(), Some("chat"));
    talk(socket).await?;
    let mut connection = hyper_client::http2_connection(TcpStream::connect(&at).await?).await?;
    talk(hyper_client::over_http2(&client, &mut connection).await?).await?;
    // A plain request gets the refusal, body and all.
    let page = http::Request::get(format!("http://{at}/echo")).body(Empty::<Bytes>::new())?;
    let response = connection.send_request(page).await?;
    assert_eq!(response.status(), 400);
    Ok(())
}

#[tokio::test]
async fn h2_without_hyper() -> Outcome {
    let at = listen(|listener| h2_server::serve(listener, server(), openline_http_examples::echo)).await;
    let client = client(&format!("ws://{at}/echo"));
    let mut connection = hyper_client::http2_connection(TcpStream::connect(&at).await?).await?;
    let socket = hyper_client::over_http2(&client, &mut connection).await?;
    assert!(socket.agreement().deflate.is_some());
    talk(socket).await?;
    let page = http::Request::get(format!("http://{at}/")).body(Empty::<Bytes>::new())?;
    // Neither a page nor a tunnel is a WebSocket, and HTTP/2 has no 426.
    let tunnel = http::Request::connect(at.as_str()).body(Empty::<Bytes>::new())?;
    for request in [page, tunnel] {
        let response = connection.send_request(request).await?;
        assert_eq!((response.status().as_u16(), &response.headers()["sec-websocket-version"]), (400, &"13".parse()?));
    }
    Ok(())
}

/// A refusal over HTTP/1.1, read by hyper's client.
#[tokio::test]
async fn a_client_is_told_of_a_refusal() -> Outcome {
    let at = listen(|listener| Host::new(server()).serve(listener)).await;
    let client = Client::new(ClientRequest::new(&format!("ws://{at}/nothing"))?);
    let error = hyper_client::over_http1(&client, TcpStream::connect(&at).await?).await.err().unwrap();
    assert_eq!(error.downcast_ref(), Some(&HandshakeError::Refused { status: 404 }));
    // And one that another kind of server gives.
    let (_, pending) = client.connect_request([7; 32]);
    assert_eq!(pending.confirm(&Response::new(502)).err(), Some(HandshakeError::Refused { status: 502 }));
    Ok(())
}

#[test]
fn actix_has_a_request_made_by_hand() -> Outcome {
    use actix_web::{App, HttpServer, web};
    let system = actix_web::rt::System::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    system.block_on(async {
        let app = || App::new().app_data(web::Data::new(server())).route("/echo", web::get().to(actix_server::echo));
        let running = HttpServer::new(app).workers(1).listen(listener)?.run();
        actix_web::rt::spawn(running);
        let socket = openline::tokio::connect_with(&client(&format!("ws://{at}/echo"))).await?;
        assert_eq!(socket.agreement().subprotocol.as_deref(), Some("chat"));
        talk(socket).await
    })
}
