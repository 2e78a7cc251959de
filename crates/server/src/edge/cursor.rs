//! Cursors belong to the listing that they were given out for.
//!
//! A cursor is a place in one listing and a tag of that listing: `p17~5f0c2a91`. Sent with another account, order or search it
//! would show a page that follows from nothing; so it is refused.

use api::code::Code;
use api::problem::Problem;

/// A listing, by all that decides what is on its pages and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn of(parts: &[&str]) -> Tag {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Tag(hasher.finalize().to_hex()[..8].to_owned())
    }

    /// The text that callers hand back.
    pub(super) fn cursor(&self, place: &str) -> String {
        format!("{place}~{}", self.0)
    }

    /// The place in this listing that a cursor names.
    pub(super) fn place<'a>(&self, cursor: &'a str) -> Result<&'a str, Problem> {
        let (place, tag) = cursor.rsplit_once('~').ok_or_else(|| invalid(cursor))?;
        if tag == self.0 {
            return Ok(place);
        }
        let detail =
            "cursor: it belongs to another listing; send it with the same account, order and search, or leave it out";
        Err(Problem::new(Code::InvalidCursor, detail).with("field", "cursor"))
    }
}

/// Of a text that was never given out.
pub(super) fn invalid(text: &str) -> Problem {
    let shown: String = text.chars().take(60).collect();
    let detail = format!("cursor: {shown:?} is none; send next_cursor of the page before, unchanged");
    Problem::new(Code::InvalidCursor, detail).with("field", "cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_in_its_own_listing_alone() {
        let (one, other) = (Tag::of(&["statement", "ab", "c"]), Tag::of(&["statement", "a", "bc"]));
        let cursor = one.cursor("p17");
        assert_eq!(one.place(&cursor), Ok("p17"));
        assert!(other.place(&cursor).expect_err("another listing").detail.contains("another listing"));
        assert!(one.place("p17").expect_err("no tag").detail.contains("is none"));
    }
}
