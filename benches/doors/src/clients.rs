//! Many clients of one door, in one thread. Each checks that it gets all messages, once and in their order; what is missing
//! at the end is lost, and the program fails.
//!
//! A message has arrived when the kernel has its packet for the client's socket (`SO_TIMESTAMPNS`), so the time until this
//! program comes round to read it is not in the latency.

use std::io::{self, BufRead, IoSliceMut, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::{TimeSpec, TimeValLike};
use socket2::{Domain, Protocol, Socket, Type};

use crate::args::Args;
use crate::counters::Segments;
use crate::door::Door;
use crate::message::Heard;
use crate::requests::{Headers, Requests};
use crate::stats::percentile;
use crate::{Result, door};

/// `clients --door D --to ADDRESS --clients N --headers browser|minimal --messages N --seconds S --patience S [--segments]`.
///
/// Prints `waiting` when all wait for messages, and reads a line: then counting begins. Prints one JSON object when each has
/// all its messages and the seconds are over, or after `patience` more seconds.
pub(crate) fn main(mut args: Args) -> Result<()> {
    let door: Door = args.value("--door")?;
    let to: SocketAddr = args.value("--to")?;
    let (clients, messages): (usize, u64) = (args.value("--clients")?, args.value("--messages")?);
    let headers: Headers = args.value("--headers")?;
    let (seconds, patience): (f64, f64) = (args.value("--seconds")?, args.value("--patience")?);
    let segments = args.flag("--segments");
    args.end()?;

    let mut crowd = Crowd::new(door, Requests::new(headers), to, clients)?;
    let begin = Instant::now();
    while crowd.waiting < clients {
        crowd.connect()?;
        crowd.turn(TURN)?;
        if begin.elapsed() > CONNECTING {
            return Err(format!("only {} of {clients} clients wait after {CONNECTING:?}", crowd.waiting).into());
        }
    }
    println!("waiting");
    io::stdout().flush()?;
    io::stdin().lock().read_line(&mut String::new())?;

    let before = segments.then(Segments::now).transpose()?;
    let (bytes, start, cpu) = (crowd.bytes, Instant::now(), cpu()?);
    crowd.latencies.reserve(clients.saturating_mul(usize::try_from(messages)?).min(MOST_RESERVED));
    let wanted = messages * clients as u64;
    let whole = Duration::try_from_secs_f64(seconds)?;
    let deadline = whole + Duration::try_from_secs_f64(patience)?;
    while start.elapsed() < whole || (crowd.heard + crowd.lost < wanted && start.elapsed() < deadline) {
        crowd.turn(TURN)?;
    }
    let took = start.elapsed();
    // What a poll asks next, and what is acknowledged late, belong to the messages.
    let lingering = Instant::now();
    while lingering.elapsed() < LINGER {
        crowd.turn(TURN)?;
    }
    let cpu = self::cpu()? - cpu;
    let segments = before.map(|before| Segments::now().map(|now| now.since(before))).transpose()?;
    crowd.print(Counted { clients, messages, bytes, segments, took, cpu });
    let lost = crowd.lost(messages);
    if lost > 0 {
        return Err(format!("{door}: {lost} of {wanted} messages are lost", door = door.name()).into());
    }
    Ok(())
}

/// What was counted before the messages, or is counted once.
struct Counted {
    clients: usize,
    messages: u64,
    bytes: Bytes,
    segments: Option<Segments>,
    took: Duration,
    cpu: Duration,
}

#[derive(Clone, Copy, Default)]
struct Bytes {
    received: u64,
    sent: u64,
}

struct Crowd {
    door: Door,
    requests: Requests,
    to: SocketAddr,
    epoll: Epoll,
    members: Vec<Member>,
    wanted: usize,
    /// How many have connected, and how many wait for messages.
    connected: usize,
    waiting: usize,
    bytes: Bytes,
    heard: u64,
    /// Found by a gap in the numbers.
    lost: u64,
    latencies: Vec<u64>,
    /// Bytes that came without the kernel's time: then it is the time of reading.
    unstamped: u64,
    room: Vec<u8>,
    control: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    client: door::Client,
    /// What the socket has not taken yet.
    out: Vec<u8>,
    state: State,
    /// The number of the next message.
    next: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    /// Nothing waits to be sent.
    Reading,
    /// The socket is full.
    Writing,
}

impl Crowd {
    fn new(door: Door, requests: Requests, to: SocketAddr, wanted: usize) -> Result<Crowd> {
        Ok(Crowd {
            door,
            requests,
            to,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            members: Vec::with_capacity(wanted),
            wanted,
            connected: 0,
            waiting: 0,
            bytes: Bytes::default(),
            heard: 0,
            lost: 0,
            latencies: Vec::new(),
            unstamped: 0,
            room: vec![0; 64 << 10],
            control: nix::cmsg_space!(TimeSpec),
        })
    }

    /// Begins as many connections as the server's backlog has room for.
    fn connect(&mut self) -> Result<()> {
        while self.members.len() < self.wanted && self.members.len() - self.connected < AT_ONCE {
            let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            socket.set_tcp_nodelay(true)?;
            match socket.connect(&self.to.into()) {
                Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error.into()),
                _ => {}
            }
            let stream = TcpStream::from(socket);
            setsockopt(&stream, ReceiveTimestampns, &true)?;
            let mut out = Vec::new();
            let client = door::Client::new(self.door, &self.requests, &mut out);
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLOUT, self.members.len() as u64))?;
            self.members.push(Member { stream, client, out, state: State::Connecting, next: 1 });
        }
        Ok(())
    }

    /// Handles what has come, or waits for it.
    fn turn(&mut self, most: Duration) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let count = match self.epoll.wait(&mut events, EpollTimeout::try_from(most)?) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        for event in &events[..count] {
            let at = usize::try_from(event.data())?;
            self.event(at).map_err(|error| format!("{} client {at}: {error}", self.door.name()))?;
        }
        Ok(())
    }

    fn event(&mut self, at: usize) -> Result<()> {
        if self.members[at].state != State::Reading {
            return self.send(at);
        }
        let Some((length, arrived)) = self.receive(at)? else { return Ok(()) };
        self.bytes.received += length as u64;
        let member = &mut self.members[at];
        let (next, waited) = (&mut member.next, member.client.waits());
        let (heard_all, lost, latencies) = (&mut self.heard, &mut self.lost, &mut self.latencies);
        member.client.read(&self.room[..length], &self.requests, &mut member.out, |heard| {
            *lost += missing(next, heard)?;
            *heard_all += 1;
            latencies.push(arrived.saturating_sub(heard.at));
            Ok(())
        })?;
        if !waited && member.client.waits() {
            self.waiting += 1;
        }
        if member.out.is_empty() { Ok(()) } else { self.send(at) }
    }

    /// How many bytes there were to read, and when they came: nanoseconds since 1970.
    fn receive(&mut self, at: usize) -> Result<Option<(usize, u64)>> {
        let fd = self.members[at].stream.as_raw_fd();
        let mut room = [IoSliceMut::new(&mut self.room)];
        let message = match recvmsg::<()>(fd, &mut room, Some(&mut self.control), MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            message => message?,
        };
        if message.bytes == 0 {
            return Err("the server has closed the connection".into());
        }
        let stamp = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::ScmTimestampns(time) => u64::try_from(time.num_nanoseconds()).ok(),
            _ => None,
        });
        let length = message.bytes;
        let arrived = match stamp {
            Some(stamp) => stamp,
            None => {
                self.unstamped += 1;
                u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?
            }
        };
        Ok(Some((length, arrived)))
    }

    /// Sends what there is to send. If the socket is full, it goes on when there is room.
    fn send(&mut self, at: usize) -> Result<()> {
        let member = &mut self.members[at];
        if member.state == State::Connecting {
            if let Some(error) = member.stream.take_error()? {
                return Err(error.into());
            }
            self.connected += 1;
        }
        while !member.out.is_empty() {
            match member.stream.write(&member.out) {
                Ok(sent) => {
                    self.bytes.sent += sent as u64;
                    member.out.drain(..sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let state = if member.out.is_empty() { State::Reading } else { State::Writing };
        if state == State::Reading {
            // Thousands of clients wait: none keeps room that it does not need.
            member.out = Vec::new();
        }
        if state != member.state {
            member.state = state;
            let wanted = if state == State::Reading { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLOUT };
            self.epoll.modify(&member.stream, &mut EpollEvent::new(wanted, at as u64))?;
        }
        Ok(())
    }

    /// With those that no later message has shown to be missing.
    fn lost(&self, messages: u64) -> u64 {
        self.lost + self.members.iter().map(|member| (messages + 1).saturating_sub(member.next)).sum::<u64>()
    }

    fn print(&mut self, counted: Counted) {
        self.latencies.sort_unstable();
        let latency = |part| percentile(&self.latencies, part).map_or("null".to_owned(), |value| value.to_string());
        let segments = counted.segments.map_or("null".to_owned(), |segments| {
            let Segments { received, sent, resent } = segments;
            format!("{{\"received\":{received},\"sent\":{sent},\"resent\":{resent}}}")
        });
        println!(
            "{{\"door\":\"{}\",\"clients\":{},\"messages\":{},\"heard\":{},\"lost\":{},\"p50_ns\":{},\"p99_ns\":{},\
             \"max_ns\":{},\"received_bytes\":{},\"sent_bytes\":{},\"segments\":{segments},\"unstamped\":{},\
             \"seconds\":{:.3},\"client_cpu_ns\":{}}}",
            self.door.name(),
            counted.clients,
            counted.messages,
            self.heard,
            self.lost(counted.messages),
            latency(0.5),
            latency(0.99),
            latency(1.0),
            self.bytes.received - counted.bytes.received,
            self.bytes.sent - counted.bytes.sent,
            self.unstamped,
            counted.took.as_secs_f64(),
            counted.cpu.as_nanos(),
        );
    }
}

/// How many messages are missing before this one. One that comes again, or behind a later one, is an error.
fn missing(next: &mut u64, heard: Heard) -> Result<u64> {
    let missing = heard.n.checked_sub(*next);
    let missing =
        missing.ok_or_else(|| format!("message {} where {next} should be: twice, or out of order", heard.n))?;
    *next = heard.n + 1;
    Ok(missing)
}

/// Of this process.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// How long an event is waited for before the clock is looked at.
const TURN: Duration = Duration::from_millis(20);
/// How many connections are begun and not there yet.
const AT_ONCE: usize = 256;
const CONNECTING: Duration = Duration::from_secs(60);
/// Longer than TCP waits with an acknowledgement (40 ms, or up to 200), and than any round trip here.
const LINGER: Duration = Duration::from_millis(400);
/// 80 MB.
const MOST_RESERVED: usize = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gap() {
        let (mut next, heard) = (1, |n| Heard { n, at: 0 });
        assert_eq!(missing(&mut next, heard(1)).unwrap(), 0);
        assert_eq!(missing(&mut next, heard(2)).unwrap(), 0);
        assert_eq!(missing(&mut next, heard(5)).unwrap(), 2);
        assert!(missing(&mut next, heard(5)).is_err());
        assert!(missing(&mut next, heard(4)).is_err());
        assert_eq!(missing(&mut next, heard(6)).unwrap(), 0);
    }
}
