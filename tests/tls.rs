//! `wss://` with both adapters, against servers of rustls on the loopback interface: good ones, and bad ones.

#![cfg(all(feature = "rustls", feature = "tokio", unix))]

#[path = "common/authority.rs"]
mod authority;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use authority::{Authority, Tls, answer, authority, raw, serve, with_authority};
use openline::net::Transport;
use openline::{
    Cause, Client, ClientRequest, CloseCode, Closed, Config, Error, HandshakeConfig, Keepalive, Message, TlsError, net,
    tokio as over_tokio,
};
use rcgen::{Issuer, date_time_ymd};
use rustls::{ServerConfig, ServerConnection};

/// TCP ends, and TLS says nothing about it.
fn end_without_notice(tls: &Tls) {
    tls.sock.shutdown(Shutdown::Write).unwrap();
}

/// Waits until the peer is gone.
fn wait_for_the_end(mut tcp: &TcpStream) {
    while tcp.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {}
}

/// A server's transport for the blocking adapter. The keys change with every fifth write.
struct Served {
    tls: Tls,
    writes: u32,
}

impl Read for Served {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tls.read(buffer)
    }
}

impl Write for Served {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes.is_multiple_of(5) {
            self.tls.conn.refresh_traffic_keys().unwrap();
        }
        self.tls.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tls.flush()
    }
}

impl Transport for Served {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tls.sock.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tls.sock.set_write_timeout(timeout)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.tls.conn.send_close_notify();
        self.tls.flush()?;
        self.tls.sock.shutdown(Shutdown::Write)
    }
}

/// Sends back what comes.
fn echo(tls: Tls) {
    let mut socket = net::accept(Served { tls, writes: 0 }).unwrap();
    while let Some(message) = socket.recv().unwrap() {
        socket.feed(message).unwrap();
    }
}

// Clients, which do the same over both adapters.

fn client(host: &str, port: u16) -> Client {
    Client::new(ClientRequest::new(&format!("wss://{host}:{port}/chat?x")).unwrap())
}

/// A client that gives up soon.
fn impatient(port: u16, millis: u64) -> Client {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_millis(millis);
    client("localhost", port).handshake(handshake)
}

