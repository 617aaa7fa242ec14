//! Every loop that the documentation shows, against peers that behave as badly as they may: all of
//! them over real sockets, with the opening handshake. Nothing here depends on how fast it runs: where
//! a deadline has to come the test waits for it, and elsewhere the deadlines are long.
#![cfg(feature = "std")]

mod common;
#[path = "loops/documented.rs"]
mod documented;
#[allow(dead_code, reason = "its `main` is not called")]
#[path = "../examples/epoll_server/main.rs"]
mod epoll_server;
#[path = "loops/peer.rs"]
mod peer;

use std::io::{BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use std::{fs, panic, process, thread};

use common::*;
use documented::Outcome;
use openline::Role::{Client, Server as ServerRole};
use openline::{Config, HandshakeConfig, Keepalive, Server};
use peer::{PATIENCE, Peer, REQUEST, hear};

/// How soon a deadline comes where it has to come.
const SOON: Duration = Duration::from_millis(200);

// The loops.

struct Loop {
    name: &'static str,
    serve: Serve,
    /// Whether it answers each message before it looks at what comes next. A pump does not: what the
    /// peer sent before its end may be on the way in this program then, and is not answered.
    in_step: bool,
}

enum Serve {
    Connection(fn(TcpStream, &Server) -> Outcome),
    Listener(fn(TcpListener, &Server)),
}

fn epoll(listener: TcpListener, server: &Server) {
    listener.set_nonblocking(true).unwrap();
    epoll_server::serve(mio::net::TcpListener::from_std(listener), server, 1, None).unwrap();
}

fn loops() -> Vec<Loop> {
    let serve = |name, serve| Loop { name, serve: Serve::Connection(serve), in_step: true };
    let pump = |name, pump| Loop { name, serve: Serve::Connection(pump), in_step: false };
    vec![
        serve("the crate's page", documented::page::run),
        Loop { name: "epoll_server", serve: Serve::Listener(epoll), in_step: true },
        serve("net", documented::net::echo),
        pump("the pump of net", documented::net::pump),
        #[cfg(feature = "tokio")]
        serve("README", documented::tokio::readme),
        #[cfg(feature = "tokio")]
        serve("tokio", documented::tokio::echo),
        #[cfg(feature = "tokio")]
        pump("the pump of tokio", documented::tokio::pump),
    ]
}

impl Loop {
    /// Starts it. It serves until the process ends, which it ends itself if it panics.
    fn start(&self, server: &Server) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (server, name) = (server.clone(), self.name);
        let or_end = move |work: Box<dyn FnOnce() + Send>| {
            if panic::catch_unwind(panic::AssertUnwindSafe(work)).is_err() {
                eprintln!("{name} panicked");
                process::abort();
            }
        };
        match self.serve {
            Serve::Listener(serve) => {
                thread::spawn(move || or_end(Box::new(move || serve(listener, &server))));
            }
            Serve::Connection(serve) => {
                thread::spawn(move || {
                    for stream in listener.incoming() {
                        let (stream, server) = (stream.unwrap(), server.clone());
                        // How it ends is told by what the peer sees.
                        thread::spawn(move || or_end(Box::new(move || drop(serve(stream, &server)))));
                    }
                });
            }
        }
        address
    }
}

/// Runs a conversation with each of the loops.
fn with_each(server: &Server, talk: impl Fn(&Loop, SocketAddr)) {
    for each in loops() {
        eprintln!("{}", each.name);
        talk(&each, each.start(server));
    }
}

/// Deadlines that no test waits for, and no peer: a loop that waits for one of them and misses what comes before is seen.
fn patient() -> Server {
    const FAR: Duration = Duration::from_secs(10 * PATIENCE.as_secs());
    let mut config = Config::default();
    (config.keepalive, config.stall_timeout, config.close_timeout) = (None, Some(FAR), FAR);
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = FAR;
    Server::default().config(config).handshake(handshake)
}

