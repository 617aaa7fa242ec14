//! The manual: how to drive the core, how connections end, what is bounded by what,
//! and why. Nothing here is code.
//!
//! # Driving the core
//!
//! A [`Connection`](crate::Connection) is told what happened, told what to do, and
//! asked what is next. After each call that tells it something, an adapter does, in
//! this order:
//!
//! 1. Take events until `receive` returns `Ok(None)`. Then all input has been taken.
//! 2. Transmit: write what [`transmits`](crate::Connection::transmits) has, and say how
//!    much went.
//! 3. If [`poll_shutdown`](crate::Connection::poll_shutdown): shut the writing side down.
//! 4. If the state is [`Closed`](crate::State::Closed): drop the transport.
//! 5. Wait for bytes, the end of the transport, or
//!    [`poll_timeout`](crate::Connection::poll_timeout), and read before you tell of a
//!    timeout: the Pong that is missing may lie in the socket.
//!
//! Events borrow from the bytes that were read if a message lay there whole, and own
//! their data if it had to be gathered. They never borrow from the connection. To keep
//! a message, make it owned; it will not hold more memory than its own length.
//!
//! In the middle of a long binary message
//! [`receive_room`](crate::Connection::receive_room) lends the place where its next
//! bytes belong, and reading them there saves a copy. Using it is optional.
//!
//! # What a message costs
//!
//! Each line is counted by `tests/costs.rs`.
//!
//! | | allocations | copies of the payload |
//! |---|---|---|
//! | received by `receive`, whole in the input | none | none |
//! | received by `receive_owned`, or an adapter's `recv`, likewise | one, of its length | one |
//! | a chunk read into [`receive_room`](crate::Connection::receive_room) | one | none |
//! | sent, borrowed or shorter than 16 KiB | none while little waits | one |
//! | sent, owned and longer | what the queue of blocks needs | none |
//! | sent, [`Prepared`](crate::Prepared), by a server | none while little waits | one below 16 KiB, none from there on |
//!
//! A read of an adapter brings all that has come, up to 64 KiB, in one system call; what was
//! fed meanwhile leaves in one. A client masks on the way, and unmasking happens where the
//! bytes lie or on their way to where they will: no pass over the memory of its own.
//!
//! # Closing
//!
//! ```text
//!  Open ──close()────────► CloseSent ──recv Close──► Draining ──EOF / close timeout──► Closed  clean
//!  Open ──recv Close──────── (echo queued) ────────► Draining
//!  Open ──ProtocolError──► Failing ──Close(code) sent, then EOF / close timeout──────► Closed  unclean
//!  Open ──EOF, or pong overdue───────────────────────────────────────────────────────► Closed  unclean, 1006
//! ```
//!
//! - After [`close`](crate::Connection::close) the peer's messages still come until its
//!   own Close frame does; nothing can be sent any more.
//! - The peer's Close frame is answered by itself, with its own code. What it sends after
//!   that is ignored.
//! - When both have said Close, the server ends the TCP connection first (§7.1.1): it
//!   shuts down its writing side, and reads until the client's end comes too. Closing at
//!   once could destroy, by a reset, what the client has not read yet.
//! - All of it has one budget, [`close_timeout`](crate::Config::close_timeout), that
//!   begins with the first Close frame.
//! - [`closed`](crate::Connection::closed) says how it ended. Codes 1005 and 1006 only
//!   ever stand there; they are never sent.
//!
//! # Limits
//!
//! | limit | default | what happens beyond |
//! |---|---|---|
//! | [`max_message_size`](crate::Config::max_message_size) | 16 MiB | 1009, as soon as a header announces it |
//! | a compressed message | the same, inflated | 1009, at the first byte beyond |
//! | [`max_fragments`](crate::Config::max_fragments) | 131,072 | 1008 |
//! | [`high_water`](crate::Config::high_water) | 64 KiB | sending waits, or is refused |
//! | Pongs that wait for a peer that does not read | 4 KiB, then one | only the latest Ping is answered |
//! | [`close_timeout`](crate::Config::close_timeout) | 10 s | the connection is over |
//! | [`keepalive`](crate::Config::keepalive) | every 25 s, 20 s to answer | the connection is over, 1006 |
//! | handshake [`timeout`](crate::HandshakeConfig::timeout) | 10 s | 408 |
//! | [`max_head`](crate::HandshakeConfig::max_head) | 16 KiB | 414 or 431 |
//! | [`max_headers`](crate::HandshakeConfig::max_headers) | 64 | 431 |
//!
//! Memory grows with the bytes that came, at most to four times as much, and never with
//! a length that was only announced. A connection is bounded by its message limit, its
//! high-water mark, the last message queued, and a constant.
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
//!
//! # Back-pressure
//!
//! Inwards: what is not asked for is not read, so TCP slows the peer down. Outwards:
//! [`has_room`](crate::Connection::has_room) turns false at the high-water mark, and the
//! adapters' `feed` and `send` wait. While tokio's wait, they go on reading until one
//! message is at hand, so that two ends that send to each other at once both get on.
//!
//! # Questions
//!
//! **Why does `receive` take `&mut &mut [u8]`?** The input is a cursor: the core cuts
//! what it takes off the front and unmasks it there. So an event borrows from the
//! caller's buffer and not from the connection, which is free to answer while the event
//! is in use; and whoever owns the buffer is up to the caller: one for each thread, a
//! ring, a page of io_uring. Nothing that was given has to be given again, since a header
//! that was cut is kept inside, and so is a message that was.
//!
//! **Why are messages `Cow`s of `str` and `[u8]`, and not `Bytes`?** What is received
//! either lies in the read buffer or has its own memory. A slice of a shared buffer would
//! be a third case, in which a message of 20 bytes that is kept pins a buffer of 64 KiB.
//!
//! **Why does an invalid text inside an unfinished frame fail at once?** §8.1 allows to
//! wait, but the rest may never come. Text is checked as it is gathered, each byte once.
//!
//! **Why is every Ping answered, although one Pong would do?** §5.5.3 allows to answer
//! only the latest. But as long as the line is free, an answer to each is what peers that
//! count expect; when it is not, one Pong waits at the most.
//!
//! **Why does keepalive accept any sign of life, and not only a Pong?** A peer that is
//! sending a frame of 1 GiB over a slow line cannot answer before its end, and lives.
//!
//! **Why is a peer that just goes away no error?** It happens all the time: phones lose
//! their network, laptops are shut. A server that takes it for an error logs little else.
//! `closed()` has the code 1006, so it can be told from a goodbye.
//!
//! **Why does `feed` exist?** A write for each message costs more than everything else
//! together. Fed messages leave in one write when the receiver would otherwise wait;
//! `send` means sent.
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
