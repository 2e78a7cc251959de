//! Settings that can change an outcome. They are entries in the log, not a node's configuration: every node must decide
//! the same way, and a replayed log must decide as it did then.
//!
//! A change names the version that it replaces, so a repeated change is found out by its version instead of an id.

use crate::currency::Currency;
use crate::money::Amount;

/// One change of one setting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SettingChange {
    /// The most that one transfer or hold of that currency may move; `None` lifts the limit.
    TransferLimit { currency: Currency, limit: Option<Amount> },
    /// The most that one customer's account in that currency may be debited on one UTC day of the ledger's time (see
    /// [`crate::day`]); `None` lifts the limit. What the day has seen before the change counts.
    DailyDebitLimit { currency: Currency, limit: Option<Amount> },
}

/// A change that was made: its place in the journal answers a repetition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SettingEntry {
    pub change: SettingChange,
    pub time_ms: u64,
    pub place: u64,
}

/// All changes in order; the version is their number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    entries: Vec<SettingEntry>,
    transfer_limits: Limits,
    daily_debit_limits: Limits,
}

/// Limits in force, sorted by currency: few, and looked up by every transfer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Limits(Vec<(Currency, Amount)>);

impl Settings {
    /// The version that the next change must name; 0 before the first change.
    pub fn version(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The change that replaced that version.
    pub fn entry(&self, replaced_version: u64) -> Option<&SettingEntry> {
        self.entries.get(usize::try_from(replaced_version).ok()?)
    }

    /// Every change, oldest first.
    pub fn entries(&self) -> &[SettingEntry] {
        &self.entries
    }

    /// The most that one transfer of that currency may move now.
    pub fn transfer_limit(&self, currency: Currency) -> Option<Amount> {
        self.transfer_limits.of(currency)
    }

    /// The most that one customer's account in that currency may be debited on one day now.
    pub fn daily_debit_limit(&self, currency: Currency) -> Option<Amount> {
        self.daily_debit_limits.of(currency)
    }

    /// Every limit of a transfer, by currency.
    pub fn transfer_limits(&self) -> impl Iterator<Item = (Currency, Amount)> {
        self.transfer_limits.0.iter().copied()
    }

    /// Every limit of what one customer can be debited on one day, by currency.
    pub fn daily_debit_limits(&self) -> impl Iterator<Item = (Currency, Amount)> {
        self.daily_debit_limits.0.iter().copied()
    }

    pub(crate) fn push(&mut self, entry: SettingEntry) {
        self.put_in_force(entry.change);
        self.entries.push(entry);
    }

    /// Takes the newest change back. Changes are rare, so the limits are simply made anew.
    #[expect(clippy::expect_used, reason = "only a change that was made in this request is taken back")]
    pub(crate) fn pop(&mut self) {
        self.entries.pop().expect("only a change that was made is taken back");
        self.transfer_limits.0.clear();
        self.daily_debit_limits.0.clear();
        for at in 0..self.entries.len() {
            self.put_in_force(self.entries[at].change);
        }
    }

    fn put_in_force(&mut self, change: SettingChange) {
        match change {
            SettingChange::TransferLimit { currency, limit } => self.transfer_limits.put(currency, limit),
            SettingChange::DailyDebitLimit { currency, limit } => self.daily_debit_limits.put(currency, limit),
        }
    }
}

impl Limits {
    fn of(&self, currency: Currency) -> Option<Amount> {
        if self.0.is_empty() {
            return None;
        }
        let at = self.0.binary_search_by_key(&currency, |(limited, _)| *limited).ok()?;
        Some(self.0[at].1)
    }

