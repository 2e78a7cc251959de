//! Killed, shut down, left alone: what the network does about it by itself.

use std::time::{Duration, Instant};

use crate::http;
use crate::network::{Network, TestDir, free_base, until};

const PAYMENT: &str = "01900000-0000-7000-8000-0000000000aa";

#[test]
fn a_payment_goes_through_though_the_leader_is_killed_and_the_leader_comes_back() {
    let dir = TestDir::new("kill");
    let network = Network::start(&dir, free_base());
    let (a, b) = (network.open_account(), network.open_account());
    network.deposit(&a, "100");
    let leader = network.leader();
    let first = network.node(leader)["pid"].clone();

    network.kill(leader);
    let killed = Instant::now();
    network.move_until_done(PAYMENT, &a, &b, "40");
    network.move_until_done(PAYMENT, &a, &b, "40");
    assert_eq!((network.balance(&a), network.balance(&b)), ("60.00".to_owned(), "40.00".to_owned()));

    let died = format!("node {leader} died (SIGKILL)");
    let told = network.event(&[&died]);
    assert!(told.ends_with(&format!("node {leader} starts again in 5 s")), "{told}");
    // The same line says who leads next and after how long, if that was known within a second; on a slow machine it says that
    // nobody leads yet, and a later line says who does.
    until("it is said who leads next", || {
        network.events().into_iter().skip_while(|line| !line.contains(&died)).find(|line| line.contains(" leads"))
    });
    until("it runs again", || Some(network.node(leader)["pid"].clone()).filter(|pid| pid.is_u64() && *pid != first));
    assert!(killed.elapsed() >= Duration::from_secs(5), "too soon: {:?}", killed.elapsed());
    network.all_ready();
}

#[test]
fn a_node_told_to_shut_down_stays_down_until_up_runs_again() {
    let dir = TestDir::new("shutdown");
    let network = Network::start(&dir, free_base());
    let account = network.open_account();
    let url = network.node(2)["http"].as_str().expect("a URL").to_owned();
    let (status, body) = http::call("POST", &format!("{url}/shutdown"), None).expect("the node answers");
    assert_eq!((status, body.trim()), (200, "Server shut down..."));
    network.event(&["node 2 was told to shut down", "stays down until `rialto up` runs again"]);
    until("the file says so", || (network.node(2)["state"] == "shut_down").then_some(()));

    // A node that dies at the same time is back before the other one is: it is not.
    network.kill(3);
    network.event(&["node 3 starts again (process"]);
    assert_eq!(network.node(2)["state"], "shut_down");
    network.deposit(&account, "1");
    assert!(network.stop().success());

    let again = Network::up(dir.path(), &[]);
    assert_eq!(again.node(2)["state"], "running");
    again.all_ready();
}

#[test]
fn without_restart_the_dead_stay_dead() {
    let dir = TestDir::new("no-restart");
    let network = Network::up(dir.path(), &["--no-restart", "--base-port", &free_base().to_string()]);
    network.kill(1);
    let told = network.event(&["node 1 died (SIGKILL)"]);
    assert!(told.ends_with("node 1 stays down (--no-restart)"), "{told}");
    assert_eq!(network.node(1)["state"], "died");
}

#[test]
fn nodes_of_a_killed_up_stop_by_themselves_and_the_next_up_goes_on() {
    let dir = TestDir::new("killed-up");
    let mut network = Network::start(&dir, free_base());
    let account = network.open_account();
    network.deposit(&account, "7.77");
    network.kill_up();
    // It waits for those that are still stopping, so it may be started at once.
    let again = Network::up(dir.path(), &[]);
    assert_eq!(again.balance(&account), "7.77");
    assert_eq!(again.ready["banks"], network.ready["banks"], "the ports are the same");
}

#[test]
fn with_every_node_dead_the_balancer_says_that_nothing_was_done() {
    let dir = TestDir::new("all-dead");
    let base = free_base().to_string();
    let network = Network::up(dir.path(), &["--nodes", "1", "--no-restart", "--base-port", &base]);
    network.kill(1);
    network.event(&["node 1 died"]);
    let (status, body) =
        http::call("POST", &format!("{}/open_account", network.url()), None).expect("the balancer answers");
    assert_eq!(status, 503, "{body}");
}
