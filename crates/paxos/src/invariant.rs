//! The relations that hold in every reachable state of one node. Tests and the simulator ask after every step.

use crate::controls::Control;
use crate::ids::{NodeId, Slot};
use crate::paxos::Paxos;

/// Panics, naming the relation, if the state is one that this code can never be in.
pub fn check(paxos: &Paxos) {
    let Paxos { acceptor, learner, proposer, members, peers, election, marked, checkpoint, rules, .. } = paxos;
    let me = members.me();
    let floor = acceptor.floor();

    assert!(learner.applied <= floor, "node {me}: applied {} is above chosen {floor}", learner.applied);
    assert!(*checkpoint <= floor, "node {me}: the checkpoint {checkpoint} is above chosen {floor}");
    assert_eq!(*marked, floor, "node {me}: what is chosen is marked so in the log at once");
    assert!(acceptor.promised() <= election.lead, "node {me}: promised a ballot that it never heard of");
    for (slot, vote) in acceptor.votes() {
        assert!(*slot > floor, "node {me}: keeps a vote for {slot}, at or below its floor {floor}");
        assert!(*slot <= floor.plus(acceptor.bound()), "node {me}: holds {slot}, too far above its floor {floor}");
        assert!(vote.ballot <= acceptor.promised(), "node {me}: voted in {slot} above its promise");
    }
    let kept = &paxos.kept;
    assert!(kept.promised <= acceptor.promised(), "node {me}: its disk has promised more than it has");
    assert!(kept.chosen <= floor && kept.accepted <= acceptor.highest(), "node {me}: its disk holds more than it does");

    assert!(members.epochs().is_sorted_by(|(one, _), (next, _)| one < next), "node {me}: epochs out of order");
    let known: Vec<NodeId> = peers.iter().map(|(node, _)| node).collect();
    assert_eq!(known, members.others().collect::<Vec<_>>(), "node {me}: its peers are those in its epochs");

    let Some(ballot) = proposer.ballot() else { return };
    assert_eq!(ballot.owner(), Some(me), "node {me}: proposes with another's ballot");
    assert_eq!(ballot, acceptor.promised(), "node {me}: proposes with a ballot that it has not promised, or beyond it");
    assert!(paxos.may_vote(), "node {me}: stands although it may not bind itself");
    let Some(active) = proposer.active() else { return };
    assert!(active.base <= floor, "node {me}: became the proposer before it knew what lies below its base");
    assert!(active.next > floor, "node {me}: would propose at or below its floor");
    let last = learner.applied.max(active.base).plus(paxos.config.alpha);
    let past_alpha = active.in_flight_slots().any(|slot| slot > last) && rules.hold(Control::ProposePastAlpha);
    assert!(!past_alpha, "node {me}: proposed beyond alpha");
    let expected: Vec<Slot> = (floor.get() + 1..active.next.get()).map(Slot::new).collect();
    let in_flight: Vec<Slot> = active.in_flight_slots().collect();
    assert_eq!(in_flight, expected, "node {me}: all that is proposed and not chosen is in flight");
    // Who proposes before it can know whose a slot is learns only later that it counted the wrong ones.
    if rules.hold(Control::ProposePastAlpha) && rules.hold(Control::CountAcrossChange) {
        active.check_epochs(members);
    }
}
