//! Many seeds, what they must have seen, and the rules that are off.

use std::collections::BTreeSet;

#[cfg(feature = "controls")]
use clearing::control::Control;
use clearing::outbox::ItemState;
use clearing::{Body, Record};

use super::customers::Order;
use super::{Restores, World};

fn restores_of(seed: u64) -> Restores {
    match seed % 5 {
        0 | 1 => Restores::None,
        2 => Restores::Gateway,
        3 => Restores::Banks,
        _ => Restores::Both,
    }
}

/// How many seeds a test runs; `CLEARING_SEEDS` sets another number.
fn seeds(by_default: u64) -> u64 {
    std::env::var("CLEARING_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(by_default)
}

#[test]
fn after_quiet_every_payment_is_on_both_sides_or_on_neither() {
    let mut seen = BTreeSet::new();
    for seed in 0..seeds(2_000) {
        match World::new(seed, restores_of(seed), None).run() {
            Ok(world) => seen.extend(world.kinds()),
            Err(wrong) => panic!("seed {seed} ({:?}): {wrong}", restores_of(seed)),
        }
    }
    // A simulation that never gets somewhere proves nothing about it.
    let expected =
        ["asked", "cancelled", "dropped", "posted", "refused", "restored bank", "restored gateway", "timed out"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn one_seed_is_one_run() {
    for seed in [2, 3, 4] {
        let run = || World::new(seed, restores_of(seed), None).run().expect("a sound run").desk;
        assert!(run().journal.records == run().journal.records, "seed {seed}");
    }
}

impl World {
    /// What happened in the run, by name.
    fn kinds(&self) -> BTreeSet<&'static str> {
        let mut kinds = BTreeSet::new();
        for bytes in &self.desk.journal.records {
            let record = Record::decode(bytes).expect("the gateway wrote it");
            kinds.extend(match record.body {
                Body::EpochBegan { .. } => Some("restored gateway"),
                Body::BankCaughtUp { .. } => Some("restored bank"),
                Body::PaymentTaken(taken) => matches!(taken.origin, clearing::Origin::Asked(_)).then_some("asked"),
                Body::PaymentDecided(decided) => Some(match decided.verdict {
                    clearing::Verdict::Post => "posted",
                    clearing::Verdict::Void(clearing::Reason::VoidedByPayer) => "cancelled",
                    clearing::Verdict::Void(clearing::Reason::BankUnavailable) => "timed out",
                    clearing::Verdict::Void(_) => "refused",
                }),
                _ => None,
            });
        }
        let is_dropped = |order: &Order| order.item.state == ItemState::Dropped;
        kinds.extend(self.orders.iter().any(is_dropped).then_some("dropped"));
        kinds
    }
}

/// Runs seeds until one shows that the rule is off.
#[cfg(feature = "controls")]
fn found_within(control: Control, seeds: u64) -> Option<(u64, String)> {
    // Broken relations panic, which is as good a finding as any; the test says so instead of each of them.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let found = (0..seeds).find_map(|seed| {
        // Where a rule is for whoever was restored.
        let disasters = match control {
            Control::AnyIncarnation
            | Control::LookRaisesNoFence
            | Control::RecallNothing
            | Control::ReplayedHeldCounts => Restores::Gateway,
            Control::RestoredBankNeedsHold => Restores::Both,
            Control::RestoredBankAnswers => Restores::Banks,
            _ => restores_of(seed),
        };
        let run = || World::new(seed, disasters, Some(control)).run().err();
        let wrong = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Some(text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        });
        Some((seed, wrong?))
    });
    std::panic::set_hook(hook);
    found
}

#[cfg(feature = "controls")]
#[test]
fn each_rule_that_is_off_is_found_out() {
    let controls = [
        Control::DecideBeforeRecording,
        Control::EndVotedHoldAlone,
        Control::NoTombstone,
        Control::ReplayedHeldCounts,
        Control::ForgetOnRestart,
        Control::AbortAfterCommit,
        Control::PresumeAfterRestore,
        Control::VoidWithinBankUnasked,
        Control::AnyIncarnation,
        Control::LookRaisesNoFence,
        Control::RecallNothing,
        Control::RestoredBankAnswers,
        Control::RestoredBankNeedsHold,
    ];
    for control in controls {
        // A call that comes so late, and just between a look and what is decided by it, is rare.
        let seeds = match control {
            Control::LookRaisesNoFence | Control::RestoredBankAnswers => 4_000,
            _ => 500,
        };
        let (seed, wrong) = found_within(control, seeds).unwrap_or_else(|| panic!("{control:?} was not found"));
        println!("{control:?}: seed {seed}: {wrong}");
    }
}
