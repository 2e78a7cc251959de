//! As much of X.509 as is shown to people: when a certificate counts, and the addresses in it (RFC 5280, section 4.1).
//!
//! Nothing is decided by what is read here: chains, names and times are checked by webpki. Bytes that are not as they
//! should be give nothing, and never a panic.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use time::{Date, Month, OffsetDateTime, Time};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, where the version is; `[3]`, where the extensions are.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `[2]` and `[7]` of a GeneralName.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.29.17
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) dns: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Reads a certificate; none when it is not one.
pub(crate) fn read(certificate: &[u8]) -> Option<Read> {
    let mut certificate = Fields(Fields(certificate).take(SEQUENCE)?);
    let mut fields = Fields(certificate.take(SEQUENCE)?);
    fields.skip_if(VERSION)?;
    let serial = fields.take(INTEGER)?;
    let _signature = fields.take(SEQUENCE)?;
    let _issuer = fields.take(SEQUENCE)?;
    let mut validity = Fields(fields.take(SEQUENCE)?);
    let (not_before, not_after) = (moment(validity.next()?)?, moment(validity.next()?)?);
    let _subject = fields.take(SEQUENCE)?;
    let _key = fields.take(SEQUENCE)?;
    let (dns, addresses) = alternative_names(fields).unwrap_or_default();
    Some(Read { serial: serial.to_vec(), not_before, not_after, dns, addresses })
}

fn alternative_names(mut fields: Fields<'_>) -> Option<(Vec<String>, Vec<IpAddr>)> {
    let mut extensions = Fields(Fields(fields.take(EXTENSIONS)?).take(SEQUENCE)?);
    loop {
        let mut extension = Fields(extensions.take(SEQUENCE)?);
        if extension.take(OBJECT_ID)? != SUBJECT_ALT_NAME {
            continue;
        }
        // Between the two there may be a word on whether it is critical.
        let value = std::iter::from_fn(|| extension.next()).find(|(tag, _)| *tag == OCTET_STRING)?;
        let names = Fields(Fields(value.1).take(SEQUENCE)?);
        return Some(hosts(names));
    }
}

fn hosts(mut names: Fields<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    while let Some((tag, name)) = names.next() {
        match tag {
            DNS_NAME => dns.push(String::from_utf8_lossy(name).into_owned()),
            IP_ADDRESS => addresses.extend(address(name)),
            _ => {}
        }
    }
    (dns, addresses)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on (RFC 5280, section 4.1.2.5).
fn moment((tag, text): (u8, &[u8])) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == GENERALIZED_TIME { 4 } else { 2 })?;
    let year: i32 = year.parse().ok()?;
    let year = match tag {
        GENERALIZED_TIME => year,
        UTC_TIME if year < 50 => 2000 + year,
        UTC_TIME => 1900 + year,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    let seconds = OffsetDateTime::new_utc(date, time).unix_timestamp();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// One field after another: tag, length, value.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, value)| value)
    }

    fn skip_if(&mut self, wanted: u8) -> Option<()> {
        if self.0.first() == Some(&wanted) { self.next().map(drop) } else { Some(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        let seconds = |tag, text: &str| {
            moment((tag, text.as_bytes()))?.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
        };
        assert_eq!(seconds(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(seconds(UTC_TIME, "261127060000Z"), Some(1_795_759_200));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        for wrong in ["", "Z", "261127060000", "261327060000Z", "26112706000\u{e9}Z", "491"] {
            assert_eq!(seconds(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_length_beyond_the_bytes_gives_nothing() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x05, 0x02], &[0x30, 0x84, 0, 0, 0, 1, 0], &[0x30, 0x82, 1]] {
            assert_eq!(Fields(bytes).next(), None, "{bytes:?}");
        }
    }
}
