//! A server under attack: peers that drip, flood, announce, do not read, lie and go away, by
//! the thousand. Meanwhile 200 connections that behave must not lose a byte, and the server's
//! memory must stay below a bound that can be worked out beforehand.
//!
//! `tests/hostile/run` starts a new server for each of these, and prints a table.

#![cfg(feature = "tokio")]

mod common;
#[path = "hostile/load.rs"]
mod load;

use std::io;
use std::time::{Duration, Instant};

use openline::Client;
use openline::tokio::{Stream, WebSocket, connect_with};
use openline::{ClientRequest, Config, HandshakeConfig, Keepalive, Message, Role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use common::bomb::zeros;
use common::{BINARY, BINARY_BEGINS, ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS, close_frame, frame, header};
use load::{Bound, KIB, MIB, Peer, Target, connect_many, each, request, reset, rest, run};

const CLIENT: Role = Role::Client;

/// The server's limits, as `Config::default` has them.
const MAX_MESSAGE: u64 = 16 * MIB;
const MAX_FRAGMENTS: u64 = 128 * KIB;

/// How long anything may take that must come to an end by itself. Nothing is judged by it
/// but whether it ends at all.
const LONG: Duration = Duration::from_secs(60);

async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.unwrap_or_else(|_| panic!("{what}: not over after {LONG:?}"))
}

// Handshakes.

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn a_handshakes_that_drip() {
    let bound = |target: &Target| Bound {
        connections: target.part(2000, 1000),
        each: 10 * KIB,
        why: "the head so far, and the task around it: who waits for a head holds no buffer",
    };
    run("a handshakes that drip", bound, async |target| {
        let count = target.part(2000, 1000);
        let mut sockets = connect_many(target.address, count).await.into_iter();
        let told = each(count, count as usize, |_| {
            let io = sockets.next().unwrap();
            async move { ends("a drip", drip(io)).await }
        });
        let told = told.await.into_iter().filter(|told| *told).count();
        format!("{count} cut off by the deadline, {told} of them told so by 408")
    });
}

/// A byte now and then, until the server has had enough. Whether it said 408.
async fn drip(mut io: TcpStream) -> bool {
    let (mut read, mut write) = io.split();
    let mut heard = vec![];
    let writing = async {
        let mut alive = write.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.is_ok();
        while alive {
            sleep(Duration::from_millis(400)).await;
            alive = write.write_all(b"z").await.is_ok();
        }
        std::future::pending().await
    };
    // The one never ends by itself: what ends is the server's patience.
    tokio::select! {
        _ = read.read_to_end(&mut heard) => {}
        () = writing => {}
    }
    heard.starts_with(b"HTTP/1.1 408 ")
}

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn b_half_open_connections() {
    let bound = |target: &Target| Bound {
        connections: target.part(2000, 1000),
        each: 10 * KIB,
        why: "the head so far, and the task around it: who waits for a head holds no buffer",
    };
    run("b half-open", bound, async |target| {
        let count = target.part(2000, 1000);
        let mut sockets = connect_many(target.address, count).await.into_iter();
        let ended = each(count, count as usize, |number| {
            let mut io = sockets.next().unwrap();
            async move {
                if number % 2 == 1 {
                    let half = request("");
                    // It may be too late for it already.
                    let _ = io.write_all(&half[..half.len() / 2]).await;
                    let _ = io.shutdown().await;
                }
                ends("half a connection", rest(&mut io)).await.starts_with(b"HTTP/1.1 101")
            }
        });
        let opened = ended.await.into_iter().filter(|opened| *opened).count();
        assert_eq!(opened, 0, "half a request opens nothing");
        format!("{count} ended, half of them silent, half after half a request and a FIN")
    });
}

