//! Log lines: `time level node event key=value…`, one line an event, as text or as JSON.
//!
//! The event's name is its field `event`, or its message. Values with spaces, quotes or control characters are quoted, so
//! nothing that came from outside can end a line or forge one. To standard error, or to a file of bounded size.
//!
//! Requests, a line each, go to a file of their own: there are many, and whoever looks for what is wrong with a node must not
//! have to look between them. They are written by a thread, so that a slow disk delays no answer.

mod background;
mod line;
mod rotating_file;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use self::background::Background;
use self::line::Fields;
pub(crate) use self::line::{Format, rfc3339};
use self::rotating_file::RotatingFile;
use crate::failure::{Code, Failure};

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stderr,
    File(PathBuf),
}

/// Understands `info`, or `info,paxos=debug`: a level for everything, and others for parts of the program. Where parts are
/// named and nothing else, the rest is told at `info`.
pub(crate) fn parse_level(text: &str) -> Result<Targets, String> {
    let refused = |part: &str| {
        format!("`{part}` is no log level: use error, warn, info, debug, trace or off, or `info,paxos=debug` for parts")
    };
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    for part in text.split(',').map(str::trim) {
        let (name, level) = match part.split_once('=') {
            Some((name, level)) => (Some(name.trim()), level.trim()),
            None => (None, part),
        };
        let level = LEVELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(level)).map(|(_, level)| *level);
        targets = match (name, level) {
            (None, Some(level)) => targets.with_default(level),
            (Some(name), Some(level)) if !name.is_empty() => targets.with_target(name, level),
            (Some(_), Some(_)) | (_, None) => return Err(refused(part)),
        };
    }
    Ok(targets)
}

const LEVELS: [(&str, LevelFilter); 6] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
    ("off", LevelFilter::OFF),
];

/// Understands `text` and `json`.
pub(crate) fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        other => Err(format!("`{other}` is no log format: use text or json")),
    }
}

/// The target of events that are requests.
const REQUESTS: &str = "requests";

/// What is logged, and where.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) format: Format,
    pub(crate) target: Target,
    /// The file of requests; without one they go where the rest goes.
    pub(crate) requests: Option<PathBuf>,
    /// By a thread of their own, so that a slow disk delays no answer; a command that is soon over writes each at once.
    pub(crate) in_background: bool,
    pub(crate) levels: Targets,
}

/// Starts logging for this process; `node` is told in every line.
pub(crate) fn start(node: String, log: &Log) -> Result<(), Failure> {
    let Log { format, levels, .. } = log.clone();
    let sink: Box<dyn Sink> = match &log.target {
        Target::Stderr => Box::new(std::io::stderr()),
        Target::File(path) => Box::new(open(path)?),
    };
    let requests = log.requests.as_deref().map(|path| -> Result<Lines, Failure> {
        let dir = path.parent().unwrap_or(std::path::Path::new("."));
        storage::private::make_dir(dir)
            .map_err(|error| Failure::cannot_start(format!("making {}: {error}", dir.display())))?;
        let sink: Box<dyn Sink> = match log.in_background {
            true => Box::new(Background::start(open(path)?)),
            false => Box::new(open(path)?),
        };
        Ok(Lines { node: node.clone(), format, sink: Mutex::new(sink) })
    });
    let requests = requests.transpose()?;
    let apart = requests.is_some();
    let is_request = |metadata: &tracing::Metadata<'_>| metadata.target() == REQUESTS;
    let main = Lines { node, format, sink: Mutex::new(sink) };
    let main = main.with_filter(filter_fn(move |metadata| !(apart && is_request(metadata))));
    let requests = requests.map(|lines| lines.with_filter(filter_fn(is_request)));
    tracing_subscriber::registry()
        .with(levels)
        .with(main)
        .with(requests)
        .try_init()
        .map_err(|error| Failure::new(format!("starting the log: {error}")).with_code(Code::Bug))?;
    std::panic::set_hook(Box::new(log_panic(std::panic::take_hook())));
    Ok(())
}

fn open(path: &std::path::Path) -> Result<RotatingFile, Failure> {
    RotatingFile::open(path)
        .map_err(|error| Failure::cannot_start(format!("opening the log file {}: {error}", path.display())))
}

/// A panic is a bug: it goes into the log beside everything that led to it, and to stderr as always.
fn log_panic(
    usual: impl Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync + 'static,
) -> impl Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync + 'static {
    move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("a value that is no text");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(event = "panic", thread, what, place);
        usual(panic);
    }
}

/// Somewhere that takes whole lines.
trait Sink: std::io::Write + Send + std::fmt::Debug {}
impl<W: std::io::Write + Send + std::fmt::Debug> Sink for W {}

#[derive(Debug)]
struct Lines {
    node: String,
    format: Format,
    sink: Mutex<Box<dyn Sink>>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = self.format.line(SystemTime::now(), *metadata.level(), &self.node, metadata.target(), &fields);
        // One write a line, so lines of several processes on one stderr do not mix. A log that cannot be written
        // (its disk is full, its reader has gone) must not stop the node.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sink.write_all(line.as_bytes());
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_level_that_is_none_is_refused_instead_of_silencing_everything() {
        for wrong in ["verbose", "info,verbose", "paxos=verbose", "=debug", "", "info,", "3", "paxos"] {
            let why = parse_level(wrong).expect_err(wrong);
            assert!(why.contains("is no log level: use error, warn, info, debug, trace"), "{wrong}: {why}");
        }
        for (text, target, level, is_told) in [
            ("info", "server", Level::INFO, true),
            ("INFO", "server", Level::DEBUG, false),
            ("warn, paxos=debug", "paxos", Level::DEBUG, true),
            ("warn,paxos=debug", "server", Level::INFO, false),
            ("paxos=debug", "server", Level::INFO, true),
            ("off", "server", Level::ERROR, false),
        ] {
            let levels = parse_level(text).expect(text);
            assert_eq!(levels.would_enable(target, &level), is_told, "{text}: {target} at {level}");
        }
    }
}
