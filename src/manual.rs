//! The manual: the words, how to drive the core, its states, how connections end, the limits, HTTP/2, and the reasons.
//! This module has no code.
//!
//! # Words
//!
//! | word | what it is |
//! |---|---|
//! | frame | §5.2: a header and its payload, as they stand on the wire |
//! | control frame | §5.5: Close, Ping or Pong; at most 125 bytes, never in fragments |
//! | message | §5.4: text or bytes, in one or more frames; what an application sends and receives |
//! | fragment | §5.4: one frame of a message that has several frames |
//! | piece | the part of one frame that lies in one input ([`frame::Piece`](crate::frame::Piece)) |
//! | chunk | a part of a message, returned as it arrived ([`Chunk`](crate::Chunk)); the places of the cuts have no meaning |
//! | transport | what carries the bytes: a TCP socket, a TLS stream, a pipe |
//! | opening handshake | §4: the request and the 101; its result is an [`Upgrade`](crate::Upgrade), which says what was agreed on |
//! | closing handshake | §7: a Close frame from each end; with both of them a connection ends *cleanly* |
//! | to refuse, to reject | a server refuses a request that breaks a rule; an application rejects a valid one |
//! | room | how much may be queued before the high-water mark is reached; where to read to is *space* |
//! | queued | waits to be transmitted: what the application sent, Pongs, the Close frame ([`queued`](crate::Connection::queued) counts the bytes) |
//! | outgoing stream | all bytes that a connection ever sends, one after the other |
//! | mark | a place in the outgoing stream, counted from its beginning: [`written`](crate::Connection::written) is the end of the queue, [`transmitted`](crate::Connection::transmitted) how far the transport has passed it on |
//! | held | bytes that were read, and are kept because nobody takes events now |
//! | ahead | events that were read before the application asked for them |
//! | blocked | a transport that takes no bytes now; a send that waits for such a transport |
//!
//! # Driving the core
//!
//! A [`Connection`](crate::Connection) lives from the first byte of the opening handshake to the end of the transport.
//! The host is the code that drives it. The host tells it what happened and what to do, and asks what comes next.
//! [`wants`](crate::Connection::wants) says what the connection wants: to read, to write, to end the writing side, and
//! to be called at some time. [`Wants::step`](crate::Wants::step) says which of them comes first:
//!
//! | step | the host | and then |
//! |---|---|---|
//! | `Write` | writes what [`transmits`](crate::Connection::transmits) has | [`handle_transmitted`](crate::Connection::handle_transmitted); [`handle_blocked`](crate::Connection::handle_blocked) if the transport takes nothing now; [`handle_write_failed`](crate::Connection::handle_write_failed) |
//! | `End` | shuts the writing side down | [`handle_shutdown`](crate::Connection::handle_shutdown) |
//! | `Read` | reads | [`receive`](crate::Connection::receive) until `Ok(None)`; [`handle_eof`](crate::Connection::handle_eof); [`handle_reset`](crate::Connection::handle_reset) |
//! | `Timeout` | nothing | [`handle_timeout`](crate::Connection::handle_timeout) |
//! | `Wait` | waits, for what is wanted and could not be done, or until [`until`](crate::Wants::until) | asks again |
//!
//! When `wants` returns `None` the connection is over, and the host drops the transport. `examples/epoll_server`
//! is such a host for many connections; the front page of this crate has one for a single blocking socket. Who sends
//! something on another connection than the one that is being driven, or closes it, drives that one too. The core
//! decides on the order, because it matters: a host that looked at a deadline before it read would give up a peer
//! whose Pong lies in the socket.
//!
//! An event loop that is told of changes only (edge-triggered epoll) registers a socket once, for both directions, and keeps a
//! [`Ready`](crate::Ready) for it: set by the loop, cleared by `WouldBlock`. One that is told again and again
//! (level-triggered) registers exactly `wants.read` and `wants.write`, or it spins. epoll reports an error even if neither is
//! wanted: then call `handle_reset`.
//!
//! An event borrows from the bytes that were read if its message lies there whole, and owns its data otherwise. It
//! never borrows from the connection, so the application can answer while it uses the event. To keep a message, make
//! it owned; it then holds no more memory than its own length.
//!
//! In the middle of a long binary message [`receive_space`](crate::Connection::receive_space) lends the memory that the
//! next bytes belong to. Reading into it saves a copy; it is optional. A transport that must own what it transmits uses
//! [`take_transmit`](crate::Connection::take_transmit). A transport whose bytes may not be changed uses
//! [`receive_copied`](crate::Connection::receive_copied).
//!
//! # States
//!
//! The phases of a connection:
//!
#![doc = include_str!("connection/states.md")]
//!
//! What is done with received bytes. The host sets this state ([`Reading`](crate::Reading)):
//!
//! ```text
//!           ┌── Events ◄──────────────────────────────┐   receive: the application takes events
//!           │                                         │
//!  a send is blocked                            the send has gone on
//!           │                                         │
//!           └─► OneAhead ──a message, a Close──► (nothing more is read)   receive_ahead: kept for later
//!
//!  Paused: nothing is read; the transport slows the peer down
//! ```
//!
//! What happens to queued bytes. The answers of the transport set this state:
//!
//! ```text
//!  nothing waits ──send──► waits ──written────────────────────► nothing waits
//!                            │  ▲
//!          the transport takes nothing, handle_blocked
//!                            ▼  │ it takes a byte, handle_transmitted: a sign of life
//!                          blocked ──stall_timeout──► Closed
//!                            │
//!          a write fails, handle_write_failed ──► ReadOnly
//! ```
//!
//! While nothing is read, no Pong is waited for, since none could be seen. Then the peer is judged only by whether it
//! takes bytes. When reading goes on, its time to answer begins anew. No peer is given up for a missing Pong before
//! the transport has said that nothing is there to read. All other time limits hold even while bytes come without
//! end.
//!
//! # Connecting
//!
//! `connect_with` of an adapter takes up to five steps. They share one time limit,
//! [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout), and each has its own error, which has
//! `io::ErrorKind::TimedOut`, or is `HandshakeError::TimedOut`, if the limit came in this step:
//!
//! | step | what happens | error |
//! |---|---|---|
//! | name | the system looks it up | `Name` |
//! | TCP | all its addresses are tried, IPv6 and IPv4 by turns: in tokio 250 ms apart until one answers (RFC 8305), in `net` one after the other, each for an equal part of the time left | `Connect` |
//! | proxy | if [`Client::proxy`](crate::Client::proxy) names one: it is connected to instead, and asked for a tunnel | `ProxyIo`, `Proxy`, `ProxyRefused` |
//! | TLS | for `wss://`, with the feature `rustls`: the certificate must be valid for the name; `http/1.1` is offered and nothing else (RFC 7301) | `Tls` |
//! | HTTP | the opening handshake (§4) | `Handshake`, `Refused` |
//!
//! `connect_tcp` makes the first three, and `connect_on` the last one, for programs with TLS of their own.
//!
//! No redirect is followed, as in browsers. A program that wants to follow one has three rules to keep: it stops after a
//! few, it never goes from `wss` to `ws`, and it sends credentials (Authorization, Cookie, userinfo) to nobody else than
//! the server for which they were meant.
//!
//! ```no_run
//! # #[cfg(all(feature = "std", not(windows)))] fn example() -> Result<(), openline::Error> {
//! use openline::{Client, ClientRequest, Error, net::connect_with};
//!
//! let mut request = ClientRequest::new("wss://example.com/chat")?.header("Authorization", "Bearer abc")?;
//! let mut socket = 'connected: {
//!     for _ in 0..5 {
//!         let refusal = match connect_with(&Client::new(request.clone())) {
//!             Err(Error::Refused(response)) if (300..400).contains(&response.status) => response,
//!             other => break 'connected other?,
//!         };
//!         // A Location may also be relative; a URL library resolves it against `request.uri()`.
//!         let next = ClientRequest::new(refusal.headers.get("Location").unwrap_or_default())?;
//!         if request.uri().is_secure() && !next.uri().is_secure() {
//!             return Err(Error::Refused(refusal));
//!         }
//!         request = match next.uri().authority() == request.uri().authority() {
//!             true => next.header("Authorization", "Bearer abc")?,
//!             false => next,
//!         };
//!     }
//!     return Err(std::io::Error::other("too many redirects").into());
//! };
//! socket.send("Hello")?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a message costs
//!
//! Each line is counted by `tests/costs.rs`.
//!
//! | | allocations | copies of the payload |
//! |---|---|---|
//! | received by `receive`, whole in the input | none | none |
//! | received by `receive_owned`, or an adapter's `recv`, whole in the input | one, of its length | one |
//! | a chunk read into [`receive_space`](crate::Connection::receive_space) | one | none |
//! | sent, borrowed or shorter than 4 KiB | none while little waits | one |
//! | sent, owned, 4 KiB or longer | what the queue of blocks needs | none |
//! | sent, [`Bytes`](crate::BytesMessage) or [`Prepared`](crate::Prepared), by a server | none while little waits | one below 4 KiB, none from there on |
//!
//! One system call of an adapter reads all that has come, up to 64 KiB, and one writes all that was fed since.
//! Masking and unmasking take no pass of their own over the memory, unless the payload stays where it lies, or the feature
//! `simd` makes it faster: then over what has just been copied and lies in the nearest cache.
//!
//! # Closing
//!
//! - After [`close`](crate::Connection::close) nothing can be sent any more. The peer's messages still come, until
//!   its own Close frame comes. Pings that come before it are answered (§5.5.2).
//! - The core answers the peer's Close frame by itself, with the peer's code, after everything that is queued. Bytes of
//!   the peer that follow its Close frame are ignored.
//! - When both ends have sent Close, the server ends the TCP connection first (§7.1.1): it shuts down its writing side,
//!   and reads until the client ends its side too. If it closed the socket at once, a reset could destroy bytes that
//!   the client has not read yet. A refusal of the opening handshake ends in the same way.
//! - All of this has one time limit, [`close_timeout`](crate::Config::close_timeout), which begins with the first Close
//!   frame. If the application was busy when the frame came, it begins when this end first tries to answer.
//! - If a send of an adapter fails because the connection is closing, it returns when everything that was accepted
//!   before has left, or that time is over. So a loop that ends there and drops its socket loses nothing that it had
//!   sent.
//! - A server that stops closes each socket with 1001 ([`CloseCode::GOING_AWAY`](crate::CloseCode::GOING_AWAY)). `close`
//!   of a whole socket does all of the closing handshake. After `close` of a sending half, the receiving half must go on
//!   until it returns `None`, which takes `close_timeout` at most. A handshake that is under way is ended by dropping it.
//!   On the core `close` says which it is: `NotOpen`, so drop it; `Closed`, so it ends by itself, a refused request
//!   within the rest of [`HandshakeConfig::timeout`](crate::HandshakeConfig::timeout).
//! - Dropping a socket, or both of its halves, drops the transport at once, and what is queued with it; the peer sees an
//!   end without a Close frame. While one half lives, the connection goes on.
//! - [`closed`](crate::Connection::closed) says how the connection ended. The codes 1005 and 1006 occur only there;
//!   they are never sent.
//!
//! # Limits
//!
#![doc = include_str!("limits.md")]
//!
//! Memory grows with the bytes that came, at most to four times as much, and never with a length that was only
//! announced. The memory of a connection is at most the sum of its message limit (twice, if a message was read
//! ahead), its high-water mark, what the events of one buffer make the application queue, and a constant of about 200
//! KiB. TLS of ours adds at most another 200 KiB: 92 KiB of the session's, and what an adapter carries.
//!
//! # Compression
//!
//! permessage-deflate (RFC 7692, feature `deflate`) is negotiated if
//! [`HandshakeConfig::deflate`](crate::HandshakeConfig) says so. For the application nothing else changes: it never
//! sees compressed data.
//!
//! - The message limit holds for the inflated message, and is checked while the message is inflated: a short message
//!   that inflates to a huge one costs at most the limit and 32 KiB. A chunk has at most 32 KiB.
//! - A message that was cut short, or is not valid DEFLATE data, fails the connection with 1007. It is never delivered.
//! - After a block with BFINAL a new DEFLATE stream begins, which does not refer to data before it.
//! - Without context takeover (the default) a connection keeps no compression state between messages. `Deflate` has a
//!   table of what it keeps with context takeover.
//! - A [`Prepared`](crate::Prepared) message is compressed once for all connections without
//!   context takeover.
//! - [`Accept::uncompressed`](crate::Accept::uncompressed) declines compression for one request.
//!
//! # Back-pressure
//!
//! Receiving: while the application asks for nothing, nothing is read, so TCP slows the peer down. Sending: at the
//! high-water mark [`has_room`](crate::Connection::has_room) becomes false, and `feed` and `send` of the adapters
//! wait. While they wait they read until they have one message, so that two ends which send to each other at the same
//! time do not wait for each other. A host that answers the events of a buffer cannot stop in the middle of it: it
//! [queues](crate::Connection::queue) the answers, which needs no room, and [pauses](crate::Reading::Paused) reading
//! until there is room again.
//!
//! A task that receives, and also sends what others produce, splits its socket (`split` in both adapters): then a send
//! that waits for a slow client stops nothing but the sends to that client. One message for many clients is made once,
//! as [`Prepared`](crate::Prepared), and each client has a queue of its own with a limit, such as a bounded channel. A
//! client that takes a byte now and then is alive, and is not given up for being slow. To give it up, put a time limit
//! around `feed`, which is cancel-safe, and drop both halves.
//!
//! On an event loop [`Full`](crate::SendError::Full) says how much waits for a client, and not for how long: one burst makes
//! good clients full too. So whoever sends one message to all writes first, takes no more from those who speak while
//! somebody is full, and lets go who is full for some seconds. `examples/epoll_server --broadcast` does so.
//!
//! # HTTP/2
//!
//! Another library speaks HTTP/2. [`Server::answer`](crate::Server::answer) judges the extended CONNECT (RFC 8441) that it
//! has read, and the socket talks over a stream as over a TCP connection of its own. The end of the stream, by END_STREAM
//! or RST_STREAM, is the end of the transport: without a Close frame before it, 1006. The library has settings that matter
//! more for sockets than for pages; `examples/http` has them in code.
//!
//! | what | set it to | because |
//! |---|---|---|
//! | SETTINGS_ENABLE_CONNECT_PROTOCOL (hyper, h2: `enable_connect_protocol`) | on, but only where a handler of WebSockets stands | To a browser it is a promise for the whole origin: it opens its sockets on the connection that it has, and does not try HTTP/1.1 after a refusal. Without the setting it makes a connection of HTTP/1.1 for each socket. `axum::serve` always switches it on |
//! | ALPN, over TLS | `h2`, `http/1.1` | A browser speaks HTTP/2 only if TLS has agreed on it |
//! | the window of a stream | what may come on one socket before it is read, such as 64 KiB | A client cannot send faster than one window for each round trip: 64 KiB in 100 ms are 640 KiB/s |
//! | the window of the connection | the window of a stream, times the streams | The bytes that a socket has not read yet count in both windows. If the connection's is used up, nobody can send on it. hyper's server has 1 MiB for both if nothing is set, h2 64 KiB, so there two sockets that are not read stop all others, and uploads too |
//! | how many streams at a time (`max_concurrent_streams`) | a number, such as 250 | Each open socket takes one, and pages need some. This number times the window is what one client can make the library keep: 16 MB with the values here. h2 has no limit unless one is set |
//! | PING (hyper: `keep_alive_interval`, and a timer) | on, such as 20 s | It ends a connection that has no socket, when its peer has gone. It does not replace [`Config::keepalive`](crate::Config::keepalive): a proxy answers it itself |
//! | time for the first byte, and for the handshake of TLS | some seconds, around both | There is no connection of ours yet whose time limits could hold |
//!
//! A client has windows for what it receives, to which the same rule applies. A server that stops says GOAWAY
//! (`graceful_shutdown`): no new stream is opened, the sockets go on, and the library waits for them. So close them
//! with 1001, as without HTTP/2.
//!
//! # Questions
//!
//! **Why does `wants` not say one thing at a time?** A host waits for several things at once: for bytes to read, for
//! a transport that takes bytes, for a time. So `wants` says all of them. Which comes first depends only on them and
//! on what the transport can do now. So it is a separate function, `step`, and an adapter may change `wants` before
//! it calls `step`. Without `step` each host would have to know the order, and most mistakes in it show only when a
//! peer misbehaves.
//!
//! **Why do events come from `receive`, and not from `wants`?** A message that lies whole in the input is lent from
//! there in about three nanoseconds. A host asks `wants` once for each read, and takes many events from one read.
//!
//! **Why does `receive` take `&mut &mut [u8]`?** The input is a cursor: the core cuts what it takes off the front,
//! and unmasks it there. So an event borrows from the caller's buffer and not from the connection, and the caller
//! decides whose buffer it is: one for each thread, a ring, a page of io_uring. No byte has to be given twice: the
//! core keeps a header or a message of which it has got only a part.
//!
//! **Why are messages `Cow`s of `str` and `[u8]`, and not `Bytes`?** A received message lies in the read buffer, or
//! has its own memory. `Bytes` would be a slice of a shared buffer: a message of 20 bytes that the application keeps
//! would keep a buffer of 64 KiB alive. An owned message becomes `Bytes` without a copy.
//!
//! **Why is the peer's Close frame not acted upon while a send is blocked?** It would end the send, and the message
//! of the application would be lost. §5.5.1 allows to answer a Close frame after the current messages. So the frame
//! waits until the application receives it. But what is sent meanwhile has only
//! [`close_timeout`](crate::Config::close_timeout) to leave.
//!
//! **Why does an invalid text fail before its frame has ended?** §8.1 allows to wait for the rest, but the rest may
//! never come. Text is checked as it is gathered, each byte once.
//!
//! **Why is every Ping answered, although §5.5.3 allows to answer only the latest?** Some peers count the Pongs. So
//! every Ping is answered while the transport takes bytes. While it does not, at most one Pong waits.
//!
//! **Why does keepalive accept any sign of life, and not only a Pong?** A peer that sends a frame of 1 GiB over a
//! slow network cannot answer before the end of the frame, but it is alive. A peer that takes a long message of ours
//! slowly is alive too, and its Pong comes late. But a write that succeeds at once is no sign of life: the bytes may
//! lie in the socket buffer of this machine.
//!
//! **Why is it no error if a peer goes away without a Close frame?** It happens all the time: phones lose their
//! network, laptops are shut. A server that reported it as an error would log little else. `closed()` has the code
//! 1006 then, so the application can tell it from a clean end.
//!
//! **Why does `feed` exist?** A write for each message costs more than everything else together. Fed messages leave
//! in one write, before the receiver waits. `send` returns when the transport has taken the message.
//!
//! **What must a program do that only sends?** It must receive too: Pings must be answered, and the peer's Close
//! frame must be seen. Call `drain`, on the socket or on its receiving half, in a task or thread of its own: it takes
//! and drops what comes.
//!
//! **Why do the connections of a thread share memory, although all state is in the connection?** A compressor takes
//! 371 KiB, and each message uses it for some microseconds. So the connections of a thread share one. It begins anew
//! with every message, so the result does not depend on who used it before. A pool that is passed in would need a
//! lock, or tie a connection to one thread.
//!
//! **Why `zlib-rs` itself, and not `flate2`, which wraps it?** `flate2` has no memory level, and adds nothing that this
//! crate needs.
//!
//! **How is a compressed message found to be cut short?** In RFC 7692 the sender removes four bytes from the end of
//! each message, and the receiver appends them. In a complete message the last of them ends a block, and they give no
//! output. If the message was cut short, they are read as something else: a code or a stored byte, which gives
//! output, or lengths that do not match. Most implementations do not check this, and deliver the part that they have.
//!
//! **Why is TLS here in three parts?** A `TlsSession` has the cryptography and no IO, as a connection has no IO; each
//! adapter carries its bytes, one system call at a time. The ready-made streams of other crates read until a record is
//! whole, so a peer that sends a byte now and then delays every deadline; and only one thread can use them.
//!
//! **Why does a missing close_notify not count as an error?** Many servers end TCP without one. What it would tell, that
//! nothing was cut off, the Close frames tell here; and a frame that was cut off is never delivered.
