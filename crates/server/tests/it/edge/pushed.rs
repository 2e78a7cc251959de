//! Callers that push against the bounds: they get no further, and nobody else notices.

use std::convert::Infallible;
use std::future::ready;
use std::time::{Duration, Instant};

use api::code::Code;
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::{StreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use server::edge::bounds;
use server::edge::connections::Limits;
use server::edge::guard::Guard;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connections::raise_open_files;
use super::memory_bank::Mood;
use super::raw_http::ask;
use super::raw_http2::Frames;
use super::served::{PATIENCE, Served, until};

async fn channel(served: &Served) -> Channel {
    Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI").connect().await.expect("listening")
}

async fn is_well(served: &Served) -> bool {
    let mut health = HealthClient::new(channel(served).await);
    health.check(HealthCheckRequest::default()).await.expect("answered").into_inner().status() == ServingStatus::Serving
}

#[tokio::test]
async fn four_thousand_half_sent_posts_keep_nobody_out() {
    raise_open_files();
    let limits = Limits { connections_max: 4096, ..Limits::default() };
    let served = Served::with(Guard::default(), limits).await;
    let head = format!(
        "POST /open_account HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{",
        served.http
    );
    let mut half_sent = Vec::new();
    for _ in 0..4_100 {
        let mut stream = TcpStream::connect(served.http).await.expect("accepted");
        // Those that gave up their seats already are closed.
        let _ = stream.write_all(head.as_bytes()).await;
        half_sent.push(stream);
    }
    assert_eq!(served.get("/readyz").await.status, 200);
    served.open().await;
}

#[tokio::test]
async fn while_every_seat_is_at_work_health_is_answered_and_the_rest_is_told_to_wait() {
    let limits = Limits { connections_max: 8, reserved_max: 4, ..Limits::default() };
    let served = Served::with(Guard::default(), limits).await;
    served.bank.set_mood(Mood::Hanging);
    let mut at_work = Vec::new();
    // Of one address at most three quarters of the seats are taken.
    for number in 1..=6 {
        let mut stream = TcpStream::connect(served.http).await.expect("accepted");
        let head = format!("POST /open_account HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", served.http);
        stream.write_all(head.as_bytes()).await.expect("written");
        at_work.push(stream);
        until("it is at work", || served.bank.asked() == number).await;
    }
    for _ in 0..20 {
        for path in ["/livez", "/readyz", "/metrics"] {
            let look = ask(served.http, "GET", path, &[], b"").await;
            assert_eq!((look.status, look.header("connection")), (200, Some("close")), "{path}");
        }
    }
    served.get("/v1/accounts").await.assert_problem(503, "too_many_connections");
    served.bank.set_mood(Mood::Well);
    served.bank.let_go();
    let mut again = served.post("/open_account", "").await;
    while again.status == 503 {
        again = served.post("/open_account", "").await;
    }
    assert_eq!(again.status, 200, "{}", again.body);
}

#[tokio::test]
async fn health_over_grpc_is_answered_while_every_seat_is_at_work() {
    let limits = Limits { connections_max: 4, reserved_max: 4, ..Limits::default() };
    let served = Served::with(Guard::default(), limits).await;
    served.bank.set_mood(Mood::Hanging);
    let mut at_work = Vec::new();
    for number in 1..=3 {
        let mut frames = Frames::connect(served.grpc).await;
        frames.call(1, "/rialto.v1.Bank/OpenAccount", &open_account(number)).await;
        at_work.push(frames);
        until("it is at work", || served.bank.asked() as u64 == number).await;
    }
    assert!(is_well(&served).await);
    let mut bank = BankClient::new(channel(&served).await);
    let account = proto::GetAccountRequest { id: Some(proto::Uuid { high: 1, low: 1 }) };
    let status = bank.get_account(account).await.expect_err("no seat is free for it");
    assert_eq!(Problem::code_of(&status), Some(Code::TooManyConnections));
    served.bank.let_go();
}

fn open_account(number: u64) -> Vec<u8> {
    let id = Some(proto::Uuid { high: 1, low: 100 + number });
    proto::OpenAccountRequest { id, currency: 0, owner: String::new() }.encode_to_vec()
}

/// Memory of this process that is in use, in bytes.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

/// The beginning of a message: all of it but its last byte.
fn unfinished(bytes: usize) -> Vec<u8> {
    let mut message = vec![0];
    message.extend((bytes as u32).to_be_bytes());
    message.resize(5 + bytes - 1, 7);
    message
}

#[tokio::test]
async fn two_hundred_unfinished_messages_hold_no_more_than_a_connection_may() {
    let served = Served::start().await;
    let before = resident_bytes();
    let stream = TcpStream::connect(served.grpc).await.expect("listening");
    let (mut hostile, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    // The path of the largest messages: all of four megabytes but the last byte, and then nothing.
    let piece = Bytes::from(unfinished(bounds::BATCH_MESSAGE_BYTES_MAX));
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let sent = stream::once(ready(Ok::<_, Infallible>(piece.clone()))).chain(stream::pending());
        let request = Request::post(format!("http://{}/rialto.v1.Bank/TransferBatch", served.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::from_stream(sent))
            .expect("a request");
        hostile.ready().await.expect("connected");
        calls.spawn(hostile.send_request(request));
    }
    // Seven of them are as much as the connection may hold.
    for _ in 0..192 {
        let answer = calls.join_next().await.expect("more are called").expect("no panic").expect("answered");
        let status = tonic::Status::from_header_map(answer.headers()).expect("a status");
        assert_eq!(Problem::code_of(&status), Some(Code::Overloaded), "{status:?}");
    }
    let held = served.intake.bytes_in_flight();
    assert!(held <= bounds::CONNECTION_BYTES_MAX, "{held} bytes");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 400 << 20, "{} MiB more than before, with other tests beside this one", grown >> 20);
    // Others of the same address have room, and when the caller goes all of it is given back.
    assert!(is_well(&served).await);
    served.open().await;
    drop((hostile, calls));
    until("everything is given back", || served.intake.bytes_in_flight() == 0).await;
}

#[tokio::test]
async fn calls_that_need_little_take_no_large_messages() {
    let served = Served::start().await;
    for (path, most) in [
        ("/grpc.health.v1.Health/Check", bounds::LOOK_MESSAGE_BYTES_MAX),
        ("/grpc.health.v1.Health/Watch", bounds::LOOK_MESSAGE_BYTES_MAX),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", bounds::LOOK_MESSAGE_BYTES_MAX),
        ("/rialto.v1.Bank/Transfer", bounds::MESSAGE_BYTES_MAX),
    ] {
        let mut frames = Frames::connect(served.grpc).await;
        frames.begin(1, path, &[]).await;
        // The length alone is enough to be refused: nothing of the message is sent.
        frames.data(1, &unfinished(most + 1)[..5]).await;
        let ended = tokio::time::timeout(Duration::from_secs(20), frames.end_of(1)).await;
        assert!(ended.expect("refused long before its time is over").is_some(), "{path}");
    }
    let mut bank = BankClient::new(channel(&served).await);
    let owner = "x".repeat(bounds::MESSAGE_BYTES_MAX);
    let status = bank.open_account(proto::OpenAccountRequest { id: None, currency: 0, owner }).await;
    assert_eq!(Problem::code_of(&status.expect_err("too large")), Some(Code::BodyTooLarge));
}

#[tokio::test]
async fn a_message_that_does_not_come_is_given_up_and_what_it_reserved_is_given_back() {
    let limits = Limits { body_timeout: Duration::from_millis(200), ..Limits::default() };
    let served = Served::with(Guard::default(), limits).await;
    let mut frames = Frames::connect(served.grpc).await;
    frames.begin(1, "/rialto.v1.Bank/TransferBatch", &[]).await;
    frames.data(1, &unfinished(1 << 20)[..100]).await;
    assert!(frames.end_of(1).await.is_some());
    until("what it reserved is given back", || served.intake.bytes_in_flight() == 0).await;
    let mut slow = TcpStream::connect(served.http).await.expect("listening");
    let head = format!(
        "POST /deposit_money HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{{",
        served.http
    );
    slow.write_all(head.as_bytes()).await.expect("written");
    super::raw_http::read_reply(&mut slow).await.assert_problem(408, "request_timeout");
}

#[tokio::test]
async fn whoever_is_refused_too_often_is_told_to_wait_and_good_requests_of_the_same_address_pass() {
    let served = Served::with(Guard::default(), Limits { refusals_burst: 0, ..Limits::default() }).await;
    let limited = served.get("/nowhere").await;
    limited.assert_problem(429, "overloaded");
    assert_eq!(limited.text("refused"), "no_such_path");
    assert!(limited.header("retry-after").is_some() && limited.header("connection") == Some("close"));
    served.open().await;
    assert_eq!(served.get("/readyz").await.status, 200);
    let mut bank = BankClient::new(channel(&served).await);
    let malformed = bank.get_account(proto::GetAccountRequest { id: None }).await.expect_err("no id");
    assert_eq!(Problem::code_of(&malformed), Some(Code::Overloaded));
    let few = Served::with(Guard::default(), Limits { refusals_burst: 50, ..Limits::default() }).await;
    for _ in 0..50 {
        few.get("/nowhere").await.assert_problem(404, "no_such_path");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_its_connection() {
    let limits = Limits { stall_timeout: Duration::from_millis(300), ..Limits::default() };
    let served = Served::with(Guard::default(), limits).await;
    for _ in 0..200 {
        served.open().await;
    }
    let mut stream = TcpStream::connect(served.http).await.expect("listening");
    let ask = format!("GET /v1/accounts?limit=1000 HTTP/1.1\r\nhost: {}\r\n\r\n", served.http);
    // Answers fill the buffers of both sides, since none is read; then nothing moves.
    let asking = async {
        loop {
            if stream.write_all(ask.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asking).await.expect("the node gives it up");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    until("its answers are given back", || served.intake.bytes_in_flight() == 0).await;
}

#[tokio::test]
async fn whoever_connects_and_does_not_speak_http2_is_given_up() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let served = Served::with(Guard::default(), limits).await;
    let mut silent = TcpStream::connect(served.grpc).await.expect("listening");
    let mut slow = TcpStream::connect(served.grpc).await.expect("listening");
    slow.write_all(b"PRI * HTTP").await.expect("written");
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open after a minute");
    }
    // Whoever speaks may rest as long as he likes.
    let mut bank = BankClient::new(channel(&served).await);
    tokio::time::sleep(limits.header_timeout * 3).await;
    bank.status(proto::StatusRequest {}).await.expect("the connection stands");
}

#[tokio::test]
async fn streams_that_watch_cost_nothing_while_nothing_changes() {
    let served = Served::start().await;
    let mut watches = Vec::new();
    for _ in 0..bounds::SOURCE_STREAMS_MAX / bounds::CONNECTION_STREAMS_MAX {
        let mut health = HealthClient::new(channel(&served).await);
        for _ in 0..bounds::CONNECTION_STREAMS_MAX {
            let mut watch = health.watch(HealthCheckRequest::default()).await.expect("a place").into_inner();
            watch.message().await.expect("open").expect("told at once");
            watches.push(watch);
        }
        // Thousands more are refused, and cost no more than that.
        for _ in 0..500 {
            health.watch(HealthCheckRequest::default()).await.expect_err("one too many");
        }
    }
    // All of them together look at the node ten times a second, as one would.
    let (before, began) = (served.bank.looks(), Instant::now());
    until("it is looked at", || served.bank.looks() >= before + 20).await;
    assert!(began.elapsed() > Duration::from_millis(1_500), "each stream looks for itself");
}

#[tokio::test]
async fn answers_over_grpc_that_nobody_takes_are_counted_and_given_up() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(700),
        connection_bytes_max: 8 * bounds::LIST_BYTES,
        ..Limits::default()
    };
    let served = Served::with(Guard::default(), limits).await;
    served.open().await;
    let mut frames = Frames::connect_taking_nothing(served.grpc).await;
    for number in 0..9 {
        frames.call(2 * number + 1, "/rialto.v1.Bank/ListAccounts", &[]).await;
    }
    // Eight answers wait for their caller; the ninth call is refused, which needs no body.
    let refused = frames.first_end().await;
    assert!(refused.is_some());
    assert_eq!(served.intake.bytes_in_flight(), 8 * bounds::LIST_BYTES);
    assert_eq!(frames.first_end().await, None, "the connection ends, though its caller answers pings");
    until("all of it is given back", || served.intake.bytes_in_flight() == 0).await;
}
