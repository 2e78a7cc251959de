//! The layer around the gateway's services: holds each call against the table (`edge::permits`), and finds out whose token
//! a customer's call carries.

use super::desk::Desk;
use super::tokens::Caller;
use crate::edge::permits::{Permit, Role, check, permits};
use crate::edge::request_log;
use api::problem::Problem;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

/// Lets a call through if its caller may make it. Of a customer's call the handler finds the [`Caller`], of another's the
/// [`Role`].
pub(super) async fn admit(State(desk): State<Desk>, mut request: Request, next: Next) -> Response {
    let mut response = match admitted(&desk, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.to_status().into_http(),
    };
    desk.guard.sign(&mut response);
    response
}

async fn admitted(desk: &Desk, request: &mut Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let row = permits(path)?;
    desk.guard.admit_cluster(request.headers())?;
    if row.contains(&Permit::Anyone) {
        return Ok(());
    }
    if row.contains(&Permit::Customer) {
        let caller = customer(desk, request.headers()).await?;
        request.extensions_mut().insert::<Caller>(caller);
        return Ok(());
    }
    let role = Role::of(&desk.guard, request.extensions().get(), request.headers())?;
    check(path, row, &role)?;
    request.extensions_mut().insert(role);
    Ok(())
}

/// Whoever a call's token says.
pub(super) async fn customer(desk: &Desk, headers: &HeaderMap) -> Result<Caller, Problem> {
    let caller = desk.tokens.check(desk, token(headers)).await?;
    request_log::note_caller(caller.party());
    Ok(caller)
}

/// The token of a call over gRPC, for those that need none.
pub(super) fn bearer_of<T>(request: &tonic::Request<T>) -> Option<&str> {
    let value = request.metadata().get(AUTHORIZATION.as_str()).or_else(|| request.metadata().get("token"))?;
    value.to_str().ok().map(without_scheme)
}

fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) | None => value.trim(),
    }
}

/// `authorization: Bearer <token>`, or, for clients that can only send metadata of their own, `token`.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| headers.get("token").and_then(|value| value.to_str().ok()).map(str::trim))
}
