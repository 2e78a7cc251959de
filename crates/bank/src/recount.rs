//! The books, counted again from the journal alone: for the audit.
//!
//! Every record's balances must follow from the ones before it by its own amount, and debits must equal credits in
//! every currency after each. What comes out must be what the node has in memory. Nothing is taken from the code that
//! wrote the records: only the arithmetic that anybody would do with pen and paper.

use crate::view::{self, HistoryError};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ledger::record::Record;
use ledger::{AccountId, Balances, Currency, Effect, Ledger, LineKind};
use replica::group;
use std::collections::BTreeMap;
use storage::{Disk, JournalMark, JournalReader};

/// Accounts as the journal tells them so far.
#[derive(Debug, Default)]
pub struct Recount {
    /// Looked up, and walked only for the least of what is wrong.
    balances: HashMap<AccountId, Balances, FixedState>,
    totals: BTreeMap<Currency, Totals>,
    outcomes: u64,
}

/// What was debited and credited in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub debits: u128,
    pub credits: u128,
}

/// Where the journal contradicts itself or the books: one plain sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

/// Counts the records of the journal between two marks, and checks every hash of its chain on the way.
///
/// # Errors
/// When the journal cannot be read, is not what was written, or contradicts itself.
pub fn recount_through<D: Disk>(
    recount: &mut Recount,
    journal: &JournalReader<D>,
    from: JournalMark,
    to: JournalMark,
) -> Result<(), HistoryError> {
    let mut found = Ok(());
    journal.check(from, to, |place, bytes| {
        if found.is_ok() && !group::is_control(bytes) {
            found = view::decode(bytes, place).and_then(|record| Ok(recount.record(&record)?));
        }
    })?;
    found
}

impl Recount {
    /// Counts the next record.
    ///
    /// # Errors
    /// When its balances do not follow from those before it.
    pub fn record(&mut self, record: &Record) -> Result<(), Mismatch> {
        self.outcomes += 1;
        let Some(effect) = record.effect() else { return Ok(()) };
        self.add(effect)
            .ok_or_else(|| Mismatch(format!("the record at place {} of the journal does not add up", record.place)))
    }

    fn add(&mut self, Effect { kind, movement, debit, credit }: Effect<'_>) -> Option<()> {
        let amount = movement.amount.minor();
        let mut debited = self.balances.get(&movement.debit).copied().unwrap_or_default();
        let mut credited = self.balances.get(&movement.credit).copied().unwrap_or_default();
        if matches!(kind, LineKind::HoldPosted | LineKind::HoldVoided) {
            debited.held_debits = debited.held_debits.checked_sub(amount)?;
            credited.held_credits = credited.held_credits.checked_sub(amount)?;
        }
        match kind {
            LineKind::Transfer | LineKind::HoldPosted => {
                debited.posted_debits = debited.posted_debits.checked_add(amount)?;
                credited.posted_credits = credited.posted_credits.checked_add(amount)?;
                let totals = self.totals.entry(movement.currency).or_default();
                totals.debits = totals.debits.checked_add(amount)?;
                totals.credits = totals.credits.checked_add(amount)?;
            }
            LineKind::HoldPlaced => {
                debited.held_debits = debited.held_debits.checked_add(amount)?;
                credited.held_credits = credited.held_credits.checked_add(amount)?;
            }
            LineKind::HoldVoided => {}
        }
        if debited != debit.after || credited != credit.after {
            return None;
        }
        self.balances.insert(movement.debit, debited);
        self.balances.insert(movement.credit, credited);
        Some(())
    }

    /// Outcomes counted.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Compares what was counted with the books in memory, and the books with themselves.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, ledger: &Ledger) -> Result<Vec<(Currency, Totals)>, Mismatch> {
        for account in ledger.accounts(0) {
            let counted = self.balances.get(&account.id).copied().unwrap_or_default();
            if counted != account.balances {
                let (id, says) = (account.id, account.balances);
                return Err(Mismatch(format!("account {id} is {says:?} in memory, but {counted:?} by the journal")));
            }
        }
        if let Some(id) = self.balances.keys().filter(|id| ledger.account(**id).is_none()).min() {
            return Err(Mismatch(format!("account {id} is in the journal, but not in memory")));
        }
        for sums in ledger.totals() {
            let counted = self.totals.get(&sums.currency).copied().unwrap_or_default();
            let books = Totals { debits: sums.sums.posted_debits, credits: sums.sums.posted_credits };
            if books != counted || books.debits != books.credits {
                return Err(Mismatch(format!(
                    "in {} the books say {books:?}, the journal {counted:?}",
                    sums.currency.code()
                )));
            }
        }
        Ok(self.totals.iter().map(|(currency, totals)| (*currency, *totals)).collect())
    }
}
