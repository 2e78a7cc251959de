//! The services of `rialto.v1` through a real socket, message by message.

use api::code::Code;
use api::grpc::{int128_value, uuid};
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::memory_bank::Mood;
use super::served::Served;

const VAULT: u128 = 0x0000_0000_0000_8001_8978_0000_0000_0000;

async fn channel(served: &Served) -> Channel {
    Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI").connect().await.expect("listening")
}

fn order(id: u128, debit: u128, credit: u128, amount: u64) -> proto::Transfer {
    proto::Transfer {
        id: Some(uuid(id)),
        debit_account: Some(uuid(debit)),
        credit_account: Some(uuid(credit)),
        amount,
        ..proto::Transfer::default()
    }
}

async fn open(bank: &mut BankClient<Channel>, id: u128) {
    let request = proto::OpenAccountRequest { id: Some(uuid(id)), currency: 0, owner: "Alice".into() };
    bank.open_account(request).await.expect("opened");
}

#[tokio::test]
async fn a_transfer_carries_outcome_time_balances_and_replay() {
    let served = Served::start().await;
    let mut bank = BankClient::new(channel(&served).await);
    open(&mut bank, 10).await;
    for replay in [false, true] {
        let request = proto::TransferRequest { transfer: Some(order(1, VAULT, 10, 500)) };
        let outcome = bank.transfer(request).await.expect("answered").into_inner().outcome.expect("an outcome");
        assert_eq!((outcome.kind(), outcome.replay), (proto::OutcomeKind::Posted, replay));
        assert!(outcome.time_ms > 1_795_000_000_000);
        let balance = |side: Option<proto::Balances>| int128_value(&side.expect("a side").balance.expect("a balance"));
        assert_eq!((balance(outcome.debit_after), balance(outcome.credit_after)), (-500, 500));
    }
    let account = bank.get_account(proto::GetAccountRequest { id: Some(uuid(10)) }).await.expect("found").into_inner();
    assert_eq!((account.owner.as_str(), account.currency), ("Alice", 978));
}

#[tokio::test]
async fn a_full_batch_goes_through_one_call() {
    let served = Served::start().await;
    let mut bank = BankClient::new(channel(&served).await);
    open(&mut bank, 10).await;
    let transfers = (0..8190).map(|item| order(1000 + item, VAULT, 10, 1)).collect::<Vec<_>>();
    let response =
        bank.transfer_batch(proto::TransferBatchRequest { transfers: transfers.clone(), linked: false }).await;
    let outcomes = response.expect("answered").into_inner().outcomes;
    assert_eq!(outcomes.len(), 8190);
    assert!(outcomes.iter().all(|outcome| outcome.kind() == proto::OutcomeKind::Posted && !outcome.replay));
    let too_many = [transfers, vec![order(1, VAULT, 10, 1)]].concat();
    let status = bank.transfer_batch(proto::TransferBatchRequest { transfers: too_many, linked: false }).await;
    assert_eq!(Problem::code_of(&status.expect_err("too many")), Some(Code::BatchTooLarge));
}

#[tokio::test]
async fn rejections_are_outcomes_and_malformed_items_are_statuses() {
    let served = Served::start().await;
    let mut bank = BankClient::new(channel(&served).await);
    open(&mut bank, 10).await;
    open(&mut bank, 11).await;
    let request = proto::TransferRequest { transfer: Some(order(1, 10, 11, 500)) };
    let outcome = bank.transfer(request).await.expect("answered").into_inner().outcome.expect("an outcome");
    assert_eq!((outcome.kind(), outcome.code.as_str()), (proto::OutcomeKind::Rejected, "insufficient_funds"));
    assert!(outcome.detail.contains("0.00 EUR available, 5.00 EUR"), "{}", outcome.detail);

    let transfers = vec![order(2, VAULT, 10, 1), order(3, 10, 10, 1)];
    let status =
        bank.transfer_batch(proto::TransferBatchRequest { transfers, linked: false }).await.expect_err("malformed");
    assert_eq!((status.code(), Problem::code_of(&status)), (tonic::Code::InvalidArgument, Some(Code::SameAccount)));
    assert!(status.message().starts_with("item 1"), "{}", status.message());
    let found = bank.get_transfer(proto::GetTransferRequest { id: Some(uuid(2)) }).await;
    assert_eq!(Problem::code_of(&found.expect_err("nothing was done")), Some(Code::UnknownTransfer));
}

