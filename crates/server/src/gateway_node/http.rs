//! The gateway over HTTP: what customers do (`customer_http`), the node's own calls, the keys that tokens are checked with.

use super::desk::Desk;
use super::{audit, customer_http, tokens};
use crate::edge::answer::Refusal;
use crate::edge::{desk, permits, router};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::Gateway;

pub(super) fn router(gateway: &Desk) -> Router {
    let node =
        desk::Desk { bank: gateway.gateway.clone(), guard: gateway.guard.clone(), metrics: gateway.metrics.clone() };
    let routes = Router::new()
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
        .with_state(gateway.clone())
        .merge(router::of_a_node::<Gateway>(api::openapi::GATEWAY_DOCUMENT).with_state(node.clone()));
    router::enclosed(routes, node, permits::GATEWAY_HTTP)
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
        let table = crate::edge::permits::GATEWAY_HTTP.iter().copied().flatten();
        let mut routes: Vec<_> = table.map(|(path, of, _)| ((*path).to_owned(), methods(of))).collect();
        routes.sort();
        assert_eq!(api::openapi::paths(api::openapi::GATEWAY_DOCUMENT), routes);
    }
}
