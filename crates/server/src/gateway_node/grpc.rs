//! The gateway's service of `rialto.v1`: messages in, handlers, messages out.

use super::desk::Desk;
use super::tokens::Caller;
use super::{audited, operators, payments, permits, settings, sign_in, tokens, way};
use crate::edge::bounds;
use crate::edge::deadline;
use crate::edge::grpc_answers;
use crate::edge::health::NodeHealth;
use crate::edge::origin::Origin;
use crate::edge::permits::Role;
use crate::edge::reflection;
use crate::edge::refusals;
use crate::edge::request_log;
use api::code::Code;
use api::problem::Problem;
use api::proto;
use api::proto::gateway_server::{Gateway, GatewayServer};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use std::time::Instant;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;

pub(super) fn router(desk: &Desk) -> Router {
    let health = HealthServer::new(NodeHealth::new(desk.gateway.clone()))
        .max_decoding_message_size(bounds::LOOK_MESSAGE_BYTES_MAX);
    let (reflection, reflection_alpha) = reflection::services("rialto.v1.Gateway");
    let gateway = GatewayServer::new(Service { desk: desk.clone() })
        .max_decoding_message_size(bounds::PAYMENTS_MESSAGE_BYTES_MAX);
    let routes =
        Routes::new(gateway).add_service(health).add_service(reflection).add_service(reflection_alpha).prepare();
    routes
        .into_axum_router()
        .layer(from_fn_with_state(desk.clone(), permits::admit))
        .layer(from_fn(deadline::keep))
        .layer(from_fn(grpc_answers::keep))
        .layer(from_fn(refusals::over_grpc))
        .layer(from_fn(request_log::log))
}

/// The gateway's calls.
#[derive(Debug)]
struct Service {
    desk: Desk,
}

impl Service {
    async fn counted<T: std::fmt::Debug>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Response<T>, Status> {
        let began = Instant::now();
        let done = work.await;
        let code = match &done {
            Err(problem) => problem.code.text(),
            Ok(_) => request_log::noted_outcome().unwrap_or("ok"),
        };
        self.desk.metrics.count_request("grpc", call, code, began.elapsed());
        request_log::response(call, done.as_ref().ok());
        done.map(Response::new).map_err(|problem| problem.to_status())
    }
}

/// Whom the layer has found to be calling.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let found = request.extensions().get::<Caller>().copied();
    found.ok_or_else(|| Problem::new(Code::TokenMissing, "sign in first").to_status())
}

/// What the layer has found the caller to be.
fn role<T>(request: &Request<T>) -> Result<Role, Status> {
    let found = request.extensions().get::<Role>().cloned();
    found.ok_or_else(|| Problem::new(Code::NotPermitted, "this call is for banks").to_status())
}

#[tonic::async_trait]
impl Gateway for Service {
    async fn network(
        &self,
        _request: Request<proto::NetworkRequest>,
    ) -> Result<Response<proto::NetworkResponse>, Status> {
        let id = Some(api::grpc::uuid(self.desk.network().get()));
        self.counted("Network", async { Ok(proto::NetworkResponse { id }) }).await
    }

    async fn login(&self, request: Request<proto::LoginRequest>) -> Result<Response<proto::LoginResponse>, Status> {
        request_log::request("Login", request.get_ref());
        let (origin, token) = (Origin::of(request.extensions()), permits::bearer_of(&request).map(str::to_owned));
        let stranger = sign_in::Stranger { origin, token: token.as_deref() };
        self.counted("Login", sign_in::login(&self.desk, stranger, request.into_inner())).await
    }

    async fn logout(&self, request: Request<proto::LogoutRequest>) -> Result<Response<proto::LogoutResponse>, Status> {
        request_log::request("Logout", request.get_ref());
        let caller = caller(&request)?;
        self.counted("Logout", sign_in::logout(&self.desk, &caller, request.into_inner())).await
    }

    async fn sessions(
        &self,
        request: Request<proto::SessionsRequest>,
    ) -> Result<Response<proto::SessionsResponse>, Status> {
        request_log::request("Sessions", request.get_ref());
        let caller = caller(&request)?;
        self.counted("Sessions", sign_in::sessions(&self.desk, &caller)).await
    }

    async fn view_balance(
        &self,
        request: Request<proto::ViewBalanceRequest>,
    ) -> Result<Response<proto::ViewBalanceResponse>, Status> {
        request_log::request("ViewBalance", request.get_ref());
        let (caller, origin) = (caller(&request)?, Origin::of(request.extensions()));
        self.counted("ViewBalance", payments::balance(&self.desk, &caller, &origin)).await
    }

    async fn transfer_money(
        &self,
        request: Request<proto::TransferMoneyRequest>,
    ) -> Result<Response<proto::TransferMoneyResponse>, Status> {
        request_log::request("TransferMoney", request.get_ref());
        let caller = caller(&request)?;
        self.counted("TransferMoney", payments::pay(&self.desk, &caller, request.into_inner())).await
    }

