//! The gateway over HTTP: the node's own calls, and the keys that tokens are checked with.

use super::desk::Desk;
use super::{audit, tokens};
use crate::edge::answer::Refusal;
use crate::edge::{desk, group, guard, node_calls};
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::Gateway;

pub(super) fn router(gateway: &Desk) -> Router {
    let node =
        desk::Desk { bank: gateway.gateway.clone(), guard: gateway.guard.clone(), metrics: gateway.metrics.clone() };
    let guarded = Router::new()
        .route("/shutdown", post(node_calls::shut_down::<Gateway>))
        .route("/v1/members", get(group::list::<Gateway>).post(group::change::<Gateway>))
        .route("/v1/mode", get(group::read_mode::<Gateway>).post(group::change_mode::<Gateway>))
        .route("/v1/election", post(node_calls::elect::<Gateway>))
        .route("/v1/status", get(node_calls::status::<Gateway>))
        .route("/errors/{code}", get(node_calls::explain))
        .route("/metrics", get(node_calls::figures::<Gateway>))
        .with_state(node.clone())
        .layer(from_fn_with_state(gateway.guard.clone(), guard::admit));
    let audited = Router::new()
        .route("/v1/audit", get(audit::audit))
        .with_state(gateway.clone())
        .layer(from_fn_with_state(gateway.guard.clone(), guard::admit));
    let open = Router::new()
        .route("/livez", get(node_calls::live))
        .route("/readyz", get(node_calls::ready::<Gateway>))
        .with_state(node);
    let keys = Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(gateway.clone());
    guarded.merge(audited).merge(open).merge(keys)
}

async fn jwks(State(desk): State<Desk>) -> Response {
    match tokens::jwks(&desk).await {
        Ok(keys) => Json(keys).into_response(),
        Err(problem) => Refusal::from(problem).into_response(),
    }
}
