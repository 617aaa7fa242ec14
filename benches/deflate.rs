//! permessage-deflate: what level, window, memory and context takeover make of typical messages.
//!
//! ```text
//! cargo bench --features deflate --bench deflate                      # ratios, µs, and memory
//! cargo bench --features deflate --bench deflate -- --instructions    # by callgrind, on a machine that is not quiet
//! cargo bench --features deflate --bench deflate -- chat              # one kind of message
//! ```
//!
//! Everything is sent through a `Connection`, and every message is received by another and compared before a clock runs.
//! A cycle of messages is longer than the largest window, so a message never finds itself in the context.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use openline::{Agreement, Config, Connection, Deflate, DeflateContext, Event, Time, Upgrade};

const LEVELS: [u8; 4] = [1, 3, 6, 9];

/// (window bits, memory), as in [`Deflate`].
const ROOMS: [(u8, u8); 8] = [(15, 8), (12, 8), (12, 5), (10, 1), (13, 8), (11, 8), (10, 8), (9, 8)];

/// Those that callgrind is asked about, which takes three seconds for each: the first ones.
const COUNTED: usize = 4;

/// A kind of message, and as many of it as make a cycle.
struct Kind {
    name: &'static str,
    messages: Vec<String>,
}

/// One setting of one direction.
#[derive(Clone, Copy)]
struct Cell {
    takeover: bool,
    window_bits: u8,
    memory: u8,
    level: u8,
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let kinds: Vec<Kind> = kinds().into_iter().filter(|kind| named(&args, kind.name)).collect();
    if has("--cell") {
        return for_callgrind(&args, &kinds);
    }
    for kind in &kinds {
        // Without `--bench` it is `cargo test`, which wants to know whether it is right.
        if has("--instructions") {
            table(kind, &ROOMS[..COUNTED], "instructions to send", |cell| {
                format!("{:.1} k", instructions(kind, cell) / 1e3)
            });
        } else if has("--bench") {
            table(kind, &ROOMS, "µs to send + µs to receive", |cell| {
                let (send, receive) = times(kind, cell);
                format!("{send:.1} + {receive:.1}")
            });
        } else {
            every(|cell| _ = exchange(kind, cell));
        }
    }
    if has("--bench") && !kinds.is_empty() {
        memory();
    }
}

/// Whether this kind is asked for: words choose, and without any all are.
fn named(args: &[String], name: &str) -> bool {
    let mut words = args.iter().filter(|arg| !arg.starts_with("--") && arg.parse::<u32>().is_err()).peekable();
    words.peek().is_none() || words.any(|word| name.to_lowercase().contains(&word.to_lowercase()))
}

fn every(mut each: impl FnMut(Cell)) {
    for takeover in [false, true] {
        for (window_bits, memory) in ROOMS {
            LEVELS.into_iter().for_each(|level| each(Cell { takeover, window_bits, memory, level }));
        }
    }
}

/// A row for each window and memory, a column for each level.
fn table(kind: &Kind, rooms: &[(u8, u8)], what: &str, cost: impl Fn(Cell) -> String) {
    let bytes: usize = kind.messages.iter().map(String::len).sum();
    println!("\n### {}, {} B on average\n", kind.name, bytes / kind.messages.len());
    println!("Compressed length as a part of the plain one; {what}, a message.\n");
    let levels: Vec<_> = LEVELS.iter().map(|level| format!("level {level}")).collect();
    println!("| context | window bits | memory | {} |", levels.join(" | "));
    println!("|---|--:|--:|{}", "--:|".repeat(LEVELS.len()));
    for takeover in [false, true] {
        for &(window_bits, memory) in rooms {
            let cells = LEVELS.map(|level| {
                let cell = Cell { takeover, window_bits, memory, level };
                let sent: usize = exchange(kind, cell).iter().map(Vec::len).sum();
                format!("{:.2}: {}", sent as f64 / bytes as f64, cost(cell))
            });
            let context = if takeover { "takeover" } else { "alone" };
            println!("| {context} | {window_bits} | {memory} | {} |", cells.join(" | "));
        }
    }
}

