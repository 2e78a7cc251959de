//! What a bank loses by its restore: read from its old files, told apart by what the gateway knows, and written to a file.
//!
//! ```text
//!   DIR/alpha/2/journal      what was booked after the copy ─┐
//!   DIR/gateway/1/journal    which payments are known there ─┴─►  DIR/alpha.lost-2.jsonl
//! ```
//!
//! A payment that the gateway has decided comes back: the gateway brings it. What the bank booked by itself (deposits,
//! withdrawals, transfers, accounts, customers) does not, nor its word that an id moves nothing: what was voided or refused for
//! good may be booked from then on. Old files are only read. In memory are the ids of payments that the
//! gateway may know, 16 bytes each; everything else goes from file to file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use api::json::LimitKind;
use clearing::Verdict;
use ledger::{
    Body, Currency, Effect, Internal, LineKind, Movement, Record, Rejected, SettingChange, TransferId, money,
};
use serde_json::{Value, json};
use storage::{Identity, RealDisk};

use super::super::init::load_identity;
use super::directories;
use crate::failure::{Code, Failure};
use crate::logging::rfc3339;

/// What becomes of something that the old files hold and the restored bank does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Only this bank knew of it.
    Lost,
    /// The gateway's files could not be read: it may be a payment, which comes back.
    Unknown,
    /// The gateway has not decided it: it asks the bank again.
    AskedAgain,
    /// The gateway has decided that it is paid, and brings it.
    ComesBack,
}

impl Fate {
    pub(super) const ALL: [Fate; 4] = [Fate::Lost, Fate::Unknown, Fate::AskedAgain, Fate::ComesBack];

    pub(super) fn text(self) -> &'static str {
        match self {
            Fate::Lost => "lost",
            Fate::Unknown => "unknown",
            Fate::AskedAgain => "asked_again",
            Fate::ComesBack => "comes_back",
        }
    }
}

/// What kind of booking moved money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Deposit,
    Withdrawal,
    Transfer,
    /// The bank's half of a payment between banks.
    Payment,
}

impl Kind {
    pub(super) fn text(self) -> &'static str {
        match self {
            Kind::Deposit => "deposit",
            Kind::Withdrawal => "withdrawal",
            Kind::Transfer => "transfer",
            Kind::Payment => "payment",
        }
    }

    fn of(movement: &Movement) -> Kind {
        let is_vault = |account: ledger::AccountId| matches!(account.internal(), Some((Internal::Vault, _)));
        match (is_vault(movement.debit), is_vault(movement.credit)) {
            (true, _) => Kind::Deposit,
            (false, true) => Kind::Withdrawal,
            (false, false) => Kind::Transfer,
        }
    }
}

/// The bank's word, for good, that an id moves and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    /// Nobody had used the id, and somebody asked that nothing ever come of it.
    Voided,
    Refused,
}

impl Promise {
    pub(super) fn text(self) -> &'static str {
        match self {
            Promise::Voided => "voided",
            Promise::Refused => "refused",
        }
    }
}

/// How much of what kind, in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) minor: u128,
}

/// What the file holds, in short.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) money: BTreeMap<(Fate, Currency, Kind), Sum>,
    /// Ids that were promised to move nothing.
    pub(super) promises: BTreeMap<(Fate, Promise), u64>,
    /// Accounts, customers, passwords, locks and settings.
    pub(super) others: u64,
    /// The largest amounts that are lost, of each currency the largest first.
    pub(super) largest: Vec<(u64, Movement)>,
    /// At so many the smaller ones are left out again.
    sorted_out_at: usize,
}

/// What a restored group lacks.
#[derive(Debug)]
pub(super) enum Lost {
    Listed {
        sums: Sums,
        file: PathBuf,
    },
    Untold(String),
    /// Payments are in the banks' books: what a gateway loses it hears of again when somebody asks.
    OfGateway,
}

/// Lost amounts that are shown one by one; the file has all.
const SHOWN: usize = 20;

/// One node's old journal, from the place on where the copy ends.
struct Journal {
    dir: PathBuf,
    owner: storage::Owner,
    from: u64,
}

