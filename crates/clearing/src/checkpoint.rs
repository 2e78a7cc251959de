//! The checkpoint: the state as keys and values, folded from records without a state, and a state made of them.
//!
//! ```text
//! key                       value (version u8 = 1 first; little endian)
//! B  number u16 big endian  name · group · epoch · standing, also of what it had lost · epoch of the gateway, if not the first
//! C  number u16 big endian  (it has caught up since)
//! D  number u16 big endian  epoch of the gateway (in which it was asked for what it holds)
//! E                         epoch of the gateway · in older ones a time, which nobody reads
//! F  payer                  when the bucket of what they have had refused is full again
//! G  number u16 big endian  epoch of the gateway and number, at which the answer ends when it is asked what it holds
//! H                         seed of the ids behind idempotency keys
//! I  number u16 big endian, when that bucket of the bank's is full again
//!    bucket
//! J  number, other number   as G, of what it set aside with that other bank
//! K  key u64 big endian     node · public key · expiry
//! L  payment u128           (listed for the operator)
//! N  bank u16 big endian    number of its newest payment · place
//! O  low, high, currency    what the lower-numbered bank owes
//! P  payment u128           order · origin · numbers · epoch · taker · taken · vote by · place
//! Q  payment u128           verdict · decided · owed
//! R  key u64 big endian     (retired)
//! S  version u64 big endian change · time · place
//! T                         time of the newest record
//! U  session u128           customer · opened · expiry
//! V  payment u128, side     vote
//! W  payment u128           cause: void is wanted
//! X  session u128           (ended)
//! Y  payment u128, side     (void, and that side's bank says that it has posted it)
//! ```
//!
//! Each record puts or deletes whole values, so of many records about one key only the last counts. What can be counted
//! (open payments of a bank, reservations) is not stored. Keys sort so that what others lean on comes first.

use crate::bank::{BankBucket, Recall, Standing};
use crate::bytes::Out;
use crate::clearing::Clearing;
use crate::finding::Vote;
use crate::names::{BankName, BankNumber, Epoch, GroupId, KeyId, NodeNumber, SessionId};
use crate::order::{Pair, Party, PaymentId, Side};
use crate::outcome::Verdict;
use crate::payment::{Owed, Payment, Phase, Wish, put_owed};
use crate::position::PositionKey;
use crate::record::{Body, Record, RecordError, Taken, put_registered_in};
use crate::seed::Seed;
use crate::settings::SettingEntry;
use ledger::RecordBytes;

pub(crate) const VERSION: u8 = 1;

