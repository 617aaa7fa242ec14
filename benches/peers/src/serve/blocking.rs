//! One thread a connection, over `std::net`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::{announce, complain, tungstenite::config};
use crate::Result;

pub fn listen(port: u16, serve: fn(TcpStream) -> Result<()>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    announce(listener.local_addr()?.port())?;
    loop {
        let (io, _) = listener.accept()?;
        io.set_nodelay(true)?;
        thread::spawn(move || serve(io).unwrap_or_else(complain));
    }
}

pub fn raw(mut io: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 512 * 1024];
    loop {
        let len = io.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        io.write_all(&buffer[..len])?;
    }
}

/// As what notices a dead peer must do it: each read ends in time.
pub fn raw_timeout(io: TcpStream) -> Result<()> {
    io.set_read_timeout(Some(Duration::from_secs(30)))?;
    raw(io)
}

pub fn openline(io: TcpStream) -> Result<()> {
    let mut socket = openline::net::accept(io)?;
    while let Some(message) = socket.recv()? {
        socket.feed(message)?;
    }
    Ok(())
}

pub fn tungstenite(io: TcpStream) -> Result<()> {
    let mut socket = tungstenite::accept_with_config(io, Some(config())).map_err(|error| error.to_string())?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
