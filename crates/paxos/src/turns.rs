//! The policy of leaderless mode about who becomes the proposer. Safety never depends on it.
//!
//! Nobody is elected. The last proposer goes straight to accept; the others send it what waits, keep it, and take
//! over themselves when it was not chosen in time:
//!
//! * the wait is the larger of 24–48 ms and 2–4 times the median of the last times to chosen, each drawn anew for each wait.
//!   A fixed wait livelocks on a slow disk, a mean overreacts to one stall. The least wait is for a holder that is there and
//!   slow: a holder that dies closes its connections;
//! * if the holder is gone (its connection closed, silent, or without its majority) the wait is 0–4 ms from when that was
//!   noticed: long enough that not all others prepare at once, no longer;
//! * it doubles after each attempt that got nothing chosen, and is single again after one that did;
//! * it starts anew when the request is seen in an accept (the shell says so) and when somebody else becomes the proposer.
//!
//! A node takes over only while a majority answers it and it has a vote: one that can send but not
//! hear would otherwise take over for ever.

use crate::ids::NodeId;
use std::collections::VecDeque;

/// Times to chosen that the median is taken of.
const TIMES_KEPT: usize = 32;

/// The least wait, in microseconds: above the slowest hundredth of a busy group's times to chosen, or the proposer would
/// change several times a second for nothing, and everything that waits would wait for a prepare.
const LEAST_US: (u64, u64) = (24_000, 48_000);

/// The wait in hundredths of the median time to chosen.
const MEDIAN_PERCENT: (u64, u64) = (200, 400);

/// The wait when the holder is gone.
const GONE_US: (u64, u64) = (0, 4_000);

/// Attempts in vain after which the wait doubles no more, and the length beyond which it does not.
const DOUBLINGS_MAX: u32 = 8;
const DOUBLED_MAX_US: u64 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Turns {
    dice: Dice,
    took_us: VecDeque<u64>,
    /// Since when the oldest request has waited, as the shell says.
    since_us: Option<u64>,
    /// No wait counts from before this.
    anew_us: u64,
    /// Since when the holder has been gone.
    gone_since_us: Option<u64>,
    wait: Option<Wait>,
    /// Attempts in vain in a row.
    failed: u32,
    /// It stood, and nothing was chosen under that ballot yet.
    trying: bool,
}

/// A wait under way, with what was drawn for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Wait {
    from_us: u64,
    patient_us: u64,
    gone_us: u64,
}

impl Turns {
    pub(crate) fn new(seed: u64, me: NodeId) -> Turns {
        Turns {
            dice: Dice(mix(seed ^ mix(u64::from(me.get())))),
            took_us: VecDeque::new(),
            since_us: None,
            anew_us: 0,
            gone_since_us: None,
            wait: None,
            failed: 0,
            trying: false,
        }
    }

    pub(crate) fn waits(&mut self, since_us: Option<u64>) {
        self.since_us = since_us;
    }

    pub(crate) fn since_us(&self) -> Option<u64> {
        self.since_us
    }

    /// A request of this node's took so long from at hand to chosen.
    pub(crate) fn took(&mut self, took_us: u64) {
        if self.took_us.len() == TIMES_KEPT {
            self.took_us.pop_front();
        }
        self.took_us.push_back(took_us);
        self.failed = 0;
    }

    /// Whatever waits waits from now on: there is another holder, or another policy.
    pub(crate) fn begin_anew(&mut self, now_us: u64) {
        self.anew_us = now_us;
        self.gone_since_us = None;
    }

    pub(crate) fn on_stand(&mut self) {
        self.trying = true;
    }

    /// Something was chosen under this node's ballot.
    pub(crate) fn on_success(&mut self) {
        self.trying = false;
        self.failed = 0;
    }

    /// This node is no longer the proposer, or could not become it.
    pub(crate) fn on_lost(&mut self, now_us: u64) {
        if std::mem::take(&mut self.trying) {
            self.failed = (self.failed + 1).min(DOUBLINGS_MAX);
        }
        self.begin_anew(now_us);
    }

    /// Whether it is this node's turn to take over, for what has waited `since_us`. `gone`: there is no proposer, as far as
    /// can be seen.
    pub(crate) fn is_due(&mut self, now_us: u64, since_us: Option<u64>, gone: bool) -> bool {
        self.gone_since_us = if gone { self.gone_since_us.or(Some(now_us)) } else { None };
        let from_us = since_us.map(|since_us| since_us.max(self.anew_us));
        if from_us != self.wait.map(|wait| wait.from_us) {
            self.wait = from_us.map(|from_us| self.draw(from_us));
        }
        self.due_at_us().is_some_and(|at_us| at_us <= now_us)
    }

