//! Sign-in and sign-out. The bank says whether it is the password; the group's state holds the session.

use super::desk::{Desk, now_ms};
use super::tokens::Caller;
use crate::edge::request_log;
use api::client::ClientError;
use api::code::Code;
use api::payment::{bank_name, customer_name};
use api::problem::Problem;
use api::proto;
use clearing::session::Session;
use clearing::{BankName, Command, CustomerName, Holder, NamedParty, SessionId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that cost nothing.
const FREE_FAILURES: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Names whose failures are remembered, at most.
const NAMES_MAX: usize = 10_000;

/// Failed sign-ins by name. What a stranger can make grow here is bounded.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_name: Mutex<HashMap<u64, Failed>>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    next: Instant,
}

impl Failures {
    /// Whether that name may be tried now.
    fn admit(&self, name: u64, now: Instant) -> Result<(), Problem> {
        let failed = self.by_name.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied();
        match failed.filter(|failed| now < failed.next) {
            None => Ok(()),
            Some(failed) => {
                let wait_ms = u64::try_from((failed.next - now).as_millis()).unwrap_or(u64::MAX);
                let detail =
                    format!("too many failed sign-ins of this name; try again in {} s", wait_ms.div_ceil(1_000));
                Err(Problem::new(Code::TooManyAttempts, detail).retry_after_ms(wait_ms))
            }
        }
    }

    fn note(&self, name: u64, now: Instant) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if by_name.len() >= NAMES_MAX && !by_name.contains_key(&name) {
            by_name.retain(|_, failed| now < failed.next + PAUSE_MAX);
            if by_name.len() >= NAMES_MAX {
                // Whoever floods with names of their own does not free one that is being guessed at.
                let mut pauses: Vec<Instant> = by_name.values().map(|failed| failed.next).collect();
                pauses.sort_unstable();
                let middle = pauses[pauses.len() / 2];
                by_name.retain(|_, failed| failed.next > middle);
            }
        }
        let failed = by_name.entry(name).or_insert(Failed { times: 0, next: now });
        failed.times = failed.times.saturating_add(1);
        failed.next = now + pause(failed.times);
    }

    fn forget(&self, name: u64) {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    }
}

/// One second after the third failure, then twice as long each time.
fn pause(times: u32) -> Duration {
    match times.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1 << more.min(6)).min(PAUSE_MAX),
    }
}

pub(super) async fn login(desk: &Desk, request: proto::LoginRequest) -> Result<proto::LoginResponse, Problem> {
    let bank = bank_name("bank_name", &request.bank_name)?;
    let customer = customer_name("username", &request.username)?;
    let key = name_key(&bank, &customer);
    request_log::note_about([format!("{customer}@{bank}")]);
    desk.failures.admit(key, Instant::now())?;
    let link = desk.banks.link(&bank).ok_or_else(|| unknown_bank(&bank))?;
    // One that has just come is being taken into the network; of one that is away its own answer tells.
    link.is_there().await;
    let client = link.client();
    match client.authenticate(customer.as_str(), &request.password).await {
        Ok(_) => desk.failures.forget(key),
        Err(ClientError::Refused { code: code @ (Code::WrongCredentials | Code::CustomerLocked), detail }) => {
            desk.failures.note(key, Instant::now());
            return Err(Problem::new(code, detail));
        }
        Err(ClientError::Refused { code, detail }) => return Err(Problem::new(code, detail)),
        Err(error) => {
            let detail = format!("bank {bank} does not answer now, so nobody can sign in there: {error}");
            return Err(Problem::new(Code::BankUnavailable, detail).retry_after_ms(1_000));
        }
    }
    let party = NamedParty { bank, holder: Holder::Customer(customer) };
    let session = SessionId::new(uuid::Uuid::new_v4().as_u128()).expect("a UUID with a version is not nil");
    let expires_ms = desk.tokens.expires_ms();
    // Signed before it is opened: a node that cannot sign opens nothing.
    let token = desk.tokens.sign(session, &party, expires_ms)?;
    desk.order(Command::OpenSession { session, customer: party, expires_ms }).await.map_err(|problem| {
        // The bank has just said who this is, so it is there: only the gateway's log does not know it yet.
        if problem.code != Code::UnknownBank {
            return problem;
        }
        let detail = format!("bank {bank} is being taken into the network; try again in a moment");
        Problem::new(Code::BankUnavailable, detail).retry_after_ms(300)
    })?;
    let live = desk.peek(move |clearing| {
        let number = clearing.bank_named(&bank)?.number;
        let party = clearing::Party { bank: number, holder: Holder::Customer(customer) };
        Some(clearing.live_sessions(&party, now_ms(clearing)).count())
    });
    let live_sessions = u32::try_from(live.await?.unwrap_or(1)).unwrap_or(u32::MAX);
    Ok(proto::LoginResponse { token, expires_ms, live_sessions })
}

