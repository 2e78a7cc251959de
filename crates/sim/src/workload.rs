//! What clients ask for: everything that a bank does, in a small town, so that they meet. Few accounts, small amounts and
//! some that are too large, batches, linked ones, holds and their ends, voided ids, and ids used a second time, for the
//! same and for something else, by whoever, also while the first use is under way.

use crate::check::Ids;
use crate::plan::Workload;
use crate::random::Random;
use ledger::{
    AccountId, Amount, Command, Currency, OrderEnd, Owner, Placer, Reference, Request, SettingChange, TransferId,
};

/// More than anybody has.
const TOO_MUCH: u64 = 1_000_000_000;
/// Of the ids that were used, so many latest ones are used again, and of holds.
const MEMORY: usize = 400;

#[derive(Debug, Clone)]
pub enum Ask {
    Write {
        request: Request,
        ids: Ids,
    },
    /// A linearizable read of one balance.
    Read(AccountId),
}

#[derive(Debug)]
pub struct Town {
    workload: Workload,
    random: Random,
    accounts: Vec<(AccountId, Currency)>,
    /// Opened first, and never used.
    reserve: Option<AccountId>,
    holds: Vec<Command>,
    /// Commands with an id of their own that somebody has sent, or is going to.
    past: Vec<Command>,
    settings: u64,
}

impl Town {
    pub fn new(workload: Workload, random: Random) -> Town {
        Town { workload, random, accounts: Vec::new(), reserve: None, holds: Vec::new(), past: Vec::new(), settings: 0 }
    }

    pub fn next_ask(&mut self) -> Ask {
        let enough = self.accounts.len() as u64 >= self.workload.accounts;
        if self.accounts.len() < 2 || (!enough && self.random.chance(200)) {
            let open = self.open();
            return self.write(vec![open]);
        }
        if self.random.chance(self.workload.reads_per_mille) {
            return Ask::Read(self.account().0);
        }
        if !self.past.is_empty() && self.random.chance(self.workload.repeats_per_mille) {
            let again = self.again();
            return Ask::Write { request: Request::single(again), ids: Ids::Used };
        }
        if self.random.chance(self.workload.voids_per_mille) {
            return self.void();
        }
        let width = self.random.between(1, self.workload.width);
        let commands: Vec<Command> = (0..width).map(|_| self.command()).collect();
        self.write(commands)
    }

    /// A deposit, which succeeds whatever else is going on.
    pub fn deposit(&mut self) -> Ask {
        if self.accounts.is_empty() {
            let open = self.open();
            return self.write(vec![open]);
        }
        let (account, currency) = self.account();
        let deposit = self.transfer(AccountId::vault(currency), account, currency);
        self.write(vec![deposit])
    }

    fn write(&mut self, commands: Vec<Command>) -> Ask {
        let excess = self.past.len().saturating_sub(MEMORY);
        self.past.drain(..excess);
        self.past.extend(commands.iter().filter(|command| has_own_id(command)));
        let linked = commands.len() > 1 && self.random.chance(400);
        Ask::Write { request: Request { linked, commands }, ids: Ids::Fresh }
    }

    fn command(&mut self) -> Command {
        if self.random.chance(self.workload.holds_per_mille) {
            return self.hold_command();
        }
        match self.random.below(100) {
            0 => self.close(),
            1 => self.change_setting(),
            2..40 => {
                let (account, currency) = self.account();
                self.transfer(AccountId::vault(currency), account, currency)
            }
            40..55 => {
                let (account, currency) = self.account();
                self.transfer(account, AccountId::vault(currency), currency)
            }
            _ => {
                let ((debit, currency), (credit, _)) = (self.account(), self.account());
                self.transfer(debit, credit, currency)
            }
        }
    }

    fn hold_command(&mut self) -> Command {
        if self.holds.is_empty() || self.random.chance(450) {
            let ((debit, currency), (credit, _)) = (self.account(), self.account());
            let (id, placer) = (self.id(), self.placer());
            if self.holds.len() >= MEMORY {
                self.holds.clear();
            }
            let credit = if self.random.chance(300) { AccountId::interbank("beta", currency) } else { credit };
            let (amount, reference) = (self.amount(), Reference::EMPTY);
            let placed = Command::PlaceHold { id, placer, debit, credit, amount, currency, reference };
            self.holds.push(placed);
            return placed;
        }
        let placed = self.random.pick(&self.holds);
        let Command::PlaceHold { placer: own, .. } = placed else { return placed };
        let placer = if self.random.chance(50) { self.placer() } else { own };
        let end = if self.random.chance(600) { OrderEnd::Post } else { OrderEnd::Void };
        end_of(&placed, placer, end)
    }

