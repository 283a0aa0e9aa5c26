//! The driver: stdin, stdout, stderr and the clock around a [`Node`].

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use gossip_core::time::Time;

use super::node::Node;

/// Pumps `node` until stdin ends.
///
/// # Errors
/// Stdin cannot be read or stdout not be written.
pub fn run(mut node: Node) -> io::Result<()> {
    eprintln!("process {}", std::process::id());
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
            serde_json::to_writer(&mut stdout, &envelope)?;
            stdout.write_all(b"\n")?;
        }
        stdout.flush()?;
        for line in node.take_log() {
            eprintln!("{line}");
        }
    }
}

/// The next line, or [`RecvTimeoutError::Timeout`] at once when the node is due, however many lines wait.
fn next(lines: &Receiver<io::Result<String>>, within: Duration) -> Result<io::Result<String>, RecvTimeoutError> {
    if within.is_zero() {
        return Err(RecvTimeoutError::Timeout);
    }
    lines.recv_timeout(within.min(Duration::from_secs(3600)))
}

fn read_lines() -> Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
