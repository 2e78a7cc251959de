//! The services of `rialto.v1` over the bank: messages in, ledger requests through, messages out.
//!
//! The fast road: a batch is parsed straight into the ledger's commands and its answers straight into messages. What is
//! malformed refuses the whole call before anything is proposed; what the ledger refuses is the outcome of its item.

use std::time::Instant;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;

use api::code::Code;
use api::grpc;
use api::problem::Problem;
use api::proto;
use api::proto::bank_server::{Bank, BankServer};
use api::rejection;
use ledger::{
    AccountView, Answer, Command, Movement, Outcome, Rejected, Request as LedgerRequest, StatementLine, TransferId,
};

use super::bounds;
use super::customers::{self, SignIns};
use super::deadline;
use super::desk::{Desk, unknown_account};
use super::gateway_holds;
use super::group;
use super::grpc_answers;
use super::health::NodeHealth;
use super::identity;
use super::listing::{self, Listing};
use super::payments;
use super::permits;
use super::port::{BankPort, SubmitError};
use super::reflection;
use super::refusals;
use super::request_log;
use super::statement::{self, Listed};
use super::transfers::{check_count, find, unknown_transfer};
use clearing::{CallKind, Side};

/// The routes of a node over gRPC.
pub fn router<B: BankPort>(desk: Desk<B>, sign_ins: SignIns) -> Router {
    let guard = desk.guard.clone();
    let health =
        HealthServer::new(NodeHealth::new(desk.bank.clone())).max_decoding_message_size(bounds::LOOK_MESSAGE_BYTES_MAX);
    let (reflection, reflection_alpha) = reflection::services("rialto.v1.Bank");
    let bank = BankServer::new(Service { desk, sign_ins })
        .max_decoding_message_size(bounds::BATCH_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX);
    let routes = Routes::new(bank).add_service(health).add_service(reflection).add_service(reflection_alpha).prepare();
    routes
        .into_axum_router()
        .layer(from_fn_with_state(guard, permits::admit))
        .layer(from_fn(deadline::keep))
        .layer(from_fn(grpc_answers::keep))
        .layer(from_fn(refusals::over_grpc))
        .layer(from_fn(request_log::log))
}

fn id_text(id: &proto::Uuid) -> uuid::Uuid {
    uuid::Uuid::from_u128(grpc::id_bits(id))
}

/// The bank's calls.
#[derive(Debug)]
pub struct Service<B> {
    desk: Desk<B>,
    sign_ins: SignIns,
}

#[tonic::async_trait]
impl<B: BankPort> Bank for Service<B> {
    async fn transfer(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        request_log::request("Transfer", request.get_ref());
        request_log::note_about(request.get_ref().transfer.iter().filter_map(|it| it.id.as_ref()).map(id_text));
        self.counted("Transfer", self.transfer_one(request.into_inner())).await
    }

    async fn transfer_batch(
        &self,
        request: Request<proto::TransferBatchRequest>,
    ) -> Result<Response<proto::TransferBatchResponse>, Status> {
        request_log::request("TransferBatch", request.get_ref());
        request_log::note_about([format!("{} transfers", request.get_ref().transfers.len())]);
        self.counted("TransferBatch", self.transfer_many(request.into_inner())).await
    }

    async fn void_transfer(
        &self,
        request: Request<proto::VoidTransferRequest>,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        request_log::request("VoidTransfer", request.get_ref());
        self.counted("VoidTransfer", self.void(request.into_inner())).await
    }

    async fn get_transfer(
        &self,
        request: Request<proto::GetTransferRequest>,
    ) -> Result<Response<proto::GetTransferResponse>, Status> {
        request_log::request("GetTransfer", request.get_ref());
        self.counted("GetTransfer", self.find_transfer(request.into_inner())).await
    }

    async fn open_account(
        &self,
        request: Request<proto::OpenAccountRequest>,
    ) -> Result<Response<proto::OpenAccountResponse>, Status> {
        request_log::request("OpenAccount", request.get_ref());
        self.counted("OpenAccount", self.open(request.into_inner())).await
    }

