//! The terminal, as the editor of lines sees it: one that gives text only.
//!
//! ```text
//!   keyboard ── the terminal ── pump (marks what is no text) ── a terminal between ── the editor, on standard input
//! ```
//!
//! The editor gives up in the middle of a line at a byte that is not UTF-8, and with it goes all that it has read ahead: the
//! line's end, and whole lines behind it. So while a line is being typed its standard input is another terminal, into which
//! only text is written. While a command runs, everything is as it was: echo, signals, the prompt of a password.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::dup2_stdin;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::marks::Marker;

/// The editor suspends the process within that time of being told to.
const SUSPENDS: Duration = Duration::from_millis(100);

/// The terminal that people sit at, and its settings from before.
#[derive(Debug)]
pub(super) struct Seat {
    terminal: OwnedFd,
    before: Termios,
}

impl Seat {
    /// That of standard input.
    pub(super) fn take() -> io::Result<Seat> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        Ok(Seat { terminal, before })
    }

    /// Gives it back as it was.
    pub(super) fn restore(&self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }

    /// Every key as it is pressed. What is printed is treated as before.
    fn keys(&self) -> Termios {
        let mut keys = self.before.clone();
        keys.input_modes -=
            InputModes::BRKINT | InputModes::ICRNL | InputModes::INPCK | InputModes::ISTRIP | InputModes::IXON;
        keys.control_modes |= ControlModes::CS8;
        keys.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        keys
    }
}

/// The terminal between.
pub(super) struct Between {
    seat: Arc<Seat>,
    /// Where the editor reads.
    editors: OwnedFd,
    /// Where text is written for it; none when the keyboard has gone.
    into: Option<OwnedFd>,
    marker: Marker,
    /// What is to be written yet.
    text: Vec<u8>,
}

impl Between {
    pub(super) fn new(seat: Arc<Seat>) -> io::Result<Between> {
        let into = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&into)?;
        unlockpt(&into)?;
        let editors = ioctl_tiocgptpeer(&into, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        tcsetattr(&editors, OptionalActions::Now, &seat.keys())?;
        rustix::io::ioctl_fionbio(&into, true)?;
        Ok(Between { seat, editors, into: Some(into), marker: Marker::default(), text: Vec::new() })
    }

    /// Does something that reads a line from standard input, which is text.
    pub(super) fn during<T>(&mut self, read: impl FnOnce() -> T) -> io::Result<T> {
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let seat = self.seat.clone();
        dup2_stdin(&self.editors)?;
        let given = tcsetattr(&seat.terminal, OptionalActions::Now, &seat.keys()).map(|()| {
            std::thread::scope(|scope| {
                scope.spawn(|| self.pump(&stopped));
                let given = read();
                drop(stop);
                given
            })
        });
        seat.restore();
        dup2_stdin(&seat.terminal)?;
        Ok(given?)
    }

    /// Carries over what is typed until it is told to stop, or nobody types any more.
    fn pump(&mut self, stopped: &OwnedFd) {
        while let Some(into) = &self.into {
            let next = match self.text.is_empty() {
                true => PollFd::new(&self.seat.terminal, PollFlags::IN),
                false => PollFd::new(into, PollFlags::OUT),
            };
            let mut ends = [next, PollFd::new(stopped, PollFlags::IN)];
            match poll(&mut ends, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            if !ends[1].revents().is_empty() {
                return;
            }
            let carried = if self.text.is_empty() { self.hear() } else { self.pass_on() };
            match carried {
                Ok(()) | Err(Errno::INTR | Errno::AGAIN) => {}
                // The editor notices that its terminal has gone.
                Err(_) => self.into = None,
            }
        }
    }

    fn hear(&mut self) -> Result<(), Errno> {
        let mut bytes = [0; 1024];
        match rustix::io::read(&self.seat.terminal, &mut bytes)? {
            0 => Err(Errno::IO),
            read => {
                self.text = self.marker.text(&bytes[..read]).into_bytes();
                Ok(())
            }
        }
    }

    fn pass_on(&mut self) -> Result<(), Errno> {
        let Some(into) = &self.into else { return Ok(()) };
        let suspend = self.seat.before.special_codes[SpecialCodeIndex::VSUSP];
        let until = match self.text.iter().position(|byte| *byte == suspend && suspend != 0) {
            // Whoever is at the terminal meanwhile finds it as it was.
            Some(0) => {
                self.seat.restore();
                rustix::io::write(into, &self.text[..1])?;
                self.text.remove(0);
                std::thread::sleep(SUSPENDS);
                return tcsetattr(&self.seat.terminal, OptionalActions::Now, &self.seat.keys());
            }
            Some(at) => at,
            None => self.text.len(),
        };
        let written = rustix::io::write(into, &self.text[..until])?;
        self.text.drain(..written);
        Ok(())
    }
}
