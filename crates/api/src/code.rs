//! Every code that a caller can be answered with: the one table.
//!
//! A code is a promise: programs match on it, so its text, its HTTP status and its gRPC code never change, and a code
//! that is no longer used is not given to something else. `docs/errors.md` is this table in prose; a test compares them.
//!
//! 422 is the ledger's word on a well-formed request: an outcome that stays with its id. Everything else in the 400s is
//! about the request itself, never reached the ledger, and leaves its id unused. 429 and 503 mean that nothing was
//! proposed. Only 504 leaves the fate open.

use tonic::Code as Grpc;

/// What a code means on each wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub code: Code,
    /// The stable text, `snake_case`.
    pub text: &'static str,
    pub http: u16,
    pub grpc: Grpc,
    /// A few words for people, the same for every occurrence.
    pub title: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

macro_rules! codes {
    ($($name:ident $text:literal $http:literal $grpc:ident $title:literal $advice:literal;)*) => {
        /// A stable code; see the table of this module.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($name),* }

        /// The table, in the order of `docs/errors.md`.
        pub const ROWS: &[Row] = &[$(Row {
            code: Code::$name, text: $text, http: $http, grpc: Grpc::$grpc, title: $title, advice: $advice,
        }),*];
    };
}

codes! {
    // The request itself.
    NotJson "not_json" 400 InvalidArgument "Not JSON" "Send one JSON object, UTF-8, without comments or trailing commas.";
    MissingField "missing_field" 400 InvalidArgument "A field is missing" "Add the field that the detail names.";
    UnknownField "unknown_field" 400 InvalidArgument "A field is not known here" "Remove it or correct its spelling; unknown fields are refused so that a typo cannot change what is paid.";
    RepeatedField "repeated_field" 400 InvalidArgument "A field is sent twice" "Send the field that the detail names once; of two nobody could tell which is meant.";
    WrongType "wrong_type" 400 InvalidArgument "A field has the wrong type" "Send the type that the detail names.";
    MalformedQuery "malformed_query" 400 InvalidArgument "The query string cannot be used" "Use the parameters that the detail names.";
    MalformedPath "malformed_path" 400 InvalidArgument "The path cannot be read" "Percent-encode the path's parts as UTF-8.";
    MalformedRequest "malformed_request" 400 InvalidArgument "Not a request of HTTP" "Send a request of HTTP/1.1 whose headers are well formed.";
    MalformedMessage "malformed_message" 400 InvalidArgument "The message cannot be decoded" "Send one message as the .proto files of rialto.v1 describe it.";
    MalformedId "malformed_id" 400 InvalidArgument "Not an id" "Send a UUID in its usual form, such as 018f3a2c-1b2d-7c3e-9f40-112233445566; the nil UUID is refused.";
    AmountNotANumber "amount_not_a_number" 400 InvalidArgument "The amount is not a number" "Send digits with at most one decimal point, as a JSON number or a string: 12.50 or \"12.50\".";
    AmountNegative "amount_negative" 400 InvalidArgument "The amount is negative" "Send a positive amount; to move money the other way swap the accounts.";
    AmountZero "amount_zero" 400 InvalidArgument "The amount is zero" "Send an amount of at least one minor unit.";
    AmountTooPrecise "amount_too_precise" 400 InvalidArgument "The amount has too many decimals" "Round it to the currency's minor unit; Rialto never rounds money.";
    AmountTooLarge "amount_too_large" 400 InvalidArgument "The amount is too large" "An amount is at most 2^96 - 1 minor units.";
    UnknownCurrency "unknown_currency" 400 InvalidArgument "Not a currency" "Send an ISO 4217 code, such as EUR.";
    InvalidOwner "invalid_owner" 400 InvalidArgument "The owner cannot be used" "At most 64 bytes of UTF-8 without control, invisible and direction-changing characters; the detail names the one.";
    InvalidReference "invalid_reference" 400 InvalidArgument "The reference cannot be used" "At most 35 bytes of UTF-8 without control, invisible and direction-changing characters; the detail names the one.";
    InvalidName "invalid_name" 400 InvalidArgument "The name cannot be used" "A bank has 1 to 32 characters of a-z, 0-9 and '-'; a customer at most 48 bytes of letters and digits of one script and signs, without spaces and '@' (RFC 8265, UsernameCaseMapped).";
    SameAccount "same_account" 400 InvalidArgument "Source and destination are the same account" "Name two different accounts.";
    InvalidCursor "invalid_cursor" 400 InvalidArgument "Not a cursor" "Send next_cursor of the page before, unchanged, or leave it out for the first page.";
    InvalidLimit "invalid_limit" 400 InvalidArgument "The limit cannot be used" "Ask for 1 to 1000 items.";
    BatchEmpty "batch_empty" 400 InvalidArgument "The batch is empty" "Send at least one item.";
    BatchTooLarge "batch_too_large" 400 InvalidArgument "The batch has too many items" "Send fewer in one call; the detail says how many it takes.";
    MalformedKey "malformed_key" 400 InvalidArgument "The Idempotency-Key cannot be used" "Send 1 to 255 printable ASCII characters, quoted or not, once.";
    KeyNotTaken "key_not_taken" 400 InvalidArgument "The call takes no Idempotency-Key" "Send it without one.";
    KeyAndId "key_and_id" 400 InvalidArgument "An Idempotency-Key and an id together" "Send one of the two: each alone makes the request safe to repeat.";
    Unauthorized "unauthorized" 401 Unauthenticated "The operator token is missing or wrong" "Send the header Authorization: Bearer and the token of the file that the node was started with.";
    WrongCredentials "wrong_credentials" 401 Unauthenticated "Name or password is wrong" "Check bank, name and password; which of them is wrong is not told.";
    TokenMissing "token_missing" 401 Unauthenticated "No token was sent" "Sign in, and send the header Authorization: Bearer and the token.";
    TokenInvalid "token_invalid" 401 Unauthenticated "The token is not one of this network" "Sign in again.";
    TokenExpired "token_expired" 401 Unauthenticated "The token is over its time" "Sign in again; what waits goes on with the same id.";
    TokenRevoked "token_revoked" 401 Unauthenticated "The sign-in was ended" "Sign in again; what waits goes on with the same id.";
    ForbiddenHost "forbidden_host" 403 PermissionDenied "The Host is not this machine" "Use 127.0.0.1 or localhost in the address; until sign-in exists the API is open only there.";
    ForbiddenOrigin "forbidden_origin" 403 PermissionDenied "A page of elsewhere may not call this" "Call from the bank's own page, or from a program that sends no Origin.";
    NoSuchPath "no_such_path" 404 Unimplemented "Nothing is at this path" "The paths are listed in /openapi.json.";
    UnknownAccount "unknown_account" 404 NotFound "There is no such account" "Check the id, or open the account first.";
    UnknownTransfer "unknown_transfer" 404 NotFound "No outcome for this id so far" "This is no outcome: a request on its way may still be chosen. Send it again, or void the id, to settle it.";
    UnknownPayment "unknown_payment" 404 NotFound "No outcome for this payment so far" "This is no outcome: it may still be on its way. Send it again, or ask for it to be void, to settle it.";
    MethodNotAllowed "method_not_allowed" 405 Unimplemented "The path does not take this method" "Use a method of the Allow header.";
    RequestTimeout "request_timeout" 408 Cancelled "The request did not arrive in time" "Send the whole body within ten seconds.";
    BodyTooLarge "body_too_large" 413 InvalidArgument "The body is too large" "Send less at once; the detail says the limit.";
    NotApplicationJson "not_application_json" 415 InvalidArgument "The body is not declared as JSON" "Send the header Content-Type: application/json.";
    UnsupportedEncoding "unsupported_encoding" 415 Unimplemented "The content is in an encoding" "Send it uncompressed, without Content-Encoding or grpc-encoding.";
    NotGrpc "not_grpc" 415 InvalidArgument "This port speaks gRPC" "Use a client of gRPC, or the node's HTTP port.";
    HeadersTooLarge "headers_too_large" 431 ResourceExhausted "The head of the request is too large" "Send fewer or shorter headers; the detail says the limit.";
    UnknownService "unknown_service" 404 NotFound "The node has no such service" "Reflection tells which there are.";
    BrokenRequest "broken_request" 400 Cancelled "The request broke off" "Send it again; nothing was changed.";

    // The ledger's word: outcomes that stay with their id.
    InsufficientFunds "insufficient_funds" 422 FailedPrecondition "Not enough money" "The outcome stays with this id; pay in and try again with a new id.";
    UnknownDebitAccount "unknown_debit_account" 422 FailedPrecondition "The account to be debited does not exist" "Check the id; the outcome stays, so use a new id for the next try.";
    UnknownCreditAccount "unknown_credit_account" 422 FailedPrecondition "The account to be credited does not exist" "Check the id; the outcome stays, so use a new id for the next try.";
    AccountClosed "account_closed" 422 FailedPrecondition "The account is closed" "Use another account.";
    AccountHasHolds "account_has_holds" 422 FailedPrecondition "The account has open holds" "Wait until they are posted or voided.";
    AccountNotEmpty "account_not_empty" 422 FailedPrecondition "The account is not empty" "Move its money elsewhere first.";
    AccountIsInternal "account_is_internal" 422 FailedPrecondition "The account belongs to the bank itself" "Use a customer's account.";
    AccountReserved "account_reserved" 422 FailedPrecondition "The id is kept for a customer's account" "Use an id of version 4 or 7, or add a customer by name.";
    CurrencyMismatch "currency_mismatch" 422 FailedPrecondition "The currencies differ" "Both accounts and the amount must be of one currency; Rialto does not exchange.";
    BalanceOverflow "balance_overflow" 422 OutOfRange "The account's totals would overflow" "Use another account.";
    BooksFull "books_full" 422 ResourceExhausted "The books hold as much as they can" "Tell the operator of the bank.";
    LimitExceeded "limit_exceeded" 422 FailedPrecondition "More than the limit of one transfer" "Send less at once, or have the limit raised.";
    IdReused "id_reused" 422 AlreadyExists "The id belongs to another request" "Each new request needs a new id; to learn the first one's outcome read or repeat it unchanged.";
    IdempotencyKeyReused "idempotency_key_reused" 422 AlreadyExists "The Idempotency-Key belongs to another request" "Use a new key for a new request; repeat the first one unchanged to see its answer.";
    Voided "voided" 422 FailedPrecondition "The id was voided" "It will never post; use a new id.";
    LinkedFailed "linked_failed" 422 Aborted "Another item of the linked batch was refused" "Correct the item that the detail names and send the batch again with new ids.";
    HoldNotFound "hold_not_found" 422 FailedPrecondition "There is no such hold" "Check the id.";
    HoldOfAnother "hold_of_another" 422 PermissionDenied "The hold was placed by another" "Only its placer ends a hold.";
    HoldPosted "hold_posted" 422 FailedPrecondition "The hold was already posted" "Nothing is left to do.";
    HoldVoided "hold_voided" 422 FailedPrecondition "The hold was already voided" "Nothing is left to do.";
    VersionMismatch "version_mismatch" 422 Aborted "The setting has changed meanwhile" "Read it again and decide anew.";
    CustomerExists "customer_exists" 422 AlreadyExists "There is a customer of that name already" "Choose another name, or use the currency in which the customer's account is kept.";
    AccountExists "account_exists" 422 AlreadyExists "The account was opened for something else" "Choose another name: the account that would follow from this one is taken.";
    UnknownCustomer "unknown_customer" 422 FailedPrecondition "There is no such customer" "Check the name, or add the customer first; the outcome stays, so use a new id for the next try.";
    CustomerLocked "customer_locked" 422 FailedPrecondition "The customer is locked" "The bank has locked the account against debits; ask it to unlock the customer, then use a new id.";
    DailyLimitExceeded "daily_limit_exceeded" 422 FailedPrecondition "More than a customer may spend in one day" "Send less, or wait for the next day (UTC); the outcome stays, so use a new id for the next try.";

    // The gateway's word on a payment: outcomes that stay with its id.
    UnknownPayee "unknown_payee" 422 FailedPrecondition "The payee's bank has no such customer" "Check the name; the outcome stays, so use a new id for the next try.";
    UnknownPayer "unknown_payer" 422 FailedPrecondition "The payer's bank does not know the payer" "Ask the bank.";
    OwnAccount "own_account" 422 FailedPrecondition "Payer and payee are the same" "Name somebody else.";
    BankTimedOut "bank_timed_out" 422 FailedPrecondition "A bank did not answer in time, so the payment is void" "It moved no money and never will; pay again with a new id.";
    CapExceeded "cap_exceeded" 422 FailedPrecondition "The payer's bank owes the payee's bank too much already" "Wait until the banks have settled.";
    VoidedByPayer "voided_by_payer" 422 FailedPrecondition "The payer asked for it to be voided" "It will never move money; use a new id.";
    VoidedByOperator "voided_by_operator" 422 FailedPrecondition "An operator voided it" "It will never move money; use a new id.";
    VoidedAtRisk "voided_at_risk" 422 FailedPrecondition "An operator voided it, although it may have been paid" "The gateway moves nothing for it. A bank that was silent may have: ask yours before you pay again with a new id.";
    VoidedAtBank "voided_at_bank" 422 FailedPrecondition "A bank's books have it voided" "It will never move money; use a new id.";
    NotHeldAtBoth "not_held_at_both" 422 FailedPrecondition "Not both banks had set the money aside" "It will never move money; use a new id.";
    ContradictedByBank "contradicted_by_bank" 422 FailedPrecondition "A bank says that it moved the money before that was decided" "It moves no money; the operator has it on a list. Pay again with a new id.";
    BankRefused "bank_refused" 422 FailedPrecondition "A bank refused it" "The detail says why, in words; the outcome stays.";
    MoreThanOwed "more_than_owed" 422 FailedPrecondition "The position is smaller than that" "Settle at most what is owed; see the positions.";

    // Payments and sign-in at the gateway; after each of these nothing was changed and no id is used.
    UnknownBank "unknown_bank" 404 NotFound "There is no such bank in the network" "Check the bank's name.";
    BankUnavailable "bank_unavailable" 503 Unavailable "The bank cannot be reached now" "Send it again after Retry-After, with the same id.";
    BankRestoring "bank_restoring" 503 Unavailable "The bank is being restored" "Send it again later, with the same id.";
    PayerBusy "payer_busy" 429 ResourceExhausted "Too many payments of yours are on their way" "Send it again after Retry-After, with the same id.";
    BankBusy "bank_busy" 429 ResourceExhausted "Too many payments of the bank are on their way" "Send it again after Retry-After, with the same id.";
    DeadlinePassed "deadline_passed" 400 DeadlineExceeded "The payment's deadline has passed" "It was not taken; send it with a later deadline if it is still wanted.";
    InvalidTimeout "invalid_timeout" 400 InvalidArgument "The timeout cannot be used" "Give 50 to 60000 ms, or leave it out.";
    TooManyRefused "too_many_refused" 429 ResourceExhausted "Too many of your payments were refused" "It was not taken; send it again after Retry-After, with the same id.";
    TooManyPayments "too_many_payments" 429 ResourceExhausted "Too many payments of yours in a short time" "It was not taken; send it again after Retry-After, with the same id.";
    TooManyBankCalls "too_many_bank_calls" 429 ResourceExhausted "Too many calls of the bank in a short time" "Nothing was changed; send it again after Retry-After.";
    TooManySignIns "too_many_sign_ins" 429 ResourceExhausted "Too many sign-ins at once" "Sign in again after Retry-After; it does not count as a failed attempt.";
    TooManyAttempts "too_many_attempts" 429 ResourceExhausted "Too many failed sign-ins" "Wait for Retry-After.";
    InvalidPassword "invalid_password" 400 InvalidArgument "The password cannot be used" "See the detail: 1 to 1024 bytes without control and invisible characters (RFC 8265, OpaqueString).";
    NotPermitted "not_permitted" 403 PermissionDenied "The caller may not do this" "Sign in as somebody who may.";
    NameTaken "name_taken" 409 AlreadyExists "The name belongs to another bank" "Choose another name.";
    StaleEpoch "stale_epoch" 409 FailedPrecondition "A newer incarnation is known" "This one was restored over, or another is; see the operator's notes on restoring.";
    EpochTooFar "epoch_too_far" 409 FailedPrecondition "The incarnation is too far ahead" "A restore begins the incarnation after the newest one; check who speaks for this bank.";
    TooEarly "too_early" 409 FailedPrecondition "The payment is within its time" "Ask again when that is over.";
    MayBePaid "may_be_paid" 409 FailedPrecondition "The payment may be paid" "A bank has not said since the gateway was restored whether it has posted it. Wait for that bank; if it is gone for good, the operator says that the risk is taken: although_it_may_be_paid.";
    NotLost "not_lost" 422 FailedPrecondition "These books did not lose that payment" "Only what a restored bank lost is booked again without money set aside.";
    UnknownKey "unknown_key" 404 NotFound "There is no such key" "Check the name against those that the detail lists; nothing was retired.";
    NotListed "not_listed" 404 NotFound "The payment is not on the list" "Check the id against those that the detail lists; what was acknowledged before is off the list.";
    NotDecided "not_decided" 409 FailedPrecondition "The payment has no decision yet" "Ask again later.";
    OutOfRange "out_of_range" 400 OutOfRange "The setting is out of its bounds" "See the bounds in the detail.";

    // Changes of the group: after each of these it is as it was.
    InvalidMember "invalid_member" 400 InvalidArgument "The member cannot be admitted like this" "Give a number from 1 to 99 and addresses of at most 64 printable characters, such as 10.0.0.4:7124.";
    UnknownMember "unknown_member" 404 NotFound "There is no such member" "See /v1/members for the numbers.";
    GroupVersionMismatch "group_version_mismatch" 409 Aborted "The group has changed meanwhile" "Read /v1/members again and decide anew.";
    GroupNotFounded "group_not_founded" 409 Unavailable "The group is not founded yet" "Ask again in a moment: the founding is the first entry of the log.";
    MemberNumberUsed "member_number_used" 409 AlreadyExists "The number was used before" "Numbers are never used twice; take the next one, which the answer names.";
    NoVoterLeft "no_voter_left" 409 FailedPrecondition "Nobody would be left to vote" "Add another member first.";
    NotALearner "not_a_learner" 409 FailedPrecondition "Only a learner can be given a vote" "Admit the node first.";
    ChangeInFlight "change_in_flight" 409 Aborted "The change before is not in force yet" "Ask again in a moment; one member changes at a time.";
    TwoVotesAtOnce "two_votes_at_once" 409 FailedPrecondition "One vote changes at a time" "Add first, then remove.";
    OtherDisk "other_disk" 409 FailedPrecondition "The member is pinned to another disk" "A node that lost its disk is replaced by a new member: rialto members replace.";
    TooManyMembers "too_many_members" 409 ResourceExhausted "The group has as many members as it may" "Remove one first.";
    WouldLoseQuorum "would_lose_quorum" 409 FailedPrecondition "Too few of the voters that would be left answer" "Start the nodes that do not answer, or remove those first; the detail names them.";
    OtherCluster "other_cluster" 409 FailedPrecondition "The node belongs to another cluster than the caller means" "Another cluster was founded at this address; look who is there now, and begin anew if that is meant.";

    // The bank's state; 429 and 503 mean that nothing was proposed.
    Overloaded "overloaded" 429 ResourceExhausted "Too much at once" "Wait for Retry-After and send it again, with the same id; nothing was changed.";
    Unavailable "unavailable" 503 Unavailable "The bank cannot take this now" "Send it again after Retry-After, here or to another node; nothing was changed.";
    Mending "mending" 503 Unavailable "This node mends damaged files" "Send it to another node, or here again after Retry-After; nothing was changed.";
    BeyondRepair "beyond_repair" 500 DataLoss "Nobody has a good copy of what was asked for" "Asking again does not help. Balances are right; that part of the history stays unreadable until the operator restores an older copy (rialto restore). Nothing was changed.";
    ShuttingDown "shutting_down" 503 Unavailable "The node is shutting down" "Send it to another node; nothing was changed.";
    TooManyConnections "too_many_connections" 503 Unavailable "The node has all the connections that it takes" "Close idle connections, or try again shortly.";
    OutcomeUnknown "outcome_unknown" 504 DeadlineExceeded "The outcome is not known yet" "Send it again unchanged, with the id that the answer names, or void that id; either settles it. Never use a new id for the same payment.";
    Internal "internal" 500 Internal "A bug" "Please report it with the time; the id may be sent again safely.";
}

