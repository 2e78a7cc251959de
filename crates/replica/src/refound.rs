//! A group's next life, made from the copy of one node's files.
//!
//! ```text
//! log of the copy   … chosen │ voted for only │ ─►  … chosen │ the same, now chosen │ Refound, chosen │ what is asked
//! ```
//!
//! Whatever the copy holds counts, as a rule also what it had only voted for, up to the first hole: that may have been chosen and acknowledged,
//! and a request that was never chosen may still be. Where others can tell better what was decided, as banks can tell the
//! gateway, votes are left out instead: see [`Votes`]. What other members had beyond it is lost, and so are they: from the next
//! slot on the copy's node is the only member, in the group's next incarnation. No majority ever spoke about these slots in
//! that life, so one node may decide them. The others are made anew, with new numbers, by the ordinary way of members.

use crate::applier::{Applier, ApplierSettings, ApplyError};
use crate::group::{Change, Group, INCARNATION_MAX, Op};
use crate::recover::{REPLAY_BYTES, RecoverError};
use crate::request::{self, Content, Requests, Tag, Tagged};
use crate::state_machine::StateMachine;
use bytes::Bytes;
use paxos::{Batch, NodeId, Slot};
use std::collections::BTreeMap;
use std::path::Path;
use storage::{Disk, Log, LogError, LogOptions, LogRecord, LogVote, OpenError, Owner, Unsynced};

/// What a refounding starts from.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Whose files these are.
    pub owner: Owner,
    /// That node's number.
    pub node: NodeId,
    /// How its log is laid out.
    pub log: LogOptions,
    /// When to fold, and how to hash.
    pub applier: ApplierSettings,
    /// Present time, Unix milliseconds.
    pub clock_ms: u64,
    /// Which life begins: more than any that was begun of this group before, from whatever copy.
    pub incarnation: u32,
    /// What becomes of what the copy had only voted for.
    pub votes: Votes,
}

/// A node votes only for slots a little above those that it knows to be chosen.
const UNDECIDED_MAX: usize = 1 << 16;

/// What becomes of what a copy had only voted for.
#[derive(Clone, Copy, Debug)]
pub enum Votes {
    /// It counts, up to the first hole: it may have been acknowledged. A slot before it may have been decided against this
    /// copy's vote, so each request is changed by this function first: what it says of such slots may not hold here.
    Count(fn(Bytes) -> Bytes),
    /// It is left out: it may also be what the others decided against, and somebody else knows.
    Leave,
}

/// A group that begins another life.
pub struct Refounded<S, D: Disk> {
    /// The books as they are now, for questions.
    pub applier: Applier<S, D>,
    /// The last slot of the life before.
    pub ended: Slot,
    /// Records of the journal through that slot.
    pub ended_places: u64,
    /// How many of its slots had only been voted for.
    pub taken_over: u64,
}

impl<S, D: Disk> std::fmt::Debug for Refounded<S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { applier: _, ended, ended_places: _, taken_over } = self;
        f.debug_struct("Refounded").field("ended", ended).field("taken_over", taken_over).finish_non_exhaustive()
    }
}

/// Why the copy cannot begin another life.
#[derive(Debug, thiserror::Error)]
pub enum RefoundError {
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error("this copy is of a node that had lost votes to its disk: take another node's")]
    VotesLost,
    #[error("this copy lacks what lies between slot {checkpoint} and slot {first}: take another node's")]
    Gap { checkpoint: u64, first: u64 },
    #[error(
        "this copy has a vote for slot {slot}, far behind slot {chosen}, which was chosen last: take another node's"
    )]
    FarVote { chosen: u64, slot: u64 },
    #[error("this copy is of a node that had not heard of the group's founding: take another node's")]
    NotFounded,
    #[error("this copy is of node {0}, which is no member: take another node's")]
    NoMember(NodeId),
    #[error("incarnation {asked} is none that can begin: this copy is of incarnation {of}")]
    Incarnation { asked: u32, of: u32 },
}

impl From<OpenError> for RefoundError {
    fn from(error: OpenError) -> Self {
        Self::Recover(error.into())
    }
}

impl From<LogError> for RefoundError {
    fn from(error: LogError) -> Self {
        Self::Recover(error.into())
    }
}

