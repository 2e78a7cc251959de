//! What this node's clock says, how far it is believed, and when the node is not fit to lead because of it.
//!
//! ```text
//!   wall clock ──follows, never jumps──► steady clock ──told in heartbeats──► the others' clocks, as offsets to ours
//!                                             │                                        │
//!                                             └── at most a second ahead of what a majority of clocks allows ──► Clock::allowed_ms
//! ```
//!
//! * The *steady clock* is the wall clock as it was at the start, carried on by the monotonic clock. It is slewed after
//!   the wall clock while they are within a second of each other. A wall clock further away than that has *jumped*: the
//!   steady clock goes on without it, until the wall clock comes back, or a majority's steady clocks say the same as it,
//!   or it has been consistent for five minutes. So a jump does no harm either where all nodes share one machine.
//! * A *majority allows* the time t if the steady clocks of a majority of the voters, this one included, have come to t.
//!   A clock that is asked for a batch's time never says more than that and the allowance of a second: no minority of
//!   clocks can put the log's time into the future, whoever leads and in whatever mode. Within that it says the median
//!   where its own steady clock is further than a second from it.
//! * A node is *off* if its steady clock is further than a second from the voters' median, and a voter that answers it is
//!   not, or if its wall clock has jumped and those of a majority of others, whose steady clocks are near its own, have
//!   not. Among voters that hear each other there is always one that is not off: one that is near the median, or all of
//!   them where the median is the clock of a node that is gone. The shell of a node that is off sends callers elsewhere.
//!   In leader mode it neither leads nor stands; in leaderless mode whoever is asked proposes, and what it says is still
//!   no more than a majority allows.
//!
//! Acceptors never refuse on time: members do not lie (`docs/correctness.md`), so the proposer's own restraint suffices, and
//! a vote that depends on a clock could leave a slot undecided when clocks are wrong.
//!
//! Offsets come from heartbeat answers: a peer's clock when it answered, minus ours, known to within half of the round
//! trip; what is nearest to our own clock counts. With an even number of clocks in sight the middle one that is nearer to
//! ours is the median: of two clocks that differ nobody can tell which is wrong, and a group that has just lost a node
//! must not lose its leader to that.

use crate::config::Now;
use crate::effects::{Effects, Event};

/// The steady clock gains or loses at most this part of the time that passes while it follows the wall clock.
const SLEW_PART: i128 = 8;

/// What one answer told about a peer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Offset {
    /// Its steady clock minus ours.
    pub(crate) ahead_ms: i64,
    /// Its wall clock has jumped, as it says itself.
    pub(crate) jumped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    max_ms: u64,
    steady: Steady,
    /// Our steady clock minus the median.
    steady_skew_ms: i64,
    /// The furthest that a majority's clocks have come, minus our steady clock.
    majority_ahead_ms: i64,
    /// A voter that answers is near the median.
    another_is_near: bool,
    /// Others, who are a majority by themselves, hear no jump of their own wall clocks.
    jumped_alone: bool,
    off: bool,
    told_jump: bool,
}

impl Clock {
    pub(crate) fn new(max_ms: u64, jump_trusted_us: u64, now: Now) -> Clock {
        Clock {
            max_ms,
            steady: Steady::new(max_ms, jump_trusted_us, now),
            steady_skew_ms: 0,
            majority_ahead_ms: 0,
            another_is_near: false,
            jumped_alone: false,
            off: false,
            told_jump: false,
        }
    }

    /// Time has passed. Answers by how much the steady clock was set, if it was: the others' clocks did not move with it.
    pub(crate) fn follow(&mut self, now: Now) -> Option<i64> {
        let believed = self.steady.follow(now);
        let set_by_ms = believed.or_else(|| self.adopt_what_a_majority_says())?;
        // Until the others answer anew their clocks are where they were: a clock that was wrong for long enough to be
        // believed allows no more than before.
        self.majority_ahead_ms = self.majority_ahead_ms.saturating_sub(set_by_ms);
        self.steady_skew_ms = self.steady_skew_ms.saturating_add(set_by_ms);
        Some(set_by_ms)
    }

    /// What a majority's clocks say is no jump, however far it was.
    fn adopt_what_a_majority_says(&mut self) -> Option<i64> {
        let jump_ms = self.steady.jump_ms()?;
        let is_theirs = jump_ms.abs_diff(self.majority_ahead_ms) <= self.max_ms;
        if is_theirs && self.majority_ahead_ms.unsigned_abs() > self.max_ms { self.steady.adopt() } else { None }
    }

    /// The steady clock, in Unix milliseconds.
    pub(crate) fn steady_ms(&self) -> u64 {
        self.steady.ms()
    }

