//! The opening handshake (§4) of a connection. It uses the connection's queue, deadline and end.

use alloc::boxed::Box;

use super::event::Event;
use super::state::{Cause, Input, Phase};
use super::{Agreed, Answer, Connection};
use crate::error::{Fault, HandshakeError};
use crate::http::{Accept, Request, Response};
use crate::opening::Opened;
use crate::role::Role;
use crate::time::Time;

impl Connection {
    /// The request that waits for [`accept`](Self::accept) or [`reject`](Self::reject), from
    /// [`Event::Request`] on.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        match &self.phase {
            Phase::Opening(begun) => begun.opening.request(),
            _ => None,
        }
    }

    /// In a client, the answer of the server: a 101, or another answer with as much of its body as has come and
    /// [`HandshakeConfig::max_body`](crate::HandshakeConfig::max_body) allows.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        self.agreed.as_ref()?.response.as_deref()
    }

    /// Accepts the request. The 101 is queued, and messages may be sent after it at once. It must leave within the
    /// time of the opening handshake.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::NothingToDecide`] if no request waits, and
    /// [`HandshakeError::TimedOut`] if the time for the opening handshake is over; then the client is answered with
    /// 408. [`HandshakeError::SubprotocolNotOffered`] if `answer` has such a subprotocol; then the request still
    /// waits.
    ///
    /// ```
    /// use openline::{Accept, Connection, Event, Response, Server, Time};
    ///
    /// # let mut bytes = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    /// #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
    /// # let mut input = &mut bytes[..];
    /// # let now = Time::ZERO;
    /// let mut connection = Connection::server(&Server::default(), now);
    /// while let Some(event) = connection.receive(&mut input, now)? {
    ///     if let (Event::Request, Some(request)) = (event, connection.request()) {
    ///         match request.path() {
    ///             "/chat" => connection.accept(Accept::default(), now)?,
    ///             _ => connection.reject(Response::new(404), now)?,
    ///         }
    ///     }
    /// }
    /// connection.send("Welcome")?;
    /// # assert!(connection.next_transmit().unwrap().ends_with(b"\r\n\r\n\x81\x07Welcome"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept(&mut self, answer: Accept, now: Time) -> Result<(), HandshakeError> {
        let Phase::Opening(begun) = &mut self.phase else { return Err(HandshakeError::NothingToDecide) };
        if begun.opening.request().is_none() {
            return Err(HandshakeError::NothingToDecide);
        }
        let (by, eof) = (begun.by, begun.eof);
        if by <= now {
            self.opening_timed_out(now);
            return Err(HandshakeError::TimedOut);
        }
        let upgrade = begun.opening.accept(answer, self.out.run(0))?;
        self.begin(upgrade, None, now);
        self.phase.on(Input::Opened);
        self.cold().answer = Some(Answer { end: self.out.written(), by });
        self.forget_request(now);
        if eof {
            self.handle_eof(now);
        }
        Ok(())
    }

    /// Rejects the request with this answer. When the answer has left, the writing side of the transport is shut down,
    /// and the connection waits until the client ends its side too, so that no reset destroys the answer. All of it
    /// has the time of the opening handshake.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::NothingToDecide`] if no request waits, and
    /// [`HandshakeError::TimedOut`] as for [`accept`](Self::accept).
    pub fn reject(&mut self, response: Response, now: Time) -> Result<(), HandshakeError> {
        let Phase::Opening(begun) = &mut self.phase else { return Err(HandshakeError::NothingToDecide) };
        if begun.opening.request().is_none() {
            return Err(HandshakeError::NothingToDecide);
        }
        if begun.by <= now {
            self.opening_timed_out(now);
            return Err(HandshakeError::TimedOut);
        }
        let error = begun.opening.reject(response, self.out.run(0));
        self.opening_failed(error, None, now);
        Ok(())
    }

    /// Whether a request waits for a decision.
    pub(super) fn is_deciding(&self) -> bool {
        matches!(&self.phase, Phase::Opening(begun) if begun.opening.request().is_some())
    }

    /// Takes bytes of the opening handshake.
    pub(super) fn receive_opening(&mut self, input: &mut &[u8], now: Time) -> Result<Option<Event<'static>>, Fault> {
        let held = self.held();
        let Phase::Opening(begun) = &mut self.phase else { return Ok(None) };
        let opening = &mut begun.opening;
        if opening.request().is_some() {
            // §4.1: a client must wait for the answer. Bytes that come before it are held, up to a limit.
            let most = opening.max_held();
            if input.len() > most.saturating_sub(held) {
                *input = &[];
                let error = opening.refuse(HandshakeError::HeadTooLarge { limit: most }, self.out.run(0));
                return Err(self.opening_failed(error, None, now).into());
            }
            self.hold_within(input, most);
            *input = &[];
            return Ok(None);
        }
        match opening.receive(input, self.out.run(0)) {
            Ok(None) => Ok(None),
            Ok(Some(Opened::Request)) => Ok(Some(Event::Request)),
            Ok(Some(Opened::Agreed(upgrade))) => {
                let response = opening.take_response();
                self.begin(upgrade, response, now);
                self.phase.on(Input::Opened);
                Ok(Some(Event::Opened))
            }
            Err(error) => {
                *input = &[];
                Err(self.opening_failed(error, None, now).into())
            }
        }
    }

    /// The peer has ended its side during the opening handshake.
    pub(super) fn opening_eof(&mut self, now: Time) {
        let Phase::Opening(begun) = &mut self.phase else { return };
        begun.eof = true;
        if let Some(error) = begun.opening.handle_eof(self.out.run(0)) {
            self.opening_failed(error, None, now);
        }
    }

    /// The transport has failed during the opening handshake.
    pub(super) fn opening_reset(&mut self) {
        self.clear_out();
        let Phase::Opening(begun) = &mut self.phase else { return };
        // The error is the same as after an ordinary end of the transport. But nobody gets an answer.
        let error = begun.opening.handle_eof(self.out.run(0)).unwrap_or(HandshakeError::UnexpectedEof);
        self.out.clear();
        self.opening_failed(error, None, Time::ZERO);
    }

    /// The time for the opening handshake is over. The answer is offered to the transport once, without waiting.
    pub(super) fn opening_timed_out(&mut self, now: Time) -> HandshakeError {
        let Phase::Opening(begun) = &mut self.phase else { return HandshakeError::TimedOut };
        let error = begun.opening.handle_timeout(self.out.run(0));
        self.opening_failed(error, Some(now), now)
    }

    /// The opening handshake has failed. The answer, if there is one, is queued, and must leave until `by`, or else
    /// within the time of the opening handshake.
    fn opening_failed(&mut self, error: HandshakeError, by: Option<Time>, now: Time) -> HandshakeError {
        let ended = self.has_ended();
        let Phase::Opening(begun) = &mut self.phase else { return error };
        let (by, eof) = (by.unwrap_or(begun.by), begun.eof || ended);
        if let Some(response) = begun.opening.take_response() {
            self.agreed = Some(Box::new(Agreed { response: Some(response), ..Agreed::default() }));
        }
        self.ahead = None;
        self.phase.on(match self.role {
            // There is an answer, which must reach the client.
            Role::Server if !self.out.is_empty() => Input::Failed { by, fault: Fault::Opening(error) },
            _ => Input::Dead(Cause::Opening(error)),
        });
        if self.role == Role::Client {
            self.clear_out();
        }
        if eof {
            self.handle_eof(now);
        }
        error
    }
}
