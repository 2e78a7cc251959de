//! Demo customers: made once in each bank of a network that is new, so that there is somebody to pay.
//!
//! They are those of `DIR/demo/users.json`, which is written with the demo's own if it is not there: whoever wants others
//! puts them there first.

use std::path::Path;

use super::running::Running;
use crate::cmd::user::{add, read_users};
use crate::failure::Failure;
use crate::members::bank::{Bank, Nodes};
use crate::network::name::BankName;
use crate::network::network_file::Kind;

pub(super) const USERS: &str = include_str!("../../demo/users.json");

impl Running {
    /// Once the network is ready: banks that still lack their demo customers get them.
    pub(super) fn make_customers(&mut self) {
        if !self.ready || self.is_making_customers {
            return;
        }
        let lacking: Vec<BankName> = self
            .layout
            .banks
            .iter()
            .filter(|bank| bank.kind == Kind::Bank && bank.wants_demo && self.is_led(&bank.name))
            .map(|bank| bank.name.clone())
            .collect();
        if lacking.is_empty() {
            return;
        }
        self.is_making_customers = true;
        let (dir, done, news) = (self.dir.clone(), self.customers_made.0.clone(), self.news.0.clone());
        self.resizing.spawn(async move {
            for bank in lacking {
                match make(&dir, &bank).await {
                    Ok(names) => {
                        let _ = news.send(format!("bank {bank} has customers {}", names.join(", "))).await;
                        let _ = done.send(bank).await;
                    }
                    Err(failure) => {
                        let _ =
                            news.send(format!("the demo customers of bank {bank} could not be made: {failure}")).await;
                    }
                }
            }
        });
    }

    /// They are there: the next start does not make them again.
    pub(super) fn on_customers_made(&mut self, name: &BankName) -> Result<(), Failure> {
        if let Some(bank) = self.layout.bank_mut(name) {
            bank.wants_demo = false;
        }
        self.is_making_customers = self.layout.banks.iter().any(|bank| bank.wants_demo && self.is_led(&bank.name));
        self.layout.save(&self.dir)
    }

    /// Whether a bank of this name runs, and answers.
    fn is_led(&self, name: &BankName) -> bool {
        let run = self.banks.iter().find(|bank| bank.plan.name == *name);
        run.is_some_and(|run| {
            let view = run.view.borrow();
            view.ready().count() * 2 > run.plan.nodes.len()
        })
    }
}

async fn make(dir: &Path, name: &BankName) -> Result<Vec<String>, Failure> {
    let file = dir.join("demo").join("users.json");
    if !file.exists() {
        let written = std::fs::create_dir_all(dir.join("demo")).and_then(|()| std::fs::write(&file, USERS));
        written.map_err(|error| Failure::new(format!("writing {}: {error}", file.display())))?;
    }
    let bank = Bank { nodes: Nodes::Of { dir: dir.to_owned(), bank: name.to_string() }, token: None };
    let mut names = Vec::new();
    for user in read_users(&file)? {
        add(&bank, &user).await?;
        names.push(user.username);
    }
    Ok(names)
}
