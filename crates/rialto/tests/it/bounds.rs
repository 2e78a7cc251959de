//! What strangers and customers can do to others and to the disk: sign-ins under a flood, and payments without money.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::http::BUSY;
use crate::network::{network_json, until};
use crate::town::{Town, operate};

/// An answer over HTTP, as far as these tests look at it.
#[derive(Debug)]
struct Answer {
    status: u16,
    retry_after_s: Option<u64>,
    code: String,
    body: Value,
}

/// One request from an address of this machine's loopback: another address is another source.
async fn ask(from: [u8; 4], to: SocketAddr, (path, token): (&str, Option<&str>), body: &Value) -> Option<Answer> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind(SocketAddr::from((from, 0))).ok()?;
    let mut stream = socket.connect(to).await.ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let token = token.map(|it| format!("authorization: Bearer {it}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\n{token}\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let body: Value = serde_json::from_str(body).ok()?;
    let retry_after = head.lines().find_map(|line| line.to_lowercase().strip_prefix("retry-after: ")?.parse().ok());
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    Some(Answer { status: head.split(' ').nth(1)?.parse().ok()?, retry_after_s: retry_after, code, body })
}

/// Asked again while the answer is that somebody is too busy: then nothing was changed.
fn settled(town: &Town, from: [u8; 4], to: SocketAddr, request: (&str, Option<&str>), body: &Value) -> Answer {
    until("somebody has time to answer", || {
        let answer = town.runtime.block_on(ask(from, to, request, body)).expect("an answer");
        (!BUSY.contains(&answer.code.as_str())).then_some(answer)
    })
}

fn login(name: &str, password: &str) -> Value {
    json!({ "bank": "alpha", "username": name, "password": password })
}

/// Alice's token at that node, from the address that is this machine's own.
fn token(town: &Town, node: SocketAddr) -> String {
    let opened = settled(town, HOME, node, ("/v1/login", None), &login("alice", "alice-demo"));
    assert_eq!(opened.status, 200, "{opened:?}");
    opened.body["access_token"].as_str().expect("a token").to_owned()
}

/// Where the gateway's nodes serve HTTP.
fn nodes(town: &Town) -> Vec<SocketAddr> {
    let file = network_json(town.network.dir().as_ref());
    let nodes = file["nodes"].as_array().expect("a list of nodes");
    let of_gateway = nodes.iter().filter(|node| node["kind"] == "gateway");
    let address = |node: &Value| node["http"].as_str()?.strip_prefix("http://")?.parse().ok();
    of_gateway.filter_map(address).collect()
}

const HOME: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 9];
const FLOOD: [u8; 4] = [127, 0, 0, 66];
const GUESSER: [u8; 4] = [127, 0, 0, 77];

