//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

use crate::code::Code;
use crate::idempotency::IdempotencyKey;
use crate::json::{self, Digits};
use crate::problem::Problem;
use crate::trace::TraceContext;
use crate::{client, field, group, grpc, payment, proto};
use clearing::{CallKind, NamedParty};
use ledger::Currency;
use prost::Message;
use serde::de::DeserializeOwned;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue};

/// Longer than any sentence of ours: what a caller sent is shown in part only.
const DETAIL_MAX: usize = 2_000;

/// A body in JSON is read as what a route takes, or refused by a code of its own and in few words.
pub fn body(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let readers: [fn(&[u8]); 16] = [
        read::<json::OpenAccount>,
        |body| {
            if let Ok(deposit) = json::read::<json::DepositMoney>(body) {
                amount(&deposit.amount);
            }
            read::<json::DepositMoney>(body);
        },
        read::<json::MoveMoney>,
        read::<json::CheckAccount>,
        read::<json::CreateAccount>,
        read::<json::CreateTransfer>,
        read::<json::CreateTransfers>,
        read::<json::AddCustomer>,
        read::<json::SetPassword>,
        read::<json::LockCustomer>,
        read::<json::ChangeLimit>,
        read::<json::ChangeMembers>,
        read::<json::ChangeMode>,
        read::<json::SignIn>,
        read::<json::Pay>,
        read::<json::PayMany>,
    ];
    readers[usize::from(*choice) % readers.len()](body);
}

fn read<T: DeserializeOwned>(body: &[u8]) {
    if let Err(problem) = json::read::<T>(body) {
        let known = [
            Code::NotJson,
            Code::MissingField,
            Code::UnknownField,
            Code::RepeatedField,
            Code::WrongType,
            Code::AmountNotANumber,
        ];
        assert!(known.contains(&problem.code), "{problem:?}");
        is_short(&problem);
    }
}

fn amount(digits: &Digits) {
    match field::amount("amount", digits, Currency::EUR) {
        Ok(amount) => {
            let shown = Digits(ledger::money::format(amount.minor(), Currency::EUR));
            assert!(field::amount("amount", &shown, Currency::EUR).is_ok_and(|again| again == amount));
        }
        Err(problem) => is_short(&problem),
    }
}

fn is_short(problem: &Problem) {
    assert!(!problem.detail.is_empty() && problem.detail.len() <= DETAIL_MAX, "{} bytes", problem.detail.len());
    assert!(problem.to_json().len() <= 4 * DETAIL_MAX);
    assert_eq!(Problem::code_of(&problem.to_status()), Some(problem.code));
}

