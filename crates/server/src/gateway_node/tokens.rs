//! Tokens: JWTs (RFC 7519) signed with EdDSA (RFC 8037), each the name of a session in the group's state.
//!
//! Every node signs with a key of its own that never leaves its memory; the public halves are in the replicated state, so
//! any node checks any token. A key signs for a day and is then replaced. A checked token is remembered, for a core checks
//! but nine thousand signatures a second. That a token is well signed says who calls; whether the session still is, the
//! state says.

use super::desk::{Desk, with_cause};
use api::code::Code;
use api::problem::Problem;
use api::proto;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use clearing::{BankName, Command, CustomerName, Holder, KeyId, NamedParty, Seed, SessionId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// How long a key signs.
const SIGNS_MS: u64 = 24 * 3_600_000;
/// Tokens that are remembered as checked, at most.
const CHECKED_MAX: usize = 100_000;
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);
/// A key that was retired counts on every node after so long.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Longer tokens are none of ours.
const TOKEN_BYTES_MAX: usize = 2_048;
/// Whom tokens are for.
const AUDIENCE: &str = "rialto";

/// Who calls: a customer, in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) bank: BankName,
    pub(super) customer: CustomerName,
    expires_ms: u64,
    /// What the token was signed with.
    key: KeyId,
}

impl Caller {
    pub(super) fn party(&self) -> NamedParty {
        NamedParty { bank: self.bank, holder: Holder::Customer(self.customer) }
    }
}

/// Makes tokens and checks them.
#[derive(Debug)]
pub(super) struct Tokens {
    issuer: String,
    pub(super) token_ms: u64,
    own: Mutex<SigningKey>,
    /// By the hash of the token.
    checked: Mutex<HashMap<[u8; 32], Caller>>,
    /// Public keys seen in the state.
    keys: Mutex<HashMap<KeyId, [u8; 32]>>,
}

/// This node's key.
struct SigningKey {
    id: KeyId,
    private: EncodingKey,
    public: [u8; 32],
    /// In the log's time; none before it was first offered to the group.
    signs_until_ms: Option<u64>,
    is_published: bool,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    bank: String,
    /// Seconds since 1970, as RFC 7519 has it.
    exp: u64,
    iat: u64,
    /// The session, as a UUID.
    jti: String,
}

impl SigningKey {
    fn make() -> Result<SigningKey, String> {
        let why = |_| "no randomness was to be had".to_owned();
        let pair = Ed25519KeyPair::generate().map_err(why)?;
        let document = pair.to_pkcs8().map_err(why)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| "a public key has 32 bytes".to_owned())?;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Ok(SigningKey {
            id: KeyId::new((high ^ low.rotate_left(17)).max(1)).ok_or("a key needs a number")?,
            private: EncodingKey::from_ed_der(document.as_ref()),
            public,
            signs_until_ms: None,
            is_published: false,
        })
    }
}

impl SigningKey {
    /// Until it is published: what is to be published, always the same from the first time on.
    fn unpublished(&mut self, now_ms: u64) -> Option<(KeyId, [u8; 32], u64)> {
        let signs_until_ms = *self.signs_until_ms.get_or_insert(now_ms.saturating_add(SIGNS_MS));
        (!self.is_published).then_some((self.id, self.public, signs_until_ms))
    }

    fn is_old(&self, now_ms: u64) -> bool {
        self.signs_until_ms.is_some_and(|until_ms| now_ms >= until_ms)
    }
}

