//! What is told while a command waits: a bar on a terminal, a line now and then elsewhere. Always on standard error.

use std::io::{IsTerminal, Write, stderr};

use crate::members::News;
use crate::plain::grouped;
use crate::plain::printable;
use crate::waiting::make_room;

const BAR: u64 = 24;

/// Tells people how far something is.
#[derive(Debug)]
pub(super) struct Teller {
    live: bool,
    /// The tenth that was told last, where there is no terminal.
    tenth: Option<(String, u64)>,
    drawn: bool,
}

impl Teller {
    pub(super) fn new() -> Teller {
        Teller { live: stderr().is_terminal(), tenth: None, drawn: false }
    }

    pub(super) fn tell(&mut self, news: News) {
        match news {
            News::Line(line) => {
                self.rub_out();
                make_room();
                write(&format!("{}\n", printable(&line)));
            }
            News::Progress { doing, done, total } if self.live => {
                self.drawn = true;
                write(&format!("\r\x1b[2K{}", bar(&doing, done, total)));
            }
            News::Progress { doing, done, total } => {
                let tenth = (done.saturating_mul(10)).checked_div(total).unwrap_or(0);
                let now = Some((doing.clone(), tenth));
                if self.tenth != now {
                    self.tenth = now;
                    write(&format!("{doing}: {} % of {}\n", tenth * 10, grouped(total)));
                }
            }
        }
    }

    /// The bar goes before anything else is written.
    pub(super) fn rub_out(&mut self) {
        if std::mem::take(&mut self.drawn) {
            write("\r\x1b[2K");
        }
    }
}

fn bar(doing: &str, done: u64, total: u64) -> String {
    let filled = (done.min(total).saturating_mul(BAR)).checked_div(total).unwrap_or(BAR);
    let (full, empty) = (usize::try_from(filled).unwrap_or(0), usize::try_from(BAR - filled).unwrap_or(0));
    format!("{doing:<28} {}{}  {} of {}", "▇".repeat(full), "·".repeat(empty), grouped(done), grouped(total))
}

/// A terminal that is gone needs no progress.
fn write(text: &str) {
    let mut err = stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(
            bar("node 4 receives the books", 1_500, 3_000),
            "node 4 receives the books    ▇▇▇▇▇▇▇▇▇▇▇▇············  1 500 of 3 000"
        );
        assert!(bar("x", 0, 0).contains(&"▇".repeat(24)), "nothing to do is done");
    }
}
