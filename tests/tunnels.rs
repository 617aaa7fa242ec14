//! Both adapters through proxies that are made here, on the loopback interface.

#![cfg(all(feature = "tokio", unix))]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use openline::{
    Client, ClientRequest, CloseCode, Error, HandshakeConfig, Message, ProxyError, Server, net, tokio as over_tokio,
};

/// Serves one connection after the other in a thread. Returns its port.
fn serve(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            serve(tcp.unwrap());
        }
    });
    port
}

/// A WebSocket server that sends back what comes, and says first which fields of the request are a proxy's business.
fn server() -> u16 {
    serve(|tcp| {
        let accepting = net::read_request(&Server::default(), tcp).unwrap();
        let fields: Vec<_> = accepting.request().headers.iter().map(|(name, _)| name.to_lowercase()).collect();
        let told = fields.into_iter().filter(|name| name.starts_with("proxy")).collect::<String>();
        let mut socket = accepting.accept().unwrap();
        socket.feed(told).unwrap();
        while let Some(message) = socket.recv().unwrap() {
            socket.feed(message).unwrap();
        }
    })
}

/// Carries the bytes of two connections, until both have ended.
fn relay(client: TcpStream, server: TcpStream) {
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (client, server);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    back.join().unwrap();
}

fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn read(tcp: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    tcp.read_exact(&mut bytes).unwrap();
    bytes
}

fn client(server: u16, proxy: &str) -> Client {
    let request = ClientRequest::new(&format!("ws://user:secret@localhost:{server}/chat?token")).unwrap();
    Client::new(request.header("Cookie", "a=1").unwrap()).proxy(proxy.parse().unwrap())
}

fn runtime() -> ::tokio::runtime::Runtime {
    ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Talks with the server, with both adapters.
fn talk(client: &Client) {
    let mut socket = net::connect_with(client).unwrap();
    assert_eq!(socket.recv().unwrap(), Some(Message::from("")), "no field of the proxy's");
    socket.send("Hello").unwrap();
    assert_eq!(socket.recv().unwrap(), Some(Message::from("Hello")));
    assert_eq!(socket.get_ref().tcp().peer_addr().unwrap().port(), client.proxy_to_use().unwrap().port());
    socket.close(CloseCode::NORMAL, "").unwrap();
    runtime().block_on(async {
        let mut socket = over_tokio::connect_with(client).await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some(Message::from("")));
        socket.send("Hello").await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some(Message::from("Hello")));
        assert_eq!(socket.get_ref().tcp().peer_addr().unwrap().port(), client.proxy_to_use().unwrap().port());
        socket.close(CloseCode::NORMAL, "").await.unwrap();
    });
}

/// The errors with which both adapters fail.
fn errors(client: &Client) -> [Error; 2] {
    [
        net::connect_with(client).map(drop).unwrap_err(),
        runtime().block_on(over_tokio::connect_with(client)).map(drop).unwrap_err(),
    ]
}

#[test]
fn a_connect_proxy_learns_where_to_and_nothing_else() {
    let server = server();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = Arc::clone(&heads);
    let proxy = serve(move |mut tcp| {
        note.lock().unwrap().push(read_head(&mut tcp));
        tcp.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap();
        relay(tcp, TcpStream::connect(("127.0.0.1", server)).unwrap());
    });
    talk(&client(server, &format!("http://me:mine@127.0.0.1:{proxy}")));
    let heads = heads.lock().unwrap();
    let site = format!("localhost:{server}");
    for head in &*heads {
        let authorization = "Proxy-Authorization: Basic bWU6bWluZQ==";
        assert_eq!(*head, format!("CONNECT {site} HTTP/1.1\r\nHost: {site}\r\n{authorization}\r\n\r\n"));
    }
    assert_eq!(heads.len(), 2);
}

#[test]
fn what_comes_behind_the_proxys_answer_is_the_servers() {
    for cut in [0, 1, 10] {
        let proxy = serve(move |mut tcp| {
            read_head(&mut tcp);
            let bytes = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nbody";
            let (one, other) = bytes.split_at(bytes.len() - cut);
            tcp.write_all(one).unwrap();
            tcp.write_all(other).unwrap();
            let _ = tcp.read_to_end(&mut Vec::new());
        });
        for error in errors(&client(80, &format!("http://127.0.0.1:{proxy}"))) {
            let Error::Refused(response) = error else { panic!("{error:?}") };
            assert_eq!((response.status, &response.body[..]), (403, &b"body"[..]));
        }
    }
}

