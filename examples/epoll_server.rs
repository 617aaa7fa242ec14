//! Sends every message back, or to all, over an event loop: what a program writes that embeds the core in networking
//! code of its own. A loop has one thread, one read buffer and one set of deadlines, and there may be several.
//! `cargo run --release --example epoll_server`, then open <http://127.0.0.1:9001/>, or point any WebSocket client at it.
//! `--help` says what can be chosen.

mod support;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::iter;
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use openline::{Accept, CloseCode, Connection, Event, Prepared, Reading, Ready, SendError, Server, Step, Time};
use slab::Slab;
use support::{Options, value};

const HELP: &str = "usage: epoll_server [OPTIONS]

Sends every message back, from an event loop for many connections. Prints its address once it listens.

options:
  --threads N                        threads that serve, each with an event loop (1 if not given)
  --broadcast                        send every message to all connections; not with more than one thread
";

/// How much one connection may do before the others have their turn: 16 reads, and a write after each.
const STEPS: u32 = 32;
/// Once so many bytes are to be sent to all, nobody may say more in this round of the loop.
const MOST: usize = 16 * 1024;

/// When it is tried again to accept a connection, if that has failed.
const AGAIN: Duration = Duration::from_millis(500);

/// The token of what brings new connections. That of a connection is its place among the peers.
const COMES: Token = Token(usize::MAX);

/// What has been said in this round of the loop, and is for all.
type Said = Vec<Prepared>;

struct Peer {
    io: TcpStream,
    connection: Connection,
    /// Whether the client sends no more than what is there.
    ended: bool,
    /// When its next turn is, if the socket is not ready before.
    until: Option<Time>,
    /// Where it stands among the deadlines: at `until` or earlier. `until` moves to a later time with each message, and its
    /// place only when the time there has come.
    listed: Option<Time>,
}

fn main() -> io::Result<()> {
    let (mut said, mut threads) = (None, NonZeroUsize::MIN);
    let options = Options::from_args(HELP, |name, args| {
        match name {
            "broadcast" => said = Some(Said::new()),
            "threads" => threads = value(args, "--threads", "a number of threads")?,
            _ => return Ok(false),
        }
        if said.is_some() && threads.get() > 1 { Err("--broadcast needs one thread".into()) } else { Ok(true) }
    });
    let server = Server::default().handshake(options.handshake).config(options.config);
    let listener = std::net::TcpListener::bind(options.listen)?;
    listener.set_nonblocking(true)?;
    println!("listening on ws://{}", listener.local_addr()?);
    serve(TcpListener::from_std(listener), &server, threads.get(), said)
}

/// Serves on this thread, which accepts, and on others. They are given the connections in turn.
pub(crate) fn serve(mut listener: TcpListener, server: &Server, threads: usize, said: Option<Said>) -> io::Result<()> {
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, COMES, Interest::READABLE)?;
    let others = (1..threads).map(|_| start(server.clone())).collect::<io::Result<Vec<_>>>()?;
    let mut next = iter::once(None).chain(others.iter().map(Some)).cycle();
    let accept = || loop {
        let (io, _) = listener.accept()?;
        let Some(Some((sockets, waker))) = next.next() else { return Ok(io) };
        // If that loop has ended, so does the connection.
        let _ = sockets.send(io);
        let _ = waker.wake();
    };
    run(poll, accept, server, said)
}

/// Starts a loop on a thread of its own. Returns how to give it a connection: send it, then wake the loop.
fn start(server: Server) -> io::Result<(Sender<TcpStream>, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), COMES)?;
    let (sockets, given) = channel();
    let accept = move || given.try_recv().map_err(|_| ErrorKind::WouldBlock.into());
    thread::spawn(move || run(poll, accept, &server, None).expect("a loop goes on"));
    Ok((sockets, waker))
}

