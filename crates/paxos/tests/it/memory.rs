//! Disks that are not what they were: wiped, an older copy, without a vote's batch, or without a vote.

use crate::cluster::{Cluster, HEARTBEAT_US, Unsynced, batch, config, node, slot};
use paxos::{Ballot, Effects, Event, Message, Mode, Now, Paxos, Recovered};

fn is_forgetful(cluster: &Cluster, number: u16) -> bool {
    cluster.nodes[&number].events.iter().any(|event| matches!(event, Event::Forgetful { .. }))
}

fn in_both_modes(play: impl Fn(Cluster)) {
    for mode in [Mode::Leader, Mode::Leaderless] {
        play(Cluster::of(3, 3, mode));
    }
}

#[test]
fn a_wiped_disk_never_votes_and_learns_all_the_same() {
    in_both_modes(|mut cluster| {
        cluster.choose("before", &[1, 2, 3]);
        cluster.run_for(2 * HEARTBEAT_US);
        cluster.crash(3, Unsynced::Lost);
        cluster.put_back(3, 0);
        cluster.start(3);
        cluster.choose("after", &[1, 2, 3]);
        assert!(is_forgetful(&cluster, 3) && !cluster.paxos(3).status().votes);
        // With it alone there is no majority.
        cluster.crash(2, Unsynced::Kept);
        cluster.run_for(5 * HEARTBEAT_US);
        cluster.ask(1, "in vain");
        if let Some(holder) = cluster.holder() {
            cluster.propose(holder, "in vain");
        }
        cluster.run_for(50 * HEARTBEAT_US);
        assert!(!cluster.truth.values().any(|chosen| *chosen == batch("in vain")));
        cluster.start(2);
        cluster.choose("at last", &[1, 2, 3]);
    });
}

#[test]
fn an_older_copy_of_a_disk_never_votes() {
    in_both_modes(|mut cluster| {
        cluster.choose("before", &[1, 2, 3]);
        let older = cluster.log_len(3);
        cluster.choose("since", &[1, 2, 3]);
        cluster.run_for(2 * HEARTBEAT_US);
        cluster.crash(3, Unsynced::Lost);
        cluster.put_back(3, older);
        cluster.start(3);
        cluster.run_for(5 * HEARTBEAT_US);
        assert!(is_forgetful(&cluster, 3) && !cluster.paxos(3).status().votes);
    });
}

#[test]
fn a_disk_that_lost_only_what_never_left_votes_again() {
    in_both_modes(|mut cluster| {
        cluster.choose("before", &[1, 2, 3]);
        for number in [1, 2, 3] {
            cluster.propose(number, "unsynced");
            cluster.crash(number, Unsynced::Lost);
            cluster.start(number);
            cluster.run_for(5 * HEARTBEAT_US);
            assert!(!is_forgetful(&cluster, number) && cluster.paxos(number).status().votes);
        }
        cluster.choose("after", &[1, 2, 3]);
    });
}

#[test]
fn a_whole_group_that_starts_again_votes() {
    in_both_modes(|mut cluster| {
        cluster.choose("before", &[1, 2, 3]);
        for number in [1, 2, 3] {
            cluster.crash(number, Unsynced::Lost);
        }
        cluster.start(1);
        cluster.run_for(20 * HEARTBEAT_US);
        assert!(!cluster.paxos(1).status().votes, "alone it cannot know");
        cluster.start(2);
        cluster.choose("with two", &[1, 2]);
        cluster.start(3);
        cluster.choose("with three", &[1, 2, 3]);
    });
}

/// One node that has just started on what its disk holds.
struct Started {
    paxos: Paxos,
    now: Now,
}

impl Started {
    fn of(members: u16, recovered: Recovered) -> Started {
        let now = Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        Started { paxos: Paxos::new(config(1, members), recovered, now), now }
    }

    fn hear(&mut self, from: u16, message: Message) -> Effects {
        let mut fx = Effects::default();
        self.paxos.on_message(self.now, node(from), message, &mut fx);
        paxos::invariant::check(&self.paxos);
        fx
    }

    fn is_told(&mut self, by: u16, promised: Ballot, accepted: u64) -> Vec<Event> {
        self.hear(by, Message::Memory { promised, accepted: slot(accepted) }).events
    }

    fn tick(&mut self, rounds: u64) -> Effects {
        let mut fx = Effects::default();
        for _ in 0..rounds {
            self.now.mono_us += HEARTBEAT_US;
            self.paxos.on_tick(self.now, &mut fx);
        }
        fx
    }
}

fn ballot(round: u64, node: u16) -> Ballot {
    Ballot { round, node }
}

fn accept(under: Ballot, at: u64) -> Message {
    Message::Accept { ballot: under, slot: slot(at), batch: batch("a"), chosen: None }
}

