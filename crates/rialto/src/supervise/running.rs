//! The network while it runs: what happens, what is done about it, what is shown.
//!
//! One task owns all of this. It hears of ended processes and signals at once and looks at everything else (who leads,
//! who is ready, whose restart is due) at every beat: ten milliseconds while something is expected, else a hundred.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::status::Mode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::bank_run::BankRun;
use super::child::{Ended, Ending};
use super::consul_watch;
use super::fleet::{Fate, Fleet, Life, Restart};
use super::portrait::{SILENCE_SHOWN, as_typed};
use super::prepare::{Prepared, wrong_mode};
use super::requests::{Asked, Desk};
use super::screen::Screen;
use super::story::{self, Succession, Who};
use crate::failure::{Code, Failure};
use crate::file_handles;
use crate::lookout::Sight;
use crate::network::layout::Layout;
use crate::network::name::BankName;
use crate::network::network_file::Kind;
use crate::plain::counted;

const BEAT_CALM: Duration = Duration::from_millis(100);
const BEAT_EXPECTING: Duration = Duration::from_millis(10);
/// So long a leader's death waits for its successor before it is told.
const SUCCESSION_PATIENCE: Duration = Duration::from_secs(1);
/// So long one node may keep a network with a majority from being called ready.
const STRAGGLER_PATIENCE: Duration = Duration::from_secs(5);

/// A leader that died and whose successor is not known yet.
#[derive(Debug)]
struct Death {
    bank: usize,
    who: Who,
    ending: Ending,
    complaint: Option<String>,
    fate: Fate,
    at: Instant,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) dir: PathBuf,
    pub(super) layout: Layout,
    /// This executable, and how it is typed here.
    pub(super) program_file: PathBuf,
    pub(super) program: String,
    /// Banks that are to have another number of members, and what comes of it.
    resize: Vec<(BankName, u16)>,
    pub(super) resizing: JoinSet<()>,
    /// The mode that `--mode` names, until the logs have said that it is theirs.
    mode: Option<Mode>,
    pub(super) news: (mpsc::Sender<String>, mpsc::Receiver<String>),
    pub(super) customers_made: (mpsc::Sender<BankName>, mpsc::Receiver<BankName>),
    pub(super) is_making_customers: bool,
    pub(super) banks: Vec<BankRun>,
    pub(super) balancers: JoinSet<()>,
    pub(super) file_handles: u64,
    pub(super) fleet: Fleet,
    pub(super) screen: Screen,
    deaths: Vec<Death>,
    begun: Instant,
    pub(super) ready: bool,
    /// What does not work at present beside the nodes: a line each, as long as it is so.
    pub(super) troubles: Vec<String>,
    consul: Option<watch::Receiver<Option<String>>>,
    /// Nodes that have been said to hang.
    hanging: BTreeSet<usize>,
    /// What `network.json` holds.
    pub(super) written: String,
}

