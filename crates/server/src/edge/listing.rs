//! Pages of accounts: searched, sorted, and continued where the last page ended.
//!
//! A page is one pass over the accounts that keeps the best `limit` in a heap, so a bank with 100,000 accounts lists in
//! a few milliseconds and a page costs no memory of the size of the bank. A cursor names the last account of a page by
//! its sort key and number, so it survives whatever happens between two pages; an account whose key changes meanwhile may
//! be seen twice or not at all, as in every list that is sorted by what moves.

use std::collections::BinaryHeap;

use api::code::Code;
use api::field;
use api::json::{AccountsQuery, BENCH_OWNER};
use api::problem::Problem;
use ledger::{AccountView, Ledger, Owner};

use super::cursor::{Tag, invalid};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Listing {
    pub limit: usize,
    pub after: Option<Rank>,
    pub order: Order,
    /// Lower case.
    pub search: Option<String>,
    pub hidden: Hidden,
}

/// What a list leaves out unless something is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    Nothing,
    /// Accounts that `rialto bench` opened.
    Bench,
}

/// By what accounts are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub by: By,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Opened,
    Balance,
    Owner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Rising,
    Falling,
}

/// An account's place in an order: ranks rise along the list, whatever its direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    key: Key,
    number: i128,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    None,
    Number(i128),
    Text(String),
    /// A text in an order that falls.
    Reversed(std::cmp::Reverse<String>),
}

/// One page.
#[derive(Debug)]
pub struct Page<'a> {
    pub accounts: Vec<AccountView<'a>>,
    pub next_cursor: Option<String>,
}

impl Listing {
    pub fn parse(query: &AccountsQuery) -> Result<Listing, Problem> {
        let order = query.sort.as_deref().map_or(Ok(Order::OPENED), Order::parse)?;
        let search = query.search.as_deref().map(str::trim).filter(|text| !text.is_empty());
        // Owners are kept composed, so what is looked for is, too. What could be no owner is looked for as it is.
        let composed = |text: &str| Owner::enforce(text).map_or_else(|_| text.to_owned(), |owner| owner.to_string());
        let search = search.map(|text| composed(text).to_lowercase());
        let hidden = match query.hide.as_deref() {
            None => Hidden::Nothing,
            Some(BENCH_OWNER) => Hidden::Bench,
            Some(_) => {
                let detail = format!("hide: send {BENCH_OWNER}, or leave it out");
                return Err(Problem::new(Code::MalformedQuery, detail).with("field", "hide"));
            }
        };
        let limit = field::limit(query.limit.as_deref())?;
        Listing { limit, after: None, order, search, hidden }.continued(query.cursor.as_deref())
    }

    /// The plain list, continued after that cursor.
    pub fn in_order_of_opening(cursor: Option<&str>, limit: usize) -> Result<Listing, Problem> {
        Listing { limit, after: None, order: Order::OPENED, search: None, hidden: Hidden::Nothing }.continued(cursor)
    }

    fn continued(mut self, cursor: Option<&str>) -> Result<Listing, Problem> {
        self.after = cursor.map(|text| Rank::parse(text, &self)).transpose()?;
        Ok(self)
    }

    /// The text that callers hand back to go on after that place.
    pub(crate) fn cursor(&self, place: &str) -> String {
        self.tag().cursor(place)
    }

    fn tag(&self) -> Tag {
        let (order, hidden) = (format!("{:?}", self.order), format!("{:?}", self.hidden));
        Tag::of(&["accounts", &order, &hidden, self.search.as_deref().unwrap_or_default()])
    }

    fn wants(&self, account: &AccountView<'_>) -> bool {
        let Some(search) = &self.search else {
            return self.hidden == Hidden::Nothing || !is_of_bench(account);
        };
        let kind = account.internal.map_or("", ledger::Internal::name);
        account.owner.to_lowercase().contains(search)
            || kind.starts_with(search.as_str())
            || account.id.to_string().starts_with(search.as_str())
    }
}

impl Order {
    pub const OPENED: Order = Order { by: By::Opened, direction: Direction::Rising };

    fn parse(text: &str) -> Result<Order, Problem> {
        let (name, direction) = match text.strip_prefix('-') {
            Some(name) => (name, Direction::Falling),
            None => (text, Direction::Rising),
        };
        let by = match name {
            "opened" => By::Opened,
            "balance" => By::Balance,
            "owner" => By::Owner,
            _ => {
                let detail = "sort: send opened, balance or owner, with a minus before it to turn the order round";
                return Err(Problem::new(Code::MalformedQuery, detail).with("field", "sort"));
            }
        };
        Ok(Order { by, direction })
    }
}

