//! What an opening handshake (§4) is to a connection: it takes bytes and appends its own to the one
//! queue of the connection, which has the deadline, the end of the transport and what follows.
//! `handshake` has them; a connection does not know which, nor how they go.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::HandshakeError;
use crate::http::{Accept, Request, Response};
use crate::upgrade::Upgrade;

/// One end's opening handshake. `out` is where it appends what to send. After an error, and when it
/// is done, it is dropped.
pub(crate) trait Opening: fmt::Debug + Send + Sync {
    /// Takes bytes off the front of `input`. `Ok(None)`: more is to come.
    fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError>;

    /// The peer has ended its side. `None`: what it said is complete, and waits for a decision.
    fn handle_eof(&mut self, out: &mut Vec<u8>) -> Option<HandshakeError>;

    /// Time is over.
    fn handle_timeout(&mut self, out: &mut Vec<u8>) -> HandshakeError;

    /// The request that waits for a decision.
    fn request(&self) -> Option<&Request> {
        None
    }

    /// How many bytes behind the request are kept until the decision.
    fn max_held(&self) -> usize {
        0
    }

    /// Answers a request that waits for a decision with the refusal that `error` stands for.
    fn refuse(&mut self, error: HandshakeError, _out: &mut Vec<u8>) -> HandshakeError {
        error
    }

    /// Accepts the request. After an error it still waits.
    fn accept(&mut self, _answer: Accept, _out: &mut Vec<u8>) -> Result<Upgrade, HandshakeError> {
        Err(HandshakeError::NothingToDecide)
    }

    /// Answers the request with something else than a WebSocket. Returns what it has failed with then.
    fn reject(&mut self, _response: Response, _out: &mut Vec<u8>) -> HandshakeError {
        HandshakeError::NothingToDecide
    }

    /// The server's answer, taken out: a 101, or a refusal with as much of its body as came.
    fn take_response(&mut self) -> Option<Box<Response>> {
        None
    }
}

/// What an opening handshake has come to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The request is complete and in order, and waits for a decision.
    Request,
    /// The other end has agreed.
    Agreed(Upgrade),
}
