//! Why a connection failed, in our words: the one place that reads what a library says.
//!
//! A library's text ("deadline has elapsed", "stream closed because of a broken pipe") tells whoever runs a command neither
//! what is wrong nor what to do. So an error is judged by its kind, found somewhere below what was wrapped around it, and a
//! text that is not known here is never shown.

use std::error::Error;
use std::io;

use tonic::{ConnectError, Status, TimeoutExpired};

/// Nothing came in time.
pub const SILENT: &str = "it did not answer in time";
/// The connection ended, and nothing said why.
pub const BROKEN_OFF: &str = "it ended the connection without an answer";

/// What an error means, in words that end a sentence "node 2 does not answer: …".
pub fn in_our_words(error: &(dyn Error + 'static)) -> String {
    let mut below = Some(error);
    while let Some(error) = below {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return certs::why(error);
        }
        if error.is::<tokio::time::error::Elapsed>() || error.is::<TimeoutExpired>() {
            return SILENT.to_owned();
        }
        below = error.source();
    }
    BROKEN_OFF.to_owned()
}

/// Why an attempt had no answer. A status of ours is a sentence already; what is below one of the transport is not.
pub(super) fn of_status(status: &Status) -> String {
    match status.source() {
        Some(error) => in_our_words(error),
        None => status.message().to_owned(),
    }
}

/// Whether the call ended before there was a connection to send it on.
pub(super) fn was_not_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Wrapped<E: Error + 'static>(#[source] E);

    #[test]
    fn no_text_of_a_library_is_shown() {
        let of_io = |kind: io::ErrorKind| in_our_words(&Wrapped(Wrapped(io::Error::from(kind))));
        assert_eq!(of_io(io::ErrorKind::ConnectionRefused), "connection refused, nothing listens there");
        assert_eq!(of_io(io::ErrorKind::BrokenPipe), "it ended the connection");
        assert_eq!(of_io(io::ErrorKind::TimedOut), SILENT);
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(in_our_words(&refused), "connection refused, nothing listens there", "no number of the system's");
        assert_eq!(in_our_words(&Wrapped(std::fmt::Error)), BROKEN_OFF, "what is not known is not repeated");
    }

    #[tokio::test]
    async fn a_time_that_is_over_is_silence() {
        let over = tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>()).await;
        assert_eq!(in_our_words(&Wrapped(over.expect_err("it never ends"))), SILENT);
    }
}
