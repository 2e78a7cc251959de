//! The currencies of ISO 4217: three letters, a number, and how many decimals the minor unit has.
//!
//! The table lists every current code that has a minor unit. Codes without one (gold, special drawing rights, test codes)
//! cannot count money in whole minor units and are left out on purpose. A currency is stored by its ISO number, which the
//! standard never gives to another currency within living memory; the position in the table is not stored anywhere.

use std::fmt;

/// A currency of ISO 4217 that this program can count in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(u8);

struct Row {
    code: &'static str,
    number: u16,
    exponent: u8,
}

const fn row(code: &'static str, number: u16, exponent: u8) -> Row {
    Row { code, number, exponent }
}

impl Currency {
    /// The euro, the default of every call that names no currency.
    pub const EUR: Currency = match Currency::from_number(978) {
        Some(euro) => euro,
        None => panic!("the table has the euro"),
    };

    /// The currency of a three-letter code in capitals.
    #[expect(clippy::expect_used, reason = "the table is shorter than 255 rows")]
    pub fn from_code(code: &str) -> Option<Currency> {
        let at = TABLE.binary_search_by(|row| row.code.cmp(code)).ok()?;
        Some(Currency(u8::try_from(at).expect("the table is shorter than 255 rows")))
    }

    /// The currency of an ISO 4217 number.
    pub const fn from_number(number: u16) -> Option<Currency> {
        if number >= 1000 {
            return None;
        }
        match BY_NUMBER[number as usize] {
            NONE => None,
            at => Some(Currency(at)),
        }
    }

