//! What every scenario of the hostile load shares: the connections that behave and must not
//! notice, the measuring of the server from outside, peers made by hand, and the verdict.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use openline::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout};

use crate::common::{PING, PONG, TEXT, frame};

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// How many connections behave, how often each speaks, and how long an echo may take.
const HEALTHY: usize = 200;
const PERIOD: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_secs(10);

/// What the server may grow by, whatever the number of connections: the stacks and
/// allocator arenas of its threads, and the read buffers that each of them keeps.
const CONSTANT: u64 = 16 * MIB;

/// The server under attack, as `tests/hostile/run` started it.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) quick: bool,
    pid: u32,
}

impl Target {
    fn from_env() -> Target {
        let var =
            |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/hostile/run"));
        Target {
            address: var("OPENLINE_HOSTILE_SERVER").parse().expect("an address and a port"),
            pid: var("OPENLINE_HOSTILE_PID").parse().expect("a process id"),
            quick: std::env::var_os("OPENLINE_HOSTILE_QUICK").is_some(),
        }
    }

    /// How many, or how long: all of it, or a part when it has to be quick.
    pub(crate) fn part(&self, whole: u64, quick: u64) -> u64 {
        if self.quick { quick } else { whole }
    }

    /// A field of `/proc/PID/status`, in bytes. None: there is no such process.
    fn memory(&self, field: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * KIB)
    }

    fn rss(&self) -> u64 {
        self.memory("VmRSS").expect("the server is alive")
    }

    fn fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the server is alive").count()
    }
}

/// What a scenario may cost: so many connections at a time, so much for each, and why.
pub(crate) struct Bound {
    pub(crate) connections: u64,
    pub(crate) each: u64,
    pub(crate) why: &'static str,
}

/// Runs a scenario and judges it. `attack` returns what it saw, when all its peers are gone.
/// The server's memory before and after.
pub(crate) fn run<A, F>(name: &str, bound: impl FnOnce(&Target) -> Bound, attack: A) -> Range<u64>
where
    A: FnOnce(Target) -> F,
    F: Future<Output = String>,
{
    let target = Target::from_env();
    let bound = bound(&target);
    let began = Instant::now();

    let healthy = Healthy::start(target);
    healthy.is(QUIET);
    thread::sleep(Duration::from_millis(target.part(2000, 600)));
    let (before, fds_before) = (target.rss(), target.fds());
    let sampler = Sampler::start(target);

    healthy.is(ATTACKED);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seen = runtime.block_on(attack(target));
    drop(runtime);

    healthy.is(OVER);
    let cleared = Instant::now();
    while target.fds() != fds_before && cleared.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(20));
    }
    let (after, fds_after) = (target.rss(), target.fds());
    let peak = sampler.stop();
    let tally = healthy.stop();

    let allowed = before + bound.connections * bound.each + CONSTANT;
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB as f64);
    let ms = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
    let quiet = [percentile(&tally.quiet, 50), percentile(&tally.quiet, 99)];
    let attacked = [percentile(&tally.attacked, 50), percentile(&tally.attacked, 99)];
    let ratio = |at: usize| attacked[at] as f64 / quiet[at].max(1) as f64;
    println!(
        "\nrow\t{name}\t{} / {} / {}\t{}\t{fds_before} / {fds_after}\t{} / {}\t{} / {} (x{:.1} / x{:.1})\t{}\t\
         {} / {} / {}\t{:.1}",
        mib(before),
        mib(peak),
        mib(after),
        mib(allowed),
        ms(quiet[0]),
        ms(quiet[1]),
        ms(attacked[0]),
        ms(attacked[1]),
        ratio(0),
        ratio(1),
        ms(tally.worst),
        tally.sent,
        tally.lost,
        tally.corrupted,
        began.elapsed().as_secs_f64(),
    );
    println!("note\t{name}: {seen}; bound {} x {} KiB: {}", bound.connections, bound.each / KIB, bound.why);

    assert!(tally.sent >= HEALTHY as u64, "the healthy connections have said something");
    assert_eq!((tally.lost, tally.corrupted), (0, 0), "healthy messages lost, corrupted");
    assert!(peak <= allowed, "{peak} bytes at the peak, {allowed} allowed: {}", bound.why);
    assert_eq!(fds_after, fds_before, "file descriptors");
    before..after
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

