//! The books kept a second time, from the answers alone: a naive set of balances, holds and outcomes that is told every
//! request in the order of the log with what the first node that applied it answered.
//!
//! It decides nothing. It checks that the answers make sense together: one outcome per id, replays equal to first
//! answers, what was voided never moves, holds end once and by their placer, balances after each outcome and after
//! each slot are what the movements add up to, and no customer ever owes.

use super::{Violation, must};
use ledger::{
    AccountId, Answer, Balances, Command, Currency, HoldState, Ledger, OrderEnd, Outcome, Placer, Rejected, Request,
    TransferId,
};
use std::collections::BTreeMap;

/// The first outcome of an id.
#[derive(Debug, Clone, Copy)]
pub struct First {
    pub command: Command,
    pub outcome: Outcome,
    pub slot: u64,
    pub place: u64,
}

#[derive(Debug, Clone, Copy)]
struct HeldBack {
    placer: Placer,
    command: Command,
    state: HoldState,
    end: Option<Outcome>,
}

#[derive(Debug, Default)]
pub struct Books {
    /// By the ids of transfers, holds, closings and tombstones.
    outcomes: BTreeMap<TransferId, First>,
    openings: BTreeMap<AccountId, First>,
    holds: BTreeMap<TransferId, HeldBack>,
    balances: BTreeMap<AccountId, Balances>,
    /// The balance of each account after each slot that changed it.
    past: BTreeMap<AccountId, Vec<(u64, Balances)>>,
    changed: Vec<AccountId>,
    last_place: Option<u64>,
}

impl Books {
    /// One request of a slot that nobody had applied before, in the order of the log.
    pub fn on_request(&mut self, slot: u64, request: &Request, answers: &[Answer]) -> Result<(), Violation> {
        must(request.commands.len() == answers.len(), || {
            format!("slot {slot}: {} commands got {} answers", request.commands.len(), answers.len())
        })?;
        if request.linked {
            check_linked(slot, answers)?;
        }
        for (command, answer) in request.commands.iter().zip(answers) {
            self.on_answer(slot, command, answer)?;
        }
        Ok(())
    }

    /// The slot is applied: the ledger of the node that did must hold what the movements add up to.
    pub fn on_slot_end(&mut self, slot: u64, ledger: &Ledger) -> Result<(), Violation> {
        for account in std::mem::take(&mut self.changed) {
            let balances = self.balances.get(&account).copied().unwrap_or_default();
            self.past.entry(account).or_default().push((slot, balances));
        }
        for account in ledger.accounts(0) {
            let expected = self.balances.get(&account.id).copied().unwrap_or_default();
            must(account.balances == expected, || {
                format!(
                    "money: after slot {slot} account {} has {:?}, movements add up to {expected:?}",
                    account.id, account.balances
                )
            })?;
            must(account.internal.is_some() || account.balances.available() >= 0, || {
                format!("money: after slot {slot} customer {} owes {:?}", account.id, account.balances)
            })?;
        }
        let open = self.holds.values().filter(|hold| hold.state == HoldState::Held).count() as u64;
        must(ledger.hold_count() == open, || {
            format!("holds: after slot {slot} the ledger has {} open holds, outcomes leave {open}", ledger.hold_count())
        })
    }

    /// What a client was told, against what the log's order says: the same outcome for each id.
    pub fn check_told(&self, request: &Request, answers: &[Answer]) -> Result<(), Violation> {
        for (command, answer) in request.commands.iter().zip(answers) {
            // What an order came to is told by its end.
            let Some(first) = self.first_of(command).filter(|_| !matches!(command, Command::EndOrder { .. })) else {
                continue;
            };
            let reused = answer.outcome.rejection() == Some(&Rejected::IdReused);
            must(reused || same_outcome(&first, answer), || {
                format!(
                    "outcome: a client was told {:?} for {command:?}, the log says {:?}",
                    answer.outcome, first.outcome
                )
            })?;
        }
        Ok(())
    }