impl Journal {
    /// Of several nodes the one whose journal reaches furthest.
    fn furthest(place: &Path, cluster: u128, from: u64) -> Option<Journal> {
        let mut best: Option<(u64, Journal)> = None;
        for dir in directories(place).unwrap_or_default() {
            let Ok(identity) = load_identity(&dir) else { continue };
            let journal = Journal { owner: identity.owner(), dir, from };
            let Ok(end) = journal.each(|_| {}) else { continue };
            if identity.cluster == cluster && best.as_ref().is_none_or(|(furthest, _)| end > *furthest) {
                best = Some((end, journal));
            }
        }
        best.map(|(_, journal)| journal)
    }

    fn each(&self, mut look: impl FnMut(&storage::JournalRecord)) -> Result<u64, storage::StorageError> {
        storage::leftovers(&RealDisk, &self.dir, self.owner, self.from, |_, record| look(record))
    }
}

/// Where the old files of a bank and of its gateway are.
pub(super) struct OldFiles<'a> {
    pub(super) bank: &'a Path,
    pub(super) identity: &'a Identity,
    /// How many records the restored bank has.
    pub(super) records: u64,
    pub(super) gateway: Gateway,
}

/// Who can tell which payments come back.
pub(super) enum Gateway {
    /// Its nodes' directories, and its cluster.
    At(PathBuf, u128),
    /// Nothing comes back to a bank by itself.
    None,
}

/// Lists what is lost in a new file at `to`, what is lost for good first.
///
/// # Errors
/// When the file cannot be written. Nothing else was changed by then.
pub(super) fn list(old: &OldFiles<'_>, to: PathBuf) -> Result<Lost, Failure> {
    let Some(journal) = Journal::furthest(old.bank, old.identity.cluster, old.records) else {
        return Ok(Lost::Untold("its old files are gone".to_owned()));
    };
    let known = known_to(&old.gateway, &journal)?;
    let writing = |error: io::Error| {
        Failure::new(format!("writing what is lost to {}: {error}", to.display()))
            .line("nothing was changed; make room, or name another --dir, and restore again")
            .with_code(Code::Disk)
    };
    let file = File::options().write(true).create_new(true).mode(0o600).open(&to).map_err(writing)?;
    let mut out = BufWriter::new(file);
    let mut sums = Sums::default();
    for fate in Fate::ALL {
        write_money(&journal, &known, fate, (&mut out, &mut sums))
            .map_err(|error| error.map_or_else(reading, writing))?;
        write_promises(&journal, &known, fate, (&mut out, &mut sums))
            .map_err(|error| error.map_or_else(reading, writing))?;
        if fate == Fate::Lost {
            write_others(&journal, &mut out, &mut sums).map_err(|error| error.map_or_else(reading, writing))?;
        }
    }
    out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()).map_err(writing)?;
    Ok(Lost::Listed { sums, file: to })
}

fn reading() -> Failure {
    Failure::new("the old files could be read a moment ago and cannot be read now").with_code(Code::Disk)
}

/// What the gateway says of ids that a payment may have. Without its files nobody can say.
enum Known {
    All(HashMap<u128, Fate>),
    Nothing,
    /// There is no gateway.
    NoGateway,
}

impl Known {
    fn fate(&self, id: TransferId, kind: Kind) -> Fate {
        match (self, kind) {
            // Only a bank's own calls move money in or out of its vault by a transfer.
            (_, Kind::Deposit | Kind::Withdrawal) | (Known::NoGateway, _) => Fate::Lost,
            (Known::Nothing, Kind::Transfer | Kind::Payment) => Fate::Unknown,
            (Known::All(known), Kind::Transfer | Kind::Payment) => known.get(&id.get()).copied().unwrap_or(Fate::Lost),
        }
    }

    /// None for what the gateway has in its own log: it lets nobody else use the id.
    fn fate_of(&self, promised: &Promised) -> Option<Fate> {
        let fate = promised.kind.map_or(Fate::Lost, |kind| self.fate(promised.id, kind));
        matches!(fate, Fate::Lost | Fate::Unknown).then_some(fate)
    }
}