// The connections that behave.

const QUIET: u8 = 1;
const ATTACKED: u8 = 2;
const OVER: u8 = 3;
const STOP: u8 = 4;

/// 200 connections on a thread and a runtime of their own, so that what is measured is the
/// server's answer and not how busy the attackers are.
struct Healthy {
    phase: Arc<AtomicU8>,
    thread: thread::JoinHandle<Tally>,
}

#[derive(Default)]
struct Tally {
    sent: u64,
    lost: u64,
    corrupted: u64,
    /// The longest echo of all, in microseconds.
    worst: u64,
    /// Latencies in microseconds; sorted in the end.
    quiet: Vec<u64>,
    attacked: Vec<u64>,
}

impl Healthy {
    fn start(target: Target) -> Healthy {
        let phase = Arc::new(AtomicU8::new(0));
        let ready = Arc::new(AtomicU64::new(0));
        let (seen, up) = (Arc::clone(&phase), Arc::clone(&ready));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut tasks = vec![];
                for number in 0..HEALTHY {
                    let peer = Peer::open(target.address, "").await.expect("a healthy connection opens");
                    tasks.push(tokio::spawn(converse(peer, number, Arc::clone(&seen))));
                    up.fetch_add(1, Ordering::Relaxed);
                }
                let mut all = Tally::default();
                for task in tasks {
                    let one = task.await.unwrap();
                    all.sent += one.sent;
                    all.lost += one.lost;
                    all.corrupted += one.corrupted;
                    all.worst = all.worst.max(one.worst);
                    all.quiet.extend(one.quiet);
                    all.attacked.extend(one.attacked);
                }
                all.quiet.sort_unstable();
                all.attacked.sort_unstable();
                all
            })
        });
        while ready.load(Ordering::Relaxed) < HEALTHY as u64 {
            assert!(!thread.is_finished(), "the healthy connections open");
            thread::sleep(Duration::from_millis(5));
        }
        Healthy { phase, thread }
    }

    fn is(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn stop(self) -> Tally {
        self.is(STOP);
        self.thread.join().expect("the healthy connections end")
    }
}

/// Says something else each time, and wants to hear just that.
async fn converse(mut peer: Peer, number: usize, phase: Arc<AtomicU8>) -> Tally {
    let mut tally = Tally::default();
    let mut next = tokio::time::Instant::now() + PERIOD * number as u32 / HEALTHY as u32;
    loop {
        sleep_until(next).await;
        let now = phase.load(Ordering::Relaxed);
        if now == STOP {
            return tally;
        }
        let text = format!("{number:>4} {:>10} {:a>84}", tally.sent, tally.sent * 7919 + number as u64);
        assert_eq!(text.len(), 100);
        let start = Instant::now();
        tally.sent += 1;
        let echo = timeout(LATEST, async {
            peer.say(&frame(Role::Client, TEXT, &text)).await?;
            peer.hear_data().await
        });
        match echo.await {
            Ok(Ok((TEXT, payload))) if payload == text.as_bytes() => {}
            Ok(Ok(_)) => {
                tally.corrupted += 1;
                return tally;
            }
            Ok(Err(_)) | Err(_) => {
                tally.lost += 1;
                return tally;
            }
        }
        let micros = start.elapsed().as_micros() as u64;
        tally.worst = tally.worst.max(micros);
        match now {
            QUIET => tally.quiet.push(micros),
            ATTACKED => tally.attacked.push(micros),
            _ => {}
        }
        next = (next + PERIOD).max(tokio::time::Instant::now());
    }
}

