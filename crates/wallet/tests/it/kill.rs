//! Clients that are killed with SIGKILL in the middle of things. The client is this test's own binary, started again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use api::client::gateway::GatewayClient;
use clearing::PaymentId;
use clearing::outbox::ItemState;
use wallet::{Profile, Worker, now_ms};

use crate::desk::{Desk, QUICK, client, terms, until};
use crate::gateway::TestGateway;

const PROFILE: &str = "RIALTO_TEST_PROFILE";
const GATEWAY: &str = "RIALTO_TEST_GATEWAY";

/// No test, but the client that a test kills: orders payments without end, says each id once it is on disk, and sends
/// them if it is told where to.
#[test]
fn the_client_that_is_killed() {
    let Some(dir) = std::env::var_os(PROFILE) else { return };
    let profile = Profile::make(dir).expect("there is room");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let _entered = runtime.enter();
    let _running = std::env::var(GATEWAY).ok().map(|address| {
        let gateway = GatewayClient::connect([address]).expect("it is an address");
        Worker::new(&profile, &gateway, QUICK).expect("the outbox opens").start()
    });
    let mut outbox = profile.outbox().expect("the outbox opens");
    loop {
        let terms = terms("alice@alpha", 1);
        outbox.add(&terms, now_ms(), now_ms() + 3_600_000).expect("there is room");
        writeln!(std::io::stdout(), "ordered {}", terms.id.get()).expect("the test listens");
    }
}

/// Starts the client, and kills it after it said that it has ordered so many payments. Returns their ids.
fn killed_after(count: usize, profile: &Path, gateway: Option<String>) -> Vec<PaymentId> {
    let mut command = Command::new(std::env::current_exe().expect("this test has a binary"));
    command.args(["kill::the_client_that_is_killed", "--exact", "--nocapture"]).env(PROFILE, profile);
    command.env_remove(GATEWAY).envs(gateway.map(|address| (GATEWAY, address)));
    let mut child: Child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let id = |line: String| line.strip_prefix("ordered ")?.parse().ok().and_then(PaymentId::new);
    let ids = lines.map_while(Result::ok).filter_map(id).take(count).collect();
    child.kill().expect("it runs until it is killed");
    child.wait().expect("it was killed");
    ids
}

#[test]
fn what_was_said_to_be_ordered_is_on_disk_after_a_kill() {
    let desk = Desk::new();
    let mut said = Vec::new();
    for count in [1, 7, 30] {
        let now = killed_after(count, desk.profile.dir(), None);
        assert_eq!(now.len(), count);
        said.extend(now);
    }
    let outbox = desk.outbox();
    let kept: Vec<PaymentId> = outbox.open_entries().expect("it is read").iter().map(|e| e.terms.id).collect();
    let in_order: Vec<PaymentId> = kept.into_iter().filter(|id| said.contains(id)).collect();
    assert_eq!(in_order, said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_client_killed_while_it_sends_pays_nothing_twice_and_loses_nothing() {
    let (gateway, desk) = (TestGateway::new(), Desk::new());
    let serving = gateway.serve().await;
    gateway.take_time(std::time::Duration::from_millis(2));
    let client = client(&serving);
    desk.sign_in(&client, "alice@alpha").await;
    for _ in 0..3 {
        let (profile, address) = (desk.profile.dir().to_owned(), serving.address.to_string());
        tokio::task::spawn_blocking(move || killed_after(8, &profile, Some(address))).await.expect("it is killed");
    }
    let ids: Vec<PaymentId> =
        desk.outbox().newest(u32::MAX).expect("it is read").iter().map(|entry| entry.terms.id).collect();
    assert!(ids.len() >= 24);
    // What was on its way when the client died is known for perhaps sent, and is sent again with its id.
    let running = desk.start(&client);
    until("every payment has its end", || desk.outbox().open_entries().expect("it is read").is_empty()).await;
    assert!(ids.iter().all(|id| desk.entry(*id).item.state == ItemState::Done));
    assert_eq!(gateway.taken(), ids, "each once, in order");
    assert_eq!(gateway.balance("alice@alpha"), 10_000 - u128::try_from(ids.len()).expect("few"));
    running.stop().await;
}
