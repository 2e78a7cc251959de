//! Opens a node from its disk: log, checkpoint, and the replay of what lies between them.
//!
//! ```text
//! log opens, mends itself ─► checkpoint opens ──────────────────────────► replay from the log ─► ready
//!                                 │ rot                                        │ the log begins later
//!                                 └─► made again from the good journal ────────┴─► ready, and receives what lacks
//! ```
//!
//! Only slots durably marked as chosen are applied; whatever else was accepted waits to be learned. Records that the
//! journal already holds beyond the checkpoint are made again from the log and must be the same bytes. Where the log does
//! not reach back to the checkpoint, because the state was on its way when the process ended or because the journal
//! had to be cut before rot, the node starts all the same: its promises and votes are good. It receives what it lacks from
//! the others before it serves.

use crate::applier::{Applier, ApplierSettings, ApplyError, Met};
use crate::group::{self, Group};
use crate::input::Settings;
use crate::output::Output;
use crate::replica::Replica;
use crate::state_machine::StateMachine;
use paxos::{Ballot, Batch, Digest, Now, Paxos, Recovered, Slot};
use std::path::Path;
use storage::{Disk, Journal, Log, LogError, LogFound, LogOptions, LogRecovered, LogRot, OpenError, Owner, Part};

/// Bytes of chosen batches read from the log at a time.
pub(crate) const REPLAY_BYTES: usize = 8 << 20;

/// Everything that a node starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// Bounds and times.
    pub settings: Settings,
    /// Paxos's own configuration.
    pub paxos: paxos::Config,
    /// The group as the node's configuration has it. For a founder that is the group before its founding; it counts until
    /// the founding comes out of checkpoint or log. For a newcomer it is the group that let it in, as its members know
    /// it; it counts until the node has learned as much.
    pub founders: Group,
    /// Rot was seen in journal, checkpoint or ids while the node ran, where an opening does not look: read the journal
    /// from its beginning, and make the others from it anew.
    pub distrust: bool,
    /// When to fold.
    pub applier: ApplierSettings,
    /// Sizes of the log.
    pub log: LogOptions,
    /// Rules that are switched off: none.
    pub controls: Controls,
    /// Whose files these must be.
    pub owner: Owner,
    /// Present time.
    pub now: Now,
}

/// Safety rules that the simulator switches off at a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// The log's.
    #[cfg(feature = "controls")]
    pub log: Option<storage::Control>,
    /// The group's: what is replayed was taken by them.
    pub group: group::Rules,
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
    /// What had rotted and was mended, or will be by the others.
    pub rot: Vec<Mended>,
    /// What the replica wants done before anything else: a node that must receive its state begins with that.
    pub output: Output,
}

/// Rot that was found at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Which part of the node's files.
    pub part: Part,
    /// Where, and what becomes of it, in words.
    pub what: String,
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

impl RecoverError {
    /// What has rotted, where it is a part that is made again: from the journal, or from the others.
    pub fn met(&self) -> Option<Met> {
        let (part, what) = match self {
            Self::Open(error) => (error.rotten_part(), error.to_string()),
            Self::Log(error) | Self::Apply(ApplyError::Storage(error)) => (error.rotten_part(), error.to_string()),
            Self::Apply(ApplyError::Unknown { .. } | ApplyError::OutOfOrder { .. })
            | Self::Gap { .. }
            | Self::LogBehind { .. } => return None,
        };
        let is_made_again = |part: &Part| matches!(part, Part::Journal | Part::Store | Part::Ids);
        part.filter(is_made_again).map(|part| Met { part, what })
    }
}

/// Opens a node whose files are under `dir`, with fresh machines by `machine`, telling `progress` the slots replayed so
/// far and in all.
///
/// An opening looks only at what it needs, so rot may be met later, when the first batch is applied: then everything that
/// is made of the log is read whole, and made again.
///
/// # Errors
/// When files are damaged, missing, or another node's.
pub fn open<S: StateMachine, D: Disk>(
    disk: &D,
    dir: &Path,
    machine: impl Fn() -> S,
    start: Start,
    mut progress: impl FnMut(u64, u64),
) -> Result<Opened<S, D>, RecoverError> {
    let again = (!start.distrust).then(|| Start { distrust: true, ..start.clone() });
    match (open_once(disk, dir, &machine, start, &mut progress), again) {
        (Err(error), Some(again)) => {
            let Some(Met { part, what }) = error.met() else { return Err(error) };
            let mut opened = open_once(disk, dir, &machine, again, &mut progress)?;
            opened.rot.insert(0, Mended { part, what });
            Ok(opened)
        }
        (opened, _) => opened,
    }
}

