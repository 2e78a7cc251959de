//! A naive ledger to compare with: ordered maps, whole copies to take things back, and the rules written down a second
//! time without a thought of speed. It keeps every command beside its outcome instead of any record.

use std::collections::BTreeMap;

use ledger::{
    AccountId, Balances, Command, Currency, CustomerName, Hold, HoldState, Movement, OrderEnd, Outcome, Owner, Placer,
    Rejected, Secret, SettingChange, TransferId,
};

#[derive(Clone)]
pub(crate) struct Account {
    owner: Owner,
    currency: Currency,
    opened: Outcome,
    pub(crate) balances: Balances,
    closed: bool,
}

#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) secret: Secret,
    pub(crate) locked: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) customers: BTreeMap<CustomerName, Customer>,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    outcomes: BTreeMap<TransferId, (Command, Outcome)>,
    ends: BTreeMap<TransferId, Outcome>,
    settings: Vec<(SettingChange, Outcome)>,
    /// The digest of the first request of each idempotency key, and what was answered.
    keys: BTreeMap<u128, (u128, Outcome)>,
    /// The day of a customer's last debit and what was spent on it, less what was given back.
    spent: BTreeMap<AccountId, (u64, i128)>,
    pub(crate) time_ms: u64,
}

const TOTAL_MAX: u128 = (1 << 112) - 1;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Model {
    /// The outcome of each command, and whether it is a replay.
    pub(crate) fn send(&mut self, clock_ms: u64, linked: bool, commands: &[Command]) -> Vec<(Outcome, bool)> {
        let now = clock_ms.max(self.time_ms);
        if !linked {
            return commands.iter().map(|command| self.one(now, command)).collect();
        }
        let before = self.clone();
        let answers: Vec<_> = commands.iter().map(|command| self.one(now, command)).collect();
        let Some(failed) = answers.iter().position(|(outcome, _)| outcome.rejection().is_some()) else {
            return answers;
        };
        let reason = *answers[failed].0.rejection().expect("it failed");
        *self = before;
        let fail = |(index, command): (usize, &Command)| {
            let index_failed = u32::try_from(failed).expect("few items");
            let others = Rejected::LinkedFailed { index: index_failed };
            self.earlier(command)
                .unwrap_or_else(|| self.keep(now, command, Err(if index == failed { reason } else { others })))
        };
        commands.iter().enumerate().map(fail).collect()
    }

    fn one(&mut self, now: u64, command: &Command) -> (Outcome, bool) {
        if let Some(first) = self.earlier(command) {
            return first;
        }
        let result = self.carry_out(now, command);
        self.keep(now, command, result)
    }

    fn keep(&mut self, now: u64, command: &Command, result: Result<Outcome, Rejected>) -> (Outcome, bool) {
        let outcome = result.unwrap_or_else(|rejection| Outcome::Rejected { time_ms: now, rejection });
        // A key that is not claimed leaves no record, and only records move the time.
        if !matches!(command, Command::ClaimKey { .. }) || outcome.rejection().is_none() {
            self.time_ms = now;
        }
        match *command {
            Command::Transfer { id, .. }
            | Command::PlaceHold { id, .. }
            | Command::CloseAccount { id, .. }
            | Command::SetSecret { id, .. }
            | Command::LockCustomer { id, .. }
            | Command::VoidTransfer { id } => {
                // A void that is refused with its linked request leaves the id as it was.
                let burns = !matches!(command, Command::VoidTransfer { .. }) || outcome.rejection().is_none();
                if burns {
                    self.outcomes.insert(id, (*command, outcome));
                }
            }
            Command::ClaimKey { key, digest, .. } => {
                if let Outcome::KeyClaimed { .. } = outcome {
                    self.keys.insert(key, (digest, outcome));
                }
            }
            Command::VoidHold { id, .. } | Command::EndOrder { id, .. } => {
                if let Outcome::Voided { .. } = outcome {
                    self.outcomes.insert(id, (*command, outcome));
                }
            }
            Command::OpenAccount { .. }
            | Command::AddCustomer { .. }
            | Command::PostHold { .. }
            | Command::ChangeSetting { .. } => {}
            Command::NoteHold { .. } | Command::Fence { .. } | Command::Replay { .. } => {
                unreachable!("not in the model")
            }
        }
        (outcome, false)
    }

    fn earlier(&self, command: &Command) -> Option<(Outcome, bool)> {
        match *command {
            Command::OpenAccount { id, owner, currency } => {
                let account = self.accounts.get(&id).filter(|_| id.internal().is_none())?;
                let same = account.owner == owner && account.currency == currency && self.customer_of(id).is_none();
                Some(if same { (account.opened, true) } else { reused(account.opened.time_ms()) })
            }
            Command::AddCustomer { name, currency, .. } => {
                let account = self.customers.get(&name).map(|_| &self.accounts[&AccountId::of_customer(&name)])?;
                (account.currency == currency).then_some((account.opened, true))
            }
            Command::Transfer { id, .. }
            | Command::PlaceHold { id, .. }
            | Command::CloseAccount { id, .. }
            | Command::SetSecret { id, .. }
            | Command::LockCustomer { id, .. } => {
                let (first, outcome) = self.outcomes.get(&id)?;
                Some(match outcome {
                    Outcome::Voided { time_ms } => {
                        (Outcome::Rejected { time_ms: *time_ms, rejection: Rejected::Voided }, true)
                    }
                    _ if is_same((first, outcome), command) => (self.present(id), true),
                    _ => reused(outcome.time_ms()),
                })
            }
            Command::VoidTransfer { id } => self.outcomes.get(&id).map(|_| (self.present(id), true)),
            Command::EndOrder { end, id, placer, .. } => {
                let (first, outcome) = self.outcomes.get(&id)?;
                let is_hold = matches!(first, Command::PlaceHold { .. });
                let is_meant = first.movement() == command.movement() && is_hold == placer.is_some();
                if !is_meant && !matches!(outcome, Outcome::Voided { .. }) {
                    return Some(reused(outcome.time_ms()));
                }
                match (end, placer) {
                    (OrderEnd::Post, Some(placer)) => self.earlier(&Command::PostHold { id, placer }),
                    (OrderEnd::Void, Some(placer)) => self.earlier(&Command::VoidHold { id, placer }),
                    (_, None) => Some((self.present(id), true)),
                }
            }
            Command::ClaimKey { key, digest, .. } => {
                let (kept, outcome) = self.keys.get(&key)?;
                let rejection = Rejected::KeyReused;
                let refused = Outcome::Rejected { time_ms: outcome.time_ms(), rejection };
                Some(if *kept == digest { (*outcome, true) } else { (refused, false) })
            }
            Command::PostHold { id, placer } | Command::VoidHold { id, placer } => {
                let wants_post = matches!(command, Command::PostHold { .. });
                let (first, outcome) = self.outcomes.get(&id)?;
                let own = matches!(first, Command::PlaceHold { placer: other, .. } if *other == placer);
                match (outcome, self.ends.get(&id)) {
                    (Outcome::Voided { .. }, _) if !wants_post => Some((*outcome, true)),
                    (Outcome::Rejected { .. }, _) if own && !wants_post => Some((*outcome, true)),
                    (Outcome::Held { .. }, Some(end)) if own => {
                        let is_post = matches!(end, Outcome::HoldPosted { .. });
                        (is_post == wants_post).then_some((*end, true))
                    }
                    _ => None,
                }
            }
            Command::ChangeSetting { expected_version, change } => {
                let (first, outcome) = self.settings.get(usize::try_from(expected_version).ok()?)?;
                (*first == change).then_some((*outcome, true))
            }
            Command::NoteHold { .. } | Command::Fence { .. } | Command::Replay { .. } => {
                unreachable!("not in the model")
            }
        }
    }

    /// The outcome of an id with what has become of a hold by now.
    fn present(&self, id: TransferId) -> Outcome {
        let ended = match self.ends.get(&id) {
            None => HoldState::Held,
            Some(Outcome::HoldPosted { .. }) => HoldState::Posted,
            Some(_) => HoldState::Voided,
        };
        match self.outcomes[&id].1 {
            Outcome::Held { time_ms, debit, credit, .. } => Outcome::Held { time_ms, now: ended, debit, credit },
            other => other,
        }
    }

    fn carry_out(&mut self, time_ms: u64, command: &Command) -> Result<Outcome, Rejected> {
        match *command {
            Command::OpenAccount { id, owner, currency } => {
                if id.internal().is_some() {
                    return Err(Rejected::InternalAccount { account: id });
                }
                if id.is_customers() {
                    return Err(Rejected::ReservedAccount { account: id });
                }
                Ok(self.open(time_ms, id, owner, currency))
            }
            Command::CloseAccount { account, .. } => self.close(time_ms, account),
            Command::Transfer { .. } => {
                let movement = self.check(time_ms, command)?;
                self.spend(time_ms, &movement);
                let (debit, credit) = self.shift(time_ms, &movement, |debit, credit, amount| {
                    debit.posted_debits += amount;
                    credit.posted_credits += amount;
                });
                Ok(Outcome::Posted { time_ms, debit, credit })
            }
            Command::PlaceHold { .. } => {
                let movement = self.check(time_ms, command)?;
                self.spend(time_ms, &movement);
                let (debit, credit) = self.shift(time_ms, &movement, |debit, credit, amount| {
                    debit.held_debits += amount;
                    credit.held_credits += amount;
                });
                Ok(Outcome::Held { time_ms, now: HoldState::Held, debit, credit })
            }
            Command::PostHold { id, placer } => self.post(time_ms, id, placer),
            Command::VoidHold { id, placer } => self.void(time_ms, id, placer),
            Command::EndOrder { end: OrderEnd::Post, id, placer: Some(placer), .. } => self.post(time_ms, id, placer),
            Command::EndOrder { end: OrderEnd::Void, id, placer: Some(placer), .. } => self.void(time_ms, id, placer),
            Command::VoidTransfer { .. } | Command::EndOrder { .. } => Ok(Outcome::Voided { time_ms }),
            Command::ClaimKey { base, .. } => Ok(Outcome::KeyClaimed { time_ms, base }),
            Command::ChangeSetting { expected_version: expected, change } => {
                let actual = self.settings.len() as u64;
                if expected != actual {
                    return Err(Rejected::VersionMismatch { expected, actual });
                }
                let outcome = Outcome::SettingChanged { time_ms, version: actual + 1 };
                self.settings.push((change, outcome));
                Ok(outcome)
            }
            Command::AddCustomer { name, currency, secret } => self.add_customer(time_ms, name, currency, secret),
            Command::SetSecret { name, secret, .. } => {
                self.customers.get_mut(&name).ok_or(Rejected::UnknownCustomer)?.secret = secret;
                Ok(Outcome::SecretChanged { time_ms })
            }
            Command::LockCustomer { name, locked, .. } => {
                self.customers.get_mut(&name).ok_or(Rejected::UnknownCustomer)?.locked = locked;
                Ok(Outcome::LockChanged { time_ms, locked })
            }
            Command::NoteHold { .. } | Command::Fence { .. } | Command::Replay { .. } => {
                unreachable!("not in the model")
            }
        }
    }

    fn add_customer(
        &mut self,
        time_ms: u64,
        name: CustomerName,
        currency: Currency,
        secret: Secret,
    ) -> Result<Outcome, Rejected> {
        let id = AccountId::of_customer(&name);
        match (self.accounts.get(&id), self.customers.get(&name)) {
            (Some(account), Some(_)) => return Err(Rejected::CustomerExists { kept_in: account.currency }),
            (Some(_), None) => return Err(Rejected::AccountExists { account: id }),
            (None, _) => {}
        }
        self.customers.insert(name, Customer { secret, locked: false });
        Ok(self.open(time_ms, id, Owner::new(name.as_str()).expect("short"), currency))
    }

    fn customer_of(&self, account: AccountId) -> Option<&Customer> {
        self.customers.iter().find(|(name, _)| AccountId::of_customer(name) == account).map(|(_, customer)| customer)
    }

    fn open(&mut self, time_ms: u64, id: AccountId, owner: Owner, currency: Currency) -> Outcome {
        let opened = Outcome::Opened { time_ms, number: self.accounts.len() as u64 };
        let account = Account { owner, currency, opened, balances: Balances::default(), closed: false };
        assert!(self.accounts.insert(id, account).is_none());
        opened
    }

    fn close(&mut self, time_ms: u64, account: AccountId) -> Result<Outcome, Rejected> {
        let found = self.accounts.get_mut(&account);
        if account.internal().is_some() && found.is_some() {
            return Err(Rejected::InternalAccount { account });
        }
        let found = found.ok_or(Rejected::UnknownAccount { account })?;
        let Balances { posted_debits, posted_credits, held_debits, held_credits } = found.balances;
        if found.closed {
            return Err(Rejected::AccountClosed { account });
        }
        if held_debits + held_credits > 0 {
            return Err(Rejected::AccountHasHolds);
        }
        if posted_credits > posted_debits {
            return Err(Rejected::AccountNotEmpty { balance: posted_credits - posted_debits });
        }
        found.closed = true;
        Ok(Outcome::Closed { time_ms })
    }

    fn check(&self, time_ms: u64, command: &Command) -> Result<Movement, Rejected> {
        let movement = command.movement().expect("a transfer or hold");
        let Movement { debit, credit, amount, currency, .. } = movement;
        if debit == credit {
            return Err(Rejected::SameAccount);
        }
        let look = |id: AccountId| match (self.accounts.get(&id), id.internal()) {
            (Some(account), _) => Some((account.currency, account.closed, account.balances)),
            (None, Some((_, currency))) => Some((currency, false, Balances::default())),
            (None, None) => None,
        };
        let from = look(debit).ok_or(Rejected::UnknownDebitAccount { account: debit })?;
        let to = look(credit).ok_or(Rejected::UnknownCreditAccount { account: credit })?;
        for (account, (kept_in, ..)) in [(debit, &from), (credit, &to)] {
            if *kept_in != currency {
                return Err(Rejected::CurrencyMismatch { account, kept_in: *kept_in });
            }
        }
        for (account, (_, closed, _)) in [(debit, &from), (credit, &to)] {
            if *closed {
                return Err(Rejected::AccountClosed { account });
            }
        }
        if self.customer_of(debit).is_some_and(|customer| customer.locked) {
            return Err(Rejected::CustomerLocked { account: debit });
        }
        let (mut limit, mut daily) = (None, None);
        for (change, _) in &self.settings {
            match change {
                SettingChange::TransferLimit { currency: limited, limit: most } if *limited == currency => {
                    limit = *most
                }
                SettingChange::DailyDebitLimit { currency: limited, limit: most } if *limited == currency => {
                    daily = *most
                }
                SettingChange::TransferLimit { .. } | SettingChange::DailyDebitLimit { .. } => {}
            }
        }
        if let Some(limit) = limit.filter(|limit| amount.minor() > limit.minor()) {
            return Err(Rejected::LimitExceeded { limit, asked: amount });
        }
        if let (Some(limit), Some(_)) = (daily, self.customer_of(debit)) {
            let spent = self.spent_on(time_ms / DAY_MS, debit);
            let signed = |minor| i128::try_from(minor).expect("small");
            if spent + signed(amount.minor()) > signed(limit.minor()) {
                return Err(Rejected::DailyLimitExceeded { limit, spent: u128::try_from(spent).unwrap_or(0) });
            }
        }
        let Balances { posted_debits, posted_credits, held_debits, .. } = from.2;
        if debit.internal().is_none() {
            let available = posted_credits - posted_debits - held_debits;
            if available < amount.minor() {
                return Err(Rejected::InsufficientFunds { available, needed: amount });
            }
        }
        if posted_debits + held_debits + amount.minor() > TOTAL_MAX {
            return Err(Rejected::BalanceOverflow { account: debit });
        }
        if to.2.posted_credits + to.2.held_credits + amount.minor() > TOTAL_MAX {
            return Err(Rejected::BalanceOverflow { account: credit });
        }
        Ok(movement)
    }

    /// Nothing was spent on a day of which there is no debit.
    fn spent_on(&self, day: u64, account: AccountId) -> i128 {
        self.spent.get(&account).filter(|(last, _)| *last == day).map_or(0, |(_, spent)| *spent)
    }

    fn spend(&mut self, time_ms: u64, movement: &Movement) {
        if self.customer_of(movement.debit).is_some() {
            let day = time_ms / DAY_MS;
            let spent = self.spent_on(day, movement.debit) + i128::try_from(movement.amount.minor()).expect("small");
            self.spent.insert(movement.debit, (day, spent));
        }
    }

    fn give_back(&mut self, time_ms: u64, movement: &Movement) {
        match self.spent.get_mut(&movement.debit) {
            Some((day, spent)) if *day == time_ms / DAY_MS => {
                *spent -= i128::try_from(movement.amount.minor()).expect("small");
            }
            Some(_) | None => {}
        }
    }

    fn shift(
        &mut self,
        time_ms: u64,
        movement: &Movement,
        change: impl Fn(&mut Balances, &mut Balances, u128),
    ) -> (Balances, Balances) {
        for id in [movement.debit, movement.credit] {
            if let (None, Some((kind, currency))) = (self.accounts.get(&id), id.internal()) {
                self.open(time_ms, id, Owner::new(kind.name()).expect("short"), currency);
            }
        }
        let mut debit = self.accounts[&movement.debit].balances;
        let mut credit = self.accounts[&movement.credit].balances;
        change(&mut debit, &mut credit, movement.amount.minor());
        self.accounts.get_mut(&movement.debit).expect("just read").balances = debit;
        self.accounts.get_mut(&movement.credit).expect("just read").balances = credit;
        (debit, credit)
    }

    /// The open hold of an id, or why there is none to end.
    fn open_hold(&self, id: TransferId, placer: Placer) -> Result<Movement, Rejected> {
        let (first, outcome) = self.outcomes.get(&id).ok_or(Rejected::HoldNotFound)?;
        let Command::PlaceHold { placer: other, .. } = first else {
            return Err(Rejected::HoldNotFound);
        };
        match (outcome, self.ends.get(&id)) {
            (Outcome::Held { .. }, _) if *other != placer => Err(Rejected::NotYourHold),
            (Outcome::Held { .. }, None) => Ok(first.movement().expect("a hold moves something")),
            (Outcome::Held { .. }, Some(Outcome::HoldPosted { .. })) => Err(Rejected::HoldAlreadyPosted),
            (Outcome::Held { .. }, Some(_)) => Err(Rejected::HoldAlreadyVoided),
            _ => Err(Rejected::HoldNotFound),
        }
    }

    fn post(&mut self, time_ms: u64, id: TransferId, placer: Placer) -> Result<Outcome, Rejected> {
        if let Some((_, Outcome::Voided { .. })) = self.outcomes.get(&id) {
            return Err(Rejected::HoldAlreadyVoided);
        }
        let movement = self.open_hold(id, placer)?;
        let (debit, credit) = self.shift(time_ms, &movement, |debit, credit, amount| {
            debit.held_debits -= amount;
            debit.posted_debits += amount;
            credit.held_credits -= amount;
            credit.posted_credits += amount;
        });
        let end = Outcome::HoldPosted { time_ms, debit, credit };
        self.ends.insert(id, end);
        Ok(end)
    }

    fn void(&mut self, time_ms: u64, id: TransferId, placer: Placer) -> Result<Outcome, Rejected> {
        match self.outcomes.get(&id) {
            None => return Ok(Outcome::Voided { time_ms }),
            Some((Command::PlaceHold { .. }, Outcome::Rejected { .. })) => return Err(Rejected::NotYourHold),
            Some(_) => {}
        }
        let movement = self.open_hold(id, placer)?;
        let (debit, credit) = self.shift(time_ms, &movement, |debit, credit, amount| {
            debit.held_debits -= amount;
            credit.held_credits -= amount;
        });
        self.give_back(time_ms, &movement);
        let end = Outcome::HoldVoided { time_ms, debit, credit };
        self.ends.insert(id, end);
        Ok(end)
    }

    pub(crate) fn open_holds(&self) -> Vec<TransferId> {
        let is_open =
            |id: &TransferId, outcome: &Outcome| matches!(outcome, Outcome::Held { .. }) && !self.ends.contains_key(id);
        self.outcomes.iter().filter(|(id, (_, outcome))| is_open(id, outcome)).map(|(id, _)| *id).collect()
    }

    /// Gives both sides a posted turnover without commands, for books that are nearly full.
    pub(crate) fn plant(&mut self, hold_free: impl Fn(AccountId) -> Option<Balances>) {
        for (id, account) in &mut self.accounts {
            account.balances = hold_free(*id).unwrap_or(account.balances);
        }
    }
}

/// The same command. Of a secret that was refused nothing is kept.
fn is_same((first, outcome): (&Command, &Outcome), command: &Command) -> bool {
    match (first, command) {
        (Command::SetSecret { name, .. }, Command::SetSecret { name: asked, .. }) if outcome.rejection().is_some() => {
            name == asked
        }
        // Whoever orders a transfer again orders the same one.
        (Command::Transfer { .. }, Command::Transfer { .. }) => first.movement() == command.movement(),
        _ => first == command,
    }
}

fn reused(time_ms: u64) -> (Outcome, bool) {
    (Outcome::Rejected { time_ms, rejection: Rejected::IdReused }, false)
}

/// Holds of the ledger under test, by id, to compare with [`Model::open_holds`].
pub(crate) fn ids_of<'a>(holds: impl Iterator<Item = &'a Hold>) -> Vec<TransferId> {
    holds.map(|hold| hold.movement.id).collect()
}
