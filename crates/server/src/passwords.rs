//! Passwords: made into a stored secret, and held against one, at a bounded number at once.
//!
//! Argon2id (RFC 9106) with the parameters that OWASP names first: 19 MiB, two passes, one lane; an older secret keeps the
//! parameters that it was made with. It is slow on purpose, so it runs beside the threads that serve, and no more than
//! two at a time (see `turns`): who tries a million passwords waits, and payments do not. The memory that it fills is taken
//! once and used again: the system's allocator would keep a piece for each thread that ever did this.
//!
//! What is hashed is the password as the profile *OpaqueString* has it (RFC 8265, section 4.2): composed (NFC), with plain
//! spaces for others. So it matches from every keyboard, whichever way that writes an accent. A character that the profile
//! does not take refuses a new password; a sign-in with one is held against the stored secret as it came, for hashes that
//! another system made.

use crate::turns::{Busy, Lane, Turn, Turns};
use api::code::Code;
use api::problem::Problem;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ledger::{Argon2Cost, Secret};
use precis_core::Error as PrecisError;
use precis_core::profile::PrecisFastInvocation;
use precis_profiles::OpaqueString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Under another cost a request that is repeated with its key or id has another secret, and is refused as another request.
const COST: Argon2Cost = Argon2Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
/// Longer passwords are refused: nobody types them, and hashing them costs the one who is asked.
pub(crate) const PASSWORD_MAX: usize = 1_024;

/// What the hash of a password may cost here. A stored secret that asks for more was not made here, and would be a way to
/// exhaust the machine.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 8..=128 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;
/// Memory times passes: ten times what ours cost, about a quarter of a second.
const WORK_KIB_MAX: u64 = 512 * 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The bounded place where passwords are looked at. A clone is another handle of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passwords {
    turns: Turns,
    memory: Memory,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) lane: Lane,
    pub(crate) source: u64,
}

/// Operators, who add customers: one source among those that are known.
const OPERATORS: Place = Place { lane: Lane::Known, source: 0 };

impl Passwords {
    /// Whether the password is the one of the secret. Where there is no secret, because nobody has that name, it is not; that
    /// is said as late as of a wrong password, and costs no place.
    pub(crate) async fn verify(&self, secret: Option<Secret>, password: String, place: Place) -> Result<bool, Problem> {
        if password.len() > PASSWORD_MAX {
            return Ok(false);
        }
        let began = match secret {
            Some(secret) => {
                let turn = self.turns.wait(place.lane, place.source).await.map_err(too_many)?;
                let (password, began) = (presented(password), turn.began());
                if self.work(turn, move |blocks| matches(secret, password.as_bytes(), blocks)).await? {
                    return Ok(true);
                }
                began
            }
            None => {
                self.turns.wait_as_if(place.lane, place.source).await.map_err(too_many)?;
                Instant::now()
            }
        };
        // A hash that another system made may take longer than ours.
        tokio::time::sleep_until((began + self.turns.slowest_lately()).into()).await;
        Ok(false)
    }

    /// A new secret of a password, with a salt of its own.
    pub(crate) async fn make(&self, password: String) -> Result<Secret, Problem> {
        self.make_salted(password, uuid::Uuid::new_v4().into_bytes()).await
    }

    /// The secret of a password with that salt: always the same one. The salt is the password's alone, as
    /// [`api::idempotency::password_salt`] makes it.
    pub(crate) async fn make_salted(&self, password: String, salt: [u8; SALT_BYTES]) -> Result<Secret, Problem> {
        if password.is_empty() || password.len() > PASSWORD_MAX {
            let detail = format!("password: it has 1 to {PASSWORD_MAX} bytes");
            return Err(Problem::new(Code::InvalidPassword, detail).with("field", "password"));
        }
        let password = enforced(&password)?;
        let turn = self.turns.wait(OPERATORS.lane, OPERATORS.source).await.map_err(too_many)?;
        let made = self.work(turn, move |blocks| hash(COST, salt, (password.as_bytes(), blocks))).await?;
        let made = made.ok_or_else(|| Problem::new(Code::Internal, "the password could not be hashed"))?;
        Ok(Secret::from_parts(COST, salt, made))
    }

