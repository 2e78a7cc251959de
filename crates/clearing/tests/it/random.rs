//! Random histories: the gateway does what the naive one does, and so does one made again from its folded journal.

use clearing::{
    Answer, Command, Finding, NamedParty, OperatorName, Pair, PaymentRequest, Reason, Reported, Risk, SettingChange,
    Side, Terms,
};
use ledger::{Amount, Currency, Reference};
use proptest::prelude::*;

use crate::desk::{Desk, bank, bank_name, cents, customer, epoch, id, node, open, register, session};
use crate::model::{Model, NAMES};

fn any_customer() -> impl Strategy<Value = NamedParty> {
    let bank = prop_oneof![4 => Just("alpha"), 4 => Just("beta"), 1 => Just("gamma"), 1 => Just("delta")];
    (prop_oneof![Just("alice"), Just("bob")], bank).prop_map(|(name, bank)| customer(name, bank))
}

fn any_reference() -> impl Strategy<Value = Reference> {
    let text = prop_oneof![9 => Just(""), 1 => Just("rent")];
    text.prop_map(|text| Reference::new(text).expect("short"))
}

fn any_request() -> impl Strategy<Value = PaymentRequest> {
    (1u128..8, 1u128..6, any_customer(), 1u128..4, any_reference()).prop_map(|(number, of, payee, minor, reference)| {
        let (currency, amount) = (Currency::EUR, cents(minor * 100));
        PaymentRequest { id: id(number), session: session(of), payee, amount, currency, reference }
    })
}

fn any_finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        6 => Just(Finding::Held),
        1 => Just(Finding::Posted),
        1 => Just(Finding::Voided),
        1 => Just(Finding::NotFound),
        1 => Just(Finding::Refused(Reason::UnknownPayee)),
        1 => Just(Finding::Refused(Reason::InsufficientFunds { available: 3 })),
    ]
}

fn any_said() -> impl Strategy<Value = Option<Reported>> {
    let incarnation = prop_oneof![5 => Just(1u32), 1 => Just(2)];
    let said = (incarnation, any_finding());
    prop::option::of(said.prop_map(|(of, finding)| Reported { epoch: epoch(of), finding }))
}

