//! The gateway's calls by the field's names, one at a time: what a gateway of another make would send.

use api::code::Code;
use api::grpc::{int128_value, uuid};
use api::problem::Problem;
use api::proto;
use api::proto::bank_client::BankClient;
use tonic::transport::{Channel, Endpoint};

use super::served::Served;

struct Teller {
    bank: BankClient<Channel>,
    _served: Served,
}

impl Teller {
    /// A bank with alice, who has 10.00.
    async fn start() -> Teller {
        let served = Served::start().await;
        let alice = r#"{"username": "alice", "password": "of no matter here", "opening_balance": "10.00"}"#;
        assert_eq!(served.post("/v1/customers", alice).await.status, 201);
        let channel = Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI").connect().await;
        let bank = BankClient::new(channel.expect("listening"));
        Teller { bank, _served: served }
    }

    async fn available(&mut self) -> (i128, i128) {
        let request = proto::ViewBalanceRequest { customer: "alice".into() };
        let balances = self.bank.view_balance(request).await.expect("hers").into_inner().balances.expect("some");
        let balance = int128_value(&balances.balance.expect("a number"));
        (balance, balances.available.map_or(balance, |available| int128_value(&available)))
    }
}

/// Alice of this bank pays bob of another, or the other way round.
fn call(id: u128, out: bool, amount: u64) -> proto::PaymentCall {
    let at = |bank: &str, customer: &str| Some(proto::Party { bank: bank.into(), customer: customer.into() });
    let (alice, bob) = (at("alpha", "alice"), at("beta", "bob"));
    let (payer, payee) = if out { (alice, bob) } else { (bob, alice) };
    let payment = proto::Payment { id: Some(uuid(id)), payer, payee, amount, ..proto::Payment::default() };
    proto::PaymentCall { payment: Some(payment), number: 1, gateway_epoch: 1, ..proto::PaymentCall::default() }
}

fn kind(answer: Result<tonic::Response<proto::Finding>, tonic::Status>) -> proto::FindingKind {
    let finding = answer.expect("answered").into_inner();
    assert_eq!(finding.bank_epoch, 1);
    finding.kind()
}

use proto::FindingKind::{Held, NotFound, Posted, Refused, Voided};

#[tokio::test]
async fn a_debit_is_prepared_looked_at_and_committed_and_each_may_be_repeated() {
    let mut teller = Teller::start().await;
    assert_eq!(kind(teller.bank.hold_status(call(7, true, 4_00)).await), NotFound);
    for _ in 0..2 {
        assert_eq!(kind(teller.bank.prepare_debit(call(7, true, 4_00)).await), Held);
        assert_eq!(teller.available().await, (10_00, 6_00));
    }
    assert_eq!(kind(teller.bank.hold_status(call(7, true, 4_00)).await), Held);
    for _ in 0..2 {
        assert_eq!(kind(teller.bank.commit_debit(call(7, true, 4_00)).await), Posted);
        assert_eq!(teller.available().await, (6_00, 6_00));
    }
    // What was first asked for, later: how it stands now is told.
    assert_eq!(kind(teller.bank.prepare_debit(call(7, true, 4_00)).await), Posted);
    assert_eq!(kind(teller.bank.abort_debit(call(7, true, 4_00)).await), Posted);
    assert_eq!(teller.available().await, (6_00, 6_00));
}

#[tokio::test]
async fn a_credit_is_prepared_and_let_go_and_an_abort_of_what_was_never_seen_stays() {
    let mut teller = Teller::start().await;
    assert_eq!(kind(teller.bank.prepare_credit(call(8, false, 4_00)).await), Held);
    assert_eq!(teller.available().await, (10_00, 10_00), "what is to come cannot be spent");
    assert_eq!(kind(teller.bank.abort_credit(call(8, false, 4_00)).await), Voided);
    assert_eq!(kind(teller.bank.commit_credit(call(8, false, 4_00)).await), Voided);
    assert_eq!(kind(teller.bank.abort_credit(call(9, false, 4_00)).await), Voided);
    assert_eq!(kind(teller.bank.prepare_credit(call(9, false, 4_00)).await), Voided, "a tombstone");
    assert_eq!(kind(teller.bank.prepare_credit(call(10, false, 4_00)).await), Held);
    assert_eq!(kind(teller.bank.commit_credit(call(10, false, 4_00)).await), Posted);
    assert_eq!(teller.available().await, (14_00, 14_00));
}

#[tokio::test]
async fn what_a_bank_refuses_is_told_with_its_reason_and_what_is_not_its_own_is_none_of_its_business() {
    let mut teller = Teller::start().await;
    let poor = teller.bank.prepare_debit(call(11, true, 10_01)).await.expect("answered").into_inner();
    assert_eq!((poor.kind(), poor.reason, poor.value.map(|value| int128_value(&value))), (Refused, 1, Some(10_00)));
    let mut within = call(12, true, 1_00);
    within.payment.as_mut().expect("it has one").payee =
        Some(proto::Party { bank: "alpha".into(), customer: "nobody".into() });
    let nobody = teller.bank.transfer_payment(within).await.expect("answered").into_inner();
    assert_eq!(nobody.kind(), Refused);
    let mut other = call(13, true, 1_00);
    other.payment.as_mut().expect("it has one").payer =
        Some(proto::Party { bank: "gamma".into(), customer: "alice".into() });
    let status = teller.bank.prepare_debit(other).await.expect_err("it concerns gamma");
    assert_eq!(Problem::code_of(&status), Some(Code::NotPermitted));
    // An older incarnation than was heard of is refused; so is a replay to a bank that lacks nothing.
    let newer = proto::PaymentCall { gateway_epoch: 2, ..call(14, true, 1_00) };
    assert_eq!(kind(teller.bank.prepare_debit(newer).await), Held);
    let status = teller.bank.prepare_debit(call(15, true, 1_00)).await.expect_err("incarnation 1 is over");
    assert_eq!(Problem::code_of(&status), Some(Code::StaleEpoch));
    let replay = proto::PaymentCall { gateway_epoch: 2, replay: true, ..call(16, true, 1_00) };
    let status = teller.bank.commit_debit(replay).await.expect_err("it was never restored");
    assert_eq!(Problem::code_of(&status), Some(Code::NotPermitted));
}

#[tokio::test]
async fn a_gateway_that_looks_is_listened_to_from_then_on_and_no_older_one() {
    let mut teller = Teller::start().await;
    assert_eq!(kind(teller.bank.prepare_debit(call(20, true, 1_00)).await), Held);
    let look =
        proto::GatewayHoldsRequest { placed_since_ms: 1, gateway_epoch: 3, ..proto::GatewayHoldsRequest::default() };
    let held = teller.bank.gateway_holds(look).await.expect("answered").into_inner();
    let ids: Vec<_> =
        held.holds.iter().filter_map(|hold| hold.payment.as_ref()?.id.as_ref()).map(api::grpc::id_bits).collect();
    assert_eq!((ids, held.next_cursor), (vec![20], 0));
    let status = teller.bank.commit_debit(call(20, true, 1_00)).await.expect_err("incarnation 1 is over");
    assert_eq!(Problem::code_of(&status), Some(Code::StaleEpoch));
}
