//! One connection: what the core wants of its socket, and the application behind it.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use openline::{Accept, Connection, Event, Prepared, Reading, Ready, SendError, Server, State, Step, Time};

use super::said::Said;

/// How much one connection may do before the others have their turn: 16 reads, and a write after each.
const STEPS: u32 = 32;

/// Whether fewer bytes than there was space for are all, so that the loop is told of more: epoll(7), question 9. (Not behind an
/// urgent byte; who sends one waits for the next Ping.) On other systems mio tells nothing until the socket has refused.
const SHORT_IS_ALL: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "freebsd"));

/// A connection, its socket, and what the loop knows of it.
pub(crate) struct Peer {
    io: TcpStream,
    pub(crate) connection: Connection,
    /// What the socket can do. The loop is told of changes only, so this lasts until the socket refuses.
    pub(crate) ready: Ready,
    /// Whether the client sends no more than what is there.
    ended: bool,
    /// When its next turn is, if the socket is not ready before.
    pub(crate) until: Option<Time>,
    /// Where it stands among the deadlines: at `until` or earlier. `until` moves to a later time with each message, and its
    /// place only when the time there has come.
    pub(crate) listed: Option<Time>,
}

impl Peer {
    pub(crate) fn new(io: TcpStream, server: &Server, now: Time) -> Peer {
        let (connection, ready) = (Connection::server(server, now), Ready { read: true, write: true });
        Peer { io, connection, ready, ended: false, until: None, listed: None }
    }

    /// The loop has been told something of the socket.
    pub(crate) fn note(&mut self, event: &mio::event::Event) {
        self.ended |= event.is_read_closed();
        self.ready.read |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.ready.write |= event.is_writable() || event.is_error();
    }

    /// Does what the connection wants and the socket lets, but not too much of it. False: it is over.
    pub(crate) fn turn(&mut self, buffer: &mut [u8], said: &mut Option<Said>, now: Time) -> bool {
        let Peer { io, connection, ready, ended, until, .. } = self;
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
    loop {
        // Who comes in, or is let go, says nothing to all.
        let may_go_on = said.as_ref().is_none_or(Said::has_room) || connection.state() != State::Open;
        if !may_go_on || connection.check_send() == Err(SendError::Full) {
            break;
        }
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