#[test]
fn neither_a_flood_of_invented_names_nor_guesses_keep_a_customer_out() {
    let town = Town::new("flood");
    let (nodes, stop) = (nodes(&town), Arc::new(AtomicBool::new(false)));
    assert_eq!(nodes.len(), 3);
    let (sent, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let flood: Vec<_> = (0..100_u64)
        .map(|caller| {
            let (stop, sent, wrong) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&wrong));
            let node = nodes[caller as usize % 3];
            town.runtime.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let name = format!("invented-{caller}-{number}");
                    let answer = ask(FLOOD, node, ("/v1/login", None), &login(&name, "a guess")).await;
                    wrong.fetch_add(u64::from(answer.is_some_and(|it| it.status == 401)), Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("the flood is under way", || (sent.load(Ordering::Relaxed) > 300).then_some(()));
    let sign_in = |from: [u8; 4], number: usize| {
        settled(&town, from, nodes[number % 3], ("/v1/login", None), &login("alice", "alice-demo"))
    };
    let mut token = String::new();
    for number in 0..6 {
        let answer = sign_in(HOME, number);
        assert_eq!(answer.status, 200, "sign-in {number} under the flood: {answer:?}");
        token = answer.body["access_token"].as_str().expect("a token").to_owned();
    }
    stop.store(true, Ordering::Relaxed);
    flood.into_iter().for_each(|caller| town.runtime.block_on(caller).expect("it ended"));
    assert!(wrong.load(Ordering::Relaxed) > 0, "invented names are told what wrong passwords are told");

    // Three hundred guesses at once, through all nodes of the gateway.
    let began = Instant::now();
    let guesses: Vec<_> = (0..300)
        .map(|number| {
            let node = nodes[number % 3];
            town.runtime.spawn(async move {
                ask(GUESSER, node, ("/v1/login", None), &login("alice", &format!("guess-{number}"))).await
            })
        })
        .collect();
    let answers = guesses.into_iter().filter_map(|guess| town.runtime.block_on(guess).expect("it ended"));
    let answers: Vec<Answer> = answers.collect();
    let looked_at = answers.iter().filter(|answer| answer.code == "wrong_credentials").count();
    // One more for each pause that is over: of 1 s, 2 s, 4 s and so on. Only a busy machine takes so long.
    let free = 3 + (began.elapsed().as_secs() + 1).ilog2() as usize;
    assert!(looked_at <= free, "{looked_at} of 300 guesses were looked at, and {free} are free");
    for answer in answers.iter().filter(|answer| answer.code != "wrong_credentials") {
        // One source has no more than some fifty under way at a node: what comes beyond is not asked about.
        assert!(["too_many_attempts", "too_many_sign_ins"].contains(&answer.code.as_str()), "{answer:?}");
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!(answer.retry_after_s.is_some_and(|wait_s| wait_s >= 1), "{answer:?}");
    }
    // Where she was before she signs in as ever, and from elsewhere with the token of an earlier sign-in.
    assert_eq!(sign_in(HOME, 0).status, 200);
    let body = login("alice", "alice-demo");
    let with_token = ask(GUESSER, nodes[1], ("/v1/login", Some(&token)), &body);
    assert_eq!(town.runtime.block_on(with_token).map(|answer| answer.status), Some(200), "from the guesser's address");
    assert_eq!(sign_in(ELSEWHERE, 2).status, 200, "one guesser does not use up her name");
}

#[test]
fn whoever_signs_out_signs_in_again_after_seventy_times() {
    let town = Town::new("seventy");
    let node = nodes(&town)[0];
    for number in 0..70 {
        let token = token(&town, node);
        let ended = town.runtime.block_on(ask(HOME, node, ("/v1/logout", Some(&token)), &Value::Null));
        assert_eq!(ended.map(|answer| answer.status), Some(200), "sign-out {number}");
    }
}

/// Bytes of the journals of all nodes of a group.
fn journal_bytes(town: &Town, group: &str) -> u64 {
    let of_node = |node: u64| {
        let dir = std::path::Path::new(town.network.dir()).join(group).join(node.to_string()).join("journal");
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum::<u64>()
    };
    (1..=3).map(of_node).sum()
}

#[test]
fn a_customer_without_money_fills_no_journal_and_is_told_to_wait() {
    let town = Town::patient("poor");
    let (done, told) = operate(&town, &["settings", "refused-per-customer", "60", "20"]);
    assert!(done, "{told}");
    let node = nodes(&town)[0];
    let token = token(&town, node);
    let batch = |payee: &str| {
        let payment = json!({ "payee": payee, "amount": "5000000.00" });
        json!({ "payments": vec![payment; 100] })
    };
    let (gateway, alpha) = (journal_bytes(&town, "gateway"), journal_bytes(&town, "alpha"));
    let (mut refused_for_now, mut not_taken) = (0, 0);
    for number in 0..60 {
        let payee = if number % 2 == 0 { "bob@beta" } else { "nobody@beta" };
        let body = batch(payee);
        let asked = ask(HOME, node, ("/v1/payments/batch", Some(&token)), &body);
        let answer = town.runtime.block_on(asked).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        for payment in answer.body["payments"].as_array().expect("one for each") {
            // On a busy machine a bank may answer too slowly to be given anything.
            not_taken += u64::from(payment["state"] == "not_taken");
            if payment["state"] == "not_taken" && payment["code"] == "too_many_refused" {
                assert!(payment["retry_after_ms"].as_u64().is_some_and(|ms| (1..=60_000).contains(&ms)), "{payment}");
                refused_for_now += 1;
            }
        }
    }
    assert!(not_taken > 5_000, "6,000 payments without money: only {not_taken} were not taken");
    assert!(refused_for_now > 1_000, "only {refused_for_now} because of refusals");
    let grown = [journal_bytes(&town, "gateway") - gateway, journal_bytes(&town, "alpha") - alpha];
    // At most 20 and one a second were recorded, some 2 KB each on three nodes; without the bucket it were 30 MB.
    assert!(grown.iter().all(|bytes| *bytes < 3_000_000), "the journals grew by {grown:?} bytes");
    let one = json!({ "payee": "bob@beta", "amount": "5000000.00" });
    let answer = town.runtime.block_on(ask(HOME, node, ("/v1/payments", Some(&token)), &one)).expect("an answer");
    let told = (answer.status, answer.code.as_str());
    // A token may just have come back.
    assert!(matches!(told, (429, "too_many_refused") | (422, "insufficient_funds")), "{answer:?}");
    assert!(answer.status == 422 || answer.retry_after_s.is_some(), "{answer:?}");
}

#[test]
fn what_changes_nothing_is_answered_without_an_entry_in_the_log() {
    let town = Town::patient("replays");
    let node = nodes(&town)[0];
    let (token, ended) = (token(&town, node), token(&town, node));
    let call = |path: &str, token: &str, body: &Value| {
        let answer = settled(&town, HOME, node, (path, Some(token)), body);
        (answer.status, answer.code)
    };
    let (id, cancelled) = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2");
    let payment = |id: &str, amount: &str| json!({ "id": id, "payee": "bob@beta", "amount": amount });
    let cancel = format!("/v1/payments/{cancelled}/cancel");
    assert_eq!(call("/v1/payments", &token, &payment(id, "1.00")).0, 201);
    assert_eq!(call(&cancel, &token, &payment(cancelled, "1.00")).0, 200);
    assert_eq!(call("/v1/logout", &ended, &Value::Null).0, 200);
    let entries_bytes = journal_bytes(&town, "gateway");
    for _ in 0..150 {
        assert_eq!(call("/v1/payments", &token, &payment(id, "1.00")).0, 201);
        assert_eq!(call("/v1/payments", &token, &payment(id, "2.00")).1, "id_reused");
        assert_eq!(call(&cancel, &token, &payment(cancelled, "1.00")).0, 200);
        assert_eq!(call("/v1/logout", &ended, &Value::Null).0, 200);
    }
    // An entry has 256 bytes at least, on each of three nodes. Some come by themselves, now and then.
    let entries = (journal_bytes(&town, "gateway") - entries_bytes) / 3 / 256;
    assert!(entries < 150, "600 requests that change nothing left {entries} entries");
}