impl Tokens {
    pub(super) fn new(issuer: &str, token_ms: u64) -> Result<Tokens, String> {
        Ok(Tokens {
            issuer: issuer.to_owned(),
            token_ms,
            own: Mutex::new(SigningKey::make()?),
            checked: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    /// When a token ends that is made at that time of the log.
    pub(super) fn expires_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add(self.token_ms) / 1_000 * 1_000
    }

    /// The token of a session, and the key that it is signed with.
    pub(super) fn sign(
        &self,
        session: SessionId,
        party: &NamedParty,
        expires_ms: u64,
    ) -> Result<(String, KeyId), Problem> {
        let Holder::Customer(customer) = party.holder else {
            return Err(Problem::new(Code::Internal, "the bank itself signs in nowhere"));
        };
        let own = lock(&self.own);
        if !own.is_published {
            return Err(no_key("is not known to the others yet"));
        }
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: customer.as_str().to_owned(),
            bank: party.bank.as_str().to_owned(),
            exp: expires_ms / 1_000,
            iat: expires_ms.saturating_sub(self.token_ms) / 1_000,
            jti: uuid::Uuid::from_u128(session.get()).hyphenated().to_string(),
        };
        let header = Header { kid: Some(kid(own.id)), ..Header::new(Algorithm::EdDSA) };
        let token = encode(&header, &claims, &own.private)
            .map_err(|error| Problem::new(Code::Internal, format!("the token could not be signed: {error}")))?;
        Ok((token, own.id))
    }

    /// A token of this node's was signed with a key that was retired meanwhile: nobody gets it, and the next has another key.
    pub(super) fn was_retired(&self, key: KeyId) -> Problem {
        if lock(&self.own).id == key {
            self.replace_own_key();
        }
        no_key("was retired, and there is another one soon")
    }

    /// Who a token says that is calling. Whether their session still is, is another question.
    pub(super) async fn check(&self, desk: &Desk, token: Option<&str>) -> Result<Caller, Problem> {
        let token = token.ok_or_else(|| {
            Problem::new(Code::TokenMissing, "sign in first, and send the header Authorization: Bearer <token>")
        })?;
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let known = lock(&self.checked).get(&digest).copied();
        let caller = match known {
            Some(caller) => caller,
            None => self.check_signature(desk, token).await?,
        };
        if caller.expires_ms <= desk.now().ms() {
            return Err(with_cause(expired(), desk.gateway.log_ahead_ms()));
        }
        if known.is_none() {
            let mut checked = lock(&self.checked);
            if checked.len() >= CHECKED_MAX {
                checked.clear();
            }
            checked.insert(digest, caller);
        }
        Ok(caller)
    }

    /// Whose sign-in a token was, also one that is over: who has it knew the password once. Nobody, if it is none of this
    /// network, or its key was retired.
    pub(super) async fn earlier(&self, desk: &Desk, token: Option<&str>) -> Option<Caller> {
        self.check_signature(desk, token?).await.ok()
    }

    async fn check_signature(&self, desk: &Desk, token: &str) -> Result<Caller, Problem> {
        let key = named_key(token)?;
        let public = self.public(desk, key).await?;
        caller(token, (key, public), &self.issuer)
    }

    /// A key of the state: from memory, from this node's state, or, if it is newer than that, from the group's.
    async fn public(&self, desk: &Desk, key: KeyId) -> Result<[u8; 32], Problem> {
        if let Some(public) = lock(&self.keys).get(&key) {
            return Ok(*public);
        }
        let now = desk.now();
        let of = move |clearing: &clearing::Clearing| {
            clearing.keys(now.ms_in(clearing)).find(|known| known.id == key).map(|known| known.public)
        };
        let found = match desk.peek(of).await? {
            Some(public) => Some(public),
            None => desk.read(move |view| of(view.clearing())).await?,
        };
        let public = found.ok_or_else(|| invalid("no node of this network has such a key, or its time is over"))?;
        let mut keys = lock(&self.keys);
        if keys.len() >= 1_024 {
            keys.clear();
        }
        keys.insert(key, public);
        Ok(public)
    }

    fn replace_own_key(&self) {
        match SigningKey::make() {
            Ok(key) => *lock(&self.own) = key,
            Err(why) => warn!(event = "no_key", why = %why, todo = "the old one signs until there is a new one"),
        }
    }

    /// Forgets what was signed with keys that are not good any more, and says whether this node's own is still.
    fn keep_only(&self, live: &BTreeSet<KeyId>) -> bool {
        lock(&self.keys).retain(|key, _| live.contains(key));
        lock(&self.checked).retain(|_, caller| live.contains(&caller.key));
        live.contains(&lock(&self.own).id)
    }
}

fn no_key(why: &str) -> Problem {
    Problem::new(Code::Unavailable, format!("this node's key {why}; try again in a moment")).retry_after_ms(300)
}

/// Keeps the secret that the ids behind idempotency keys are made of, where there is none yet. Whether there is one now.
async fn keep_seed(desk: &Desk) -> bool {
    if matches!(desk.peek(clearing::Clearing::has_seed).await, Ok(true)) {
        return true;
    }
    let mut seed = [0; 32];
    if aws_lc_rs::rand::fill(&mut seed).is_err() {
        warn!(
            event = "no_seed",
            why = "the system gave no random numbers",
            effect = "nobody can sign in; it is tried again"
        );
        return false;
    }
    desk.order(Command::KeepSeed { seed: Seed::new(seed) }).await.is_ok()
}

/// Makes this node's key known, and replaces it in time. Runs as long as the node serves.
pub(super) async fn run(desk: Desk) {
    let mut has_seed = false;
    loop {
        let now_ms = desk.now().ms();
        if now_ms == 0 {
            // The node has only just started.
            tokio::time::sleep(PUBLISH_PAUSE).await;
            continue;
        }
        // Before any token can be checked, so before any customer can send a key.
        has_seed = has_seed || keep_seed(&desk).await;
        if !has_seed {
            tokio::time::sleep(PUBLISH_PAUSE).await;
            continue;
        }
        let unpublished = lock(&desk.tokens.own).unpublished(now_ms);
        if let Some((key, public, signs_until_ms)) = unpublished {
            let expires_ms = signs_until_ms.saturating_add(desk.tokens.token_ms);
            let command = Command::AddKey { key, node: desk.node, public, expires_ms };
            match desk.order(command).await {
                Ok(_) => {
                    lock(&desk.tokens.own).is_published = true;
                    info!(event = "key_published", node = desk.node.get());
                }
                Err(problem) if matches!(problem.code, Code::Unavailable | Code::OutcomeUnknown | Code::Overloaded) => {
                }
                Err(problem) => {
                    warn!(event = "key_refused", why = %problem.detail, todo = "another is made");
                    desk.tokens.replace_own_key();
                }
            }
            tokio::time::sleep(PUBLISH_PAUSE).await;
            continue;
        }
        tokio::time::sleep(LOOK_PERIOD).await;
        let now = desk.now();
        let live = move |clearing: &clearing::Clearing| clearing.keys(now.ms_in(clearing)).map(|key| key.id).collect();
        let Ok(live) = desk.peek(live).await else { continue };
        let is_good = desk.tokens.keep_only(&live);
        if !is_good || lock(&desk.tokens.own).is_old(now.ms()) {
            desk.tokens.replace_own_key();
        }
    }
}

async fn live_keys(desk: &Desk) -> Result<Vec<clearing::bank::SigningKey>, Problem> {
    let now = desk.now();
    desk.read(move |view| {
        let clearing = view.clearing();
        clearing.keys(now.ms_in(clearing)).copied().collect::<Vec<_>>()
    })
    .await
}

/// What tokens are signed with, for operators.
pub(super) async fn keys(desk: &Desk) -> Result<proto::KeysResponse, Problem> {
    let keys = live_keys(desk).await?;
    let shown = keys.iter().map(|key| proto::TokenKey {
        kid: kid(key.id),
        node: u32::from(key.node.get()),
        expires_ms: key.expires_ms,
    });
    Ok(proto::KeysResponse { keys: shown.collect() })
}

/// No token of that key is good any more.
pub(super) async fn retire(
    desk: &Desk,
    request: &proto::RetireKeyRequest,
) -> Result<proto::RetireKeyResponse, Problem> {
    let key = key_of(&request.kid).ok_or_else(|| {
        let detail = format!("kid: {:?} is no key's name; rialto keys lists them", request.kid);
        Problem::new(Code::MalformedId, detail).with("field", "kid")
    })?;
    // Whoever mistypes the name of a key that leaked must not be told that it is out of use.
    if !desk.read(move |view| view.clearing().kept_key(key).is_some()).await? {
        return Err(unknown_key(&request.kid, &live_keys(desk).await?));
    }
    desk.order(Command::RetireKey { key }).await?;
    Ok(proto::RetireKeyResponse {})
}

fn unknown_key(named: &str, live: &[clearing::bank::SigningKey]) -> Problem {
    let live: Vec<String> = live.iter().map(|key| format!("{} (node {})", kid(key.id), key.node.get())).collect();
    let live = if live.is_empty() { "none is in use".to_owned() } else { format!("in use: {}", live.join(", ")) };
    Problem::new(Code::UnknownKey, format!("there is no key {named}, so none was retired; {live}")).with("field", "kid")
}

/// The public keys of the network as a JWK set (RFC 7517).
pub(super) async fn jwks(desk: &Desk) -> Result<serde_json::Value, Problem> {
    let keys = live_keys(desk).await?;
    let jwk = |key: &clearing::bank::SigningKey| {
        serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "kid": kid(key.id), "x": base64url(&key.public),
        })
    };
    Ok(serde_json::json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }))
}

