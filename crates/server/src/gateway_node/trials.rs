//! Whether addresses that somebody named are those of a bank.
//!
//! Consul, a name server or a file says where a bank is, and may be wrong. Each address is asked for its status: over TLS
//! the handshake has shown the bank's certificate by then, and the answer names the bank and, where it is known, its
//! group. Until one of them has proved itself the bank is called where it was.

use super::banks::Banks;
use api::client::{Client, Options, Prefer};
use clearing::BankName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::warn;

/// Addresses of one bank that are looked at, at most.
pub(super) const ADDRESSES_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Others that prove themselves in this time after the first are adopted with it.
const GATHER: Duration = Duration::from_millis(100);
/// Between two tries of those that have not proved themselves, twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The trials that are going on, one a bank.
#[derive(Debug, Default)]
pub(super) struct Trials {
    running: Mutex<BTreeMap<BankName, (Vec<String>, AbortHandle)>>,
}

impl Trials {
    /// Tries these addresses, unless they are being tried already. A trial of others for the same bank ends.
    pub(super) fn begin(&self, banks: &Arc<Banks>, name: BankName, addresses: Vec<String>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(&name).is_some_and(|(tried, task)| *tried == addresses && !task.is_finished()) {
            return;
        }
        let task = tokio::spawn(run(Arc::downgrade(banks), name, addresses.clone())).abort_handle();
        if let Some((_, before)) = running.insert(name, (addresses, task)) {
            before.abort();
        }
    }

    /// The bank is where it was: what was tried for it is not named any more.
    pub(super) fn end(&self, name: &BankName) {
        let before = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some((_, task)) = before {
            task.abort();
        }
    }
}

impl Drop for Trials {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(|(_, task)| task.abort());
    }
}