/// Query strings, headers and single fields.
pub fn text(bytes: &[u8]) {
    match IdempotencyKey::parse(bytes) {
        Ok(key) => assert_eq!(IdempotencyKey::parse(bytes).ok(), Some(key)),
        Err(problem) => {
            assert_eq!(problem.code, Code::MalformedKey);
            is_short(&problem);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };

    for problem in [
        json::read_query::<json::AccountsQuery>(text).err(),
        json::read_query::<json::StatementQuery>(text).err(),
        json::read_query::<json::HistoryQuery>(text).err(),
        field::account_id("account_id", text).err(),
        field::transfer_id("transfer_id", text).err(),
        field::currency("currency", text).err(),
        field::owner("owner", text).err(),
        field::reference("reference", text).err(),
        field::limit(Some(text)).err(),
        payment::bank_name("bank", text).err(),
        payment::customer_name("customer", text).err(),
    ]
    .into_iter()
    .flatten()
    {
        is_short(&problem);
    }
    amount(&Digits(text.to_owned()));
    if let Some(trace) = TraceContext::parse(text) {
        assert_eq!(trace.trace_id().len(), 32);
    }
    if let Some(code) = Code::from_text(text) {
        assert_eq!(code.text(), text);
    }
}

/// Messages of gRPC, from callers, and from whoever answers a client.
pub fn message(bytes: &[u8]) {
    let Some((choice, message)) = bytes.split_first() else { return };
    match choice % 8 {
        0 => {
            let Ok(sent) = proto::Transfer::decode(message) else { return };
            match grpc::movement(&sent) {
                Ok(movement) => assert_eq!(grpc::movement(&grpc::transfer_message(&movement)), Ok(movement)),
                Err(problem) => is_short(&problem),
            }
        }
        1 => {
            let Ok(sent) = proto::Payment::decode(message) else { return };
            match payment::terms(&sent) {
                Ok(terms) => assert_eq!(payment::terms(&payment::message(&terms)), Ok(terms)),
                Err(problem) => is_short(&problem),
            }
            let _ = payment::ordered(&sent);
        }
        2 => {
            let Ok(sent) = proto::PaymentCall::decode(message) else { return };
            for kind in [None, Some(CallKind::PrepareDebit), Some(CallKind::CommitCredit)] {
                if let Err(problem) = payment::asked(&sent, kind) {
                    is_short(&problem);
                }
            }
        }
        3 => {
            let Ok(said) = proto::Finding::decode(message) else { return };
            let _ = payment::reported(&said);
        }
        4 => {
            let _ = group::mode(i32::from(*choice));
            let Ok(sent) = proto::Party::decode(message) else { return };
            if let Err(problem) = payment::party("payee", Some(&sent)) {
                is_short(&problem);
            }
        }
        5 => {
            let status = Status::with_details(tonic::Code::Unavailable, "", message.to_vec().into());
            let (_, _) = (Problem::code_of(&status), Problem::wait_of(&status));
        }
        6 => {
            let Ok(sent) = proto::LoginRequest::decode(message) else { return };
            signs_in(&sent.bank_name, &sent.username);
        }
        _ => {
            let Ok(sent) = proto::AuthenticateRequest::decode(message) else { return };
            signs_in("alpha", &sent.username);
        }
    }
}

/// Who wants to sign in is shown as a party that is read as the same again.
fn signs_in(bank: &str, customer: &str) {
    match (payment::bank_name("bank_name", bank), payment::customer_name("username", customer)) {
        (Ok(bank), Ok(customer)) => {
            let party = format!("{customer}@{bank}");
            assert!(party.parse::<NamedParty>().is_ok_and(|read| read.to_string() == party), "{party:?}");
        }
        (bank, customer) => bank.err().into_iter().chain(customer.err()).for_each(|problem| is_short(&problem)),
    }
}

/// What a client is answered: messages, and how a call ended, with details of whatever kind.
pub fn answer(bytes: &[u8]) {
    let Some((choice, said)) = bytes.split_first() else { return };
    match choice % 4 {
        0 => client::fuzzing::answer(choice / 4, said),
        1 => client::gateway::fuzzing::answer(choice / 4, said),
        2 => {
            let (message, details) = said.split_at(usize::from(choice / 4).min(said.len()));
            let code = tonic::Code::from_i32(i32::from(message.first().copied().unwrap_or(14)));
            ended(&Status::with_details(code, String::from_utf8_lossy(message), details.to_vec().into()));
        }
        _ => {
            // As it stands in the head of an answer, where details are text.
            let mut fields = said.split(|byte| *byte == b'\n');
            let mut head = HeaderMap::new();
            for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "traceparent"] {
                if let Some(value) = fields.next().and_then(|value| HeaderValue::from_bytes(value).ok()) {
                    head.insert(name, value);
                }
            }
            let (_, _) = (client::outcome(&head), client::why(&head));
            if let Some(status) = client::ending::status_of(&head) {
                ended(&status);
            }
        }
    }
}

fn ended(status: &Status) {
    let _ = Problem::wait_of(status);
    if let Some(code) = Problem::code_of(status) {
        assert_eq!(Code::from_text(code.text()), Some(code));
    }
    client::fuzzing::status(status);
    client::gateway::fuzzing::status(status);
}

#[cfg(test)]
mod tests {
    use corpora::STATE;

    #[test]
    fn fuzz_corpora_of_the_interfaces() {
        corpora::run("api_body", STATE, super::body);
        corpora::run("api_text", STATE, super::text);
        corpora::run("api_message", STATE, super::message);
        corpora::run("api_answer", STATE, super::answer);
    }
}