    async fn work<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let memory = self.memory.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut blocks = memory.take();
            let done = work(&mut blocks);
            memory.give_back(blocks);
            drop(turn);
            done
        });
        done.await.map_err(|_| Problem::new(Code::Internal, "a password could not be looked at"))
    }
}

/// The password of a sign-in, as it is held against a secret.
fn presented(password: String) -> String {
    OpaqueString::enforce(password.as_str()).map(std::borrow::Cow::into_owned).unwrap_or(password)
}

/// The password as it is hashed. The error names the place, and of the password nothing but the character that it cannot have.
fn enforced(password: &str) -> Result<String, Problem> {
    let why = match OpaqueString::enforce(password) {
        Ok(password) => return Ok(password.into_owned()),
        Err(PrecisError::BadCodepoint(info)) => {
            format!("character {} (U+{:04X}) cannot be part of a password", info.position + 1, info.cp)
        }
        Err(PrecisError::Invalid | PrecisError::Unexpected(_)) => {
            "it has a character that stands where it has no meaning".to_owned()
        }
    };
    let detail = format!("password: {why} (RFC 8265, OpaqueString: no control and no invisible characters)");
    Err(Problem::new(Code::InvalidPassword, detail).with("field", "password"))
}

fn too_many(busy: Busy) -> Problem {
    let detail = "more people sign in at this bank than it can look at now; try again shortly";
    Problem::new(Code::TooManySignIns, detail).retry_after_ms(busy.retry_after_ms)
}

/// Memory that is not in use now: as many pieces as there ever were at once.
#[derive(Clone, Default)]
struct Memory {
    pieces: Arc<Mutex<Vec<Vec<Block>>>>,
}

/// Megabytes of noise, and of passwords.
impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    fn take(&self) -> Vec<Block> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// A piece that an imported hash made larger than our own need goes back to the system.
    fn give_back(&self, blocks: Vec<Block>) {
        if blocks.len() <= COST.memory_kib as usize {
            self.pieces.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
        }
    }
}

fn matches(secret: Secret, password: &[u8], blocks: &mut Vec<Block>) -> bool {
    let (cost, salt, stored) = secret.into_parts();
    if check_cost(cost).is_err() {
        return false;
    }
    // Compared by their hashes: in constant time, so that nothing is learned from how long it takes.
    hash(cost, salt, (password, blocks)).is_some_and(|made| blake3::hash(&made) == blake3::hash(&stored))
}

fn hash(
    cost: Argon2Cost,
    salt: [u8; SALT_BYTES],
    (password, blocks): (&[u8], &mut Vec<Block>),
) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES)).ok()?;
    let count = params.block_count();
    if blocks.len() < count {
        blocks.resize(count, Block::default());
    }
    let mut out = [0; HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(password, &salt, &mut out, &mut blocks[..count]).ok()?;
    Some(out)
}

/// Whether a hash of that cost is looked at here; else what is wrong with it.
fn check_cost(cost: Argon2Cost) -> Result<(), String> {
    let Argon2Cost { memory_kib, passes, lanes } = cost;
    if !LANES.contains(&lanes) {
        return Err(format!("its parallelism p is {lanes}; {} to {} are taken", LANES.start(), LANES.end()));
    }
    let (least, most) = ((8 * lanes).max(*MEMORY_KIB.start()), MEMORY_KIB.end());
    if memory_kib < least || memory_kib > *most {
        return Err(format!("its memory m is {memory_kib} KiB; {least} to {most} are taken"));
    }
    if !PASSES.contains(&passes) {
        return Err(format!("its iterations t are {passes}; {} to {} are taken", PASSES.start(), PASSES.end()));
    }
    let work_kib = u64::from(memory_kib) * u64::from(passes);
    if work_kib > WORK_KIB_MAX {
        return Err(format!("its memory times its iterations is {work_kib} KiB; at most {WORK_KIB_MAX} are taken"));
    }
    Ok(())
}

/// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, as other systems export it.
pub(crate) fn parse_phc(text: &str) -> Result<Secret, Problem> {
    read_phc(text).map_err(|why| {
        let detail = format!(
            "password_hash: {why}; an Argon2id hash of version 19 with a salt of 16 bytes and 32 bytes of hash is taken, \
             such as $argon2id$v=19$m=19456,t=2,p=1$c2FsdC4uLg$aGFzaC4uLg"
        );
        Problem::new(Code::InvalidPassword, detail).with("field", "password_hash")
    })
}

/// The longest that is taken: with every number and both texts at their longest it is shorter.
const PHC_BYTES_MAX: usize = 256;

fn read_phc(text: &str) -> Result<Secret, String> {
    if text.len() > PHC_BYTES_MAX {
        return Err(format!("it has {} bytes, and none has more than {PHC_BYTES_MAX}", text.len()));
    }
    let (params, salt, hash) = parts(text).ok_or("it is none")?;
    let cost = cost(params).ok_or("its parameters are not m=…,t=…,p=…")?;
    check_cost(cost)?;
    let salt = base64(salt).ok_or("its salt is not Base64 without padding")?;
    let salt = salt.try_into().map_err(|salt: Vec<u8>| format!("its salt has {} bytes", salt.len()))?;
    let hash = base64(hash).ok_or("its hash is not Base64 without padding")?;
    let hash = hash.try_into().map_err(|hash: Vec<u8>| format!("its hash has {} bytes", hash.len()))?;
    Ok(Secret::from_parts(cost, salt, hash))
}

fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(found)
}

fn cost(params: &str) -> Option<Argon2Cost> {
    let mut numbers = params.split(',');
    let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let cost = Argon2Cost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
    numbers.next().is_none().then_some(cost)
}

