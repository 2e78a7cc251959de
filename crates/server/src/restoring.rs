//! Another life for a group, from the copy of one node's directory: what `rialto restore` does to the copy.
//!
//! The copy of one node is enough: it becomes the group's only member, in the group's next incarnation, and the others are
//! made anew and receive their books from it. So no two copies of different moments are ever mixed, and no vote of the life
//! before counts in the next one.

use crate::edge::port::{Life, gateway_placer};
use crate::service::Service;
use crate::start;
use bytes::Bytes;
use ledger::{Command, Fence, Lost, Request};
use paxos::NodeId;
use replica::{ApplierSettings, Copy, RefoundError, Refounded, StateMachine, Votes};
use std::path::Path;
use storage::{Identity, Log, LogOptions, OpenError, RealDisk};

/// What kind of group it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    Bank,
    Gateway,
}

/// A group that begins another life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLife {
    /// Counts the lives of the group, from 1.
    pub incarnation: u32,
    /// The last slot of the life before that the copy holds.
    pub ended_slot: u64,
    /// How many of its slots the copy had only voted for: of a bank they count now, of a gateway they are left out.
    pub taken_over: u64,
    /// The state's own time at its end, Unix milliseconds.
    pub time_ms: u64,
    /// Accounts of a bank, payments on their way of a gateway.
    pub size: u64,
    /// Records of the journal through that slot.
    pub journal_records: u64,
    /// Of a bank: the gateway's payments up to this number are in its books.
    pub complete_through: u64,
    /// It serves nobody until the rest of the network has brought it up to date.
    pub restoring: bool,
}

/// How far the copy of a node under `dir` reaches: through which slot it surely knows all to be chosen, and the highest that
/// it holds anything of. Of several copies the one with most is the one to take. Changes nothing.
///
/// # Errors
/// When it cannot be read.
pub fn reaches(dir: &Path, identity: &Identity) -> Result<(u64, u64), OpenError> {
    let found = Log::find(RealDisk, dir, identity.owner(), LogOptions::default())?;
    Ok((found.chosen(), found.held()))
}

/// Why a copy may not be taken, if it may not, by its own notes.
pub fn noted_against(dir: &Path) -> Option<&'static str> {
    if start::has_diverged(dir) {
        Some("its books differed from a majority's")
    } else if start::distrusts(dir) {
        Some("rot was seen in it that was not mended yet")
    } else {
        None
    }
}

/// Who has what the group lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A gateway brings a bank its payments, and banks tell a gateway theirs.
    Joined,
    /// Nobody: a bank by itself serves with what it has.
    Alone,
}

/// What life is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    pub kind: GroupKind,
    pub network: Network,
    /// More than any that was begun of this group before, from whatever copy.
    pub incarnation: u32,
    /// Present time, Unix milliseconds.
    pub clock_ms: u64,
}

/// Begins the group's next life in the copy under `dir`, which nothing else uses. When it fails the copy is to be thrown
/// away.
///
/// # Errors
/// When the copy is damaged, incomplete, or another node's.
pub fn begin_new_life(dir: &Path, identity: &Identity, beginning: Beginning) -> Result<NewLife, RefoundError> {
    match beginning.kind {
        GroupKind::Bank => {
            let nobody_brings_it = |machine: &bank::Machine| {
                let known = machine.ledger().fence(gateway_placer());
                let lost = Lost::default();
                let fence = Fence { complete_through: 0, caught_up: beginning.incarnation, lost, ..known };
                let command = Command::Fence { placer: gateway_placer(), fence };
                (beginning.network == Network::Alone).then(|| Request::single(command).encode().into())
            };
            let copy = copy(identity, beginning, Votes::Count(without_what_is_complete))?;
            begin(dir, &copy, nobody_brings_it, |machine: &bank::Machine| machine.ledger().time_ms())
        }
        GroupKind::Gateway => {
            let copy = copy(identity, beginning, Votes::Leave)?;
            begin(dir, &copy, |_| None, |machine: &gateway::Machine| machine.clearing().time_ms())
        }
    }
}

/// The request without the gateway's word about which of its payments the books have to their end: it was said of other slots
/// than these, perhaps. Then the gateway brings those payments, and what is here already is not booked twice.
fn without_what_is_complete(request: Bytes) -> Bytes {
    let Ok(mut decoded) = Request::decode(&request) else { return request };
    match decoded.commands.first_mut() {
        Some(Command::Fence { fence, .. }) if fence.complete_through > 0 => {
            fence.complete_through = 0;
            decoded.encode().into()
        }
        _ => request,
    }
}

fn copy(identity: &Identity, beginning: Beginning, votes: Votes) -> Result<Copy, RefoundError> {
    Ok(Copy {
        owner: identity.owner(),
        node: NodeId::new(identity.node).ok_or(RefoundError::NotFounded)?,
        log: LogOptions::default(),
        // The seed spreads hash tables of a look that is soon over.
        applier: ApplierSettings { fold_records: u64::MAX, hash_seed: 1 },
        clock_ms: beginning.clock_ms,
        incarnation: beginning.incarnation,
        votes,
    })
}

fn begin<S: Service + StateMachine>(
    dir: &Path,
    copy: &Copy,
    first: impl FnOnce(&S) -> Option<Bytes>,
    time_ms: impl Fn(&S) -> u64,
) -> Result<NewLife, RefoundError> {
    let Refounded { applier, ended, ended_places, taken_over } =
        replica::refound(&RealDisk, dir, S::fresh(copy.applier.hash_seed), copy, first)?;
    let Life { incarnation, restoring, complete_through } = applier.machine().life(applier.group().incarnation);
    Ok(NewLife {
        incarnation,
        ended_slot: ended.get(),
        taken_over,
        time_ms: time_ms(applier.machine()),
        size: applier.machine().size(),
        journal_records: ended_places,
        complete_through,
        restoring,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::TransferId;

    #[test]
    fn a_vote_that_counts_says_nothing_of_what_is_complete() {
        let said = Fence { epoch: 3, complete_through: 9_000, ..Fence::default() };
        let fence = |fence| Command::Fence { placer: gateway_placer(), fence };
        let void = Command::VoidTransfer { id: TransferId::new(7).expect("not nil") };
        let request = |commands| Request { linked: false, commands };
        let bytes = |commands| Bytes::from(request(commands).encode());
        let changed = without_what_is_complete(bytes(vec![fence(said), void]));
        let unsaid = Fence { complete_through: 0, ..said };
        assert_eq!(Request::decode(&changed), Ok(request(vec![fence(unsaid), void])));
        for same in
            [bytes(vec![void]), bytes(vec![fence(unsaid)]), bytes(Vec::new()), Bytes::from_static(b"no request")]
        {
            assert_eq!(without_what_is_complete(same.clone()), same);
        }
    }
}
