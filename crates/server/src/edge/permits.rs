//! Who may call what, over gRPC and over HTTP: the one table, of bank and gateway, and what a caller is found to be.
//!
//! ```text
//! anyone     whoever gets a connection: signs in, or looks whether the node is well
//! customer   has a token of this network, and sees and spends only what is theirs
//! gateway    a node of the gateway, by its certificate: only it holds, posts and voids, and sees a bank's customers by name
//! bank       a node of a bank, by its certificate
//! operator   who runs the network: by certificate, or by the operator's token
//! ```
//!
//! Over TLS the certificate says who calls; the operator's token makes an operator of whoever has it. Without TLS there is
//! nobody to tell apart: whoever has the token is an operator; where none is asked for, whoever is on this machine may call
//! all that needs no customer, and only loopback is open then.

use super::answer::Refusal;
use super::guard::{self, Guard};
use api::code::Code;
use api::problem::Problem;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use certs::Subject;
use std::fmt;

/// Whom a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permit {
    Anyone,
    Customer,
    Gateway,
    Bank,
    Operator,
}

impl Permit {
    fn text(self) -> &'static str {
        match self {
            Permit::Anyone => "anyone",
            Permit::Customer => "customers",
            Permit::Gateway => "the gateway",
            Permit::Bank => "banks",
            Permit::Operator => "operators",
        }
    }
}

use Permit::{Anyone, Bank, Customer, Gateway, Operator};

/// Every call over gRPC, and who may make it.
pub const GRPC: &[(&str, &[Permit])] = &[
    ("/rialto.v1.Gateway/Network", &[Anyone]),
    ("/rialto.v1.Gateway/Login", &[Anyone]),
    ("/rialto.v1.Gateway/Logout", &[Customer]),
    ("/rialto.v1.Gateway/Sessions", &[Customer]),
    ("/rialto.v1.Gateway/ViewBalance", &[Customer]),
    ("/rialto.v1.Gateway/TransferMoney", &[Customer]),
    ("/rialto.v1.Gateway/TransactionHistory", &[Customer]),
    ("/rialto.v1.Gateway/GetPayment", &[Customer]),
    ("/rialto.v1.Gateway/CancelPayment", &[Customer]),
    ("/rialto.v1.Gateway/RegisterBank", &[Bank]),
    ("/rialto.v1.Gateway/ResolvePayment", &[Bank]),
    ("/rialto.v1.Gateway/Banks", &[Operator]),
    ("/rialto.v1.Gateway/Payments", &[Operator]),
    ("/rialto.v1.Gateway/ShowPayment", &[Operator]),
    ("/rialto.v1.Gateway/AuditPayments", &[Operator]),
    ("/rialto.v1.Gateway/VoidPayment", &[Operator]),
    ("/rialto.v1.Gateway/Positions", &[Operator]),
    ("/rialto.v1.Gateway/Settle", &[Operator]),
    ("/rialto.v1.Gateway/Settings", &[Operator]),
    ("/rialto.v1.Gateway/ChangeSetting", &[Operator]),
    ("/rialto.v1.Gateway/AcknowledgePayment", &[Operator]),
    ("/rialto.v1.Gateway/Keys", &[Operator]),
    ("/rialto.v1.Gateway/RetireKey", &[Operator]),
    ("/rialto.v1.Bank/Transfer", &[Operator]),
    ("/rialto.v1.Bank/TransferBatch", &[Operator]),
    ("/rialto.v1.Bank/VoidTransfer", &[Operator]),
    ("/rialto.v1.Bank/GetTransfer", &[Operator]),
    ("/rialto.v1.Bank/OpenAccount", &[Operator]),
    ("/rialto.v1.Bank/OpenAccounts", &[Operator]),
    ("/rialto.v1.Bank/GetAccount", &[Operator]),
    ("/rialto.v1.Bank/ListAccounts", &[Operator]),
    ("/rialto.v1.Bank/Statement", &[Operator]),
    ("/rialto.v1.Bank/Members", &[Operator]),
    ("/rialto.v1.Bank/ChangeMembers", &[Operator]),
    ("/rialto.v1.Bank/SetMode", &[Operator]),
    ("/rialto.v1.Bank/Status", &[Operator, Gateway]),
    ("/rialto.v1.Bank/Authenticate", &[Gateway]),
    ("/rialto.v1.Bank/ViewBalance", &[Gateway]),
    ("/rialto.v1.Bank/TransactionHistory", &[Gateway]),
    ("/rialto.v1.Bank/PaymentCalls", &[Gateway]),
    ("/rialto.v1.Bank/CaughtUp", &[Gateway]),
    ("/rialto.v1.Bank/GatewayHolds", &[Gateway]),
    ("/rialto.v1.Bank/TransferPayment", &[Gateway]),
    ("/rialto.v1.Bank/PrepareDebit", &[Gateway]),
    ("/rialto.v1.Bank/PrepareCredit", &[Gateway]),
    ("/rialto.v1.Bank/CommitDebit", &[Gateway]),
    ("/rialto.v1.Bank/CommitCredit", &[Gateway]),
    ("/rialto.v1.Bank/AbortDebit", &[Gateway]),
    ("/rialto.v1.Bank/AbortCredit", &[Gateway]),
    ("/rialto.v1.Bank/HoldStatus", &[Gateway]),
    ("/grpc.health.v1.Health/Check", &[Anyone]),
    ("/grpc.health.v1.Health/Watch", &[Anyone]),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[Anyone]),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[Anyone]),
];

