//! The store: rows survive a closing, a write names the version that it read, and news is told once.

use super::*;
use api::client::gateway::new_payment_id;
use clearing::Refusal;
use clearing::outbox::Attempt;
use clearing::told::Told;
use ledger::{Amount, Currency, Reference};

struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> TestFile {
        let dir = std::env::temp_dir().join(format!("rialto-outbox-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("there is room");
        TestFile(dir.join("outbox.db"))
    }

    fn open(&self) -> Outbox {
        Outbox::open(&self.0).expect("the outbox opens")
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().expect("it lies in a directory"));
    }
}

fn terms(payer: &str) -> Terms {
    Terms {
        id: new_payment_id(),
        payer: payer.parse().expect("well formed"),
        payee: "zoë.müller@beta".parse().expect("well formed"),
        amount: Amount::MAX,
        currency: Currency::from_code("JPY").expect("in the table"),
        reference: Reference::new("März").expect("short"),
    }
}

#[test]
fn a_payment_survives_the_closing_of_its_outbox() {
    let file = TestFile::new("survives");
    let terms = terms("alice@alpha");
    let added = file.open().add(&terms, 5, 1_000).expect("there is room");
    let read = file.open().entry(terms.id).expect("it is there");
    assert_eq!(read, added);
    assert_eq!((read.terms, read.created_ms, read.item.deadline_ms, read.seen), (terms, 5, 1_000, false));
    assert_eq!(read.item.state, ItemState::Queued(clearing::outbox::Retry::NOW));
    // The same again changes nothing; one that never came is not there.
    assert_eq!(file.open().add(&terms, 9, 9).expect("it is there already"), read);
    assert!(matches!(file.open().entry(new_payment_id()), Err(OutboxError::Unknown { .. })));
}

#[test]
fn every_state_and_word_survives() {
    let file = TestFile::new("states");
    let mut outbox = file.open();
    let mut entry = outbox.add(&terms("alice@alpha"), 5, 1_000_000).expect("there is room");
    let word = Word { code: "token_expired".to_owned(), detail: "sign in again".to_owned() };
    let expired = Attempt::Told(Told::NotTaken(Refusal::SessionExpired));
    let steps: [&dyn Fn(Item) -> Item; 5] = [
        &|item| item.lease(7, 10, 500).expect("it is free").sending(10),
        &|item| item.heard(Attempt::NoAnswer),
        &|item| item.heard(expired),
        &|item| item.signed_in(20),
        &|item| item.released(7),
    ];
    for step in steps {
        let item = step(entry.item);
        assert_eq!(outbox.write(&entry, &item, Some(&word), 10).expect("there is room"), Written::Yes);
        entry = outbox.entry(item.id).expect("it is there");
        assert_eq!((&entry.item, &entry.word), (&item, &word));
    }
    assert_eq!(entry.first_sent_ms, Some(10));
}

#[test]
fn a_write_that_names_an_old_version_is_refused() {
    let file = TestFile::new("versions");
    let (mut mine, mut theirs) = (file.open(), file.open());
    let entry = mine.add(&terms("alice@alpha"), 0, 1_000_000).expect("there is room");
    let leased = |client| entry.item.lease(client, 0, 5_000).expect("it looks free to both").sending(0);
    assert_eq!(mine.write(&entry, &leased(1), None, 0).expect("there is room"), Written::Yes);
    assert_eq!(theirs.write(&entry, &leased(2), None, 0).expect("there is room"), Written::Lost);
    assert_eq!(theirs.entry(entry.terms.id).expect("it is there").item.lease.holder, Some(1));
}

#[test]
fn news_is_told_once_and_anew_when_it_changes() {
    let file = TestFile::new("news");
    let mut outbox = file.open();
    let (alice, bob) = (terms("alice@alpha"), terms("bob@beta"));
    for terms in [&alice, &bob] {
        outbox.add(terms, 0, 1_000_000).expect("there is room");
    }
    assert_eq!(outbox.news().expect("it is read"), [], "what waits for its turn is no news");
    let no_session = |item: Item| item.heard(Attempt::Told(Told::NotTaken(Refusal::NoSession)));
    outbox.change(alice.id, None, 1, no_session).expect("there is room");
    let news = outbox.news().expect("it is read");
    assert_eq!(news.iter().map(|entry| entry.terms.id).collect::<Vec<_>>(), [alice.id]);
    outbox.mark_seen(&news[0]).expect("there is room");
    assert_eq!(outbox.news().expect("it is read"), []);

    assert_eq!(outbox.signed_in(&bob.payer, 2).expect("there is room"), 0);
    assert_eq!(outbox.signed_in(&alice.payer, 2).expect("there is room"), 1);
    let paid = |item: Item| item.heard(Attempt::Told(Told::Paid { delivery: clearing::Delivery::Done }));
    outbox.change(alice.id, None, 3, paid).expect("there is room");
    // Marking what was read before the payment's end does not hide its end.
    outbox.mark_seen(&news[0]).expect("there is room");
    assert_eq!(outbox.news().expect("it is read").len(), 1);
    assert_eq!(outbox.open_entries().expect("it is read").len(), 1);
    assert_eq!(outbox.newest(1).expect("it is read")[0].terms.id, bob.id);
}

