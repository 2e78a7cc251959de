//! One connection, and no second: whoever is behind an address may be another after each dial.
//!
//! tonic connects a channel again when a request finds that its connection has closed, and sends that same request there. What
//! was learned of the first connection says nothing of the second. So this connector dials once; after that it fails, and
//! whoever has more to send makes a new channel.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tonic::Status;
use tonic::transport::Uri;
use tower_service::Service;

/// What is known of the one connection. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Life(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    dialled: AtomicBool,
    over: AtomicBool,
}

impl Life {
    /// Whether nothing can be sent on it any more: it never came about, or a request found it closed. One that has closed and
    /// that nothing was sent on since is not known for that yet.
    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Nothing is sent on it any more.
    pub(super) fn end(&self) {
        self.0.over.store(true, Ordering::Release);
    }
}

/// A second dial was refused.
#[derive(Debug, thiserror::Error)]
#[error("the connection has ended, and a new one must be checked first")]
struct Spent;

/// Whether the call found its connection closed. Nothing of it has left then.
pub(super) fn was_spent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<Spent>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A connector that dials once.
#[derive(Debug, Clone)]
pub(super) struct Once<C> {
    inner: C,
    life: Life,
}

impl<C> Once<C> {
    pub(super) fn new(inner: C, life: &Life) -> Once<C> {
        Once { inner, life: life.clone() }
    }
}

impl<C> Service<Uri> for Once<C>
where
    C: Service<Uri, Error = io::Error>,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
{
    type Response = C::Response;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, node: Uri) -> Self::Future {
        if self.life.0.dialled.swap(true, Ordering::AcqRel) {
            self.life.end();
            return Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::NotConnected, Spent))));
        }
        let (dialling, unless_connected) = (self.inner.call(node), EndsLife(Some(self.life.clone())));
        Box::pin(async move {
            let mut unless_connected = unless_connected;
            let connection = dialling.await?;
            unless_connected.0 = None;
            Ok(connection)
        })
    }
}

/// A dial that fails, or that is given up, was the only one.
struct EndsLife(Option<Life>);

impl Drop for EndsLife {
    fn drop(&mut self) {
        if let Some(life) = &self.0 {
            life.end();
        }
    }
}