impl Cell {
    fn agreement(self) -> Agreement {
        let mut deflate = Deflate::default();
        (deflate.level, deflate.memory, deflate.threshold) = (self.level, self.memory, 0);
        let context = DeflateContext { takeover: self.takeover, window_bits: self.window_bits };
        (deflate.send, deflate.receive) = (context, context);
        let mut agreement = Agreement::default();
        agreement.deflate = Some(deflate);
        agreement
    }

    fn server(self) -> Connection {
        Connection::new(Upgrade::server(self.agreement()), Config::default(), Time::ZERO)
    }

    fn client(self) -> Connection {
        Connection::new(Upgrade::client(self.agreement(), [7; 32]), Config::default(), Time::ZERO)
    }
}

/// Sends one message; what of it goes over the wire is given to `wire`.
fn send(us: &mut Connection, message: &str, wire: impl FnOnce(&[u8])) {
    us.send(message).expect("there is room");
    let bytes = us.next_transmit().expect("a message");
    let len = bytes.len();
    wire(bytes);
    us.handle_transmitted(len, Time::ZERO);
    assert!(us.next_transmit().is_none(), "it is one piece");
}

fn receive(peer: &mut Connection, wire: &mut [u8], check: impl FnOnce(Option<&str>)) {
    match peer.receive(&mut &mut wire[..], Time::ZERO) {
        Ok(Some(Event::Message(message))) => check(message.as_text()),
        other => panic!("{other:?}"),
    }
}

/// What a second cycle is on the wire, after the peer has understood both.
fn exchange(kind: &Kind, cell: Cell) -> Vec<Vec<u8>> {
    let (mut us, mut peer) = (cell.server(), cell.client());
    let mut wires = Vec::new();
    for _ in 0..2 {
        wires.clear();
        for message in &kind.messages {
            send(&mut us, message, |bytes| wires.push(bytes.to_vec()));
            let mut wire = wires.last().expect("it was pushed").clone();
            receive(&mut peer, &mut wire, |text| assert_eq!(text, Some(&**message), "what was sent"));
        }
    }
    wires
}

/// The work that is counted and timed. Callgrind finds it by its name.
#[inline(never)]
fn sending_cycle(us: &mut Connection, messages: &[String]) {
    for message in messages {
        send(us, black_box(message), |bytes| _ = black_box(bytes.len()));
    }
}

/// Microseconds for one message to send and to receive: medians of rounds of 10 ms or more.
fn times(kind: &Kind, cell: Cell) -> (f64, f64) {
    let mut us = cell.server();
    sending_cycle(&mut us, &kind.messages);
    let send = time(kind, || {
        let start = Instant::now();
        sending_cycle(&mut us, &kind.messages);
        start.elapsed()
    });
    // A cycle that a new connection sends can be read by a new connection, again and again.
    let (mut us, mut wires) = (cell.server(), Vec::new());
    kind.messages.iter().for_each(|message| self::send(&mut us, message, |bytes| wires.push(bytes.to_vec())));
    let receive = time(kind, || {
        let (mut peer, mut wires) = (cell.client(), wires.clone());
        let start = Instant::now();
        for wire in &mut wires {
            self::receive(&mut peer, wire, |text| _ = black_box(text.map(str::len)));
        }
        start.elapsed()
    });
    (send, receive)
}

fn time(kind: &Kind, mut cycle: impl FnMut() -> Duration) -> f64 {
    let mut rounds: Vec<f64> = (0..5)
        .map(|_| {
            let (mut time, mut cycles) = (Duration::ZERO, 0);
            while time < Duration::from_millis(10) {
                time += cycle();
                cycles += 1;
            }
            time.as_secs_f64() * 1e6 / f64::from(cycles) / kind.messages.len() as f64
        })
        .collect();
    rounds.sort_unstable_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// Instructions for one message to send: this program again, under callgrind, for one cell.
fn instructions(kind: &Kind, cell: Cell) -> f64 {
    let Cell { takeover, window_bits, memory, level } = cell;
    let output = Command::new("valgrind")
        // The C library fills and copies long memory by `rep`, of which callgrind counts each byte as an instruction.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.x86_rep_stosb_threshold=1073741824:glibc.cpu.x86_rep_movsb_threshold=1073741824",
        )
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*sending_cycle*"])
        .arg(env::current_exe().expect("this program"))
        .args(["--cell", kind.name.split(' ').next().unwrap_or_default()])
        .args([takeover.into(), window_bits, memory, level].map(|number: u8| number.to_string()))
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    let count: f64 = count.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("{said}"));
    count / kind.messages.len() as f64 / 2.0
}

