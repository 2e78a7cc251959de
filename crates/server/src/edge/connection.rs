//! One connection, as the requests on it know it: where it comes from, and what of the node it may hold.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::http::Method;

use api::code::Code;
use api::problem::Problem;

use super::bounds;
use super::connections::Intake;
use super::in_flight::{Charge, Full, Level, Of};
use super::sources::{Key, Place, Source};

/// Every request carries it in its extensions. A clone is another handle of the same connection.
#[derive(Debug, Clone)]
pub(super) struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Arc<Source>,
    bytes: Arc<Level>,
    streams: Arc<AtomicUsize>,
    intake: Intake,
}

/// A stream that may stay open. Its place is given back when this is dropped.
#[derive(Debug)]
pub(super) struct StreamPlace {
    _places: [Place; 3],
}

/// A place for the stream that a call opens; none where calls come without a connection.
///
/// # Errors
/// When the connection, its source or the node has as many as it may.
pub(super) fn open_stream<T>(request: &tonic::Request<T>) -> Result<Option<StreamPlace>, tonic::Status> {
    let place = request.extensions().get::<Connection>().map(Connection::open_stream).transpose();
    place.map_err(|problem| problem.to_status())
}

/// Long enough for a stream of another to end.
const RETRY_MS: u64 = 1_000;

impl Connection {
    pub(super) fn new(source: Arc<Source>, intake: Intake) -> Connection {
        let bytes = Level::new(Of::Connection, intake.limits().connection_bytes_max);
        Connection(Arc::new(Inner { source, bytes, streams: Arc::default(), intake }))
    }

    /// Where it comes from.
    pub(super) fn source(&self) -> &Arc<Source> {
        &self.0.source
    }

    /// Whose refused requests are counted: those of the customer who is signed in, or else of where it comes from.
    pub(super) fn source_of(&self, customer: Option<String>) -> Arc<Source> {
        match customer {
            Some(customer) => self.0.intake.sources().find(Key::Customer(customer)),
            None => Arc::clone(&self.0.source),
        }
    }

    pub(super) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    fn levels(&self) -> [Arc<Level>; 3] {
        [Arc::clone(&self.0.bytes), Arc::clone(&self.0.source.bytes), Arc::clone(self.0.intake.bytes())]
    }

    /// What a request counts for from its beginning on.
    pub(super) fn charge(&self, method: &Method, path: &str) -> Result<Charge, Full> {
        Charge::begin(self.levels(), bounds::request_bytes(method, path))
    }

    /// A place for a stream that stays open.
    fn open_stream(&self) -> Result<StreamPlace, Problem> {
        let full = |whose: &str, max: usize| {
            let detail = format!("{whose} {max} streams open, and may not have more; close one");
            Problem::new(Code::Overloaded, detail).retry_after_ms(RETRY_MS)
        };
        let take =
            |taken: &Arc<AtomicUsize>, whose: &str, max: usize| Place::take(taken, max).ok_or_else(|| full(whose, max));
        let places = [
            take(&self.0.streams, "this connection has", bounds::CONNECTION_STREAMS_MAX)?,
            take(&self.0.source.streams, "you have", bounds::SOURCE_STREAMS_MAX)?,
            take(self.0.intake.streams(), "the node has", bounds::NODE_STREAMS_MAX)?,
        ];
        Ok(StreamPlace { _places: places })
    }
}
