//! The edges of TLS, proxies and names: what must not wait, spin, grow, be lost or leak.
//!
//! Servers are on the loopback interface or in memory. A test that needs an authority runs in a
//! process of its own.

#![cfg(all(feature = "rustls", feature = "tokio", feature = "proxy-env", unix))]

#[path = "common/authority.rs"]
mod authority;

use std::ffi::OsStr;
use std::future::Future;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use authority::{Authority, Tls, answer, raw, serve, with_authority};
use openline::driver::TlsSession;
use openline::{Client, ClientRequest, Error, Message, TlsError, net, tokio as over_tokio};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned};

/// Waits until the peer is gone.
fn wait_for_the_end(mut tcp: &TcpStream) {
    while tcp.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {}
}

fn client(host: &str, port: u16) -> Client {
    Client::new(ClientRequest::new(&format!("wss://{host}:{port}/chat?x")).unwrap())
}

fn runtime() -> ::tokio::runtime::Runtime {
    ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

// Records of TLS 1.3 that rustls would not send.

/// A server's sending side, whose keys have been taken out of rustls.
struct Records {
    encrypter: Box<dyn MessageEncrypter>,
    next: u64,
}

impl Records {
    /// Takes the connection apart. The configuration must have `enable_secret_extraction`.
    fn of(tls: Tls) -> (Records, TcpStream) {
        let StreamOwned { conn, sock } = tls;
        let suite = conn.negotiated_cipher_suite().unwrap().tls13().unwrap();
        let (next, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
        let (key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => panic!("another cipher"),
        };
        (Records { encrypter: suite.aead_alg.encrypter(key, iv), next }, sock)
    }

    fn record(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(content);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        self.next += 1;
        self.encrypter.encrypt(message, self.next - 1).unwrap().encode()
    }

    fn data(&mut self, content: &[u8]) -> Vec<u8> {
        self.record(ContentType::ApplicationData, content)
    }

    /// RFC 8446 §4.6.1: a NewSessionTicket. It fills a record, and brings the application nothing. A server may send as
    /// many as it likes.
    fn ticket(&mut self) -> Vec<u8> {
        let ticket = vec![7; 16_000];
        let mut body = vec![0, 0, 14, 16, 1, 2, 3, 4, 1, 9];
        body.extend_from_slice(&u16::try_from(ticket.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&ticket);
        body.extend_from_slice(&[0, 0]);
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        self.record(ContentType::Handshake, &[&[4, len[1], len[2], len[3]][..], &body].concat())
    }
}

/// Handshake messages that are longer than a record.
impl Records {
    /// A NewSessionTicket of 60,000 bytes, whose end is the end of a record.
    fn long_ticket(&mut self) -> Vec<u8> {
        let ticket = vec![7; 60_000];
        let mut body = vec![0, 0, 14, 16, 1, 2, 3, 4, 1, 9];
        body.extend_from_slice(&u16::try_from(ticket.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&ticket);
        body.extend_from_slice(&[0, 0]);
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[4, len[1], len[2], len[3]][..], &body].concat();
        message.chunks(16_384).flat_map(|piece| self.record(ContentType::Handshake, piece)).collect()
    }
}

/// A server whose records are made here once it has answered.
fn crafting(authority: &Authority, mut then: impl FnMut(Tls) + Send + 'static) -> u16 {
    let mut config = authority.good();
    config.enable_secret_extraction = true;
    serve(config, move |mut tls| {
        answer(&mut tls);
        then(tls);
    })
}

/// Issue 12, part 3: "Errors say *which* step failed and, for certificates, why"; `Error::is_transient` is false for
/// mistakes of the peer. Here the server resets TCP behind its certificate, so the alert about it cannot be sent.
#[test]
fn a_certificate_is_the_reason_though_its_alert_cannot_be_sent() {
    with_authority("a_certificate_is_the_reason_though_its_alert_cannot_be_sent", |_| {
        let config = Arc::new(Authority::unknown().good());
        let (hello, heard) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let (reset, is_reset) = mpsc::channel();
        let port = raw(move |mut tcp| {
            // The hello is looked at, and not taken. So the end of the socket is a reset.
            let mut bytes = [0; 8192];
            let len = loop {
                let len = tcp.peek(&mut bytes).unwrap();
                if len > 5 && len >= 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]])) {
                    break len;
                }
            };
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            tls.read_tls(&mut &bytes[..len]).unwrap();
            tls.process_new_packets().unwrap();
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight).unwrap();
            }
            hello.send(()).unwrap();
            gone.recv_timeout(Duration::from_secs(20)).unwrap();
            tcp.write_all(&flight).unwrap();
            drop(tcp);
            reset.send(()).unwrap();
        });
        let error = runtime().block_on(async {
            let client = client("localhost", port);
            let mut connecting = Box::pin(over_tokio::connect_with(&client));
            while heard.try_recv().is_err() {
                let polled = std::future::poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
                ::tokio::time::sleep(Duration::from_millis(1)).await;
            }
            go.send(()).unwrap();
            is_reset.recv_timeout(Duration::from_secs(20)).unwrap();
            connecting.await.map(drop).unwrap_err()
        });
        assert!(matches!(error, Error::Tls(TlsError::Certificate(_))), "tokio: {error:?}");
        assert!(!error.is_transient());
    });
}

