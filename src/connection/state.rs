//! §7: how a connection ends. All transitions stand in [`Phase::on`], and nowhere
//! else is a phase assigned.
//!
//! ```text
//!  Open ──Close queued────► CloseSent ──Close received──► Draining ──Eof, TimedOut──► Closed  clean
//!  Open ──Close received (echo queued)──────────────────► Draining
//!  Open, CloseSent ──Failed (Close queued)──► Failing ──Eof, TimedOut──► Closed  by a protocol error
//!  Open, CloseSent ──Eof────────────────────────────────────────────► Closed  1006
//!  Open ──PongOverdue───────────────────────────────────────────────► Closed  1006
//!  CloseSent ──TimedOut─────────────────────────────────────────────► Closed  1006
//!  Draining ──Eof, TimedOut with our Close unsent, for good─────────► Closed  unclean, the peer's code
//! ```

use alloc::string::String;
use core::mem;

use crate::code::CloseCode;
use crate::error::ProtocolError;
use crate::frame::CloseFrame;
use crate::time::Time;

/// Where a connection stands, as the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// One of the ends has sent a Close frame. Messages of the peer may still
    /// come if it was this end; none may be sent.
    Closing,
    /// It is over, and [`closed`](crate::Connection::closed) says how.
    Closed,
}

/// How a connection ended (§7.1.5, §7.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code in the peer's Close frame; [`NO_STATUS`](CloseCode::NO_STATUS) if
    /// the frame had none, [`ABNORMAL`](CloseCode::ABNORMAL) if there was no frame.
    pub code: CloseCode,
    /// The reason in the peer's Close frame.
    pub reason: String,
    /// What ended it.
    pub cause: Cause,
}

impl Closed {
    /// Whether both ends said goodbye, so that neither can have missed a message
    /// (§7.1.4 calls this *cleanly*).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cause == Cause::Handshake
    }
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The closing handshake (§7.1.2).
    Handshake,
    /// The transport ended, or failed, before a Close frame came, or before ours left.
    Eof,
    /// The peer did not answer our Close frame in time, or did not take it.
    CloseTimeout,
    /// The peer did not answer a Ping in time.
    PongTimeout,
    /// The peer broke the protocol.
    Protocol(ProtocolError),
}

#[derive(Debug)]
pub(crate) enum Phase {
    Open,
    CloseSent { by: Time },
    Draining { by: Time, frame: CloseFrame },
    Failing { by: Time, error: ProtocolError },
    Closed(Closed),
}

/// What can move a connection on. `by` is when the closing handshake must be over.
#[derive(Debug)]
pub(crate) enum Input {
    CloseQueued {
        by: Time,
    },
    CloseReceived {
        by: Time,
        frame: CloseFrame,
    },
    Failed {
        by: Time,
        error: ProtocolError,
    },
    /// `unsent`: bytes waited, our Close frame the last of them, and never will be sent.
    Eof {
        unsent: bool,
    },
    TimedOut {
        unsent: bool,
    },
    PongOverdue,
}

impl Phase {
    pub(crate) fn on(&mut self, input: Input) {
        *self = match (mem::replace(self, Phase::Open), input) {
            (Phase::Open, Input::CloseQueued { by }) => Phase::CloseSent { by },
            (Phase::Open, Input::CloseReceived { by, frame }) => Phase::Draining { by, frame },
            // The time to close runs from our own Close frame, if that came first.
            (Phase::CloseSent { by }, Input::CloseReceived { frame, .. }) => Phase::Draining { by, frame },
            (Phase::Open, Input::Failed { by, error }) => Phase::Failing { by, error },
            (Phase::CloseSent { by }, Input::Failed { error, .. }) => Phase::Failing { by, error },

            // §7.1.4: clean means that both Close frames have been sent.
            (Phase::Draining { frame, .. }, Input::Eof { unsent: true }) => said_goodbye(frame, Cause::Eof),
            (Phase::Draining { frame, .. }, Input::TimedOut { unsent: true }) => {
                said_goodbye(frame, Cause::CloseTimeout)
            }
            (Phase::Draining { frame, .. }, Input::Eof { .. } | Input::TimedOut { .. }) => {
                said_goodbye(frame, Cause::Handshake)
            }
            (Phase::Failing { error, .. }, Input::Eof { .. } | Input::TimedOut { .. }) => {
                abnormal(Cause::Protocol(error))
            }
            (Phase::Open | Phase::CloseSent { .. }, Input::Eof { .. }) => abnormal(Cause::Eof),
            (Phase::CloseSent { .. }, Input::TimedOut { .. }) => abnormal(Cause::CloseTimeout),
            (Phase::Open, Input::PongOverdue) => abnormal(Cause::PongTimeout),

            // Anything else changes nothing.
            (phase, _) => phase,
        };
    }

    pub(crate) fn state(&self) -> State {
        match self {
            Phase::Open => State::Open,
            Phase::CloseSent { .. } | Phase::Draining { .. } | Phase::Failing { .. } => State::Closing,
            Phase::Closed(_) => State::Closed,
        }
    }

    /// When to give up waiting for the peer, once closing has begun.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Phase::CloseSent { by } | Phase::Draining { by, .. } | Phase::Failing { by, .. } => Some(*by),
            Phase::Open | Phase::Closed(_) => None,
        }
    }
}

/// §7.1.5: the code and reason are those of the peer's Close frame.
fn said_goodbye(frame: CloseFrame, cause: Cause) -> Phase {
    Phase::Closed(Closed { code: frame.code, reason: frame.reason, cause })
}

/// §7.1.5: without a Close frame from the peer the code is 1006.
fn abnormal(cause: Cause) -> Phase {
    Phase::Closed(Closed { code: CloseCode::ABNORMAL, reason: String::new(), cause })
}
