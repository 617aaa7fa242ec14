//! Where a join begins to read, and what must be known before that.

use crate::delivery::Start;
use crate::phase::{Phase, Step};
use crate::position::Position;
use crate::topic::State;

impl<M> State<M> {
    /// Where a join begins to read: where the log stands, whether nothing is gone, and the offset to read next.
    pub(crate) fn begin(&self, start: Start) -> (Position, bool, u64) {
        let (at, kept) = (self.log.position(), self.log.kept());
        match start {
            Start::Now => (at, true, at.offset + 1),
            Start::Oldest => (at, kept == 1, kept),
            Start::After(Position { epoch, offset }) if epoch == at.epoch && offset <= at.offset => {
                (at, offset + 1 >= kept, (offset + 1).max(kept))
            }
            Start::After(_) => (at, false, kept),
        }
    }

    /// Whether a join must wait for a read of the engine's log, if so many had begun when it came.
    ///
    /// The copy here may be behind the one of another node, at which the client was before. So a position beyond its end
    /// is no reason for an answer: only the engine knows its log's end, and only if it is asked after the join.
    pub(crate) fn must_wait(&self, start: Start, begun: u64) -> bool {
        let log = self.log.position();
        match (&self.phase, start) {
            (Phase::Local, _) => false,
            (Phase::Live | Phase::Again(_), Start::After(after)) => {
                let is_known = self.reads.answered > begun && self.reads.end < after.offset;
                after.epoch == log.epoch && after.offset > log.offset && !is_known
            }
            (Phase::Live | Phase::Again(_), _) => false,
            (Phase::Idle | Phase::Loading { .. }, _) => true,
        }
    }

    /// Has the log read for joins that wait, if so many reads had begun when the last of them came. Returns whether the
    /// hub must be told.
    pub(crate) fn look(&mut self, begun: u64) -> bool {
        match &mut self.phase {
            Phase::Idle => self.phase = Phase::Loading { until: None, step: Step::Wanted },
            Phase::Live if self.reads.begun <= begun => self.phase = Phase::Again(Step::Wanted),
            Phase::Again(Step::Asked(held)) => {
                held.missing |= self.reads.begun <= begun;
                return false;
            }
            _ => return false,
        }
        true
    }
}
