//! For tests of a debug build only: one node's memory is made wrong, to see whether the group notices.
//!
//! With `RIALTO_CONTROLS=1` in its environment a node looks, at every check of the books, for a file `flip-a-balance` in
//! its directory, and then changes one balance that the journal knows nothing of. In a release build nothing of this exists.

use crate::service::Service;
use replica::Applier;
use std::path::{Path, PathBuf};
use storage::Disk;

/// Where orders are looked for, if they are.
#[derive(Debug)]
pub(crate) struct Control(Option<PathBuf>);

impl Control {
    pub(crate) fn new(dir: &Path) -> Self {
        let asked = cfg!(debug_assertions) && std::env::var_os("RIALTO_CONTROLS").is_some();
        Self(asked.then(|| dir.join("flip-a-balance")))
    }

    #[cfg(debug_assertions)]
    pub(crate) fn look<S: Service, D: Disk>(&self, applier: &mut Applier<S, D>) {
        if let Some(order) = &self.0
            && std::fs::remove_file(order).is_ok()
        {
            let spoilt = applier.machine_mut().spoil();
            tracing::warn!(event = "control", what = "something was changed in memory", spoilt = ?spoilt);
        }
    }

    #[cfg(not(debug_assertions))]
    pub(crate) fn look<S: Service, D: Disk>(&self, _applier: &mut Applier<S, D>) {
        let _ = &self.0;
    }
}
