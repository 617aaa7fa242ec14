//! The client that comes back, on tokio (feature `client`): the loop around [`Backoff`]. It has no task, and all that
//! is under way lies in the struct, so that a future that is dropped takes nothing with it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openline::tokio::{Stream, WebSocket};
use openline::{CloseCode, Error, Message, SendError, Time};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::backoff::{Backoff, retry_after};
use crate::event::{Event, Options};
use crate::outbox::{Given, Outbox, Ticket, Unsent, UnsentReason, Waiting};
use crate::standing::Standing;
use crate::verdict::{DialError, Verdict, Why};

/// A WebSocket that is connected again when it is lost. The [module](crate::client) says when, and has an example.
///
/// All work is done inside the calls; there is no background task. Whoever does not poll [`next`](Self::next) does not
/// connect, does not answer Pings, and does not notice a dead peer.
///
/// It needs a tokio runtime with time enabled, and stays in the one in which it was first polled.
pub struct Persistent<S = Stream> {
    dial: Box<dyn FnMut() -> Dialing<S> + Send>,
    options: Options,
    backoff: Backoff,
    outbox: Outbox,
    state: State<S>,
    /// Whether there was a connection before.
    again: bool,
    epoch: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

type Dialing<S> = Pin<Box<dyn Future<Output = Result<WebSocket<S>, DialError>> + Send>>;

enum State<S> {
    /// The next attempt is made at this time.
    Waits(Time),
    Dials {
        dialing: Dialing<S>,
        by: Time,
    },
    Stands(Standing<S>),
    /// The caller has closed it.
    Closes(Standing<S>),
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Persistent<S> {
    /// A client with the default [`Options`]. `dial` makes one attempt; see [`with_options`](Self::with_options).
    pub fn new<F, A>(dial: F) -> Persistent<S>
    where
        F: FnMut() -> A + Send + 'static,
        A: Future<Output = Result<WebSocket<S>, DialError>> + Send + 'static,
    {
        Persistent::with_options(Options::default(), dial)
    }

    /// A client that connects when [`next`](Self::next) is first polled. Each attempt calls `dial`, and so makes its
    /// request anew: it may fetch a token, choose a server, and connect with
    /// [`openline::tokio::connect_with`], or with [`openline::tokio::connect_on`] over a transport of its own.
    ///
    /// ```no_run
    /// use openline::{Client, ClientRequest, tokio::connect_with};
    /// use openline_live::client::{DialError, Offline, Options, Persistent, Verdict};
    /// # async fn fetch_token() -> Result<String, std::io::Error> { Ok("".into()) }
    ///
    /// let mut options = Options::default();
    /// options.offline = Offline::Queue { messages: 100, bytes: 64 * 1024, age: options.pace.cap };
    /// let client = Persistent::with_options(options, || async {
    ///     let token = fetch_token().await.map_err(|error| DialError::own(Verdict::Retry, error))?;
    ///     let request = ClientRequest::new("wss://example.com/chat")?.header("Authorization", &token)?;
    ///     Ok(connect_with(&Client::new(request)).await?)
    /// });
    /// ```
    pub fn with_options<F, A>(options: Options, mut dial: F) -> Persistent<S>
    where
        F: FnMut() -> A + Send + 'static,
        A: Future<Output = Result<WebSocket<S>, DialError>> + Send + 'static,
    {
        Persistent {
            dial: Box::new(move || Box::pin(dial())),
            options,
            backoff: Backoff::new(options.pace),
            outbox: Outbox::new(options.offline),
            state: State::Waits(Time::ZERO),
            again: false,
            epoch: Instant::now(),
            alarm: None,
        }
    }

    /// What happens next. `None`: the client has ended, as [`Event::Ended`] or [`Event::Fatal`] has said, or because it
    /// was [closed](Self::close).
    ///
    /// It sends what waits, and makes attempts when it is time.
    ///
    /// Cancel-safe: no event is lost, and an attempt that has begun goes on with the next call.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for futures that are written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            let now = self.now();
            if !matches!(self.state, State::Over)
                && let Some(Waiting { ticket, message, .. }) = self.outbox.take_expired(now)
            {
                return Poll::Ready(Some(Event::Expired { ticket, message }));
            }
            let deadline = match &mut self.state {
                State::Waits(until) if now < *until => Some(*until),
                State::Waits(_) => {
                    self.state = State::Dials { dialing: (self.dial)(), by: now + self.options.attempt };
                    continue;
                }
                State::Dials { dialing, by } => match dialing.as_mut().poll(cx) {
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Some(self.stand(socket))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(self.lose(Why::Dial(error)))),
                    Poll::Pending if now >= *by => {
                        return Poll::Ready(Some(self.lose(Why::Dial(Error::TimedOut.into()))));
                    }
                    Poll::Pending => Some(*by),
                },
                State::Stands(standing) => match standing.poll(&mut self.outbox, self.options.probe, now, cx) {
                    Poll::Ready(Ok(message)) => return Poll::Ready(Some(Event::Message(message))),
                    Poll::Ready(Err(why)) => return Poll::Ready(Some(self.lose(why))),
                    Poll::Pending => standing.deadline(),
                },
                State::Closes(standing) => {
                    let drained = pin!(standing.socket.drain()).poll(cx).is_ready();
                    if drained {
                        self.state = State::Over;
                        continue;
                    }
                    None
                }
                State::Over => return Poll::Ready(None),
            };
            if self.poll_alarm(deadline.into_iter().chain(self.outbox.expiry()).min(), cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn stand(&mut self, socket: WebSocket<S>) -> Event {
        self.backoff.opened(self.now());
        self.state = State::Stands(Standing::new(socket));
        Event::Connected { again: mem::replace(&mut self.again, true) }
    }

    fn lose(&mut self, why: Why) -> Event {
        let unknown = match &self.state {
            State::Stands(standing) => standing.given(),
            _ => Given::default().range(),
        };
        self.state = State::Over;
        match why.verdict() {
            Verdict::Retry => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let asked = why.response().and_then(|response| retry_after(response, wall));
                let retry_in = self.retry(asked);
                Event::Lost { why, unknown, retry_in }
            }
            Verdict::End => Event::Ended { why, unknown },
            Verdict::Fatal => Event::Fatal { why, unknown },
        }
    }

