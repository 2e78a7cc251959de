//! Callers that take their answers slowly: what the node holds for them is counted until it has left, and they are given up in
//! the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::{get, post};
use server::edge::bounds;
use server::edge::connections::{Intake, Limits, serve_grpc, serve_http};
use server::edge::drain::Drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::raw_http2::Frames;
use super::served::until;

/// More than the system keeps for a connection whose other end reads little.
const ANSWER_BYTES: usize = 12 << 20;
const CALLERS: usize = 8;

fn router() -> Router {
    Router::new().route("/large", get(async || "x".repeat(ANSWER_BYTES)))
}

/// Gives answers up after twice that.
fn limits() -> Limits {
    // None of the callers is refused.
    let bytes_max = 2 * CALLERS * ANSWER_BYTES;
    Limits {
        stall_timeout: Duration::from_secs(1),
        connection_bytes_max: bytes_max,
        source_bytes_max: bytes_max,
        node_bytes_max: bytes_max,
        ..Limits::default()
    }
}

/// A connection of somebody for whom the system keeps little.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a size");
    socket.connect(address).await.expect("listening")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_http_that_is_taken_slowly_is_counted_and_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let intake = Intake::new(limits());
    tokio::spawn(serve_http(vec![listener], router(), None, intake.clone(), Drain::default()));
    let began = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut stream = connect(address).await;
        let ask = format!("GET /large HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("written");
        callers.push(tokio::spawn(async move {
            // Something moves all the time, and little.
            let (mut piece, mut taken) = ([0; 4 << 10], 0);
            loop {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => return taken,
                    Ok(bytes) => taken += bytes,
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }
    until("all that they asked for is counted", || intake.bytes_in_flight() >= CALLERS * ANSWER_BYTES).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = intake.bytes_in_flight();
    assert!(held >= CALLERS * ANSWER_BYTES, "only {held} bytes are counted while they lie here");
    until("all of it is given back", || intake.bytes_in_flight() == 0).await;
    assert!(began.elapsed() >= limits().stall_timeout, "whoever takes an answer has time");
    for caller in callers {
        let taken = caller.await.expect("nothing panics");
        assert!(taken < ANSWER_BYTES, "the connection ends before its caller has all");
    }
}

/// HTTP/2 takes an answer whole as soon as its caller's windows let one byte of it pass, and keeps what the caller does not
/// read.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_grpc_whose_caller_has_room_and_does_not_read_is_counted_and_given_up() {
    const PATH: &str = "/rialto.v1.Bank/ListAccounts";
    let large = async || {
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(Body::from(vec![0; ANSWER_BYTES])).expect("a head")
    };
    let router = Router::new().route(PATH, post(large));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let intake = Intake::new(limits());
    tokio::spawn(serve_grpc(vec![listener], router, None, intake.clone(), Drain::default()));
    let began = Instant::now();
    let mut frames = Frames::connect_with_room(address).await;
    for number in 0..8 {
        frames.call(2 * number + 1, PATH, &[]).await;
    }
    let counted = 8 * bounds::LIST_BYTES;
    until("all that was asked for is counted", || intake.bytes_in_flight() >= counted).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = intake.bytes_in_flight();
    assert!(held >= counted, "only {held} of {counted} bytes are counted while the answers lie here");
    until("all of it is given back", || intake.bytes_in_flight() == 0).await;
    assert!(began.elapsed() >= limits().stall_timeout, "whoever takes an answer has time");
}