/// Looks at the server's memory all the time.
struct Sampler {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Sampler {
    fn start(target: Target) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(target.memory("VmRSS").unwrap_or_default());
                thread::sleep(Duration::from_millis(10));
            }
            // The kernel's own high-water mark also knows what came between two looks. The
            // server was started for this scenario, so that it is of no other one.
            peak.max(target.memory("VmHWM").unwrap_or_default())
        });
        Sampler { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

// Peers made by hand.

/// As many handshakes at a time as any listener has a queue for.
static OPENING: Semaphore = Semaphore::const_new(64);

/// A client that says what it is told to, right or wrong.
pub(crate) struct Peer {
    pub(crate) io: TcpStream,
    heard: Vec<u8>,
}

impl Peer {
    /// Connects and opens a WebSocket, with these header lines besides.
    pub(crate) async fn open(address: SocketAddr, headers: &str) -> io::Result<Peer> {
        let _turn = OPENING.acquire().await;
        Peer::open_on(TcpStream::connect(address).await?, headers).await
    }

    /// As [`open`](Self::open), over a socket that buffers as little as it may, so that who
    /// does not read is noticed soon.
    pub(crate) async fn open_narrow(address: SocketAddr) -> io::Result<Peer> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(16 * 1024)?;
        let _turn = OPENING.acquire().await;
        Peer::open_on(socket.connect(address).await?, "").await
    }

    async fn open_on(io: TcpStream, headers: &str) -> io::Result<Peer> {
        io.set_nodelay(true)?;
        let mut peer = Peer { io, heard: vec![] };
        peer.say(&request(headers)).await?;
        let end = loop {
            if let Some(at) = peer.heard.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            peer.read().await?;
        };
        let head: Vec<u8> = peer.heard.drain(..end).collect();
        match head.starts_with(b"HTTP/1.1 101 ") {
            true => Ok(peer),
            false => Err(io::Error::other(String::from_utf8_lossy(&head).into_owned())),
        }
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await
    }

    /// The next frame of the server.
    pub(crate) async fn hear(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((header, len)) = measure(&self.heard)
                && self.heard.len() - header >= len
            {
                let payload = self.heard[header..header + len].to_vec();
                let first = self.heard[0];
                self.heard.drain(..header + len);
                return Ok((first, payload));
            }
            self.read().await?;
        }
    }

    /// The next data or Close frame. Pings are answered.
    pub(crate) async fn hear_data(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            match self.hear().await? {
                (PING, payload) => self.say(&frame(Role::Client, PONG, payload)).await?,
                (PONG, _) => {}
                data => return Ok(data),
            }
        }
    }

    /// The code of the Close frame that comes next, skipping what comes before it.
    pub(crate) async fn hear_close(&mut self) -> io::Result<u16> {
        loop {
            if let (0x88, body) = self.hear().await? {
                return Ok(body.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])));
            }
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.io.read_buf(&mut self.heard).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Closes the connection by a reset.
    pub(crate) fn reset(self) {
        reset(self.io);
    }
}

pub(crate) fn reset(io: TcpStream) {
    // It does not block: with zero there is nothing to wait for.
    #[allow(deprecated, reason = "its successor is younger than the oldest tokio that will do")]
    let _ = io.set_linger(Some(Duration::ZERO));
}

/// The lengths of the header and of the payload of the frame that begins here.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    Some(match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        len => (2, usize::from(len)),
    })
}

/// An opening handshake with these header lines besides.
pub(crate) fn request(headers: &str) -> Vec<u8> {
    format!(
        "GET /load HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// Reads to the end and returns what came, or what came before a reset.
pub(crate) async fn rest(io: &mut TcpStream) -> Vec<u8> {
    let mut all = vec![];
    let _ = io.read_to_end(&mut all).await;
    all
}

/// Does `work` for every number below `count`, at most `at_once` at a time, and gathers
/// the results.
pub(crate) async fn each<T, F>(count: u64, at_once: usize, mut work: impl FnMut(u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(at_once));
    let mut tasks = vec![];
    for number in 0..count {
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        let work = work(number);
        tasks.push(tokio::spawn(async move {
            let done = work.await;
            drop(turn);
            done
        }));
    }
    let mut results = vec![];
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Opens so many connections that say nothing yet. A kernel drops what its queue has no room
/// for without telling who is silent; so a few at a time, and those have been accepted when
/// one that came after them is answered.
pub(crate) async fn connect_many(address: SocketAddr, count: u64) -> Vec<TcpStream> {
    let mut all = vec![];
    while (all.len() as u64) < count {
        for _ in 0..64.min(count - all.len() as u64) {
            all.push(TcpStream::connect(address).await.expect("the server accepts connections"));
        }
        Peer::open(address, "").await.expect("the server accepts connections").reset();
    }
    all
}
