//! `examples/epoll_server` as a process, with peers that want to stop it.
#![cfg(all(unix, feature = "std"))]

mod common;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "loops/peer.rs"]
mod peer;
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::*;
use openline::Role::Client;
use peer::{PATIENCE, Peer, REQUEST};
use program::{Running, example};

struct Program(Running);

impl Program {
    /// Starts the server with at most so many file descriptors.
    fn start(files: usize, arguments: &[&str]) -> (Program, SocketAddr) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(example("epoll_server"));
        command.args(["--listen", "127.0.0.1:0", "--deflate", "off"]).args(arguments);
        let (server, url) = Running::start(&mut command);
        (Program(server), url.strip_prefix("ws://").unwrap().trim_end_matches('/').parse().unwrap())
    }

    /// Does something while the server stands still, so that it sees all of it in one round of its loop.
    fn meanwhile<T>(&self, work: impl FnOnce() -> T) -> T {
        let signal = |name: &str| {
            let status = Command::new("kill").args([name, &self.0.0.id().to_string()]).status();
            assert!(status.unwrap().success());
        };
        signal("-STOP");
        let done = work();
        signal("-CONT");
        done
    }

    /// The file descriptors that it has once it waits in its loop.
    fn files(&self) -> Vec<usize> {
        let list = || fs::read_dir(format!("/proc/{}/fd", self.0.0.id())).unwrap().flatten().map(|entry| entry.path());
        let is_poll = |path| fs::read_link(path).is_ok_and(|target| target.ends_with("anon_inode:[eventpoll]"));
        while !list().any(is_poll) {
            std::thread::sleep(Duration::from_millis(5));
        }
        list().map(|path| path.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect()
    }

    /// Waits until all of its threads sleep, and go on sleeping: a loop that runs in circles never does.
    fn rests(&self) {
        // The state comes behind the name, which is in brackets (proc(5)).
        let sleeps = |stat: String| stat.rsplit_once(") ").unwrap().1.starts_with('S');
        let (begun, mut times) = (Instant::now(), 0);
        while times < 20 {
            // Keepalive ends what would go on.
            assert!(begun.elapsed() < Duration::from_secs(15), "it runs in circles");
            let mut tasks = fs::read_dir(format!("/proc/{}/task", self.0.0.id())).unwrap().flatten();
            times = if tasks.all(|task| sleeps(fs::read_to_string(task.path().join("stat")).unwrap())) {
                times + 1
            } else {
                0
            };
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where no file descriptor was left, the server tries again: a client that waits for a place gets the one that becomes free.
#[test]
#[cfg(target_os = "linux")]
fn a_client_that_waits_for_a_file_descriptor_gets_the_next_one() {
    let own = Program::start(1024, &[]).0.files();
    for places in [1, 3] {
        // It may have inherited some with high numbers.
        let most = (own.len() + places).max(own.iter().max().unwrap() + 1);
        let (program, address) = Program::start(most, &[]);
        let places = most - own.len();
        let inside: Vec<_> = (0..places).map(|_| Peer::open(address)).collect();
        let mut waiting = TcpStream::connect(address).unwrap();
        waiting.write_all(REQUEST.as_bytes()).unwrap();
        // It is not in: there is no place.
        waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(waiting.read(&mut [0]).is_err());
        program.meanwhile(|| drop(inside));
        let mut waiting = Peer(waiting);
        // Keepalive would wake the loop, if anybody were in.
        waiting.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        waiting.hear_agreement();
        waiting.say(frame(Client, TEXT, "in"));
        waiting.expect(TEXT, "in");
    }
}

/// The loop says that who is paused goes on "when there is room again". A client that asks to come in while others fill the
/// round is not forgotten.
#[test]
fn a_client_that_comes_in_a_full_round_is_answered() {
    let (program, address) = Program::start(1024, &["--broadcast"]);
    let mut speaker = Peer::open(address);
    let mut coming = Peer::connect(address);
    // It has been accepted: who came after it has been.
    Peer::open(address);
    program.meanwhile(|| {
        speaker.say(frame(Client, BINARY, vec![7; 16 * 1024]));
        coming.say(REQUEST);
    });
    coming.hear_agreement();
}

/// Who reads late, but soon, is not let go, however fast somebody else speaks, and nothing is lost: who speaks has to wait.
#[test]
fn who_reads_late_hears_all_that_a_flood_says() {
    // 32 MiB, more than all buffers between the two hold.
    const COUNT: u32 = 512;
    let (_program, address) = Program::start(1024, &["--broadcast"]);
    let said = |n: u32| [&n.to_be_bytes()[..], &[7; 64 * 1024]].concat();
    let (speaker, mut late) = (Peer::open(address), Peer::open(address));
    let heard = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Masked with zeros, which takes no time: a final binary frame with a length of eight bytes, and the key.
            let header = [&[BINARY, 0x80 | 127][..], &said(0).len().to_be_bytes(), &[0; 4]].concat();
            let all = (0..COUNT).map(|n| [&header[..], &said(n)].concat()).collect::<Vec<_>>().concat();
            speaker.saying(all, |speaker| {
                for n in 0..COUNT {
                    speaker.expect(BINARY, said(n));
                    heard.store(n + 1, Relaxed);
                }
            });
        });
        let (begun, mut before, mut same) = (Instant::now(), 0, 0);
        while same < 10 {
            assert!(begun.elapsed() < PATIENCE, "the speaker hears nothing");
            std::thread::sleep(Duration::from_millis(10));
            let now = heard.load(Relaxed);
            (same, before) = if now == before && now > 0 { (same + 1, now) } else { (0, now) };
        }
        assert!(before < COUNT, "the late one was waited for");
        // Others may come in meanwhile.
        Peer::open(address);
        (0..COUNT).for_each(|n| late.expect(BINARY, said(n)));
    });
}

/// A deadline stays listed when it has moved to a later time, or is gone with its connection. When its old time comes, it
/// is taken off the list, and the loop has nothing to do.
#[test]
#[cfg(target_os = "linux")]
fn deadlines_whose_time_has_passed_keep_nobody_busy() {
    for threads in ["1", "2"] {
        let (program, address) = Program::start(1024, &["--threads", threads, "--handshake-timeout", "5"]);
        let come = || {
            let mut coming: Vec<_> = (0..4).map(|_| Peer::connect(address)).collect();
            // They have been accepted before they ask, so their first deadline is that of the handshake.
            (0..2).for_each(|_| drop(Peer::open(address)));
            for peer in &mut coming {
                peer.say(REQUEST);
                peer.hear_agreement();
            }
            coming
        };
        let inside = come();
        drop(come());
        // They have the places of those who are gone.
        let next = come();
        // All of those agreed before their time was over. That of this one is over last.
        let head = Peer::connect(address).hear_head();
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        program.rests();
        for mut peer in inside.into_iter().chain(next) {
            peer.say(frame(Client, TEXT, "still here"));
            peer.expect(TEXT, "still here");
        }
    }
}
