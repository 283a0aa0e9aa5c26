//! Kills what this process started, also when this process is killed.
//!
//! A `sh` of its own process group reads from a pipe which processes there are. When the pipe closes, which the kernel sees to
//! however the writer ends, it kills those that are left. SIGKILL also ends a stopped process, which could not watch for
//! itself.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result};

const SCRIPT: &str = r#"
pids=" "
while read -r verb pid; do
  case "$verb" in
    add) pids="$pids$pid " ;;
    del) pids="${pids%% "$pid" *} ${pids#* "$pid" }" ;;
  esac
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
"#;

/// The watching shell.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Watchdog {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no `sh`.
    pub fn start() -> Result<Watchdog> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal goes to the foreground group only.
            .process_group(0)
            .spawn()
            .context("starting the watchdog (sh)")?;
        let pipe = Mutex::new(child.stdin.take());
        Ok(Watchdog { child, pipe })
    }

    /// From now on this process dies with us.
    pub fn add(&self, pid: u32) {
        self.say("add", pid);
    }

    /// This process has ended; its number may be given to another.
    pub fn remove(&self, pid: u32) {
        self.say("del", pid);
    }

    fn say(&self, verb: &str, pid: u32) {
        let mut pipe = self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(pipe) = pipe.as_mut() {
            // A watchdog that has gone cannot be told; our own `Drop` still kills.
            let _ = writeln!(pipe, "{verb} {pid}");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pipe.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn closing_the_pipe_kills_those_that_are_left_and_only_those() {
        let (mut gone, mut left, mut other) = (sleeper(), sleeper(), sleeper());
        let dog = Watchdog::start().unwrap();
        for child in [&left, &gone, &other] {
            dog.add(child.id());
        }
        dog.remove(gone.id());
        drop(dog);
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(left.wait().unwrap().signal(), Some(9));
        assert_eq!(other.wait().unwrap().signal(), Some(9));
        assert!(gone.try_wait().unwrap().is_none(), "a process that was taken back must live");
        gone.kill().unwrap();
        gone.wait().unwrap();
    }
}
