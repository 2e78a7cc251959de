//! The routes of a bank's node over HTTP, and what they share with those of the gateway's.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use api::code::Code;
use api::problem::Problem;

use super::answer::{self, Refusal};
use super::customer_calls::{self, Registrar};
use super::customers::SignIns;
use super::desk::Desk;
use super::metrics::Metrics;
use super::port::{BankPort, NodePort};
use super::{
    accounts, asked, audited, first_calls, group, limits, node_calls, permits, refusals, request_log, transfers,
};

/// The routes of a bank's node; `page` is served beside them.
pub fn router<B: BankPort>(desk: Desk<B>, sign_ins: &SignIns, page: Router) -> Router {
    let routes = Router::new()
        .route("/open_account", post(first_calls::open_account::<B>))
        .route("/deposit_money", post(first_calls::deposit_money::<B>))
        .route("/withdraw_money", post(first_calls::withdraw_money::<B>))
        .route("/move_money", post(first_calls::move_money::<B>))
        .route("/check_account", get(first_calls::check_account::<B>))
        .route("/v1/accounts", get(accounts::list::<B>).post(accounts::create::<B>))
        .route("/v1/accounts/{id}", get(accounts::read::<B>))
        .route("/v1/accounts/{id}/statement", get(accounts::statement::<B>))
        .route("/v1/transfers", post(transfers::create::<B>))
        .route("/v1/transfers/batch", post(transfers::create_batch::<B>))
        .route("/v1/transfers/{id}", get(transfers::read::<B>))
        .route("/v1/transfers/{id}/void", post(transfers::void::<B>))
        .route("/v1/audit/transfers", get(audited::list::<B>).post(audited::look_up::<B>))
        .route("/v1/limits", get(limits::list::<B>).post(limits::change::<B>))
        .merge(of_a_node(api::openapi::DOCUMENT))
        .with_state(desk.clone())
        .merge(customers(&desk, sign_ins))
        .merge(page);
    enclosed(routes, desk, permits::BANK_HTTP)
}

/// What every node answers about itself, a bank's or the gateway's. `described` is its OpenAPI document.
pub(crate) fn of_a_node<B: NodePort>(described: &'static str) -> Router<Desk<B>> {
    let openapi = move || async move { answer::text(StatusCode::OK, "application/json", described) };
    Router::new()
        .route("/shutdown", post(node_calls::shut_down::<B>))
        .route("/v1/members", get(group::list::<B>).post(group::change::<B>))
        .route("/v1/mode", get(group::read_mode::<B>).post(group::change_mode::<B>))
        .route("/v1/election", post(node_calls::elect::<B>))
        .route("/v1/status", get(node_calls::status::<B>))
        .route("/metrics", get(node_calls::figures::<B>))
        .route("/openapi.json", get(openapi))
        .route("/errors/{code}", get(node_calls::explain))
        .route("/livez", get(node_calls::live))
        .route("/readyz", get(node_calls::ready::<B>))
}

/// What is around all routes of a node: each is for whom the table says, and is counted and logged.
pub(crate) fn enclosed<B>(routes: Router, desk: Desk<B>, table: permits::Routes) -> Router {
    routes
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(asked::check))
        .layer(from_fn_with_state((desk.guard, table), permits::admit_http))
        .layer(from_fn_with_state(desk.metrics, count))
        .layer(from_fn(refusals::over_http))
        .layer(from_fn(request_log::log))
}

fn customers<B: BankPort>(desk: &Desk<B>, sign_ins: &SignIns) -> Router {
    Router::new()
        .route("/v1/customers", post(customer_calls::add::<B>))
        .route("/v1/customers/{name}/password", post(customer_calls::set_password::<B>))
        .route("/v1/customers/{name}/lock", post(customer_calls::lock::<B>))
        .with_state(Registrar { desk: desk.clone(), passwords: sign_ins.passwords.clone() })
}

async fn no_such_path(request: Request) -> Refusal {
    // A target without a path is an authority: that of CONNECT.
    let at = match request.uri().path() {
        "" => request.uri().to_string(),
        path => path.to_owned(),
    };
    let detail = format!("nothing is at {at}; the paths are listed in /openapi.json");
    Problem::new(Code::NoSuchPath, detail).into()
}

async fn method_not_allowed(request: Request) -> Refusal {
    let detail = format!("{} does not take {}; see the Allow header", request.uri().path(), request.method());
    Problem::new(Code::MethodNotAllowed, detail).into()
}

/// Counts every request by route and code. Paths that match no route share one name, or callers could make names.
async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let code = response.extensions().get::<Code>().map_or("ok", |code| code.text());
    metrics.count_request("http", route, code, began.elapsed());
    response
}