    async fn open_accounts(
        &self,
        request: Request<proto::OpenAccountsRequest>,
    ) -> Result<Response<proto::OpenAccountsResponse>, Status> {
        request_log::request("OpenAccounts", request.get_ref());
        self.counted("OpenAccounts", self.open_many(request.into_inner())).await
    }

    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Result<Response<proto::Account>, Status> {
        request_log::request("GetAccount", request.get_ref());
        self.counted("GetAccount", self.account(request.into_inner())).await
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        request_log::request("ListAccounts", request.get_ref());
        self.counted("ListAccounts", self.accounts(request.into_inner())).await
    }

    async fn statement(
        &self,
        request: Request<proto::StatementRequest>,
    ) -> Result<Response<proto::StatementResponse>, Status> {
        request_log::request("Statement", request.get_ref());
        self.counted("Statement", self.lines(request.into_inner())).await
    }

    async fn members(&self, _request: Request<proto::MembersRequest>) -> Result<Response<proto::Group>, Status> {
        self.counted("Members", self.group_members()).await
    }

    async fn change_members(
        &self,
        request: Request<proto::ChangeMembersRequest>,
    ) -> Result<Response<proto::Group>, Status> {
        request_log::request("ChangeMembers", request.get_ref());
        self.counted("ChangeMembers", self.change_group(request.into_inner())).await
    }

    async fn set_mode(&self, request: Request<proto::SetModeRequest>) -> Result<Response<proto::Group>, Status> {
        request_log::request("SetMode", request.get_ref());
        self.counted("SetMode", self.change_mode(request.into_inner())).await
    }

    async fn status(&self, _request: Request<proto::StatusRequest>) -> Result<Response<proto::StatusResponse>, Status> {
        self.counted("Status", async { Ok(self.node_status()) }).await
    }
    async fn authenticate(
        &self,
        request: Request<proto::AuthenticateRequest>,
    ) -> Result<Response<proto::AuthenticateResponse>, Status> {
        request_log::request("Authenticate", request.get_ref());
        let work = customers::authenticate(&self.desk, &self.sign_ins, request.into_inner());
        self.counted("Authenticate", work).await
    }

    async fn view_balance(
        &self,
        request: Request<proto::ViewBalanceRequest>,
    ) -> Result<Response<proto::ViewBalanceResponse>, Status> {
        request_log::request("ViewBalance", request.get_ref());
        self.counted("ViewBalance", customers::balance(&self.desk, request.get_ref())).await
    }

    async fn transaction_history(
        &self,
        request: Request<proto::TransactionHistoryRequest>,
    ) -> Result<Response<proto::TransactionHistoryResponse>, Status> {
        request_log::request("TransactionHistory", request.get_ref());
        self.counted("TransactionHistory", customers::history(&self.desk, request.get_ref())).await
    }

    async fn payment_calls(
        &self,
        request: Request<proto::PaymentCallBatch>,
    ) -> Result<Response<proto::FindingBatch>, Status> {
        request_log::request("PaymentCalls", request.get_ref());
        self.counted("PaymentCalls", payments::calls(&self.desk, request.get_ref())).await
    }

    async fn caught_up(
        &self,
        request: Request<proto::CaughtUpRequest>,
    ) -> Result<Response<proto::CaughtUpResponse>, Status> {
        request_log::request("CaughtUp", request.get_ref());
        self.counted("CaughtUp", payments::caught_up(&self.desk, request.get_ref())).await
    }

    async fn gateway_holds(
        &self,
        request: Request<proto::GatewayHoldsRequest>,
    ) -> Result<Response<proto::GatewayHoldsResponse>, Status> {
        request_log::request("GatewayHolds", request.get_ref());
        self.counted("GatewayHolds", gateway_holds::find(&self.desk, *request.get_ref())).await
    }

    async fn hold_status(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("HoldStatus", request.get_ref());
        // Which side is this bank's follows from the payment.
        let ours = self.desk.bank.status().group;
        let is_payer =
            request.get_ref().payment.as_ref().and_then(|it| it.payer.as_ref()).is_some_and(|it| it.bank == ours);
        let side = if is_payer { Side::Debit } else { Side::Credit };
        self.counted("HoldStatus", payments::call(&self.desk, request.get_ref(), CallKind::HoldStatus(side))).await
    }

