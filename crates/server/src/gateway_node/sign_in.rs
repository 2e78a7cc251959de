//! Sign-in and sign-out. The bank says whether it is the password, and counts how often it was asked; the group's state
//! holds the session. What is known of where a caller comes from travels with the question: see `attempts`.

use super::authentication::Asker;
use super::banks::Link;
use super::desk::{Desk, with_cause};
use super::tokens::Caller;
use crate::edge::origin::Origin;
use crate::edge::request_log;
use api::client::ClientError;
use api::code::Code;
use api::payment::{bank_name, customer_name};
use api::problem::Problem;
use api::proto;
use clearing::session::Session;
use clearing::{Command, Holder, NamedParty, SessionId};

/// A sign-in that lingers for longer on its way into the log is not opened any more.
const OPENED_WITHIN_MS: u64 = 30_000;

/// Who calls, as far as can be told before they have signed in.
#[derive(Debug)]
pub(super) struct Stranger<'a> {
    pub(super) origin: Origin,
    /// A token of an earlier sign-in, if they sent one: it may be over its time, or signed out.
    pub(super) token: Option<&'a str>,
}

#[expect(clippy::expect_used, reason = "a UUID with a version is not nil")]
pub(super) async fn login(
    desk: &Desk,
    stranger: Stranger<'_>,
    request: proto::LoginRequest,
) -> Result<proto::LoginResponse, Problem> {
    let bank = bank_name("bank_name", &request.bank_name)?;
    let customer = customer_name("username", &request.username)?;
    request_log::note_about([format!("{customer}@{bank}")]);
    let link = desk.banks.link(&bank).ok_or_else(|| desk.banks.unknown(&bank))?;
    let earlier = desk.tokens.earlier(desk, stranger.token).await;
    let earlier = earlier.filter(|caller| (caller.bank, caller.customer) == (bank, customer));
    // One that has just come is being taken into the network; of one that is away its own answer tells.
    // A bank that hears nothing lets the question wait for longer than the caller does.
    if !link.is_there().await {
        let detail = format!("bank {bank} does not answer now, so nobody can sign in there");
        return Err(Problem::new(Code::BankUnavailable, detail).retry_after_ms(1_000));
    }
    let question = proto::AuthenticateRequest {
        username: customer.as_str().to_owned(),
        password: request.password,
        source: stranger.origin.digest(),
        // What the bank is told is not what the token names: it need not know that.
        earlier: earlier.map(|caller| digest(&caller.session.get().to_le_bytes())),
    };
    let party = NamedParty { bank, holder: Holder::Customer(customer) };
    let asker = match earlier {
        Some(_) => Asker::Known(digest(party.to_string().as_bytes())),
        None => Asker::Stranger(question.source),
    };
    let answered = link.authentication().ask(&bank, asker, question).await?;
    answered.map_err(|error| not_authenticated(&link, error))?;
    let session = SessionId::new(uuid::Uuid::new_v4().as_u128()).expect("a UUID with a version is not nil");
    let expires_ms = desk.tokens.expires_ms(desk.now().ms());
    // Signed before it is opened: a node that cannot sign opens nothing.
    let (token, key) = desk.tokens.sign(session, &party, expires_ms)?;
    let open_by_ms = desk.now().ms() + OPENED_WITHIN_MS;
    desk.order(Command::OpenSession { session, customer: party, expires_ms, open_by_ms }).await.map_err(|problem| {
        // The bank has just said who this is, so it is there: only the gateway's log does not know it yet.
        if problem.code != Code::UnknownBank {
            return problem;
        }
        let detail = format!("bank {bank} is being taken into the network; try again in a moment");
        Problem::new(Code::BankUnavailable, detail).retry_after_ms(300)
    })?;
    let now = desk.now();
    let live = desk.peek(move |clearing| {
        let now_ms = now.ms_in(clearing);
        let of = |number| clearing::Party { bank: number, holder: Holder::Customer(customer) };
        let party = clearing.bank_named(&bank).map(|bank| of(bank.number));
        let live = party.map(|party| clearing.live_sessions(&party, now_ms).count());
        (live, clearing.keys(now_ms).any(|known| known.id == key))
    });
    // As of the session's entry in the log: who was told before that a key is retired sees no new token of it.
    let (live, is_good) = live.await?;
    if !is_good {
        return Err(desk.tokens.was_retired(key));
    }
    let live_sessions = u32::try_from(live.unwrap_or(1)).unwrap_or(u32::MAX);
    Ok(proto::LoginResponse { token, expires_ms, live_sessions })
}

/// What the bank says, or that it says nothing: because it is away, or because it has too much to do.
fn not_authenticated(link: &Link, error: ClientError) -> Problem {
    let bank = link.name;
    match error {
        ClientError::Refused { code, detail, retry_after_ms } => {
            let problem = Problem::new(code, detail);
            retry_after_ms.map_or(problem.clone(), |wait_ms| problem.retry_after_ms(wait_ms))
        }
        error if link.is_reachable() => {
            let detail = format!("bank {bank} has more to do than it can answer now: {error}");
            Problem::new(Code::TooManySignIns, detail).retry_after_ms(1_000)
        }
        error => {
            let detail = format!("bank {bank} does not answer now, so nobody can sign in there: {error}");
            Problem::new(Code::BankUnavailable, detail).retry_after_ms(1_000)
        }
    }
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
    let (bank, customer, now) = (caller.bank, caller.customer, desk.now());
    let found = desk.read(move |view| {
        let clearing = view.clearing();
        let number = clearing.bank_named(&bank)?.number;
        let party = clearing::Party { bank: number, holder: Holder::Customer(customer) };
        let live = clearing.live_sessions(&party, now.ms_in(clearing));
        Some(live.map(|(id, session)| (id, *session)).collect::<Vec<_>>())
    });
    Ok(found.await?.unwrap_or_default())
}

/// Whether the caller's session still is, by the group's word: sign-out counts at once, on every node.
pub(super) async fn check_session(desk: &Desk, caller: &Caller) -> Result<(), Problem> {
    let (id, now) = (caller.session, desk.now());
    let state = desk.read(move |view| {
        let clearing = view.clearing();
        let now_ms = now.ms_in(clearing);
        clearing.session(id).map(|session| (session.ended, session.expires_ms <= now_ms))
    });
    match state.await? {
        None => Err(Problem::new(Code::TokenInvalid, "there is no such session; sign in again")),
        Some((true, _)) => Err(Problem::new(Code::TokenRevoked, "the session was ended; sign in again")),
        Some((false, true)) => {
            let problem = Problem::new(Code::TokenExpired, "the token's time is over; sign in again");
            Err(with_cause(problem, desk.gateway.log_ahead_ms()))
        }
        Some((false, false)) => Ok(()),
    }
}

#[expect(clippy::expect_used, reason = "a slice of eight bytes is eight bytes")]
pub(super) fn digest(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(blake3::hash(bytes).as_bytes()[..8].try_into().expect("eight bytes of thirty-two"))
}