fn any_setting() -> impl Strategy<Value = SettingChange> {
    let currency = Currency::EUR;
    prop_oneof![
        (0u128..350).prop_map(move |minor| SettingChange::PaymentLimit { currency, limit: Amount::new(minor) }),
        (1u64..4).prop_map(|payments| SettingChange::OpenPerBank { payments }),
        (0u128..500, any::<bool>()).prop_map(move |(minor, forth)| {
            let (debtor, creditor) = if forth { (bank(1), bank(2)) } else { (bank(2), bank(1)) };
            SettingChange::PairCap { debtor, creditor, currency, cap: Amount::new(minor) }
        }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = || (1u128..8).prop_map(id);
    let side = prop_oneof![Just(Side::Debit), Just(Side::Credit)];
    let incarnation = || prop_oneof![5 => Just(1u32), 1 => Just(2)].prop_map(epoch);
    let parties = (any_customer(), any_customer(), 1u128..4);
    let taker = node(1);
    prop_oneof![
        8 => any_request().prop_map(move |request| Command::Take { request, deadline_ms: u64::MAX, taker }),
        2 => any_request().prop_map(move |request| Command::Cancel { request, taker }),
        10 => (number(), incarnation(), any_said(), any_said()).prop_map(|(id, gateway, debit, credit)| {
            Command::Report { id, gateway, found: Pair { debit, credit } }
        }),
        2 => number().prop_map(|id| Command::TimeOut { id }),
        2 => (number(), prop_oneof![Just(Risk::NotTaken), Just(Risk::Taken)]).prop_map(|(id, risk)| {
            Command::VoidByHand { id, operator: OperatorName::EMPTY, risk }
        }),
        6 => (number(), side, incarnation()).prop_map(|(id, side, epoch)| Command::Delivered { id, side, epoch }),
        3 => (number(), parties, 0usize..4).prop_map(move |(id, (payer, payee, minor), asking)| {
            let (amount, currency) = (cents(minor * 100), Currency::EUR);
            let terms = Terms { id, payer, payee, amount, currency, reference: Reference::EMPTY };
            Command::Resolve { bank: bank_name(NAMES[asking]), terms, taker }
        }),
        1 => (0usize..2, 1u32..3, 0u64..3).prop_map(|(at, incarnation, last)| {
            register(NAMES[at], at as u128 + 1, incarnation, last)
        }),
        1 => (0usize..2).prop_map(|at| Command::BankCaughtUp { name: bank_name(NAMES[at]), epoch: epoch(1) }),
        1 => Just(Command::EndSession { session: session(5) }),
        1 => Just(Command::BeginEpoch { epoch: epoch(2) }),
        3 => (0usize..3, 1u32..3).prop_map(|(at, number)| {
            Command::BankRecalled { name: bank_name(NAMES[at]), epoch: epoch(number) }
        }),
        2 => (0usize..3, 0usize..3, 1u32..3, any::<bool>()).prop_map(|(at, with, number, is_told)| {
            let (name, other, epoch) = (bank_name(NAMES[at]), bank_name(NAMES[with]), epoch(number));
            match is_told {
                true => Command::BankRecalledWith { name, other, epoch },
                false => Command::RecallWith { name, other, epoch },
            }
        }),
        1 => (0u64..4, any_setting()).prop_map(|(expected_version, change)| {
            Command::ChangeSetting { expected_version, change }
        }),
    ]
}

/// Three banks, and five sessions of their customers.
fn town() -> (Desk, Model) {
    let (mut desk, mut model) = (Desk::new(), Model::new());
    let mut both = |command: Command| {
        desk.one(command);
        model.send(1_000, &command).expect("nothing is in the way");
    };
    for (group, name) in (1..).zip(["alpha", "beta", "gamma"]) {
        both(register(name, group, 1, 0));
    }
    let customers = [("alice", "alpha"), ("bob", "alpha"), ("alice", "beta"), ("bob", "beta"), ("alice", "alpha")];
    for (number, (name, at)) in (1..).zip(customers) {
        both(open(number, customer(name, at), 1_000_000));
    }
    (desk, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn the_gateway_does_what_the_naive_model_does(
        steps in prop::collection::vec((0u64..1_500, any_command()), 1..60)
    ) {
        let (mut desk, mut model) = town();
        for (later_ms, command) in steps {
            desk.clock_ms += later_ms;
            // Only a bank's present incarnation can have caught up.
            let is_behind = matches!(command, Command::BankCaughtUp { name, epoch }
                if model.banks[name.as_str()].epoch != epoch.get());
            if is_behind {
                continue;
            }
            let records = desk.journal.records.len();
            let answer = desk.one(command);
            let expected = model.send(desk.clock_ms, &command);
            let (ruling, replay) = match answer {
                Answer::Done { outcome, replay } => (Ok(outcome), replay),
                Answer::Refused(refusal) => (Err(refusal), true),
            };
            prop_assert_eq!(ruling, expected, "{:?}", command);
            prop_assert_eq!(replay, desk.journal.records.len() == records, "{:?}", command);
            prop_assert_eq!(desk.clearing.time_ms(), model.changed_ms);
        }
        prop_assert_eq!(desk.clearing.payments().map(|of| of.order.id.get()).collect::<Vec<_>>(), model.live());
        for (key, position) in desk.clearing.positions() {
            let name = |number: clearing::BankNumber| NAMES[usize::from(number.get()) - 1];
            prop_assert_eq!(position.low_owes, model.owes(name(key.low), name(key.high)));
        }
        prop_assert_eq!(desk.restored().digest(), desk.clearing.digest());
    }
}