/// Ends the session on every node, or the customer's other ones: what is applied after this is refused.
pub(super) async fn logout(
    desk: &Desk,
    caller: &Caller,
    request: proto::LogoutRequest,
) -> Result<proto::LogoutResponse, Problem> {
    let ended = if request.others {
        check_session(desk, caller).await?;
        let live = live_sessions(desk, caller).await?;
        live.into_iter().map(|(id, _)| id).filter(|id| *id != caller.session).collect()
    } else {
        vec![caller.session]
    };
    for session in &ended {
        desk.order(Command::EndSession { session: *session }).await?;
    }
    Ok(proto::LogoutResponse { ended: u32::try_from(ended.len()).unwrap_or(u32::MAX) })
}

/// The caller's own sign-ins, the newest first.
pub(super) async fn sessions(desk: &Desk, caller: &Caller) -> Result<proto::SessionsResponse, Problem> {
    check_session(desk, caller).await?;
    let mut live = live_sessions(desk, caller).await?;
    live.sort_unstable_by_key(|(_, session)| std::cmp::Reverse(session.opened_ms));
    let shown = live.into_iter().map(|(id, session)| proto::Session {
        opened_ms: session.opened_ms,
        expires_ms: session.expires_ms,
        current: id == caller.session,
    });
    Ok(proto::SessionsResponse { sessions: shown.collect() })
}

async fn live_sessions(desk: &Desk, caller: &Caller) -> Result<Vec<(SessionId, Session)>, Problem> {
    let (bank, customer) = (caller.bank, caller.customer);
    let found = desk.read(move |view| {
        let clearing = view.clearing();
        let number = clearing.bank_named(&bank)?.number;
        let party = clearing::Party { bank: number, holder: Holder::Customer(customer) };
        let live = clearing.live_sessions(&party, now_ms(clearing));
        Some(live.map(|(id, session)| (id, *session)).collect::<Vec<_>>())
    });
    Ok(found.await?.unwrap_or_default())
}

/// Whether the caller's session still is, by the group's word: sign-out counts at once, on every node.
pub(super) async fn check_session(desk: &Desk, caller: &Caller) -> Result<(), Problem> {
    let id = caller.session;
    let state = desk.read(move |view| {
        let clearing = view.clearing();
        let now_ms = now_ms(clearing);
        clearing.session(id).map(|session| (session.ended, session.expires_ms <= now_ms))
    });
    match state.await? {
        None => Err(Problem::new(Code::TokenInvalid, "there is no such session; sign in again")),
        Some((true, _)) => Err(Problem::new(Code::TokenRevoked, "the session was ended; sign in again")),
        Some((false, true)) => Err(Problem::new(Code::TokenExpired, "the token's time is over; sign in again")),
        Some((false, false)) => Ok(()),
    }
}

pub(super) fn unknown_bank(bank: &BankName) -> Problem {
    Problem::new(Code::UnknownBank, format!("there is no bank {bank} in this network"))
}

fn name_key(bank: &BankName, customer: &CustomerName) -> u64 {
    let hash = blake3::hash(format!("{customer}@{bank}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes of thirty-two"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_after_failures_and_a_good_one_forgives() {
        let (failures, now) = (Failures::default(), Instant::now());
        for _ in 0..FREE_FAILURES - 1 {
            failures.note(7, now);
            assert!(failures.admit(7, now).is_ok());
        }
        failures.note(7, now);
        let refused = failures.admit(7, now).expect_err("the third failure costs a second");
        assert_eq!((refused.code, refused.retry_after_ms), (Code::TooManyAttempts, Some(1_000)));
        assert!(failures.admit(8, now).is_ok(), "nobody else waits");
        assert!(failures.admit(7, now + Duration::from_secs(1)).is_ok());
        failures.note(7, now);
        assert_eq!(failures.admit(7, now).expect_err("twice as long").retry_after_ms, Some(2_000));
        failures.forget(7);
        assert!(failures.admit(7, now).is_ok());
    }

    #[test]
    fn strangers_cannot_make_it_grow_without_bound() {
        let (failures, now) = (Failures::default(), Instant::now());
        for name in 0..3 * NAMES_MAX as u64 {
            failures.note(name, now);
        }
        let kept = failures.by_name.lock().expect("nobody panicked").len();
        assert!(kept <= NAMES_MAX, "{kept}");
        // And do not free a name that is being guessed at.
        let failures = Failures::default();
        (0..8).for_each(|_| failures.note(7, now));
        (100..100 + 3 * NAMES_MAX as u64).for_each(|name| failures.note(name, now));
        assert!(failures.admit(7, now).is_err());
    }
}