fn impatient() -> Server {
    let mut config = Config::default();
    (config.keepalive, config.stall_timeout, config.close_timeout) = (None, Some(SOON), PATIENCE);
    Server::default().config(config)
}

// What they do.

#[test]
fn one_long_message_and_many_short_ones_at_once() {
    let long = vec![0xa5; 12 << 20];
    let mut bytes = frame(Client, BINARY, &long);
    (0..5000).for_each(|i: u32| bytes.extend(frame(Client, TEXT, i.to_string())));
    with_each(&patient(), |_, address| {
        let mut peer = Peer::open(address);
        peer.saying(&bytes, |peer| {
            peer.expect(BINARY, &long);
            let mut stream = BufReader::new(&peer.0);
            for i in 0..5000 {
                assert_eq!(hear(&mut stream), Some((TEXT, i.to_string().into_bytes())));
            }
            assert_eq!(stream.buffer(), b"");
        });
        peer.say(frame(Client, TEXT, "and?"));
        peer.expect(TEXT, "and?");
        peer.finish();
    });
}

/// The loop must not take more than it can answer: then it stops, and goes on where it was.
#[test]
fn a_peer_that_reads_only_when_it_cannot_go_on() {
    /// Far more than all buffers between the two take.
    const MOST: usize = 128 << 20;
    let payload = |i: u32| [&i.to_be_bytes()[..], &[7; 16 * 1024]].concat();
    with_each(&patient(), |_, address| {
        let peer = Peer::open(address);
        let (said, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut saying = Peer(peer.0.try_clone().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0.. {
                    saying.say(frame(Client, BINARY, payload(i)));
                    let all = said.fetch_add(16 * 1024, Relaxed);
                    if stop.load(Relaxed) || all > MOST {
                        break;
                    }
                }
                saying.say(frame(Client, TEXT, "last"));
            });
            let (mut before, mut same) = (0, 0);
            while same < 10 {
                thread::sleep(Duration::from_millis(10));
                let now = said.load(Relaxed);
                (same, before) = if now == before { (same + 1, now) } else { (0, now) };
            }
            stop.store(true, Relaxed);
            let mut stream = BufReader::with_capacity(1000, &peer.0);
            for i in 0.. {
                let (first, heard) = hear(&mut stream).unwrap();
                if first == TEXT {
                    break;
                }
                assert!(heard == payload(i), "message {i}");
            }
        });
        assert!(said.into_inner() < MOST, "it takes all that comes");
        peer.finish();
    });
}

#[test]
fn a_peer_that_ends_its_side_behind_its_messages() {
    let answers = [(TEXT, b"one".to_vec()), (BINARY, vec![1; 1 << 20]), (TEXT, b"three".to_vec())];
    with_each(&patient(), |each, address| {
        let mut peer = Peer::open(address);
        peer.say(frames(Client, answers.clone()));
        peer.0.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.expect_answers(each.in_step, &answers), None);
    });
}

#[test]
fn a_peer_that_says_everything_in_one_breath() {
    let answers = [(TEXT, b"one".to_vec()), (BINARY, vec![1; 1 << 16]), (TEXT, b"three".to_vec())];
    let bytes = [REQUEST.as_bytes(), &frames(Client, answers.clone()), &close_frame(Client, 1001, "bye")].concat();
    with_each(&patient(), |each, address| {
        let mut peer = Peer::connect(address);
        peer.say(&bytes);
        peer.hear_agreement();
        let (first, payload) = peer.expect_answers(each.in_step, &answers).expect("a Close frame");
        assert_eq!((first, &payload[..2]), (CLOSE, &1001_u16.to_be_bytes()[..]));
        assert_eq!(peer.hear(), None);
    });
}

#[test]
fn a_peer_that_sends_and_never_reads() {
    let bytes = frame(Client, BINARY, [0; 16 * 1024]);
    with_each(&impatient(), |_, address| Peer::open(address).rant(&bytes));
}

