//! Two ends that talk in memory: the whole protocol, from the first byte of the opening handshake
//! to the end of the transport, without a socket, a clock or a runtime. Whoever embeds the core in
//! networking code of their own writes what is [`Host::turn`] here: it does what the connection
//! wants, one step at a time. An hour of keepalive passes in a moment, as it can in a test.

#[path = "support/args.rs"]
mod args;

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use openline::{
    Accept, Client, ClientRequest, CloseCode, Connection, Event, HandshakeConfig, Ready, Server, Step, Time,
};

const HELP: &str = "usage: sans_io [--help]

Lets a client and a server talk in memory, and prints what each of them is told.

options:
  -h, --help  print this
";

fn main() -> Result<(), Box<dyn Error>> {
    args::none(HELP);
    // Time and chance are inputs. Outside of examples the time comes from a monotonic clock, and
    // the seed from the operating system (`Client::new_seed`).
    let (mut now, seed) = (Time::ZERO, [7; 32]);

    let client = Client::new(ClientRequest::new("ws://example.com/chat")?.subprotocol("chat")?);
    let mut handshake = HandshakeConfig::default();
    handshake.subprotocols = vec!["chat".into()];
    let server = Server::default().handshake(handshake);

    let mut client = Host { name: "client", connection: Connection::client(&client, seed, now), pongs: 0 };
    let mut server = Host { name: "server", connection: Connection::server(&server, now), pongs: 0 };
    let (mut up, mut down) = (Pipe::default(), Pipe::default());

    // They talk until neither has anything to do. Then time moves on to the next deadline of either end, which is that
    // of a Ping.
    let end = now + Duration::from_secs(3600);
    while now < end {
        while client.turn(&mut down, &mut up, now)? | server.turn(&mut up, &mut down, now)? {}
        now = [&client, &server].iter().filter_map(|host| host.connection.wants()?.until).fold(end, Time::min);
    }
    println!("an hour later: the client has got {} Pongs, the server {}", client.pongs, server.pongs);

    client.connection.close(CloseCode::NORMAL, "that was all", now)?;
    while client.turn(&mut down, &mut up, now)? | server.turn(&mut up, &mut down, now)? {}
    println!("client: {:?}", client.connection.closed());
    println!("server: {:?}", server.connection.closed());
    Ok(())
}

/// One direction of a transport.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    ended: bool,
}

/// One end of the conversation.
struct Host {
    name: &'static str,
    connection: Connection,
    pongs: u32,
}

impl Host {
    /// Does what the connection wants, until that is to wait. False: it was so from the beginning.
    fn turn(&mut self, from: &mut Pipe, to: &mut Pipe, now: Time) -> Result<bool, Box<dyn Error>> {
        let mut any = false;
        while let Some(wants) = self.connection.wants() {
            let ready = Ready { read: !from.bytes.is_empty() || from.ended, write: true };
            match wants.step(ready, now) {
                Step::Write => {
                    // A transport may take less than is there; whoever says how much goes on later.
                    to.bytes.extend(self.connection.transmits().flatten());
                    self.connection.handle_transmitted(self.connection.queued(), now);
                }
                Step::Read => {
                    // In small pieces, to show that it does not matter how the bytes arrive.
                    let len = from.bytes.len().min(50);
                    let mut piece: Vec<u8> = from.bytes.drain(..len).collect();
                    match piece.is_empty() {
                        true => self.connection.handle_eof(now),
                        false => self.take(&mut piece, now)?,
                    }
                }
                Step::End => {
                    to.ended = true;
                    self.connection.handle_shutdown();
                }
                Step::Timeout => self.connection.handle_timeout(now),
                Step::Wait => return Ok(any),
            }
            any = true;
        }
        // The connection is over. A transport that is dropped has ended in both directions.
        to.ended = true;
        Ok(any)
    }

    /// Gives the connection what was read. An error would say that the other end broke the rules; the
    /// answer to that would be queued, and a host that is no example would send it.
    fn take(&mut self, mut input: &mut [u8], now: Time) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.connection.receive(&mut input, now)? {
            if !matches!(event, Event::Ping(_) | Event::Pong { .. }) {
                println!("{}: {event:?}", self.name);
            }
            match event {
                Event::Request => {
                    let request = self.connection.request().ok_or("there is a request")?;
                    println!("{}: {} {} from {:?}", self.name, request.method, request.path(), request.host());
                    self.connection.accept(Accept::default(), now)?;
                    // Either side may speak first, and behind its answer the server may at once.
                    self.connection.ping(b"are you there?", now)?;
                }
                Event::Opened => {
                    println!("{}: agreed on {:?}", self.name, self.connection.agreement().subprotocol);
                    self.connection.send("Hello")?;
                    self.connection.send(&[1, 2, 3])?;
                }
                Event::Pong { .. } => self.pongs += 1,
                // The server echoes. The event borrows from `input`, so the connection is free to answer.
                Event::Message(message) if self.name == "server" => self.connection.send(message)?,
                _ => {}
            }
        }
        Ok(())
    }
}
