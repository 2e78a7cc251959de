//! Drives payments to their end: asks the banks, reports what they say, delivers what is decided.
//!
//! A round looks at the state between two batches, hands each driver what its banks have said, and takes from it what is to
//! be done. Rounds follow each other whenever something has happened to a payment: this node has taken it, a bank has answered,
//! a proposal about it was applied. Such a round looks at those payments only; all of them are looked at twenty times a second,
//! for what is to be tried again or taken over. Nothing here is remembered that matters: a node that starts reads all of it off
//! the state.

use super::allowance::Rate;
use super::banks::Heard;
use super::contradicted::{self, ByPayment};
use super::desk::{Desk, LogNow};
use super::waiting::Waiting;
use clearing::{Action, Answer, Command, Driver, Outcome, PaymentId, Reason, Side, Status, agenda};
use gateway::GatewayView;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use storage::RealDisk;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tracing::error;

/// Every payment is looked at so often, whatever happens: for what is to be tried again.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// Callers that wait for what another node decides are looked after so often.
const WAITING_PERIOD: Duration = Duration::from_millis(100);
/// Replies taken in one round, at most.
const HEARD_MAX: usize = 8_192;
/// Commands of one proposal.
const PROPOSED_MAX: usize = clearing::Request::COMMANDS_MAX as usize;

/// What goes into a round, and comes back from it.
#[derive(Default)]
struct Drivers {
    by_payment: BTreeMap<PaymentId, Driver>,
}

/// What a round is told.
struct Told {
    now: LogNow,
    heard: Vec<Heard>,
    /// Payments that something has happened to here.
    touched: BTreeSet<PaymentId>,
    /// All drivers are asked, not only those about whose payments something is new.
    all: bool,
    /// Payments whose callers wait, looked up now and then.
    waiting: Vec<PaymentId>,
}

/// What a round comes to.
#[derive(Default)]
struct Round {
    actions: Vec<Action>,
    decided: Vec<(PaymentId, clearing::Status)>,
    /// Of a round that looks at all.
    contradicted: Option<ByPayment>,
    /// The setting, as this node's state has it.
    vote_timeout_ms: u64,
    /// What each customer may send, and each bank may ask.
    of_customers: Rate,
    of_banks: Rate,
}

