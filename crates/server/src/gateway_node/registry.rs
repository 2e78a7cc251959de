//! Looks at every known bank now and then: whether it answers, and whether it is registered.
//!
//! A bank's name is pinned to its group when it is seen first: another group that comes under the same name is refused,
//! and told so in the log, until somebody gives it a name of its own.

use super::banks::Link;
use super::desk::Desk;
use clearing::bank::Bank;
use clearing::{Command, Epoch, GroupId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

const LOOK_PERIOD: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_millis(1_000);

/// Runs as long as the node serves.
pub(super) async fn run(desk: Desk) {
    let mut refused = BTreeSet::new();
    loop {
        let Ok(registered) = desk.peek(|clearing| clearing.banks().to_vec()).await else {
            tokio::time::sleep(LOOK_PERIOD).await;
            continue;
        };
        for link in desk.banks.links() {
            look(&desk, &link, &registered, &mut refused).await;
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

async fn look(desk: &Desk, link: &Arc<Link>, registered: &[Bank], refused: &mut BTreeSet<(clearing::BankName, u128)>) {
    let asked = link.client().with_deadline(PATIENCE).status().await;
    let Ok(status) = asked else {
        link.set_reachable(false);
        return;
    };
    let Some(group) = status.cluster.as_ref().and_then(|id| GroupId::new(api::grpc::id_bits(id))) else { return };
    let known = registered.iter().find(|bank| bank.name == link.name);
    let is_pinned = known.is_some_and(|bank| bank.group == group);
    link.set_reachable(status.quorum && (is_pinned || known.is_none()));
    if is_pinned || !status.quorum || refused.contains(&(link.name, group.get())) {
        return;
    }
    let command = Command::RegisterBank { name: link.name, group, epoch: Epoch::FIRST, last_number: 0 };
    match desk.order(command).await {
        Ok(_) => info!(event = "bank_registered", bank = %link.name),
        Err(problem) if problem.code == api::code::Code::NameTaken => {
            refused.insert((link.name, group.get()));
            warn!(event = "bank_refused", bank = %link.name, why = "another bank has this name", todo = "give it another name");
        }
        // Tried again in a moment.
        Err(_) => {}
    }
}
