//! Who may call what: the one table, and the layer that holds every call against it before any handler runs.
//!
//! ```text
//! anyone     signs in, or looks whether the node is well
//! customer   has a token of this network, and sees and spends only what is theirs
//! bank       a bank of the network, by its certificate
//! operator   who runs the gateway: by the operator's token, or, in the demo, whoever is on this machine
//! ```

use super::desk::Desk;
use super::tokens::Caller;
use api::code::Code;
use api::problem::Problem;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

/// Who a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permit {
    Anyone,
    Customer,
    Bank,
    Operator,
}

/// Every call over gRPC, and who may make it.
pub(super) const TABLE: &[(&str, Permit)] = &[
    ("/rialto.v1.Gateway/Login", Permit::Anyone),
    ("/rialto.v1.Gateway/Logout", Permit::Customer),
    ("/rialto.v1.Gateway/ViewBalance", Permit::Customer),
    ("/rialto.v1.Gateway/TransferMoney", Permit::Customer),
    ("/rialto.v1.Gateway/TransactionHistory", Permit::Customer),
    ("/rialto.v1.Gateway/GetPayment", Permit::Customer),
    ("/rialto.v1.Gateway/CancelPayment", Permit::Customer),
    ("/rialto.v1.Gateway/RegisterBank", Permit::Bank),
    ("/rialto.v1.Gateway/ResolvePayment", Permit::Bank),
    ("/rialto.v1.Gateway/Banks", Permit::Operator),
    ("/rialto.v1.Gateway/Payments", Permit::Operator),
    ("/rialto.v1.Gateway/VoidPayment", Permit::Operator),
    ("/rialto.v1.Gateway/Positions", Permit::Operator),
    ("/rialto.v1.Gateway/Settle", Permit::Operator),
    ("/grpc.health.v1.Health/Check", Permit::Anyone),
    ("/grpc.health.v1.Health/Watch", Permit::Anyone),
];

pub(super) fn permit(path: &str) -> Option<Permit> {
    TABLE.iter().find(|(known, _)| *known == path).map(|(_, permit)| *permit)
}

/// Lets a call through if its caller may make it. Of a customer's call the handler finds the [`Caller`].
pub(super) async fn admit(State(desk): State<Desk>, mut request: Request, next: Next) -> Response {
    let checked = match permit(request.uri().path()) {
        Some(Permit::Anyone) => Ok(None),
        Some(Permit::Customer) => customer(&desk, request.headers()).await.map(Some),
        Some(Permit::Bank | Permit::Operator) => desk.guard.admit_grpc(request.headers()).map(|()| None),
        None => Err(Problem::new(Code::NoSuchPath, format!("there is no call {}", request.uri().path()))),
    };
    match checked {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert::<Caller>(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.to_status().into_http(),
    }
}

/// Whoever a call's token says.
pub(super) async fn customer(desk: &Desk, headers: &HeaderMap) -> Result<Caller, Problem> {
    desk.tokens.check(desk, token(headers)).await
}

/// `authorization: Bearer <token>`, or, for clients that can only send metadata of their own, `token`.
fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| headers.get("token").and_then(|value| value.to_str().ok()).map(str::trim))
}
