//! Bytes of an input as manifest, table and run, their sums right: see [`crate::fuzzing`].

use crate::Owner;
use crate::checksum::{FileKind, Seal};

const TABLE_BLOCK: usize = 64 << 10;
const RUN_BLOCK: usize = 4_096;
const FOOTER: usize = 64;

/// The input is cut in three: what the manifest says of the two files, the entries of the table, the run.
pub(crate) fn files(bytes: &[u8], owner: Owner) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (choices, rest) = bytes.split_at(bytes.len().min(4));
    let choice = |at: usize| choices.get(at).copied().unwrap_or(0);
    let (of_table, of_run) = rest.split_at(rest.len() * usize::from(choice(0)) / 256);
    let table = table(of_table, choice(1), owner);
    let run = run(of_run, choice(2), owner);
    (manifest((table.len(), run.len()), choice(3), owner), table, run)
}

fn manifest((table, run): (usize, usize), odd: u8, owner: Owner) -> Vec<u8> {
    let mut bytes = b"RialtoMF".to_vec();
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    let runs = if odd & 1 == 0 { 1 } else { u32::from(odd) << 24 };
    bytes.extend_from_slice(&runs.to_le_bytes());
    bytes.extend_from_slice(&owner.cluster.to_le_bytes());
    bytes.extend_from_slice(&u64::from(owner.node).to_le_bytes());
    bytes.extend_from_slice(&[odd; 48]);
    bytes.extend_from_slice(&3_u64.to_le_bytes());
    for (number, len) in [(1_u64, table as u64), (2, run as u64)] {
        bytes.extend_from_slice(&number.to_le_bytes());
        let len = if odd & 2 == 0 { len } else { len << (odd % 64) };
        bytes.extend_from_slice(&len.to_le_bytes());
    }
    sealed(bytes, Seal::new(Owner { cluster: 0, node: 0 }, FileKind::Manifest, 0), 0)
}

/// The sum stands behind what it is of.
fn sealed(mut bytes: Vec<u8>, seal: Seal, offset: u64) -> Vec<u8> {
    let sum = seal.sum(offset, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// One block of the input's bytes: how much of it is said to be used is part of the input.
fn table(bytes: &[u8], odd: u8, owner: Owner) -> Vec<u8> {
    if odd & 1 != 0 {
        return bytes.to_vec();
    }
    let entries = &bytes[..bytes.len().min(TABLE_BLOCK - 12)];
    let used = if odd & 2 == 0 { 12 + entries.len() as u32 } else { u32::from(odd) << 20 };
    let mut block = vec![0; 8];
    block.extend_from_slice(&used.to_le_bytes());
    block.extend_from_slice(entries);
    let sum = Seal::new(owner, FileKind::Table, 1).sum(0, &block[8..]);
    block[..8].copy_from_slice(&sum.to_le_bytes());
    block
}

/// Blocks, index and filter, footer. Each number of the footer may be the input's.
fn run(bytes: &[u8], odd: u8, owner: Owner) -> Vec<u8> {
    let seal = Seal::new(owner, FileKind::Run, 2);
    let mut out = vec![0; 8];
    out.extend_from_slice(&bytes[..bytes.len().min(RUN_BLOCK - 8)]);
    out.resize(RUN_BLOCK, 0);
    let sum = seal.sum(0, &out[8..]);
    out[..8].copy_from_slice(&sum.to_le_bytes());
    let index_at = out.len() as u64;
    // The first id of the block, and a filter that says yes to all or to none.
    let mut index = vec![0; 16];
    index.extend_from_slice(&vec![if odd & 1 == 0 { 0xff } else { 0 }; usize::from(odd >> 4) * 64]);
    out.extend_from_slice(&index);
    let number = |at: usize, usual: u64| {
        let of_input = bytes.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        of_input.filter(|_| odd & 2 != 0).unwrap_or(usual)
    };
    let mut footer = [0; FOOTER];
    footer[..8].copy_from_slice(b"RialtoI2");
    footer[8..16].copy_from_slice(&number(0, u64::from(odd) % 170).to_le_bytes());
    footer[16..24].copy_from_slice(&number(8, index_at).to_le_bytes());
    footer[24..32].copy_from_slice(&seal.sum(index_at, &index).to_le_bytes());
    footer[32..48].copy_from_slice(&[0xff; 16]);
    let sum = seal.sum(out.len() as u64, &footer[..56]);
    footer[56..].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&footer);
    out
}
