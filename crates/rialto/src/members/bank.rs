//! A bank's group as a client of it sees it: asked of whichever node answers, changed through its log.

use std::path::PathBuf;
use std::time::Duration;

use api::code::Code;
use api::json::{ChangeMembers, ChangeMode, GroupState, MemberChange, ModeState};
use api::status::{Mode, NodeStatus};
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::http::{Address, Answer, Client};
use crate::lookout::{NoStatus, status_of};
use crate::network::network_file::{NetworkFile, State};

/// A node answers within two seconds by itself.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);
/// So long a bank is asked again that cannot answer: an election, or the change before that is not in force yet.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(30);

/// Where the bank's nodes are.
#[derive(Debug, Clone)]
pub(crate) enum Nodes {
    /// What a directory's `rialto up` says at the moment.
    Of {
        dir: PathBuf,
        bank: String,
    },
    At(Vec<Address>),
}

/// One bank.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    pub(crate) nodes: Nodes,
    pub(crate) token: Option<HeaderValue>,
}

/// What became of a change that named a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is so.
    Taken(GroupState),
    /// The group was changed before: look at it again.
    Meanwhile,
}

/// What a node says instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    code: String,
}

/// Why a node did not do it.
enum Refused {
    /// It cannot now, or it is not known whether it did; another may, or it itself later.
    Later(String),
    /// For good.
    Final(Problem, StatusCode),
}

impl Bank {
    fn addresses(&self) -> Result<Vec<Address>, Failure> {
        match &self.nodes {
            Nodes::At(addresses) => Ok(addresses.clone()),
            Nodes::Of { dir, bank } => {
                let network = NetworkFile::load(dir)?;
                if network.nodes.iter().all(|node| node.group != *bank) {
                    let banks: Vec<&str> = network.banks.keys().map(String::as_str).collect();
                    return Err(Failure::usage(format!("there is no bank {bank} in {}", dir.display()))
                        .line(format!("banks there: {}", banks.join(", "))));
                }
                let running = network.nodes.iter().filter(|node| node.group == *bank && node.state == State::Running);
                running
                    .map(|node| Address::parse(&node.http).map_err(|error| Failure::new(error.to_string())))
                    .collect()
            }
        }
    }

    /// Who belongs to it, as its log says: sees every change that was answered before.
    pub(crate) async fn group(&self) -> Result<GroupState, Failure> {
        self.call(Method::GET, "/v1/members", None).await?.map_err(|problem| refusal(&problem))
    }

    pub(crate) async fn mode(&self) -> Result<ModeState, Failure> {
        self.call(Method::GET, "/v1/mode", None).await?.map_err(|problem| refusal(&problem))
    }

    /// Asks for one change of what the group is at this version.
    pub(crate) async fn change(&self, expected_version: u64, change: MemberChange) -> Result<Changed, Failure> {
        let body = serde_json::to_string(&ChangeMembers { expected_version, change }).expect("plain data");
        match self.call(Method::POST, "/v1/members", Some(body)).await? {
            Ok(group) => Ok(Changed::Taken(group)),
            Err(problem) if problem.code == Code::GroupVersionMismatch.text() => Ok(Changed::Meanwhile),
            Err(problem) => Err(refusal(&problem)),
        }
    }

    pub(crate) async fn set_mode(&self, mode: Mode) -> Result<ModeState, Failure> {
        let body = serde_json::to_string(&ChangeMode { mode, expected_version: None }).expect("plain data");
        self.call(Method::POST, "/v1/mode", Some(body)).await?.map_err(|problem| refusal(&problem))
    }

    /// Looks at something; what is answered is for the caller to read.
    pub(crate) async fn get(&self, path: &str) -> Result<serde_json::Value, Failure> {
        self.call(Method::GET, path, None).await?.map_err(|problem| refusal(&problem))
    }