/// Base64 without padding, as PHC strings have it.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64ct::Encoding;
    base64ct::Base64Unpadded::decode_vec(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Place = Place { lane: Lane::Stranger, source: 1 };

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let passwords = Passwords::default();
        let secret = passwords.make("correct horse".to_owned()).await.expect("made");
        let verify = |text: &str| passwords.verify(Some(secret), text.to_owned(), STRANGER);
        assert_eq!(verify("correct horse").await, Ok(true));
        assert_eq!(verify("correct horse ").await, Ok(false));
        assert_eq!(verify("").await, Ok(false));
        assert_eq!(verify(&"x".repeat(PASSWORD_MAX + 1)).await, Ok(false));
    }

    /// Made with the reference implementation: echo -n password | argon2 somesaltsomesalt -id -t 2 -k 256 -p 1
    const OF_ELSEWHERE: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew";

    #[tokio::test]
    async fn a_password_matches_however_its_accents_are_typed() {
        let passwords = Passwords::default();
        let secret = passwords.make("jose\u{301} y\u{a0}yo".to_owned()).await.expect("made");
        let verify = |text: &str| passwords.verify(Some(secret), text.to_owned(), STRANGER);
        assert_eq!(verify("jos\u{e9} y yo").await, Ok(true));
        assert_eq!(verify("jose\u{301} y yo").await, Ok(true));
        assert_eq!(verify("jose y yo").await, Ok(false));
        assert_eq!(verify("JOS\u{c9} y yo").await, Ok(false), "capitals count");
        for bad in ["a\u{200b}b", "a\nb", "\u{202e}ab", "\u{200d}"] {
            let problem = passwords.make(bad.to_owned()).await.expect_err("nobody can type it again");
            assert_eq!(problem.code, Code::InvalidPassword, "{bad:?}");
            assert!(!problem.detail.contains(bad), "{}", problem.detail);
        }
        let problem = passwords.make("ab\u{7f}".to_owned()).await.expect_err("a control character");
        assert!(problem.detail.contains("character 3 (U+007F)"), "{}", problem.detail);
    }

    #[tokio::test]
    async fn a_password_that_is_no_opaque_string_is_held_against_a_hash_of_elsewhere_as_it_came() {
        let (salt, raw) = ([5; 16], "a\u{200b}b");
        let secret =
            Secret::from_parts(COST, salt, hash(COST, salt, (raw.as_bytes(), &mut Vec::new())).expect("hashed"));
        assert_eq!(Passwords::default().verify(Some(secret), raw.to_owned(), STRANGER).await, Ok(true));
    }

    #[tokio::test]
    async fn a_hash_of_elsewhere_is_taken() {
        let secret = parse_phc(OF_ELSEWHERE).expect("it is one");
        let passwords = Passwords::default();
        assert_eq!(passwords.verify(Some(secret), "password".to_owned(), STRANGER).await, Ok(true));
        assert_eq!(passwords.verify(Some(secret), "passwort".to_owned(), STRANGER).await, Ok(false));
        for wrong in [
            "",
            "password",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$hash",
            "$argon2id$v=19$m=256,t=2$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew",
        ] {
            assert_eq!(parse_phc(wrong).map_err(|problem| problem.code).err(), Some(Code::InvalidPassword), "{wrong}");
        }
    }

    #[test]
    fn what_an_imported_hash_may_cost_is_bounded_and_the_error_says_what_is_too_much() {
        let with = |params: &str| OF_ELSEWHERE.replace("m=256,t=2,p=1", params);
        let rows = [
            (with("m=9999999,t=2,p=1"), "memory m is 9999999 KiB; 8 to 131072"),
            (with("m=4294967295,t=4294967295,p=1"), "memory m is"),
            (with("m=7,t=2,p=1"), "memory m is 7 KiB"),
            (with("m=100,t=2,p=16"), "memory m is 100 KiB; 128 to"),
            (with("m=256,t=17,p=1"), "iterations t are 17; 1 to 16"),
            (with("m=256,t=0,p=1"), "iterations t are 0"),
            (with("m=256,t=2,p=17"), "parallelism p is 17; 1 to 16"),
            (with("m=256,t=2,p=0"), "parallelism p is 0"),
            (with("m=131072,t=16,p=1"), "memory times its iterations is 2097152 KiB; at most 524288"),
            (with("m=256,t=2,p=1,x=1"), "parameters are not"),
            (with("m=99999999999,t=2,p=1"), "parameters are not"),
            (OF_ELSEWHERE.replace("c29tZXNhbHRzb21lc2FsdA", "c2FsdA"), "salt has 4 bytes"),
            (OF_ELSEWHERE.replace("yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew", "yrdGtGIZk/w"), "hash has 8 bytes"),
            (format!("{OF_ELSEWHERE}{}", "A".repeat(1_000_000)), "none has more than 256"),
        ];
        for (text, why) in rows {
            let problem = parse_phc(&text).expect_err("it costs too much");
            assert!(problem.detail.contains(why), "{why}: {}", problem.detail);
            assert_eq!(problem.code, Code::InvalidPassword);
        }
        // What other systems make by default: argon2-cffi and PHP, Django.
        for usual in ["m=65536,t=3,p=4", "m=65536,t=4,p=1", "m=102400,t=2,p=8", "m=19456,t=2,p=1"] {
            assert!(parse_phc(&with(usual)).is_ok(), "{usual}");
        }
    }

    /// Resident memory of this process.
    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crowd_of_wrong_passwords_takes_the_memory_of_two_and_no_more() {
        let passwords = Passwords::default();
        let secret = passwords.make("correct horse".to_owned()).await.expect("made");
        let mut before = 0;
        for round in 0..12 {
            let tries: Vec<_> = (0..16)
                .map(|source| {
                    let (passwords, place) = (passwords.clone(), Place { lane: Lane::Stranger, source });
                    tokio::spawn(async move { passwords.verify(Some(secret), "wrong".to_owned(), place).await })
                })
                .collect();
            for tried in tries {
                // Either wrong, or told that there are too many.
                assert_ne!(tried.await.expect("nothing panics"), Ok(true));
            }
            if round == 1 {
                before = resident_kib();
            }
        }
        let kept = passwords.memory.pieces.lock().expect("nothing panicked").len();
        assert!(kept <= 2, "{kept} pieces of memory");
        let grown = resident_kib().saturating_sub(before);
        // Other tests of this process run beside; what this one is about were 1,300 MB.
        assert!(grown < 200 * 1024, "it grew by {grown} KiB");
    }
}
