//! A connection of the client that comes back, while it stands (feature `client`): what it was given, whether it takes
//! more, and whether its peer is asked for a sign of life.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openline::tokio::WebSocket;
use openline::{Config, Error, Keepalive, Message, SendError, Time};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::outbox::{Given, Outbox, Ticket, UnsentReason, Waiting};
use crate::verdict::Why;

pub(crate) struct Standing<S> {
    pub(crate) socket: WebSocket<S>,
    sending: Sending,
    given: Given,
    probe: Probe,
}

/// Whether messages may be sent.
enum Sending {
    /// The caller has not rejoined.
    NotYet,
    Yes,
    /// Not any more: the connection has failed with this error, or it is closing. Messages may still come.
    NoMore(Option<Error>),
}

/// Whether a Ping must be answered in a shorter time than usual.
enum Probe {
    No,
    Asked,
    /// Until this time. Then this keepalive holds again, which is the caller's.
    Until(Time, Option<Keepalive>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Standing<S> {
    pub(crate) fn new(socket: WebSocket<S>) -> Standing<S> {
        Standing { socket, sending: Sending::NotYet, given: Given::default(), probe: Probe::No }
    }

    /// Sends what waits, and waits for a message, or for why no more will come.
    pub(crate) fn poll(
        &mut self,
        outbox: &mut Outbox,
        probe: Duration,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Message<'static>, Why>> {
        self.handle_probe(probe, now);
        loop {
            self.feed(outbox, now);
            let received = pin!(self.socket.recv()).poll(cx);
            match received {
                Poll::Ready(Ok(Some(message))) => return Poll::Ready(Ok(message)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(self.why())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Why::Failed(error))),
                // The socket has written meanwhile, and may have room again.
                Poll::Pending if self.is_sending() && !outbox.is_empty() && self.socket.has_room() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Why the connection is over.
    fn why(&mut self) -> Why {
        if let Sending::NoMore(Some(_)) = &self.sending
            && let Sending::NoMore(Some(error)) = std::mem::replace(&mut self.sending, Sending::NoMore(None))
        {
            return Why::Failed(error);
        }
        match self.socket.closed() {
            Some(closed) => Why::Closed(closed.clone()),
            None => Why::Failed(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// The caller has rejoined.
    pub(crate) fn ready(&mut self) {
        if let Sending::NotYet = self.sending {
            self.sending = Sending::Yes;
        }
    }

    fn is_sending(&self) -> bool {
        matches!(self.sending, Sending::Yes)
    }

    /// The messages that the connection was given.
    pub(crate) fn given(&self) -> Range<Ticket> {
        self.given.range()
    }

    /// Gives the connection a message that has a number, behind all that waits; or gives it back, and says why.
    pub(crate) fn send(
        &mut self,
        message: Message<'static>,
        outbox: &mut Outbox,
        now: Time,
    ) -> Result<Ticket, (UnsentReason, Message<'static>)> {
        self.feed(outbox, now);
        match self.sending {
            Sending::Yes if outbox.is_empty() => {
                self.give(message)?;
                let ticket = outbox.number();
                self.given.note(ticket);
                Ok(ticket)
            }
            Sending::Yes => Err((UnsentReason::Full, message)),
            Sending::NotYet | Sending::NoMore(_) => Err((UnsentReason::Offline, message)),
        }
    }

    /// Gives the connection a message, or gives it back, and says why.
    pub(crate) fn give(&mut self, message: Message<'static>) -> Result<(), (UnsentReason, Message<'static>)> {
        self.socket.try_feed(message).map_err(|unsent| match unsent.error {
            SendError::Full => (UnsentReason::Full, unsent.message),
            error => {
                self.fail(error.into());
                (UnsentReason::Offline, unsent.message)
            }
        })
    }

    /// Gives the connection what waits, as far as it has room, but for what is too old.
    fn feed(&mut self, outbox: &mut Outbox, now: Time) {
        while self.is_sending()
            && self.socket.has_room()
            && let Some(Waiting { ticket, message, until }) = outbox.take_to_send(now)
        {
            match self.give(message) {
                Ok(()) => self.given.note(ticket),
                Err((_, message)) => return outbox.put_back(Waiting { ticket, message, until }),
            }
        }
    }

    /// Waits until all that waits has been given to the connection and there is room for more, or none can be had.
    pub(crate) async fn room(&mut self, outbox: &mut Outbox, clock: impl Fn() -> Time) {
        loop {
            self.feed(outbox, clock());
            if !self.is_sending() || outbox.is_empty() && self.socket.has_room() {
                return;
            }
            if let Err(error) = self.socket.ready().await {
                self.fail(error);
            }
        }
    }

    /// Waits until the transport has taken all that it was given.
    pub(crate) async fn flush(&mut self) {
        if let Err(error) = self.socket.flush().await {
            self.fail(error);
        }
    }

    /// The connection takes no more. [`poll`](Self::poll) says so when all that has come is taken.
    fn fail(&mut self, error: Error) {
        let error = Some(error).filter(|error| !error.is_closed());
        match &mut self.sending {
            Sending::NoMore(Some(_)) => {}
            sending => *sending = Sending::NoMore(error),
        }
    }

    /// The peer is to be asked for a sign of life, unless that is done already.
    pub(crate) fn ask(&mut self) {
        if let Probe::No = self.probe {
            self.probe = Probe::Asked;
        }
    }

    /// When [`poll`](Self::poll) is to be called again in any case.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.probe {
            Probe::No | Probe::Asked => None,
            Probe::Until(until, _) => Some(until),
        }
    }

    /// A keepalive that begins anew sends a Ping at once, and ends the connection if that is not answered in time. It
    /// holds for twice that time, so that the one Ping is judged by it.
    fn handle_probe(&mut self, probe: Duration, now: Time) {
        match self.probe {
            Probe::Asked => {
                let usual = self.socket.connection().config().keepalive;
                let (interval, timeout) =
                    usual.map_or((probe, probe), |usual| (usual.interval, usual.timeout.min(probe)));
                self.set_keepalive(None);
                self.set_keepalive(Some(Keepalive::new(interval, timeout)));
                self.probe = Probe::Until(now + probe + probe, usual);
            }
            Probe::Until(until, usual) if now >= until => {
                self.set_keepalive(usual);
                self.probe = Probe::No;
            }
            Probe::No | Probe::Until(..) => {}
        }
    }

    fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        let mut config: Config = *self.socket.connection().config();
        config.keepalive = keepalive;
        self.socket.set_config(config);
    }
}
