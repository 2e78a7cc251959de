//! Who may call: Host, Origin, token.

use super::raw_http::ask;
use super::served::Served;
use server::edge::permits::{BANK_HTTP, Permit};

#[tokio::test]
async fn no_page_of_elsewhere_may_move_money() {
    let served = Served::start().await;
    let reply = ask(served.http, "POST", "/open_account", &[("host", "bank.evil.example")], b"").await;
    reply.assert_problem(403, "forbidden_host");
    for origin in ["http://evil.example", "null"] {
        let reply = ask(served.http, "POST", "/open_account", &[("origin", origin)], b"").await;
        reply.assert_problem(403, "forbidden_origin");
    }
    let own = format!("http://{}", served.http);
    assert_eq!(ask(served.http, "POST", "/open_account", &[("origin", own.as_str())], b"").await.status, 200);
    assert_eq!(served.bank.records(), 1);
}

#[tokio::test]
async fn even_paths_that_are_not_there_are_guarded() {
    let served = Served::start().await;
    let reply = ask(served.http, "GET", "/nowhere", &[("host", "evil.example")], b"").await;
    reply.assert_problem(403, "forbidden_host");
}

#[tokio::test]
async fn with_a_token_every_call_but_health_must_carry_it() {
    let served = Served::with_token("s3cret").await;
    let reply = ask(served.http, "POST", "/open_account", &[], b"").await;
    reply.assert_problem(401, "unauthorized");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let wrong = [("authorization", "Bearer s3cres")];
    ask(served.http, "POST", "/open_account", &wrong, b"").await.assert_problem(401, "unauthorized");
    let right = [("authorization", "Bearer s3cret"), ("host", "bank.example")];
    assert_eq!(ask(served.http, "POST", "/open_account", &right, b"").await.status, 200);
    assert_eq!(served.get("/livez").await.status, 200);
    assert_eq!(served.get("/readyz").await.status, 200);
    served.get("/metrics").await.assert_problem(401, "unauthorized");
    // The page's own files are for everybody, so that it can ask for the token; its stream is not.
    assert_ne!(served.get("/").await.status, 401);
    assert_ne!(served.get("/assets/page.css").await.status, 401);
    served.get("/events").await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn every_path_is_for_whom_the_table_says() {
    let served = Served::with_token("s3cret").await;
    let (right, wrong) = ([("authorization", "Bearer s3cret")], [("authorization", "Bearer s3cres")]);
    for (path, methods, permit) in BANK_HTTP.iter().copied().flatten() {
        let path = path.replace("{id}", "x").replace("{name}", "x").replace("{code}", "not_json");
        for method in *methods {
            for (headers, has_it) in [(&[][..], false), (&wrong, false), (&right, true)] {
                let before = served.bank.records();
                let reply = ask(served.http, &method.to_uppercase(), &path, headers, b"").await;
                let admitted = has_it || *permit == Permit::Anyone;
                assert_eq!(reply.status != 401, admitted, "{method} {path} {headers:?}: {}", reply.body);
                assert!(admitted || served.bank.records() == before, "{method} {path} did something");
            }
        }
    }
}
