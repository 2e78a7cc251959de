//! A request as bytes: what travels through the log, written by hand, versioned and bounded.
//!
//! ```text
//! request   version u8 = 1 · flags u8 (1 = linked) · count u32 · commands
//! command   kind u8 · fields in the order of `Command`, little endian
//!           id, account u128 · amount u96 · currency u16 (ISO number) · placer u64 · text, name: length u8, bytes
//!           secret 60 bytes · locked u8 (1 = locked) · epoch u32 · number u64 · end u8 (1 = post, 2 = void)
//!           key, digest, base u128 · placer of a replay, of an end and of a placed transfer: 0 for nobody
//! ```
//!
//! Decoding checks everything that can be checked without the books: what comes out is a command that makes sense by
//! itself. Bytes come from callers and peers; whatever they are, decoding answers with a command or a reason.

use crate::command::{Command, OrderEnd, Request};
use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::fence::{Fence, Lost};
use crate::ids::{AccountId, Placer, TransferId};
use crate::money::Amount;
use crate::movement::Movement;
use crate::secret::Secret;
use crate::settings::{CHANGE_BYTES, SettingChange};
use crate::text::{Line, LineError};
use std::num::NonZeroU64;

const VERSION: u8 = 1;
const LINKED: u8 = 1;
/// Bytes of the shortest command: its kind and an id.
const SHORTEST_COMMAND: usize = 17;

/// Why bytes are not a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    #[error("the request ends in the middle of a field, at byte {at}")]
    CutOff { at: usize },
    #[error("the request goes on after its last command, at byte {at}")]
    Trailing { at: usize },
    #[error("the request has format version {version}; this program reads {VERSION}")]
    Version { version: u8 },
    #[error("the request has unknown flags {flags:#04x}")]
    Flags { flags: u8 },
    #[error("the request has {count} commands; 1 to {} are taken", Request::COMMANDS_MAX)]
    Count { count: u32 },
    #[error("the command before byte {at} is of unknown kind {kind}")]
    Kind { kind: u8, at: usize },
    #[error("the id before byte {at} is nil")]
    NilId { at: usize },
    #[error("the amount before byte {at} is zero")]
    ZeroAmount { at: usize },
    #[error("the currency before byte {at} has ISO number {number}, which is not known")]
    UnknownCurrency { number: u16, at: usize },
    #[error("the placer before byte {at} is nobody")]
    NoPlacer { at: usize },
    #[error("the fence before byte {at} has the form of one that lost something, and lost nothing")]
    NothingLost { at: usize },
    #[error("the text before byte {at} is refused: {reason}")]
    Text { reason: LineError, at: usize },
    #[error("the setting before byte {at} is not known")]
    UnknownSetting { at: usize },
    #[error("the text before byte {at} is not a customer's name")]
    CustomerName { at: usize },
    #[error("the end before byte {at} is {value}, neither 1 nor 2, or posts for nobody")]
    OrderEnd { value: u8, at: usize },
    #[error("the lock before byte {at} is {value}, neither 0 nor 1")]
    Lock { value: u8, at: usize },
}

/// Numbers of the kinds of command. They are in logs: keep them stable.
mod kind {
    pub(super) const OPEN_ACCOUNT: u8 = 1;
    pub(super) const CLOSE_ACCOUNT: u8 = 2;
    pub(super) const TRANSFER: u8 = 3;
    pub(super) const PLACE_HOLD: u8 = 4;
    pub(super) const POST_HOLD: u8 = 5;
    pub(super) const VOID_HOLD: u8 = 6;
    pub(super) const VOID_TRANSFER: u8 = 7;
    pub(super) const CHANGE_SETTING: u8 = 8;
    pub(super) const ADD_CUSTOMER: u8 = 9;
    pub(super) const SET_SECRET: u8 = 10;
    pub(super) const LOCK_CUSTOMER: u8 = 11;
    pub(super) const NOTE_HOLD: u8 = 12;
    pub(super) const FENCE: u8 = 13;
    /// A replay of before payments were named by their number.
    pub(super) const REPLAY: u8 = 14;
    pub(super) const END_ORDER: u8 = 15;
    pub(super) const CLAIM_KEY: u8 = 16;
    pub(super) const REPLAY_NUMBERED: u8 = 17;
    pub(super) const FENCE_AND_LOST: u8 = 18;
    /// A transfer that somebody else than the bank's operators orders: the placer goes first.
    pub(super) const PLACED_TRANSFER: u8 = 19;
}