/// SECURITY.md: "With the tokio adapter a connection that keeps bringing bytes gives way to other tasks after 128 KiB".
#[test]
fn records_that_bring_nothing_give_way_to_other_tasks() {
    with_authority("records_that_bring_nothing_give_way_to_other_tasks", |authority| {
        const MESSAGE: usize = 15 << 20;
        let ((go, gone), (sent, is_sent)) = (mpsc::channel(), mpsc::channel());
        let port = crafting(authority, move |tls| {
            let (mut records, mut tcp) = Records::of(tls);
            // A long message first, so that the system gives the socket long buffers.
            let mut bytes = records.data(&[&[0x82, 127][..], &MESSAGE.to_be_bytes()].concat());
            (0..MESSAGE / 16_384).for_each(|_| bytes.extend(records.data(&[7; 16_384])));
            tcp.write_all(&bytes).unwrap();
            gone.recv_timeout(Duration::from_secs(20)).unwrap();
            // As much as the system's buffers take.
            let bytes: Vec<u8> = (0..1000).flat_map(|_| records.ticket()).collect();
            tcp.set_nonblocking(true).unwrap();
            let mut all = 0;
            while let Ok(len) = tcp.write(&bytes[all..]) {
                all += len;
            }
            sent.send(all).unwrap();
            thread::park();
        });
        runtime().block_on(async {
            let mut socket = over_tokio::connect_with(&client("localhost", port)).await.unwrap();
            assert_eq!(socket.recv().await.unwrap().unwrap().as_bytes().len(), MESSAGE);
            let mut tcp = TcpStream::from(socket.get_ref().tcp().as_fd().try_clone_to_owned().unwrap());
            go.send(()).unwrap();
            let all = is_sent.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(all > 320 * 1024, "the system's buffers take {all} bytes");
            // The runtime hears that bytes are there. Then one turn of the task.
            ::tokio::time::sleep(Duration::from_millis(1)).await;
            let mut receiving = Box::pin(socket.recv());
            let polled = std::future::poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            // What it has left.
            tcp.set_nonblocking(false).unwrap();
            tcp.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let (mut left, mut buffer) = (0, vec![0; 1 << 20]);
            while let Ok(len) = tcp.read(&mut buffer) {
                left += len;
            }
            let taken = all - left;
            assert!(taken <= 160 * 1024, "one turn of the task took {taken} of {all} bytes");
        });
    });
}

