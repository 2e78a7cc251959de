//! Real processes whose clocks are wrong: of the whole machine, or of one node. A file tells them by how much, which only
//! builds for tests read.

use api::client::Secret;
use serde_json::Value;

use crate::http;
use crate::network::{signal, until};
use crate::town::{Town, gateway_at, operate};

const DAY_MS: i64 = 24 * 3_600_000;

fn town(name: &str) -> Town {
    let file = |dir: &std::path::Path| dir.join("clocks").to_str().expect("UTF-8").to_owned();
    Town::whose(name, |dir| vec![("RIALTO_TEST_CLOCK", file(dir)), ("RIALTO_LOG_LEVEL", "info".to_owned())])
}

impl Town {
    /// The clocks of the processes with these arguments are wrong; all others are right. In one step, for nodes read it at
    /// any moment.
    fn set_clocks(&self, whose: &str, by_ms: i64) {
        let (file, new) = (self.dir().join("clocks"), self.dir().join("clocks.new"));
        std::fs::write(&new, format!("{whose} = {by_ms}\n")).expect("there is room");
        std::fs::rename(new, file).expect("it is the same directory");
    }

    fn status_of(&self, group: &str, node: u64) -> Option<Value> {
        let url = self.network.node_of(group, node)["http"].as_str()?.to_owned();
        let (_, body) = http::call("GET", &format!("{url}/v1/status"), None).ok()?;
        serde_json::from_str(&body).ok()
    }

    fn until_all(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        for (group, node) in ["alpha", "beta", "gateway"].into_iter().flat_map(|it| (1..=3).map(move |node| (it, node)))
        {
            until(&format!("{what}: {group} node {node}"), || self.status_of(group, node).filter(&holds));
        }
    }

    fn readiness(&self, group: &str, node: u64) -> Option<(u16, String)> {
        let url = self.network.node_of(group, node)["http"].as_str()?.to_owned();
        http::call("GET", &format!("{url}/readyz"), None).ok()
    }
}

#[test]
fn a_machines_clock_that_is_days_off_for_a_while_stops_no_payment_and_no_sign_in() {
    let town = town("machine-clock");
    let alice = town.sign_in("alice@alpha");
    town.pays(&alice, "alice@alpha", "bob@beta", 1_00);
    for by_ms in [DAY_MS, -DAY_MS] {
        // And a little more, for words that are the same on every node.
        town.set_clocks("", by_ms + by_ms.signum() * 30_000);
        town.until_all("it sees its clock jump", |status| status["clock_jumped"] == true);
        let (_, told) = operate(&town, &["status"]);
        let words = if by_ms > 0 { "its clock is 24 h 0 min ahead" } else { "its clock is 24 h 0 min behind" };
        assert!(told.contains(words), "{told}");
        town.pays(&alice, "alice@alpha", "bob@beta", 1_00);
        let new = town.sign_in("alice@alpha");
        town.set_clocks("", 0);
        town.until_all("its clock is right", |status| status["clock_jumped"] == false && status["ready"] == true);
        for customer in [&alice, &new, &town.sign_in("alice@alpha")] {
            town.pays(customer, "alice@alpha", "bob@beta", 1_00);
        }
        town.until_all("its log is not ahead", |status| {
            status["log_ahead_ms"].as_u64().is_some_and(|ahead_ms| ahead_ms < 5_000)
        });
    }
}

#[test]
fn a_gateway_node_whose_clock_is_off_is_not_ready_and_refuses_no_good_token() {
    let town = town("node-clock");
    let (party, password) = ("alice@alpha".parse().expect("well formed"), Secret::new("alice-demo".to_owned()));
    let first = town.login(&town.gateway, "alice@alpha", "alice-demo").expect("the demo's password");
    let is_ready = |ready: bool| move |told: &(u16, String)| (told.0 == 200) == ready;
    let words = |by_ms: i64| if by_ms < 0 { "its clock is 40 s behind" } else { "its clock is 2 h 0 min ahead" };
    for (by_ms, begins_wrong) in [(-40_500, false), (7_230_000, false), (-40_500, true), (7_230_000, true)] {
        town.set_clocks("--name gateway --node 2 ", by_ms);
        if begins_wrong {
            signal("KILL", town.pid("gateway", 2).expect("it runs"));
        }
        let (_, told) = until("it is not ready", || {
            town.readiness("gateway", 2).filter(is_ready(false)).filter(|(_, told)| told.contains("its clock is"))
        });
        assert!(told.contains(words(by_ms)), "{told}");
        // Asked all the same, it goes by the log's time: tokens of others are good there, and its own are good elsewhere.
        let grpc = town.network.node_of("gateway", 2)["grpc"].as_str().expect("an address").to_owned();
        let node = town.runtime.block_on(async { gateway_at(&town.network, [grpc.as_str()].into_iter()) });
        let there = node.customer(&first.token).expect("a token");
        let balance = town.balance(&there);
        town.pays(&there, "alice@alpha", "bob@beta", 1_00);
        assert_eq!(town.balance(&there), balance - 1_00);
        let signed_in = until("it signs somebody in", || town.runtime.block_on(node.login(&party, &password)).ok());
        let elsewhere = town.gateway.customer(&signed_in.token).expect("a token");
        town.pays(&elsewhere, "alice@alpha", "bob@beta", 1_00);
        town.set_clocks("", 0);
        until("it is ready again", || town.readiness("gateway", 2).filter(is_ready(true)));
    }
}
