//! A bank's machine over a journal, without the log: what comes out of it can be counted again.

mod strange;

use bank::{BankView, Machine, Recount, recount_through};
use ledger::record::{Body, Record};
use ledger::{AccountId, Amount, Command, Currency, Owner, Placer, Reference, Request, TransferId};
use paxos::{Batch, Slot};
use replica::{Applier, ApplierSettings, Tag, Tagged, request};
use std::path::Path;
use storage::{FaultyDisk, JournalMark, Owner as DiskOwner};

const ALICE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0001;
const BOB: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0002;

fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not nil")
}

fn transfer_id(number: u128) -> TransferId {
    TransferId::new((1 << 100) | number).expect("not nil")
}

fn amount(minor: u128) -> Amount {
    Amount::new(minor).expect("in range")
}

struct Bank {
    applier: Applier<Machine, FaultyDisk>,
}

impl Bank {
    fn new() -> Self {
        let settings = ApplierSettings { fold_records: u64::MAX, hash_seed: 1 };
        let owner = DiskOwner { cluster: 1, node: 1 };
        let disk = FaultyDisk::new(1);
        let applier = Applier::open(
            &disk,
            Path::new("/bank"),
            owner,
            Machine::new(1),
            replica::group::Group::unknown(),
            settings,
        );
        Self { applier: applier.expect("an empty disk is a new bank") }
    }

    fn apply(&mut self, commands: Vec<Command>) {
        let bytes = Request { linked: false, commands }.encode().into();
        let tag = Tag { origin: 1, boot: 1, seq: 1 };
        let batch: Batch = request::encode(1_000, &[Tagged { tag, request: bytes }]);
        let next: Slot = self.applier.applied().next();
        let answers = self.applier.apply(next, &batch).expect("the disk is sound");
        assert!(matches!(&answers[0].reply, replica::Reply::Answer(Ok(_))));
    }

    fn with_a_day_of_business() -> Self {
        let mut bank = Self::new();
        let open = |id| Command::OpenAccount { id: account(id), owner: Owner::EMPTY, currency: Currency::EUR };
        let (currency, reference) = (Currency::EUR, Reference::EMPTY);
        let placer = Placer::named("test");
        let vault = AccountId::vault(currency);
        let pay = |id, debit, credit, minor| {
            let (id, amount) = (transfer_id(id), amount(minor));
            Command::Transfer { id, placer: None, debit, credit, amount, currency, reference }
        };
        let hold = |id, minor| Command::PlaceHold {
            id: transfer_id(id),
            placer,
            debit: account(ALICE),
            credit: account(BOB),
            amount: amount(minor),
            currency,
            reference,
        };
        bank.apply(vec![open(ALICE), open(BOB), pay(1, vault, account(ALICE), 10_000)]);
        bank.apply(vec![pay(2, account(ALICE), account(BOB), 3_000), pay(3, account(BOB), account(ALICE), 9_999)]);
        bank.apply(vec![hold(4, 1_000), hold(5, 2_000)]);
        bank.apply(vec![
            Command::PostHold { id: transfer_id(4), placer },
            Command::VoidHold { id: transfer_id(5), placer },
        ]);
        bank
    }
}

#[test]
fn the_journal_alone_gives_the_books() {
    let bank = Bank::with_a_day_of_business();
    let view = BankView::new(&bank.applier);
    let mut recount = Recount::default();
    recount_through(&mut recount, &view.reader(), JournalMark::START, view.mark()).expect("the journal adds up");
    let totals = recount.compare(view.ledger()).expect("the books are what the journal says");
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].1.debits, totals[0].1.credits), (14_000, 14_000));
    assert_eq!(view.ledger().account(account(BOB)).expect("opened").balances.balance(), 4_000);
}

#[test]
fn a_record_that_does_not_follow_from_those_before_it_is_named() {
    let bank = Bank::with_a_day_of_business();
    let view = BankView::new(&bank.applier);
    let mut recount = Recount::default();
    let mut refused = None;
    for place in 0..view.mark().places {
        let Some(mut record) = view.record(place).expect("readable") else { continue };
        if let Body::TransferPosted { movement, .. } = &mut record.body
            && movement.id == transfer_id(2)
        {
            movement.amount = amount(3_100);
        }
        if let Err(mismatch) = recount.record(&record) {
            refused = Some((record.place, mismatch.to_string()));
            break;
        }
    }
    let (place, sentence) = refused.expect("a cent more is noticed");
    assert_eq!(sentence, format!("the record at place {place} of the journal does not add up"));
}

#[test]
fn books_that_hold_more_than_the_journal_are_named() {
    let bank = Bank::with_a_day_of_business();
    let view = BankView::new(&bank.applier);
    let mut recount = Recount::default();
    let records = (0..view.mark().places).filter_map(|place| view.record(place).expect("readable"));
    let all: Vec<Record> = records.collect();
    for record in &all[..all.len() - 1] {
        recount.record(record).expect("adds up as far as it goes");
    }
    let mismatch = recount.compare(view.ledger()).expect_err("the last record is missing").to_string();
    assert!(mismatch.contains("in memory"), "{mismatch}");
}

#[test]
fn a_statement_walks_back_from_the_newest_record() {
    let bank = Bank::with_a_day_of_business();
    let view = BankView::new(&bank.applier);
    let lines = view.statement(account(BOB), None, 100).expect("readable");
    let balances: Vec<i128> = lines.iter().map(|line| line.after.balance()).collect();
    assert_eq!(balances, [4_000, 4_000, 3_000, 3_000, 3_000]);
    let rest = view.statement(account(BOB), lines[2].previous, 1).expect("readable");
    assert_eq!(rest[0].place, lines[3].place);
}
