//! HTTP/1.1 and HTTP/2 on one port, with and without TLS, and `/echo` over each of them.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Outcome, PATIENCE, Server, file};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openline::tokio::{WebSocket, connect_on};
use openline::{Client, ClientRequest, CloseCode, Deflate, HandshakeConfig, Response, Seed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

type Sender = SendRequest<Empty<Bytes>>;
type Socket = WebSocket<TokioIo<hyper::upgrade::Upgraded>>;

const WINDOW: u32 = 64 << 10;

async fn http2(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Outcome<Sender> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(256 * WINDOW);
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn client(at: &str, path: &str) -> Outcome<Client> {
    let mut handshake = HandshakeConfig::default();
    handshake.deflate = vec![Deflate::default()];
    Ok(Client::new(ClientRequest::new(&format!("ws://{at}{path}"))?).handshake(handshake))
}

async fn open(sender: &mut Sender, at: &str, path: &str) -> Outcome<Socket> {
    open_as(sender, &client(at, path)?).await
}

async fn open_as(sender: &mut Sender, client: &Client) -> Outcome<Socket> {
    let (request, pending) = client.connect_request(Seed::from_os()?);
    let mut request = request.to_http()?.map(|()| Empty::new());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let upgrade = pending.confirm(&Response::from_http(&response))?;
    let io = TokioIo::new(hyper::upgrade::on(response).await?);
    Ok(WebSocket::new(io, upgrade, Arc::clone(client.connection_config()), &[]))
}

async fn echoes(socket: &mut WebSocket<impl AsyncRead + AsyncWrite + Unpin>, text: &str) -> Outcome {
    socket.send(text).await?;
    let back = timeout(PATIENCE, socket.recv()).await??.ok_or("it has ended")?;
    assert_eq!(back.as_text(), Some(text));
    Ok(())
}

async fn page(sender: &mut Sender, at: &str, path: &str) -> Outcome<(u16, Bytes)> {
    let request = Request::get(format!("http://{at}{path}")).body(Empty::new())?;
    sender.ready().await?;
    let response = timeout(PATIENCE, sender.send_request(request)).await??;
    let status = response.status().as_u16();
    Ok((status, timeout(PATIENCE, response.into_body().collect()).await??.to_bytes()))
}

#[tokio::test]
async fn echo_over_http1_with_deflate() -> Outcome {
    let server = Server::start(&[]);
    let mut socket = openline::tokio::connect_with(&client(&server.at, "/echo")?).await?;
    assert!(socket.agreement().deflate.is_some());
    echoes(&mut socket, &"hello ".repeat(10_000)).await?;
    socket.close(CloseCode::NORMAL, "").await?;
    assert!(socket.closed().unwrap().is_clean());
    Ok(())
}

#[tokio::test]
async fn pages_and_sockets_on_one_connection_of_http2() -> Outcome {
    let server = Server::start(&[]);
    let mut sender = http2(TcpStream::connect(&server.at).await?).await?;
    let mut socket = open(&mut sender, &server.at, "/echo").await?;
    assert!(socket.agreement().deflate.is_some());
    echoes(&mut socket, "hello").await?;
    assert_eq!(page(&mut sender, &server.at, "/chat").await?.0, 200);
    let mut live = open(&mut sender, &server.at, "/live").await?;
    assert!(live.recv().await?.unwrap().as_text().unwrap().starts_with("{\"hello\":"));
    // Elsewhere there is no socket, and nothing else than WebSocket is spoken.
    for (path, protocol, status) in [("/chat", "websocket", 501), ("/x", "websocket", 501), ("/echo", "other", 501)] {
        let mut request = Request::connect(format!("http://{}{path}", server.at)).body(Empty::new())?;
        request.extensions_mut().insert(Protocol::from_static(protocol));
        request.headers_mut().insert("sec-websocket-version", "13".parse()?);
        sender.ready().await?;
        assert_eq!(sender.send_request(request).await?.status(), status, "{path} {protocol}");
    }
    sender.ready().await?;
    let tunnel = Request::connect(&*server.at).body(Empty::new())?;
    assert_eq!(sender.send_request(tunnel).await?.status(), 501);
    // A page of another site may not come this way either.
    let evil = ClientRequest::new(&format!("ws://{}/live", server.at))?.header("Origin", "http://evil.example")?;
    let (request, pending) = Client::new(evil).connect_request(Seed::from_os()?);
    let mut request = request.to_http()?.map(|()| Empty::new());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    assert_eq!(response.status(), 403);
    assert!(pending.confirm(&Response::from_http(&response)).is_err());
    let own =
        ClientRequest::new(&format!("ws://{}/live", server.at))?.header("Origin", &format!("http://{}", server.at))?;
    let (request, _) = Client::new(own).connect_request(Seed::from_os()?);
    let mut request = request.to_http()?.map(|()| Empty::new());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    sender.ready().await?;
    assert_eq!(sender.send_request(request).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn one_connection_has_250_streams_and_20_stalled_ones_stop_nothing() -> Outcome {
    let server = Server::start(&[]);
    let mut sender = http2(TcpStream::connect(&server.at).await?).await?;
    // Without compression, so that 60,000 zeros are so many bytes.
    let plain = Client::new(ClientRequest::new(&format!("ws://{}/echo", server.at))?);
    let mut sockets = Vec::new();
    for _ in 0..249 {
        sockets.push(open_as(&mut sender, &plain).await?);
    }
    // These say what they can, and read nothing.
    let mut stalled = tokio::task::JoinSet::new();
    for mut socket in sockets.drain(..20) {
        stalled.spawn(async move { while socket.feed(vec![0; 60_000]).await.is_ok() {} });
    }
    // More than the windows of the stalled ones hold.
    let long = "a".repeat(100_000);
    for (round, socket) in sockets.iter_mut().take(20).enumerate() {
        let (status, body) = page(&mut sender, &server.at, "/").await?;
        assert!(status == 200 && body.trim_ascii_end().ends_with(b"</html>"), "round {round}");
        echoes(socket, &long).await?;
    }
    for socket in &mut sockets {
        echoes(socket, "hello").await?;
    }
    assert!(stalled.try_join_next().is_none(), "a stalled socket has ended");
    Ok(())
}

async fn tls(server: &Server, ca: &std::path::Path, protocols: &[&[u8]]) -> Outcome<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(&server.at).await?;
    Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
}

#[tokio::test]
async fn tls_has_both_versions_by_alpn() -> Outcome {
    let ca = file("ca.pem");
    let server = Server::start(&["--tls", "--ca-out", ca.to_str().unwrap()]);
    assert_eq!(server.scheme, "https");
    let stream = tls(&server, &ca, &[b"http/1.1", b"h2"]).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the server likes HTTP/2 better");
    let mut sender = http2(stream).await?;
    echoes(&mut open(&mut sender, &server.at, "/echo").await?, "hello").await?;
    assert_eq!(page(&mut sender, &server.at, "/").await?.0, 200);
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let stream = tls(&server, &ca, protocols).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), protocols.first().copied());
        let mut socket = connect_on(&client(&server.at, "/echo")?, stream).await?;
        echoes(&mut socket, "hello").await?;
    }
    assert!(tls(&server, &ca, &[b"other"]).await.is_err());
    Ok(())
}
