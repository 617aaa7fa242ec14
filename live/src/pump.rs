//! Carries what a subscriber gets to a WebSocket of openline's tokio adapter (feature `pump`).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use openline::tokio::WebSocket;
use openline::{CloseCode, Error, Message, Prepared, Reading, SendError};
use tokio::io::{AsyncRead, AsyncWrite};

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
///
/// Cancel-safe: nothing that was taken from the subscriber is lost, since it is queued at once.
///
/// An answer for this client alone is [fed](WebSocket::feed) between two calls. It stands behind the deliveries of the first
/// call and before those of the second, and leaves with the second. What must be awaited for an answer, such as a database
/// or [`publish`](crate::Topic::publish) on a hub with a backplane, is awaited by another task, since deliveries of this
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
    let said = poll_fn(|cx| poll(socket, subscriber, &mut encode, cx)).await?;
    match said {
        Said::Message(message) => Ok(Some(message)),
        Said::Nothing => Ok(None),
        Said::Stalled => {
            socket.close(CloseCode::TRY_AGAIN_LATER, "").await?;
            Ok(None)
        }
    }
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
        // What the client says comes first, so that nobody who only listens keeps it waiting.
        match Pin::new(&mut *socket).poll_next(cx) {
            Poll::Ready(Some(said)) => return Poll::Ready(said.map(Said::Message)),
            Poll::Ready(None) => return Poll::Ready(Ok(Said::Nothing)),
            Poll::Pending => {}
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
        let flushed = Sink::<Message<'_>>::poll_flush(Pin::new(&mut *socket), cx);
        match flushed {
            Poll::Ready(Err(error)) if !error.is_closed() => return Poll::Ready(Err(error)),
            Poll::Ready(_) => subscriber.stall.end(),
            Poll::Pending if subscriber.stall.is_over(taken(socket), cx) => return Poll::Ready(Ok(Said::Stalled)),
            Poll::Pending => {}
        }
        if left == 0 {
            // Other tasks must run too, however much is published.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let again = match flushed {
            Poll::Ready(Ok(())) => full || socket.connection().reading() != Reading::Events,
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

/// How many bytes the transport has taken.
fn taken<S: AsyncRead + AsyncWrite + Unpin>(socket: &WebSocket<S>) -> u64 {
    let connection = socket.connection();
    connection.written().saturating_sub(u64::try_from(connection.queued()).unwrap_or(u64::MAX))
}

/// How many deliveries are sent before other tasks run.
const TURN: u32 = 128;
