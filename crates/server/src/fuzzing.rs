//! What must hold of any bytes that this crate is given to read: for cargo-fuzz, and for the inputs that are kept.

#![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

use crate::consul::fuzzing as consul;
use crate::edge::deadline;
use crate::edge::listing::{Listing, Order};
use crate::edge::statement::{self, Listed};
use crate::gateway_node::fuzzing as gateway;
use crate::peers::fuzzing as peers;
use crate::{dns, passwords};
use api::json::AccountsQuery;
use axum::http::HeaderValue;
use ledger::{AccountId, Currency};
use std::time::Duration;

/// Bytes from whoever connects to a member's port: frames whose checksums are right and that may hold anything, and bytes as
/// they came. A greeting or a reply that is read is written as the same bytes.
pub fn peer(bytes: &[u8]) {
    peers::frames(bytes);
    peers::greeting(bytes);
    peers::reply(bytes);
}

/// What Consul answers: registrations, and keys.
pub fn consul(bytes: &[u8]) {
    consul::registrations(bytes);
    consul::filed(bytes);
}

/// What a name is answered with by DNS.
pub fn dns(bytes: &[u8]) {
    dns::fuzzing::answer(bytes);
}

/// Tokens of customers, whoever signed them.
pub fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        gateway::token(text);
    }
}

/// Files that a node reads at its start and while it runs.
pub fn files(bytes: &[u8]) {
    peers::members_file(bytes);
    gateway::kept_file(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        gateway::network_file(text);
    }
}

/// Cursors, orders of lists, hashes of passwords, names with several addresses, and how long a caller waits.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let account = AccountId::vault(Currency::EUR);
    if let Ok(place) = statement::parse_cursor(Listed::All, account, text) {
        let again = statement::cursor(Listed::All, account, place);
        assert_eq!(statement::parse_cursor(Listed::All, account, &again).ok(), Some(place), "{text:?}");
    }
    let (sort, place) = text.split_once('&').map_or((None, text), |(sort, place)| (Some(sort.to_owned()), place));
    listing(&AccountsQuery { sort, ..AccountsQuery::default() }, place);
    let _ = Listing::in_order_of_opening(Some(text), 10).map(|listing| assert_eq!(listing.order, Order::OPENED));
    let _ = passwords::parse_phc(text);
    let _ = dns::check(text);
    if let Ok(header) = HeaderValue::from_str(text)
        && let Some(patience) = deadline::parse(&header)
    {
        assert!(text.len() <= 9 && patience <= Duration::from_secs(99_999_999 * 3_600), "{text:?}");
    }
}

/// A place in a list, with the tag of that list, which nobody guesses.
fn listing(query: &AccountsQuery, place: &str) {
    let parse = |cursor: Option<String>| {
        Listing::parse(&AccountsQuery { sort: query.sort.clone(), cursor, ..AccountsQuery::default() })
    };
    let Ok(list) = parse(None) else { return };
    if let Ok(found) = parse(Some(list.cursor(place)))
        && let Some(after) = found.after
    {
        let again = parse(Some(list.cursor(&after.place()))).expect("a cursor of ours is taken");
        assert_eq!(again.after, Some(after), "{place:?}");
    }
}

#[cfg(test)]
mod tests {
    use corpora::STATE;

    #[test]
    fn fuzz_corpora_of_the_nodes() {
        corpora::run("server_peer", STATE, super::peer);
        corpora::run("server_text", STATE, super::text);
        corpora::run("server_consul", STATE, super::consul);
        corpora::run("server_dns", STATE, super::dns);
        corpora::run("server_token", STATE, super::token);
        corpora::run("server_files", STATE, super::files);
    }
}