/// The loop. `accept` returns a connection that has come for it, if there is one.
fn run(
    mut poll: Poll,
    mut accept: impl FnMut() -> io::Result<TcpStream>,
    server: &Server,
    mut said: Option<Said>,
) -> io::Result<()> {
    let (mut events, epoch) = (Events::with_capacity(256), Instant::now());
    let (mut peers, mut buffer) = (Slab::<Peer>::new(), vec![0; 64 * 1024]);
    let (mut deadlines, mut turns, mut spoke) = (BTreeSet::<(Time, usize)>::new(), Vec::new(), 0);
    let mut again: Option<Time> = None;
    loop {
        let now = Time::from_epoch(epoch.elapsed());
        let first = deadlines.first().map(|(until, _)| *until).into_iter().chain(again).min();
        let until = if turns.is_empty() { first } else { Some(now) };
        match poll.poll(&mut events, until.map(|until| until.since(now))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Time::from_epoch(epoch.elapsed());
        let mut comes = again.take_if(|again| *again <= now).is_some();
        for event in &events {
            match peers.get_mut(event.token().0) {
                Some(peer) => peer.ended |= event.is_read_closed(),
                None => comes |= event.token() == COMES,
            }
            turns.push(event.token().0);
        }
        turns.extend(deadlines.iter().take_while(|(until, _)| *until <= now).map(|(_, place)| *place));
        while comes {
            let mut io = match accept() {
                Ok(io) => io,
                Err(error) => {
                    comes = false;
                    // Nobody tells when there are file descriptors again.
                    again = (error.kind() != ErrorKind::WouldBlock).then(|| now + AGAIN);
                    continue;
                }
            };
            let free = peers.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = poll.registry().register(&mut io, Token(free.key()), interest);
            // A client that is gone already is no reason to stop.
            if registered.and_then(|()| io.set_nodelay(true)).is_ok() {
                turns.push(free.key());
                let connection = Connection::server(server, now);
                free.insert(Peer { io, connection, ended: false, until: None, listed: None });
            }
        }
        for place in turns.drain(..) {
            let Some(peer) = peers.get_mut(place) else { continue };
            let before = said.as_ref().map(Vec::len);
            let goes_on = turn(peer, &mut buffer, &mut said, now);
            let moves = peer.listed.is_some_and(|at| at <= now || peer.until.is_some_and(|until| until < at));
            if !goes_on || moves {
                peer.listed.take().map(|at| deadlines.remove(&(at, place)));
            }
            if !goes_on {
                peers.remove(place);
            } else if peer.listed.is_none() {
                peer.listed = peer.until;
                deadlines.extend(peer.until.map(|until| (until, place)));
            }
            if said.as_ref().map(Vec::len) != before {
                spoke = place;
            }
        }
        if let Some(said) = said.as_mut().filter(|said| !said.is_empty()) {
            for (place, peer) in &mut peers {
                said.iter().for_each(|message| pass_on(&mut peer.connection, message, now));
                turns.push(place);
            }
            said.clear();
            // The next round begins behind whoever spoke last, so that nobody who floods keeps others from speaking.
            turns.sort_unstable_by_key(|place| (*place <= spoke, *place));
        }
    }
}

/// Does what the connection wants and the socket lets, but not too much of it. False: it is over.
fn turn(peer: &mut Peer, buffer: &mut [u8], said: &mut Option<Said>, now: Time) -> bool {
    let Peer { io, connection, ended, until, .. } = peer;
    // The loop is told of changes only, so each turn tries until the socket has no more.
    let mut ready = Ready { read: true, write: true };
    for _ in 0..STEPS {
        if connection.reading() == Reading::Paused {
            answer(connection, &mut [], said, now);
        }
        let Some(wants) = connection.wants() else { return false };
        *until = wants.until;
        match wants.step(ready, now) {
            Step::Write => match write(io, connection) {
                Ok(len) => connection.handle_transmitted(len, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready.write = false;
                    connection.handle_blocked(now);
                }
                Err(_) => connection.handle_write_failed(now),
            },
            Step::End => {
                // If this fails, so will the next read.
                let _ = io.shutdown(Shutdown::Write);
                connection.handle_shutdown();
            }
            // In the middle of a long message it is read straight to its place, and not to the buffer.
            Step::Read => {
                let space = connection.receive_space().unwrap_or(&mut *buffer);
                let most = space.len();
                match io.read(space) {
                    Ok(0) => connection.handle_eof(now),
                    Ok(len) => {
                        // Fewer bytes than there was space for are all, and the loop is told of more (epoll(7), question 9).
                        // But it has been told of the end already, and Windows must be asked until it refuses.
                        ready.read = len == most || *ended || cfg!(windows);
                        if connection.receive_space().is_some() {
                            connection.handle_filled(len, now);
                            answer(connection, &mut [], said, now);
                        } else {
                            answer(connection, &mut buffer[..len], said, now);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => ready.read = false,
                    Err(_) => connection.handle_reset(),
                }
            }
            Step::Timeout => connection.handle_timeout(now),
            Step::Wait => return true,
        }
    }
    *until = Some(now);
    true
}

/// Writes once. A long payload is not copied behind its header: both leave in one call.
fn write(io: &mut TcpStream, connection: &Connection) -> io::Result<usize> {
    let first = connection.next_transmit().unwrap_or_default();
    if first.len() == connection.queued() {
        return io.write(first);
    }
    let second = connection.transmits().nth(1).unwrap_or_default();
    io.write_vectored(&[first, second].map(IoSlice::new))
}

/// Sends what somebody has said. Who has not taken what was said before is let go, and may come back.
fn pass_on(connection: &mut Connection, message: &Prepared, now: Time) {
    match connection.check_send() {
        Err(SendError::Full) => drop(connection.close(CloseCode::TRY_AGAIN_LATER, "too slow", now)),
        _ => drop(connection.queue(message)),
    }
}

/// The application: answers what has come, as long as there is room for answers. The rest is held,
/// and nothing more is read, until there is room again and this is called with an empty input.
fn answer(connection: &mut Connection, mut input: &mut [u8], said: &mut Option<Said>, now: Time) {
    let has_room = |said: &Said| said.iter().map(|message| message.payload().len() + 64).sum::<usize>() < MOST;
    while connection.check_send() != Err(SendError::Full) && said.as_ref().is_none_or(has_room) {
        connection.set_reading(Reading::Events, now);
        match connection.receive(&mut input, now) {
            // Both are refused when the connection ends, and it says so itself.
            Ok(Some(Event::Request)) => drop(connection.accept(Accept::default(), now)),
            Ok(Some(Event::Message(message))) => match said {
                Some(said) => said.push(Prepared::new(message)),
                None => drop(connection.queue(message)),
            },
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
    connection.hold(input);
    connection.set_reading(Reading::Paused, now);
}
