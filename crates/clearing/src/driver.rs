//! One payment's driver on one node: which call to make now, what to propose, when to try again.
//!
//! ```text
//! Undecided  calls ─► banks ─► replies ─► enough? ─► propose Report ─► chosen ─► Delivering
//!                 └─ too late ─────────► propose TimeOut ─────────────►
//! Delivering calls ─► banks ─► acknowledgement ─► propose Delivered ─► chosen ─► Done
//!                       └─ posted what was voided at a risk ─► propose Report ─► chosen ─► listed
//! ```
//!
//! A bank may say "posted" of what an operator voided at that risk. Its driver proposes to put that on record, and does not ask
//! again; the payment stays void.
//!
//! A driver remembers what it has heard and when it last asked, and nothing that matters: it can be dropped at any moment
//! and made anew on any node, from the replicated state. It decides nothing. No bank hears of a decision before the
//! decision is in that state.

use crate::agenda::{self, Call, CallKind};
use crate::clearing::Clearing;
use crate::command::Command;
use crate::control::Control;
use crate::finding::{Finding, Reported};
use crate::names::Epoch;
use crate::order::{Pair, PaymentId, Side};
use crate::outcome::{Reason, Verdict};
use crate::payment::{Payment, Phase, Wish};

/// What the shell is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Call(Call),
    Propose(Command),
    /// A bank contradicts a decision: nothing that the protocol allows leads here. Said once of each side, however often
    /// the bank repeats it.
    Alarm {
        id: PaymentId,
        side: Side,
        finding: Finding,
    },
}

/// What a bank answered to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    pub kind: CallKind,
    /// The gateway's incarnation that called.
    pub gateway: Epoch,
    pub said: Reported,
}

/// When to try something again: at once, then after 100 ms, doubling up to a longest pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Attempts {
    made: u32,
    next_ms: u64,
}

/// The longest pause, as so many doublings of 100 ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct LongestPause(u32);

impl LongestPause {
    /// 3.2 s.
    const USUAL: LongestPause = LongestPause(5);
    /// 410 s: what a bank has refused it may refuse for ever, and each refusal is a record of its journal.
    const AFTER_CONTRADICTION: LongestPause = LongestPause(12);
}

impl Attempts {
    /// Whether it is time, and if so it counts as tried.
    fn take(&mut self, now_ms: u64, longest: LongestPause) -> bool {
        if now_ms < self.next_ms {
            return false;
        }
        self.next_ms = now_ms + (100 << self.made.min(longest.0));
        self.made = self.made.saturating_add(1);
        true
    }
}

/// The question that a bank was asked last, and when it is asked again. Another question does not wait for its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Asked {
    kind: Option<CallKind>,
    attempts: Attempts,
}

impl Asked {
    fn take(&mut self, kind: CallKind, now_ms: u64, longest: LongestPause) -> bool {
        if self.kind != Some(kind) {
            *self = Asked { kind: Some(kind), attempts: Attempts::default() };
        }
        self.attempts.take(now_ms, longest)
    }

    /// The pauses begin anew with the shortest.
    fn begin_anew(&mut self) {
        self.attempts.made = 0;
    }
}

/// Drives one payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Driver {
    id: PaymentId,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Undecided(Gathering),
    Delivering(Delivery),
    Done,
}

/// What was heard before the decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Gathering {
    asked: Pair<Asked>,
    heard: Pair<Option<(Epoch, Reported)>>,
    proposed: Attempts,
    timed_out: Attempts,
}

/// Who has acknowledged the decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Delivery {
    verdict: Verdict,
    asked: Pair<Asked>,
    acknowledged: Pair<Option<Epoch>>,
    /// What a bank last said that contradicts the decision, and to which incarnation. It is told once.
    contradicted: Pair<Option<(Epoch, Reported)>>,
    proposed: Pair<Attempts>,
}

impl Driver {
    pub fn new(id: PaymentId) -> Driver {
        Driver { id, stage: Stage::Undecided(Gathering::default()) }
    }

    pub fn payment(&self) -> PaymentId {
        self.id
    }

    /// The payment left the list of what is to do: the driver can go.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What its banks say, when they were last asked, that contradicts its decision: they do not acknowledge it.
    pub fn contradictions(&self) -> impl Iterator<Item = (Side, Finding)> {
        let contradicted = match self.stage {
            Stage::Delivering(delivery) => delivery.contradicted,
            Stage::Undecided(_) | Stage::Done => Pair::default(),
        };
        Side::BOTH.into_iter().filter_map(move |side| Some((side, (*contradicted.of(side))?.1.finding)))
    }