/// The key that a token says it was signed with.
fn named_key(token: &str) -> Result<KeyId, Problem> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(invalid("it is too long"));
    }
    let header = decode_header(token).map_err(|_| invalid("it is no JWT"))?;
    header.kid.as_deref().and_then(key_of).ok_or_else(|| invalid("it names no key"))
}

/// Whom a token names, if it was signed with that key, for this network. Whether it is over is another question.
fn caller(token: &str, (key, public): (KeyId, [u8; 32]), issuer: &str) -> Result<Caller, Problem> {
    let public = DecodingKey::from_ed_components(&base64url(&public)).map_err(|_| invalid("its key is none"))?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    // Whether it is over is asked of the log's time, not of this node's clock.
    validation.validate_exp = false;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Claims>(token, &public, &validation)
        .map_err(|_| invalid("its signature or its claims are wrong"))?
        .claims;
    let bad = || invalid("its claims are wrong");
    let session = uuid::Uuid::parse_str(&claims.jti).ok().and_then(|id| SessionId::new(id.as_u128()));
    Ok(Caller {
        session: session.ok_or_else(bad)?,
        bank: BankName::new(&claims.bank).map_err(|_| bad())?,
        customer: CustomerName::new(&claims.sub).map_err(|_| bad())?,
        expires_ms: claims.exp.saturating_mul(1_000),
        key,
    })
}

