//! What a payment is: who pays whom how much. The content that a retry must repeat.
//!
//! [`Terms`] names banks as the world does; calls to banks and questions from them carry the whole of it. [`Order`] is the
//! same inside the gateway's state, with banks by number. A party is a customer or the bank itself: two banks settle
//! what they owe each other by a payment from the one's vault to the other's.

use crate::bytes::{Bad, In, Out, Stored};
use crate::names::{BankName, BankNumber, CustomerName, NameError};
use ledger::{Amount, Currency, NotACustomerName, Reference, TransferId};
use std::fmt;
use std::str::FromStr;

/// A payment's id is the id of the holds and transfers that it becomes at its banks.
pub type PaymentId = TransferId;

/// The two sides of a payment: the payer's bank debits, the payee's credits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    Debit,
    Credit,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Debit, Side::Credit];

    pub fn other(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// Something of each side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pair<T> {
    pub debit: T,
    pub credit: T,
}

impl<T> Pair<T> {
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Debit => &self.debit,
            Side::Credit => &self.credit,
        }
    }

    pub fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Debit => &mut self.debit,
            Side::Credit => &mut self.credit,
        }
    }
}

/// Whose account at a bank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Holder {
    Customer(CustomerName),
    /// The bank itself: its vault.
    House,
}

/// One side of a payment, bank by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Party {
    pub bank: BankNumber,
    pub holder: Holder,
}

/// One side of a payment as the world names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamedParty {
    pub bank: BankName,
    pub holder: Holder,
}

/// `bob@beta`; a bank itself is `beta`.
impl fmt::Display for NamedParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Customer(name) => write!(f, "{name}@{}", self.bank),
            Holder::House => write!(f, "{}", self.bank),
        }
    }
}

/// An address as a person types it: `Bob@beta` is `bob@beta`.
impl FromStr for NamedParty {
    type Err = NameError;

    fn from_str(text: &str) -> Result<NamedParty, NameError> {
        NamedParty::parse(text, CustomerName::enforce)
    }
}

impl NamedParty {
    /// An address of a log, a journal or a peer, whose name was judged when it entered.
    ///
    /// # Errors
    /// When it is no address, whatever version of the program wrote it.
    pub fn stored(text: &str) -> Result<NamedParty, NameError> {
        NamedParty::parse(text, CustomerName::stored)
    }

    fn parse(
        text: &str,
        name_of: impl Fn(&str) -> Result<CustomerName, NotACustomerName>,
    ) -> Result<NamedParty, NameError> {
        match text.split_once('@') {
            Some((name, bank)) => {
                let holder = Holder::Customer(name_of(name)?);
                Ok(NamedParty { bank: BankName::new(bank)?, holder })
            }
            None => Ok(NamedParty { bank: BankName::new(text)?, holder: Holder::House }),
        }
    }
}

/// A payment inside the gateway's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    pub id: PaymentId,
    pub payer: Party,
    pub payee: Party,
    pub amount: Amount,
    pub currency: Currency,
    pub reference: Reference,
}

/// A payment as the world names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    pub id: PaymentId,
    pub payer: NamedParty,
    pub payee: NamedParty,
    pub amount: Amount,
    pub currency: Currency,
    pub reference: Reference,
}

impl Order {
    /// Then there is nothing to agree on: the one bank's outcome is the decision.
    pub fn is_within_one_bank(&self) -> bool {
        self.payer.bank == self.payee.bank
    }

    pub fn party(&self, side: Side) -> &Party {
        match side {
            Side::Debit => &self.payer,
            Side::Credit => &self.payee,
        }
    }

    pub fn bank(&self, side: Side) -> BankNumber {
        self.party(side).bank
    }
}

impl Terms {
    pub fn party(&self, side: Side) -> &NamedParty {
        match side {
            Side::Debit => &self.payer,
            Side::Credit => &self.payee,
        }
    }