/// DESIGN.md, "Time": "nobody is given up before the transport itself has said that nothing is there". Here the Pong lies
/// in TCP's buffer, behind more than a read's worth of records that bring nothing.
#[test]
fn a_pong_that_lies_in_the_transport_is_read_before_the_peer_is_given_up() {
    with_authority("a_pong_that_lies_in_the_transport_is_read_before_the_peer_is_given_up", |authority| {
        let ((go, gone), (sent, is_sent)) = (mpsc::channel(), mpsc::channel());
        let port = crafting(authority, move |mut tls| {
            let mut head = [0; 6];
            tls.read_exact(&mut head).unwrap();
            assert_eq!(head[0], 0x89, "a Ping");
            let mut payload = vec![0; usize::from(head[1] & 0x7f)];
            tls.read_exact(&mut payload).unwrap();
            payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            let (mut records, mut tcp) = Records::of(tls);
            let pong = [&[0x8a, u8::try_from(payload.len()).unwrap()][..], &payload, b"\x81\x05hello"].concat();
            let bytes = [records.ticket(), records.ticket(), records.data(&pong)].concat();
            gone.recv_timeout(Duration::from_secs(20)).unwrap();
            tcp.write_all(&bytes).unwrap();
            sent.send(()).unwrap();
            wait_for_the_end(&tcp);
        });
        let client = client("localhost", port);
        // The time is moved, not waited for.
        let later = |socket: net::WebSocket<net::Stream>, seconds| {
            let (stream, connection, epoch) = socket.into_parts();
            net::WebSocket::from_connection(stream, connection, epoch - Duration::from_secs(seconds))
        };
        let mut socket = later(net::connect_with(&client).unwrap(), 26);
        let waited = socket.recv_timeout(Duration::from_millis(100));
        assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
        go.send(()).unwrap();
        is_sent.recv_timeout(Duration::from_secs(20)).unwrap();
        let mut socket = later(socket, 30);
        let received = socket.recv();
        assert!(matches!(&received, Ok(Some(message)) if *message == Message::from("hello")), "net: {received:?}");
    });
}

/// A client and a server in memory, until both are open.
fn in_memory(config: ServerConfig) -> (TlsSession, ServerConnection) {
    let (mut client, mut server) =
        (TlsSession::new("localhost").unwrap(), ServerConnection::new(Arc::new(config)).unwrap());
    server.set_buffer_limit(None);
    while !client.is_open().unwrap() {
        to_server(&mut client, &mut server);
        client.receive(&of_server(&mut server));
    }
    to_server(&mut client, &mut server);
    (client, server)
}

fn to_server(client: &mut TlsSession, server: &mut ServerConnection) {
    let mut out = Vec::new();
    client.transmit(&mut out);
    let mut out = &out[..];
    while !out.is_empty() {
        server.read_tls(&mut out).unwrap();
        server.process_new_packets().unwrap();
    }
}

fn of_server(server: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Promise 8, and the docs of `TlsSession`: "If the transport ends without one, the read fails with `UnexpectedEof`".
#[test]
fn an_end_is_not_lost_while_plain_bytes_wait() {
    with_authority("an_end_is_not_lost_while_plain_bytes_wait", |authority| {
        for len in [1000, 16_384, 16_385, 40_000] {
            let (mut client, mut server) = in_memory(authority.good());
            assert_eq!(client.fill_buf().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            server.writer().write_all(&vec![7; len]).unwrap();
            client.receive(&of_server(&mut server));
            client.handle_eof();
            let mut read = Vec::new();
            let end = client.read_to_end(&mut read).unwrap_err();
            assert_eq!(read.len(), len);
            assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof, "behind {len} bytes");
        }
    });
}

/// src/manual.rs: "TLS of ours adds at most another 200 KiB: 92 KiB of the session's, and what an adapter carries";
/// `TlsSession::receive`: "what is kept here is at most what this call and one record bring"; SECURITY.md: "Memory is
/// bounded". Nobody knows yet who this server is. It announces a ServerHello of 65,535 bytes, the most that rustls takes,
/// and sends zeros. rustls has no room for that message and its headers, and says so by an error of `read_tls`, which is
/// taken for plain bytes that must be read first. So all that comes is kept, and copied with each call.
#[test]
fn a_message_that_rustls_has_no_room_for_is_an_error() {
    with_authority("a_message_that_rustls_has_no_room_for_is_an_error", |_| {
        let mut client = TlsSession::new("localhost").unwrap();
        client.transmit(&mut Vec::new());
        let mut record = vec![0; 5 + 16_384];
        record[..5].copy_from_slice(&[22, 3, 3, 0x40, 0]);
        let mut first = record.clone();
        first[5..9].copy_from_slice(&[2, 0, 0xff, 0xff]);
        let used = allocation_counter::measure(|| {
            client.receive(&first);
            for _ in 0..256 {
                if client.fill_buf().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    client.receive(&record);
                }
            }
        });
        let (is_open, kept, most) = (client.is_open(), used.bytes_current, used.bytes_max);
        assert!(most < 200 * 1024, "{most} bytes at most, {kept} are kept, {is_open:?}");
        assert!(matches!(is_open, Err(TlsError::Protocol(_))), "{is_open:?}");
    });
}

