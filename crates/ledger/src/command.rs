//! What the ledger can be told to do.
//!
//! Every command carries an id or the version that it expects, so that sending it twice is always safe.

use crate::currency::Currency;
use crate::customer_name::CustomerName;
use crate::fence::Fence;
use crate::ids::{AccountId, Placer, TransferId};
use crate::money::Amount;
use crate::movement::Movement;
use crate::secret::Secret;
use crate::settings::SettingChange;
use crate::text::{Counterparty, Owner, Reference};
use std::num::NonZeroU64;

/// One order to the ledger. Its kind is a number on the wire; see [`crate::request`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Makes an account of whoever owns it, but none of a customer: those sign in, see `AddCustomer`. Repeated with the same
    /// content it answers as at first.
    OpenAccount { id: AccountId, owner: Owner, currency: Currency },
    /// Ends an account that holds no money and has no holds. `id` names the closing.
    CloseAccount { id: TransferId, account: AccountId },
    /// Moves money at once. The placer, if somebody else than this bank's own operators orders it, is kept with it.
    Transfer {
        id: TransferId,
        placer: Option<Placer>,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        currency: Currency,
        reference: Reference,
    },
    /// Sets money aside under an id, for its placer to post or to void.
    PlaceHold {
        id: TransferId,
        placer: Placer,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        currency: Currency,
        reference: Reference,
    },
    /// Turns a hold into a transfer.
    PostHold { id: TransferId, placer: Placer },
    /// Lets go of a hold. For an id never seen: leaves a tombstone, so that a late `PlaceHold` is refused.
    VoidHold { id: TransferId, placer: Placer },
    /// Settles what became of an id: its first outcome if it has one, otherwise a tombstone and none ever after.
    VoidTransfer { id: TransferId },
    /// Ends what was ordered under an id, and names all of it: posts or voids the hold of that content, or, for nobody, voids
    /// the transfer of that content. Where the id stands for something else it is refused and changes nothing. For an id never
    /// seen a void leaves a tombstone.
    EndOrder {
        end: OrderEnd,
        id: TransferId,
        placer: Option<Placer>,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        currency: Currency,
        reference: Reference,
    },
    /// Keeps what an idempotency key stands for. The first to come with a key settles it: the digest of the whole request, and
    /// the base that the request's ids are made of. Who comes with the same digest hears of that base; with another one the key
    /// is refused. `key` is a digest of the caller and of the key's text, so that nobody takes another caller's key.
    ClaimKey { key: u128, digest: u128, base: u128 },
    /// Changes a setting if the version is still the expected one.
    ChangeSetting { expected_version: u64, change: SettingChange },
    /// Makes a customer and opens their account, whose id and owner follow from the name. Repeated with the same name and
    /// currency it answers as at first, whatever the secret: a retry hashes the password anew, with another salt.
    AddCustomer { name: CustomerName, currency: Currency, secret: Secret },
    /// Replaces a customer's secret. `id` names the change; repeated with the same secret it answers as at first. A retry that
    /// hashes the password anew takes the salt that it took at first. A change that was refused is answered so for that
    /// customer, whatever the secret, for a refused secret is kept nowhere.
    SetSecret { id: TransferId, name: CustomerName, secret: Secret },
    /// Says whether a customer's account may be debited by new transfers and holds. `id` names the change.
    LockCustomer { id: TransferId, name: CustomerName, locked: bool },
    /// Says whom a hold is for or from, in its placer's words: kept with it for whoever asks the placer about it later.
    NoteHold { id: TransferId, placer: Placer, counterparty: Counterparty },
    /// Says which incarnation of a placer speaks. As the first command of a request it is a fencing token: when a newer
    /// incarnation was heard, neither it nor what follows is carried out, and nothing of it is recorded. Kept is the newest
    /// of each: see [`crate::fence::Fence`].
    Fence { placer: Placer, fence: Fence },
    /// Books a movement that was decided before these books were restored from a backup: a hold that is there is posted;
    /// what is not there is booked at once, as a hold placed and posted for a placer, as a transfer for nobody. Nothing
    /// that is known today refuses it: what an account cannot bear goes to `suspense`. With the payment's number it is
    /// booked only if the books lost it ([`crate::fence::Lost`]); without one the placer says that they did.
    Replay {
        id: TransferId,
        placer: Option<Placer>,
        number: Option<NonZeroU64>,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        currency: Currency,
        reference: Reference,
    },
}

/// How an order is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderEnd {
    Post,
    Void,
}

/// What one caller sends at once. The items are independent unless `linked`: then all or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub linked: bool,
    /// 1 ..= [`Request::COMMANDS_MAX`].
    pub commands: Vec<Command>,
}

impl Request {
    /// 8,190 commands at the size of a transfer, about 0.8 MB, stay well below what one batch may hold.
    pub const COMMANDS_MAX: usize = 8_190;

    /// A request of one command.
    pub fn single(command: Command) -> Request {
        Request { linked: false, commands: vec![command] }
    }
}

impl Command {
    /// What a transfer, the placing of a hold or a replay would move, or the order to be ended.
    pub fn movement(&self) -> Option<Movement> {
        match *self {
            Command::Transfer { id, placer: _, debit, credit, amount, currency, reference }
            | Command::PlaceHold { id, placer: _, debit, credit, amount, currency, reference }
            | Command::Replay { id, placer: _, number: _, debit, credit, amount, currency, reference }
            | Command::EndOrder { end: _, id, placer: _, debit, credit, amount, currency, reference } => {
                Some(Movement { id, debit, credit, amount, currency, reference })
            }
            Command::OpenAccount { .. }
            | Command::CloseAccount { .. }
            | Command::PostHold { .. }
            | Command::VoidHold { .. }
            | Command::VoidTransfer { .. }
            | Command::ClaimKey { .. }
            | Command::ChangeSetting { .. }
            | Command::AddCustomer { .. }
            | Command::SetSecret { .. }
            | Command::LockCustomer { .. }
            | Command::NoteHold { .. }
            | Command::Fence { .. } => None,
        }
    }
}

/// A batch holds thousands, and what carries them out waits for memory more than for anything else.
const _: () = assert!(size_of::<Command>() <= 128);
