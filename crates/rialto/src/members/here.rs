//! The same steps for a bank whose nodes `rialto up` runs: it makes, starts and stops the processes.

use std::path::{Path, PathBuf};

use api::code::Code;
use api::json::GroupState;
use api::status::MemberRole;

use super::bank::Bank;
use super::{Newcomer, News, Runs, Say, add, find, remove, unknown, voters};
use crate::failure::Failure;
use crate::follow_up;
use crate::network::layout::{BankLayout, Layout};
use crate::network::name::BankName;
use crate::plain::counted_of;
use crate::supervise::requests::{Reply, Request, ask};

/// A bank of the network that `rialto up` runs in a directory: the cluster that is there when the command begins. One that is
/// founded in the same directory meanwhile is another, and is left alone.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    dir: PathBuf,
    name: BankName,
    pub(crate) bank: Bank,
}

impl Here {
    pub(crate) fn of(dir: &Path, name: &BankName, bank: Bank) -> Here {
        Here { dir: dir.to_owned(), name: name.clone(), bank }
    }

    async fn layout(&self) -> Result<BankLayout, Failure> {
        let (name, dir, dir_flag) = (&self.name, self.dir.display(), follow_up::dir_flag(&self.dir));
        let cluster = self.bank.cluster().await?;
        let found = Layout::load(&self.dir)?.unwrap_or_default().bank(name).cloned().ok_or_else(|| {
            Failure::usage(format!("there is no bank {name} in {dir}")).line(format!("start one: rialto up{dir_flag}"))
        })?;
        if found.cluster != cluster {
            return Err(Failure::new(format!("in {dir} is another bank {name} now than this command began with"))
                .line(format!("nothing was changed there; look who is there now: rialto status{dir_flag}"))
                .with_problem(Code::OtherCluster));
        }
        Ok(found)
    }

    /// One more member; one that an interrupted command began with is finished first.
    pub(crate) async fn add(&self, say: Say<'_>) -> Result<GroupState, Failure> {
        let group = self.bank.group().await?;
        let layout = self.layout().await?;
        let begun = layout.joined.iter().find(|seat| {
            let is_voter = find(&group, seat.node).is_some_and(|member| member.role == MemberRole::Voter);
            layout.seat(seat.node).is_some() && seat.replaces.is_none() && !is_voter
        });
        let node = begun.map_or_else(|| next_number(&group, &layout), |seat| Ok(seat.node))?;
        self.join(node, None, say).await
    }

    async fn join(&self, node: u16, replaces: Option<u16>, say: Say<'_>) -> Result<GroupState, Failure> {
        let cluster = self.bank.cluster().await?;
        let reply = ask(&self.dir, &Request::Add { bank: self.name.clone(), cluster, node, replaces }).await?;
        let Reply::Added(started) = reply else {
            return Err(Failure::new(format!("the rialto up of {} answered something else", self.dir.display())));
        };
        let newcomer =
            Newcomer { node, peer: started.peer, http: started.http, disk: Some(started.disk), runs: Runs::Here };
        add(&self.bank, &newcomer, say).await
    }

    /// One member less, and its process ended.
    pub(crate) async fn remove(&self, node: u16, say: Say<'_>) -> Result<GroupState, Failure> {
        let group = self.bank.group().await?;
        if find(&group, node).is_none() && self.layout().await?.seat(node).is_none() {
            return Err(unknown(node, &group));
        }
        let group = remove(&self.bank, node, say).await?;
        let cluster = self.bank.cluster().await?;
        ask(&self.dir, &Request::Remove { bank: self.name.clone(), cluster, node }).await?;
        say(News::Line(format!(
            "if the process of node {node} runs, it has been told to end; its directory may be deleted"
        )));
        Ok(group)
    }

    /// A newcomer for an old member. Run again, it goes on with the same newcomer.
    pub(crate) async fn replace(&self, old: u16, say: Say<'_>) -> Result<GroupState, Failure> {
        let group = self.bank.group().await?;
        let layout = self.layout().await?;
        let begun = layout.seats().into_iter().find(|seat| seat.replaces == Some(old)).map(|seat| seat.node);
        let old_is_member = find(&group, old).is_some();
        let new = match begun {
            Some(new) => new,
            None if old_is_member => next_number(&group, &layout)?,
            None => return Err(unknown(old, &group)),
        };
        self.join(new, Some(old), say).await?;
        self.remove(old, say).await.or_else(|failure| {
            // It was gone already, and nothing of it runs: an earlier run of this command has done it all.
            if old_is_member { Err(failure) } else { Ok(group) }
        })
    }
}

/// The group's next number, passing over those that were used for nodes of this directory which were never admitted.
fn next_number(group: &GroupState, layout: &BankLayout) -> Result<u16, Failure> {
    let here = layout.left.iter().chain(layout.joined.iter().map(|seat| &seat.node)).max().map_or(0, |node| node + 1);
    u16::try_from(group.next_number)
        .ok()
        .map(|next| next.max(here))
        .filter(|next| *next <= 99)
        .ok_or_else(|| Failure::new("the bank has used up all its node numbers, 1 to 99"))
}

/// Adds or removes until so many have a vote. `say` gets lines for people.
pub(crate) async fn resize(
    dir: &Path,
    name: &BankName,
    nodes: u16,
    say: impl Fn(String) + Send + Sync,
) -> Result<(), Failure> {
    let here = Here::of(dir, name, Bank::here(dir, name));
    let bank = &here.bank;
    let mut quarter = 0;
    let mut tell = |news| match news {
        News::Line(line) => say(line),
        News::Progress { doing, done, total } => {
            let now = (done * 4).checked_div(total).unwrap_or(0);
            if now != quarter && now > 0 && now < 4 {
                say(format!("{doing}: {} %", now * 25));
            }
            quarter = now;
        }
    };
    loop {
        let group = bank.group().await?;
        let have = voters(&group);
        let group = match have.len().cmp(&usize::from(nodes)) {
            std::cmp::Ordering::Less => here.add(&mut tell).await?,
            std::cmp::Ordering::Greater => here.remove(who_goes(bank, &have).await?, &mut tell).await?,
            std::cmp::Ordering::Equal => break,
        };
        let members: Vec<String> = voters(&group).iter().map(u16::to_string).collect();
        tell(News::Line(format!(
            "bank {name} has {} now: {}",
            counted_of(members.len(), "member", "members"),
            members.join(" ")
        )));
    }
    // A learner that an interrupted growth left behind is not one of so many.
    let group = bank.group().await?;
    for learner in group.members.iter().filter(|member| member.role == MemberRole::Learner) {
        here.remove(learner.node, &mut tell).await?;
    }
    Ok(())
}

/// One that does not answer, if there is one; else the newest.
async fn who_goes(bank: &Bank, voters: &[u16]) -> Result<u16, Failure> {
    let answering: Vec<u16> = bank.statuses().await?.iter().map(|status| status.node).collect();
    let silent = voters.iter().rev().find(|node| !answering.contains(node));
    silent.or(voters.last()).copied().ok_or_else(|| Failure::new("nobody has a vote"))
}
