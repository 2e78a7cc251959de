//! A naive gateway: every payment ever, in one list, and every question answered by looking through it.

use clearing::outcome::Delivery;
use clearing::{
    BankName, Cause, Command, Finding, NamedParty, Outcome, Pair, PaymentRequest, Reason, Refusal, Risk, SettingChange,
    Side, Status, Terms, Word,
};
use std::collections::{BTreeMap, BTreeSet};

use crate::desk::{bank, bank_name, epoch};

/// A bank may lift its incarnation by 16, and by one more each hour.
const HOUR_US: u64 = 3_600_000_000;

#[derive(Clone, Debug)]
struct Paying {
    terms: Terms,
    vote_by_ms: u64,
    /// The gateway's incarnation that took it, and whether a bank told of it when asked for what was forgotten.
    taken_in: u32,
    recalled: bool,
    /// What each bank said, to which gateway, in which incarnation.
    heard: [Option<(u32, u32, Finding)>; 2],
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Refused(Reason),
    /// Waits for votes; or, with a cause, for what both banks say.
    Between(Option<Cause>),
    /// Waits for the one bank; with a cause, for its word on void.
    Within(Option<Cause>),
    Decided {
        void: Option<Reason>,
        owed: [bool; 2],
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Joined {
    group: u128,
    pub(crate) epoch: u32,
    restoring: bool,
    /// The gateway's incarnation in which this one registered.
    registered_in: u32,
    lifts_full_at_us: u64,
    /// The gateway's incarnation that asked it last what it holds.
    recalled: u32,
    newest: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    clock_ms: u64,
    pub(crate) changed_ms: u64,
    epoch: u32,
    pub(crate) banks: BTreeMap<&'static str, Joined>,
    /// Customer, and whether it was ended; no session's time is over in these tests.
    sessions: BTreeMap<u128, (NamedParty, bool)>,
    payments: BTreeMap<u128, Paying>,
    /// Who has yet to tell what it set aside with whom.
    recall_with: BTreeSet<[BankName; 2]>,
    changes: Vec<SettingChange>,
}

pub(crate) const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

type Ruling = Result<Outcome, Refusal>;

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            clock_ms: 0,
            changed_ms: 0,
            epoch: 1,
            banks: BTreeMap::new(),
            sessions: BTreeMap::new(),
            payments: BTreeMap::new(),
            recall_with: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// The answer without its mark of a replay: whether something changed tells that.
    pub(crate) fn send(&mut self, clock_ms: u64, command: &Command) -> Ruling {
        self.clock_ms = clock_ms.max(self.changed_ms);
        let before = format!("{self:?}");
        let ruling = self.carry_out(command);
        if format!("{self:?}") != before {
            self.changed_ms = self.clock_ms;
        }
        ruling
    }

    pub(crate) fn owes(&self, debtor: &str, creditor: &str) -> i128 {
        let paid = |from: &str, to: &str| -> u128 {
            let is_paid = |paying: &&Paying| matches!(paying.stage, Stage::Decided { void: None, .. });
            self.between(from, to).filter(is_paid).map(|paying| paying.terms.amount.minor()).sum()
        };
        i128::try_from(paid(debtor, creditor)).expect("small") - i128::try_from(paid(creditor, debtor)).expect("small")
    }

    fn reserved(&self, from: &str, to: &str) -> i128 {
        let is_open = |paying: &&Paying| matches!(paying.stage, Stage::Between(_));
        let sum: u128 = self.between(from, to).filter(is_open).map(|paying| paying.terms.amount.minor()).sum();
        i128::try_from(sum).expect("small")
    }

    fn between<'a>(&'a self, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a Paying> {
        let fits = move |terms: &Terms| terms.payer.bank.as_str() == from && terms.payee.bank.as_str() == to;
        self.payments.values().filter(move |paying| fits(&paying.terms))
    }

    pub(crate) fn live(&self) -> Vec<u128> {
        self.payments.iter().filter(|(_, paying)| is_live(paying)).map(|(id, _)| *id).collect()
    }

    fn carry_out(&mut self, command: &Command) -> Ruling {
        match command {
            Command::RegisterBank { name, group, epoch, last_number } => {
                self.register(name.as_str(), group.get(), epoch.get(), *last_number)
            }
            Command::BankCaughtUp { name, .. } => {
                self.banks.get_mut(name.as_str()).expect("tests name known banks").restoring = false;
                Ok(Outcome::BankCaughtUp)
            }
            Command::RecallWith { name, other, epoch } => {
                self.check_epoch(*epoch)?;
                if name != other && self.banks[name.as_str()].recalled < self.epoch {
                    self.recall_with.insert([*name, *other]);
                }
                Ok(Outcome::BankRecalled)
            }
            Command::BankRecalledWith { name, other, epoch } => {
                self.check_epoch(*epoch)?;
                self.recall_with.remove(&[*name, *other]);
                Ok(Outcome::BankRecalled)
            }
            Command::BankRecalled { name, epoch } => {
                self.check_epoch(*epoch)?;
                self.banks.get_mut(name.as_str()).expect("tests name known banks").recalled = self.epoch;
                Ok(Outcome::BankRecalled)
            }
            Command::BeginEpoch { epoch } => self.begin_epoch(epoch.get()),
            Command::OpenSession { session, customer, .. } => {
                self.sessions.entry(session.get()).or_insert((*customer, false));
                Ok(Outcome::SessionOpened { ended_instead: None })
            }
            Command::EndSession { session } => {
                self.sessions.get_mut(&session.get()).ok_or(Refusal::NoSession)?.1 = true;
                Ok(Outcome::SessionEnded)
            }
            Command::Take { request, .. } => self.take(request),
            Command::Cancel { request, .. } => self.cancel(request),
            Command::Resolve { bank, terms, .. } => self.resolve(bank.as_str(), terms),
            Command::Report { id, gateway, found } => {
                let of = |side: Side| found.of(side).map(|said| (said.epoch.get(), said.finding));
                self.report(id.get(), gateway.get(), [of(Side::Debit), of(Side::Credit)])
            }
            Command::TimeOut { id } => {
                let paying = self.payments.get(&id.get()).ok_or(Refusal::UnknownPayment)?;
                let is_undecided = !matches!(paying.stage, Stage::Decided { .. } | Stage::Refused(_));
                if is_undecided && self.clock_ms < paying.vote_by_ms {
                    return Err(Refusal::TooEarly { vote_by_ms: paying.vote_by_ms });
                }
                self.void(id.get(), Cause::TimedOut)
            }
            Command::VoidByHand { id, operator, risk } => {
                let is_asked = |paying: &Paying| matches!(paying.stage, Stage::Between(Some(_)));
                match self.payments.get(&id.get()).filter(|paying| is_asked(paying)) {
                    Some(paying) => self.void_at_risk(id.get(), self.words(paying), *risk),
                    None => self.void(id.get(), Cause::Operator(*operator)),
                }
            }
            Command::Delivered { id, side, epoch } => self.delivered(id.get(), *side, epoch.get()),
            Command::ChangeSetting { expected_version, change } => {
                let at = usize::try_from(*expected_version).expect("small");
                if at != self.changes.len() && self.changes.get(at) != Some(change) {
                    return Err(Refusal::VersionMismatch { actual: self.changes.len() as u64 });
                }
                if at == self.changes.len() {
                    self.changes.push(*change);
                }
                Ok(Outcome::SettingChanged { version: expected_version + 1 })
            }
            Command::ClaimKey { .. }
            | Command::KeepSeed { .. }
            | Command::AddKey { .. }
            | Command::RetireKey { .. }
            | Command::Settle { .. }
            | Command::Acknowledge { .. } => panic!("not in these tests"),
        }
    }

    fn check_epoch(&self, said: clearing::Epoch) -> Result<(), Refusal> {
        let known = clearing::Epoch::new(self.epoch).expect("not zero");
        if said == known { Ok(()) } else { Err(Refusal::StaleEpoch { known }) }
    }

    fn register(&mut self, name: &str, group: u128, incarnation: u32, last_number: u64) -> Ruling {
        let name = NAMES.into_iter().find(|known| *known == name).expect("tests name few banks");
        // What the others told of a restored bank that was not known yet found nowhere to go.
        if !self.banks.contains_key(name) && self.epoch > 1 && incarnation > 1 {
            self.recall_with.extend(self.banks.keys().map(|known| [bank_name(known), bank_name(name)]));
        }
        let joined = self.banks.entry(name).or_insert(Joined {
            group,
            epoch: incarnation,
            restoring: false,
            registered_in: self.epoch,
            lifts_full_at_us: 0,
            recalled: 1,
            newest: 0,
        });
        if joined.group != group {
            return Err(Refusal::NameTaken);
        }
        if incarnation < joined.epoch {
            return Err(Refusal::StaleEpoch { known: epoch(joined.epoch) });
        }
        if incarnation > joined.epoch {
            let lift = u64::from(incarnation - joined.epoch);
            let since_us = joined.lifts_full_at_us.max(self.clock_ms * 1_000);
            let missing = (since_us - self.clock_ms * 1_000).div_ceil(HOUR_US);
            if missing + lift > 16 {
                return Err(Refusal::EpochTooFar { known: epoch(joined.epoch) });
            }
            joined.lifts_full_at_us = since_us + lift * HOUR_US;
            (joined.epoch, joined.restoring) = (incarnation, last_number < joined.newest);
            joined.registered_in = self.epoch;
        }
        Ok(Outcome::BankRegistered { number: number_of(name), epoch: epoch(incarnation) })
    }

    fn begin_epoch(&mut self, incarnation: u32) -> Ruling {
        if incarnation < self.epoch {
            return Err(Refusal::StaleEpoch { known: epoch(self.epoch) });
        }
        if incarnation > self.epoch {
            self.epoch = incarnation;
            for paying in self.payments.values_mut() {
                if paying.stage == Stage::Between(None) {
                    paying.stage = Stage::Between(Some(Cause::TimedOut));
                }
            }
        }
        Ok(Outcome::EpochBegan { epoch: epoch(incarnation) })
    }

    fn payer(&self, request: &PaymentRequest) -> Result<Terms, Refusal> {
        let (payer, ended) = *self.sessions.get(&request.session.get()).ok_or(Refusal::NoSession)?;
        if ended {
            return Err(Refusal::SessionEnded);
        }
        let PaymentRequest { id, payee, amount, currency, reference, .. } = *request;
        Ok(Terms { id, payer, payee, amount, currency, reference })
    }

    /// What was said before about that id; an error if about something else.
    fn before(&self, terms: &Terms) -> Result<Option<Outcome>, Refusal> {
        match self.payments.get(&terms.id.get()) {
            Some(paying) if paying.terms != *terms => Err(Refusal::IdReused),
            other => Ok(other.map(|paying| Outcome::Payment(status(paying)))),
        }
    }

    fn take(&mut self, request: &PaymentRequest) -> Ruling {
        let terms = self.payer(request)?;
        if let Some(outcome) = self.before(&terms)? {
            return Ok(outcome);
        }
        self.check_recalled(&terms)?;
        self.check_room(&terms)?;
        if !self.banks.contains_key(terms.payee.bank.as_str()) {
            return if self.epoch == 1 {
                Ok(self.refuse(terms, Reason::UnknownBank))
            } else {
                Err(Refusal::UnknownBank)
            };
        }
        match self.objection(&terms) {
            Some(reason) if reason == Reason::OwnAccount || self.epoch == 1 => Ok(self.refuse(terms, reason)),
            Some(_) => Ok(self.admit(terms, Some(Cause::Bank))),
            None => Ok(self.admit(terms, None)),
        }
    }

    fn check_recalled(&self, terms: &Terms) -> Result<(), Refusal> {
        let unrecalled = |party: &&NamedParty| {
            let name = party.bank.as_str();
            let both_are_known = self.banks.contains_key(terms.payee.bank.as_str());
            both_are_known && self.banks[name].recalled < self.epoch
        };
        let pairs = [[&terms.payer, &terms.payee], [&terms.payee, &terms.payer]];
        let with_the_other = pairs.iter().find(|pair| self.recall_with.contains(&pair.map(|party| party.bank)));
        let party = [&terms.payer, &terms.payee].into_iter().find(unrecalled).or(with_the_other.map(|pair| pair[0]));
        party.map_or(Ok(()), |party| Err(Refusal::BankRestoring { bank: number_of(party.bank.as_str()) }))
    }

    fn check_room(&self, terms: &Terms) -> Result<(), Refusal> {
        for party in [&terms.payer, &terms.payee] {
            let Some(joined) = self.banks.get(party.bank.as_str()) else { continue };
            let number = number_of(party.bank.as_str());
            if joined.restoring {
                return Err(Refusal::BankRestoring { bank: number });
            }
            if self.open(party) >= self.open_per_bank() {
                return Err(Refusal::BankBusy { bank: number });
            }
        }
        Ok(())
    }

    fn open(&self, party: &NamedParty) -> u64 {
        let waits_for = |paying: &&Paying| {
            let own = [paying.terms.payer.bank == party.bank, paying.terms.payee.bank == party.bank];
            match paying.stage {
                Stage::Between(_) | Stage::Within(_) => own != [false; 2],
                Stage::Decided { owed, .. } => (0..2).any(|side| own[side] && owed[side]),
                Stage::Refused(_) => false,
            }
        };
        self.payments.values().filter(waits_for).count() as u64
    }

    fn open_per_bank(&self) -> u64 {
        let of = |change: &SettingChange| match change {
            SettingChange::OpenPerBank { payments } => Some(*payments),
            _ => None,
        };
        self.changes.iter().rev().find_map(of).unwrap_or(10_000)
    }

    fn objection(&self, terms: &Terms) -> Option<Reason> {
        if terms.payer == terms.payee {
            return Some(Reason::OwnAccount);
        }
        let limit = self.changes.iter().rev().find_map(|change| match change {
            SettingChange::PaymentLimit { limit, .. } => Some(*limit),
            _ => None,
        });
        if let Some(Some(limit)) = limit.filter(|limit| limit.is_some_and(|limit| terms.amount > limit)) {
            return Some(Reason::LimitExceeded { limit });
        }
        let (from, to) = (terms.payer.bank.as_str(), terms.payee.bank.as_str());
        let cap = self.changes.iter().rev().find_map(|change| match change {
            SettingChange::PairCap { debtor, creditor, cap, .. } => {
                ((*debtor, *creditor) == (number_of(from), number_of(to))).then_some(*cap)
            }
            _ => None,
        });
        let owed = u128::try_from(self.owes(from, to) + self.reserved(from, to)).unwrap_or(0);
        let cap = cap.flatten().filter(|cap| from != to && owed + terms.amount.minor() > cap.minor())?;
        Some(Reason::CapExceeded { cap, owed })
    }

    fn refuse(&mut self, terms: Terms, reason: Reason) -> Outcome {
        self.put(terms, Stage::Refused(reason))
    }

    fn admit(&mut self, terms: Terms, cause: Option<Cause>) -> Outcome {
        let within = terms.payer.bank == terms.payee.bank;
        let first = u64::from(self.epoch - 1) << 40;
        for party in if within { vec![&terms.payer] } else { vec![&terms.payer, &terms.payee] } {
            let joined = self.banks.get_mut(party.bank.as_str()).expect("both are known");
            joined.newest = joined.newest.max(first) + 1;
        }
        self.put(terms, if within { Stage::Within(cause) } else { Stage::Between(cause) })
    }

    fn put(&mut self, terms: Terms, stage: Stage) -> Outcome {
        let vote_by_ms = self.clock_ms + 2_000;
        let recalled = matches!(stage, Stage::Between(Some(Cause::Recall)));
        let paying = Paying { terms, vote_by_ms, taken_in: self.epoch, recalled, heard: [None; 2], stage };
        let outcome = Outcome::Payment(status(&paying));
        self.payments.insert(terms.id.get(), paying);
        outcome
    }

    fn cancel(&mut self, request: &PaymentRequest) -> Ruling {
        let terms = self.payer(request)?;
        if self.before(&terms)?.is_some() {
            return self.void(terms.id.get(), Cause::Payer);
        }
        if !self.banks.contains_key(terms.payee.bank.as_str()) {
            let refused = Reason::UnknownBank;
            return if self.epoch == 1 { Ok(self.refuse(terms, refused)) } else { Err(Refusal::UnknownBank) };
        }
        self.check_recalled(&terms)?;
        if terms.payer == terms.payee {
            return Ok(self.refuse(terms, Reason::OwnAccount));
        }
        let is_within = terms.payer.bank == terms.payee.bank;
        if self.epoch > 1 || is_within {
            self.check_room(&terms)?;
            return Ok(self.admit(terms, Some(Cause::Payer)));
        }
        self.check_room(&Terms { payee: terms.payer, ..terms })?;
        self.admit(terms, None);
        let paying = self.payments.get_mut(&terms.id.get()).expect("just admitted");
        decide(paying, Some(Reason::VoidedByPayer), [true, false]);
        Ok(Outcome::Payment(status(paying)))
    }

    fn resolve(&mut self, asking: &str, terms: &Terms) -> Ruling {
        let names = [terms.payer.bank.as_str(), terms.payee.bank.as_str()];
        if names.iter().any(|name| !self.banks.contains_key(*name)) {
            return Err(Refusal::UnknownBank);
        }
        if terms.payer == terms.payee || !names.contains(&asking) {
            return Err(Refusal::NotYours);
        }
        match self.before(terms)? {
            None if self.epoch == 1 => {
                let (reason, delivery) = (Reason::NotHeldAtBoth, Delivery::Done);
                Ok(Outcome::Payment(Status::Refused { reason, delivery }))
            }
            None => {
                self.check_room(terms)?;
                let is_told_later = |other: &NamedParty| self.recall_with.contains(&[bank_name(asking), other.bank]);
                let is_recalled =
                    self.banks[asking].recalled == self.epoch && ![terms.payer, terms.payee].iter().any(is_told_later);
                Ok(self.admit(*terms, Some(if is_recalled { Cause::Bank } else { Cause::Recall })))
            }
            Some(_) if self.clock_ms < self.payments[&terms.id.get()].vote_by_ms => {
                Ok(Outcome::Payment(status(&self.payments[&terms.id.get()])))
            }
            Some(_) => self.void(terms.id.get(), Cause::TimedOut),
        }
    }

    fn void(&mut self, id: u128, cause: Cause) -> Ruling {
        let paying = self.payments.get_mut(&id).ok_or(Refusal::UnknownPayment)?;
        let is_of_this_life = paying.taken_in == self.epoch;
        match &mut paying.stage {
            Stage::Between(None) if is_of_this_life => decide(paying, Some(reason(cause)), [true; 2]),
            Stage::Between(wish @ None) | Stage::Within(wish @ None) => *wish = Some(cause),
            Stage::Between(Some(_)) | Stage::Within(Some(_)) | Stage::Decided { .. } | Stage::Refused(_) => {}
        }
        Ok(Outcome::Payment(status(paying)))
    }

    /// What each bank has said to this gateway, in its present incarnation.
    fn words(&self, paying: &Paying) -> Pair<Word> {
        let of = |at: usize, party: &NamedParty| match paying.heard[at] {
            Some((to, of, finding)) if (to, of) == (self.epoch, self.banks[party.bank.as_str()].epoch) => match finding
            {
                Finding::Held => Word::Held,
                Finding::Posted => Word::Posted,
                Finding::Voided | Finding::NotFound | Finding::Refused(_) => Word::NotHeld,
            },
            Some(_) | None => Word::Silent,
        };
        Pair { debit: of(0, &paying.terms.payer), credit: of(1, &paying.terms.payee) }
    }

    fn void_at_risk(&mut self, id: u128, said: Pair<Word>, risk: Risk) -> Ruling {
        if risk == Risk::NotTaken {
            return Err(Refusal::MayBePaid { said });
        }
        let paying = self.payments.get_mut(&id).expect("just seen");
        decide(paying, Some(Reason::VoidedAtRisk), [true; 2]);
        Ok(Outcome::Payment(status(paying)))
    }

    fn report(&mut self, id: u128, gateway: u32, said: [Option<(u32, Finding)>; 2]) -> Ruling {
        if gateway != self.epoch {
            return Err(Refusal::StaleEpoch { known: epoch(self.epoch) });
        }
        let terms = self.payments.get(&id).ok_or(Refusal::UnknownPayment)?.terms;
        let is_too_much = {
            // What it has reserved itself does not count twice.
            let mut others = self.clone();
            others.payments.remove(&id);
            others.objection(&terms).is_some()
        };
        let (own, presumes) = (self.epoch, self.epoch == 1);
        let is_forgotten = self.payments[&id].may_be_forgotten(own);
        let paying = self.payments.get_mut(&id).expect("just seen");
        if !is_live(paying) {
            return Ok(Outcome::Payment(status(paying)));
        }
        let may_have_lost = [&terms.payer, &terms.payee].map(|party| {
            let bank = &self.banks[party.bank.as_str()];
            is_forgotten && bank.epoch > 1 && bank.registered_in > 1
        });
        let known = [&paying.terms.payer, &paying.terms.payee].map(|party| self.banks[party.bank.as_str()].epoch);
        let fresh = [0, 1].map(|side| said[side].filter(|(of, _)| *of == known[side]).map(|(_, finding)| finding));
        if fresh == [None; 2] && said != [None; 2] {
            let first = usize::from(said[0].is_none());
            return Err(Refusal::StaleEpoch { known: epoch(known[first]) });
        }
        // A restored gateway keeps that a bank has posted as well, and the other one's hold is enough then.
        let is_held = |heard: &Option<(u32, u32, Finding)>, side: usize| {
            heard.is_some_and(|(to, of, finding)| {
                (to, of) == (gateway, known[side]) && matches!(finding, Finding::Held | Finding::Posted)
            })
        };
        let is_posted = fresh.contains(&Some(Finding::Posted));
        let is_weighed = match paying.stage {
            Stage::Between(None) => is_posted && !presumes,
            Stage::Between(Some(_)) => true,
            Stage::Within(_) | Stage::Decided { .. } | Stage::Refused(_) => false,
        };
        let keeps = |finding: Finding| match paying.stage {
            Stage::Between(None) => finding == Finding::Held || is_weighed,
            Stage::Between(Some(_)) => true,
            Stage::Within(_) | Stage::Decided { .. } | Stage::Refused(_) => false,
        };
        let mut heard = paying.heard;
        for side in [0, 1] {
            if let Some(finding) = fresh[side].filter(|finding| keeps(*finding)) {
                heard[side] = Some((gateway, known[side], finding));
            }
        }
        let both_held = is_held(&heard[0], 0) && is_held(&heard[1], 1);
        let is_said = |side: usize| heard[side].is_some_and(|(to, of, _)| (to, of) == (gateway, known[side]));
        let refused = |side: usize| match fresh[side] {
            Some(Finding::Refused(reason)) => Some(reason),
            _ => None,
        };
        let voided =
            [Side::Debit, Side::Credit].into_iter().zip(fresh).find(|(_, said)| *said == Some(Finding::Voided));
        match paying.stage.clone() {
            Stage::Within(cause) => match fresh[0] {
                Some(Finding::Posted) => decide(paying, None, [false; 2]),
                Some(Finding::Refused(reason)) => decide(paying, Some(reason), [false; 2]),
                Some(Finding::Voided) => {
                    let unasked = Reason::VoidedAtBank { side: Side::Debit };
                    decide(paying, Some(cause.map_or(unasked, reason)), [false; 2]);
                }
                Some(Finding::Held | Finding::NotFound) | None => {}
            },
            Stage::Between(cause) if is_weighed => {
                let word = |side: usize| heard[side].filter(|_| is_said(side)).map(|(_, _, finding)| finding);
                let both_spoke = word(0).is_some() && word(1).is_some();
                match weighed(word(0), word(1), may_have_lost.map(|lost| lost && !(is_too_much && both_spoke))) {
                    None => paying.heard = heard,
                    Some(Weighed::Post) => decide(paying, None, [true; 2]),
                    Some(Weighed::Void(Some(why))) => decide(paying, Some(why), [true; 2]),
                    Some(Weighed::Void(None)) => {
                        decide(paying, Some(reason(cause.unwrap_or(Cause::Bank))), [true; 2]);
                    }
                }
            }
            Stage::Between(_) if is_posted => {
                let side = if fresh[0] == Some(Finding::Posted) { Side::Debit } else { Side::Credit };
                decide(paying, Some(Reason::ContradictedByBank { side }), [true; 2]);
            }
            Stage::Between(_) if voided.is_some() => {
                let side = voided.expect("just seen").0;
                decide(paying, Some(Reason::VoidedAtBank { side }), [true; 2]);
            }
            Stage::Between(None) if refused(0).or(refused(1)).is_some() => {
                decide(paying, refused(0).or(refused(1)), [0, 1].map(|side| refused(side).is_none()));
            }
            Stage::Between(_) if both_held => decide(paying, None, [true; 2]),
            Stage::Between(_) => paying.heard = heard,
            // It stays void, and whoever has posted it is told no more of it.
            Stage::Decided { void: void @ Some(Reason::VoidedAtRisk), owed } => {
                let left = [0, 1].map(|side| owed[side] && fresh[side] != Some(Finding::Posted));
                paying.stage = Stage::Decided { void, owed: left };
            }
            Stage::Decided { .. } | Stage::Refused(_) => {}
        }
        Ok(Outcome::Payment(status(paying)))
    }

    fn delivered(&mut self, id: u128, side: Side, incarnation: u32) -> Ruling {
        let Some(paying) = self.payments.get_mut(&id).filter(|paying| is_live(paying)) else {
            return Ok(Outcome::Delivered);
        };
        let (party, at) = match side {
            Side::Debit => (paying.terms.payer, 0),
            Side::Credit => (paying.terms.payee, 1),
        };
        let known = self.banks[party.bank.as_str()].epoch;
        if known != incarnation {
            return Err(Refusal::StaleEpoch { known: epoch(known) });
        }
        match &mut paying.stage {
            Stage::Decided { owed, .. } => owed[at] = false,
            Stage::Between(_) | Stage::Within(_) | Stage::Refused(_) => return Err(Refusal::NotDecided),
        }
        Ok(Outcome::Delivered)
    }
}

impl Paying {
    fn may_be_forgotten(&self, gateway: u32) -> bool {
        self.taken_in < gateway || self.recalled
    }
}

enum Weighed {
    Post,
    /// For that reason, or for the one that made it be asked about.
    Void(Option<Reason>),
}

/// What both banks' words come to, of a payment that a restored gateway may have decided before.
fn weighed(debit: Option<Finding>, credit: Option<Finding>, may_have_lost: [bool; 2]) -> Option<Weighed> {
    let words = match (debit, credit) {
        (Some(debit), Some(credit)) => [debit, credit],
        (Some(word), None) => return void_by(word, Side::Debit, may_have_lost[0]),
        (None, Some(word)) => return void_by(word, Side::Credit, may_have_lost[1]),
        (None, None) => return None,
    };
    let is_backed = words.map(|word| matches!(word, Finding::Held | Finding::Posted));
    if is_backed == [true; 2] {
        return Some(Weighed::Post);
    }
    for (at, side) in [(0, Side::Debit), (1, Side::Credit)] {
        if words[at] == Finding::Posted {
            let is_lost = words[1 - at] == Finding::NotFound && may_have_lost[1 - at];
            let contradicted = Weighed::Void(Some(Reason::ContradictedByBank { side }));
            return Some(if is_lost { Weighed::Post } else { contradicted });
        }
    }
    let voided = [Side::Debit, Side::Credit].into_iter().zip(words).find(|(_, word)| *word == Finding::Voided);
    Some(Weighed::Void(voided.map(|(side, _)| Reason::VoidedAtBank { side })))
}

/// What the word of one bank comes to while the other is silent: void, or nothing yet.
fn void_by(word: Finding, side: Side, may_be_lost: bool) -> Option<Weighed> {
    match word {
        Finding::Held | Finding::Posted => None,
        Finding::NotFound if may_be_lost => None,
        Finding::NotFound | Finding::Refused(_) => Some(Weighed::Void(None)),
        Finding::Voided => Some(Weighed::Void(Some(Reason::VoidedAtBank { side }))),
    }
}

fn number_of(name: &str) -> clearing::BankNumber {
    let at = NAMES.iter().position(|known| *known == name).expect("tests name few banks");
    bank(u16::try_from(at).expect("few") + 1)
}

fn decide(paying: &mut Paying, void: Option<Reason>, owed: [bool; 2]) {
    paying.stage = Stage::Decided { void, owed };
}

fn is_live(paying: &Paying) -> bool {
    match paying.stage {
        Stage::Refused(_) => false,
        Stage::Between(_) | Stage::Within(_) => true,
        Stage::Decided { owed, .. } => owed != [false; 2],
    }
}

fn status(paying: &Paying) -> Status {
    match &paying.stage {
        Stage::Refused(reason) => Status::Refused { reason: *reason, delivery: Delivery::Done },
        Stage::Between(_) | Stage::Within(_) => Status::Undecided,
        Stage::Decided { void, owed } => {
            let delivery = if *owed == [false; 2] { Delivery::Done } else { Delivery::Pending };
            void.map_or(Status::Paid { delivery }, |reason| Status::Refused { reason, delivery })
        }
    }
}

fn reason(cause: Cause) -> Reason {
    match cause {
        Cause::TimedOut => Reason::BankUnavailable,
        Cause::Payer => Reason::VoidedByPayer,
        Cause::Bank | Cause::Recall => Reason::NotHeldAtBoth,
        Cause::Operator(_) => Reason::VoidedByOperator,
    }
}
