//! Pays somebody at another bank, through the gateway.
//!
//! ```text
//! RIALTO_PASSWORD=… cargo run --package api --example pay -- 127.0.0.1:7311 alice@alpha bob@beta 12.50
//! ```

use std::error::Error;

use api::client::Secret;
use api::client::gateway::{GatewayClient, GatewayError, PaymentAnswer, Standing, new_payment_id};
use clearing::{NamedParty, Terms};
use ledger::{Currency, Reference, money};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, payer, payee, amount] = arguments.as_slice() else {
        return Err("give the gateway's address, payer, payee and amount".into());
    };
    let password = Secret::new(std::env::var("RIALTO_PASSWORD")?);
    let gateway = GatewayClient::connect([address])?;
    println!("{}", pay(&gateway, payer, &password, payee, amount).await?);
    Ok(())
}

/// Signs in, pays, signs out, and says in a sentence what became of it.
pub(crate) async fn pay(
    gateway: &GatewayClient,
    payer: &str,
    password: &Secret,
    payee: &str,
    amount: &str,
) -> Result<String, Box<dyn Error>> {
    let payer: NamedParty = payer.parse()?;
    let signed_in = gateway.login(&payer, password).await?;
    let customer = gateway.customer(&signed_in.token)?;
    let payment = Terms {
        // Made once. Whoever must not lose a payment when the process dies keeps it on disk before sending.
        id: new_payment_id(),
        payer,
        payee: payee.parse()?,
        amount: money::parse_decimal(amount, Currency::EUR)?,
        currency: Currency::EUR,
        reference: Reference::new("the example")?,
    };
    let answer = match customer.pay(&payment).await {
        // The one error after which money may have moved: the same payment again, never a new one, tells.
        Err(GatewayError::OutcomeUnknown { .. }) => customer.pay(&payment).await?,
        answer => answer?,
    };
    let left = customer.balance().await?;
    customer.logout().await?;
    Ok(format!("{}; {} left", sentence(&answer), money::format_signed(left.available, left.currency)))
}

fn sentence(answer: &PaymentAnswer) -> String {
    match &answer.standing {
        Standing::Paid { .. } => "paid".to_owned(),
        Standing::Undecided { .. } => format!("payment {} is on its way", answer.id),
        Standing::Refused { detail, .. } => format!("refused: {detail}"),
        Standing::NotTaken { detail, .. } => format!("not taken: {detail}; send it again"),
    }
}
