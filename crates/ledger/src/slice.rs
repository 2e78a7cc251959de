//! Digests of a part of the books, for nodes to compare with each other while they serve.

use crate::ledger::{AccountView, Ledger};

/// Hashed at once: the hash is at its quickest on pieces of this size.
const PIECE: usize = 64 << 10;

impl Ledger {
    /// A digest of one of `of` slices of the books: an equal share of the accounts in the order of their opening, the
    /// holds whose id falls into the slice, and settings and time, which belong to every slice. Equal in every node that
    /// has applied the same slots.
    ///
    /// # Panics
    /// When there is no such slice.
    pub fn slice_digest(&self, slice: u64, of: u64) -> [u8; 32] {
        assert!(slice < of, "there are {of} slices, numbered from 0");
        let begin = |slice: u64| u64::try_from(u128::from(self.account_count()) * u128::from(slice) / u128::from(of));
        let (first, end) = (begin(slice).unwrap_or(u64::MAX), begin(slice + 1).unwrap_or(u64::MAX));
        let mut pieces = Pieces { hasher: blake3::Hasher::new(), piece: Vec::with_capacity(PIECE) };
        for account in self.accounts(first).take(usize::try_from(end - first).unwrap_or(usize::MAX)) {
            pieces.account(&account);
        }
        for hold in self.holds(None).filter(|hold| hold.movement.id.get() % u128::from(of) == u128::from(slice)) {
            crate::checkpoint::put_hold(hold, &mut |key, value| {
                pieces.put(key);
                pieces.put(value.unwrap_or_default());
            });
        }
        for entry in self.settings().entries() {
            pieces.put(&entry.change.to_bytes());
            pieces.put(&entry.place.to_le_bytes());
        }
        pieces.put(&self.time_ms().to_le_bytes());
        pieces.hasher.update(&pieces.piece);
        *pieces.hasher.finalize().as_bytes()
    }
}

struct Pieces {
    hasher: blake3::Hasher,
    piece: Vec<u8>,
}

impl Pieces {
    fn put(&mut self, bytes: &[u8]) {
        if self.piece.len() + bytes.len() > PIECE {
            self.hasher.update(&self.piece);
            self.piece.clear();
        }
        self.piece.extend_from_slice(bytes);
    }

    fn account(&mut self, account: &AccountView<'_>) {
        let balances = account.balances;
        let mut fixed = [0; 16 * 5 + 8 * 4 + 2];
        let mut at = 0;
        let mut field = |bytes: &[u8]| {
            fixed[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        field(&account.id.get().to_le_bytes());
        for total in [balances.posted_debits, balances.posted_credits, balances.held_debits, balances.held_credits] {
            field(&total.to_le_bytes());
        }
        for number in [account.opened_ms, account.closed_ms.unwrap_or(u64::MAX)] {
            field(&number.to_le_bytes());
        }
        field(&account.last_place.unwrap_or(u64::MAX).to_le_bytes());
        field(&(account.owner.len() as u64).to_le_bytes());
        field(&account.currency.number().to_le_bytes());
        self.put(&fixed);
        self.put(account.owner.as_bytes());
    }
}
