//! Short texts that travel with money: the reference of a transfer and the owner of an account.
//!
//! Both are bounded, UTF-8, on one line (no control characters, so they cannot forge a line in a log or a statement), and
//! held in place without an allocation, since a batch carries thousands of them. Empty is allowed.

use std::fmt;

/// A single line of at most `MAX` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line<const MAX: usize> {
    len: u8,
    // Bytes past the length are zero, so that equality and hashing may look at all of them.
    bytes: [u8; MAX],
}

/// What a transfer says about itself: at most 35 bytes, as in SEPA's end-to-end identification.
pub type Reference = Line<35>;

/// Whose account it is: at most 64 bytes.
pub type Owner = Line<64>;

/// The other side of a payment, as `name@bank`: at most 81 bytes, a customer's and a bank's longest name.
pub type Counterparty = Line<81>;

/// Why a text is not such a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    #[error("the text has {bytes} bytes of UTF-8; at most {max} are taken")]
    TooLong { bytes: usize, max: usize },
    #[error("the text has a control character at byte {at}")]
    ControlCharacter { at: usize },
    #[error("the text is not UTF-8")]
    NotUtf8,
}

impl<const MAX: usize> Line<MAX> {
    /// The empty line.
    pub const EMPTY: Line<MAX> = Line { len: 0, bytes: [0; MAX] };

    /// Checks length and characters.
    pub fn new(text: &str) -> Result<Line<MAX>, LineError> {
        Line::from_utf8(text.as_bytes())
    }

    pub(crate) fn from_utf8(text: &[u8]) -> Result<Line<MAX>, LineError> {
        if text.len() > MAX {
            return Err(LineError::TooLong { bytes: text.len(), max: MAX });
        }
        // Printable ASCII, nearly every reference, needs no look at characters.
        if !text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            let text = std::str::from_utf8(text).map_err(|_| LineError::NotUtf8)?;
            if let Some((at, _)) = text.char_indices().find(|(_, character)| character.is_control()) {
                return Err(LineError::ControlCharacter { at });
            }
        }
        let mut bytes = [0; MAX];
        bytes[..text.len()].copy_from_slice(text);
        Ok(Line { len: u8::try_from(text.len()).expect("MAX is below 256"), bytes })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("checked when the line was made")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len_byte(&self) -> u8 {
        self.len
    }

    /// All `MAX` bytes, zeros behind the text.
    pub(crate) fn padded(&self) -> &[u8; MAX] {
        &self.bytes
    }
}

impl<const MAX: usize> fmt::Display for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const MAX: usize> fmt::Debug for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_exactly_its_bytes() {
        let full = "x".repeat(35);
        assert_eq!(Reference::new(&full).map(|line| line.as_str().to_owned()), Ok(full));
        assert_eq!(Reference::new(&"x".repeat(36)), Err(LineError::TooLong { bytes: 36, max: 35 }));
        assert_eq!(Reference::new(&"é".repeat(18)), Err(LineError::TooLong { bytes: 36, max: 35 }));
        assert_eq!(Reference::new("").map(|line| line.is_empty()), Ok(true));
        assert_eq!(Owner::new("Zoë Müller").map(|line| line.to_string()), Ok("Zoë Müller".to_owned()));
    }

    #[test]
    fn no_line_hides_a_second_one() {
        for (text, at) in [("a\nb", 1), ("\0", 0), ("ab\u{7f}", 2), ("é\u{85}", 2), ("\u{1b}[31m", 0)] {
            assert_eq!(Reference::new(text), Err(LineError::ControlCharacter { at }), "{text:?}");
        }
        assert_eq!(Reference::from_utf8(&[0xff, 0xfe]), Err(LineError::NotUtf8));
    }
}