impl Rank {
    fn of(account: &AccountView<'_>, order: Order) -> Rank {
        let turned = |value: i128| match order.direction {
            Direction::Rising => value,
            Direction::Falling => -value,
        };
        let key = match (order.by, order.direction) {
            (By::Opened, _) => Key::None,
            (By::Balance, _) => Key::Number(turned(account.balances.balance())),
            (By::Owner, Direction::Rising) => Key::Text(account.owner.to_lowercase()),
            (By::Owner, Direction::Falling) => Key::Reversed(std::cmp::Reverse(account.owner.to_lowercase())),
        };
        Rank { key, number: turned(i128::from(account.number)) }
    }

    /// `number` alone, or `number.key`; owners in hex, so that a cursor is plain ASCII.
    pub(crate) fn place(&self) -> String {
        let number = self.number;
        match &self.key {
            Key::None => format!("a{number}"),
            Key::Number(key) => format!("a{number}.{key}"),
            Key::Text(text) | Key::Reversed(std::cmp::Reverse(text)) => {
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                format!("a{number}.{hex}")
            }
        }
    }

    fn parse(text: &str, listing: &Listing) -> Result<Rank, Problem> {
        let place = listing.tag().place(text)?;
        Rank::parsed(place, listing.order).ok_or_else(|| invalid(text))
    }

    fn parsed(text: &str, order: Order) -> Option<Rank> {
        let rest = text.strip_prefix('a')?;
        let (number, key) = rest.split_once('.').map_or((rest, None), |(number, key)| (number, Some(key)));
        let key = match (order.by, order.direction, key) {
            (By::Opened, _, None) => Key::None,
            (By::Balance, _, Some(key)) => Key::Number(key.parse().ok()?),
            (By::Owner, Direction::Rising, Some(key)) => Key::Text(from_hex(key)?),
            (By::Owner, Direction::Falling, Some(key)) => Key::Reversed(std::cmp::Reverse(from_hex(key)?)),
            (By::Opened, _, Some(_)) | (By::Balance | By::Owner, _, None) => return None,
        };
        Some(Rank { key, number: number.parse().ok()? })
    }
}

fn from_hex(hex: &str) -> Option<String> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

/// Whether `rialto bench` opened the account. A customer's account is never taken for one, whatever the customer's name.
fn is_of_bench(account: &AccountView<'_>) -> bool {
    account.customer.is_none() && account.owner == BENCH_OWNER
}

/// The page that a listing asks for.
pub fn page<'a>(ledger: &'a Ledger, listing: &Listing) -> Page<'a> {
    let mut best: BinaryHeap<(Rank, u64)> = BinaryHeap::with_capacity(listing.limit + 2);
    for account in candidates(ledger, listing) {
        if !listing.wants(&account) {
            continue;
        }
        let rank = Rank::of(&account, listing.order);
        if listing.after.as_ref().is_some_and(|after| rank <= *after) {
            continue;
        }
        best.push((rank, account.number));
        // One more than the page shows whether another page follows.
        if best.len() > listing.limit + 1 {
            best.pop();
        } else if best.len() > listing.limit && is_by_opening(listing.order) {
            break;
        }
    }
    let mut ranked = best.into_sorted_vec();
    let more = ranked.len() > listing.limit;
    ranked.truncate(listing.limit);
    let next_cursor = ranked.last().filter(|_| more).map(|(rank, _)| listing.cursor(&rank.place()));
    let accounts = ranked.iter().filter_map(|(_, number)| ledger.accounts(*number).next()).collect();
    Page { accounts, next_cursor }
}

/// In the order of opening a page begins right after the last one's end and can stop when it is full.
fn candidates<'a>(ledger: &'a Ledger, listing: &Listing) -> impl Iterator<Item = AccountView<'a>> + use<'a> {
    let first = match (&listing.after, is_by_opening(listing.order)) {
        (Some(after), true) => u64::try_from(after.number).map_or(0, |number| number.saturating_add(1)),
        (Some(_) | None, _) => 0,
    };
    ledger.accounts(first)
}

fn is_by_opening(order: Order) -> bool {
    order == Order::OPENED
}