fn kid(key: KeyId) -> String {
    format!("{:016x}", key.get())
}

fn key_of(kid: &str) -> Option<KeyId> {
    (kid.len() == 16).then(|| u64::from_str_radix(kid, 16).ok()).flatten().and_then(KeyId::new)
}

fn base64url(bytes: &[u8]) -> String {
    use base64ct::Encoding;
    base64ct::Base64UrlUnpadded::encode_string(bytes)
}

fn expired() -> Problem {
    Problem::new(Code::TokenExpired, "the token's time is over; sign in again")
}

fn invalid(why: &str) -> Problem {
    Problem::new(Code::TokenInvalid, format!("the token is not good here: {why}; sign in again"))
}

/// A panic while a lock was held leaves these values whole: they are only replaced.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Text of an input as a token: see [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    #![allow(clippy::expect_used, reason = "it is run by tests and fuzz targets, which find what is wrong by a panic")]

    use super::{Algorithm, Caller, Ed25519KeyPair, KeyId, KeyPair, base64url, caller, key_of, kid, named_key};

    const ISSUER: &str = "main";

    /// A token as it came is nobody's; what it says is reached where header and claims are signed here.
    pub(crate) fn token(text: &str) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed has 32 bytes");
        let public = pair.public_key().as_ref().try_into().expect("a public key has 32 bytes");
        read(text, public);
        let Some((header, claims)) = text.split_once('\n') else { return };
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let token = format!("{signed}.{}", base64url(pair.sign(signed.as_bytes()).as_ref()));
        let Some(caller) = read(&token, public) else { return };
        let header = jsonwebtoken::decode_header(&token).expect("it was taken");
        assert_eq!((header.alg, header.kid.as_deref().and_then(key_of)), (Algorithm::EdDSA, Some(caller.key)));
        // The claims as they are named, by a reader that knows nothing of tokens.
        let claims: serde_json::Value = serde_json::from_str(claims).expect("it was taken");
        assert_eq!(claims["iss"], ISSUER);
        assert_eq!(claims["sub"], caller.customer.as_str());
        assert_eq!(claims["bank"], caller.bank.as_str());
        assert_eq!(caller.party().to_string().parse(), Ok(caller.party()));
        // Whatever is signed: one letter less is another token, and nobody's.
        assert!(read(&token[..token.len() - 1], public).is_none());
    }

    fn read(token: &str, public: [u8; 32]) -> Option<Caller> {
        let key: KeyId = named_key(token).inspect_err(|problem| assert!(problem.detail.len() < 200)).ok()?;
        assert_eq!(key_of(&kid(key)), Some(key));
        caller(token, (key, public), ISSUER).inspect_err(|problem| assert!(problem.detail.len() < 200)).ok()
    }
}