#[tokio::test]
async fn an_id_can_be_voided_and_read() {
    let served = Served::start().await;
    let mut bank = BankClient::new(channel(&served).await);
    open(&mut bank, 10).await;
    let voided =
        bank.void_transfer(proto::VoidTransferRequest { id: Some(uuid(5)) }).await.expect("answered").into_inner();
    assert_eq!(voided.outcome.expect("an outcome").kind(), proto::OutcomeKind::Voided);
    let request = proto::TransferRequest { transfer: Some(order(5, VAULT, 10, 1)) };
    let late = bank.transfer(request).await.expect("answered").into_inner().outcome.expect("an outcome");
    assert_eq!((late.kind(), late.code.as_str()), (proto::OutcomeKind::Rejected, "voided"));
}

#[tokio::test]
async fn failures_carry_their_code_and_when_to_come_again() {
    let served = Served::start().await;
    let mut bank = BankClient::new(channel(&served).await);
    let cases = [
        (Mood::NoMajority, tonic::Code::Unavailable, Code::Unavailable, true),
        (Mood::Overloaded, tonic::Code::ResourceExhausted, Code::Overloaded, true),
        (Mood::SilentlyDone, tonic::Code::DeadlineExceeded, Code::OutcomeUnknown, false),
        (Mood::Panicking, tonic::Code::Internal, Code::Internal, false),
    ];
    for (mood, grpc, code, waits) in cases {
        served.bank.set_mood(mood);
        let request = proto::TransferRequest { transfer: Some(order(1, VAULT, 10, 1)) };
        let status = bank.transfer(request).await.expect_err("no outcome");
        assert_eq!((status.code(), Problem::code_of(&status)), (grpc, Some(code)), "{mood:?}: {status:?}");
        assert_eq!(Problem::wait_of(&status).is_some(), waits, "{mood:?}");
    }
}

#[tokio::test]
async fn with_a_token_every_call_but_health_must_carry_it() {
    let served = Served::with_token("s3cret").await;
    let channel = channel(&served).await;
    let status = BankClient::new(channel.clone()).status(proto::StatusRequest {}).await.expect_err("no token");
    assert_eq!(Problem::code_of(&status), Some(Code::Unauthorized));
    let mut request = tonic::Request::new(proto::StatusRequest {});
    request.metadata_mut().insert("authorization", "Bearer s3cret".parse().expect("ASCII"));
    assert!(BankClient::new(channel.clone()).status(request).await.is_ok());

    let mut health = HealthClient::new(channel);
    let mut check = async |service: &str| health.check(HealthCheckRequest { service: service.to_owned() }).await;
    for service in ["", "rialto.v1.Bank"] {
        let answer = check(service).await.expect("answered").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    served.bank.set_mood(Mood::NoMajority);
    assert_eq!(check("").await.expect("answered").into_inner().status(), ServingStatus::NotServing);
    assert_eq!(check("other").await.expect_err("unknown").code(), tonic::Code::NotFound);
}

/// The status with which a call by hand is answered, whatever is wrong about it.
async fn refused(served: &Served, path: &str, more: &[(&str, &str)], bytes: &[u8]) -> tonic::Status {
    use tonic::client::Grpc;
    use tonic::codegen::http::uri::PathAndQuery;
    let mut client = Grpc::new(channel(served).await);
    client.ready().await.expect("connected");
    let mut request = tonic::Request::new(bytes.to_vec());
    for (name, value) in more {
        let name = tonic::metadata::MetadataKey::from_bytes(name.as_bytes()).expect("a name");
        request.metadata_mut().insert(name, value.parse().expect("a value"));
    }
    let path = PathAndQuery::try_from(path.to_owned()).expect("a path");
    client.unary(request, path, Bytes).await.map(drop).expect_err("it is refused")
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
struct Bytes;

impl tonic::codec::Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl tonic::codec::Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(into, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        let whole = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, whole).to_vec()))
    }
}