async fn run(banks: Weak<Banks>, name: BankName, addresses: Vec<String>) {
    let (mut proven, mut pause, mut is_told) = (Vec::new(), PAUSE, false);
    loop {
        let Some(strong) = banks.upgrade() else { return };
        let refused = round(&strong, name, &addresses, &mut proven).await;
        let Some((address, why)) = refused else { return };
        if !std::mem::replace(&mut is_told, true) {
            let open = addresses.len() - proven.len();
            warn!(event = "bank_address_unproven", bank = %name, address = %address, why = %why, count = open, effect = "the bank is called where it is known to be; it is tried again");
        }
        drop(strong);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Asks all that have not proved themselves, at once, and adopts those that do: a moment after the first, so that one that
/// hangs delays no other. One that did not, and why.
async fn round(
    banks: &Arc<Banks>,
    name: BankName,
    addresses: &[String],
    proven: &mut Vec<String>,
) -> Option<(String, String)> {
    let mut asked = JoinSet::new();
    for address in addresses.iter().filter(|address| !proven.contains(*address)).cloned() {
        let banks = Arc::clone(banks);
        asked.spawn(async move {
            let found = banks.is_proven(&name, &address).await;
            (address, found)
        });
    }
    let (mut refused, mut adopt_at) = (None, None);
    loop {
        let answered = match adopt_at {
            None => asked.join_next().await,
            Some(at) => match tokio::time::timeout_at(at, asked.join_next()).await {
                Ok(answered) => answered,
                Err(_) => {
                    adopt_at = None;
                    adopt(banks, &name, addresses, proven);
                    continue;
                }
            },
        };
        match answered {
            None => break,
            Some(Ok((address, Ok(())))) => {
                proven.push(address);
                adopt_at.get_or_insert_with(|| Instant::now() + GATHER);
            }
            Some(Ok((address, Err(why)))) => refused = refused.or(Some((address, why))),
            Some(Err(_)) => {}
        }
    }
    if adopt_at.is_some() {
        adopt(banks, &name, addresses, proven);
    }
    refused
}

/// In the order in which they were named: the same list is then known as the same.
fn adopt(banks: &Banks, name: &BankName, addresses: &[String], proven: &[String]) {
    let ordered: Vec<String> = addresses.iter().filter(|address| proven.contains(*address)).cloned().collect();
    banks.adopt(name, &ordered, addresses);
}

/// Asks one address who it is.
pub(super) async fn ask(address: &str, tls: Option<Arc<certs::Client>>) -> Result<api::proto::StatusResponse, String> {
    let options =
        Options { deadline: PATIENCE, attempt_timeout: PATIENCE, tls, prefer: Prefer::First, ..Options::default() };
    let client = Client::connect_with([address], options).map_err(|error| error.to_string())?;
    client.status().await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::proto;
    use axum::http;
    use bytes::Bytes;
    use http_body_util::combinators::BoxBody;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use prost::Message;
    use std::convert::Infallible;
    use tokio::sync::mpsc;

    /// A node that says of itself what it is told to.
    #[derive(Clone, Copy)]
    struct Stub {
        group: &'static str,
        cluster: u128,
    }

    impl Stub {
        /// Whatever it is asked, it tells its status.
        fn answer(self) -> http::Response<BoxBody<Bytes, Infallible>> {
            let status = proto::StatusResponse {
                group: self.group.to_owned(),
                cluster: Some(api::grpc::uuid(self.cluster)),
                quorum: true,
                ..proto::StatusResponse::default()
            };
            let message = status.encode_to_vec();
            let mut frame = vec![0];
            frame.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
            frame.extend_from_slice(&message);
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let frames = [Ok(Frame::data(Bytes::from(frame))), Ok(Frame::trailers(trailers))];
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
            let answer = http::Response::builder().header("content-type", "application/grpc");
            answer.body(body).expect("a response")
        }

        /// Where it serves, and what ends it.
        async fn serve(self) -> (String, AbortHandle) {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let at = listener.local_addr().expect("bound").to_string();
            let served = tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let service = service_fn(move |_| async move { Ok::<_, Infallible>(self.answer()) });
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(builder.serve_connection(TokioIo::new(socket), service));
                }
            });
            (at, served.abort_handle())
        }
    }

    fn alpha() -> BankName {
        BankName::new("alpha").expect("a name")
    }

    fn banks() -> Arc<Banks> {
        Arc::new(Banks::new(mpsc::channel(1).0, None))
    }

    async fn wait_for(banks: &Arc<Banks>, addresses: &[&String]) {
        for _ in 0..600 {
            if banks.link(&alpha()).is_some_and(|link| link.addresses().iter().eq(addresses.iter().copied())) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{addresses:?} are not where alpha is called: {:?}", banks.link(&alpha()));
    }

    #[tokio::test]
    async fn a_bank_is_called_where_it_was_until_another_address_has_proved_itself() {
        let stub = |group, cluster| Stub { group, cluster };
        let (old, _old) = stub("alpha", 7).serve().await;
        let (new, _new) = stub("alpha", 7).serve().await;
        let (other, _other) = stub("beta", 8).serve().await;
        let (namesake, _namesake) = stub("alpha", 9).serve().await;
        let nobody = "127.0.0.1:1".to_owned();
        let banks = banks();
        banks.know(&[(alpha(), vec![old.clone()])]);
        let link = banks.link(&alpha()).expect("it was named");
        link.looked(clearing::GroupId::new(7));
        link.set_reachable(true);

        // Whoever is not the bank is not called in its place, whatever is named.
        for wrong in [&nobody, &other, &namesake] {
            assert!(banks.is_proven(&alpha(), wrong).await.is_err(), "{wrong}");
        }
        banks.know(&[(alpha(), vec![nobody.clone(), other.clone(), namesake.clone(), "no address".to_owned()])]);
        assert!(banks.is_proven(&alpha(), &new).await.is_ok());
        wait_for(&banks, &[&old]).await;

        // A good one among bad ones is, and the bank is not away meanwhile.
        banks.know(&[(alpha(), vec![nobody.clone(), new.clone(), other.clone()])]);
        wait_for(&banks, &[&new]).await;
        assert!(banks.link(&alpha()).expect("it moved").is_reachable());
        assert_eq!(banks.reached().get("alpha"), Some(&vec![new.clone()]));

        // Named beside another it stays, and the other joins when it answers.
        banks.know(&[(alpha(), vec![new.clone(), old.clone()])]);
        wait_for(&banks, &[&new, &old]).await;
    }

    #[tokio::test]
    async fn more_banks_than_a_network_has_do_not_grow_without_bound() {
        let banks = banks();
        banks.know(&[(alpha(), vec!["127.0.0.1:1".to_owned()])]);
        banks.link(&alpha()).expect("it was named").set_reachable(true);
        let many: Vec<(BankName, Vec<String>)> = (0..3_000)
            .map(|number| (BankName::new(&format!("b{number}")).expect("a name"), vec!["127.0.0.1:1".to_owned()]))
            .collect();
        banks.know(&many);
        assert_eq!(banks.links().len(), 1_000);
        assert!(banks.link(&alpha()).is_some(), "who was there stays");
        let addresses = (1..=500).map(|port| format!("127.0.0.1:{port}")).collect();
        let beta = BankName::new("beta").expect("a name");
        banks.know(&[(beta, addresses)]);
        assert_eq!(banks.link(&beta).expect("it was named").addresses().len(), ADDRESSES_MAX);
    }
}
