//! What a caller is told when something is not as asked: one value, two wires.
//!
//! A [`Problem`] is a stable [`Code`], a sentence about this occurrence, and members that programs can read. It becomes
//! `application/problem+json` (RFC 9457) over HTTP and a `tonic::Status` with `google.rpc` details over gRPC. It knows
//! nothing of requests; whoever finds the problem gives the sentence.

use std::collections::HashMap;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::code::Code;

/// `domain` of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "rialto";

/// The media type of a problem over HTTP.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Metadata longer than this is left out of gRPC statuses: they travel as headers, which peers bound at 8–16 KiB.
const METADATA_BYTES_MAX: usize = 1024;

/// One occurrence of an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub code: Code,
    /// A whole sentence about this occurrence: what happened and, where it is not plain, what to do.
    pub detail: String,
    /// Present exactly where waiting helps.
    pub retry_after_ms: Option<u64>,
    members: Vec<(&'static str, Value)>,
}

/// Most bytes of a detail, and of a text beside it. What a caller sent may be in it, and is not sent back whole.
pub const TEXT_BYTES_MAX: usize = 1_000;

/// The text, or as much of it as may be shown.
fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

impl Problem {
    /// A detail of more than [`TEXT_BYTES_MAX`] bytes is cut.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: shortened(detail.into()), retry_after_ms: None, members: Vec::new() }
    }

    /// Adds a member for programs, such as `field` or `transfer_id`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        let value = match value.into() {
            Value::String(text) => Value::String(shortened(text)),
            other => other,
        };
        self.members.push((name, value));
        self
    }

    #[must_use]
    pub fn retry_after_ms(mut self, wait_ms: u64) -> Problem {
        self.retry_after_ms = Some(wait_ms);
        self
    }

    /// The member of that name, if it was given.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Says which item of a batch it is about.
    #[must_use]
    pub fn in_item(mut self, item: usize) -> Problem {
        self.detail = format!("item {item}: {}", self.detail);
        self.with("item", item)
    }

    /// `Retry-After` in whole seconds, at least one.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_ms.map(|wait_ms| wait_ms.div_ceil(1000).max(1))
    }

    /// The body of `application/problem+json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Body(self)).expect("text keys, and values that are JSON already")
    }

    /// The gRPC status with `ErrorInfo` and, where waiting helps, `RetryInfo`.
    pub fn to_status(&self) -> Status {
        let row = self.code.row();
        let mut metadata = HashMap::new();
        for (name, value) in &self.members {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if text.len() <= METADATA_BYTES_MAX {
                metadata.insert((*name).to_owned(), text);
            }
        }
        let mut details = ErrorDetails::with_error_info(row.text.to_ascii_uppercase(), DOMAIN, metadata);
        if let Some(wait_ms) = self.retry_after_ms {
            details.set_retry_info(Some(Duration::from_millis(wait_ms)));
        }
        Status::with_error_details(row.grpc, self.detail.as_str(), details)
    }

    /// The stable code inside a status that one of our nodes answered with.
    pub fn code_of(status: &Status) -> Option<Code> {
        let details = status.get_error_details();
        let info = details.error_info()?;
        (info.domain == DOMAIN).then(|| Code::from_text(&info.reason)).flatten()
    }

    /// How long a status asks to wait, if it does.
    pub fn wait_of(status: &Status) -> Option<Duration> {
        status.get_error_details().retry_info()?.retry_delay
    }
}

/// The members that RFC 9457 names first, then ours.
struct Body<'a>(&'a Problem);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        let problem = self.0;
        let row = problem.code.row();
        let mut body = writer.serialize_map(None)?;
        body.serialize_entry("type", &format_args!("/errors/{}", row.text))?;
        body.serialize_entry("title", row.title)?;
        body.serialize_entry("status", &row.http)?;
        body.serialize_entry("detail", &problem.detail)?;
        body.serialize_entry("code", row.text)?;
        if let Some(wait_ms) = problem.retry_after_ms {
            body.serialize_entry("retry_after_ms", &wait_ms)?;
        }
        for (name, value) in &problem.members {
            body.serialize_entry(name, value)?;
        }
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn what_a_caller_sent_is_shown_in_part_only() {
        let long = "é".repeat(4_000);
        let problem = Problem::new(Code::UnknownField, format!("unknown field `{long}`")).with("field", long);
        assert!(problem.detail.len() <= TEXT_BYTES_MAX && problem.detail.ends_with('…'), "{}", problem.detail);
        assert!(problem.to_json().len() <= 3 * TEXT_BYTES_MAX);
    }

    fn poor() -> Problem {
        Problem::new(Code::InsufficientFunds, "account a has 12.50 EUR available, 40.00 EUR were asked for")
            .with("available", "12.50")
            .with("needed", "40.00")
    }

    #[test]
    fn a_problem_is_rfc_9457_json() {
        expect![[r#"{"type":"/errors/insufficient_funds","title":"Not enough money","status":422,"detail":"account a has 12.50 EUR available, 40.00 EUR were asked for","code":"insufficient_funds","available":"12.50","needed":"40.00"}"#]]
        .assert_eq(&poor().to_json());
    }

    #[test]
    fn a_status_carries_the_code_and_the_wait() {
        let status = Problem::new(Code::Overloaded, "too much").retry_after_ms(250).to_status();
        assert_eq!(Problem::code_of(&status), Some(Code::Overloaded));
        assert_eq!(Problem::wait_of(&status), Some(Duration::from_millis(250)));
        assert_eq!(Problem::wait_of(&poor().to_status()), None);
    }

    #[test]
    fn the_wait_is_at_least_a_whole_second_over_http() {
        assert_eq!(Problem::new(Code::Overloaded, "").retry_after_ms(50).retry_after_s(), Some(1));
        assert_eq!(Problem::new(Code::Overloaded, "").retry_after_ms(1001).retry_after_s(), Some(2));
    }
}