    /// The first outcome of what this command names, if it is of a kind whose id has one outcome.
    pub fn first_of(&self, command: &Command) -> Option<First> {
        match command {
            Command::OpenAccount { id, .. } => self.openings.get(id).copied(),
            Command::AddCustomer { name, currency, .. } => {
                let opening = self.openings.get(&AccountId::of_customer(name)).copied();
                opening.filter(|first| is_customer_in(&first.command, *currency))
            }
            Command::Transfer { id, .. }
            | Command::PlaceHold { id, .. }
            | Command::CloseAccount { id, .. }
            | Command::SetSecret { id, .. }
            | Command::LockCustomer { id, .. }
            | Command::Replay { id, .. } => self.outcomes.get(id).copied(),
            Command::VoidTransfer { id } | Command::EndOrder { id, .. } => self.outcomes.get(id).copied(),
            Command::PostHold { .. }
            | Command::VoidHold { .. }
            | Command::ChangeSetting { .. }
            | Command::NoteHold { .. }
            | Command::ClaimKey { .. }
            | Command::Fence { .. } => None,
        }
    }

    /// Every id's first outcome, in the order of ids.
    pub fn outcomes(&self) -> impl Iterator<Item = (TransferId, &First)> {
        self.outcomes.iter().map(|(id, first)| (*id, first))
    }

    pub fn balances_at(&self, account: AccountId, slot: u64) -> Balances {
        let past = self.past.get(&account).map_or(&[][..], Vec::as_slice);
        let until = past.partition_point(|(changed, _)| *changed <= slot);
        until.checked_sub(1).map_or(Balances::default(), |at| past[at].1)
    }

    fn on_answer(&mut self, slot: u64, command: &Command, answer: &Answer) -> Result<(), Violation> {
        if answer.outcome.rejection() == Some(&Rejected::IdReused) {
            let first = self.first_of(command);
            return must(first.is_some_and(|first| !same_content(&first.command, command)), || {
                format!("slot {slot}: {command:?} was refused as another use of its id, but nothing else used it")
            });
        }
        if answer.replay {
            return self.on_replay(slot, command, answer);
        }
        let is_settled = |command: &Command| self.first_of(command).filter(|_| binds(command, &answer.outcome));
        if let Some(first) = is_settled(command) {
            return Err(Violation(format!(
                "outcome: slot {slot} gave {command:?} the outcome {:?}; slot {} had given it {:?}",
                answer.outcome, first.slot, first.outcome
            )));
        }
        must(self.last_place < Some(answer.place), || {
            format!("slot {slot}: {command:?} stands at place {} though {:?} was taken", answer.place, self.last_place)
        })?;
        self.last_place = Some(answer.place);
        self.note_first(First { command: *command, outcome: answer.outcome, slot, place: answer.place });
        self.move_money(slot, command, &answer.outcome)
    }

    fn note_first(&mut self, first: First) {
        let unbound = matches!(first.outcome, Outcome::Rejected { .. });
        match first.command {
            Command::OpenAccount { id, .. } if !unbound => drop(self.openings.insert(id, first)),
            Command::AddCustomer { name, .. } if !unbound => {
                self.openings.insert(AccountId::of_customer(&name), first);
            }
            Command::Transfer { id, .. }
            | Command::PlaceHold { id, .. }
            | Command::CloseAccount { id, .. }
            | Command::SetSecret { id, .. }
            | Command::LockCustomer { id, .. } => {
                self.outcomes.insert(id, first);
            }
            Command::VoidTransfer { id } | Command::VoidHold { id, .. } | Command::EndOrder { id, .. }
                if matches!(first.outcome, Outcome::Voided { .. }) =>
            {
                self.outcomes.insert(id, first);
            }
            Command::OpenAccount { .. }
            | Command::AddCustomer { .. }
            | Command::VoidTransfer { .. }
            | Command::VoidHold { .. }
            | Command::PostHold { .. }
            | Command::EndOrder { .. }
            | Command::ClaimKey { .. }
            | Command::ChangeSetting { .. }
            | Command::NoteHold { .. }
            | Command::Fence { .. }
            | Command::Replay { .. } => {}
        }
    }

    fn on_replay(&self, slot: u64, command: &Command, answer: &Answer) -> Result<(), Violation> {
        let expected = match command {
            Command::PostHold { id, .. } | Command::VoidHold { id, .. } | Command::EndOrder { id, .. } => {
                let ended = self.holds.get(id).and_then(|hold| hold.end);
                ended
                    .or_else(|| self.outcomes.get(id).map(|first| first.outcome))
                    .is_some_and(|end| end == answer.outcome)
            }
            Command::ChangeSetting { .. }
            | Command::NoteHold { .. }
            | Command::ClaimKey { .. }
            | Command::Fence { .. } => true,
            Command::OpenAccount { .. }
            | Command::AddCustomer { .. }
            | Command::SetSecret { .. }
            | Command::LockCustomer { .. }
            | Command::CloseAccount { .. }
            | Command::Transfer { .. }
            | Command::PlaceHold { .. }
            | Command::Replay { .. }
            | Command::VoidTransfer { .. } => self.first_of(command).is_some_and(|first| same_outcome(&first, answer)),
        };
        must(expected, || {
            let first = self.first_of(command).map(|first| first.outcome);
            format!("replay: slot {slot} answered {command:?} with {:?} again; the first was {first:?}", answer.outcome)
        })
    }

