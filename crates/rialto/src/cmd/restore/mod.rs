//! `rialto restore`: puts a bank or the gateway back from a copy of one of its nodes' directories.
//!
//! ```text
//! COPY/2 ─ copied ─► DIR/alpha.restoring/2 ─ next life begun ─► DIR/alpha        what was there ─► DIR/alpha.before-2
//! ```
//!
//! Nothing of the copy changes, and nothing that was there is deleted. Up to the last step everything is as it was.
//! What a bank loses by it is written to a file ([`lost`]) and told in short ([`report`]).

mod lost;
mod report;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use server::restoring::{self, Beginning, GroupKind, Network, NewLife};
use storage::{DirLock, Identity, LockError, RealDisk, identity};

use self::lost::{Gateway, Lost, OldFiles};
use self::report::{Restored, tell};
use super::init::{identity_path, load_identity};
use crate::failure::{Code, Failure};
use crate::follow_up::dir_flag;
use crate::network::layout::{BankLayout, Layout, Seat};
use crate::network::name::BankName;
use crate::network::network_file::Kind;
use crate::settings::default_dir;
use crate::supervise::portrait::flags_to_run;
use crate::waiting::waiting_for;

/// What a directory's own process needs and another one must not have.
const LEFT_OUT: [&str; 5] = ["identity", "lock", "logs", "admitted", "members"];

const EXAMPLES: &str = "\
Examples:
  rialto restore alpha --from /backup/alpha        a bank of the network in ./rialto-data, which is stopped
  rialto restore gateway --from /backup/gateway    the gateway
  rialto restore alpha --from /backup/alpha/2 --data /srv/alpha --incarnation 2
      one node on a machine of its own; start it as before, then `rialto members add` makes the others anew

The copy is a directory of one node, or one that holds several: then the one that reaches furthest is taken. Copies are good
when they were made while the node was stopped, or in one moment (a snapshot of the file system).
A restored bank begins its next incarnation with one member, and serves nobody until the gateway has brought it the payments
that it lacks; what its accounts cannot bear by then goes to the account `suspense`. What the bank booked by itself after
the copy was made is lost, also that it voided an id or refused one for good: such an id may be booked from then on. All of it
is listed, as far as the old files tell it, in DIR/NAME.lost-N.jsonl: one JSON object a line, what is lost for good first
(\"fate\": \"lost\"; money, then promises: \"voided\" and \"refused\"), then payments that the gateway brings back
(\"comes_back\").
Stop whatever still runs of the group before: its nodes are refused from then on, by the gateway and by its banks.
Every restore of a group begins an incarnation that none before it had: banks and gateway tell one from another by it.

Exit codes: 0 restored; 1 it could not be; 2 wrong flags; 4 something of it still runs; 5 the disk is full or failed;
6 the copy is damaged; all: rialto help exit-codes";

/// Put a bank, or the gateway, back from a copy of its files
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// The bank's name, or the gateway's
    #[arg(value_name = "NAME", value_parser = |text: &str| text.parse::<BankName>())]
    name: BankName,
    /// The copy: a node's directory, or one that holds several of this group
    #[arg(long, value_name = "COPY")]
    from: PathBuf,
    /// Directory of the network that `rialto up` runs
    #[arg(long, value_name = "DIR", default_value_os_t = default_dir())]
    dir: PathBuf,
    /// Instead of a network of `rialto up`: the new directory of this one node
    #[arg(long, value_name = "NODE_DIR", conflicts_with = "dir")]
    data: Option<PathBuf>,
    /// With --data: the copy is of a node of a gateway
    #[arg(long, requires = "data")]
    gateway: bool,
    /// With --data: the bank belongs to no gateway, so nobody brings it anything: it serves at once
    #[arg(long, requires = "data", conflicts_with = "gateway")]
    alone: bool,
    /// Which incarnation begins: more than any before, of any copy; `rialto status` shows the newest. Needed with --data
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..=1 << 24))]
    incarnation: Option<u32>,
    /// One JSON object instead of sentences
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RestoreArgs) -> Result<Code, Failure> {
    match &args.data {
        Some(data) => restore_node(args, data),
        None => restore_in_network(args),
    }
}

fn restore_node(args: &RestoreArgs, data: &Path) -> Result<Code, Failure> {
    let source = furthest(&args.from, &args.name, None)?;
    let is_empty = fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        return Err(Failure::cannot_start(format!("{} is not empty", data.display()))
            .line("give the restored node a new directory; the old one stays what it is"));
    }
    let kind = if args.gateway { GroupKind::Gateway } else { GroupKind::Bank };
    let network = if args.alone { Network::Alone } else { Network::Joined };
    let incarnation = args.incarnation.ok_or_else(|| {
        Failure::usage("say which incarnation begins: --incarnation NUMBER, more than any before of this group")
    })?;
    let begun = begin_in(&source, data, Beginning { kind, network, incarnation, clock_ms: now_ms() });
    // Half a copy is no directory to start from, and in the way of the next attempt.
    let life = begun.inspect_err(|_| drop(fs::remove_dir_all(data)))?;
    let lost = Lost::Untold("there are no old files to compare with".to_owned());
    tell(&Restored { name: &args.name, source: &source, life: &life, lost: &lost, before: None }, args.json);
    if !args.json {
        let (what, node) = (if args.gateway { "gateway" } else { "bank" }, source.identity.node);
        println!("start it: rialto {what} --name {} --node {node} --data {} …", args.name, data.display());
        println!("then make the other nodes anew: rialto members add --help");
    }
    Ok(Code::Done)
}

