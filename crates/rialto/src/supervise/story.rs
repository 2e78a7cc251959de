//! Sentences about what happened, one line each, in one tone: what, why as far as known, what comes next.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::status::Mode;

use super::child::Ending;
use super::fleet::Fate;

/// `12:04:31Z`: UTC, like the nodes' logs.
pub(crate) fn clock(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A node as people call it: with its bank where there is more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who(String);

impl Who {
    pub(crate) fn new(bank: &str, node: u16, only_bank: bool) -> Who {
        Who(if only_bank { format!("node {node}") } else { format!("{bank} node {node}") })
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of the group when its leader died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Succession {
    /// It was not the leader.
    NotNeeded,
    Leads {
        who: Who,
        after: Duration,
    },
    NobodyYet,
}

/// `node 1 died (SIGKILL); node 3 leads after 84 ms; node 1 starts again in 5 s`
pub(crate) fn ended(
    who: &Who,
    ending: Ending,
    complaint: Option<&str>,
    succession: &Succession,
    fate: &Fate,
) -> String {
    let what = match (fate, complaint) {
        (Fate::ShutDown, _) => format!("{who} was told to shut down"),
        (Fate::Stopped, _) => format!("{who} stopped"),
        (Fate::Left, _) => format!("{who} belongs to the bank no longer and has stopped"),
        (Fate::Again { .. } | Fate::StaysDown, None) => format!("{who} died ({ending})"),
        (Fate::Again { .. } | Fate::StaysDown, Some(why)) => {
            format!("{who} died ({ending}): {}", why.replace('\n', "; "))
        }
    };
    let then = match succession {
        Succession::NotNeeded => String::new(),
        Succession::Leads { who, after } => format!("; {who} leads after {} ms", after.as_millis()),
        Succession::NobodyYet => "; nobody leads yet".to_owned(),
    };
    let next = match fate {
        Fate::Again { after } => format!("; {who} starts again in {} s", after.as_secs()),
        Fate::StaysDown => format!("; {who} stays down (--no-restart)"),
        Fate::ShutDown => format!("; {who} stays down until `rialto up` runs again"),
        Fate::Stopped | Fate::Left => String::new(),
    };
    format!("{what}{then}{next}")
}

/// The same end, for the same reason, before it was ever ready: said once more, and then only shown.
pub(crate) fn ends_again(who: &Who) -> String {
    format!("{who} ended again for the same reason; it is started again and again, and that is not told any more")
}

/// A process runs and answers nothing.
pub(crate) fn hangs(who: &Who, pid: u32) -> String {
    format!("{who} says nothing any more, though its process ({pid}) runs: it hangs, or has been stopped")
}

/// The log says so from now on.
pub(crate) fn mode_is(bank: &str, mode: Mode) -> String {
    format!("bank {bank} is in {} mode now", mode.text())
}

/// The leader changed though nobody died.
pub(crate) fn leads(who: &Who, before: Option<&Who>) -> String {
    match before {
        Some(before) => format!("{who} leads, {before} did"),
        None => format!("{who} leads"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(node: u16) -> Who {
        Who::new("alpha", node, true)
    }

    #[test]
    fn the_death_of_a_leader_is_one_line() {
        let succession = Succession::Leads { who: who(3), after: Duration::from_millis(84) };
        let again = Fate::Again { after: Duration::from_secs(5) };
        assert_eq!(
            ended(&who(1), Ending::Signal(9), None, &succession, &again),
            "node 1 died (SIGKILL); node 3 leads after 84 ms; node 1 starts again in 5 s"
        );
    }

    #[test]
    fn each_fate_says_what_comes_next() {
        let line =
            |fate: &Fate| ended(&who(2), Ending::Code(5), Some("the disk is full"), &Succession::NotNeeded, fate);
        assert_eq!(
            line(&Fate::StaysDown),
            "node 2 died (exit code 5): the disk is full; node 2 stays down (--no-restart)"
        );
        assert_eq!(
            line(&Fate::ShutDown),
            "node 2 was told to shut down; node 2 stays down until `rialto up` runs again"
        );
        assert_eq!(line(&Fate::Stopped), "node 2 stopped");
    }

    #[test]
    fn with_several_banks_a_node_is_called_by_its_bank_too() {
        assert_eq!(
            leads(&Who::new("beta", 1, false), Some(&Who::new("beta", 2, false))),
            "beta node 1 leads, beta node 2 did"
        );
    }

    #[test]
    fn the_clock_is_utc() {
        assert_eq!(clock(UNIX_EPOCH + Duration::from_secs(86_400 * 3 + 43_471)), "12:04:31Z");
    }
}
