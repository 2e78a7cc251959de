//! Members and mode over both wires.

use api::code::Code;
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;
use api::proto::change_members_request::Change;
use tonic::Request;

use super::memory_bank::Mood;
use super::served::Served;

const ADMIT: &str =
    r#"{"expected_version":1,"change":{"admit":{"node":4,"peer":"127.0.0.1:7124","http":"127.0.0.1:7104","disk":9}}}"#;

fn step(version: u64, change: &str) -> String {
    format!(r#"{{"expected_version":{version},"change":{change}}}"#)
}

#[tokio::test]
async fn members_are_listed_admitted_promoted_and_removed() {
    let served = Served::start().await;
    let group = served.get("/v1/members").await.json();
    assert_eq!(
        (group["version"].as_u64(), group["mode"].as_str(), group["proposer"].as_u64()),
        (Some(1), Some("leader"), Some(1))
    );
    assert_eq!(group["members"].as_array().map(Vec::len), Some(3));
    let group = served.post("/v1/members", ADMIT).await.json();
    assert_eq!((group["version"].as_u64(), group["next_number"].as_u64()), (Some(2), Some(5)));
    let newcomer = &group["members"][3];
    assert_eq!((newcomer["role"].as_str(), newcomer["disk"].as_u64()), (Some("learner"), Some(9)));
    assert_eq!(newcomer["http"].as_str(), Some("127.0.0.1:7104"));
    let group = served.post("/v1/members", &step(2, r#"{"promote":4}"#)).await.json();
    assert_eq!(group["members"][3]["role"].as_str(), Some("voter"));
    let group = served.post("/v1/members", &step(3, r#"{"remove":2}"#)).await.json();
    assert_eq!(group["members"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_change_asked_for_twice_is_made_once_and_both_are_told() {
    let served = Served::start().await;
    assert_eq!(served.post("/v1/members", ADMIT).await.json().get("already"), None);
    let again = served.post("/v1/members", ADMIT).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!((again.json()["already"].as_bool(), again.json()["version"].as_u64()), (Some(true), Some(2)));
    served.bank.set_mood(Mood::SilentlyDone);
    served.post("/v1/members", &step(2, r#"{"promote":4}"#)).await.assert_problem(504, "outcome_unknown");
    served.bank.set_mood(Mood::Well);
    let again = served.post("/v1/members", &step(2, r#"{"promote":4}"#)).await.json();
    assert_eq!((again["already"].as_bool(), again["version"].as_u64()), (Some(true), Some(3)));
}

#[tokio::test]
async fn every_refusal_has_its_code() {
    let served = Served::start().await;
    served.post("/v1/members", ADMIT).await;
    let admit = |node: &str, peer: &str| format!(r#"{{"admit":{{"node":{node},"peer":"{peer}"}}}}"#);
    for (version, change, status, code) in [
        (1, r#"{"remove":3}"#.to_owned(), 409, "group_version_mismatch"),
        (2, r#"{"remove":9}"#.to_owned(), 404, "unknown_member"),
        (2, r#"{"promote":9}"#.to_owned(), 404, "unknown_member"),
        (2, admit("2", "host:1"), 409, "member_number_used"),
        (2, admit("100", "host:1"), 400, "invalid_member"),
        (2, admit("0", "host:1"), 400, "invalid_member"),
        (2, admit("5", "host"), 400, "invalid_member"),
        (2, admit("5", ":7121"), 400, "invalid_member"),
        (2, admit("5", &format!("{}:7121", "h".repeat(64))), 400, "invalid_member"),
    ] {
        served.post("/v1/members", &step(version, &change)).await.assert_problem(status, code);
    }
    let stale = served.post("/v1/members", &step(1, r#"{"remove":3}"#)).await.json();
    assert_eq!(stale["version"].as_u64(), Some(2), "the answer says where the group is by now");
    served.bank.set_mood(Mood::NoMajority);
    served.get("/v1/members").await.assert_problem(503, "unavailable");
    served.post("/v1/members", &step(2, r#"{"remove":3}"#)).await.assert_problem(503, "unavailable");
}

#[tokio::test]
async fn no_vote_changes_hands_after_which_those_that_answer_are_no_majority() {
    let served = Served::start().await;
    served.bank.silence(&[3]);
    let refused = served.post("/v1/members", &step(1, r#"{"remove":2}"#)).await;
    refused.assert_problem(409, "would_lose_quorum");
    assert!(refused.text("detail").contains("and node 3 does not answer node 1"), "{}", refused.body);
    assert_eq!(served.get("/v1/members").await.json()["version"].as_u64(), Some(1), "nothing was changed");
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", served.grpc)).expect("an address");
    let mut bank = BankClient::new(channel.connect().await.expect("it listens"));
    let remove = proto::ChangeMembersRequest { expected_version: 1, change: Some(Change::Remove(2)) };
    let refused = bank.change_members(remove).await.expect_err("the same over gRPC");
    assert_eq!(Problem::code_of(&refused), Some(Code::WouldLoseQuorum));
    // The silent one may go: both that are left answer. And then neither may, nor may a node that is not there have a vote.
    assert_eq!(served.post("/v1/members", &step(1, r#"{"remove":3}"#)).await.status, 200);
    served.bank.silence(&[2, 4]);
    served.post("/v1/members", &ADMIT.replace(":1,", ":2,")).await;
    let refused = served.post("/v1/members", &step(3, r#"{"promote":4}"#)).await;
    refused.assert_problem(409, "would_lose_quorum");
    assert!(refused.text("detail").contains("and nodes 2, 4 do not answer node 1"), "{}", refused.body);
}

#[tokio::test]
async fn the_mode_is_read_and_changed() {
    let served = Served::start().await;
    assert_eq!(served.get("/v1/mode").await.json()["mode"].as_str(), Some("leader"));
    let changed = served.post("/v1/mode", r#"{"mode":"leaderless"}"#).await.json();
    assert_eq!((changed["mode"].as_str(), changed["version"].as_u64()), (Some("leaderless"), Some(2)));
    let again = served.post("/v1/mode", r#"{"mode":"leaderless"}"#).await.json();
    assert_eq!((again["already"].as_bool(), again["version"].as_u64()), (Some(true), Some(2)));
    served
        .post("/v1/mode", r#"{"mode":"leader","expected_version":1}"#)
        .await
        .assert_problem(409, "group_version_mismatch");
    served.post("/v1/mode", r#"{"mode":"king"}"#).await.assert_problem(400, "wrong_type");
    assert_eq!(served.get("/v1/mode").await.json()["mode"].as_str(), Some("leaderless"));
}

#[tokio::test]
async fn only_the_operator_changes_the_group_where_there_is_a_token() {
    let served = Served::with_token("secret").await;
    for path in ["/v1/members", "/v1/mode"] {
        served.get(path).await.assert_problem(401, "unauthorized");
        served.post(path, "{}").await.assert_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn the_same_over_grpc() {
    let served = Served::start().await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", served.grpc)).expect("an address");
    let mut bank = BankClient::new(channel.connect().await.expect("it listens"));
    let group = bank.members(Request::new(proto::MembersRequest {})).await.expect("it serves").into_inner();
    assert_eq!((group.version, group.mode(), group.proposer, group.members.len()), (1, proto::Mode::Leader, 1, 3));
    let admit = proto::AdmitMember { node: 4, peer: "127.0.0.1:7124".into(), http: String::new(), disk: 9 };
    let ask = |version, change| proto::ChangeMembersRequest { expected_version: version, change: Some(change) };
    let group = bank.change_members(ask(1, Change::Admit(admit.clone()))).await.expect("a newcomer").into_inner();
    assert_eq!((group.members[3].role(), group.members[3].disk), (proto::MemberRole::Learner, 9));
    let again = bank.change_members(ask(1, Change::Admit(admit))).await.expect("as before").into_inner();
    assert!(again.already);
    let refused = bank.change_members(ask(1, Change::Remove(3))).await.expect_err("another version");
    assert_eq!(Problem::code_of(&refused), Some(Code::GroupVersionMismatch));
    let wanted = proto::SetModeRequest { mode: proto::Mode::Leaderless.into(), expected_version: None };
    let group = bank.set_mode(wanted).await.expect("a mode").into_inner();
    assert_eq!((group.mode(), group.version), (proto::Mode::Leaderless, 3));
    let status = bank.status(proto::StatusRequest {}).await.expect("it serves").into_inner();
    assert_eq!(status.proposer, 1);
}
