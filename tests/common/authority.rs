//! Somebody who signs certificates, and the servers that have theirs of it.
//!
//! The adapters trust what the platform trusts, which is read once per process. So each test runs in a process of its
//! own, whose `SSL_CERT_FILE` has the authority that the test's servers have their certificates of.

#![allow(dead_code, reason = "every test binary uses a part of this")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use openline::{Accept, Connection, Server, Time};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Somebody who signs certificates: of the platform's, in the test's process.
pub(crate) struct Authority(pub(crate) Issuer<'static, KeyPair>);

/// Runs a test in a process that trusts the authority that the test gets.
pub(crate) fn with_authority(test: &str, run: impl FnOnce(&Authority)) {
    if let Some(file) = std::env::var_os(CERTIFICATE) {
        let file = PathBuf::from(file);
        let key = KeyPair::from_pem(&fs::read_to_string(file.with_extension("key")).unwrap()).unwrap();
        run(&Authority(Issuer::from_ca_cert_pem(&fs::read_to_string(file).unwrap(), key).unwrap()));
        return;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "{}-{}-{test}.pem",
        env!("CARGO_CRATE_NAME"),
        std::process::id()
    ));
    let (certificate, key) = authority("trusted");
    fs::write(&file, certificate).unwrap();
    fs::write(file.with_extension("key"), key.serialize_pem()).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SSL_CERT_FILE", &file)
        .env(CERTIFICATE, &file)
        .output()
        .unwrap();
    fs::remove_file(file.with_extension("key")).unwrap();
    fs::remove_file(file).unwrap();
    let said = [child.stdout, child.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(child.status.success() && said[0].contains("1 passed"), "{}\n{}", said[0], said[1]);
}

/// The variable that says where the certificate is; its key lies beside it.
const CERTIFICATE: &str = "OPENLINE_TEST_CERTIFICATE";

/// A certificate that can sign others, and its key.
pub(crate) fn authority(name: &str) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap().pem(), key)
}

impl Authority {
    /// Nobody trusts this one.
    pub(crate) fn unknown() -> Authority {
        let (certificate, key) = authority("unknown");
        Authority(Issuer::from_ca_cert_pem(&certificate, key).unwrap())
    }

    pub(crate) fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap()
    }

    pub(crate) fn good(&self) -> ServerConfig {
        self.server(&["localhost", "127.0.0.1"], |_| {})
    }
}

pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Serves one connection after the other in a thread. Returns its port.
pub(crate) fn serve(config: ServerConfig, mut serve: impl FnMut(Tls) + Send + 'static) -> u16 {
    let config = Arc::new(config);
    raw(move |tcp| serve(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp)))
}

/// As `serve`, without TLS.
pub(crate) fn raw(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let tcp = tcp.unwrap();
            tcp.set_nodelay(true).unwrap();
            serve(tcp);
        }
    });
    port
}

/// Reads the request of a client, and answers it.
pub(crate) fn answer(tls: &mut Tls) {
    let mut server = Connection::server(&Server::default(), Time::ZERO);
    let mut buffer = [0; 4096];
    while server.request().is_none() {
        let len = tls.read(&mut buffer).unwrap();
        server.receive_copied(&mut &buffer[..len], Time::ZERO).unwrap();
    }
    server.accept(Accept::default(), Time::ZERO).unwrap();
    tls.write_all(server.next_transmit().unwrap()).unwrap();
}
