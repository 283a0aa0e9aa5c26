//! Standard output of the tools that print verdicts.
//!
//! Whoever reads it may have read enough, as `head` and a pager that was left: the tool goes on and its exit code still tells the
//! verdict. A `println!` would end it with a panic in the middle of a run.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

/// Prints a line.
pub fn line(line: impl Display) {
    text(format_args!("{line}\n"));
}

/// Prints `text` as it is.
pub fn text(text: impl Display) {
    let mut out = stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => eprintln!("cannot write to standard output: {error}"),
        _ => {}
    }
}
