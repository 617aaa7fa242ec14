//! The loops that the documentation shows, each as a function that can be run. What stands between
//! `// = FILES` and `// = end` stands in each of those files, line for line: a test in
//! `tests/loops.rs` compares them.

use std::error::Error;
use std::net::TcpStream;

use openline::Server;

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A client for a URL, that says how many messages it was told of.
pub(crate) type Counts = fn(&str) -> Result<usize, Box<dyn Error>>;

/// What the loops that begin with `accept(stream)` are given for a stream: one, and what to accept it with.
struct Stream<S>(S, Server);

pub(crate) mod page {
    // = src/lib.rs
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::time::{Duration, Instant};

    use openline::{Accept, Connection, Event, Reading, Ready, SendError, Server, Step, Time};
    // = end

    pub(crate) fn run(stream: TcpStream, server: &Server) -> super::Outcome {
        Ok(serve(stream, server)?)
    }

    // = src/lib.rs
    /// Sends every message back until the connection is over.
    fn serve(mut socket: TcpStream, server: &Server) -> io::Result<()> {
        let epoch = Instant::now();
        let now = || Time::from_epoch(epoch.elapsed());
        // A socket that takes nothing for this long is blocked. Then the loop looks at the other direction.
        let short = Duration::from_millis(50);
        socket.set_write_timeout(Some(short))?;
        let mut connection = Connection::server(server, now());
        let (mut buffer, mut len, both) = (vec![0; 64 * 1024], 0, Ready { read: true, write: true });
        let mut ready = both;
        loop {
            answer(&mut connection, &mut buffer[..len], now());
            len = 0;
            let Some(wants) = connection.wants() else { return Ok(()) };
            match wants.step(ready, now()) {
                Step::Write => match socket.write(connection.next_transmit().unwrap_or_default()) {
                    Ok(len) => connection.handle_transmitted(len, now()),
                    Err(error) if is_timeout(&error) => {
                        ready.write = false;
                        connection.handle_blocked(now());
                    }
                    Err(_) => connection.handle_write_failed(now()),
                },
                Step::End => {
                    // If this fails, the next read fails too.
                    let _ = socket.shutdown(Shutdown::Write);
                    connection.handle_shutdown();
                }
                Step::Read => {
                    // While something waits to be written, reading must not take long.
                    let left = wants.until.map(|until| until.since(now()).max(short));
                    socket.set_read_timeout(if wants.write { Some(short) } else { left })?;
                    match socket.read(&mut buffer) {
                        Ok(0) => connection.handle_eof(now()),
                        // Each read is followed by an attempt to write, even if bytes come without end.
                        Ok(read) => (len, ready.write) = (read, true),
                        Err(error) if is_timeout(&error) => ready.read = false,
                        Err(_) => connection.handle_reset(),
                    }
                }
                Step::Timeout => connection.handle_timeout(now()),
                // The read and the write have waited already.
                Step::Wait => ready = both,
            }
        }
    }

    /// The application. It answers what has come while there is room for answers. After that the rest of
    /// the input is held, and nothing is read, until there is room again.
    fn answer(connection: &mut Connection, mut input: &mut [u8], now: Time) {
        while connection.check_send() != Err(SendError::Full) {
            connection.set_reading(Reading::Events, now);
            match connection.receive(&mut input, now) {
                // Both fail only when the connection ends, which `wants` says too.
                Ok(Some(Event::Request)) => drop(connection.accept(Accept::default(), now)),
                Ok(Some(Event::Message(message))) => drop(connection.queue(message)),
                Ok(Some(_)) => {}
                // All input has been taken; or the peer broke the protocol, and the answer is queued.
                Ok(None) | Err(_) => return,
            }
        }
        connection.hold(input);
        connection.set_reading(Reading::Paused, now);
    }

    fn is_timeout(error: &io::Error) -> bool {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
    }
    // = end
}

pub(crate) mod net {
    use openline::net::{WebSocket, accept_with};

    use super::*;

    fn accept(Stream(stream, server): Stream<TcpStream>) -> Result<WebSocket<TcpStream>, openline::Error> {
        accept_with(&server, stream)
    }

    pub(crate) fn echo(stream: TcpStream, server: &Server) -> Outcome {
        let mut socket = accept(Stream(stream, server.clone()))?;
        // = examples/echo_server_std.rs
        // Fed messages leave together when no more are at hand.
        while let Some(message) = socket.recv()? {
            socket.feed(message)?;
        }
        // = end
        Ok(())
    }

