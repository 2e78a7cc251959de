//! What one ideal machine would do: the same ledger over a journal that is a list in memory and an index that forgets
//! nothing. It is told every slot once, in order, by whoever has it first; what any node answers or holds after a slot
//! is compared with it.
//!
//! It shares the ledger's rules with the nodes, so it cannot find a wrong rule (`books` and the ledger's own tests do);
//! it finds whatever lies between the rules and the disk: logs, journals, runs of ids, checkpoints, replays.

use super::Violation;
use bank::{BankAnswer, Machine};
use ledger::Request;
use paxos::{Batch, Slot};
use replica::group::{self, Change, ChangeRefused, Group};
use replica::request::{self, Content};
use replica::{At, JournalPort, StateMachine};
use std::collections::BTreeMap;
use storage::{IndexKey, JournalRecord};

#[derive(Debug)]
pub struct Reference {
    machine: Machine,
    group: Group,
    rules: group::Rules,
    journal: Memory,
}

/// A journal in memory.
#[derive(Debug, Default)]
struct Memory {
    records: Vec<JournalRecord>,
    by_key: BTreeMap<IndexKey, u64>,
}

/// What a slot's requests are and what they are answered.
#[derive(Debug)]
pub struct Ideal {
    pub requests: Vec<(Request, BankAnswer)>,
    /// A change of the group, and why it was not taken, if it was not.
    pub change: Option<(Change, Result<(), ChangeRefused>)>,
    pub state: [u8; 32],
}

impl Reference {
    /// An ideal machine of a group with these founders, which keeps these rules of changes.
    pub fn new(founders: Group, rules: group::Rules) -> Reference {
        let mut machine = Machine::new(7);
        machine.restored().expect("an empty checkpoint is one");
        Reference { machine, group: founders, rules, journal: Memory::default() }
    }

    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Switches a rule off here as it is off in the nodes.
    pub fn switch(&mut self, control: ledger::Control) {
        self.machine.set_control(control);
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn apply(&mut self, slot: Slot, batch: &Batch) -> Result<Ideal, Violation> {
        let decoded = request::decode(batch)
            .map_err(|error| Violation(format!("slot {} holds what nobody can read: {error}", slot.get())))?;
        // Each batch begins with a header, which takes a place of its own.
        self.journal.records.push([0; storage::RECORD]);
        let decoded = match decoded {
            Content::Requests(requests) => requests,
            Content::Control(control) => {
                let outcome = self.group.apply(slot, &control.change, self.rules);
                let records = group::records(slot, control.clock_ms, &control.change, outcome, &self.group);
                self.journal.records.extend(records);
                let change = Some((control.change, outcome));
                return Ok(Ideal { requests: Vec::new(), change, state: self.machine.digest() });
            }
        };
        let at = At { slot: slot.get(), clock_ms: decoded.clock_ms };
        let mut requests = Vec::with_capacity(decoded.requests.len());
        for tagged in decoded.requests {
            let answer = self.machine.apply(at, &tagged.request, &mut self.journal);
            let request = Request::decode(&tagged.request)
                .map_err(|error| Violation(format!("slot {} holds a malformed request: {error}", slot.get())))?;
            requests.push((request, answer));
        }
        Ok(Ideal { requests, change: None, state: self.machine.digest() })
    }
}

impl JournalPort for Memory {
    fn find(&self, key: IndexKey) -> Option<JournalRecord> {
        self.by_key.get(&key).map(|place| self.records[*place as usize])
    }

    fn push(&mut self, key: Option<IndexKey>, record: &JournalRecord) -> u64 {
        let place = self.records.len() as u64;
        self.records.push(*record);
        if let Some(key) = key {
            self.by_key.entry(key).or_insert(place);
        }
        place
    }

    fn next_place(&self) -> u64 {
        self.records.len() as u64
    }
}