    /// Waits for the next attempt. Returns for how long.
    fn retry(&mut self, asked: Option<Duration>) -> Duration {
        let now = self.now();
        // Without chance it waits as long as it may.
        let chance = getrandom::u64().unwrap_or(u64::MAX);
        let until = self.backoff.lost(now, chance, asked);
        self.state = State::Waits(until);
        until.since(now)
    }

    /// The caller has rejoined: what waits is sent now, and what is sent from now on follows. Without a connection it
    /// does nothing. It holds for one connection, so it must be said after each [`Event::Connected`].
    pub fn ready(&mut self) {
        if let State::Stands(standing) = &mut self.state {
            standing.ready();
        }
    }

    /// Sends a message, and returns when the transport has taken all of it; or, while there is no connection, does what
    /// [`Options::offline`] says.
    ///
    /// While the connection stands, it waits for room, so it waits as long as the peer takes nothing. If the connection
    /// is lost meanwhile, [`next`](Self::next) tells it, and the message was given to that connection if its number is
    /// in `unknown`.
    ///
    /// Cancel-safe: a dropped future has accepted the whole message, or nothing if it was still waiting for room. Who
    /// must know which of the two calls [`try_send`](Self::try_send), and [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// The message was not accepted, and nothing of it has been sent.
    pub async fn send(&mut self, message: impl Into<Message<'static>>) -> Result<Ticket, Unsent> {
        let message = message.into();
        self.room().await;
        let ticket = self.try_send(message)?;
        self.flush().await;
        Ok(ticket)
    }

    /// As [`send`](Self::send), but it waits for nothing. What it accepts leaves when [`next`](Self::next) is polled.
    ///
    /// # Errors
    ///
    /// The message was not accepted, and nothing of it has been sent.
    pub fn try_send(&mut self, message: impl Into<Message<'static>>) -> Result<Ticket, Unsent> {
        let (message, now) = (message.into(), self.now());
        let (reason, message) = match &mut self.state {
            State::Closes(_) | State::Over => return Err(Unsent { reason: UnsentReason::Over, message }),
            State::Waits(_) | State::Dials { .. } => (UnsentReason::Offline, message),
            State::Stands(standing) => match standing.send(message, &mut self.outbox, now) {
                Ok(ticket) => return Ok(ticket),
                Err(unsent) => unsent,
            },
        };
        self.outbox.keep(message, reason, now)
    }

    /// Waits until the transport has taken all that was accepted. It waits for no connection, and for nothing before
    /// the caller is [ready](Self::ready).
    ///
    /// Cancel-safe.
    pub async fn flush(&mut self) {
        self.room().await;
        if let State::Stands(standing) = &mut self.state {
            standing.flush().await;
        }
    }

