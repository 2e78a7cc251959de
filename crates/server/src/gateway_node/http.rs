//! The gateway over HTTP: what customers do (`customer_http`), the node's own calls, the keys that tokens are checked with.

use super::desk::Desk;
use super::{audit, customer_http, tokens};
use crate::edge::answer::{self, Refusal};
use crate::edge::{desk, group, node_calls, permits, request_log, router};
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::Gateway;

pub(super) fn router(gateway: &Desk) -> Router {
    let node =
        desk::Desk { bank: gateway.gateway.clone(), guard: gateway.guard.clone(), metrics: gateway.metrics.clone() };
    let of_the_gateway = Router::new()
        .route("/v1/login", post(customer_http::login))
        .route("/v1/logout", post(customer_http::logout))
        .route("/v1/balance", get(customer_http::balance))
        .route("/v1/history", get(customer_http::history))
        .route("/v1/payments", post(customer_http::pay))
        .route("/v1/payments/batch", post(customer_http::pay_many))
        .route("/v1/payments/{id}", get(customer_http::read))
        .route("/v1/payments/{id}/cancel", post(customer_http::cancel))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/v1/audit", get(audit::audit))
        .with_state(gateway.clone());
    let of_the_node = Router::new()
        .route("/shutdown", post(node_calls::shut_down::<Gateway>))
        .route("/v1/members", get(group::list::<Gateway>).post(group::change::<Gateway>))
        .route("/v1/mode", get(group::read_mode::<Gateway>).post(group::change_mode::<Gateway>))
        .route("/v1/election", post(node_calls::elect::<Gateway>))
        .route("/v1/status", get(node_calls::status::<Gateway>))
        .route("/openapi.json", get(openapi))
        .route("/errors/{code}", get(node_calls::explain))
        .route("/metrics", get(node_calls::figures::<Gateway>))
        .route("/livez", get(node_calls::live))
        .route("/readyz", get(node_calls::ready::<Gateway>))
        .with_state(node);
    of_the_gateway
        .merge(of_the_node)
        .fallback(router::no_such_path)
        .method_not_allowed_fallback(router::method_not_allowed)
        .layer(from_fn_with_state((gateway.guard.clone(), permits::GATEWAY_HTTP), permits::admit_http))
        .layer(from_fn_with_state(gateway.metrics.clone(), router::count))
        .layer(from_fn(request_log::log))
}

async fn openapi() -> Response {
    answer::text(StatusCode::OK, "application/json", api::openapi::GATEWAY_DOCUMENT)
}

async fn jwks(State(desk): State<Desk>) -> Response {
    match tokens::jwks(&desk).await {
        Ok(keys) => Json(keys).into_response(),
        Err(problem) => Refusal::from(problem).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_has_every_route_and_no_other() {
        let methods = |methods: &[&str]| methods.iter().map(|method| (*method).to_owned()).collect::<Vec<_>>();
        let table = crate::edge::permits::GATEWAY_HTTP.iter();
        let mut routes: Vec<_> = table.map(|(path, of, _)| ((*path).to_owned(), methods(of))).collect();
        routes.sort();
        assert_eq!(api::openapi::paths(api::openapi::GATEWAY_DOCUMENT), routes);
    }
}
