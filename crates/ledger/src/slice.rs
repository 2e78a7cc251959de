//! Digests of a part of the books, for nodes to compare with each other while they serve.
//!
//! Payments wait while a slice is digested, so it is mixed by two multiplications for sixteen bytes, not hashed by a
//! cryptographic hash: nodes compare to find memory that has changed by itself, or a wrong build, not a liar, who need not
//! tell what it has. A change goes unseen with a chance of about 2^-64 for each of two independent mixes.

use crate::ledger::{AccountView, Ledger};

/// Two odd numbers without a pattern, one for each mix: the fractions of the golden ratio and of the root of two.
const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];

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
        let mut mix = Mix(MULTIPLIERS);
        for account in self.accounts(first).take(usize::try_from(end - first).unwrap_or(usize::MAX)) {
            mix.account(&account);
            if account.customer.is_some() {
                crate::checkpoint::put_customer(self, account.number as usize, &mut |key, value| mix.entry(key, value));
            }
        }
        for hold in self.holds(None).filter(|hold| hold.movement.id.get() % u128::from(of) == u128::from(slice)) {
            crate::checkpoint::put_hold(hold, &mut |key, value| mix.entry(key, value));
        }
        for (placer, fence) in self.fences() {
            crate::checkpoint::put_fence(placer, &fence, &mut |key, value| mix.entry(key, value));
        }
        for entry in self.settings().entries() {
            mix.bytes(&entry.change.to_bytes());
            mix.words(entry.place, entry.time_ms);
        }
        mix.words(self.time_ms(), end);
        *blake3::hash(&mix.0.map(u64::to_le_bytes).concat()).as_bytes()
    }
}

struct Mix([u64; 2]);

impl Mix {
    fn words(&mut self, left: u64, right: u64) {
        for (state, multiplier) in self.0.iter_mut().zip(MULTIPLIERS) {
            let product = u128::from(left ^ *state) * u128::from(right ^ multiplier);
            // The next words meet another state also where this product is nothing.
            *state = state.rotate_left(23) ^ (product >> 64) as u64 ^ product as u64;
        }
    }

    fn wide(&mut self, number: u128) {
        self.words((number >> 64) as u64, number as u64);
    }

    /// The length goes first, so that no two sequences of bytes are mixed alike.
    fn bytes(&mut self, bytes: &[u8]) {
        self.words(bytes.len() as u64, 0);
        for piece in bytes.chunks(16) {
            let mut whole = [0; 16];
            whole[..piece.len()].copy_from_slice(piece);
            self.wide(u128::from_le_bytes(whole));
        }
    }

    /// An entry as it stands in the checkpoint.
    fn entry(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes(key);
        self.bytes(value.unwrap_or_default());
    }

    fn account(&mut self, account: &AccountView<'_>) {
        let balances = account.balances;
        self.wide(account.id.get());
        for total in [balances.posted_debits, balances.posted_credits, balances.held_debits, balances.held_credits] {
            self.wide(total);
        }
        self.words(account.opened_ms, account.closed_ms.unwrap_or(u64::MAX));
        self.words(account.last_place.unwrap_or(u64::MAX), u64::from(account.currency.number()));
        self.bytes(account.owner.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mixes three pairs of words.
    fn mixed(words: [u64; 6]) -> [u64; 2] {
        let mut mix = Mix(MULTIPLIERS);
        words.as_chunks::<2>().0.iter().for_each(|[left, right]| mix.words(*left, *right));
        mix.0
    }

    #[test]
    fn every_bit_counts_in_both_mixes() {
        for words in [[0; 6], [u64::MAX; 6], [1, 2, 3, 4, 5, 6]] {
            let before = mixed(words);
            for bit in 0..6 * 64 {
                let mut flipped = words;
                flipped[bit / 64] ^= 1 << (bit % 64);
                let after = mixed(flipped);
                assert!(before[0] != after[0] && before[1] != after[1], "bit {bit} of {words:?}");
            }
        }
    }

    #[test]
    fn where_bytes_end_counts() {
        let of = |parts: &[&[u8]]| {
            let mut mix = Mix(MULTIPLIERS);
            parts.iter().for_each(|part| mix.bytes(part));
            mix.0
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
    }
}
