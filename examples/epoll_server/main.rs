//! Sends every message back, or to all, over an event loop: what a program writes that embeds the core in networking
//! code of its own. A loop has one thread, one read buffer and one set of deadlines, and there may be several.
//! `cargo run --release --example epoll_server`, then open <http://127.0.0.1:9001/>, or point any WebSocket client at it.
//! `--help` says what can be chosen.

mod peer;
mod said;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::iter;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use openline::{Server, Time};
use peer::Peer;
pub(crate) use said::Said;
use slab::Slab;
use support::{Options, value};

const HELP: &str = "usage: epoll_server [OPTIONS]

Sends every message back, from an event loop for many connections. Prints its address once it listens.

options:
  --threads N                        threads that serve, each with an event loop (1 if not given)
  --broadcast                        send every message to all connections; not with more than one thread. Who does not
                                     read what is sent holds all up, and is let go after 5 seconds
";

/// How many connections are accepted in one round.
const ACCEPTS: u32 = 64;
/// When it is tried again to accept a connection, if that has failed.
const AGAIN: Duration = Duration::from_millis(500);

/// The token of what brings new connections. That of a connection is its place among the peers.
const COMES: Token = Token(usize::MAX);

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
        let let_go = said.as_ref().and_then(Said::patience_ends);
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
            peer.note(event);
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
                free.insert(Peer::new(io, server, now));
            }
        }
        for place in turns.drain(..) {
            let Some(peer) = peers.get_mut(place) else { continue };
            let before = said.as_ref().map(|said| said.messages.len());
            let goes_on = peer.turn(&mut buffer, &mut said, now);
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
            && said.pass_on(&mut peers, now)
        {
            // The next round begins behind whoever spoke last, so that nobody who floods keeps others from speaking.
            turns.extend(peers.iter().map(|(place, _)| place));
            turns.sort_unstable_by_key(|place| (*place <= spoke, *place));
        }
    }
}
