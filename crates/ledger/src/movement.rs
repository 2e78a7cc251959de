//! What a transfer moves, or a hold sets aside: the content that a retry must repeat.

use crate::currency::Currency;
use crate::ids::{AccountId, TransferId};
use crate::money::Amount;
use crate::text::Reference;

/// One amount from one account to another. Two commands under one id are the same if these are equal; tokens and
/// deadlines are no part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Movement {
    pub id: TransferId,
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount: Amount,
    pub currency: Currency,
    pub reference: Reference,
}