// Peers that do not read.

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn c_pings_from_peers_that_never_read() {
    let bound = |target: &Target| Bound {
        connections: target.part(50, 25),
        each: 80 * KIB,
        why: "a read buffer of 64 KiB, 4 KiB of Pongs and the latest Ping, and the task around it",
    };
    run("c ping flood", bound, async |target| {
        let flood = frame(CLIENT, PING, [b'p'; 125]).repeat(512);
        let until = Instant::now() + Duration::from_millis(target.part(5000, 1200));
        let sent = each(target.part(50, 25), 50, |_| {
            let flood = flood.clone();
            async move {
                let mut peer = Peer::open_narrow(target.address).await.unwrap();
                say_until(&mut peer, &flood, until).await
            }
        });
        let sent: u64 = sent.await.iter().sum();
        format!("{} MiB of Pings, none of the Pongs read", sent / MIB)
    });
}

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn d_peers_that_never_read_their_echoes() {
    let bound = |target: &Target| Bound {
        connections: target.part(200, 100),
        each: 330 * KIB,
        why: "a read buffer, a message being read and one read ahead, high water and the last \
              message queued, each 64 KiB, and the task around them",
    };
    run("d echoes unread", bound, async |target| {
        let message = frame(CLIENT, BINARY, [b'm'; 64 * KIB as usize]);
        let until = Instant::now() + Duration::from_millis(target.part(5000, 1500));
        let count = target.part(200, 100);
        let sent = each(count, 200, |_| {
            let message = message.clone();
            async move {
                let mut peer = Peer::open_narrow(target.address).await.unwrap();
                say_until(&mut peer, &message, until).await
            }
        });
        let sent: u64 = sent.await.iter().sum();
        format!("blocked after {} KiB each, and held", sent / count / KIB)
    });
}

/// Says the same over and over, without ever reading, until the time is over. How many
/// bytes were taken.
async fn say_until(peer: &mut Peer, bytes: &[u8], until: Instant) -> u64 {
    let mut sent = 0;
    let flood = async {
        loop {
            match peer.io.write(&bytes[sent as usize % bytes.len()..]).await {
                Ok(len) => sent += len as u64,
                Err(_) => std::future::pending().await,
            }
        }
    };
    let _ = tokio::time::timeout_at(until.into(), flood).await;
    sent
}

