//! Finding others: health-passing queries that wait for a change.

use super::client::{Consul, ConsulError};
use crate::skipped::Skipped;
use clearing::BankName;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long a query waits for a change.
const WAIT: Duration = Duration::from_secs(30);
/// Before Consul that was away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// A kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Bank,
    Gateway,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Service::Bank => "rialto-bank",
            Service::Gateway => "rialto-gateway",
        }
    }
}

/// Registrations of one kind whose certificates are looked at, at most: of what Consul names beyond that nobody is called.
const INSTANCES_MAX: usize = 2_048;
/// Filed certificates that are asked for at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// Between two lines about what was left out, however often that is something else.
const TELL_PERIOD: Duration = Duration::from_secs(10);
/// Between two looks, however often Consul's list changes.
const CALM: Duration = Duration::from_millis(250);

/// A node that is there and well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub group: String,
    pub node: u16,
    /// Where it serves gRPC, `host:port`.
    pub grpc: String,
}

/// What Consul knows of a kind of node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) instances: Vec<Instance>,
    /// What somebody else registered under the name, or wrongly: none of ours.
    pub(super) skipped: Skipped,
}

/// One registration. Whatever else stands in one is nothing to us, and `null` stands for nothing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Option<Agent>,
    service: Option<Registered>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    #[serde(rename = "ID")]
    id: Option<String>,
    address: Option<String>,
    port: Option<u16>,
    meta: Option<BTreeMap<String, String>>,
}

impl Found {
    /// Reads Consul's list, each registration by itself. All that are well formed are kept, however many: whose certificate
    /// nobody filed is known only later.
    pub(super) fn read(answer: &[u8]) -> Result<Found, serde_json::Error> {
        let text = String::from_utf8_lossy(answer);
        // Whoever's bytes were replaced is skipped: what stood there is not known.
        let is_replaced = matches!(text, Cow::Owned(_));
        let entries: Vec<&RawValue> = serde_json::from_str(&text)?;
        let mut found = Found::default();
        for (number, entry) in (1..).zip(entries) {
            let read = match is_replaced && entry.get().contains(char::REPLACEMENT_CHARACTER) {
                true => Err("it is not UTF-8".to_owned()),
                false => instance(entry),
            };
            match read {
                Ok(instance) => found.instances.push(instance),
                Err(why) => found.skipped.note(|| format!("registration {number}: {why}")),
            }
        }
        Ok(found)
    }

    /// Keeps at most [`INSTANCES_MAX`]. Every node's first registration comes before any node's second, so that many of one
    /// node hide no other node.
    fn limit(self) -> Found {
        let Found { instances, mut skipped } = self;
        let mut seen: BTreeMap<(String, u16), usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, Instance)> = Vec::with_capacity(instances.len());
        for instance in instances {
            let rank = seen.entry((instance.group.clone(), instance.node)).or_default();
            ranked.push((*rank, instance));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        let rest = ranked.split_off(ranked.len().min(INSTANCES_MAX));
        for (_, Instance { group, node, grpc }) in rest {
            skipped.note(|| format!("node {node} of {group:?} at {grpc} is one too many"));
        }
        Found { instances: ranked.into_iter().map(|(_, instance)| instance).collect(), skipped }
    }
}

fn instance(entry: &RawValue) -> Result<Instance, String> {
    let entry: Entry = serde_json::from_str(entry.get()).map_err(|error| error.to_string())?;
    let service = entry.service.ok_or("it has no Service")?;
    let id = service.id.unwrap_or_default();
    let lacks = |what: &str| format!("{id:?} has no {what}");
    let meta = service.meta.unwrap_or_default();
    let group = meta.get("group").ok_or_else(|| lacks("Meta.group"))?.clone();
    let node =
        meta.get("node").and_then(|node| node.parse().ok()).ok_or_else(|| lacks("Meta.node that is a number"))?;
    let own = service.address.filter(|address| !address.is_empty());
    let host = own.or(entry.node.and_then(|agent| agent.address)).filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| lacks("address"))?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    if host.len() > 255 || !host.bytes().all(is_host) {
        return Err(format!("{id:?} has an address that is none: {host:?}"));
    }
    let port = service.port.filter(|port| *port > 0).ok_or_else(|| lacks("port"))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(Instance { group, node, grpc: format!("{host}:{port}") })
}

