//! Trouble: what is done to machines, disks, clocks and cables, and to whom. Which kinds a seed has is `plan`'s business;
//! when the time of trouble is over, `ending` sets everything right.

use crate::plan::Fault;
use crate::trace::Who;
use crate::world::{End, Event, Step, World};
use replica::Input;
use std::io::ErrorKind;

const DAY_MS: i64 = 24 * 3_600_000;

impl World {
    pub(crate) fn schedule_trouble(&mut self) {
        let delay = self.random.between(1, self.plan.fault_every_us * 2);
        self.schedule.after(delay, Event::Trouble);
    }

    pub(crate) fn on_trouble(&mut self) -> Step {
        if !self.is_troubled() {
            return Ok(());
        }
        self.schedule_trouble();
        if self.is_quiet() {
            return Ok(());
        }
        let fault = self.random.pick(&self.plan.faults);
        let node = self.victim();
        self.make_trouble(fault, node)
    }

    fn make_trouble(&mut self, fault: Fault, node: usize) -> Step {
        let is_up = self.nodes[node].is_up();
        match fault {
            Fault::Crash => {
                let end = self.random.pick(&[End::Killed, End::PowerLoss, End::PowerLoss]);
                self.crash(node, end);
            }
            Fault::CrashAtDiskOperation if is_up => self.arm(node, 60),
            Fault::CrashAtDiskOperation => {}
            Fault::PowerCut => self.cut_power(),
            Fault::DiskFull => {
                self.tally.disks_full += 1;
                self.nodes[node].full = true;
                self.fill_disk(node);
                let delay = self.trouble_time();
                self.schedule.after(delay, Event::RoomAgain { node });
                self.note(Who::Node(node), "disk full");
            }
            Fault::DiskSlow => {
                self.tally.disks_slow += 1;
                self.nodes[node].slowness = self.random.pick(&[3, 20, 100]);
                let delay = self.trouble_time();
                self.schedule.after(delay, Event::FastAgain { node });
                self.note(Who::Node(node), "disk slow");
            }
            Fault::Cut => self.cut_cables(),
            Fault::Disconnect => {
                let machines = self.nodes.len();
                let peer = (node + self.random.between(1, machines as u64 - 1) as usize) % machines;
                self.tally.disconnects += 1;
                self.note(Who::Node(node), "disconnects");
                self.break_connection(node, peer);
            }
            Fault::ClockJump => {
                let by_ms = self.random.pick(&[50, 700, 1_500, 20_000, 3_600_000, DAY_MS, 40 * DAY_MS]);
                let by_ms = if self.random.chance(500) { -by_ms } else { by_ms };
                // Of one machine mostly; but nodes may share one, or a time server.
                let others = self.random.pick(&[0, 0, 0, 500, 1_000]);
                for other in 0..self.nodes.len() {
                    if other == node || self.random.chance(others) {
                        self.jump_clock(other, by_ms);
                    }
                }
            }
            Fault::Elect if is_up => {
                self.note(Who::Node(node), "elect");
                return self.step(node, Input::Elect);
            }
            Fault::Elect => {}
            Fault::ShutDown => return self.shut_down(node),
            Fault::ChangeMode => self.wish_other_mode(),
            Fault::ChangeMembers => self.wish_other_members(),
            // Not at any moment: `cut_at_change` comes with the change.
            Fault::CutAtChange => {}
            Fault::Wipe => self.wipe(node),
            Fault::PutBack => self.put_back(node),
            Fault::Rot => self.rot(node),
            Fault::FlipBalance => self.flip_balance(node),
        }
        Ok(())
    }

    fn jump_clock(&mut self, node: usize, by_ms: i64) {
        self.tally.clock_jumps += 1;
        self.nodes[node].clock.jump(by_ms);
        let now = self.schedule.now_us();
        self.trace.event(now, Who::Node(node), "clock jumps", &[], || format!("by {by_ms} ms"));
    }

    /// Often who leads, for that hurts most; otherwise anybody.
    fn victim(&mut self) -> usize {
        let anybody = self.random.index(self.nodes.len());
        if self.random.chance(self.plan.leader_per_mille) { self.leader().unwrap_or(anybody) } else { anybody }
    }

