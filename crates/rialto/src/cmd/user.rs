//! `rialto user`: the customers of a bank, for its operator.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::password::{PasswordArgs, password};
use super::targets::TargetArgs;
use crate::failure::{Code, Failure};
use crate::members::bank::Bank;
use crate::network::name::BankName;

const EXAMPLES: &str = "\
Examples:
  rialto user add erin --bank alpha                      asks for a password
  rialto user add erin --bank alpha --password-file p --opening-balance 100.00
  rialto user import users.json --bank alpha             [{\"username\",\"password\" or \"password_hash\",\"opening_balance\"}]
  rialto user passwd erin --bank alpha
  rialto user lock erin --bank alpha                     no new debits, no sign-in; unlock undoes it

All of these may be repeated: a customer is made once, and an opening balance is posted once.";

/// Add customers to a bank, set their passwords, lock them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    #[command(flatten)]
    targets: TargetArgs,
    /// Which bank
    #[arg(long, global = true, value_name = "NAME", default_value = "alpha", value_parser = |text: &str| text.parse::<BankName>())]
    bank: BankName,
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

/// Reads a file of customers.
pub(crate) fn read_users(file: &Path) -> Result<Vec<NewUser>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("reading {}: {error}", file.display())))?;
    parse_users(&text).map_err(|error| {
        Failure::usage(format!("{} is no list of customers: {error}", file.display())).line(
            "it is [{\"username\": \"…\", \"password\" or \"password_hash\": \"…\", \"opening_balance\": \"100.00\"}, …]",
        )
    })
}

pub(crate) fn parse_users(text: &str) -> Result<Vec<NewUser>, serde_json::Error> {
    serde_json::from_str(text)
}

pub(crate) async fn run(args: UserArgs) -> Result<Code, Failure> {
    let UserArgs { command, targets, bank: name } = args;
    let bank = targets.bank(&name)?;
    match command {
        UserCommand::Add { username, password: given, opening_balance, currency } => {
            let password = Some(password(&given, None, &username).await?.expose().to_owned());
            let opening_balance = opening_balance.map(Value::from);
            let user = NewUser { username, password, password_hash: None, opening_balance, currency };
            tell(&name, &user.username, add(&bank, &user).await?);
        }
        UserCommand::Import { file } => {
            let users = read_users(&file)?;
            if users.iter().any(|user| user.password.is_some()) {
                eprintln!(
                    "warning: {} holds passwords in plain text: delete it, or keep hashes in it (password_hash)",
                    file.display()
                );
            }
            for user in &users {
                tell(&name, &user.username, add(&bank, user).await?);
            }
        }
        UserCommand::Passwd { username, password: given } => {
            let password = password(&given, None, &username).await?;
            bank.post(
                &format!("/v1/customers/{}/password", path_of(&username)),
                &json!({ "password": password.expose() }),
            )
            .await?;
            println!("{username} of bank {name} has a new password; sessions that are open stay open until they end");
        }
        UserCommand::Lock { username } => {
            bank.post(&format!("/v1/customers/{}/lock", path_of(&username)), &json!({ "locked": true })).await?;
            println!("{username} of bank {name} is locked: no new debits, no sign-in");
        }
        UserCommand::Unlock { username } => {
            bank.post(&format!("/v1/customers/{}/lock", path_of(&username)), &json!({ "locked": false })).await?;
            println!("{username} of bank {name} is not locked");
        }
    }
    Ok(Code::Done)
}

fn tell(bank: &BankName, username: &str, is_new: bool) {
    match is_new {
        true => println!("{username} is a customer of bank {bank} now"),
        false => println!("{username} was a customer of bank {bank} already; nothing was changed"),
    }
}

/// A name as part of a path: whatever is not plain is percent-encoded.
fn path_of(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_customers_is_read_and_a_misspelt_field_is_named() {
        let users = parse_users(include_str!("../../demo/users.json")).expect("the demo's own");
        assert!(users.iter().any(|user| user.username == "alice"));
        let wrong = parse_users(r#"[{"username":"x","pasword":"y"}]"#).err().map(|error| error.to_string());
        assert!(wrong.unwrap_or_default().contains("pasword"));
    }

    #[test]
    fn a_name_is_safe_in_a_path() {
        assert_eq!(path_of("zoë/../x"), "zo%C3%AB%2F..%2Fx");
    }
}