    /// The steady clock, or the median where it is off from that; and no more than a majority allows.
    pub(crate) fn allowed_ms(&self) -> u64 {
        let limit_ms = self.majority_ahead_ms.saturating_add_unsigned(self.max_ms);
        let is_near = self.steady_skew_ms.unsigned_abs() <= self.max_ms;
        let wanted_ms = if is_near { 0 } else { self.steady_skew_ms.saturating_neg() };
        self.steady.ms().saturating_add_signed(wanted_ms.min(limit_ms))
    }

    /// What a majority's clocks say, as far as known: the steady clock, set right by the median.
    pub(crate) fn group_ms(&self) -> u64 {
        self.steady.ms().saturating_add_signed(self.steady_skew_ms.saturating_neg())
    }

    /// The wall clock has jumped and is not believed.
    pub(crate) fn has_jumped(&self) -> bool {
        self.steady.jump_ms().is_some()
    }

    /// This node's wall clock minus the median of the group's; positive: ahead.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.steady_skew_ms.saturating_add(self.steady.jump_ms().unwrap_or(0))
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Compares with the clocks of the peers that answer. The caller sees to it that they are a majority, this node
    /// included: fewer say nothing about it, and the last judgement stands.
    pub(crate) fn compare(&mut self, seen: &Seen) {
        let median_ms = median_nearest_zero(seen.ahead_ms.clone());
        self.steady_skew_ms = median_ms.saturating_neg();
        self.another_is_near = seen.answering_ms.iter().any(|ahead_ms| ahead_ms.abs_diff(median_ms) <= self.max_ms);
        self.majority_ahead_ms = seen.majority_ahead_ms;
        self.jumped_alone = seen.majority_has_not_jumped;
    }

    /// Decides whether the clock is off, and tells what has changed.
    pub(crate) fn judge(&mut self, fx: &mut Effects) {
        let jump_ms = self.steady.jump_ms();
        if jump_ms.is_some() != self.told_jump {
            self.told_jump = jump_ms.is_some();
            fx.events.push(jump_ms.map_or(Event::ClockSteady, |by_ms| Event::ClockJumped { by_ms }));
        }
        let is_far = self.steady_skew_ms.unsigned_abs() > self.max_ms;
        let off = is_far && self.another_is_near || jump_ms.is_some() && self.jumped_alone;
        if off && !self.off {
            fx.events.push(Event::ClockOff { skew_ms: self.skew_ms() });
        }
        if !off && self.off {
            fx.events.push(Event::ClockFine);
        }
        self.off = off;
    }
}

/// What a majority's answers say about clocks.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The steady clocks of all other voters that ever answered, minus ours.
    pub(crate) ahead_ms: Vec<i64>,
    /// The same of those that answer now.
    pub(crate) answering_ms: Vec<i64>,
    /// The furthest that a majority of the voters' steady clocks, ours included, have come, minus ours.
    pub(crate) majority_ahead_ms: i64,
    /// A majority of the voters, this node not counted, say that their wall clocks have not jumped, and their steady
    /// clocks are near ours.
    pub(crate) majority_has_not_jumped: bool,
}

/// The wall clock without its jumps: see the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Steady {
    max_us: i128,
    trusted_us: u64,
    /// This clock minus the monotonic one.
    offset_us: i128,
    mono_us: u64,
    jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Jump {
    /// The wall clock minus the monotonic one, when the jump was first seen.
    first_us: i128,
    /// The same, as of now.
    last_us: i128,
    since_us: u64,
}

impl Steady {
    fn new(max_ms: u64, trusted_us: u64, now: Now) -> Steady {
        let offset_us = wall_offset_us(now);
        Steady { max_us: i128::from(max_ms) * 1_000, trusted_us, offset_us, mono_us: now.mono_us, jump: None }
    }

    /// Answers by how much this clock was set, if the wall clock was believed after a jump.
    fn follow(&mut self, now: Now) -> Option<i64> {
        let wall_us = wall_offset_us(now);
        let passed_us = i128::from(now.mono_us.saturating_sub(self.mono_us));
        self.mono_us = self.mono_us.max(now.mono_us);
        let apart_us = wall_us - self.offset_us;
        if apart_us.abs() <= self.max_us {
            self.offset_us += apart_us.clamp(-passed_us / SLEW_PART, passed_us / SLEW_PART);
            self.jump = None;
            return None;
        }
        let is_consistent = |jump: &Jump| (wall_us - jump.first_us).abs() <= self.max_us;
        let fresh = Jump { first_us: wall_us, last_us: wall_us, since_us: self.mono_us };
        let jump = self.jump.filter(is_consistent).map_or(fresh, |jump| Jump { last_us: wall_us, ..jump });
        self.jump = Some(jump);
        let is_believed = self.mono_us.saturating_sub(jump.since_us) >= self.trusted_us;
        if is_believed { self.adopt() } else { None }
    }

