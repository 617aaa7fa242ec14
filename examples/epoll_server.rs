//! Sends every message back, or to all, over one event loop: what a program writes that embeds the core in networking
//! code of its own. One thread, one read buffer, one set of deadlines. `cargo run --release --example epoll_server`, then
//! open <http://127.0.0.1:9001/>, or point any WebSocket client at it. `--help` says what can be chosen.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use openline::{Accept, CloseCode, Connection, Event, Prepared, Reading, Ready, SendError, Server, Step, Time};
use support::Options;

const HELP: &str = "usage: epoll_server [OPTIONS]

Sends every message back, from one event loop for all connections. Prints its address once it listens.

options:
  --broadcast                        send every message to all connections
";

/// How much one connection may do before the others have their turn: 16 reads, and a write after each.
const STEPS: u32 = 32;
/// Once so many bytes are to be sent to all, nobody may say more in this round of the loop.
const MOST: usize = 16 * 1024;

/// What has been said in this round of the loop, and is for all.
type Said = Vec<Prepared>;

struct Peer {
    io: TcpStream,
    connection: Connection,
    /// When its next turn is, if the socket is not ready before.
    until: Option<Time>,
}

fn main() -> io::Result<()> {
    let mut said = None;
    let options = Options::from_args(HELP, |name, _| Ok(name == "broadcast" && said.replace(Said::new()).is_none()));
    let server = Server::default().handshake(options.handshake).config(options.config);
    let listener = std::net::TcpListener::bind(options.listen)?;
    listener.set_nonblocking(true)?;
    println!("listening on ws://{}", listener.local_addr()?);
    serve(TcpListener::from_std(listener), &server, said)
}

pub(crate) fn serve(mut listener: TcpListener, server: &Server, mut said: Option<Said>) -> io::Result<()> {
    let (mut poll, mut events, epoch) = (Poll::new()?, Events::with_capacity(256), Instant::now());
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let (mut peers, mut last, mut buffer) = (HashMap::new(), 0, vec![0; 64 * 1024]);
    let (mut deadlines, mut turns, mut spoke) = (BTreeSet::<(Time, Token)>::new(), Vec::new(), Token(0));
    loop {
        let now = Time::from_epoch(epoch.elapsed());
        let until = if turns.is_empty() { deadlines.first().map(|(until, _)| *until) } else { Some(now) };
        match poll.poll(&mut events, until.map(|until| until.since(now))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Time::from_epoch(epoch.elapsed());
        turns.extend(events.iter().map(|event| event.token()));
        turns.extend(deadlines.iter().take_while(|(until, _)| *until <= now).map(|(_, token)| *token));
        // Tried each time: where there were no file descriptors left, there may be one now.
        while let Ok((mut io, _)) = listener.accept() {
            last += 1;
            let token = Token(last);
            let registered = poll.registry().register(&mut io, token, Interest::READABLE | Interest::WRITABLE);
            // A client that is gone already is no reason to stop.
            if registered.and_then(|()| io.set_nodelay(true)).is_ok() {
                peers.insert(token, Peer { io, connection: Connection::server(server, now), until: None });
                turns.push(token);
            }
        }
        for token in turns.drain(..) {
            let Some(peer) = peers.get_mut(&token) else { continue };
            peer.until.map(|until| deadlines.remove(&(until, token)));
            let before = said.as_ref().map(Vec::len);
            if turn(peer, &mut buffer, &mut said, now) {
                deadlines.extend(peer.until.map(|until| (until, token)));
            } else {
                peers.remove(&token);
            }
            if said.as_ref().map(Vec::len) != before {
                spoke = token;
            }
        }
        if let Some(said) = said.as_mut().filter(|said| !said.is_empty()) {
            for (token, peer) in &mut peers {
                said.iter().for_each(|message| pass_on(&mut peer.connection, message, now));
                turns.push(*token);
            }
            said.clear();
            // The next round begins behind whoever spoke last, so that nobody who floods keeps others from speaking.
            turns.sort_unstable_by_key(|token| (*token <= spoke, *token));
        }
    }
}

/// Does what the connection wants and the socket lets, but not too much of it. False: it is over.
fn turn(Peer { io, connection, until }: &mut Peer, buffer: &mut [u8], said: &mut Option<Said>, now: Time) -> bool {
    // The loop is told of changes only, so each turn tries until the socket refuses.
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
            Step::Read => match io.read(connection.receive_space().unwrap_or(&mut *buffer)) {
                Ok(0) => connection.handle_eof(now),
                Ok(len) if connection.receive_space().is_some() => {
                    connection.handle_filled(len, now);
                    answer(connection, &mut [], said, now);
                }
                Ok(len) => answer(connection, &mut buffer[..len], said, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.read = false,
                Err(_) => connection.handle_reset(),
            },
            Step::Timeout => connection.handle_timeout(now),
            Step::Wait => return true,
        }
    }
    *until = Some(now);
    true
}

/// Writes once. A long payload is not copied behind its header: both leave in one call.
fn write(io: &mut TcpStream, connection: &Connection) -> io::Result<usize> {
    let mut waiting = connection.transmits();
    io.write_vectored(&[waiting.next(), waiting.next()].map(|bytes| IoSlice::new(bytes.unwrap_or_default())))
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