/// For callgrind: two cycles, so that the first message of a connection counts little.
fn for_callgrind(args: &[String], kinds: &[Kind]) {
    let numbers: Vec<u8> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let &[takeover, window_bits, memory, level] = &numbers[..] else { panic!("four numbers: {args:?}") };
    let mut us = Cell { takeover: takeover != 0, window_bits, memory, level }.server();
    (0..2).for_each(|_| sending_cycle(&mut us, &kinds[0].messages));
}

/// What a connection keeps between two messages, by a counting allocator.
fn memory() {
    println!("\n### Memory\n\nWhat a connection keeps between messages, more than one without compression.\n");
    println!("| context | window bits | memory | has sent | has received | 10,000 connections, both |");
    println!("|---|--:|--:|--:|--:|--:|");
    let (plain_sent, plain_received) = (kept(Agreement::default, true), kept(Agreement::default, false));
    for takeover in [false, true] {
        for (window_bits, memory) in ROOMS {
            let cell = Cell { takeover, window_bits, memory, level: 6 };
            let sent = kept(|| cell.agreement(), true) - plain_sent;
            let received = kept(|| cell.agreement(), false) - plain_received;
            let context = if takeover { "takeover" } else { "alone" };
            let kib = |bytes: f64| format!("{:.1} KiB", bytes / 1024.0);
            let all = (sent + received) * 10_000.0 / f64::from(1 << 30);
            println!("| {context} | {window_bits} | {memory} | {} | {} | {all:.2} GiB |", kib(sent), kib(received));
        }
    }
}

/// Bytes for each connection that has sent, or received, a message. What the thread keeps for all of them is there before.
fn kept(agreement: impl Fn() -> Agreement, sends: bool) -> f64 {
    const COUNT: usize = 20;
    let message = "a message, a message, a message";
    let server = || Connection::new(Upgrade::server(agreement()), Config::default(), Time::ZERO);
    let client = || Connection::new(Upgrade::client(agreement(), [7; 32]), Config::default(), Time::ZERO);
    let mut wire = Vec::new();
    send(&mut server(), message, |bytes| wire.extend_from_slice(bytes));
    let one = || {
        let mut connection = if sends { server() } else { client() };
        if sends {
            send(&mut connection, message, |_| ());
        } else {
            receive(&mut connection, &mut wire.clone(), |text| assert_eq!(text, Some(message)));
        }
        connection
    };
    // A thread keeps a few compressors for all its connections. These fill that store, and those empty it again if a
    // connection keeps what it has taken.
    drop((0..8).map(|_| one()).collect::<Vec<_>>());
    let before: Vec<_> = (0..8).map(|_| one()).collect();
    let mut all = Vec::with_capacity(COUNT);
    let info = measure(|| all.extend((0..COUNT).map(|_| one())));
    drop(before);
    info.bytes_current as f64 / COUNT as f64
}

// Messages.

/// xorshift32: the same numbers each time.
struct Random(u32);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound
    }

    /// Early ones more often, as words are used.
    fn early<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let bound = 1 + self.below(words.len());
        words[self.below(bound)]
    }
}

fn kinds() -> Vec<Kind> {
    let mut random = Random(2_463_534_242);
    let mut make = |name, count, one: fn(&mut Random, usize) -> String| Kind {
        name,
        messages: (0..count).map(|number| one(&mut random, number)).collect(),
    };
    let kinds =
        vec![make("Ticks (JSON)", 512, tick), make("Chat (JSON)", 512, chat), make("Page (HTML fragment)", 32, page)];
    for kind in &kinds {
        let bytes: usize = kind.messages.iter().map(String::len).sum();
        assert!(bytes > 1 << 16, "a cycle is longer than two windows");
    }
    kinds
}

