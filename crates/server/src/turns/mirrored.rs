//! Tests: who waits as if for a place has the fate of one who waits for a place, and changes nobody else's. Scripts of what
//! may happen are drawn at random and played with and without them.

use std::collections::{BTreeMap, VecDeque};

use futures_util::FutureExt;

use super::waiting::{OF_ONE_SOURCE_MAX, WAITING_MAX};
use super::*;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, many: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % many
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask {
        lane: Lane,
        source: u64,
    },
    AskAsIf {
        source: u64,
    },
    /// The caller of that step hangs up, if it waits.
    HangUp(usize),
    /// The place that was given first comes back.
    GiveBack,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Refused,
    ServedAt(usize),
    SentAwayAt(usize),
}

fn script(dice: &mut Dice, (length, sources, busy): (usize, u64, u64)) -> Vec<Step> {
    let step = |at: usize| match dice.below(13 + busy) {
        0..6 => Step::GiveBack,
        6 => Step::HangUp(usize::try_from(dice.below(at as u64 + 1)).expect("it is small")),
        7 => Step::Ask { lane: Lane::Known, source: dice.below(sources) },
        _ => Step::Ask { lane: Lane::Stranger, source: dice.below(sources) },
    };
    (0..length).map(step).collect()
}

/// A caller who waits, for one or the other.
enum Waits {
    ForPlace(oneshot::Receiver<Turn>),
    ForMoment(oneshot::Receiver<()>),
}

/// What became of the callers, by the number of the step at which they came.
fn play(steps: &[Step]) -> BTreeMap<usize, Fate> {
    let turns = Turns::default();
    let (mut held, mut waits, mut fates) = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Ask { lane, source } => match turns.ask(*lane, *source) {
                Ok(Asked::Now(turn)) => {
                    held.push_back(turn);
                    fates.insert(at, Fate::ServedAt(at));
                }
                Ok(Asked::Later(turn)) => drop(waits.insert(at, Waits::ForPlace(turn))),
                Err(_) => drop(fates.insert(at, Fate::Refused)),
            },
            Step::AskAsIf { source } => match turns.ask_as_if(Lane::Stranger, *source) {
                Ok(Asked::Now(())) => drop(fates.insert(at, Fate::ServedAt(at))),
                Ok(Asked::Later(moment)) => drop(waits.insert(at, Waits::ForMoment(moment))),
                Err(_) => drop(fates.insert(at, Fate::Refused)),
            },
            Step::HangUp(caller) => drop(waits.remove(caller)),
            Step::GiveBack => drop(held.pop_front()),
        }
        waits.retain(|caller, waits| {
            let heard = match waits {
                Waits::ForPlace(turn) => turn.now_or_never().map(|turn| turn.map(|turn| held.push_back(turn))),
                Waits::ForMoment(moment) => moment.now_or_never(),
            };
            let fate = heard.map(|heard| heard.map_or(Fate::SentAwayAt(at), |()| Fate::ServedAt(at)));
            fate.is_none_or(|fate| {
                fates.insert(*caller, fate);
                false
            })
        });
    }
    fates
}

#[test]
fn who_waits_as_if_for_a_place_has_the_fate_of_one_who_does() {
    let mut seen = [0; 3];
    for seed in 0..3_000 {
        let mut dice = Dice(seed);
        // Two sources, so that one of them has as many as it may, and the lane is never full.
        let mut steps = script(&mut dice, (150, 2, 2 * (seed % 8)));
        let (probe, source) = (40 + usize::try_from(dice.below(80)).expect("it is small"), dice.below(3));
        steps[probe] = Step::AskAsIf { source };
        let as_if = play(&steps).get(&probe).copied();
        steps[probe] = Step::Ask { lane: Lane::Stranger, source };
        let real = play(&steps).get(&probe).copied();
        assert_eq!(as_if, real, "seed {seed}, source {source}");
        match real {
            Some(Fate::Refused) => seen[0] += 1,
            Some(Fate::ServedAt(at)) if at > probe => seen[1] += 1,
            Some(Fate::ServedAt(_)) => seen[2] += 1,
            Some(Fate::SentAwayAt(_)) | None => {}
        }
    }
    assert!(seen.iter().all(|seen| *seen > 50), "refused, later, at once: {seen:?}");
}