/// Writes the beginning of the next life into the log under `dir`, a copy that nothing else uses, and after it the first
/// request of that life, if there is one. When it fails the copy is to be thrown away; nothing else has changed.
///
/// # Errors
/// When the copy is damaged, incomplete, or another node's.
pub fn refound<S: StateMachine, D: Disk>(
    disk: &D,
    dir: &Path,
    machine: S,
    copy: &Copy,
    first: impl FnOnce(&S) -> Option<Bytes>,
) -> Result<Refounded<S, D>, RefoundError> {
    let found = Log::find(disk.clone(), dir, copy.owner, copy.log.clone())?;
    let mut applier = Applier::open(disk, dir, copy.owner, machine, Group::unknown(), copy.applier)?;
    let checkpoint = applier.applied().get();
    let (mut log, recovered) = found.open(checkpoint)?;
    if !recovered.votes {
        return Err(RefoundError::VotesLost);
    }
    let chosen = recovered.chosen;
    if chosen < checkpoint {
        return Err(RecoverError::LogBehind { chosen, checkpoint }.into());
    }
    if chosen > checkpoint && recovered.first_slot > checkpoint + 1 {
        return Err(RefoundError::Gap { checkpoint, first: recovered.first_slot });
    }
    while applier.applied().get() < chosen {
        let batches = log.read_chosen(applier.applied().next().get(), REPLAY_BYTES)?;
        if batches.is_empty() {
            return Err(RefoundError::Gap { checkpoint: applier.applied().get(), first: chosen });
        }
        apply(&mut applier, batches.into_iter().map(Batch::new))?;
    }
    // Every slot that the copy voted for is decided here and now: what was left open, this node alone would decide later, for
    // what it voted for.
    let highest = recovered.accepted.iter().map(|(slot, ..)| *slot).max().unwrap_or(chosen).max(chosen);
    let undecided = usize::try_from(highest - chosen).ok().filter(|slots| *slots <= UNDECIDED_MAX);
    let undecided = undecided.ok_or(RefoundError::FarVote { chosen, slot: highest })?;
    let mut tail: Vec<Batch> = match copy.votes {
        Votes::Count(unassuming) => counted(chosen, recovered.accepted, unassuming)?,
        Votes::Leave => Vec::new(),
    };
    let taken_over = tail.len() as u64;
    tail.resize_with(undecided, Batch::noop);
    apply(&mut applier, tail.iter().cloned())?;
    let (ended, ended_places) = (applier.applied(), applier.places());
    let last = refounding(&applier, copy)?;
    apply(&mut applier, [last.clone()])?;
    tail.push(last);
    if let Some(request) = first(applier.machine()) {
        let tag = Tag { origin: copy.node.get(), boot: 0, seq: 1 };
        let batch = request::encode(copy.clock_ms, &[Tagged { tag, request }]);
        apply(&mut applier, [batch.clone()])?;
        tail.push(batch);
    }
    let round = recovered.promised.0 + 1;
    let node = copy.node.get();
    let mut records = vec![LogRecord::Promised { round, node }];
    records.extend((chosen + 1..).zip(&tail).map(|(slot, batch)| LogRecord::Accepted {
        slot,
        round,
        node,
        batch: batch.bytes().clone(),
    }));
    records.push(LogRecord::Chosen { through: applier.applied().get() });
    for record in records {
        let _ = log.append(Unsynced::new(vec![record], ()))?;
    }
    log.sync()?;
    Ok(Refounded { applier, ended, ended_places, taken_over })
}

/// What was voted for behind the last slot that is known as chosen, up to the first hole. What stands behind a hole was decided
/// upon what was in it: outcomes of other books than these.
fn counted(chosen: u64, accepted: Vec<LogVote>, unassuming: fn(Bytes) -> Bytes) -> Result<Vec<Batch>, RecoverError> {
    let mut votes: BTreeMap<u64, Option<Bytes>> =
        accepted.into_iter().map(|(slot, _, _, batch)| (slot, batch)).collect();
    let counted = (chosen + 1..).map_while(|slot| Some((slot, Batch::new(votes.remove(&slot).flatten()?))));
    counted.map(|(slot, batch)| changed(slot, batch, unassuming)).collect()
}

/// The batch with each of its requests changed by that.
fn changed(slot: u64, batch: Batch, change: fn(Bytes) -> Bytes) -> Result<Batch, RecoverError> {
    match request::decode(&batch).map_err(|source| ApplyError::Unknown { slot, source })? {
        Content::Requests(Requests { clock_ms, requests }) if !requests.is_empty() => {
            let changed = |tagged: Tagged| Tagged { request: change(tagged.request), ..tagged };
            Ok(request::encode(clock_ms, &requests.into_iter().map(changed).collect::<Vec<_>>()))
        }
        Content::Requests(_) | Content::Control(_) => Ok(batch),
    }
}

fn apply<S: StateMachine, D: Disk>(
    applier: &mut Applier<S, D>,
    batches: impl IntoIterator<Item = Batch>,
) -> Result<(), RefoundError> {
    for batch in batches {
        applier.apply(applier.applied().next(), &batch).map_err(RecoverError::from)?;
    }
    Ok(())
}

/// The batch that begins the next life.
fn refounding<S: StateMachine, D: Disk>(applier: &Applier<S, D>, copy: &Copy) -> Result<Batch, RefoundError> {
    let group = applier.group();
    if !group.is_founded() {
        return Err(RefoundError::NotFounded);
    }
    if copy.incarnation <= group.incarnation || copy.incarnation > INCARNATION_MAX {
        return Err(RefoundError::Incarnation { asked: copy.incarnation, of: group.incarnation });
    }
    if group.role(copy.node).is_none() {
        return Err(RefoundError::NoMember(copy.node));
    }
    let others = group.members.keys().copied().filter(|node| *node != copy.node).collect();
    let op = Op::Refound { node: copy.node, others, incarnation: copy.incarnation };
    let change = Change { expected_version: group.version, op };
    let tag = Tag { origin: copy.node.get(), boot: 0, seq: 0 };
    Ok(request::encode_control(copy.clock_ms, tag, &change))
}
