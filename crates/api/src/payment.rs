//! Between the messages of `rialto.v1` and payments: orders, calls to banks, what banks find, what payers are told.

use clearing::agenda::Booking;
use clearing::told::Told;
use clearing::{
    Answer, BankName, Call, CallKind, CustomerName, Delivery, Epoch, Finding, Holder, NamedParty, Outcome, Pair,
    PaymentId, Reason, Refusal, Reported, Side, Status, Terms, Word,
};
use ledger::{Amount, Reference, money};

use crate::code::Code;
use crate::field;
use crate::grpc::{currency, id_bits, int128, int128_value, transfer_id, uuid};
use crate::problem::Problem;
use crate::proto;

/// Payments of one call, at most.
pub const PAYMENTS_MAX: usize = 1_000;
/// Calls to a bank in one message, at most.
///
/// Each may be two commands of the ledger, beside the one that says which gateway speaks.
pub const CALLS_MAX: usize = 4_000;

pub fn bank_name(field: &'static str, text: &str) -> Result<BankName, Problem> {
    BankName::new(text).map_err(|error| not_a_name(field, &error.to_string()))
}

/// A customer's name as a person or their program wrote it, in its enforced form: `Bob` is `bob`.
pub fn customer_name(field: &'static str, text: &str) -> Result<CustomerName, Problem> {
    CustomerName::enforce(text).map_err(|error| not_a_name(field, &error.to_string()))
}

fn not_a_name(field: &'static str, why: &str) -> Problem {
    Problem::new(Code::InvalidName, format!("{field}: {why}")).with("field", field)
}

/// One side of a payment; an empty customer is the bank itself.
pub fn party(field: &'static str, message: Option<&proto::Party>) -> Result<NamedParty, Problem> {
    party_of(field, message, customer_name)
}

/// The same in what gateway and banks tell each other: the name was judged where it entered the network.
fn known_party(field: &'static str, message: Option<&proto::Party>) -> Result<NamedParty, Problem> {
    let known = |field, name: &str| CustomerName::stored(name).map_err(|error| not_a_name(field, &error.to_string()));
    party_of(field, message, known)
}

fn party_of(
    field: &'static str,
    message: Option<&proto::Party>,
    name_of: impl Fn(&'static str, &str) -> Result<CustomerName, Problem>,
) -> Result<NamedParty, Problem> {
    let message =
        message.ok_or_else(|| Problem::new(Code::MissingField, format!("{field} is missing")).with("field", field))?;
    let holder = match message.customer.as_str() {
        "" => Holder::House,
        name => Holder::Customer(name_of(field, name)?),
    };
    Ok(NamedParty { bank: bank_name(field, &message.bank)?, holder })
}

pub fn party_message(party: &NamedParty) -> proto::Party {
    let customer = match party.holder {
        Holder::Customer(name) => name.as_str().to_owned(),
        Holder::House => String::new(),
    };
    proto::Party { bank: party.bank.as_str().to_owned(), customer }
}

/// A payment without its payer, who is whoever the token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ordered {
    pub id: PaymentId,
    pub payee: NamedParty,
    pub amount: Amount,
    pub currency: ledger::Currency,
    pub reference: Reference,
}

/// What a customer orders. Errors name the field.
pub fn ordered(message: &proto::Payment) -> Result<Ordered, Problem> {
    let payee = party("payee", message.payee.as_ref())?;
    if payee.holder == Holder::House {
        return Err(not_a_name(
            "payee",
            &format!("{} alone names a bank, and a customer pays customers: write name@bank", payee.bank),
        ));
    }
    let minor = u128::from(message.amount_high) << 64 | u128::from(message.amount);
    let amount = Amount::new(minor).ok_or_else(|| {
        let detail = "amount: the amount is zero, or 2^96 minor units and more";
        Problem::new(Code::AmountZero, detail).with("field", "amount")
    })?;
    let reference = match message.reference.as_str() {
        "" => Reference::EMPTY,
        text => field::reference("reference", text)?,
    };
    let id = transfer_id("id", message.id.as_ref())?;
    Ok(Ordered { id, payee, amount, currency: currency(message.currency)?, reference })
}

