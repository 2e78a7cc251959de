//! The log under crashes: what was proven synced is there, and what is there is exactly what was appended up to some
//! point, nothing torn, nothing from an earlier life.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use storage::{FaultyDisk, Log, LogOptions, LogRecord, LogRecovered, LogVote, Owner, Unsynced};

use crate::chance::Chance;

const OWNER: Owner = Owner { cluster: 0xC1, node: 2 };
const DIR: &str = "alpha/2";
/// Small, so that a short run goes through many segments.
const OPTIONS: LogOptions = LogOptions { segment_bytes: 32 << 10 };

/// Ballot and batch.
type Vote = ((u64, u16), Bytes);

/// What a log should say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    promised: (u64, u16),
    chosen: u64,
    accepted: BTreeMap<u64, Vote>,
    learned: BTreeMap<u64, Bytes>,
}

impl Model {
    fn take(&mut self, record: &LogRecord) {
        match record {
            LogRecord::Promised { round, node } => self.promised = self.promised.max((*round, *node)),
            LogRecord::Accepted { slot, round, node, batch } => {
                self.promised = self.promised.max((*round, *node));
                self.accepted.insert(*slot, ((*round, *node), batch.clone()));
            }
            LogRecord::Learned { slot, batch } => {
                self.learned.insert(*slot, batch.clone());
            }
            LogRecord::Chosen { through } => self.chosen = self.chosen.max(*through),
        }
    }

    fn batch(&self, slot: u64) -> &Bytes {
        self.learned.get(&slot).or(self.accepted.get(&slot).map(|(_, batch)| batch)).expect("chosen slots have a batch")
    }

    /// Whether a log in this state says this when it is opened: no crash leaves a vote without its batch.
    fn says(&self, recovered: &LogRecovered) -> bool {
        let expected = self.accepted.range(recovered.chosen + 1..);
        let same = |((slot, (ballot, batch)), vote): ((&u64, &Vote), &LogVote)| {
            let digest = *blake3::hash(batch).as_bytes();
            let whole = vote.3.as_ref() == Some(batch);
            (*slot, *ballot, digest) == (vote.0, vote.1, vote.2) && whole
        };
        recovered.promised == self.promised
            && recovered.chosen == self.chosen
            && expected.clone().count() == recovered.accepted.len()
            && expected.zip(&recovered.accepted).all(same)
    }
}

/// A node that appends at random, and the states that its log may be found in after a crash.
struct Life {
    chance: Chance,
    /// After each record since the last proof, the proven state first.
    states: Vec<Model>,
    trimmed_below: u64,
    /// Slots above the chosen ones of which a crash may have left or lost a learned batch: opening does not tell.
    doubtful: BTreeSet<u64>,
}

impl Life {
    fn new(seed: u64) -> Life {
        Life { chance: Chance::new(seed), states: vec![Model::default()], trimmed_below: 0, doubtful: BTreeSet::new() }
    }

    fn newest(&self) -> &Model {
        self.states.last().expect("there is always the proven one")
    }

    /// Works until the disk fails or `steps` are done.
    fn work(&mut self, log: &mut Log<FaultyDisk>, steps: u64) -> Result<(), storage::LogError> {
        for _ in 0..steps {
            let records = self.group();
            for record in &records {
                let mut next = self.newest().clone();
                next.take(record);
                self.states.push(next);
            }
            let pending = log.append(Unsynced::new(records, "vote"))?;
            if self.chance.below(2) == 0 {
                let proof = log.sync()?;
                assert_eq!(pending.release(&proof).expect("the sync came after it"), "vote");
                self.states.drain(..self.states.len() - 1);
            }
            if self.chance.below(8) == 0 {
                let below = self.states[0].chosen.saturating_sub(self.chance.below(4));
                self.trimmed_below = self.trimmed_below.max(below);
                log.trim(below)?;
            }
            if self.chance.below(4) == 0
                && let Some(job) = log.spare_job()
            {
                log.put_spare(job.run()?);
            }
        }
        Ok(())
    }

    fn group(&mut self) -> Vec<LogRecord> {
        let mut model = self.newest().clone();
        (0..1 + self.chance.below(4))
            .map(|_| {
                let record = self.record(&model);
                model.take(&record);
                record
            })
            .collect()
    }

    fn record(&mut self, model: &Model) -> LogRecord {
        let next = model.accepted.keys().next_back().copied().unwrap_or(0).max(model.chosen) + 1;
        let held = next - 1;
        match self.chance.below(6) {
            0 => LogRecord::Promised { round: model.promised.0 + 1, node: 1 + self.chance.below(3) as u16 },
            1 if held > model.chosen => {
                let through = model.chosen + 1 + self.chance.below(held - model.chosen);
                self.chosen(through)
            }
            2 if held > model.chosen => LogRecord::Learned { slot: model.chosen + 1, batch: self.batch() },
            _ => {
                let slot = model.chosen + 1 + self.chance.below(next - model.chosen);
                LogRecord::Accepted { slot, round: model.promised.0 + 1, node: 1, batch: self.batch() }
            }
        }
    }

