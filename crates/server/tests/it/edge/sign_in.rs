//! Passwords at a bank, as the gateway asks about them: guesses are counted before they are looked at, and nobody's sign-in
//! waits behind a stranger's.

use std::time::{Duration, Instant};

use api::code::Code;
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;
use tonic::transport::{Channel, Endpoint};

use super::served::Served;

type Asked = Result<proto::AuthenticateResponse, tonic::Status>;

async fn bank_with_alice(served: &Served) -> BankClient<Channel> {
    let added = served.post("/v1/customers", r#"{"username":"alice","password":"correct horse"}"#).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let endpoint = Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI");
    BankClient::new(endpoint.connect().await.expect("listening"))
}

fn question(username: &str, password: &str, source: u64) -> proto::AuthenticateRequest {
    proto::AuthenticateRequest { username: username.into(), password: password.into(), source, earlier: None }
}

async fn ask(bank: &BankClient<Channel>, question: proto::AuthenticateRequest) -> Asked {
    bank.clone().authenticate(question).await.map(tonic::Response::into_inner)
}

fn code(asked: &Asked) -> Option<Code> {
    asked.as_ref().err().map(|status| Problem::code_of(status).expect("one of ours"))
}

/// All at once.
async fn ask_all(bank: &BankClient<Channel>, questions: Vec<proto::AuthenticateRequest>) -> Vec<Asked> {
    let asked = questions.into_iter().map(|question| {
        let bank = bank.clone();
        tokio::spawn(async move { ask(&bank, question).await })
    });
    let asked: Vec<_> = asked.collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("nothing panics"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nine_hundred_guesses_at_once_three_are_looked_at_and_the_customer_signs_in_meanwhile() {
    let served = Served::start().await;
    let bank = bank_with_alice(&served).await;
    assert!(ask(&bank, question("alice", "correct horse", 1)).await.is_ok());
    let guesses = (0..900).map(|number| question("alice", &format!("guess-{number}"), 66)).collect();
    let began = Instant::now();
    let answers = ask_all(&bank, guesses).await;
    // One more for each pause that is over: of 1 s, 2 s, 4 s and so on. Only a busy machine takes so long.
    let free = 3 + (began.elapsed().as_secs() + 1).ilog2() as usize;
    let wrong = answers.iter().filter(|answer| code(answer) == Some(Code::WrongCredentials)).count();
    assert!((3..=free).contains(&wrong), "the brake counts before the password is looked at: {wrong} of {free}");
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        if Problem::code_of(status) != Some(Code::WrongCredentials) {
            assert_eq!(Problem::code_of(status), Some(Code::TooManyAttempts), "{status}");
            assert!(Problem::wait_of(status).is_some_and(|wait| wait > Duration::ZERO), "{status}");
        }
    }
    // From where she was before, and from the guesser's own address with an earlier sign-in.
    assert!(ask(&bank, question("alice", "correct horse", 1)).await.is_ok());
    let with_token = proto::AuthenticateRequest { earlier: Some(77), ..question("alice", "correct horse", 66) };
    assert!(ask(&bank, with_token).await.is_ok());
    let braked = ask(&bank, question("alice", "correct horse", 66)).await;
    assert_eq!(code(&braked), Some(Code::TooManyAttempts), "the right password tells a guesser nothing either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_told_as_a_wrong_password_as_late_and_costs_nothing() {
    let served = Served::start().await;
    let bank = bank_with_alice(&served).await;
    let took = async |username: &str, source: u64| {
        let began = Instant::now();
        let asked = ask(&bank, question(username, "a guess", source)).await;
        assert_eq!(code(&asked), Some(Code::WrongCredentials), "{username}");
        (began.elapsed(), asked.expect_err("wrong").message().to_owned())
    };
    let (name, password) = (took("nobody", 5).await, took("alice", 5).await);
    assert_eq!(name.1, password.1);
    assert!(name.0 >= Duration::from_millis(500) && password.0 >= Duration::from_millis(500), "{name:?} {password:?}");
    // A crowd of invented names, from as many places: she signs in beside it, for the first time.
    let mut crowd: Vec<_> = (0..300).map(|number| question(&format!("nobody-{number}"), "a guess", number)).collect();
    crowd.push(question("alice", "correct horse", 1_000));
    let mut answers = ask_all(&bank, crowd).await;
    let alice = answers.pop().expect("she was the last");
    assert!(alice.is_ok(), "{alice:?}");
    assert!(answers.iter().all(|answer| code(answer) == Some(Code::WrongCredentials)));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_real_passwords_at_once_are_told_so_with_a_time_and_count_for_nothing() {
    let served = Served::start().await;
    let bank = bank_with_alice(&served).await;
    for number in 0..40 {
        let body = format!(r#"{{"username":"customer-{number}","password":"correct horse"}}"#);
        assert_eq!(served.post("/v1/customers", &body).await.status, 201);
    }
    // All from one source, which may have sixteen waiting.
    let at_once = (0..40).map(|number| question(&format!("customer-{number}"), "correct horse", 9)).collect();
    let answers = ask_all(&bank, at_once).await;
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(Problem::code_of(status), Some(Code::TooManySignIns), "{status}");
        assert!(Problem::wait_of(status).is_some_and(|wait| wait > Duration::ZERO), "{status}");
    }
    // Whoever was turned away signs in one after the other: none of it counted as a failure.
    for number in 0..40 {
        let mut asked = ask(&bank, question(&format!("customer-{number}"), "correct horse", 9)).await;
        while code(&asked) == Some(Code::TooManySignIns) {
            asked = ask(&bank, question(&format!("customer-{number}"), "correct horse", 9)).await;
        }
        assert!(asked.is_ok(), "customer-{number}: {asked:?}");
    }
}

#[tokio::test]
async fn an_opening_balance_is_posted_once_and_another_one_is_no_matter_of_idempotency_keys() {
    let served = Served::start().await;
    let with = |balance: &str| format!(r#"{{"username":"alice","password":"correct horse"{balance}}}"#);
    let without = served.post("/v1/customers", &with("")).await;
    let account = without.text("account_id");
    // Who was there without one has it now, and that is no replay.
    let (five, six) = (with(r#","opening_balance":"5.00""#), with(r#","opening_balance":"6.00""#));
    for (body, replayed) in [(&five, false), (&five, true), (&with(""), true)] {
        let added = served.post("/v1/customers", body).await;
        assert_eq!((added.status, added.json()["replayed"].as_bool()), (201, Some(replayed)), "{}", added.body);
    }
    let other = served.post("/v1/customers", &six).await;
    other.assert_problem(422, "customer_exists");
    assert!(other.text("detail").contains("alice is there already, with another opening balance"), "{}", other.body);
    assert_eq!(served.get(&format!("/v1/accounts/{account}")).await.json()["balance"], "5.00");
}

#[tokio::test]
async fn an_idempotency_key_or_an_id_stands_for_one_password_however_its_accents_are_typed() {
    let served = Served::start().await;
    let bank = bank_with_alice(&served).await;
    let path = "/v1/customers/alice/password";
    let body = |password: &str, id: &str| format!(r#"{{{id}"password":"{password}"}}"#);
    let id = r#""id":"018f4f3e-7a5b-7c4d-8e9f-0123456789ab","#;
    let (composed, combining) = ("battery stapl\u{e9}", "battery staple\u{301}");
    for (given, refusal) in [("", "idempotency_key_reused"), (id, "id_reused")] {
        let send = async |password: &str| match given {
            "" => served.post_keyed(path, "key", &body(password, given)).await,
            _ => served.post(path, &body(password, given)).await,
        };
        for (password, replayed) in [(combining, None), (combining, Some("true")), (composed, Some("true"))] {
            let set = send(password).await;
            assert_eq!((set.status, set.header("idempotent-replayed")), (200, replayed), "{}", set.body);
        }
        let records = served.bank.records();
        for other in ["something else", "battery staple", "Battery stapl\u{e9}"] {
            send(other).await.assert_problem(422, refusal);
        }
        assert_eq!(served.bank.records(), records, "{refusal}");
        assert!(ask(&bank, question("alice", composed, 1)).await.is_ok());
    }
    // The same password under another id is another request, and has another hash.
    let other = id.replace("89ab", "89ac");
    assert_eq!(served.post(path, &body(composed, &other)).await.status, 200);
    assert!(ask(&bank, question("alice", composed, 1)).await.is_ok());
    served.post_keyed(path, "other", &body(composed, &other)).await.assert_problem(400, "key_and_id");
}

#[tokio::test]
async fn a_customer_added_under_a_key_is_added_again_with_the_same_password_only() {
    let served = Served::start().await;
    let bank = bank_with_alice(&served).await;
    let body = |name: &str, password: &str, more: &str| {
        format!(r#"{{"username":"{name}","password":"{password}","opening_balance":"5.00"{more}}}"#)
    };
    let (composed, combining) = ("jos\u{e9} y yo", "jose\u{301} y\u{a0}yo");
    let first = served.post_keyed("/v1/customers", "key", &body("bob", combining, "")).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None), "{}", first.body);
    for password in [combining, composed] {
        let again = served.post_keyed("/v1/customers", "key", &body("bob", password, "")).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{}", again.body);
        assert_eq!(again.text("account_id"), first.text("account_id"));
    }
    let records = served.bank.records();
    let hash = format!(r#""password_hash":"{SLOW_HASH}""#);
    for other in [
        body("bob", "another one", ""),
        body("bob", "JOS\u{c9} y yo", ""),
        body("carol", combining, ""),
        body("bob", combining, r#","currency":"USD""#),
        body("bob", combining, "").replace("5.00", "6.00"),
        body("bob", combining, "").replace(r#","opening_balance":"5.00""#, ""),
        body("bob", combining, "").replace(&format!(r#""password":"{combining}""#), &hash),
    ] {
        served.post_keyed("/v1/customers", "key", &other).await.assert_problem(422, "idempotency_key_reused");
    }
    assert_eq!(served.bank.records(), records, "nothing of another request is done");
    let path = "/v1/customers/bob/password";
    let elsewhere = served.post_keyed(path, "key", &format!(r#"{{"password":"{combining}"}}"#)).await;
    elsewhere.assert_problem(422, "idempotency_key_reused");
    assert!(ask(&bank, question("bob", composed, 1)).await.is_ok());
    assert_eq!(code(&ask(&bank, question("bob", "another one", 1)).await), Some(Code::WrongCredentials));
    // What is malformed does not stick to a key.
    let malformed = served.post_keyed("/v1/customers", "new", &body("dan", "a\u{200b}b", "")).await;
    malformed.assert_problem(400, "invalid_password");
    assert_eq!(served.post_keyed("/v1/customers", "new", &body("dan", "ab", "")).await.status, 201);
    // Without a key the name says who is meant, and their password stays.
    let again = served.post("/v1/customers", &body("bob", "another one", "")).await;
    assert_eq!((again.status, again.json()["replayed"].as_bool()), (201, Some(true)), "{}", again.body);
    assert!(ask(&bank, question("bob", composed, 1)).await.is_ok());
}

/// A hash that is slow to look at, so that places stay taken; no password of this test has it.
const SLOW_HASH: &str =
    "$argon2id$v=19$m=65536,t=8,p=1$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew";

#[tokio::test(flavor = "multi_thread")]
async fn at_a_bank_whose_places_are_taken_an_invented_name_is_told_what_a_real_one_is() {
    const NAMES: usize = 60;
    let served = Served::start().await;
    let bank = bank_with_alice(&served).await;
    for number in 0..NAMES {
        let body = format!(r#"{{"username":"customer-{number}","password_hash":"{SLOW_HASH}"}}"#);
        assert_eq!(served.post("/v1/customers", &body).await.status, 201);
    }
    // All from one source, which may have sixteen waiting.
    let names = (0..NAMES).flat_map(|number| [format!("customer-{number}"), format!("invented-{number}")]);
    let answers = ask_all(&bank, names.map(|name| question(&name, "a guess", 9)).collect()).await;
    let mut refused = [0, 0];
    for (at, status) in answers.iter().map(|asked| asked.as_ref().expect_err("nobody has that password")).enumerate() {
        match Problem::code_of(status) {
            Some(Code::TooManySignIns) => {
                refused[at % 2] += 1;
                assert!(Problem::wait_of(status).is_some_and(|wait| wait > Duration::ZERO), "{status}");
            }
            other => assert_eq!(other, Some(Code::WrongCredentials), "{status}"),
        }
    }
    // Whoever came before the places were taken was looked at, or as good as.
    assert!(refused.iter().all(|refused| *refused > NAMES / 3), "real and invented names: {refused:?}");
}