    /// Does to the naive balances what the outcome says was done, and checks the balances that it tells.
    fn move_money(&mut self, slot: u64, command: &Command, outcome: &Outcome) -> Result<(), Violation> {
        match (command, outcome) {
            (Command::Transfer { debit, credit, amount, .. }, Outcome::Posted { debit: d, credit: c, .. }) => {
                self.balances.entry(*debit).or_default().posted_debits += amount.minor();
                self.balances.entry(*credit).or_default().posted_credits += amount.minor();
                self.check_sides(slot, command, (*debit, d), (*credit, c))
            }
            (
                Command::PlaceHold { id, placer, debit, credit, amount, .. },
                Outcome::Held { debit: d, credit: c, .. },
            ) => {
                let hold = HeldBack { placer: *placer, command: *command, state: HoldState::Held, end: None };
                self.holds.insert(*id, hold);
                self.balances.entry(*debit).or_default().held_debits += amount.minor();
                self.balances.entry(*credit).or_default().held_credits += amount.minor();
                self.check_sides(slot, command, (*debit, d), (*credit, c))
            }
            (
                Command::EndOrder { end: OrderEnd::Post, id, placer: Some(placer), .. }
                | Command::PostHold { id, placer },
                Outcome::HoldPosted { .. },
            ) => self.end_hold(slot, (*id, *placer), HoldState::Posted, outcome),
            (
                Command::EndOrder { end: OrderEnd::Void, id, placer: Some(placer), .. }
                | Command::VoidHold { id, placer },
                Outcome::HoldVoided { .. },
            ) => self.end_hold(slot, (*id, *placer), HoldState::Voided, outcome),
            (_, Outcome::Rejected { .. }) => Ok(()),
            (
                Command::VoidTransfer { .. } | Command::VoidHold { .. } | Command::EndOrder { .. },
                Outcome::Voided { .. },
            ) => Ok(()),
            (Command::OpenAccount { .. } | Command::AddCustomer { .. }, Outcome::Opened { .. }) => Ok(()),
            (Command::SetSecret { .. }, Outcome::SecretChanged { .. }) => Ok(()),
            (Command::LockCustomer { .. }, Outcome::LockChanged { .. }) => Ok(()),
            (Command::CloseAccount { .. }, Outcome::Closed { .. }) => Ok(()),
            (Command::ChangeSetting { .. }, Outcome::SettingChanged { .. }) => Ok(()),
            (command, outcome) => {
                Err(Violation(format!("slot {slot}: {command:?} cannot have the outcome {outcome:?}")))
            }
        }
    }

    fn end_hold(
        &mut self,
        slot: u64,
        (id, placer): (TransferId, Placer),
        state: HoldState,
        outcome: &Outcome,
    ) -> Result<(), Violation> {
        let open = self.holds.get_mut(&id).filter(|hold| hold.state == HoldState::Held && hold.placer == placer);
        let Some(hold) = open else {
            return Err(Violation(format!(
                "holds: slot {slot} ended hold {id} ({state:?}), which its placer does not hold"
            )));
        };
        hold.state = state;
        hold.end = Some(*outcome);
        let Command::PlaceHold { debit, credit, amount, .. } = hold.command else {
            return Err(Violation(format!("holds: {id} is no hold")));
        };
        let posted = if state == HoldState::Posted { amount.minor() } else { 0 };
        let balances = self.balances.entry(debit).or_default();
        balances.held_debits -= amount.minor();
        balances.posted_debits += posted;
        let balances = self.balances.entry(credit).or_default();
        balances.held_credits -= amount.minor();
        balances.posted_credits += posted;
        match outcome {
            Outcome::HoldPosted { debit: d, credit: c, .. } | Outcome::HoldVoided { debit: d, credit: c, .. } => {
                self.check_sides(slot, &Command::PostHold { id, placer }, (debit, d), (credit, c))
            }
            other => Err(Violation(format!("holds: {id} ended as {other:?}"))),
        }
    }

