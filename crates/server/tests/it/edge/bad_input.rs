//! Whatever is sent, the answer is a specific one, and what is malformed burns nothing.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::raw_http::{ask, read_reply};
use super::served::{Served, until};

const NOBODY: &str = "018f4f3e-7a5b-7c4d-8e9f-0123456789ab";

#[tokio::test]
async fn each_bad_amount_is_refused_with_its_reason() {
    let served = Served::start().await;
    let id = served.rich("1").await;
    let before = served.bank.records();
    let cases = [
        ("0", "amount_zero", "zero"),
        ("\"0.00\"", "amount_zero", "zero"),
        ("-5", "amount_negative", "negative"),
        ("NaN", "amount_not_a_number", "NaN is no number in JSON"),
        ("\"NaN\"", "amount_not_a_number", "not a decimal number"),
        ("1e400", "amount_not_a_number", "exponent"),
        ("0.001", "amount_too_precise", "more decimals than EUR knows: at most 2"),
        ("\"12,50\"", "amount_not_a_number", "comma"),
        ("792281625142643375935439503.36", "amount_too_large", "2^96"),
        ("79228162514264337593543950336", "amount_too_large", "2^96"),
        ("\"\"", "amount_not_a_number", "empty"),
        ("null", "wrong_type", "expected a JSON number or string"),
        ("{}", "wrong_type", "expected a JSON number or string"),
        ("true", "wrong_type", "expected a JSON number or string"),
    ];
    for (amount, code, part) in cases {
        for path in ["/deposit_money", "/withdraw_money"] {
            let reply = served.post(path, &format!(r#"{{"account_id":"{id}","amount":{amount}}}"#)).await;
            reply.assert_problem(400, code);
            assert!(reply.text("detail").contains(part), "{amount}: {}", reply.body);
        }
        let other = served.rich("1").await;
        let order = format!(
            r#"{{"source":{{"account_id":"{other}"}},"destination":{{"account_id":"{id}"}},"amount":{amount}}}"#
        );
        served.post("/move_money", &order).await.assert_problem(400, code);
        let order = format!(r#"{{"debit_account":"{other}","credit_account":"{id}","amount":{amount}}}"#);
        served.post("/v1/transfers", &order).await.assert_problem(400, code);
    }
    // Each round opened an account and paid into it; nothing else left a record.
    assert_eq!(served.bank.records(), before + 2 * cases.len());
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_refused() {
    let served = Served::start().await;
    let host = served.http.to_string();
    for hosts in [[("host", host.as_str()), ("host", "evil.example")], [("host", "evil.example"), ("host", &host)]] {
        let reply = ask(served.http, "GET", "/v1/accounts", &hosts, b"").await;
        reply.assert_problem(400, "malformed_request");
    }
    let target = "http://evil.example/v1/accounts";
    ask(served.http, "GET", target, &[], b"").await.assert_problem(400, "malformed_request");
    assert_eq!(ask(served.http, "GET", &format!("http://{host}/v1/accounts"), &[], b"").await.status, 200);
}

#[tokio::test]
async fn each_wrong_shape_is_refused_with_the_field() {
    let served = Served::start().await;
    let cases = [
        ("", "not_json", "empty"),
        ("hello", "not_json", "not JSON"),
        ("{\"account_id\":", "not_json", "EOF"),
        ("[]", "wrong_type", "expected"),
        ("\"x\"", "wrong_type", "expected an object"),
        (r#"{"amount":1}"#, "missing_field", "account_id"),
        (r#"{"account_id":"x"}"#, "missing_field", "amount"),
        (r#"{"account_id":"x","amount":1,"colour":"red"}"#, "unknown_field", "colour"),
        (r#"{"account_id":{"id":1},"amount":1}"#, "wrong_type", "account_id"),
        (r#"{"account_id":7,"amount":1}"#, "wrong_type", "account_id"),
        (r#"{"account_id":"x","account_id":"y","amount":1}"#, "repeated_field", "duplicate"),
        (r#"{"account_id":"not-a-uuid","amount":1}"#, "malformed_id", "not a UUID"),
        (r#"{"account_id":"00000000-0000-0000-0000-000000000000","amount":1}"#, "malformed_id", "nil"),
    ];
    for (body, code, part) in cases {
        let reply = served.post("/deposit_money", body).await;
        reply.assert_problem(400, code);
        assert!(reply.text("detail").contains(part), "{body}: {}", reply.body);
    }
    let reply = served.post("/move_money", r#"{"source":"x","destination":{"account_id":"y"},"amount":1}"#).await;
    reply.assert_problem(400, "wrong_type");
    assert_eq!(reply.text("field"), "source");
    served.post("/open_account", r#"{"owner":"me"}"#).await.assert_problem(400, "unknown_field");
    served.get("/check_account").await.assert_problem(400, "malformed_query");
    served.get("/check_account?account_id=x").await.assert_problem(400, "malformed_id");
    served.get("/check_account?account_id=x&b=1").await.assert_problem(400, "malformed_query");
    assert_eq!(served.bank.records(), 0);
}

#[tokio::test]
async fn accounts_must_be_there_and_be_two() {
    let served = Served::start().await;
    let id = served.rich("5").await;
    let before = served.bank.records();
    served.get(&format!("/check_account?account_id={NOBODY}")).await.assert_problem(404, "unknown_account");
    for path in ["/deposit_money", "/withdraw_money"] {
        let reply = served.post(path, &format!(r#"{{"account_id":"{NOBODY}","amount":1}}"#)).await;
        reply.assert_problem(404, "unknown_account");
    }
    for (source, destination) in [(NOBODY, id.as_str()), (id.as_str(), NOBODY)] {
        let order = format!(
            r#"{{"source":{{"account_id":"{source}"}},"destination":{{"account_id":"{destination}"}},"amount":1}}"#
        );
        served.post("/move_money", &order).await.assert_problem(404, "unknown_account");
    }
    let order = format!(r#"{{"source":{{"account_id":"{id}"}},"destination":{{"account_id":"{id}"}},"amount":1}}"#);
    served.post("/move_money", &order).await.assert_problem(400, "same_account");
    assert_eq!(served.bank.records(), before, "none of this burned an id");
}

#[tokio::test]
async fn money_does_not_change_its_currency() {
    let served = Served::start().await;
    let euros = served.rich("5").await;
    let dollars = served.post("/v1/accounts", r#"{"currency":"USD"}"#).await.text("id");
    let order =
        format!(r#"{{"source":{{"account_id":"{euros}"}},"destination":{{"account_id":"{dollars}"}},"amount":1}}"#);
    let reply = served.post("/move_money", &order).await;
    reply.assert_problem(422, "currency_mismatch");
    assert!(reply.text("detail").contains("kept in USD"), "{}", reply.body);
    served.post("/v1/accounts", r#"{"currency":"EURO"}"#).await.assert_problem(400, "unknown_currency");
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused_in_words() {
    let served = Served::start().await;
    let huge = format!(r#"{{"account_id":"{}","amount":1}}"#, "x".repeat(10 << 20));
    let reply = served.post("/deposit_money", &huge).await;
    reply.assert_problem(413, "body_too_large");
    assert!(reply.text("detail").contains("1 MiB"), "{}", reply.body);
    let reply = served.post("/v1/transfers/batch", &huge).await;
    reply.assert_problem(413, "body_too_large");
    assert!(reply.text("detail").contains("4 MiB"), "{}", reply.body);
}

#[tokio::test]
async fn a_body_must_be_declared_as_json() {
    let served = Served::start().await;
    for headers in
        [&[("content-type", "text/plain")][..], &[("content-type", "application/x-www-form-urlencoded")], &[]]
    {
        let reply = ask(served.http, "POST", "/open_account", headers, b"{}").await;
        reply.assert_problem(415, "not_application_json");
    }
    let headers = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(ask(served.http, "POST", "/open_account", &headers, b"{}").await.status, 200);
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_of_a_request_changes_nothing() {
    let served = Served::start().await;
    let id = served.open().await;
    let before = served.bank.records();
    let mut stream = TcpStream::connect(served.http).await.expect("listening");
    let head = format!(
        "POST /deposit_money HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{{\"account_id\":\"{id}\"",
        served.http
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.shutdown().await.expect("half closed");
    // The node may answer or just close; it goes on serving, and nothing was proposed.
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    assert_eq!(served.balance(&id).await, r#"{"balance":0.00}"#);
    assert_eq!(served.bank.records(), before);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let served = Served::start().await;
    served.get("/nowhere").await.assert_problem(404, "no_such_path");
    let reply = served.get("/move_money").await;
    reply.assert_problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("POST"));
    ask(served.http, "DELETE", "/v1/accounts", &[], b"").await.assert_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn garbage_on_the_http_port_is_answered_and_forgotten() {
    let served = Served::start().await;
    let mut stream = TcpStream::connect(served.http).await.expect("listening");
    stream.write_all(b"\x16\x03\x01\x02\x00garbage\r\n\r\n").await.expect("written");
    read_reply(&mut stream).await.assert_problem(400, "malformed_request");
    served.open().await;
}

#[tokio::test]
async fn a_bug_is_told_as_a_problem_and_the_node_goes_on() {
    let served = Served::start().await;
    served.bank.set_mood(super::memory_bank::Mood::Panicking);
    served.post("/open_account", "").await.assert_problem(500, "internal");
    served.bank.set_mood(super::memory_bank::Mood::Well);
    served.open().await;
    until("one account is open", || served.bank.records() == 1).await;
}

#[tokio::test]
async fn paths_queries_and_encodings_that_cannot_be_read_are_problems_too() {
    let served = Served::start().await;
    for path in ["/v1/accounts/%ff", "/v1/transfers/%ff", "/errors/%ff%fe"] {
        served.get(path).await.assert_problem(400, "malformed_path");
    }
    served.post("/v1/customers/%ff/lock", r#"{"locked":true}"#).await.assert_problem(400, "malformed_path");
    for path in ["/v1/accounts?limit=1&limit=2", "/v1/accounts?colour=red", "/check_account?x=%ff"] {
        served.get(path).await.assert_problem(400, "malformed_query");
    }
    // Also where there are no parameters to be read.
    for path in ["/v1/status?nope=%ff", "/readyz?%ff", "/v1/members?x=%fe", "/openapi.json?%80"] {
        served.get(path).await.assert_problem(400, "malformed_query");
    }
    served.post("/open_account?x=%ff", "").await.assert_problem(400, "malformed_query");
    for encoding in ["gzip", "br", "zstd, gzip"] {
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        let reply = ask(served.http, "POST", "/open_account", &headers, b"{}").await;
        reply.assert_problem(415, "unsupported_encoding");
    }
    assert_eq!(served.bank.records(), 0);
}

#[tokio::test]
async fn whoever_asks_before_sending_too_much_is_refused_before_it_is_sent() {
    let served = Served::start().await;
    let head = |length: usize| {
        format!(
            "POST /open_account HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n",
            served.http
        )
    };
    let mut large = TcpStream::connect(served.http).await.expect("listening");
    large.write_all(head(10 << 20).as_bytes()).await.expect("written");
    // Not one byte of the body is sent, and no `100 Continue` comes before the refusal.
    read_reply(&mut large).await.assert_problem(413, "body_too_large");
    let mut small = TcpStream::connect(served.http).await.expect("listening");
    small.write_all(head(2).as_bytes()).await.expect("written");
    let mut asked = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut small, &mut asked).await.expect("an answer");
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    small.write_all(b"{}").await.expect("written");
    assert_eq!(read_reply(&mut small).await.status, 200);
}

#[tokio::test]
async fn a_cursor_of_another_listing_is_refused() {
    let served = Served::start().await;
    let (one, other) = (served.rich("1").await, served.rich("2").await);
    for id in [&one, &other] {
        let order = format!(r#"{{"account_id":"{id}","amount":"1"}}"#);
        assert_eq!(served.post("/deposit_money", &order).await.status, 200);
    }
    let next = |path: String| {
        let served = &served;
        async move { served.get(&path).await.text("next_cursor") }
    };
    let of_one = next(format!("/v1/accounts/{one}/statement?limit=1")).await;
    let page = served.get(&format!("/v1/accounts/{one}/statement?cursor={of_one}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let of_accounts = next("/v1/accounts?limit=1".to_owned()).await;
    assert_eq!(served.get(&format!("/v1/accounts?cursor={of_accounts}")).await.status, 200);
    for path in [
        format!("/v1/accounts/{other}/statement?cursor={of_one}"),
        format!("/v1/accounts/{one}/statement?cursor={of_accounts}"),
        format!("/v1/accounts?cursor={of_one}"),
        format!("/v1/accounts?sort=-opened&cursor={of_accounts}"),
        format!("/v1/accounts?search=a&cursor={of_accounts}"),
        "/v1/accounts?cursor=a1".to_owned(),
    ] {
        served.get(&path).await.assert_problem(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn what_http_itself_refuses_is_a_problem_in_our_words() {
    let served = Served::start().await;
    let long = "x".repeat(20_000);
    let reply = ask(served.http, "GET", "/livez", &[("x-long", &long)], b"").await;
    reply.assert_problem(431, "headers_too_large");
    assert_eq!(reply.header("connection"), Some("close"));
    let many: Vec<(String, &str)> = (0..120).map(|number| (format!("x-{number}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    ask(served.http, "GET", "/livez", &many, b"").await.assert_problem(431, "headers_too_large");
    ask(served.http, "GET", "/livez", &[("bad header", "1")], b"").await.assert_problem(400, "malformed_request");
    ask(served.http, "GET", &format!("/{long}"), &[], b"").await.assert_problem(431, "headers_too_large");
    // Also where a good request came before on the same connection.
    let mut stream = TcpStream::connect(served.http).await.expect("listening");
    let good = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", served.http);
    stream.write_all(format!("{good}\x01\x02 nonsense\r\n\r\n").as_bytes()).await.expect("written");
    let both = read_reply(&mut stream).await;
    assert_eq!(both.status, 200);
    assert!(both.body.contains(r#""code":"malformed_request""#), "{both:?}");
}