#[test]
fn a_peer_that_pings_and_never_reads() {
    let bytes = frame(Client, PING, [0; 125]).repeat(100);
    with_each(&impatient(), |_, address| Peer::open(address).rant(&bytes));
}

#[test]
fn a_peer_that_sends_byte_by_byte() {
    let mut bytes = REQUEST.as_bytes().to_vec();
    bytes.extend(frames(Client, [(TEXT_BEGINS, "Gr\u{fc}"), (PING, "there?"), (ENDS, "\u{df}e")]));
    bytes.extend(frame(Client, BINARY, [3; 300]));
    with_each(&patient(), |_, address| {
        let mut peer = Peer::connect(address);
        bytes.iter().for_each(|byte| peer.say([*byte]));
        peer.hear_agreement();
        peer.expect(PONG, "there?");
        peer.expect(TEXT, "Gr\u{fc}\u{df}e");
        peer.expect(BINARY, [3; 300]);
        peer.finish();
    });
}

#[test]
fn a_flood_of_pings() {
    const COUNT: u32 = 50_000;
    let mut bytes: Vec<u8> = (0..COUNT).flat_map(|i| frame(Client, PING, i.to_be_bytes())).collect();
    bytes.extend(frame(Client, TEXT, "after"));
    bytes.extend(close_frame(Client, 1000, ""));
    with_each(&patient(), |each, address| {
        let peer = Peer::open(address);
        peer.saying(&bytes, |peer| {
            let mut stream = BufReader::new(&peer.0);
            let (mut next, mut answered) = (0, !each.in_step);
            // §5.5.3: not each of them need be answered, but they are in order, and the last is.
            loop {
                let (first, payload) = hear(&mut stream).expect("a Close frame");
                match first {
                    PONG => {
                        let i = u32::from_be_bytes(payload.try_into().unwrap());
                        assert!(i >= next, "{i} after {next}");
                        next = i + 1;
                    }
                    TEXT => answered = payload == b"after",
                    CLOSE => break,
                    other => panic!("{other:x}"),
                }
            }
            assert_eq!((next, answered), (COUNT, true));
            assert_eq!(hear(&mut stream), None);
        });
    });
}

#[test]
fn a_peer_that_breaks_the_protocol_behind_a_message() {
    with_each(&patient(), |each, address| {
        let mut peer = Peer::open(address);
        // §5.1: a client masks.
        peer.say([frame(Client, TEXT, "one"), frame(ServerRole, TEXT, "two")].concat());
        let (first, payload) = peer.expect_answers(each.in_step, &[(TEXT, b"one".to_vec())]).expect("a Close frame");
        assert_eq!((first, &payload[..2]), (CLOSE, &1002_u16.to_be_bytes()[..]));
        assert_eq!(peer.hear(), None);
    });
}

