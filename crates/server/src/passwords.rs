//! Passwords: made into a stored secret, and held against one, at a bounded number at once.
//!
//! Argon2id (RFC 9106) with the parameters that OWASP names first: 19 MiB, two passes, one lane; an older secret keeps the
//! parameters that it was made with. It is slow on purpose, so it runs beside the threads that serve, and no more than
//! two at a time: who tries a million passwords waits, and payments do not.

use api::code::Code;
use api::problem::Problem;
use argon2::{Algorithm, Argon2, Params, Version};
use ledger::{Argon2Cost, Secret};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const COST: Argon2Cost = Argon2Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
/// A stored secret that asks for more than this was not made here, and would be a way to exhaust the machine.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const AT_ONCE: usize = 2;
/// Longer passwords are refused: nobody types them, and hashing them costs the one who is asked.
pub(crate) const PASSWORD_MAX: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(5);

/// The bounded place where passwords are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// What a name without a secret is held against, so that it takes as long.
    decoy: Secret,
}

impl Default for Passwords {
    fn default() -> Self {
        let decoy = Secret::from_parts(COST, [7; 16], [0; 32]);
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy }
    }
}

impl Passwords {
    /// Whether the password is the one of the secret; never, where there is none.
    pub(crate) async fn verify(&self, secret: Option<Secret>, password: String) -> Result<bool, Problem> {
        if password.len() > PASSWORD_MAX {
            return Ok(false);
        }
        let (is_known, secret) = (secret.is_some(), secret.unwrap_or(self.decoy));
        self.work(move || matches(secret, password.as_bytes()) && is_known).await
    }

    /// A new secret of a password, with a salt of its own.
    pub(crate) async fn make(&self, password: String) -> Result<Secret, Problem> {
        if password.is_empty() || password.len() > PASSWORD_MAX {
            let detail = format!("password: it has 1 to {PASSWORD_MAX} bytes");
            return Err(Problem::new(Code::InvalidPassword, detail).with("field", "password"));
        }
        let salt = uuid::Uuid::new_v4().into_bytes();
        let made = self.work(move || hash(COST, salt, password.as_bytes())).await?;
        let hash = made.ok_or_else(|| Problem::new(Code::Internal, "the password could not be hashed"))?;
        Ok(Secret::from_parts(COST, salt, hash))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let busy = || {
            let detail = "too many sign-ins at once; try again shortly";
            Problem::new(Code::Overloaded, detail).retry_after_ms(1_000)
        };
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| Problem::new(Code::Internal, "a password could not be looked at"))
    }
}

fn matches(secret: Secret, password: &[u8]) -> bool {
    let (cost, salt, stored) = secret.into_parts();
    if !is_bearable(cost) {
        return false;
    }
    // Compared by their hashes: in constant time, so that nothing is learned from how long it takes.
    hash(cost, salt, password).is_some_and(|made| blake3::hash(&made) == blake3::hash(&stored))
}

fn is_bearable(cost: Argon2Cost) -> bool {
    cost.memory_kib <= MEMORY_KIB_MAX && cost.passes <= PASSES_MAX
}

fn hash(cost: Argon2Cost, salt: [u8; 16], password: &[u8]) -> Option<[u8; 32]> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).ok()?;
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, &salt, &mut out).ok()?;
    Some(out)
}

/// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, as other systems export it.
pub(crate) fn parse_phc(text: &str) -> Result<Secret, Problem> {
    read_phc(text).ok_or_else(|| {
        let detail = "password_hash: it is no Argon2id hash of version 19 with a salt of 16 bytes and 32 bytes of hash, \
                      such as $argon2id$v=19$m=19456,t=2,p=1$c2FsdC4uLg$aGFzaC4uLg";
        Problem::new(Code::InvalidPassword, detail).with("field", "password_hash")
    })
}

fn read_phc(text: &str) -> Option<Secret> {
    let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
    let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let mut numbers = params.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let cost = Argon2Cost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
    let (salt, hash) = (base64(salt)?.try_into().ok()?, base64(hash)?.try_into().ok()?);
    is_bearable(cost).then(|| Secret::from_parts(cost, salt, hash))
}

/// Base64 without padding, as PHC strings have it.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64ct::Encoding;
    base64ct::Base64Unpadded::decode_vec(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let passwords = Passwords::default();
        let secret = passwords.make("correct horse".to_owned()).await.expect("made");
        let verify = |secret: Option<Secret>, text: &str| passwords.verify(secret, text.to_owned());
        assert_eq!(verify(Some(secret), "correct horse").await, Ok(true));
        assert_eq!(verify(Some(secret), "correct horse ").await, Ok(false));
        assert_eq!(verify(Some(secret), "").await, Ok(false));
        assert_eq!(verify(None, "correct horse").await, Ok(false), "whoever has no secret has no password");
    }

    #[tokio::test]
    async fn a_hash_of_elsewhere_is_taken() {
        // Made with the reference implementation: echo -n password | argon2 somesaltsomesalt -id -t 2 -k 256 -p 1
        let text = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(parse_phc(text).is_ok());
        for wrong in [
            "",
            "password",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$hash",
            "$argon2id$v=19$m=256,t=2$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=9999999,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            assert_eq!(parse_phc(wrong).map_err(|problem| problem.code).err(), Some(Code::InvalidPassword), "{wrong}");
        }
    }
}
