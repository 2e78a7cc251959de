//! Another life from the copy of one node's files.

use crate::cluster::{Cluster, DIR, id, member};
use crate::machine::Sums;
use replica::group::{Mode, Op, Role};
use replica::{ApplierSettings, Copy, RefoundError, Refounded, Votes, refound};
use std::path::Path;
use storage::{FaultyDisk, Log, LogOptions, LogRecord, LogVote, Owner, Unsynced};

fn copy_of(node: u16) -> Copy {
    Copy {
        owner: Owner { cluster: 1, node },
        node: id(node),
        log: LogOptions { segment_bytes: 64 << 10 },
        applier: ApplierSettings { fold_records: u64::MAX, hash_seed: 1 },
        clock_ms: 7,
        incarnation: 2,
        votes: Votes::Count(|request| request),
    }
}

fn begin(cluster: &Cluster, node: u16) -> Result<Refounded<Sums, FaultyDisk>, RefoundError> {
    refound(&cluster.disks[&node], Path::new(DIR), Sums::default(), &copy_of(node), |_| None)
}

/// Three nodes that have worked; then one request reaches node 3 alone, which votes for it and is not heard.
fn worked(mode: Mode, checkpoint: bool) -> (Cluster, u64) {
    let mut cluster = Cluster::new(3, mode);
    for at in 1..=30_u64 {
        cluster.add(1, u128::from(at), (at % 7) as u8, 1);
    }
    cluster.pass(200_000);
    if checkpoint {
        cluster.checkpoint(3);
    }
    let chosen = cluster.applied(3);
    cluster.cut.extend([(1, 2), (2, 1), (3, 1), (3, 2), (2, 3)]);
    cluster.ask(1, crate::machine::add(31, 6, 10));
    cluster.pass(10_000);
    (1..=3).for_each(|number| cluster.stop(number));
    cluster.cut.clear();
    (cluster, chosen)
}

#[test]
fn one_node_goes_on_with_all_that_its_copy_holds() {
    for (mode, checkpoint) in [(Mode::Leader, false), (Mode::Leader, true), (Mode::Leaderless, true)] {
        let (mut cluster, chosen) = worked(mode, checkpoint);
        let refounded = begin(&cluster, 3).expect("a good copy");
        assert_eq!(refounded.applier.group().incarnation, 2);
        assert!(refounded.ended.get() > chosen, "what was voted for counts ({mode:?})");
        assert_eq!(refounded.taken_over, refounded.ended.get() - chosen);
        drop(refounded);
        let founders = cluster.founders(3);
        cluster.start(3, founders.clone());
        assert_eq!(cluster.add(3, 31, 6, 10), 14, "the vote that nobody heard of is an outcome now, and once");
        assert_eq!(cluster.add(3, 30, 2, 1), 5, "and so is what was before it");
        let group = cluster.nodes[&3].replica.group().clone();
        assert_eq!((group.incarnation, group.members.keys().copied().collect::<Vec<_>>()), (2, vec![id(3)]));
        // It stays so, and the group grows again by the ordinary way, with a number that nobody had.
        cluster.stop(3);
        cluster.start(3, founders);
        cluster.must_change(3, Op::Admit { node: id(4), member: member(Role::Learner) });
        let admitted = cluster.nodes[&3].replica.group().clone();
        cluster.start(4, admitted);
        cluster.until("the newcomer has caught up", |cluster| cluster.applied(4) == cluster.applied(3));
        cluster.must_change(3, Op::Promote { node: id(4) });
        cluster.add(4, 32, 1, 1);
        cluster.until("both have it", |cluster| cluster.sums(3) == cluster.sums(4));
        assert_eq!(cluster.nodes[&4].replica.group().incarnation, 2);
        let marks = [3, 4].map(|number| cluster.nodes[&number].applier.mark());
        assert_eq!(marks[0].chain, marks[1].chain);
    }
}

#[test]
fn a_copy_that_is_no_copy_of_a_member_begins_nothing() {
    let mut empty = Cluster::new(1, Mode::Leader);
    empty.stop(1);
    empty.disks.insert(2, FaultyDisk::new(2));
    assert!(matches!(begin(&empty, 2), Err(RefoundError::NotFounded)));
    let (cluster, _) = worked(Mode::Leader, true);
    let as_another = Copy { node: id(9), ..copy_of(3) };
    let refused = refound(&cluster.disks[&3], Path::new(DIR), Sums::default(), &as_another, |_| None);
    assert!(matches!(refused, Err(RefoundError::NoMember(node)) if node == id(9)));
    let foreign = Copy { owner: Owner { cluster: 2, node: 3 }, node: id(3), ..as_another };
    let refused = refound(&cluster.disks[&3], Path::new(DIR), Sums::default(), &foreign, |_| None);
    assert!(matches!(refused, Err(RefoundError::Recover(_))), "{refused:?}");
}

#[test]
fn votes_can_be_left_out_and_the_next_life_begins_with_what_is_asked() {
    let (mut cluster, chosen) = worked(Mode::Leader, true);
    let copy = Copy { incarnation: 5, votes: Votes::Leave, ..copy_of(3) };
    let disk = cluster.disks[&3].clone();
    let stale = Copy { incarnation: 1, ..copy.clone() };
    let refused = refound(&disk, Path::new(DIR), Sums::default(), &stale, |_| None);
    assert!(matches!(refused, Err(RefoundError::Incarnation { asked: 1, of: 1 })), "{refused:?}");
    let request = crate::machine::add(40, 1, 3).into();
    let refounded = refound(&disk, Path::new(DIR), Sums::default(), &copy, |_| Some(request)).expect("a good copy");
    assert_eq!((refounded.ended.get(), refounded.taken_over), (chosen + 1, 0), "the vote's slot holds nothing now");
    assert_eq!(refounded.applier.group().incarnation, 5);
    assert_eq!(refounded.applier.applied().get(), chosen + 3);
    drop(refounded);
    let founders = cluster.founders(3);
    cluster.start(3, founders);
    let before = cluster.add(3, 40, 1, 3);
    assert_eq!(cluster.add(3, 40, 1, 3), before, "what it began with is there, once");
    assert_eq!(cluster.nodes[&3].replica.group().incarnation, 5);
}

