//! The manual: the words, how to drive the core, its states, how connections end, what is bounded
//! by what, and why. Nothing here is code.
//!
//! # Words
//!
//! | word | what it is |
//! |---|---|
//! | frame | §5.2: a header and its payload, as they stand on the wire |
//! | control frame | §5.5: Close, Ping or Pong; at most 125 bytes, never in fragments |
//! | message | §5.4: text or bytes, in one frame or in several; what an application sends and gets |
//! | fragment | §5.4: one of the frames of a message that has several |
//! | piece | as much of one frame as one input had ([`frame::Piece`](crate::frame::Piece)) |
//! | chunk | a part of a message, handed out as it arrived ([`Chunk`](crate::Chunk)); where it is cut says nothing |
//! | transport | what carries the bytes: a TCP socket, a TLS stream, a pipe |
//! | opening handshake | §4: the request and the 101. Its result is an [`Upgrade`](crate::Upgrade): what was agreed |
//! | closing handshake | §7: a Close frame from each end. A connection that ends with both ends *cleanly* |
//! | to refuse, to reject | a server refuses a request that breaks a rule; an application rejects one that is in order |
//! | room | how much may be queued before the high-water mark is reached; where to read to is *space* |
//! | held, ahead | bytes that are kept for later; events that were read before anybody asked for them |
//!
//! # Driving the core
//!
//! A [`Connection`](crate::Connection) lives from the first byte of the opening handshake to the end of the transport. A
//! host tells it what happened, tells it what to do, and asks it one question: what now? The answer is
//! [`wants`](crate::Connection::wants), four wishes that stand for themselves, and [`Wants::step`](crate::Wants::step) says
//! which of them comes first:
//!
//! | step | the host | and then |
//! |---|---|---|
//! | `Write` | writes what [`transmits`](crate::Connection::transmits) has | [`handle_transmitted`](crate::Connection::handle_transmitted); [`handle_blocked`](crate::Connection::handle_blocked) if the transport takes nothing now; [`handle_write_failed`](crate::Connection::handle_write_failed) |
//! | `End` | shuts the writing side down | [`handle_shutdown`](crate::Connection::handle_shutdown) |
//! | `Read` | reads | [`receive`](crate::Connection::receive) until `Ok(None)`; [`handle_eof`](crate::Connection::handle_eof); [`handle_reset`](crate::Connection::handle_reset) |
//! | `Timeout` | nothing | [`handle_timeout`](crate::Connection::handle_timeout) |
//! | `Wait` | waits, for what is wanted and could not be done, or until [`until`](crate::Wants::until) | asks again |
//!
//! When `wants` says `None` it is over, and the host drops the transport. `examples/epoll_server.rs` is such a host, for many
//! connections; the page of this crate has one for a single blocking socket. The order is the core's business and not the
//! host's, since a host that looks at a deadline before it reads gives up a peer whose Pong lies in the socket.
//!
//! Events borrow from the bytes that were read if a message lay there whole, and own
//! their data if it had to be gathered. They never borrow from the connection, which is free to answer
//! while an event is in use. To keep a message, make it owned; it will not hold more memory than its own length.
//!
//! In the middle of a long binary message [`receive_space`](crate::Connection::receive_space) lends the place where its next
//! bytes belong, and reading them there saves a copy. Using it is optional. A transport that needs to own what it transmits
//! asks for it by [`take_transmit`](crate::Connection::take_transmit), and one that lends bytes which may not be changed gives
//! them to [`receive_copied`](crate::Connection::receive_copied).
//!
//! # States
//!
//! What a connection is at:
//!
#![doc = include_str!("connection/states.md")]
//!
//! What becomes of bytes that come, a state of its own ([`Reading`](crate::Reading)), which the host sets:
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
//! And what becomes of bytes that go, which is in the answers of the transport:
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
//! While nothing is read, a Pong cannot be seen, so no Pong is waited for: what judges the peer then is whether it takes. Its
//! time to answer begins anew when reading goes on. No peer is given up for a missing Pong before the transport itself has said
//! that nothing is there to read. All other time limits hold also while bytes come without end.
//!
//! # What a message costs
//!
//! Each line is counted by `tests/costs.rs`.
//!
//! | | allocations | copies of the payload |
//! |---|---|---|
//! | received by `receive`, whole in the input | none | none |
//! | received by `receive_owned`, or an adapter's `recv`, likewise | one, of its length | one |
//! | a chunk read into [`receive_space`](crate::Connection::receive_space) | one | none |
//! | sent, borrowed or shorter than 16 KiB | none while little waits | one |
//! | sent, owned and longer | what the queue of blocks needs | none |
//! | sent, [`Bytes`](crate::BytesMessage) or [`Prepared`](crate::Prepared), by a server | none while little waits | one below 16 KiB, none from there on |
//!
//! A read of an adapter brings all that has come, up to 64 KiB, in one system call; what was
//! fed meanwhile leaves in one. A client masks on the way, and unmasking happens where the
//! bytes lie or on their way to where they will: no pass over the memory of its own.
//!
//! # Closing
//!
//! - After [`close`](crate::Connection::close) the peer's messages still come until its
//!   own Close frame does; nothing can be sent any more. Pings that come meanwhile are answered (§5.5.2).
//! - The peer's Close frame is answered by itself, with its own code, behind all that waits. What the peer sends after
//!   that is ignored.
//! - When both have said Close, the server ends the TCP connection first (§7.1.1): it
//!   shuts down its writing side, and reads until the client's end comes too. Closing at
//!   once could destroy, by a reset, what the client has not read yet. A refusal of the opening handshake ends in the same way.
//! - All of it has one time limit, [`close_timeout`](crate::Config::close_timeout), that
//!   begins with the first Close frame; and not before this end has tried to answer, if the application was busy meanwhile.
//! - A send of an adapter that fails because the connection is closing returns when what was accepted before has left, or that
//!   time is over. So a loop that ends there, and drops its socket, loses nothing that it had sent.
//! - [`closed`](crate::Connection::closed) says how it ended. Codes 1005 and 1006 only
//!   ever stand there; they are never sent.
//!
//! # Limits
//!
#![doc = include_str!("limits.md")]
//!
//! Memory grows with the bytes that came, at most to four times as much, and never with
//! a length that was only announced. A connection is bounded by its message limit (twice, if one was read ahead), its
//! high-water mark, what one buffer of events makes the application queue, and a constant of about 200 KiB.
//!
//! # Compression
//!
//! permessage-deflate (RFC 7692, feature `deflate`) is negotiated if
//! [`HandshakeConfig::deflate`](crate::HandshakeConfig) says so. Nothing else changes:
//! messages, chunks and fragments are plain on this side of the connection.
//!
//! - A message limit holds for the inflated message, and is checked while it is inflated: a
//!   bomb costs the limit and 32 KiB, not more. In chunk mode 32 KiB are handed out at a time.
//! - A message that was cut short, or is no DEFLATE data, fails the connection with 1007. It
//!   is never delivered.
//! - After a block with BFINAL a new stream begins, with nothing to refer back to.
//! - Without context takeover (the default) connections hold no state between messages.
//!   The docs of `Deflate` have a table of what they hold with it.
//! - A [`Prepared`](crate::Prepared) message is compressed once for all connections without
//!   context takeover.
//! - [`Accept::uncompressed`](crate::Accept::uncompressed) declines it for one request.
//!
//! # Back-pressure
//!
//! Inwards: what is not asked for is not read, so TCP slows the peer down. Outwards:
//! [`has_room`](crate::Connection::has_room) turns false at the high-water mark, and the
//! adapters' `feed` and `send` wait. While they wait they go on reading until one
//! message is at hand, so that two ends that send to each other at once both get on. A host that answers the events of a buffer
//! cannot stop in the middle of it: it [queues](crate::Connection::queue) the answers, which are never refused, and
//! [pauses](crate::Reading::Paused) reading until there is room again.
//!
//! # Questions
//!
//! **Why does `wants` not say one thing at a time?** A host that waits, waits for several things at once: something to read,
//! a place to write to, a time. So the wishes stand side by side. Which comes first is a rule of its own, which only
//! needs the wishes and what the transport can do; so it is a function beside them, and an adapter may change a wish before
//! it asks. Both were tried in hosts of some thirty lines: with the wishes alone, the order was the host's to get wrong, and most
//! of its mistakes showed nowhere until a peer misbehaved.
//!
//! **Why do events come from `receive`, and not from the answer to "what now"?** A message that lies whole in the input
//! is lent from there, in some three nanoseconds. A host asks what to do once for each read, and takes many events from one.
//!
//! **Why does `receive` take `&mut &mut [u8]`?** The input is a cursor: the core cuts
//! what it takes off the front and unmasks it there. So an event borrows from the
//! caller's buffer and not from the connection; and whoever owns the buffer is up to the caller: one for each thread, a
//! ring, a page of io_uring. Nothing that was given has to be given again, since a header
//! that was cut is kept inside, and so is a message that was.
//!
//! **Why are messages `Cow`s of `str` and `[u8]`, and not `Bytes`?** What is received
//! either lies in the read buffer or has its own memory. A slice of a shared buffer would
//! be a third case, in which a message of 20 bytes that is kept pins a buffer of 64 KiB. An owned message becomes `Bytes`
//! without a copy.
//!
//! **Why is the peer's Close frame not acted upon while a send is blocked?** It would end the send, and what the application
//! was about to say would be lost. A closing handshake may be answered when the current messages are sent (§5.5.1). So it
//! waits until the application takes it, at most for [`close_timeout`](crate::Config::close_timeout).
//!
//! **Why does an invalid text inside an unfinished frame fail at once?** §8.1 allows to
//! wait, but the rest may never come. Text is checked as it is gathered, each byte once.
//!
//! **Why is every Ping answered, although one Pong would do?** §5.5.3 allows to answer
//! only the latest. But as long as the transport takes what is sent, an answer to each is what peers that
//! count expect; when it does not, one Pong waits at the most.
//!
//! **Why does keepalive accept any sign of life, and not only a Pong?** A peer that is
//! sending a frame of 1 GiB over a slow line cannot answer before its end, and lives. So does one that takes a long message of
//! ours slowly: its Pong comes late. But a write that simply goes through is no sign of life, since it may have gone
//! no further than this machine's own socket buffer.
//!
//! **Why is a peer that just goes away no error?** It happens all the time: phones lose
//! their network, laptops are shut. A server that takes it for an error logs little else.
//! `closed()` has the code 1006, so it can be told from a goodbye.
//!
//! **Why does `feed` exist?** A write for each message costs more than everything else
//! together. Fed messages leave in one write when the receiver would otherwise wait;
//! `send` means sent.
//!
//! **What must a program do that only sends?** Receive all the same: Pings want an answer, and the peer's Close frame wants to be
//! seen. `drain`, on the socket or on its receiving half, takes and drops what comes, in a task or thread of its own.
//!
//! **Why does a thread share memory, where all state is said to be in the connection?** A
//! compressor takes 371 KiB and is of use for some microseconds a message. Shared by the
//! connections of a thread it costs them nothing, and what comes out depends on it in no way:
//! it begins anew with every message. A pool that is passed in would need a lock, or tie a
//! connection to its thread.
//!
//! **Why `zlib-rs` itself, and not `flate2` around it?** `flate2` has no memory level, and adds
//! nothing that is needed here.
//!
//! **How is a message found to be cut short?** RFC 7692 takes four bytes off the end of each
//! message, and the receiver puts them back. They must end a block, with the last of them, and
//! say nothing. If the data before was cut, they are taken for something else: a code or a stored
//! byte, which would say something, or lengths that do not match. Most implementations look at
//! none of this, and deliver what they have.