/// Whoever waits for a decision hears of it from the driver; when that has ended, they are let go.
struct LetGo(Arc<Waiting>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Runs as long as the node serves.
pub(super) async fn run(desk: Desk, mut heard: Receiver<Heard>, mut nudges: Receiver<Vec<PaymentId>>) {
    let _waiting = LetGo(Arc::clone(&desk.waiting));
    let mut drivers = Drivers::default();
    let (mut look_at, mut waiting_at) = (Instant::now(), Instant::now());
    loop {
        let (mut news, mut touched) = (Vec::new(), BTreeSet::new());
        tokio::select! {
            first = heard.recv() => news.extend(first),
            first = nudges.recv() => touched.extend(first.into_iter().flatten()),
            () = tokio::time::sleep_until(look_at) => {}
        }
        while let Ok(more) = nudges.try_recv() {
            touched.extend(more);
        }
        while news.len() < HEARD_MAX
            && let Ok(more) = heard.try_recv()
        {
            news.push(more);
        }
        let now = Instant::now();
        let all = now >= look_at;
        if all {
            look_at = now + LOOK_PERIOD;
        }
        let mut waiting = Vec::new();
        if now >= waiting_at {
            waiting_at = now + WAITING_PERIOD;
            waiting = desk.waiting.ids();
        }
        let (node, told) = (desk.node, Told { now: desk.now(), heard: news, touched, all, waiting });
        let callers = Arc::clone(&desk.waiting);
        // As an older incarnation than it is, the gateway asks nobody anything: what is seen of the state before it begins
        // anew is not acted on after that, either.
        let has_begun = !desk.gateway.life().restoring;
        let asked = desk.gateway.look(move |applier| {
            let view = GatewayView::new(applier);
            let round = drivers.round(&view, node, told, &callers);
            (drivers, round)
        });
        let Some((kept, round)) = asked.await else {
            // The node stops, or is too busy to be looked at: all that the drivers knew can be asked again.
            drivers = Drivers::default();
            tokio::time::sleep(LOOK_PERIOD).await;
            continue;
        };
        drivers = kept;
        if has_begun {
            act(&desk, round);
        }
    }
}

impl Drivers {
    fn round(
        &mut self,
        view: &GatewayView<'_, RealDisk>,
        node: clearing::NodeNumber,
        told: Told,
        callers: &Waiting,
    ) -> Round {
        let clearing = view.clearing();
        let now_ms = told.now.ms_in(clearing);
        let settings = clearing.settings();
        let (of_customers, of_banks) = (Rate::of_customers(settings), Rate::of_banks(settings));
        let vote_timeout_ms = settings.vote_timeout_ms;
        let mut round = Round { vote_timeout_ms, of_customers, of_banks, ..Round::default() };
        let mut touched = told.touched;
        for heard in told.heard {
            if let Some(driver) = self.by_payment.get_mut(&heard.id) {
                round.actions.extend(driver.on_reply(&heard.reply));
                touched.insert(heard.id);
            }
        }
        // Whom another node took from and left, its callers find here.
        let waits_here = callers.present();
        let due = match told.all {
            true => agenda::due(clearing, node, now_ms, |id| waits_here.has(id)),
            false => agenda::due_of(clearing, node, now_ms, touched, |id| waits_here.has(id)),
        };
        for id in due {
            let driver = self.by_payment.entry(id).or_insert_with(|| Driver::new(id));
            round.actions.extend(driver.poll(clearing, now_ms));
        }
        if told.all {
            self.by_payment.retain(|id, _| clearing.payment(*id).is_some());
            round.contradicted = Some(contradicted::of(self.by_payment.values(), clearing.contradicted()));
        }
        for id in told.waiting {
            // A journal that cannot be read stops the node elsewhere; whoever waits then asks again.
            if let Ok(Some(known)) = view.payment(id) {
                round.decided.push((id, known.status));
            }
        }
        round
    }
}

fn act(desk: &Desk, round: Round) {
    desk.vote_timeout_ms.store(round.vote_timeout_ms, std::sync::atomic::Ordering::Relaxed);
    desk.allowance.set(round.of_customers);
    desk.bank_allowance.set(round.of_banks);
    for (id, status) in round.decided {
        desk.waiting.tell(id, status);
    }
    if let Some(found) = round.contradicted {
        desk.metrics.set_contradicted(found.len() as u64);
        desk.contradicted.set(found);
    }
    let mut proposals = Vec::new();
    for action in round.actions {
        match action {
            Action::Call(call) => desk.banks.call(call),
            Action::Propose(command) => proposals.push(command),
            Action::Alarm { id, side, finding } => error!(
                event = "contradiction",
                payment = %id,
                side = ?side,
                bank_says = ?finding,
                effect = "the decision stands, and the payment is listed",
                todo = "a bank contradicts a decision, which nothing that the protocol allows leads to: see rialto payments --listed, ask that bank, and keep all logs"
            ),
        }
    }
    while !proposals.is_empty() {
        let rest = proposals.split_off(proposals.len().min(PROPOSED_MAX));
        tokio::spawn(propose(desk.clone(), std::mem::replace(&mut proposals, rest)));
    }
}

/// What is refused or lost is proposed again by its driver, if it is still wanted.
async fn propose(desk: Desk, commands: Vec<Command>) {
    let Ok(answers) = desk.submit(commands.clone()).await else { return };
    for (command, answer) in commands.iter().zip(answers) {
        if let (Some(id), Answer::Done { outcome: Outcome::Payment(status), replay }) = (command.payment(), answer) {
            desk.waiting.tell(id, status);
            if !replay {
                alarm_if_contradicted(command, id, status);
            }
        }
    }
    desk.nudge(commands.iter().filter_map(Command::payment).collect());
}

/// A bank that moves money before anybody has decided so lies, or is broken: its operators are told at once, and the payment
/// is on their list.
fn alarm_if_contradicted(command: &Command, id: PaymentId, status: Status) {
    if let (Status::Refused { reason: Reason::VoidedAtRisk, .. }, Command::Report { found, .. }) = (status, command) {
        let said = |side: &Side| found.of(*side).is_some();
        for side in Side::BOTH.into_iter().filter(said) {
            error!(
                event = "bank_contradicts",
                payment = %id,
                side = ?side,
                effect = "the payment stays void, as an operator decided at that risk, and is listed",
                todo = "the bank of that side has posted it: see rialto payments --listed, and agree with that bank who bears it"
            );
        }
    }
    if let Status::Refused { reason: Reason::ContradictedByBank { side }, .. } = status {
        error!(
            event = "bank_contradicts",
            payment = %id,
            side = ?side,
            effect = "the payment is void and listed",
            todo = "the bank of that side says that it posted what nobody had decided: see rialto payments --listed, and ask it"
        );
    }
}