// Frames that cost more than they weigh.

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn e_a_million_fragments_of_nothing() {
    let bound = |_: &Target| Bound {
        connections: 8,
        each: 80 * KIB,
        why: "a read buffer of 64 KiB: what is empty is counted and not kept",
    };
    run("e empty fragments", bound, async |target| {
        let nothing = |count: u64| frame(CLIENT, GOES_ON, []).repeat(count as usize);
        let begin = frame(CLIENT, TEXT_BEGINS, []);
        let most = [&begin[..], &nothing(MAX_FRAGMENTS - 2), &frame(CLIENT, ENDS, "x")].concat();
        let more = [&begin[..], &nothing(MAX_FRAGMENTS)].concat();
        let count = target.part(8, 2);
        let codes = each(count, 8, |_| {
            let (most, more) = (most.clone(), more.clone());
            async move {
                let mut peer = Peer::open(target.address, "").await.unwrap();
                peer.say(&most).await.unwrap();
                let echo = ends("as many fragments as may be", peer.hear_data()).await.unwrap();
                assert_eq!(echo, (TEXT, b"x".to_vec()));
                peer.say(&more).await.unwrap();
                ends("one fragment too many", peer.hear_close()).await.unwrap()
            }
        });
        assert_eq!(codes.await, vec![1008; count as usize]);
        format!(
            "{} fragments; a message of {MAX_FRAGMENTS} came back, one of one more was refused",
            2 * count * MAX_FRAGMENTS
        )
    });
}

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn f_announced_and_never_sent() {
    let bound = |target: &Target| Bound {
        connections: target.part(1200, 600),
        each: 12 * KIB,
        why: "four times the 1 KiB that came, and the task around it: an announcement costs nothing",
    };
    run("f announcements", bound, async |target| {
        let refused = target.part(200, 100);
        let codes = each(refused, 200, |number| async move {
            let mut peer = Peer::open(target.address, "").await.unwrap();
            // The most that §5.2 allows to announce, just above the limit, and what nobody may say.
            let (len, code) = [(u64::MAX >> 1, 1009), (MAX_MESSAGE + 1, 1009), (u64::MAX, 1002)][number as usize % 3];
            peer.say(&header(CLIENT, BINARY, len)).await.unwrap();
            let told = ends("an announcement", peer.hear_close()).await.unwrap();
            assert_eq!(told, code, "announced {len}");
        });
        codes.await;
        let waiting = target.part(1000, 500);
        let peers = each(waiting, 256, |number| async move {
            let mut peer = Peer::open(target.address, "").await.unwrap();
            peer.say(&header(CLIENT, BINARY, MAX_MESSAGE)).await.unwrap();
            if number % 2 == 1 {
                peer.say(&[b'k'; KIB as usize]).await.unwrap();
            }
            peer
        });
        let peers = peers.await;
        sleep(Duration::from_millis(target.part(3000, 500))).await;
        for mut peer in peers {
            // Still there, and heard nothing: what was announced is allowed.
            let nothing = peer.io.try_read(&mut [0; 16]);
            assert_eq!(nothing.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
            peer.io.shutdown().await.unwrap();
        }
        format!("{refused} refused at the header; {waiting} announced 16 MiB and sent nothing, or 1 KiB")
    });
}

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn g_compressed_bombs() {
    const AT_ONCE: usize = 6;
    let bound = |_: &Target| Bound {
        connections: AT_ONCE as u64,
        each: 2 * MAX_MESSAGE + MIB,
        why: "a message of the limit of 16 MiB, once more while it grows, and both halves of a compressor",
    };
    run("g bombs", bound, async |target| {
        let rounds = target.part(5, 1);
        let done = each(rounds * AT_ONCE as u64, AT_ONCE, |number| async move {
            ends("a bomb", bomb(target, number % AT_ONCE as u64)).await.unwrap();
        });
        let count = done.await.len();
        format!("{count}, up to 1 GiB of zeros in 1 MiB; the limit itself came back")
    });
}

async fn bomb(target: Target, kind: u64) -> io::Result<()> {
    const COMPRESSED: u8 = 0x40;
    let mut peer = Peer::open(target.address, "Sec-WebSocket-Extensions: permessage-deflate\r\n").await?;
    let whole = |bytes: &[u8]| frame(CLIENT, BINARY | COMPRESSED, bytes);
    match kind {
        0 => {
            let _ = peer.say(&whole(&zeros(1024 * MIB))).await;
            assert_eq!(peer.hear_close().await?, 1009, "1 GiB of zeros");
        }
        1 => {
            peer.say(&whole(&zeros(MAX_MESSAGE + 1))).await?;
            assert_eq!(peer.hear_close().await?, 1009, "one byte beyond the limit");
        }
        2 => {
            // Three times in one connection: a message that is done costs nothing any more.
            for _ in 0..3 {
                peer.say(&whole(&zeros(MAX_MESSAGE))).await?;
                let (first, payload) = peer.hear_data().await?;
                assert_eq!(first, BINARY | COMPRESSED);
                assert!(payload.len() < 64 * KIB as usize, "{} bytes", payload.len());
            }
        }
        3 => {
            // In 4,096 fragments, with a Ping behind each: every one is below every limit.
            let bomb = zeros(1024 * MIB);
            for (at, part) in bomb.chunks(bomb.len().div_ceil(4096)).enumerate() {
                let first = if at == 0 { BINARY_BEGINS | COMPRESSED } else { GOES_ON };
                if peer.say(&[frame(CLIENT, first, part), frame(CLIENT, PING, "")].concat()).await.is_err() {
                    break;
                }
            }
            assert_eq!(peer.hear_close().await?, 1009, "1 GiB of zeros in fragments");
        }
        4 => {
            // As much as may come, of blocks that say nothing: no output to be limited by.
            let blocks = [0, 0, 0, 0xff, 0xff].repeat(MAX_MESSAGE as usize / 5);
            peer.say(&whole(&[&blocks[..], &[0]].concat())).await?;
            assert_eq!(peer.hear_data().await?, (BINARY, vec![]), "blocks of nothing");
        }
        _ => {
            // A bomb as text, so that it is inflated and checked as UTF-8; and then cut off.
            let bomb = zeros(MAX_MESSAGE);
            peer.say(&frame(CLIENT, TEXT_BEGINS | COMPRESSED, &bomb[..bomb.len() / 2])).await?;
            peer.reset();
        }
    }
    Ok(())
}

// Peers that come and go.

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn h_connections_that_come_and_go() {
    const AT_ONCE: usize = 64;
    let bound = |_: &Target| Bound {
        connections: AT_ONCE as u64,
        each: 80 * KIB,
        why: "a read buffer of 64 KiB, and the task around it: of who has gone nothing is left",
    };
    let rss = run("h come and go", bound, async |target| {
        let count = target.part(5000, 1500);
        let done = each(count, AT_ONCE, |number| async move { ends("a cycle", come_and_go(target, number)).await });
        for result in done.await {
            result.unwrap();
        }
        format!("{count} cycles: closed, reset, cut in the middle of a frame, reset there")
    });
    assert!(rss.end <= rss.start + 4 * MIB, "{} bytes before, {} after: something is left", rss.start, rss.end);
}

async fn come_and_go(target: Target, number: u64) -> io::Result<()> {
    let mut peer = Peer::open(target.address, "").await?;
    peer.say(&frame(CLIENT, TEXT, "here")).await?;
    assert_eq!(peer.hear_data().await?, (TEXT, b"here".to_vec()));
    let half = frame(CLIENT, BINARY, [b'h'; 3000]);
    match number % 4 {
        0 => {
            peer.say(&close_frame(CLIENT, 1000, "gone")).await?;
            assert_eq!(peer.hear_close().await?, 1000);
            assert_eq!(rest(&mut peer.io).await, b"", "§7.1.1: the server ends the connection");
        }
        1 => peer.reset(),
        2 => peer.say(&half[..half.len() / 2]).await?,
        _ => {
            peer.say(&half[..half.len() / 2]).await?;
            peer.reset();
        }
    }
    Ok(())
}

#[test]
#[ignore = "load: run by tests/hostile/run"]
fn i_a_proxy_that_corrupts() {
    const AT_ONCE: usize = 50;
    let bound = |_: &Target| Bound {
        connections: AT_ONCE as u64,
        each: 2 * MIB,
        why: "a compressor of 371 KiB, an inflater of 64 KiB, and four times what came of a message",
    };
    run("i corrupting proxy", bound, async |target| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("ws://{}/", listener.local_addr().unwrap());
        let proxy = tokio::spawn(async move {
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(target.address).await.unwrap();
                tokio::spawn(carry(client, server, Chance::new(number)));
            }
        });
        let count = target.part(500, 100);
        let results = each(count, AT_ONCE, |number| {
            let uri = uri.clone();
            async move { ends("a connection through the proxy", talk(&uri, Chance::new(!number))).await }
        });
        let results = results.await;
        proxy.abort();
        let failed = results.iter().filter(|result| result.is_err()).count();
        let echoes: u64 = results.iter().map(|result| result.as_ref().unwrap_or_else(|(echoes, _)| echoes)).sum();
        format!(
            "{echoes} echoes over {count} connections; {failed} ended by an error, {} closed",
            count - failed as u64
        )
    });
}

