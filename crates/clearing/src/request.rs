//! The bytes of a request: what a caller sends at once and a batch of the log carries. Its commands are independent.

use crate::bytes::{Bad, In, Out};
use crate::command::Command;

const VERSION: u8 = 1;

/// What one caller sends at once: 1 to [`Request::COMMANDS_MAX`] commands, each with an answer of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub commands: Vec<Command>,
}

/// Why bytes are not a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    #[error("the request has format version {version}; this program reads {VERSION}")]
    Version { version: u8 },
    #[error("the request has {count} commands; 1 to {} are taken", Request::COMMANDS_MAX)]
    Count { count: u32 },
    #[error("the request has a {bad} in or after command {index}")]
    Field { index: u32, bad: Bad },
}

impl Request {
    /// 4,096 payments of about 200 bytes stay well below what one batch may hold.
    pub const COMMANDS_MAX: u32 = 4_096;

    pub fn single(command: Command) -> Request {
        Request { commands: vec![command] }
    }

    /// The bytes of a request. One of more commands than allowed is written too, and refused when it is read.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.u8(VERSION);
        out.u32(u32::try_from(self.commands.len()).unwrap_or(u32::MAX));
        for command in &self.commands {
            out.value(command);
        }
        out.bytes
    }

    /// Reads a request, whole.
    ///
    /// # Errors
    /// When the bytes are none; nothing about them can be trusted then.
    pub fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let mut from = In::new(bytes);
        let at = |index: u32| move |bad: Bad| Malformed::Field { index, bad };
        let version = from.u8("version").map_err(at(0))?;
        if version != VERSION {
            return Err(Malformed::Version { version });
        }
        let count = from.u32("count").map_err(at(0))?;
        if !(1..=Request::COMMANDS_MAX).contains(&count) {
            return Err(Malformed::Count { count });
        }
        let commands = (0..count).map(|index| from.value().map_err(at(index))).collect::<Result<_, _>>()?;
        from.end().map_err(at(count))?;
        Ok(Request { commands })
    }
}
