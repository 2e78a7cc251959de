//! How often a password may be guessed at: counted at the bank, before the password is looked at.
//!
//! The bank is where every sign-in of its customers comes by, through whichever node of the gateway, and the only one who
//! knows whether the password was right; all nodes of the gateway ask the same node of it, the one that leads. So it is
//! counted there, in memory: nothing that a stranger does is written anywhere. When another node takes the lead, it begins
//! anew, which no stranger can bring about.
//!
//! ```text
//! name and source   3 attempts, then a pause that doubles with each failure, up to 15 minutes
//! name              30 failures of strangers, then one every two minutes
//! source            100 failures at names that there are, then two a second
//! name              256 sign-ins, then one every five seconds
//! ```
//!
//! Each attempt counts as failed from its beginning: of a thousand at once, three are looked at. A success takes it back.
//! A caller who has shown before that they know the password (a token of that customer, or a success from that source) has
//! a count of their own and is not held to those of strangers, so no stranger keeps a customer out of their own places.
//!
//! Names that there are and names that there are not are counted apart, by the same rules, so that a flood of invented names
//! makes nothing be forgotten about real ones.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Attempts that cost nothing.
const FREE: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
const BY_NAME: Rate = Rate { burst: 30, every: Duration::from_secs(120) };
const BY_SOURCE: Rate = Rate { burst: 100, every: Duration::from_millis(500) };
const SUCCESSES: Rate = Rate { burst: 256, every: Duration::from_secs(5) };
/// Counts of each sort that are kept, at most: about 10 MB in all.
const KEPT_MAX: usize = 20_000;

/// Who tries, for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attempt {
    pub(crate) name: u64,
    /// Whether there is a customer of that name.
    pub(crate) exists: bool,
    /// Where it comes from.
    pub(crate) source: u64,
    /// By which earlier sign-in of that customer, if the caller showed one.
    pub(crate) earlier: Option<u64>,
}

/// Not now: after so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooMany {
    pub(crate) retry_after_ms: u64,
}

/// So many at once, and one more whenever that time has passed.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// The counts. A clone is another handle of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    real: OfNames,
    invented: OfNames,
    /// When each source's tokens are all back.
    sources: HashMap<u64, Instant>,
    successes: HashMap<u64, Instant>,
    good: Good,
}

#[derive(Debug, Default)]
struct OfNames {
    pairs: HashMap<Pair, Failed>,
    names: HashMap<u64, Instant>,
}

/// A name, and from where: a source, or an earlier sign-in.
type Pair = (u64, By);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum By {
    Source(u64),
    Earlier(u64),
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    next: Instant,
}

/// Names with the sources from which somebody signed in, the oldest first.
#[derive(Debug, Default)]
struct Good {
    pairs: HashSet<(u64, u64)>,
    in_order: VecDeque<(u64, u64)>,
}

/// An attempt that counts as failed until it is settled.
#[derive(Debug)]
pub(crate) struct Reserved {
    attempts: Attempts,
    attempt: Attempt,
    is_known: bool,
}

impl Attempts {
    /// Counts an attempt, as failed.
    ///
    /// # Errors
    /// When there were too many.
    pub(crate) fn reserve(&self, attempt: Attempt, now: Instant) -> Result<Reserved, TooMany> {
        let mut counts = self.lock();
        let is_known = counts.is_known(&attempt);
        counts.check(&attempt, is_known, now)?;
        let pair = pair(&attempt);
        let of_names = counts.of_names(attempt.exists);
        make_room(&mut of_names.pairs, &pair, |failed| failed.next, now);
        let failed = of_names.pairs.entry(pair).or_insert(Failed { times: 0, next: now });
        failed.times = failed.times.saturating_add(1);
        failed.next = now + pause(failed.times);
        if !is_known {
            make_room(&mut of_names.names, &attempt.name, |full_at| *full_at, now);
            BY_NAME.take(of_names.names.entry(attempt.name).or_insert(now), now);
            if attempt.exists {
                make_room(&mut counts.sources, &attempt.source, |full_at| *full_at, now);
                BY_SOURCE.take(counts.sources.entry(attempt.source).or_insert(now), now);
            }
        }
        Ok(Reserved { attempts: self.clone(), attempt, is_known })
    }

    /// Each step leaves the counts consistent.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Whether the caller has shown before that they know the password.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// It was the password: what this caller failed at before is forgiven.
    pub(crate) fn succeeded(self, now: Instant) {
        let mut counts = self.attempts.lock();
        counts.take_back(&self.attempt, self.is_known);
        counts.of_names(self.attempt.exists).pairs.remove(&pair(&self.attempt));
        make_room(&mut counts.successes, &self.attempt.name, |full_at| *full_at, now);
        SUCCESSES.take(counts.successes.entry(self.attempt.name).or_insert(now), now);
        counts.good.put((self.attempt.name, self.attempt.source));
    }

