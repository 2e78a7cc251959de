//! What every handler of the gateway has at hand, and the steps that all of them take.

use super::Gateway;
use super::banks::Banks;
use super::sign_in::Failures;
use super::tokens::Tokens;
use super::waiting::Waiting;
use crate::clock::wall_ms;
use crate::edge::guard::Guard;
use crate::edge::identity::not_done;
use crate::edge::metrics::Metrics;
use crate::edge::port::SubmitError;
use api::code::Code;
use api::payment;
use api::problem::Problem;
use clearing::{Answer, Clearing, Command, NodeNumber, Outcome, PaymentId, Request};
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
    /// The setting, as of a moment ago.
    pub(super) vote_timeout_ms: Arc<AtomicU64>,
    pub(super) nudges: mpsc::Sender<Vec<PaymentId>>,
    pub(super) failures: Arc<Failures>,
    pub(super) guard: Guard,
    pub(super) metrics: Metrics,
}

impl Desk {
    /// Has the group carry commands out: one answer for each.
    pub(super) async fn submit(&self, commands: Vec<Command>) -> Result<Vec<Answer>, SubmitError> {
        let is_beginning = matches!(commands.first(), Some(Command::BeginEpoch { .. }));
        if self.gateway.life().restoring && !is_beginning {
            let reason = "the gateway was restored from a backup and begins anew".to_owned();
            return Err(SubmitError::NotProposed { reason, retry_after_ms: 500 });
        }
        let request = Request { commands };
        let answers = self.gateway.submit_encoded(request.encode().into()).await?;
        // Requests are encoded here, so they can be read; unless members of other versions disagree about it.
        let answers = answers.map_err(|_| SubmitError::OutcomeUnknown)?;
        if answers.len() == request.commands.len() { Ok(answers) } else { Err(SubmitError::OutcomeUnknown) }
    }

    /// Has one command carried out that is not about a payment; safe to repeat.
    pub(super) async fn order(&self, command: Command) -> Result<Outcome, Problem> {
        let answers = self.submit(vec![command]).await.map_err(|error| unanswered(&error))?;
        match answers.first() {
            Some(Answer::Done { outcome, .. }) => Ok(*outcome),
            Some(Answer::Refused(refusal)) => Err(payment::problem(refusal)),
            None => Err(Problem::new(Code::Internal, "the node gave no answer to a command")),
        }
    }

    /// Something has happened to these payments: their drivers look at them now. What finds no room is looked at a moment later
    /// with all others.
    pub(super) fn nudge(&self, payments: Vec<PaymentId>) {
        let _ = self.nudges.try_send(payments);
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

/// The gateway's time as this node sees it: never behind what is on record.
pub(super) fn now_ms(clearing: &Clearing) -> u64 {
    wall_ms().max(clearing.time_ms())
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

pub(super) fn unreadable(error: &PastError) -> Problem {
    Problem::new(Code::Internal, format!("the journal could not be read: {error}; ask another node"))
}
