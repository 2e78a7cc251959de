//! The sum of one record, in its last four bytes: for whoever reads it alone. It covers cluster and place, and not the
//! node, so that the journals of all nodes are the same bytes.

use super::{JournalRecord, RECORD_BODY};
use crate::Owner;
use crate::checksum::{FileKind, Seal};

/// Records and headers of batches have different sums.
const NUMBER: u64 = 1;

/// The record with its sum.
///
/// # Panics
/// If the bytes of the sum are in use.
pub(super) fn seal(record: &JournalRecord, place: u64, owner: Owner) -> JournalRecord {
    assert_eq!(record[RECORD_BODY..], [0; 4], "the last bytes of a record are the journal's");
    let mut sealed = *record;
    sealed[RECORD_BODY..].copy_from_slice(&sum(record, place, owner));
    sealed
}

/// The record without its sum, if that is right.
pub(super) fn check(sealed: &JournalRecord, place: u64, owner: Owner) -> Option<JournalRecord> {
    (sealed[RECORD_BODY..] == sum(sealed, place, owner)).then(|| strip(*sealed))
}

/// The record as it was before it was sealed.
pub(super) fn strip(mut sealed: JournalRecord) -> JournalRecord {
    sealed[RECORD_BODY..].fill(0);
    sealed
}

fn sum(record: &JournalRecord, place: u64, owner: Owner) -> [u8; 4] {
    let seal = Seal::new(Owner { node: 0, ..owner }, FileKind::Journal, NUMBER);
    let sum = seal.sum(place, &record[..RECORD_BODY]).to_le_bytes();
    [sum[0], sum[1], sum[2], sum[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RECORD;

    const OWNER: Owner = Owner { cluster: 7, node: 2 };

    #[test]
    fn a_sealed_record_is_read_back_and_any_damage_is_seen() {
        let mut record = [9; RECORD];
        record[RECORD_BODY..].fill(0);
        let sealed = seal(&record, 5, OWNER);
        assert_eq!(check(&sealed, 5, OWNER), Some(record));
        assert_eq!(check(&sealed, 5, Owner { node: 3, ..OWNER }), Some(record), "every node writes the same");
        assert_eq!(check(&sealed, 6, OWNER), None, "another place");
        assert_eq!(check(&sealed, 5, Owner { cluster: 8, ..OWNER }), None, "another cluster");
        for at in 0..RECORD {
            let mut rotten = sealed;
            rotten[at] ^= 0x20;
            assert_eq!(check(&rotten, 5, OWNER), None, "byte {at}");
        }
    }
}
