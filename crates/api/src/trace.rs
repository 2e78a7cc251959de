//! Which request a call belongs to, through client, gateway and banks: W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context/>), as the header `traceparent`.
//!
//! Whoever serves a request does so [`within`] its context; every call that is made there goes on with the same trace id.
//! One that belongs to none begins a trace of its own.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The header's name.
pub const HEADER: &str = "traceparent";

/// A trace, and who in it calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    trace: u128,
    parent: u64,
}

tokio::task_local! {
    static CURRENT: TraceContext;
}

impl TraceContext {
    /// A trace that begins here.
    pub fn begin() -> TraceContext {
        let trace = u128::from(random()) << 64 | u128::from(random());
        TraceContext { trace, parent: random() }
    }

    /// The same trace, one call further.
    #[must_use]
    pub fn child(self) -> TraceContext {
        TraceContext { parent: random(), ..self }
    }

    /// `00-<32 hex digits>-<16 hex digits>-<flags>`. What a later version adds behind that is left alone; nothing else is
    /// understood, and then a new trace is begun.
    pub fn parse(text: &str) -> Option<TraceContext> {
        let mut parts = text.trim().split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            (text.len() == length && is_hex).then_some(())
        };
        hex(version, 2)?;
        hex(trace, 32)?;
        hex(parent, 16)?;
        hex(flags, 2)?;
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let context = TraceContext {
            trace: u128::from_str_radix(trace, 16).ok()?,
            parent: u64::from_str_radix(parent, 16).ok()?,
        };
        (context.trace != 0 && context.parent != 0).then_some(context)
    }

    /// What all lines about one request have in common.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The context that this code runs in, if it does in one.
    pub fn current() -> Option<TraceContext> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// For a call that is made now.
    pub fn next() -> TraceContext {
        TraceContext::current().map_or_else(TraceContext::begin, TraceContext::child)
    }
}

/// As the header has it; sampled, for every request has its line.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.parent)
    }
}

/// Runs what serves a request.
pub async fn within<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

/// Good enough to tell requests apart, and without a call to the system for each: a keyed hash of nothing, whose key is the
/// system's once a thread and one further each time.
fn random() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_reads_back_as_it_was_written_and_a_child_keeps_the_trace() {
        let context = TraceContext::begin();
        assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child, context);
        let known = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert_eq!(
            TraceContext::parse(known).map(TraceContext::trace_id),
            Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned())
        );
        assert!(TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more").is_some());
    }

    #[test]
    fn nonsense_is_no_context() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn calls_made_within_a_request_go_on_with_its_trace() {
        assert_eq!(TraceContext::current(), None);
        let context = TraceContext::begin();
        let next = within(context, async { TraceContext::next() }).await;
        assert_eq!(next.trace_id(), context.trace_id());
    }
}