/// The whole of a payment, as it travels between gateway and banks: its texts were judged where it was ordered.
pub fn terms(message: &proto::Payment) -> Result<Terms, Problem> {
    let minor = u128::from(message.amount_high) << 64 | u128::from(message.amount);
    let reference = field::known_reference("reference", &message.reference)?;
    Ok(Terms {
        id: transfer_id("id", message.id.as_ref())?,
        payer: known_party("payer", message.payer.as_ref())?,
        payee: known_party("payee", message.payee.as_ref())?,
        amount: Amount::new(minor).ok_or_else(|| Problem::new(Code::AmountZero, "amount: the amount is zero"))?,
        currency: currency(message.currency)?,
        reference,
    })
}

pub fn message(terms: &Terms) -> proto::Payment {
    let minor = terms.amount.minor();
    proto::Payment {
        id: Some(uuid(terms.id.get())),
        payer: Some(party_message(&terms.payer)),
        payee: Some(party_message(&terms.payee)),
        amount: u64::try_from(minor & u128::from(u64::MAX)).expect("masked to 64 bits"),
        amount_high: u32::try_from(minor >> 64).expect("an amount is below 2^96"),
        currency: u32::from(terms.currency.number()),
        reference: terms.reference.as_str().to_owned(),
    }
}

/// What a call asks of a bank, whoever it is addressed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub kind: CallKind,
    pub terms: Terms,
    pub number: u64,
    pub complete_through: u64,
    pub gateway: Epoch,
    /// The payment was decided before the bank was restored.
    pub replay: bool,
}

pub fn call_message(call: &Call) -> proto::PaymentCall {
    proto::PaymentCall {
        payment: Some(self::message(&call.terms)),
        number: call.number,
        complete_through: call.complete_through,
        gateway_epoch: call.gateway.get(),
        kind: kind_number(call.kind).into(),
        traceparent: String::new(),
        replay: call.booking == Booking::Replayed,
    }
}

/// A call, of which the method may have said the kind.
pub fn asked(message: &proto::PaymentCall, kind: Option<CallKind>) -> Result<Asked, Problem> {
    let kind = match kind {
        Some(kind) => kind,
        None => kind_of(message.kind())?,
    };
    let gateway = Epoch::new(message.gateway_epoch).ok_or_else(|| {
        Problem::new(Code::MissingField, "gateway_epoch: it counts from 1").with("field", "gateway_epoch")
    })?;
    let missing = || Problem::new(Code::MissingField, "payment is missing").with("field", "payment");
    let terms = terms(message.payment.as_ref().ok_or_else(missing)?)?;
    Ok(Asked {
        kind,
        terms,
        number: message.number,
        complete_through: message.complete_through,
        gateway,
        replay: message.replay,
    })
}

fn kind_of(kind: proto::CallKind) -> Result<CallKind, Problem> {
    Ok(match kind {
        proto::CallKind::Unspecified => {
            return Err(Problem::new(Code::MissingField, "kind: say what is asked").with("field", "kind"));
        }
        proto::CallKind::PrepareDebit => CallKind::PrepareDebit,
        proto::CallKind::PrepareCredit => CallKind::PrepareCredit,
        proto::CallKind::CommitDebit => CallKind::CommitDebit,
        proto::CallKind::CommitCredit => CallKind::CommitCredit,
        proto::CallKind::AbortDebit => CallKind::AbortDebit,
        proto::CallKind::AbortCredit => CallKind::AbortCredit,
        proto::CallKind::Transfer => CallKind::Transfer,
        proto::CallKind::VoidTransfer => CallKind::VoidTransfer,
        proto::CallKind::DebitStatus => CallKind::HoldStatus(Side::Debit),
        proto::CallKind::CreditStatus => CallKind::HoldStatus(Side::Credit),
    })
}

fn kind_number(kind: CallKind) -> proto::CallKind {
    match kind {
        CallKind::PrepareDebit => proto::CallKind::PrepareDebit,
        CallKind::PrepareCredit => proto::CallKind::PrepareCredit,
        CallKind::CommitDebit => proto::CallKind::CommitDebit,
        CallKind::CommitCredit => proto::CallKind::CommitCredit,
        CallKind::AbortDebit => proto::CallKind::AbortDebit,
        CallKind::AbortCredit => proto::CallKind::AbortCredit,
        CallKind::Transfer => proto::CallKind::Transfer,
        CallKind::VoidTransfer => proto::CallKind::VoidTransfer,
        CallKind::HoldStatus(Side::Debit) => proto::CallKind::DebitStatus,
        CallKind::HoldStatus(Side::Credit) => proto::CallKind::CreditStatus,
    }
}

