//! Which id a request works under, and how its caller can ask again.
//!
//! The id is the caller's own, or stands for their `Idempotency-Key`, or is made here. However it came to be, the caller
//! hears of it in every answer that leaves the fate open.

use axum::http::HeaderMap;

use api::code::Code;
use api::idempotency::IdempotencyKey;
use api::problem::Problem;

use super::port::{SubmitError, shutting_down};

const KEY_HEADER: &str = "idempotency-key";

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

/// A new id: UUIDv7, so that ids made about the same time lie together.
pub fn new_id() -> u128 {
    uuid::Uuid::now_v7().as_u128()
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
    /// Settles the id of a call. `given` is the caller's own, already parsed.
    pub fn settle(
        headers: &HeaderMap,
        place: Place<'_>,
        field: IdField,
        given: Option<u128>,
    ) -> Result<Identity, Problem> {
        match (key_of(headers)?, given) {
            (Some(_), Some(_)) => Err(key_and_id(field.name)),
            (Some(key), None) => {
                let id = key.id(place.scope, place.route, None);
                Ok(Identity { id, origin: Origin::Key(key), field })
            }
            (None, Some(id)) => Ok(Identity { id, origin: Origin::Caller, field }),
            (None, None) => Ok(Identity { id: new_id(), origin: Origin::Node, field }),
        }
    }

    pub fn is_keyed(&self) -> bool {
        matches!(self.origin, Origin::Key(_))
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

/// Whose keys, and of which route.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub scope: &'a str,
    pub route: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: IdField = IdField { name: "transfer_id", member: "transfer_id" };
    const PLACE: Place<'static> = Place { scope: "local", route: "/move_money" };

    fn headers(keys: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(KEY_HEADER, key.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_key_always_stands_for_the_same_id() {
        let first = Identity::settle(&headers(&["a"]), PLACE, FIELD, None).expect("one key");
        let second = Identity::settle(&headers(&["\"a\""]), PLACE, FIELD, None).expect("one key");
        assert_eq!(first.id, second.id);
        assert!(first.is_keyed());
    }

    #[test]
    fn a_key_and_an_id_or_two_keys_are_refused() {
        let both = Identity::settle(&headers(&["a"]), PLACE, FIELD, Some(7)).expect_err("both");
        assert_eq!(both.code, Code::KeyAndId);
        let twice = Identity::settle(&headers(&["a", "a"]), PLACE, FIELD, None).expect_err("twice");
        assert_eq!(twice.code, Code::MalformedKey);
    }

    #[test]
    fn an_unknown_fate_names_the_id_and_how_to_ask_again() {
        let made = Identity::settle(&headers(&[]), PLACE, FIELD, None).expect("made here");
        let problem = made.unanswered(&SubmitError::OutcomeUnknown);
        let id = uuid::Uuid::from_u128(made.id).to_string();
        assert_eq!(problem.code, Code::OutcomeUnknown);
        assert_eq!(problem.member("transfer_id"), Some(&id.as_str().into()));
        assert_eq!(problem.member("retry_with"), Some(&"transfer_id".into()));
        assert!(problem.detail.contains(&id), "{}", problem.detail);
        assert_eq!(problem.retry_after_ms, None, "504 promises nothing about waiting");
    }
}
