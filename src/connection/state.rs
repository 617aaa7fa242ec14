//! §4 and §7: how a connection opens and how it ends. All transitions stand in [`Phase::on`]; no other code sets the
//! phase.
//!
#![doc = include_str!("states.md")]

use alloc::boxed::Box;
use alloc::string::String;
use core::mem;

use crate::code::CloseCode;
use crate::error::{Fault, HandshakeError};
use crate::frame::CloseFrame;
use crate::opening::Opening;
use crate::time::Time;

/// Where a connection stands, as the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The opening handshake is not over.
    Opening,
    /// Messages go both ways.
    Open,
    /// An end has sent a Close frame, or no frame can be sent any more. The peer's messages may still come; this end
    /// can send none.
    Closing,
    /// The connection is over. [`closed`](crate::Connection::closed) says how it ended.
    Closed,
}

/// How a connection ended (§7.1.5, §7.1.6).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The code in the peer's Close frame. It is [`NO_STATUS`](CloseCode::NO_STATUS) if the frame had no code, and
    /// [`ABNORMAL`](CloseCode::ABNORMAL) if there was no frame.
    pub code: CloseCode,
    /// The reason in the peer's Close frame, or an empty text.
    pub reason: String,
    /// What ended the connection.
    pub cause: Cause,
}

impl Closed {
    /// Whether both ends have sent a Close frame, so that neither can have missed a message (§7.1.4: *cleanly*).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cause == Cause::Clean
    }
}

/// `Debug` shows only the length of the reason, which is the peer's text.
impl core::fmt::Debug for Closed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Closed { code, reason, cause } = self;
        write!(f, "Closed({code:?}, reason of {} bytes, {cause:?})", reason.len())
    }
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Both ends have sent their Close frames (§7.1.4: closed *cleanly*).
    Clean,
    /// The transport ended or failed before the peer's Close frame came, or before ours left.
    Eof,
    /// The peer did not answer our Close frame in time, or did not take it.
    CloseTimeout,
    /// The peer did not answer a Ping in time.
    PongTimeout,
    /// The peer took nothing for [`stall_timeout`](crate::Config::stall_timeout), while something waited for it.
    StallTimeout,
    /// The opening handshake failed.
    Opening(HandshakeError),
    /// The peer broke the protocol.
    Protocol(crate::error::ProtocolError),
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Cause {
        match fault {
            Fault::Opening(error) => Cause::Opening(error),
            Fault::Protocol(error) => Cause::Protocol(error),
        }
    }
}

/// Where a connection stands, see the diagram. `by` is when the phase must be over.
///
/// What a phase needs besides is boxed, since most connections are open most of the time.
#[derive(Debug)]
pub(crate) enum Phase {
    Opening(Box<Begun<dyn Opening>>),
    Open,
    CloseSent {
        by: Time,
    },
    /// The peer's Close frame has come. If nothing else happens, the connection ends as `closed` says.
    Draining {
        by: Time,
        closed: Box<Closed>,
    },
    Failing {
        by: Time,
        failed: Box<Failed>,
    },
    /// The transport takes nothing any more. What the peer has sent is still received, since it may have the reason
    /// for the failure.
    ReadOnly {
        by: Time,
    },
    /// The peer has ended its side, but may still take bytes that wait. After that the connection has ended as
    /// `closed` says.
    Flushing {
        by: Time,
        closed: Box<Closed>,
    },
    /// It is over, in the middle of what the peer says: the transport has failed, the peer was given up, or the time to
    /// close is over. What was read before that is still looked at: an application that was busy loses no message by
    /// it.
    CutOff(Box<Closed>),
    Closed(Box<Closed>),
}

/// An opening handshake that is under way.
#[derive(Debug)]
pub(crate) struct Begun<O: ?Sized> {
    /// When it must be over.
    pub(crate) by: Time,
    /// Whether the peer has ended its side; its request waits for a decision.
    pub(crate) eof: bool,
    pub(crate) opening: O,
}

/// How this end has failed the connection.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) fault: Fault,
    /// How many bytes have come since.
    pub(crate) ignored: usize,
}