    async fn transfer_payment(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("TransferPayment", request.get_ref());
        self.counted("TransferPayment", payments::call(&self.desk, request.get_ref(), CallKind::Transfer)).await
    }

    async fn prepare_debit(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("PrepareDebit", request.get_ref());
        self.counted("PrepareDebit", payments::call(&self.desk, request.get_ref(), CallKind::PrepareDebit)).await
    }

    async fn prepare_credit(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("PrepareCredit", request.get_ref());
        self.counted("PrepareCredit", payments::call(&self.desk, request.get_ref(), CallKind::PrepareCredit)).await
    }

    async fn commit_debit(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("CommitDebit", request.get_ref());
        self.counted("CommitDebit", payments::call(&self.desk, request.get_ref(), CallKind::CommitDebit)).await
    }

    async fn commit_credit(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("CommitCredit", request.get_ref());
        self.counted("CommitCredit", payments::call(&self.desk, request.get_ref(), CallKind::CommitCredit)).await
    }

    async fn abort_debit(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("AbortDebit", request.get_ref());
        self.counted("AbortDebit", payments::call(&self.desk, request.get_ref(), CallKind::AbortDebit)).await
    }

    async fn abort_credit(&self, request: Request<proto::PaymentCall>) -> Result<Response<proto::Finding>, Status> {
        request_log::request("AbortCredit", request.get_ref());
        self.counted("AbortCredit", payments::call(&self.desk, request.get_ref(), CallKind::AbortCredit)).await
    }
}

impl<B: BankPort> Service<B> {
    /// Counts a call by its code, and turns a problem into a status.
    async fn counted<T: std::fmt::Debug>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Response<T>, Status> {
        let began = Instant::now();
        let done = work.await;
        let code = done.as_ref().map_or_else(|problem| problem.code.text(), |_| "ok");
        self.desk.metrics.count_request("grpc", call, code, began.elapsed());
        request_log::response(call, done.as_ref().ok());
        done.map(Response::new).map_err(|problem| problem.to_status())
    }

    async fn transfer_one(&self, request: proto::TransferRequest) -> Result<proto::TransferResponse, Problem> {
        let message = request.transfer.as_ref().ok_or_else(|| missing("transfer"))?;
        let movement = grpc::movement(message)?;
        let answer = self.submit_one(grpc::transfer_command(&movement), movement.id).await?;
        Ok(proto::TransferResponse { outcome: Some(grpc::transfer_outcome(&answer, Some(&movement))) })
    }

    async fn transfer_many(
        &self,
        request: proto::TransferBatchRequest,
    ) -> Result<proto::TransferBatchResponse, Problem> {
        check_count(request.transfers.len())?;
        let parse = |(item, message)| grpc::movement(message).map_err(|problem: Problem| problem.in_item(item));
        let movements = request.transfers.iter().enumerate().map(parse).collect::<Result<Vec<Movement>, Problem>>()?;
        let commands = movements.iter().map(grpc::transfer_command).collect();
        let request = LedgerRequest { linked: request.linked, commands };
        let answers = self.desk.submit(request).await.map_err(|error| identity::not_done(&error))?;
        let tell = |(answer, movement): (&Answer, &Movement)| grpc::transfer_outcome(answer, Some(movement));
        Ok(proto::TransferBatchResponse { outcomes: answers.iter().zip(&movements).map(tell).collect() })
    }

    async fn void(&self, request: proto::VoidTransferRequest) -> Result<proto::TransferResponse, Problem> {
        let id = grpc::transfer_id("id", request.id.as_ref())?;
        let answer = self.submit_one(Command::VoidTransfer { id }, id).await?;
        Ok(proto::TransferResponse { outcome: Some(grpc::transfer_outcome(&answer, None)) })
    }

