//! What must hold between the parts of the books, whatever was commanded. Checked by tests and by the simulator after
//! every step, and when books are restored.

use std::collections::BTreeMap;

use crate::account::{Balances, Standing};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::day::Day;
use crate::ids::{AccountId, TransferId};
use crate::ledger::Ledger;

/// A relation that does not hold: a bug, or books that were tampered with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    #[error("{currency} is debited {debits} and credited {credits} in all")]
    DebitsAreCredits { currency: Currency, debits: u128, credits: u128 },
    #[error("account {account} has {available} available")]
    Overdrawn { account: AccountId, available: i128 },
    #[error("account {account} has totals out of bounds")]
    OutOfBounds { account: AccountId },
    #[error("the sums over all accounts of {currency} are out of bounds")]
    SumsOutOfBounds { currency: Currency },
    #[error("account {account} holds {debits} of debits and {credits} of credits, its open holds say otherwise")]
    HeldIsOpenHolds { account: AccountId, debits: u128, credits: u128 },
    #[error("hold {hold} names account {account}, which does not exist or is kept in another currency")]
    HoldOnNothing { hold: TransferId, account: AccountId },
    #[error("account {account} is closed and has money or holds")]
    ClosedNotEmpty { account: AccountId },
    #[error("account {account} is not found where the index says")]
    Index { account: AccountId },
    #[error("{currency} has {kept} pledged, its accounts say {found}")]
    Pledged { currency: Currency, kept: u128, found: u128 },
    #[error("account {account} is a customer's without a secret, or another's with one")]
    Secret { account: AccountId },
    #[error("account {account} is a customer's, and does not follow from the name {owner}")]
    CustomersName { account: AccountId, owner: Box<str> },
    #[error("account {account} was debited on a day that has not come, or has a day and is no customer's")]
    Day { account: AccountId },
}

/// Every relation, the cheap ones first.
pub fn check(ledger: &Ledger) -> Result<(), Broken> {
    index_leads_to_accounts(ledger)?;
    names_lead_to_customers(ledger)?;
    totals_are_sound(ledger)?;
    check_restored(ledger)
}

/// What a restore has not already seen to while it put account after account into the index and added up their totals:
/// a start with a million accounts waits for this.
pub(crate) fn check_restored(ledger: &Ledger) -> Result<(), Broken> {
    accounts_are_sound(ledger)?;
    customers_have_secrets(ledger)?;
    days_have_come(ledger)?;
    held_is_what_open_holds_say(ledger)?;
    pledged_is_what_accounts_say(ledger)
}

fn index_leads_to_accounts(ledger: &Ledger) -> Result<(), Broken> {
    for (seat, account) in ledger.state.accounts.iter().enumerate() {
        if ledger.state.seat(account.id) != Some(seat) {
            return Err(Broken::Index { account: account.id });
        }
    }
    Ok(())
}

fn names_lead_to_customers(ledger: &Ledger) -> Result<(), Broken> {
    for account in ledger.accounts(0).filter(|account| account.customer.is_some()) {
        let of_name = CustomerName::stored(account.owner).map(|name| AccountId::of_customer(&name));
        if of_name != Ok(account.id) {
            return Err(Broken::CustomersName { account: account.id, owner: account.owner.into() });
        }
    }
    Ok(())
}

fn accounts_are_sound(ledger: &Ledger) -> Result<(), Broken> {
    for account in &ledger.state.accounts {
        let Balances { posted_debits, posted_credits, .. } = account.balances;
        if !account.balances.are_bounded() {
            return Err(Broken::OutOfBounds { account: account.id });
        }
        let available = account.balances.available();
        if !account.is_internal() && available < 0 {
            return Err(Broken::Overdrawn { account: account.id, available });
        }
        let is_empty = posted_debits == posted_credits && !account.balances.has_holds();
        if account.standing == Standing::Closed && !is_empty {
            return Err(Broken::ClosedNotEmpty { account: account.id });
        }
    }
    Ok(())
}

