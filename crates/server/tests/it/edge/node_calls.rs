//! The node itself: status, health, figures, election, shutdown, its own description.

use api::code::Code;
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;

use super::memory_bank::Mood;
use super::raw_http::ask;
use super::served::{Served, until};

#[tokio::test]
async fn the_node_tells_its_state_and_health() {
    let served = Served::start().await;
    let status = served.get("/v1/status").await.json();
    assert_eq!((status["group"].as_str(), status["role"].as_str()), (Some("alpha"), Some("leader")));
    assert_eq!(served.get("/livez").await.status, 200);
    assert_eq!(served.get("/readyz").await.status, 200);
    served.bank.set_mood(Mood::NoMajority);
    assert_eq!(served.get("/livez").await.status, 200, "the process lives");
    served.get("/readyz").await.assert_problem(503, "unavailable");
}

/// Whatever a call asks for: a caller that began with another cluster meets this one only because it has its addresses.
#[tokio::test]
async fn a_call_that_is_meant_for_another_cluster_changes_nothing_and_reads_nothing() {
    let served = Served::of_cluster(0x18f).await;
    let own = "00000000-0000-0000-0000-00000000018f";
    let json = ("content-type", "application/json");
    let mine = ask(served.http, "POST", "/open_account", &[("rialto-cluster", own), json], b"").await;
    assert_eq!((mine.status, mine.header("rialto-cluster")), (200, Some(own)), "{}", mine.body);
    let records = served.bank.records();
    let other = ("rialto-cluster", "00000000-0000-0000-0000-000000000190");
    for (method, path, body) in [
        ("POST", "/open_account", ""),
        ("POST", "/v1/members", r#"{"expected_version":1,"change":{"remove":2}}"#),
        ("POST", "/v1/mode", r#"{"mode":"leaderless"}"#),
        ("POST", "/v1/limits", r#"{"limit":"transfer","amount":"1.00","currency":"EUR"}"#),
        ("POST", "/v1/customers", r#"{"username":"eve","password":"a long password"}"#),
        ("POST", "/v1/election", ""),
        ("POST", "/shutdown", ""),
        ("GET", "/v1/members", ""),
        ("GET", "/v1/status", ""),
    ] {
        let refused = ask(served.http, method, path, &[other, json], body.as_bytes()).await;
        refused.assert_problem(409, "other_cluster");
        assert!(refused.text("detail").contains(own), "{}", refused.body);
    }
    assert_eq!((served.bank.records(), served.bank.elections(), served.bank.was_shut_down()), (records, 0, false));
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", served.grpc)).expect("an address");
    let mut bank = BankClient::new(channel.connect().await.expect("it listens"));
    let mut request = tonic::Request::new(proto::ChangeMembersRequest {
        expected_version: 1,
        change: Some(proto::change_members_request::Change::Remove(2)),
    });
    request.metadata_mut().insert(other.0, other.1.parse().expect("plain"));
    let refused = bank.change_members(request).await.expect_err("the same over gRPC");
    assert_eq!(Problem::code_of(&refused), Some(Code::OtherCluster));
    assert_eq!(served.get("/v1/members").await.json()["version"].as_u64(), Some(1));
}

#[tokio::test]
async fn an_election_is_passed_on() {
    let served = Served::start().await;
    assert_eq!(served.post("/v1/election", "").await.status, 200);
    assert_eq!(served.bank.elections(), 1);
}

#[tokio::test]
async fn shutdown_answers_first() {
    let served = Served::start().await;
    let reply = served.post("/shutdown", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "Server shut down..."));
    until("the bank was told", || served.bank.was_shut_down()).await;
}

#[tokio::test]
async fn figures_count_requests_and_outcomes() {
    let served = Served::start().await;
    let id = served.rich("1").await;
    served.post("/withdraw_money", &format!(r#"{{"account_id":"{id}","amount":2}}"#)).await;
    served.get("/nowhere/at/all").await;
    let page = served.get("/metrics").await.body;
    for line in [
        r#"rialto_requests_total{wire="http",route="/open_account",code="ok"} 1"#,
        r#"rialto_requests_total{wire="http",route="/withdraw_money",code="insufficient_funds"} 1"#,
        r#"rialto_requests_total{wire="http",route="unmatched",code="no_such_path"} 1"#,
        r#"rialto_outcomes_total{code="posted"} 1"#,
        r#"rialto_role{role="leader"} 1"#,
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
}

#[tokio::test]
async fn the_description_has_exactly_the_routes_that_are_served() {
    let served = Served::start().await;
    assert_eq!(served.get("/openapi.json").await.body, api::openapi::DOCUMENT);
    let mut listed: Vec<(String, Vec<String>)> = server::edge::permits::BANK_HTTP
        .iter()
        .copied()
        .flatten()
        .map(|(path, methods, _)| ((*path).to_owned(), methods.iter().map(|method| (*method).to_owned()).collect()))
        .collect();
    listed.sort();
    let mut described = api::openapi::paths(api::openapi::DOCUMENT);
    described.sort();
    assert_eq!(described, listed);
    // And the list is what is served: each path answers to its methods and to no others.
    for (path, methods) in listed {
        let path = path.replace("{id}", "x").replace("{name}", "x").replace("{code}", "not_json");
        for method in ["get", "post"] {
            let reply = super::raw_http::ask(served.http, &method.to_uppercase(), &path, &[], b"").await;
            let taken = methods.iter().any(|known| known == method);
            assert_eq!(reply.status != 405, taken, "{method} {path}: {}", reply.status);
            assert!(!reply.body.contains("no_such_path"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_meaning() {
    let served = Served::start().await;
    let problem = served.get("/nowhere").await;
    let meaning = served.get(&problem.text("type")).await;
    assert!(meaning.body.contains("no_such_path (404)"), "{}", meaning.body);
    served.get("/errors/none").await.assert_problem(404, "no_such_path");
}
