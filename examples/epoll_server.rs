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
use openline::{Accept, CloseCode, Connection, Event, Prepared, Reading, Ready, SendError, Server, State, Step, Time};
use slab::Slab;
use support::{Options, value};

const HELP: &str = "usage: epoll_server [OPTIONS]

Sends every message back, from an event loop for many connections. Prints its address once it listens.

options:
  --threads N                        threads that serve, each with an event loop (1 if not given)
  --broadcast                        send every message to all connections; not with more than one thread. Who has not
                                     read what was sent holds all up, for 5 seconds at most, and is let go then
";

/// How much one connection may do before the others have their turn: 16 reads, and a write after each.
const STEPS: u32 = 32;
/// Once so many bytes are to be sent to all, nobody may say more in this round of the loop.
const MOST: usize = 16 * 1024;

/// How many connections are accepted in one round.
const ACCEPTS: u32 = 64;
/// When it is tried again to accept a connection, if that has failed.
const AGAIN: Duration = Duration::from_millis(500);
/// For how long a client that has no room for more may keep all others from speaking.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether fewer bytes than there was space for are all, so that the loop is told of more: epoll(7), question 9. (Not behind an
/// urgent byte; who sends one waits for the next Ping.) On other systems mio tells nothing until the socket has refused.
const SHORT_IS_ALL: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "freebsd"));

const BOTH: Ready = Ready { read: true, write: true };

/// The token of what brings new connections. That of a connection is its place among the peers.
const COMES: Token = Token(usize::MAX);

/// What is for all.
#[derive(Default)]
pub(crate) struct Said {
    /// What has been said in this round of the loop.
    messages: Vec<Prepared>,
    /// Since when some client has no room for more. Nobody may speak before all have.
    full: Option<Time>,
}

impl Said {
    fn has_room(&self) -> bool {
        self.full.is_none() && self.messages.iter().map(|message| message.payload().len() + 64).sum::<usize>() < MOST
    }
}

struct Peer {
    io: TcpStream,
    connection: Connection,
    /// What the socket can do. The loop is told of changes only, so this lasts until the socket refuses.
    ready: Ready,
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
            "broadcast" => said = Some(Said::default()),
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
    let (mut comes, mut again) = (false, None::<Time>);
    loop {
        let now = Time::from_epoch(epoch.elapsed());
        let let_go = said.as_ref().and_then(|said| said.full).map(|since| since + PATIENCE);
        let first = deadlines.first().map(|(until, _)| *until).into_iter().chain(again).chain(let_go).min();
        let until = if turns.is_empty() && !comes { first } else { Some(now) };
        match poll.poll(&mut events, until.map(|until| until.since(now))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Time::from_epoch(epoch.elapsed());
        comes |= again.take_if(|again| *again <= now).is_some();
        for event in &events {
            let Some(peer) = peers.get_mut(event.token().0) else {
                comes |= event.token() == COMES;
                continue;
            };
            peer.ended |= event.is_read_closed();
            peer.ready.read |= event.is_readable() || event.is_read_closed() || event.is_error();
            peer.ready.write |= event.is_writable() || event.is_error();
            turns.push(event.token().0);
        }
        for (_, place) in deadlines.iter().take_while(|(until, _)| *until <= now) {
            // What the peer is waited for may lie in the socket, and the loop not be told yet.
            peers[*place].ready.read = true;
            turns.push(*place);
        }
        for _ in 0..ACCEPTS {
            if !comes {
                break;
            }
            let mut io = match accept() {
                Ok(io) => io,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(error) => {
                    comes = false;
                    // Nobody tells when there are file descriptors again.
                    again = (error.kind() != ErrorKind::WouldBlock).then(|| now + AGAIN);
                    break;
                }
            };
            let free = peers.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = poll.registry().register(&mut io, Token(free.key()), interest);
            // A client that is gone already is no reason to stop.
            if registered.and_then(|()| io.set_nodelay(true)).is_ok() {
                turns.push(free.key());
                let connection = Connection::server(server, now);
                free.insert(Peer { io, connection, ready: BOTH, ended: false, until: None, listed: None });
            }
        }
        for place in turns.drain(..) {
            let Some(peer) = peers.get_mut(place) else { continue };
            let before = said.as_ref().map(|said| said.messages.len());
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
            if said.as_ref().map(|said| said.messages.len()) != before {
                spoke = place;
            }
        }
        if let Some(said) = &mut said
            && pass_on(said, &mut peers, now)
        {
            // The next round begins behind whoever spoke last, so that nobody who floods keeps others from speaking.
            turns.extend(peers.iter().map(|(place, _)| place));
            turns.sort_unstable_by_key(|place| (*place <= spoke, *place));
        }
    }
}

/// Sends to all what has been said, and lets those go who have had no room for too long: they may come back. Returns whether
/// all must have a turn, to write, or because they may speak again.
fn pass_on(said: &mut Said, peers: &mut Slab<Peer>, now: Time) -> bool {
    if said.messages.is_empty() && said.full.is_none() {
        return false;
    }
    let is_over = said.full.is_some_and(|since| since + PATIENCE <= now);
    let mut full = None;
    for (_, Peer { connection, .. }) in peers {
        for message in &said.messages {
            // It is refused if the connection is not open.
            let _ = connection.queue(message);
        }
        if connection.check_send() == Err(SendError::Full) {
            if is_over {
                // Its Close is to be read, though it was not to speak.
                connection.set_reading(Reading::Events, now);
                let _ = connection.close(CloseCode::TRY_AGAIN_LATER, "too slow", now);
            } else {
                full = said.full.or(Some(now));
            }
        }
    }
    let may_speak_again = said.full.is_some() && full.is_none();
    let has_messages = !said.messages.is_empty();
    (said.full, said.messages) = (full, Vec::new());
    has_messages || may_speak_again
}

/// Does what the connection wants and the socket lets, but not too much of it. False: it is over.
fn turn(peer: &mut Peer, buffer: &mut [u8], said: &mut Option<Said>, now: Time) -> bool {
    let Peer { io, connection, ready, ended, until, .. } = peer;
    for _ in 0..STEPS {
        if connection.reading() == Reading::Paused {
            answer(connection, &mut [], said, now);
        }
        let Some(wants) = connection.wants() else { return false };
        *until = wants.until;
        match wants.step(*ready, now) {
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
                        // The end has been told already, and is behind what was read.
                        ready.read = !SHORT_IS_ALL || len == most || *ended;
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

/// The application: answers what has come, as long as there is room for answers. The rest is held,
/// and nothing more is read, until there is room again and this is called with an empty input.
fn answer(connection: &mut Connection, mut input: &mut [u8], said: &mut Option<Said>, now: Time) {
    while connection.check_send() != Err(SendError::Full) && said.as_ref().is_none_or(Said::has_room) {
        connection.set_reading(Reading::Events, now);
        match connection.receive(&mut input, now) {
            // Both are refused when the connection ends, and it says so itself.
            Ok(Some(Event::Request)) => drop(connection.accept(Accept::default(), now)),
            Ok(Some(Event::Message(message))) => match said {
                Some(said) if connection.state() == State::Open => said.messages.push(Prepared::new(message)),
                Some(_) => {}
                None => drop(connection.queue(message)),
            },
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
    connection.hold(input);
    connection.set_reading(Reading::Paused, now);
}
