//! Why a node ended, as its operator needs it: the node's own sentence, what to do, and the exit code.

use server::{BankNodeConfig, NodeError};

use crate::failure::{Code, Failure};

/// The node's own sentence, and what to do.
pub(super) fn explain(error: &NodeError, config: &BankNodeConfig) -> Failure {
    let node = config.node;
    match error {
        NodeError::Listen { address, purpose, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::cannot_start(format!("port {} is taken by another program", address.port()))
                .line(format!("node {node} of bank {} wants to serve {purpose} at {address}", config.group))
        }
        NodeError::Lock(_) => Failure::cannot_start(error.to_string())
            .line("two processes on one directory would vote twice: stop the other one first"),
        NodeError::Identity(_) | NodeError::Recover(_) | NodeError::Failed(_) => match Disaster::of(error) {
            Disaster::Rot => damaged(error, config),
            Disaster::Full | Disaster::Failing => disk(error, config),
            Disaster::Bug => Failure::new(format!("node {node} stops: {error}")).with_code(Code::Bug),
            Disaster::Other => Failure::cannot_start(error.to_string()),
        },
        NodeError::LogGone { .. } => damaged(error, config),
        NodeError::NotThisNode { .. } | NodeError::Config(_) | NodeError::Listen { .. } | NodeError::System { .. } => {
            Failure::cannot_start(error.to_string())
        }
    }
}

/// What a failure of storage is to the one who has to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disaster {
    Full,
    Failing,
    Rot,
    Bug,
    Other,
}

impl Disaster {
    /// The node's threads tell their end as a sentence, so the sentence decides: storage's wording of rot and of a full
    /// disk is fixed, and an integration test sees rot arrive here as its exit code.
    fn of(error: &NodeError) -> Disaster {
        let text = error.to_string();
        if text.contains("no space left") || text.contains("quota exceeded") {
            Disaster::Full
        } else if text.contains("is damaged") || text.contains("has diverged") || text.contains("is missing") {
            Disaster::Rot
        } else if text.contains("this is a bug") {
            Disaster::Bug
        } else if matches!(error, NodeError::Failed(_)) {
            Disaster::Failing
        } else {
            Disaster::Other
        }
    }
}

fn damaged(error: &NodeError, config: &BankNodeConfig) -> Failure {
    Failure::new(error.to_string())
        .with_code(Code::Damaged)
        .line(format!("node {} stays down so that it cannot spread what is wrong; the other nodes go on", config.node))
        .line(format!("keep {} as it is for examination", config.data.display()))
}

fn disk(error: &NodeError, config: &BankNodeConfig) -> Failure {
    let failure = Failure::new(format!("node {} stops: {error}", config.node)).with_code(Code::Disk);
    if Disaster::of(error) == Disaster::Full {
        failure.line("nothing is lost; free at least 128 MiB and start it again")
    } else {
        failure.line("nothing that was acknowledged is lost; start it again when the disk is well")
    }
}