#[derive(Debug)]
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn listen() -> Result<StopSignals, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new(format!("listening for signals: {error}")));
        Ok(StopSignals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Runs until told to stop.
pub(crate) async fn run(
    dir: PathBuf,
    prepared: Prepared,
    restart: Restart,
    screen: Screen,
    program: &Path,
) -> Result<Code, Failure> {
    let mut signals = StopSignals::listen()?;
    let file_handles = file_handles::raise();
    let Prepared { banks, layout, resize, mode, notes, lock } = prepared;
    let (desk, mut requests) = Desk::open(&dir)?;
    let plans = banks.iter().flat_map(|bank| bank.nodes.clone()).collect();
    let (fleet, mut ended) = Fleet::new(plans, restart);
    let mut balancers = JoinSet::new();
    let mut runs = Vec::new();
    let mut first = 0;
    for plan in banks {
        let nodes = plan.nodes.len();
        let run = BankRun::new(plan, first);
        run.balance(file_handles, &mut balancers).await?;
        runs.push(run);
        first += nodes;
    }
    let consul = runs.iter().find_map(|run| layout.bank(&run.plan.name)?.consul.clone());
    let consul = consul_watch::start(consul, &mut balancers);
    let mut running = Running {
        program: as_typed(program),
        program_file: program.to_owned(),
        layout,
        resize,
        resizing: JoinSet::new(),
        mode,
        news: mpsc::channel(16),
        customers_made: mpsc::channel(16),
        is_making_customers: false,
        banks: runs,
        balancers,
        file_handles,
        fleet,
        screen,
        deaths: Vec::new(),
        begun: Instant::now(),
        ready: false,
        troubles: Vec::new(),
        consul,
        hanging: BTreeSet::new(),
        written: String::new(),
        dir,
    };
    running.greet(&notes);
    for place in 0..running.fleet.members.len() {
        running.fleet.start(place)?;
    }
    let mut refusal = None;
    while refusal.is_none() && running.turn(&mut ended, &mut requests, &mut signals).await? {
        refusal = running.wrong_mode().or_else(|| running.never_comes());
    }
    drop(desk);
    running.resizing.abort_all();
    running.stop(&mut ended, &mut signals).await?;
    // Until here: nobody else may start in this directory before all is written and stopped.
    drop(lock);
    refusal.map_or(Ok(Code::Done), Err)
}

impl Running {
    fn greet(&mut self, notes: &[String]) {
        let version = env!("CARGO_PKG_VERSION");
        let stop =
            if matches!(self.screen, Screen::Json) { "" } else { " · Ctrl-C stops everything, your money stays" };
        self.screen.say(&format!("Rialto {version} · data in {}{stop}", self.dir.display()));
        for note in notes {
            self.screen.event(note);
        }
    }

    /// Waits for something to happen, or a beat, and does what is to be done. False when it is time to stop.
    async fn turn(
        &mut self,
        ended: &mut mpsc::Receiver<Ended>,
        requests: &mut mpsc::Receiver<Asked>,
        signals: &mut StopSignals,
    ) -> Result<bool, Failure> {
        let expecting = !self.ready || !self.deaths.is_empty();
        tokio::select! {
            Some(ended) = ended.recv() => self.on_ended(ended)?,
            Some(Asked { request, answer }) = requests.recv() => {
                let reply = self.on_request(&request).await;
                // Whoever asked and went away finds the same when they ask again.
                let _ = answer.send(reply);
            }
            Some(line) = self.news.1.recv() => self.screen.event(&line),
            Some(bank) = self.customers_made.1.recv() => self.on_customers_made(&bank)?,
            () = signals.next() => return Ok(false),
            () = tokio::time::sleep(if expecting { BEAT_EXPECTING } else { BEAT_CALM }) => {}
        }
        self.start_who_is_due();
        self.follow_leaders();
        self.tell_deaths();
        self.tell_who_hangs();
        self.tell_consul();
        self.save()?;
        if self.wrong_mode().is_some() {
            return Ok(true);
        }
        self.announce();
        self.start_resizing();
        self.make_customers();
        let picture = self.picture();
        self.screen.draw(&picture);
        Ok(true)
    }

    pub(super) fn who(&self, bank: usize, node: u16) -> Who {
        Who::new(self.banks[bank].plan.name.as_str(), node, self.banks.len() == 1)
    }

    /// The bank and the node at that place of the fleet.
    fn at(&self, place: usize) -> (usize, u16) {
        let plan = &self.fleet.members[place].plan;
        let bank = self.banks.iter().position(|bank| bank.plan.name == plan.bank);
        (bank.expect("banks come and go only with `up`"), plan.node)
    }

    fn on_ended(&mut self, ended: Ended) -> Result<(), Failure> {
        let now = Instant::now();
        let fate = self.fleet.on_ended(&ended, now);
        let (bank, node) = self.at(ended.place);
        if fate == Fate::Left {
            // By itself; if it was told to go, this is done already.
            self.forget_node(bank, node)?;
            return Ok(());
        }
        let run = &mut self.banks[bank];
        run.lookout.forget(node, Sight::silent("its process has ended"));
        let led = run.leader == Some(node) && run.mode() == Mode::Leader;
        let others = run.plan.nodes.len() > 1;
        if led {
            run.leader = None;
        }
        let complaint = self.fleet.members[ended.place].complaint.clone();
        let death = Death { bank, who: self.who(bank, node), ending: ended.ending, complaint, fate, at: now };
        // Who reads that it died finds it so in the file.
        self.save()?;
        let repeats = self.fleet.members[ended.place].repeats;
        if led && others {
            self.deaths.push(death);
        } else if repeats == 0 {
            self.tell(&death, &Succession::NotNeeded);
        } else if repeats == 1 {
            self.screen.event(&story::ends_again(&death.who));
        }
        Ok(())
    }

    fn tell(&mut self, death: &Death, succession: &Succession) {
        let line = story::ended(&death.who, death.ending, death.complaint.as_deref(), succession, &death.fate);
        self.screen.event(&line);
    }

    fn start_who_is_due(&mut self) {
        for place in self.fleet.due(Instant::now()) {
            let (bank, node) = self.at(place);
            let who = self.who(bank, node);
            match self.fleet.start(place) {
                Ok(pid) => {
                    self.banks[bank].lookout.forget(node, Sight::Unseen);
                    if self.fleet.members[place].repeats == 0 {
                        self.screen.event(&format!("{who} starts again (process {pid})"));
                    }
                }
                Err(failure) => {
                    let fate = self.fleet.on_start_failed(place, failure.to_string(), Instant::now());
                    if self.fleet.members[place].repeats > 0 {
                        continue;
                    }
                    let line =
                        story::ended(&who, Ending::Code(4), Some(&failure.to_string()), &Succession::NotNeeded, &fate);
                    self.screen.event(&line);
                }
            }
        }
    }

    pub(super) fn runs(&self, bank: usize, node: u16) -> bool {
        let place = self.banks[bank].place(node);
        place.is_some_and(|place| matches!(self.fleet.members[place].life, Life::Running { .. }))
    }

    fn follow_leaders(&mut self) {
        for bank in 0..self.banks.len() {
            let view = self.banks[bank].view.borrow_and_update().clone();
            self.follow_mode(bank);
            for place in view.ready().filter_map(|node| self.banks[bank].place(node)) {
                self.fleet.on_ready(place);
            }
            // An answer may have been on its way when the process ended.
            let leader = view.leader().filter(|node| self.runs(bank, *node));
            let before = self.banks[bank].leader;
            let Some(node) = leader.filter(|node| before != Some(*node)) else { continue };
            self.banks[bank].leader = Some(node);
            let who = self.who(bank, node);
            let (here, elsewhere): (Vec<Death>, Vec<Death>) =
                self.deaths.drain(..).partition(|death| death.bank == bank);
            self.deaths = elsewhere;
            if here.is_empty() && view.mode() != Some(Mode::Leaderless) {
                let before = before.map(|node| self.who(bank, node));
                self.screen.event(&story::leads(&who, before.as_ref()));
            }
            for death in here {
                let after = death.at.elapsed();
                self.tell(&death, &Succession::Leads { who: who.clone(), after });
            }
        }
    }

    /// Deaths that nobody has followed for too long are told as they are.
    fn tell_deaths(&mut self) {
        let (old, young) = self.deaths.drain(..).partition(|death| death.at.elapsed() >= SUCCESSION_PATIENCE);
        self.deaths = young;
        let old: Vec<Death> = old;
        for death in old {
            self.tell(&death, &Succession::NobodyYet);
        }
    }

    /// A process that runs and says nothing is told of once, and when it speaks again.
    fn tell_who_hangs(&mut self) {
        for place in 0..self.fleet.members.len() {
            let member = &self.fleet.members[place];
            let Life::Running { child } = &member.life else {
                self.hanging.remove(&place);
                continue;
            };
            let (pid, node) = (child.pid, member.plan.node);
            let Some(bank) = self.banks.iter().position(|bank| bank.place(node) == Some(place)) else { continue };
            let silence = self.banks[bank].view.borrow().silence(node).map(|(_, time)| time);
            let hangs = member.was_ready() && silence.is_some_and(|time| time >= SILENCE_SHOWN);
            let who = self.who(bank, node);
            if hangs && self.hanging.insert(place) {
                self.screen.event(&story::hangs(&who, pid));
            } else if silence.is_none() && self.hanging.remove(&place) {
                self.screen.event(&format!("{who} answers again"));
            }
        }
    }

    /// Consul is none of the processes here; while it is away, nobody new is found.
    fn tell_consul(&mut self) {
        let Some(consul) = &mut self.consul else { return };
        if !consul.has_changed().unwrap_or(false) {
            return;
        }
        let trouble = consul.borrow_and_update().clone();
        match &trouble {
            Some(why) => self.screen.event(why),
            None => self.screen.event("Consul answers again"),
        }
        self.troubles = trouble.into_iter().collect();
    }

    /// Ready: every bank is led, and all its nodes are ready, or a majority is and the others have had their time.
    fn is_ready(&self) -> bool {
        let late = self.begun.elapsed() >= STRAGGLER_PATIENCE;
        self.banks.iter().enumerate().all(|(index, bank)| {
            let view = bank.view.borrow();
            let ready = view.ready().filter(|node| self.runs(index, *node)).count();
            let all = bank.plan.nodes.len();
            let running = bank.plan.nodes.iter().filter(|node| self.runs(index, node.node)).count();
            let settled = view.leader().is_some() || view.mode() == Some(Mode::Leaderless);
            settled && (ready == all || (ready > all / 2 && (late || ready == running)))
        })
    }

    /// What was noted of a bank's mode may be old: a node may have been run by hand, or `up` killed. Where `--mode` says
    /// something else than the log, the network stops before it is called ready, as it would have before it started.
    fn wrong_mode(&self) -> Option<Failure> {
        let wanted = self.mode.filter(|_| self.is_ready())?;
        let is = |bank: &BankRun| bank.view.borrow().mode();
        let other = self.banks.iter().find_map(|bank| Some((bank, is(bank).filter(|mode| *mode != wanted)?)));
        other.map(|(bank, is)| wrong_mode(&self.dir, &bank.plan.name, is, wanted))
    }

    /// Whoever waits for the one JSON line waits in vain where a bank's majority dies before it was ever ready. A person sees
    /// it, and may mend it meanwhile.
    fn never_comes(&self) -> Option<Failure> {
        if self.ready || !matches!(self.screen, Screen::Json) {
            return None;
        }
        self.banks.iter().find_map(|bank| {
            let members = bank.plan.nodes.iter().filter_map(|plan| bank.place(plan.node));
            let lost: Vec<_> = members.map(|place| &self.fleet.members[place]).filter(|node| node.is_lost()).collect();
            if lost.len() * 2 < bank.plan.nodes.len() {
                return None;
            }
            let whose = match bank.plan.kind {
                Kind::Bank => format!("bank {}", bank.plan.name),
                Kind::Gateway => "the gateway".to_owned(),
            };
            let mut failure = Failure::cannot_start(format!("{whose} does not start: its nodes end again and again"));
            for node in lost {
                let why = node.complaint.as_deref().unwrap_or("it said nothing");
                failure = failure.line(format!("node {}: {}", node.plan.node, why.replace('\n', "; ")));
            }
            Some(failure)
        })
    }

    fn announce(&mut self) {
        if !self.ready && self.is_ready() {
            self.ready = true;
            self.mode = None;
            let picture = self.picture();
            self.screen.ready(&picture, &self.written);
            self.screen.event(&format!("ready after {} ms", self.begun.elapsed().as_millis()));
        }
    }

    /// Has the banks grow or shrink that were asked to, by the same steps as `rialto members`, once they serve.
    fn start_resizing(&mut self) {
        if !self.ready {
            return;
        }
        for (bank, nodes) in self.resize.drain(..) {
            let (dir, news) = (self.dir.clone(), self.news.0.clone());
            self.resizing.spawn(async move {
                let said = news.clone();
                let say = move |line: String| drop(said.try_send(line));
                if let Err(failure) = crate::members::resize(&dir, &bank, nodes, say).await {
                    let line =
                        format!("bank {bank} does not have {} yet: {failure}", counted(nodes.into(), "node", "nodes"));
                    let _ = news.send(line.replace('\n', ";")).await;
                }
            });
        }
    }

    async fn stop(&mut self, ended: &mut mpsc::Receiver<Ended>, signals: &mut StopSignals) -> Result<(), Failure> {
        self.screen.event("stopping in order; Ctrl-C again ends it at once");
        let picture = self.picture();
        self.screen.draw(&picture);
        self.follow_modes_now().await;
        let leaders: Vec<usize> = self.banks.iter().filter_map(|bank| bank.place(bank.leader?)).collect();
        for death in std::mem::take(&mut self.deaths) {
            self.tell(&death, &Succession::NobodyYet);
        }
        let endings = self.fleet.stop_all(ended, &leaders, async || signals.next().await).await;
        for ended in endings {
            let in_order = ended.ending.is(Code::Done) || ended.ending.is(Code::ToldToShutDown);
            if !in_order {
                let (bank, node) = self.at(ended.place);
                let who = self.who(bank, node);
                self.screen
                    .event(&format!("{who} did not stop in order ({}); it recovers at its next start", ended.ending));
            }
        }
        self.save_as(None)?;
        let picture = self.picture();
        self.screen.draw(&picture);
        self.screen.event("stopped");
        self.screen.draw(&picture);
        self.screen.farewell(&format!(
            "everything is stopped, your money stays; to go on with it:\n  {} up{}{}",
            self.program,
            self.flags_to_go_on(),
            self.dir_flag()
        ));
        Ok(())
    }
}
