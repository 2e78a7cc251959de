//! Changes of members: in flight, under the holder, across a read, with nodes that come, go, lag and do not know it yet.

use crate::cluster::{ALPHA, Cluster, HEARTBEAT_US, Unsynced, batch, node, slot};
use crate::conversations::{Solo, accept, accepts, ballot, report, told, vows};
use expect_test::expect;
use paxos::{ChosenMark, Effects, Event, Membership, Message, Mode, NodeId, Slot};

fn in_both_modes(size: u16, play: impl Fn(Cluster)) {
    for mode in [Mode::Leader, Mode::Leaderless] {
        play(Cluster::of(3, size, mode));
    }
}

fn membership(version: u64, voters: &[u16], learners: &[u16]) -> Membership {
    let nodes = |numbers: &[u16]| numbers.iter().copied().map(node).collect();
    Membership::new(version, nodes(voters), nodes(learners))
}

fn voters(cluster: &Cluster, number: u16) -> Vec<u16> {
    cluster.paxos(number).status().membership.voters.into_iter().map(NodeId::get).collect()
}

fn ballots(cluster: &Cluster, number: u16) -> Vec<u64> {
    let taken = |event: &Event| if let Event::BecameProposer(ballot) = event { Some(ballot.round) } else { None };
    cluster.nodes[&number].events.iter().filter_map(taken).collect()
}

/// Isolates one node.
fn cut_off(cluster: &mut Cluster, number: u16, others: std::ops::RangeInclusive<u16>) {
    for other in others.filter(|other| *other != number) {
        cluster.cut_both(number, other);
    }
}

// ---- the whole way

#[test]
fn a_group_grows_from_three_to_seven_and_shrinks_again() {
    in_both_modes(7, |mut cluster| {
        cluster.choose("first", &[1, 2, 3]);
        let mut members = vec![1, 2, 3];
        for newcomer in 4..=7 {
            cluster.change(&members, &[newcomer]);
            cluster.run_until("the newcomer catches up", |cluster| cluster.paxos(newcomer).status().chosen > slot(1));
            members.push(newcomer);
            cluster.change(&members, &[]);
            cluster.choose(&format!("with {newcomer}"), &members);
        }
        for removed in 1..=4 {
            members.remove(0);
            if cluster.holder().is_none() {
                cluster.choose(&format!("before {removed} goes"), &members);
            }
            cluster.change(&members, &[]);
            cluster.choose(&format!("without {removed}"), &members);
            cluster.run_until("it may leave", |cluster| cluster.paxos(removed).status().may_leave);
            cluster.crash(removed, Unsynced::Lost);
        }
        assert_eq!(voters(&cluster, 7), [5, 6, 7]);
        cluster.crash(5, Unsynced::Lost);
        cluster.choose("two of the new three", &[6, 7]);
    });
}

// ---- counting, slot by slot

/// A holder of three whose change to `to` was chosen in slot 1 and applied: its epoch begins at slot 1 + alpha.
fn holder_after_change(to: Membership) -> (Solo, paxos::Ballot) {
    let (mut solo, own) = Solo::holder();
    let fx = solo.propose("change").expect("it is the proposer");
    solo.release_own(fx);
    let fx = solo.hear(2, Message::Accepted { ballot: own, slot: slot(1) });
    assert_eq!(fx.chosen.len(), 1);
    solo.paxos.on_change(solo.now, slot(1), to, &mut Effects::default());
    solo.paxos.on_applied(slot(1));
    (solo, own)
}

#[test]
fn the_slots_before_a_change_is_in_force_are_the_old_members() {
    let (mut solo, own) = holder_after_change(membership(1, &[1, 2, 3, 4, 5], &[]));
    let fx = solo.propose("old members' slot").expect("it is the proposer");
    assert_eq!(accepts(&fx).iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [2, 3]);
    for stranger in [4, 5] {
        assert!(solo.hear(stranger, Message::Accepted { ballot: own, slot: slot(2) }).chosen.is_empty());
    }
    solo.release_own(fx);
    assert_eq!(solo.hear(3, Message::Accepted { ballot: own, slot: slot(2) }).chosen.len(), 1, "two of three");
}