pub fn finding_message(finding: &Finding, bank: Epoch) -> proto::Finding {
    let mut message = proto::Finding { bank_epoch: bank.get(), ..proto::Finding::default() };
    let kind = match finding {
        Finding::Held => proto::FindingKind::Held,
        Finding::Posted => proto::FindingKind::Posted,
        Finding::Voided => proto::FindingKind::Voided,
        Finding::NotFound => proto::FindingKind::NotFound,
        Finding::Refused(reason) => {
            let (number, value) = reason.for_gateway();
            message.reason = u32::from(number);
            message.value = i128::try_from(value).ok().filter(|value| *value != 0).map(int128);
            proto::FindingKind::Refused
        }
    };
    message.set_kind(kind);
    message
}

/// What a bank said; `None` where it makes no sense, which is no answer.
pub fn reported(message: &proto::Finding) -> Option<Reported> {
    let finding = match message.kind() {
        proto::FindingKind::Unspecified => return None,
        proto::FindingKind::Held => Finding::Held,
        proto::FindingKind::Posted => Finding::Posted,
        proto::FindingKind::Voided => Finding::Voided,
        proto::FindingKind::NotFound => Finding::NotFound,
        proto::FindingKind::Refused => {
            let value = message.value.as_ref().map_or(0, int128_value);
            let (code, value) = (u16::try_from(message.reason).ok()?, u128::try_from(value).ok()?);
            Finding::Refused(Reason::told_by_bank(code, value)?)
        }
    };
    Some(Reported { epoch: Epoch::new(message.bank_epoch)?, finding })
}

/// What the payer is told.
pub fn status_message(id: PaymentId, told: &Told, duplicate: bool) -> proto::PaymentStatus {
    let mut message = proto::PaymentStatus { id: Some(uuid(id.get())), duplicate, ..proto::PaymentStatus::default() };
    let (state, problem) = match told {
        Told::Paid { delivery } => {
            message.delivered = *delivery == Delivery::Done;
            (proto::PaymentState::Paid, None)
        }
        Told::Refused(reason) => {
            if let Reason::InsufficientFunds { available } = reason {
                message.available = i128::try_from(*available).ok().map(int128);
            }
            (proto::PaymentState::Refused, Some((code_of(reason), reason_text(reason))))
        }
        Told::NotTaken(refusal @ Refusal::IdReused) => {
            (proto::PaymentState::IdReused, Some((code_of_refusal(refusal), refusal.to_string())))
        }
        Told::NotTaken(refusal) => {
            message.retry_after_ms = retry_after_ms(refusal).unwrap_or_default();
            (proto::PaymentState::NotTaken, Some((code_of_refusal(refusal), refusal.to_string())))
        }
        Told::OutcomeUnknown | Told::NotYet => {
            let detail =
                "whether it is paid is not known yet: send it again with the same id, or ask for it to be void";
            (proto::PaymentState::Undecided, Some((Code::OutcomeUnknown, detail.to_owned())))
        }
    };
    message.set_state(state);
    if let Some((code, detail)) = problem {
        message.code = code.text().to_owned();
        message.detail = detail;
    }
    message
}

/// Why a payment moves no money, for people: a bank's refusal by its name, and not by its number.
pub fn reason_text(reason: &Reason) -> String {
    let Reason::BankRefused { code } = reason else { return reason.to_string() };
    match crate::rejection::code_of_number(*code) {
        Some(code) => format!("a bank refused it with {}: {}", code.text(), code.row().title),
        None => reason.to_string(),
    }
}