    fn put(&mut self, currency: Currency, limit: Option<Amount>) {
        let found = self.0.binary_search_by_key(&currency, |(limited, _)| *limited);
        match (found, limit) {
            (Ok(at), Some(limit)) => self.0[at].1 = limit,
            (Ok(at), None) => drop(self.0.remove(at)),
            (Err(at), Some(limit)) => self.0.insert(at, (currency, limit)),
            (Err(_), None) => {}
        }
    }
}

/// Bytes of a change wherever it is stored or sent: kind, currency, limit (zero for none).
pub(crate) const CHANGE_BYTES: usize = 15;

/// Numbers of the kinds. They are in journals and logs: keep them stable.
mod kind {
    pub(super) const TRANSFER_LIMIT: u8 = 1;
    pub(super) const DAILY_DEBIT_LIMIT: u8 = 2;
}

impl SettingChange {
    pub(crate) fn to_bytes(self) -> [u8; CHANGE_BYTES] {
        let (kind, currency, limit) = match self {
            SettingChange::TransferLimit { currency, limit } => (kind::TRANSFER_LIMIT, currency, limit),
            SettingChange::DailyDebitLimit { currency, limit } => (kind::DAILY_DEBIT_LIMIT, currency, limit),
        };
        let mut bytes = [0; CHANGE_BYTES];
        bytes[0] = kind;
        bytes[1..3].copy_from_slice(&currency.number().to_le_bytes());
        bytes[3..].copy_from_slice(&limit.map_or([0; 12], Amount::to_bytes));
        bytes
    }

    #[expect(clippy::expect_used, reason = "a slice of twelve bytes is twelve bytes")]
    pub(crate) fn from_bytes(bytes: &[u8; CHANGE_BYTES]) -> Option<SettingChange> {
        let currency = Currency::from_number(u16::from_le_bytes([bytes[1], bytes[2]]))?;
        let limit: [u8; 12] = bytes[3..].try_into().expect("twelve bytes of fifteen");
        let limit = if limit == [0; 12] { None } else { Some(Amount::from_bytes(limit)?) };
        match bytes[0] {
            kind::TRANSFER_LIMIT => Some(SettingChange::TransferLimit { currency, limit }),
            kind::DAILY_DEBIT_LIMIT => Some(SettingChange::DailyDebitLimit { currency, limit }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(minor: u128) -> SettingChange {
        SettingChange::TransferLimit { currency: Currency::EUR, limit: Amount::new(minor) }
    }

    fn entry(change: SettingChange) -> SettingEntry {
        SettingEntry { change, time_ms: 0, place: 0 }
    }

    #[test]
    fn the_newest_limit_counts_and_can_be_taken_back() {
        let mut settings = Settings::default();
        for minor in [100, 50, 0] {
            settings.push(entry(limit(minor)));
        }
        assert_eq!(settings.transfer_limit(Currency::EUR), None);
        settings.pop();
        assert_eq!(settings.transfer_limit(Currency::EUR), Amount::new(50));
        assert_eq!(settings.version(), 2);
    }

    #[test]
    fn each_kind_of_limit_stands_by_itself() {
        let daily = |minor| SettingChange::DailyDebitLimit { currency: Currency::EUR, limit: Amount::new(minor) };
        let mut settings = Settings::default();
        for change in [limit(100), daily(70), limit(0), daily(60)] {
            settings.push(entry(change));
        }
        assert_eq!(settings.transfer_limit(Currency::EUR), None);
        assert_eq!(settings.daily_debit_limit(Currency::EUR), Amount::new(60));
        let yen = Currency::from_code("JPY").expect("in the table");
        assert_eq!(settings.daily_debit_limit(yen), None);
        settings.pop();
        settings.pop();
        assert_eq!(settings.transfer_limit(Currency::EUR), Amount::new(100));
        assert_eq!(settings.daily_debit_limit(Currency::EUR), Amount::new(70));
        settings.pop();
        settings.pop();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn changes_are_stored_by_stable_bytes() {
        let bytes = [1, 0xd2, 0x03, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(limit(100).to_bytes(), bytes);
        assert_eq!(SettingChange::from_bytes(&bytes), Some(limit(100)));
        assert_eq!(SettingChange::from_bytes(&limit(0).to_bytes()), Some(limit(0)));
        let mut daily = bytes;
        daily[0] = 2;
        let change = SettingChange::DailyDebitLimit { currency: Currency::EUR, limit: Amount::new(100) };
        assert_eq!((change.to_bytes(), SettingChange::from_bytes(&daily)), (daily, Some(change)));
        for kind in [0, 3] {
            let mut unknown = bytes;
            unknown[0] = kind;
            assert_eq!(SettingChange::from_bytes(&unknown), None);
        }
    }
}