#[test]
fn at_the_first_slot_of_a_change_the_holder_prepares_again() {
    let (mut solo, own) = holder_after_change(membership(1, &[1, 2, 3, 4], &[]));
    for at in 2..=ALPHA {
        let fx = solo.propose("old").expect("these are the old members' slots");
        solo.release_own(fx);
        if at < ALPHA {
            solo.hear(2, Message::Accepted { ballot: own, slot: slot(at) });
            solo.paxos.on_applied(slot(at));
        }
    }
    assert!(solo.propose("too far").is_err(), "the promises end here");
    assert!(solo.paxos.is_proposer(), "but what is under way is finished first");
    let fx = solo.hear(2, Message::Accepted { ballot: own, slot: slot(ALPHA) });
    expect![[r#"
        persist Promised(b2.1)
        persist Chosen { through: s8 }
        to n1, once synced  Promise { ballot: b2.1, floor: s8, accepted: [] }
        to n2, once synced  Prepare { ballot: b2.1 }
        to n3, once synced  Prepare { ballot: b2.1 }
        to n4, once synced  Prepare { ballot: b2.1 }
        chosen s8 "old"
        event NoLongerProposer { to: b2.1 }
        event Leader(None)"#]]
    .assert_eq(&told(&fx));
    solo.paxos.on_applied(slot(ALPHA));
    let again = solo.paxos.status().ballot;
    solo.release_own(fx);
    solo.promise_of(2, again, ALPHA, vec![]);
    assert!(!solo.paxos.is_proposer(), "two of three would do, two of four do not");
    let fx = solo.promise_of(4, again, 0, vec![]);
    assert!(solo.paxos.is_proposer());
    expect![[r#"
        event BecameProposer(b2.1)
        event Leader(Some(n1))"#]]
    .assert_eq(&told(&fx));
    let fx = solo.propose("new").expect("it is the proposer again");
    assert_eq!(
        accepts(&fx).iter().map(|(to, at, _)| (*to, *at)).collect::<Vec<_>>(),
        [(2, ALPHA + 1), (3, ALPHA + 1), (4, ALPHA + 1)]
    );
}

#[test]
fn a_proposer_needs_a_majority_of_every_epoch_in_the_window() {
    let mut solo = Solo::of_three(paxos::Recovered { chosen: slot(1), ..Default::default() });
    solo.paxos.on_change(solo.now, slot(1), membership(1, &[1, 4, 5], &[]), &mut Effects::default());
    let (prepared, fx) = solo.stand_with(&[2, 4]);
    let asked: Vec<u16> = vows(&fx).iter().map(|(to, _)| *to).collect();
    assert_eq!(asked, [1, 2, 3, 4, 5], "the old members and the new");
    solo.release_own(fx);
    solo.promise_of(2, prepared, 1, vec![]);
    solo.promise_of(3, prepared, 1, vec![]);
    assert!(!solo.paxos.is_proposer(), "all of the old, one of the new");
    solo.promise_of(5, prepared, 1, vec![]);
    assert!(solo.paxos.is_proposer());
}

#[test]
fn a_node_that_stands_and_learns_of_a_change_asks_the_new_members_too() {
    let mut solo = Solo::of_three(paxos::Recovered::default());
    let (prepared, fx) = solo.stand();
    solo.release_own(fx);
    // Node 2 knows slot 1 as chosen: it holds a change.
    let fx = solo.promise_of(2, prepared, 1, vec![]);
    assert_eq!(fx.send, [(node(2), Message::Learn { from: slot(1) })]);
    let fx = solo.hear(2, Message::Learned { from: slot(1), batches: vec![batch("change")] });
    assert_eq!(fx.events[0], Event::BecameProposer(prepared), "for the epoch that it knows, and only for that");
    let mut fx = Effects::default();
    solo.paxos.on_change(solo.now, slot(1), membership(1, &[1, 4, 5], &[]), &mut fx);
    solo.paxos.on_applied(slot(1));
    for _ in 1..ALPHA {
        solo.propose("old").expect("the old members' slots");
    }
    assert!(solo.propose("new").is_err(), "its promises are those of the old members");
}

#[test]
fn a_report_counts_whoever_makes_it() {
    let mut solo = Solo::of_three(paxos::Recovered::default());
    solo.paxos.on_change(solo.now, Slot::ZERO, membership(0, &[1, 2, 3], &[4]), &mut Effects::default());
    let (prepared, fx) = solo.stand();
    solo.release_own(fx);
    let fx = solo.promise_of(4, prepared, 0, vec![report(1, ballot(0, 0), "lowest")]);
    assert!(fx.events.is_empty() && !solo.paxos.is_proposer(), "a learner's promise does not count");
    let fx = solo.promise_of(2, prepared, 0, vec![]);
    assert_eq!(fx.send, [(node(4), Message::FetchBatch { slot: slot(1), ballot: ballot(0, 0) })]);
}

// ---- holders

#[test]
fn a_holder_crosses_two_changes_with_two_ballots() {
    in_both_modes(5, |mut cluster| {
        cluster.choose("first", &[1, 2, 3]);
        let holder = cluster.holder().expect("it chose");
        let before = ballots(&cluster, holder).len();
        cluster.change(&[1, 2, 3, 4], &[]);
        cluster.change(&[1, 2, 3, 4, 5], &[]);
        let taken = ballots(&cluster, holder);
        assert_eq!((cluster.holder(), taken.len()), (Some(holder), before + 2), "{taken:?}");
        cluster.choose("then", &[1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_proposer_that_is_removed_finishes_the_old_slots_and_steps_down() {
    in_both_modes(3, |mut cluster| {
        cluster.choose("first", &[1, 2, 3]);
        let holder = cluster.holder().expect("it chose");
        let others: Vec<u16> = (1..=3).filter(|number| *number != holder).collect();
        let text = cluster.nodes[&holder].group.change(&others, &[]);
        let at = cluster.propose(holder, &text).expect("it is the proposer").get();
        cluster.call(holder, |paxos, _, fx| paxos.nudge(slot(at + ALPHA), fx));
        cluster.drain();
        cluster.tick();
        cluster.drain();
        assert!(cluster.truth.contains_key(&slot(at + ALPHA - 1)), "the last slot of the old members");
        assert!(!cluster.paxos(holder).is_proposer());
        cluster.choose("after", &others);
        cluster.run_until("it may leave", |cluster| cluster.paxos(holder).status().may_leave);
        assert!(!cluster.paxos(others[0]).status().may_leave);
        assert!(!cluster.paxos(holder).status().votes || cluster.paxos(holder).status().proposer != Some(node(holder)));
    });
}

#[test]
fn a_removed_node_that_still_takes_itself_for_the_proposer_is_told_and_learns() {
    in_both_modes(4, |mut cluster| {
        cluster.choose("first", &[1, 2, 3]);
        let old = cluster.holder().expect("it chose");
        let others: Vec<u16> = (1..=3).filter(|number| *number != old).collect();
        cut_off(&mut cluster, old, 1..=4);
        // A node that only stands by does not know either; here it stands for a log that is far ahead.
        cluster.choose("without it", &others);
        cluster.run_for(3 * HEARTBEAT_US);
        cluster.change(&others, &[]);
        cluster.choose("after", &others);
        assert!(cluster.paxos(old).is_proposer());
        let ballots: Vec<_> = others.iter().map(|number| cluster.paxos(*number).status().promised).collect();
        cluster.heal();
        cluster.propose(old, "from the grave");
        cluster.drain();
        let told_so = |event: &Event| matches!(event, Event::NotMember { version: 1, .. });
        assert!(cluster.nodes[&old].events.iter().any(told_so));
        cluster.run_until("it learns", |cluster| cluster.knows(old, "after") && !cluster.paxos(old).is_proposer());
        cluster.run_until("it may leave", |cluster| cluster.paxos(old).status().may_leave);
        assert!(!cluster.truth.values().any(|chosen| *chosen == batch("from the grave")));
        let after: Vec<_> = others.iter().map(|number| cluster.paxos(*number).status().promised).collect();
        assert_eq!(ballots, after, "it disturbed nobody");
    });
}

// ---- newcomers and learners

#[test]
fn a_learner_follows_has_no_vote_and_reads() {
    in_both_modes(4, |mut cluster| {
        cluster.choose("first", &[1, 2, 3]);
        cluster.change(&[1, 2, 3], &[4]);
        cluster.choose("then", &[1, 2, 3, 4]);
        let gone: Vec<u16> = (1..=3).filter(|number| Some(*number) != cluster.holder()).collect();
        cluster.call(4, |paxos, now, fx| paxos.read(now, 9, fx));
        cluster.run_until("a learner reads", |cluster| !cluster.nodes[&4].reads.is_empty());
        for number in &gone {
            cluster.crash(*number, Unsynced::Kept);
        }
        let chosen = cluster.truth.len();
        if let Some(holder) = cluster.holder() {
            cluster.propose(holder, "in vain");
        }
        cluster.ask(4, "in vain too");
        cluster.run_for(50 * HEARTBEAT_US);
        assert_eq!(cluster.truth.len(), chosen, "one voter of three and a learner are no majority");
        assert!(!cluster.paxos(4).is_proposer());
    });
}

/// Its floor is far below, so it may neither vote up there nor take the group with it.
#[test]
fn a_newcomer_with_an_empty_log_that_hears_accepts_learns_first() {
    in_both_modes(4, |mut cluster| {
        cut_off(&mut cluster, 4, 1..=4);
        for number in 0..5 * ALPHA {
            cluster.choose(&format!("{number}"), &[1, 2, 3]);
        }
        cluster.change(&[1, 2, 3, 4], &[]);
        let holder = cluster.holder().expect("it chose");
        let status = cluster.paxos(holder).status();
        cluster.heal();
        cluster.queues.clear();
        cluster.send(holder, 4, accept(status.ballot, status.chosen.get() + 1, "far ahead"));
        cluster.deliver(holder, 4);
        assert_eq!(cluster.paxos(4).status().accepted, slot(0));
        cluster.choose("then", &[1, 2, 3, 4]);
        let other = 1 + holder % 3;
        cluster.crash(other, Unsynced::Kept);
        cluster.choose("three of four", &[4]);
    });
}

#[test]
fn a_newcomer_may_be_the_next_holder() {
    in_both_modes(4, |mut cluster| {
        cluster.choose("first", &[1, 2, 3]);
        cluster.change(&[1, 2, 3, 4], &[]);
        cluster.choose("then", &[1, 2, 3, 4]);
        cluster.elect(4);
        cluster.choose("by the newcomer", &[1, 2, 3, 4]);
    });
}

// ---- classic traps: a change of members in flight

/// {1, 2, 4} follow {1, 2, 3}, and a slot behind the change, still the old members', is chosen by 1 and 3. Nodes 2 and 4
/// know of the change, not of that slot, and are a majority of the new members.
pub(crate) fn a_slot_of_the_old_members_is_chosen_without_the_new(mut cluster: Cluster) {
    cluster.elect(1);
    cluster.choose("before", &[1, 2, 3]);
    cut_off(&mut cluster, 2, 1..=4);
    let text = cluster.nodes[&1].group.change(&[1, 2, 4], &[]);
    let change = cluster.propose(1, &text).expect("it is the proposer");
    cluster.propose(1, "behind it").expect("the pipeline is open");
    cluster.sync(1);
    while cluster.deliver(1, 3) {}
    cluster.sync(3);
    // The vote for the change comes last: both slots are chosen at once.
    cluster.queues.get_mut(&(3, 1)).expect("node 3 voted").make_contiguous().reverse();
    while cluster.deliver(3, 1) {}
    assert!(cluster.knows(1, "behind it"));
    cut_off(&mut cluster, 1, 1..=4);
    let mark = ChosenMark { through: change, ballot: cluster.paxos(1).status().ballot };
    cluster.call(3, |paxos, now, fx| paxos.on_message(now, node(1), Message::Chosen(mark), fx));
    cluster.cut.retain(|pair| *pair != (2, 3) && *pair != (3, 2));
    cluster.queues.clear();
    while !cluster.knows(2, &text) {
        cluster.send(3, 2, Message::Learned { from: change, batches: vec![batch(&text)] });
        cluster.deliver(3, 2);
    }
    cluster.heal();
    for (one, other) in [(1, 2), (1, 3), (1, 4), (2, 3), (3, 4)] {
        cluster.cut_both(one, other);
    }
    cluster.run_for(50 * HEARTBEAT_US);
    for number in [2, 4] {
        cluster.propose(number, "instead");
    }
    cluster.run_for(10 * HEARTBEAT_US);
    cluster.heal();
    cluster.choose("after", &[1, 2, 4]);
}

#[test]
fn the_old_members_slots_are_not_decided_without_them() {
    a_slot_of_the_old_members_is_chosen_without_the_new(Cluster::of(3, 4, Mode::Leader));
}

/// The holder proposes the first slot of {1, 4, 5} before it knows that they follow {1, 2, 3}.
pub(crate) fn proposed_before_it_is_known_whose(mut cluster: Cluster) {
    cluster.elect(1);
    cut_off(&mut cluster, 3, 1..=5);
    cluster.choose("before", &[1, 2]);
    cluster.queues.clear();
    let text = cluster.nodes[&1].group.change(&[1, 4, 5], &[]);
    let change = cluster.propose(1, &text).expect("it is the proposer").get();
    let first = change + ALPHA;
    let proposed: Vec<u64> =
        (change + 1..=first).filter_map(|number| cluster.propose(1, &format!("at {number}"))).map(Slot::get).collect();
    cluster.sync(1);
    while cluster.deliver(1, 2) {}
    cluster.sync(2);
    // The votes arrive, that for the change last: all is chosen at once, with the old members' votes.
    let votes = cluster.queues.get_mut(&(2, 1)).expect("node 2 voted");
    let at_change =
        votes.iter().position(|vote| matches!(vote, Message::Accepted { slot, .. } if slot.get() == change));
    let last = votes.remove(at_change.expect("it voted for the change")).expect("found above");
    votes.push_back(last);
    while cluster.deliver(2, 1) {}
    assert!(cluster.knows(1, &text));
    cluster.queues.clear();
    let mark = ChosenMark { through: slot(first - 1), ballot: cluster.paxos(1).status().ballot };
    let known = proposed.last().copied().unwrap_or_default();
    cluster.send(1, 2, Message::Chosen(ChosenMark { through: mark.through.min(slot(known)), ..mark }));
    while cluster.deliver(1, 2) {}
    cluster.heal();
    cut_off(&mut cluster, 1, 1..=5);
    cluster.run_until("4 and 5 go on alone", |cluster| {
        [4, 5].into_iter().any(|number| cluster.paxos(number).is_proposer())
    });
    cluster.choose("theirs", &[4, 5]);
    cluster.heal();
    cluster.choose("after", &[1, 4, 5]);
}

#[test]
fn nothing_is_proposed_before_it_is_known_whose_it_is() {
    proposed_before_it_is_known_whose(Cluster::of(3, 5, Mode::Leader));
}

/// Nodes 2 and 3 have not heard that {1, 4, 5} follow {1, 2, 3}, and a caller of 3 reads. Answers what the read was told
/// while they were cut off, and what was chosen before it began.
pub(crate) fn read_across_a_change(mut cluster: Cluster) -> (Option<Slot>, Slot) {
    cluster.elect(1);
    cluster.choose("before", &[1, 2, 3]);
    cluster.change(&[1, 2, 3], &[4, 5]);
    cluster.choose("with learners", &[1, 2, 3, 4, 5]);
    let text = cluster.nodes[&1].group.change(&[1, 4, 5], &[2, 3]);
    let at = cluster.propose(1, &text).expect("it is the proposer").get();
    cluster.drain();
    // 3 hears nothing from here on; 2 votes until the old members' last slot. Neither stands, to keep out of the way.
    for number in [2, 3] {
        cluster.call(number, |paxos, now, fx| paxos.resign(now, fx));
    }
    cut_off(&mut cluster, 3, 1..=5);
    cluster.fill_through(slot(at + ALPHA - 1));
    cut_off(&mut cluster, 2, 1..=5);
    cluster.choose("by the new", &[1, 4, 5]);
    let before = cluster.truth.last_key_value().map(|(last, _)| *last).expect("something is chosen");
    cluster.cut.retain(|pair| *pair != (2, 3) && *pair != (3, 2));
    cluster.run_for(3 * HEARTBEAT_US);
    cluster.call(3, |paxos, now, fx| paxos.read(now, 7, fx));
    cluster.run_for(10 * HEARTBEAT_US);
    let answer = |cluster: &Cluster| cluster.nodes[&3].reads.iter().find(|(read, _)| *read == 7).map(|(_, at)| *at);
    let alone = answer(&cluster);
    cluster.heal();
    cluster.call(3, |paxos, now, fx| paxos.read(now, 7, fx));
    cluster.run_until("the new members answer", |cluster| answer(cluster).is_some());
    (alone, before)
}

#[test]
fn a_read_across_a_change_waits_for_the_members_of_the_next_slot() {
    let (alone, before) = read_across_a_change(Cluster::of(3, 5, Mode::Leader));
    assert_eq!(alone, None, "{before:?} was chosen before");
}

// ---- state from elsewhere

fn epochs() -> Vec<(Slot, Membership)> {
    vec![(slot(30), membership(4, &[1, 2, 3], &[4]))]
}

#[test]
fn an_install_raises_the_floor_and_is_marked() {
    let mut solo = Solo::of_three(paxos::Recovered::default());
    for at in [1, 2, 2 * ALPHA] {
        solo.hear(2, accept(ballot(4, 2), at, "old"));
    }
    let mut fx = Effects::default();
    solo.paxos.install(solo.now, slot(40), epochs(), &mut fx);
    expect!["persist Chosen { through: s40 }"].assert_eq(&told(&fx));
    paxos::invariant::check(&solo.paxos);
    let status = solo.paxos.status();
    assert_eq!((status.applied, status.accepted, status.membership.version), (slot(40), slot(40), 4));
    assert_eq!(status.promised, ballot(4, 2), "promises stand");
    let fx = solo.hear(2, accept(ballot(4, 2), 41, "next"));
    assert_eq!(fx.vows.len(), 1);
    let mut fx = Effects::default();
    solo.paxos.install(solo.now, slot(39), vec![], &mut fx);
    assert!(fx.is_empty(), "it has come further by itself");
}

#[test]
fn an_install_at_the_proposer_ends_its_proposing() {
    let (mut solo, own) = Solo::holder();
    let fx = solo.propose("mine").expect("it is the proposer");
    solo.release_own(fx);
    let mut fx = Effects::default();
    solo.paxos.install(solo.now, slot(40), epochs(), &mut fx);
    assert_eq!(fx.events[0], Event::NoLongerProposer { to: own });
    paxos::invariant::check(&solo.paxos);
    let fx = solo.hear(2, Message::Accepted { ballot: own, slot: slot(1) });
    assert!(fx.chosen.is_empty());
}

#[test]
fn an_install_under_a_node_that_stands_lets_it_stand_above() {
    let mut solo = Solo::of_three(paxos::Recovered::default());
    let (prepared, fx) = solo.stand();
    solo.release_own(fx);
    let fx = solo.promise_of(2, prepared, 40, vec![report(41, ballot(0, 0), "found")]);
    assert!(!solo.paxos.is_proposer());
    let behind = Message::Behind { from: slot(1), first: slot(33) };
    assert!(fx.send.contains(&(node(2), Message::Learn { from: slot(1) })));
    assert_eq!(solo.hear(2, behind.clone()).behind, Some(node(2)));
    assert_eq!(solo.hear(3, behind).behind, None, "it was not asked");
    let mut fx = Effects::default();
    solo.paxos.install(solo.now, slot(40), epochs(), &mut fx);
    paxos::invariant::check(&solo.paxos);
    // It stands no more, or goes on: either way nothing is proposed at or below what was installed.
    assert!(accepts(&fx).iter().all(|(_, at, _)| *at > 40));
}