fn known_to(gateway: &Gateway, journal: &Journal) -> Result<Known, Failure> {
    let Gateway::At(place, cluster) = gateway else { return Ok(Known::NoGateway) };
    let Some(gateways) = Journal::furthest(place, *cluster, 0) else { return Ok(Known::Nothing) };
    // Of all payments that there ever were only those are kept in mind that this bank lacks.
    let mut known: HashMap<u128, Fate> = HashMap::new();
    let looked = journal.each(|record| {
        if let Some((_, movement, Kind::Transfer | Kind::Payment)) = money_of(record) {
            known.insert(movement.id.get(), Fate::Lost);
        }
        if let Some(Promised { id, kind: Some(Kind::Transfer | Kind::Payment), .. }) = promised_by(record) {
            known.insert(id.get(), Fate::Lost);
        }
    });
    looked.map_err(|_| reading())?;
    let mut note = |id: u128, fate: Fate| {
        known.entry(id).and_modify(|known| *known = (*known).max(fate));
    };
    let looked = gateways.each(|record| match clearing::Record::decode(record).map(|record| record.body) {
        Ok(clearing::Body::PaymentTaken(taken)) => note(taken.order.id.get(), Fate::AskedAgain),
        Ok(clearing::Body::PaymentDecided(decided)) if decided.verdict == Verdict::Post => {
            note(decided.id.get(), Fate::ComesBack);
        }
        Ok(_) | Err(_) => {}
    });
    looked.map_err(|_| reading())?;
    Ok(Known::All(known))
}

/// A record that moved money for good: when, what, and how.
fn money_of(record: &storage::JournalRecord) -> Option<(u64, Movement, Kind)> {
    let record = Record::decode(record).ok()?;
    let Effect { kind, movement, .. } = record.effect()?;
    let kind = match kind {
        LineKind::Transfer => Kind::of(movement),
        LineKind::HoldPosted => Kind::Payment,
        LineKind::HoldPlaced | LineKind::HoldVoided => return None,
    };
    Some((record.time_ms, *movement, kind))
}

/// `None` is an error of reading.
type Trouble = Option<io::Error>;

fn write_money(
    journal: &Journal,
    known: &Known,
    wanted: Fate,
    (out, sums): (&mut impl Write, &mut Sums),
) -> Result<(), Trouble> {
    let mut written = Ok(());
    let read = journal.each(|record| {
        let Some((time_ms, movement, kind)) = money_of(record) else { return };
        if known.fate(movement.id, kind) != wanted || written.is_err() {
            return;
        }
        let sum = sums.money.entry((wanted, movement.currency, kind)).or_default();
        sum.count += 1;
        sum.minor = sum.minor.saturating_add(movement.amount.minor());
        if wanted == Fate::Lost {
            sums.note_large(time_ms, movement);
        }
        written = line(out, &movement_line(wanted, kind, time_ms, &movement));
    });
    written.map_err(Some)?;
    read.map(drop).map_err(|_| None)
}

/// An id that was promised to move nothing.
struct Promised {
    id: TransferId,
    promise: Promise,
    /// As what it would have moved money; none for what moves none.
    kind: Option<Kind>,
    time_ms: u64,
    /// What was ordered, as far as the record tells it, and why it was refused.
    order: Value,
}

fn promised_by(record: &storage::JournalRecord) -> Option<Promised> {
    let Record { time_ms, body, .. } = Record::decode(record).ok()?;
    let why = |rejection: &Rejected| Rejected::words_of(rejection.code()).unwrap_or_default();
    let refused = |movement: &Movement, rejection: &Rejected| {
        let mut order = ordered(movement);
        order["reason"] = json!(why(rejection));
        order
    };
    let (id, promise, kind, order) = match &body {
        // Whose it was is not kept: perhaps a payment's.
        Body::Tombstone { id } => {
            (*id, Promise::Voided, Some(Kind::Transfer), json!({ "transfer_id": id.to_string() }))
        }
        Body::TransferRejected { movement, rejection } => {
            (movement.id, Promise::Refused, Some(Kind::of(movement)), refused(movement, rejection))
        }
        Body::HoldRejected { movement, rejection, .. } => {
            (movement.id, Promise::Refused, Some(Kind::Payment), refused(movement, rejection))
        }
        Body::CloseRejected { id, rejection, .. }
        | Body::SecretRejected { id, rejection, .. }
        | Body::LockRejected { id, rejection, .. } => {
            (*id, Promise::Refused, None, json!({ "id": id.to_string(), "reason": why(rejection) }))
        }
        _ => return None,
    };
    Some(Promised { id, promise, kind, time_ms, order })
}

