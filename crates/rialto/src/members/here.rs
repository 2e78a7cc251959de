//! The same steps for a bank whose nodes `rialto up` runs: it makes, starts and stops the processes.

use std::path::Path;

use api::json::GroupState;
use api::status::MemberRole;

use super::bank::{Bank, Nodes};
use super::{Newcomer, News, Runs, Say, add, find, remove, unknown, voters};
use crate::failure::Failure;
use crate::network::layout::{BankLayout, Layout};
use crate::network::name::BankName;
use crate::supervise::requests::{Reply, Request, ask};

fn bank_of(dir: &Path, name: &BankName) -> Bank {
    Bank { nodes: Nodes::Of { dir: dir.to_owned(), bank: name.to_string() }, token: None }
}

fn layout_of(dir: &Path, name: &BankName) -> Result<BankLayout, Failure> {
    let layout = Layout::load(dir)?.unwrap_or_default();
    layout.bank(name).cloned().ok_or_else(|| {
        Failure::usage(format!("there is no bank {name} in {}", dir.display())).line("start one: rialto up")
    })
}

/// One more member; one that an interrupted command began with is finished first.
pub(crate) async fn add_here(dir: &Path, name: &BankName, say: Say<'_>) -> Result<GroupState, Failure> {
    let bank = bank_of(dir, name);
    let group = bank.group().await?;
    let layout = layout_of(dir, name)?;
    let begun = layout.joined.iter().find(|seat| {
        let is_voter = find(&group, seat.node).is_some_and(|member| member.role == MemberRole::Voter);
        layout.seat(seat.node).is_some() && seat.replaces.is_none() && !is_voter
    });
    let node = begun.map_or_else(|| next_number(&group, &layout), |seat| Ok(seat.node))?;
    join(dir, name, node, None, say).await
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

async fn join(
    dir: &Path,
    name: &BankName,
    node: u16,
    replaces: Option<u16>,
    say: Say<'_>,
) -> Result<GroupState, Failure> {
    let reply = ask(dir, &Request::Add { bank: name.clone(), node, replaces }).await?;
    let Reply::Added(started) = reply else {
        return Err(Failure::new(format!("the rialto up of {} answered something else", dir.display())));
    };
    let newcomer =
        Newcomer { node, peer: started.peer, http: started.http, disk: Some(started.disk), runs: Runs::Here };
    add(&bank_of(dir, name), &newcomer, say).await
}

/// One member less, and its process ended.
pub(crate) async fn remove_here(dir: &Path, name: &BankName, node: u16, say: Say<'_>) -> Result<GroupState, Failure> {
    let bank = bank_of(dir, name);
    let group = bank.group().await?;
    if find(&group, node).is_none() && layout_of(dir, name)?.seat(node).is_none() {
        return Err(unknown(node, &group));
    }
    let group = remove(&bank, node, say).await?;
    ask(dir, &Request::Remove { bank: name.clone(), node }).await?;
    say(News::Line(format!("the process of node {node} has been told to end; its directory may be deleted")));
    Ok(group)
}

/// A newcomer for an old member. Run again, it goes on with the same newcomer.
pub(crate) async fn replace_here(dir: &Path, name: &BankName, old: u16, say: Say<'_>) -> Result<GroupState, Failure> {
    let group = bank_of(dir, name).group().await?;
    let layout = layout_of(dir, name)?;
    let begun = layout.seats().into_iter().find(|seat| seat.replaces == Some(old)).map(|seat| seat.node);
    let old_is_member = find(&group, old).is_some();
    let new = match begun {
        Some(new) => new,
        None if old_is_member => next_number(&group, &layout)?,
        None => return Err(unknown(old, &group)),
    };
    join(dir, name, new, Some(old), say).await?;
    remove_here(dir, name, old, say).await.or_else(|failure| {
        // It was gone already, and nothing of it runs: an earlier run of this command has done it all.
        if old_is_member { Err(failure) } else { Ok(group) }
    })
}

/// Adds or removes until so many have a vote. `say` gets lines for people.
pub(crate) async fn resize(
    dir: &Path,
    name: &BankName,
    nodes: u16,
    say: impl Fn(String) + Send + Sync,
) -> Result<(), Failure> {
    let bank = bank_of(dir, name);
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
            std::cmp::Ordering::Less => add_here(dir, name, &mut tell).await?,
            std::cmp::Ordering::Greater => remove_here(dir, name, who_goes(&bank, &have).await?, &mut tell).await?,
            std::cmp::Ordering::Equal => break,
        };
        let members: Vec<String> = voters(&group).iter().map(u16::to_string).collect();
        tell(News::Line(format!("bank {name} has {} members now: {}", members.len(), members.join(" "))));
    }
    // A learner that an interrupted growth left behind is not one of so many.
    let group = bank.group().await?;
    for learner in group.members.iter().filter(|member| member.role == MemberRole::Learner) {
        remove_here(dir, name, learner.node, &mut tell).await?;
    }
    Ok(())
}

/// One that does not answer, if there is one; else the newest.
async fn who_goes(bank: &Bank, voters: &[u16]) -> Result<u16, Failure> {
    let answering: Vec<u16> = bank.statuses().await?.iter().map(|status| status.node).collect();
    let silent = voters.iter().rev().find(|node| !answering.contains(node));
    silent.or(voters.last()).copied().ok_or_else(|| Failure::new("nobody has a vote"))
}
