//! A bank's group as a client of it sees it: asked of whichever node answers, changed through its log.
//!
//! Addresses are reused: a command may wait for hours, and what answers then may be another cluster. So a [`Bank`] learns the
//! number of its cluster before it changes anything, each call says that it is meant for that one, and nodes of another refuse.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::code::Code;
use api::json::{ChangeMembers, ChangeMode, GroupState, MemberChange, ModeState};
use api::status::{Mode, NodeStatus};
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::failure::{Code as ExitCode, Failure};
use crate::follow_up;
use crate::http::{Address, Answer, Client, HttpError, Pin};
use crate::lookout::{NoStatus, status_of};
use crate::network::cluster::Cluster;
use crate::network::layout::Layout;
use crate::network::name::BankName;
use crate::network::network_file::{NetworkFile, State};
use crate::waiting::waiting_for;

/// A node answers within two seconds by itself.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);
/// So long a bank is asked again that cannot answer: an election, or the change before that is not in force yet.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
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

/// One bank. A clone means the same cluster.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    nodes: Nodes,
    token: Option<HeaderValue>,
    pin: Pin,
    /// What its nodes must call themselves, where somebody has said so.
    name: Option<BankName>,
    /// Whom to believe where nodes speak https.
    authority: Option<Arc<ClientConfig>>,
    /// How long one call is repeated until some node has an answer.
    patience: Duration,
    /// The place of the node that answered last: it is asked first, so that one that hangs costs its time once.
    answered: Arc<AtomicUsize>,
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

/// Whether what was asked may have come to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Nobody,
    SomeNode,
}

impl Bank {
    /// A bank of a network whose nodes `rialto up` runs: the one that the directory holds now.
    pub(crate) fn here(dir: &Path, name: &BankName) -> Bank {
        let cluster = Layout::load(dir).ok().flatten().and_then(|layout| Some(layout.bank(name)?.cluster));
        let nodes = Nodes::Of { dir: dir.to_owned(), bank: name.to_string() };
        Bank { pin: cluster.map_or_else(Pin::default, Pin::to), name: Some(name.clone()), ..Bank::at(nodes) }
    }

    /// A bank whose nodes are on machines of their own: the cluster of the first that answers.
    pub(crate) fn at(nodes: Nodes) -> Bank {
        let (pin, answered) = (Pin::default(), Arc::default());
        Bank { nodes, token: None, pin, name: None, authority: None, patience: PATIENCE, answered }
    }

    pub(crate) fn with_token(self, token: Option<HeaderValue>) -> Bank {
        Bank { token, ..self }
    }

    pub(crate) fn with_authority(self, authority: Option<Arc<ClientConfig>>) -> Bank {
        Bank { authority, ..self }
    }

    pub(crate) fn with_patience(self, patience: Duration) -> Bank {
        Bank { patience, ..self }
    }

    /// Its nodes must call themselves that.
    pub(crate) fn named(self, name: Option<BankName>) -> Bank {
        Bank { name, ..self }
    }

    /// It is this cluster and no other.
    pub(crate) fn of_cluster(self, cluster: Option<Cluster>) -> Bank {
        match cluster {
            Some(cluster) => Bank { pin: Pin::to(cluster), ..self },
            None => self,
        }
    }

    /// The cluster that this command began with. Until one is known, the first node that answers says it.
    ///
    /// # Errors
    /// When no node answers, or the one that does is of another bank than was asked for.
    pub(crate) async fn cluster(&self) -> Result<Cluster, Failure> {
        if let Some(cluster) = self.pin.cluster() {
            return Ok(cluster);
        }
        let status = self.call::<NodeStatus>((Method::GET, "/v1/status"), None).await?;
        let status = status.map_err(|problem| refusal(&problem))?;
        if let Some(name) = self.name.as_ref().filter(|name| name.as_str() != status.group) {
            return Err(Failure::usage(format!(
                "the nodes at these addresses are of bank {}, not of {name}",
                status.group
            ))
            .line("--bank names the bank that is meant; give the addresses of its nodes with --url"));
        }
        let cluster = status.cluster.parse::<Cluster>().map_err(|error| Failure::new(error.to_string()))?;
        self.pin.learn(cluster);
        Ok(cluster)
    }

