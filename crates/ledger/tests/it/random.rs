//! Random commands against the naive model: the same outcomes, the same balances, and a ledger restored from the folded
//! journal is the same ledger.

use ledger::{AccountId, Amount, Balances, Command, Currency, OrderEnd, Owner, Reference, SettingChange};
use proptest::prelude::*;

use crate::daily_limit::daily_limit;
use crate::desk::*;
use crate::model::{self, Model};
use crate::restore::{folded, restored, statement_is_unbroken};

/// Few accounts and ids, so that commands meet each other: unknown, internal, of another currency, and nearly full ones.
fn any_account() -> impl Strategy<Value = AccountId> {
    prop_oneof![
        6 => (1u128..5).prop_map(account),
        2 => Just(vault()),
        1 => Just(interbank()),
        1 => Just(AccountId::suspense(Currency::EUR)),
        1 => Just(AccountId::vault(yen())),
        1 => Just(account(9)),
        4 => any_name().prop_map(of),
    ]
}

/// The last is seldom added as a customer before somebody has opened the account.
fn any_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("ann"), 2 => Just("bob"), 1 => Just("zoë")]
}

fn any_amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        6 => (1u128..100).prop_map(cents),
        1 => Just(Amount::MAX),
        1 => (65_000u128..66_000).prop_map(cents),
    ]
}

fn any_currency() -> impl Strategy<Value = Currency> {
    prop_oneof![9 => Just(Currency::EUR), 1 => Just(yen())]
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = || (1u128..12).prop_map(id);
    let who = || prop_oneof![5 => Just(placer(GATEWAY)), 1 => Just(placer(8))];
    let reference =
        || prop_oneof![5 => Just(""), 1 => Just("rent")].prop_map(|text| Reference::new(text).expect("short"));
    let movement = || (number(), any_account(), any_account(), any_amount(), any_currency(), reference());
    let limit = prop_oneof![2 => Just(None), 1 => (20u128..90).prop_map(Amount::new)];
    prop_oneof![
        2 => ((1u128..6).prop_map(account), any_currency())
            .prop_map(|(id, currency)| Command::OpenAccount { id, owner: Owner::EMPTY, currency }),
        1 => any_account().prop_map(|id| Command::OpenAccount { id, owner: Owner::EMPTY, currency: Currency::EUR }),
        1 => (number(), any_account()).prop_map(|(id, account)| Command::CloseAccount { id, account }),
        4 => (movement(), prop::option::of(who())).prop_map(|((id, debit, credit, amount, currency, reference), placer)| {
            Command::Transfer { id, placer, debit, credit, amount, currency, reference }
        }),
        4 => (movement(), who()).prop_map(|((id, debit, credit, amount, currency, reference), placer)| {
            Command::PlaceHold { id, placer, debit, credit, amount, currency, reference }
        }),
        3 => (number(), who()).prop_map(|(id, placer)| Command::PostHold { id, placer }),
        3 => (number(), who()).prop_map(|(id, placer)| Command::VoidHold { id, placer }),
        1 => number().prop_map(|id| Command::VoidTransfer { id }),
        2 => (movement(), who(), any::<bool>()).prop_map(
            |((id, debit, credit, amount, currency, reference), placer, post)| {
                let end = if post { OrderEnd::Post } else { OrderEnd::Void };
                Command::EndOrder { end, id, placer: Some(placer), debit, credit, amount, currency, reference }
            }
        ),
        1 => movement().prop_map(|(id, debit, credit, amount, currency, reference)| {
            Command::EndOrder { end: OrderEnd::Void, id, placer: None, debit, credit, amount, currency, reference }
        }),
        1 => (1u128..4, 1u128..3, 1u128..9).prop_map(|(key, digest, base)| Command::ClaimKey { key, digest, base }),
        2 => (any_name(), any_currency(), any::<u8>()).prop_map(|(text, currency, salt)| {
            Command::AddCustomer { name: name(text), currency, secret: secret(salt) }
        }),
        1 => (number(), any_name(), any::<u8>())
            .prop_map(|(id, text, salt)| Command::SetSecret { id, name: name(text), secret: secret(salt) }),
        1 => (number(), any_name(), any::<bool>())
            .prop_map(|(id, text, locked)| Command::LockCustomer { id, name: name(text), locked }),
        2 => (0u64..4, any_currency(), limit, any::<bool>()).prop_map(|(expected_version, currency, limit, daily)| {
            let change = match daily {
                true => SettingChange::DailyDebitLimit { currency, limit },
                false => SettingChange::TransferLimit { currency, limit },
            };
            Command::ChangeSetting { expected_version, change }
        }),
    ]
}

#[derive(Clone, Debug)]
struct Step {
    clock_ms: u64,
    linked: bool,
    commands: Vec<Command>,
    /// Sends an earlier step's commands instead of its own.
    repeat: Option<usize>,
}