fn tick(random: &mut Random, number: usize) -> String {
    let symbol =
        random.early(&["BTC-USD", "ETH-USD", "EUR-USD", "SOL-USD", "USD-JPY", "XAU-USD", "ADA-EUR", "DOGE-USD"]);
    let price = 10_000 + random.below(900_000);
    let (bid, ask) = (price - random.below(40), price + 1 + random.below(40));
    let cents = |price: usize| format!("{}.{:02}", price / 100, price % 100);
    format!(
        r#"{{"type":"tick","symbol":"{symbol}","bid":{},"ask":{},"last":{},"volume":{}.{:03},"side":"{}","time":"2026-03-01T12:{:02}:{:02}.{:03}Z","sequence":{}}}"#,
        cents(bid),
        cents(ask),
        cents(price),
        random.below(40),
        random.below(1000),
        ["buy", "sell"][random.below(2)],
        number / 60 % 60,
        number % 60,
        random.below(1000),
        8_812_345 + number,
    )
}

fn chat(random: &mut Random, number: usize) -> String {
    let name = random.early(&["mira", "jonas", "Aylin", "tobias.k", "Zoé", "sam", "Lena_92", "oskar", "priya", "Wei"]);
    format!(
        r#"{{"type":"message","room":"general","id":{},"from":{{"id":{},"name":"{name}"}},"at":{},"text":"{}"}}"#,
        48_120_331 + number,
        1000 + name.len() * 37,
        1_772_366_400_000_u64 + number as u64 * 4711 + random.below(4000) as u64,
        sentence(random),
    )
}

fn sentence(random: &mut Random) -> String {
    let count = 3 + random.below(16);
    let words: Vec<_> = (0..count).map(|_| random.early(&WORDS)).collect();
    words.join(" ") + ["", ".", "?", "!", " :)"][random.below(5)]
}

fn page(random: &mut Random, number: usize) -> String {
    let mut html = format!(r#"<section id="results" data-page="{number}"><ul class="cards">"#);
    for _ in 0..12 {
        let id = random.below(100_000);
        html += &format!(
            r#"<li class="card" id="lot-{id}"><a class="card-link" href="/lots/{id}"><img class="thumb" src="/img/{:08x}.webp" alt="{}" loading="lazy"></a><h3 class="title">{}</h3><p class="price"><span class="amount">{}.{:02}</span> <span class="currency">EUR</span></p><button class="bid" data-lot="{id}">Bid</button></li>"#,
            random.below(u32::MAX as usize),
            random.early(&WORDS),
            sentence(random),
            random.below(900),
            random.below(100),
        );
    }
    html + "</ul></section>"
}

#[rustfmt::skip]
const WORDS: [&str; 120] = [
    "the", "I", "to", "you", "a", "it", "is", "and", "that", "in", "of", "we", "for", "on", "not", "this", "have", "do",
    "but", "so", "are", "with", "just", "was", "be", "what", "can", "at", "if", "my", "they", "your", "all", "me", "get",
    "like", "there", "know", "how", "one", "about", "now", "think", "will", "up", "or", "out", "no", "when", "some", "time",
    "good", "would", "see", "then", "more", "as", "right", "yes", "ok", "today", "tomorrow", "meeting", "really", "want",
    "need", "work", "people", "because", "thanks", "still", "here", "could", "make", "again", "maybe", "going", "back",
    "look", "build", "server", "tests", "failed", "deploy", "branch", "release", "lunch", "coffee", "train", "weekend",
    "question", "anyone", "probably", "remember", "different", "yesterday", "looking", "forward", "customer", "schedule",
    "password", "machine", "strange", "beautiful", "afternoon", "message", "nothing", "happened", "minute", "please",
    "listen", "window", "garden", "music", "number", "answer", "ticket", "screen", "update", "evening",
];