impl Consul {
    /// The nodes of a kind whose check passes; once something is another than at `index`, or a while later.
    ///
    /// # Errors
    /// When Consul is away, or refuses.
    pub(super) async fn passing(&self, service: Service, index: u64) -> Result<(Found, u64), ConsulError> {
        let wait = WAIT.as_secs();
        let path = format!("/v1/health/service/{}?passing=true&index={index}&wait={wait}s", service.name());
        let answer = self.get(&path, if index == 0 { Duration::ZERO } else { WAIT + WAIT / 8 }).await?;
        let found = Found::read(&answer.body).map_err(|error| {
            ConsulError::Config(format!("Consul's list of {} makes no sense: {error}", service.name()))
        })?;
        Ok((found, answer.index))
    }

    /// The nodes for which a certificate is filed, as keys; `None` where Consul does not say.
    async fn filed(&self) -> Option<BTreeSet<String>> {
        match self.get("/v1/kv/cert/?keys=true", Duration::ZERO).await {
            Ok(answer) => keys(&answer.body),
            // No key at all is answered like one that is not there.
            Err(ConsulError::Refused { status, .. }) if status == hyper::StatusCode::NOT_FOUND => Some(BTreeSet::new()),
            Err(_) => None,
        }
    }

    /// The public certificate of a node, PEM, if it is filed.
    async fn certificate(&self, group: &str, node: u16) -> Option<Vec<u8>> {
        let answer = self.get(&format!("/v1/kv/{}?raw=true", key(group, node)), Duration::ZERO).await.ok()?;
        Some(answer.body.to_vec())
    }
}

/// A list of keys; `None` for what is no such list. A key that is not UTF-8 is nobody's.
pub(super) fn keys(answer: &[u8]) -> Option<BTreeSet<String>> {
    serde_json::from_str(&String::from_utf8_lossy(answer)).ok()
}

/// Where a node's public certificate is filed.
pub(super) fn key(group: &str, node: u16) -> String {
    format!("cert/{group}/{node}")
}

/// Where the CA's certificate is filed, for those who have none yet.
pub(super) const AUTHORITY: &str = "cert/ca";

/// Where the gateway's nodes serve gRPC now, of those whose filed certificates can be believed.
///
/// # Errors
/// When Consul is away or refuses, or when nothing of what it names can be called; then it says why.
pub async fn gateways(consul: &Consul, tls: Option<&certs::Files>) -> Result<Vec<String>, ConsulError> {
    let (found, _) = consul.passing(Service::Gateway, 0).await?;
    let Found { instances, skipped } = believable(consul, tls, Service::Gateway, found).await;
    if instances.is_empty() && !skipped.is_empty() {
        let (kind, count) = (Service::Gateway.name(), skipped.count());
        return Err(ConsulError::Config(format!("Consul names {count} of {kind}, and none can be called: {skipped}")));
    }
    Ok(instances.into_iter().map(|instance| instance.grpc).collect())
}

/// The network's CA as it is filed, PEM.
///
/// # Errors
/// When Consul is away or refuses, or none is filed.
pub async fn authority(consul: &Consul) -> Result<Vec<u8>, ConsulError> {
    Ok(consul.get(&format!("/v1/kv/{AUTHORITY}?raw=true"), Duration::ZERO).await?.body.to_vec())
}