/// The stable code of a reason.
pub fn code_of(reason: &Reason) -> Code {
    match reason {
        Reason::InsufficientFunds { .. } => Code::InsufficientFunds,
        Reason::UnknownPayee => Code::UnknownPayee,
        Reason::UnknownBank => Code::UnknownBank,
        Reason::BankUnavailable => Code::BankTimedOut,
        Reason::OtherCurrency => Code::CurrencyMismatch,
        Reason::OwnAccount => Code::OwnAccount,
        Reason::LimitExceeded { .. } => Code::LimitExceeded,
        Reason::CapExceeded { .. } => Code::CapExceeded,
        Reason::UnknownPayer => Code::UnknownPayer,
        Reason::AccountClosed => Code::AccountClosed,
        Reason::VoidedByPayer => Code::VoidedByPayer,
        Reason::VoidedByOperator => Code::VoidedByOperator,
        Reason::VoidedAtBank { .. } => Code::VoidedAtBank,
        Reason::NotHeldAtBoth => Code::NotHeldAtBoth,
        // Before it had a reason of its own it was kept by the ledger's number, which is stable.
        Reason::BankRefused { code: LOCKED } | Reason::PayerLocked => Code::CustomerLocked,
        Reason::DailyLimitExceeded { .. } => Code::DailyLimitExceeded,
        Reason::BankRefused { .. } => Code::BankRefused,
        Reason::ContradictedByBank { .. } => Code::ContradictedByBank,
        Reason::VoidedAtRisk => Code::VoidedAtRisk,
    }
}

/// The ledger's number for a customer who is locked; a test holds it against the ledger.
const LOCKED: u16 = 25;

/// The stable code of a refusal.
pub fn code_of_refusal(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NoSession => Code::TokenInvalid,
        Refusal::SessionExpired => Code::TokenExpired,
        Refusal::SessionEnded => Code::TokenRevoked,
        Refusal::IdReused => Code::IdReused,
        Refusal::DeadlinePassed | Refusal::Expired => Code::DeadlinePassed,
        Refusal::BankRestoring { .. } => Code::BankRestoring,
        Refusal::BankBusy { .. } => Code::BankBusy,
        Refusal::PayerBusy => Code::PayerBusy,
        Refusal::TooManyRefused { .. } => Code::TooManyRefused,
        Refusal::UnknownBank => Code::UnknownBank,
        Refusal::NameTaken => Code::NameTaken,
        Refusal::StaleEpoch { .. } => Code::StaleEpoch,
        Refusal::UnknownPayment => Code::UnknownPayment,
        Refusal::NotYours => Code::NotPermitted,
        Refusal::TooEarly { .. } => Code::TooEarly,
        Refusal::NotDecided => Code::NotDecided,
        Refusal::VersionMismatch { .. } => Code::VersionMismatch,
        Refusal::OutOfRange => Code::OutOfRange,
        Refusal::Full => Code::Overloaded,
        Refusal::EpochTooFar { .. } => Code::EpochTooFar,
        Refusal::KeyReused => Code::IdempotencyKeyReused,
        Refusal::MoreThanOwed { .. } => Code::MoreThanOwed,
        Refusal::MayBePaid { .. } => Code::MayBePaid,
    }
}

/// The refusal to void by hand what may be paid: what each bank has said since the gateway was restored, and who loses what if
/// it is paid.
pub fn may_be_paid(terms: &Terms, said: &Pair<Word>) -> Problem {
    let Terms { id, payer, payee, .. } = terms;
    let (own, other) = (payer.bank, payee.bank);
    let amount = format!("{} {}", money::format(terms.amount.minor(), terms.currency), terms.currency.code());
    let word = |side: Side| {
        let bank = terms.party(side).bank;
        match said.of(side) {
            Word::Silent => format!("bank {bank} has not answered since the gateway was restored"),
            Word::Held => format!("bank {bank} has the money set aside"),
            Word::Posted => format!("bank {bank} says that it has posted it"),
            Word::NotHeld => format!("bank {bank} holds nothing, and may have lost it"),
        }
    };
    let loses = format!("{payer} loses {amount} that {payee} never gets");
    let doubled = format!("{payer} gets {amount} back although {payee} was paid");
    let loss = match (said.debit, said.credit) {
        (Word::Posted, _) => format!("voided here, {loses}, unless bank {other} has posted it too"),
        (_, Word::Posted) => format!("voided here, {doubled}, unless bank {own} has posted it too"),
        (Word::Silent, Word::Silent) => {
            format!("voided here, {loses} if only {own} has posted it, and {doubled} if only {other} has")
        }
        (Word::Silent, Word::Held | Word::NotHeld) => format!("if it has posted it, and it is voided here, {loses}"),
        (Word::Held | Word::NotHeld, Word::Silent | Word::Held | Word::NotHeld) => {
            format!("if bank {other} has posted it, and it is voided here, {doubled}")
        }
    };
    let detail = format!(
        "it may be paid: {}, {}; {loss}; the books of {own} and {other} then differ by it. To void it all the same, which goes on \
         record: rialto payments void {id} --by NAME --although-it-may-be-paid",
        word(Side::Debit),
        word(Side::Credit),
    );
    Problem::new(Code::MayBePaid, detail).with("payment_id", id.to_string())
}