#[test]
fn that_a_payment_waited_for_a_sign_in_is_not_said_of_it_after_the_sign_in() {
    let file = TestFile::new("resumed");
    let mut outbox = file.open();
    let alice = terms("alice@alpha");
    outbox.add(&alice, 0, 1_000_000).expect("there is room");
    let word = Word { code: "token_missing".to_owned(), detail: "nobody is signed in".to_owned() };
    let no_session = |item: Item| item.heard(Attempt::Told(Told::NotTaken(Refusal::NoSession)));
    outbox.change(alice.id, Some(&word), 1, no_session).expect("there is room");
    assert_eq!(outbox.entry(alice.id).expect("it is there").word, word);
    assert_eq!(outbox.signed_in(&alice.payer, 2).expect("there is room"), 1);
    let entry = outbox.entry(alice.id).expect("it is there");
    assert_eq!((entry.waits_for_sign_in(), entry.word), (false, Word::default()));
}

#[test]
fn dropping_what_was_never_sent_ends_it_and_otherwise_asks() {
    let file = TestFile::new("drop");
    let mut outbox = file.open();
    let (queued, sent) = (terms("alice@alpha"), terms("bob@beta"));
    for terms in [&queued, &sent] {
        outbox.add(terms, 0, 1_000_000).expect("there is room");
    }
    outbox.change(sent.id, None, 1, |item| item.sending(1)).expect("there is room");
    assert!(matches!(outbox.drop_asked(queued.id, 2), Ok(DropResult::Dropped(_))));
    assert!(matches!(outbox.drop_asked(queued.id, 2), Ok(DropResult::TooLate(_))));
    assert!(matches!(outbox.drop_asked(sent.id, 2), Ok(DropResult::Asking(entry)) if !entry.item.state.is_final()));
}

#[test]
fn an_outbox_of_a_newer_version_or_a_damaged_row_is_not_touched() {
    let file = TestFile::new("newer");
    let added = file.open().add(&terms("alice@alpha"), 0, 1).expect("there is room");
    let by_hand = Connection::open(&file.0).expect("it opens");
    by_hand.execute("UPDATE payment SET state = 77", ()).expect("there is room");
    let damaged = file.open().entry(added.terms.id).expect_err("no state has that number").to_string();
    assert!(damaged.contains("state of row 1"), "{damaged}");
    by_hand.execute_batch("PRAGMA user_version = 2").expect("there is room");
    assert!(matches!(Outbox::open(&file.0), Err(OutboxError::Newer { found: 2, .. })));
}

#[test]
fn a_damaged_row_is_named_and_keeps_no_other_payment_waiting() {
    let file = TestFile::new("damaged");
    let mut outbox = file.open();
    let all = [terms("alice@alpha"), terms("bob@beta"), terms("carol@alpha")];
    for terms in &all {
        outbox.add(terms, 0, 1_000_000).expect("there is room");
    }
    assert!(outbox.damaged().expect("it is read").is_empty());
    let by_hand = Connection::open(&file.0).expect("it opens");
    by_hand.execute("UPDATE payment SET amount_minor = 'many' WHERE sequence = 2", ()).expect("there is room");
    by_hand.execute("UPDATE payment SET state = 77 WHERE sequence = 3", ()).expect("there is room");
    let open: Vec<PaymentId> = outbox.open_entries().expect("it is read").iter().map(|entry| entry.terms.id).collect();
    assert_eq!(open, [all[0].id]);
    assert_eq!(outbox.newest(9).expect("it is read").len(), 1);
    let damaged: Vec<String> = outbox.damaged().expect("it is read").iter().map(ToString::to_string).collect();
    assert!(damaged.len() == 2 && damaged[0].contains("row 2") && damaged[1].contains("row 3"), "{damaged:?}");
    assert!(outbox.entry(all[1].id).is_err(), "whoever asks for it is told");
}

#[test]
fn many_may_make_one_new_outbox_at_the_same_time() {
    let file = TestFile::new("together");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| file.open().add(&terms("alice@alpha"), 0, 1).expect("there is room"));
        }
    });
    assert_eq!(file.open().open_entries().expect("it is read").len(), 8);
}