#[derive(Debug)]
struct LongTickets(usize);

impl rustls::server::ProducesTickets for LongTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![7; self.0])
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The same on an open session: a server of rustls sends eight tickets (RFC 8446 §4.6.1) of 16,000 bytes in one flight, and
/// data behind them. Neither the data nor an error ever comes: the peer is thought to be silent while it sends.
#[test]
fn data_behind_long_tickets_comes_or_an_error() {
    with_authority("data_behind_long_tickets_comes_or_an_error", |authority| {
        let mut config = authority.good();
        config.ticketer = Arc::new(LongTickets(16_000));
        config.send_tls13_tickets = 8;
        let (mut client, mut server) = in_memory(config);
        let mut heard = vec![];
        for round in 0..100 {
            server.writer().write_all(&[round; 16_000]).unwrap();
            for piece in of_server(&mut server).chunks(16 * 1024 + 256) {
                client.receive(piece);
                match client.read_to_end(&mut heard) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // The session has failed, and says so.
                    other => return assert!(other.is_err()),
                }
            }
        }
        assert_eq!(heard.len(), 100 * 16_000, "bytes of 1,600,000 were read, and no error");
    });
}

/// The same over the network, with both adapters: the message that a server sends behind such tickets.
#[test]
fn a_message_behind_long_tickets_comes_or_an_error() {
    with_authority("a_message_behind_long_tickets_comes_or_an_error", |authority| {
        let mut config = authority.good();
        config.ticketer = Arc::new(LongTickets(16_000));
        config.send_tls13_tickets = 8;
        let port = serve(config, |mut tls| {
            tls.conn.set_buffer_limit(None);
            answer(&mut tls);
            let _ = tls.write_all(b"\x81\x05hello");
            let _ = tls.read(&mut [0; 9]);
        });
        let mut handshake = openline::HandshakeConfig::default();
        handshake.timeout = Duration::from_secs(3);
        let client = client("localhost", port).handshake(handshake);
        let blocking = net::connect_with(&client).and_then(|mut socket| socket.recv());
        let waiting = runtime().block_on(async { over_tokio::connect_with(&client).await?.recv().await });
        for (adapter, heard) in [("net", blocking), ("tokio", waiting)] {
            let told = match &heard {
                Ok(heard) => *heard == Some(Message::from("hello")),
                // TLS, or what it could not read, is to blame, and not the time.
                Err(Error::Tls(_) | Error::Io(_)) => true,
                Err(_) => false,
            };
            assert!(told, "{adapter}: {heard:?}");
        }
    });
}

/// The same sentence of the manual, with tickets that rustls has room for. It keeps eight of them, for the next session.
#[test]
fn tickets_of_a_server_keep_no_more_memory_than_is_said() {
    with_authority("tickets_of_a_server_keep_no_more_memory_than_is_said", |authority| {
        let port = crafting(authority, |tls| {
            let (mut records, mut tcp) = Records::of(tls);
            let mut bytes: Vec<u8> = (0..8).flat_map(|_| records.long_ticket()).collect();
            bytes.extend(records.data(b"\x81\x04done"));
            tcp.write_all(&bytes).unwrap();
            wait_for_the_end(&tcp);
        });
        let client = client("localhost", port);
        drop(TlsSession::new("localhost").unwrap());
        let mut socket = None;
        let used = allocation_counter::measure(|| {
            let mut connected = net::connect_with(&client).unwrap();
            assert_eq!(connected.recv().unwrap(), Some(Message::from("done")));
            socket = Some(connected);
        });
        assert!(used.bytes_current < 200 * 1024, "{} bytes are kept", used.bytes_current);
    });
}

