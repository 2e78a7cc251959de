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
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

const LOOK_PERIOD: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_millis(1_000);

/// Of one bank, one line in so long.
const TELL_PERIOD: Duration = Duration::from_secs(60);

/// What has been told, and need not be told every time: of each bank only the newest, for a bank may say something else at each
/// look.
#[derive(Default)]
struct Told {
    /// The group that came under the name of another.
    refused: BTreeMap<BankName, GroupId>,
    last: BTreeMap<BankName, (Trouble, Instant)>,
}

/// What is wrong with a bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    Refused(GroupId),
    Superseded(Epoch),
    TooFar(Epoch),
}

impl Told {
    /// Whether that is to be told: not if it was told last, and not so soon after something else. Then it is, later, if it is
    /// still so.
    fn is_news(&mut self, bank: BankName, trouble: Trouble, now: Instant) -> bool {
        let last = self.last.get(&bank);
        if last.is_some_and(|(last, at)| *last == trouble || now.saturating_duration_since(*at) < TELL_PERIOD) {
            return false;
        }
        self.last.insert(bank, (trouble, now));
        true
    }

    /// Keeps nothing of banks that are called no more.
    fn retain(&mut self, links: &[Arc<Link>]) {
        let names: BTreeSet<BankName> = links.iter().map(|link| link.name).collect();
        self.refused.retain(|name, _| names.contains(name));
        self.last.retain(|name, _| names.contains(name));
    }
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
            let links = desk.banks.links();
            noted(&told).retain(&links);
            for link in links {
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
            if noted(told).is_news(link.name, Trouble::Superseded(epoch), Instant::now()) {
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
        _ if !status.quorum || noted(told).refused.get(&link.name) == Some(&group) => link.set_reachable(false),
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
            noted(told).refused.insert(link.name, group);
            if noted(told).is_news(link.name, Trouble::Refused(group), Instant::now()) {
                warn!(event = "bank_refused", bank = %link.name, why = "another bank has this name", todo = "give it another name");
            }
        }
        // Tried again like what follows: an operator may have brought the gateway's state up to date meanwhile.
        Err(problem) if problem.code == api::code::Code::EpochTooFar => {
            link.set_reachable(false);
            if noted(told).is_news(link.name, Trouble::TooFar(epoch), Instant::now()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_that_says_something_else_at_each_look_is_a_line_a_minute_and_keeps_no_more() {
        let (mut told, began) = (Told::default(), Instant::now());
        let bank = |name: &str| BankName::new(name).expect("a name");
        let (liar, other) = (bank("alpha"), bank("beta"));
        let mut lines = 0;
        for look in 0..1_000_u32 {
            let now = began + LOOK_PERIOD * look;
            let group = GroupId::new(u128::from(look) + 1).expect("not nil");
            let epoch = Epoch::new(look + 1).expect("not zero");
            let troubles = [Trouble::Refused(group), Trouble::Superseded(epoch), Trouble::TooFar(epoch)];
            lines += troubles.into_iter().filter(|trouble| told.is_news(liar, *trouble, now)).count();
        }
        assert_eq!(lines, 5, "five minutes have passed");
        assert_eq!(told.last.len(), 1);
        let trouble = Trouble::TooFar(Epoch::new(99).expect("not zero"));
        assert!(told.is_news(other, trouble, began), "each bank for itself");
        assert!(!told.is_news(other, trouble, began + 2 * TELL_PERIOD), "what was told last is not told again");
        told.retain(&[]);
        assert_eq!(told.last.len(), 0);
    }
}
