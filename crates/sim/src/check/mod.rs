//! The checkers: what must hold whatever happens to machines and networks. Each looks at a run through what it is told
//! after every step, keeps its own memory of what went before, and names the first thing that does not hold.

pub mod agreement;
pub mod books;
pub mod history;
pub mod members;
pub mod reference;
pub mod time;

use crate::control::Control;
use agreement::Agreement;
use books::Books;
use history::{Called, History, Moment};
use ledger::{Answer, Command, Request};
use members::Members;
use paxos::{Batch, Slot};
use reference::Reference;
use replica::group::{Group, Op};
use time::Time;

/// Something that must never happen has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// Holds, or is a violation with this sentence.
pub(crate) fn must(holds: bool, sentence: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(sentence())) }
}

/// All checkers of one run.
#[derive(Debug)]
pub struct Checks {
    pub agreement: Agreement,
    pub reference: Reference,
    pub books: Books,
    pub history: History,
    pub members: Members,
    pub time: Time,
}

impl Checks {
    /// A rule of the ledger that is off is off in the ideal machine too: what is then looked for is a contradiction among
    /// answers, not a difference to a machine that still keeps the rule.
    pub fn new(control: Option<Control>, founders: Group) -> Checks {
        let rules = control.map_or_else(replica::group::Rules::default, Control::group_rules);
        // Where two votes may change at once for the sake of another rule, that they do is no find.
        let lenient = control.is_some_and(|control| control.changes_two() && control != Control::ChangeTwo);
        let mut checks = Checks {
            agreement: Agreement::default(),
            reference: Reference::new(founders.clone(), rules),
            books: Books::default(),
            history: History::default(),
            members: Members::new(founders, lenient),
            time: Time::default(),
        };
        if control == Some(Control::RejectionsNotJournaled) {
            checks.reference.switch(ledger::Control::RejectionsNotJournaled);
        }
        checks
    }

    /// A node has come to a slot. If nobody had, what it holds is what that slot is from now on. A change of the group
    /// that was taken there is given back.
    pub fn on_batch(&mut self, node: usize, slot: Slot, batch: &Batch) -> Result<Option<Op>, Violation> {
        let digest = batch.digest().0;
        if slot.get() != self.agreement.highest() + 1 {
            return self.agreement.check_batch(node, slot.get(), digest).map(|()| None);
        }
        let ideal = self.reference.apply(slot, batch)?;
        let answers = ideal.requests.iter().map(|(_, answer)| answer.clone()).collect();
        self.agreement.learn(node, digest, answers, ideal.state);
        let mut taken = None;
        if let Some((change, outcome)) = ideal.change {
            self.members.on_change(slot.get(), &change, outcome, self.reference.group())?;
            taken = outcome.is_ok().then_some(change.op);
        }
        for (request, answer) in &ideal.requests {
            let answers = answer
                .as_ref()
                .map_err(|error| Violation(format!("slot {} answered a request with {error}", slot.get())))?;
            self.books.on_request(slot.get(), request, answers)?;
        }
        let ledger = self.reference.machine().ledger();
        ledger::invariant::check(ledger)
            .map_err(|broken| Violation(format!("money: after slot {}: {broken}", slot.get())))?;
        self.books.on_slot_end(slot.get(), ledger)?;
        self.time.check(slot.get(), ledger.time_ms())?;
        Ok(taken)
    }

    /// A client was told the outcomes of its request.
    pub fn on_told(&mut self, told: Told, request: &Request, answers: &[Answer]) -> Result<(), Violation> {
        self.books.check_told(request, answers)?;
        for (command, answer) in request.commands.iter().zip(answers) {
            let refused_reuse = answer.outcome.rejection() == Some(&ledger::Rejected::IdReused);
            if !answer.replay && !refused_reuse {
                self.history.answer(told.called, Moment::write(told.slot, answer.place))?;
            } else if told.ids == Ids::Fresh
                // An order may have been ended before by another call, which is no outcome of this one.
                && !matches!(command, Command::EndOrder { .. })
                && let Some(first) = self.books.first_of(command)
            {
                self.history.answer(told.called, Moment::write(first.slot, first.place))?;
            }
        }
        Ok(())
    }
}

/// What is known of a client's operation when it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub called: Called,
    pub ids: Ids,
    /// The slot from which it was answered.
    pub slot: u64,
}

/// Whether an operation's ids were used before it was called. If they were, their first outcome may be older than it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    Fresh,
    Used,
}
