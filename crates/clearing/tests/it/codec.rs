//! The bytes: what is written is read back, what is damaged is refused, and numbers stay what they are.

use clearing::bank::{BankBucket, Standing};
use clearing::record::{Decided, Taken, kind};
use clearing::{
    Body, Cause, Command, Finding, GroupId, Holder, KeyId, Malformed, NamedParty, OperatorName, Order, Origin, Owed,
    Pair, Party, PaymentRequest, PositionKey, Reason, Record, RecordError, Refusal, Reported, Request, Risk, Seed,
    SettingChange, Side, Terms, Verdict, Vote, Word,
};
use ledger::{Amount, Currency, Reference};

use crate::desk::*;

/// Every field as long as it can be.
fn longest_customer() -> NamedParty {
    customer(&"c".repeat(48), &"b".repeat(32))
}

fn longest_party() -> Party {
    Party { bank: bank(u16::MAX), holder: longest_customer().holder }
}

fn longest_order() -> Order {
    Order {
        id: id(u128::MAX),
        payer: longest_party(),
        payee: longest_party(),
        amount: Amount::MAX,
        currency: Currency::EUR,
        reference: Reference::new(&"r".repeat(35)).expect("it just fits"),
    }
}

fn longest_request() -> PaymentRequest {
    let Order { id, amount, currency, reference, .. } = longest_order();
    PaymentRequest { id, session: session(u128::MAX), payee: longest_customer(), amount, currency, reference }
}

fn longest_terms() -> Terms {
    let Order { id, amount, currency, reference, .. } = longest_order();
    Terms { id, payer: longest_customer(), payee: longest_customer(), amount, currency, reference }
}

fn operator() -> OperatorName {
    OperatorName::new(&"o".repeat(32)).expect("it just fits")
}

fn reasons() -> Vec<Reason> {
    vec![
        Reason::InsufficientFunds { available: u128::MAX },
        Reason::UnknownPayee,
        Reason::UnknownBank,
        Reason::BankUnavailable,
        Reason::OtherCurrency,
        Reason::OwnAccount,
        Reason::LimitExceeded { limit: Amount::MAX },
        Reason::DailyLimitExceeded { limit: Amount::MAX },
        Reason::PayerLocked,
        Reason::CapExceeded { cap: Amount::MAX, owed: u128::MAX },
        Reason::UnknownPayer,
        Reason::AccountClosed,
        Reason::VoidedByPayer,
        Reason::VoidedByOperator,
        Reason::VoidedAtBank { side: Side::Credit },
        Reason::NotHeldAtBoth,
        Reason::BankRefused { code: u16::MAX },
        Reason::ContradictedByBank { side: Side::Debit },
        Reason::VoidedAtRisk,
    ]
}

fn findings() -> Vec<Finding> {
    let mut findings = vec![Finding::Held, Finding::Posted, Finding::Voided, Finding::NotFound];
    findings.extend(reasons().into_iter().map(Finding::Refused));
    findings
}

fn taken(origin: Origin) -> Body {
    Body::PaymentTaken(Taken {
        order: longest_order(),
        origin,
        numbers: Pair { debit: u64::MAX, credit: u64::MAX },
        previous: Pair { debit: Some((1 << 48) - 2), credit: None },
        epoch: epoch(u32::MAX),
        taker: node(u16::MAX),
        vote_by_ms: u64::MAX,
    })
}

fn decided(verdict: Verdict) -> Body {
    let key = PositionKey { low: bank(1), high: bank(u16::MAX), currency: Currency::EUR };
    let (id, owed) = (id(u128::MAX), Some(Owed::Both));
    Body::PaymentDecided(Decided {
        id,
        verdict,
        owed,
        position: Some((key, i128::MIN)),
        listed: true,
        operator: Some(operator()),
    })
}

