//! raw on mio: no WebSocket and no runtime, one loop for all connections. What epoll and the kernel cost, and so the limit
//! of a server that has an event loop of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::{Place, announce};
use crate::Result;

/// What every connection is told: its own bytes, or those of any other.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Echo,
    Broadcast,
}

struct Peer {
    io: TcpStream,
    /// What the socket did not take.
    outbox: Vec<u8>,
}

/// As large as that of `raw`. All connections share it.
const BUFFER: usize = 512 * 1024;

const LISTENER: Token = Token(usize::MAX);

/// Each thread has a loop and a listener of its own: the kernel deals the connections out between them.
pub(super) fn listen(place: Place, broadcast: bool) -> Result<()> {
    let task = if broadcast { Task::Broadcast } else { Task::Echo };
    if broadcast && place.threads > 1 {
        return Err("raw-mio broadcasts on one thread only".into());
    }
    let first = bind(place.port)?;
    let port = first.local_addr()?.port();
    for _ in 1..place.threads {
        let listener = bind(port)?;
        thread::spawn(move || serve(listener, task).unwrap_or_else(|error| eprintln!("a loop ended: {error}")));
    }
    announce(port)?;
    Ok(serve(first, task)?)
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(1024)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn serve(mut listener: TcpListener, task: Task) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(256));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut buffer = vec![0; BUFFER];
    // A connection's token is its place here.
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut io, _)) = listener.accept() {
                    io.set_nodelay(true)?;
                    let place = free.pop().unwrap_or(peers.len());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut io, Token(place), interest)?;
                    if place == peers.len() {
                        peers.push(None);
                    }
                    peers[place] = Some(Peer { io, outbox: Vec::new() });
                }
                continue;
            }
            let place = event.token().0;
            if !turn(&mut peers, place, &mut buffer, event.is_read_closed(), task) {
                peers[place] = None;
                free.push(place);
            }
        }
    }
}

/// Reads until nothing is left, and sends it. False: the connection is over.
fn turn(peers: &mut [Option<Peer>], place: usize, buffer: &mut [u8], closed: bool, task: Task) -> bool {
    loop {
        let Some(peer) = &mut peers[place] else { return true };
        if !peer.flush() {
            return false;
        }
        if !peer.outbox.is_empty() {
            // There is an event when the socket takes more.
            return true;
        }
        let len = match peer.io.read(buffer) {
            Ok(0) => return false,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        match task {
            Task::Echo => {
                if !peer.send(&buffer[..len]) {
                    return false;
                }
            }
            Task::Broadcast => {
                for peer in peers.iter_mut().flatten() {
                    // Whose socket fails has an event of its own.
                    peer.send(&buffer[..len]);
                }
            }
        }
        // Fewer bytes than there was room for: no more are there, and there is an event when more come. The end of the
        // stream has had its event already.
        if len < buffer.len() && !closed {
            return true;
        }
    }
}

impl Peer {
    /// False: the socket is broken.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let written = if self.outbox.is_empty() { write(&mut self.io, bytes) } else { Ok(0) };
        self.outbox.extend_from_slice(&bytes[written.as_ref().copied().unwrap_or(bytes.len())..]);
        written.is_ok()
    }

    /// The same.
    fn flush(&mut self) -> bool {
        if self.outbox.is_empty() {
            return true;
        }
        let written = write(&mut self.io, &self.outbox);
        self.outbox.drain(..written.as_ref().copied().unwrap_or(0));
        written.is_ok()
    }
}

/// As much as the socket takes.
fn write(io: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match io.write(&bytes[at..]) {
            Ok(len) => at += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}