    /// The wall clock is right, wherever it is. Answers by how much this clock was set.
    fn adopt(&mut self) -> Option<i64> {
        let by_ms = self.jump_ms();
        if let Some(jump) = self.jump.take() {
            self.offset_us = jump.last_us;
        }
        by_ms
    }

    fn jump_ms(&self) -> Option<i64> {
        self.jump.map(|jump| clamped((jump.last_us - self.offset_us) / 1_000))
    }

    fn ms(&self) -> u64 {
        let us = i128::from(self.mono_us) + self.offset_us;
        u64::try_from((us / 1_000).max(0)).unwrap_or(u64::MAX)
    }
}

fn wall_offset_us(now: Now) -> i128 {
    i128::from(now.wall_ms) * 1_000 - i128::from(now.mono_us)
}

fn clamped(ms: i128) -> i64 {
    ms.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

fn median_nearest_zero(mut offsets: Vec<i64>) -> i64 {
    offsets.push(0);
    offsets.sort_unstable();
    let upper = offsets[offsets.len() / 2];
    let lower = offsets[(offsets.len() - 1) / 2];
    if upper.unsigned_abs() < lower.unsigned_abs() { upper } else { lower }
}

/// The highest of these offsets to which a majority has come.
pub(crate) fn highest_of_majority(mut offsets: Vec<i64>, is_majority: impl Fn(i64) -> bool) -> Option<i64> {
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    offsets.into_iter().find(|offset| is_majority(*offset))
}

/// The peer's clock minus ours: it was read somewhere between our asking and its answer's arrival, and what is nearest to
/// ours counts.
pub(crate) fn ahead_ms(peer_ms: u64, own_ms: u64, round_trip_us: u64) -> i64 {
    let at_most = i128::from(peer_ms) - i128::from(own_ms) + i128::from(round_trip_us / 1_000);
    let at_least = i128::from(peer_ms) - i128::from(own_ms);
    clamped(0.clamp(at_least, at_most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;
    const TRUSTED_US: u64 = 300_000_000;

    fn at(seconds: u64, wall_ahead_ms: i64) -> Now {
        let wall_ms = 1_700_000_000_000 + seconds * 1_000;
        Now { mono_us: 1_000_000 + seconds * 1_000_000, wall_ms: wall_ms.saturating_add_signed(wall_ahead_ms) }
    }

    fn clock() -> Clock {
        Clock::new(1_000, TRUSTED_US, at(0, 0))
    }

    /// How far the steady clock is ahead of the true time.
    fn ahead(clock: &Clock, seconds: u64) -> i64 {
        clock.steady_ms() as i64 - at(seconds, 0).wall_ms as i64
    }

    fn seen(ahead_ms: &[i64]) -> Seen {
        let ahead_ms = ahead_ms.to_vec();
        let all: Vec<i64> = ahead_ms.iter().copied().chain([0]).collect();
        let majority = all.len() / 2 + 1;
        let has = |offset: i64| all.iter().filter(|other| **other >= offset).count() >= majority;
        let majority_ahead_ms = highest_of_majority(all.clone(), has).expect("not empty");
        Seen { answering_ms: ahead_ms.clone(), ahead_ms, majority_ahead_ms, majority_has_not_jumped: true }
    }

    #[test]
    fn of_an_even_number_of_clocks_the_middle_one_nearer_to_ours_counts() {
        assert_eq!(median_nearest_zero(vec![]), 0);
        assert_eq!(median_nearest_zero(vec![5_000]), 0);
        assert_eq!(median_nearest_zero(vec![-5_000]), 0);
        assert_eq!(median_nearest_zero(vec![5_000, 5_010]), 5_000);
        assert_eq!(median_nearest_zero(vec![4_000, 5_000, 6_000]), 4_000);
        assert_eq!(median_nearest_zero(vec![-6_000, 10, 6_000, -10]), 0);
    }

    #[test]
    fn an_offset_is_as_near_to_ours_as_the_round_trip_allows() {
        assert_eq!(ahead_ms(10_000, 10_300, 400_000), 0);
        assert_eq!(ahead_ms(10_000, 13_000, 400_000), -2_600);
        assert_eq!(ahead_ms(13_000, 10_000, 400_000), 3_000);
        assert_eq!(ahead_ms(u64::MAX, 0, 0), i64::MAX);
        assert_eq!(ahead_ms(0, u64::MAX, u64::MAX), i64::MIN);
    }

    #[test]
    fn a_jump_of_the_wall_clock_is_not_followed_while_it_is_short() {
        for by_ms in [DAY_MS, -DAY_MS, 40_000, -40_000, 2_000, -2_000] {
            let mut clock = clock();
            for second in 1..=200 {
                clock.follow(at(second, by_ms));
                assert!(clock.has_jumped() && ahead(&clock, second) == 0, "{by_ms} at {second}");
                assert_eq!(clock.skew_ms(), by_ms);
            }
            clock.follow(at(201, 0));
            assert!(!clock.has_jumped() && ahead(&clock, 201) == 0, "{by_ms}");
        }
    }

    #[test]
    fn a_wall_clock_that_stays_where_it_jumped_is_believed_after_five_minutes() {
        let mut clock = clock();
        for second in 1..=300 {
            clock.follow(at(second, DAY_MS));
        }
        assert!(clock.has_jumped());
        clock.follow(at(301, DAY_MS));
        assert_eq!((clock.has_jumped(), ahead(&clock, 301)), (false, DAY_MS));
        // One that goes on jumping is not.
        let mut clock = super::Clock::new(1_000, TRUSTED_US, at(0, 0));
        for second in 1..=1_000 {
            clock.follow(at(second, DAY_MS + second as i64 * 100));
            assert_eq!(ahead(&clock, second), 0);
        }
    }

    #[test]
    fn a_wall_clock_that_is_believed_after_a_while_is_still_one_of_a_minority() {
        for (ahead_ms, others) in [(DAY_MS, [0, 0]), (-DAY_MS, [0, 0]), (DAY_MS, [-DAY_MS, 0])] {
            let mut clock = clock();
            clock.compare(&seen(&others));
            for second in 1..=400 {
                clock.follow(at(second, ahead_ms));
                let allowed_ms = clock.allowed_ms() as i64 - at(second, 0).wall_ms as i64;
                assert!(allowed_ms <= 1_000, "{allowed_ms} ms ahead at {second}, of a clock that is {ahead_ms}");
            }
            assert!(!clock.has_jumped());
            assert_eq!(clock.skew_ms(), ahead_ms, "and it is off, before anybody has answered anew");
            clock.judge(&mut Effects::default());
            assert!(clock.is_off());
        }
    }

    #[test]
    fn a_wall_clock_that_says_what_a_majority_says_is_believed_at_once() {
        // A machine that slept for an hour: its steady clock stood still, its wall clock was set right.
        let mut clock = clock();
        clock.follow(at(1, 3_600_000));
        clock.compare(&seen(&[3_600_010, 3_599_990]));
        assert!(clock.has_jumped());
        clock.follow(at(2, 3_600_000));
        assert_eq!((clock.has_jumped(), ahead(&clock, 2)), (false, 3_600_000));
        // Of two in sight, of three, one is no majority.
        let mut clock = super::Clock::new(1_000, TRUSTED_US, at(0, 0));
        clock.follow(at(1, 3_600_000));
        clock.compare(&seen(&[3_600_000]));
        clock.follow(at(2, 3_600_000));
        assert!(clock.has_jumped());
    }

    #[test]
    fn small_steps_are_followed_slowly() {
        let mut clock = clock();
        clock.follow(at(1, 800));
        assert_eq!(ahead(&clock, 1), 125);
        for second in 2..=7 {
            clock.follow(at(second, 800));
        }
        assert_eq!((ahead(&clock, 7), clock.has_jumped()), (800, false));
        // However many come in how short a time: the clock gains no more than an eighth.
        for step in 0..1_000 {
            clock.follow(at(8, 800 + step));
        }
        assert!(ahead(&clock, 8) <= 925, "{}", ahead(&clock, 8));
    }

    #[test]
    fn no_minority_of_clocks_puts_the_time_into_the_future() {
        let rows: [(&[i64], i64); 10] = [
            (&[0, 0], 0),
            (&[-DAY_MS, -DAY_MS], -DAY_MS),
            (&[-DAY_MS, 0], 0),
            (&[DAY_MS, 0], 0),
            (&[DAY_MS, DAY_MS], DAY_MS),
            (&[DAY_MS, DAY_MS, -DAY_MS, DAY_MS], DAY_MS),
            (&[DAY_MS, -DAY_MS, -DAY_MS, DAY_MS], 0),
            (&[-DAY_MS], 1_000 - DAY_MS),
            (&[DAY_MS], 0),
            (&[-700, -600], 0),
        ];
        for (others, allowed) in rows {
            let mut clock = clock();
            clock.compare(&seen(others));
            assert_eq!(clock.allowed_ms() as i64 - clock.steady_ms() as i64, allowed, "{others:?}");
        }
    }

    #[test]
    fn a_jump_that_a_majority_shares_makes_nobody_unfit() {
        for (alone, off) in [(true, true), (false, false)] {
            let mut clock = clock();
            clock.follow(at(1, DAY_MS));
            clock.compare(&Seen { majority_has_not_jumped: alone, ..seen(&[0, 0]) });
            let mut fx = Effects::default();
            clock.judge(&mut fx);
            assert_eq!(clock.is_off(), off);
            assert!(fx.events.contains(&Event::ClockJumped { by_ms: DAY_MS }));
        }
    }
}
