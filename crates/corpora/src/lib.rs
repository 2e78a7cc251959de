//! For tests: runs what a fuzz target checks over the inputs that are kept for it, in bounded memory.
//!
//! A crate that reads outside bytes has a module `fuzzing`, which exists for its own tests and for cargo-fuzz only: a function
//! for each thing that it reads, which takes any bytes and panics where a property does not hold. `fuzz/` runs these functions
//! on inputs that libFuzzer invents; here they run on those of `fuzz/corpora`, so that what was once reached stays tested.
//! Nothing that ships depends on this crate.

use std::fs;
use std::path::{Path, PathBuf};

/// How much memory a reader may hold at once: so much always, and so much for each byte that it was given.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub always: u64,
    pub each: u64,
}

/// For what turns bytes into a value: a count in the input is believed only as far as there are bytes for it.
pub const DECODER: Bound = Bound { always: 64 << 10, each: 256 };

/// For what also keeps a state or simulates a disk.
pub const STATE: Bound = Bound { always: 64 << 20, each: 4_096 };

/// Runs the check, and panics when it held more memory at once than the bound allows.
pub fn check(bound: Bound, bytes: &[u8], property: fn(&[u8])) {
    let used = allocation_counter::measure(|| property(bytes));
    let most = bound.always + bound.each * bytes.len() as u64;
    assert!(used.bytes_max <= most, "{} bytes of input took {} bytes of memory", bytes.len(), used.bytes_max);
}

/// Runs the check over each input that is kept for the target.
///
/// # Panics
/// When a property does not hold, and when there are no inputs: a test that checks nothing is none.
pub fn run(target: &str, bound: Bound, property: fn(&[u8])) {
    let dir = dir(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("reading {}: {error}", dir.display()))
        .map(|entry| entry.expect("the directory can be read").path())
        .collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "no input is kept in {}", dir.display());
    for file in files {
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("reading {}: {error}", file.display()));
        println!("{}", file.display());
        check(bound, &bytes, property);
        // And what is nearly the same.
        for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
            check(bound, &bytes[..cut], property);
        }
    }
    check(bound, &[], property);
}

/// An input as entries of a checkpoint: key after value, each behind a byte with its length, as far as they are whole.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    let mut field = move || {
        let (length, behind) = rest.split_first()?;
        let (field, behind) = behind.split_at_checked(usize::from(*length))?;
        rest = behind;
        Some(field)
    };
    std::iter::from_fn(move || Some((field()?, field()?)))
}

fn dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora").join(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "10 bytes of input took")]
    fn what_takes_more_memory_than_its_input_explains_is_found() {
        check(DECODER, &[0; 10], |bytes| drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes.len() << 20))));
    }

    #[test]
    fn what_takes_little_passes() {
        check(DECODER, &[0; 10], |bytes| drop(std::hint::black_box(bytes.to_vec())));
    }

    #[test]
    fn entries_are_read_as_far_as_they_are_whole() {
        let read = |bytes: &[u8]| entries(bytes).map(|(key, value)| (key.to_vec(), value.to_vec())).collect::<Vec<_>>();
        let first = (b"k".to_vec(), b"val".to_vec());
        assert_eq!(read(b"\x01k\x03val\x00\x00"), [first.clone(), (Vec::new(), Vec::new())]);
        assert_eq!(read(b"\x01k\x03val\x01k\x03va"), [first]);
        assert_eq!(read(b""), []);
    }

    #[test]
    #[should_panic(expected = "reading ")]
    fn a_target_without_inputs_is_found() {
        run("no-such-target", DECODER, |_| ());
    }
}
