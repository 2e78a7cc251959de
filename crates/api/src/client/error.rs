//! Why a call has no answer.

use ledger::{AccountId, TransferId};

use crate::code::Code;

/// Why a call has no answer. Only [`ClientError::OutcomeUnknown`] leaves open what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The bank, or the client for it, refuses the request as it is; nothing happened.
    #[error("{detail}")]
    Refused {
        code: Code,
        detail: String,
        /// Where waiting helps.
        retry_after_ms: Option<u64>,
    },
    /// No node could take it until the deadline; nothing happened.
    #[error("no node of the bank could take the request: {last}; nothing was changed, try again later")]
    Unavailable { last: String },
    /// The deadline passed and a node may have taken it. Repeat the same transfer with its id, or void that id, to learn
    /// its one outcome; never use a new id for it.
    #[error("the outcome is not known ({last}); repeat the same request with its id, or void the id, to learn it")]
    OutcomeUnknown { work: Work, last: String },
    /// An address that cannot be used.
    #[error("{address:?} is no address of a node: {reason}")]
    BadAddress { address: String, reason: String },
    /// A node answered what no node of this version would.
    #[error("the bank answered with {what}")]
    Nonsense { what: &'static str },
}

/// The ids whose fate is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    Transfers(Vec<TransferId>),
    Account(AccountId),
}

impl ClientError {
    pub(super) fn refused(code: Code, detail: String) -> ClientError {
        ClientError::Refused { code, detail, retry_after_ms: None }
    }

    /// The same error as one caller of a batch sees it: about their own id.
    pub(super) fn about(&self, id: TransferId) -> ClientError {
        match self {
            ClientError::OutcomeUnknown { last, .. } => {
                ClientError::OutcomeUnknown { work: Work::Transfers(vec![id]), last: last.clone() }
            }
            ClientError::Refused { .. }
            | ClientError::Unavailable { .. }
            | ClientError::BadAddress { .. }
            | ClientError::Nonsense { .. } => self.clone(),
        }
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            ClientError::Refused { code, .. } => Some(*code),
            ClientError::OutcomeUnknown { .. } => Some(Code::OutcomeUnknown),
            ClientError::Unavailable { .. } => Some(Code::Unavailable),
            ClientError::BadAddress { .. } | ClientError::Nonsense { .. } => None,
        }
    }
}
