//! What every handler of the gateway has at hand, and the steps that all of them take.

use super::Gateway;
use super::allowance::Allowance;
use super::banks::Banks;
use super::contradicted::Contradicted;
use super::tokens::Tokens;
use super::waiting::Waiting;
use crate::edge::guard::Guard;
use crate::edge::identity::not_done;
use crate::edge::metrics::Metrics;
use crate::edge::port::{SubmitError, Unreadable};
use crate::log_alert::TOLD_FROM_MS;
use api::code::Code;
use api::network::NetworkId;
use api::payment;
use api::problem::Problem;
use api::span::span;
use clearing::{Answer, BankName, Clearing, Command, NamedParty, NodeNumber, Outcome, PaymentId, Request};
use gateway::{GatewayView, PastError};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use storage::RealDisk;
use tokio::sync::mpsc;

/// The state behind the routes. A clone is another handle of the same.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) gateway: Gateway,
    pub(super) node: NodeNumber,
    pub(super) banks: Arc<Banks>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) contradicted: Arc<Contradicted>,
    /// The setting, as of a moment ago.
    pub(super) vote_timeout_ms: Arc<AtomicU64>,
    /// What each customer may send, by the settings of a moment ago.
    pub(super) allowance: Arc<Allowance<NamedParty>>,
    /// What each bank may have this node look into.
    pub(super) bank_allowance: Arc<Allowance<BankName>>,
    pub(super) nudges: mpsc::Sender<Vec<PaymentId>>,
    pub(super) guard: Guard,
    pub(super) metrics: Metrics,
}

impl Desk {
    /// The log's time as this node knows it.
    pub(super) fn now(&self) -> LogNow {
        LogNow(self.gateway.log_time_ms())
    }

    /// Has the group carry commands out: one answer for each.
    pub(super) async fn submit(&self, commands: Vec<Command>) -> Result<Vec<Answer>, SubmitError> {
        let is_beginning = matches!(commands.first(), Some(Command::BeginEpoch { .. }));
        if self.gateway.life().restoring && !is_beginning {
            let reason = "the gateway was restored from a backup and begins anew".to_owned();
            return Err(SubmitError::NotProposed { reason, retry_after_ms: 500 });
        }
        let commands: Arc<[Command]> = commands.into();
        let settled = self.settled(&commands).await;
        let open = commands.iter().zip(&settled).filter(|(_, answer)| answer.is_none());
        let request = Request { commands: open.map(|(command, _)| *command).collect() };
        let proposed = if request.commands.is_empty() { Vec::new() } else { self.propose(&request).await? };
        let mut proposed = proposed.into_iter();
        let answers = settled.into_iter().map(|answer| answer.or_else(|| proposed.next()));
        answers.collect::<Option<_>>().ok_or(SubmitError::OutcomeUnknown)
    }

    async fn propose(&self, request: &Request) -> Result<Vec<Answer>, SubmitError> {
        let answers = self.gateway.submit_encoded(request.encode().into()).await?;
        // Requests are encoded here, so they can be read; unless members of other versions disagree about it.
        let answers = answers.map_err(|_| SubmitError::OutcomeUnknown)?;
        if answers.len() == request.commands.len() { Ok(answers) } else { Err(SubmitError::OutcomeUnknown) }
    }