fn open_once<S: StateMachine, D: Disk>(
    disk: &D,
    dir: &Path,
    machine: &impl Fn() -> S,
    start: Start,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Opened<S, D>, RecoverError> {
    let found = Log::find(disk.clone(), dir, start.owner, start.log.clone())?;
    #[cfg(feature = "controls")]
    let found = {
        let mut found = found;
        found.set_control(start.controls.log);
        found
    };
    let mut rot = Vec::new();
    let mut applier = open_applier(disk, dir, machine, (&start, &found), &mut rot)?;
    #[cfg(feature = "controls")]
    applier.set_group_rules(start.controls.group);
    let checkpoint = applier.applied();
    // Damage to what the checkpoint covers makes nobody learn it again.
    let (log, recovered) = found.open(checkpoint.get())?;
    rot.extend(recovered.rotten.iter().map(mended_log));
    let chosen = Slot::new(recovered.chosen);
    // A checkpoint is written only after the log's marks through it are synced; so the other way round, one of the two
    // was put back or lost.
    if chosen < checkpoint {
        return Err(RecoverError::LogBehind { chosen: chosen.get(), checkpoint: checkpoint.get() });
    }
    let must_receive = chosen > checkpoint && recovered.first_slot > checkpoint.next().get();
    let groups = (applier.group().clone(), start.founders.clone());
    if must_receive && known(&groups).members.keys().all(|node| *node == start.paxos.me) {
        return Err(RecoverError::Gap { first: recovered.first_slot, checkpoint: checkpoint.get() });
    }
    if must_receive {
        applier.begin_receiving().map_err(OpenError::from)?;
        applier.take_over(chosen).map_err(OpenError::from)?;
    } else {
        replay(&log, &mut applier, chosen.get(), progress)?;
    }
    applier.compare_from_now_on();
    let (me, settings, now) = (start.paxos.me, start.settings, start.now);
    let torn_bytes = recovered.torn_bytes;
    let groups = (applier.group().clone(), start.founders.clone());
    let mut paxos = open_paxos(start, recovered, &groups);
    paxos.on_applied(applier.applied());
    paxos.set_checkpoint(checkpoint);
    let mut replica = Replica::new(settings, me, paxos, groups);
    replica.note_log_time(now, applier.machine().time_ms());
    let mut output = Output::default();
    if must_receive {
        replica.receive_at_start(now, applier.mark(), &mut output);
    }
    let replayed = applier.applied().get() - checkpoint.get();
    Ok(Opened { replica, log, applier, torn_bytes, replayed, rot, output })
}

/// Opens journal and checkpoint, or makes them again as far as the journal is good.
fn open_applier<S: StateMachine, D: Disk>(
    disk: &D,
    dir: &Path,
    machine: &impl Fn() -> S,
    (start, log): (&Start, &LogFound<D>),
    rot: &mut Vec<Mended>,
) -> Result<Applier<S, D>, RecoverError> {
    // What a newcomer knows of the group is newer than its journal: its own state begins with nothing.
    let founders = if start.founders.is_founded() { Group::unknown() } else { start.founders.clone() };
    if !start.distrust {
        match Applier::open(disk, dir, start.owner, machine(), founders.clone(), start.applier) {
            Err(OpenError::Rot { part, file, offset, what }) if part != Part::Log && part != Part::Identity => {
                rot.push(Mended { part, what: format!("{} at {offset}: {what}", file.display()) });
            }
            opened => return Ok(opened?),
        }
    }
    if start.distrust {
        let what = "rot was seen where an opening does not look: made again from the journal".to_owned();
        rot.push(Mended { part: Part::Store, what });
    }
    must_reach_the_log(disk, dir, start, log)?;
    let through = Slot::new(log.chosen());
    Ok(Applier::rebuild(disk, dir, start.owner, machine(), founders, start.applier, through)?)
}

/// Before checkpoint and ids are thrown away: with others the node receives what its journal lacks. Without them, a journal
/// that ends before the log begins is no replacement for a checkpoint that may hold all balances: it stays for a person.
fn must_reach_the_log<D: Disk>(disk: &D, dir: &Path, start: &Start, log: &LogFound<D>) -> Result<(), RecoverError> {
    if start.founders.members.keys().any(|node| *node != start.paxos.me) {
        return Ok(());
    }
    let good = Journal::salvage(disk.clone(), dir, start.owner, log.chosen())?.mark().slot;
    let first = log.first_slot();
    if good < log.chosen() && good + 1 < first { Err(RecoverError::Gap { first, checkpoint: good }) } else { Ok(()) }
}

/// The newer of the group in the files and the group in the configuration.
fn known((group, configured): &(Group, Group)) -> &Group {
    if configured.version > group.version { configured } else { group }
}

fn open_paxos(start: Start, recovered: LogRecovered, groups: &(Group, Group)) -> Paxos {
    let known = known(groups);
    let (round, node) = recovered.promised;
    let accepted = recovered.accepted.into_iter().filter(|(slot, ..)| *slot > recovered.chosen);
    let vote = |(slot, (round, node), digest, batch): storage::LogVote| {
        (Slot::new(slot), Ballot { round, node }, Digest(digest), batch.map(Batch::new))
    };
    let recovered = Recovered {
        promised: Ballot { round, node },
        accepted: accepted.map(vote).collect(),
        chosen: Slot::new(recovered.chosen),
        held: Slot::new(recovered.held),
        votes: recovered.votes,
    };
    let alpha = if known.is_founded() { known.alpha } else { start.paxos.alpha };
    let config = paxos::Config { epochs: known.epochs(), mode: known.mode, alpha, ..start.paxos };
    Paxos::new(config, recovered, start.now)
}

fn mended_log(rot: &LogRot) -> Mended {
    Mended { part: Part::Log, what: format!("{} at {}: {}", rot.file.display(), rot.offset, rot.what) }
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
