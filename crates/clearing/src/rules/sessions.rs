//! Sign-ins: opened by whoever has checked a password, ended at once on every node.

use super::{Rules, Ruling, done, replay};
use crate::control::Control;
use crate::names::SessionId;
use crate::order::{NamedParty, Party};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::record::Body;
use crate::seed::Seed;
use crate::state::is_customer;
use ledger::JournalPort;

/// Of one customer, ended ones too. Live ones are at most as many as the setting says; a customer who signs in and out
/// again and again meets the bank's limit on that first.
const KEPT_PER_CUSTOMER_MAX: usize = 1_024;
/// Beyond so many of one customer, the oldest that were ended are forgotten before their time is over: whoever signs out
/// frees the place.
const KEPT_ENDED: usize = 64;
/// An ended session is not forgotten sooner after its opening, so that no repetition of the command can open it again:
/// gateway nodes allow half a minute for that, and clocks may differ.
const REPEATED_WITHIN_MS: u64 = 10 * 60_000;
/// Of all customers: about 150 MB.
const KEPT_MAX: u64 = 1_000_000;
/// How many of each sort are forgotten when one is opened: more than one, so that they do not pile up.
const FORGOTTEN_AT_ONCE: usize = 4;
/// Half of them are for the banks with few: each of a thousand has so many that no other can take, also where others let every
/// invented name in.
const SHARED_MAX: u64 = KEPT_MAX / 2;
const KEPT_PER_BANK_MIN: u64 = 500;
/// Tokens live for an hour; a week is a mistake or worse.
const LONGEST_MS: u64 = 7 * 24 * 3_600_000;

/// The two times of a session that is to be opened.
#[derive(Clone, Copy)]
pub(super) struct Until {
    pub(super) open_by_ms: u64,
    pub(super) expires_ms: u64,
}

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    pub(super) fn open_session(&mut self, session: SessionId, named: &NamedParty, until: Until) -> Ruling {
        let customer = self.state.party(named).filter(|_| is_customer(named)).ok_or(Refusal::UnknownBank)?;
        let Until { open_by_ms, expires_ms } = until;
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
        if open_by_ms <= self.now_ms {
            return Err(Refusal::DeadlinePassed);
        }
        self.forget_sessions();
        self.forget_ended(&customer);
        let of_customer = self.state.sessions.of_customer(&customer).count();
        let (of_bank, of_all) = (self.state.sessions.count_of(customer.bank), self.state.sessions.len());
        let is_full = match of_bank {
            0..KEPT_PER_BANK_MIN => of_all >= KEPT_MAX,
            // Of the other half as many as are free then.
            more => more >= SHARED_MAX.saturating_sub(of_all),
        };
        if is_full || of_customer >= KEPT_PER_CUSTOMER_MAX {
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

    /// Those of a customer who signs in and out a lot.
    fn forget_ended(&mut self, customer: &Party) {
        let kept = self.state.sessions.of_customer(customer);
        if kept.count() < KEPT_ENDED {
            return;
        }
        let opened_before_ms = self.now_ms.saturating_sub(REPEATED_WITHIN_MS);
        let kept = self.state.sessions.of_customer(customer);
        let mut ended: Vec<(u64, SessionId)> = kept
            .filter(|(_, session)| session.ended && session.opened_ms < opened_before_ms)
            .map(|(id, session)| (session.opened_ms, id))
            .collect();
        ended.sort_unstable();
        for (_, session) in ended.into_iter().take(FORGOTTEN_AT_ONCE) {
            self.write(Body::SessionForgotten { session });
        }
    }

    pub(super) fn end_session(&mut self, session: SessionId) -> Ruling {
        if let Some(answer) = self.look().end_session(session)? {
            return Ok(answer);
        }
        self.write(Body::SessionEnded { session });
        Ok(done(Outcome::SessionEnded))
    }

    /// The first seed stays: ids follow from it.
    pub(super) fn keep_seed(&mut self, seed: Seed) -> Answer {
        if self.state.seed.is_some() {
            return replay(Outcome::SeedKept);
        }
        self.write(Body::SeedKept { seed });
        done(Outcome::SeedKept)
    }

    /// What an idempotency key stands for: the first request that comes with it settles that.
    pub(super) fn claim_key(&mut self, session: SessionId, key: u128, (digest, base): (u128, u128)) -> Ruling {
        if let Some(answer) = self.look().claim_key(session, key, digest)? {
            return Ok(answer);
        }
        let seed = self.state.seed.filter(|_| !self.state.is_off(Control::KeysByChance));
        let base = seed.map_or(base, |seed| seed.base(key));
        self.write(Body::KeyClaimed { key, digest, base });
        Ok(done(Outcome::KeyClaimed { base }))
    }
}
