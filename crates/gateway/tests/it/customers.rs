//! Customers who send each payment again, with its id and through whatever node, until they know its outcome.

use clearing::{CustomerName, Holder, NamedParty, PaymentId, PaymentRequest, Refusal, SessionId, Status};
use ledger::{Amount, Currency, Reference};

use crate::dice::Dice;

pub(crate) const BANKS: [&str; 3] = ["alpha", "beta", "gamma"];
pub(crate) const CUSTOMERS: [&str; 2] = ["alice", "bob"];
pub(crate) const OPENING: u128 = 1_000;

/// A payment as its customer sees it.
pub(crate) struct Order {
    pub(crate) payer: NamedParty,
    pub(crate) request: PaymentRequest,
    /// When it is sent first.
    pub(crate) from_us: u64,
    /// When its customer does not want it any more, and asks for it to be void.
    pub(crate) cancel_us: Option<u64>,
    pub(crate) next_us: u64,
    /// When its customer last signed in anew.
    pub(crate) signed_in_us: u64,
    pub(crate) told: Option<Status>,
}

pub(crate) fn party(name: &str, bank: &str) -> NamedParty {
    let holder = Holder::Customer(CustomerName::new(name).expect("a good name"));
    NamedParty { bank: clearing::BankName::new(bank).expect("a good name"), holder }
}

/// Each customer has one session, under a number of its own.
pub(crate) fn session_of(bank: usize, customer: usize) -> SessionId {
    SessionId::new((bank * CUSTOMERS.len() + customer) as u128 + 1).expect("not nil")
}

pub(crate) fn orders(dice: &mut Dice, count: u64, from_us: u64, until_us: u64) -> Vec<Order> {
    let order = |number| {
        let (bank, customer) = (dice.below(BANKS.len() as u64) as usize, dice.below(CUSTOMERS.len() as u64) as usize);
        let payee = if dice.one_in(15) { "nobody" } else { CUSTOMERS[dice.below(CUSTOMERS.len() as u64) as usize] };
        // Mostly affordable, at times more than there is.
        let minor = 1 + if dice.one_in(5) { dice.below(1_500) } else { dice.below(250) };
        let request = PaymentRequest {
            id: PaymentId::new(number).expect("not nil"),
            session: session_of(bank, customer),
            payee: party(payee, BANKS[dice.below(BANKS.len() as u64) as usize]),
            amount: Amount::new(u128::from(minor)).expect("not zero"),
            currency: Currency::EUR,
            reference: Reference::EMPTY,
        };
        let from_us = from_us + dice.below(until_us - from_us);
        let cancel_us = dice.one_in(8).then(|| from_us + dice.below(1_000_000));
        let payer = party(CUSTOMERS[customer], BANKS[bank]);
        Order { payer, request, from_us, cancel_us, next_us: from_us, signed_in_us: 0, told: None }
    };
    (1..=u128::from(count)).map(order).collect()
}

impl Order {
    /// Takes an answer; what contradicts an earlier one is told.
    pub(crate) fn hear(&mut self, status: Status) -> Result<(), String> {
        if status == Status::Undecided {
            return Ok(());
        }
        match self.told {
            Some(before) if is_paid(before) != is_paid(status) => {
                Err(format!("{} was told {before:?}, and then {status:?}", self.request.id))
            }
            _ => {
                self.told = Some(status);
                Ok(())
            }
        }
    }
}

pub(crate) fn is_paid(status: Status) -> bool {
    matches!(status, Status::Paid { .. })
}

/// Refusals that do not stay: the same payment is sent again.
pub(crate) fn is_for_now(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::BankBusy { .. }
            | Refusal::PayerBusy
            | Refusal::TooManyRefused { .. }
            | Refusal::BankRestoring { .. }
            | Refusal::UnknownBank
            | Refusal::NoSession
    )
}
