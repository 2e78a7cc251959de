//! A node that joins a bank that is there already waits until it is admitted, and learns from whoever welcomes it who the
//! members are: only then does it know whose slots are.
//!
//! What it was told is kept in `DIR/admitted`: it counts until the node has learned as much from the log.

use crate::config::NodeError;
use crate::peers::{Introduced, Me, introduce};
use paxos::NodeId;
use replica::group::{Address, Group};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_64;

const ADMITTED: &str = "admitted";
const PAUSE: Duration = Duration::from_millis(200);

/// How waiting ended.
pub(crate) enum Waited {
    /// The group that let this node in.
    Admitted(Box<Group>),
    /// It was removed before it was ever in.
    Removed,
}

/// Waits until one of the members welcomes this node. Asks for nothing else, so it can be ended at any moment.
pub(crate) fn wait(dir: &Path, me: &Me, others: &[(NodeId, Address)]) -> Result<Waited, NodeError> {
    if let Some(group) = read(dir)? {
        return Ok(Waited::Admitted(Box::new(group)));
    }
    let mut told = None;
    loop {
        for (node, address) in others {
            match introduce(me, *node, address.as_str()) {
                Introduced::Welcome(group) if group.members.contains_key(&me.node) => {
                    write(dir, &group).map_err(NodeError::system("keeping who admitted this node"))?;
                    info!(event = "admitted", by = node.get(), version = group.version);
                    return Ok(Waited::Admitted(group));
                }
                // It has not heard of the admission, or is away: another one, or a little later.
                Introduced::Welcome(_) | Introduced::Away => {}
                Introduced::Refused(why) => {
                    if told.as_ref() != Some(&why) {
                        info!(event = "waits_to_be_admitted", peer = node.get(), says = %why);
                        told = Some(why);
                    }
                }
                Introduced::OtherDisk(why) => return Err(NodeError::OtherDisk { why, node: me.node.get() }),
                Introduced::Removed(why) => {
                    warn!(event = "removed", why = %why, todo = "nothing: its directory may be deleted");
                    return Ok(Waited::Removed);
                }
            }
        }
        thread::park_timeout(PAUSE);
    }
}

fn read(dir: &Path) -> Result<Option<Group>, NodeError> {
    let path = dir.join(ADMITTED);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NodeError::system("reading who admitted this node")(error)),
    };
    // Written in one piece by a rename: what is not whole is rot, and the members can be asked again.
    Ok(whole(&bytes).and_then(|group| crate::peers::decode_group(group.to_vec().into())))
}

/// The group without its sum, if that is right.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (group, sum) = bytes.split_last_chunk()?;
    (xxh3_64(group) == u64::from_le_bytes(*sum)).then_some(group)
}

fn write(dir: &Path, group: &Group) -> io::Result<()> {
    let new = dir.join("admitted-new");
    let mut file = storage::private::make_file(&new)?;
    let group = crate::peers::encode_group(group);
    file.write_all(&group)?;
    file.write_all(&xxh3_64(&group).to_le_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(ADMITTED))?;
    File::open(dir)?.sync_all()
}
