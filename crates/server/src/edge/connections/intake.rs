//! What the listeners of a node take in together, and within which limits.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::edge::bounds;
use crate::edge::in_flight::{Level, Of};
use crate::edge::sources::Sources;

/// How the two wires bound their callers. See `bounds` for what stands behind the usual values.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of one listener. The sum of all listeners stays below the process's limit of open files.
    pub connections_max: usize,
    /// Connections of one listener beyond those, for whoever asks how the node is.
    pub reserved_max: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub stall_timeout: Duration,
    pub drain_timeout: Duration,
    pub connection_bytes_max: usize,
    pub source_bytes_max: usize,
    pub node_bytes_max: usize,
    pub refusals_burst: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        let (connections_max, reserved_max) = connections_within(open_files_max());
        Limits {
            connections_max,
            reserved_max,
            header_timeout: bounds::HEADER_TIMEOUT,
            body_timeout: bounds::BODY_TIMEOUT,
            stall_timeout: bounds::STALL_TIMEOUT,
            drain_timeout: bounds::DRAIN_TIMEOUT,
            connection_bytes_max: bounds::CONNECTION_BYTES_MAX,
            source_bytes_max: bounds::SOURCE_BYTES_MAX,
            node_bytes_max: bounds::NODE_BYTES_MAX,
            refusals_burst: bounds::REFUSALS_BURST,
        }
    }
}

/// Connections and reserved connections of each of two listeners, which share what the process may open beyond its own files.
fn connections_within(open_files_max: usize) -> (usize, usize) {
    let share = open_files_max.saturating_sub(bounds::FILES_RESERVED) / 2;
    let reserved = (share / 8).clamp(4, bounds::RESERVED_MAX);
    (share.saturating_sub(reserved).clamp(16, bounds::CONNECTIONS_MAX), reserved)
}

/// The process's limit of open files, as the kernel tells it; the usual 1,024 where it does not.
fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => usize::MAX,
        soft => soft.and_then(|soft| soft.parse().ok()).unwrap_or(1024),
    }
}

/// What all listeners of a node take in together. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub struct Intake {
    limits: Limits,
    sources: Sources,
    bytes: Arc<Level>,
    streams: Arc<AtomicUsize>,
}

impl Intake {
    pub fn new(limits: Limits) -> Intake {
        let bytes = Level::new(Of::Node, limits.node_bytes_max);
        Intake { limits, sources: Sources::new(&limits), bytes, streams: Arc::default() }
    }

    pub(in crate::edge) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::edge) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(in crate::edge) fn bytes(&self) -> &Arc<Level> {
        &self.bytes
    }

    pub(in crate::edge) fn streams(&self) -> &Arc<AtomicUsize> {
        &self.streams
    }

    /// Bytes in flight now.
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_never_take_the_files_of_the_log() {
        assert_eq!(connections_within(1024), (336, 48));
        assert_eq!(connections_within(100), (16, 4));
        assert_eq!(connections_within(usize::MAX), (bounds::CONNECTIONS_MAX, bounds::RESERVED_MAX));
        assert!(open_files_max() >= 16);
    }
}