    /// What the bank is called.
    pub(crate) async fn name(&self) -> Result<String, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.to_string());
        }
        self.cluster().await?;
        let status = self.call::<NodeStatus>((Method::GET, "/v1/status"), None).await?;
        status.map(|status| status.group).map_err(|problem| refusal(&problem))
    }

    fn client(&self, address: Address) -> Client {
        Client::new(address).with_token(self.token.clone()).with_pin(&self.pin)
    }

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
                let addresses: Vec<Address> = running
                    .map(|node| Address::parse(&node.http).map_err(|error| Failure::new(error.to_string())))
                    .collect::<Result<_, Failure>>()?;
                if addresses.is_empty() && network.up.is_none() {
                    // Nothing will start them while this command waits.
                    return Err(Failure::unreachable(format!("no node of bank {bank} runs"))
                        .line(format!("start the network: rialto up --dir {}", dir.display())));
                }
                Ok(addresses)
            }
        }
    }

    /// Who belongs to it, as its log says: sees every change that was answered before.
    pub(crate) async fn group(&self) -> Result<GroupState, Failure> {
        self.cluster().await?;
        self.call((Method::GET, "/v1/members"), None).await?.map_err(|problem| refusal(&problem))
    }

    pub(crate) async fn mode(&self) -> Result<ModeState, Failure> {
        self.cluster().await?;
        self.call((Method::GET, "/v1/mode"), None).await?.map_err(|problem| refusal(&problem))
    }

    /// Asks for one change of what the group is at this version.
    pub(crate) async fn change(&self, expected_version: u64, change: MemberChange) -> Result<Changed, Failure> {
        let body = serde_json::to_string(&ChangeMembers { expected_version, change }).expect("plain data");
        self.cluster().await?;
        match self.call((Method::POST, "/v1/members"), Some(body)).await? {
            Ok(group) => Ok(Changed::Taken(group)),
            Err(problem) if problem.code == Code::GroupVersionMismatch.text() => Ok(Changed::Meanwhile),
            Err(problem) => Err(refusal(&problem)),
        }
    }

    pub(crate) async fn set_mode(&self, mode: Mode) -> Result<ModeState, Failure> {
        let body = serde_json::to_string(&ChangeMode { mode, expected_version: None }).expect("plain data");
        self.cluster().await?;
        self.call((Method::POST, "/v1/mode"), Some(body)).await?.map_err(|problem| refusal(&problem))
    }

    /// Looks at something; what is answered is for the caller to read.
    pub(crate) async fn get(&self, path: &str) -> Result<serde_json::Value, Failure> {
        self.cluster().await?;
        self.call((Method::GET, path), None).await?.map_err(|problem| refusal(&problem))
    }

    /// Asks for something that may be asked for twice; what is answered is for the caller to read.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value, Failure> {
        self.offer(path, body).await?
    }

    /// The same, with the bank's refusal kept apart from having no answer: that is about what was asked, and not about the bank.
    pub(crate) async fn offer(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Result<serde_json::Value, Failure>, Failure> {
        self.cluster().await?;
        let answer = self.call((Method::POST, path), Some(body.to_string())).await?;
        Ok(answer.map_err(|problem| refusal(&problem)))
    }

    /// What each node says of itself, of those that answer.
    pub(crate) async fn statuses(&self) -> Result<Vec<NodeStatus>, Failure> {
        let mut statuses = Vec::new();
        for address in self.addresses()? {
            statuses.extend(status_of(&mut self.client(address), ANSWER_PATIENCE).await.ok());
        }
        Ok(statuses)
    }

    /// Whether its nodes speak https: where one that was named does, none is spoken to in plain text.
    pub(crate) fn is_secured(&self) -> bool {
        match &self.nodes {
            Nodes::At(addresses) => addresses.iter().any(Address::is_secured),
            // Those of a directory serve HTTP on this machine.
            Nodes::Of { .. } => false,
        }
    }

    /// What the node at `host:port` says of itself. Nobody has named that address as one of the bank's, so the operator's token
    /// is shown there only to a node that says it is of this cluster.
    pub(crate) async fn status_at(&self, http: &str) -> Result<NodeStatus, NoStatus> {
        let scheme = if self.is_secured() { "https" } else { "http" };
        let address = Address::parse_with(&format!("{scheme}://{http}"), self.authority.as_ref());
        let mut client = Client::new(address.map_err(NoStatus::Address)?).with_pin(&self.pin);
        match status_of(&mut client, ANSWER_PATIENCE).await {
            Err(NoStatus::WantsToken) if self.token.is_some() => {
                if !client.met_its_cluster() {
                    return Err(NoStatus::OtherCluster);
                }
                status_of(&mut client.with_token(self.token.clone()), ANSWER_PATIENCE).await
            }
            said => said,
        }
    }

    /// Asks one node after the other until one has an answer. Every question here may be asked twice: what changes something
    /// names the version that it replaces, or says what shall be.
    async fn call<T: DeserializeOwned>(
        &self,
        (method, path): (Method, &str),
        body: Option<String>,
    ) -> Result<Result<T, Problem>, Failure> {
        let give_up = Instant::now() + self.patience;
        let _waiting = waiting_for(self.what());
        let mut last = "none of its nodes runs".to_owned();
        let mut reached = Reached::Nobody;
        loop {
            let addresses = self.addresses()?;
            let first = self.answered.load(Ordering::Relaxed);
            for turn in 0..addresses.len() {
                let place = (first + turn) % addresses.len();
                let address = &addresses[place];
                let asking = waiting_for(format!("its node at {address}"));
                let time = share(give_up.saturating_duration_since(Instant::now()), addresses.len() - turn);
                let asked = self.client(address.clone()).ask(method.clone(), path, body.clone(), time).await;
                drop(asking);
                if !matches!(asked, Err(HttpError::Connect(_))) {
                    reached = Reached::SomeNode;
                }
                match asked.map_err(|error| Refused::Later(error.to_string())).and_then(judge) {
                    Ok(body) => {
                        self.answered.store(place, Ordering::Relaxed);
                        return serde_json::from_slice(&body)
                            .map(Ok)
                            .map_err(|error| Failure::new(format!("what {address} answered makes no sense: {error}")));
                    }
                    Err(Refused::Later(why)) => last = format!("the node that was asked last, at {address}: {why}"),
                    Err(Refused::Final(problem, status)) => return self.refused(address, problem, status).map(Err),
                }
            }
            if Instant::now() >= give_up {
                let seconds = self.patience.as_secs();
                let failure =
                    Failure::unreachable(format!("{} did not answer for {seconds} s", self.what())).line(last);
                return Err(match (method == Method::GET, reached) {
                    (true, Reached::Nobody | Reached::SomeNode) => failure,
                    (false, Reached::Nobody) => failure.line("nothing was asked of it, so nothing was changed"),
                    (false, Reached::SomeNode) => failure
                        .line("what was asked may be done or not; the same command finds out and goes on")
                        .with_code(ExitCode::OutcomeUnknown),
                });
            }
            sleep(PAUSE).await;
        }
    }

    fn what(&self) -> String {
        self.name.as_ref().map_or_else(|| "the bank".to_owned(), |name| format!("bank {name}"))
    }

    /// What a node refused for good: some refusals are about this command and not about what it asked for.
    fn refused(&self, address: &Address, problem: Problem, status: StatusCode) -> Result<Problem, Failure> {
        if status == StatusCode::UNAUTHORIZED {
            return Err(Failure::usage(format!("{address} wants the operator's token"))
                .line("give --operator-token-file FILE")
                .with_problem(Code::Unauthorized));
        }
        if problem.code == Code::OtherCluster.text() {
            let began = self.pin.cluster().map_or_else(String::new, |cluster| format!(" ({cluster})"));
            return Err(Failure::new(format!(
                "at {address} is another cluster now than this command began with{began}"
            ))
            .line(problem.detail)
            .line(format!("nothing was changed there; look who is there now: {}", follow_up::command("status")))
            .with_problem(Code::OtherCluster));
        }
        Ok(problem)
    }
}

