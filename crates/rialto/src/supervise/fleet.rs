//! All processes of one `up`: who runs, who is started again and when, and the orderly end.
//!
//! ```text
//!            ┌────────── restart is due ─────────┐
//!            ▼                                   │
//!        Running ── died ──► Waiting (5 s) ──────┘        Died (--no-restart)
//!            ├── told to shut down by a client ─► ShutDown, until `up` runs again
//!            ├── removed from its bank ────────► Left, for good
//!            └── told to stop by `up` ─────────► Stopped
//! ```
//!
//! A place in the list is never used again: who left keeps it, and who comes gets a new one.
//!
//! A node that dies again and again before it was ever ready is started after 5, 10, 20 and then every 30 seconds.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::child::{Child, Ended, Ending, Order};
use super::plan::NodePlan;
use crate::failure::{Code, Failure};

const RESTART_AFTER: Duration = Duration::from_secs(5);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(30);
/// A node that has ended so often before it was ever ready is not waited for by a script.
const STILLBORN_MAX: u32 = 3;
/// Ends that wait to be looked at; more than that wait for room.
const ENDS_AT_ONCE: usize = 32;

/// How long an orderly stop may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Then the leader is told, too.
    followers: Duration,
    /// Then whoever still runs gets SIGKILL. A node that serves takes up to six seconds to end in order, and the leader is told
    /// when the followers have had theirs.
    all: Duration,
}

impl Patience {
    const USUAL: Patience = Patience { followers: Duration::from_secs(3), all: Duration::from_secs(11) };
}

/// What to do with a node that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    After5s,
    Never,
}

/// Where one process is in its life.
#[derive(Debug)]
pub(crate) enum Life {
    Running {
        child: Child,
    },
    Waiting {
        ending: Ending,
        due: Instant,
    },
    Died {
        ending: Ending,
    },
    ShutDown,
    /// It belongs to its bank no longer.
    Left,
    Stopped,
}

/// One node and its process.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) plan: NodePlan,
    pub(crate) life: Life,
    /// Ends in a row of processes that were never ready.
    stillborn: u32,
    ready_once: bool,
    /// It was removed from its bank, and has been told to stop.
    leaving: bool,
    /// What it said when it died last, if it said something: the reason, and in lines below what to do about it.
    pub(crate) complaint: Option<String>,
    /// How often in a row it has ended with that complaint before it was ever ready.
    pub(crate) repeats: u32,
}

/// What became of a node whose process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs again after that time.
    Again { after: Duration },
    /// It stays down since `up` was told so.
    StaysDown,
    /// A client told it to shut down.
    ShutDown,
    /// It was removed from its bank.
    Left,
    /// `up` told it to.
    Stopped,
}

impl Member {
    fn new(plan: NodePlan) -> Member {
        let life = Life::Stopped;
        Member { plan, life, stillborn: 0, ready_once: false, leaving: false, complaint: None, repeats: 0 }
    }

    /// Its present process was ready before.
    pub(crate) fn was_ready(&self) -> bool {
        self.ready_once
    }

    /// It was never ready, and there is little hope that it will be.
    pub(crate) fn is_lost(&self) -> bool {
        !self.ready_once && (self.stillborn >= STILLBORN_MAX || matches!(self.life, Life::Died { .. }))
    }
}

impl Member {
    fn complain(&mut self, complaint: Option<String>) {
        let is_old = !self.ready_once && complaint.is_some() && complaint == self.complaint;
        self.repeats = if is_old { self.repeats + 1 } else { 0 };
        self.complaint = complaint;
    }
}

#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) members: Vec<Member>,
    restart: Restart,
    ended: mpsc::Sender<Ended>,
    stopping: bool,
    patience: Patience,
}

impl Fleet {
    pub(crate) fn new(plans: Vec<NodePlan>, restart: Restart) -> (Fleet, mpsc::Receiver<Ended>) {
        let (ended, inbox) = mpsc::channel(ENDS_AT_ONCE);
        let members = plans.into_iter().map(Member::new).collect();
        (Fleet { members, restart, ended, stopping: false, patience: Patience::USUAL }, inbox)
    }

    /// One more, not started yet; its place.
    pub(crate) fn add(&mut self, plan: NodePlan) -> usize {
        self.members.push(Member::new(plan));
        self.members.len() - 1
    }

