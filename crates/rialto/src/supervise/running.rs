//! The network while it runs: what happens, what is done about it, what is shown.
//!
//! One task owns all of this. It hears of ended processes and signals at once and looks at everything else (who leads,
//! who is ready, whose restart is due) at every beat: ten milliseconds while something is expected, else a hundred.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::child::{Ended, Ending};
use super::fleet::{Fate, Fleet, Life, Restart};
use super::plan::BankPlan;
use super::portrait::as_typed;
use super::prepare::Prepared;
use super::screen::Screen;
use super::story::{self, Succession, Who};
use crate::balance::{Balancer, Traffic};
use crate::failure::{Code, Failure};
use crate::file_handles;
use crate::lookout::{Lookout, Sight, View};
use crate::network::network_file::{BankEntry, Kind, NetworkFile, NodeEntry, State};

const BEAT_CALM: Duration = Duration::from_millis(100);
const BEAT_EXPECTING: Duration = Duration::from_millis(10);
/// So long a leader's death waits for its successor before it is told.
const SUCCESSION_PATIENCE: Duration = Duration::from_secs(1);
/// So long one node may keep a network with a majority from being called ready.
const STRAGGLER_PATIENCE: Duration = Duration::from_secs(5);

/// One bank at work.
#[derive(Debug)]
pub(super) struct BankRun {
    pub(super) plan: BankPlan,
    /// Where its nodes are in the fleet: node `n` is at `first + n - 1`.
    first: usize,
    lookout: Lookout,
    pub(super) view: watch::Receiver<View>,
    pub(super) leader: Option<u16>,
}

impl BankRun {
    pub(super) fn place(&self, node: u16) -> usize {
        self.first + usize::from(node) - 1
    }
}

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
    pub(super) program: String,
    pub(super) banks: Vec<BankRun>,
    pub(super) fleet: Fleet,
    screen: Screen,
    deaths: Vec<Death>,
    begun: Instant,
    pub(super) ready: bool,
    /// What `network.json` holds.
    written: String,
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
    let Prepared { banks, notes, lock } = prepared;
    let plans = banks.iter().flat_map(|bank| bank.nodes.clone()).collect();
    let (fleet, mut ended) = Fleet::new(plans, restart);
    let mut balancers = JoinSet::new();
    let mut runs = Vec::new();
    let mut first = 0;
    for plan in banks {
        let lookout = Lookout::start(&plan.nodes.iter().map(|node| (node.node, node.http)).collect());
        balance(&plan, &lookout, file_handles, &mut balancers).await?;
        let nodes = plan.nodes.len();
        runs.push(BankRun { first, view: lookout.view(), lookout, leader: None, plan });
        first += nodes;
    }
    let mut running = Running {
        program: as_typed(program),
        banks: runs,
        fleet,
        screen,
        deaths: Vec::new(),
        begun: Instant::now(),
        ready: false,
        written: String::new(),
        dir,
    };
    running.greet(&notes);
    for place in 0..running.fleet.members.len() {
        running.fleet.start(place)?;
    }
    while running.turn(&mut ended, &mut signals).await? {}
    running.stop(&mut ended, &mut signals).await?;
    // Until here: nobody else may start in this directory before all is written and stopped.
    drop(lock);
    Ok(Code::Done)
}

