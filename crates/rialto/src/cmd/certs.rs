//! `rialto certs`: the private CA of a network and its certificates, on the operator's machine.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use certs::{Authority, CertsError, EXPIRES_SOON_DAYS, Facts, Files, Host, Subject};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::failure::{Code, Failure};
use crate::follow_up::{self, Options};
use crate::logging::rfc3339;
use crate::plain::counted;

const EXAMPLES: &str = "\
Examples:
  rialto certs init                                   a CA in ./rialto-certs; keep its key to yourself
  rialto certs issue bank/alpha/1 bank/alpha/2 bank/alpha/3 gateway/main/1 operator/anna client
  rialto certs issue bank/alpha/1 --host bank1.example --host 10.0.0.1
  rialto certs show                                   whom they are for, and how long they count
  rialto certs rotate bank/alpha/1                    a new one of the same name, for another year

A certificate is for one of
  bank/NAME/NODE      a node of a bank         operator/NAME   whoever runs the network
  gateway/NAME/NODE   a node of the gateway    client          a client of customers
and lies in two files: bank/alpha/1 in bank-alpha-1.crt and bank-alpha-1.key. A process needs these two and ca.crt in
a directory of its own, never ca.key. The directory and the keys are its own user's alone (chmod 700, chmod 600). It
takes a certificate that is replaced within a second, without a restart.";

const SHOW_HELP: &str = "\
Examples:
  rialto certs show                     every certificate in ./rialto-certs
  rialto certs show --dir /etc/rialto/tls --json
  rialto certs show bank/alpha/1

Exit codes: 0 all count for at least 30 days more; 1 one does not, or cannot be read; 2 wrong flags;
all: rialto help exit-codes";

/// Make a private CA and certificates, replace them, show them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CertsArgs {
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Debug, Subcommand)]
enum CertsCommand {
    Init(InitArgs),
    Issue(IssueArgs),
    Rotate(RotateArgs),
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct DirArgs {
    /// The directory of the CA and of the certificates
    #[arg(long, value_name = "DIR", default_value = DIR)]
    dir: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Make a CA, once for a network; it counts for ten years
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rialto certs init\n  rialto certs init --dir /etc/rialto/ca")]
struct InitArgs {
    #[command(flatten)]
    dir: DirArgs,
}

/// Make certificates and their keys; they count for a year
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rialto certs issue bank/alpha/1 bank/alpha/2 bank/alpha/3\n  \
                        rialto certs issue gateway/main/1 --host gateway.example --host 10.0.0.9")]
struct IssueArgs {
    /// Whom they are for: bank/NAME/NODE, gateway/NAME/NODE, operator/NAME or client
    #[arg(value_name = "SUBJECT", required = true)]
    subjects: Vec<Subject>,
    /// A host name or IP address of the node, for tools that go by it [default: this machine]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<Host>,
    #[command(flatten)]
    dir: DirArgs,
}

/// Replace certificates by new ones of the same names, with new keys
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rialto certs rotate bank/alpha/1\n  rialto certs rotate client --dir /etc/rialto/ca\n\n\
                        Copy the new files over the old ones where they are used, the key first; nothing is restarted."
)]
struct RotateArgs {
    /// Whom they are for
    #[arg(value_name = "SUBJECT", required = true)]
    subjects: Vec<Subject>,
    #[command(flatten)]
    dir: DirArgs,
}

/// Show whom certificates are for, how long they count, and their fingerprints
#[derive(Debug, Args)]
#[command(after_help = SHOW_HELP)]
struct ShowArgs {
    /// Whom they are for; without any, all that are there
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<Subject>,
    #[command(flatten)]
    dir: DirArgs,
}

const DIR: &str = "rialto-certs";

pub(crate) fn run(args: CertsArgs) -> Result<Code, Failure> {
    let now = SystemTime::now();
    let dir = match &args.command {
        CertsCommand::Init(InitArgs { dir })
        | CertsCommand::Issue(IssueArgs { dir, .. })
        | CertsCommand::Rotate(RotateArgs { dir, .. })
        | CertsCommand::Show(ShowArgs { dir, .. }) => &dir.dir,
    };
    let named = (dir.as_path() != Path::new(DIR)).then(|| dir.display());
    follow_up::keep(Options::default().flag("dir", named));
    match args.command {
        CertsCommand::Init(args) => init(&args.dir, now),
        CertsCommand::Issue(args) => issue(&args, now),
        CertsCommand::Rotate(args) => rotate(&args, now),
        CertsCommand::Show(args) => show(&args, now),
    }
}

/// The command that makes a new certificate of the same name.
fn again(subject: &str) -> String {
    follow_up::command(&format!("certs rotate {subject}"))
}

