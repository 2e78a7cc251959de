//! What a payer may have refused: see [`crate::charge`].

use super::Rules;
use crate::bank::BankBucket;
use crate::names::BankNumber;
use crate::order::Party;
use crate::outcome::Reason;
use crate::record::Body;
use ledger::JournalPort;

impl<J: JournalPort + ?Sized> Rules<'_, J> {
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

    /// Takes tokens from a bucket of a bank's.
    pub(super) fn charge_bank(&mut self, number: BankNumber, of: BankBucket, tokens: u64) {
        let full_at_us = self.state.bank(number).full_at_us.of(of);
        let full_at_us = of.bucket().take_many(full_at_us, self.now_us(), tokens);
        self.write(Body::BankCharged { number, bucket: of, full_at_us });
    }

    /// A record's time has 48 bits, so this has 58.
    pub(super) fn now_us(&self) -> u64 {
        self.now_ms * 1_000
    }
}