/// Takes one entry: a key, and its value or `None` to delete it.
type Put<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// What a record changes in the checkpoint. What was refused changes the time only.
///
/// # Errors
/// When the bytes are no record of the gateway.
pub fn fold_effects(bytes: &RecordBytes, put: &mut Put<'_>) -> Result<(), RecordError> {
    let record = Record::decode(bytes)?;
    put_time(record.time_ms, put);
    match record.body {
        Body::EpochBegan { epoch, since_ms: _ } => put_epoch(epoch, put),
        Body::BankToRecall { number, recall } => put_recall(number, &recall, put),
        Body::BankRegistered { number, name, group, epoch, standing, registered_in } => {
            put_bank(number, &name, group, (epoch, registered_in), &standing, put);
            put(&bank_key(b'C', number), None);
        }
        Body::BankCharged { number, bucket, full_at_us } => put_bank_charge(number, bucket, full_at_us, put),
        // The rest of the bank's entry is not known here, so that it has caught up is an entry of its own; the next
        // registration takes it away again.
        Body::BankCaughtUp { number } => put_value(&bank_key(b'C', number), put, |_| {}),
        Body::BankRecalled { number, epoch } => put_recalled(number, epoch, put),
        Body::BankToRecallWith { number, other, recall } => put_recall_with((number, other), &recall, put),
        Body::BankRecalledWith { number, other } => put(&pair_key(b'J', (number, other)), None),
        Body::SessionOpened { session, customer, expires_ms } => {
            put_session(session, &customer, record.time_ms, expires_ms, put);
        }
        Body::SessionEnded { session } => put_value(&wide_key(b'X', session.get()), put, |_| {}),
        Body::SessionForgotten { session } => {
            put(&wide_key(b'U', session.get()), None);
            put(&wide_key(b'X', session.get()), None);
        }
        Body::KeyKept { key, node, public, expires_ms } => put_key(key, node, &public, expires_ms, put),
        Body::KeyRetired { key } => put_value(&narrow_key(b'R', key.get()), put, |_| {}),
        Body::KeyForgotten { key } => {
            put(&narrow_key(b'K', key.get()), None);
            put(&narrow_key(b'R', key.get()), None);
        }
        Body::SeedKept { seed } => put_seed(&seed, put),
        Body::PaymentTaken(taken) => {
            let Taken { order, origin, numbers, previous: _, epoch, taker, vote_by_ms } = taken;
            let phase = Payment::first_phase(&order, origin);
            let (taken_ms, place) = (record.time_ms, record.place);
            let payment = Payment { order, origin, numbers, epoch, taker, taken_ms, vote_by_ms, place, phase };
            put_payment(&payment, put);
            for side in payment.sides() {
                put_newest(order.bank(*side), *numbers.of(*side), place, put);
            }
        }
        Body::PaymentRefused { .. } | Body::KeyClaimed { .. } => {}
        Body::VoteRecorded { id, side, vote } => put_vote(id, side, &vote, put),
        Body::VoidWanted { id, cause } => put_value(&wide_key(b'W', id.get()), put, |out| out.value(&cause)),
        Body::PaymentDecided(decided) => {
            if let Some((key, low_owes)) = decided.position {
                put_position(&key, low_owes, put);
            }
            if decided.listed {
                put_value(&wide_key(b'L', decided.id.get()), put, |_| {});
            }
            delete_undecided(decided.id, put);
            put_decision(decided.id, decided.verdict, record.time_ms, decided.owed, put);
        }
        Body::SideDelivered { id, left, verdict, decided_ms, .. } => {
            put_decision(id, verdict, decided_ms, left, put);
        }
        Body::Contradicted { id, side, left, verdict, decided_ms } => {
            put_value(&wide_key(b'L', id.get()), put, |_| {});
            put_value(&side_key(b'Y', id, side), put, |_| {});
            put_decision(id, verdict, decided_ms, left, put);
        }
        Body::Acknowledged { id } => {
            put(&wide_key(b'L', id.get()), None);
            Side::BOTH.iter().for_each(|side| put(&side_key(b'Y', id, *side), None));
        }
        Body::SettingChanged { replaced_version, change } => {
            let entry = SettingEntry { change, time_ms: record.time_ms, place: record.place };
            put_setting(replaced_version, &entry, put);
        }
        Body::PayerCharged { payer, full_at_us, forgotten } => {
            forgotten.iter().for_each(|other| put(&payer_key(other), None));
            put_charge(&payer, full_at_us, put);
        }
    }
    Ok(())
}

/// What there are many of is looked at in slices, by the low bits of its id.
#[derive(Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) slice: u64,
    pub(crate) of: u64,
}

impl Slice {
    pub(crate) const WHOLE: Slice = Slice { slice: 0, of: 1 };

    fn has(self, id: u128) -> bool {
        id % u128::from(self.of) == u128::from(self.slice)
    }
}

/// The entries of a slice of a state, each once, in a fixed order. What there is little of is in every slice.
pub(crate) fn entries(clearing: &Clearing, slice: Slice, each: &mut dyn FnMut(&[u8], &[u8])) {
    // Entries are only put: nothing is deleted here.
    let mut put = |key: &[u8], value: Option<&[u8]>| value.into_iter().for_each(|value| each(key, value));
    entries_of_network(clearing, &mut put);
    for (id, session) in clearing.state.sessions.all().filter(|(id, _)| slice.has(id.get())) {
        put_session(id, &session.customer, session.opened_ms, session.expires_ms, &mut put);
        if session.ended {
            put_value(&wide_key(b'X', id.get()), &mut put, |_| {});
        }
    }
    for (payer, full_at_us) in clearing.state.charges.all().filter(|(_, at)| slice.has(u128::from(*at))) {
        put_charge(payer, full_at_us, &mut put);
    }
    for id in clearing.state.listed.iter().filter(|id| slice.has(id.get())) {
        put_value(&wide_key(b'L', id.get()), &mut put, |_| {});
    }
    for (id, side) in clearing.state.contradicted.iter().filter(|(id, _)| slice.has(id.get())) {
        put_value(&side_key(b'Y', *id, *side), &mut put, |_| {});
    }
    let payments = clearing.state.payments.values();
    payments.filter(|payment| slice.has(payment.order.id.get())).for_each(|payment| put_whole(payment, &mut put));
}