/// A refusal as the problem of a whole call.
pub fn problem(refusal: &Refusal) -> Problem {
    let problem = Problem::new(code_of_refusal(refusal), refusal.to_string());
    match retry_after_ms(refusal) {
        Some(wait_ms) => problem.retry_after_ms(wait_ms),
        None => problem,
    }
}

/// How long to wait before it is asked again, where waiting helps.
fn retry_after_ms(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::Full | Refusal::BankBusy { .. } | Refusal::PayerBusy => Some(200),
        Refusal::BankRestoring { .. } => Some(2_000),
        Refusal::TooManyRefused { retry_after_ms } => Some(*retry_after_ms),
        Refusal::NoSession
        | Refusal::SessionExpired
        | Refusal::SessionEnded
        | Refusal::IdReused
        | Refusal::DeadlinePassed
        | Refusal::Expired
        | Refusal::UnknownBank
        | Refusal::NameTaken
        | Refusal::StaleEpoch { .. }
        | Refusal::UnknownPayment
        | Refusal::NotYours
        | Refusal::TooEarly { .. }
        | Refusal::NotDecided
        | Refusal::VersionMismatch { .. }
        | Refusal::OutOfRange
        | Refusal::EpochTooFar { .. }
        | Refusal::KeyReused
        | Refusal::MoreThanOwed { .. }
        | Refusal::MayBePaid { .. } => None,
    }
}

/// What an answer says of a payment that was asked for, and whether the id had its outcome before.
pub fn told_of(answer: &Answer, patience: clearing::told::Patience) -> (Told, bool) {
    let told = clearing::told::told(clearing::told::Progress::Answered(*answer), patience);
    (told, matches!(answer, Answer::Done { replay: true, .. }))
}

/// What is known of a payment, for whoever asks about it later.
pub fn told_of_status(status: Status) -> Told {
    let answer = Answer::Done { outcome: Outcome::Payment(status), replay: true };
    told_of(&answer, clearing::told::Patience::Over).0
}