    /// The password was not looked at.
    pub(crate) fn not_tried(self, now: Instant) {
        let mut counts = self.attempts.lock();
        counts.take_back(&self.attempt, self.is_known);
        let pair = pair(&self.attempt);
        let pairs = &mut counts.of_names(self.attempt.exists).pairs;
        if let Some(failed) = pairs.get_mut(&pair) {
            failed.times = failed.times.saturating_sub(1);
            failed.next = now;
            if failed.times == 0 {
                pairs.remove(&pair);
            }
        }
    }
}

impl Counts {
    fn is_known(&self, attempt: &Attempt) -> bool {
        attempt.exists && (attempt.earlier.is_some() || self.good.pairs.contains(&(attempt.name, attempt.source)))
    }

    fn check(&self, attempt: &Attempt, is_known: bool, now: Instant) -> Result<(), TooMany> {
        let of_names = if attempt.exists { &self.real } else { &self.invented };
        let pause = of_names.pairs.get(&pair(attempt)).map(|failed| failed.next);
        let name = of_names.names.get(&attempt.name).map(|full_at| BY_NAME.ready_at(*full_at));
        // A source that guesses at real names is stopped for invented ones too: which are which is not told.
        let source = self.sources.get(&attempt.source).map(|full_at| BY_SOURCE.ready_at(*full_at));
        let successes = self.successes.get(&attempt.name).map(|full_at| SUCCESSES.ready_at(*full_at));
        let of_strangers = [name, source].into_iter().filter(|_| !is_known);
        let ready_at = [pause, successes].into_iter().chain(of_strangers).flatten().max();
        match ready_at.and_then(|ready_at| ready_at.checked_duration_since(now)).filter(|wait| !wait.is_zero()) {
            None => Ok(()),
            Some(wait) => {
                let wait_ms = wait.as_micros().div_ceil(1_000);
                Err(TooMany { retry_after_ms: u64::try_from(wait_ms).unwrap_or(u64::MAX) })
            }
        }
    }

    fn of_names(&mut self, exists: bool) -> &mut OfNames {
        if exists { &mut self.real } else { &mut self.invented }
    }

    /// What strangers share.
    fn take_back(&mut self, attempt: &Attempt, is_known: bool) {
        if is_known {
            return;
        }
        if let Some(full_at) = self.of_names(attempt.exists).names.get_mut(&attempt.name) {
            BY_NAME.take_back(full_at);
        }
        if let Some(full_at) = self.sources.get_mut(&attempt.source).filter(|_| attempt.exists) {
            BY_SOURCE.take_back(full_at);
        }
    }
}

impl Good {
    fn put(&mut self, pair: (u64, u64)) {
        if !self.pairs.insert(pair) {
            return;
        }
        self.in_order.push_back(pair);
        if self.in_order.len() > KEPT_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
    }
}

impl Rate {
    /// When there is a token, of a bucket that is full at that moment.
    fn ready_at(self, full_at: Instant) -> Instant {
        let spare = self.every * (self.burst - 1);
        // Where the clock begins later than that, the bucket is as good as full.
        full_at.checked_sub(spare).unwrap_or(full_at)
    }

    fn take(self, full_at: &mut Instant, now: Instant) {
        *full_at = (*full_at).max(now) + self.every;
    }

    fn take_back(self, full_at: &mut Instant) {
        *full_at = full_at.checked_sub(self.every).unwrap_or(*full_at);
    }
}

fn pair(attempt: &Attempt) -> Pair {
    (attempt.name, attempt.earlier.map_or(By::Source(attempt.source), By::Earlier))
}

/// One second after the third, then twice as long each time.
fn pause(times: u32) -> Duration {
    match times.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1 << more.min(10)).min(PAUSE_MAX),
    }
}

