//! The session against servers of rustls, joined in memory, with certificates that are made here.

use super::*;
use crate::driver::TlsError;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::format;
use std::string::String;

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        Authority::named("one")
    }

    fn named(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server with a certificate for this name.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_string()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap()
    }

    /// A client that trusts this authority alone.
    fn client(&self, host: &str) -> TlsSession {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsSession::with_config(offering_http_1_1(config), host).unwrap()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client and its server, joined in memory.
struct Pair {
    client: TlsSession,
    server: ServerConnection,
    /// The error of the server.
    refused: Option<rustls::Error>,
    /// How many bytes the client gets at once.
    cut: usize,
}

impl Pair {
    fn new(client: TlsSession, server: ServerConfig) -> Pair {
        Pair { client, server: ServerConnection::new(Arc::new(server)).unwrap(), refused: None, cut: usize::MAX }
    }

    /// An open session.
    fn open() -> Pair {
        let authority = Authority::new();
        let mut pair = Pair::new(authority.client("localhost"), authority.server("localhost", |_| {}));
        pair.shake().unwrap();
        pair
    }

    fn carry(&mut self) {
        let mut bytes = Vec::new();
        self.client.transmit(&mut bytes);
        let mut bytes = &bytes[..];
        while !bytes.is_empty() && self.refused.is_none() {
            self.server.read_tls(&mut bytes).unwrap();
            self.refused = self.server.process_new_packets().err();
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn carry_back(&mut self) {
        for piece in self.take().chunks(self.cut) {
            self.client.receive(piece);
        }
    }

    /// The handshake of both, or why there is none.
    fn shake(&mut self) -> Result<(), TlsError> {
        while !self.client.is_open()? {
            self.carry();
            self.carry_back();
        }
        self.carry();
        Ok(())
    }

    /// What the client reads until it has to wait, or why it cannot.
    fn read(&mut self) -> Result<String, io::Error> {
        let mut read = Vec::new();
        match self.client.read_to_end(&mut read) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(String::from_utf8(read).unwrap()),
        }
    }
}

/// The words of an error and of its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        words = format!("{words}: {error}");
        next = error.source();
    }
    words
}