    /// Something that was asked before, in the same words, or with other content under the same id.
    fn again(&mut self) -> Command {
        let past = self.random.pick(&self.past);
        if self.random.chance(700) {
            return past;
        }
        let other = self.amount();
        match past {
            // What a node derives from an id may be somebody's choice.
            Command::Transfer { id, placer: None, debit, credit, amount, currency, reference } if id.get() & 7 == 3 => {
                let id = derived(id);
                Command::Transfer { id, placer: None, debit, credit, amount, currency, reference }
            }
            Command::Transfer { id, debit, credit, amount, currency, .. } => {
                let reference = Reference::new("another").expect("a short word");
                let amount = if other == amount { Amount::MAX } else { other };
                Command::Transfer { id, placer: None, debit, credit, amount, currency, reference }
            }
            Command::PlaceHold { id, debit, credit, amount, currency, reference, .. } => {
                Command::Transfer { id, placer: None, debit, credit, amount, currency, reference }
            }
            Command::CloseAccount { id, .. }
            | Command::VoidTransfer { id }
            | Command::SetSecret { id, .. }
            | Command::LockCustomer { id, .. } => {
                let ((debit, currency), (credit, _)) = (self.account(), self.account());
                Command::Transfer {
                    id,
                    placer: None,
                    debit,
                    credit,
                    amount: other,
                    currency,
                    reference: Reference::EMPTY,
                }
            }
            Command::OpenAccount { id, currency, .. } => {
                Command::OpenAccount { id, owner: Owner::new("somebody else").expect("short words"), currency }
            }
            other @ (Command::PostHold { .. }
            | Command::VoidHold { .. }
            | Command::EndOrder { .. }
            | Command::ClaimKey { .. }
            | Command::ChangeSetting { .. }
            | Command::AddCustomer { .. }
            | Command::NoteHold { .. }
            | Command::Fence { .. }
            | Command::Replay { .. }) => other,
        }
    }

    /// Voids an id: of something that was asked for, or one that nobody has used and somebody may yet.
    fn void(&mut self) -> Ask {
        let past = if self.past.is_empty() { None } else { Some(self.random.pick(&self.past)) };
        let id = past.as_ref().and_then(own_id).filter(|_| self.random.chance(700));
        let ids = if id.is_some() { Ids::Used } else { Ids::Fresh };
        let id = id.unwrap_or_else(|| {
            let (account, currency) = self.account();
            let late = self.transfer(AccountId::vault(currency), account, currency);
            self.past.push(late);
            own_id(&late).expect("a transfer has an id")
        });
        Ask::Write { request: Request::single(Command::VoidTransfer { id }), ids }
    }

    /// The account that nobody uses, if it was asked for.
    pub fn reserve(&self) -> Option<AccountId> {
        self.reserve
    }

    fn open(&mut self) -> Command {
        let id = AccountId::new(self.wide()).expect("not nil");
        if self.reserve.is_none() {
            self.reserve = Some(id);
            return Command::OpenAccount { id, owner: Owner::EMPTY, currency: Currency::EUR };
        }
        let dollars = Currency::from_code("USD").expect("in the table");
        let currency = if self.random.chance(100) && self.accounts.len() > 2 { dollars } else { Currency::EUR };
        self.accounts.push((id, currency));
        Command::OpenAccount { id, owner: Owner::EMPTY, currency }
    }

    fn transfer(&mut self, debit: AccountId, credit: AccountId, currency: Currency) -> Command {
        let (id, amount) = (self.id(), self.amount());
        Command::Transfer { id, placer: None, debit, credit, amount, currency, reference: Reference::EMPTY }
    }

    fn close(&mut self) -> Command {
        let (id, (account, _)) = (self.id(), self.account());
        Command::CloseAccount { id, account }
    }

    fn change_setting(&mut self) -> Command {
        let limit = Amount::new(u128::from(self.random.between(50, 5_000)));
        let expected_version = self.settings;
        self.settings += self.random.below(2);
        Command::ChangeSetting {
            expected_version,
            change: SettingChange::TransferLimit { currency: Currency::EUR, limit },
        }
    }

    fn account(&mut self) -> (AccountId, Currency) {
        self.random.pick(&self.accounts)
    }

    fn placer(&mut self) -> Placer {
        Placer::new(self.random.between(1, 2)).expect("not zero")
    }

    fn amount(&mut self) -> Amount {
        let minor =
            if self.random.chance(self.workload.too_much_per_mille) { TOO_MUCH } else { self.random.between(1, 100) };
        Amount::new(u128::from(minor)).expect("not zero")
    }

    fn id(&mut self) -> TransferId {
        TransferId::new(self.wide()).expect("not nil")
    }

