//! What a message costs at a Redis server: `cargo bench -p openline-live --features redis --bench redis`.
//!
//! It starts a `redis-server` of its own. All answers are checked.

use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{StreamExt, iter};
use openline_live::{Append, Backplane, Epoch, Fed, Id, Redis, Retain};

#[path = "../tests/redis/server.rs"]
#[allow(dead_code)]
mod server;

const COUNT: u64 = 100_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(server) = server::Server::start(&[]).await else { return };
    let node = server.node().await;
    let other = server.node().await;
    println!("{COUNT} messages, each kind in one topic, 256 kept, 64 on their way at once");
    for (bytes, id) in [(100, false), (100, true), (1000, false), (10_000, false)] {
        let topic = format!("{bytes} {id}");
        say(&node, &topic, bytes, id, COUNT / 10, 64).await;
        let () = server.ask(&["CONFIG", "RESETSTAT"]);
        let (began, cpu) = (Instant::now(), cpu(&server));
        say(&node, &topic, bytes, id, COUNT, 64).await;
        let (took, cpu) = (began.elapsed().as_secs_f64(), self::cpu(&server) - cpu);
        let stats: String = server.ask(&["INFO", "commandstats"]);
        let in_script = calls(&stats) / COUNT as f64 - 1.0;
        println!(
            "{bytes:>6} bytes, id {id:<5}: {:>6.0} per second; at the server {:.1} us of CPU and {in_script:.1} commands each",
            COUNT as f64 / took,
            cpu * 1e6 / COUNT as f64
        );
    }
    for bytes in [20, 100, 1000] {
        let topic = format!("memory {bytes}");
        say(&node, &topic, bytes, true, 256, 64).await;
        let size = |key| -> f64 {
            server
                .ask::<Option<f64>>(&["MEMORY", "USAGE", &format!("openline:{{{topic}}}:{key}"), "SAMPLES", "0"])
                .unwrap()
        };
        println!(
            "{bytes:>6} bytes, 256 kept: {:.0} bytes each in the stream; ids {:.0} each; a topic {:.0}",
            size("messages") / 256.0,
            (size("ids") + size("order")) / 256.0,
            size("log")
        );
    }
    other.interest(vec!["fed".into()], Vec::new()).await.unwrap();
    let began = Instant::now();
    let hear = async {
        let mut last = 0;
        while last < COUNT {
            match other.fed().await {
                Fed::Message { at, .. } => {
                    assert_eq!(at.offset, last + 1);
                    last = at.offset;
                }
                _ => panic!("the feed was cut"),
            }
        }
    };
    tokio::join!(say(&node, "fed", 100, false, COUNT, 64), hear);
    println!("   100 bytes, said and fed: {:.0} per second", COUNT as f64 / began.elapsed().as_secs_f64());
}

async fn say(node: &Redis, topic: &str, bytes: usize, id: bool, count: u64, at_once: usize) {
    let one = async |number: u64| {
        let payload = Bytes::from(vec![b'x'; bytes]);
        let mut append = Append::new(topic.into(), payload, Retain::default(), Epoch::from_bytes([1; 16]));
        append.retain.bytes = 16 << 20;
        append.id = id.then(|| Id::new(&format!("{count} {number}")));
        node.append(append).await.unwrap().offset
    };
    let mut offsets: Vec<u64> = iter(0..count).map(one).buffer_unordered(at_once).collect().await;
    offsets.sort_unstable();
    assert!(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

/// Seconds of CPU that the server has used, for its sockets too. Other programs of the machine do not count.
fn cpu(server: &server::Server) -> f64 {
    let info: String = server.ask(&["INFO", "cpu"]);
    let of = |key: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap()
    };
    of("used_cpu_user") + of("used_cpu_sys")
}

/// How many commands have run in all.
fn calls(stats: &str) -> f64 {
    let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<f64>().ok();
    stats.lines().filter_map(calls).sum()
}
