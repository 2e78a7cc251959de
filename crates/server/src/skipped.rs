//! What is left out of a list that somebody else wrote: counted, the first few named, so that one bad element spoils neither
//! the list nor the log.

use std::fmt;

/// How many are named; the rest is only counted.
const NAMED_MAX: usize = 3;
/// So much of what is told of one: it is somebody else's text.
const CHARACTERS_MAX: usize = 200;

/// What was left out of a list, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    count: usize,
    named: Vec<String>,
}

impl Skipped {
    /// One more is left out. `why` is made only where it is kept.
    pub fn note(&mut self, why: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            let why = why();
            let mut told: String = why.chars().take(CHARACTERS_MAX).collect();
            if told.len() < why.len() {
                told.push('…');
            }
            self.named.push(told);
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// `one; another; a third; and 17 more`.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.join("; "))?;
        match self.count - self.named.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_rest_is_counted() {
        let mut skipped = Skipped::default();
        assert_eq!((skipped.is_empty(), skipped.to_string()), (true, String::new()));
        for number in 1..=20_000 {
            skipped.note(|| format!("entry {number} has no port"));
        }
        let told = "entry 1 has no port; entry 2 has no port; entry 3 has no port; and 19997 more";
        assert_eq!((skipped.count(), skipped.to_string()), (20_000, told.to_owned()));
        let mut long = Skipped::default();
        long.note(|| "x".repeat(5_000));
        assert!(long.to_string().chars().count() <= CHARACTERS_MAX + 1);
    }
}