    /// It was removed from its bank: it ends, and is not started again.
    pub(crate) fn dismiss(&mut self, place: usize) {
        let member = &mut self.members[place];
        member.leaving = true;
        match &member.life {
            Life::Running { child } => child.order(Order::Stop),
            Life::Waiting { .. } | Life::Died { .. } | Life::ShutDown | Life::Left | Life::Stopped => {
                member.life = Life::Left;
            }
        }
    }

    pub(crate) fn start(&mut self, place: usize) -> Result<u32, Failure> {
        let member = &mut self.members[place];
        let plan = &member.plan;
        let child = Child::start(plan, place, self.ended.clone()).map_err(|error| {
            Failure::new(format!("node {} of bank {} could not be started: {error}", plan.node, plan.bank))
                .line(format!("program: {}", plan.program.display()))
        })?;
        let pid = child.pid;
        member.life = Life::Running { child };
        member.ready_once = false;
        Ok(pid)
    }

    /// A process could not even be started: tried again like one that died at once.
    pub(crate) fn on_start_failed(&mut self, place: usize, why: String, now: Instant) -> Fate {
        self.members[place].complain(Some(why));
        self.decide(place, Ending::Code(i32::from(Code::CannotStart.number())), now)
    }

    /// It was ready: its next death is a new one, and its complaint is settled.
    pub(crate) fn on_ready(&mut self, place: usize) {
        let member = &mut self.members[place];
        member.ready_once = true;
        member.stillborn = 0;
        member.complaint = None;
        member.repeats = 0;
    }

    pub(crate) fn on_ended(&mut self, ended: &Ended, now: Instant) -> Fate {
        self.members[ended.place].complain(reason_in(&ended.last_words));
        self.decide(ended.place, ended.ending, now)
    }

    fn decide(&mut self, place: usize, ending: Ending, now: Instant) -> Fate {
        let member = &mut self.members[place];
        let (life, fate) = if member.leaving || ending.is(Code::Removed) {
            member.complaint = None;
            (Life::Left, Fate::Left)
        } else if self.stopping {
            (Life::Stopped, Fate::Stopped)
        } else if ending.is(Code::ToldToShutDown) {
            member.complaint = None;
            (Life::ShutDown, Fate::ShutDown)
        } else if self.restart == Restart::Never {
            (Life::Died { ending }, Fate::StaysDown)
        } else {
            let doublings = member.stillborn.min(8);
            let after = if member.ready_once { RESTART_AFTER } else { RESTART_AFTER * 2_u32.pow(doublings) };
            let after = after.min(RESTART_AFTER_MAX);
            member.stillborn = if member.ready_once { 0 } else { member.stillborn + 1 };
            (Life::Waiting { ending, due: now + after }, Fate::Again { after })
        };
        member.life = life;
        fate
    }

    /// Those whose time to start again has come.
    pub(crate) fn due(&self, now: Instant) -> Vec<usize> {
        let due = |(place, member): (usize, &Member)| match member.life {
            Life::Waiting { due, .. } if due <= now => Some(place),
            Life::Waiting { .. }
            | Life::Running { .. }
            | Life::Died { .. }
            | Life::ShutDown
            | Life::Left
            | Life::Stopped => None,
        };
        self.members.iter().enumerate().filter_map(due).collect()
    }

    pub(crate) fn any_running(&self) -> bool {
        self.members.iter().any(|member| matches!(member.life, Life::Running { .. }))
    }

    fn order(&self, order: Order, who: impl Fn(usize) -> bool) {
        for (place, member) in self.members.iter().enumerate() {
            if let Life::Running { child } = &member.life
                && who(place)
            {
                child.order(order);
            }
        }
    }