/// What can change the phase. `by` is when the new phase must be over. `unsent` says that our answer or Close frame has
/// not left.
#[derive(Debug)]
pub(crate) enum Input {
    Opened,
    CloseQueued {
        by: Time,
    },
    CloseReceived {
        by: Time,
        frame: CloseFrame,
    },
    Failed {
        by: Time,
        fault: Fault,
    },
    Eof {
        by: Time,
        unsent: bool,
    },
    Flushed,
    /// The transport takes nothing any more.
    WriteFailed {
        by: Time,
        unsent: bool,
    },
    /// The transport carries nothing any more.
    Reset {
        unsent: bool,
    },
    TimedOut {
        unsent: bool,
    },
    /// The peer has given no sign of life for too long.
    Dead(Cause),
}

impl Phase {
    pub(crate) fn on(&mut self, input: Input) {
        use Phase::*;
        *self = match (mem::replace(self, Open), input) {
            (Opening(_), Input::Opened) => Open,
            // There is no answer to send, so there is nothing to wait for.
            (Opening(_), Input::Dead(cause)) => Closed(abnormal(cause)),

            (Open, Input::CloseQueued { by }) => CloseSent { by },
            (Open, Input::CloseReceived { by, frame }) => Draining { by, closed: said(frame, Cause::Clean) },
            // If our own Close frame came first, the time to close counts from it.
            (CloseSent { by }, Input::CloseReceived { frame, .. }) => {
                Draining { by, closed: said(frame, Cause::Clean) }
            }
            (ReadOnly { .. }, Input::CloseReceived { frame, .. }) => Closed(said(frame, Cause::Eof)),
            (Opening(_) | Open, Input::Failed { by, fault }) => {
                Failing { by, failed: Box::new(Failed { fault, ignored: 0 }) }
            }
            (CloseSent { by }, Input::Failed { fault, .. }) => {
                Failing { by, failed: Box::new(Failed { fault, ignored: 0 }) }
            }
            (ReadOnly { .. }, Input::Failed { fault, .. }) => Closed(abnormal(fault.into())),

            (Open, Input::WriteFailed { by, .. }) => ReadOnly { by },
            (CloseSent { by }, Input::WriteFailed { unsent: true, .. }) => ReadOnly { by },
            (phase @ Draining { .. }, Input::WriteFailed { unsent: true, .. }) => {
                Closed(cut_short(phase.ended(Cause::Eof), Cause::Eof))
            }
            (phase @ Failing { .. }, Input::WriteFailed { .. }) => Closed(phase.ended(Cause::Eof)),

            // These were read before the end, and are looked at only now.
            (CutOff(closed), Input::CloseReceived { frame, .. }) => Closed(said(frame, closed.cause)),
            (CutOff(_), Input::Failed { fault, .. }) => Closed(abnormal(fault.into())),
            (phase @ CutOff(_), _) => phase,

            (Flushing { closed, .. }, Input::Flushed) => Closed(closed),
            (Flushing { closed, .. }, Input::Reset { .. } | Input::WriteFailed { .. }) => {
                Closed(cut_short(closed, Cause::Eof))
            }
            (Flushing { closed, .. }, Input::Dead(cause)) => Closed(cut_short(closed, cause)),
            (Flushing { closed, .. }, Input::TimedOut { .. }) => Closed(cut_short(closed, Cause::CloseTimeout)),
            (phase @ (Flushing { .. } | Closed(_)), _) => phase,

            // Neither direction works any more.
            (phase @ ReadOnly { .. }, Input::Eof { .. }) => Closed(phase.ended(Cause::Eof)),
            (phase, Input::Eof { by, unsent: true }) => {
                let by = phase.close_deadline().unwrap_or(by);
                Flushing { by, closed: phase.ended(Cause::Eof) }
            }
            (phase @ (Open | CloseSent { .. } | ReadOnly { .. }), Input::Reset { .. }) => {
                CutOff(phase.ended(Cause::Eof))
            }
            (phase, Input::Eof { unsent: false, .. } | Input::Reset { unsent: false }) => {
                Closed(phase.ended(Cause::Eof))
            }
            (phase, Input::Reset { unsent: true }) => Closed(cut_short(phase.ended(Cause::Eof), Cause::Eof)),
            (Open | CloseSent { .. } | ReadOnly { .. }, Input::Dead(cause)) => CutOff(abnormal(cause)),
            (phase @ Draining { .. }, Input::Dead(cause)) => Closed(cut_short(phase.ended(cause), cause)),
            // The fault came first, and is why it ends.
            (phase @ Failing { .. }, Input::Dead(cause)) => Closed(phase.ended(cause)),
            (ReadOnly { .. }, Input::TimedOut { .. }) => CutOff(abnormal(Cause::Eof)),
            (CloseSent { .. }, Input::TimedOut { .. }) => CutOff(abnormal(Cause::CloseTimeout)),
            (phase @ (Draining { .. } | Failing { .. }), Input::TimedOut { unsent }) => {
                let closed = phase.ended(Cause::CloseTimeout);
                Closed(if unsent { cut_short(closed, Cause::CloseTimeout) } else { closed })
            }

            // Anything else changes nothing.
            (phase, _) => phase,
        };
    }

