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
//!  any ──Eof while bytes wait──► Flushing ──Flushed──► Closed  as it would have been
//!  any ──Reset─────────────────────────────────────────────────────────► Closed
//! ```
//!
//! Clean means that both Close frames have been sent: if ours waits when the transport
//! fails or time is over, it was not.

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
    CloseSent {
        by: Time,
    },
    Draining {
        by: Time,
        frame: CloseFrame,
    },
    Failing {
        by: Time,
        error: ProtocolError,
    },
    /// The peer has ended its side, but may take what waits for it. Then it is `closed`.
    Flushing {
        by: Time,
        closed: Closed,
    },
    Closed(Closed),
}

/// What can move a connection on. `by` is when it must be over; `unsent` says that bytes
/// wait, a Close frame of ours the last of them.
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
    Eof {
        by: Time,
        unsent: bool,
    },
    Flushed,
    /// The transport carries nothing any more.
    Reset {
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

            (Phase::Flushing { closed, .. }, Input::Flushed) => Phase::Closed(closed),
            (Phase::Flushing { closed, .. }, Input::Reset { .. }) => Phase::Closed(cut_short(closed, Cause::Eof)),
            (Phase::Flushing { closed, .. }, Input::TimedOut { .. }) => {
                Phase::Closed(cut_short(closed, Cause::CloseTimeout))
            }
            (phase @ (Phase::Flushing { .. } | Phase::Closed(_)), _) => phase,

            (phase, Input::Eof { by, unsent: true }) => {
                let by = phase.deadline().unwrap_or(by);
                Phase::Flushing { by, closed: phase.ended(Cause::Eof) }
            }
            (phase, Input::Eof { unsent: false, .. } | Input::Reset { unsent: false }) => {
                Phase::Closed(phase.ended(Cause::Eof))
            }
            (phase, Input::Reset { unsent: true }) => Phase::Closed(cut_short(phase.ended(Cause::Eof), Cause::Eof)),
            (Phase::Open, Input::PongOverdue) => Phase::Closed(Phase::Open.ended(Cause::PongTimeout)),
            (
                phase @ (Phase::CloseSent { .. } | Phase::Draining { .. } | Phase::Failing { .. }),
                Input::TimedOut { unsent },
            ) => {
                let closed = phase.ended(Cause::CloseTimeout);
                Phase::Closed(if unsent { cut_short(closed, Cause::CloseTimeout) } else { closed })
            }

            // Anything else changes nothing.
            (phase, _) => phase,
        };
    }

    /// How it ended, if it ends here, and by `cause` unless there is a better one.
    fn ended(self, cause: Cause) -> Closed {
        match self {
            Phase::Draining { frame, .. } => Closed { code: frame.code, reason: frame.reason, cause: Cause::Handshake },
            Phase::Failing { error, .. } => abnormal(Cause::Protocol(error)),
            Phase::Flushing { closed, .. } | Phase::Closed(closed) => closed,
            Phase::Open | Phase::CloseSent { .. } => abnormal(cause),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        match self {
            Phase::Open => State::Open,
            Phase::CloseSent { .. } | Phase::Draining { .. } | Phase::Failing { .. } | Phase::Flushing { .. } => {
                State::Closing
            }
            Phase::Closed(_) => State::Closed,
        }
    }

    /// When to give up waiting for the peer, once closing has begun.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Phase::CloseSent { by }
            | Phase::Draining { by, .. }
            | Phase::Failing { by, .. }
            | Phase::Flushing { by, .. } => Some(*by),
            Phase::Open | Phase::Closed(_) => None,
        }
    }
}

/// Our Close frame never left: whatever it was, it was not clean.
fn cut_short(closed: Closed, cause: Cause) -> Closed {
    match closed.cause {
        Cause::Handshake => Closed { cause, ..closed },
        _ => closed,
    }
}

/// §7.1.5: without a Close frame from the peer the code is 1006.
fn abnormal(cause: Cause) -> Closed {
    Closed { code: CloseCode::ABNORMAL, reason: String::new(), cause }
}
