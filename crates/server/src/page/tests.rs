use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower_service::Service;

use super::*;

fn snapshot(transfers: u64) -> Snapshot {
    Snapshot {
        bank: "alpha".into(),
        node: 2,
        health: Health::Healthy,
        reason: "3 of 3 nodes, node 1 leads".into(),
        money: vec![Money { currency: "EUR".into(), amount: "12.50".into() }],
        accounts: 2,
        internal_accounts: 1,
        outcomes: transfers,
        transfers,
        mode: "leader",
        rot_repaired: 0,
        rot_unmended: 0,
        nodes: vec![NodeCard {
            node: 1,
            role: Role::Leader,
            address: "127.0.0.1:7101".into(),
            slot: Some(9),
            lag: Some(0),
            last_fsync_us: None,
            voter: true,
            proposer: true,
            received_percent: None,
        }],
        latest: Vec::new(),
        changed: Changed::default(),
    }
}

/// Nothing in these tests waits for a socket or a clock: what is not ready now never will be.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn get(router: &mut Router, path: &str, tag: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(tag) = tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let request = request.body(Body::empty()).expect("a whole request");
    now(router.call(request)).expect("the routes wait for nothing").expect("a router cannot fail")
}

fn next(body: &mut Body) -> Option<String> {
    let frame = now(body.frame())??.expect("the stream cannot fail");
    Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"))
}

fn text(mut body: Body) -> String {
    std::iter::from_fn(|| next(&mut body)).collect()
}

#[test]
fn every_file_that_the_page_names_is_served() {
    let (_publisher, feed) = feed();
    let mut router: Router = router(feed);
    let page = get(&mut router, "/", None);
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let mut named: Vec<String> = vec!["/assets/page.js".into()];
    let page = text(page.into_body());
    named.extend(page.split('"').filter(|part| part.starts_with("/assets/")).map(str::to_owned));
    for asset in assets::ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
        let source = std::str::from_utf8(asset.bytes).expect("scripts are text");
        let imports = source.lines().filter(|line| line.starts_with("import "));
        named.extend(
            imports.filter_map(|line| Some(format!("/assets/{}", line.split("'./").nth(1)?.trim_end_matches("';")))),
        );
    }
    assert!(named.len() > 20, "{named:?}");
    for path in named {
        assert_eq!(get(&mut router, &path, None).status(), StatusCode::OK, "{path}");
    }
    assert_eq!(get(&mut router, "/assets/../mod.rs", None).status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&mut router, "/assets/mod.rs", None).status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let (_publisher, feed) = feed();
    let mut router: Router = router(feed);
    let tag = get(&mut router, "/assets/page.css", None).headers()[ETAG].to_str().expect("text").to_owned();
    let again = get(&mut router, "/assets/page.css", Some(&tag));
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(text(again.into_body()), "");
    assert_eq!(
        get(&mut router, "/assets/page.js", Some(&tag)).status(),
        StatusCode::OK,
        "another file has another tag"
    );
}

#[test]
fn every_answer_forbids_scripts_of_elsewhere_and_inline_ones() {
    let (_publisher, feed) = feed();
    let mut router: Router = router(feed);
    for path in ["/", "/assets/page.js", "/assets/none", "/events"] {
        let response = get(&mut router, path, None);
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
    let page = std::str::from_utf8(assets::ASSETS[0].bytes).expect("text");
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" on"), "the policy would block it");
    assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=").count());
}

#[test]
fn the_page_is_small_and_loads_nothing_from_elsewhere() {
    // Comments are not counted: the limit shall not make anybody explain less.
    let is_code = |line: &&str| !["//", "/*", "*"].iter().any(|sign| line.trim_start().starts_with(sign));
    let mut bytes = 0;
    for asset in assets::ASSETS {
        let source = std::str::from_utf8(asset.bytes).expect("all files are text");
        bytes += source.lines().filter(is_code).map(|line| line.len() + 1).sum::<usize>();
        let source = source.replace("http://www.w3.org/2000/svg", "");
        assert!(!source.contains("http://") && !source.contains("https://"), "{}", asset.name);
        assert!(!source.contains("innerHTML"), "{}", asset.name);
    }
    assert!(bytes < 64 * 1024, "{bytes} bytes");
}