    /// When the wait under way ends.
    pub(crate) fn due_at_us(&self) -> Option<u64> {
        let wait = self.wait?;
        let patient_at_us = wait.from_us.saturating_add(wait.patient_us);
        let gone_at_us = self.gone_since_us.map(|gone_us| gone_us.max(wait.from_us).saturating_add(wait.gone_us));
        Some(gone_at_us.map_or(patient_at_us, |gone_at_us| gone_at_us.min(patient_at_us)))
    }

    fn draw(&mut self, from_us: u64) -> Wait {
        let least_us = self.dice.between(LEAST_US);
        let percent = self.dice.between(MEDIAN_PERCENT);
        let patient_us = least_us.max(self.median_us().saturating_mul(percent) / 100);
        let gone_us = self.dice.between(GONE_US);
        Wait { from_us, patient_us: self.doubled(patient_us), gone_us: self.doubled(gone_us) }
    }

    fn doubled(&self, wait_us: u64) -> u64 {
        wait_us.saturating_mul(1 << self.failed).min(DOUBLED_MAX_US.max(wait_us))
    }

    fn median_us(&self) -> u64 {
        let mut times_us = [0; TIMES_KEPT];
        let count = self.took_us.len();
        for (time_us, took_us) in times_us.iter_mut().zip(&self.took_us) {
            *time_us = *took_us;
        }
        if count == 0 { 0 } else { *times_us[..count].select_nth_unstable(count / 2).1 }
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, and good enough that two nodes do not draw alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Dice(u64);

impl Dice {
    fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        low + mix(self.0) % (high - low + 1)
    }
}

/// The finalizer of SplitMix64: neighbours in, strangers out.
pub(crate) fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Turns {
        Turns::new(7, NodeId::new(1).expect("not 0"))
    }

    /// How long a request that comes at second 1 waits.
    fn wait_us(turns: &mut Turns, gone: bool) -> u64 {
        turns.begin_anew(turns.anew_us + 1);
        turns.is_due(1_000_000, Some(1_000_000), gone);
        turns.due_at_us().expect("something waits") - 1_000_000
    }

    fn waits_us(turns: &mut Turns, gone: bool) -> Vec<u64> {
        (0..200)
            .map(|_| {
                turns.wait = None;
                wait_us(turns, gone)
            })
            .collect()
    }

    fn assert_spread(waits_us: &[u64], (low, high): (u64, u64)) {
        let (least, most) = (waits_us.iter().min().copied(), waits_us.iter().max().copied());
        assert!(waits_us.iter().all(|wait| (low..=high).contains(wait)), "{least:?}..{most:?} in {low}..{high}");
        assert!(least.is_some_and(|least| least < low + (high - low) / 4), "{least:?} of {low}..{high}");
        assert!(most.is_some_and(|most| most > high - (high - low) / 4), "{most:?} of {low}..{high}");
    }

    #[test]
    fn the_wait_is_jittered_and_follows_the_median() {
        let mut turns = turns();
        assert_spread(&waits_us(&mut turns, false), LEAST_US);
        turns.took(900_000);
        (0..20).for_each(|_| turns.took(2_000));
        assert_spread(&waits_us(&mut turns, false), LEAST_US);
        (0..TIMES_KEPT).for_each(|_| turns.took(60_000));
        assert_spread(&waits_us(&mut turns, false), (120_000, 240_000));
        assert_spread(&waits_us(&mut turns, true), (0, 4_000));
    }

    #[test]
    fn the_wait_doubles_after_an_attempt_in_vain_and_only_then() {
        let mut turns = turns();
        turns.on_lost(1);
        assert_spread(&waits_us(&mut turns, false), LEAST_US);
        for (low, high) in [(48_000, 96_000), (96_000, 192_000)] {
            turns.on_stand();
            turns.on_lost(1);
            assert_spread(&waits_us(&mut turns, false), (low, high));
        }
        for _ in 0..20 {
            turns.on_stand();
            turns.on_lost(1);
        }
        assert!(waits_us(&mut turns, false).iter().all(|wait| *wait <= DOUBLED_MAX_US));
        turns.on_stand();
        turns.on_success();
        turns.on_lost(1);
        assert_spread(&waits_us(&mut turns, false), LEAST_US);
    }

    #[test]
    fn a_wait_counts_from_what_was_last_seen_of_a_holder() {
        let mut turns = turns();
        assert!(!turns.is_due(1_000_000, Some(1_000_000), false));
        assert!(turns.is_due(1_048_000, Some(1_000_000), false));
        turns.begin_anew(1_048_000);
        assert!(!turns.is_due(1_071_000, Some(1_000_000), false));
        assert!(!turns.is_due(2_000_000, None, true), "nothing waits, so nobody's turn comes");
        assert!(turns.is_due(1_096_000, Some(1_000_000), false));
        turns.begin_anew(5_000_000);
        turns.is_due(5_001_000, Some(1_000_000), true);
        let due_us = turns.due_at_us().expect("something waits");
        assert!((5_001_000..=5_005_000).contains(&due_us), "counted from when it was noticed: {due_us}");
    }
}
