//! Where requests come from, as far as bounds go: a certificate, the network of an address, or a customer who is signed in.
//!
//! A [`Source`] holds what is counted of all its connections together: bytes in flight, open streams, and a token bucket of
//! refused requests. It is found once for each connection; each request then costs a few atomic additions.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use certs::Subject;

use super::bounds::{REFUSALS_PER_SECOND, SOURCES_MAX};
use super::connections::Limits;
use super::in_flight::{Level, Of};

/// Whoever is behind one address, has one certificate, or is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// The subject of a certificate that was checked, save clients', who all have the same.
    Certificate(Subject),
    Network(Network),
    /// By name and bank. Only refused requests are counted by customer.
    Customer(String),
}

/// An IPv4 address, or an IPv6 network of 64 bits, which is what one caller usually has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Network(IpAddr);

impl Network {
    pub(super) fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(address) => Network(address.into()),
            IpAddr::V6(address) => Network(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        }
    }
}

impl Key {
    pub(super) fn of(subject: Option<&Subject>, network: Network) -> Key {
        match subject {
            // Whoever calls for customers shows the same name: their networks tell them apart.
            Some(Subject::Client) | None => Key::Network(network),
            Some(subject) => Key::Certificate(subject.clone()),
        }
    }

    /// A node of the gateway hands on what its customers send, and counts their refused requests itself.
    fn speaks_for_others(&self) -> bool {
        matches!(self, Key::Certificate(Subject::Gateway { .. }))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Certificate(subject) => fmt::Display::fmt(subject, f),
            Key::Customer(customer) => f.write_str(customer),
            Key::Network(Network(IpAddr::V4(address))) => write!(f, "{address}"),
            Key::Network(Network(IpAddr::V6(address))) => write!(f, "{address}/64"),
        }
    }
}

/// One source, and what is counted of it.
#[derive(Debug)]
pub(super) struct Source {
    key: Key,
    pub(super) bytes: Arc<Level>,
    pub(super) streams: Arc<AtomicUsize>,
    refusals: Mutex<Bucket>,
}

impl Source {
    fn new(key: Key, bytes_max: usize, refusals_burst: u64) -> Source {
        let bytes = Level::new(Of::Source, bytes_max);
        let refusals = Mutex::new(Bucket::full(refusals_burst, Instant::now()));
        Source { key, bytes, streams: Arc::default(), refusals }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Counts a refused request.
    pub(super) fn refused(&self, now: Instant) -> Refusals {
        if self.key.speaks_for_others() { Refusals::Within } else { self.bucket().take(now) }
    }

    fn is_forgettable(&self, now: Instant) -> bool {
        self.bucket().is_full(now)
    }

    /// Plain values: whole whatever happened to who held the lock.
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a source may be refused once more in the usual way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusals {
    Within,
    /// It has used its tokens up; the next one is there after this time.
    UsedUp {
        retry_after: Duration,
    },
}

/// A token bucket, in thousandths of a token, so that parts of a second count.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    millitokens: u64,
    millitokens_max: u64,
    at: Instant,
}

const TOKEN: u64 = 1_000;

impl Bucket {
    fn full(burst: u64, now: Instant) -> Bucket {
        let millitokens = burst.saturating_mul(TOKEN);
        Bucket { millitokens, millitokens_max: millitokens, at: now }
    }

    fn refill(&mut self, now: Instant) {
        let passed_ms = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        // Parts of a millisecond are not lost: the moment moves only as far as it was counted.
        if passed_ms > 0 {
            let more = passed_ms.saturating_mul(REFUSALS_PER_SECOND);
            self.millitokens = self.millitokens.saturating_add(more).min(self.millitokens_max);
            self.at = now;
        }
    }

    fn take(&mut self, now: Instant) -> Refusals {
        self.refill(now);
        match self.millitokens.checked_sub(TOKEN) {
            Some(left) => {
                self.millitokens = left;
                Refusals::Within
            }
            None => {
                let wait_ms = (TOKEN - self.millitokens).div_ceil(REFUSALS_PER_SECOND);
                Refusals::UsedUp { retry_after: Duration::from_millis(wait_ms) }
            }
        }
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.millitokens == self.millitokens_max
    }
}

/// All sources of a node. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    known: Arc<Mutex<HashMap<Key, Arc<Source>>>>,
    bytes_max: usize,
    refusals_burst: u64,
}

impl Sources {
    pub(super) fn new(limits: &Limits) -> Sources {
        let Limits { source_bytes_max: bytes_max, refusals_burst, .. } = *limits;
        Sources { known: Arc::default(), bytes_max, refusals_burst }
    }

    /// The source of that key. Those that nobody needs any more are forgotten when there are many.
    pub(super) fn find(&self, key: Key) -> Arc<Source> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = known.get(&key) {
            return Arc::clone(source);
        }
        if known.len() >= SOURCES_MAX {
            let now = Instant::now();
            known.retain(|_, source| Arc::strong_count(source) > 1 || !source.is_forgettable(now));
        }
        if known.len() >= SOURCES_MAX {
            // All were refused something within the last seconds: then those without a connection begin anew.
            known.retain(|_, source| Arc::strong_count(source) > 1);
        }
        let source = Arc::new(Source::new(key.clone(), self.bytes_max, self.refusals_burst));
        known.insert(key, Arc::clone(&source));
        source
    }
}

/// One of a bounded number of places, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(super) fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Place> {
        let before = taken.fetch_add(1, Ordering::Relaxed);
        // Dropping the place gives it back.
        let place = Place(Arc::clone(taken));
        (before < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().expect("an address"))
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.2"), network("10.0.0.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
        assert_eq!(Key::of(None, network("2001:db8::1")).to_string(), "2001:db8::/64");
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let now = Instant::now();
        let mut bucket = Bucket::full(30, now);
        for _ in 0..30 {
            assert_eq!(bucket.take(now), Refusals::Within);
        }
        let Refusals::UsedUp { retry_after } = bucket.take(now) else { panic!("it was emptied") };
        assert_eq!(bucket.take(now + retry_after), Refusals::Within);
        assert!(!bucket.is_full(now + retry_after));
        assert!(bucket.is_full(now + Duration::from_secs(60)));
    }

    #[test]
    fn clients_are_told_apart_by_their_networks_and_gateways_are_not_slowed() {
        let of = |subject: &str| Key::of(Some(&subject.parse().expect("a subject")), network("10.0.0.1"));
        assert_eq!(of("client"), Key::Network(network("10.0.0.1")));
        let sources = Sources::new(&Limits { refusals_burst: 0, ..Limits::default() });
        let refused = |subject: &str| sources.find(of(subject)).refused(Instant::now());
        assert!(matches!(refused("bank/alpha/1"), Refusals::UsedUp { .. }));
        assert_eq!(refused("gateway/main/1"), Refusals::Within);
    }

    #[test]
    fn sources_without_connections_are_forgotten_before_there_are_too_many() {
        let sources = Sources::new(&Limits::default());
        let kept = sources.find(Key::Network(network("10.255.0.1")));
        for number in 0..2 * SOURCES_MAX as u32 {
            sources.find(Key::Network(Network::of(IpAddr::from(number.to_be_bytes()))));
        }
        assert!(sources.known.lock().expect("nobody panicked").len() <= SOURCES_MAX);
        assert!(Arc::ptr_eq(&kept, &sources.find(Key::Network(network("10.255.0.1")))));
    }
}