    /// Takes what a bank said. Nothing is done about it before the next [`Driver::poll`].
    pub fn on_reply(&mut self, reply: &Reply) -> Option<Action> {
        let side = reply.kind.side();
        match &mut self.stage {
            Stage::Undecided(gathering) if !reply.kind.is_delivery() => {
                *gathering.heard.of_mut(side) = Some((reply.gateway, reply.said));
                None
            }
            Stage::Delivering(delivery) if reply.kind.is_delivery() => delivery.on_reply(self.id, reply),
            // An answer to a question of an earlier phase.
            Stage::Undecided(_) | Stage::Delivering(_) | Stage::Done => None,
        }
    }

    /// What to do now. To be called after a reply, after the state has changed, and when time has passed.
    pub fn poll(&mut self, clearing: &Clearing, now_ms: u64) -> Vec<Action> {
        let Some(payment) = clearing.payment(self.id) else {
            self.stage = Stage::Done;
            return Vec::new();
        };
        if let Phase::Delivering { verdict, .. } = payment.phase {
            self.begin_delivery(verdict);
        }
        match &mut self.stage {
            Stage::Undecided(gathering) => gathering.poll(clearing, payment, now_ms),
            Stage::Delivering(delivery) => delivery.poll(clearing, payment, now_ms),
            Stage::Done => Vec::new(),
        }
    }

    fn begin_delivery(&mut self, verdict: Verdict) {
        let is_begun = matches!(&self.stage, Stage::Delivering(delivery) if delivery.verdict == verdict);
        if !is_begun {
            let (asked, acknowledged, contradicted) = (Pair::default(), Pair::default(), Pair::default());
            self.stage =
                Stage::Delivering(Delivery { verdict, asked, acknowledged, contradicted, proposed: Pair::default() });
        }
    }
}

impl Gathering {
    fn poll(&mut self, clearing: &Clearing, payment: &Payment, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let wanted = agenda::calls(clearing, payment);
        let heard = self.heard_now(clearing, payment);
        for side in Side::BOTH {
            let Some(call) = wanted.of(side) else { continue };
            let asked = self.asked.of_mut(side);
            if is_no_answer(&payment.phase, heard.of(side)) && asked.take(call.kind, now_ms, LongestPause::USUAL) {
                actions.push(Action::Call(*call));
            }
        }
        let is_late = now_ms >= payment.vote_by_ms;
        if suffices(payment, &wanted, &heard, now_ms) {
            if self.proposed.take(now_ms, LongestPause::USUAL) {
                let (id, gateway) = (payment.order.id, clearing.epoch());
                actions.push(Action::Propose(Command::Report { id, gateway, found: heard }));
            }
            if clearing.state.is_off(Control::DecideBeforeRecording) {
                actions.extend(commits(clearing, payment, &heard));
            }
        } else if is_late && can_time_out(&payment.phase) && self.timed_out.take(now_ms, LongestPause::USUAL) {
            actions.push(Action::Propose(Command::TimeOut { id: payment.order.id }));
        }
        actions
    }

    /// What was said to this incarnation by the present ones of the banks.
    fn heard_now(&self, clearing: &Clearing, payment: &Payment) -> Pair<Option<Reported>> {
        let of = |side: Side| {
            let (gateway, said) = (*self.heard.of(side))?;
            let bank = clearing.state.bank(payment.order.bank(side));
            (gateway == clearing.epoch() && said.epoch == bank.epoch).then_some(said)
        };
        Pair { debit: of(Side::Debit), credit: of(Side::Credit) }
    }
}

/// A call is repeated until its answer is one that counts in that phase.
fn is_no_answer(phase: &Phase, heard: &Option<Reported>) -> bool {
    let Some(said) = heard else { return true };
    match phase {
        Phase::Voting(_) => said.finding == Finding::NotFound,
        Phase::AtBank(_) => matches!(said.finding, Finding::NotFound | Finding::Held),
        Phase::Asking { .. } | Phase::Delivering { .. } => false,
    }
}

/// Whether what was heard is worth an entry in the log: it decides, or half of the time has gone by and a lone vote
/// spares whoever takes over the question.
fn suffices(payment: &Payment, wanted: &Pair<Option<Call>>, heard: &Pair<Option<Reported>>, now_ms: u64) -> bool {
    let answers = |side: Side| heard.of(side).filter(|_| !is_no_answer(&payment.phase, heard.of(side)));
    let ends = |said: Reported| matches!(said.finding, Finding::Posted | Finding::Voided | Finding::Refused(_));
    let any_ends = Side::BOTH.into_iter().filter_map(answers).any(ends);
    let is_complete = Side::BOTH.into_iter().all(|side| wanted.of(side).is_none() || answers(side).is_some());
    let is_half_over = now_ms >= payment.taken_ms.midpoint(payment.vote_by_ms);
    let has_any = Side::BOTH.into_iter().any(|side| wanted.of(side).is_some() && answers(side).is_some());
    match payment.phase {
        Phase::AtBank(_) => any_ends,
        Phase::Voting(_) => any_ends || is_complete || (has_any && is_half_over),
        Phase::Asking { .. } => is_complete || has_any,
        Phase::Delivering { .. } => false,
    }
}