#[test]
fn no_script_reads_an_amount_as_a_number() {
    for asset in assets::ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
        let source = std::str::from_utf8(asset.bytes).expect("scripts are text");
        assert!(!source.contains("parseFloat") && !source.contains("valueAsNumber"), "{}", asset.name);
    }
}

#[test]
fn a_stream_begins_with_the_two_minutes_before_and_goes_on_with_new_snapshots_only() {
    let (mut publisher, feed) = feed();
    let mut router: Router = router(feed);
    publisher.count(0, 0);
    publisher.publish(1_000, snapshot(7));
    assert!(!publisher.watched());
    let mut body = get(&mut router, "/events", None).into_body();
    assert!(publisher.watched());
    let history = next(&mut body).expect("the history is there at once");
    assert!(history.starts_with("event: history\ndata: {\"per_second\":[0,"), "{history}");
    assert!(history.ends_with(",0,7]}\n\n"), "{history}");
    assert_eq!(next(&mut body), None, "an old snapshot is not shown as if it were the present");
    publisher.publish(2_000, snapshot(17));
    let event = next(&mut body).expect("published");
    let start = "event: snapshot\ndata: {\"sequence\":2,\"transfers_per_second\":10,\"bank\":\"alpha\",\"node\":2,\"health\":\"healthy\"";
    assert!(event.starts_with(start), "{event}");
    assert!(event.ends_with("}\n\n") && event.matches('\n').count() == 3, "{event:?}");
}

#[test]
fn a_slow_reader_gets_the_newest_and_only_that() {
    let (mut publisher, feed) = feed();
    let mut router: Router = router(feed);
    let mut body = get(&mut router, "/events", None).into_body();
    next(&mut body).expect("history");
    for transfers in 0..1000 {
        publisher.publish(transfers * 250, snapshot(transfers));
    }
    assert!(next(&mut body).expect("the newest").contains("\"sequence\":1000,"));
    assert_eq!(next(&mut body), None);
}

#[test]
fn a_snapshot_is_bounded_whatever_the_node_puts_in() {
    let (mut publisher, feed) = feed();
    let mut router: Router = router(feed);
    let mut body = get(&mut router, "/events", None).into_body();
    next(&mut body).expect("history");
    let mut large = snapshot(1);
    large.changed.accounts = (0..100_000).map(|number| format!("account-{number}-")).collect();
    publisher.publish(0, large);
    let event = next(&mut body).expect("published");
    assert_eq!(event.matches("account-").count(), feed::CHANGED_MAX);
    assert!(event.contains("\"more\":true"), "the page must learn that the list is not whole");
}

#[test]
fn one_stream_too_many_is_refused_until_another_ends() {
    let (publisher, feed) = feed();
    let mut router: Router = router(feed);
    let mut open: Vec<Response> = (0..STREAMS_MAX).map(|_| get(&mut router, "/events", None)).collect();
    assert!(open.iter().all(|response| response.status() == StatusCode::OK));
    let refused = get(&mut router, "/events", None);
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "2");
    assert!(text(refused.into_body()).contains("too_many_connections"));
    open.pop();
    assert_eq!(get(&mut router, "/events", None).status(), StatusCode::OK);
    open.clear();
    assert!(!publisher.watched());
}

#[test]
fn streams_end_with_the_node() {
    let (publisher, feed) = feed();
    let mut router: Router = router(feed);
    let mut body = get(&mut router, "/events", None).into_body();
    next(&mut body).expect("history");
    drop(publisher);
    assert!(now(body.frame()).expect("the end comes at once").is_none());
}
