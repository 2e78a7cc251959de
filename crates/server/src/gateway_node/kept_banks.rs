//! Where the banks were when they last answered, in a file of this node: for a start while Consul is away.
//!
//! Only what has proved itself is kept: a list of Consul's that is wrong does not replace what worked.

use super::banks::Banks;
use clearing::BankName;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Far more than the file of the largest network.
const BYTES_MAX: u64 = 4 << 20;

/// The file.
pub(super) struct KeptBanks(PathBuf);

impl KeptBanks {
    pub(super) fn new(file: PathBuf) -> KeptBanks {
        KeptBanks(file)
    }

    /// What can be read of it; the rest is as good as nothing, Consul knows better.
    pub(super) fn read(&self) -> Vec<(BankName, Vec<String>)> {
        let is_sane = std::fs::metadata(&self.0).is_ok_and(|file| file.len() <= BYTES_MAX);
        let text = if is_sane { std::fs::read(&self.0).ok() } else { None };
        text.map_or_else(Vec::new, |text| known(&text))
    }

    /// Keeps it up to date. Runs as long as the node serves.
    pub(super) async fn keep(self, banks: Arc<Banks>) {
        let mut kept = BTreeMap::new();
        let mut is_told = false;
        loop {
            let reached = banks.reached();
            if reached != kept {
                // A bank that has not answered since this start is kept where it was.
                let before = self.read().into_iter().map(|(name, at)| (name.to_string(), at));
                let mut known: BTreeMap<String, Vec<String>> = before.collect();
                known.extend(reached.clone());
                match self.write(&known) {
                    Ok(()) => (kept, is_told) = (reached, false),
                    Err(error) if !std::mem::replace(&mut is_told, true) => {
                        warn!(event = "banks_not_kept", file = %self.0.display(), why = %error, effect = "a start while Consul is away does not know them");
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    fn write(&self, known: &BTreeMap<String, Vec<String>>) -> std::io::Result<()> {
        let new = self.0.with_extension("new");
        storage::private::make_file(&new)?.write_all(&serde_json::to_vec_pretty(known)?)?;
        std::fs::rename(&new, &self.0)
    }
}

/// Each bank and each address by itself.
pub(super) fn known(text: &[u8]) -> Vec<(BankName, Vec<String>)> {
    let known: BTreeMap<String, Value> = serde_json::from_slice(text).unwrap_or_default();
    let addresses = |listed: &Value| -> Vec<String> {
        listed.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    known.iter().filter_map(|(name, listed)| Some((BankName::new(name).ok()?, addresses(listed)))).collect()
}
