//! The clocks of one node: a monotonic one that drifts, and a wall clock that also is off and may jump.
//!
//! Nothing of the protocol's safety may rest on either. The monotonic clock starts anew with each start of the process;
//! the wall clock goes on while the node is down.

use crate::random::Random;

/// Wall time at which every run begins: 2026-11-21 00:00 UTC. A fixed one, so that times in a trace are the same for ever.
const WALL_AT_START_MS: i64 = 1_795_219_200_000;

#[derive(Debug, Clone)]
pub struct Clock {
    /// Parts per million by which this node's clocks run fast (or slow, if negative).
    drift_ppm: i64,
    /// By how much the wall clock is off, in milliseconds.
    wall_off_ms: i64,
    started_at_us: u64,
}

impl Clock {
    /// A clock as computers have them: within a fifth of a second of true time, drifting by up to 200 ppm.
    pub fn random(random: &mut Random) -> Clock {
        Clock {
            drift_ppm: random.between(0, 400) as i64 - 200,
            wall_off_ms: random.between(0, 400) as i64 - 200,
            started_at_us: 0,
        }
    }

    pub fn on_start(&mut self, true_us: u64) {
        self.started_at_us = true_us;
    }

    /// Moves the wall clock: an operator's mistake, a leap, a bad time server.
    pub fn jump(&mut self, by_ms: i64) {
        self.wall_off_ms += by_ms;
    }

    /// Puts the wall clock right again.
    pub fn correct(&mut self) {
        self.wall_off_ms = 0;
    }

    pub fn mono_us(&self, true_us: u64) -> u64 {
        // One second in hand, so that no node ever sees time zero or a time before its start.
        let running = 1_000_000 + (true_us - self.started_at_us) as i64;
        (running + running / 1000 * self.drift_ppm / 1000) as u64
    }

    pub fn wall_ms(&self, true_us: u64) -> u64 {
        let true_ms = (true_us / 1000) as i64;
        (WALL_AT_START_MS + true_ms + true_ms * self.drift_ppm / 1_000_000 + self.wall_off_ms) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_moves_the_wall_clock_and_leaves_the_monotonic_one() {
        let mut clock = Clock::random(&mut Random::new(1));
        let (mono, wall) = (clock.mono_us(5_000_000), clock.wall_ms(5_000_000));
        clock.jump(-3_600_000);
        assert_eq!(clock.mono_us(5_000_000), mono);
        assert_eq!(clock.wall_ms(5_000_000), wall - 3_600_000);
    }

    #[test]
    fn the_monotonic_clock_never_goes_back_however_it_drifts() {
        for seed in 0..50 {
            let clock = Clock::random(&mut Random::new(seed));
            let times: Vec<u64> = (0..2000).map(|step| clock.mono_us(step * 777)).collect();
            assert!(times.is_sorted(), "seed {seed}");
        }
    }
}
