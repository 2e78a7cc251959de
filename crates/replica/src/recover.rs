//! Opens a node from its disk: log, checkpoint, and the replay of what lies between them.
//!
//! Only slots durably marked as chosen are applied; whatever else was accepted waits to be learned. Records that the
//! journal already holds beyond the checkpoint are made again from the log and must be the same bytes.

use crate::applier::{Applier, ApplierSettings, ApplyError};
use crate::group::Group;
use crate::input::Settings;
use crate::replica::Replica;
use crate::state_machine::StateMachine;
use paxos::{Ballot, Batch, Digest, Now, Paxos, Recovered, Slot};
use std::path::Path;
use storage::{Disk, Log, LogError, LogOptions, OpenError, Owner};

/// Bytes of chosen batches read from the log at a time.
const REPLAY_BYTES: usize = 8 << 20;

/// Everything that a node starts from.
#[derive(Debug)]
pub struct Start {
    /// Bounds and times.
    pub settings: Settings,
    /// Paxos's own configuration.
    pub paxos: paxos::Config,
    /// The group as the node's configuration has it: it counts until the founding comes out of checkpoint or log.
    pub founders: Group,
    /// When to fold.
    pub applier: ApplierSettings,
    /// Sizes of the log.
    pub log: LogOptions,
    /// Whose files these must be.
    pub owner: Owner,
    /// Present time.
    pub now: Now,
}

/// A node that is ready to be stepped.
pub struct Opened<S, D: Disk> {
    pub replica: Replica,
    pub log: Log<D>,
    pub applier: Applier<S, D>,
    /// Bytes of a torn last group that were dropped: they never counted.
    pub torn_bytes: u64,
    /// Slots applied anew from the log.
    pub replayed: u64,
}

impl<S, D: Disk> std::fmt::Debug for Opened<S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { replica, torn_bytes, replayed, .. } = self;
        let mut fields = f.debug_struct("Opened");
        fields.field("replica", replica).field("torn_bytes", torn_bytes).field("replayed", replayed);
        fields.finish_non_exhaustive()
    }
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(
        "the log begins at slot {first} but the checkpoint ends at slot {checkpoint}: what lies between is missing"
    )]
    Gap { first: u64, checkpoint: u64 },
    #[error(
        "the log ends at slot {chosen} but the checkpoint covers slot {checkpoint}: the log was lost, or an older copy was put back; \
         this node must not vote with it"
    )]
    LogBehind { chosen: u64, checkpoint: u64 },
}

/// Opens a node whose files are under `dir`, telling `progress` the slots replayed so far and in all.
///
/// # Errors
/// When files are damaged, missing, or another node's.
pub fn open<S: StateMachine, D: Disk>(
    disk: &D,
    dir: &Path,
    machine: S,
    start: Start,
    mut progress: impl FnMut(u64, u64),
) -> Result<Opened<S, D>, RecoverError> {
    let found = Log::find(disk.clone(), dir, start.owner, start.log)?;
    let mut applier = Applier::open(disk, dir, start.owner, machine, start.founders, start.applier)?;
    let checkpoint = applier.applied().get();
    let (log, recovered) = found.open(checkpoint)?;
    // A checkpoint is written only after the log's marks through it are synced; so the other way round, one of the two
    // was put back or lost.
    let chosen = recovered.chosen;
    if chosen < checkpoint {
        return Err(RecoverError::LogBehind { chosen, checkpoint });
    }
    if chosen > checkpoint && recovered.first_slot > checkpoint + 1 {
        return Err(RecoverError::Gap { first: recovered.first_slot, checkpoint });
    }
    replay(&log, &mut applier, chosen, &mut progress)?;
    applier.compare_from_now_on();
    let (round, node) = recovered.promised;
    let accepted = recovered
        .accepted
        .into_iter()
        .filter(|(slot, ..)| *slot > chosen)
        .map(|(slot, (round, node), digest, batch)| {
            (Slot::new(slot), Ballot { round, node }, Digest(digest), batch.map(Batch::new))
        })
        .collect();
    let me = start.paxos.me;
    let recovered_paxos = Recovered {
        promised: Ballot { round, node },
        accepted,
        chosen: Slot::new(chosen),
        held: Slot::new(recovered.held),
        votes: recovered.votes,
    };
    let mut paxos = Paxos::new(start.paxos, recovered_paxos, start.now);
    paxos.on_applied(applier.applied());
    paxos.set_checkpoint(Slot::new(checkpoint));
    let replica = Replica::new(start.settings, me, paxos, applier.group().clone());
    let replayed = applier.applied().get() - checkpoint;
    Ok(Opened { replica, log, applier, torn_bytes: recovered.torn_bytes, replayed })
}

fn replay<S: StateMachine, D: Disk>(
    log: &Log<D>,
    applier: &mut Applier<S, D>,
    chosen: u64,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), RecoverError> {
    let first = applier.applied().get();
    while applier.applied().get() < chosen {
        let next = applier.applied().next();
        let batches = log.read_chosen(next.get(), REPLAY_BYTES)?;
        if batches.is_empty() {
            return Err(RecoverError::Gap { first: next.get() + 1, checkpoint: next.prev().get() });
        }
        for batch in batches {
            applier.apply(applier.applied().next(), &Batch::new(batch))?;
        }
        progress(applier.applied().get() - first, chosen - first);
    }
    Ok(())
}