    /// The three-letter code, `EUR`.
    pub fn code(self) -> &'static str {
        TABLE[usize::from(self.0)].code
    }

    /// The ISO number, below 1000; stored and sent, so stable.
    pub fn number(self) -> u16 {
        TABLE[usize::from(self.0)].number
    }

    /// How many decimals the minor unit has: 2 for the euro, 0 for the yen.
    pub fn exponent(self) -> u8 {
        TABLE[usize::from(self.0)].exponent
    }

    /// Every currency, by code.
    #[expect(clippy::expect_used, reason = "the table is shorter than 255 rows")]
    pub fn all() -> impl Iterator<Item = Currency> {
        (0..TABLE.len()).map(|at| Currency(u8::try_from(at).expect("the table is shorter than 255 rows")))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

const NONE: u8 = u8::MAX;

/// Row of each ISO number, so that decoding a currency is one load.
static BY_NUMBER: [u8; 1000] = {
    let mut rows = [NONE; 1000];
    let mut at = 0;
    while at < TABLE.len() {
        assert!(rows[TABLE[at].number as usize] == NONE, "two currencies share a number");
        rows[TABLE[at].number as usize] = at as u8;
        at += 1;
    }
    rows
};

/// ISO 4217, list one, sorted by code.
#[rustfmt::skip]
static TABLE: [Row; 165] = [
    row("AED", 784, 2), row("AFN", 971, 2), row("ALL", 8, 2), row("AMD", 51, 2), row("AOA", 973, 2),
    row("ARS", 32, 2), row("AUD", 36, 2), row("AWG", 533, 2), row("AZN", 944, 2), row("BAM", 977, 2),
    row("BBD", 52, 2), row("BDT", 50, 2), row("BHD", 48, 3), row("BIF", 108, 0), row("BMD", 60, 2),
    row("BND", 96, 2), row("BOB", 68, 2), row("BOV", 984, 2), row("BRL", 986, 2), row("BSD", 44, 2),
    row("BTN", 64, 2), row("BWP", 72, 2), row("BYN", 933, 2), row("BZD", 84, 2), row("CAD", 124, 2),
    row("CDF", 976, 2), row("CHE", 947, 2), row("CHF", 756, 2), row("CHW", 948, 2), row("CLF", 990, 4),
    row("CLP", 152, 0), row("CNY", 156, 2), row("COP", 170, 2), row("COU", 970, 2), row("CRC", 188, 2),
    row("CUP", 192, 2), row("CVE", 132, 2), row("CZK", 203, 2), row("DJF", 262, 0), row("DKK", 208, 2),
    row("DOP", 214, 2), row("DZD", 12, 2), row("EGP", 818, 2), row("ERN", 232, 2), row("ETB", 230, 2),
    row("EUR", 978, 2), row("FJD", 242, 2), row("FKP", 238, 2), row("GBP", 826, 2), row("GEL", 981, 2),
    row("GHS", 936, 2), row("GIP", 292, 2), row("GMD", 270, 2), row("GNF", 324, 0), row("GTQ", 320, 2),
    row("GYD", 328, 2), row("HKD", 344, 2), row("HNL", 340, 2), row("HTG", 332, 2), row("HUF", 348, 2),
    row("IDR", 360, 2), row("ILS", 376, 2), row("INR", 356, 2), row("IQD", 368, 3), row("IRR", 364, 2),
    row("ISK", 352, 0), row("JMD", 388, 2), row("JOD", 400, 3), row("JPY", 392, 0), row("KES", 404, 2),
    row("KGS", 417, 2), row("KHR", 116, 2), row("KMF", 174, 0), row("KPW", 408, 2), row("KRW", 410, 0),
    row("KWD", 414, 3), row("KYD", 136, 2), row("KZT", 398, 2), row("LAK", 418, 2), row("LBP", 422, 2),
    row("LKR", 144, 2), row("LRD", 430, 2), row("LSL", 426, 2), row("LYD", 434, 3), row("MAD", 504, 2),
    row("MDL", 498, 2), row("MGA", 969, 2), row("MKD", 807, 2), row("MMK", 104, 2), row("MNT", 496, 2),
    row("MOP", 446, 2), row("MRU", 929, 2), row("MUR", 480, 2), row("MVR", 462, 2), row("MWK", 454, 2),
    row("MXN", 484, 2), row("MXV", 979, 2), row("MYR", 458, 2), row("MZN", 943, 2), row("NAD", 516, 2),
    row("NGN", 566, 2), row("NIO", 558, 2), row("NOK", 578, 2), row("NPR", 524, 2), row("NZD", 554, 2),
    row("OMR", 512, 3), row("PAB", 590, 2), row("PEN", 604, 2), row("PGK", 598, 2), row("PHP", 608, 2),
    row("PKR", 586, 2), row("PLN", 985, 2), row("PYG", 600, 0), row("QAR", 634, 2), row("RON", 946, 2),
    row("RSD", 941, 2), row("RUB", 643, 2), row("RWF", 646, 0), row("SAR", 682, 2), row("SBD", 90, 2),
    row("SCR", 690, 2), row("SDG", 938, 2), row("SEK", 752, 2), row("SGD", 702, 2), row("SHP", 654, 2),
    row("SLE", 925, 2), row("SOS", 706, 2), row("SRD", 968, 2), row("SSP", 728, 2), row("STN", 930, 2),
    row("SVC", 222, 2), row("SYP", 760, 2), row("SZL", 748, 2), row("THB", 764, 2), row("TJS", 972, 2),
    row("TMT", 934, 2), row("TND", 788, 3), row("TOP", 776, 2), row("TRY", 949, 2), row("TTD", 780, 2),
    row("TWD", 901, 2), row("TZS", 834, 2), row("UAH", 980, 2), row("UGX", 800, 0), row("USD", 840, 2),
    row("USN", 997, 2), row("UYI", 940, 0), row("UYU", 858, 2), row("UYW", 927, 4), row("UZS", 860, 2),
    row("VED", 926, 2), row("VES", 928, 2), row("VND", 704, 0), row("VUV", 548, 0), row("WST", 882, 2),
    row("XAD", 396, 2), row("XAF", 950, 0), row("XCD", 951, 2), row("XCG", 532, 2), row("XOF", 952, 0),
    row("XPF", 953, 0), row("YER", 886, 2), row("ZAR", 710, 2), row("ZMW", 967, 2), row("ZWG", 924, 2),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_every_code_and_number_finds_its_own_row() {
        for currency in Currency::all() {
            assert_eq!(Currency::from_code(currency.code()), Some(currency));
            assert_eq!(Currency::from_number(currency.number()), Some(currency));
        }
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn decimals_follow_the_standard() {
        let decimals = |code: &str| Currency::from_code(code).map(Currency::exponent);
        let cases = [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0), ("TND", 3), ("UYW", 4), ("USD", 2)];
        for (code, expected) in cases {
            assert_eq!(decimals(code), Some(expected), "{code}");
        }
    }

    #[test]
    fn what_has_no_minor_unit_or_is_withdrawn_or_not_in_capitals_is_no_currency() {
        for code in ["XAU", "XDR", "XXX", "XTS", "DEM", "HRK", "eur", "EU", "EURO", ""] {
            assert_eq!(Currency::from_code(code), None, "{code}");
        }
        for number in [0, 1, 280, 959, 999, 1000, u16::MAX] {
            assert_eq!(Currency::from_number(number), None, "{number}");
        }
    }
}
