//! Silent and slow callers do not keep out the others.

use std::time::Duration;

use server::edge::connections::Limits;
use server::edge::guard::Guard;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served::Served;

fn limits(connections_max: usize, header_timeout: Duration) -> Limits {
    Limits { connections_max, header_timeout, ..Limits::default() }
}

/// Both ends of every connection are in this process, so the soft limit of open files goes up to the hard one.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: maximum.or(Some(1 << 20)), maximum };
    setrlimit(Resource::Nofile, wanted).expect("a soft limit may be raised to the hard one");
}

#[tokio::test]
async fn ten_thousand_idle_connections_do_not_stop_others() {
    raise_open_files();
    let served = Served::with(Guard::default(), limits(64, Duration::from_secs(60))).await;
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(TcpStream::connect(served.http).await.expect("accepted"));
    }
    let id = served.rich("1").await;
    assert_eq!(served.balance(&id).await, r#"{"balance":1.00}"#);
    // The oldest gave up their seats, the youngest keep theirs.
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(10), idle[0].read(&mut byte)).await.expect("closed in time");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let served = Served::with(Guard::default(), limits(64, Duration::from_millis(200))).await;
    let mut silent = TcpStream::connect(served.http).await.expect("accepted");
    let mut slow = TcpStream::connect(served.http).await.expect("accepted");
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: 127").await.expect("written");
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open after ten seconds");
    }
}

#[tokio::test]
async fn a_stop_lets_open_requests_end() {
    let served = Served::start().await;
    let mut open = TcpStream::connect(served.http).await.expect("accepted");
    let id = served.open().await;
    let body = format!(r#"{{"account_id":"{id}","amount":1}}"#);
    let head = format!(
        "POST /deposit_money HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        served.http,
        body.len()
    );
    open.write_all(head.as_bytes()).await.expect("written");
    // A request that was begun before the stop is seen when another connection has been served after it.
    served.open().await;
    served.stop.send(true).expect("it runs");
    // Once nobody new is taken, only the open request is left.
    while TcpStream::connect(served.http).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Time in which a stop that waits for nobody would have cut it off.
    tokio::time::sleep(Duration::from_millis(20)).await;
    open.write_all(body.as_bytes()).await.expect("written");
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for task in served.tasks {
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("it ends").expect("no panic");
    }
}