/// How long one of so many nodes that are still to be asked may take: none takes the time of the others, and all together no
/// more than is left.
fn share(left: Duration, nodes: usize) -> Duration {
    (left / u32::try_from(nodes).unwrap_or(u32::MAX).max(1)).min(ANSWER_PATIENCE)
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
    match Code::from_text(&problem.code) {
        Some(code) => failure
            .line(advice(code))
            .line(format!("code: {}", problem.code))
            .with_problem(code)
            .with_code(ExitCode::of_problem(code)),
        None => failure,
    }
}

/// What to do, for who types a command: the table's advice is for who writes a program, with bodies and ids of its own.
fn advice(code: Code) -> &'static str {
    match code {
        Code::AmountNotANumber => "give digits with at most one decimal point, such as 12.50",
        Code::UnknownCustomer => "check the name; a new customer is made with: rialto user add",
        Code::CustomerExists => "choose another name, or the currency in which the customer's account is kept",
        Code::InvalidName => "a customer's name has letters, digits and signs of one script, without spaces and '@'",
        Code::WouldLoseQuorum => "start the nodes that do not answer, or remove those first",
        code => code.row().advice,
    }
}

/// For [`crate::fuzzing`]: what a command says that a node refused.
#[cfg(any(test, fuzzing))]
pub(crate) fn said(status: u16, body: &[u8]) -> Option<String> {
    let answer = Answer { status: StatusCode::from_u16(status).ok()?, body: hyper::body::Bytes::copy_from_slice(body) };
    match judge(answer).err()? {
        Refused::Later(why) => Some(why),
        Refused::Final(problem, _) => Some(refusal(&problem).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::JoinHandle;

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

    #[tokio::test(flavor = "multi_thread")]
    async fn what_came_to_no_node_has_changed_nothing_and_anything_else_may_have() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let cluster = "018f2f6c-0000-7000-8000-000000000001".parse().expect("a cluster's number");
        let nodes = Nodes::At(vec![Address::from(at)]);
        let bank = Bank::at(nodes).of_cluster(Some(cluster)).with_patience(Duration::ZERO);
        // Whatever is asked there is read and not answered.
        let taken = std::thread::spawn(move || drop(listener.accept()));
        let broken = bank.post("/v1/transfers", &serde_json::json!({})).await.expect_err("nobody answers");
        taken.join().expect("it was asked");
        assert_eq!(broken.code(), ExitCode::OutcomeUnknown, "{broken}");
        let refused = bank.post("/v1/transfers", &serde_json::json!({})).await.expect_err("nobody listens");
        assert_eq!(refused.code(), ExitCode::Unreachable, "{refused}");
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
    }

    const CLUSTER: &str = "018f2f6c-0000-7000-8000-000000000001";

    /// A listener that gives these answers, one a connection; and what it was asked.
    fn answering(answers: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut caller, _) = listener.accept().expect("somebody calls");
                let (mut head, mut part) = (Vec::new(), [0; 1024]);
                // A handshake of TLS, which begins with 22, is not answered.
                while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&22) {
                    match caller.read(&mut part).expect("it is readable") {
                        0 => break,
                        read => head.extend_from_slice(&part[..read]),
                    }
                }
                asked.push(String::from_utf8_lossy(&head).to_lowercase());
                caller.write_all(answer.as_bytes()).expect("it is still there");
            }
            asked
        });
        (at, asked)
    }

    fn with_a_token(nodes: Vec<Address>) -> Bank {
        let cluster = CLUSTER.parse().expect("a cluster's number");
        Bank::at(Nodes::At(nodes)).of_cluster(Some(cluster)).with_token(Some(HeaderValue::from_static("Bearer secret")))
    }

    fn wants_a_token(signed: &str) -> String {
        format!("HTTP/1.1 401 Unauthorized\r\n{signed}content-length: 0\r\nconnection: close\r\n\r\n")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_newcomer_sees_the_token_when_it_has_said_that_it_is_of_the_cluster() {
        let ours = wants_a_token(&format!("{}: {CLUSTER}\r\n", api::cluster::CLUSTER_HEADER));
        let (at, asked) = answering(vec![ours, wants_a_token("")]);
        let bank = with_a_token(vec![Address::from(at)]);
        let wanted = bank.status_at(&at.to_string()).await.expect_err("it wants another one");
        assert!(matches!(wanted, NoStatus::WantsToken), "{wanted}");
        let asked = asked.join().expect("it was asked twice");
        assert!(!asked[0].contains("secret") && asked[1].contains("authorization: bearer secret"), "{asked:?}");

        // One of another cluster, or whoever does not say.
        let other = format!("{}: 018f2f6c-0000-7000-8000-000000000002\r\n", api::cluster::CLUSTER_HEADER);
        for signed in [other.as_str(), ""] {
            let (at, asked) = answering(vec![wants_a_token(signed)]);
            let refused = bank.status_at(&at.to_string()).await.expect_err("it is not of the cluster");
            assert!(matches!(refused, NoStatus::OtherCluster), "{refused}");
            let asked = asked.join().expect("it was asked once");
            assert!(!asked[0].contains("secret"), "{asked:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn where_one_node_speaks_https_a_newcomer_is_not_asked_in_plain_text() {
        let dir = TestDir::new();
        let certificates = dir.path().join("certs");
        certs::Authority::init(&certificates, std::time::SystemTime::now()).expect("there is room");
        let authority = certs::web_client(&certificates.join("ca.crt")).expect("it was made");
        let (at, asked) = answering(vec![String::new()]);
        let plain = Address::parse("http://127.0.0.1:1").expect("an address");
        let secured = Address::parse_with("https://127.0.0.1:2", Some(&authority)).expect("an address");
        let bank = with_a_token(vec![plain, secured]).with_authority(Some(authority));
        assert!(bank.is_secured());
        let newcomer = at.to_string();
        let (status, hung_up) = tokio::join!(bank.status_at(&newcomer), async {
            tokio::task::spawn_blocking(move || asked.join().expect("it was called")).await.expect("it ends")
        });
        assert!(status.is_err());
        assert!(hung_up[0].starts_with('\u{16}') && !hung_up[0].contains("secret"), "a TLS handshake: {hung_up:?}");
    }
}