#[test]
fn a_proxy_that_refuses_is_reported_with_its_answer() {
    let proxy = serve(|mut tcp| {
        read_head(&mut tcp);
        let answer = "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 9999\r\n\r\n";
        tcp.write_all(answer.as_bytes()).unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    for error in errors(&client(80, &format!("http://127.0.0.1:{proxy}"))) {
        let Error::ProxyRefused(response) = error else { panic!("{error:?}") };
        assert_eq!((response.status, response.headers.get("Proxy-Authenticate")), (407, Some("Basic realm=\"x\"")));
    }
}

#[test]
fn a_proxy_that_is_not_there_or_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    drop(listener);
    for error in errors(&client(80, &format!("http://{proxy}"))) {
        assert!(matches!(&error, Error::ProxyIo(error) if error.kind() == ErrorKind::ConnectionRefused), "{error:?}");
    }
    for error in errors(&client(80, "http://unknown.invalid")) {
        assert!(matches!(&error, Error::ProxyIo(_)), "{error:?}");
    }
    let proxy = serve(|mut tcp| drop(read_head(&mut tcp)));
    for error in errors(&client(80, &format!("http://127.0.0.1:{proxy}"))) {
        assert!(matches!(&error, Error::Proxy(ProxyError::UnexpectedEof)), "{error:?}");
    }
}

#[test]
fn a_proxy_that_takes_too_long_is_given_up() {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_millis(300);
    for drips in [false, true] {
        let proxy = serve(move |mut tcp| {
            let mut answer = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
            answer.resize(16_000, b'a');
            for byte in answer {
                if !drips || tcp.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            let _ = tcp.read_to_end(&mut Vec::new());
        });
        for proxy in [format!("http://127.0.0.1:{proxy}"), format!("socks5h://127.0.0.1:{proxy}")] {
            // SOCKS has no answer that can drip for long.
            if drips && proxy.starts_with("socks") {
                continue;
            }
            for error in errors(&client(80, &proxy).handshake(handshake.clone())) {
                assert!(matches!(&error, Error::ProxyIo(error) if error.kind() == ErrorKind::TimedOut), "{error:?}");
            }
        }
    }
}

/// The types of addresses that a proxy was asked for, and the addresses.
type Asked = Arc<Mutex<Vec<(u8, Vec<u8>)>>>;

/// A SOCKS5 proxy. It takes any name and password, and notes the type of address that it is asked for.
fn socks(server: u16, asks: bool, note: Asked) -> u16 {
    serve(move |mut tcp| {
        let methods = read(&mut tcp, 2)[1];
        let methods = read(&mut tcp, methods.into());
        if asks {
            assert_eq!(methods, [0, 2]);
            tcp.write_all(&[5, 2]).unwrap();
            assert_eq!(read(&mut tcp, 9), *b"\x01\x02me\x04mine");
            tcp.write_all(&[1, 0]).unwrap();
        } else {
            assert_eq!(methods, [0]);
            tcp.write_all(&[5, 0]).unwrap();
        }
        let kind = read(&mut tcp, 4)[3];
        let len = match kind {
            1 => 4,
            4 => 16,
            _ => read(&mut tcp, 1)[0].into(),
        };
        let host = read(&mut tcp, len);
        assert_eq!(read(&mut tcp, 2), server.to_be_bytes());
        note.lock().unwrap().push((kind, host));
        tcp.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        relay(tcp, TcpStream::connect(("127.0.0.1", server)).unwrap());
    })
}

#[test]
fn socks_with_names_and_with_addresses() {
    let server = server();
    let asked = Asked::default();
    let proxy = socks(server, true, Arc::clone(&asked));
    talk(&client(server, &format!("socks5h://me:mine@127.0.0.1:{proxy}")));
    assert_eq!(asked.lock().unwrap().drain(..).collect::<Vec<_>>(), vec![(3, b"localhost".to_vec()); 2]);
    let proxy = socks(server, false, Arc::clone(&asked));
    talk(&client(server, &format!("socks5://127.0.0.1:{proxy}")));
    for (kind, address) in asked.lock().unwrap().drain(..) {
        match kind {
            1 => assert_eq!(address, [127, 0, 0, 1]),
            _ => assert_eq!(address.last(), Some(&1), "::1"),
        }
    }
}

#[test]
fn socks_that_fails() {
    let proxy = serve(|mut tcp| {
        read(&mut tcp, 3);
        tcp.write_all(&[5, 0]).unwrap();
        tcp.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    for error in errors(&client(80, &format!("socks5h://127.0.0.1:{proxy}"))) {
        assert!(matches!(&error, Error::Proxy(ProxyError::Failed { reply: 5 })), "{error:?}");
    }
    for error in errors(&client(80, &format!("socks5://127.0.0.1:{proxy}"))) {
        assert!(matches!(&error, Error::Proxy(ProxyError::Failed { reply: 5 })), "{error:?}");
    }
}