    fn check_sides(
        &mut self,
        slot: u64,
        command: &Command,
        debit: (AccountId, &Balances),
        credit: (AccountId, &Balances),
    ) -> Result<(), Violation> {
        for (account, told) in [debit, credit] {
            self.changed.push(account);
            let expected = self.balances.get(&account).copied().unwrap_or_default();
            must(*told == expected, || {
                format!(
                    "money: slot {slot}, {command:?}: {account} was told {told:?}, movements add up to {expected:?}"
                )
            })?;
        }
        Ok(())
    }
}

/// Whether this outcome of this command is the one that its id has for ever.
fn binds(command: &Command, outcome: &Outcome) -> bool {
    match command {
        Command::Transfer { .. }
        | Command::PlaceHold { .. }
        | Command::CloseAccount { .. }
        | Command::SetSecret { .. }
        | Command::LockCustomer { .. } => true,
        Command::OpenAccount { .. } | Command::AddCustomer { .. } => matches!(outcome, Outcome::Opened { .. }),
        Command::VoidTransfer { .. } => matches!(outcome, Outcome::Voided { .. }),
        Command::PostHold { .. }
        | Command::VoidHold { .. }
        | Command::EndOrder { .. }
        | Command::ClaimKey { .. }
        | Command::ChangeSetting { .. }
        | Command::NoteHold { .. }
        | Command::Fence { .. }
        | Command::Replay { .. } => false,
    }
}

/// All or none: if one item of a linked request was refused, all were, save those that had their outcome before.
fn check_linked(slot: u64, answers: &[Answer]) -> Result<(), Violation> {
    let refused = answers.iter().any(|answer| answer.outcome.rejection().is_some());
    let done = answers.iter().any(|answer| answer.outcome.rejection().is_none() && !answer.replay);
    must(!(refused && done), || format!("linked: slot {slot} did one item of a request and refused another"))
}

/// Equal but for what became of a hold since, and a voided id, which answers with a rejection.
fn same_outcome(first: &First, answer: &Answer) -> bool {
    let rejection = answer.outcome.rejection();
    match (&first.outcome, &answer.outcome) {
        (Outcome::Voided { .. }, Outcome::Rejected { .. }) => rejection == Some(&Rejected::Voided),
        (
            Outcome::Held { time_ms, debit, credit, now: _ },
            Outcome::Held { time_ms: time, debit: d, credit: c, now: _ },
        ) => (time_ms, debit, credit) == (time, d, c) && first.place == answer.place,
        (first_outcome, outcome) => first_outcome == outcome && first.place == answer.place,
    }
}

fn is_customer_in(first: &Command, asked: Currency) -> bool {
    matches!(first, Command::AddCustomer { currency, .. } if *currency == asked)
}