/// A path over HTTP, its methods, and who may call it.
pub type Route = (&'static str, &'static [&'static str], Permit);
/// All paths of a node, in parts.
pub type Routes = &'static [&'static [Route]];

/// Every path of a bank's node over HTTP. Its page is besides: the page's own files are everybody's, what they show is the
/// operator's ([`Guard::admit_to`]).
pub const BANK_HTTP: Routes = &[
    &[
        ("/open_account", &["post"], Operator),
        ("/deposit_money", &["post"], Operator),
        ("/withdraw_money", &["post"], Operator),
        ("/move_money", &["post"], Operator),
        ("/check_account", &["get"], Operator),
        ("/v1/accounts", &["get", "post"], Operator),
        ("/v1/accounts/{id}", &["get"], Operator),
        ("/v1/accounts/{id}/statement", &["get"], Operator),
        ("/v1/transfers", &["post"], Operator),
        ("/v1/transfers/batch", &["post"], Operator),
        ("/v1/transfers/{id}", &["get"], Operator),
        ("/v1/transfers/{id}/void", &["post"], Operator),
        ("/v1/customers", &["post"], Operator),
        ("/v1/customers/{name}/password", &["post"], Operator),
        ("/v1/customers/{name}/lock", &["post"], Operator),
        ("/v1/limits", &["get", "post"], Operator),
        ("/v1/audit/transfers", &["get", "post"], Operator),
    ],
    OF_NODES,
];

/// Every path of a gateway's node over HTTP.
pub const GATEWAY_HTTP: Routes = &[
    &[
        ("/v1/login", &["post"], Anyone),
        ("/v1/logout", &["post"], Customer),
        ("/v1/balance", &["get"], Customer),
        ("/v1/history", &["get"], Customer),
        ("/v1/payments", &["post"], Customer),
        ("/v1/payments/batch", &["post"], Customer),
        ("/v1/payments/{id}", &["get"], Customer),
        ("/v1/payments/{id}/cancel", &["post"], Customer),
        ("/.well-known/jwks.json", &["get"], Anyone),
    ],
    OF_NODES,
];

/// What every node answers about itself.
const OF_NODES: &[Route] = &[
    ("/shutdown", &["post"], Operator),
    ("/v1/members", &["get", "post"], Operator),
    ("/v1/mode", &["get", "post"], Operator),
    ("/v1/election", &["post"], Operator),
    ("/v1/status", &["get"], Operator),
    ("/v1/audit", &["get"], Operator),
    ("/metrics", &["get"], Operator),
    ("/openapi.json", &["get"], Anyone),
    ("/errors/{code}", &["get"], Anyone),
    ("/livez", &["get"], Anyone),
    ("/readyz", &["get"], Anyone),
];

/// Who may make a call over gRPC.
///
/// # Errors
/// When there is no such call.
pub fn permits(path: &str) -> Result<&'static [Permit], Problem> {
    let row = GRPC.iter().find(|(known, _)| *known == path);
    row.map(|(_, permits)| *permits).ok_or_else(|| {
        Problem::new(Code::NoSuchPath, format!("there is no call {path}; reflection tells which there are"))
    })
}

