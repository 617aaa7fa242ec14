//! Carries what a subscriber gets, and answers for its client alone, to a WebSocket of openline's tokio adapter (feature
//! `pump`).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use openline::tokio::WebSocket;
use openline::{CloseCode, Error, Message, Outgoing, Prepared, Reading, SendError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::has_budget_remaining;

use crate::delivery::Delivery;
use crate::subscriber::Subscriber;

/// Sends what the subscriber gets, until the client says something, which is returned. `None`: the connection is over,
/// and [`closed`](WebSocket::closed) says how.
///
/// `encode` makes of each delivery what is sent, or nothing. Let the hub make a [`Prepared`] of each message: it is made
/// once, and sent to all.
///
/// Deliveries that are at hand leave together. While the client takes nothing, nothing is taken from the subscriber, and
/// its [`Lag`](crate::Lag) policies hold. A client that takes no byte for 10 s while something waits is let go: it gets a
/// Close frame with the code 1013 (try again later) behind what waits, and the socket is reset after
/// [`close_timeout`](openline::Config::close_timeout).
///
/// The 10 s go on from call to call with the same subscriber, so a client that speaks and takes nothing is let go, too.
/// A client that speaks without a pause gets its deliveries after 128 messages, and then other tasks run.
///
/// Cancel-safe: nothing that was taken from the subscriber is lost, since it is queued at once.
///
/// Between two calls a client is [answered](answer). What must be awaited for an answer, such as a database or
/// [`publish`](crate::Topic::publish) on a hub with a backplane, is awaited by another task, since deliveries of this
/// client wait meanwhile. The example `machines` does this: it lets go of `pump` when an answer is there, by a `select!`.
///
/// # Errors
///
/// As [`WebSocket::recv`]. [`SendError::MessageUnfinished`] if the caller has begun a message in fragments and has not
/// ended it; nothing was taken from the subscriber then.
///
/// ```no_run
/// # use openline::{Error, Prepared, tokio::WebSocket};
/// # use openline_live::{Delivery, Subscriber, pump};
/// # use tokio::net::TcpStream;
/// # async fn talk(mut socket: WebSocket<TcpStream>, mut subscriber: Subscriber<Prepared>) -> Result<(), Error> {
/// let encode = |delivery| match delivery {
///     Delivery::Message(message) => Some(message),
///     Delivery::Joined { topic, .. } => Some(Prepared::new(format!("welcome to {topic}"))),
///     _ => None,
/// };
/// while let Some(message) = pump(&mut socket, &mut subscriber, encode).await? {
///     println!("the client says {message:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn pump<S, M>(
    socket: &mut WebSocket<S>,
    subscriber: &mut Subscriber<M>,
    mut encode: impl FnMut(Delivery<M>) -> Option<Prepared>,
) -> Result<Option<Message<'static>>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Clone,
{
    let ended = match poll_fn(|cx| poll(socket, subscriber, &mut encode, cx)).await {
        Ok(Said::Message(message)) => return Ok(Some(message)),
        Ok(Said::Nothing) => Ok(None),
        Ok(Said::Stalled) => let_go(socket).await.map(|()| None),
        Err(error) => Err(error),
    };
    // The next socket of this subscriber has its own time.
    subscriber.stall.end();
    ended
}

/// Queues a message for this client alone, between two calls of [`pump`] with the same socket and subscriber. It stands
/// behind the deliveries of the first call and before those of the second, and leaves when the second one waits for
/// something, after 128 messages of the client at the latest.
///
/// If the client has no room for it, this waits, for as long as `pump` would: a client that takes no byte for 10 s is let
/// go. If the connection is over or ends meanwhile, there is nobody to be answered: the message is dropped, and the next
/// call of `pump` ends the loop.
///
/// Cancel-safe, except that the message is dropped if it is not queued yet.
///
/// # Errors
///
/// As [`WebSocket::feed`], but for [`SendError::Closed`].
///
/// ```no_run
/// # use openline::{Error, Prepared, tokio::WebSocket};
/// # use openline_live::{Delivery, Subscriber, answer, pump};
/// # use tokio::net::TcpStream;
/// # async fn talk(mut socket: WebSocket<TcpStream>, mut subscriber: Subscriber<Prepared>) -> Result<(), Error> {
/// let encode = |delivery| if let Delivery::Message(message) = delivery { Some(message) } else { None };
/// while let Some(message) = pump(&mut socket, &mut subscriber, encode).await? {
///     answer(&mut socket, &mut subscriber, format!("{} bytes", message.len())).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub async fn answer<S, M>(
    socket: &mut WebSocket<S>,
    subscriber: &mut Subscriber<M>,
    message: impl Into<Outgoing<'_>>,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answered = match poll_fn(|cx| poll_room(socket, subscriber, cx)).await {
        // It waits for nothing. `feed` would wait for room, without a clock, before it says that a message is unfinished.
        Ok(true) => socket.try_feed(message).map_err(|unsent| unsent.error.into()),
        Ok(false) => {
            subscriber.stall.end();
            let_go(socket).await
        }
        Err(error) => Err(error),
    };
    unless_closed(answered)
}

