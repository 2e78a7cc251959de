//! The word to stop: one for the whole process, heard from before the node's files are opened until it has ended, however
//! often they are opened anew.
//!
//! Whoever asks first says why. A node that serves drains and ends by itself; one that opens its files, joins a group, or
//! hangs has nothing that a crash could not end as well, so the process leaves it as it is.

use crate::config::NodeError;
use crate::handle::StopReason;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A node that serves has so long to end in order, from when it was asked to. Kubernetes and `rialto up` wait longer.
const GRACE: Duration = Duration::from_secs(6);

/// The word, and what the node is at. A clone is another handle of the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: Arc<watch::Sender<Option<StopReason>>>,
    stage: Arc<watch::Sender<Stage>>,
}

/// What the node is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has no callers: its files are opened, or it waits to be admitted.
    Opening,
    /// It has callers, who are to have their answers.
    Serving,
}

impl Default for Stop {
    fn default() -> Self {
        Self { asked: Arc::new(watch::Sender::new(None)), stage: Arc::new(watch::Sender::new(Stage::Opening)) }
    }
}

impl Stop {
    /// Has the node stop. Only the first word counts.
    pub(crate) fn ask(&self, reason: StopReason) {
        self.asked.send_if_modified(|asked| asked.is_none() && asked.replace(reason).is_none());
    }

    /// Why it is to stop, if it is.
    pub(crate) fn asked(&self) -> Option<StopReason> {
        *self.asked.borrow()
    }

    /// Ends when the node is to stop.
    pub(crate) async fn wait(&self) -> StopReason {
        let mut asked = self.asked.subscribe();
        let reason = asked.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        reason.unwrap_or(StopReason::Signal)
    }

    pub(crate) fn is_at(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// Ends when the node is to be waited for no longer: it was asked to stop, and has no callers or has had its time.
    pub(crate) async fn overdue(&self) -> StopReason {
        let reason = self.wait().await;
        let mut stage = self.stage.subscribe();
        // With nobody to be answered, there is nothing to wait for.
        let _ = tokio::time::timeout(GRACE, stage.wait_for(|stage| *stage == Stage::Opening)).await;
        reason
    }

    /// Listens for SIGTERM and SIGINT, and for the end of the parent if there is one to be watched.
    pub(crate) fn listen(&self, runtime: &Handle, watches_parent: bool) -> Result<(), NodeError> {
        let _inside = runtime.enter();
        let listen = |kind| signal(kind).map_err(NodeError::system("watching for signals"));
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let stop = self.clone();
        runtime.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.ask(StopReason::Signal);
        });
        if watches_parent { self.watch_parent() } else { Ok(()) }
    }

    /// Standard input is the parent's end of a pipe: when it closes, the parent is gone, however it ended.
    fn watch_parent(&self) -> Result<(), NodeError> {
        let stop = self.clone();
        let watch = move || {
            let mut byte = [0];
            while matches!(io::stdin().read(&mut byte), Ok(read) if read > 0) {}
            stop.ask(StopReason::ParentGone);
        };
        let started = thread::Builder::new().name("parent".to_owned()).spawn(watch);
        started.map(drop).map_err(NodeError::system("watching the parent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_word_counts_and_one_without_callers_is_not_waited_for() {
        let stop = Stop::default();
        assert_eq!(stop.asked(), None);
        stop.ask(StopReason::Asked);
        stop.ask(StopReason::Signal);
        assert_eq!(stop.overdue().await, StopReason::Asked);
    }

    #[tokio::test]
    async fn one_with_callers_has_its_time_and_none_after_them() {
        let stop = Stop::default();
        stop.is_at(Stage::Serving);
        stop.ask(StopReason::Signal);
        assert!(tokio::time::timeout(Duration::from_millis(20), stop.overdue()).await.is_err(), "it is drained");
        stop.is_at(Stage::Opening);
        assert_eq!(stop.overdue().await, StopReason::Signal);
    }
}
