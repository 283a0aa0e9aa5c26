//! The driver: stdin, stdout, stderr and the clock around a [`Node`].

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use gossip_core::time::Time;

use super::node::Node;

/// Why the process must end before its input does.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Stdin cannot be read or stdout not be written.
    #[error(transparent)]
    Pipe(#[from] io::Error),
    /// The node cannot go on.
    #[error("{0}")]
    Node(String),
}

/// Pumps `node` until stdin ends.
///
/// # Errors
/// It had to stop before.
pub fn run(mut node: Node) -> Result<(), Stopped> {
    say(format_args!("process {}", std::process::id()));
    let start = Instant::now();
    let lines = read_lines();
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    loop {
        let now = Time::ZERO + start.elapsed();
        match next(&lines, node.deadline() - now) {
            Ok(line) => node.line(Time::ZERO + start.elapsed(), &line?),
            Err(RecvTimeoutError::Timeout) => node.wake(Time::ZERO + start.elapsed()),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while let Some(envelope) = node.poll() {
            serde_json::to_writer(&mut stdout, &envelope).map_err(io::Error::from)?;
            stdout.write_all(b"\n")?;
        }
        stdout.flush()?;
        for line in node.take_log() {
            say(format_args!("{line}"));
        }
        if let Some(line) = node.failed() {
            return Err(Stopped::Node(line.to_owned()));
        }
    }
}

/// A line for people. Where nobody can read it, the node goes on without.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The next line, or [`RecvTimeoutError::Timeout`] at once when the node is due, however many lines wait.
fn next(lines: &Receiver<io::Result<Vec<u8>>>, within: Duration) -> Result<io::Result<Vec<u8>>, RecvTimeoutError> {
    if within.is_zero() {
        return Err(RecvTimeoutError::Timeout);
    }
    lines.recv_timeout(within.min(Duration::from_secs(3600)))
}

/// Lines as bytes: one that is no text is the node's to complain of, and no reason to stop reading.
fn read_lines() -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