#[test]
fn a_peer_that_speaks_plain_http() {
    with_each(&patient(), |_, address| {
        let mut peer = Peer::connect(address);
        peer.say("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let mut answer = String::new();
        peer.0.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    });
}

#[test]
fn a_peer_that_says_nothing() {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = SOON;
    with_each(&patient().handshake(handshake), |_, address| {
        let mut peer = Peer::connect(address);
        let mut answer = String::new();
        peer.0.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    });
}

#[test]
fn a_peer_that_never_closes() {
    let mut config = Config::default();
    (config.keepalive, config.close_timeout) = (None, SOON);
    with_each(&patient().config(config), |_, address| {
        let mut peer = Peer::open(address);
        peer.say(close_frame(Client, 1000, ""));
        peer.expect_end(1000);
        // The server has ended its side. It does not wait for this one for ever.
        peer.rant(&[0]);
    });
}

/// The time limit of the opening handshake is far. The deadlines that follow it are near, and are not kept waiting for it.
#[test]
fn a_peer_that_falls_silent_after_the_handshake() {
    let mut config = Config::default();
    (config.keepalive, config.stall_timeout) = (Some(Keepalive::new(SOON, SOON)), None);
    with_each(&patient().config(config), |_, address| {
        let mut peer = Peer::connect(address);
        // It has been accepted before it asks: who came after it has been.
        Peer::open(address);
        peer.say(REQUEST);
        peer.hear_agreement();
        let (first, _) = peer.hear().expect("a Ping");
        assert_eq!(first, PING);
        // It does not answer.
        assert_eq!(peer.hear(), None);
    });
}

/// Starts a server that sends everything to all.
fn broadcast(listener: TcpListener, server: Server) {
    listener.set_nonblocking(true).unwrap();
    let listener = mio::net::TcpListener::from_std(listener);
    thread::spawn(move || epoll_server::serve(listener, &server, 1, Some(epoll_server::Said::default())).unwrap());
}

/// A client does not read, and so keeps others from speaking. What it says meanwhile, and its Close, are held. Once it is let
/// go, they are looked at: the connection ends when both Close frames are there, and not only when the time to close is over.
#[test]
fn who_is_let_go_ends_by_the_close_that_it_has_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    broadcast(listener, patient());
    let (mut speaker, mut deaf) = (Peer::open(address), Peer::open(address));
    let flood = frame(Client, BINARY, vec![7; 64 * 1024]);
    loop {
        speaker.say(&flood);
        speaker.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let answered = speaker.0.peek(&mut [0]);
        speaker.0.set_read_timeout(Some(PATIENCE)).unwrap();
        if answered.is_err() {
            break;
        }
        assert_eq!(speaker.hear().map(|(first, _)| first), Some(BINARY));
    }
    deaf.say([frame(Client, TEXT, "held"), close_frame(Client, 1000, "")].concat());
    // The speaker is heard again.
    assert_eq!(speaker.hear().map(|(first, _)| first), Some(BINARY));
    let (mut first, mut payload) = (BINARY, vec![]);
    while first != CLOSE {
        (first, payload) = deaf.hear().expect("a Close frame");
    }
    assert_eq!(payload[..2], 1013_u16.to_be_bytes());
    assert_eq!(deaf.hear(), None);
}

/// Some flood a server that sends everything to all, others say one word. All of it lies there before the server
/// starts: what is tested is whose turn it is, and that depends on no clock.
#[test]
fn who_says_one_word_to_all_is_heard_between_those_who_flood() {
    const FLOODERS: usize = 3;
    const QUIET: usize = 10;
    /// What one turn may say, 16 KiB, in messages of 1,000 bytes. Each counts 64 more, for the memory that it takes.
    const TURN: usize = (16 * 1024_usize).div_ceil(1064);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let says = |words: Vec<Vec<u8>>| {
        let mut peer = Peer::connect(address);
        let words: Vec<u8> = words.into_iter().flat_map(|word| frame(Client, BINARY, word)).collect();
        peer.say([REQUEST.as_bytes(), &words].concat());
        peer
    };
    // It is the first to come, so it hears all.
    let mut listening = says(vec![]);
    let flooding: Vec<Peer> = (0..FLOODERS).map(|i| says(vec![vec![i as u8; 1000]; 3 * TURN])).collect();
    let quiet: Vec<Peer> = (0..QUIET).map(|i| says(vec![vec![i as u8]])).collect();
    let mut config = Config::default();
    // Nobody is too slow.
    (config.keepalive, config.stall_timeout, config.high_water) = (None, None, 1 << 20);
    broadcast(listener, patient().config(config));

    listening.hear_agreement();
    let (mut floods, mut words) = ([0; FLOODERS], vec![]);
    while words.len() < QUIET || floods != [3 * TURN; FLOODERS] {
        let (_, payload) = listening.hear().unwrap();
        if let [word] = payload[..] {
            assert!(floods.iter().all(|flood| *flood <= TURN), "{word} comes after {floods:?}");
            words.push(usize::from(word));
        } else {
            floods[usize::from(payload[0])] += 1;
        }
    }
    words.sort_unstable();
    assert_eq!(words, (0..QUIET).collect::<Vec<_>>());
    drop((flooding, quiet));
}

