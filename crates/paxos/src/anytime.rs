//! The policies taken out, for the model checker (feature `anytime`).
//!
//! Safety never depends on who stands and when. So the checker does not play clocks, heartbeats and moods, which would
//! make endless states that differ in nothing that matters: it lets any node stand at any moment, which is more than
//! any policy would ever do, and sets back what only policies look at.

use crate::config::Now;
use crate::effects::Effects;
use crate::ids::{Ballot, Slot};
use crate::paxos::Paxos;
use crate::trust::{Kept, Trust};
use crate::turns::Turns;

impl Paxos {
    /// This node stands now, whoever leads and whether or not anybody answers it.
    pub fn stand_anytime(&mut self, now: Now, fx: &mut Effects) {
        self.enter(now);
        if self.may_stand() {
            self.stand(fx);
        }
        self.settle(fx);
    }

    /// A node that starts binds itself without asking what its peers remember: its disk is known to be its own.
    pub fn trust_disk(&mut self) {
        if matches!(self.trust, Trust::Asking { .. }) {
            self.trust = Trust::Sure;
        }
    }

    /// Sets back what is only rumour: moods, turns, and what peers would be told if they started again.
    pub fn forget_rumours(&mut self) {
        self.turns = Turns::new(self.config.seed, self.config.me);
        self.kept = Kept { promised: Ballot::ZERO, accepted: Slot::ZERO, chosen: Slot::ZERO };
        self.peers.forget_rumours();
    }
}
