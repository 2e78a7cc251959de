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
    served: Served,
}

impl Teller {
    /// A bank with alice, who has 10.00.
    async fn start() -> Teller {
        let served = Served::start().await;
        let alice = r#"{"username": "alice", "password": "of no matter here", "opening_balance": "10.00"}"#;
        assert_eq!(served.post("/v1/customers", alice).await.status, 201);
        let channel = Endpoint::from_shared(format!("http://{}", served.grpc)).expect("a URI").connect().await;
        let bank = BankClient::new(channel.expect("listening"));
        Teller { bank, served }
    }

    async fn available(&mut self) -> (i128, i128) {
        let request = proto::ViewBalanceRequest { customer: "alice".into() };
        let balances = self.bank.view_balance(request).await.expect("hers").into_inner().balances.expect("some");
        let balance = int128_value(&balances.balance.expect("a number"));
        (balance, balances.available.map_or(balance, |available| int128_value(&available)))
    }

    /// The payments that a gateway of that incarnation is told of, which knew of another's only what was complete.
    async fn recalled(&mut self, gateway_epoch: u32, (epoch, complete_through): (u32, u64)) -> Vec<u128> {
        let recall = Some(proto::Recall { epoch, complete_through });
        let request = proto::GatewayHoldsRequest { gateway_epoch, recall, ..proto::GatewayHoldsRequest::default() };
        let held = self.bank.gateway_holds(request).await.expect("answered").into_inner();
        assert_eq!(held.next_cursor, 0);
        let id = |hold: &proto::GatewayHold| hold.payment.as_ref()?.id.as_ref().map(api::grpc::id_bits);
        held.holds.iter().filter_map(id).collect()
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
    assert_eq!(teller.recalled(3, (1, 0)).await, [20]);
    let status = teller.bank.commit_debit(call(20, true, 1_00)).await.expect_err("incarnation 1 is over");
    assert_eq!(Problem::code_of(&status), Some(Code::StaleEpoch));
}

#[tokio::test]
async fn a_restored_gateway_is_told_what_was_placed_behind_a_fence_that_knew_less_than_it_did() {
    let mut teller = Teller::start().await;
    let step = ledger::Fence::STEP;
    // Each of the later holds comes with a fence of its own in the journal, for that much more is complete.
    for (id, complete_through) in [(30, 0), (31, step), (32, 2 * step), (33, 3 * step)] {
        let call = proto::PaymentCall { complete_through, ..call(id, true, 1_00) };
        assert_eq!(kind(teller.bank.prepare_debit(call).await), Held);
    }
    // A gateway that knew all through 2 * STEP may have placed what came with any fence above STEP.
    assert_eq!(teller.recalled(2, (1, 2 * step)).await, [33, 32, 31]);
    assert_eq!(teller.recalled(2, (1, 3 * step)).await, [33, 32]);
    assert_eq!(teller.recalled(2, (1, 0)).await, [33, 32, 31, 30]);
    // What incarnation 2 placed is not known to a copy of the first, whatever that one knew to be complete.
    let newer = proto::PaymentCall { gateway_epoch: 2, complete_through: 0, ..call(34, true, 1_00) };
    assert_eq!(kind(teller.bank.prepare_debit(newer).await), Held);
    assert_eq!(teller.recalled(3, (1, 4 * step)).await, [34, 33]);
    // An older gateway asked for a time. It is not told that there is nothing.
    let status = teller.bank.gateway_holds(proto::GatewayHoldsRequest::default()).await.expect_err("asked for nothing");
    assert_eq!(Problem::code_of(&status), Some(Code::MissingField));
}

#[tokio::test]
async fn a_restored_gateway_is_told_of_payments_within_the_bank_and_of_no_other_transfer() {
    let mut teller = Teller::start().await;
    let carol = r#"{"username": "carol", "password": "of no matter here", "opening_balance": "1.00"}"#;
    assert_eq!(teller.served.post("/v1/customers", carol).await.status, 201);
    let party = |customer: &str| Some(proto::Party { bank: "alpha".into(), customer: customer.into() });
    let mut within = call(50, true, 4_00);
    within.payment.as_mut().expect("it has one").payee = party("carol");
    assert_eq!(kind(teller.bank.transfer_payment(within.clone()).await), Posted);
    let mut refused = call(51, true, 40_00);
    refused.payment.as_mut().expect("it has one").payee = party("carol");
    assert_eq!(kind(teller.bank.transfer_payment(refused).await), Refused);
    assert_eq!(kind(teller.bank.prepare_debit(call(52, true, 1_00)).await), Held);
    assert_eq!(teller.recalled(2, (1, 0)).await, [52, 50], "opening balances are none of the gateway's");
    let recall = Some(proto::Recall { epoch: 1, complete_through: 0 });
    let request = proto::GatewayHoldsRequest { gateway_epoch: 2, recall, ..proto::GatewayHoldsRequest::default() };
    let told = teller.bank.gateway_holds(request).await.expect("answered").into_inner().holds.pop();
    let (told, ordered) = (told.and_then(|hold| hold.payment).expect("a payment"), within.payment.clone());
    let ordered = ordered.expect("it has one");
    assert_eq!((told.payer, told.payee, told.amount), (ordered.payer, ordered.payee, ordered.amount));
    // It is asked for void, and says what became of it.
    let void = proto::CallKind::VoidTransfer.into();
    let asked = proto::PaymentCall { gateway_epoch: 2, kind: void, ..within };
    let batch = proto::PaymentCallBatch { calls: vec![asked] };
    let found = teller.bank.payment_calls(batch).await.expect("answered").into_inner().findings;
    assert_eq!(found.iter().map(proto::Finding::kind).collect::<Vec<_>>(), [Posted]);
}

#[tokio::test]
async fn an_old_hold_is_one_that_is_old_by_the_banks_own_log() {
    let mut teller = Teller::start().await;
    assert_eq!(kind(teller.bank.prepare_debit(call(40, true, 1_00)).await), Held);
    let request = |open_for_ms| proto::GatewayHoldsRequest { open_for_ms, ..proto::GatewayHoldsRequest::default() };
    // This bank's log moves by a millisecond with each request: the hold is two old by then.
    assert_eq!(kind(teller.bank.prepare_debit(call(41, true, 1_00)).await), Held);
    assert_eq!(kind(teller.bank.prepare_debit(call(42, true, 1_00)).await), Held);
    for (open_for_ms, told) in [(1, 2), (2, 1), (3, 0)] {
        let held = teller.bank.gateway_holds(request(open_for_ms)).await.expect("answered").into_inner();
        assert_eq!(held.holds.len(), told, "open for {open_for_ms} ms");
    }
}

#[tokio::test]
async fn a_look_at_what_moved_passes_over_two_thousand_lines_that_moved_nothing_and_the_next_one_goes_on() {
    let mut teller = Teller::start().await;
    for first in [1_000, 2_000] {
        for kind in [proto::CallKind::PrepareDebit, proto::CallKind::AbortDebit] {
            let of_kind = |id: u128| proto::PaymentCall { kind: kind.into(), ..call(id, true, 1) };
            let batch = proto::PaymentCallBatch { calls: (first..first + 900).map(of_kind).collect() };
            let found = teller.bank.payment_calls(batch).await.expect("answered").into_inner();
            assert_eq!(found.findings.len(), 900);
        }
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let request = proto::TransactionHistoryRequest { customer: "alice".into(), cursor, limit: 1_000 };
        let page = teller.bank.transaction_history(request).await.expect("answered").into_inner();
        seen.push(page.entries.len());
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    // 3,600 lines, and the opening balance is the oldest.
    assert_eq!(seen, [0, 1]);
}