/// A call's path, headers and bytes, and what it is answered.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], tonic::Code, Code);

#[tokio::test]
async fn whatever_is_wrong_about_a_call_its_status_has_our_details() {
    let served = Served::start().await;
    const OPEN: &str = "/rialto.v1.Bank/OpenAccount";
    let large = "x".repeat(20_000);
    let cases: [Wrong<'_>; 8] = [
        (OPEN, &[], b"\xff\xff\xff", tonic::Code::InvalidArgument, Code::MalformedMessage),
        (OPEN, &[], &[0x0a; 5 << 20], tonic::Code::InvalidArgument, Code::BodyTooLarge),
        (OPEN, &[], &[0x0a; 70_000], tonic::Code::InvalidArgument, Code::BodyTooLarge),
        (OPEN, &[("grpc-encoding", "gzip")], b"", tonic::Code::Unimplemented, Code::UnsupportedEncoding),
        (OPEN, &[("x-large", &large)], b"", tonic::Code::ResourceExhausted, Code::HeadersTooLarge),
        ("/rialto.v1.Bank/Nothing", &[], b"", tonic::Code::Unimplemented, Code::NoSuchPath),
        ("/nothing", &[], b"", tonic::Code::Unimplemented, Code::NoSuchPath),
        ("/grpc.health.v1.Health/Check", &[], b"\x0a\x07nowhere", tonic::Code::NotFound, Code::UnknownService),
    ];
    for (path, more, bytes, grpc, code) in cases {
        let status = refused(&served, path, more, bytes).await;
        assert_eq!((status.code(), Problem::code_of(&status)), (grpc, Some(code)), "{path} {more:?}: {status:?}");
    }
    assert_eq!(served.bank.records(), 0);
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so_in_http() {
    let served = Served::start().await;
    let stream = tokio::net::TcpStream::connect(served.grpc).await.expect("listening");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
    tokio::spawn(connection);
    for (method, media_type, status, code) in [
        ("GET", "application/grpc", 405, "method_not_allowed"),
        ("POST", "application/json", 415, "not_grpc"),
        ("POST", "application/grpc-web", 415, "not_grpc"),
    ] {
        let request = axum::http::Request::builder().method(method).header("content-type", media_type);
        let request = request.uri(format!("http://{}/rialto.v1.Bank/Status", served.grpc));
        let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).expect("a request");
        let answer = sender.send_request(request).await.expect("answered");
        assert_eq!(answer.status(), status, "{method} {media_type}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("whole").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["code"], code);
    }
}

#[tokio::test]
async fn watches_hear_of_changes_and_are_bounded() {
    use server::edge::bounds::{CONNECTION_STREAMS_MAX, SOURCE_STREAMS_MAX};
    let served = Served::start().await;
    let mut health = HealthClient::new(channel(&served).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.expect("a place").into_inner();
    let first = watch.message().await.expect("open").expect("told at once");
    assert_eq!(first.status(), ServingStatus::Serving);
    served.bank.set_mood(Mood::NoMajority);
    let changed = watch.message().await.expect("open").expect("told of the change");
    assert_eq!(changed.status(), ServingStatus::NotServing);
    let mut more = Vec::new();
    let refused = loop {
        match health.watch(HealthCheckRequest::default()).await {
            Ok(watch) => more.push(watch),
            Err(status) => break status,
        }
    };
    assert_eq!((Problem::code_of(&refused), more.len()), (Some(Code::Overloaded), CONNECTION_STREAMS_MAX - 1));
    // As many connections as it takes: a source has its bound too.
    let refused = loop {
        if more.len() % CONNECTION_STREAMS_MAX == CONNECTION_STREAMS_MAX - 1 {
            health = HealthClient::new(channel(&served).await);
        }
        match health.watch(HealthCheckRequest::default()).await {
            Ok(watch) => more.push(watch),
            Err(status) => break status,
        }
    };
    assert_eq!((Problem::code_of(&refused), more.len()), (Some(Code::Overloaded), SOURCE_STREAMS_MAX - 1));
    drop((watch, more));
    let mut again = health.watch(HealthCheckRequest::default()).await;
    while again.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        again = health.watch(HealthCheckRequest::default()).await;
    }
}
