//! Sign-ins. A session is kept until its time is over, also when it was ended, so that "ended" and "never was" are told
//! apart and a late repetition cannot open it again. Of a customer with many, ended ones are forgotten sooner.

use crate::names::{BankNumber, SessionId};
use crate::order::Party;
use std::collections::{BTreeMap, BTreeSet};

/// One sign-in of a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    pub customer: Party,
    pub opened_ms: u64,
    pub expires_ms: u64,
    pub ended: bool,
}

/// All sessions whose time is not known to be over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_customer: BTreeMap<Party, BTreeSet<SessionId>>,
    by_expiry: BTreeSet<(u64, SessionId)>,
    of_bank: BTreeMap<BankNumber, u64>,
}

impl Session {
    pub fn is_live(&self, now_ms: u64) -> bool {
        !self.ended && now_ms < self.expires_ms
    }
}

impl Sessions {
    pub(crate) fn len(&self) -> u64 {
        self.by_id.len() as u64
    }

    /// How many are kept of one bank's customers.
    pub(crate) fn count_of(&self, bank: BankNumber) -> u64 {
        self.of_bank.get(&bank).copied().unwrap_or(0)
    }

    pub(crate) fn of(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    /// A customer's sessions, ended ones too.
    pub(crate) fn of_customer(&self, customer: &Party) -> impl Iterator<Item = (SessionId, &Session)> {
        let ids = self.by_customer.get(customer).into_iter().flatten();
        ids.map(|id| (*id, &self.by_id[id]))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.by_id.iter().map(|(id, session)| (*id, session))
    }

    /// Those whose time is over, the longest over first.
    pub(crate) fn expired(&self, now_ms: u64) -> impl Iterator<Item = SessionId> {
        self.by_expiry.iter().take_while(move |(expires_ms, _)| *expires_ms <= now_ms).map(|(_, id)| *id)
    }

    pub(crate) fn put(&mut self, id: SessionId, session: Session) {
        let before = self.by_id.insert(id, session);
        assert!(before.is_none(), "a session is opened once");
        self.by_customer.entry(session.customer).or_default().insert(id);
        self.by_expiry.insert((session.expires_ms, id));
        *self.of_bank.entry(session.customer.bank).or_default() += 1;
    }

    /// False if there is no such session.
    pub(crate) fn end(&mut self, id: SessionId) -> bool {
        let Some(session) = self.by_id.get_mut(&id) else { return false };
        session.ended = true;
        true
    }

    #[expect(
        clippy::expect_used,
        reason = "the rules forget sessions that they have found, and indexes are changed together"
    )]
    pub(crate) fn forget(&mut self, id: SessionId) {
        let session = self.by_id.remove(&id).expect("only what is known is forgotten");
        self.by_expiry.remove(&(session.expires_ms, id));
        let of_bank = self.of_bank.get_mut(&session.customer.bank).expect("every session is counted");
        *of_bank = of_bank.saturating_sub(1);
        if *of_bank == 0 {
            self.of_bank.remove(&session.customer.bank);
        }
        let of_customer = self.by_customer.get_mut(&session.customer).expect("every session has its customer");
        of_customer.remove(&id);
        if of_customer.is_empty() {
            self.by_customer.remove(&session.customer);
        }
    }

    pub(crate) fn indexes_agree(&self) -> bool {
        let by_customer: usize = self.by_customer.values().map(BTreeSet::len).sum();
        let by_bank: u64 = self.of_bank.values().sum();
        by_customer == self.by_id.len()
            && by_bank == self.len()
            && self.by_expiry.len() == self.by_id.len()
            && self.by_id.iter().all(|(id, session)| {
                self.by_expiry.contains(&(session.expires_ms, *id))
                    && self.by_customer.get(&session.customer).is_some_and(|ids| ids.contains(id))
            })
    }
}
