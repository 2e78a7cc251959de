//! A real Consul for the tests: the one on the machine, or Debian 11's package unpacked under `target/tools` (later Debians
//! have none). Nothing is installed on the machine.

use crate::install;
use crate::run::{Failed, has, root, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LEFT_OUT: &str = "install consul, or leave this part out: cargo xtask test --no-consul";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the tests find it, once it is there.
pub(crate) fn program() -> PathBuf {
    if has("consul") { PathBuf::from("consul") } else { tools().join("consul") }
}

/// Sees to it that there is a Consul.
pub(crate) fn install() -> Result<(), Failed> {
    let program = program();
    if has("consul") || program.is_file() {
        return Ok(());
    }
    if !install::may() || !Path::new(KEYRING).is_file() {
        return Err(Failed(LEFT_OUT.to_owned()));
    }
    let mirror =
        mirror().ok_or_else(|| Failed(format!("this machine's package sources name no mirror; {LEFT_OUT}")))?;
    let tools = tools();
    let failed = |error: std::io::Error| Failed(format!("making {}: {error}", tools.display()));
    fs::create_dir_all(tools.join("lists/partial")).map_err(failed)?;
    let list = tools.join("consul.list");
    fs::write(&list, format!("deb [signed-by={KEYRING}] {mirror} bullseye main\n")).map_err(failed)?;
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.arg("-qq").arg("-o").arg(format!("Dir::Etc::sourcelist={}", list.display()));
        apt.args(["-o", "Dir::Etc::sourceparts=-", "-o"])
            .arg(format!("Dir::State::lists={}", tools.join("lists").display()));
        run(apt.args(arguments).current_dir(&tools))
    };
    apt(&["update"])?;
    apt(&["download", "consul"])?;
    let packages = fs::read_dir(&tools).map_err(failed)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = packages.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.ok_or_else(|| Failed(format!("no package came; {LEFT_OUT}")))?;
    run(Command::new("dpkg").arg("-x").arg(package).arg(tools.join("root")))?;
    fs::rename(tools.join("root/usr/bin/consul"), program)
        .map_err(|error| Failed(format!("the package holds no consul ({error}); {LEFT_OUT}")))
}

fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Where this machine's own packages come from.
fn mirror() -> Option<String> {
    let of_field = |line: &str| line.strip_prefix("URIs:")?.split_whitespace().next().map(str::to_owned);
    let of_line =
        |line: &str| line.strip_prefix("deb ")?.split_whitespace().find(|word| word.contains("://")).map(str::to_owned);
    let new = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let old = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    new.lines().find_map(of_field).or_else(|| old.lines().find_map(of_line))
}