    /// How the connection ended if it ends in this phase. `cause` is used if the phase has no cause of its own.
    fn ended(self, cause: Cause) -> Box<Closed> {
        match self {
            Phase::Failing { failed, .. } => abnormal(failed.fault.into()),
            Phase::Draining { closed, .. }
            | Phase::Flushing { closed, .. }
            | Phase::CutOff(closed)
            | Phase::Closed(closed) => closed,
            Phase::Opening(_) => abnormal(Cause::Opening(HandshakeError::UnexpectedEof)),
            Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. } => abnormal(cause),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        match self {
            Phase::Opening(_) => State::Opening,
            Phase::Open => State::Open,
            Phase::CloseSent { .. }
            | Phase::Draining { .. }
            | Phase::Failing { .. }
            | Phase::ReadOnly { .. }
            | Phase::Flushing { .. } => State::Closing,
            Phase::CutOff(_) | Phase::Closed(_) => State::Closed,
        }
    }

    /// Whether messages may be sent.
    #[inline]
    pub(crate) fn may_send(&self) -> bool {
        matches!(self, Phase::Open)
    }

    /// Whether frames of the peer are received.
    #[inline]
    pub(crate) fn may_receive(&self) -> bool {
        matches!(self, Phase::Open | Phase::CloseSent { .. } | Phase::ReadOnly { .. })
    }

    /// Whether frames that were read before are decoded.
    pub(crate) fn may_look(&self) -> bool {
        self.may_receive() || matches!(self, Phase::CutOff(_))
    }

    /// When a closing phase must be over.
    pub(crate) fn close_deadline(&self) -> Option<Time> {
        match self {
            Phase::CloseSent { by }
            | Phase::Draining { by, .. }
            | Phase::Failing { by, .. }
            | Phase::ReadOnly { by }
            | Phase::Flushing { by, .. } => Some(*by),
            Phase::Opening(_) | Phase::Open | Phase::CutOff(_) | Phase::Closed(_) => None,
        }
    }

    /// When the phase must be over, if it has a time limit of its own.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Phase::Open | Phase::Closed(_) => None,
            Phase::Opening(begun) => Some(begun.by),
            closing => closing.close_deadline(),
        }
    }

    /// Moves the end of the time to close to `later`.
    pub(crate) fn put_off(&mut self, later: Time) {
        match self {
            // The time limit of the opening handshake is never moved.
            Phase::Flushing { closed, .. } if matches!(closed.cause, Cause::Opening(_)) => {}
            Phase::Failing { failed, .. } if matches!(failed.fault, Fault::Opening(_)) => {}
            Phase::Draining { by, .. } | Phase::Failing { by, .. } | Phase::Flushing { by, .. } => *by = later.max(*by),
            _ => {}
        }
    }
}

/// Our Close frame never left, so the end is not clean; then `cause` is the cause.
fn cut_short(mut closed: Box<Closed>, cause: Cause) -> Box<Closed> {
    if closed.cause == Cause::Clean {
        closed.cause = cause;
    }
    closed
}

/// §7.1.5, §7.1.6: the code and the reason are those of the peer's Close frame.
fn said(frame: CloseFrame, cause: Cause) -> Box<Closed> {
    Box::new(Closed { code: frame.code, reason: frame.reason, cause })
}

/// §7.1.5: without a Close frame from the peer the code is 1006.
pub(super) fn abnormal(cause: Cause) -> Box<Closed> {
    Box::new(Closed { code: CloseCode::ABNORMAL, reason: String::new(), cause })
}