/// What a caller is, customers aside: those are known by their tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// By certificate.
    Known(Subject),
    /// By the operator's token.
    TokenBearer,
    /// In plain text on this machine, where nothing is asked for.
    Local,
}

impl Role {
    /// What the caller of a request is. Over TLS the request carries the subject of the caller's certificate.
    ///
    /// # Errors
    /// When a token is asked for, and there is none or another.
    pub fn of(guard: &Guard, subject: Option<&Subject>, headers: &HeaderMap) -> Result<Role, Problem> {
        match subject {
            Some(_) if guard.has_token() && guard.admit_grpc(headers).is_ok() => Ok(Role::TokenBearer),
            Some(subject) => Ok(Role::Known(subject.clone())),
            None => guard.admit_grpc(headers).map(|()| if guard.has_token() { Role::TokenBearer } else { Role::Local }),
        }
    }

    /// Whether a call for that permit is this caller's to make.
    pub fn has(&self, permit: Permit) -> bool {
        match (permit, self) {
            (Anyone, _) | (Operator | Gateway | Bank, Role::Local) => true,
            (Operator, Role::TokenBearer | Role::Known(Subject::Operator { .. })) => true,
            (Gateway, Role::Known(Subject::Gateway { .. })) | (Bank, Role::Known(Subject::Bank { .. })) => true,
            (Operator | Gateway | Bank, Role::TokenBearer | Role::Known(_)) | (Customer, _) => false,
        }
    }

    /// The bank that calls must be the one that it speaks of.
    ///
    /// # Errors
    /// When it is another one.
    pub fn speaks_for(&self, bank: &str) -> Result<(), Problem> {
        match self {
            Role::Known(Subject::Bank { group, .. }) if group.as_str() == bank => Ok(()),
            Role::Local => Ok(()),
            Role::Known(_) | Role::TokenBearer => {
                Err(Problem::new(Code::NotPermitted, format!("{self} does not speak for bank {bank}")))
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Known(subject) => write!(f, "{subject}"),
            Role::TokenBearer => f.write_str("the operator"),
            Role::Local => f.write_str("somebody on this machine"),
        }
    }
}

/// Holds a caller against the table's row.
///
/// # Errors
/// When the call is not theirs to make.
pub fn check(path: &str, row: &[Permit], role: &Role) -> Result<(), Problem> {
    if row.iter().any(|permit| role.has(*permit)) {
        return Ok(());
    }
    let whom: Vec<&str> = row.iter().map(|permit| permit.text()).collect();
    let call = path.rsplit('/').next().unwrap_or(path);
    Err(Problem::new(Code::NotPermitted, format!("{call} is for {}, and the caller is {role}", whom.join(" and "))))
}

/// The layer around a bank's services: a call reaches its handler if it is the caller's to make.
pub async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match admitted(&guard, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.to_status().into_http(),
    };
    guard.sign(&mut response);
    response
}

fn admitted(guard: &Guard, request: &Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let row = permits(path)?;
    guard.admit_cluster(request.headers())?;
    if row.contains(&Anyone) {
        return Ok(());
    }
    check(path, row, &Role::of(guard, request.extensions().get(), request.headers())?)
}

