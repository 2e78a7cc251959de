//! A caller that closes its sending side after its request gets its answer; one that is gone altogether leaves nothing behind.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use api::proto;
use prost::Message;

use super::memory_bank::Mood;
use super::raw_http::read_reply;
use super::raw_http2::Frames;
use super::served::{Served, until};

async fn send(served: &Served, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.http).await.expect("listening");
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        served.http,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    stream
}

#[tokio::test]
async fn every_post_is_answered_though_its_caller_has_closed_its_sending_side() {
    let served = Served::start().await;
    // Long enough for the end of the caller's side to be seen while the answer is still to come.
    served.bank.set_mood(Mood::Slow);
    let (one, two) = (served.rich("5").await, served.open().await);
    let order = format!(r#"{{"debit_account":"{one}","credit_account":"{two}","amount":"1"}}"#);
    let posts = [
        ("/open_account", String::new(), 200),
        ("/deposit_money", format!(r#"{{"account_id":"{one}","amount":"1"}}"#), 200),
        ("/withdraw_money", format!(r#"{{"account_id":"{one}","amount":"1"}}"#), 200),
        (
            "/move_money",
            format!(r#"{{"source":{{"account_id":"{one}"}},"destination":{{"account_id":"{two}"}},"amount":1}}"#),
            200,
        ),
        ("/v1/accounts", "{}".to_owned(), 201),
        ("/v1/transfers", order.clone(), 201),
        ("/v1/transfers/batch", format!(r#"{{"transfers":[{order}]}}"#), 200),
        ("/v1/transfers/018f4f3e-7a5b-7c4d-8e9f-0123456789ab/void", String::new(), 200),
        ("/v1/customers", r#"{"username":"carol","password":"a good long one"}"#.to_owned(), 201),
        ("/v1/election", String::new(), 200),
    ];
    for (path, body, status) in posts {
        let mut stream = send(&served, path, &body).await;
        stream.shutdown().await.expect("half closed");
        let reply = read_reply(&mut stream).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn callers_that_are_gone_altogether_keep_nobody_out() {
    let served = Served::start().await;
    served.bank.set_mood(Mood::Slow);
    for _ in 0..50 {
        drop(send(&served, "/open_account", "").await);
    }
    until("all that was asked for is done and given back", || {
        served.bank.asked() >= 50 && served.intake.bytes_in_flight() == 0
    })
    .await;
    served.bank.set_mood(Mood::Well);
    served.open().await;
}

#[tokio::test]
async fn a_call_over_grpc_is_answered_though_its_caller_has_closed_its_sending_side() {
    let served = Served::start().await;
    served.bank.set_mood(Mood::Slow);
    let mut frames = Frames::connect(served.grpc).await;
    for number in 1..=20 {
        let id = proto::Uuid { high: 1, low: 10 + u64::from(number) };
        let open = proto::OpenAccountRequest { id: Some(id), currency: 0, owner: format!("Alice {number}") };
        frames.call(2 * number - 1, "/rialto.v1.Bank/OpenAccount", &open.encode_to_vec()).await;
    }
    frames.close_sending_side().await;
    let mut answers = frames.answers(20).await;
    answers.sort_by_key(|(stream, _)| *stream);
    for (number, (_, answer)) in (1..).zip(answers) {
        let opened = proto::OpenAccountResponse::decode(answer.as_slice()).expect("an answer, whole");
        assert_eq!(opened.account.expect("it is open").owner, format!("Alice {number}"));
    }
}