fn entries_of_network(clearing: &Clearing, put: &mut Put<'_>) {
    let state = &clearing.state;
    put_epoch(state.epoch, put);
    put_time(state.time_ms, put);
    for bank in &state.banks {
        let (registered, is_live) = (bank.as_registered(), bank.standing == Standing::Live);
        put_bank(bank.number, &bank.name, bank.group, (bank.epoch, bank.registered_in), &registered, put);
        if registered != Standing::Live && is_live {
            put_value(&bank_key(b'C', bank.number), put, |_| {});
        }
        if bank.recalled > Epoch::FIRST {
            put_recalled(bank.number, bank.recalled, put);
        }
        if bank.recall != Recall::WHOLE {
            put_recall(bank.number, &bank.recall, put);
        }
        for bucket in BankBucket::ALL.into_iter().filter(|bucket| bank.full_at_us.of(*bucket) > 0) {
            put_bank_charge(bank.number, bucket, bank.full_at_us.of(bucket), put);
        }
        if let Some(place) = bank.last_place {
            put_newest(bank.number, bank.last_number, place, put);
        }
    }
    for (pair, recall) in &state.recall_with {
        put_recall_with(*pair, recall, put);
    }
    state.seed.iter().for_each(|seed| put_seed(seed, put));
    for key in state.keys.values() {
        put_key(key.id, key.node, &key.public, key.expires_ms, put);
        if key.retired {
            put_value(&narrow_key(b'R', key.id.get()), put, |_| {});
        }
    }
    for (key, position) in state.positions.iter().filter(|(_, position)| position.low_owes != 0) {
        put_position(key, position.low_owes, put);
    }
    for (version, entry) in (0..).zip(state.settings.entries()) {
        put_setting(version, entry, put);
    }
}

/// A payment with all that is known of its phase.
pub(crate) fn put_whole(payment: &Payment, put: &mut Put<'_>) {
    put_payment(payment, put);
    let id = payment.order.id;
    match &payment.phase {
        Phase::Voting(votes) => put_votes(id, votes, put),
        Phase::Asking { cause, found } => {
            put_votes(id, found, put);
            put_value(&wide_key(b'W', id.get()), put, |out| out.value(cause));
        }
        Phase::AtBank(Wish::Transfer) => {}
        Phase::AtBank(Wish::Void(cause)) => put_value(&wide_key(b'W', id.get()), put, |out| out.value(cause)),
        Phase::Delivering { verdict, decided_ms, owed } => put_decision(id, *verdict, *decided_ms, Some(*owed), put),
    }
}

fn put_votes(id: PaymentId, votes: &Pair<Option<Vote>>, put: &mut Put<'_>) {
    for side in Side::BOTH {
        votes.of(side).iter().for_each(|vote| put_vote(id, side, vote, put));
    }
}

fn put_bank(
    number: BankNumber,
    name: &BankName,
    group: GroupId,
    (epoch, registered_in): (Epoch, Epoch),
    standing: &Standing,
    put: &mut Put<'_>,
) {
    put_value(&bank_key(b'B', number), put, |out| {
        out.value(name);
        out.value(&group);
        out.value(&epoch);
        out.value(standing);
        put_registered_in(registered_in, out);
    });
}

fn put_epoch(epoch: Epoch, put: &mut Put<'_>) {
    put_value(b"E", put, |out| out.value(&epoch));
}

fn put_recalled(bank: BankNumber, epoch: Epoch, put: &mut Put<'_>) {
    put_value(&bank_key(b'D', bank), put, |out| out.value(&epoch));
}

fn put_recall(bank: BankNumber, recall: &Recall, put: &mut Put<'_>) {
    put_value(&bank_key(b'G', bank), put, |out| out.value(recall));
}

fn put_recall_with(pair: (BankNumber, BankNumber), recall: &Recall, put: &mut Put<'_>) {
    put_value(&pair_key(b'J', pair), put, |out| out.value(recall));
}

fn put_bank_charge(bank: BankNumber, bucket: BankBucket, full_at_us: u64, put: &mut Put<'_>) {
    let mut key = Out::default();
    key.u8(b'I');
    key.bytes.extend_from_slice(&bank.get().to_be_bytes());
    key.value(&bucket);
    put_value(&key.bytes, put, |out| out.u64(full_at_us));
}

fn put_newest(bank: BankNumber, number: u64, place: u64, put: &mut Put<'_>) {
    put_value(&bank_key(b'N', bank), put, |out| {
        out.u64(number);
        out.u48(place);
    });
}