fn same_content(first: &Command, command: &Command) -> bool {
    if let Command::EndOrder { placer, .. } = command {
        let is_hold = matches!(first, Command::PlaceHold { .. });
        return is_hold == placer.is_some() && first.movement() == command.movement();
    }
    first == command
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{Amount, Reference};

    fn account(number: u128) -> AccountId {
        AccountId::new(1 << 127 | number).expect("not nil")
    }

    fn transfer(id: u128, minor: u128) -> Command {
        Command::Transfer {
            id: TransferId::new(id).expect("not nil"),
            placer: None,
            debit: AccountId::vault(Currency::EUR),
            credit: account(1),
            amount: Amount::new(minor).expect("not zero"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        }
    }

    fn posted(total: u128, place: u64) -> Answer {
        let debit = Balances { posted_debits: total, ..Balances::default() };
        let credit = Balances { posted_credits: total, ..Balances::default() };
        Answer { outcome: Outcome::Posted { time_ms: 1, debit, credit }, replay: false, place }
    }

    fn rejected(place: u64) -> Answer {
        let outcome = Outcome::Rejected { time_ms: 1, rejection: Rejected::SameAccount };
        Answer { outcome, replay: false, place }
    }

    fn told(books: &mut Books, slot: u64, command: Command, answer: Answer) -> Result<(), Violation> {
        books.on_request(slot, &Request::single(command), &[answer])
    }

    /// Books in which transfer 1 has moved 10.
    fn after_one() -> Books {
        let mut books = Books::default();
        told(&mut books, 1, transfer(1, 10), posted(10, 1)).expect("the first transfer is sound");
        books
    }

    fn is_found(outcome: Result<(), Violation>, sign: &str) {
        let violation = outcome.expect_err("a violation");
        assert!(violation.0.contains(sign), "{violation}");
    }

    #[test]
    fn a_second_outcome_of_one_id_is_found() {
        is_found(told(&mut after_one(), 2, transfer(1, 10), posted(20, 3)), "outcome: slot 2 gave");
        is_found(told(&mut after_one(), 2, transfer(1, 10), rejected(3)), "outcome: slot 2 gave");
    }

    #[test]
    fn a_replay_that_differs_from_the_first_answer_is_found() {
        let again = |answer: Answer| Answer { replay: true, ..answer };
        assert_eq!(told(&mut after_one(), 2, transfer(1, 10), again(posted(10, 1))), Ok(()));
        is_found(told(&mut after_one(), 2, transfer(1, 10), again(posted(11, 1))), "replay: ");
        is_found(told(&mut after_one(), 2, transfer(1, 10), again(rejected(1))), "replay: ");
        is_found(told(&mut after_one(), 2, transfer(2, 10), again(posted(10, 1))), "replay: ");
    }

    #[test]
    fn money_that_the_movements_do_not_explain_is_found() {
        is_found(told(&mut after_one(), 2, transfer(2, 5), posted(16, 3)), "money: slot 2");
        assert_eq!(told(&mut after_one(), 2, transfer(2, 5), posted(15, 3)), Ok(()));
    }

    #[test]
    fn a_reuse_refused_without_reason_is_found() {
        let refused = Outcome::Rejected { time_ms: 1, rejection: Rejected::IdReused };
        let refused = Answer { outcome: refused, replay: false, place: 1 };
        assert_eq!(told(&mut after_one(), 2, transfer(1, 11), refused), Ok(()), "another amount under the same id");
        is_found(told(&mut after_one(), 2, transfer(1, 10), refused), "another use of its id");
        is_found(told(&mut after_one(), 2, transfer(2, 10), refused), "another use of its id");
    }

    #[test]
    fn a_linked_request_done_in_part_is_found() {
        let request = Request { linked: true, commands: vec![transfer(1, 10), transfer(2, 10)] };
        is_found(Books::default().on_request(1, &request, &[posted(10, 1), rejected(2)]), "linked: ");
    }

    #[test]
    fn a_hold_ends_once_and_only_by_its_placer() {
        let (id, placer) = (TransferId::new(1).expect("not nil"), Placer::new(1).expect("not zero"));
        let (debit, credit, amount) = (account(1), account(2), Amount::new(10).expect("not zero"));
        let (currency, reference) = (Currency::EUR, Reference::EMPTY);
        let place = Command::PlaceHold { id, placer, debit, credit, amount, currency, reference };
        let held = Outcome::Held {
            time_ms: 1,
            now: HoldState::Held,
            debit: Balances { held_debits: 10, ..Balances::default() },
            credit: Balances { held_credits: 10, ..Balances::default() },
        };
        let nothing = Balances::default();
        let voided = Outcome::HoldVoided { time_ms: 1, debit: nothing, credit: nothing };
        let answer = |outcome, place| Answer { outcome, replay: false, place };
        let books = || {
            let mut books = Books::default();
            told(&mut books, 1, place, answer(held, 1)).expect("the hold is sound");
            books
        };
        let other = Placer::new(2).expect("not zero");
        is_found(told(&mut books(), 2, Command::VoidHold { id, placer: other }, answer(voided, 3)), "holds: slot 2");
        let mut ended = books();
        told(&mut ended, 2, Command::VoidHold { id, placer }, answer(voided, 3)).expect("its placer ends it");
        is_found(told(&mut ended, 3, Command::VoidHold { id, placer }, answer(voided, 5)), "holds: slot 3");
    }

    #[test]
    fn past_balances_are_those_after_the_last_slot_that_changed_them() {
        let mut books = after_one();
        // The check against a ledger looks at the ledger's accounts, and this one has none.
        let none = Ledger::new(1);
        books.on_slot_end(1, &none).expect("nothing to compare with");
        told(&mut books, 5, transfer(2, 5), posted(15, 9)).expect("the second transfer is sound");
        books.on_slot_end(5, &none).expect("nothing to compare with");
        let balances = [0, 1, 4, 5, 9].map(|slot| books.balances_at(account(1), slot).posted_credits);
        assert_eq!(balances, [0, 10, 10, 15, 15]);
    }
}
