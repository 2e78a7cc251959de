//! What a payer may have refused: see [`crate::charge`].

use super::Rules;
use crate::order::Party;
use crate::outcome::{Reason, Refusal};
use crate::record::Body;
use ledger::JournalPort;

impl<J: JournalPort + ?Sized> Rules<'_, J> {
    /// Whether one more payment of theirs may be refused, and so whether one more is taken.
    pub(super) fn check_may_be_refused(&self, payer: &Party) -> Result<(), Refusal> {
        let bucket = self.state.settings.refused_bucket();
        let open = self.state.open_of.get(payer).copied().unwrap_or(0);
        if open >= bucket.tokens {
            // Time alone brings none back: some of them have to end.
            return Err(Refusal::PayerBusy);
        }
        let full_at_us = self.state.charges.full_at_us(payer);
        let wait_ms = bucket.wait_ms(full_at_us, self.now_us(), open);
        wait_ms.map_or(Ok(()), |retry_after_ms| Err(Refusal::TooManyRefused { retry_after_ms }))
    }

    /// A payment of theirs was refused, for that reason.
    pub(super) fn charge(&mut self, payer: Party, reason: &Reason) {
        if !reason.is_of_payer() {
            return;
        }
        let now_us = self.now_us();
        let full_at_us = self.state.settings.refused_bucket().take(self.state.charges.full_at_us(&payer), now_us);
        let forgotten = self.state.charges.full_one(now_us, &payer);
        self.write(Body::PayerCharged { payer, full_at_us, forgotten });
    }

    /// A record's time has 48 bits, so this has 58.
    fn now_us(&self) -> u64 {
        self.now_ms * 1_000
    }
}
