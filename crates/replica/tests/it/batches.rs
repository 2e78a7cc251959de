//! What goes into one batch, and how many batches are on their way at once.

use crate::cluster::Cluster;
use crate::machine::add;
use bytes::Bytes;
use replica::group::Mode;
use replica::{Input, Message, Output};

/// A group's leader, and the slots that it proposes when it is asked and nobody answers.
struct Asked {
    cluster: Cluster,
    leader: u16,
    seq: u64,
}

impl Asked {
    fn new() -> Self {
        let mut cluster = Cluster::new(3, Mode::Leader);
        cluster.add(1, 1, 1, 1);
        // The others hear of what was chosen, so that nothing is under way.
        cluster.pass(100_000);
        let leader = cluster.leader().expect("it has answered");
        Self { cluster, leader, seq: 1_000_000 }
    }

    /// Tells of these requests, each so long, and lets the leader go on once.
    fn slots(&mut self, requests: &[usize]) -> usize {
        let now = self.cluster.now(1);
        let mut out = Output::default();
        let replica = &mut self.cluster.nodes.get_mut(&self.leader).expect("it runs").replica;
        for bytes in requests {
            self.seq += 1;
            let mut request = add(u128::from(self.seq), 1, 1);
            request.resize(request.len().max(*bytes), 0);
            let submit = Input::Submit { seq: self.seq, request: Bytes::from(request), deadline_us: u64::MAX };
            replica.take(now, submit, &mut out);
        }
        assert!(out.send.is_empty(), "nothing goes before all is told");
        replica.move_on(now, &mut out);
        let other = if self.leader == 1 { 2 } else { 1 };
        let is_accept = |message: &Message| matches!(message, Message::Paxos(paxos::Message::Accept { .. }));
        out.send.iter().filter(|(to, message)| to.get() == other && is_accept(message)).count()
    }
}

#[test]
fn all_that_is_told_together_goes_into_one_batch() {
    let mut asked = Asked::new();
    assert_eq!(asked.slots(&[10; 50]), 1);
}

#[test]
fn small_batches_wait_for_the_sync_under_way_and_large_ones_are_pipelined() {
    let mut small = Asked::new();
    assert_eq!([(); 4].map(|()| small.slots(&[10])), [1, 1, 0, 0]);
    let mut large = Asked::new();
    assert_eq!([(); 6].map(|()| large.slots(&[100_000])), [1, 1, 1, 1, 0, 0]);
    // What waits grows large in the end.
    assert_eq!([(); 2].map(|()| small.slots(&[40_000])), [0, 1]);
}

/// One node whose table has so many entries, and how many more journal records make the next checkpoint due.
fn records_until_due(names: u8, fold_records: u64) -> (u64, u64) {
    let mut cluster = Cluster::new(1, Mode::Leader);
    cluster.stop(1);
    cluster.fold_records = fold_records;
    let founders = cluster.founders(1);
    cluster.start(1, founders);
    for name in 0..names {
        cluster.add(1, u128::from(name) + 1, name, 1);
    }
    cluster.checkpoint(1);
    let table_bytes = cluster.nodes[&1].applier.table_bytes();
    let before = cluster.nodes[&1].applier.places();
    for id in 1_000.. {
        let applier = &mut cluster.nodes.get_mut(&1).expect("it runs").applier;
        if applier.fold_if_due().is_some() {
            return (applier.places() - before, table_bytes);
        }
        cluster.add(1, id, 1, 1);
    }
    unreachable!("ids do not end")
}

#[test]
fn a_checkpoint_is_due_when_the_journal_since_is_as_long_as_the_table() {
    // A request takes two places: the header of its batch, and its record.
    let (records, table) = records_until_due(3, 10);
    assert!(table < 10 * 256 && (10..12).contains(&records), "{records} records, {table} bytes");
    let (records, table) = records_until_due(250, 10);
    assert!(table > 12 * 256, "a table of {table} bytes tests nothing");
    assert!((table / 256..table / 256 + 3).contains(&records), "{records} records, {table} bytes");
}