    async fn find_transfer(&self, request: proto::GetTransferRequest) -> Result<proto::GetTransferResponse, Problem> {
        let id = grpc::transfer_id("id", request.id.as_ref())?;
        let found = self.desk.read(move |view| find(view, id)).await??.ok_or_else(|| unknown_transfer(id))?;
        let answer = Answer { outcome: found.outcome, replay: false, place: found.place };
        Ok(proto::GetTransferResponse {
            outcome: Some(grpc::transfer_outcome(&answer, found.movement.as_ref())),
            transfer: found.movement.as_ref().map(grpc::transfer_message),
        })
    }

    async fn open(&self, request: proto::OpenAccountRequest) -> Result<proto::OpenAccountResponse, Problem> {
        let id = grpc::account_id("id", request.id.as_ref())?;
        let (owner, currency) = (grpc::owner(&request.owner)?, grpc::currency(request.currency)?);
        let open = LedgerRequest::single(Command::OpenAccount { id, owner, currency });
        let answers = self.desk.submit(open).await.map_err(|error| identity::not_done(&error))?;
        let answer = answers.first().ok_or_else(no_answer)?;
        let Outcome::Opened { time_ms, .. } = answer.outcome else {
            let rejection = answer.outcome.rejection().copied().unwrap_or(Rejected::IdReused);
            return Err(rejection::of_other(&rejection).with("account_id", id.to_string()));
        };
        let account = proto::Account {
            id: Some(grpc::uuid(id.get())),
            currency: u32::from(currency.number()),
            owner: request.owner,
            balances: Some(grpc::balances(&ledger::BalancesAfter::default())),
            internal: false,
            closed: false,
            opened_ms: time_ms,
        };
        Ok(proto::OpenAccountResponse { account: Some(account), replay: answer.replay })
    }

    async fn open_many(&self, request: proto::OpenAccountsRequest) -> Result<proto::OpenAccountsResponse, Problem> {
        check_count(request.accounts.len())?;
        let parse = |(item, message)| opening(message).map_err(|problem: Problem| problem.in_item(item));
        let commands = request.accounts.iter().enumerate().map(parse).collect::<Result<Vec<Command>, Problem>>()?;
        let request = LedgerRequest { linked: false, commands };
        let answers = self.desk.submit(request).await.map_err(|error| identity::not_done(&error))?;
        let tell = |answer: &Answer| proto::OpenAccountOutcome {
            code: answer.outcome.rejection().map_or("", |rejection| rejection::code(rejection).text()).to_owned(),
            replay: answer.replay,
        };
        Ok(proto::OpenAccountsResponse { outcomes: answers.iter().map(tell).collect() })
    }

    async fn account(&self, request: proto::GetAccountRequest) -> Result<proto::Account, Problem> {
        let id = grpc::account_id("id", request.id.as_ref())?;
        let found =
            self.desk.read(move |view| view.ledger().account(id).map(|account| account_message(&account))).await?;
        found.ok_or_else(|| unknown_account(id))
    }

    async fn accounts(&self, request: proto::ListAccountsRequest) -> Result<proto::ListAccountsResponse, Problem> {
        let limit = grpc::limit(request.limit)?;
        let listing =
            Listing::in_order_of_opening(Some(request.cursor.as_str()).filter(|text| !text.is_empty()), limit)?;
        let look = move |view: &dyn super::port::View| {
            let page = listing::page(view.ledger(), &listing);
            proto::ListAccountsResponse {
                accounts: page.accounts.iter().map(account_message).collect(),
                next_cursor: page.next_cursor.unwrap_or_default(),
            }
        };
        self.desk.read(look).await
    }

    async fn lines(&self, request: proto::StatementRequest) -> Result<proto::StatementResponse, Problem> {
        let account = grpc::account_id("account", request.account.as_ref())?;
        let limit = grpc::limit(request.limit)?;
        let from = match request.cursor.as_str() {
            "" => None,
            text => Some(statement::parse_cursor(Listed::All, account, text)?),
        };
        let found = self.desk.read(move |view| statement::lines(view, account, from, limit)).await??;
        let lines = found.ok_or_else(|| unknown_account(account))?;
        Ok(proto::StatementResponse {
            entries: lines.lines.iter().map(entry_message).collect(),
            next_cursor: lines.next.map(|place| statement::cursor(Listed::All, account, place)).unwrap_or_default(),
        })
    }

