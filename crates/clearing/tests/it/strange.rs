//! A journal that this program does not write: it is told from, without a panic and without a second outcome.

use clearing::{Command, Refusal, Risk, Status};

use crate::desk::*;

fn bob() -> clearing::NamedParty {
    customer("bob", "beta")
}

#[test]
fn a_payment_whose_decision_is_not_in_the_journal_has_no_outcome_and_gets_none() {
    let mut desk = Desk::town();
    let before = desk.clearing.clone();
    assert_eq!(desk.status(take(request(1, bob(), 100))), Status::Undecided);
    // It was taken, and the state knows nothing of it.
    desk.clearing = before;
    let records = desk.journal.records.len();
    let asked = [
        take(request(1, bob(), 100)),
        Command::Cancel { request: request(1, bob(), 100), taker: node(1) },
        Command::TimeOut { id: id(1) },
        void_by_hand(1, Risk::NotTaken),
        void_by_hand(1, Risk::Taken),
    ];
    for command in asked {
        assert_eq!(desk.status(command), Status::Undecided, "{command:?}");
    }
    assert_eq!(desk.refusal(take(request(1, bob(), 101))), Refusal::IdReused);
    assert_eq!(desk.journal.records.len(), records, "nothing was decided, and nothing was taken again");
}

#[test]
fn an_id_that_leads_to_a_record_of_something_else_is_no_payments() {
    let mut desk = Desk::town();
    // The first record registers a bank.
    desk.journal.places.insert(clearing::payment_key(id(1)), 0);
    let records = desk.journal.records.len();
    assert_eq!(desk.refusal(take(request(1, bob(), 100))), Refusal::IdReused);
    assert_eq!(desk.refusal(Command::Cancel { request: request(1, bob(), 100), taker: node(1) }), Refusal::IdReused);
    assert_eq!(desk.refusal(Command::TimeOut { id: id(1) }), Refusal::UnknownPayment);
    assert_eq!(desk.journal.records.len(), records);
}
