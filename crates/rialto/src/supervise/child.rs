//! One node process: started, told to stop, waited for, its last words kept.
//!
//! The process is in a group of its own, so that Ctrl-C in the terminal reaches only `up`, which then stops all in order.
//! It holds the other end of a pipe as its standard input: if `up` is killed, the pipe closes and the node stops in order.
//! Only the task that waits for the process sends it signals, so none can reach a stranger that got its number.

use std::collections::VecDeque;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::plan::NodePlan;
use crate::failure::Code;

/// Of what a process writes to its standard error, so much is kept for the message about its end.
const LAST_LINES: usize = 12;
const LINE_BYTES_MAX: u64 = 2_000;

/// What a running process can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGTERM: stop in order.
    Stop,
    /// SIGKILL.
    Kill,
}

/// A process has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) place: usize,
    pub(crate) ending: Ending,
    /// What it last wrote to its standard error.
    pub(crate) last_words: Vec<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Code(i32),
    Signal(i32),
}

impl Ending {
    fn of(status: ExitStatus) -> Ending {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Code(code),
            (None, signal) => Ending::Signal(signal.unwrap_or(0)),
        }
    }

    pub(crate) fn is(self, code: Code) -> bool {
        self == Ending::Code(i32::from(code.number()))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Code(code) => write!(f, "exit code {code}"),
            Ending::Signal(number) => match Signal::from_named_raw(*number) {
                Some(Signal::KILL) => f.write_str("SIGKILL"),
                Some(Signal::TERM) => f.write_str("SIGTERM"),
                Some(Signal::INT) => f.write_str("SIGINT"),
                Some(Signal::ABORT) => f.write_str("SIGABRT"),
                Some(Signal::SEGV) => f.write_str("SIGSEGV"),
                Some(Signal::BUS) => f.write_str("SIGBUS"),
                Some(_) | None => write!(f, "signal {number}"),
            },
        }
    }
}

/// A process that was started and whose end was not yet told.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    orders: mpsc::Sender<Order>,
}

impl Child {
    /// Starts the process; its end comes through `ended`, once.
    pub(crate) fn start(plan: &NodePlan, place: usize, ended: mpsc::Sender<Ended>) -> std::io::Result<Child> {
        let mut command = Command::new(&plan.program);
        command
            .args(&plan.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            // Should `up` panic, its nodes must not be left behind.
            .kill_on_drop(true);
        // What is misspelt was told by `up` itself.
        let misspelt = crate::settings::unknown_variables(crate::environment::names()).map(|(name, _)| name);
        for name in crate::settings::environment_names().chain(misspelt) {
            command.env_remove(name);
        }
        let mut process = command.spawn()?;
        let pid = process.id().expect("a process that was not waited for has a number");
        let parent_end = process.stdin.take();
        let stderr = process.stderr.take().expect("it was asked to be piped");
        let (orders, mut inbox) = mpsc::channel(8);
        let words = tokio::spawn(keep_last_lines(stderr));
        tokio::spawn(async move {
            let ending = loop {
                tokio::select! {
                    status = process.wait() => break status.map_or(Ending::Signal(0), Ending::of),
                    Some(order) = inbox.recv() => send(pid, order),
                }
            };
            drop(parent_end);
            // Something that the node started might hold its stderr open; the words so far are enough then.
            let last_words = match tokio::time::timeout(std::time::Duration::from_millis(200), words).await {
                Ok(Ok(lines)) => lines,
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            let _ = ended.send(Ended { place, ending, last_words }).await;
        });
        Ok(Child { pid, orders })
    }

    /// Passes the order on; a process that has ended meanwhile needs none.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }
}

fn send(pid: u32, order: Order) {
    let signal = match order {
        Order::Stop => Signal::TERM,
        Order::Kill => Signal::KILL,
    };
    // Not waited for yet, so the number is still this process's. If it has ended, the wait tells.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

async fn keep_last_lines(stderr: impl AsyncRead + Unpin) -> Vec<String> {
    let mut reader = BufReader::new(stderr);
    let mut lines = VecDeque::new();
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return lines.into(),
            Ok(_) => {}
        }
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::network_file::Kind;
    use std::path::PathBuf;

    /// A node that is only a line of shell.
    fn plan(script: &str) -> NodePlan {
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        NodePlan {
            bank: "alpha".parse().expect("a name"),
            kind: Kind::Bank,
            node: 1,
            http: nowhere,
            grpc: nowhere,
            peer: nowhere,
            data: PathBuf::from("/nonexistent"),
            tls: false,
            program: PathBuf::from("/bin/sh"),
            arguments: ["-c", script].map(Into::into).to_vec(),
        }
    }

    async fn end_of(script: &str, orders: &[Order]) -> Ended {
        let (told, mut ended) = mpsc::channel(1);
        let child = Child::start(&plan(script), 5, told).expect("there is a shell");
        for order in orders {
            child.order(*order);
        }
        tokio::time::timeout(std::time::Duration::from_secs(30), ended.recv())
            .await
            .expect("it ends")
            .expect("its end is told")
    }

    #[tokio::test]
    async fn an_exit_code_and_the_last_words_are_kept() {
        let ended = end_of("echo 'error: the disk is full' >&2; exit 5", &[]).await;
        assert!(ended.ending.is(Code::Disk));
        assert_eq!(ended.last_words, ["error: the disk is full"]);
        assert_eq!(ended.place, 5);
    }

    #[tokio::test]
    async fn told_to_stop_it_gets_a_sigterm_and_killed_a_sigkill() {
        // `read` waits on the pipe, which nobody closes.
        assert_eq!(end_of("read line", &[Order::Stop]).await.ending.to_string(), "SIGTERM");
        assert_eq!(end_of("trap '' TERM; read line", &[Order::Kill]).await.ending.to_string(), "SIGKILL");
    }

    #[tokio::test]
    async fn standard_input_stays_open_while_the_parent_lives() {
        let (told, mut ended) = mpsc::channel(1);
        let child = Child::start(&plan("cat; exit 9"), 0, told).expect("there is a shell");
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), ended.recv()).await;
        assert!(early.is_err(), "the pipe was closed under it: {early:?}");
        child.order(Order::Kill);
        assert_eq!(ended.recv().await.expect("its end is told").ending, Ending::Signal(9));
    }

    #[tokio::test]
    async fn a_flood_on_standard_error_does_not_block_the_process() {
        let ended = end_of("i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3", &[]).await;
        assert!(ended.ending.is(Code::ToldToShutDown));
        assert_eq!(ended.last_words.last().map(String::as_str), Some("line 19999"));
        assert_eq!(ended.last_words.len(), LAST_LINES);
    }
}
