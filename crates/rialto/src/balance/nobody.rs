//! What a caller is told when no node of the bank takes connections. Nothing was passed on, so nothing can have been proposed:
//! that is 503, and UNAVAILABLE.

use super::{CONNECT_PATIENCE, SEARCH_PATIENCE, Traffic};
use api::code::Code;
use api::problem::Problem;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How a connection of HTTP/2 begins that is not encrypted (RFC 9113, section 3.4).
const PREFACE: &[u8; 3] = b"PRI";

/// Tells the caller, and ends the connection.
pub(super) async fn answer(caller: TcpStream, traffic: Traffic, bank: &str) {
    let detail = format!("no node of bank {bank} takes connections; nothing was done, try again");
    let problem = Problem::new(Code::Unavailable, detail).retry_after_ms(1_000);
    match traffic {
        Traffic::Http => refuse_request(caller, &problem).await,
        Traffic::Grpc => refuse_calls(caller, &problem).await,
    }
}

async fn refuse_request(mut caller: TcpStream, problem: &Problem) {
    let body = problem.to_json();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = caller.write_all(answer.as_bytes()).await;
    let _ = caller.shutdown().await;
    // A request that is still on its way would reset the connection before the answer was read.
    let mut rest = [0; 4096];
    let drain = async { while matches!(caller.read(&mut rest).await, Ok(n) if n > 0) {} };
    let _ = timeout(CONNECT_PATIENCE, drain).await;
}

/// Calls that come in the first moment are answered; then the caller is told to connect anew. Over TLS nobody can answer in a
/// node's name: such a connection ends without a word.
async fn refuse_calls(caller: TcpStream, problem: &Problem) {
    let mut first = [0; PREFACE.len()];
    let peeked = timeout(CONNECT_PATIENCE, caller.peek(&mut first)).await;
    if !matches!(peeked, Ok(Ok(_)) if first == *PREFACE) {
        return;
    }
    let refuse = |_: Request<Incoming>| {
        let refused: Response<Empty<Bytes>> = problem.to_status().into_http();
        async move { Ok::<_, Infallible>(refused) }
    };
    let builder = http2::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(caller), service_fn(refuse)));
    if timeout(CONNECT_PATIENCE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        // How it ends does not matter: the caller has the answer, or hung up.
        let _ = timeout(SEARCH_PATIENCE, connection).await;
    }
}
