//! JSON over HTTP: the shapes of requests and answers, and how a body is read.
//!
//! The structs here are wire shapes and nothing else; domain types are parsed from them in [`crate::field`] and written
//! into them by the server. Unknown fields are refused everywhere, amounts stay the digits that were sent.

mod digits;
mod first;
mod gateway;
mod group;
mod time;
mod v1;

pub use digits::{Digits, ExactNumber};
pub use first::{
    AccountOpened, Balance, CheckAccount, DepositMoney, Deposited, MoneyMoved, MoveMoney, OpenAccount, Party,
    WithdrawMoney,
};
pub use gateway::{
    HistoryEntry, HistoryPage, HistoryQuery, OwnBalance, Pay, PayMany, PaymentState, PaymentStates, SignIn, SignedIn,
};
pub use group::{ChangeMembers, ChangeMode, GroupState, MemberChange, ModeState};
pub use time::rfc3339;
pub use v1::{
    Account, AccountPage, AccountsQuery, AddCustomer, BENCH_OWNER, BatchOutcome, ChangeLimit, CreateAccount,
    CreateTransfer, CreateTransfers, Customer, Elected, Item, LimitInForce, LimitKind, LimitsInForce, LockCustomer,
    SetPassword, Statement, StatementEntry, StatementQuery, Transfer,
};

use serde::de::DeserializeOwned;

use crate::code::Code;
use crate::problem::Problem;

/// Reads one JSON object; every way in which it can be wrong has its own code, and the detail names the field.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(Code::NotJson, "the body is empty; send one JSON object"));
    }
    // An array would be taken for an object whose fields come in the order of our source.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(Code::WrongType, "the body is an array, and one JSON object is expected"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| shape_problem(error, body))?;
    reader.end().map_err(|error| syntax_problem(&error, body))?;
    Ok(value)
}

/// Reads a query string into a struct of optional texts; unknown and repeated names are refused.
pub fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    check_query(query)?;
    let refused = |why: String| bad_query(&why);
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let parameter = error.path().to_string();
        let why = error.into_inner().to_string();
        // What serde says of a name holds the name.
        let is_of_name = why.starts_with("unknown field") || why.starts_with("duplicate field");
        if is_of_name || parameter == "." {
            return refused(why);
        }
        let why = if why.starts_with("invalid digit") { "a whole number from 0 on is expected" } else { &why };
        refused(format!("{parameter}: {why}")).with("field", parameter)
    })
}

/// Checks that a query string is UTF-8 when its percent-encoding is read, whoever reads it then.
///
/// # Errors
/// When it is not.
pub fn check_query(query: &str) -> Result<(), Problem> {
    if is_utf8(query) { Ok(()) } else { Err(bad_query("it is not UTF-8 when its %XX are read")) }
}

fn bad_query(why: &str) -> Problem {
    Problem::new(Code::MalformedQuery, format!("the query string cannot be used: {why}"))
}