fn settings() -> Vec<SettingChange> {
    let (currency, limit) = (Currency::EUR, Some(Amount::MAX));
    vec![
        SettingChange::VoteTimeout { ms: u64::MAX },
        SettingChange::RefusedPerCustomer { per_minute: u64::MAX, burst: u64::MAX },
        SettingChange::TakenPerCustomer { per_second: u64::MAX, burst: u64::MAX },
        SettingChange::AskedPerBank { per_second: u64::MAX, burst: u64::MAX },
        SettingChange::PaymentLimit { currency, limit },
        SettingChange::PairCap { debtor: bank(1), creditor: bank(2), currency, cap: None },
        SettingChange::OpenPerBank { payments: 1 },
        SettingChange::OpenPerCustomer { payments: 1 },
        SettingChange::SessionsPerCustomer { sessions: 2 },
        SettingChange::TakeOver { after_ms: 3 },
    ]
}

fn bodies() -> Vec<Body> {
    let (last, session, key) = (id(u128::MAX), session(u128::MAX), KeyId::new(u64::MAX).expect("not zero"));
    let group = GroupId::new(u128::MAX).expect("not zero");
    let standing = Standing::Restored { after: u64::MAX, through: u64::MAX };
    let (number, name) = (bank(u16::MAX), longest_customer().bank);
    let mut bodies = vec![
        Body::EpochBegan { epoch: epoch(u32::MAX), since_ms: (1 << 48) - 1 },
        Body::BankToRecall {
            number: bank(3),
            recall: clearing::Recall { epoch: epoch(u32::MAX), complete_through: u64::MAX },
        },
        Body::BankRecalled { number: bank(3), epoch: epoch(2) },
        Body::BankToRecallWith {
            number,
            other: bank(4),
            recall: clearing::Recall { epoch: epoch(u32::MAX), complete_through: u64::MAX },
        },
        Body::BankRecalledWith { number: bank(3), other: number },
        Body::BankRegistered { number, name, group, epoch: epoch(7), standing, registered_in: epoch(1) },
        Body::BankRegistered { number, name, group, epoch: epoch(7), standing, registered_in: epoch(9) },
        Body::KeyClaimed { key: u128::MAX, digest: 2, base: u128::MAX },
        Body::BankCharged { number, bucket: BankBucket::Lifts, full_at_us: u64::MAX },
        Body::BankCharged { number, bucket: BankBucket::Contradictions, full_at_us: u64::MAX },
        Body::BankCharged { number, bucket: BankBucket::Listed, full_at_us: u64::MAX },
        Body::BankCaughtUp { number },
        Body::PayerCharged { payer: longest_party(), full_at_us: u64::MAX, forgotten: Some(longest_party()) },
        Body::SessionOpened { session, customer: longest_party(), expires_ms: u64::MAX },
        Body::SessionEnded { session },
        Body::SessionForgotten { session },
        Body::KeyKept { key, node: node(3), public: [0xff; 32], expires_ms: u64::MAX },
        Body::KeyRetired { key },
        Body::SeedKept { seed: Seed::new([0xff; 32]) },
        Body::KeyForgotten { key },
        taken(Origin::Customer { session }),
        taken(Origin::Settlement),
        taken(Origin::Asked(Cause::Bank)),
        taken(Origin::Asked(Cause::Recall)),
        taken(Origin::Asked(Cause::Payer)),
        Body::VoidWanted { id: last, cause: Cause::Operator(operator()) },
        Body::VoidWanted { id: last, cause: Cause::TimedOut },
        decided(Verdict::Post),
        Body::Acknowledged { id: last },
    ];
    for reason in reasons() {
        let (digest, payer, verdict) = (u128::MAX, longest_party(), Verdict::Void(reason));
        bodies.push(Body::PaymentRefused { id: last, payer, digest, reason });
        bodies.push(decided(verdict));
        let left = Some(Owed::Only(Side::Credit));
        bodies.push(Body::SideDelivered { id: last, side: Side::Debit, left, verdict, decided_ms: 5 });
        bodies.push(Body::Contradicted { id: last, side: Side::Credit, left, verdict, decided_ms: (1 << 48) - 1 });
    }
    for finding in findings() {
        let vote = Vote { gateway: epoch(9), reported: Reported { epoch: epoch(8), finding } };
        bodies.push(Body::VoteRecorded { id: last, side: Side::Debit, vote });
    }
    bodies.extend(settings().into_iter().map(|change| Body::SettingChanged { replaced_version: u64::MAX, change }));
    bodies
}