    async fn group_members(&self) -> Result<proto::Group, Problem> {
        let found = group::read(&self.desk).await?;
        Ok(grpc::group(&group::state(&self.desk, &found, false)))
    }

    async fn change_group(&self, request: proto::ChangeMembersRequest) -> Result<proto::Group, Problem> {
        let change = grpc::member_change(request.change)?;
        let (changed, already) = group::change_members(&self.desk, request.expected_version, change).await?;
        Ok(grpc::group(&group::state(&self.desk, &changed, already)))
    }

    async fn change_mode(&self, request: proto::SetModeRequest) -> Result<proto::Group, Problem> {
        let mode = grpc::mode(request.mode)?;
        let (changed, already) = group::set_mode(&self.desk, mode, request.expected_version).await?;
        Ok(grpc::group(&group::state(&self.desk, &changed, already)))
    }

    fn node_status(&self) -> proto::StatusResponse {
        let status = self.desk.bank.status();
        proto::StatusResponse {
            role: status.role.text().to_owned(),
            group: status.group,
            node: u32::from(status.node),
            leader: status.leader.map_or(0, u32::from),
            ballot_round: status.ballot.round,
            ballot_node: u32::from(status.ballot.node),
            accepted: status.slots.accepted,
            chosen: status.slots.chosen,
            applied: status.slots.applied,
            checkpoint: status.checkpoint,
            quorum: status.quorum,
            mode: grpc::mode_number(status.mode),
            proposer: status.proposer.map_or(0, u32::from),
            group_version: status.group_version,
            transfer_done: status.transfer.map_or(0, |transfer| transfer.done),
            transfer_total: status.transfer.map_or(0, |transfer| transfer.total),
            rot_repaired: status.rot_repaired,
            rot_unmended: status.rot_unmended,
            incarnation: status.incarnation,
            restoring: status.restoring,
            complete_through: status.complete_through,
            cluster: uuid::Uuid::parse_str(&status.cluster).ok().map(|id| grpc::uuid(id.as_u128())),
        }
    }

    async fn submit_one(&self, command: Command, id: TransferId) -> Result<Answer, Problem> {
        let told = |error: SubmitError| identity::not_done(&error).with("transfer_id", id.to_string());
        let answers = self.desk.submit(LedgerRequest::single(command)).await.map_err(told)?;
        answers.into_iter().next().ok_or_else(no_answer)
    }
}

fn opening(message: &proto::OpenAccountRequest) -> Result<Command, Problem> {
    Ok(Command::OpenAccount {
        id: grpc::account_id("id", message.id.as_ref())?,
        owner: grpc::owner(&message.owner)?,
        currency: grpc::currency(message.currency)?,
    })
}

fn no_answer() -> Problem {
    Problem::new(Code::Internal, "the node gave no answer to a command; send it again with the same id")
}

fn missing(field: &'static str) -> Problem {
    Problem::new(Code::MissingField, format!("{field} is missing")).with("field", field)
}

fn account_message(account: &AccountView<'_>) -> proto::Account {
    proto::Account {
        id: Some(grpc::uuid(account.id.get())),
        currency: u32::from(account.currency.number()),
        owner: account.owner.to_owned(),
        balances: Some(grpc::balances(&account.balances)),
        internal: account.internal.is_some(),
        closed: account.closed_ms.is_some(),
        opened_ms: account.opened_ms,
    }
}

fn entry_message(line: &StatementLine) -> proto::StatementEntry {
    proto::StatementEntry {
        transfer: Some(grpc::uuid(line.movement.id.get())),
        counterparty: Some(grpc::uuid(line.counterparty.get())),
        change: Some(grpc::int128(statement::change(line))),
        balance: Some(grpc::int128(line.after.balance())),
        time_ms: line.time_ms,
        reference: line.movement.reference.as_str().to_owned(),
    }
}