/// Tells of the gateway's nodes whenever they are others, for whoever stays longer than for one question. Runs until it is
/// dropped; Consul that is away changes nothing.
pub async fn follow_gateways(consul: Consul, tls: Option<certs::Files>, moved: impl Fn(Vec<String>)) {
    let (mut index, mut last) = (0, Vec::new());
    loop {
        let Ok((found, next)) = consul.passing(Service::Gateway, index).await else {
            index = 0;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let found = believable(&consul, tls.as_ref(), Service::Gateway, found).await;
        let mut found: Vec<String> = found.instances.into_iter().map(|instance| instance.grpc).collect();
        found.sort_unstable();
        if !found.is_empty() && found != last {
            last.clone_from(&found);
            moved(found);
        }
        index = if next < index { 0 } else { next };
        tokio::time::sleep(if next == 0 { PAUSE } else { CALM }).await;
    }
}

/// Without those whose filed certificate is not of the pinned CA, or of another node: they are not called. Whoever has none
/// filed is left out before the rest is limited: such registrations cost nobody anything to make, and hide nobody.
async fn believable(consul: &Consul, tls: Option<&certs::Files>, service: Service, found: Found) -> Found {
    let Some(files) = tls else { return found.limit() };
    // One question tells for whom there is anything to look up, however many are named.
    let filed = consul.filed().await;
    let mut possible = Found { instances: Vec::new(), skipped: found.skipped };
    for instance in found.instances {
        match cannot_be_filed(service, &instance, filed.as_ref()) {
            None => possible.instances.push(instance),
            Some(why) => possible.skipped.note(|| uncalled(&instance, &why)),
        }
    }
    let Found { instances, mut skipped } = possible.limit();
    // Each node's certificate is asked for once, however often the node is registered.
    let nodes: BTreeSet<(String, u16)> = instances.iter().map(|it| (it.group.clone(), it.node)).collect();
    let looked_up = nodes.into_iter().map(|(group, node)| async move {
        let refused = refusal(consul, files, service, (&group, node)).await;
        ((group, node), refused)
    });
    let refused: BTreeMap<(String, u16), Option<String>> =
        futures_util::stream::iter(looked_up).buffered(LOOKUPS_AT_ONCE).collect().await;
    let mut believed = Vec::new();
    for instance in instances {
        match refused.get(&(instance.group.clone(), instance.node)) {
            Some(Some(why)) => skipped.note(|| uncalled(&instance, why)),
            Some(None) | None => believed.push(instance),
        }
    }
    Found { instances: believed, skipped }
}

/// Who is not called, and why.
fn uncalled(instance: &Instance, why: &str) -> String {
    let Instance { group, node, grpc } = instance;
    format!("node {node} of {group:?} at {grpc}, whose certificate ({}) {why}", key(group, *node))
}

/// Keeps a gateway's node knowing where the banks are, by Consul's word. Runs as long as the node serves.
pub(crate) async fn follow_banks(
    consul: Consul,
    tls: Option<certs::Files>,
    know: impl Fn(&[(BankName, Vec<String>)]) + Send,
) {
    let (mut index, mut is_away) = (0, false);
    let (mut told, mut told_at) = (Skipped::default(), None::<Instant>);
    loop {
        let (found, next) = match consul.passing(Service::Bank, index).await {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    warn!(event = "consul_away", why = %error, effect = "what is known goes on working");
                }
                index = 0;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if std::mem::replace(&mut is_away, false) {
            info!(event = "consul_back");
        }
        let Found { instances, mut skipped } = believable(&consul, tls.as_ref(), Service::Bank, found).await;
        let mut banks: BTreeMap<BankName, Vec<String>> = BTreeMap::new();
        for instance in instances {
            match BankName::new(&instance.group) {
                Ok(name) => banks.entry(name).or_default().push(instance.grpc),
                Err(_) => skipped.note(|| format!("{:?} is no bank's name", instance.group)),
            }
        }
        if skipped != told && told_at.is_none_or(|at| at.elapsed() >= TELL_PERIOD) {
            if !skipped.is_empty() {
                warn!(event = "registrations_skipped", service = Service::Bank.name(), count = skipped.count(), which = %skipped, effect = "they are not called");
            }
            (told, told_at) = (skipped, Some(Instant::now()));
        }
        banks.values_mut().for_each(|addresses| addresses.sort_unstable());
        know(&banks.into_iter().collect::<Vec<_>>());
        // An index that goes back is of another Consul: from the beginning.
        index = if next < index { 0 } else { next };
        tokio::time::sleep(if next == 0 { PAUSE } else { CALM }).await;
    }
}

/// Whose certificate a node has to show.
pub(super) fn subject(service: Service, (group, node): (&str, u16)) -> Result<certs::Subject, certs::BadSubject> {
    match service {
        Service::Bank => certs::Subject::bank(group, node),
        Service::Gateway => certs::Subject::gateway(group, node),
    }
}

/// Why no certificate can be filed for a node, as far as that is known without asking for it: nobody can have one of that
/// name, or the keys are known and its key is not among them.
fn cannot_be_filed(service: Service, instance: &Instance, filed: Option<&BTreeSet<String>>) -> Option<String> {
    if let Err(error) = subject(service, (&instance.group, instance.node)) {
        return Some(format!("nobody can have: {error}"));
    }
    let is_filed = filed.is_none_or(|filed| filed.contains(&key(&instance.group, instance.node)));
    (!is_filed).then(|| NOT_FILED.to_owned())
}

const NOT_FILED: &str = "is not filed";

/// Why a node is not called, by its filed certificate; `None` if it is.
async fn refusal(
    consul: &Consul,
    files: &certs::Files,
    service: Service,
    (group, node): (&str, u16),
) -> Option<String> {
    let subject = match subject(service, (group, node)) {
        Ok(subject) => subject,
        Err(error) => return Some(format!("nobody can have: {error}")),
    };
    match consul.certificate(group, node).await {
        Some(pem) => files.vouches_for(&pem, &subject).err().map(|why| format!("is refused: {why}")),
        None => Some(NOT_FILED.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{Check, ConsulConfig};
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn ours(number: u16) -> String {
        format!(
            r#"{{"Node":{{"Address":"10.0.0.9","Node":"n1"}},"Service":{{"ID":"x{number}","Service":"rialto-bank","Address":"","Port":{},"Meta":{{"group":"alpha","node":"{number}"}}}}}}"#,
            7110 + number
        )
    }

    #[test]
    fn one_registration_that_makes_no_sense_hides_no_other() {
        let foreign = [
            r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"a","Address":"x","Port":1,"Meta":null}}"#,
            r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"b","Address":"x","Port":1,"Meta":{}}}"#,
            r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"c","Port":70000,"Meta":{"group":"alpha","node":"1"}}}"#,
            r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"d","Port":1,"Meta":{"group":"alpha","node":"one"}}}"#,
            r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"e","Port":-1,"Meta":{"group":"alpha","node":"1"}}}"#,
            r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"f","Port":1,"Meta":{"group":7}}}"#,
            r#"{"Node":{"Address":"a/b@c"},"Service":{"ID":"g","Port":1,"Meta":{"group":"alpha","node":"1"}}}"#,
            r#"{"Node":null,"Service":{"ID":"h","Address":"","Port":1,"Meta":{"group":"alpha","node":"1"}}}"#,
            r#"{"Node":{"Address":null},"Service":null}"#,
            "null",
            "7",
            "[]",
        ];
        for entry in foreign {
            let text = format!("[{},{entry},{}]", ours(1), ours(2));
            let found = Found::read(text.as_bytes()).expect("it is a list");
            let grpc: Vec<&str> = found.instances.iter().map(|instance| instance.grpc.as_str()).collect();
            assert_eq!(grpc, ["10.0.0.9:7111", "10.0.0.9:7112"], "{entry}");
            assert_eq!(found.skipped.count(), 1, "{entry}");
            assert!(found.skipped.to_string().starts_with("registration 2: "), "{}", found.skipped);
        }
        assert!(Found::read(b"{}").is_err(), "what is no list at all is told");
        let own = r#"[{"Node":{"Address":"10.0.0.9"},"Service":{"Address":"::1","Port":7112,"Meta":{"group":"alpha","node":"2"},"Weights":{}}}]"#;
        let instance = Instance { group: "alpha".to_owned(), node: 2, grpc: "[::1]:7112".to_owned() };
        assert_eq!(Found::read(own.as_bytes()).expect("a list").instances, [instance]);
    }

    #[test]
    fn twenty_thousand_foreign_registrations_are_one_line() {
        let foreign = r#"{"Node":{"Address":"10.0.0.9"},"Service":{"ID":"web","Address":"x","Port":1,"Meta":null}}"#;
        let mut entries = vec![foreign.to_owned(); 20_000];
        entries.push(ours(1));
        let found = Found::read(format!("[{}]", entries.join(",")).as_bytes()).expect("it is a list");
        assert_eq!((found.instances.len(), found.skipped.count()), (1, 20_000));
        assert!(found.skipped.to_string().len() < 600, "{}", found.skipped);
        // And of those that look like ours only so many are looked at.
        let many: Vec<String> = (1..=4_000).map(ours).collect();
        let found = Found::read(format!("[{}]", many.join(",")).as_bytes()).expect("it is a list").limit();
        assert_eq!((found.instances.len(), found.skipped.count()), (INSTANCES_MAX, 4_000 - INSTANCES_MAX));
    }

    #[test]
    fn many_registrations_of_one_node_hide_no_other_node() {
        let mut many = vec![ours(1); 4_000];
        many.extend([ours(2), ours(3)]);
        let found = Found::read(format!("[{}]", many.join(",")).as_bytes()).expect("it is a list").limit();
        let nodes: BTreeSet<u16> = found.instances.iter().map(|instance| instance.node).collect();
        assert_eq!(nodes, BTreeSet::from([1, 2, 3]));
        assert_eq!((found.instances.len(), found.skipped.count()), (INSTANCES_MAX, 4_002 - INSTANCES_MAX));
    }

    #[test]
    fn a_registration_that_is_not_utf_8_hides_no_other() {
        let entry = ours(1);
        for place in ["x1", "10.0.0.9", "alpha", "rialto-bank"] {
            let at = entry.find(place).expect("it is there");
            let spoiled = [&entry.as_bytes()[..at], b"\xff\xfe", &entry.as_bytes()[at..]].concat();
            let list = [b"[", spoiled.as_slice(), b",", ours(2).as_bytes(), b"]"].concat();
            let found = Found::read(&list).expect("it is a list");
            let nodes: Vec<u16> = found.instances.iter().map(|instance| instance.node).collect();
            assert_eq!((nodes, found.skipped.to_string()), (vec![2], "registration 1: it is not UTF-8".to_owned()));
        }
        let keys = keys(b"[\"cert/alpha/1\",\"cert/\xff\"]").expect("it is a list");
        assert!(keys.contains("cert/alpha/1"), "{keys:?}");
    }

    /// A Consul that answers as it is told to, and counts what it is asked.
    async fn consul(answers: impl Fn(&str) -> (u16, String) + Send + 'static) -> (Consul, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("bound");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if socket.read_exact(&mut byte).await.is_err() {
                        break;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let (status, body) = answers(head.split(' ').nth(1).unwrap_or_default());
                let answer =
                    format!("HTTP/1.1 {status} X\r\nX-Consul-Index: 7\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let config = ConsulConfig { url: format!("http://{at}"), token: None, ca: None, check: Check::Ttl };
        (Consul::new(&config).expect("an address"), asked)
    }

    #[tokio::test]
    async fn whoever_has_no_filed_certificate_costs_no_question() {
        let many: Vec<String> = (1..=INSTANCES_MAX as u16).map(ours).collect();
        let list = format!("[{}]", many.join(","));
        let (consul, asked) = consul(move |path| match path {
            path if path.starts_with("/v1/health/") => (200, list.clone()),
            path if path.contains("keys=true") => (200, r#"["cert/alpha/1","cert/ca"]"#.to_owned()),
            _ => (404, String::new()),
        })
        .await;
        let nowhere = std::path::PathBuf::from("/nonexistent/rialto");
        let files = certs::Files::new(nowhere, certs::Subject::Client);
        let refused = gateways(&consul, Some(&files)).await.expect_err("none can be called").to_string();
        assert!(refused.contains("Consul names 2048 of rialto-gateway") && refused.contains("2045 more"), "{refused}");
        assert!(asked.load(Ordering::Relaxed) <= 3, "{asked:?}");
    }

    #[tokio::test]
    async fn a_nodes_certificate_is_asked_for_once_however_often_it_is_registered() {
        let list = format!("[{}]", vec![ours(1); 500].join(","));
        let (consul, asked) = consul(move |path| match path {
            path if path.starts_with("/v1/health/") => (200, list.clone()),
            path if path.contains("keys=true") => (200, r#"["cert/alpha/1"]"#.to_owned()),
            _ => (404, String::new()),
        })
        .await;
        let files = certs::Files::new("/nonexistent/rialto", certs::Subject::Client);
        assert!(gateways(&consul, Some(&files)).await.is_err(), "none can be called");
        assert!(asked.load(Ordering::Relaxed) <= 3, "{asked:?}");
    }

    #[tokio::test]
    async fn the_one_with_a_filed_certificate_is_looked_at_however_many_come_before_it() {
        let dir = std::env::temp_dir().join(format!("rialto-find-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let now = std::time::SystemTime::now();
        let authority = certs::Authority::init(&dir, now).expect("there is room");
        let number = 20_000;
        let files = authority.issue(&certs::Subject::gateway("alpha", number).expect("a name"), &[], now);
        let files = files.expect("there is room");
        let pem = std::fs::read_to_string(files.certificate()).expect("it was issued");
        let many: Vec<String> = (1..=number).map(ours).collect();
        let list = format!("[{}]", many.join(","));
        let filed = format!(r#"["{}"]"#, key("alpha", number));
        let (consul, asked) = consul(move |path| match path {
            path if path.starts_with("/v1/health/") => (200, list.clone()),
            path if path.contains("keys=true") => (200, filed.clone()),
            path if path.contains(&key("alpha", number)) => (200, pem.clone()),
            _ => (404, String::new()),
        })
        .await;
        let found = gateways(&consul, Some(&files)).await.expect("one can be called");
        assert_eq!(found, [format!("10.0.0.9:{}", 7110 + number)]);
        assert!(asked.load(Ordering::Relaxed) <= 3, "{asked:?}");
        let _ = std::fs::remove_dir_all(&dir);
    }

    #[tokio::test]
    async fn a_foreign_registration_hides_no_gateway_from_a_customer() {
        let list = format!(r#"[{{"Node":{{"Address":"x"}},"Service":{{"ID":"a","Port":1,"Meta":null}}}},{}]"#, ours(1));
        let (consul, _) = consul(move |_| (200, list.clone())).await;
        let found = gateways(&consul, None).await.expect("Consul answers");
        assert_eq!(found, ["10.0.0.9:7111"]);
    }
}