#[test]
fn every_record_fits_and_reads_back() {
    for body in bodies() {
        let record = Record { time_ms: (1 << 48) - 1, slot: (1 << 48) - 1, place: (1 << 48) - 2, body };
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn kinds_of_records_are_stable() {
    let kinds: Vec<u16> = (1..=19).chain([30, 31, 32, 33, 34, 35, 36]).collect();
    assert_eq!((kind::PAYER_CHARGED, kind::SEED_KEPT, kind::CONTRADICTED), (31, 32, 34));
    let mut seen: Vec<u16> = bodies().iter().map(Body::kind).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, kinds);
    let record = Record { time_ms: 2, slot: 3, place: 4, body: Body::EpochBegan { epoch: epoch(5), since_ms: 0 } };
    let mut bytes = [0; 256];
    (bytes[0], bytes[2], bytes[8], bytes[14], bytes[20]) = (1, 2, 3, 4, 5);
    assert_eq!(record.encode(), bytes);
    assert_eq!((kind::PAYMENT_TAKEN, kind::PAYMENT_DECIDED, kind::SIDE_DELIVERED), (10, 14, 15));
}

#[test]
fn damaged_records_are_refused_and_never_panic() {
    for body in bodies() {
        let bytes = Record { time_ms: 1, slot: 1, place: 1, body }.encode();
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes;
                damaged[at] ^= flip;
                if let Ok(record) = Record::decode(&damaged) {
                    assert_eq!(record.encode(), damaged, "what is read is what was written");
                }
            }
        }
    }
    let mut unknown = [0; 256];
    unknown[0] = 200;
    assert_eq!(Record::decode(&unknown), Err(RecordError::Kind { kind: 200 }));
}

fn commands() -> Vec<Command> {
    let (id, session, taker) = (id(u128::MAX), session(u128::MAX), node(u16::MAX));
    let (name, key) = (longest_customer().bank, KeyId::new(u64::MAX).expect("not zero"));
    let mut commands = vec![
        Command::BeginEpoch { epoch: epoch(3) },
        Command::BankRecalled { name: bank_name("alpha"), epoch: epoch(3) },
        Command::RecallWith { name: bank_name("alpha"), other: name, epoch: epoch(3) },
        Command::BankRecalledWith { name, other: bank_name("alpha"), epoch: epoch(3) },
        register("alpha", u128::MAX, 4, u64::MAX),
        Command::BankCaughtUp { name, epoch: epoch(4) },
        Command::OpenSession { session, customer: longest_customer(), expires_ms: u64::MAX, open_by_ms: 7 },
        Command::EndSession { session },
        Command::AddKey { key, node: taker, public: [0xff; 32], expires_ms: u64::MAX },
        Command::RetireKey { key },
        Command::KeepSeed { seed: Seed::new([0xff; 32]) },
        Command::Take { request: longest_request(), deadline_ms: u64::MAX, taker },
        Command::Cancel { request: longest_request(), taker },
        Command::Settle {
            id,
            debtor: name,
            creditor: bank_name("a"),
            amount: Amount::MAX,
            currency: Currency::EUR,
            taker,
        },
        Command::TimeOut { id },
        Command::VoidByHand { id, operator: operator(), risk: Risk::NotTaken },
        Command::VoidByHand { id, operator: operator(), risk: Risk::Taken },
        Command::Delivered { id, side: Side::Credit, epoch: epoch(5) },
        Command::Resolve { bank: name, terms: longest_terms(), taker },
        Command::Acknowledge { id },
    ];
    for finding in findings() {
        let said = Some(Reported { epoch: epoch(9), finding });
        commands.push(Command::Report { id, gateway: epoch(2), found: Pair { debit: said, credit: None } });
        commands.push(Command::Report { id, gateway: epoch(2), found: Pair { debit: None, credit: said } });
    }
    commands.extend(settings().into_iter().map(|change| Command::ChangeSetting { expected_version: 1, change }));
    commands
}

