//! Silent and slow callers do not keep out the others.

use std::time::Duration;

use server::edge::connections::{Intake, Limits, serve_http};
use server::edge::drain::{After, Drain, Phase};
use server::edge::guard::Guard;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served::{PATIENCE, Served};

fn limits(connections_max: usize, header_timeout: Duration) -> Limits {
    Limits { connections_max, header_timeout, ..Limits::default() }
}

/// Both ends of every connection are in this process, so the soft limit of open files goes up to the hard one.
pub(super) fn raise_open_files() {
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
    let closed = tokio::time::timeout(PATIENCE, idle[0].read(&mut byte)).await.expect("closed in time");
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
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open after a minute");
    }
}

#[tokio::test]
async fn a_stop_lets_open_requests_end() {
    let patient = Limits { drain_timeout: Duration::from_secs(60), ..Limits::default() };
    let served = Served::with(Guard::default(), patient).await;
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
    served.drain.close(After::Closed);
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
        tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("no panic");
    }
}

/// One request on a connection that stays open if the server lets it: head and body of the answer.
async fn ask_on(stream: &mut TcpStream, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8(answer.clone()).expect("answers are UTF-8");
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("it has a length");
            if body.len() == length.parse::<usize>().expect("a number") {
                return (head, body.to_owned());
            }
        }
        let read = stream.read_buf(&mut answer).await.expect("the connection stands");
        assert!(read > 0, "closed without an answer; so far {answer:?}");
    }
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn a_stop_tells_kept_connections_before_it_ends_them() {
    let served = Served::start().await;
    let read = format!("GET /v1/limits HTTP/1.1\r\nhost: {}\r\n\r\n", served.http);
    let look = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", served.http);
    let mut kept = TcpStream::connect(served.http).await.expect("accepted");
    let mut idle = TcpStream::connect(served.http).await.expect("accepted");
    let (head, _) = ask_on(&mut kept, &read).await;
    assert!(head.starts_with("http/1.1 200") && !head.contains("connection: close"), "{head}");
    ask_on(&mut idle, &read).await;

    // It still serves, and says on each connection that it goes.
    served.drain.enter(Phase::Leaving);
    let (head, _) = ask_on(&mut kept, &read).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close"), "{head}");
    assert!(is_closed(&mut kept).await);

    // What comes later is told so, by its code, however much it brings along.
    served.drain.enter(Phase::Refusing);
    let much = "x".repeat(200_000);
    let order = format!(
        "POST /v1/transfers HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{much}",
        served.http,
        much.len()
    );
    let mut late = TcpStream::connect(served.http).await.expect("accepted");
    let (head, body) = ask_on(&mut late, &order).await;
    assert!(head.starts_with("http/1.1 503") && head.contains("connection: close"), "{head}");
    assert!(head.contains("retry-after: 1") && body.contains(r#""code":"shutting_down""#), "{head} {body}");
    let mut probe = TcpStream::connect(served.http).await.expect("accepted");
    assert!(ask_on(&mut probe, &look).await.0.starts_with("http/1.1 200"), "health checks are answered to the end");

    // Only now the one ends on which nothing happens.
    let still = tokio::time::timeout(Duration::from_millis(50), idle.read(&mut [0])).await;
    assert!(still.is_err(), "it was ended though it was never told: {still:?}");
    served.drain.close(After::Closed);
    assert!(is_closed(&mut idle).await);
    for task in served.tasks {
        tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("no panic");
    }
    assert!(TcpStream::connect(served.http).await.is_err(), "the system refuses whoever comes now");
}

/// The sockets are the node's, and stay open when its files are opened anew: who is connected by the system meanwhile is
/// answered by whoever listens next.
#[tokio::test]
async fn a_listener_that_is_opened_again_loses_nobody() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("a socket");
    let address = socket.local_addr().expect("bound");
    let serve = |drain: &Drain| {
        let again = socket.try_clone().expect("a handle is to be had");
        let listener = tokio::net::TcpListener::from_std(again).expect("it listens");
        let routes = axum::Router::new().route("/livez", axum::routing::get(async || "ok"));
        tokio::spawn(serve_http(vec![listener], routes, None, Intake::new(Limits::default()), drain.clone()))
    };
    let look = format!("GET /livez HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let first = Drain::default();
    let served = serve(&first);
    let mut before = TcpStream::connect(address).await.expect("accepted");
    ask_on(&mut before, &look).await;
    first.close(After::Reopened);
    served.await.expect("no panic");
    let mut between = TcpStream::connect(address).await.expect("the system connects");
    let second = Drain::default();
    let served = serve(&second);
    assert!(ask_on(&mut between, &look).await.0.starts_with("http/1.1 200"));
    second.close(After::Closed);
    served.await.expect("no panic");
    assert!(TcpStream::connect(address).await.is_err());
}

/// A request that does not come to its end is answered all the same: what became of it is not known.
#[tokio::test]
async fn what_is_not_finished_at_the_end_is_told_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let never = async || std::future::pending::<&'static str>().await;
    let routes = axum::Router::new().route("/never", axum::routing::get(never));
    let drain = Drain::default();
    let quick = Limits { drain_timeout: Duration::from_millis(300), ..Limits::default() };
    tokio::spawn(serve_http(vec![listener], routes, None, Intake::new(quick), drain.clone()));
    let mut caller = TcpStream::connect(address).await.expect("accepted");
    caller.write_all(format!("GET /never HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.expect("written");
    let other = TcpStream::connect(address).await.expect("accepted");
    drop(other);
    // It was let in before the stop: whoever waits for what is held waits for it.
    let held = async {
        while tokio::time::timeout(Duration::from_millis(1), drain.answered(Duration::from_secs(9))).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.expect("it is let in");
    drain.close(After::Closed);
    let (head, body) = ask_on(&mut caller, "").await;
    assert!(head.starts_with("http/1.1 504") && body.contains(r#""code":"outcome_unknown""#), "{head} {body}");
}
