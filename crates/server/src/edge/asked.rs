//! Two checks of every request over HTTP, on all routes: without them a route would silently ignore what it does not read.
//!
//! - A query string must be UTF-8 when its percent-encoding is read, also where the route has no parameters.
//! - An `Idempotency-Key` promises that a repetition runs nothing again. A route that keeps no keys refuses it.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use api::code::Code;
use api::json::check_query;
use api::problem::Problem;

use super::answer::Refusal;
use super::identity::KEY_HEADER;

/// The routes that keep keys, by their POST.
const KEYED: [&str; 12] = [
    "/open_account",
    "/deposit_money",
    "/withdraw_money",
    "/move_money",
    "/v1/accounts",
    "/v1/transfers",
    "/v1/transfers/batch",
    "/v1/customers",
    "/v1/customers/{name}/password",
    "/v1/customers/{name}/lock",
    "/v1/payments",
    "/v1/payments/batch",
];

/// The layer.
pub(super) async fn check(request: Request, next: Next) -> Result<Response, Refusal> {
    check_query(request.uri().query().unwrap_or_default())?;
    if request.method() == Method::POST && request.headers().contains_key(KEY_HEADER) {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        if !route.is_empty() && !KEYED.contains(&route) {
            return Err(not_taken(route).into());
        }
    }
    Ok(next.run(request).await)
}

fn not_taken(route: &str) -> Problem {
    let why = match route.contains("{id}") {
        true => "the id in its path makes it safe to repeat",
        false => "it is safe to repeat, or its own fields make it so",
    };
    Problem::new(Code::KeyNotTaken, format!("{route} takes no Idempotency-Key: {why}; nothing was done"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::openapi::{DOCUMENT, GATEWAY_DOCUMENT};

    /// The description lists the header where a route takes it.
    #[test]
    fn the_routes_that_keep_keys_are_those_that_say_so() {
        let mut described: Vec<String> = Vec::new();
        for document in [DOCUMENT, GATEWAY_DOCUMENT] {
            let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
            let paths = document["paths"].as_object().expect("paths");
            let keyed = paths.iter().filter(|(_, path)| path["post"]["parameters"].to_string().contains("dempotency"));
            described.extend(keyed.map(|(path, _)| path.clone()));
        }
        described.sort();
        let mut keyed = KEYED.map(str::to_owned);
        keyed.sort();
        assert_eq!(described, keyed);
    }
}