#[test]
fn bytes_go_both_ways_wherever_they_are_cut() {
    for cut in [1, 2, 5, 100, usize::MAX] {
        for alpn in [vec![], vec![HTTP_1_1.to_vec()], vec![b"h2".to_vec(), HTTP_1_1.to_vec()]] {
            let authority = Authority::new();
            let mut server = authority.server("localhost", |_| {});
            server.alpn_protocols = alpn;
            let mut pair = Pair::new(authority.client("localhost"), server);
            pair.cut = cut;
            pair.shake().unwrap();
            assert_eq!(pair.client.write(b"there").unwrap(), 5);
            pair.carry();
            let mut there = [0; 9];
            assert_eq!(pair.server.reader().read(&mut there).unwrap(), 5);
            pair.server.writer().write_all(b"and back").unwrap();
            pair.carry_back();
            assert_eq!(pair.read().unwrap(), "and back");
            assert_eq!(pair.client.fill_buf().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }
}

#[test]
fn a_host_is_a_name_or_an_address() {
    for (host, sent) in [("localhost", Some("localhost")), ("127.0.0.1", None), ("::1", None)] {
        let authority = Authority::new();
        let mut pair = Pair::new(authority.client(host), authority.server(host, |_| {}));
        pair.shake().unwrap();
        assert_eq!(pair.server.server_name(), sent, "RFC 6066 §3: no address in SNI");
    }
    for host in ["", "a b", "a!b", "-", "1.2.3.256"] {
        assert!(matches!(TlsSession::new(host), Err(TlsError::Setup(_))), "{host}");
    }
}

#[test]
fn a_certificate_that_is_not_valid_is_refused_and_the_error_says_why() {
    let authority = Authority::new();
    let expired = authority.server("localhost", |params| params.not_after = date_time_ymd(2000, 1, 1));
    let early = authority.server("localhost", |params| params.not_before = date_time_ymd(2900, 1, 1));
    let cases = [
        ("localhost", expired, "expired"),
        ("localhost", early, "not valid yet"),
        ("localhost", authority.server("elsewhere", |_| {}), "not valid for name \"localhost\""),
        ("127.0.0.1", authority.server("localhost", |_| {}), "not valid for name"),
        ("localhost", Authority::named("two").server("localhost", |_| {}), "UnknownIssuer"),
    ];
    for (host, server, why) in cases {
        let mut pair = Pair::new(authority.client(host), server);
        let error = pair.shake().unwrap_err();
        assert!(matches!(error, TlsError::Certificate(_)), "{error:?}");
        let words = chain(&error);
        assert!(words.starts_with("the server's certificate is not valid: ") && words.contains(why), "{words}");
        pair.carry();
        assert!(
            matches!(pair.refused, Some(rustls::Error::AlertReceived(_))),
            "the server is told: {:?}",
            pair.refused
        );
        assert_eq!(pair.client.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn http_1_1_is_offered_and_nothing_else() {
    let mut hello = Vec::new();
    Authority::new().client("localhost").transmit(&mut hello);
    let mut acceptor = rustls::server::Acceptor::default();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    assert_eq!(accepted.client_hello().alpn().unwrap().collect::<Vec<_>>(), [HTTP_1_1]);
}

#[test]
fn another_protocol_is_refused() {
    let authority = Authority::new();
    let mut server = authority.server("localhost", |_| {});
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut pair = Pair::new(authority.client("localhost"), server);
    assert!(matches!(pair.shake(), Err(TlsError::Alpn)));
    assert!(pair.client.write(b"GET").is_err());

    // A server that chooses what nobody offered: a ServerHello of TLS 1.2 (RFC 5246 §7.4.1.3) with ALPN (RFC 7301).
    let alpn = [0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
    let hello = [&[3, 3][..], &[7; 32], &[0, 0xc0, 0x2f, 0, 0, u8::try_from(alpn.len()).unwrap()], &alpn].concat();
    let message = [&[2, 0, 0, u8::try_from(hello.len()).unwrap()][..], &hello].concat();
    let record = [&[22, 3, 3, 0, u8::try_from(message.len()).unwrap()][..], &message].concat();
    let mut client = authority.client("localhost");
    client.receive(&record);
    assert!(matches!(client.is_open(), Err(TlsError::Alpn)), "{:?}", client.is_open());
}

#[test]
fn a_peer_that_does_not_speak_tls_is_refused() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0; 100], &[22; 9000], b"\x15\x03\x03\x00\x02\x02\x28"] {
        let mut client = Authority::new().client("localhost");
        client.receive(answer);
        assert!(matches!(client.is_open(), Err(TlsError::Protocol(_))), "{answer:?}");
        assert_eq!(client.fill_buf().unwrap_err().kind(), io::ErrorKind::InvalidData);
        client.receive(answer);
        assert!(client.waiting.is_empty());
    }
}

#[test]
fn an_end_with_a_notice_and_one_without() {
    let mut pair = Pair::open();
    pair.server.writer().write_all(b"last").unwrap();
    pair.server.send_close_notify();
    pair.carry_back();
    pair.client.receive(b"what comes behind is not looked at");
    let mut read = Vec::new();
    assert_eq!(pair.client.read_to_end(&mut read).unwrap(), 4);
    pair.client.close();
    pair.carry();
    assert_eq!(pair.server.reader().read(&mut [0; 9]).unwrap(), 0);

    let mut pair = Pair::open();
    pair.server.writer().write_all(b"last").unwrap();
    pair.server.writer().write_all(b"cut off").unwrap();
    let bytes = pair.take();
    pair.client.receive(&bytes[..bytes.len() - 1]);
    pair.client.handle_eof();
    assert_eq!(pair.client.read(&mut [0; 9]).unwrap(), 4);
    assert_eq!(pair.client.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn what_came_before_a_failure_is_read_first() {
    let mut pair = Pair::open();
    pair.server.writer().write_all(b"good").unwrap();
    pair.server.writer().write_all(b"bad").unwrap();
    let mut bytes = pair.take();
    *bytes.last_mut().unwrap() ^= 1;
    pair.client.receive(&bytes);
    assert_eq!(pair.client.read(&mut [0; 9]).unwrap(), 4);
    for _ in 0..2 {
        assert_eq!(pair.client.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn more_than_rustls_keeps_waits_and_nothing_is_lost() {
    let mut pair = Pair::open();
    let long = "0123456789abcdef".repeat(3000);
    pair.server.writer().write_all(long.as_bytes()).unwrap();
    let bytes = pair.take();
    pair.client.receive(&bytes);
    assert!(!pair.client.waiting.is_empty());
    assert_eq!(pair.read().unwrap(), long);
    assert!(pair.client.waiting.is_empty());
}

#[test]
fn what_is_written_has_a_bound() {
    let mut pair = Pair::open();
    let long = vec![7; 1 << 20];
    let taken = pair.client.write(&long).unwrap();
    assert!((16_384..=32_768).contains(&taken), "{taken}");
    assert_eq!(pair.client.write(&long).unwrap(), 0, "until it is transmitted");
    pair.client.transmit(&mut Vec::new());
    assert_eq!(pair.client.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).unwrap(), 2);
}

#[test]
fn keys_change_while_bytes_flow() {
    let mut pair = Pair::open();
    for round in 0..10 {
        // RFC 8446 §4.6.3: the client's keys change too, before it writes next.
        pair.server.refresh_traffic_keys().unwrap();
        pair.server.writer().write_all(b"there").unwrap();
        pair.carry_back();
        assert_eq!(pair.read().unwrap(), "there", "round {round}");
        pair.client.write_all(b"back").unwrap();
        pair.carry();
        let mut back = [0; 9];
        assert_eq!(pair.server.reader().read(&mut back).unwrap(), 4, "{:?}", pair.refused);
    }
}

#[test]
fn a_flood_of_key_updates_takes_no_memory() {
    let mut pair = Pair::open();
    for _ in 0..1000 {
        pair.server.refresh_traffic_keys().unwrap();
        pair.carry_back();
    }
    let mut out = Vec::new();
    pair.client.transmit(&mut out);
    assert!(out.len() < 200, "{} bytes in answer", out.len());
}
