//! Messages that can never do anything any more are forgotten, so that states do not differ by them.
//!
//! A network that keeps every message for good would otherwise tell apart histories that have the same future. A message
//! is dead only if its delivery changes nothing now *and in every state that can follow*: each rule below rests on
//! something that only rises, and where a crash could set it back, on what is on disk.
//!
//! * Ballots are used once. So an answer to a ballot with which its receiver neither stands nor leads is an answer to
//!   nobody, in this life and in all later ones.
//! * What is chosen stays chosen, once the mark is on disk.
//! * When nobody may stand any more (and no change makes a holder prepare again), there is a highest ballot, and who knows
//!   it can be shown no higher one.

use crate::node::{Letter, Node, Weather};
use paxos::{Ballot, Message, NodeId, Role, Slot};

/// What the rules ask of a node.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The ballot with which it stands or leads.
    ballot: Option<Ballot>,
    is_proposer: bool,
    floor: Slot,
    /// What no crash to come can set back.
    lasting_floor: Slot,
    lasting_lead: Ballot,
    lead: Ballot,
    lasting_promise: Ballot,
    heard_chosen: Vec<(NodeId, Slot)>,
}

impl Facts {
    pub(crate) fn of(node: &Node, weather: Weather) -> Facts {
        let status = node.paxos.status();
        let stands = status.role != Role::Follower;
        let recovered = node.disk.recover();
        let votes = recovered.accepted.iter().map(|(_, ballot, _, _)| *ballot);
        let on_disk = votes.fold(recovered.promised, Ballot::max);
        let calm = weather == Weather::Calm;
        let peers = status.peers.iter().map(|peer| (peer.node, peer.chosen));
        Facts {
            ballot: stands.then_some(status.promised),
            is_proposer: status.role == Role::Leader,
            floor: status.chosen,
            lasting_floor: if calm { status.chosen } else { recovered.chosen },
            lasting_lead: if calm { status.ballot } else { on_disk },
            lead: status.ballot,
            lasting_promise: if calm { status.promised } else { on_disk },
            heard_chosen: if calm { peers.collect() } else { Vec::new() },
        }
    }

    pub(crate) fn lead(&self) -> Ballot {
        self.lead
    }

    fn has_heard(&self, from: NodeId, chosen: Slot) -> bool {
        chosen == Slot::ZERO || self.heard_chosen.iter().any(|(peer, heard)| *peer == from && *heard >= chosen)
    }
}

/// Whether the letter can do nothing any more to the node that `to` tells of. `last_ballot` is the highest ballot there
/// will ever be, if that is known.
pub(crate) fn is_dead(letter: &Letter, to: &Facts, from: &Facts, last_ballot: Option<Ballot>) -> bool {
    match &letter.message {
        Message::Promise { ballot, floor, accepted: _ } => {
            (to.ballot != Some(*ballot) || to.is_proposer) && to.has_heard(letter.from, *floor)
        }
        Message::Accepted { ballot, slot } => !to.is_proposer || to.ballot != Some(*ballot) || *slot <= to.floor,
        Message::Refused { ballot: _, promised } => *promised <= to.lasting_lead,
        Message::Learned { from, batches } => from.get() + batches.len() as u64 <= to.lasting_floor.get() + 1,
        Message::FetchedBatch { slot, .. } => {
            let gathers = to.ballot.is_some() && !to.is_proposer;
            *slot <= to.lasting_floor || (last_ballot.is_some() && !gathers)
        }
        Message::FetchBatch { slot, .. } => {
            let gathers = from.ballot.is_some() && !from.is_proposer;
            *slot <= from.lasting_floor || (last_ballot.is_some() && !gathers)
        }
        // A hint for people.
        Message::NotMember { .. } => true,
        // It could only be refused, and the refusal would be dead.
        Message::Prepare { ballot } => {
            *ballot < to.lasting_promise && last_ballot.is_some_and(|last| from.lasting_lead == last)
        }
        Message::Accept { .. }
        | Message::Chosen(_)
        | Message::Learn { .. }
        | Message::Heartbeat { .. }
        | Message::HeartbeatReply { .. }
        | Message::ReadQuery { .. }
        | Message::ReadReply { .. }
        | Message::Remember
        | Message::Memory { .. }
        | Message::Behind { .. } => false,
    }
}