#[test]
fn the_loop_without_io_hears_a_long_message_and_many_short_ones() {
    let long = vec![0xa5; 12 << 20];
    let mut bytes = [REQUEST.as_bytes(), &frame(Client, BINARY, &long)].concat();
    let mut answers = vec![(BINARY, long)];
    for i in 0..5000 {
        bytes.extend(frame(Client, PING, i.to_string()));
        bytes.extend(frame(Client, TEXT, i.to_string()));
        answers.push((TEXT, i.to_string().into_bytes()));
    }
    bytes.extend(close_frame(Client, 1000, ""));
    answers.push((CLOSE, 1000_u16.to_be_bytes().to_vec()));
    let out = documented::without_io(bytes).unwrap();
    let head = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut said = parse(ServerRole, &out[head..]);
    said.retain(|(first, _)| *first != PONG);
    assert!(said == answers);
}

#[test]
fn the_clients_hear_a_server_that_says_everything_at_once() {
    let mut bytes = frame(ServerRole, BINARY, vec![0; 12 << 20]);
    for i in 0..5000 {
        bytes.extend(frame(ServerRole, PING, i.to_string()));
        bytes.extend(frame(ServerRole, TEXT, i.to_string()));
    }
    bytes.extend(close_frame(ServerRole, 1000, ""));
    let clients: &[documented::Counts] = &[
        documented::net::client,
        #[cfg(feature = "tokio")]
        documented::tokio::client,
    ];
    for client in clients {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let bytes = bytes.clone();
        let serving = thread::spawn(move || {
            let socket = openline::net::accept(listener.accept().unwrap().0).unwrap();
            let mut peer = Peer(socket.into_parts().0);
            peer.0.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.0.set_write_timeout(Some(PATIENCE)).unwrap();
            peer.say(bytes);
            peer.0.shutdown(Shutdown::Write).unwrap();
            let mut said = vec![];
            peer.0.read_to_end(&mut said).unwrap();
            parse(Client, &said)
        });
        assert_eq!(client(&url).unwrap(), 5001);
        let said = serving.join().unwrap();
        assert_eq!(said.first(), Some(&(TEXT, b"Hello".to_vec())));
        assert_eq!(said.last(), Some(&(CLOSE, 1000_u16.to_be_bytes().to_vec())));
    }
}

// That these are the loops.

/// The lines of a file, as code: without comment marks at their fronts, indentation, and lines that
/// rustdoc hides.
fn code(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("//! ").or(line.strip_prefix("//!")).unwrap_or(line).trim()
    });
    let lines = lines.map(|line| match line.strip_prefix("/// ") {
        // A comment in documentation, or the documentation of a function in an example.
        Some(rest) => rest.trim(),
        None => line.strip_prefix("///").unwrap_or(line),
    });
    lines.filter(|line| !line.starts_with("# ")).collect()
}

#[test]
fn each_loop_is_the_one_that_is_documented() {
    let (mut block, mut compared): (Option<(Vec<&str>, String)>, usize) = (None, 0);
    for line in include_str!("loops/documented.rs").lines() {
        match (line.trim().strip_prefix("// = "), &mut block) {
            (Some("end"), open) => {
                let (files, text) = open.take().expect("a block has begun");
                let lines = code(&text);
                assert!(lines.len() > 1, "there is something to compare");
                for file in files {
                    let all = fs::read_to_string(file).unwrap();
                    let all = code(&all);
                    let found = all.windows(lines.len()).any(|window| window == lines);
                    assert!(found, "{file} does not have these lines:\n{text}");
                    compared += 1;
                }
            }
            (Some(files), open) => *open = Some((files.split(", ").collect(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(block.is_none() && compared == 11, "{compared} comparisons");
}