    /// A pump: it takes a message from elsewhere only when it can pass it on. Here elsewhere is the
    /// other half of the same connection.
    pub(crate) fn pump(stream: TcpStream, server: &Server) -> Outcome {
        let (mut receiver, mut sender) = accept(Stream(stream, server.clone()))?.split()?;
        let (give, take) = std::sync::mpsc::sync_channel(1);
        let receiving = std::thread::spawn(move || -> Result<(), openline::Error> {
            while let Some(message) = receiver.recv()? {
                if give.send(message).is_err() {
                    break;
                }
            }
            receiver.drain()
        });
        let pumped = (move || -> Result<(), openline::Error> {
            loop {
                sender.ready()?;
                let Ok(message) = take.recv() else { return Ok(()) };
                sender.send(message)?;
            }
        })();
        receiving.join().expect("it does not panic")?;
        Ok(pumped?)
    }

    /// The client at the head of the module: how many messages it was told of.
    pub(crate) fn client(url: &str) -> Result<usize, Box<dyn Error>> {
        let mut count = 0;
        macro_rules! println {
            ($($message:tt)*) => {{
                let _ = format!($($message)*);
                count += 1;
            }};
        }
        let mut socket = openline::net::connect(url)?;
        // = src/net/mod.rs
        socket.send("Hello")?;
        while let Some(message) = socket.recv()? {
            println!("{message:?}");
        }
        // = end
        Ok(count)
    }
}

#[cfg(feature = "tokio")]
pub(crate) mod tokio {
    use ::tokio::net::TcpStream;
    use ::tokio::runtime::{Builder, Runtime};
    use openline::tokio::{WebSocket, accept_with};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn stream(stream: std::net::TcpStream) -> TcpStream {
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    }

    async fn accept(Stream(stream, server): Stream<TcpStream>) -> Result<WebSocket<TcpStream>, openline::Error> {
        accept_with(&server, stream).await
    }

    pub(crate) fn readme(socket: std::net::TcpStream, server: &Server) -> Outcome {
        runtime().block_on(async {
            let stream = Stream(stream(socket), server.clone());
            // = README.md
            let mut socket = accept(stream).await?;
            while let Some(message) = socket.recv().await? {
                // Fed messages leave together when no more are at hand.
                socket.feed(message).await?;
            }
            // = end
            Ok(())
        })
    }

    pub(crate) fn echo(socket: std::net::TcpStream, server: &Server) -> Outcome {
        runtime().block_on(async {
            let mut socket = accept(Stream(stream(socket), server.clone())).await?;
            // = src/tokio/mod.rs, examples/echo_server.rs, examples/guarded_server.rs
            while let Some(message) = socket.recv().await? {
                socket.feed(message).await?;
            }
            // = end
            Ok(())
        })
    }

    /// As the one of `net`.
    pub(crate) fn pump(socket: std::net::TcpStream, server: &Server) -> Outcome {
        runtime().block_on(async {
            let (mut receiver, mut sender) = accept(Stream(stream(socket), server.clone())).await?.split();
            let (give, mut take) = ::tokio::sync::mpsc::channel(1);
            let receive = async move {
                while let Some(message) = receiver.recv().await? {
                    if give.send(message).await.is_err() {
                        break;
                    }
                }
                drop(give);
                receiver.drain().await
            };
            let pump = async move {
                loop {
                    sender.ready().await?;
                    let Some(message) = take.recv().await else { return Ok(()) };
                    sender.send(message).await?;
                }
            };
            let (received, pumped): (_, Result<(), openline::Error>) = ::tokio::join!(receive, pump);
            received?;
            Ok(pumped?)
        })
    }

    /// The client at the head of the module: how many messages it was told of.
    pub(crate) fn client(url: &str) -> Result<usize, Box<dyn Error>> {
        let mut count = 0;
        macro_rules! println {
            ($($message:tt)*) => {{
                let _ = format!($($message)*);
                count += 1;
            }};
        }
        runtime().block_on(async {
            let mut socket = openline::tokio::connect(url).await?;
            // = src/tokio/mod.rs
            socket.send("Hello").await?;
            while let Some(message) = socket.recv().await? {
                println!("{message:?}");
            }
            // = end
            Ok(count)
        })
    }
}

/// The loop without IO: what it has to say to these bytes.
pub(crate) fn without_io(mut bytes: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    use openline::{Accept, Connection, Event, Time};
    // = README.md
    let now = Time::ZERO; // time is an input
    let mut connection = Connection::server(&Server::default(), now);
    // = end
    // = README.md
    let mut input = &mut bytes[..];
    while let Some(event) = connection.receive(&mut input, now)? {
        match event {
            Event::Request => connection.accept(Accept::default(), now)?,
            // It borrows from `bytes`, not from the connection, which is free to answer.
            Event::Message(message) => connection.queue(message)?,
            _ => {}
        }
    }
    // = end
    Ok(connection.transmits().flatten().copied().collect())
}
