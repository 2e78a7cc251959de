//! What the replica's thread looks after now and then, beside the protocol: who the transport speaks to, which disks are
//! pinned, and whether this node may go.

use crate::callers::Callers;
use crate::config::NodeError;
use crate::gauges::Gauges;
use crate::peers::{Peers, Roster, is_settled};
use paxos::{NodeId, Now};
use replica::group::{Address, Change, Group, Mode, Op};
use replica::{Input, Output, Replica};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::info;

/// How often these things are looked at, unless the group has changed.
const PERIOD_US: u64 = 20_000;
/// Between two attempts to pin a disk.
const PIN_PERIOD_US: u64 = 250_000;
/// An attempt that is not chosen by then is made again.
const PIN_PATIENCE_US: u64 = 1_000_000;

/// See the module.
pub(crate) struct Housekeeping<A> {
    me: NodeId,
    /// This node's own disk.
    disk: u64,
    /// Where the configuration says that members are.
    configured: BTreeMap<NodeId, Address>,
    roster: Roster,
    looked_us: u64,
    pinned_us: u64,
    gauges: Arc<Gauges>,
    callers: Arc<Callers<A>>,
}

impl<A> Housekeeping<A> {
    /// As of the roster that the transport was started with.
    pub(crate) fn new(
        (me, disk): (NodeId, u64),
        configured: BTreeMap<NodeId, Address>,
        roster: Roster,
        (gauges, callers): (Arc<Gauges>, Arc<Callers<A>>),
    ) -> Self {
        Self { me, disk, configured, roster, looked_us: 0, pinned_us: 0, gauges, callers }
    }

    pub(crate) fn me(&self) -> NodeId {
        self.me
    }

    /// Does the group elect who proposes?
    pub(crate) fn elects(&self) -> bool {
        self.roster.group.mode == Mode::Leader
    }

    /// Called with every tick.
    pub(crate) fn look(
        &mut self,
        replica: &mut Replica,
        now: Now,
        peers: &Peers,
        out: &mut Output,
    ) -> Result<(), NodeError> {
        let has_changed = replica.group().version != self.roster.group.version;
        if !has_changed && now.mono_us.saturating_sub(self.looked_us) < PERIOD_US {
            return Ok(());
        }
        self.looked_us = now.mono_us;
        let status = replica.status();
        let settled = is_settled(replica.group(), &status, self.me);
        if has_changed || settled != self.roster.settled {
            self.follow(replica.group(), settled, peers)?;
        }
        if status.may_leave {
            let why = format!("node {} was removed from its bank, which has all that it had", self.me);
            return Err(NodeError::Removed { why });
        }
        self.pin(replica, now, peers, out);
        Ok(())
    }

    fn follow(&mut self, group: &Group, settled: bool, peers: &Peers) -> Result<(), NodeError> {
        if group.version != self.roster.group.version {
            let (voters, members) = (group.voters().count(), group.members.len());
            info!(event = "group", version = group.version, mode = ?group.mode, voters, members);
        }
        self.roster = Roster::of(group, self.me, &self.configured, (&self.roster, settled));
        self.gauges.set_group(&self.roster.group);
        peers.set_roster(self.roster.clone()).map_err(NodeError::system("starting a member's threads"))
    }

    /// The disks that founders were met with become the only ones: the current proposer says so in the log.
    fn pin(&mut self, replica: &mut Replica, now: Now, peers: &Peers, out: &mut Output) {
        let group = replica.group();
        let is_due = now.mono_us.saturating_sub(self.pinned_us) >= PIN_PERIOD_US;
        if !is_due || !group.is_founded() || !replica.paxos().is_proposer() || !replica.serves() {
            return;
        }
        let met = |node: NodeId| if node == self.me { Some(self.disk) } else { peers.met(node) };
        let unpinned = group.members.iter().filter(|(_, member)| member.disk == 0);
        let Some((node, disk)) = unpinned.filter_map(|(node, _)| Some((*node, met(*node)?))).next() else { return };
        self.pinned_us = now.mono_us;
        let change = Change { expected_version: group.version, op: Op::Pin { node, disk } };
        let (seq, deadline_us) = (self.callers.number(), now.mono_us + PIN_PATIENCE_US);
        // Nobody waits under that number: a refusal is another attempt, later.
        replica.step(now, Input::Change { seq, change, deadline_us }, out);
    }
}
