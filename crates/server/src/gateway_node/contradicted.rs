//! Payments whose decision a bank contradicts: told to post it says that it knows nothing of it, or told to void that it moved.
//!
//! The gateway goes on telling it, and nothing more can be done here: an operator has to ask that bank. So it is shown wherever
//! an operator looks. Each node knows it from its own drivers, which ask again when a node starts; a payment that is overdue is
//! driven by all of them. What an operator voided at the risk that it is paid, and a bank has posted, is on record instead, and
//! no bank is asked about it again.

use api::payment::reason_text;
use clearing::{Driver, Finding, PaymentId, Side, Terms};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What banks say, by payment.
pub(super) type ByPayment = BTreeMap<PaymentId, Vec<(Side, Finding)>>;

/// As of the drivers' last full round.
#[derive(Debug, Default)]
pub(super) struct Contradicted(Mutex<Arc<ByPayment>>);

impl Contradicted {
    pub(super) fn set(&self, found: ByPayment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
    }

    pub(super) fn all(&self) -> Arc<ByPayment> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What these drivers have heard, and what is on record of payments that were voided at a risk.
pub(super) fn of<'a>(
    drivers: impl Iterator<Item = &'a Driver>,
    recorded: impl Iterator<Item = (PaymentId, Side)>,
) -> ByPayment {
    let said = drivers.map(|driver| (driver.payment(), driver.contradictions().collect::<Vec<_>>()));
    let mut found: ByPayment = said.filter(|(_, said)| !said.is_empty()).collect();
    for (id, side) in recorded {
        let said = found.entry(id).or_default();
        if said.iter().all(|(known, _)| *known != side) {
            said.push((side, Finding::Posted));
        }
    }
    found
}

/// A sentence for people; empty where nobody contradicts.
pub(super) fn sentence(found: &ByPayment, terms: &Terms, is_paid: bool) -> String {
    let said = found.get(&terms.id).into_iter().flatten().map(|(side, finding)| {
        let bank = terms.party(*side).bank;
        let what = match finding {
            Finding::Held => "that it holds the money still".to_owned(),
            Finding::Posted => "that it moved the money".to_owned(),
            Finding::Voided => "that it is void".to_owned(),
            Finding::NotFound => "that it knows nothing of it".to_owned(),
            Finding::Refused(reason) => format!("that it refuses it: {}", reason_text(reason)),
        };
        format!("bank {bank} says {what}")
    });
    let said = said.collect::<Vec<String>>().join(", and ");
    match (said.is_empty(), is_paid) {
        (true, _) => said,
        (false, true) => format!("{said}, though it is paid"),
        (false, false) => format!("{said}, though it is void"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearing::Reason;

    #[test]
    fn a_bank_that_contradicts_a_decision_is_named_with_what_it_says() {
        let id = PaymentId::new(7).expect("not nil");
        let party = |text: &str| text.parse().expect("an address");
        let terms = Terms {
            id,
            payer: party("ghost@beta"),
            payee: party("alice@alpha"),
            amount: ledger::Amount::new(1).expect("not zero"),
            currency: ledger::Currency::EUR,
            reference: ledger::Reference::EMPTY,
        };
        let rows = [
            (Finding::NotFound, true, "bank beta says that it knows nothing of it, though it is paid"),
            (Finding::Held, true, "bank beta says that it holds the money still, though it is paid"),
            (Finding::Posted, false, "bank beta says that it moved the money, though it is void"),
        ];
        for (finding, is_paid, expected) in rows {
            let found = ByPayment::from([(id, vec![(Side::Debit, finding)])]);
            assert_eq!(sentence(&found, &terms, is_paid), expected);
        }
        let both = vec![(Side::Debit, Finding::NotFound), (Side::Credit, Finding::Refused(Reason::AccountClosed))];
        let said = sentence(&ByPayment::from([(id, both)]), &terms, true);
        assert!(said.contains("nothing of it, and bank alpha says that it refuses it: "), "{said}");
        assert_eq!(sentence(&ByPayment::new(), &terms, true), "");
        // A driver that nobody contradicted is not among them.
        assert!(of([Driver::new(id)].iter(), std::iter::empty()).is_empty());
        // What is on record needs no driver.
        let recorded = of(std::iter::empty(), [(id, Side::Debit), (id, Side::Credit)].into_iter());
        let said = sentence(&recorded, &terms, false);
        let both =
            "bank beta says that it moved the money, and bank alpha says that it moved the money, though it is void";
        assert_eq!(said, both);
    }
}