/// The same, before the server's certificate has been looked at.
#[test]
fn a_long_chain_of_certificates_takes_no_more_memory_than_is_said() {
    with_authority("a_long_chain_of_certificates_takes_no_more_memory_than_is_said", |authority| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &authority.0).unwrap();
        params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![7; 20_000]));
        let long = params.signed_by(&key, &authority.0).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend([(); 3].map(|()| long.der().clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.serialize_der().try_into().unwrap())
            .unwrap();
        // The configuration is made once per process.
        drop(TlsSession::new("localhost").unwrap());
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        server.set_buffer_limit(None);
        let mut session = None;
        let made = allocation_counter::measure(|| session = Some(TlsSession::new("localhost").unwrap()));
        let client = session.as_mut().unwrap();
        let (mut kept, mut most) = (made.bytes_current, made.bytes_max);
        while !client.is_open().unwrap() {
            to_server(client, &mut server);
            let bytes = of_server(&mut server);
            let used = allocation_counter::measure(|| {
                for piece in bytes.chunks(16 * 1024 + 256) {
                    client.receive(piece);
                }
            });
            most = most.max(u64::try_from(kept).unwrap() + used.bytes_max);
            kept += used.bytes_current;
        }
        assert!(most < 200 * 1024, "{most} bytes at most, {kept} are kept");
    });
}

/// SECURITY.md: "`Debug` of the crate's types shows lengths only: no payload, no close reason, no credentials, no value of
/// a header."
#[test]
fn debug_shows_no_byte_that_came_behind_the_proxys_answer() {
    let port = raw(|mut tcp| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 403 x\r\nSet-Cookie: secret\r\n").unwrap();
        wait_for_the_end(&tcp);
    });
    let client = Client::new(ClientRequest::new("ws://localhost:9/").unwrap());
    let client = client.proxy(format!("http://127.0.0.1:{port}").parse().unwrap());
    let shown = format!("{:?}", b"secret");
    let secret = shown.trim_matches(['[', ']']);
    let debug = format!("{:?}", net::connect_tcp(&client).unwrap());
    assert!(!debug.contains(secret), "net: {debug}");
    let debug = format!("{:?}", runtime().block_on(over_tokio::connect_tcp(&client)).unwrap());
    assert!(!debug.contains(secret), "tokio: {debug}");
}

/// `Transport::set_read_timeout`: "`None` for ever"; the docs of `net::WebSocket` have `WouldBlock` for "a socket that was
/// made non-blocking". A stream of `connect_tcp` blocks: so it does without a proxy. Through one, it has a timeout of the
/// time that was left, with which TLS of one's own, or a transport with "an empty `impl`", fails at a moment of silence.
#[test]
fn a_stream_has_no_timeout_left_of_the_talk_with_a_proxy() {
    let port = raw(|mut tcp| {
        // A client without a proxy says nothing.
        let _ = tcp.read(&mut [0; 1024]);
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        wait_for_the_end(&tcp);
    });
    let direct = Client::new(ClientRequest::new(&format!("ws://127.0.0.1:{port}/")).unwrap());
    let proxied = direct.clone().proxy(format!("http://127.0.0.1:{port}").parse().unwrap());
    for (how, client) in [("direct", direct), ("proxied", proxied)] {
        let stream = net::connect_tcp(&client).unwrap();
        let timeouts = (stream.tcp().read_timeout().unwrap(), stream.tcp().write_timeout().unwrap());
        assert_eq!(timeouts, (None, None), "{how}");
    }
}

/// The same sentence: an open socket shows the bytes of its last read and those that wait to be written, by the thousand.
#[test]
fn debug_shows_lengths_of_a_tls_stream() {
    with_authority("debug_shows_lengths_of_a_tls_stream", |authority| {
        let port = serve(authority.good(), |mut tls| {
            answer(&mut tls);
            wait_for_the_end(&tls.sock);
        });
        let socket = net::connect_with(&client("localhost", port)).unwrap();
        let debug = format!("{socket:?}");
        assert!(debug.len() < 4096, "net: {} bytes, such as {}", debug.len(), &debug[..400]);
    });
}