fn write_promises(
    journal: &Journal,
    known: &Known,
    wanted: Fate,
    (out, sums): (&mut impl Write, &mut Sums),
) -> Result<(), Trouble> {
    let mut written = Ok(());
    let read = journal.each(|record| {
        let promised = promised_by(record).filter(|promised| known.fate_of(promised) == Some(wanted));
        let Some(Promised { promise, time_ms, order, .. }) = promised.filter(|_| written.is_ok()) else { return };
        *sums.promises.entry((wanted, promise)).or_default() += 1;
        written = line(out, &with_head((wanted, promise.text(), time_ms), order));
    });
    written.map_err(Some)?;
    read.map(drop).map_err(|_| None)
}

/// What has no amount and is lost all the same.
fn write_others(journal: &Journal, out: &mut impl Write, sums: &mut Sums) -> Result<(), Trouble> {
    let mut written = Ok(());
    let read = journal.each(|record| {
        let Ok(Record { time_ms, body, .. }) = Record::decode(record) else { return };
        let Some(other) = other_line(time_ms, &body).filter(|_| written.is_ok()) else { return };
        sums.others += 1;
        written = line(out, &other);
    });
    written.map_err(Some)?;
    read.map(drop).map_err(|_| None)
}

fn line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value}")
}

fn movement_line(fate: Fate, kind: Kind, time_ms: u64, movement: &Movement) -> Value {
    with_head((fate, kind.text(), time_ms), ordered(movement))
}

/// A line: what became of it, what it is, when it was, and the rest.
fn with_head((fate, kind, time_ms): (Fate, &str, u64), mut rest: Value) -> Value {
    let mut line = json!({ "fate": fate.text(), "kind": kind, "time": time(time_ms) });
    if let (Some(into), Some(from)) = (line.as_object_mut(), rest.as_object_mut()) {
        into.append(from);
    }
    line
}

fn ordered(movement: &Movement) -> Value {
    let Movement { id, debit, credit, amount, currency, reference } = movement;
    json!({
        "transfer_id": id.to_string(),
        "amount": money::format(amount.minor(), *currency),
        "currency": currency.code(),
        "debit": debit.to_string(),
        "credit": credit.to_string(),
        "reference": reference.as_str(),
    })
}

/// Holds, fences and notes are not listed: none of them moves money by itself. Promises have lines of their own.
fn other_line(time_ms: u64, body: &Body) -> Option<Value> {
    let (kind, what) = match body {
        Body::AccountOpened { account, owner, currency, .. } => {
            let (account, owner) = (account.to_string(), owner.as_str());
            ("account_opened", json!({ "account": account, "owner": owner, "currency": currency.code() }))
        }
        Body::AccountClosed { account, .. } => ("account_closed", json!({ "account": account.to_string() })),
        Body::CustomerAdded { name, currency, .. } => {
            ("customer_added", json!({ "customer": name.as_str(), "currency": currency.code() }))
        }
        Body::SecretChanged { name, .. } => ("password_changed", json!({ "customer": name.as_str() })),
        Body::LockChanged { name, locked, .. } => {
            ("lock_changed", json!({ "customer": name.as_str(), "locked": locked }))
        }
        Body::SettingChanged { change, .. } => ("setting_changed", setting(change)),
        Body::TransferPosted { .. }
        | Body::HoldPlaced { .. }
        | Body::HoldPosted { .. }
        | Body::HoldVoided { .. }
        | Body::Tombstone { .. }
        | Body::HoldNoted { .. }
        | Body::FenceRaised { .. }
        | Body::KeyClaimed { .. }
        | Body::OpenRejected { .. }
        | Body::CloseRejected { .. }
        | Body::TransferRejected { .. }
        | Body::HoldRejected { .. }
        | Body::PostHoldRejected { .. }
        | Body::VoidHoldRejected { .. }
        | Body::VoidTransferRejected { .. }
        | Body::SettingRejected { .. }
        | Body::CustomerRejected { .. }
        | Body::SecretRejected { .. }
        | Body::LockRejected { .. } => return None,
    };
    Some(with_head((Fate::Lost, kind, time_ms), what))
}

