//! What the answer to an attempt means to the rules of the outbox, and the words to keep beside it.

use api::client::gateway::{GatewayError, NotSignedIn, PaymentAnswer, Standing};
use api::code::Code;
use clearing::outbox::Attempt;
use clearing::told::Told;
use clearing::{Delivery, Reason, Refusal};

use crate::outbox::Word;

/// The rules ask only *whether* a payment was refused. Why, is kept in the gateway's own words, because a reason may be
/// newer than this client.
pub(crate) const REFUSED: Reason = Reason::BankRefused { code: 0 };

/// Not taken, for whatever passes with time.
const NOT_TAKEN: Attempt = Attempt::Told(Told::NotTaken(Refusal::Full));

/// What came of an attempt.
pub(crate) fn heard(answer: &Result<PaymentAnswer, GatewayError>) -> (Attempt, Word) {
    match answer {
        Ok(answer) => of_standing(&answer.standing),
        Err(error) => {
            let code = error.code().map(Code::text).unwrap_or_default();
            (of_error(error), Word { code: code.to_owned(), detail: error.to_string() })
        }
    }
}

/// A payment whose payer is not signed in here is not even sent.
pub(crate) fn nobody_signed_in(why: NotSignedIn) -> (Attempt, Word) {
    heard(&Err(GatewayError::NotSignedIn(why)))
}

fn of_standing(standing: &Standing) -> (Attempt, Word) {
    let word = |code: &str, detail: &str| Word { code: code.to_owned(), detail: detail.to_owned() };
    match standing {
        Standing::Undecided { detail } => {
            (Attempt::Told(Told::OutcomeUnknown), word(Code::OutcomeUnknown.text(), detail))
        }
        Standing::Paid { delivered } => {
            let delivery = if *delivered { Delivery::Done } else { Delivery::Pending };
            (Attempt::Told(Told::Paid { delivery }), Word::default())
        }
        Standing::Refused { code, detail, .. } => (Attempt::Told(Told::Refused(REFUSED)), word(code, detail)),
        Standing::NotTaken { code, detail } => {
            let attempt = match (standing.not_signed_in(), Code::from_text(code)) {
                (Some(why), _) => not_signed_in(why),
                (None, Some(code)) => of_code(code),
                (None, None) => NOT_TAKEN,
            };
            (attempt, word(code, detail))
        }
    }
}

fn of_error(error: &GatewayError) -> Attempt {
    match error {
        GatewayError::NotSignedIn(why) => not_signed_in(*why),
        GatewayError::Unreachable { .. } | GatewayError::BadAddress { .. } | GatewayError::OtherNetwork { .. } => {
            Attempt::NotConnected
        }
        GatewayError::Overloaded { .. } => NOT_TAKEN,
        GatewayError::OutcomeUnknown { .. } | GatewayError::Nonsense { .. } => Attempt::NoAnswer,
        GatewayError::Refused { code, .. } => of_code(*code),
    }
}

/// An id that stands for another payment will never stand for this one: that is its end. All other refusals of a request
/// burn nothing, and what refuses today (a limit, a version, a node that is behind) may take it tomorrow.
fn of_code(code: Code) -> Attempt {
    match code {
        Code::IdReused => Attempt::Told(Told::Refused(REFUSED)),
        // The gateway of another network refused it unseen.
        Code::OtherCluster => Attempt::NotConnected,
        _ => NOT_TAKEN,
    }
}

fn not_signed_in(why: NotSignedIn) -> Attempt {
    let refusal = match why {
        NotSignedIn::Missing | NotSignedIn::Invalid | NotSignedIn::WrongCredentials => Refusal::NoSession,
        NotSignedIn::Expired => Refusal::SessionExpired,
        NotSignedIn::Revoked => Refusal::SessionEnded,
    };
    Attempt::Told(Told::NotTaken(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_have_arrived_counts_as_not_sent() {
        let last = String::new;
        let rows = [
            (GatewayError::Unreachable { last: last() }, Attempt::NotConnected),
            (GatewayError::OutcomeUnknown { payments: Vec::new(), last: last() }, Attempt::NoAnswer),
            (GatewayError::Nonsense { what: "nothing" }, Attempt::NoAnswer),
            (GatewayError::Overloaded { last: last() }, NOT_TAKEN),
            (GatewayError::Refused { code: Code::InvalidLimit, detail: last() }, NOT_TAKEN),
            (GatewayError::Refused { code: Code::IdReused, detail: last() }, Attempt::Told(Told::Refused(REFUSED))),
            (GatewayError::NotSignedIn(NotSignedIn::Expired), Attempt::Told(Told::NotTaken(Refusal::SessionExpired))),
        ];
        for (error, attempt) in rows {
            assert_eq!(heard(&Err(error.clone())).0, attempt, "{error:?}");
        }
    }

    #[test]
    fn a_refusal_with_an_unknown_code_is_a_refusal_and_keeps_its_words() {
        let standing = Standing::Refused { code: "of_next_year".to_owned(), detail: "no".to_owned(), available: None };
        let (attempt, word) = of_standing(&standing);
        assert_eq!(attempt, Attempt::Told(Told::Refused(REFUSED)));
        assert_eq!((word.code.as_str(), word.detail.as_str()), ("of_next_year", "no"));
        let standing = Standing::NotTaken { code: "token_expired".to_owned(), detail: String::new() };
        assert_eq!(of_standing(&standing).0, Attempt::Told(Told::NotTaken(Refusal::SessionExpired)));
    }
}