/// Makes room for one more: first what is over, then the half that would be over first. So whoever floods it does not
/// free a name that is being guessed at.
fn make_room<K: Eq + Hash, V>(kept: &mut HashMap<K, V>, key: &K, over_at: impl Fn(&V) -> Instant, now: Instant) {
    if kept.len() < KEPT_MAX || kept.contains_key(key) {
        return;
    }
    kept.retain(|_, value| over_at(value) > now);
    if kept.len() >= KEPT_MAX {
        let mut ends: Vec<Instant> = kept.values().map(&over_at).collect();
        ends.sort_unstable();
        let middle = ends[ends.len() / 2];
        kept.retain(|_, value| over_at(value) > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY_SLEEPS: Duration = Duration::from_secs(3_600);

    fn from(name: u64, source: u64) -> Attempt {
        Attempt { name, exists: true, source, earlier: None }
    }

    fn wait_ms(attempts: &Attempts, attempt: Attempt, now: Instant) -> Option<u64> {
        attempts.reserve(attempt, now).err().map(|too_many| too_many.retry_after_ms)
    }

    #[test]
    fn of_a_thousand_guesses_at_once_three_are_looked_at() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let reserved: Vec<Reserved> = (0..1_000).filter_map(|_| attempts.reserve(from(7, 1), now).ok()).collect();
        assert_eq!(reserved.len(), 3, "each counts before its password is looked at");
        assert_eq!(wait_ms(&attempts, from(7, 1), now), Some(1_000));
        // From a thousand sources at once, as many as the name bears.
        let many = (0..1_000).filter(|source| attempts.reserve(from(7, 100 + source), now).is_ok()).count();
        assert_eq!(many, 27, "thirty less the three");
    }

    #[test]
    fn pauses_double_and_the_wait_that_is_told_is_true() {
        let (attempts, mut now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(wait_ms(&attempts, from(7, 1), now), None);
        }
        for pause_s in [1, 2, 4, 8] {
            assert_eq!(wait_ms(&attempts, from(7, 1), now), Some(pause_s * 1_000));
            now += Duration::from_secs(pause_s);
            let almost = now.checked_sub(Duration::from_millis(1)).expect("later than the beginning");
            assert_eq!(wait_ms(&attempts, from(7, 1), almost), Some(1));
            assert_eq!(wait_ms(&attempts, from(7, 1), now), None);
        }
        assert_eq!(pause(100), PAUSE_MAX);
    }

    #[test]
    fn a_good_one_forgives_and_one_that_was_not_looked_at_counts_for_nothing() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..200 {
            attempts.reserve(from(7, 1), now).expect("the one before was right").succeeded(now);
        }
        for _ in 0..200 {
            attempts.reserve(from(8, 1), now).expect("none was looked at").not_tried(now);
        }
    }

    #[test]
    fn a_stranger_keeps_a_customer_out_of_none_of_their_own_places() {
        let (attempts, mut now) = (Attempts::default(), Instant::now());
        attempts.reserve(from(7, 1), now).expect("the first").succeeded(now);
        // An hour of guessing, from a hundred sources.
        for _ in 0..3_600 {
            now += Duration::from_secs(1);
            for source in 100..200 {
                let _ = attempts.reserve(from(7, source), now);
            }
        }
        assert!(attempts.reserve(from(7, 5), now).is_err(), "somebody new cannot be told from them");
        attempts.reserve(from(7, 1), now).expect("from where the customer signed in before").succeeded(now);
        let with_token = Attempt { earlier: Some(77), ..from(7, 150) };
        attempts.reserve(with_token, now).expect("with an earlier sign-in, from anywhere").succeeded(now);
    }

    #[test]
    fn one_source_alone_never_uses_up_a_name() {
        let (attempts, mut now) = (Attempts::default(), Instant::now());
        for _ in 0..24 * 360 {
            now += Duration::from_secs(10);
            let _ = attempts.reserve(from(7, 66), now);
        }
        assert_eq!(wait_ms(&attempts, from(7, 1), now), None, "somebody from elsewhere signs in");
    }

    #[test]
    fn one_source_that_tries_every_name_is_stopped_and_nobody_else() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let tried = (0..10_000).filter(|name| attempts.reserve(from(*name, 66), now).is_ok()).count();
        assert_eq!(tried, 100);
        assert_eq!(wait_ms(&attempts, from(20_000, 66), now), Some(500));
        let invented = Attempt { exists: false, ..from(30_000, 66) };
        assert_eq!(wait_ms(&attempts, invented, now), Some(500), "which names there are is not told");
        assert_eq!(wait_ms(&attempts, from(20_000, 1), now), None);
    }

    #[test]
    fn a_flood_of_invented_names_grows_nothing_without_bound_and_frees_no_name() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        (0..FREE).for_each(|_| drop(attempts.reserve(from(7, 1), now)));
        for name in 0..10 * KEPT_MAX as u64 {
            let _ = attempts.reserve(Attempt { exists: false, ..from(1_000 + name, name) }, now);
        }
        let counts = attempts.lock();
        let kept = [counts.invented.pairs.len(), counts.invented.names.len(), counts.sources.len()];
        assert!(kept.iter().all(|kept| *kept <= KEPT_MAX), "{kept:?}");
        drop(counts);
        assert!(wait_ms(&attempts, from(7, 1), now).is_some(), "the name that is guessed at is still braked");
        assert_eq!(wait_ms(&attempts, from(7, 2), now), None, "and another source of its customer is not");
    }

    #[test]
    fn signing_in_and_out_for_ever_is_slowed_in_the_end() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let mut times = 0;
        while let Ok(reserved) = attempts.reserve(from(7, 1), now) {
            reserved.succeeded(now);
            times += 1;
            assert!(times <= 1_000, "each opens a session, which is on record");
        }
        assert_eq!(times, 256);
        assert_eq!(wait_ms(&attempts, from(7, 1), now), Some(5_000));
        assert_eq!(wait_ms(&attempts, from(7, 1), now + NOBODY_SLEEPS), None);
    }
}