/// With the names that `POST /v1/limits` has: whoever reads the list can set it again. An amount of null means no limit.
fn setting(change: &SettingChange) -> Value {
    let (name, currency, limit) = match change {
        SettingChange::TransferLimit { currency, limit } => (LimitKind::Transfer, currency, limit),
        SettingChange::DailyDebitLimit { currency, limit } => (LimitKind::DailyDebit, currency, limit),
    };
    let amount = limit.map(|limit| money::format(limit.minor(), *currency));
    json!({ "limit": name, "amount": amount, "currency": currency.code() })
}

pub(super) fn time(ms: u64) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_millis(ms))
}

impl Sums {
    fn note_large(&mut self, time_ms: u64, movement: Movement) {
        self.largest.push((time_ms, movement));
        if self.largest.len() >= self.sorted_out_at {
            self.largest = self.shown();
            self.sorted_out_at = self.largest.len() + SHOWN;
        }
    }

    /// The largest lost amounts of each currency, the largest first.
    pub(super) fn shown(&self) -> Vec<(u64, Movement)> {
        let mut all = self.largest.clone();
        all.sort_by_key(|(time, movement)| (movement.currency, std::cmp::Reverse(movement.amount), *time));
        all.chunk_by(|one, other| one.1.currency == other.1.currency)
            .flat_map(|own| own.iter().take(SHOWN))
            .copied()
            .collect()
    }

    /// Of one fate: how much of each currency and kind.
    pub(super) fn of(&self, wanted: Fate) -> impl Iterator<Item = (Currency, Kind, Sum)> + '_ {
        let of = self.money.iter().filter(move |((fate, ..), _)| *fate == wanted);
        of.map(|((_, currency, kind), sum)| (*currency, *kind, *sum))
    }

    pub(super) fn count(&self, wanted: Fate) -> u64 {
        self.of(wanted).map(|(_, _, sum)| sum.count).sum()
    }

    /// Of one fate: how much of each currency, over all kinds.
    pub(super) fn by_currency(&self, wanted: Fate) -> BTreeMap<Currency, Sum> {
        let mut all: BTreeMap<Currency, Sum> = BTreeMap::new();
        for (currency, _, Sum { count, minor }) in self.of(wanted) {
            let sum = all.entry(currency).or_default();
            sum.count += count;
            sum.minor = sum.minor.saturating_add(minor);
        }
        all
    }
}

