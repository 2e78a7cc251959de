//! Fields one behind the other, little endian: how records, commands and checkpoint values are written and read.
//!
//! Every shape is written by hand, beside the type that it belongs to, as an implementation of [`Stored`]. The numbers
//! that stand for kinds and variants are in journals and logs: keep them stable.

use ledger::text::Line;
use ledger::{Amount, Currency, TransferId};

/// The field that made bytes unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("bad {field}")]
pub struct Bad {
    pub field: &'static str,
}

/// A value with one way to stand in bytes.
pub(crate) trait Stored: Sized {
    fn put(&self, out: &mut Out);
    fn take(from: &mut In<'_>) -> Result<Self, Bad>;
}

/// The largest time, slot and place that a record can hold.
pub(crate) const U48_MAX: u64 = (1 << 48) - 1;

/// Bytes under construction.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
}

impl Out {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u48(&mut self, value: u64) {
        assert!(value <= U48_MAX, "slots, places, numbers and times are below 2^48");
        self.bytes.extend_from_slice(&value.to_le_bytes()[..6]);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i128(&mut self, value: i128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn array<const LEN: usize>(&mut self, bytes: &[u8; LEN]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[expect(
        clippy::expect_used,
        reason = "every text that is written is a name or a line, whose length is bounded by its type"
    )]
    pub(crate) fn text(&mut self, text: &str) {
        self.u8(u8::try_from(text.len()).expect("texts are bounded far below 256 bytes"));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn value<T: Stored>(&mut self, value: &T) {
        value.put(self);
    }
}

/// Bytes that are read from the front.
pub(crate) struct In<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> In<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> In<'a> {
        In { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const LEN: usize>(&mut self, field: &'static str) -> Result<[u8; LEN], Bad> {
        let (taken, rest) = self.rest.split_first_chunk::<LEN>().ok_or(Bad { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Bad> {
        Ok(self.array::<1>(field)?[0])
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Bad> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Bad> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u48(&mut self, field: &'static str) -> Result<u64, Bad> {
        let mut wide = [0; 8];
        wide[..6].copy_from_slice(&self.array::<6>(field)?);
        Ok(u64::from_le_bytes(wide))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Bad> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u128(&mut self, field: &'static str) -> Result<u128, Bad> {
        Ok(u128::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn i128(&mut self, field: &'static str) -> Result<i128, Bad> {
        Ok(i128::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, Bad> {
        let len = usize::from(self.u8(field)?);
        let (text, rest) = self.rest.split_at_checked(len).ok_or(Bad { field })?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Bad { field })
    }

    pub(crate) fn value<T: Stored>(&mut self) -> Result<T, Bad> {
        T::take(self)
    }

    /// Nothing may follow: what an older program cannot read it must not half understand.
    pub(crate) fn end(&self) -> Result<(), Bad> {
        if self.rest.is_empty() { Ok(()) } else { Err(Bad { field: "length" }) }
    }
}

impl Stored for Amount {
    fn put(&self, out: &mut Out) {
        out.bytes.extend_from_slice(&self.minor().to_le_bytes()[..12]);
    }

    fn take(from: &mut In<'_>) -> Result<Amount, Bad> {
        let mut wide = [0; 16];
        wide[..12].copy_from_slice(&from.array::<12>("amount")?);
        Amount::new(u128::from_le_bytes(wide)).ok_or(Bad { field: "amount" })
    }
}

impl Stored for Currency {
    fn put(&self, out: &mut Out) {
        out.u16(self.number());
    }

    fn take(from: &mut In<'_>) -> Result<Currency, Bad> {
        Currency::from_number(from.u16("currency")?).ok_or(Bad { field: "currency" })
    }
}

impl Stored for TransferId {
    fn put(&self, out: &mut Out) {
        out.u128(self.get());
    }

    fn take(from: &mut In<'_>) -> Result<TransferId, Bad> {
        TransferId::new(from.u128("id")?).ok_or(Bad { field: "id" })
    }
}

impl<const MAX: usize> Stored for Line<MAX> {
    fn put(&self, out: &mut Out) {
        out.text(self.as_str());
    }

    fn take(from: &mut In<'_>) -> Result<Line<MAX>, Bad> {
        Line::stored(from.text("text")?).map_err(|_| Bad { field: "text" })
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, out: &mut Out) {
        match self {
            None => out.u8(0),
            Some(value) => {
                out.u8(1);
                value.put(out);
            }
        }
    }

    fn take(from: &mut In<'_>) -> Result<Option<T>, Bad> {
        match from.u8("presence")? {
            0 => Ok(None),
            1 => Ok(Some(T::take(from)?)),
            _ => Err(Bad { field: "presence" }),
        }
    }
}
