//! Which id a request works under, and how its caller can ask again.
//!
//! The id is the caller's own, or stands for their `Idempotency-Key`, or is made here. However it came to be, the caller
//! hears of it in every answer that leaves the fate open.

use axum::http::HeaderMap;

use api::code::Code;
use api::idempotency::IdempotencyKey;
use api::problem::Problem;

use super::port::{SubmitError, shutting_down};

pub(super) const KEY_HEADER: &str = "idempotency-key";

/// The field of a call that carries its id, and what kind of thing the id names.
#[derive(Debug, Clone, Copy)]
pub struct IdField {
    /// Its name in the body: `transfer_id`, or `id` in `/v1`.
    pub name: &'static str,
    /// What the answers call it: `transfer_id` or `account_id`.
    pub member: &'static str,
}

/// Where the id of a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Key(IdempotencyKey),
    Caller,
    /// Made here: the caller knows it only from the answer.
    Node,
}

/// The id of one request.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: u128,
    pub origin: Origin,
    field: IdField,
}

/// The key of a call, if it has one.
pub fn key_of(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(KEY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Code::MalformedKey, "the Idempotency-Key was sent more than once; send it once"));
    }
    IdempotencyKey::parse(value.as_bytes()).map(Some)
}

/// A key and an id together are refused: they might say two different things.
pub fn key_and_id(field: &str) -> Problem {
    Problem::new(
        Code::KeyAndId,
        format!(
            "the request has an Idempotency-Key and {field}; send one of the two, each alone makes it safe to repeat"
        ),
    )
    .with("field", field.to_owned())
}

impl Identity {
    /// The id of a call without a key. `given` is the caller's own, already parsed.
    pub fn unkeyed(field: IdField, given: Option<u128>) -> Identity {
        match given {
            Some(id) => Identity { id, origin: Origin::Caller, field },
            None => Identity { id: api::new_id(), origin: Origin::Node, field },
        }
    }

    /// The id that a key stands for, as the group keeps it.
    pub fn keyed(field: IdField, key: IdempotencyKey, id: u128) -> Identity {
        Identity { id, origin: Origin::Key(key), field }
    }

    /// The problem of a request that was not answered by the ledger.
    pub fn unanswered(&self, error: &SubmitError) -> Problem {
        match error {
            SubmitError::NotProposed { .. } | SubmitError::Overloaded { .. } | SubmitError::ShuttingDown => {
                not_done(error)
            }
            SubmitError::OutcomeUnknown => self.unknown(),
        }
    }

    fn unknown(&self) -> Problem {
        let id = uuid::Uuid::from_u128(self.id).to_string();
        let IdField { name, member } = self.field;
        let again = match self.origin {
            Origin::Key(_) => "send the same request again with the same Idempotency-Key".to_owned(),
            Origin::Caller => "send the same request again, unchanged".to_owned(),
            Origin::Node => format!("send the same request again with \"{name}\": \"{id}\" in it"),
        };
        let or_void = match member {
            "transfer_id" => format!(", or settle it with POST /v1/transfers/{id}/void"),
            _ => String::new(),
        };
        let detail =
            format!("the bank has not said in time what became of this; {again}{or_void}. Do not use a new id for it");
        let problem = Problem::new(Code::OutcomeUnknown, detail).with(member, id);
        match self.origin {
            Origin::Key(_) => problem.with("retry_with", "Idempotency-Key"),
            Origin::Caller | Origin::Node => problem.with("retry_with", name),
        }
    }
}

/// Nothing was proposed: the id is unused and the request may simply come again.
pub fn not_done(error: &SubmitError) -> Problem {
    match error {
        SubmitError::NotProposed { reason, retry_after_ms } => {
            let detail = format!("this cannot be taken now: {reason}; nothing was changed, send it again shortly");
            Problem::new(Code::Unavailable, detail).retry_after_ms(*retry_after_ms)
        }
        SubmitError::Overloaded { retry_after_ms } => {
            let detail = "the node has as much in flight as it takes; nothing was changed, send it again shortly";
            Problem::new(Code::Overloaded, detail).retry_after_ms(*retry_after_ms)
        }
        SubmitError::ShuttingDown => shutting_down(),
        SubmitError::OutcomeUnknown => Problem::new(
            Code::OutcomeUnknown,
            "the bank has not said in time what became of this; send the same request again with the same ids, or void them",
        ),
    }
}

/// A key whose claim was not answered: nothing of the request itself was proposed.
pub fn not_claimed(error: &SubmitError) -> Problem {
    match error {
        SubmitError::OutcomeUnknown => {
            let detail = "the bank did not answer in time what the Idempotency-Key stands for; nothing of the request was done, send it again with the same key";
            Problem::new(Code::Unavailable, detail).retry_after_ms(200)
        }
        SubmitError::NotProposed { .. } | SubmitError::Overloaded { .. } | SubmitError::ShuttingDown => not_done(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: IdField = IdField { name: "transfer_id", member: "transfer_id" };
    fn headers(keys: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(KEY_HEADER, key.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn two_keys_are_refused() {
        assert_eq!(key_of(&headers(&["a"])), key_of(&headers(&["\"a\""])));
        assert_eq!(key_of(&headers(&["a", "a"])).expect_err("twice").code, Code::MalformedKey);
    }

    #[test]
    fn an_unknown_fate_names_the_id_and_how_to_ask_again() {
        let made = Identity::unkeyed(FIELD, None);
        let problem = made.unanswered(&SubmitError::OutcomeUnknown);
        let id = uuid::Uuid::from_u128(made.id).to_string();
        assert_eq!(problem.code, Code::OutcomeUnknown);
        assert_eq!(problem.member("transfer_id"), Some(&id.as_str().into()));
        assert_eq!(problem.member("retry_with"), Some(&"transfer_id".into()));
        assert!(problem.detail.contains(&id), "{}", problem.detail);
        assert_eq!(problem.retry_after_ms, None, "504 promises nothing about waiting");
    }
}