#[test]
fn until_a_majority_has_told_a_starting_node_binds_itself_to_nothing() {
    let mut started = Started::of(5, Recovered { promised: ballot(3, 2), ..Recovered::default() });
    let binding = [Message::Prepare { ballot: ballot(9, 2) }, accept(ballot(9, 2), 1), Message::ReadQuery { read: 1 }];
    let asked = started.tick(10);
    let remember = asked.send.iter().filter(|(to, message)| *to == node(4) && *message == Message::Remember);
    assert_eq!(remember.count(), 10, "it asks once a round");
    for (told, by) in [2, 3].into_iter().enumerate() {
        for message in binding.clone() {
            let fx = started.hear(2, message);
            assert!(fx.vows.is_empty() && fx.persist.is_empty(), "{told} told");
            assert!(!fx.send.iter().any(|(_, answer)| matches!(answer, Message::ReadReply { .. })));
        }
        assert!(!started.paxos.status().votes);
        assert!(started.is_told(by, Ballot::ZERO, 0).is_empty());
    }
    assert!(started.paxos.status().votes, "two told, and itself");
    assert_eq!(started.hear(2, accept(ballot(9, 2), 1)).vows.len(), 1);
}

#[test]
fn a_wiped_founder_is_told_by_members_that_it_does_not_know() {
    let mut started = Started::of(3, Recovered::default());
    started.tick(1);
    for by in [8, 9] {
        assert!(started.is_told(by, Ballot::ZERO, 0).is_empty());
    }
    started.tick(50);
    assert!(!started.paxos.status().votes, "what strangers do not remember proves nothing");
    let impossible = Ballot { round: 5, node: 0 };
    assert!(started.is_told(8, impossible, 0).is_empty(), "nobody can have promised that");
    let news = started.is_told(9, ballot(7, 1), 104);
    assert!(news.contains(&Event::Forgetful { by: node(9), ballot: ballot(7, 1), slot: slot(104) }));
}

#[test]
fn those_that_are_late_have_their_say_for_a_few_rounds() {
    let mut started = Started::of(3, Recovered { promised: ballot(3, 2), ..Recovered::default() });
    started.tick(1);
    started.is_told(2, Ballot::ZERO, 0);
    assert!(!started.paxos.status().votes, "the third may know more");
    let news = started.is_told(3, ballot(4, 3), 0);
    assert!(news.contains(&Event::Forgetful { by: node(3), ballot: ballot(4, 3), slot: slot(0) }));
    started.tick(50);
    started.is_told(2, Ballot::ZERO, 0);
    assert!(!started.paxos.status().votes, "and never again");

    let mut started = Started::of(3, Recovered { promised: ballot(3, 2), ..Recovered::default() });
    started.tick(1);
    started.is_told(2, Ballot::ZERO, 0);
    started.tick(5);
    assert!(started.paxos.status().votes, "but who is away does not stop it");
}

#[test]
fn what_is_told_is_compared_with_ballot_and_slot() {
    let disk = || {
        let vote = (slot(5), ballot(2, 2), batch("e").digest(), Some(batch("e")));
        Recovered { promised: ballot(3, 2), accepted: vec![vote], chosen: slot(4), ..Recovered::default() }
    };
    for (promised, accepted, is_news) in
        [(ballot(3, 2), 5, false), (ballot(3, 1), 4, false), (ballot(3, 3), 0, true), (ballot(1, 1), 6, true)]
    {
        let mut started = Started::of(3, disk());
        assert_eq!(!started.is_told(2, promised, accepted).is_empty(), is_news, "{promised:?} {accepted}");
    }
    let mut repaired = Started::of(3, Recovered { held: slot(6), ..disk() });
    assert!(repaired.is_told(2, ballot(3, 2), 6).is_empty(), "slot 6 was there, and has rotted");
}

#[test]
fn a_node_alone_votes_at_once() {
    let mut alone = Started::of(1, Recovered::default());
    assert!(alone.paxos.status().votes);
    alone.tick(1);
}

#[test]
fn a_peer_remembers_vows_and_what_heartbeats_say_is_on_disk() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.choose("a", &[1, 2, 3]);
    let promised = cluster.paxos(1).status().ballot;
    cluster.run_for(2 * HEARTBEAT_US);
    for (of, by) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        cluster.queues.clear();
        cluster.call(by, |paxos, now, fx| paxos.on_message(now, node(of), Message::Remember, fx));
        let told = cluster.queues[&(by, of)].back().cloned();
        assert_eq!(told, Some(Message::Memory { promised, accepted: slot(1) }), "{by} of {of}");
    }
}

#[test]
fn a_node_that_lost_a_vote_for_good_learns_and_binds_itself_to_nothing() {
    let mut started = Started::of(3, Recovered { votes: false, ..Recovered::default() });
    for by in [2, 3] {
        assert!(started.is_told(by, Ballot::ZERO, 0).is_empty());
    }
    for message in [Message::Prepare { ballot: ballot(9, 2) }, accept(ballot(9, 2), 1), Message::ReadQuery { read: 1 }]
    {
        let fx = started.hear(2, message);
        assert!(fx.vows.is_empty() && fx.send.is_empty());
    }
    let fx = started.hear(2, Message::Learned { from: slot(1), batches: vec![batch("a")] });
    assert_eq!(fx.chosen, [(slot(1), batch("a"))]);
    assert!(!started.paxos.status().votes);
}

