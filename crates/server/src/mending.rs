//! Rot that was met by reading, while the node is well otherwise: it opens its files anew, and makes good what was met.
//!
//! Whoever reads tells it here at once: a caller's question, the scrub, an audit, a member that is sent the journal. What
//! is derived from the journal is made again from it; the journal itself comes from the others.
//!
//! A node that is the only member has nobody who could give it a record of its journal again, and would lose with its
//! service what its checkpoint still holds. It says so and goes on.

use crate::config::NodeError;
use crate::gauges::Gauges;
use replica::Met;
use std::sync::Arc;
use storage::{Part, StorageError};
use tokio::sync::mpsc;
use tracing::error;

/// What becomes of rot that nobody can mend.
pub(crate) const BEYOND_REPAIR: &str =
    "this node is the group's only one, so nobody has a good copy: balances are right, that part of the history is not";

/// Whether a group of so many members can never make a part good again: the journal comes from the others.
pub(crate) fn is_beyond_repair(part: Part, members: usize) -> bool {
    part == Part::Journal && members <= 1
}

/// Where it is told. A clone is another handle of the same.
#[derive(Clone, Debug)]
pub(crate) struct Mending {
    gauges: Arc<Gauges>,
    failed: mpsc::Sender<NodeError>,
}

impl Mending {
    pub(crate) fn new(gauges: Arc<Gauges>, failed: mpsc::Sender<NodeError>) -> Self {
        Self { gauges, failed }
    }

    /// Something could not be read. Whatever is not rot in what can be made again concerns only whoever read it.
    pub(crate) fn tell(&self, found: &StorageError) {
        if let Some(part) = found.rotten_part() {
            self.begin(Met { part, what: found.to_string() });
        }
    }

    /// The same of a part of the disk that must be readable: without it the node cannot go on.
    pub(crate) fn must(&self, found: &StorageError) {
        if found.is_rot() {
            return self.tell(found);
        }
        let _ = self.failed.try_send(NodeError::of_storage(found));
    }

    /// Has what was met made good.
    pub(crate) fn begin(&self, met: Met) {
        let Met { part, what } = met;
        match part {
            part if is_beyond_repair(part, self.gauges.group().members.len()) => {
                self.gauges.rot.note_beyond_repair(part.name(), &what, BEYOND_REPAIR);
            }
            Part::Journal | Part::Store | Part::Ids => {
                error!(event = "rot_met", part = part.name(), what = %what);
                // A full channel means that the node is ending for another reason already.
                let _ = self.failed.try_send(NodeError::Rotten { part, what });
            }
            // The log mends itself at the next start, and another node is asked meanwhile.
            Part::Log | Part::Identity => self.gauges.rot.note_unreadable(part.name(), &what),
        }
    }
}
