//! Sign-ins: opened by whoever has checked a password, ended at once on every node.

use super::{Rules, Ruling, done, replay};
use crate::names::SessionId;
use crate::order::{NamedParty, Party};
use crate::outcome::{Outcome, Refusal};
use crate::record::Body;
use crate::state::is_customer;
use ledger::JournalPort;

/// Of one customer, ended ones too, which stay until their time is over.
const KEPT_PER_CUSTOMER_MAX: usize = 64;
/// Of all customers: about 150 MB.
const KEPT_MAX: u64 = 1_000_000;
/// How many that are over are forgotten when one is opened: more than one, so that they do not pile up.
const FORGOTTEN_AT_ONCE: usize = 4;
/// Tokens live for an hour; a week is a mistake or worse.
const LONGEST_MS: u64 = 7 * 24 * 3_600_000;

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    pub(super) fn open_session(&mut self, session: SessionId, named: &NamedParty, expires_ms: u64) -> Ruling {
        let customer = self.state.party(named).filter(|_| is_customer(named)).ok_or(Refusal::UnknownBank)?;
        if let Some(known) = self.state.sessions.of(session) {
            let is_same = (known.customer, known.expires_ms) == (customer, expires_ms);
            let outcome = Outcome::SessionOpened { ended_instead: None };
            return if is_same { Ok(replay(outcome)) } else { Err(Refusal::IdReused) };
        }
        if expires_ms <= self.now_ms {
            return Err(Refusal::Expired);
        }
        if expires_ms - self.now_ms > LONGEST_MS {
            return Err(Refusal::OutOfRange);
        }
        self.forget_sessions();
        let of_customer = self.state.sessions.of_customer(&customer).count();
        if self.state.sessions.len() >= KEPT_MAX || of_customer >= KEPT_PER_CUSTOMER_MAX {
            return Err(Refusal::Full);
        }
        let ended_instead = self.end_oldest(&customer);
        self.write(Body::SessionOpened { session, customer, expires_ms });
        Ok(done(Outcome::SessionOpened { ended_instead }))
    }

    /// Makes room for one more: who signs in again after many crashes should not have to wait an hour.
    fn end_oldest(&mut self, customer: &Party) -> Option<SessionId> {
        let now_ms = self.now_ms;
        let live = || self.state.sessions.of_customer(customer).filter(|(_, session)| session.is_live(now_ms));
        if (live().count() as u64) < self.state.settings.sessions_per_customer {
            return None;
        }
        let (session, _) = live().min_by_key(|(id, session)| (session.opened_ms, *id))?;
        self.write(Body::SessionEnded { session });
        Some(session)
    }

    fn forget_sessions(&mut self) {
        let over: Vec<SessionId> = self.state.sessions.expired(self.now_ms).take(FORGOTTEN_AT_ONCE).collect();
        for session in over {
            self.write(Body::SessionForgotten { session });
        }
    }

    pub(super) fn end_session(&mut self, session: SessionId) -> Ruling {
        let known = self.state.sessions.of(session).ok_or(Refusal::NoSession)?;
        if known.ended {
            return Ok(replay(Outcome::SessionEnded));
        }
        self.write(Body::SessionEnded { session });
        Ok(done(Outcome::SessionEnded))
    }

    /// Whose live session that is.
    pub(super) fn customer_of(&self, session: SessionId) -> Result<Party, Refusal> {
        let known = self.state.sessions.of(session).ok_or(Refusal::NoSession)?;
        if known.ended {
            return Err(Refusal::SessionEnded);
        }
        if known.expires_ms <= self.now_ms {
            return Err(Refusal::SessionExpired);
        }
        Ok(known.customer)
    }
}