fn put_key(key: KeyId, node: NodeNumber, public: &[u8; 32], expires_ms: u64, put: &mut Put<'_>) {
    put_value(&narrow_key(b'K', key.get()), put, |out| {
        out.value(&node);
        out.array(public);
        out.u64(expires_ms);
    });
}

fn put_seed(seed: &Seed, put: &mut Put<'_>) {
    put_value(b"H", put, |out| out.value(seed));
}

fn put_session(id: SessionId, customer: &Party, opened_ms: u64, expires_ms: u64, put: &mut Put<'_>) {
    put_value(&wide_key(b'U', id.get()), put, |out| {
        out.value(customer);
        out.u48(opened_ms);
        out.u64(expires_ms);
    });
}

fn put_charge(payer: &Party, full_at_us: u64, put: &mut Put<'_>) {
    put_value(&payer_key(payer), put, |out| out.u64(full_at_us));
}

fn payer_key(payer: &Party) -> Vec<u8> {
    let mut bytes = Out::default();
    bytes.u8(b'F');
    bytes.value(payer);
    bytes.bytes
}

fn put_position(key: &PositionKey, low_owes: i128, put: &mut Put<'_>) {
    let mut bytes = Out::default();
    bytes.u8(b'O');
    bytes.value(key);
    put_value(&bytes.bytes, put, |out| out.i128(low_owes));
}

fn put_setting(version: u64, entry: &SettingEntry, put: &mut Put<'_>) {
    put_value(&narrow_key(b'S', version), put, |out| {
        out.value(&entry.change);
        out.u48(entry.time_ms);
        out.u48(entry.place);
    });
}

fn put_payment(payment: &Payment, put: &mut Put<'_>) {
    put_value(&wide_key(b'P', payment.order.id.get()), put, |out| {
        out.value(&payment.order);
        out.value(&payment.origin);
        out.u64(payment.numbers.debit);
        out.u64(payment.numbers.credit);
        out.value(&payment.epoch);
        out.value(&payment.taker);
        out.u48(payment.taken_ms);
        out.u64(payment.vote_by_ms);
        out.u48(payment.place);
    });
}

fn put_vote(id: PaymentId, side: Side, vote: &Vote, put: &mut Put<'_>) {
    put_value(&side_key(b'V', id, side), put, |out| out.value(vote));
}

/// The decision while somebody is owed it; with the last acknowledgement the payment leaves the checkpoint.
fn put_decision(id: PaymentId, verdict: Verdict, decided_ms: u64, owed: Option<Owed>, put: &mut Put<'_>) {
    if owed.is_none() {
        put(&wide_key(b'P', id.get()), None);
        put(&wide_key(b'Q', id.get()), None);
        return;
    }
    put_value(&wide_key(b'Q', id.get()), put, |out| {
        out.value(&verdict);
        out.u48(decided_ms);
        put_owed(owed, out);
    });
}

fn delete_undecided(id: PaymentId, put: &mut Put<'_>) {
    Side::BOTH.iter().for_each(|side| put(&side_key(b'V', id, *side), None));
    put(&wide_key(b'W', id.get()), None);
}

fn put_time(time_ms: u64, put: &mut Put<'_>) {
    put_value(b"T", put, |out| out.u48(time_ms));
}

fn put_value(key: &[u8], put: &mut Put<'_>, fields: impl FnOnce(&mut Out)) {
    let mut out = Out::default();
    out.u8(VERSION);
    fields(&mut out);
    put(key, Some(&out.bytes));
}

fn bank_key(kind: u8, bank: BankNumber) -> [u8; 3] {
    let [high, low] = bank.get().to_be_bytes();
    [kind, high, low]
}

fn pair_key(kind: u8, (number, other): (BankNumber, BankNumber)) -> [u8; 5] {
    let [[a, b], [c, d]] = [number, other].map(|bank| bank.get().to_be_bytes());
    [kind, a, b, c, d]
}

fn narrow_key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn wide_key(kind: u8, id: u128) -> [u8; 17] {
    let mut key = [kind; 17];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

fn side_key(kind: u8, id: PaymentId, side: Side) -> [u8; 18] {
    let mut key = [kind; 18];
    key[1..17].copy_from_slice(&id.get().to_be_bytes());
    key[17] = match side {
        Side::Debit => 1,
        Side::Credit => 2,
    };
    key
}