impl Request {
    /// The bytes of a request. A request of more commands than allowed is written too, and refused when it is read.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(6 + self.commands.len() * 100);
        out.push(VERSION);
        out.push(if self.linked { LINKED } else { 0 });
        out.extend_from_slice(&u32::try_from(self.commands.len()).unwrap_or(u32::MAX).to_le_bytes());
        for command in &self.commands {
            encode_command(command, &mut out);
        }
        out
    }

    /// Reads a request, whole.
    pub fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let mut reader = Reader { bytes, at: 0 };
        let (linked, count) = reader.head()?;
        // The count is believed only as far as there are bytes for it.
        let mut commands = Vec::with_capacity(count.min(bytes.len() / SHORTEST_COMMAND));
        for _ in 0..count {
            commands.push(reader.command()?);
        }
        match reader.at == bytes.len() {
            true => Ok(Request { linked, commands }),
            false => Err(Malformed::Trailing { at: reader.at }),
        }
    }
}

fn encode_command(command: &Command, out: &mut Vec<u8>) {
    match *command {
        Command::OpenAccount { id, owner, currency } => {
            out.push(kind::OPEN_ACCOUNT);
            out.extend_from_slice(&id.get().to_le_bytes());
            encode_line(&owner, out);
            out.extend_from_slice(&currency.number().to_le_bytes());
        }
        Command::CloseAccount { id, account } => {
            out.push(kind::CLOSE_ACCOUNT);
            out.extend_from_slice(&id.get().to_le_bytes());
            out.extend_from_slice(&account.get().to_le_bytes());
        }
        Command::Transfer { id, placer, debit, credit, amount, currency, reference } => {
            match placer {
                None => out.push(kind::TRANSFER),
                Some(placer) => {
                    out.push(kind::PLACED_TRANSFER);
                    out.extend_from_slice(&placer.get().to_le_bytes());
                }
            }
            encode_movement(&Movement { id, debit, credit, amount, currency, reference }, out);
        }
        Command::PlaceHold { id, placer, debit, credit, amount, currency, reference } => {
            out.push(kind::PLACE_HOLD);
            out.extend_from_slice(&placer.get().to_le_bytes());
            encode_movement(&Movement { id, debit, credit, amount, currency, reference }, out);
        }
        Command::PostHold { id, placer } => {
            out.push(kind::POST_HOLD);
            out.extend_from_slice(&id.get().to_le_bytes());
            out.extend_from_slice(&placer.get().to_le_bytes());
        }
        Command::VoidHold { id, placer } => {
            out.push(kind::VOID_HOLD);
            out.extend_from_slice(&id.get().to_le_bytes());
            out.extend_from_slice(&placer.get().to_le_bytes());
        }
        Command::VoidTransfer { id } => {
            out.push(kind::VOID_TRANSFER);
            out.extend_from_slice(&id.get().to_le_bytes());
        }
        Command::ChangeSetting { expected_version, change } => {
            out.push(kind::CHANGE_SETTING);
            out.extend_from_slice(&expected_version.to_le_bytes());
            out.extend_from_slice(&change.to_bytes());
        }
        Command::AddCustomer { name, currency, secret } => {
            out.push(kind::ADD_CUSTOMER);
            encode_line(name.line(), out);
            out.extend_from_slice(&currency.number().to_le_bytes());
            out.extend_from_slice(&secret.to_bytes());
        }
        Command::SetSecret { id, name, secret } => {
            out.push(kind::SET_SECRET);
            out.extend_from_slice(&id.get().to_le_bytes());
            encode_line(name.line(), out);
            out.extend_from_slice(&secret.to_bytes());
        }
        Command::LockCustomer { id, name, locked } => {
            out.push(kind::LOCK_CUSTOMER);
            out.extend_from_slice(&id.get().to_le_bytes());
            encode_line(name.line(), out);
            out.push(u8::from(locked));
        }
        Command::NoteHold { id, placer, counterparty } => {
            out.push(kind::NOTE_HOLD);
            out.extend_from_slice(&id.get().to_le_bytes());
            out.extend_from_slice(&placer.get().to_le_bytes());
            encode_line(&counterparty, out);
        }
        Command::Fence { placer, fence } => {
            let Fence { epoch, complete_through, caught_up, lost } = fence;
            out.push(if lost == Lost::default() { kind::FENCE } else { kind::FENCE_AND_LOST });
            out.extend_from_slice(&placer.get().to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(&complete_through.to_le_bytes());
            out.extend_from_slice(&caught_up.to_le_bytes());
            if lost != Lost::default() {
                out.extend_from_slice(&lost.after.to_le_bytes());
                out.extend_from_slice(&lost.through.to_le_bytes());
            }
        }
        Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference } => {
            out.push(kind::END_ORDER);
            out.push(end_number(end));
            out.extend_from_slice(&placer.map_or(0, Placer::get).to_le_bytes());
            encode_movement(&Movement { id, debit, credit, amount, currency, reference }, out);
        }
        Command::ClaimKey { key, digest, base } => {
            out.push(kind::CLAIM_KEY);
            for number in [key, digest, base] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        Command::Replay { id, placer, number, debit, credit, amount, currency, reference } => {
            out.push(kind::REPLAY_NUMBERED);
            out.extend_from_slice(&placer.map_or(0, Placer::get).to_le_bytes());
            out.extend_from_slice(&number.map_or(0, NonZeroU64::get).to_le_bytes());
            encode_movement(&Movement { id, debit, credit, amount, currency, reference }, out);
        }
    }
}

/// Stored: stable.
fn end_number(end: OrderEnd) -> u8 {
    match end {
        OrderEnd::Post => 1,
        OrderEnd::Void => 2,
    }
}

fn encode_movement(movement: &Movement, out: &mut Vec<u8>) {
    out.extend_from_slice(&movement.id.get().to_le_bytes());
    out.extend_from_slice(&movement.debit.get().to_le_bytes());
    out.extend_from_slice(&movement.credit.get().to_le_bytes());
    out.extend_from_slice(&movement.amount.to_bytes());
    out.extend_from_slice(&movement.currency.number().to_le_bytes());
    encode_line(&movement.reference, out);
}

fn encode_line<const MAX: usize>(line: &Line<MAX>, out: &mut Vec<u8>) {
    out.push(line.len_byte());
    out.extend_from_slice(line.as_bytes());
}

/// Takes fields off the front of the bytes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn head(&mut self) -> Result<(bool, usize), Malformed> {
        let [version] = self.array()?;
        if version != VERSION {
            return Err(Malformed::Version { version });
        }
        let [flags] = self.array()?;
        if flags & !LINKED != 0 {
            return Err(Malformed::Flags { flags });
        }
        let count = u32::from_le_bytes(self.array()?);
        match usize::try_from(count) {
            Ok(commands) if (1..=Request::COMMANDS_MAX).contains(&commands) => Ok((flags & LINKED != 0, commands)),
            Ok(_) | Err(_) => Err(Malformed::Count { count }),
        }
    }

    fn command(&mut self) -> Result<Command, Malformed> {
        let [number] = self.array()?;
        Ok(match number {
            kind::OPEN_ACCOUNT => {
                Command::OpenAccount { id: self.account()?, owner: self.line()?, currency: self.currency()? }
            }
            kind::CLOSE_ACCOUNT => Command::CloseAccount { id: self.id()?, account: self.account()? },
            kind::TRANSFER => self.transfer(None)?,
            kind::PLACED_TRANSFER => {
                let placer = self.placer()?;
                self.transfer(Some(placer))?
            }
            kind::PLACE_HOLD => {
                let placer = self.placer()?;
                let Movement { id, debit, credit, amount, currency, reference } = self.movement()?;
                Command::PlaceHold { id, placer, debit, credit, amount, currency, reference }
            }
            kind::POST_HOLD => Command::PostHold { id: self.id()?, placer: self.placer()? },
            kind::VOID_HOLD => Command::VoidHold { id: self.id()?, placer: self.placer()? },
            kind::VOID_TRANSFER => Command::VoidTransfer { id: self.id()? },
            kind::CHANGE_SETTING => Command::ChangeSetting {
                expected_version: u64::from_le_bytes(self.array()?),
                change: self.setting_change()?,
            },
            kind::ADD_CUSTOMER => {
                Command::AddCustomer { name: self.name()?, currency: self.currency()?, secret: self.secret()? }
            }
            kind::SET_SECRET => Command::SetSecret { id: self.id()?, name: self.name()?, secret: self.secret()? },
            kind::LOCK_CUSTOMER => Command::LockCustomer { id: self.id()?, name: self.name()?, locked: self.locked()? },
            kind::NOTE_HOLD => Command::NoteHold { id: self.id()?, placer: self.placer()?, counterparty: self.line()? },
            kind::FENCE => Command::Fence { placer: self.placer()?, fence: self.fence()? },
            kind::FENCE_AND_LOST => {
                let (placer, fence) = (self.placer()?, self.fence()?);
                let lost = Lost { after: self.number()?, through: self.number()? };
                // That is what the shorter form is for: one command has one form.
                if lost == Lost::default() {
                    return Err(Malformed::NothingLost { at: self.at });
                }
                Command::Fence { placer, fence: Fence { lost, ..fence } }
            }
            kind::END_ORDER => self.end_order()?,
            kind::CLAIM_KEY => Command::ClaimKey {
                key: u128::from_le_bytes(self.array()?),
                digest: u128::from_le_bytes(self.array()?),
                base: self.id()?.get(),
            },
            kind::REPLAY => self.replay(|_| Ok(None))?,
            kind::REPLAY_NUMBERED => self.replay(|reader| Ok(NonZeroU64::new(reader.number()?)))?,
            kind => return Err(Malformed::Kind { kind, at: self.at }),
        })
    }

    fn transfer(&mut self, placer: Option<Placer>) -> Result<Command, Malformed> {
        let Movement { id, debit, credit, amount, currency, reference } = self.movement()?;
        Ok(Command::Transfer { id, placer, debit, credit, amount, currency, reference })
    }

    fn end_order(&mut self) -> Result<Command, Malformed> {
        let [value] = self.array()?;
        let placer = Placer::new(self.number()?);
        let end = match value {
            1 if placer.is_some() => OrderEnd::Post,
            2 => OrderEnd::Void,
            value => return Err(Malformed::OrderEnd { value, at: self.at }),
        };
        let Movement { id, debit, credit, amount, currency, reference } = self.movement()?;
        Ok(Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference })
    }

    fn replay(
        &mut self,
        number: impl FnOnce(&mut Self) -> Result<Option<NonZeroU64>, Malformed>,
    ) -> Result<Command, Malformed> {
        let placer = Placer::new(self.number()?);
        let number = number(self)?;
        let Movement { id, debit, credit, amount, currency, reference } = self.movement()?;
        Ok(Command::Replay { id, placer, number, debit, credit, amount, currency, reference })
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn movement(&mut self) -> Result<Movement, Malformed> {
        Ok(Movement {
            id: self.id()?,
            debit: self.account()?,
            credit: self.account()?,
            amount: Amount::from_bytes(self.array()?).ok_or(Malformed::ZeroAmount { at: self.at })?,
            currency: self.currency()?,
            reference: self.line()?,
        })
    }

    fn id(&mut self) -> Result<TransferId, Malformed> {
        TransferId::new(u128::from_le_bytes(self.array()?)).ok_or(Malformed::NilId { at: self.at })
    }

    fn account(&mut self) -> Result<AccountId, Malformed> {
        AccountId::new(u128::from_le_bytes(self.array()?)).ok_or(Malformed::NilId { at: self.at })
    }

    fn placer(&mut self) -> Result<Placer, Malformed> {
        Placer::new(u64::from_le_bytes(self.array()?)).ok_or(Malformed::NoPlacer { at: self.at })
    }

    fn fence(&mut self) -> Result<Fence, Malformed> {
        Ok(Fence {
            epoch: u32::from_le_bytes(self.array()?),
            complete_through: u64::from_le_bytes(self.array()?),
            caught_up: u32::from_le_bytes(self.array()?),
            lost: Lost::default(),
        })
    }

    fn currency(&mut self) -> Result<Currency, Malformed> {
        let number = u16::from_le_bytes(self.array()?);
        Currency::from_number(number).ok_or(Malformed::UnknownCurrency { number, at: self.at })
    }

    fn line<const MAX: usize>(&mut self) -> Result<Line<MAX>, Malformed> {
        let [len] = self.array()?;
        let text = self.take(usize::from(len))?;
        Line::from_utf8(text).map_err(|reason| Malformed::Text { reason, at: self.at })
    }

    fn setting_change(&mut self) -> Result<SettingChange, Malformed> {
        let bytes: [u8; CHANGE_BYTES] = self.array()?;
        SettingChange::from_bytes(&bytes).ok_or(Malformed::UnknownSetting { at: self.at })
    }

    fn name(&mut self) -> Result<CustomerName, Malformed> {
        CustomerName::from_line(self.line()?).map_err(|_| Malformed::CustomerName { at: self.at })
    }

    fn secret(&mut self) -> Result<Secret, Malformed> {
        Ok(Secret::from_bytes(&self.array()?))
    }

    fn locked(&mut self) -> Result<bool, Malformed> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [value] => Err(Malformed::Lock { value, at: self.at }),
        }
    }

    #[expect(clippy::expect_used, reason = "as many bytes as were taken")]
    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Malformed> {
        Ok(self.take(LEN)?.try_into().expect("as many bytes as were taken"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let (taken, _) = rest.split_at_checked(len).ok_or(Malformed::CutOff { at: self.bytes.len() })?;
        self.at += len;
        Ok(taken)
    }
}