/// DESIGN.md, promise 3, and SECURITY.md: "An idle connection owns no read buffer; with the blocking adapter a thread that
/// waits has one of 4 KiB". Here no thread waits, and nothing is unread.
#[test]
fn an_idle_connection_owns_no_read_buffer() {
    with_authority("an_idle_connection_owns_no_read_buffer", |authority| {
        let port = serve(authority.good(), |mut tls| {
            answer(&mut tls);
            thread::spawn(move || wait_for_the_end(&tls.sock));
        });
        let client = client("127.0.0.1", port);
        let runtime = runtime();
        let mut kept = [0, 0];
        // What is made once per process is there the second time.
        for _ in 0..2 {
            let (mut blocking, mut waiting) = (None, None);
            let used = allocation_counter::measure(|| blocking = Some(net::connect_with(&client).unwrap()));
            kept[0] = used.bytes_current;
            let connecting = over_tokio::connect_with(&client);
            let used = allocation_counter::measure(|| waiting = Some(runtime.block_on(connecting).unwrap()));
            kept[1] = used.bytes_current;
        }
        let [blocking, waiting] = kept;
        assert!(blocking - waiting < 8 * 1024, "net keeps {blocking} bytes, tokio {waiting}");
    });
}

/// Runs a test in a process with these variables, in which it does `run`.
fn with_variables(test: &str, variables: &[(&str, &[u8])], run: impl FnOnce()) {
    if std::env::var_os(IS_CHILD).is_some() {
        return run();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    for (name, value) in variables {
        command.env(name, OsStr::from_bytes(value));
    }
    let child = command.args(["--exact", test, "--nocapture"]).env(IS_CHILD, "").output().unwrap();
    let said = [child.stdout, child.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(child.status.success() && said[0].contains("1 passed"), "{}\n{}", said[0], said[1]);
}

const IS_CHILD: &str = "OPENLINE_TEST_CHILD";

/// The environment's proxy for this URI.
fn found(uri: &str) -> Result<Option<String>, openline::HandshakeError> {
    let client = Client::new(ClientRequest::new(uri).unwrap()).proxy_from_env()?;
    Ok(client.proxy_to_use().map(ToString::to_string))
}

/// LIVE.md: "`all_proxy=socks5h://…` never goes direct"; src/proxy/env.rs: "where a value cannot be used, this is an error
/// instead of a connection without a proxy"; `Client::proxy_from_env`: an error if "the value that counts is no URI of a
/// proxy".
#[test]
fn a_proxy_that_is_no_text_is_an_error() {
    let test = "a_proxy_that_is_no_text_is_an_error";
    with_variables(test, &[("all_proxy", b"socks5h://me:p\xe4ss@proxy")], || {
        let found = found("wss://example.com/");
        assert!(found.is_err(), "it would connect directly: {found:?}");
    });
}

/// SECURITY.md, httpoxy: in a CGI program, "where `REQUEST_METHOD` is set", no variable counts.
#[test]
fn a_method_that_is_no_text_is_set_too() {
    let test = "a_method_that_is_no_text_is_set_too";
    with_variables(test, &[("REQUEST_METHOD", b"GET\xff"), ("HTTP_PROXY", b"http://evil")], || {
        assert_eq!(found("ws://example.com/"), Ok(None));
    });
}

/// `Client::proxy_from_env`: the entries of NO_PROXY "are `*` for all names, a domain for its names and itself, an
/// address, or a network such as `10.0.0.0/8`; a port may follow, for this port only".
#[test]
fn a_port_may_follow_every_entry_of_no_proxy() {
    let test = "a_port_may_follow_every_entry_of_no_proxy";
    let list = b"[::1]:81,10.0.0.0/8:81,*:82,127.0.0.1:81";
    with_variables(test, &[("all_proxy", b"proxy"), ("no_proxy", list)], || {
        let mut wrong = vec![];
        for (uri, direct) in [
            ("ws://127.0.0.1:81/", true),
            ("ws://127.0.0.1:80/", false),
            ("ws://[::1]:81/", true),
            ("ws://[::1]:80/", false),
            ("ws://10.1.2.3:81/", true),
            ("ws://10.1.2.3:80/", false),
            ("ws://example.com:82/", true),
            ("ws://example.com:80/", false),
        ] {
            if found(uri).unwrap().is_none() != direct {
                wrong.push((uri, direct));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    });
}