fn runtime() -> ::tokio::runtime::Runtime {
    ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a client receives, and how it ends.
type Heard = (Vec<Message<'static>>, Result<Closed, Error>);

/// Connects, receives to the end, with both adapters.
fn hear(client: &Client) -> [Heard; 2] {
    let blocking = || {
        let mut socket = match net::connect_with(client) {
            Ok(socket) => socket,
            Err(error) => return (vec![], Err(error)),
        };
        let mut heard = vec![];
        loop {
            match socket.recv() {
                Ok(Some(message)) => heard.push(message),
                Ok(None) => return (heard, Ok(socket.closed().unwrap().clone())),
                Err(error) => return (heard, Err(error)),
            }
        }
    };
    let waiting = async {
        let mut socket = match over_tokio::connect_with(client).await {
            Ok(socket) => socket,
            Err(error) => return (vec![], Err(error)),
        };
        let mut heard = vec![];
        loop {
            match socket.recv().await {
                Ok(Some(message)) => heard.push(message),
                Ok(None) => return (heard, Ok(socket.closed().unwrap().clone())),
                Err(error) => return (heard, Err(error)),
            }
        }
    };
    [blocking(), runtime().block_on(waiting)]
}

/// The errors with which connecting fails.
fn refused(client: &Client) -> [Error; 2] {
    hear(client).map(|(_, end)| end.unwrap_err())
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| format!("{error}: {}", chain(source)))
}

const SIZES: [usize; 8] = [0, 1, 125, 126, 16_384, 65_536, 200_000, 1 << 20];

fn data(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn messages_go_both_ways() {
    with_authority("messages_go_both_ways", |authority| {
        for host in ["localhost", "127.0.0.1"] {
            let mut config = authority.good();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let client = client(host, serve(config, echo));

            let mut socket = net::connect_with(&client).unwrap();
            assert!(socket.get_ref().is_tls() && socket.get_ref().tcp().nodelay().unwrap());
            for size in SIZES {
                socket.send(data(size)).unwrap();
                assert!(socket.recv().unwrap() == Some(Message::from(data(size))), "{size}");
            }
            socket.close(CloseCode::NORMAL, "").unwrap();
            assert_eq!(socket.closed().unwrap().cause, Cause::Clean);

            runtime().block_on(async {
                let mut socket = over_tokio::connect_with(&client).await.unwrap();
                assert!(socket.get_ref().is_tls() && socket.get_ref().tcp().nodelay().unwrap());
                for size in SIZES {
                    socket.send(data(size)).await.unwrap();
                    assert!(socket.recv().await.unwrap() == Some(Message::from(data(size))), "{size}");
                }
                socket.close(CloseCode::NORMAL, "").await.unwrap();
                assert_eq!(socket.closed().unwrap().cause, Cause::Clean);
            });
        }
    });
}

/// The halves in two threads, while the server changes its keys, and asks for ours to change.
#[test]
fn halves_in_two_threads_while_keys_change() {
    with_authority("halves_in_two_threads_while_keys_change", |authority| {
        let client = client("localhost", serve(authority.good(), echo));
        let size = |at: usize| (at * at * 31) % 9000;
        let (mut receiver, mut sender) = net::connect_with(&client).unwrap().split().unwrap();
        let sending: JoinHandle<_> = thread::spawn(move || {
            for at in 0..400 {
                sender.send(data(size(at))).unwrap();
            }
            sender
        });
        for at in 0..400 {
            assert!(receiver.recv().unwrap() == Some(Message::from(data(size(at)))), "message {at}");
        }
        let mut socket = receiver.reunite(sending.join().unwrap()).unwrap();
        socket.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(socket.closed().unwrap().cause, Cause::Clean);

        runtime().block_on(async {
            let (mut receiver, mut sender) = over_tokio::connect_with(&client).await.unwrap().split();
            let sending = async {
                for at in 0..400 {
                    sender.send(data(size(at))).await.unwrap();
                }
            };
            let receiving = async {
                for at in 0..400 {
                    assert!(receiver.recv().await.unwrap() == Some(Message::from(data(size(at)))), "message {at}");
                }
            };
            ::tokio::join!(sending, receiving);
        });
    });
}

/// Notes what a server gets of HTTP, which is nothing if TLS fails.
fn noting(config: ServerConfig) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let noted: Arc<Mutex<Vec<u8>>> = Arc::default();
    let note = Arc::clone(&noted);
    let port = serve(config, move |mut tls| {
        let mut read = Vec::new();
        let _ = tls.read_to_end(&mut read);
        note.lock().unwrap().extend(read);
    });
    (port, noted)
}

#[test]
fn a_bad_certificate_is_refused_before_http() {
    with_authority("a_bad_certificate_is_refused_before_http", |authority| {
        let expired = authority.server(&["localhost"], |params| params.not_after = date_time_ymd(2000, 1, 1));
        for (config, why) in [
            (expired, "expired"),
            (authority.server(&["elsewhere"], |_| {}), "not valid for name"),
            (Authority::unknown().good(), "UnknownIssuer"),
        ] {
            let (port, noted) = noting(config);
            for error in refused(&client("localhost", port)) {
                assert!(matches!(error, Error::Tls(TlsError::Certificate(_))), "{error:?}");
                assert!(!error.is_transient() && chain(&error).contains(why), "{}", chain(&error));
            }
            assert!(noted.lock().unwrap().is_empty());
        }
    });
}

#[test]
fn a_server_of_http_2_alone_is_refused_before_http() {
    with_authority("a_server_of_http_2_alone_is_refused_before_http", |authority| {
        let mut config = authority.good();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (port, noted) = noting(config);
        for error in refused(&client("localhost", port)) {
            assert!(matches!(error, Error::Tls(TlsError::Alpn)), "{error:?}");
        }
        assert!(noted.lock().unwrap().is_empty());
    });
}

#[test]
fn a_server_without_tls_is_refused_and_gets_no_http() {
    with_authority("a_server_without_tls_is_refused_and_gets_no_http", |_| {
        let port = raw(|mut tcp| {
            let mut hello = [0; 1024];
            let len = tcp.read(&mut hello).unwrap();
            assert!(!hello[..len].windows(4).any(|bytes| bytes == b"GET "));
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            wait_for_the_end(&tcp);
        });
        for error in refused(&client("localhost", port)) {
            assert!(matches!(error, Error::Tls(TlsError::Protocol(_))), "{error:?}");
        }
        // One that says nothing, and ends.
        let port = raw(|mut tcp| {
            let _ = tcp.read(&mut [0; 1024]);
        });
        for error in refused(&client("localhost", port)) {
            assert!(matches!(error, Error::Tls(TlsError::Io(_))), "{error:?}");
        }
    });
}

#[test]
fn an_end_without_close_notify_is_an_end() {
    with_authority("an_end_without_close_notify_is_an_end", |authority| {
        let port = serve(authority.good(), |mut tls| {
            answer(&mut tls);
            tls.write_all(b"\x81\x05hello").unwrap();
            end_without_notice(&tls);
            wait_for_the_end(&tls.sock);
        });
        for (heard, end) in hear(&client("localhost", port)) {
            assert_eq!(heard, [Message::from("hello")]);
            assert_eq!(end.unwrap().code, CloseCode::ABNORMAL);
        }
        // After both Close frames nothing is missing.
        let port = serve(authority.good(), |mut tls| {
            answer(&mut tls);
            tls.write_all(b"\x88\x02\x03\xe8").unwrap();
            let mut close = [0; 8];
            tls.read_exact(&mut close).unwrap();
            assert_eq!(close[0], 0x88);
            end_without_notice(&tls);
            wait_for_the_end(&tls.sock);
        });
        for (_, end) in hear(&client("localhost", port)) {
            let closed = end.unwrap();
            assert_eq!((closed.code, closed.cause), (CloseCode::NORMAL, Cause::Clean));
        }
    });
}

/// A frame that is cut off, at a record or within one, is never a message; whether or not a close_notify comes.
#[test]
fn a_frame_that_is_cut_off_is_no_message() {
    with_authority("a_frame_that_is_cut_off_is_no_message", |authority| {
        for (notice, in_record) in [(false, false), (true, false), (false, true)] {
            let port = serve(authority.good(), move |mut tls| {
                answer(&mut tls);
                tls.write_all(b"\x81\x05hello\x81\x05hel").unwrap();
                if notice {
                    tls.conn.send_close_notify();
                    tls.flush().unwrap();
                }
                if in_record {
                    tls.conn.writer().write_all(b"lo").unwrap();
                    let mut record = Vec::new();
                    tls.conn.write_tls(&mut record).unwrap();
                    tls.sock.write_all(&record[..record.len() - 1]).unwrap();
                }
                end_without_notice(&tls);
                wait_for_the_end(&tls.sock);
            });
            for (heard, end) in hear(&client("localhost", port)) {
                assert_eq!(heard, [Message::from("hello")]);
                assert_eq!(end.unwrap().code, CloseCode::ABNORMAL);
            }
        }
    });
}

/// Says a byte again and again, until the peer is gone. A whole record of them would take minutes.
fn drip(mut tcp: &TcpStream, header: [u8; 5]) {
    let mut byte = &header[..];
    while tcp.write_all(&byte[..1]).is_ok() {
        byte = if byte.len() > 1 { &byte[1..] } else { &[0] };
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up() {
    with_authority("a_handshake_that_takes_too_long_is_given_up", |authority| {
        let timed_out = |port| {
            for error in refused(&impatient(port, 300)) {
                let Error::Tls(TlsError::Io(inner)) = &error else { panic!("{error:?}") };
                assert!(inner.kind() == io::ErrorKind::TimedOut && error.is_transient(), "{error:?}");
            }
        };
        timed_out(raw(|tcp| wait_for_the_end(&tcp)));
        timed_out(raw(|tcp| drip(&tcp, [22, 3, 3, 0x3f, 0xff])));
        // TLS is there, within this time on a slow machine too, and then HTTP takes too long.
        let port = serve(authority.good(), |mut tls| {
            let _ = tls.read(&mut [0; 1024]);
            drip(&tls.sock, [23, 3, 3, 0x3f, 0xff]);
        });
        for error in refused(&impatient(port, 2000)) {
            assert!(matches!(error, Error::Handshake(openline::HandshakeError::TimedOut)), "{error:?}");
        }
    });
}

/// The deadlines of a connection hold byte by byte, though a record that is not whole tells nothing.
#[test]
fn a_record_that_drips_delays_no_deadline() {
    with_authority("a_record_that_drips_delays_no_deadline", |authority| {
        let port = serve(authority.good(), |mut tls| {
            answer(&mut tls);
            drip(&tls.sock, [23, 3, 3, 0x3f, 0xff]);
        });
        let mut config = Config::default();
        config.keepalive = Some(Keepalive::new(Duration::from_millis(100), Duration::from_millis(100)));
        // One read of the stream is one read of TCP, after which the adapter looks at its deadlines.
        let (mut stream, ..) = net::connect_with(&client("localhost", port)).unwrap().into_parts();
        for _ in 0..10 {
            stream.set_read_timeout(None).unwrap();
            assert_eq!(stream.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        drop(stream);
        for (_, end) in hear(&client("localhost", port).config(config)) {
            assert!(matches!(end, Err(Error::PongTimeout)), "{end:?}");
        }
        // A limit of the caller's holds too.
        let mut socket = net::connect_with(&client("localhost", port)).unwrap();
        for _ in 0..3 {
            let waited = socket.recv_timeout(Duration::from_millis(20));
            assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
        }
    });
}

#[test]
fn a_server_that_does_not_read_is_given_up() {
    with_authority("a_server_that_does_not_read_is_given_up", |authority| {
        let mut stalled = Vec::new();
        let port = serve(authority.good(), move |mut tls| {
            answer(&mut tls);
            // It stays, and the next client gets one of its own.
            stalled.push(tls);
        });
        let mut config = Config::default();
        config.stall_timeout = Some(Duration::from_millis(300));
        config.keepalive = None;
        let client = client("localhost", port).config(config);
        let mut socket = net::connect_with(&client).unwrap();
        let error = loop {
            if let Err(error) = socket.send(data(1 << 20)) {
                break error;
            }
        };
        assert!(matches!(error, Error::StallTimeout), "{error:?}");
        runtime().block_on(async {
            let mut socket = over_tokio::connect_with(&client).await.unwrap();
            let error = loop {
                if let Err(error) = socket.send(data(1 << 20)).await {
                    break error;
                }
            };
            assert!(matches!(error, Error::StallTimeout), "{error:?}");
        });
    });
}

/// The connector of `examples/support/own_ca.rs` is documented for this: other certificates than the platform's.
#[test]
fn a_connector_of_ones_own() {
    let (certificate, key) = authority("own");
    let own = Authority(Issuer::from_ca_cert_pem(&certificate, key).unwrap());
    let client = client("localhost", serve(own.good(), echo));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    runtime().block_on(async {
        let stream = over_tokio::connect_tcp(&client).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let mut socket = over_tokio::connect_on(&client, stream).await.unwrap();
        socket.send("Hello").await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some(Message::from("Hello")));
        socket.close(CloseCode::NORMAL, "").await.unwrap();
    });
}

/// What the manual says that a TLS session keeps at most, whatever the peer does and however much is written.
#[test]
fn a_session_takes_little_memory() {
    with_authority("a_session_takes_little_memory", |authority| {
        let mut server = ServerConnection::new(Arc::new(authority.good())).unwrap();
        server.set_buffer_limit(None);
        let mut bytes = Vec::new();
        // The configuration is made once per process.
        drop(openline::driver::TlsSession::new("localhost").unwrap());
        let mut client = None;
        let mut most = allocation_counter::measure(|| {
            client = Some(openline::driver::TlsSession::new("localhost").unwrap());
        });
        let client = client.as_mut().unwrap();
        let mut kept = most.bytes_current;
        let mut measured = |run: &mut dyn FnMut()| {
            let now = allocation_counter::measure(run);
            most.bytes_max = most.bytes_max.max(u64::try_from(kept).unwrap() + now.bytes_max);
            kept += now.bytes_current;
        };
        while !client.is_open().unwrap() {
            let mut out = Vec::with_capacity(4096);
            measured(&mut || client.transmit(&mut out));
            server.read_tls(&mut &out[..]).unwrap();
            server.process_new_packets().unwrap();
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            measured(&mut || client.receive(&bytes));
        }
        let mut out = Vec::new();
        measured(&mut || client.transmit(&mut out));
        server.read_tls(&mut &out[..]).unwrap();
        server.process_new_packets().unwrap();
        // Records of every length come, as an adapter reads them, and are read a byte at a time; and much is written.
        for len in (1..=16_384).rev().step_by(997).chain([16_384; 8]) {
            server.writer().write_all(&data(len)).unwrap();
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let (long, mut read, mut transmitted) = (data(1 << 20), 0, Vec::with_capacity(1 << 20));
        for piece in bytes.chunks(16 * 1024 + 256) {
            measured(&mut || {
                client.receive(piece);
                let _ = client.write(&long);
                while client.read(&mut [0]).is_ok() {
                    read += 1;
                }
                client.transmit(&mut transmitted);
            });
        }
        assert!(read > 16 * 16_384, "{read}");
        assert!(most.bytes_max < 160 * 1024, "{} bytes", most.bytes_max);
    });
}

/// Through a proxy, which sees no byte of HTTP but its own.
#[test]
fn a_tunnel_through_a_proxy() {
    with_authority("a_tunnel_through_a_proxy", |authority| {
        let port = serve(authority.good(), echo);
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let see = Arc::clone(&seen);
        let proxy = raw(move |mut tcp| {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                tcp.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            assert_eq!(head, format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").as_bytes());
            let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut back, mut from) = (tcp.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut back));
            let see = Arc::clone(&see);
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = tcp.read(&mut buffer) {
                    see.lock().unwrap().extend(&buffer[..len]);
                    server.write_all(&buffer[..len]).unwrap();
                }
                let _ = server.shutdown(Shutdown::Write);
            });
        });
        let client = client("localhost", port).proxy(format!("http://127.0.0.1:{proxy}").parse().unwrap());
        let mut socket = net::connect_with(&client).unwrap();
        socket.send("Hello").unwrap();
        assert_eq!(socket.recv().unwrap(), Some(Message::from("Hello")));
        assert_eq!(socket.get_ref().tcp().peer_addr().unwrap().port(), proxy);
        socket.close(CloseCode::NORMAL, "").unwrap();
        runtime().block_on(async {
            let mut socket = over_tokio::connect_with(&client).await.unwrap();
            socket.send("Hello").await.unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some(Message::from("Hello")));
            socket.close(CloseCode::NORMAL, "").await.unwrap();
        });
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0], 22, "a record of the TLS handshake");
        assert!(!seen.windows(5).any(|bytes| bytes == b"/chat"));
    });
}
