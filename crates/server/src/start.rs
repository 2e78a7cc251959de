//! What a node's directory must show before the node may start on it.
//!
//! ```text
//! diverged    what this node held differed from a majority's: kept for whoever looks into it, the node stays down
//! distrust    rot was seen while the node ran, where an opening does not look: journal, checkpoint and ids are read whole
//! started     the node has run: an empty log is a lost one from then on
//! ```

use crate::config::{FailureKind, NodeError};
use crate::handle::hex;
use paxos::NodeId;
use replica::Divergence;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use storage::{LogOptions, private};
use tracing::info;

const STARTED: &str = "started";
const DIVERGED: &str = "diverged";
const DISTRUST: &str = "distrust";

/// Refuses what must not start: a node that has diverged, or one whose log is gone or cut short.
pub(crate) fn check(dir: &Path, node: u16, log: &LogOptions) -> Result<(), NodeError> {
    private::check_dir(dir).map_err(|open| NodeError::Config(open.to_string()))?;
    // A copy, or a version from before, may have left it open. Nobody else could reach it in there.
    let closed = private::close_all(dir).map_err(NodeError::system("closing the node's files to other users"))?;
    if closed > 0 {
        info!(event = "files_closed", count = closed, why = "other users of this machine might have read them");
    }
    if dir.join(DIVERGED).exists() {
        return Err(NodeError::Diverged { evidence: dir.join(DIVERGED), node });
    }
    check_log_is_there(dir, node)?;
    check_log_is_whole(dir, node, log)
}

/// A node that has run has promises in its log. Without it, it has forgotten them, and must not vote.
fn check_log_is_there(dir: &Path, node: u16) -> Result<(), NodeError> {
    let log = dir.join("log");
    let is_empty = || fs::read_dir(&log).map_or(true, |mut entries| entries.next().is_none());
    if dir.join(STARTED).exists() && is_empty() {
        return Err(NodeError::LogGone { log, node });
    }
    Ok(())
}

/// Every segment is as long as it will ever be before it holds its first record. A shorter one has lost its end, and what
/// told that there was one with it: without this, the rest would pass for a log whose votes were never cast.
fn check_log_is_whole(dir: &Path, node: u16, options: &LogOptions) -> Result<(), NodeError> {
    let reading = "measuring the log";
    let entries = match fs::read_dir(dir.join("log")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NodeError::system(reading)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(NodeError::system(reading))?;
        let is_segment = entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok());
        let bytes = entry.metadata().map_err(NodeError::system(reading))?.len();
        if is_segment && bytes < options.segment_bytes {
            let what = format!(
                "{} at {bytes} is damaged: it ends there, and a segment has {} bytes from the beginning; with its end \
                 this node lost promises and votes, and must not vote under its number; give the bank a new node in its \
                 place: rialto members replace {node}",
                entry.path().display(),
                options.segment_bytes
            );
            return Err(NodeError::Failed { kind: FailureKind::Damaged, what });
        }
    }
    Ok(())
}

/// From now on an empty log means that it was lost.
pub(crate) fn note_started(dir: &Path) -> Result<(), NodeError> {
    if dir.join(STARTED).exists() {
        return Ok(());
    }
    write(dir, STARTED, "").map_err(NodeError::system("noting that the node has started"))
}

/// Did what the node held differ from a majority's?
pub(crate) fn has_diverged(dir: &Path) -> bool {
    dir.join(DIVERGED).exists()
}

/// Was rot seen while the node ran?
pub(crate) fn distrusts(dir: &Path) -> bool {
    dir.join(DISTRUST).exists()
}

/// The next opening reads everything.
pub(crate) fn note_distrust(dir: &Path, why: &str) -> Result<(), NodeError> {
    write(dir, DISTRUST, why).map_err(NodeError::system("noting what has rotted"))
}

/// Everything was read, and what was rotten is mended.
pub(crate) fn trust_again(dir: &Path) -> Result<(), NodeError> {
    match fs::remove_file(dir.join(DISTRUST)) {
        Ok(()) => File::open(dir).and_then(|dir| dir.sync_all()).map_err(NodeError::system("noting what is mended")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NodeError::system("noting what is mended")(error)),
    }
}

/// Keeps what a person needs to find out how this node came to hold something else than the others.
pub(crate) fn keep_evidence(dir: &Path, at: &str, divergence: &Divergence) -> io::Result<()> {
    let Divergence { slot, own, others } = divergence;
    let mut text = format!("slot {slot}\nseen {at}\nown {}\n", hex(own));
    for (node, digest) in others {
        text.push_str(&format!("node {node} {}\n", hex(digest)));
    }
    write(dir, DIVERGED, &text)
}

/// Who said otherwise, for a sentence.
pub(crate) fn contradicted_by(divergence: &Divergence) -> String {
    let others: Vec<String> = divergence
        .others
        .iter()
        .filter(|(_, digest)| *digest != divergence.own)
        .map(|(node, _): &(NodeId, [u8; 32])| node.to_string())
        .collect();
    if others.is_empty() { "the others".to_owned() } else { format!("nodes {}", others.join(" and ")) }
}

fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = private::make_file(&dir.join(name))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paxos::Slot;
    use std::path::PathBuf;

    fn directory(test: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("rialto-start-{test}-{}", std::process::id()));
        private::make_dir(&dir.join("log")).expect("a temporary directory");
        dir
    }

    #[test]
    fn a_node_that_has_diverged_stays_down_and_says_what_to_do() {
        let dir = directory("diverged");
        let options = LogOptions::default();
        check(&dir, 2, &options).expect("nothing is known against it");
        let node = |number| NodeId::new(number).expect("not zero");
        let others = vec![(node(1), [1; 32]), (node(3), [1; 32])];
        let divergence = Divergence { slot: Slot::new(77), own: [2; 32], others };
        keep_evidence(&dir, "now", &divergence).expect("written");
        let error = check(&dir, 2, &options).expect_err("it has diverged");
        assert_eq!(error.kind(), FailureKind::Damaged);
        assert!(error.to_string().contains("rialto members replace 2"), "{error}");
        let kept = fs::read_to_string(dir.join(DIVERGED)).expect("just written");
        let lines = [format!("own {}", "02".repeat(32)), format!("node 3 {}", "01".repeat(32)), "slot 77".to_owned()];
        assert!(lines.iter().all(|line| kept.contains(line)), "{kept}");
        assert_eq!(contradicted_by(&divergence), "nodes 1 and 3");
        fs::remove_dir_all(&dir).expect("made above");
    }

    #[test]
    fn a_log_that_was_lost_is_not_a_new_one() {
        let dir = directory("lost");
        let options = LogOptions::default();
        check(&dir, 2, &options).expect("it never ran");
        note_started(&dir).expect("written");
        let error = check(&dir, 2, &options).expect_err("it ran, and its log is gone");
        assert!(error.to_string().contains("rialto members replace 2"), "{error}");
        fs::write(dir.join("log/1"), "short").expect("written");
        let error = check(&dir, 2, &options).expect_err("it was cut");
        assert!(error.to_string().contains("it ends there"), "{error}");
        fs::remove_dir_all(&dir).expect("made above");
    }

    #[test]
    fn distrust_lasts_until_everything_was_read() {
        let dir = directory("distrust");
        assert!(!distrusts(&dir));
        note_distrust(&dir, "ids/7 at 512").expect("written");
        assert!(distrusts(&dir));
        trust_again(&dir).expect("removed");
        trust_again(&dir).expect("nothing to remove");
        assert!(!distrusts(&dir));
        fs::remove_dir_all(&dir).expect("made above");
    }
}
