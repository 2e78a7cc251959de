//! Names and texts that a journal holds and nobody could enter today: they are read back, and nothing panics.

use ledger::{AccountId, Command, Counterparty, Currency, CustomerName, Outcome, Owner, Record, Reference, Request};

use crate::desk::*;
use crate::restore::{folded, restored};

const TEXTS: [&str; 6] = ["Alice", "bob\u{200b}", "jose\u{301}", "\u{3164}", "\u{202e}eve", "b\u{43e}b"];

#[test]
fn a_journal_with_names_of_before_is_read_and_its_money_stays() {
    let mut desk = Desk::new();
    for (number, text) in (1..).zip(TEXTS) {
        let name = CustomerName::stored(text).expect("a name of before");
        let account = AccountId::of_customer(&name);
        let reference = Reference::stored(text).expect("a reference of before");
        let counterparty = Counterparty::stored(text).expect("an address of before");
        let deposit = Command::Transfer {
            id: id(number),
            placer: None,
            debit: vault(),
            credit: account,
            amount: cents(700),
            currency: Currency::EUR,
            reference,
        };
        let commands = [
            Command::AddCustomer { name, currency: Currency::EUR, secret: secret(1) },
            deposit,
            hold(100 + number, account, interbank(), 200),
            Command::NoteHold { id: id(100 + number), placer: placer(GATEWAY), counterparty },
            Command::OpenAccount {
                id: crate::desk::account(number),
                owner: Owner::stored(text).expect("an owner of before"),
                currency: Currency::EUR,
            },
        ];
        // Through its bytes, as a log has it.
        let request = Request { linked: false, commands: commands.to_vec() };
        assert_eq!(Request::decode(&request.encode()), Ok(request));
        for answer in desk.send(false, &commands) {
            assert_eq!(answer.outcome.rejection(), None, "{text:?}");
        }
        // Sent again it has its first outcome.
        let again = desk.one(commands[0]);
        assert!(again.replay && matches!(again.outcome, Outcome::Opened { .. }));
    }
    for record in &desk.journal.records {
        Record::decode(record).expect("the ledger wrote it");
    }
    let again = restored(&folded(&desk.journal.records));
    ledger::invariant::check(&again).expect("the books are sound");
    assert_eq!(again.digest(), desk.ledger.digest());
    for text in TEXTS {
        let name = CustomerName::stored(text).expect("a name of before");
        let account = again.account(AccountId::of_customer(&name)).expect("its account");
        assert_eq!((account.owner, account.balances.available()), (text, 500));
        assert!(again.customer(&name).is_some());
    }
}