    async fn transaction_history(
        &self,
        request: Request<proto::TransactionHistoryRequest>,
    ) -> Result<Response<proto::TransactionHistoryResponse>, Status> {
        request_log::request("TransactionHistory", request.get_ref());
        let (caller, origin) = (caller(&request)?, Origin::of(request.extensions()));
        let read = payments::history(&self.desk, &caller, &origin, request.into_inner());
        self.counted("TransactionHistory", read).await
    }

    async fn get_payment(
        &self,
        request: Request<proto::GetPaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        request_log::request("GetPayment", request.get_ref());
        let caller = caller(&request)?;
        self.counted("GetPayment", payments::status(&self.desk, &caller, request.get_ref())).await
    }

    async fn cancel_payment(
        &self,
        request: Request<proto::CancelPaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        request_log::request("CancelPayment", request.get_ref());
        let caller = caller(&request)?;
        self.counted("CancelPayment", payments::cancel(&self.desk, &caller, request.into_inner())).await
    }

    async fn register_bank(
        &self,
        request: Request<proto::RegisterBankRequest>,
    ) -> Result<Response<proto::RegisterBankResponse>, Status> {
        request_log::request("RegisterBank", request.get_ref());
        let role = role(&request)?;
        self.counted("RegisterBank", operators::register(&self.desk, &role, request.get_ref())).await
    }

    async fn resolve_payment(
        &self,
        request: Request<proto::ResolvePaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        request_log::request("ResolvePayment", request.get_ref());
        let role = role(&request)?;
        self.counted("ResolvePayment", operators::resolve(&self.desk, &role, request.get_ref())).await
    }

    async fn banks(&self, _request: Request<proto::BanksRequest>) -> Result<Response<proto::BanksResponse>, Status> {
        self.counted("Banks", operators::banks(&self.desk)).await
    }

    async fn payments(
        &self,
        request: Request<proto::PaymentsRequest>,
    ) -> Result<Response<proto::PaymentsResponse>, Status> {
        request_log::request("Payments", request.get_ref());
        self.counted("Payments", operators::payments(&self.desk, request.get_ref())).await
    }

    async fn show_payment(
        &self,
        request: Request<proto::GetPaymentRequest>,
    ) -> Result<Response<proto::PaymentWay>, Status> {
        request_log::request("ShowPayment", request.get_ref());
        self.counted("ShowPayment", way::show(&self.desk, request.get_ref())).await
    }

    async fn audit_payments(
        &self,
        request: Request<proto::AuditPaymentsRequest>,
    ) -> Result<Response<proto::AuditPaymentsResponse>, Status> {
        request_log::request("AuditPayments", request.get_ref());
        self.counted("AuditPayments", audited::payments(&self.desk, request.get_ref())).await
    }

    async fn void_payment(
        &self,
        request: Request<proto::VoidPaymentRequest>,
    ) -> Result<Response<proto::PaymentStatus>, Status> {
        request_log::request("VoidPayment", request.get_ref());
        self.counted("VoidPayment", operators::void(&self.desk, request.get_ref())).await
    }

    async fn acknowledge_payment(
        &self,
        request: Request<proto::AcknowledgePaymentRequest>,
    ) -> Result<Response<proto::AcknowledgePaymentResponse>, Status> {
        request_log::request("AcknowledgePayment", request.get_ref());
        self.counted("AcknowledgePayment", operators::acknowledge(&self.desk, request.get_ref())).await
    }

    async fn positions(
        &self,
        _request: Request<proto::PositionsRequest>,
    ) -> Result<Response<proto::PositionsResponse>, Status> {
        self.counted("Positions", operators::positions(&self.desk)).await
    }

    async fn settle(&self, request: Request<proto::SettleRequest>) -> Result<Response<proto::PaymentStatus>, Status> {
        request_log::request("Settle", request.get_ref());
        self.counted("Settle", operators::settle(&self.desk, request.get_ref())).await
    }

    async fn settings(
        &self,
        _request: Request<proto::SettingsRequest>,
    ) -> Result<Response<proto::GatewaySettings>, Status> {
        self.counted("Settings", settings::show(&self.desk)).await
    }

    async fn change_setting(
        &self,
        request: Request<proto::ChangeSettingRequest>,
    ) -> Result<Response<proto::GatewaySettings>, Status> {
        request_log::request("ChangeSetting", request.get_ref());
        self.counted("ChangeSetting", settings::change(&self.desk, request.into_inner())).await
    }

    async fn keys(&self, _request: Request<proto::KeysRequest>) -> Result<Response<proto::KeysResponse>, Status> {
        self.counted("Keys", tokens::keys(&self.desk)).await
    }

    async fn retire_key(
        &self,
        request: Request<proto::RetireKeyRequest>,
    ) -> Result<Response<proto::RetireKeyResponse>, Status> {
        request_log::request("RetireKey", request.get_ref());
        self.counted("RetireKey", tokens::retire(&self.desk, request.get_ref())).await
    }
}
