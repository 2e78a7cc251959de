//! What is made from files that may be replaced while a node runs: made anew when they have changed.
//!
//! A new connection takes what is there; those that stand go on with what they began with, so nobody notices. Files that
//! do not belong together are told once, and what was good before stays in use.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::failure::CertsError;
use crate::files::{Files, Loaded};

/// How often the files are looked at, at most. It is three looks at the metadata of local files, and rarely a read: short
/// enough to do where a connection is made.
const LOOK: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn(&Loaded) -> Result<T, CertsError> + Send + Sync>;

/// See the module.
pub(crate) struct Fresh<T> {
    files: Files,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    /// What the files looked like when they were last read.
    stamp: Stamp,
    looked: Instant,
}

/// Tells whether files have changed: for each its inode, size and time, and none where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp([Option<(u64, u64, i64, i64)>; 3]);

impl Stamp {
    fn of(files: &Files) -> Stamp {
        Stamp([files.authority(), files.certificate(), files.key()].map(|path| look(&path)))
    }
}

fn look(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let seen = fs::metadata(path).ok()?;
    Some((seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
}

impl<T> Fresh<T> {
    /// Makes it for the first time; what is wrong with the files is a failure only here.
    pub(crate) fn new(
        files: Files,
        make: impl Fn(&Loaded) -> Result<T, CertsError> + Send + Sync + 'static,
    ) -> Result<Fresh<T>, CertsError> {
        // Before reading: what changes meanwhile is a change.
        let stamp = Stamp::of(&files);
        let current = Arc::new(make(&files.load()?)?);
        let state = State { current, stamp, looked: Instant::now() };
        Ok(Fresh { files, make: Box::new(make), state: Mutex::new(state) })
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// What to use for a new connection.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut state = self.lock();
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        Arc::clone(&state.current)
    }

    /// Without waiting for the second to be over.
    #[cfg(test)]
    pub(crate) fn look_now(&self) {
        self.look(&mut self.lock());
    }

    fn look(&self, state: &mut State<T>) {
        let stamp = Stamp::of(&self.files);
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        let subject = self.files.subject();
        match self.files.load().and_then(|loaded| (self.make)(&loaded)) {
            Ok(made) => {
                state.current = Arc::new(made);
                info!(event = "certificate_replaced", subject = %subject, effect = "new connections use it");
            }
            Err(error) => {
                warn!(event = "certificate_not_taken", subject = %subject, why = %error, effect = "the one before stays in use");
            }
        }
    }

    /// State is whole after every line that changes it, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Fresh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("files", &self.files).finish_non_exhaustive()
    }
}