/// Talks until it is over; nothing but the end is expected. How many echoes came before.
async fn talk(uri: &str, mut chance: Chance) -> Result<u64, (u64, openline::Error)> {
    let mut echoes = 0;
    let mut socket = open(uri, chance.below(2) == 0).await.map_err(|error| (0, error))?;
    loop {
        let message = match chance.below(3) {
            0 => Message::from(vec![b'b'; chance.below(20_000) as usize]),
            _ => Message::from("t".repeat(chance.below(300) as usize)),
        };
        match exchange(&mut socket, message).await {
            Ok(true) => echoes += 1,
            Ok(false) => return Ok(echoes),
            Err(error) => return Err((echoes, error)),
        }
    }
}

async fn exchange(socket: &mut WebSocket<Stream>, message: Message<'static>) -> Result<bool, openline::Error> {
    if let Err(error) = socket.send(message).await
        // What ended it is told to who receives.
        && !matches!(error, openline::Error::Send(_))
    {
        return Err(error);
    }
    Ok(socket.recv().await?.is_some())
}

async fn open(uri: &str, compressed: bool) -> Result<WebSocket<Stream>, openline::Error> {
    let mut handshake = HandshakeConfig::default();
    handshake.timeout = Duration::from_secs(1);
    #[cfg(feature = "deflate")]
    if compressed {
        handshake.deflate.push(openline::Deflate::default());
    }
    let _ = compressed;
    let mut config = Config::default();
    config.close_timeout = Duration::from_secs(1);
    // What was said may have become part of a message that never ends: no Pong will come.
    config.keepalive = Some(Keepalive::new(Duration::from_millis(500), Duration::from_millis(500)));
    connect_with(&Client::new(ClientRequest::new(uri)?).handshake(handshake).config(config)).await
}

/// Carries bytes both ways, some of them changed, until it has had enough.
async fn carry(mut client: TcpStream, mut server: TcpStream, mut chance: Chance) {
    let seed = chance.below(u64::MAX);
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let there = corrupt(from_client, to_server, Chance::new(seed));
    let back = corrupt(from_server, to_client, Chance::new(!seed));
    let _ = tokio::try_join!(there, back);
    if chance.below(2) == 0 {
        reset(client);
        reset(server);
    }
}

/// One direction. An error: both are cut here, in the middle of anything.
async fn corrupt(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut chance: Chance,
) -> io::Result<()> {
    let mut left = 300 + chance.below(200_000) as usize;
    let mut clean = chance.below(100_000);
    let mut buffer = [0; 4096];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return to.shutdown().await;
        }
        let part = &mut buffer[..len.min(left)];
        for byte in part.iter_mut() {
            if clean == 0 {
                *byte ^= 1 + chance.below(255) as u8;
                clean = chance.below(100_000);
            }
            clean = clean.saturating_sub(1);
        }
        to.write_all(part).await?;
        left -= part.len();
        if left == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Chance that is the same every time (xorshift64*).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}