    /// Asks for something that may be asked for twice; what is answered is for the caller to read.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value, Failure> {
        let answer = self.call(Method::POST, path, Some(body.to_string())).await?;
        answer.map_err(|problem| refusal(&problem))
    }

    /// What each node says of itself, of those that answer.
    pub(crate) async fn statuses(&self) -> Result<Vec<NodeStatus>, Failure> {
        let mut statuses = Vec::new();
        for address in self.addresses()? {
            let mut client = Client::new(address).with_token(self.token.clone());
            statuses.extend(status_of(&mut client, ANSWER_PATIENCE).await.ok());
        }
        Ok(statuses)
    }

    /// What the node at `host:port` says of itself.
    pub(crate) async fn status_at(&self, http: &str) -> Result<NodeStatus, NoStatus> {
        let address = Address::parse(&format!("http://{http}")).map_err(NoStatus::Address)?;
        status_of(&mut Client::new(address).with_token(self.token.clone()), ANSWER_PATIENCE).await
    }

    /// Asks one node after the other until one has an answer. Every question here may be asked twice: what changes something
    /// names the version that it replaces, or says what shall be.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Result<T, Problem>, Failure> {
        let give_up = Instant::now() + PATIENCE;
        let mut last = "none of its nodes runs".to_owned();
        loop {
            for address in self.addresses()? {
                let mut client = Client::new(address.clone()).with_token(self.token.clone());
                let asked = client.ask(method.clone(), path, body.clone(), ANSWER_PATIENCE).await;
                let answer = asked.map_err(|error| Refused::Later(error.to_string())).and_then(judge);
                match answer {
                    Ok(body) => {
                        return serde_json::from_slice(&body)
                            .map(Ok)
                            .map_err(|error| Failure::new(format!("what {address} answered makes no sense: {error}")));
                    }
                    Err(Refused::Later(why)) => last = format!("{address}: {why}"),
                    Err(Refused::Final(_, StatusCode::UNAUTHORIZED)) => {
                        return Err(Failure::usage(format!("{address} wants the operator's token"))
                            .line("give --operator-token-file FILE"));
                    }
                    Err(Refused::Final(problem, _)) => return Ok(Err(problem)),
                }
            }
            if Instant::now() >= give_up {
                return Err(Failure::new(format!("the bank did not answer for {} s", PATIENCE.as_secs()))
                    .line(format!("the last of its nodes that was asked, {last}"))
                    .line("what was asked may be done or not; the same command finds out and goes on"));
            }
            sleep(PAUSE).await;
        }
    }
}

fn judge(answer: Answer) -> Result<hyper::body::Bytes, Refused> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_else(|_| Problem {
        detail: format!("it answered with HTTP status {}", answer.status),
        code: String::new(),
    });
    let passes = [Code::ChangeInFlight, Code::GroupNotFounded].map(Code::text).contains(&problem.code.as_str());
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Err(Refused::Later(problem.detail))
        }
        StatusCode::INTERNAL_SERVER_ERROR => Err(Refused::Later(problem.detail)),
        _ if passes => Err(Refused::Later(problem.detail)),
        status => Err(Refused::Final(problem, status)),
    }
}

/// The node's own sentence, what its code advises, and the code itself, which is stable.
fn refusal(problem: &Problem) -> Failure {
    let failure = Failure::new(problem.detail.clone());
    match Code::from_text(&problem.code).map(Code::row) {
        Some(row) => failure.line(row.advice).line(format!("code: {}", problem.code)),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, body: hyper::body::Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn what_passes_is_asked_again_and_what_stays_is_told_with_its_code() {
        let later = [
            answer(503, r#"{"detail":"no majority","code":"unavailable"}"#),
            answer(504, r#"{"detail":"who knows","code":"outcome_unknown"}"#),
            answer(409, r#"{"detail":"in force from slot 9 on","code":"change_in_flight"}"#),
            answer(409, r#"{"detail":"not founded yet","code":"group_not_founded"}"#),
        ];
        for answer in later {
            let text = format!("{answer:?}");
            assert!(matches!(judge(answer), Err(Refused::Later(_))), "{text}");
        }
        let used = answer(409, r#"{"detail":"4 was used before","code":"member_number_used"}"#);
        let Err(Refused::Final(problem, _)) = judge(used) else { panic!("it stays so") };
        let told = refusal(&problem).to_string();
        assert!(told.starts_with("4 was used before\n") && told.ends_with("\n  code: member_number_used"), "{told}");
    }
}
