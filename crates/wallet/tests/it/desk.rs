//! What the tests share: a profile in a directory of its own, payments, and waiting for a condition.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use api::client::Secret;
use api::client::gateway::{GatewayClient, new_payment_id};
use clearing::{PaymentId, Terms};
use ledger::{Amount, Currency, Reference};
use wallet::{Entry, Network, Outbox, Profile, Running, SignIn, Worker, WorkerOptions, now_ms};

use crate::gateway::{PASSWORD, Serving};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) const QUICK: WorkerOptions =
    WorkerOptions { look_every: Duration::from_millis(10), attempt: Duration::from_millis(1_500) };

/// A profile that goes with its directory when the test ends.
pub(crate) struct Desk {
    dir: PathBuf,
    pub(crate) profile: Profile,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rialto-wallet-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let profile = Profile::make(&dir).expect("there is room");
        Desk { dir, profile }
    }

    pub(crate) fn outbox(&self) -> Outbox {
        self.profile.outbox().expect("the outbox opens")
    }

    /// Orders a payment to carol that is wanted for an hour.
    pub(crate) fn order(&self, payer: &str, minor: u128) -> PaymentId {
        self.order_until(payer, minor, now_ms() + 3_600_000)
    }

    pub(crate) fn order_until(&self, payer: &str, minor: u128, deadline_ms: u64) -> PaymentId {
        let terms = terms(payer, minor);
        self.outbox().add(&terms, now_ms(), deadline_ms).expect("there is room");
        terms.id
    }

    pub(crate) async fn sign_in(&self, client: &GatewayClient, customer: &str) {
        let customer = customer.parse().expect("well formed");
        let signed_in = client.login(&customer, &Secret::new(PASSWORD)).await.expect("the password is right");
        let sign_in = SignIn { customer, expires_ms: signed_in.expires_ms, token: signed_in.token };
        let id = client.network().expect("it has answered");
        let network = Network { id, authorities: Default::default(), gateways: Default::default() };
        self.profile.keep(&sign_in, &network).expect("there is room");
    }

    pub(crate) fn start(&self, client: &GatewayClient) -> Running {
        Worker::new(&self.profile, client, QUICK).expect("the outbox opens").start()
    }

    pub(crate) fn entry(&self, id: PaymentId) -> Entry {
        self.outbox().entry(id).expect("it was ordered")
    }

    pub(crate) async fn until_over(&self, ids: &[PaymentId]) {
        until("the payments have their ends", || ids.iter().all(|id| self.entry(*id).item.state.is_final())).await;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub(crate) fn terms(payer: &str, minor: u128) -> Terms {
    Terms {
        id: new_payment_id(),
        payer: payer.parse().expect("well formed"),
        payee: "carol@alpha".parse().expect("well formed"),
        amount: Amount::new(minor).expect("in range"),
        currency: Currency::EUR,
        reference: Reference::EMPTY,
    }
}

pub(crate) fn client(serving: &Serving) -> GatewayClient {
    GatewayClient::connect([serving.address.to_string()]).expect("it is an address")
}

/// Returns once it holds; generous, since the machine may be busy.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
