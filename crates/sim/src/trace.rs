//! What happened in a run, twice: as a hash, so that two runs of one seed can be compared cheaply, and, when asked for,
//! as lines that a person can follow: virtual time, node, what.
//!
//! The hash is over numbers, not over the lines, so that a run costs the same whether or not somebody reads along, and
//! has the same hash.

/// Who an event happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A node, numbered from 0 here and shown from 1.
    Node(usize),
    Client(usize),
    /// The world around: cables, power, the run itself.
    World,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Nothing,
    Lines,
}

#[derive(Debug)]
pub struct Trace {
    hash: u64,
    show: Show,
}

impl Trace {
    pub fn new(show: Show) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, show }
    }

    /// One event. `numbers` go into the hash; `detail` is only asked for when lines are shown.
    pub fn event(
        &mut self,
        now_us: u64,
        who: Who,
        what: &'static str,
        numbers: &[u64],
        detail: impl FnOnce() -> String,
    ) {
        self.unseen(now_us, who, what, numbers);
        if self.show == Show::Lines {
            println!(
                "{:>4}.{:03} {:03}  {:<9} {what:<12} {}",
                now_us / 1_000_000,
                now_us / 1000 % 1000,
                now_us % 1000,
                who.name(),
                detail()
            );
        }
    }

    /// An event that is in the hash only: so frequent that its lines would hide all others.
    pub fn unseen(&mut self, now_us: u64, who: Who, what: &'static str, numbers: &[u64]) {
        self.mix(now_us);
        self.mix(who.number());
        what.bytes().for_each(|byte| self.mix(u64::from(byte)));
        numbers.iter().for_each(|number| self.mix(*number));
    }

    /// Equal for two runs in which the same things happened at the same times.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }
}

impl Who {
    fn number(self) -> u64 {
        match self {
            Who::Node(node) => node as u64,
            Who::Client(client) => 1000 + client as u64,
            Who::World => 2000,
        }
    }

    fn name(self) -> String {
        match self {
            Who::Node(node) => format!("node {}", node + 1),
            Who::Client(client) => format!("client {client}"),
            Who::World => "·".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(events: &[(u64, &'static str, u64)]) -> u64 {
        let mut trace = Trace::new(Show::Nothing);
        for (at, what, number) in events {
            trace.event(*at, Who::World, what, &[*number], String::new);
        }
        trace.hash()
    }

    #[test]
    fn the_hash_notices_time_kind_number_and_order() {
        let base = hash_of(&[(1, "cut", 7), (2, "mend", 8)]);
        assert_ne!(base, hash_of(&[(1, "cut", 7), (3, "mend", 8)]));
        assert_ne!(base, hash_of(&[(1, "cut", 7), (2, "mind", 8)]));
        assert_ne!(base, hash_of(&[(1, "cut", 9), (2, "mend", 8)]));
        assert_ne!(base, hash_of(&[(2, "mend", 8), (1, "cut", 7)]));
        assert_eq!(base, hash_of(&[(1, "cut", 7), (2, "mend", 8)]));
    }
}
