//! The echo servers: one thread, one task a connection (or one thread a connection, `*-std`).

mod blocking;
mod fastwebsockets;
mod hand;
mod hub;
mod openline;
mod peer;
mod raw;
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
    let level = args.value("--level")?;
    let takeover = args.flag("--takeover");
    let deflate = (args.flag("--deflate") || takeover).then_some(Deflate { takeover, level });
    let setup: &'static Setup = Box::leak(Box::new(Setup { deflate, broadcast: args.flag("--broadcast") }));
    args.end()?;
    raise_files()?;

    match name.as_str() {
        "raw-lean" => listen(port, raw::echo_lean),
        "raw" => run::<raw::Raw>(port, setup, Flush::Each),
        "openline" => run::<openline::Openline>(port, setup, Flush::Never),
        "openline-event" => listen(port, move |io| openline::echo_events(io, setup)),
        "openline-stream" => listen(port, move |io| openline::echo_chunks(io, setup)),
        "tungstenite" => run::<tungstenite::Tungstenite>(port, setup, Flush::Each),
        "tungstenite+batch" => run::<tungstenite::Tungstenite>(port, setup, Flush::Batch),
        "fastwebsockets" => run::<fastwebsockets::Fast>(port, setup, Flush::Each),
        "tokio-websockets" => run::<tokio_websockets::TokioWebsockets>(port, setup, Flush::Each),
        "tokio-websockets+batch" => run::<tokio_websockets::TokioWebsockets>(port, setup, Flush::Batch),
        "soketto" if setup.broadcast => {
            let hub = Arc::default();
            listen(port, move |io| soketto::broadcast(io, setup, Arc::clone(&hub)))
        }
        "soketto" => run::<soketto::Soketto>(port, setup, Flush::Each),
        "yawc" => run::<yawc::Yawc>(port, setup, Flush::Each),
        "yawc+batch" => run::<yawc::Yawc>(port, setup, Flush::Batch),
        "sockudo" if setup.deflate.is_some() => run::<sockudo::Compressed>(port, setup, Flush::Each),
        "sockudo" => run::<sockudo::Sockudo>(port, setup, Flush::Each),
        "sockudo+batch" if setup.deflate.is_some() => run::<sockudo::Compressed>(port, setup, Flush::Never),
        "sockudo+batch" => run::<sockudo::Sockudo>(port, setup, Flush::Never),
        "web-socket" => run::<web_socket::WebSocket>(port, setup, Flush::Each),
        "wtx" if setup.broadcast => run::<wtx::Wtx>(port, setup, Flush::Each),
        "wtx" if setup.deflate.is_some() => listen(port, move |io| wtx::echo_compressed(io, setup)),
        "wtx" => listen(port, wtx::echo),
        "raw-std" => blocking::listen(port, blocking::raw),
        "openline-std" => blocking::listen(port, blocking::openline),
        "tungstenite-std" => blocking::listen(port, blocking::tungstenite),
        _ => Err(format!("no server {name:?}").into()),
    }
}

/// Serves echoes, or broadcasts, over a peer.
fn run<P: Peer>(port: u16, setup: &'static Setup, flush: Flush) -> Result<()> {
    let hub = Arc::new(Hub::<P::Shared>::default());
    listen(port, move |io| {
        let hub = hub.clone();
        async move {
            // Boxed, and lent afterwards: a task is as large as all that its states ever hold, and this one would go on
            // holding the handshake and a second copy of the connection.
            let mut peer = Box::pin(P::open(io, setup)).await?;
            match flush {
                _ if setup.broadcast => peer::broadcast(&mut peer, &hub).await,
                Flush::Each => peer::echo(&mut peer).await,
                Flush::Batch => peer::echo_ready(&mut peer).await,
                Flush::Never => peer::echo_fed(&mut peer).await,
            }
        }
    })
}

/// Accepts for ever.
fn listen<F, W>(port: u16, serve: F) -> Result<()>
where
    F: Fn(TcpStream) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
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