impl Code {
    /// The row of this code.
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    pub fn text(self) -> &'static str {
        self.row().text
    }

    /// The code with that text, if there is one: how a client reads it back.
    pub fn from_text(text: &str) -> Option<Code> {
        ROWS.iter().find(|row| row.text.eq_ignore_ascii_case(text)).map(|row| row.code)
    }
}

/// `docs/errors.md`, made from the table.
pub fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Over HTTP an error is `application/problem+json` (RFC 9457) with a stable `code`; over gRPC a status with\n\
         `google.rpc.ErrorInfo` (domain `rialto`, reason the code in upper case) and, where waiting helps,\n\
         `google.rpc.RetryInfo`.\n\n\
         422 is the ledger's answer to a well-formed request and stays with its id. Everything else in the 400s\n\
         never reached the ledger and leaves its id unused. After 429 and 503 nothing was proposed. Only 504 leaves\n\
         the outcome open: repeat the request with its id, or void it.\n\n\
         | code | HTTP | gRPC | meaning | what to do |\n|---|---|---|---|---|\n",
    );
    for row in ROWS {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            row.text,
            row.http,
            grpc_name(row.grpc),
            row.title,
            row.advice
        ));
    }
    page
}

fn grpc_name(code: Grpc) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_own_row_and_no_text_is_used_twice() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.code as usize, index);
            assert_eq!(Code::from_text(row.text), Some(row.code), "{} is used twice", row.text);
        }
    }

    /// Set `UPDATE_DOCS=1` to write the page anew.
    #[test]
    fn the_page_of_errors_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).expect("docs/ can be written");
        }
        let written = std::fs::read_to_string(path).expect("docs/errors.md exists");
        assert_eq!(written, page(), "docs/errors.md differs from the table: run this test with UPDATE_DOCS=1");
    }
}