/// Whether a text is UTF-8 when its percent-encoding is read.
fn is_utf8(query: &str) -> bool {
    let (mut bytes, mut rest) = (Vec::with_capacity(query.len()), query.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let decoded = match after {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let (byte, taken) = decoded.map_or((*first, 0), |(high, low)| (high << 4 | low, 2));
        bytes.push(byte);
        rest = &after[taken..];
    }
    std::str::from_utf8(&bytes).is_ok()
}

fn shape_problem(error: serde_path_to_error::Error<serde_json::Error>, body: &[u8]) -> Problem {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if !inner.is_data() {
        return syntax_problem(&inner, body);
    }
    let message = inner.to_string();
    let code = if message.starts_with("missing field") {
        Code::MissingField
    } else if message.starts_with("unknown field") {
        Code::UnknownField
    } else if message.starts_with("duplicate field") {
        Code::RepeatedField
    } else {
        Code::WrongType
    };
    if path == "." {
        return Problem::new(code, message);
    }
    // serde names these by itself, their path would say the same name twice.
    let detail =
        if matches!(code, Code::UnknownField | Code::RepeatedField) { message } else { format!("{path}: {message}") };
    Problem::new(code, detail).with("field", path)
}

fn syntax_problem(error: &serde_json::Error, body: &[u8]) -> Problem {
    let hint = match token_at(body, error.line(), error.column()) {
        Some(token) if ["NaN", "Infinity", "-Infinity"].contains(&token) => {
            return Problem::new(
                Code::AmountNotANumber,
                format!("{token} is no number in JSON, and no amount; write it like 12.50"),
            );
        }
        _ if std::str::from_utf8(body).is_err() => " (it is not even UTF-8)",
        _ => "",
    };
    Problem::new(Code::NotJson, format!("the body is not JSON{hint}: {error}"))
}

/// The word around that place, as far as letters and a sign reach.
fn token_at(body: &[u8], line: usize, column: usize) -> Option<&str> {
    let row = body.split(|byte| *byte == b'\n').nth(line.checked_sub(1)?)?;
    let at = column.saturating_sub(1).min(row.len());
    let of_word = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    let start = row[..at].iter().rposition(|byte| !of_word(byte)).map_or(0, |before| before + 1);
    let end = row[at..].iter().position(|byte| !of_word(byte)).map_or(row.len(), |length| at + length);
    std::str::from_utf8(&row[start..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_sent_twice_and_an_array_are_told_as_what_they_are() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Given {
            _slot: Option<u64>,
        }
        let refused = |body: &[u8]| read::<Given>(body).expect_err("it is refused");
        let twice = refused(br#"{"_slot":1,"_slot":2}"#);
        assert_eq!((twice.code, twice.detail.contains("`_slot`")), (Code::RepeatedField, true), "{}", twice.detail);
        for array in [b"[]".as_slice(), b" [1]", b"[{}]"] {
            let problem = refused(array);
            assert_eq!(problem.code, Code::WrongType);
            assert!(problem.detail.contains("an array"), "{}", problem.detail);
        }
    }

    #[test]
    fn a_query_names_the_parameter_that_cannot_be_used() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            slot: Option<u64>,
            search: Option<String>,
        }
        let whole: Asked = read_query("slot=7&search=b%C3%A4r%zz").expect("it is well formed");
        assert_eq!((whole.slot, whole.search.as_deref()), (Some(7), Some("bär%zz")));
        for (query, part) in [
            ("slot=-1", "slot: a whole number from 0 on is expected"),
            ("slot=x", "slot: a whole number from 0 on is expected"),
            ("slot=99999999999999999999", "slot: "),
            ("x=1", "unknown field `x`"),
            ("slot=1&slot=2", "duplicate field `slot`"),
            ("search=%ff", "not UTF-8"),
        ] {
            let problem = read_query::<Asked>(query).expect_err(query);
            assert!(problem.code == Code::MalformedQuery && problem.detail.contains(part), "{}", problem.detail);
        }
    }

    #[test]
    fn each_wrong_body_has_its_own_code_and_names_the_field() {
        let cases: [(&str, Code, &str); 14] = [
            ("", Code::NotJson, "empty"),
            ("  ", Code::NotJson, "empty"),
            ("hello", Code::NotJson, "not JSON"),
            ("{", Code::NotJson, "not JSON"),
            (
                r#"{"source":{"account_id":"a"},"destination":{"account_id":"b"},"amount":1} x"#,
                Code::NotJson,
                "trailing",
            ),
            (r#"{"destination":{"account_id":"b"},"amount":1}"#, Code::MissingField, "`source`"),
            (
                r#"{"source":{},"destination":{"account_id":"b"},"amount":1}"#,
                Code::MissingField,
                "source: missing field `account_id`",
            ),
            (
                r#"{"source":{"account_id":"a"},"destination":{"account_id":"b"},"amount":1,"note":"x"}"#,
                Code::UnknownField,
                "`note`",
            ),
            (
                r#"{"source":{"account_id":"a","x":1},"destination":{"account_id":"b"},"amount":1}"#,
                Code::UnknownField,
                "`x`",
            ),
            (
                r#"{"source":"a","destination":{"account_id":"b"},"amount":1}"#,
                Code::WrongType,
                "source: invalid type: string \"a\", expected an object",
            ),
            (
                r#"{"source":{"account_id":5},"destination":{"account_id":"b"},"amount":1}"#,
                Code::WrongType,
                "source.account_id",
            ),
            (
                r#"{"source":{"account_id":"a"},"destination":{"account_id":"b"},"amount":{}}"#,
                Code::WrongType,
                "amount: expected a JSON number or string",
            ),
            (
                r#"{"source":{"account_id":"a"},"destination":{"account_id":"b"},"amount":NaN}"#,
                Code::AmountNotANumber,
                "NaN",
            ),
            (r#"[1]"#, Code::WrongType, "expected"),
        ];
        for (body, code, part) in cases {
            let problem = read::<MoveMoney>(body.as_bytes()).expect_err(body);
            assert_eq!(problem.code, code, "{body}: {}", problem.detail);
            assert!(problem.detail.contains(part), "{body}: {}", problem.detail);
        }
        assert_eq!(read::<MoveMoney>(b"\xff\xfe").expect_err("not UTF-8").code, Code::NotJson);
    }

    #[test]
    fn a_repeated_field_is_refused() {
        let twice = r#"{"account_id":"a","account_id":"b"}"#;
        assert_eq!(read::<CheckAccount>(twice.as_bytes()).expect_err(twice).code, Code::RepeatedField);
    }
}
