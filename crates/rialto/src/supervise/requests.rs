//! What other commands ask of a running `rialto up`: to start one more node or bank, to let a node go. Over the socket `DIR/up.sock`.
//!
//! ```text
//!   rialto members …  ── {"add": {…}} ──►  DIR/up.sock  ──►  the task that owns everything   (changing)
//!                     ◄── {"node": …} ──
//! ```
//!
//! One line of JSON each way, one request a connection. Who is a member is decided in the bank's log, never here: this
//! is about processes on this machine only. Only who may write to the directory can connect.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::failure::{Code, Failure};
use crate::network::cluster::Cluster;
use crate::network::name::BankName;

const LINE_BYTES_MAX: u64 = 4_096;
/// Starting a process takes no longer, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be asked. Whoever asks about a node says of which cluster: another one may have been founded in the directory
/// since the command began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Make and start a node that is to join; one that is there already is named again.
    Add { bank: BankName, cluster: Cluster, node: u16, replaces: Option<u16> },
    /// Make and start a bank; one that runs already is named again.
    AddBank { bank: BankName, nodes: u16, base_port: Option<u16> },
    /// Stop a node that is no member any more, and do not start it again.
    Remove { bank: BankName, cluster: Cluster, node: u16 },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Added(Started),
    /// The bank runs; the address of its balancer for HTTP.
    BankAdded {
        http: String,
    },
    Removed,
    Refused(Refusal),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    why: String,
    /// The exit code of whoever asked.
    exit: u8,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal { why: failure.to_string(), exit: failure.code().number() }
    }
}

impl Refusal {
    /// As whoever asked says it.
    fn failure(&self) -> Failure {
        let mut lines = self.why.lines().map(str::trim);
        let failure = Failure::new(lines.next().unwrap_or_default());
        lines.fold(failure, Failure::line).with_code(Code::numbered(self.exit).unwrap_or(Code::Failed))
    }
}

/// A node that runs, or will in a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) node: u16,
    pub(crate) http: String,
    pub(crate) peer: String,
    /// The number of its disk, by which the other members will know it.
    pub(crate) disk: u64,
}

/// A request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// The listening end; gone, with its file, when dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    path: PathBuf,
    _serving: JoinSet<()>,
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join("up.sock")
}

impl Desk {
    /// Listens in the directory, whose lock the caller holds: what is left of an earlier run is removed.
    pub(crate) fn open(dir: &Path) -> Result<(Desk, mpsc::Receiver<Asked>), Failure> {
        let path = path_in(dir);
        let failed =
            |error: io::Error| Failure::new(format!("listening on {}: {}", path.display(), certs::why(&error)));
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let (reachable, _held) = short(&path).map_err(failed)?;
        let listener = UnixListener::bind(reachable).map_err(failed)?;
        let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, only_owner).map_err(failed)?;
        let (asked, inbox) = mpsc::channel(4);
        let mut serving = JoinSet::new();
        serving.spawn(listen(listener, asked));
        Ok((Desk { path, _serving: serving }, inbox))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket's name has at most 107 bytes; a longer path is reached through a handle on its directory, which is to be held meanwhile.
fn short(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    if path.as_os_str().len() < 100 {
        return Ok((path.to_owned(), None));
    }
    let dir = std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&dir);
    let name = path.file_name().unwrap_or_default();
    Ok((Path::new("/proc/self/fd").join(number.to_string()).join(name), Some(dir)))
}

async fn listen(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One after the other: there is one task that answers, and it does one thing at a time.
        let _ = tokio::time::timeout(PATIENCE, serve(stream, &asked)).await;
    }
}

async fn serve(stream: UnixStream, asked: &mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let gone = || Reply::Refused(Failure::unreachable("rialto up is stopping").into());
            match asked.send(Asked { request, answer }).await {
                Ok(()) => answered.await.unwrap_or_else(|_| gone()),
                Err(_) => gone(),
            }
        }
        Err(error) => {
            Reply::Refused(Failure::new(format!("this rialto up does not understand the request: {error}")).into())
        }
    };
    write.write_all(line_of(&reply).as_bytes()).await
}

fn line_of(shape: &impl Serialize) -> String {
    serde_json::to_string(shape).expect("requests and replies hold only strings and numbers") + "\n"
}

/// Asks the `rialto up` that runs in the directory.
pub(crate) async fn ask(dir: &Path, request: &Request) -> Result<Reply, Failure> {
    let asked = tokio::time::timeout(PATIENCE, exchange(dir, request)).await;
    let failed = |why: String| {
        Failure::unreachable(format!("the rialto up of {} could not be asked: {why}", dir.display()))
            .line(format!("is it running? rialto up --dir {}", dir.display()))
    };
    match asked {
        Ok(Ok(Reply::Refused(refusal))) => Err(refusal.failure()),
        Ok(Ok(reply)) => Ok(reply),
        // No socket, or one that was left behind.
        Ok(Err(error)) if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind()) => {
            Err(Failure::unreachable(format!("no rialto up runs in {}", dir.display()))
                .line(format!("nothing was changed; start it: rialto up --dir {}", dir.display())))
        }
        Ok(Err(error)) => Err(failed(certs::why(&error))),
        Err(_) => Err(failed(format!("nothing came within {} s", PATIENCE.as_secs()))),
    }
}

async fn exchange(dir: &Path, request: &Request) -> io::Result<Reply> {
    let (reachable, _held) = short(&path_in(dir))?;
    let mut stream = UnixStream::connect(reachable).await?;
    stream.write_all(line_of(request).as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn request() -> Request {
        Request::Add { bank: "alpha".parse().expect("a name"), cluster: Cluster::from(7), node: 4, replaces: Some(2) }
    }

    async fn answers(mut inbox: mpsc::Receiver<Asked>, reply: Reply) -> Option<Request> {
        let asked = inbox.recv().await?;
        asked.answer.send(reply).expect("somebody waits for it");
        Some(asked.request)
    }

    #[tokio::test]
    async fn a_request_comes_through_and_its_answer_back_also_from_far_below() {
        let dir = TestDir::new();
        let deep = dir.path().join("x".repeat(120));
        std::fs::create_dir(&deep).expect("there is room");
        for dir in [dir.path(), deep.as_path()] {
            let (_desk, inbox) = Desk::open(dir).expect("the directory is there");
            let started = Started { node: 4, http: "a:1".to_owned(), peer: "a:2".to_owned(), disk: 9 };
            let request = request();
            let (asked, answered) = tokio::join!(answers(inbox, Reply::Added(started.clone())), ask(dir, &request));
            assert_eq!(asked, Some(request));
            assert_eq!(answered, Ok(Reply::Added(started)));
        }
    }

    #[tokio::test]
    async fn a_refusal_and_an_absent_up_are_failures_that_say_so() {
        let dir = TestDir::new();
        let absent = ask(dir.path(), &request()).await.expect_err("nobody listens").to_string();
        assert!(absent.contains("start it: rialto up --dir") && !absent.contains("os error"), "{absent}");
        let (_desk, inbox) = Desk::open(dir.path()).expect("the directory is there");
        let request = request();
        let no = Failure::usage("there is no place left").line("remove one first");
        let no = Reply::Refused(no.into());
        let (_, answered) = tokio::join!(answers(inbox, no), ask(dir.path(), &request));
        let refused = answered.expect_err("it was refused");
        assert_eq!(refused.to_string(), "there is no place left\n  remove one first");
        assert_eq!(refused.code(), Code::Usage);
    }
}
