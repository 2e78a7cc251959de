//! Why a call to the gateway has no answer.

use clearing::PaymentId;

use crate::code::Code;
use crate::network::NetworkId;

/// Why a call has no answer. Only [`GatewayError::OutcomeUnknown`] leaves open what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The sign-in does not hold, or not any more; nothing happened.
    #[error("{0}")]
    NotSignedIn(NotSignedIn),
    /// No connection was made to any node, so nothing can have arrived.
    #[error("the gateway cannot be reached: {last}")]
    Unreachable { last: String },
    /// Nodes were reached, and none could take it until the deadline; nothing happened.
    #[error("the gateway cannot take the request now: {last}; try again later")]
    Overloaded { last: String },
    /// The deadline passed and a node may have taken it. Repeat the same payment with its id, or ask for it to be void,
    /// to learn its one outcome; never use a new id for it.
    #[error("the outcome is not known ({last}); repeat the payment with its id, or cancel it, to learn it")]
    OutcomeUnknown { payments: Vec<PaymentId>, last: String },
    /// The gateway refuses the request as it is; nothing happened.
    #[error("{detail}")]
    Refused { code: Code, detail: String },
    /// The gateway there is of another network than the one that is meant. Neither token nor payment was sent.
    #[error("the gateway at {node} is of another network ({found}) than this one ({meant})")]
    OtherNetwork { node: String, meant: NetworkId, found: NetworkId },
    /// An address that cannot be used.
    #[error("{address:?} is no address of a node: {reason}")]
    BadAddress { address: String, reason: String },
    /// A node answered what no node of this version would.
    #[error("the gateway answered with {what}; this client may be older than the gateway")]
    Nonsense { what: &'static str },
}

/// Why there is nobody in whose name to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSignedIn {
    #[error("bank, name or password is wrong")]
    WrongCredentials,
    #[error("nobody is signed in; sign in first")]
    Missing,
    #[error("the sign-in is over its time; sign in again")]
    Expired,
    #[error("the gateway does not know the token; sign in again")]
    Invalid,
    #[error("the sign-in was ended; sign in again")]
    Revoked,
}

impl NotSignedIn {
    /// What a code says about the sign-in, if it does.
    pub fn from_code(code: Code) -> Option<NotSignedIn> {
        match code {
            Code::WrongCredentials => Some(NotSignedIn::WrongCredentials),
            Code::TokenMissing => Some(NotSignedIn::Missing),
            Code::TokenExpired => Some(NotSignedIn::Expired),
            Code::TokenInvalid => Some(NotSignedIn::Invalid),
            Code::TokenRevoked => Some(NotSignedIn::Revoked),
            _ => None,
        }
    }

    pub fn code(self) -> Code {
        match self {
            NotSignedIn::WrongCredentials => Code::WrongCredentials,
            NotSignedIn::Missing => Code::TokenMissing,
            NotSignedIn::Expired => Code::TokenExpired,
            NotSignedIn::Invalid => Code::TokenInvalid,
            NotSignedIn::Revoked => Code::TokenRevoked,
        }
    }
}

impl GatewayError {
    /// The stable code, where there is one.
    pub fn code(&self) -> Option<Code> {
        match self {
            GatewayError::NotSignedIn(why) => Some(why.code()),
            GatewayError::Unreachable { .. } => Some(Code::Unavailable),
            GatewayError::Overloaded { .. } => Some(Code::Overloaded),
            GatewayError::OutcomeUnknown { .. } => Some(Code::OutcomeUnknown),
            GatewayError::Refused { code, .. } => Some(*code),
            GatewayError::OtherNetwork { .. } => Some(Code::OtherCluster),
            GatewayError::BadAddress { .. } | GatewayError::Nonsense { .. } => None,
        }
    }
}