    /// Says that slots are chosen, but learns first what the log may or may not have learned.
    fn chosen(&mut self, through: u64) -> LogRecord {
        match self.doubtful.first().copied() {
            Some(slot) if slot <= through => {
                self.doubtful.remove(&slot);
                LogRecord::Learned { slot, batch: self.batch() }
            }
            Some(_) | None => LogRecord::Chosen { through },
        }
    }

    fn batch(&mut self) -> Bytes {
        let len = [0, 40, 700, 3000][self.chance.below(4) as usize] + self.chance.below(64);
        let byte = self.chance.below(256) as u8;
        vec![byte; len as usize].into()
    }

    /// The log was found in one of the states that it may be in; that one is proven now.
    fn check(&mut self, log: &Log<FaultyDisk>, recovered: &LogRecovered, context: &str) {
        assert!(recovered.votes && recovered.rotten.is_empty(), "{context}: no crash is damage: {recovered:?}");
        let Some(state) = self.states.iter().rev().find(|state| state.says(recovered)) else {
            panic!("{context}: found {recovered:?},\nproven {:?}", self.states[0]);
        };
        let state = state.clone();
        assert!(recovered.first_slot <= self.trimmed_below.max(1), "{context}: more was trimmed than was said");
        match log.read_chosen(recovered.first_slot, usize::MAX) {
            Ok(batches) => {
                assert_eq!(batches.len() as u64, state.chosen + 1 - recovered.first_slot, "{context}");
                for (slot, batch) in (recovered.first_slot..).zip(&batches) {
                    assert_eq!(batch, state.batch(slot), "{context}: slot {slot}");
                }
            }
            // The disk may fail again at any time.
            Err(error) => assert!(error.is_disk_failure(), "{context}: {error}"),
        }
        let learned = self.states.iter().flat_map(|state| state.learned.keys());
        self.doubtful = learned.copied().filter(|slot| *slot > state.chosen).collect();
        self.states = vec![state];
    }
}

fn open(disk: &FaultyDisk) -> Result<(Log<FaultyDisk>, LogRecovered), storage::OpenError> {
    Log::open(disk.clone(), Path::new(DIR), OWNER, OPTIONS)
}

/// One life that ends after `operations` disk operations or when its work is done.
fn live(disk: &FaultyDisk, life: &mut Life, steps: u64, context: &str) {
    let Ok((mut log, recovered)) = open(disk) else { return };
    life.check(&log, &recovered, context);
    // A disk that fails ends the life; what it kept is checked by the next one.
    let _ = life.work(&mut log, steps);
}

#[test]
fn what_was_proven_synced_survives_a_crash_at_every_operation() {
    let (steps, script) = (60, 7);
    let disk = FaultyDisk::new(0);
    live(&disk, &mut Life::new(script), steps, "dry run");
    let operations = disk.operations();
    assert!(operations > 100, "the script does something: {operations}");
    for crash in 0..operations {
        for luck in 0..4 {
            let disk = FaultyDisk::new(luck);
            let mut life = Life::new(script);
            disk.fail_after(crash, ErrorKind::Other);
            live(&disk, &mut life, steps, "first life");
            disk.heal();
            disk.crash(crash * 31 + luck);
            let context = format!("crash after {crash}, luck {luck}");
            let (log, recovered) = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            life.check(&log, &recovered, &context);
            drop(log);
            let (log, again) = open(&disk).unwrap_or_else(|error| panic!("{context}, again: {error}"));
            assert_eq!(again, LogRecovered { torn_bytes: 0, ..recovered }, "{context}: it says the same again");
            life.check(&log, &again, &context);
        }
    }
}

#[test]
fn no_life_sees_what_an_earlier_one_dropped() {
    for seed in 0..400 {
        let disk = FaultyDisk::new(seed);
        let mut life = Life::new(seed);
        for n in 0..12 {
            disk.fail_after(life.chance.below(120), ErrorKind::Other);
            live(&disk, &mut life, 60, &format!("seed {seed}, life {n}"));
            disk.heal();
            // Sometimes only the process dies: then the page cache still shows what no sync covered.
            if life.chance.below(4) > 0 {
                disk.crash(seed * 100 + n);
            }
        }
        let (log, recovered) = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        life.check(&log, &recovered, &format!("seed {seed}, the end"));
    }
}

#[test]
fn a_full_disk_at_any_write_loses_nothing_and_the_log_opens_again_with_room() {
    let (steps, script) = (60, 11);
    let disk = FaultyDisk::new(0);
    live(&disk, &mut Life::new(script), steps, "dry run");
    for operation in 0..disk.operations() {
        let disk = FaultyDisk::new(operation);
        let mut life = Life::new(script);
        disk.fail_after(operation, ErrorKind::StorageFull);
        match open(&disk) {
            Ok((mut log, recovered)) => {
                life.check(&log, &recovered, "fresh");
                if let Err(error) = life.work(&mut log, steps) {
                    assert!(error.is_full(), "{error}");
                    assert!(error.to_string().ends_with("no space left on device"), "{error}");
                }
            }
            Err(error) => assert!(error.is_full(), "{error}"),
        }
        disk.heal();
        let context = format!("full at {operation}");
        let (log, recovered) = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        life.check(&log, &recovered, &context);
    }
}