    /// Sends a message ahead of all that waits, on this connection only: to rejoin. It is never kept, has no number,
    /// and leaves when [`next`](Self::next) is polled.
    ///
    /// # Errors
    ///
    /// There is no connection, or it has no room. Nothing has been sent.
    pub fn send_ahead(&mut self, message: impl Into<Message<'static>>) -> Result<(), Unsent> {
        let message = message.into();
        let (reason, message) = match &mut self.state {
            State::Closes(_) | State::Over => (UnsentReason::Over, message),
            State::Waits(_) | State::Dials { .. } => (UnsentReason::Offline, message),
            State::Stands(standing) => match standing.give(message) {
                Ok(()) => return Ok(()),
                Err(unsent) => unsent,
            },
        };
        Err(Unsent { reason, message })
    }

    /// The network is back, or the machine has been asleep. What waits for the next attempt does not wait any more (a
    /// `Retry-After` is kept, and so is a distance of [`Pace::base`](crate::client::Pace::base) from the loss). A
    /// connection that stands is asked by a Ping whether it still does, and it and an attempt that is under way must
    /// give a sign of life within [`Options::probe`].
    ///
    /// It returns at once. What it has begun is done by [`next`](Self::next).
    pub fn wake(&mut self) {
        let now = self.now();
        match &mut self.state {
            State::Waits(until) => *until = self.backoff.wake(now).unwrap_or(*until),
            State::Dials { by, .. } => *by = (*by).min(now + self.options.probe),
            State::Stands(standing) => standing.ask(),
            State::Closes(_) | State::Over => {}
        }
    }

    /// Goes on after [`Event::Ended`] or [`Event::Fatal`], because the caller knows better, or has changed what was
    /// wrong. The next attempt is made after a wait, as after a loss. A client that has not ended goes on as it was.
    pub fn resume(&mut self) {
        if matches!(self.state, State::Over) {
            self.retry(None);
        }
    }

    /// Ends the client, with [`WebSocket::close`] if the connection stands. What that was given leaves first; what
    /// waits stays here, to be [taken](Self::take_queued), unless [`flush`](Self::flush) was called before. Messages
    /// that still come are dropped.
    ///
    /// Cancel-safe: once it has been polled, no other attempt is made. Another call of this or of [`next`](Self::next)
    /// goes on with it.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::close`]; if `code` or `reason` cannot be sent, the client goes on as it was. Without a
    /// connection there are no errors.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        // An earlier call may have been dropped. What it has begun is never taken back.
        let as_it_was = if let State::Closes(_) = self.state { State::Closes } else { State::Stands };
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Stands(standing) | State::Closes(standing) => State::Closes(standing),
            State::Waits(_) | State::Dials { .. } | State::Over => return Ok(()),
        };
        let State::Closes(standing) = &mut self.state else { return Ok(()) };
        let closed = standing.socket.close(code, reason).await;
        let goes_on =
            matches!(closed, Err(Error::Send(SendError::CloseCodeInvalid(_) | SendError::CloseReasonTooLong { .. })));
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Closes(standing) if goes_on => as_it_was(standing),
            _ => State::Over,
        };
        closed
    }

    /// Takes the messages that wait for a connection, in order: to keep them on disk, or after the end.
    pub fn take_queued(&mut self) -> impl Iterator<Item = (Ticket, Message<'static>)> + '_ {
        std::iter::from_fn(|| self.outbox.take()).map(|waiting| (waiting.ticket, waiting.message))
    }

    /// How many messages wait for a connection, or for room in it.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// The connection that stands, to look at: what was agreed, the latency.
    #[must_use]
    pub fn socket(&self) -> Option<&WebSocket<S>> {
        match &self.state {
            State::Stands(standing) | State::Closes(standing) => Some(&standing.socket),
            State::Waits(_) | State::Dials { .. } | State::Over => None,
        }
    }

    /// Waits until all that waited has been given to the connection and there is room for more, or none can be had.
    async fn room(&mut self) {
        if let State::Stands(standing) = &mut self.state {
            let epoch = self.epoch;
            standing.room(&mut self.outbox, || Time::from_epoch(epoch.elapsed())).await;
        }
    }

    fn now(&self) -> Time {
        Time::from_epoch(self.epoch.elapsed())
    }

    /// Waits until this time, or for ever.
    fn poll_alarm(&mut self, at: Option<Time>, cx: &mut Context<'_>) -> Poll<()> {
        // A time beyond what the clock can show is never reached.
        let Some(at) = at.and_then(|at| self.epoch.checked_add(at.since_epoch())) else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(cx)
    }
}

/// `Debug` shows no message.
impl<S> fmt::Debug for Persistent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waits(_) => "waits",
            State::Dials { .. } => "dials",
            State::Stands(_) => "stands",
            State::Closes(_) => "closes",
            State::Over => "over",
        };
        f.debug_struct("Persistent")
            .field("state", &state)
            .field("failures", &self.backoff.failures())
            .field("queued", &self.outbox.len())
            .finish_non_exhaustive()
    }
}
