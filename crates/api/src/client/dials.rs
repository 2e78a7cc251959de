//! Counts how often a channel was connected: whoever is behind an address may be another after each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tonic::transport::Uri;
use tower_service::Service;

/// How often a channel began to connect. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Dials(Arc<AtomicU64>);

impl Dials {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A connector that counts.
#[derive(Debug, Clone)]
pub(super) struct Counted<C> {
    inner: C,
    dials: Dials,
}

impl<C> Counted<C> {
    pub(super) fn new(inner: C, dials: &Dials) -> Counted<C> {
        Counted { inner, dials: dials.clone() }
    }
}

impl<C: Service<Uri>> Service<Uri> for Counted<C> {
    type Response = C::Response;
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, node: Uri) -> C::Future {
        // Before the connection is there: nothing can be sent on it that was checked before.
        self.dials.0.fetch_add(1, Ordering::AcqRel);
        self.inner.call(node)
    }
}