async fn balance(
    plan: &BankPlan,
    lookout: &Lookout,
    file_handles: u64,
    balancers: &mut JoinSet<()>,
) -> Result<(), Failure> {
    let roads = [(Traffic::Http, plan.ports.balancer_http()), (Traffic::Grpc, plan.ports.balancer_grpc())];
    for (traffic, address) in roads {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new(format!("cannot listen on {address} for the balancer of bank {}: {error}", plan.name))
        })?;
        let backend = |node: &super::plan::NodePlan| {
            let address = match traffic {
                Traffic::Http => node.http,
                Traffic::Grpc => node.grpc,
            };
            (node.node, address)
        };
        let balancer = Balancer {
            bank: plan.name.to_string(),
            traffic,
            backends: plan.nodes.iter().map(backend).collect(),
            view: lookout.view(),
            hurry: lookout.hurry(),
            connections_max: traffic.connections_max(file_handles),
        };
        balancers.spawn(balancer.run(listener));
    }
    Ok(())
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
    async fn turn(&mut self, ended: &mut mpsc::Receiver<Ended>, signals: &mut StopSignals) -> Result<bool, Failure> {
        let expecting = !self.ready || !self.deaths.is_empty();
        tokio::select! {
            Some(ended) = ended.recv() => self.on_ended(ended)?,
            () = signals.next() => return Ok(false),
            () = tokio::time::sleep(if expecting { BEAT_EXPECTING } else { BEAT_CALM }) => {}
        }
        self.start_who_is_due();
        self.follow_leaders();
        self.tell_deaths();
        self.save()?;
        self.announce();
        let picture = self.picture();
        self.screen.draw(&picture);
        Ok(true)
    }

    fn who(&self, bank: usize, node: u16) -> Who {
        Who::new(self.banks[bank].plan.name.as_str(), node, self.banks.len() == 1)
    }

    /// The bank and the node at that place of the fleet.
    fn at(&self, place: usize) -> (usize, u16) {
        let bank = self.banks.iter().rposition(|bank| bank.first <= place).expect("the first bank begins at 0");
        (bank, self.fleet.members[place].plan.node)
    }

    fn on_ended(&mut self, ended: Ended) -> Result<(), Failure> {
        let now = Instant::now();
        let fate = self.fleet.on_ended(&ended, now);
        let (bank, node) = self.at(ended.place);
        let run = &mut self.banks[bank];
        run.lookout.forget(node, Sight::Silent { why: "its process has ended".to_owned() });
        let led = run.leader == Some(node);
        let others = run.plan.nodes.len() > 1;
        if led {
            run.leader = None;
        }
        let complaint = self.fleet.members[ended.place].complaint.clone();
        let death = Death { bank, who: self.who(bank, node), ending: ended.ending, complaint, fate, at: now };
        // Who reads that it died finds it so in the file.
        self.save()?;
        if led && others {
            self.deaths.push(death);
        } else {
            self.tell(&death, &Succession::NotNeeded);
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
                    self.screen.event(&format!("{who} starts again (process {pid})"));
                }
                Err(failure) => {
                    let fate = self.fleet.on_start_failed(place, failure.to_string(), Instant::now());
                    let line =
                        story::ended(&who, Ending::Code(4), Some(&failure.to_string()), &Succession::NotNeeded, &fate);
                    self.screen.event(&line);
                }
            }
        }
    }

    pub(super) fn runs(&self, bank: usize, node: u16) -> bool {
        matches!(self.fleet.members[self.banks[bank].place(node)].life, Life::Running { .. })
    }

    fn follow_leaders(&mut self) {
        for bank in 0..self.banks.len() {
            let view = self.banks[bank].view.borrow_and_update().clone();
            for node in view.ready() {
                let place = self.banks[bank].place(node);
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
            if here.is_empty() {
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

    /// Ready: every bank is led, and all its nodes are ready, or a majority is and the others have had their time.
    fn is_ready(&self) -> bool {
        let late = self.begun.elapsed() >= STRAGGLER_PATIENCE;
        self.banks.iter().enumerate().all(|(index, bank)| {
            let view = bank.view.borrow();
            let ready = view.ready().filter(|node| self.runs(index, *node)).count();
            let all = bank.plan.nodes.len();
            let running = bank.plan.nodes.iter().filter(|node| self.runs(index, node.node)).count();
            view.leader().is_some() && (ready == all || (ready > all / 2 && (late || ready == running)))
        })
    }

    fn announce(&mut self) {
        if !self.ready && self.is_ready() {
            self.ready = true;
            let picture = self.picture();
            self.screen.ready(&picture, &self.written);
            self.screen.event(&format!("ready after {} ms", self.begun.elapsed().as_millis()));
        }
    }

    fn network_file(&self, up: Option<u32>) -> NetworkFile {
        let nodes = self.fleet.members.iter().map(|member| {
            let plan = &member.plan;
            let (state, pid) = match &member.life {
                Life::Running { child } => (State::Running, Some(child.pid)),
                Life::Waiting { .. } | Life::Died { .. } => (State::Died, None),
                Life::ShutDown => (State::ShutDown, None),
                Life::Stopped => (State::Stopped, None),
            };
            NodeEntry {
                group: plan.bank.to_string(),
                kind: Kind::Bank,
                node: plan.node,
                pid,
                state,
                http: format!("http://{}", plan.http),
                grpc: format!("http://{}", plan.grpc),
                peer: plan.peer.to_string(),
                data: std::path::absolute(&plan.data).unwrap_or_else(|_| plan.data.clone()),
            }
        });
        let bank = |bank: &BankRun| {
            let (http, grpc) = (bank.plan.ports.balancer_http(), bank.plan.ports.balancer_grpc());
            (bank.plan.name.to_string(), BankEntry { http: format!("http://{http}"), grpc: format!("http://{grpc}") })
        };
        NetworkFile { up, nodes: nodes.collect(), banks: self.banks.iter().map(bank).collect::<BTreeMap<_, _>>() }
    }

    /// Keeps `network.json` current.
    fn save(&mut self) -> Result<(), Failure> {
        self.save_as(Some(std::process::id()))
    }

    fn save_as(&mut self, up: Option<u32>) -> Result<(), Failure> {
        let file = self.network_file(up);
        let json = file.to_json();
        if json == self.written {
            return Ok(());
        }
        match file.save(&self.dir) {
            Ok(()) => self.written = json,
            // A full disk must not take the nodes down: what is written there is old until there is room.
            Err(error) if self.ready => {
                let path = NetworkFile::path(&self.dir);
                self.screen.event(&format!("{} is out of date: {error}", path.display()));
                self.written = json;
            }
            Err(error) => {
                return Err(Failure::new(format!("writing {}: {error}", NetworkFile::path(&self.dir).display())));
            }
        }
        Ok(())
    }

    async fn stop(&mut self, ended: &mut mpsc::Receiver<Ended>, signals: &mut StopSignals) -> Result<(), Failure> {
        self.screen.event("stopping in order; Ctrl-C again ends it at once");
        let picture = self.picture();
        self.screen.draw(&picture);
        let leaders: Vec<usize> =
            self.banks.iter().filter_map(|bank| bank.leader.map(|node| bank.place(node))).collect();
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
            "everything is stopped; {} up goes on with the same money{}",
            self.program,
            self.dir_flag()
        ));
        Ok(())
    }
}