/// Closes the connection of a client that takes nothing. What waits for it may have no time to leave.
async fn let_go<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> Result<(), Error> {
    unless_closed(socket.close(CloseCode::TRY_AGAIN_LATER, "").await)
}

/// That there is nobody to send to is no error: the next call of [`pump`] ends the loop.
fn unless_closed(done: Result<(), Error>) -> Result<(), Error> {
    done.or_else(|error| if error.is_closed() { Ok(()) } else { Err(error) })
}

enum Said {
    Message(Message<'static>),
    /// The connection is over.
    Nothing,
    /// The client takes nothing.
    Stalled,
}

fn poll<S, M>(
    socket: &mut WebSocket<S>,
    subscriber: &mut Subscriber<M>,
    encode: &mut impl FnMut(Delivery<M>) -> Option<Prepared>,
    cx: &mut Context<'_>,
) -> Poll<Result<Said, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Clone,
{
    let mut left = TURN;
    loop {
        // What the client says comes first, so that nobody who only listens keeps it waiting. If it does not stop, it has
        // its turn as well.
        let listens = subscriber.heard < TURN;
        if listens {
            match Pin::new(&mut *socket).poll_next(cx) {
                Poll::Ready(Some(said)) => {
                    subscriber.heard += 1;
                    return Poll::Ready(said.map(Said::Message));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(Said::Nothing)),
                Poll::Pending => {}
            }
        }
        let (before, mut full) = (left, false);
        while left > 0 {
            match socket.connection().check_send() {
                Ok(()) => {}
                // The flush makes room.
                Err(SendError::Full) => {
                    full = true;
                    break;
                }
                // The stream says how the connection ends.
                Err(SendError::Closed) => break,
                // A message that the caller has begun in fragments must end first. Nothing was taken for it.
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            let Poll::Ready(delivery) = subscriber.poll_next(cx) else { break };
            left -= 1;
            if let Some(message) = encode(delivery) {
                socket.try_feed(&message).map_err(|unsent| unsent.error)?;
            }
        }
        let flushed = match poll_flush(socket, subscriber, cx) {
            Poll::Ready(Err(error)) if !error.is_closed() => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(Flushed::Stalled)) => return Poll::Ready(Ok(Said::Stalled)),
            flushed => flushed,
        };
        subscriber.heard = 0;
        if left == 0 || !listens {
            // Other tasks must run too, however much is published or said.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let again = match flushed {
            Poll::Ready(Ok(_)) => full || socket.connection().reading() != Reading::Events,
            // The stream says what has happened, once it has been asked again.
            Poll::Ready(Err(_)) => left != before,
            Poll::Pending => false,
        };
        // Otherwise all three wait: the subscriber has nothing more, nothing waits to be sent, and a flush that was not
        // blocked has read nothing, so the stream need not be asked again.
        if !again {
            return Poll::Pending;
        }
    }
}

/// Whether there is room for a message, or nobody to send it to. False: the client is to be let go.
fn poll_room<S, M>(
    socket: &mut WebSocket<S>,
    subscriber: &mut Subscriber<M>,
    cx: &mut Context<'_>,
) -> Poll<Result<bool, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while socket.connection().check_send() == Err(SendError::Full) {
        match poll_flush(socket, subscriber, cx)? {
            Poll::Ready(Flushed::All) => {}
            Poll::Ready(Flushed::Stalled) => return Poll::Ready(Ok(false)),
            Poll::Pending if socket.has_room() => {}
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(true))
}

enum Flushed {
    All,
    /// The client takes nothing.
    Stalled,
}

/// Waits until all that is queued has left, or the client has taken nothing for too long.
fn poll_flush<S, M>(
    socket: &mut WebSocket<S>,
    subscriber: &mut Subscriber<M>,
    cx: &mut Context<'_>,
) -> Poll<Result<Flushed, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stall = &mut subscriber.stall;
    let mut sink = Pin::new(&mut *socket);
    let mut flushed = Sink::<Message<'_>>::poll_flush(sink.as_mut(), cx);
    // Pongs do not count as sent, so a flush does not wait for them; but they may take the room.
    if let Poll::Ready(Ok(())) = flushed
        && sink.connection().check_send() == Err(SendError::Full)
    {
        flushed = Sink::<Message<'_>>::poll_ready(sink, cx);
    }
    match flushed {
        Poll::Ready(flushed) => {
            stall.end();
            Poll::Ready(flushed.map(|()| Flushed::All))
        }
        // The transport was not asked, since the task has used up its budget.
        Poll::Pending if !has_budget_remaining() => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending if stall.is_over(taken(socket), cx) => Poll::Ready(Ok(Flushed::Stalled)),
        Poll::Pending => Poll::Pending,
    }
}

/// A count that grows with each byte that the transport takes, and with each that it passes on if it has a buffer.
fn taken<S: AsyncRead + AsyncWrite + Unpin>(socket: &WebSocket<S>) -> u64 {
    let connection = socket.connection();
    let taken = connection.written().saturating_sub(u64::try_from(connection.queued()).unwrap_or(u64::MAX));
    taken.saturating_add(connection.transmitted())
}

/// How many deliveries are sent, and how many messages of the client returned, before other tasks run.
const TURN: u32 = 128;
