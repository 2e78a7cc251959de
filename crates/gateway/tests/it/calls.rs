//! What a bank's edge makes of the gateway's calls, and of its ledger's answers.

use clearing::{
    BankName, Call, CallKind, CustomerName, Epoch, Finding, Holder, NamedParty, Reply, Reported, Side, Terms,
};
use ledger::{
    AccountId, Answer, Command, Counterparty, Currency, Fence, HoldState, Movement, OrderEnd, Placer, Record,
    RecordKey, Rejected, Request,
};
use storage::IndexKey;

use crate::group::Group;

pub(crate) type BankGroup = Group<bank::Machine>;

fn placer() -> Placer {
    Placer::named("gateway")
}

/// One request: who speaks, and what is asked.
pub(crate) fn request(call: &Call) -> Vec<u8> {
    let fence = Fence { epoch: call.gateway.get(), complete_through: call.complete_through, ..Fence::default() };
    let mut commands = vec![Command::Fence { placer: placer(), fence }];
    let (id, terms) = (call.terms.id, &call.terms);
    let end = |end, placer, ordered: Command| {
        let Movement { id, debit, credit, amount, currency, reference } = ordered.movement().expect("it moves money");
        Command::EndOrder { end, id, placer, debit, credit, amount, currency, reference }
    };
    match call.kind {
        CallKind::PrepareDebit | CallKind::PrepareCredit => {
            let side = call.kind.side();
            let other = terms.party(side.other()).to_string();
            let counterparty = Counterparty::new(&other).expect("short");
            commands.push(hold(terms, side));
            commands.push(Command::NoteHold { id, placer: placer(), counterparty });
        }
        CallKind::CommitDebit | CallKind::CommitCredit => {
            commands.push(end(OrderEnd::Post, Some(placer()), hold(terms, call.kind.side())));
        }
        CallKind::AbortDebit | CallKind::AbortCredit => {
            commands.push(end(OrderEnd::Void, Some(placer()), hold(terms, call.kind.side())));
        }
        CallKind::Transfer => commands.push(transfer(terms)),
        CallKind::VoidTransfer => commands.push(end(OrderEnd::Void, None, transfer(terms))),
        CallKind::HoldStatus(_) => {}
    }
    Request { linked: false, commands }.encode()
}

/// What the answers come to; a look is made at the node that was asked, after its fence was applied there. None from an
/// older incarnation.
pub(crate) fn reply(call: &Call, answers: &[Answer], bank: &BankGroup, node: u16) -> Option<Reply> {
    if let Some(Rejected::StaleFence { .. }) = answers.first()?.outcome.rejection() {
        return None;
    }
    let finding = match call.kind {
        CallKind::HoldStatus(_) => look(bank, node, call)?,
        _ => Finding::of(&answers.get(1)?.outcome),
    };
    let said = Reported { epoch: Epoch::FIRST, finding };
    Some(Reply { kind: call.kind, gateway: call.gateway, said })
}

fn look(bank: &BankGroup, node: u16, call: &Call) -> Option<Finding> {
    let applier = &bank.nodes.get(&node)?.applier;
    let record = |key: RecordKey| {
        let bytes = applier.find(IndexKey::new(key.kind(), key.id())).expect("the disk is sound");
        bytes.map(|bytes| Record::decode(&bytes).expect("the ledger wrote it"))
    };
    let id = call.terms.id;
    Some(match (record(RecordKey::outcome(id)), record(RecordKey::hold_end(id))) {
        (None, _) => Finding::NotFound,
        (Some(_), Some(end)) => Finding::of(&end.outcome(HoldState::Held)),
        (Some(first), None) => Finding::of(&first.outcome(HoldState::Held)),
    })
}

fn hold(terms: &Terms, side: Side) -> Command {
    let (debit, credit) = match side {
        Side::Debit => (party(&terms.payer), interbank(&terms.payee.bank, terms)),
        Side::Credit => (interbank(&terms.payer.bank, terms), party(&terms.payee)),
    };
    let Terms { id, amount, currency, reference, .. } = *terms;
    Command::PlaceHold { id, placer: placer(), debit, credit, amount, currency, reference }
}

fn transfer(terms: &Terms) -> Command {
    let Terms { id, amount, currency, reference, .. } = *terms;
    Command::Transfer {
        id,
        placer: Some(placer()),
        debit: party(&terms.payer),
        credit: party(&terms.payee),
        amount,
        currency,
        reference,
    }
}

fn interbank(bank: &BankName, terms: &Terms) -> AccountId {
    AccountId::interbank(bank.as_str(), terms.currency)
}

fn party(party: &NamedParty) -> AccountId {
    match &party.holder {
        Holder::Customer(name) => account(name),
        Holder::House => AccountId::vault(Currency::EUR),
    }
}

/// As a customer's account follows from the name, but a small number.
pub(crate) fn account(name: &CustomerName) -> AccountId {
    let id = name.as_str().bytes().fold(1u128, |id, byte| id << 8 | u128::from(byte));
    AccountId::new(id | 1 << 120).expect("not nil")
}
