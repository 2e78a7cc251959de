//! Holds: money set aside and not yet moved.
//!
//! A hold stands between two accounts, in a payment between banks a customer's and an interbank account, and counts as a
//! held debit of the one and a held credit of the other. It ends once: posted, it becomes a transfer; voided, nothing.
//! The bank never ends a hold by itself; only its placer does.

use crate::ids::{Placer, TransferId};
use crate::movement::Movement;

/// An open hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    pub placer: Placer,
    pub movement: Movement,
    /// When and where in the journal it was placed.
    pub time_ms: u64,
    pub place: u64,
}

/// What has become of a hold by now. Every answer about a hold carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HoldState {
    Held,
    Posted,
    Voided,
}

/// The id under which the end of a hold is found in the journal.
///
/// A hold has two outcomes in the journal, its placing and its end, and an id leads to one place only. The end's id is a
/// hash of the hold's, so that no client can choose a transfer's id to stand in its way.
pub fn end_id(hold: TransferId) -> u128 {
    id_beside(b"rialto end of hold", hold)
}

/// The id under which the note about a hold is found in the journal: a hash, as its end's.
pub fn note_id(hold: TransferId) -> u128 {
    id_beside(b"rialto note of hold", hold)
}

fn id_beside(what: &[u8], hold: TransferId) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what);
    hasher.update(&hold.get().to_le_bytes());
    let hash = hasher.finalize();
    u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_hold_is_found_under_the_same_id_forever() {
        let id = TransferId::new(1).expect("not nil");
        assert_eq!(format!("{:032x}", end_id(id)), "7795e14197b95442e017f5391e27793f");
    }
}