fn restore_in_network(args: &RestoreArgs) -> Result<Code, Failure> {
    let (dir, name) = (&args.dir, &args.name);
    let mut layout = Layout::load(dir)?.ok_or_else(|| {
        Failure::usage(format!("{} is no directory of a network", dir.display()))
            .line("give --dir DIR, or restore one node by itself with --data NODE_DIR")
    })?;
    let _lock = DirLock::take(dir).map_err(|error| match error {
        LockError::Held { .. } => Failure::cannot_start(format!("rialto up runs in {}", dir.display()))
            .line("stop it first: what is restored must not be in use"),
        LockError::Io { .. } => Failure::new(error.to_string()),
    })?;
    let bank = layout.bank(name).ok_or_else(|| {
        let known: Vec<&str> = layout.banks.iter().map(|bank| bank.name.as_str()).collect();
        Failure::usage(format!("there is no {name} in {}", dir.display()))
            .line(format!("there are: {}", known.join(", ")))
    })?;
    let kind = match bank.kind {
        Kind::Bank => GroupKind::Bank,
        Kind::Gateway => GroupKind::Gateway,
    };
    let source = furthest(&args.from, name, Some(bank))?;
    let has_gateway = layout.banks.iter().any(|bank| bank.kind == Kind::Gateway);
    let network = if has_gateway { Network::Joined } else { Network::Alone };
    let incarnation = next_incarnation((dir, bank), &source, args.incarnation)?;
    let (place, making) = (dir.join(name.as_str()), dir.join(format!("{name}.restoring")));
    remove_all(&making)?;
    let beginning = Beginning { kind, network, incarnation, clock_ms: now_ms() };
    let life = begin_in(&source, &making.join(source.identity.node.to_string()), beginning)?;
    let lost = match kind {
        GroupKind::Bank => {
            // Put aside already, if this was begun before and cut off.
            let aside = dir.join(format!("{name}.before-{}", life.incarnation));
            let bank = if place.exists() { &place } else { &aside };
            let gateway = layout.banks.iter().find(|bank| bank.kind == Kind::Gateway);
            let gateway =
                gateway.map_or(Gateway::None, |it| Gateway::At(dir.join(it.name.as_str()), it.cluster.number()));
            let old = OldFiles { bank, identity: &source.identity, records: life.journal_records, gateway };
            let _reading = waiting_for("the old files to be read, for what is lost");
            lost::list(&old, free_name(dir, &format!("{name}.lost-{}", life.incarnation), ".jsonl"))?
        }
        GroupKind::Gateway => Lost::OfGateway,
    };
    let before = free_name(dir, &format!("{name}.before-{}", life.incarnation), "");
    if place.exists() {
        fs::rename(&place, &before).map_err(moving("putting the old files aside"))?;
    }
    fs::rename(&making, &place).map_err(moving("putting the restored files in place"))?;
    let bank = layout.bank_mut(name).expect("it was found above");
    // As many nodes as there were, of the numbers that `up` takes.
    let had = (bank.seats().len().max(1) - 1) / 2 * 2 + 1;
    leave_one(bank, source.identity.node);
    bank.incarnation = life.incarnation;
    layout.save(dir)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(moving("syncing the directory"))?;
    tell(&Restored { name, source: &source, life: &life, lost: &lost, before: Some(&before) }, args.json);
    if !args.json {
        let all: Vec<&BankLayout> = layout.banks.iter().collect();
        println!("start it: rialto up --nodes {had}{}{}", flags_to_run(&layout, &all), dir_flag(dir));
    }
    Ok(Code::Done)
}

fn moving(what: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::new(format!("{what}: {error}"))
}

/// One more than any that was begun before from whatever copy, as far as the directory tells: two lives of one number could
/// not be told apart, and what the first had would count for the second.
fn next_incarnation((dir, bank): (&Path, &BankLayout), source: &Source, asked: Option<u32>) -> Result<u32, Failure> {
    let name = &bank.name;
    let (own, before) = (name.as_str().to_owned(), format!("{name}.before-"));
    let entries = fs::read_dir(dir).map_err(|error| Failure::new(format!("reading {}: {error}", dir.display())))?;
    let places = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file == own || file.starts_with(&before)
    });
    let of_place = |place: PathBuf| directories(&place).unwrap_or_default();
    let begun = places.flat_map(of_place).filter_map(|dir| Some(load_identity(&dir).ok()?.incarnation)).max();
    let newest = begun.unwrap_or(1).max(source.identity.incarnation).max(bank.incarnation);
    match asked {
        Some(asked) if asked > newest => Ok(asked),
        Some(asked) => {
            Err(Failure::usage(format!("incarnation {asked} of {name} has been: the next is {}", newest + 1)))
        }
        None => Ok(newest + 1),
    }
}