    fn leader(&self) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.process.as_ref().is_some_and(|process| process.replica.paxos().is_proposer()))
    }

    fn cut_power(&mut self) {
        self.tally.power_cuts += 1;
        self.note(Who::World, "power cut");
        let everyone = self.random.chance(500);
        for node in 0..self.nodes.len() {
            if everyone || self.random.chance(700) {
                self.crash(node, End::PowerLoss);
            }
        }
    }

    fn cut_cables(&mut self) {
        let shape = self.random.pick(&self.plan.shapes);
        let leader = self.leader();
        let cables = shape.cables(self.nodes.len(), leader, &mut self.random);
        self.tally.cuts += 1;
        self.trace.event(self.schedule.now_us(), Who::World, "cut", &[cables.len() as u64], || {
            let shown: Vec<String> = cables.iter().map(|(from, to)| format!("{}→{}", from + 1, to + 1)).collect();
            format!("{shape:?}: {}", shown.join(" "))
        });
        self.lay_cut(cables);
    }

    fn lay_cut(&mut self, cables: Vec<(usize, usize)>) {
        self.network.cut(&cables);
        self.go_silent(&cables);
        let delay = self.trouble_time();
        self.schedule.after(delay, Event::Mend(cables));
    }

    /// A change of members has just been chosen, and somebody knows it.
    pub(crate) fn schedule_cut_at_change(&mut self) {
        if self.has(Fault::CutAtChange) && self.random.chance(700) {
            let delay = self.random.below(5_000);
            self.schedule.after(delay, Event::CutAtChange);
        }
    }

    /// Two camps: with one is who came with the last change, with the other who went; the others are with either.
    pub(crate) fn cut_at_change(&mut self) -> Step {
        if !self.has(Fault::CutAtChange) {
            return Ok(());
        }
        let (came, went) = self.checks.members.came_and_went();
        let camps: Vec<bool> = (0..self.nodes.len())
            .map(|node| {
                came.contains(&self.nodes[node].id) || !went.contains(&self.nodes[node].id) && self.random.chance(500)
            })
            .collect();
        let pairs = (0..camps.len()).flat_map(|from| (0..camps.len()).map(move |to| (from, to)));
        let cables: Vec<(usize, usize)> = pairs.filter(|(from, to)| camps[*from] != camps[*to]).collect();
        self.tally.cuts += 1;
        self.trace.event(self.schedule.now_us(), Who::World, "cut", &[cables.len() as u64], || {
            let camp = |side: bool| {
                let of_side = (0..camps.len()).filter(|node| camps[*node] == side);
                of_side.map(|node| (node + 1).to_string()).collect::<Vec<_>>().join(" ")
            };
            format!("at a change: {} | {}", camp(false), camp(true))
        });
        self.lay_cut(cables);
        Ok(())
    }

    pub(crate) fn on_mend(&mut self, cables: &[(usize, usize)]) -> Step {
        self.network.mend(cables);
        self.note(Who::World, "mended");
        Ok(())
    }

    /// An orderly shutdown: the node steps down as proposer, and the process ends a moment later.
    fn shut_down(&mut self, node: usize) -> Step {
        let life = self.life(node);
        let Some(process) = self.nodes[node].process.as_mut().filter(|process| !process.leaving) else { return Ok(()) };
        process.leaving = true;
        self.tally.shutdowns += 1;
        self.note(Who::Node(node), "shuts down");
        let delay = self.random.between(1_000, 50_000);
        self.schedule.after(delay, Event::Leave(life));
        self.step(node, Input::Leave)
    }

    pub(crate) fn on_left(&mut self, life: crate::world::Life) -> Step {
        if self.is_alive(life) {
            self.crash(life.node, End::Killed);
        }
        Ok(())
    }

    pub(crate) fn on_room_again(&mut self, node: usize) -> Step {
        self.nodes[node].full = false;
        self.nodes[node].disk.full(None);
        self.note(Who::Node(node), "disk has room");
        Ok(())
    }

    pub(crate) fn fill_disk(&mut self, node: usize) {
        let room = self.random.below(5_000);
        let used = self.nodes[node].disk.used();
        self.nodes[node].disk.full(Some(used + room));
    }

    /// The disk fails at one of the next operations, which ends the process there: any of them, one that writes, or the
    /// next that needs more room, of which it then gets nothing at all (a write that fails has mostly written a part).
    fn arm(&mut self, node: usize, operations_max: u64) {
        let operations = self.random.below(operations_max);
        let disk = &self.nodes[node].disk;
        match self.random.below(3) {
            0 => disk.fail_once_after(operations, ErrorKind::Other),
            1 => disk.fail_once_after(operations, ErrorKind::StorageFull),
            _ => disk.full(Some(disk.used())),
        }
        self.nodes[node].armed = true;
        self.note(Who::Node(node), "armed");
    }

    /// A start, too, may end at any operation of the disk; the first one more often, for a directory is made only once.
    pub(crate) fn arm_start(&mut self, node: usize) {
        let chance = if self.nodes[node].boot == 0 { 600 } else { 100 };
        if self.has(Fault::CrashAtDiskOperation) && self.random.chance(chance) {
            self.arm(node, 40);
        }
    }

    /// A disk that has just been written to for the first time is without room a moment later, now and then.
    pub(crate) fn arm_first_steps(&mut self, node: usize) {
        if self.has(Fault::CrashAtDiskOperation) && self.nodes[node].boot == 1 && self.random.chance(300) {
            self.arm(node, 20);
        }
    }

    /// And so may a fold.
    pub(crate) fn arm_fold(&mut self, node: usize) {
        if self.has(Fault::CrashAtDiskOperation) && self.random.chance(150) {
            self.arm(node, 25);
        }
    }

    /// How long a trouble lasts.
    pub(crate) fn trouble_time(&mut self) -> u64 {
        if self.is_troubled() {
            let (shortest, longest) = self.plan.trouble_us;
            self.random.between(shortest, longest.max(shortest))
        } else {
            1_000
        }
    }

    fn note(&mut self, who: Who, what: &'static str) {
        self.trace.event(self.schedule.now_us(), who, what, &[], String::new);
    }
}
