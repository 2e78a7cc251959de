//! Demo customers: made once in each bank of a network that is new, so that there is somebody to pay.
//!
//! They are those of `DIR/demo/users.json`, which is written with the demo's own if it is not there: whoever wants others
//! puts them there first.

use std::io::Write;
use std::path::Path;

use super::running::Running;
use crate::cmd::user::add_all;
use crate::cmd::user_list::read_users;
use crate::failure::Failure;
use crate::members::bank::Bank;
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
                    Ok(Made { names, wrong }) => {
                        let _ = news.send(format!("bank {bank} has customers {}", names.join(", "))).await;
                        if let Some(wrong) = wrong {
                            let _ = news.send(format!("of the demo customers of bank {bank} {wrong}")).await;
                        }
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

/// Customers of the file that are there now, and why others are not.
struct Made {
    names: Vec<String>,
    wrong: Option<Failure>,
}

async fn make(dir: &Path, name: &BankName) -> Result<Made, Failure> {
    let file = dir.join("demo").join("users.json");
    if !file.exists() {
        let written = storage::private::make_dir(&dir.join("demo"))
            .and_then(|()| storage::private::make_file(&file)?.write_all(USERS.as_bytes()));
        written.map_err(|error| Failure::new(format!("writing {}: {error}", file.display())))?;
    }
    let bank = Bank::here(dir, name);
    let mut names = Vec::new();
    let (count, wrong) = add_all(&bank, read_users(&file)?, |username, _| names.push(username.to_owned())).await?;
    Ok(Made { names, wrong: (!wrong.is_empty()).then(|| wrong.failure(count)) })
}