    /// Tells contents apart where only a compact trace of them is kept: the first 128 bits of the BLAKE3 of the bytes.
    #[expect(clippy::expect_used, reason = "a slice of sixteen bytes is sixteen bytes")]
    pub fn digest(&self) -> u128 {
        let mut out = Out::default();
        out.value(self);
        let hash = blake3::hash(&out.bytes);
        u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"))
    }
}

impl Stored for Side {
    fn put(&self, out: &mut Out) {
        out.u8(match self {
            Side::Debit => 1,
            Side::Credit => 2,
        });
    }

    fn take(from: &mut In<'_>) -> Result<Side, Bad> {
        match from.u8("side")? {
            1 => Ok(Side::Debit),
            2 => Ok(Side::Credit),
            _ => Err(Bad { field: "side" }),
        }
    }
}

impl<T: Stored> Stored for Pair<T> {
    fn put(&self, out: &mut Out) {
        out.value(&self.debit);
        out.value(&self.credit);
    }

    fn take(from: &mut In<'_>) -> Result<Pair<T>, Bad> {
        Ok(Pair { debit: from.value()?, credit: from.value()? })
    }
}

/// No customer's name is empty, so the empty one stands for the bank itself.
impl Stored for Holder {
    fn put(&self, out: &mut Out) {
        match self {
            Holder::Customer(name) => out.value(name),
            Holder::House => out.text(""),
        }
    }

    fn take(from: &mut In<'_>) -> Result<Holder, Bad> {
        match from.rest.first() {
            Some(0) => {
                from.u8("holder")?;
                Ok(Holder::House)
            }
            Some(_) | None => Ok(Holder::Customer(from.value()?)),
        }
    }
}

impl Stored for Party {
    fn put(&self, out: &mut Out) {
        out.value(&self.bank);
        out.value(&self.holder);
    }

    fn take(from: &mut In<'_>) -> Result<Party, Bad> {
        Ok(Party { bank: from.value()?, holder: from.value()? })
    }
}

impl Stored for NamedParty {
    fn put(&self, out: &mut Out) {
        out.value(&self.bank);
        out.value(&self.holder);
    }

    fn take(from: &mut In<'_>) -> Result<NamedParty, Bad> {
        Ok(NamedParty { bank: from.value()?, holder: from.value()? })
    }
}

/// Both forms have the same fields in the same order.
macro_rules! stored_content {
    ($name:ident) => {
        impl Stored for $name {
            fn put(&self, out: &mut Out) {
                out.value(&self.id);
                out.value(&self.payer);
                out.value(&self.payee);
                out.value(&self.amount);
                out.value(&self.currency);
                out.value(&self.reference);
            }

            fn take(from: &mut In<'_>) -> Result<$name, Bad> {
                Ok($name {
                    id: from.value()?,
                    payer: from.value()?,
                    payee: from.value()?,
                    amount: from.value()?,
                    currency: from.value()?,
                    reference: from.value()?,
                })
            }
        }
    };
}

stored_content!(Order);
stored_content!(Terms);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_written_as_an_address() {
        for text in ["bob@beta", "zoë.müller@bank-2", "beta"] {
            assert_eq!(text.parse::<NamedParty>().map(|party| party.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "@beta", "bob@", "bob@beta@gamma", "bob beta", "Beta", "bob\u{200b}@beta", "\u{202e}bob@beta"]
        {
            assert!(text.parse::<NamedParty>().is_err(), "{text}");
        }
        assert_eq!("Bob@beta".parse::<NamedParty>(), "bob@beta".parse());
        assert_eq!("jose\u{301}@beta".parse::<NamedParty>(), "jos\u{e9}@beta".parse());
        // What a journal holds is read back as it is.
        for text in ["Bob@beta", "bob\u{200b}@beta", "jose\u{301}@beta"] {
            assert_eq!(NamedParty::stored(text).map(|party| party.to_string()), Ok(text.to_owned()));
        }
    }
}
