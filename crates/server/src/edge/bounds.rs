//! How much one caller, and all callers together, may make a node hold: the one table of the edges.
//!
//! ```text
//!                     of one connection    of one source             of a node
//! connections         -                    3/4 of a listener's       4,096 a listener, fewer where few files may be open
//! connections kept    -                    -                         64 a listener, for health, readiness and figures alone
//! calls at once       256 over gRPC, 1 over HTTP/1.1
//! bytes in flight     32 MiB               64 MiB                    256 MiB
//! open streams        32                   128                       256  (Health/Watch, reflection)
//! refused requests    -                    100 a second, 2,000 at once
//! ```
//!
//! A source is a certificate, or the network of a caller that shows none: an IPv4 address, or an IPv6 network of 64 bits. For
//! refused requests a customer who is signed in is a source too. Whoever comes by way of a balancer that hides addresses shares
//! the balancer's. What is over a bound is refused and changes nothing.

use std::time::Duration;

use axum::http::Method;

/// Most connections of a listener, whatever the process may open.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections beyond that of a listener, on which only [looks](is_look) are answered: health checks get through while
/// everything else is taken.
pub const RESERVED_MAX: usize = 64;
/// Open files that are left to the log, the journal and the peers: callers must never take those.
pub const FILES_RESERVED: usize = 256;
/// How long a connection on a reserved seat may last.
pub const RESERVED_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest head of a request, over either wire. Over HTTP/1.1 it is also what is read and written at once on a connection: so
/// many bytes of an answer that are not written count no more.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Up to this a head over HTTP/2 is read, to be refused in words; beyond it HTTP/2 itself refuses it.
pub const HEAD_BYTES_READ_MAX: u32 = 64 << 10;
/// Calls at once on one connection over HTTP/2; further ones wait at the caller.
pub const CALLS_AT_ONCE_MAX: u32 = 256;

/// Bytes in flight: of requests from their beginning until their answers have left. See `in_flight`.
pub const CONNECTION_BYTES_MAX: usize = 32 << 20;
pub const SOURCE_BYTES_MAX: usize = 64 << 20;
pub const NODE_BYTES_MAX: usize = 256 << 20;
/// What any request counts for, however small: its head, its task, its answer.
pub const REQUEST_BYTES_MIN: usize = 4 << 10;
/// What a request for a list counts for, from its beginning on: an answer has up to a thousand lines, and its caller may be in
/// no hurry to take it.
pub const LIST_BYTES: usize = 128 << 10;

/// Streams that stay open on one connection, of one source, and of the node: `Health/Watch` and reflection.
pub const CONNECTION_STREAMS_MAX: usize = 32;
pub const SOURCE_STREAMS_MAX: usize = 128;
pub const NODE_STREAMS_MAX: usize = 256;
/// How long a caller may keep a stream of reflection open.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(600);

/// Refused requests of one source a second, for ever, and at once. What is beyond is answered with 429, leaves no line in the
/// log, and closes its connection over HTTP/1.1.
pub const REFUSALS_PER_SECOND: u64 = 100;
pub const REFUSALS_BURST: u64 = 2_000;
/// Sources that are remembered while none of their connections is open: those that were refused something lately.
pub const SOURCES_MAX: usize = 16_384;

/// The head of a request must be complete this long after the connection was made or the last answer was given; so this is
/// also how long an HTTP connection may idle. Over HTTP/2 the connection must have begun by then.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a body may take to arrive, from the end of its head on.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A caller that takes nothing for so long is gone, and so is one that has not taken a whole answer after twice that.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection stays to be read from after an answer that came before the whole request, so that closing does not
/// overtake the answer.
pub const LINGER: Duration = Duration::from_secs(1);
/// How long connections may finish what they do once they are to close.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Largest message of calls that carry many items: 8,190 transfers with full references are about 1 MiB.
pub const BATCH_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest message of a customer's payments: a thousand are about 150 KiB.
pub const PAYMENTS_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Largest message of every other call: they carry a handful of fields.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Largest message of health and reflection, which carry a name.
pub const LOOK_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// How the messages of a call over gRPC are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRule {
    pub bytes_max: usize,
    pub requests: Requests,
}

/// How many messages a caller sends in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    One,
    Many,
}

/// The rule for a call's path.
pub fn message_rule(path: &str) -> MessageRule {
    let bytes_max = match path {
        "/rialto.v1.Bank/TransferBatch" | "/rialto.v1.Bank/OpenAccounts" | "/rialto.v1.Bank/PaymentCalls" => {
            BATCH_MESSAGE_BYTES_MAX
        }
        "/rialto.v1.Gateway/TransferMoney" => PAYMENTS_MESSAGE_BYTES_MAX,
        path if path.starts_with("/grpc.") => LOOK_MESSAGE_BYTES_MAX,
        _ => MESSAGE_BYTES_MAX,
    };
    let requests = if path.starts_with("/grpc.reflection.") { Requests::Many } else { Requests::One };
    MessageRule { bytes_max, requests }
}

/// What a request counts for from its beginning on. What its body needs beyond that is counted as it comes.
pub fn request_bytes(method: &Method, path: &str) -> usize {
    let gets_list = path == "/v1/accounts" || path == "/v1/history" || path.ends_with("/statement");
    match path {
        path if is_look(path) => 0,
        "/rialto.v1.Bank/ListAccounts"
        | "/rialto.v1.Bank/Statement"
        | "/rialto.v1.Bank/TransactionHistory"
        | "/rialto.v1.Bank/GatewayHolds"
        | "/rialto.v1.Gateway/TransactionHistory"
        | "/rialto.v1.Gateway/Payments" => LIST_BYTES,
        _ if method == Method::GET && gets_list => LIST_BYTES,
        _ => REQUEST_BYTES_MIN,
    }
}

/// Whether a request asks how the node is. Such requests carry next to nothing and move nothing: seats are kept for them, they
/// need no bytes in flight, and they are answered until the node's end.
pub fn is_look(path: &str) -> bool {
    matches!(
        path,
        "/livez" | "/readyz" | "/v1/status" | "/metrics" | "/rialto.v1.Bank/Status" | "/grpc.health.v1.Health/Check"
    )
}
