//! The opening handshake (§4) as a connection sees it: it takes bytes, and appends bytes to the connection's
//! queue. The module `handshake` implements it. The connection keeps the deadline, and does not know the rules of
//! the handshake.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::HandshakeError;
use crate::http::{Accept, Request, Response};
use crate::upgrade::Upgrade;

/// One end's opening handshake. It appends what it sends to `out`. It is dropped after an error, and when it is
/// done.
pub(crate) trait Opening: fmt::Debug + Send + Sync {
    /// Takes bytes off the front of `input`. `Ok(None)` means that more is needed.
    fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError>;

    /// The peer has ended its side. `None` if its request is complete, and waits for a decision.
    fn handle_eof(&mut self, out: &mut Vec<u8>) -> Option<HandshakeError>;

    /// The time for the opening handshake is over.
    fn handle_timeout(&mut self, out: &mut Vec<u8>) -> HandshakeError;

    /// The request that waits for a decision.
    fn request(&self) -> Option<&Request> {
        None
    }

    /// How many bytes that follow the request are kept until the decision.
    fn max_held(&self) -> usize {
        0
    }

    /// Refuses the request that waits for a decision, because of `error`.
    fn refuse(&mut self, error: HandshakeError, _out: &mut Vec<u8>) -> HandshakeError {
        error
    }

    /// Accepts the request. After an error the request still waits for a decision.
    fn accept(&mut self, _answer: Accept, _out: &mut Vec<u8>) -> Result<Upgrade, HandshakeError> {
        Err(HandshakeError::NothingToDecide)
    }

    /// Rejects the request with this answer. Returns the error with which the handshake has failed.
    fn reject(&mut self, _response: Response, _out: &mut Vec<u8>) -> HandshakeError {
        HandshakeError::NothingToDecide
    }

    /// Takes out the server's answer: a 101, or another answer with as much of its body as has come.
    fn take_response(&mut self) -> Option<Box<Response>> {
        None
    }
}

/// The result of bytes that an opening handshake has taken.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The request is complete and valid, and waits for a decision.
    Request,
    /// The other end has agreed.
    Agreed(Upgrade),
}