fn can_time_out(phase: &Phase) -> bool {
    match phase {
        Phase::Voting(_) | Phase::AtBank(Wish::Transfer) => true,
        Phase::AtBank(Wish::Void(_)) | Phase::Asking { .. } | Phase::Delivering { .. } => false,
    }
}

/// Control: what must not be said yet.
fn commits(clearing: &Clearing, payment: &Payment, heard: &Pair<Option<Reported>>) -> Vec<Action> {
    let is_held = |side: Side| heard.of(side).is_some_and(|said| said.finding == Finding::Held);
    if !Side::BOTH.into_iter().all(is_held) {
        return Vec::new();
    }
    let commit = |side| Action::Call(agenda::make(clearing, payment, CallKind::deliver(Verdict::Post, side)));
    Side::BOTH.into_iter().map(commit).collect()
}

impl Delivery {
    fn on_reply(&mut self, id: PaymentId, reply: &Reply) -> Option<Action> {
        let (side, finding) = (reply.kind.side(), reply.said.finding);
        if reply.kind != CallKind::deliver(self.verdict, side) {
            return None;
        }
        let is_acknowledged = match self.verdict {
            Verdict::Post => finding == Finding::Posted,
            // "Not found" from a void means that the id is something else there, and nothing of this payment is held.
            Verdict::Void(_) => matches!(finding, Finding::Voided | Finding::Refused(_) | Finding::NotFound),
        };
        if !is_acknowledged {
            let told = self.contradicted.of_mut(side).replace((reply.gateway, reply.said));
            if told.is_none() {
                self.asked.of_mut(side).begin_anew();
            }
            // That risk was taken, so it is no wonder: whoever puts it on record says so.
            let is_expected = self.is_void_at_risk() && finding == Finding::Posted;
            return (told.is_none() && !is_expected).then_some(Action::Alarm { id, side, finding });
        }
        *self.contradicted.of_mut(side) = None;
        *self.acknowledged.of_mut(side) = Some(reply.said.epoch);
        None
    }

    fn is_void_at_risk(&self) -> bool {
        self.verdict == Verdict::Void(Reason::VoidedAtRisk)
    }

    /// What a present bank said to this incarnation against a void at that risk, to be put on record.
    fn against_void_at_risk(&self, id: PaymentId, side: Side, (gateway, bank): (Epoch, Epoch)) -> Option<Command> {
        let (asked_by, said) = (*self.contradicted.of(side)).filter(|_| self.is_void_at_risk())?;
        let counts = said.finding == Finding::Posted && (asked_by, said.epoch) == (gateway, bank);
        let mut found = Pair::default();
        *found.of_mut(side) = Some(said);
        counts.then_some(Command::Report { id, gateway, found })
    }

    fn poll(&mut self, clearing: &Clearing, payment: &Payment, now_ms: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        let wanted = agenda::calls(clearing, payment);
        for side in Side::BOTH {
            if !payment.is_open_at(side) {
                *self.contradicted.of_mut(side) = None;
            }
            let Some(call) = wanted.of(side) else { continue };
            let known = clearing.state.bank(call.to).epoch;
            if let Some(report) = self.against_void_at_risk(payment.order.id, side, (clearing.epoch(), known)) {
                let is_time = self.proposed.of_mut(side).take(now_ms, LongestPause::USUAL);
                actions.extend(is_time.then_some(Action::Propose(report)));
                continue;
            }
            let longest = match self.contradicted.of(side) {
                Some(_) => LongestPause::AFTER_CONTRADICTION,
                None => LongestPause::USUAL,
            };
            match self.acknowledged.of(side).filter(|epoch| *epoch == known) {
                Some(epoch) if self.proposed.of_mut(side).take(now_ms, LongestPause::USUAL) => {
                    let id = payment.order.id;
                    actions.push(Action::Propose(Command::Delivered { id, side, epoch }));
                }
                None if self.asked.of_mut(side).take(call.kind, now_ms, longest) => actions.push(Action::Call(*call)),
                Some(_) | None => {}
            }
        }
        actions
    }
}
