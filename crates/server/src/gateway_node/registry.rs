//! Looks at every known bank now and then: whether it answers, whether it is registered, whether it came back from a backup.
//!
//! A bank's name is pinned to its group when it is seen first: another group that comes under the same name is refused,
//! and told so in the log, until somebody gives it a name of its own. A bank that was restored comes as a newer incarnation
//! of its group: it gets its payments again before anything else is asked of it (`replaying.rs`). And a gateway that was
//! itself restored says so in its own log first, so that banks and its own rules know it from the one that is gone.

use super::banks::Link;
use super::desk::Desk;
use super::recall;
use super::replaying;
use clearing::bank::{Bank, Standing};
use clearing::{BankName, Command, Epoch, GroupId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

const LOOK_PERIOD: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_millis(1_000);

/// What has been told already, and need not be told every time.
#[derive(Default)]
struct Told {
    refused: BTreeSet<(BankName, u128)>,
    superseded: BTreeSet<(BankName, u32)>,
    too_far: BTreeSet<(BankName, u32)>,
}

fn noted(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs as long as the node serves.
pub(super) async fn run(desk: Desk) {
    let told = Arc::new(Mutex::new(Told::default()));
    loop {
        if let Some(epoch) = epoch_to_begin(&desk) {
            if is_proposer(&desk) {
                recall::begin_epoch(&desk, epoch).await;
            }
        } else if let Ok((own, registered)) = desk.peek(|clearing| (clearing.epoch(), clearing.banks().to_vec())).await
        {
            // All at once: a bank that does not answer delays the look at no other.
            let registered = Arc::new(registered);
            let mut looks = JoinSet::new();
            for link in desk.banks.links() {
                let (desk, registered, told) = (desk.clone(), Arc::clone(&registered), Arc::clone(&told));
                looks.spawn(async move { look(&desk, &link, (own, &registered), &told).await });
            }
            while looks.join_next().await.is_some() {}
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// The incarnation of this group, if its state still speaks as an older one.
fn epoch_to_begin(desk: &Desk) -> Option<Epoch> {
    let life = desk.gateway.life();
    if life.restoring { Epoch::new(life.incarnation) } else { None }
}

async fn look(desk: &Desk, link: &Arc<Link>, (own, registered): (Epoch, &[Bank]), told: &Mutex<Told>) {
    let asked = link.client().with_deadline(PATIENCE).status().await;
    let Ok(status) = asked else {
        link.looked_in_vain();
        return;
    };
    link.looked(status.cluster.as_ref().and_then(|id| GroupId::new(api::grpc::id_bits(id))));
    let Some(group) = status.cluster.as_ref().and_then(|id| GroupId::new(api::grpc::id_bits(id))) else { return };
    // A node of before there were restores names no incarnation.
    let Some(epoch) = Epoch::new(status.incarnation.max(1)) else { return };
    let known = registered.iter().find(|bank| bank.name == link.name);
    match known {
        Some(bank) if bank.group == group && epoch < bank.epoch => {
            link.set_reachable(false);
            if noted(told).superseded.insert((link.name, epoch.get())) {
                let newest = bank.epoch.get();
                error!(event = "bank_superseded", bank = %link.name, incarnation = epoch.get(), newest, todo = "if this bank was restored from a backup and nodes of before still run: stop them; if this is what was restored last: restore it with --incarnation above the newest");
            }
        }
        Some(bank) if bank.group == group && epoch == bank.epoch => match bank.standing {
            Standing::Live => {
                link.set_reachable(status.quorum && !status.restoring);
                if status.restoring && link.client().caught_up(own, epoch.get(), bank.lost).await.is_ok() {
                    info!(event = "bank_serves_again", bank = %link.name, incarnation = epoch.get());
                }
            }
            Standing::Restored { after, .. } => {
                link.set_reachable(false);
                if is_proposer(desk) && status.quorum {
                    replaying::begin(desk, link, bank, after);
                }
            }
        },
        _ if !status.quorum || noted(told).refused.contains(&(link.name, group.get())) => link.set_reachable(false),
        Some(_) | None => {
            // A newcomer is called from when the log knows it, one that was restored when it has its payments again.
            if known.is_some() {
                link.set_reachable(false);
            }
            let command = Command::RegisterBank { name: link.name, group, epoch, last_number: status.complete_through };
            if register(desk, link, command, told).await && known.is_none() {
                link.set_reachable(true);
            }
        }
    }
}

/// Whether the log knows it now.
async fn register(desk: &Desk, link: &Arc<Link>, command: Command, told: &Mutex<Told>) -> bool {
    let Command::RegisterBank { group, epoch, last_number, .. } = command else { return false };
    match desk.order(command).await {
        Ok(_) => {
            info!(event = "bank_registered", bank = %link.name, incarnation = epoch.get(), last_number);
            return true;
        }
        Err(problem) if problem.code == api::code::Code::NameTaken => {
            link.set_reachable(false);
            noted(told).refused.insert((link.name, group.get()));
            warn!(event = "bank_refused", bank = %link.name, why = "another bank has this name", todo = "give it another name");
        }
        // Tried again like what follows: an operator may have brought the gateway's state up to date meanwhile.
        Err(problem) if problem.code == api::code::Code::EpochTooFar => {
            link.set_reachable(false);
            if noted(told).too_far.insert((link.name, epoch.get())) {
                error!(event = "bank_too_far_ahead", bank = %link.name, incarnation = epoch.get(), why = %problem.detail, effect = "its payments wait", todo = "a restore begins the incarnation after the newest one: see who speaks for this bank");
            }
        }
        // Tried again in a moment.
        Err(_) => {}
    }
    false
}

/// One node is enough to bring a bank its payments; the next proposer takes over.
pub(super) fn is_proposer(desk: &Desk) -> bool {
    desk.gateway.node_status().proposer == Some(desk.node.get())
}