    /// High bits set, so that it is never an id of the bank's own accounts.
    fn wide(&mut self) -> u128 {
        (1 << 127) | (u128::from(self.random.next()) << 64) | u128::from(self.random.next())
    }
}

/// The end of a hold: by its id alone, with all that was ordered, or with something else than was ordered.
fn end_of(placed: &Command, placer: Placer, end: OrderEnd) -> Command {
    let Command::PlaceHold { id, debit, credit, amount, currency, reference, .. } = *placed else { return *placed };
    let whole = |amount: Amount| {
        let placer = Some(placer);
        Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference }
    };
    match (id.get() & 7, end) {
        (0..3, OrderEnd::Post) => Command::PostHold { id, placer },
        (0..3, OrderEnd::Void) => Command::VoidHold { id, placer },
        (3, OrderEnd::Post | OrderEnd::Void) => whole(Amount::MAX),
        (_, OrderEnd::Post | OrderEnd::Void) => whole(amount),
    }
}

/// An id that anybody can derive from another one.
fn derived(id: TransferId) -> TransferId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"rialto end of hold");
    hasher.update(&id.get().to_le_bytes());
    let bits = u128::from_le_bytes(hasher.finalize().as_bytes()[..16].try_into().expect("sixteen bytes of thirty-two"));
    TransferId::new(bits | 1 << 127).expect("not nil")
}

fn has_own_id(command: &Command) -> bool {
    own_id(command).is_some() || matches!(command, Command::OpenAccount { .. })
}

/// The id under which this command has its one outcome.
fn own_id(command: &Command) -> Option<TransferId> {
    match command {
        Command::Transfer { id, .. }
        | Command::PlaceHold { id, .. }
        | Command::CloseAccount { id, .. }
        | Command::VoidTransfer { id }
        | Command::SetSecret { id, .. }
        | Command::LockCustomer { id, .. } => Some(*id),
        Command::OpenAccount { .. }
        | Command::PostHold { .. }
        | Command::VoidHold { .. }
        | Command::EndOrder { .. }
        | Command::ClaimKey { .. }
        | Command::ChangeSetting { .. }
        | Command::AddCustomer { .. }
        | Command::NoteHold { .. }
        | Command::Fence { .. }
        | Command::Replay { .. } => None,
    }
}

impl std::fmt::Display for Ask {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ask::Read(account) => write!(out, "the balance of {}", head(account.get())),
            Ask::Write { request, ids } => {
                let commands: Vec<String> = request.commands.iter().map(in_short).collect();
                let linked = if request.linked { "all or none: " } else { "" };
                let again = if *ids == Ids::Used { " (an id used before)" } else { "" };
                write!(out, "{linked}{}{again}", commands.join(", "))
            }
        }
    }
}

/// A command in few words; an id by its first eight digits.
fn in_short(command: &Command) -> String {
    match command {
        Command::OpenAccount { id, currency, .. } => format!("open {} in {currency}", head(id.get())),
        Command::CloseAccount { id, account } => format!("close {} by {}", head(account.get()), head(id.get())),
        Command::Transfer { id, debit, credit, amount, .. } => {
            format!("transfer {} of {} {} → {}", head(id.get()), amount.minor(), head(debit.get()), head(credit.get()))
        }
        Command::PlaceHold { id, debit, credit, amount, .. } => {
            format!("hold {} of {} {} → {}", head(id.get()), amount.minor(), head(debit.get()), head(credit.get()))
        }
        Command::PostHold { id, .. } => format!("post {}", head(id.get())),
        Command::VoidHold { id, .. } => format!("void hold {}", head(id.get())),
        Command::VoidTransfer { id } => format!("void {}", head(id.get())),
        Command::EndOrder { end: OrderEnd::Post, id, .. } => format!("post order {}", head(id.get())),
        Command::EndOrder { end: OrderEnd::Void, id, .. } => format!("void order {}", head(id.get())),
        Command::ClaimKey { key, .. } => format!("claim key {}", head(*key)),
        Command::ChangeSetting { expected_version, .. } => format!("change setting {expected_version}"),
        Command::AddCustomer { name, currency, .. } => format!("add customer {name} in {currency}"),
        Command::SetSecret { id, name, .. } => format!("set secret of {name} by {}", head(id.get())),
        Command::LockCustomer { id, name, locked } => {
            format!("{} {name} by {}", if *locked { "lock" } else { "unlock" }, head(id.get()))
        }
        Command::NoteHold { id, .. } => format!("note on {}", head(id.get())),
        Command::Fence { fence, .. } => format!("fence {}", fence.epoch),
        Command::Replay { id, .. } => format!("replay {}", head(id.get())),
    }
}

fn head(id: u128) -> String {
    if id >> 127 == 0 { "the bank".to_owned() } else { format!("{:08x}", id >> 96) }
}