/// The layer around everything over HTTP: a request reaches its handler if it is the caller's to make. Whose token a
/// customer's request carries is the handler's to find out.
pub async fn admit_http(State((guard, routes)): State<(Guard, Routes)>, request: Request, next: Next) -> Response {
    let permit = request.extensions().get::<MatchedPath>().map(|path| {
        let row = routes.iter().copied().flatten().find(|(known, ..)| *known == path.as_str());
        // What has no row is the page's, and so the operator's.
        row.map_or(Operator, |(.., permit)| *permit)
    });
    let admitted = match permit {
        // Whoever watches the process, checks a token or looks an error up need not know the operator's token.
        Some(Anyone) if request.method() == Method::GET => Ok(()),
        // Nothing is at a path that matches none: that may be told.
        Some(Anyone | Customer) | None => guard.admit_stranger(request.headers()),
        Some(Operator | Gateway | Bank) => guard.admit_to(&request),
    };
    let admitted = guard::admit_host(&request).and(admitted);
    let mut response = match admitted.and_then(|()| guard.admit_cluster(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => Refusal::from(problem).into_response(),
    };
    guard.sign(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::{FileDescriptorSet, MethodDescriptorProto};
    use std::collections::BTreeSet;

    fn known(subject: &str) -> Role {
        Role::Known(subject.parse().expect("a subject"))
    }

    /// The table, walked as everybody there is.
    #[test]
    fn each_call_is_for_its_own_and_for_nobody_else() {
        let everybody = [
            (known("operator/anna"), Some(Operator)),
            (Role::TokenBearer, Some(Operator)),
            (known("gateway/main/1"), Some(Gateway)),
            (known("bank/alpha/2"), Some(Bank)),
            (known("client"), None),
        ];
        for (path, row) in GRPC {
            for (role, permit) in &everybody {
                let may = row.contains(&Anyone) || permit.is_some_and(|permit| row.contains(&permit));
                assert_eq!(check(path, row, role).is_ok(), may, "{path} as {role}");
            }
            // A customer's calls are nobody's by what they are: only a token opens them.
            assert_eq!(check(path, row, &Role::Local).is_ok(), !row.contains(&Customer), "{path} on this machine");
        }
    }

    #[test]
    fn every_call_of_the_services_has_its_row_and_there_are_no_others() {
        let described = FileDescriptorSet::decode(api::proto::DESCRIPTORS).expect("it was compiled");
        let services = described.file.iter().flat_map(|file| &file.service);
        let calls = services.flat_map(|service| {
            let path = |call: &MethodDescriptorProto| format!("/rialto.v1.{}/{}", service.name(), call.name());
            service.method.iter().map(path)
        });
        let there: BTreeSet<String> = calls.collect();
        let rows: Vec<&str> = GRPC.iter().map(|(path, _)| *path).filter(|path| path.starts_with("/rialto.")).collect();
        assert_eq!(rows.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>(), there);
        assert_eq!(rows.len(), there.len(), "a call has two rows");
        assert_eq!(permits("/rialto.v1.Bank/Nothing").map_err(|problem| problem.code), Err(Code::NoSuchPath));
    }

    #[test]
    fn the_certificate_says_who_calls_and_the_token_makes_an_operator() {
        let (open, guarded) = (Guard::default(), Guard::new(crate::edge::guard::OperatorToken::new("secret")));
        let subject: Subject = "client".parse().expect("a subject");
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", text.parse().expect("a value"));
            headers
        };
        let (none, right, wrong) = (HeaderMap::new(), with("Bearer secret"), with("Bearer secret2"));
        assert_eq!(Role::of(&open, None, &none), Ok(Role::Local));
        assert_eq!(Role::of(&open, Some(&subject), &right), Ok(known("client")), "there is no token to have");
        assert_eq!(Role::of(&guarded, Some(&subject), &wrong), Ok(known("client")));
        assert_eq!(Role::of(&guarded, Some(&subject), &right), Ok(Role::TokenBearer));
        assert_eq!(Role::of(&guarded, None, &right), Ok(Role::TokenBearer));
        assert_eq!(Role::of(&guarded, None, &none).map_err(|problem| problem.code), Err(Code::Unauthorized));
    }

    #[test]
    fn a_bank_speaks_for_itself_alone() {
        assert!(known("bank/alpha/2").speaks_for("alpha").is_ok());
        assert!(Role::Local.speaks_for("alpha").is_ok());
        for other in [known("bank/beta/2"), known("gateway/alpha/1"), known("operator/alpha"), Role::TokenBearer] {
            assert_eq!(other.speaks_for("alpha").map_err(|problem| problem.code), Err(Code::NotPermitted), "{other}");
        }
    }
}