/// What customers who have money do with it, under more ids than others, so that most of it is done.
fn any_spending() -> impl Strategy<Value = Command> {
    let number = || (20u128..90).prop_map(id);
    let movement = || (number(), prop_oneof!["ann", "bob"], 1u128..40);
    prop_oneof![
        4 => movement().prop_map(|(id, text, minor)| transfer(id.get(), of(&text), vault(), minor)),
        4 => movement().prop_map(|(id, text, minor)| hold(id.get(), of(&text), interbank(), minor)),
        1 => number().prop_map(|id| post(id.get())),
        2 => (movement(), any::<bool>()).prop_map(|((id, text, minor), is_post)| {
            let end = if is_post { OrderEnd::Post } else { OrderEnd::Void };
            end_order(end, &hold(id.get(), of(&text), interbank(), minor))
        }),
        3 => number().prop_map(|id| void(id.get())),
        2 => any_command(),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    step_of(any_command())
}

fn step_of(command: impl Strategy<Value = Command>) -> impl Strategy<Value = Step> {
    let commands = prop::collection::vec(command, 1..6);
    let repeat = prop_oneof![4 => Just(None), 1 => (0usize..40).prop_map(Some)];
    // The first day, and both sides of some midnights.
    let clock = prop_oneof![6 => 0u64..5_000, 1 => (1u64..12, 0u64..4).prop_map(|(day, ms)| day * 86_400_000 + ms - 2)];
    (clock, any::<bool>(), commands, repeat).prop_map(|(clock_ms, linked, commands, repeat)| Step {
        clock_ms,
        linked,
        commands,
        repeat,
    })
}

/// Customer 1 and the vault have turned over so much that one more of the largest amounts fits and little else.
fn nearly_full() -> (Desk, Model) {
    let max = Amount::MAX.minor();
    let turnover = max * 65_535;
    let balances = |id: AccountId| match id {
        id if id == vault() => Some(Balances { posted_debits: turnover, posted_credits: 0, ..Balances::default() }),
        id if id == account(1) => Some(Balances { posted_credits: turnover, ..Balances::default() }),
        _ => None,
    };
    let (mut desk, mut model) = (Desk::new(), Model::default());
    let start = [open(1), open(2), open(3), transfer(1_000, vault(), account(1), max)];
    desk.send(false, &start);
    model.send(1_000, false, &start);
    // The ledger gets the turnover through its checkpoint, as no command could bring it there quickly.
    let mut entries = folded(&desk.journal.records);
    for id in [vault(), account(1)] {
        let totals = balances(id).expect("planted");
        let key = [&b"B"[..], &id.get().to_be_bytes()].concat();
        let value = entries.get_mut(&key).expect("both took part in the transfer");
        value[1..17].copy_from_slice(&totals.posted_debits.to_le_bytes());
        value[17..33].copy_from_slice(&totals.posted_credits.to_le_bytes());
    }
    desk.ledger = restored(&entries);
    model.plant(balances);
    (desk, model)
}

/// Ann and Bob have money, and may spend a little of it on each day.
fn bounded() -> (Desk, Model) {
    let (mut desk, mut model) = (Desk::new(), Model::default());
    let paid_in = [("ann", 1_001), ("bob", 1_002)].map(|(text, number)| transfer(number, vault(), of(text), 5_000));
    let start = [&[add("ann"), add("bob"), daily_limit(0, Some(60))][..], &paid_in].concat();
    desk.send(false, &start);
    model.send(desk.clock_ms, false, &start);
    (desk, model)
}

fn run(mut desk: Desk, mut model: Model, steps: &[Step]) -> Desk {
    for step in steps {
        let commands = step.repeat.and_then(|at| steps.get(at)).map_or(&step.commands, |earlier| &earlier.commands);
        desk.clock_ms = step.clock_ms;
        let answers = desk.send(step.linked, commands);
        let answers: Vec<_> = answers.iter().map(|answer| (answer.outcome, answer.replay)).collect();
        assert_eq!(answers, model.send(step.clock_ms, step.linked, commands));
        assert_eq!(desk.ledger.time_ms(), model.time_ms);
    }
    assert_eq!(desk.ledger.account_count(), model.accounts.len() as u64);
    for (id, account) in &model.accounts {
        assert_eq!(desk.ledger.account(*id).expect("the model has it").balances, account.balances);
    }
    for text in ["ann", "bob", "zoë"] {
        let found = desk.ledger.customer(&name(text));
        let found = found.map(|customer| (customer.secret, customer.locked));
        assert_eq!(found, model.customers.get(&name(text)).map(|customer| (customer.secret, customer.locked)));
    }
    assert_eq!(model::ids_of(desk.ledger.holds(None)), model.open_holds());
    desk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_does_what_the_naive_model_does(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut desk = run(Desk::new(), Model::default(), &steps);
        let restored = restored(&folded(&desk.journal.records));
        prop_assert_eq!(restored.digest(), desk.ledger.digest());
        statement_is_unbroken(&desk);
        // The restored ledger goes on just like the one that never stopped.
        let digest_after = |desk: &mut Desk| {
            desk.clock_ms = 0;
            desk.send(false, &steps[0].commands);
            desk.ledger.digest()
        };
        let mut other = Desk { ledger: restored, ..desk.clone() };
        prop_assert_eq!(digest_after(&mut other), digest_after(&mut desk));
        prop_assert!(other.journal.records == desk.journal.records);
    }

    #[test]
    fn and_so_it_does_at_the_edge_of_its_bounds(steps in prop::collection::vec(any_step(), 1..30)) {
        let (desk, model) = nearly_full();
        run(desk, model, &steps);
    }

    #[test]
    fn and_so_it_does_where_a_day_is_bounded(steps in prop::collection::vec(step_of(any_spending()), 1..40)) {
        let (desk, model) = bounded();
        let desk = run(desk, model, &steps);
        prop_assert_eq!(restored(&folded(&desk.journal.records)).digest(), desk.ledger.digest());
    }
}