/// The id of a payment, for a message that names it.
pub fn payment_id(message: Option<&proto::Uuid>) -> Result<PaymentId, Problem> {
    let bits = message.map_or(0, id_bits);
    PaymentId::new(bits).ok_or_else(|| {
        Problem::new(Code::MalformedId, "id: it is missing or nil; send the UUID of the payment").with("field", "id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::Currency;

    fn sample() -> Terms {
        Terms {
            id: PaymentId::new(u128::MAX - 5).expect("not nil"),
            payer: "alice@alpha".parse().expect("a party"),
            payee: "zoë.m@beta-2".parse().expect("a party"),
            amount: Amount::MAX,
            currency: Currency::EUR,
            reference: Reference::new("rent").expect("short"),
        }
    }

    #[test]
    fn a_locked_customer_is_told_so() {
        let account = ledger::AccountId::new(7).expect("not nil");
        let code = ledger::Rejected::CustomerLocked { account }.code();
        assert_eq!(code_of(&Reason::BankRefused { code }), Code::CustomerLocked);
        assert_eq!(code_of(&Reason::PayerLocked), Code::CustomerLocked);
        assert_eq!(code_of(&Reason::BankRefused { code: 1 }), Code::BankRefused);
        let reused = Reason::BankRefused { code: ledger::Rejected::IdReused.code() };
        assert!(reason_text(&reused).starts_with("a bank refused it with id_reused: "), "{}", reason_text(&reused));
        assert_eq!(reason_text(&Reason::UnknownPayee), Reason::UnknownPayee.to_string());
    }

    #[test]
    fn of_a_reused_id_it_is_not_said_that_it_may_be_sent_again() {
        let id = sample().id;
        let state = |refusal| status_message(id, &Told::NotTaken(refusal), false).state();
        assert_eq!(state(Refusal::IdReused), proto::PaymentState::IdReused);
        assert_eq!(state(Refusal::Full), proto::PaymentState::NotTaken);
    }

    #[test]
    fn who_voids_what_may_be_paid_is_told_who_loses_what() {
        let terms = Terms { payee: "bob@beta".parse().expect("a party"), ..sample() };
        let terms = Terms { amount: Amount::new(1200).expect("in range"), ..terms };
        let said = |debit, credit| may_be_paid(&terms, &Pair { debit, credit });
        let problem = said(Word::Held, Word::Silent);
        assert_eq!(
            problem.detail,
            "it may be paid: bank alpha has the money set aside, bank beta has not answered since the gateway was restored; \
             if bank beta has posted it, and it is voided here, alice@alpha gets 12.00 EUR back although bob@beta was paid; \
             the books of alpha and beta then differ by it. To void it all the same, which goes on record: \
             rialto payments void ffffffff-ffff-ffff-ffff-fffffffffffa --by NAME --although-it-may-be-paid"
        );
        assert_eq!((problem.code.text(), problem.retry_after_ms), ("may_be_paid", None));
        let loses = "alice@alpha loses 12.00 EUR that bob@beta never gets";
        let doubled = "alice@alpha gets 12.00 EUR back although bob@beta was paid";
        let rows = [
            (Word::Silent, Word::Held, true, false),
            (Word::Silent, Word::Silent, true, true),
            (Word::NotHeld, Word::Silent, false, true),
            (Word::Posted, Word::Silent, true, false),
            (Word::Silent, Word::Posted, false, true),
        ];
        for (debit, credit, payer_loses, is_doubled) in rows {
            let detail = said(debit, credit).detail;
            assert_eq!((detail.contains(loses), detail.contains(doubled)), (payer_loses, is_doubled), "{detail}");
            assert!(detail.ends_with("--although-it-may-be-paid"), "{detail}");
        }
    }

    #[test]
    fn a_payment_survives_both_ways() {
        assert_eq!(terms(&message(&sample())), Ok(sample()));
        let house = Terms { payer: NamedParty { holder: Holder::House, ..sample().payer }, ..sample() };
        assert_eq!(terms(&message(&house)), Ok(house));
    }

    #[test]
    fn what_a_bank_finds_survives_both_ways() {
        let epoch = Epoch::FIRST;
        let reasons = [
            Reason::InsufficientFunds { available: 0 },
            Reason::InsufficientFunds { available: 1 << 80 },
            Reason::UnknownPayee,
            Reason::LimitExceeded { limit: Amount::new(7).expect("not zero") },
            Reason::BankRefused { code: 12 },
            Reason::DailyLimitExceeded { limit: Amount::new(7).expect("not zero") },
            Reason::PayerLocked,
        ];
        let findings = [Finding::Held, Finding::Posted, Finding::Voided, Finding::NotFound];
        for finding in findings.into_iter().chain(reasons.map(Finding::Refused)) {
            assert_eq!(reported(&finding_message(&finding, epoch)), Some(Reported { epoch, finding }), "{finding:?}");
        }
        assert_eq!(reported(&proto::Finding::default()), None);
        let strange = proto::Finding { kind: 4, reason: 999, bank_epoch: 1, ..proto::Finding::default() };
        assert_eq!(reported(&strange), None, "a reason that nobody has is no answer");
    }

    #[test]
    fn every_kind_of_call_survives_both_ways() {
        let sides = Side::BOTH.map(CallKind::HoldStatus);
        let kinds = [
            CallKind::PrepareDebit,
            CallKind::PrepareCredit,
            CallKind::CommitDebit,
            CallKind::CommitCredit,
            CallKind::AbortDebit,
            CallKind::AbortCredit,
            CallKind::Transfer,
            CallKind::VoidTransfer,
        ];
        for kind in kinds.into_iter().chain(sides) {
            let number = clearing::BankNumber::new(1).expect("not zero");
            let call = Call {
                kind,
                to: number,
                terms: sample(),
                number: 9,
                complete_through: 3,
                gateway: Epoch::FIRST,
                booking: Booking::Held,
            };
            let asked = asked(&call_message(&call), None).expect("whole");
            assert_eq!((asked.kind, asked.terms, asked.number, asked.complete_through), (kind, call.terms, 9, 3));
        }
    }
}
