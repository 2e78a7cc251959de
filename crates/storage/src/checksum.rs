//! Checksums that know where they belong.
//!
//! XXH3 over the bytes, seeded with the owner, the kind and number of the file, and the offset. So a block that is
//! whole but in the wrong place, from another node, another cluster or an earlier life of a recycled file fails its
//! check like a damaged one.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Owner;

/// Numbered for good: they are part of every checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FileKind {
    Log = 1,
    Journal = 2,
    Table = 3,
    Run = 4,
    Manifest = 5,
    Identity = 6,
}

/// The checksum of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    seed: u64,
}

impl Seal {
    pub(crate) fn new(owner: Owner, kind: FileKind, number: u64) -> Seal {
        let mut whose = [0; 27];
        whose[..16].copy_from_slice(&owner.cluster.to_le_bytes());
        whose[16..18].copy_from_slice(&owner.node.to_le_bytes());
        whose[18] = kind as u8;
        whose[19..].copy_from_slice(&number.to_le_bytes());
        Seal { seed: xxh3_64_with_seed(&whose, 0) }
    }

    pub(crate) fn sum(&self, offset: u64, bytes: &[u8]) -> u64 {
        // An odd factor gives every offset another seed.
        xxh3_64_with_seed(bytes, self.seed ^ offset.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_elsewhere_have_another_sum() {
        let owner = Owner { cluster: 7, node: 1 };
        let here = Seal::new(owner, FileKind::Log, 3).sum(64, b"batch");
        assert_eq!(here, Seal::new(owner, FileKind::Log, 3).sum(64, b"batch"));
        assert_ne!(here, Seal::new(owner, FileKind::Log, 3).sum(128, b"batch"), "offset");
        assert_ne!(here, Seal::new(owner, FileKind::Log, 4).sum(64, b"batch"), "file");
        assert_ne!(here, Seal::new(owner, FileKind::Run, 3).sum(64, b"batch"), "kind");
        assert_ne!(here, Seal::new(Owner { node: 2, ..owner }, FileKind::Log, 3).sum(64, b"batch"), "node");
        assert_ne!(here, Seal::new(Owner { cluster: 8, ..owner }, FileKind::Log, 3).sum(64, b"batch"), "cluster");
    }
}
