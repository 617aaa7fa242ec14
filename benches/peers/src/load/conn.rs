//! One connection of the client.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::check::{Check, Progress};
use super::frame;
use super::script::{Packing, Script};
use crate::Result;

/// How a connection is opened.
#[derive(Clone, Copy)]
pub struct Opening {
    pub port: u16,
    /// No WebSocket: no handshake, and an echo of the very bytes.
    pub raw: bool,
    pub packing: Packing,
}

/// The example of RFC 6455 §1.3: what the server makes of the key is known.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A server that says nothing for so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

impl Opening {
    /// Connects, from one of many source addresses: each has its own ports.
    pub fn connect(self, number: usize) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let source = Ipv4Addr::new(127, 0, 1 + (number / 200 % 200) as u8, 1 + (number % 200) as u8);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())?;
        socket.set_tcp_nodelay(true)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// The request, in one segment.
    pub fn request(self) -> String {
        let extension = match self.packing {
            Packing::None => "",
            Packing::Alone => {
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover\r\n"
            }
            Packing::Takeover => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        };
        format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extension}\r\n",
            self.port
        )
    }

    /// Reads the answer, to its last byte: a server says nothing more before it is spoken to.
    pub fn confirm(self, stream: &mut TcpStream) -> Result<()> {
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer)? {
                0 => return Err("the server hung up on the request".into()),
                len => answer.extend_from_slice(&buffer[..len]),
            }
        }
        let answer = String::from_utf8(answer)?;
        let deflates = answer.contains("permessage-deflate");
        if !answer.starts_with("HTTP/1.1 101 ") || !answer.contains(ACCEPT) {
            return Err(format!("not upgraded: {answer:?}").into());
        }
        if deflates != (self.packing != Packing::None) {
            return Err(format!("not the extension that was asked for: {answer:?}").into());
        }
        // Whoever has no takeover may be sent no context.
        if self.packing == Packing::Takeover && answer.contains("client_no_context_takeover") {
            return Err("the server has no context takeover".into());
        }
        Ok(())
    }

    pub fn open(self, number: usize) -> Result<TcpStream> {
        let mut stream = self.connect(number)?;
        if !self.raw {
            stream.write_all(self.request().as_bytes())?;
            self.confirm(&mut stream)?;
        }
        Ok(stream)
    }
}

pub struct Conn {
    pub stream: TcpStream,
    script: Rc<Script>,
    pub check: Check,
    /// The byte of the script to send next.
    at: usize,
    /// The frame before which to stop.
    goal: usize,
    /// Answers to Pings, which go between frames.
    control: Vec<u8>,
    /// Whether the socket took less than all.
    pub blocked: bool,
    pub sent: u64,
}

impl Conn {
    pub fn new(stream: TcpStream, script: &Rc<Script>, opening: Opening) -> Conn {
        Conn {
            stream,
            script: script.clone(),
            check: Check::new(script.clone(), opening.raw, opening.packing),
            at: 0,
            goal: 0,
            control: Vec::new(),
            blocked: false,
            sent: 0,
        }
    }

    /// How many messages may be sent at once.
    pub fn cycle(&self) -> usize {
        self.script.len()
    }

    /// Sends some more messages, in one write if the socket takes them.
    pub fn send(&mut self, messages: usize) -> Result<()> {
        self.goal += messages;
        assert!(self.goal <= 3 * self.script.len(), "no more in flight than a cycle has");
        self.write()
    }

    /// Goes on with what waits.
    pub fn write(&mut self) -> Result<()> {
        loop {
            let end = self.script.starts[self.goal];
            if self.at == end && !self.control.is_empty() {
                // Only a server whose Ping comes while we send large messages makes this wait, and that is no harm.
                self.stream.write_all(&std::mem::take(&mut self.control))?;
            }
            if self.at == end {
                self.wrap();
                self.blocked = false;
                return Ok(());
            }
            match self.stream.write(&self.script.bytes[self.at..end]) {
                Ok(len) => {
                    self.at += len;
                    self.sent += len as u64;
                    self.wrap();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The third cycle is the second again.
    fn wrap(&mut self) {
        let cycle = self.script.len();
        if self.at >= self.script.starts[2 * cycle] {
            self.at -= self.script.cycle_bytes();
            self.goal -= cycle;
        }
    }

    /// Reads once, and checks what came. Returns how many messages it completed.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let len = match self.stream.read(buffer) {
            Ok(0) => return Err("the server hung up".into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let Progress { messages, ping, closed } = self.check.take(&buffer[..len])?;
        if closed {
            return Err("the server closed the connection".into());
        }
        if let Some(ping) = ping {
            frame::write(&mut self.control, frame::PONG, false, [1, 2, 3, 4], &ping);
            self.write()?;
        }
        Ok(messages)
    }
}
