//! What a bank tells a restored gateway, where copies of two lives follow each other.

use clearing::control::Control;
use clearing::outcome::Delivery;
use clearing::{
    Command, Finding, Outcome, Pair, PaymentId, PaymentRequest, Refusal, Reported, Side, Status, Terms, agenda,
};

use crate::bankside::{Lot, Recalled, SimBank};
use crate::desk::*;

/// Each payment that has come to its end is a step of the fence.
const LOT: Lot = Lot { clock_off_ms: 0, numbers_apart: ledger::Fence::STEP };

/// The payer's bank carries out what the gateway asks of it now.
fn ask(desk: &Desk, bank: &mut SimBank, number: u128) {
    let payment = desk.clearing.payment(id(number)).expect("on its way");
    let call = agenda::calls(&desk.clearing, payment).debit.expect("it has yet to answer");
    bank.answer(&call, desk.clock_ms).expect("it is of the present incarnation");
}

fn recall(desk: &Desk, bank: &mut SimBank) -> Vec<PaymentId> {
    let to_recall = desk.clearing.to_recall().find(|(of, _)| of.name == bank.name);
    let recall = to_recall.expect("it has yet to be asked").1;
    let asked = Recalled { recall, since_ms: 0, gateway: desk.clearing.epoch() };
    let told = bank.recall(asked, desk.clock_ms).expect("nobody newer has spoken");
    told.into_iter().map(|terms| terms.id).collect()
}

/// A first life is copied while a payment is on its way, and again when it has come to its end. A second life begins from the
/// older copy and takes another payment: its bank hears that nothing is complete. A third begins from the newer copy, which
/// knows of no second: what is it told?
fn told_to_the_third_life(control: Option<Control>) -> Vec<PaymentId> {
    let mut bank = SimBank::new(bank_name("alpha"), &["alice"], LOT, control);
    let mut desk = Desk::town();
    let bob = customer("bob", "beta");
    desk.one(take(request(1, bob, 100)));
    ask(&desk, &mut bank, 1);
    let older = desk.clone();
    let held = Some(Reported { epoch: epoch(1), finding: Finding::Held });
    desk.one(Command::Report { id: id(1), gateway: epoch(1), found: Pair { debit: held, credit: held } });
    ask(&desk, &mut bank, 1);
    for side in Side::BOTH {
        desk.one(Command::Delivered { id: id(1), side, epoch: epoch(1) });
    }
    let newer = desk;

    let mut second = older;
    second.one(Command::BeginEpoch { epoch: epoch(2) });
    assert_eq!(recall(&second, &mut bank), [id(1)]);
    for name in ["alpha", "beta", "gamma"] {
        second.one(Command::BankRecalled { name: bank_name(name), epoch: epoch(2) });
    }
    second.one(take(request(2, bob, 100)));
    ask(&second, &mut bank, 2);

    let mut third = newer;
    let began = third.one(Command::BeginEpoch { epoch: epoch(3) });
    assert_eq!(began, clearing::Answer::Done { outcome: Outcome::EpochBegan { epoch: epoch(3) }, replay: false });
    recall(&third, &mut bank)
}

#[test]
fn what_a_life_from_an_older_copy_took_is_told_to_one_from_a_newer_copy() {
    assert_eq!(told_to_the_third_life(None), [id(2), id(1)]);
    assert_eq!(told_to_the_third_life(Some(Control::RecallPastCopies)), []);
    assert_eq!(told_to_the_third_life(Some(Control::RecallToLowerFence)), []);
}

/// Alice pays carol of her own bank; the gateway falls back to a copy of before, and carol, who has the id in her history,
/// orders something else under it and wants it void.
#[test]
fn a_payment_within_one_bank_is_recalled_before_anybody_else_gets_its_id() {
    let mut bank = SimBank::new(bank_name("alpha"), &["alice", "carol"], LOT, None);
    let mut desk = Desk::town();
    let copy = desk.clone();
    let paid = request(1, customer("carol", "alpha"), 100);
    desk.one(take(paid));
    ask(&desk, &mut bank, 1);

    let mut desk = copy;
    desk.one(Command::BeginEpoch { epoch: epoch(2) });
    let back = PaymentRequest { session: session(3), ..request(1, customer("alice", "alpha"), 1) };
    let cancel = |request| Command::Cancel { request, taker: node(1) };
    let own = PaymentRequest { payee: customer("carol", "alpha"), ..back };
    for early in [take(back), cancel(back), cancel(own), take(paid), cancel(paid)] {
        assert!(matches!(desk.refusal(early), Refusal::BankRestoring { .. }), "{early:?}");
    }
    assert_eq!(recall(&desk, &mut bank), [id(1)]);
    let terms = bank.told(id(1));
    let resolve = Command::Resolve { bank: bank_name("alpha"), terms, taker: node(1) };
    // A bank that tells of what it cannot have moved is not listened to.
    let to_itself =
        Command::Resolve { bank: bank_name("alpha"), terms: Terms { payee: terms.payer, ..terms }, taker: node(1) };
    assert_eq!(desk.refusal(to_itself), Refusal::NotYours);
    assert_eq!(desk.status(resolve), Status::Undecided);
    desk.one(Command::BankRecalled { name: bank_name("alpha"), epoch: epoch(2) });
    assert_eq!(desk.refusal(take(back)), Refusal::IdReused);

    // Its bank says what became of it, asked for void as it is.
    let call = agenda::calls(&desk.clearing, desk.clearing.payment(id(1)).expect("on its way")).debit.expect("asked");
    assert_eq!(call.kind, clearing::CallKind::VoidTransfer);
    let debit = bank.answer(&call, desk.clock_ms).map(|reply| reply.said);
    assert_eq!(debit.map(|said| said.finding), Some(Finding::Posted));
    desk.one(Command::Report { id: id(1), gateway: epoch(2), found: Pair { debit, credit: None } });
    for refused in [take(back), cancel(back)] {
        assert_eq!(desk.refusal(refused), Refusal::IdReused);
    }
    for asked in [take(paid), cancel(paid), resolve] {
        assert_eq!(desk.status(asked), Status::Paid { delivery: Delivery::Done });
    }
}