/// As [`worked`], with several requests that reach node 3 alone, of ids from `first` on.
fn voted_for(first: u128) -> (Cluster, u64) {
    let mut cluster = Cluster::new(3, Mode::Leader);
    for at in 1..=30_u64 {
        cluster.add(1, u128::from(at), (at % 7) as u8, 1);
    }
    cluster.pass(200_000);
    cluster.checkpoint(3);
    let chosen = cluster.applied(3);
    cluster.cut.extend([(1, 2), (2, 1), (3, 1), (3, 2), (2, 3)]);
    for at in 0..6 {
        cluster.ask(1, crate::machine::add(first + at, 6, 10));
        cluster.pass(2_000);
    }
    (1..=3).for_each(|number| cluster.stop(number));
    cluster.cut.clear();
    (cluster, chosen)
}

/// The log of node 3, and what it voted for.
fn log_of_3(cluster: &Cluster, chosen: u64) -> (Log<FaultyDisk>, Vec<LogVote>) {
    let Copy { owner, log, .. } = copy_of(3);
    let (log, recovered) = Log::open(cluster.disks[&3].clone(), Path::new(DIR), owner, log).expect("a good log");
    let votes = recovered.accepted.into_iter().filter(|(slot, ..)| *slot > chosen).collect();
    (log, votes)
}

/// Goes on with node 3 alone, and tells what becomes of name 6 when one more is added to it.
fn goes_on_by(cluster: &mut Cluster) -> u64 {
    let founders = cluster.founders(3);
    cluster.start(3, founders);
    cluster.add(3, 90, 6, 1);
    cluster.pass(2_000_000);
    cluster.sums(3)[&6]
}

#[test]
fn what_is_left_out_stays_out_when_the_next_life_goes_on() {
    let (mut cluster, chosen) = voted_for(31);
    let before = {
        let (_, votes) = log_of_3(&cluster, chosen);
        assert!(votes.len() > 1, "more than the slot of the new beginning");
        let copy = Copy { votes: Votes::Leave, ..copy_of(3) };
        let disk = cluster.disks[&3].clone();
        let refounded = refound(&disk, Path::new(DIR), Sums::default(), &copy, |_| None).expect("a good copy");
        assert_eq!((refounded.ended.get(), refounded.taken_over), (chosen + votes.len() as u64, 0));
        refounded.applier.machine().sums[&6]
    };
    assert_eq!(goes_on_by(&mut cluster), before + 1, "no vote is an outcome, now or later");
}

#[test]
fn what_was_voted_for_counts_up_to_the_first_hole() {
    let (mut cluster, chosen) = voted_for(31);
    let (other, chosen_there) = voted_for(61);
    let (_, elsewhere) = log_of_3(&other, chosen_there);
    let (mut log, votes) = log_of_3(&cluster, chosen);
    let (_, (round, node), _, batch) = elsewhere.last().expect("it voted").clone();
    let counted = votes.len() as u64;
    let slot = chosen + counted + 3;
    let behind = LogRecord::Accepted { slot, round, node, batch: batch.expect("it is whole") };
    let _ = log.append(Unsynced::new(vec![behind], ())).expect("there is room");
    log.sync().expect("there is room");
    drop(log);
    let refounded = begin(&cluster, 3).expect("a good copy");
    assert_eq!((refounded.ended.get(), refounded.taken_over), (slot, counted));
    let before = refounded.applier.machine().sums[&6];
    drop(refounded);
    assert_eq!(goes_on_by(&mut cluster), before + 1, "what stands behind the hole is no outcome, now or later");
}

#[test]
fn what_was_voted_for_counts_as_it_is_changed() {
    let (cluster, chosen) = voted_for(31);
    let (_, votes) = log_of_3(&cluster, chosen);
    let others = Copy { votes: Votes::Count(|_| crate::machine::add(70, 5, 1).into()), ..copy_of(3) };
    let refounded =
        refound(&cluster.disks[&3], Path::new(DIR), Sums::default(), &others, |_| None).expect("a good copy");
    assert_eq!(refounded.taken_over, votes.len() as u64);
    let (other, _) = voted_for(31);
    let all = begin(&other, 3).expect("a good copy");
    let sums = |refounded: &Refounded<Sums, FaultyDisk>| refounded.applier.machine().sums[&6];
    assert!(sums(&refounded) + 10 * votes.len() as u64 <= sums(&all), "{} and {}", sums(&refounded), sums(&all));
}

#[test]
fn a_vote_far_beyond_what_was_chosen_is_damage() {
    let (cluster, chosen) = voted_for(31);
    let (mut log, votes) = log_of_3(&cluster, chosen);
    let (_, (round, node), _, batch) = votes.last().expect("it voted").clone();
    let far = LogRecord::Accepted { slot: u64::MAX, round, node, batch: batch.expect("it is whole") };
    let _ = log.append(Unsynced::new(vec![far], ())).expect("there is room");
    log.sync().expect("there is room");
    drop(log);
    assert!(matches!(begin(&cluster, 3), Err(RefoundError::FarVote { slot: u64::MAX, .. })));
}