#[test]
fn a_vote_without_its_batch_stands_is_not_handed_out_and_is_learned() {
    let lost = (slot(1), ballot(2, 2), batch("a").digest(), None);
    let disk = Recovered { promised: ballot(2, 2), accepted: vec![lost], ..Recovered::default() };
    let mut started = Started::of(3, disk);
    for by in [2, 3] {
        started.is_told(by, ballot(2, 2), 1);
    }
    let fx = started.hear(3, Message::Prepare { ballot: ballot(5, 3) });
    let report = paxos::Report { slot: slot(1), ballot: ballot(2, 2), digest: batch("a").digest() };
    let promise = Message::Promise { ballot: ballot(5, 3), floor: slot(0), accepted: vec![report] };
    assert_eq!(fx.vows[0].1.peek(), &promise);
    assert!(started.hear(3, Message::FetchBatch { slot: slot(1), ballot: ballot(2, 2) }).send.is_empty());
    let mark = paxos::ChosenMark { through: slot(1), ballot: ballot(2, 2) };
    let fx = started.hear(2, Message::Chosen(mark));
    assert!(fx.chosen.is_empty());
    assert_eq!(fx.send, [(node(2), Message::Learn { from: slot(1) })]);
    let fx = started.hear(2, Message::Learned { from: slot(1), batches: vec![batch("a")] });
    assert_eq!(fx.persist[0], paxos::Record::Learned { slot: slot(1), batch: batch("a") });
}

/// Node 1 of three stands; its own vote for slot 1 has lost its batch. Answers its ballot.
fn stands_with_a_lost_copy() -> (Started, Ballot) {
    let lost = (slot(1), ballot(2, 2), batch("a").digest(), None);
    let disk = Recovered { promised: ballot(2, 2), accepted: vec![lost], ..Recovered::default() };
    let mut started = Started::of(3, disk);
    for by in [2, 3] {
        started.is_told(by, ballot(2, 2), 1);
    }
    let pulse = paxos::Pulse {
        clock_ms: started.now.wall_ms,
        clock_jumped: false,
        promised: ballot(2, 2),
        accepted: slot(1),
        leader: ballot(2, 2),
        happy: false,
        chosen: slot(0),
        kept: slot(0),
        checkpoint: slot(0),
    };
    started.tick(1);
    let fx = started.hear(2, Message::HeartbeatReply { round: 1, pulse });
    for (to, vow) in fx.vows {
        if to == node(1) {
            started.hear(1, vow.into_message());
        }
    }
    let prepared = started.paxos.status().ballot;
    (started, prepared)
}

fn promise(prepared: Ballot, accepted: Vec<(Ballot, &str)>) -> Message {
    let report = |(ballot, text)| paxos::Report { slot: slot(1), ballot, digest: batch(text).digest() };
    Message::Promise { ballot: prepared, floor: slot(0), accepted: accepted.into_iter().map(report).collect() }
}

#[test]
fn a_holder_fetches_what_its_own_vote_has_lost() {
    let (mut started, prepared) = stands_with_a_lost_copy();
    // Under a lower ballot it is the same batch, if it has the same digest.
    let fx = started.hear(2, promise(prepared, vec![(ballot(1, 3), "a")]));
    assert_eq!(fx.send, [(node(2), Message::FetchBatch { slot: slot(1), ballot: ballot(1, 3) })]);
    assert!(!started.paxos.is_proposer());
    started.hear(2, Message::FetchedBatch { slot: slot(1), ballot: ballot(1, 3), batch: batch("a") });
    assert!(started.paxos.is_proposer());
}

#[test]
fn a_batch_that_nobody_has_and_that_was_not_chosen_holds_up_nothing() {
    let (mut started, prepared) = stands_with_a_lost_copy();
    started.hear(2, promise(prepared, vec![(ballot(1, 3), "other")]));
    started.tick(20);
    assert!(!started.paxos.is_proposer(), "node 3 may have it, and then it may be chosen");
    let fx = started.hear(3, promise(prepared, vec![]));
    assert!(started.paxos.is_proposer(), "two of three never voted for it");
    assert!(!fx.send.iter().any(|(_, message)| matches!(message, Message::Accept { .. })), "the slot is free");
}

#[test]
fn a_batch_that_nobody_has_and_that_may_be_chosen_holds_up_everything() {
    let (mut started, prepared) = stands_with_a_lost_copy();
    started.hear(2, promise(prepared, vec![(ballot(2, 2), "a")]));
    started.hear(3, promise(prepared, vec![]));
    started.tick(40);
    assert!(!started.paxos.is_proposer(), "two of three voted for it");
}

#[test]
fn a_batch_that_was_not_chosen_is_finished_all_the_same_if_somebody_has_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut_both(1, 3);
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = true;
    cluster.propose(1, "left behind");
    cluster.drain();
    cluster.crash(1, Unsynced::Lost);
    cluster.nodes.get_mut(&1).expect("node 1").disk_hangs = false;
    cluster.heal();
    cluster.start(1);
    cluster.elect(3);
    cluster.run_until("it is chosen", |cluster| cluster.knows(3, "left behind"));
}
