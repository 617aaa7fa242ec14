//! The echo servers: one thread (or `--threads`), one task a connection (or one thread a connection, `*-std`).

mod blocking;
mod fastwebsockets;
mod hand;
mod hub;
mod openline;
mod peer;
mod raw;
mod raw_mio;
mod sockudo;
mod soketto;
mod tokio_websockets;
pub mod tungstenite;
mod web_socket;
mod wtx;
mod yawc;

use std::future::Future;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::runtime::Builder;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::Args;
use crate::{Error, Result};
use hub::Hub;
use peer::Peer;

/// The longest message that every server must take; limits are raised to this where they are lower.
pub const LONGEST: usize = 32 * 1024 * 1024;

/// How to serve.
pub struct Setup {
    pub deflate: Option<Deflate>,
    broadcast: bool,
}

/// Where, and on how many threads (those of `*-std` have one for each connection).
#[derive(Clone, Copy)]
struct Place {
    port: u16,
    threads: usize,
}

/// permessage-deflate, if the client offers it.
#[derive(Clone, Copy)]
pub struct Deflate {
    pub takeover: bool,
    /// `None`: what the crate has by default.
    pub level: Option<u8>,
}

/// When what was sent must leave.
#[derive(Clone, Copy)]
enum Flush {
    /// After each message.
    Each,
    /// When no more messages are ready.
    Batch,
    /// Never by us: the crate's receiving does it before it waits.
    Never,
}

pub fn main(mut args: Args) -> Result<()> {
    let name = args.word().ok_or("serve what?")?;
    let port = args.value("--port")?.unwrap_or(0);
    let place = Place { port, threads: args.value("--threads")?.unwrap_or(1) };
    let level = args.value("--level")?;
    let takeover = args.flag("--takeover");
    let deflate = (args.flag("--deflate") || takeover).then_some(Deflate { takeover, level });
    let setup: &'static Setup = Box::leak(Box::new(Setup { deflate, broadcast: args.flag("--broadcast") }));
    args.end()?;
    raise_files()?;

    match name.as_str() {
        "raw-lean" => listen(place, raw::echo_lean),
        "raw-whole" => listen(place, raw::echo_whole),
        "raw-mio" => raw_mio::listen(place, setup.broadcast),
        "raw" => run::<raw::Raw>(place, setup, Flush::Each),
        "openline" => run::<openline::Openline>(place, setup, Flush::Never),
        "openline-event" => listen(place, move |io| openline::echo_events(io, setup)),
        "openline-stream" => listen(place, move |io| openline::echo_chunks(io, setup)),
        "tungstenite" => run::<tungstenite::Tungstenite>(place, setup, Flush::Each),
        "tungstenite+batch" => run::<tungstenite::Tungstenite>(place, setup, Flush::Batch),
        "fastwebsockets" => run::<fastwebsockets::Fast>(place, setup, Flush::Each),
        "tokio-websockets" => run::<tokio_websockets::TokioWebsockets>(place, setup, Flush::Each),
        "tokio-websockets+batch" => run::<tokio_websockets::TokioWebsockets>(place, setup, Flush::Batch),
        "soketto" if setup.broadcast => {
            let hub = Arc::default();
            listen(place, move |io| soketto::broadcast(io, setup, Arc::clone(&hub)))
        }
        "soketto" => run::<soketto::Soketto>(place, setup, Flush::Each),
        "yawc" => run::<yawc::Yawc>(place, setup, Flush::Each),
        "yawc+batch" => run::<yawc::Yawc>(place, setup, Flush::Batch),
        "sockudo" if setup.deflate.is_some() => run::<sockudo::Compressed>(place, setup, Flush::Each),
        "sockudo" => run::<sockudo::Sockudo>(place, setup, Flush::Each),
        "sockudo+batch" if setup.deflate.is_some() => run::<sockudo::Compressed>(place, setup, Flush::Never),
        "sockudo+batch" => run::<sockudo::Sockudo>(place, setup, Flush::Never),
        "web-socket" => run::<web_socket::WebSocket>(place, setup, Flush::Each),
        "wtx" if setup.broadcast => run::<wtx::Wtx>(place, setup, Flush::Each),
        "wtx" if setup.deflate.is_some() => listen(place, move |io| wtx::echo_compressed(io, setup)),
        "wtx" => listen(place, wtx::echo),
        "raw-std" => blocking::listen(port, blocking::raw),
        "raw-timeout-std" => blocking::listen(port, blocking::raw_timeout),
        "openline-std" => blocking::listen(port, blocking::openline),
        "tungstenite-std" => blocking::listen(port, blocking::tungstenite),
        _ => Err(format!("no server {name:?}").into()),
    }
}

/// Serves echoes, or broadcasts, over a peer. Each has a task of its own kind, as a server has that does only this: a task is
/// as large as all that its states ever hold.
fn run<P: Peer>(place: Place, setup: &'static Setup, flush: Flush) -> Result<()> {
    // It is boxed, and the peer lent afterwards: the task would go on holding the handshake and a second copy of the peer.
    let open = move |io| Box::pin(P::open(io, setup));
    match flush {
        _ if setup.broadcast => {
            let hub = Arc::new(Hub::<P::Shared>::default());
            listen(place, move |io| {
                let hub = hub.clone();
                async move {
                    let mut peer = open(io).await?;
                    peer::broadcast(&mut peer, &hub).await
                }
            })
        }
        Flush::Each => listen(place, move |io| async move {
            let mut peer = open(io).await?;
            peer::echo(&mut peer).await
        }),
        Flush::Batch => listen(place, move |io| async move {
            let mut peer = open(io).await?;
            peer::echo_ready(&mut peer).await
        }),
        Flush::Never => listen(place, move |io| async move {
            let mut peer = open(io).await?;
            peer::echo_fed(&mut peer).await
        }),
    }
}

/// Accepts for ever.
fn listen<F, W>(place: Place, serve: F) -> Result<()>
where
    F: Fn(TcpStream) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = match place.threads {
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build()?,
    };
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, place.port)).await?;
        announce(listener.local_addr()?.port())?;
        loop {
            let (io, _) = listener.accept().await?;
            io.set_nodelay(true)?;
            let connection = serve(io);
            ::tokio::spawn(async move { connection.await.unwrap_or_else(complain) });
        }
    })
}

/// `run` waits for this, and takes the port from it.
fn announce(port: u16) -> Result<()> {
    println!("{port}");
    Ok(std::io::stdout().flush()?)
}

/// Only shown if the client fails as well: a client that goes away is no error here.
fn complain(error: Error) {
    eprintln!("connection: {error}");
}

/// 10,000 connections need as many files.
pub fn raise_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