#[test]
fn whoever_waits_for_a_place_is_served_as_if_those_who_only_wait_as_if_were_not_there() {
    for seed in 0..1_000 {
        let mut dice = Dice(seed);
        let steps = script(&mut dice, (300, 2 + seed % 7, seed % 20));
        let flooded = steps.iter().flat_map(|step| {
            let flood = (0..dice.below(4)).map(|_| Step::AskAsIf { source: dice.below(9) }).collect::<Vec<_>>();
            flood.into_iter().chain([*step])
        });
        let flooded: Vec<Step> = flooded.collect();
        let kept = |step: &Step| !matches!(step, Step::AskAsIf { .. });
        let places: Vec<usize> = (0..flooded.len()).filter(|at| kept(&flooded[*at])).collect();
        // Told by the numbers that the steps have without the flood.
        let number = |at: usize| places.binary_search(&at).ok();
        let renamed: Vec<Step> = flooded
            .iter()
            .map(|step| match step {
                Step::HangUp(caller) => Step::HangUp(places[*caller]),
                other => *other,
            })
            .collect();
        let without = play(&steps);
        let with = play(&renamed).into_iter().filter_map(|(caller, fate)| {
            let fate = match fate {
                Fate::Refused => Fate::Refused,
                Fate::ServedAt(at) => Fate::ServedAt(number(at)?),
                Fate::SentAwayAt(at) => Fate::SentAwayAt(number(at)?),
            };
            Some((number(caller)?, fate))
        });
        assert_eq!(with.collect::<BTreeMap<_, _>>(), without, "seed {seed}");
    }
}

/// All places are taken; what is asked for now waits.
fn taken(turns: &Turns) -> Vec<Asked<Turn>> {
    (0..AT_ONCE).filter_map(|_| turns.ask(Lane::Stranger, 0).ok()).collect()
}

#[test]
fn a_full_lane_turns_both_away_with_the_same_time() {
    let turns = Turns::default();
    let _held = taken(&turns);
    let wait = |source: u64| match turns.ask(Lane::Stranger, source) {
        Ok(Asked::Later(turn)) => turn,
        Ok(Asked::Now(_)) | Err(_) => panic!("there is room to wait"),
    };
    let wait_as_if = |source: u64| match turns.ask_as_if(Lane::Stranger, source) {
        Ok(Asked::Later(moment)) => moment,
        Ok(Asked::Now(())) | Err(_) => panic!("there is room to wait"),
    };
    let mut crowd: Vec<_> = (0..OF_ONE_SOURCE_MAX).map(|_| wait(1)).collect();
    let (real, as_if) = (turns.ask(Lane::Stranger, 1).map(drop), turns.ask_as_if(Lane::Stranger, 1).map(drop));
    assert!(real.is_err(), "one source may have so many waiting");
    assert_eq!(as_if, real, "with the time after which to come back");

    // The lane but for one: eight of each of seven sources, and seven of another.
    crowd.truncate(8);
    crowd.extend((8..WAITING_MAX - 1).map(|at| wait(1 + at as u64 / 8)));
    let mut behind: Vec<_> = (1..=8).map(&wait_as_if).collect();
    crowd.push(wait(50));
    assert_eq!(turns.lock().strangers.count(), WAITING_MAX);
    let _as_if_newcomer = wait_as_if(51);
    let gone = |behind: &mut Vec<oneshot::Receiver<()>>| {
        behind.iter_mut().map(|moment| usize::from(moment.try_recv() == CLOSED)).sum::<usize>()
    };
    assert_eq!(gone(&mut behind), 0, "nobody makes room for who waits as if for a place");
    assert!(crowd.iter_mut().all(|turn| turn.now_or_never().is_none()));
    let _newcomer = wait(99);
    let crowd_left = crowd.iter_mut().filter_map(|turn| turn.now_or_never()).count();
    assert_eq!((crowd_left, gone(&mut behind)), (1, 1), "the newest of one source, and who would have been newer");
}

const CLOSED: Result<(), oneshot::error::TryRecvError> = Err(oneshot::error::TryRecvError::Closed);

#[tokio::test]
async fn whose_time_is_over_hears_the_same_for_a_place_or_as_if_for_one() {
    let turns = Turns::default();
    let _held = taken(&turns);
    let began = Instant::now();
    let (real, as_if) = tokio::join!(turns.wait(Lane::Stranger, 1), turns.wait_as_if(Lane::Stranger, 1));
    assert!(began.elapsed() >= PATIENCE, "it was waited for");
    assert!(as_if.is_err());
    assert_eq!(real.map(drop), as_if);
}