/// `12.50 EUR`. A sum may be larger than any amount.
pub(super) fn amount(sum: Sum, currency: Currency) -> String {
    format!("{} {}", money::format(sum.minor, currency), currency.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use ledger::record::{Flags, Side};
    use ledger::{AccountId, Amount, Balances, Placer, Reference};

    fn record(body: Body) -> storage::JournalRecord {
        Record { time_ms: 5, slot: 1, place: 1, body }.encode()
    }

    fn movement(id: u128, debit: AccountId) -> Movement {
        let credit = AccountId::new(8 << 64).expect("not nil");
        let (id, amount) = (TransferId::new(id).expect("not nil"), Amount::new(12_50).expect("not zero"));
        Movement { id, debit, credit, amount, currency: Currency::EUR, reference: Reference::EMPTY }
    }

    #[test]
    fn a_lost_setting_is_told_with_the_names_under_which_it_is_set_again() {
        let (currency, limit) = (Currency::EUR, Amount::new(700_000_00));
        let daily = SettingChange::DailyDebitLimit { currency, limit };
        let told = json!({ "limit": "daily_debit", "amount": "700000.00", "currency": "EUR" });
        assert_eq!(setting(&daily), told);
        let lifted = SettingChange::TransferLimit { currency, limit: None };
        assert_eq!(setting(&lifted), json!({ "limit": "transfer", "amount": null, "currency": "EUR" }));
    }

    #[test]
    fn what_was_voided_or_refused_for_good_is_a_promise_that_is_lost_unless_the_gateway_keeps_it() {
        let id = |number| TransferId::new(number).expect("not nil");
        let (rejection, placer) = (Rejected::BooksFull, Placer::named("gateway"));
        let (own, vault) = (AccountId::new(7 << 64).expect("not nil"), AccountId::vault(Currency::EUR));
        let deposit = Body::TransferRejected { movement: movement(3, vault), rejection };
        let rows = [
            (Body::Tombstone { id: id(1) }, Promise::Voided, [Some(Fate::Lost), Some(Fate::Unknown), None]),
            (
                Body::TransferRejected { movement: movement(2, own), rejection },
                Promise::Refused,
                [Some(Fate::Lost), Some(Fate::Unknown), None],
            ),
            (deposit, Promise::Refused, [Some(Fate::Lost); 3]),
            (
                Body::HoldRejected { placer, movement: movement(4, own), rejection },
                Promise::Refused,
                [Some(Fate::Lost), Some(Fate::Unknown), None],
            ),
            (Body::CloseRejected { id: id(5), account: own, rejection }, Promise::Refused, [Some(Fate::Lost); 3]),
        ];
        for (body, promise, fates) in rows {
            let promised = promised_by(&record(body)).expect("a promise");
            assert_eq!(promised.promise, promise, "{body:?}");
            let is_taken = Known::All(HashMap::from([(promised.id.get(), Fate::AskedAgain)]));
            let of = [Known::NoGateway, Known::Nothing, is_taken].map(|known| known.fate_of(&promised));
            assert_eq!(of, fates, "{body:?}");
            assert_eq!(Known::All(HashMap::new()).fate_of(&promised), Some(Fate::Lost), "{body:?}");
        }
        // What may be asked for anew is no promise.
        let opening =
            Body::OpenRejected { account: own, owner: ledger::Owner::EMPTY, currency: Currency::EUR, rejection };
        assert!(promised_by(&record(opening)).is_none());
    }

    /// More than are shown, in several currencies: the file and the sums have all, and of each currency the largest is shown.
    #[test]
    fn all_that_is_lost_is_in_the_file_and_of_each_currency_the_largest_is_shown() {
        let dir = TestDir::new();
        let owner = storage::Owner { cluster: 5, node: 1 };
        let mut written =
            storage::Journal::open(RealDisk, dir.path(), owner, storage::JournalMark::START).expect("new");
        written.begin(1);
        let side = Side { after: Balances::default(), previous: None };
        let currencies =
            [Currency::EUR, Currency::from_code("USD").expect("a code"), Currency::from_code("CHF").expect("a code")];
        for number in 1..=60_u128 {
            for (at, currency) in currencies.into_iter().enumerate() {
                let id = number * 10 + at as u128;
                let amount = Amount::new(if number == 7 { 500_000_00 } else { number }).expect("not zero");
                let moved = Movement { currency, amount, ..movement(id, AccountId::vault(currency)) };
                let (debit, credit, flags) = (side, side, Flags::default());
                let body = Body::TransferPosted { placer: None, movement: moved, debit, credit, flags };
                let place = written.next_place();
                written.push(&Record { time_ms: 5, slot: 1, place, body }.encode());
            }
        }
        written.finish().expect("there is room");
        let journal = Journal { dir: dir.path().to_path_buf(), owner, from: 0 };
        let (mut file, mut sums) = (Vec::new(), Sums::default());
        assert!(write_money(&journal, &Known::NoGateway, Fate::Lost, (&mut file, &mut sums)).is_ok());
        assert_eq!(String::from_utf8(file).expect("text").lines().count(), 180);
        assert_eq!(sums.count(Fate::Lost), 180);
        let shown = sums.shown();
        assert_eq!(shown.len(), currencies.len() * SHOWN);
        for currency in currencies {
            let of_it: Vec<u128> =
                shown.iter().filter(|(_, it)| it.currency == currency).map(|(_, it)| it.amount.minor()).collect();
            assert_eq!((of_it[0], of_it[1], of_it.len()), (500_000_00, 60, SHOWN), "{}", currency.code());
        }
    }
}
