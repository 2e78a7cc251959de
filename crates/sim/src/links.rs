//! Connections as the nodes see them: dialled, found lost at once or after a silence, dialled again.

use crate::node::Process;
use crate::world::{End, Event, Life, Step, World};
use replica::Input;

/// A cable that is cut is noticed by whoever is connected over it after so long, in microseconds, if at all.
const SILENCE_US: (u64, u64) = (40_000, 400_000);

impl World {
    /// Dials within that time, unless that pair is being dialled already.
    pub(crate) fn dial_soon(&mut self, a: usize, b: usize, within_us: u64) {
        let (a, b) = (a.min(b), a.max(b));
        let dialing = &mut self.dialing[a * self.plan.machines + b];
        if !std::mem::replace(dialing, true) {
            let delay = self.random.below(within_us);
            self.schedule.after(delay, Event::Dial { a, b });
        }
    }

    pub(crate) fn on_dial(&mut self, a: usize, b: usize) -> Step {
        self.dialing[a * self.plan.machines + b] = false;
        if !self.nodes[a].is_up() || !self.nodes[b].is_up() || self.network.is_connected(a, b) {
            // Whoever starts later dials then.
            return Ok(());
        }
        if !self.network.connect(a, b) {
            self.dial_soon(a, b, 40_000);
            return Ok(());
        }
        for (node, peer) in [(a, b), (b, a)] {
            // A process is told of the end of the old connection before it is told of the new one.
            self.tell(node, peer, Told::Lost)?;
            self.tell(node, peer, Told::Connected)?;
        }
        Ok(())
    }

    /// Breaks a connection; each side finds out a little later, and dials again.
    pub(crate) fn break_connection(&mut self, a: usize, b: usize) {
        let generation = self.network.generation(a, b);
        if !self.network.disconnect(a, b) {
            return;
        }
        for (node, peer) in [(a, b), (b, a)] {
            let delay = self.random.between(50, 3_000);
            let event = Event::Lost { node: self.life(node), peer, generation };
            self.schedule.after(delay, event);
        }
        self.dial_soon(a, b, 50_000);
    }

    /// The process is gone: its peers hear of it at once from a machine that still runs, later from one without power.
    pub(crate) fn close_connections(&mut self, node: usize, end: End) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            let generation = self.network.generation(node, peer);
            if self.network.disconnect(node, peer) {
                let delay = match end {
                    End::Killed => self.random.between(50, 3_000),
                    End::PowerLoss => self.random.between(50, SILENCE_US.1),
                };
                let event = Event::Lost { node: self.life(peer), peer: node, generation };
                self.schedule.after(delay, event);
            }
        }
    }

    pub(crate) fn on_lost(&mut self, life: Life, peer: usize, generation: u32) -> Step {
        let is_news = self.network.generation(life.node, peer) == generation;
        if self.is_alive(life) && is_news { self.tell(life.node, peer, Told::Lost) } else { Ok(()) }
    }

    /// The cable under these connections was cut: most are given up after a silence.
    pub(crate) fn go_silent(&mut self, cables: &[(usize, usize)]) {
        for (from, to) in cables {
            let (a, b) = (*from.min(to), *from.max(to));
            if self.network.is_connected(a, b) && self.random.chance(700) {
                let generation = self.network.generation(a, b);
                let delay = self.random.between(SILENCE_US.0, SILENCE_US.1);
                self.schedule.after(delay, Event::Silent { a, b, generation });
            }
        }
    }

    pub(crate) fn on_silent(&mut self, a: usize, b: usize, generation: u32) -> Step {
        let is_cut = self.network.is_cut(a, b) || self.network.is_cut(b, a);
        if is_cut && self.network.generation(a, b) == generation {
            self.break_connection(a, b);
        }
        Ok(())
    }

    fn tell(&mut self, node: usize, peer: usize, what: Told) -> Step {
        let id = self.nodes[peer].id;
        let Some(process) = self.nodes[node].process.as_mut() else { return Ok(()) };
        let was_connected = process.set_connected(peer, what == Told::Connected);
        match what {
            Told::Connected => self.step(node, Input::Connected(id)),
            Told::Lost if was_connected => self.step(node, Input::Disconnected(id)),
            Told::Lost => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Connected,
    Lost,
}

impl Process {
    /// Notes what the process was last told of its connection to that peer, and says what it was told before.
    fn set_connected(&mut self, peer: usize, connected: bool) -> bool {
        std::mem::replace(&mut self.connected[peer], connected)
    }
}