#[test]
fn every_command_reads_back_alone_and_together() {
    for command in commands() {
        let request = Request::single(command);
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    let request = Request { commands: commands() };
    assert_eq!(Request::decode(&request.encode()), Ok(request));
}

/// Whether the risk is taken is in the kind, so what older logs hold is read as it was meant.
#[test]
fn a_void_by_hand_reads_as_before_and_one_at_a_risk_has_a_kind_of_its_own() {
    let kind_of = |risk| Request::single(Command::VoidByHand { id: id(1), operator: operator(), risk }).encode()[5];
    assert_eq!([Risk::NotTaken, Risk::Taken].map(kind_of), [13, 33]);
}

#[test]
fn bytes_that_are_no_request_say_where() {
    let good = Request::single(Command::TimeOut { id: id(1) }).encode();
    for len in 0..good.len() {
        assert!(Request::decode(&good[..len]).is_err(), "cut off at {len}");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Request::decode(&bytes).expect_err("damaged")
    };
    assert_eq!(with(0, 2), Malformed::Version { version: 2 });
    assert_eq!(with(1, 0), Malformed::Count { count: 0 });
    assert!(matches!(with(5, 99), Malformed::Field { index: 0, .. }));
    let longer = [good, vec![0]].concat();
    assert!(matches!(Request::decode(&longer), Err(Malformed::Field { index: 1, .. })));
}

#[test]
fn a_customer_cannot_pay_a_banks_vault() {
    let mut request = longest_request();
    request.payee.holder = Holder::House;
    let bytes = Request::single(take(request)).encode();
    assert!(matches!(Request::decode(&bytes), Err(Malformed::Field { .. })));
}

#[test]
fn codes_are_stable_and_tell_each_apart() {
    let mut codes: Vec<u16> = reasons().iter().map(Reason::code).collect();
    codes.sort_unstable();
    assert_eq!(codes, (1..=19).collect::<Vec<u16>>());
    let refusals = [
        Refusal::NoSession,
        Refusal::SessionExpired,
        Refusal::SessionEnded,
        Refusal::IdReused,
        Refusal::DeadlinePassed,
        Refusal::BankRestoring { bank: bank(1) },
        Refusal::BankBusy { bank: bank(1) },
        Refusal::UnknownBank,
        Refusal::NameTaken,
        Refusal::StaleEpoch { known: epoch(1) },
        Refusal::UnknownPayment,
        Refusal::NotYours,
        Refusal::TooEarly { vote_by_ms: 1 },
        Refusal::NotDecided,
        Refusal::VersionMismatch { actual: 1 },
        Refusal::OutOfRange,
        Refusal::Full,
        Refusal::Expired,
        Refusal::MoreThanOwed { owed: 1 },
        Refusal::PayerBusy,
        Refusal::TooManyRefused { retry_after_ms: 1 },
        Refusal::EpochTooFar { known: epoch(1) },
        Refusal::KeyReused,
        Refusal::MayBePaid { said: Pair { debit: Word::Held, credit: Word::Silent } },
    ];
    let codes: Vec<u16> = refusals.iter().map(Refusal::code).collect();
    assert_eq!(codes, (101..=121).chain([130, 131, 132]).collect::<Vec<u16>>());
}

#[test]
fn keys_of_payments_and_decisions_are_stable() {
    let numbers = [clearing::payment_key(id(7)), clearing::decision_key(id(7))].map(|key| (key.kind(), key.id()));
    assert_eq!(numbers, [(0, 7), (1, 7)]);
}
