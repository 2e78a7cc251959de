//! Standard output and standard error of a command.
//!
//! The macros of this name in the standard library panic when nobody reads any more (`rialto history | head`). These take
//! their place in the whole crate: when the reader of standard output has gone, the process ends quietly with the code that
//! a shell shows for a program that SIGPIPE ended; when standard error cannot be written, the words are lost and the command
//! goes on, because its exit code still tells. SIGPIPE itself stays ignored: a connection that a node has closed must be an
//! error of that call, and not the end of the process.
//!
//! Whatever passes through here may hold what others wrote, so it is written as [`printable`] has it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process;

use crate::failure::{Code, Failure};
use crate::plain::printable;

/// A line on standard output.
macro_rules! println {
    () => { $crate::out::line(::std::format_args!("")) };
    ($($argument:tt)*) => { $crate::out::line(::std::format_args!($($argument)*)) };
}

/// Words on standard output, which are seen at the next line or flush.
macro_rules! print {
    ($($argument:tt)*) => { $crate::out::words(::std::format_args!($($argument)*)) };
}

/// A line on standard error.
macro_rules! eprintln {
    () => { $crate::out::error_line(::std::format_args!("")) };
    ($($argument:tt)*) => { $crate::out::error_line(::std::format_args!($($argument)*)) };
}

pub(crate) fn line(text: fmt::Arguments<'_>) {
    let written = writeln!(io::stdout().lock(), "{}", printable(&text.to_string()));
    written.unwrap_or_else(|error| give_up(&error));
}

pub(crate) fn words(text: fmt::Arguments<'_>) {
    let written = write!(io::stdout().lock(), "{}", printable(&text.to_string()));
    written.unwrap_or_else(|error| give_up(&error));
}

pub(crate) fn error_line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(&text.to_string()));
}

/// How wide a line may be on standard output: as wide as the terminal is, and without an end where a program reads.
pub(crate) fn columns() -> usize {
    if !io::stdout().is_terminal() {
        return usize::MAX;
    }
    rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col.max(20)))
}

/// Ends the process: what it has to say cannot be said. Whatever it keeps on disk is as after a kill, which loses nothing.
fn give_up(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(i32::from(Code::OutputClosed.number()));
    }
    let failure = Failure::new(format!("writing to standard output: {error}"));
    failure.print();
    process::exit(i32::from(failure.code().number()));
}