    /// Stops all in order: followers, so that nobody is elected any more; then leaders; at last SIGKILL for who
    /// does not end. `hurry` (a second Ctrl-C) skips to that.
    pub(crate) async fn stop_all(
        &mut self,
        inbox: &mut mpsc::Receiver<Ended>,
        leaders: &[usize],
        mut hurry: impl AsyncFnMut(),
    ) -> Vec<Ended> {
        self.stopping = true;
        for member in &mut self.members {
            if matches!(member.life, Life::Waiting { .. }) {
                member.life = Life::Stopped;
            }
        }
        let begun = Instant::now();
        let mut told_leaders = false;
        let mut killed = false;
        let mut endings = Vec::new();
        self.order(Order::Stop, |place| !leaders.contains(&place));
        while self.any_running() {
            let only_leaders = self
                .members
                .iter()
                .enumerate()
                .all(|(place, member)| leaders.contains(&place) || !matches!(member.life, Life::Running { .. }));
            if !told_leaders && (only_leaders || begun.elapsed() >= self.patience.followers) {
                told_leaders = true;
                self.order(Order::Stop, |_| true);
            }
            if !killed && begun.elapsed() >= self.patience.all {
                killed = true;
                self.order(Order::Kill, |_| true);
            }
            tokio::select! {
                Some(ended) = inbox.recv() => {
                    self.on_ended(&ended, Instant::now());
                    endings.push(ended);
                }
                () = hurry(), if !killed => {
                    killed = true;
                    self.order(Order::Kill, |_| true);
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
        for member in &mut self.members {
            if matches!(member.life, Life::Died { .. }) {
                member.life = Life::Stopped;
            }
        }
        endings
    }
}

/// The line that says why, of what a process wrote last, and those below it that say what to do.
fn reason_in(last_words: &[String]) -> Option<String> {
    let at = last_words.iter().position(|line| line.starts_with("error: "));
    if let Some(at) = at {
        let remedy = last_words[at + 1..].iter().take_while(|line| line.starts_with("  ")).map(|line| line.trim());
        let first = last_words[at].trim_start_matches("error: ");
        return Some([first].into_iter().chain(remedy).collect::<Vec<&str>>().join("\n"));
    }
    let panic = last_words.iter().position(|line| line.contains("panicked at"));
    panic.and_then(|at| last_words.get(at + 1).or(last_words.get(at))).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::network_file::Kind;
    use std::path::PathBuf;

    fn plan(node: u16, script: &str) -> NodePlan {
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        NodePlan {
            bank: "alpha".parse().expect("a name"),
            kind: Kind::Bank,
            node,
            http: nowhere,
            grpc: nowhere,
            peer: nowhere,
            data: PathBuf::from("/nonexistent"),
            tls: false,
            program: PathBuf::from("/bin/sh"),
            arguments: ["-c", script].map(Into::into).to_vec(),
        }
    }

    #[test]
    fn a_complaint_keeps_what_to_do_and_is_counted_when_it_comes_again() {
        let words = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
        let last_words = words(&[
            "starting",
            "error: /srv/2 holds no identity",
            "  rialto members replace 2",
            "  it has lost its votes",
            "x",
        ]);
        let (mut fleet, _inbox) = Fleet::new(vec![plan(1, "")], Restart::After5s);
        let end = |last_words: &[String]| Ended { place: 0, ending: Ending::Code(4), last_words: last_words.to_vec() };
        for repeats in [0, 1, 2] {
            fleet.on_ended(&end(&last_words), Instant::now());
            let member = &fleet.members[0];
            let complaint = member.complaint.as_deref();
            assert_eq!(complaint, Some("/srv/2 holds no identity\nrialto members replace 2\nit has lost its votes"));
            assert_eq!(member.repeats, repeats);
        }
        fleet.on_ended(&end(&words(&["error: port 7101 is in use"])), Instant::now());
        assert_eq!(fleet.members[0].repeats, 0, "another reason is news");
        fleet.on_ready(0);
        fleet.on_ended(&end(&last_words), Instant::now());
        assert_eq!(fleet.members[0].repeats, 0, "it was ready meanwhile");
    }

    fn died(place: usize, ending: Ending) -> Ended {
        Ended { place, ending, last_words: Vec::new() }
    }

    #[test]
    fn a_node_that_was_ready_is_started_again_after_five_seconds() {
        let (mut fleet, _inbox) = Fleet::new(vec![plan(1, "true")], Restart::After5s);
        let now = Instant::now();
        fleet.on_ready(0);
        assert_eq!(fleet.on_ended(&died(0, Ending::Signal(9)), now), Fate::Again { after: RESTART_AFTER });
        assert_eq!(fleet.due(now + RESTART_AFTER - Duration::from_millis(1)), [0_usize; 0]);
        assert_eq!(fleet.due(now + RESTART_AFTER), [0]);
    }

    #[test]
    fn a_node_that_never_gets_ready_is_tried_ever_more_rarely() {
        let (mut fleet, _inbox) = Fleet::new(vec![plan(1, "true")], Restart::After5s);
        let now = Instant::now();
        let seconds = [5, 10, 20, 30, 30].map(Duration::from_secs);
        for after in seconds {
            assert_eq!(fleet.on_ended(&died(0, Ending::Code(4)), now), Fate::Again { after });
        }
        fleet.on_ready(0);
        assert_eq!(fleet.on_ended(&died(0, Ending::Code(4)), now), Fate::Again { after: RESTART_AFTER });
    }

    #[test]
    fn a_node_told_to_shut_down_stays_down() {
        let (mut fleet, _inbox) = Fleet::new(vec![plan(1, "true")], Restart::After5s);
        let now = Instant::now();
        assert_eq!(fleet.on_ended(&died(0, Ending::Code(3)), now), Fate::ShutDown);
        assert_eq!(fleet.due(now + Duration::from_secs(3600)), [0_usize; 0]);
    }

    #[test]
    fn who_was_removed_from_its_bank_is_not_started_again() {
        let (mut fleet, _inbox) = Fleet::new(vec![plan(1, "true"), plan(2, "true")], Restart::After5s);
        let now = Instant::now();
        let by_itself = Ending::Code(i32::from(Code::Removed.number()));
        assert_eq!(fleet.on_ended(&died(0, by_itself), now), Fate::Left);
        assert_eq!(fleet.on_ended(&died(1, Ending::Signal(9)), now), Fate::Again { after: RESTART_AFTER });
        fleet.dismiss(1);
        assert_eq!(fleet.due(now + Duration::from_secs(3600)), [0_usize; 0]);
        assert_eq!(fleet.add(plan(3, "true")), 2, "a place is not used again");
    }

    #[test]
    fn with_no_restart_the_dead_stay_dead() {
        let (mut fleet, _inbox) = Fleet::new(vec![plan(1, "true")], Restart::Never);
        assert_eq!(fleet.on_ended(&died(0, Ending::Signal(9)), Instant::now()), Fate::StaysDown);
        assert!(matches!(fleet.members[0].life, Life::Died { ending: Ending::Signal(9) }));
    }

    #[tokio::test]
    async fn followers_are_told_before_the_leader() {
        let dir = crate::test_dir::TestDir::new();
        let says = |name: &str| {
            let log = dir.path().join("order");
            // Ends only when told, and says so; `ready` tells the test that the trap is set.
            format!(
                "trap 'echo {name} >> {log}; exit 0' TERM; touch {dir}/{name}.ready; while :; do sleep 0.01; done",
                log = log.display(),
                dir = dir.path().display()
            )
        };
        let plans = vec![plan(1, &says("leader")), plan(2, &says("follower")), plan(3, &says("follower"))];
        let (mut fleet, mut inbox) = Fleet::new(plans, Restart::After5s);
        for place in 0..3 {
            fleet.start(place).expect("there is a shell");
        }
        crate::test_dir::until("the traps are set", || {
            dir.path().join("leader.ready").exists() && dir.path().join("follower.ready").exists()
        });
        // However busy the machine is.
        fleet.patience = Patience { followers: Duration::from_secs(60), all: Duration::from_secs(120) };
        fleet.stop_all(&mut inbox, &[0], async || std::future::pending().await).await;
        let order = std::fs::read_to_string(dir.path().join("order")).expect("they wrote it");
        assert_eq!(order.lines().last(), Some("leader"), "{order}");
    }

    #[tokio::test]
    async fn who_does_not_end_is_killed_at_the_second_ctrl_c() {
        let dir = crate::test_dir::TestDir::new();
        let ready = dir.path().join("ready");
        let script = format!("trap '' TERM; touch {}; while :; do sleep 0.01; done", ready.display());
        let (mut fleet, mut inbox) = Fleet::new(vec![plan(1, &script)], Restart::After5s);
        fleet.start(0).expect("there is a shell");
        crate::test_dir::until("the trap is set", || ready.exists());
        let ended = fleet.stop_all(&mut inbox, &[], async || {}).await;
        assert_eq!(ended.iter().map(|e| e.ending).collect::<Vec<_>>(), [Ending::Signal(9)]);
        assert!(matches!(fleet.members[0].life, Life::Stopped));
    }

    #[test]
    fn the_reason_is_found_in_the_last_words() {
        let words = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            reason_in(&words(&["noise", "error: no room", "  free some"])).as_deref(),
            Some("no room\nfree some")
        );
        let panic = words(&["thread 'apply' panicked at ledger.rs:5:", "debits = credits", "note: run with"]);
        assert_eq!(reason_in(&panic).as_deref(), Some("debits = credits"));
        assert_eq!(reason_in(&words(&["noise"])), None);
    }
}
