//! The node itself: its state, its health, its figures, an election, and its end.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use api::code::Code;
use api::json::Elected;
use api::problem::Problem;
use api::span::offset;
use api::status::{Role, TransferState};

use super::answer::{self, Freshness, Refusal};
use super::body::Call;
use super::desk::Desk;
use super::in_path::InPath;
use super::metrics;
use super::port::NodePort;

const PLAIN: &str = "text/plain; charset=utf-8";

/// `GET /v1/status`.
pub async fn status<B: NodePort>(State(desk): State<Desk<B>>) -> Response {
    answer::ok(&desk.bank.status(), Freshness::First)
}

/// `POST /v1/election`.
pub async fn elect<B: NodePort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    call.nothing()?;
    desk.bank.elect().await;
    Ok(answer::ok(&Elected { result: "the group elects again; see /v1/status for who leads" }, Freshness::First))
}

/// `POST /shutdown`. The answer leaves first: the listener lets open requests end before the process does.
pub async fn shut_down<B: NodePort>(State(desk): State<Desk<B>>, call: Call) -> Result<Response, Refusal> {
    call.nothing()?;
    tokio::spawn(async move { desk.bank.shut_down().await });
    Ok(answer::text(StatusCode::OK, PLAIN, "Server shut down..."))
}

/// `GET /livez`: the process answers.
pub async fn live() -> Response {
    answer::text(StatusCode::OK, PLAIN, "ok\n")
}

/// `GET /readyz`: a majority answers this node, it has caught up, and its clock is right.
pub async fn ready<B: NodePort>(State(desk): State<Desk<B>>) -> Result<Response, Refusal> {
    let status = desk.bank.status();
    if status.ready {
        return Ok(answer::text(StatusCode::OK, PLAIN, "ok\n"));
    }
    let why = match (status.transfer, status.role) {
        (Some(transfer), _) => format!("it receives the books, {} % are here", transfer.percent()),
        (None, Role::Receiving) => "it has received the books, and waits for another node to confirm them".to_owned(),
        (None, Role::Removed) => "it is a member of the bank no more".to_owned(),
        _ if status.clock_off => format!(
            "its clock is {}, compared with those of a majority; set it, and this ends by itself",
            offset(status.clock_skew_ms)
        ),
        _ if !status.quorum => "no majority of its group answers it".to_owned(),
        _ => format!("it is {} slots behind", status.lag),
    };
    let mut problem = Problem::new(Code::Unavailable, format!("the node is not ready: {why}")).retry_after_ms(1000);
    if let Some(TransferState { done, total }) = status.transfer {
        problem = problem.with("done", done).with("total", total);
    }
    Err(problem.into())
}

/// `GET /metrics`.
pub async fn figures<B: NodePort>(State(desk): State<Desk<B>>) -> Response {
    let page = desk.metrics.page(&desk.bank.status());
    answer::text(StatusCode::OK, metrics::MEDIA_TYPE, page)
}

/// `GET /errors/{code}`: what the `type` of a problem leads to.
pub async fn explain(InPath(code): InPath) -> Result<Response, Refusal> {
    let row = Code::from_text(&code)
        .map(Code::row)
        .ok_or_else(|| Problem::new(Code::NoSuchPath, "there is no such code; docs/errors.md lists them all"))?;
    let page = format!("{} ({})\n\n{}.\n{}\n", row.text, row.http, row.title, row.advice);
    Ok(answer::text(StatusCode::OK, PLAIN, page))
}