fn init(args: &DirArgs, now: SystemTime) -> Result<Code, Failure> {
    let dir = args.dir.as_path();
    Authority::init(dir, now).map_err(|error| match error {
        CertsError::Exists { .. } => explain(&error)
            .line("every certificate of a network is trusted through its CA; for another network take another --dir"),
        other => explain(&other),
    })?;
    if args.json {
        let made = Facts::read(&Files::new(dir, Subject::Client).authority()).map_err(|error| explain(&error))?;
        print_json(&made.iter().map(|facts| Row::new(facts, now)).collect::<Vec<_>>());
        return Ok(Code::Done);
    }
    println!("a CA is made in {}", dir.display());
    println!("whoever has ca.key can make certificates: keep it off the machines of the network");
    println!("certificates are made with: {}", follow_up::command("certs issue"));
    Ok(Code::Done)
}

fn issue(args: &IssueArgs, now: SystemTime) -> Result<Code, Failure> {
    let authority = Authority::open(&args.dir.dir).map_err(|error| explain(&error))?;
    let issue = |subject: &Subject| {
        authority.issue(subject, &args.hosts, now).map_err(|error| match error {
            CertsError::Exists { .. } => explain(&error)
                .line(format!("a new certificate of the same name is made with: {}", again(&subject.to_string()))),
            other => explain(&other),
        })
    };
    tell_each(&args.subjects, issue, args.dir.json, now)
}

fn rotate(args: &RotateArgs, now: SystemTime) -> Result<Code, Failure> {
    let authority = Authority::open(&args.dir.dir).map_err(|error| explain(&error))?;
    let rotate = |subject: &Subject| authority.rotate(subject, now).map_err(|error| explain(&error));
    tell_each(&args.subjects, rotate, args.dir.json, now)
}

/// Makes a certificate for each, and tells what was made, also where a later one could not be.
fn tell_each(
    subjects: &[Subject],
    make: impl Fn(&Subject) -> Result<Files, Failure>,
    as_json: bool,
    now: SystemTime,
) -> Result<Code, Failure> {
    let mut made = Vec::new();
    let mut done = Ok(Code::Done);
    for subject in subjects {
        let facts = make(subject).and_then(|files| {
            let facts = files.facts().map_err(|error| explain(&error))?;
            Ok((files, facts))
        });
        match facts {
            Ok((_, facts)) if as_json => made.push(Row::new(&facts, now)),
            Ok((files, facts)) => println!("{}", sentence(&files, &facts, now)),
            Err(failure) => {
                done = Err(failure);
                break;
            }
        }
    }
    if !made.is_empty() {
        print_json(&made);
    }
    done
}

/// The public shape of certificates, of every subcommand.
fn print_json(rows: &[Row]) {
    #[derive(Serialize)]
    struct All<'a> {
        certificates: &'a [Row],
    }
    let json = serde_json::to_string(&All { certificates: rows }).expect("rows hold only strings and numbers");
    println!("{json}");
}

fn sentence(files: &Files, facts: &Facts, now: SystemTime) -> String {
    let days = facts.days_left(now);
    let (crt, key) = (files.certificate(), files.key());
    let names =
        [crt, key].map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
    format!("{}: {} and {} in {}, for {days} days", files.subject(), names[0], names[1], files.dir().display())
}

/// What to do where nothing is found.
const NO_CA: &str = "a new CA is made with: rialto certs init; one that is elsewhere is named with --dir (that of a network of \
                     `rialto up` is DIR/tls)";

/// The system's own words for what is missing help nobody: which file it is, and how it comes to be, does.
fn explain(error: &CertsError) -> Failure {
    match error {
        CertsError::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            let what = if path.extension().is_none() { "directory" } else { "file" };
            Failure::new(format!("there is no {what} {}", path.display())).line(NO_CA)
        }
        CertsError::Read { path, source } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::new(format!("{} may not be read by this user", path.display()))
                .line("run this as the user to whom the certificates belong")
        }
        other => Failure::new(other.to_string()),
    }
}

/// One certificate, as it is printed.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    /// `ca`, or whom it is for.
    subject: String,
    serial: String,
    not_before: String,
    not_after: String,
    days_left: i64,
    expired: bool,
    expires_soon: bool,
    sha256: String,
    hosts: Vec<String>,
}

impl Row {
    fn new(facts: &Facts, now: SystemTime) -> Row {
        Row {
            file: facts.path.display().to_string(),
            subject: facts.subject.as_ref().map_or_else(|| "ca".to_owned(), Subject::to_string),
            serial: facts.serial.clone(),
            not_before: rfc3339(facts.not_before),
            not_after: rfc3339(facts.not_after),
            days_left: facts.days_left(now),
            expired: facts.has_expired(now),
            expires_soon: facts.expires_soon(now),
            sha256: facts.fingerprint.clone(),
            hosts: facts.hosts.iter().map(Host::to_string).collect(),
        }
    }
}