/// From now on one node's process runs here. The numbers of the others are used up.
fn leave_one(bank: &mut BankLayout, node: u16) {
    bank.left.retain(|left| *left != node);
    if bank.seat(node).is_none()
        && let Some(place) = bank.free_place()
    {
        bank.joined.push(Seat { node, place, replaces: None });
    }
    let others: Vec<u16> = bank.seats().iter().map(|seat| seat.node).filter(|other| *other != node).collect();
    bank.left.extend(others);
}

/// A copy of a node's directory, and whose it is.
struct Source {
    dir: PathBuf,
    identity: Identity,
}

/// How far a copy reaches: chosen for sure, and held at all.
type Reach = (u64, u64);

/// Of the copies in a directory the one that reaches furthest.
fn furthest(from: &Path, name: &BankName, bank: Option<&BankLayout>) -> Result<Source, Failure> {
    let copies = if identity_path(from).exists() { vec![from.to_owned()] } else { directories(from)? };
    let mut best: Option<(Reach, Source)> = None;
    let mut complaints = Vec::new();
    for dir in copies {
        match candidate(&dir, name, bank) {
            Ok((reaches, source)) => {
                if best.as_ref().is_none_or(|(furthest, _)| reaches > *furthest) {
                    best = Some((reaches, source));
                }
            }
            Err(why) => complaints.push(format!("{}: {why}", dir.display())),
        }
    }
    best.map(|(_, source)| source).ok_or_else(|| {
        let failure = Failure::new(format!("{} holds no copy of a node of {name} that can be taken", from.display()));
        complaints.into_iter().fold(failure, Failure::line)
    })
}

fn candidate(dir: &Path, name: &BankName, bank: Option<&BankLayout>) -> Result<(Reach, Source), String> {
    let identity = load_identity(dir).map_err(|failure| failure.to_string())?;
    if identity.group != name.as_str() {
        return Err(format!("it is of {}", identity.group));
    }
    if bank.is_some_and(|bank| bank.cluster.number() != identity.cluster) {
        return Err(format!("it is of another {name}, made in another network"));
    }
    if let Some(why) = restoring::noted_against(dir) {
        return Err(why.to_owned());
    }
    let reaches = restoring::reaches(dir, &identity).map_err(|error| error.to_string())?;
    Ok((reaches, Source { dir: dir.to_owned(), identity }))
}

fn directories(from: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(from).map_err(|error| Failure::unread("directory", from, &error))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| identity_path(path).exists());
    found.sort_unstable();
    Ok(found)
}

/// Copies a node's files to a new directory and begins the next life there.
fn begin_in(source: &Source, to: &Path, beginning: Beginning) -> Result<NewLife, Failure> {
    let copying = waiting_for(format!("{} to be copied", source.dir.display()));
    let copied = copy(&source.dir, to, &LEFT_OUT);
    drop(copying);
    copied.map_err(|error| {
        Failure::new(format!("copying {} to {}: {error}", source.dir.display(), to.display())).with_code(Code::Disk)
    })?;
    let _beginning = waiting_for("its books to be read");
    let life = restoring::begin_new_life(to, &source.identity, beginning).map_err(|error| {
        Failure::new(format!("{} cannot begin another life: {error}", source.dir.display()))
            .line("take the copy of another node, or an older one; what was there is as it was")
            .with_code(Code::Damaged)
    })?;
    // Another disk, by which the nodes to come know it from the one of before.
    let identity = Identity { incarnation: life.incarnation, made_ms: beginning.clock_ms, ..source.identity.clone() };
    identity::create(&RealDisk, to, &identity).map_err(|error| Failure::new(error.to_string()))?;
    Ok(life)
}

fn copy(from: &Path, to: &Path, leave_out: &[&str]) -> io::Result<()> {
    storage::private::make_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_log = name.to_str().is_some_and(|name| name.starts_with("node.log"));
        if is_log || leave_out.iter().any(|left| name == *left) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, &[])?;
        } else {
            // A copy takes the permissions of what it copies, which an older version may have left open.
            fs::copy(entry.path(), &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

fn free_name(dir: &Path, name: &str, ending: &str) -> PathBuf {
    let first = dir.join(format!("{name}{ending}"));
    let more = (2..).map(|number| dir.join(format!("{name}-{number}{ending}")));
    std::iter::once(first).chain(more).find(|path| !path.exists()).expect("there are names enough")
}

fn remove_all(dir: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::new(format!("removing {}: {error}", dir.display()))),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
