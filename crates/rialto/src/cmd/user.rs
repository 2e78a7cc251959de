//! `rialto user`: the customers of a bank, for its operator.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::password::{PasswordArgs, password};
use super::targets::{TargetArgs, WhichBank};
use super::user_list::{UserList, Wrong, read_users};
use crate::failure::{Code, Failure};
use crate::members::bank::Bank;

const EXAMPLES: &str = "\
Examples:
  rialto user add erin --bank alpha                      asks for a password
  rialto user add erin --bank alpha --password-file p --opening-balance 100.00
  rialto user import users.json --bank alpha             [{\"username\",\"password\" or \"password_hash\",\"opening_balance\"}]
  rialto user passwd erin --bank alpha
  rialto user lock erin --bank alpha                     no new debits, no sign-in; unlock undoes it
  rialto user import users.json --bank alpha --json      {\"bank\",\"customers\":[{\"username\",\"made\"}]}

All of these may be repeated: a customer is made once, and an opening balance is posted once. An entry of a file that cannot be
used is named, and the others are made.
Exit codes: 0 as asked; 1 refused, or one entry was; 2 wrong flags; 8 the bank cannot be reached; 10 it may have been done;
130 Ctrl-C at the prompt; all: rialto help exit-codes";

/// Add customers to a bank, set their passwords, lock them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    which: WhichBank,
    /// One JSON object instead of sentences
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a customer with one account
    Add {
        username: String,
        #[command(flatten)]
        password: PasswordArgs,
        /// What the account holds at first; comes out of the vault
        #[arg(long, value_name = "AMOUNT")]
        opening_balance: Option<String>,
        /// Currency of the account [default: EUR]
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
    },
    /// Make all customers of a file
    Import { file: PathBuf },
    /// Set a customer's password
    Passwd {
        username: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// No new debits, and no sign-in
    Lock { username: String },
    /// As before
    Unlock { username: String },
}

/// One customer of `users.json`. It holds a password, so nothing prints it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    pub(crate) password_hash: Option<String>,
    #[serde(default)]
    pub(crate) opening_balance: Option<Value>,
    #[serde(default)]
    pub(crate) currency: Option<String>,
}

/// Without what is secret.
impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUser").field("username", &self.username).finish_non_exhaustive()
    }
}

impl NewUser {
    fn body(&self) -> Value {
        let mut body = json!({ "username": self.username });
        let fields = [
            ("password", self.password.clone().map(Value::from)),
            ("password_hash", self.password_hash.clone().map(Value::from)),
            ("opening_balance", self.opening_balance.clone()),
            ("currency", self.currency.clone().map(Value::from)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body
    }
}

/// Makes a customer; true if there was none.
pub(crate) async fn add(bank: &Bank, user: &NewUser) -> Result<bool, Failure> {
    let answer = bank.post("/v1/customers", &user.body()).await?;
    Ok(answer["replayed"] != Value::Bool(true))
}

/// Makes each of a list, and what came of those that could not be made. A bank that does not answer ends it: what is there
/// already stays, and the same list goes on.
pub(crate) async fn add_all(
    bank: &Bank,
    list: UserList,
    mut made: impl FnMut(&str, bool),
) -> Result<(usize, Wrong), Failure> {
    let UserList { users, mut wrong } = list;
    let mut count = 0;
    for user in &users {
        match bank.offer("/v1/customers", &user.body()).await? {
            Ok(answer) => {
                count += 1;
                made(&user.username, answer["replayed"] != Value::Bool(true));
            }
            Err(refused) => wrong.note(&user.username, refused.what()),
        }
    }
    Ok((count, wrong))
}

pub(crate) async fn run(args: UserArgs) -> Result<Code, Failure> {
    let UserArgs { command, targets, which, json: as_json } = args;
    let bank = targets.bank(&which)?;
    let name = bank.name().await?;
    match command {
        UserCommand::Add { username, password: given, opening_balance, currency } => {
            let password = Some(password(&given, None, &username).await?.expose().to_owned());
            let opening_balance = opening_balance.map(Value::from);
            let user = NewUser { username, password, password_hash: None, opening_balance, currency };
            let is_new = add(&bank, &user).await?;
            match as_json {
                true => println!("{}", json!({ "bank": name, "username": user.username, "made": is_new })),
                false => tell(&name, &user.username, is_new),
            }
        }
        UserCommand::Import { file } => {
            let list = read_users(&file)?;
            // A program that reads JSON would take the warning for an error.
            if !as_json && list.users.iter().any(|user| user.password.is_some()) {
                eprintln!(
                    "warning: {} holds passwords in plain text: delete it, or keep hashes in it (password_hash)",
                    file.display()
                );
            }
            let mut customers = Vec::new();
            let made = |username: &str, is_new: bool| match as_json {
                true => customers.push(json!({ "username": username, "made": is_new })),
                false => tell(&name, username, is_new),
            };
            let (made, wrong) = add_all(&bank, list, made).await?;
            if as_json && (made > 0 || wrong.is_empty()) {
                println!("{}", json!({ "bank": name, "customers": customers }));
            }
            if !wrong.is_empty() {
                return Err(wrong.failure(made));
            }
        }
        UserCommand::Passwd { username, password: given } => {
            let password = password(&given, None, &username).await?;
            bank.post(
                &format!("/v1/customers/{}/password", path_of(&username)),
                &json!({ "password": password.expose() }),
            )
            .await?;
            match as_json {
                true => println!("{}", json!({ "bank": name, "username": username, "password_set": true })),
                false => println!(
                    "{username} of bank {name} has a new password; sessions that are open stay open until they end"
                ),
            }
        }
        UserCommand::Lock { username } => {
            bank.post(&format!("/v1/customers/{}/lock", path_of(&username)), &json!({ "locked": true })).await?;
            match as_json {
                true => println!("{}", json!({ "bank": name, "username": username, "locked": true })),
                false => println!("{username} of bank {name} is locked: no new debits, no sign-in"),
            }
        }
        UserCommand::Unlock { username } => {
            bank.post(&format!("/v1/customers/{}/lock", path_of(&username)), &json!({ "locked": false })).await?;
            match as_json {
                true => println!("{}", json!({ "bank": name, "username": username, "locked": false })),
                false => println!("{username} of bank {name} is not locked"),
            }
        }
    }
    Ok(Code::Done)
}

fn tell(bank: &str, username: &str, is_new: bool) {
    match is_new {
        true => println!("{username} is a customer of bank {bank} now"),
        false => println!("{username} was a customer of bank {bank} already; nothing was changed"),
    }
}

/// A text as part of a path or of a query: whatever is not plain is percent-encoded.
pub(crate) fn path_of(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_a_path() {
        assert_eq!(path_of("zoë/../x"), "zo%C3%AB%2F..%2Fx");
    }
}