    /// The answers to those commands that would leave no record: they are not proposed, for each entry of the log lies on every
    /// node's disk. Where this node's own state has such an answer, a linearizable look says what it is.
    async fn settled(&self, commands: &Arc<[Command]>) -> Vec<Option<Answer>> {
        let none = || vec![None; commands.len()];
        if !commands.iter().any(Command::may_be_settled) {
            return none();
        }
        let now_ms = self.now().ms();
        let look = |commands: Arc<[Command]>| {
            move |view: &GatewayView<'_, RealDisk>| -> Vec<Option<Answer>> {
                commands.iter().map(|command| view.settled(command, now_ms)).collect()
            }
        };
        let own = look(commands.clone());
        let found = self.gateway.ask_own(move |applier| own(&GatewayView::new(applier))).await;
        if !found.is_ok_and(|found| found.iter().any(Option::is_some)) {
            return none();
        }
        self.read(look(commands.clone())).await.unwrap_or_else(|_| none())
    }

    /// Has one command carried out that is not about a payment; safe to repeat.
    pub(super) async fn order(&self, command: Command) -> Result<Outcome, Problem> {
        let answers = self.submit(vec![command]).await.map_err(|error| unanswered(&error))?;
        match answers.first() {
            Some(Answer::Done { outcome, .. }) => Ok(*outcome),
            Some(Answer::Refused(refusal)) => Err(with_cause(payment::problem(refusal), self.gateway.log_ahead_ms())),
            None => Err(Problem::new(Code::Internal, "the node gave no answer to a command")),
        }
    }

    /// Something has happened to these payments: their drivers look at them now. What finds no room is looked at a moment later
    /// with all others.
    pub(super) fn nudge(&self, payments: Vec<PaymentId>) {
        let _ = self.nudges.try_send(payments);
    }

    /// Which network this is: what the gateway's group is pinned to.
    #[expect(clippy::expect_used, reason = "a cluster's number is a random UUID: an identity without one is not read")]
    pub(super) fn network(&self) -> NetworkId {
        NetworkId::new(self.gateway.cluster()).expect("a cluster's number is a random UUID")
    }

    /// What to answer where the past could not be read.
    pub(super) fn unreadable(&self, error: &PastError) -> Problem {
        match error {
            PastError::Storage(error) => Unreadable::of(error, self.gateway.members()).into(),
            PastError::Record(_) | PastError::OffChain { .. } | PastError::Lacks { .. } => {
                Problem::new(Code::Internal, format!("the journal could not be read: {error}; ask another node"))
            }
        }
    }

    /// A linearizable look at what the group holds.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&GatewayView<'_, RealDisk>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let answered = self.gateway.ask_group(move |applier| look(&GatewayView::new(applier))).await;
        answered.map_err(|error| error.problem())
    }

    /// A look at what this node holds, which may be a moment behind.
    pub(super) async fn peek<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Clearing) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let answered = self.gateway.ask_own(move |applier| look(applier.machine().clearing())).await;
        answered.map_err(|error| error.problem())
    }
}

/// The log's time when somebody asked for it: deadlines and expiry are made and compared with it, never with this node's
/// own clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogNow(u64);

impl LogNow {
    /// In Unix milliseconds.
    pub(super) fn ms(self) -> u64 {
        self.0
    }

    /// The same, and never behind what is on record.
    pub(super) fn ms_in(self, clearing: &Clearing) -> u64 {
        self.0.max(clearing.time_ms())
    }
}

/// Says so where the cause of a refusal may be that the log's time is ahead of the clocks.
pub(super) fn with_cause(mut problem: Problem, log_ahead_ms: u64) -> Problem {
    let is_about_time = matches!(problem.code, Code::TokenExpired | Code::DeadlinePassed);
    if !is_about_time || log_ahead_ms < TOLD_FROM_MS {
        return problem;
    }
    let cause = format!("; the log's time is {} ahead of the clocks of the gateway's nodes", span(log_ahead_ms));
    problem.detail.push_str(&cause);
    problem
}

/// A command that changes the same however often it is sent.
pub(super) fn unanswered(error: &SubmitError) -> Problem {
    match error {
        SubmitError::OutcomeUnknown => {
            Problem::new(Code::OutcomeUnknown, "what became of it is not known yet; send it again as it is")
        }
        SubmitError::NotProposed { .. } | SubmitError::Overloaded { .. } | SubmitError::ShuttingDown => not_done(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_about_time_names_the_log_that_is_ahead_and_others_do_not() {
        let told = |code, ahead_ms| with_cause(Problem::new(code, "over"), ahead_ms).detail;
        let cause = "over; the log's time is 23 h 59 min ahead of the clocks of the gateway's nodes";
        assert_eq!(told(Code::TokenExpired, 86_399_000), cause);
        assert_eq!(told(Code::DeadlinePassed, 86_399_000), cause);
        assert_eq!(told(Code::DeadlinePassed, 4_999), "over");
        assert_eq!(told(Code::UnknownBank, 86_399_000), "over");
    }
}