fn show(args: &ShowArgs, now: SystemTime) -> Result<Code, Failure> {
    let dir = &args.dir.dir;
    let found = if args.subjects.is_empty() {
        Facts::of_each_in(dir).map_err(|error| explain(&error))?
    } else {
        args.subjects.iter().map(|subject| Files::new(dir, subject.clone()).facts()).collect()
    };
    if found.is_empty() {
        return Err(Failure::new(format!("there is no certificate in {}", dir.display())).line(NO_CA));
    }
    // One that cannot be read hides no other.
    let (mut facts, mut unread) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(one) => facts.push(one),
            Err(error) => unread.push(explain(&error)),
        }
    }
    let rows: Vec<Row> = facts.iter().map(|facts| Row::new(facts, now)).collect();
    if args.dir.json {
        print_json(&rows);
    } else {
        for line in rows.iter().flat_map(lines) {
            println!("{line}");
        }
    }
    if let Some(last) = unread.pop() {
        unread.iter().for_each(Failure::print);
        return Err(last);
    }
    Ok(if rows.iter().any(|row| row.expires_soon) { Code::Failed } else { Code::Done })
}

fn lines(row: &Row) -> Vec<String> {
    let day = |time: &str| time.split('T').next().unwrap_or(time).to_owned();
    let left = match row.days_left {
        _ if row.expired => format!("EXPIRED: {}", again(&row.subject)),
        soon if row.expires_soon => {
            let left = counted(u64::try_from(soon).unwrap_or(0), "day left", "days left");
            format!("{left}, fewer than {EXPIRES_SOON_DAYS}: {}", again(&row.subject))
        }
        days => counted(u64::try_from(days).unwrap_or(0), "day left", "days left"),
    };
    let mut lines = vec![
        format!("{}   {} to {}   {left}", row.subject, day(&row.not_before), day(&row.not_after)),
        format!("  file    {}", row.file),
        format!("  serial  {}", row.serial),
        format!("  sha256  {}", in_halves(&row.sha256)),
    ];
    if !row.hosts.is_empty() {
        lines.push(format!("  hosts   {}", row.hosts.join(", ")));
    }
    lines
}

/// A fingerprint in two lines: one of 32 bytes with its colons is wider than a terminal.
fn in_halves(fingerprint: &str) -> String {
    let middle = fingerprint.match_indices(':').nth(15).map(|(at, _)| at + 1);
    match middle {
        Some(middle) => format!("{}\n          {}", &fingerprint[..middle], &fingerprint[middle..]),
        None => fingerprint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::time::{Duration, UNIX_EPOCH};

    fn row(days_left: u64) -> Row {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_759_200);
        let facts = Facts {
            path: "tls/bank-alpha-1.crt".into(),
            subject: Some("bank/alpha/1".parse().expect("a subject")),
            serial: "0a1b".to_owned(),
            not_before: now - Duration::from_secs(3_600),
            not_after: now + Duration::from_secs(days_left * 86_400),
            fingerprint: "ab:cd".to_owned(),
            hosts: vec!["bank1.example".parse().expect("a host"), "10.0.0.1".parse().expect("a host")],
        };
        Row::new(&facts, now)
    }

    #[test]
    fn a_certificate_is_shown_with_all_that_people_compare() {
        let shown = lines(&row(365)).join("\n") + "\n";
        expect![[r#"
            bank/alpha/1   2026-11-27 to 2027-11-27   365 days left
              file    tls/bank-alpha-1.crt
              serial  0a1b
              sha256  ab:cd
              hosts   bank1.example, 10.0.0.1
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn a_whole_fingerprint_fits_into_80_columns() {
        let fingerprint = vec!["ab"; 32].join(":");
        let shown = in_halves(&fingerprint);
        assert!(shown.lines().all(|line| line.len() + 10 <= 80), "{shown}");
        assert_eq!(shown.split_whitespace().collect::<String>(), fingerprint, "every byte of it");
    }

    #[test]
    fn what_expires_soon_says_what_to_do() {
        let first = lines(&row(29)).remove(0);
        assert!(first.ends_with("29 days left, fewer than 30: rialto certs rotate bank/alpha/1"), "{first}");
    }

    #[test]
    fn json_keeps_its_names() {
        let json = serde_json::to_string(&row(365)).expect("strings and numbers");
        expect![[r#"{"file":"tls/bank-alpha-1.crt","subject":"bank/alpha/1","serial":"0a1b","not_before":"2026-11-27T05:00:00.000Z","not_after":"2027-11-27T06:00:00.000Z","days_left":365,"expired":false,"expires_soon":false,"sha256":"ab:cd","hosts":["bank1.example","10.0.0.1"]}"#]]
        .assert_eq(&json);
    }
}