/// Debits are credits in every currency, posted and held, and their sums can be added up.
pub(crate) fn totals_are_sound(ledger: &Ledger) -> Result<(), Broken> {
    let mut sums: BTreeMap<Currency, Balances> = BTreeMap::new();
    for account in &ledger.state.accounts {
        let sum = sums.entry(account.currency).or_default();
        *sum = add(sum, &account.balances).ok_or(Broken::SumsOutOfBounds { currency: account.currency })?;
    }
    for (currency, sum) in sums {
        for (debits, credits) in [(sum.posted_debits, sum.posted_credits), (sum.held_debits, sum.held_credits)] {
            if debits != credits {
                return Err(Broken::DebitsAreCredits { currency, debits, credits });
            }
        }
        if sum.posted_debits.checked_add(sum.held_debits).is_none_or(|pledged| pledged > crate::rules::PLEDGED_MAX) {
            return Err(Broken::SumsOutOfBounds { currency });
        }
    }
    Ok(())
}

fn add(sum: &Balances, balances: &Balances) -> Option<Balances> {
    Some(Balances {
        posted_debits: sum.posted_debits.checked_add(balances.posted_debits)?,
        posted_credits: sum.posted_credits.checked_add(balances.posted_credits)?,
        held_debits: sum.held_debits.checked_add(balances.held_debits)?,
        held_credits: sum.held_credits.checked_add(balances.held_credits)?,
    })
}

fn customers_have_secrets(ledger: &Ledger) -> Result<(), Broken> {
    for (account, facts) in ledger.state.accounts.iter().zip(&ledger.state.facts) {
        if account.customer.is_some() != facts.secret.is_some() {
            return Err(Broken::Secret { account: account.id });
        }
    }
    Ok(())
}

fn days_have_come(ledger: &Ledger) -> Result<(), Broken> {
    for (account, day) in ledger.state.accounts.iter().zip(&ledger.state.days) {
        let is_no_customers = account.customer.is_none() && *day != Day::default();
        if is_no_customers || day.is_after(ledger.state.time_ms) {
            return Err(Broken::Day { account: account.id });
        }
    }
    Ok(())
}

fn held_is_what_open_holds_say(ledger: &Ledger) -> Result<(), Broken> {
    let mut held: BTreeMap<AccountId, (u128, u128)> = BTreeMap::new();
    for hold in ledger.state.holds.values() {
        let movement = &hold.movement;
        for account in [movement.debit, movement.credit] {
            let seat = ledger.state.seat(account);
            let kept_in = seat.map(|seat| ledger.state.accounts[seat].currency);
            if kept_in != Some(movement.currency) {
                return Err(Broken::HoldOnNothing { hold: movement.id, account });
            }
        }
        // Saturating: a sum that large differs from every account's bounded total, which is what is looked for.
        let debits = &mut held.entry(movement.debit).or_default().0;
        *debits = debits.saturating_add(movement.amount.minor());
        let credits = &mut held.entry(movement.credit).or_default().1;
        *credits = credits.saturating_add(movement.amount.minor());
    }
    for account in &ledger.state.accounts {
        let Balances { held_debits: debits, held_credits: credits, .. } = account.balances;
        if held.get(&account.id).copied().unwrap_or_default() != (debits, credits) {
            return Err(Broken::HeldIsOpenHolds { account: account.id, debits, credits });
        }
    }
    Ok(())
}

fn pledged_is_what_accounts_say(ledger: &Ledger) -> Result<(), Broken> {
    for totals in ledger.totals() {
        let found = totals.sums.posted_debits + totals.sums.held_debits;
        let kept = ledger.state.pledged[usize::from(totals.currency.number())];
        if kept != found {
            return Err(Broken::Pledged { currency: totals.currency, kept, found });
        }
    }
    Ok(())
}
