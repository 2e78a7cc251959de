//! Why a node ended, as its operator needs it: the node's own sentence, what to do, and the exit code.

use server::{FailureKind, NodeConfig, NodeError};

use crate::failure::{Code, Failure};
use crate::network::ports::in_use;

/// The node's own sentence, and what to do.
pub(super) fn explain(error: &NodeError, config: &NodeConfig) -> Failure {
    let node = config.node;
    match error {
        NodeError::Listen { address, purpose, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::cannot_start(in_use(address.port()))
                .line(format!("node {node} of bank {} wants to serve {purpose} at {address}", config.group))
        }
        NodeError::Lock(_) => Failure::cannot_start(error.to_string())
            .line("two processes on one directory would vote twice: stop the other one first"),
        NodeError::Removed { .. } => Failure::new(error.to_string())
            .with_code(Code::Removed)
            .line("whoever supervises it leaves it down; a new node gets a new number: rialto members add"),
        NodeError::Identity(_)
        | NodeError::Recover(_)
        | NodeError::Failed { .. }
        | NodeError::LogGone { .. }
        | NodeError::NotThisNode { .. }
        | NodeError::OtherDisk { .. }
        | NodeError::Forgetful { .. }
        | NodeError::Diverged { .. }
        | NodeError::Rotten { .. }
        | NodeError::Config(_)
        | NodeError::Certificate(_)
        | NodeError::Listen { .. }
        | NodeError::System { .. } => match error.kind() {
            FailureKind::Damaged => damaged(error, config),
            FailureKind::DiskFull | FailureKind::Disk => disk(error, config),
            FailureKind::Bug => Failure::new(format!("node {node} stops: {error}")).with_code(Code::Bug),
            FailureKind::Other => Failure::cannot_start(error.to_string()),
        },
    }
}

fn damaged(error: &NodeError, config: &NodeConfig) -> Failure {
    let failure = Failure::new(error.to_string())
        .with_code(Code::Damaged)
        .line(format!("node {} stays down so that it cannot spread what is wrong; the other nodes go on", config.node));
    let remedy = format!("rialto members replace {}", config.node);
    // Most sentences name it themselves.
    let failure = if failure.to_string().contains(&remedy) {
        failure
    } else {
        failure.line(format!("if its next start does not mend it, give the group a new node in its place: {remedy}"))
    };
    failure.line(format!("keep {} as it is for examination", config.data.display()))
}

fn disk(error: &NodeError, config: &NodeConfig) -> Failure {
    let failure = Failure::new(format!("node {} stops: {error}", config.node)).with_code(Code::Disk);
    if error.kind() == FailureKind::DiskFull {
        failure.line("nothing is lost; free at least 128 MiB and start it again")
    } else {
        failure.line("nothing that was acknowledged is lost; start it again when the disk is well")
    }
}
