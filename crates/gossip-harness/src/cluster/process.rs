//! One node's process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::watchdog::Watchdog;

/// A process that runs, or not.
#[derive(Debug)]
pub struct Process {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    dog: Arc<Watchdog>,
    child: Option<Child>,
    paused: bool,
    /// Set when it ended and nobody asked it to.
    died: Option<String>,
}

impl Process {
    /// A process that is not started yet. Its output is appended to `log`.
    pub fn new(name: String, binary: PathBuf, arguments: Vec<String>, log: PathBuf, dog: Arc<Watchdog>) -> Process {
        Process { name, binary, arguments, log, dog, child: None, paused: false, died: None }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.is_up() {
            bail!("{} runs already", self.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log: File = log.with_context(|| format!("opening {}", self.log.display()))?;
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Its own group: a Ctrl-C at the terminal is ours to handle.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        if let Some(pid) = child.id() {
            self.dog.add(pid);
        }
        self.child = Some(child);
        self.paused = false;
        Ok(())
    }

    /// Replaces the arguments of the next start.
    pub fn set_arguments(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
    }

    /// Whether it runs. A process that ended by itself is noted on the way.
    pub fn is_up(&mut self) -> bool {
        let Some(child) = self.child.as_mut() else { return false };
        let pid = child.id();
        match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                self.died = Some(format!("{} ended by itself: {status}", self.name));
                self.forget(pid);
                false
            }
            Err(error) => {
                self.died = Some(format!("{} cannot be watched: {error}", self.name));
                self.forget(pid);
                false
            }
        }
    }

    fn forget(&mut self, pid: Option<u32>) {
        if let Some(pid) = pid {
            self.dog.remove(pid);
        }
        self.child = None;
        self.paused = false;
    }

    /// Whether it is stopped by a signal, by our own book.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Why it ended, if nobody asked it to. Told once.
    pub fn take_death(&mut self) -> Option<String> {
        self.is_up();
        self.died.take()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.child.as_ref().and_then(Child::id) else { bail!("{} does not run", self.name) };
        kill(Pid::from_raw(pid as i32), signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// SIGKILL, and waits for the end. Answers how it ended.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> Result<std::process::ExitStatus> {
        self.is_up();
        self.signal(Signal::SIGKILL)?;
        self.wait(Duration::from_secs(10)).await
    }

    /// SIGTERM, and waits for the end: a clean stop.
    ///
    /// # Errors
    /// When it does not run or does not end in time.
    pub async fn terminate(&mut self, patience: Duration) -> Result<std::process::ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        if self.paused {
            self.signal(Signal::SIGCONT)?;
        }
        self.wait(patience).await
    }

    async fn wait(&mut self, patience: Duration) -> Result<std::process::ExitStatus> {
        let Some(child) = self.child.as_mut() else { bail!("{} does not run", self.name) };
        let pid = child.id();
        let Ok(status) = timeout(patience, child.wait()).await else {
            bail!("{} did not end within {patience:?}", self.name)
        };
        self.forget(pid);
        Ok(status?)
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        self.paused = true;
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::SIGCONT)?;
        self.paused = false;
        Ok(())
    }

    /// Whether the system says that it is stopped.
    pub fn is_seen_stopped(&self) -> bool {
        let Some(pid) = self.child.as_ref().and_then(Child::id) else { return false };
        match state_of(pid) {
            Ok(state) => state == 'T',
            // Without /proc the signal's own success has to do.
            Err(_) => !Path::new("/proc/self/stat").exists(),
        }
    }
}

/// The state letter of `/proc/PID/stat`, behind the name in parentheses, which may itself hold some.
fn state_of(pid: u32) -> io::Result<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.ok_or_else(|| io::Error::other("no state in /proc/PID/stat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, folder: &Path) -> Process {
        let dog = Arc::new(Watchdog::start().unwrap());
        let arguments = vec!["-c".into(), script.into()];
        Process::new("p".into(), "/bin/sh".into(), arguments, folder.join("log"), dog)
    }

    #[tokio::test]
    async fn pause_is_seen_and_kill_works_on_a_stopped_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sh("while :; do sleep 0.05; done", folder.path());
        process.start().unwrap();
        process.pause().unwrap();
        while !process.is_seen_stopped() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(process.is_up() && process.is_paused());
        process.kill().await.unwrap();
        assert!(!process.is_up() && !process.is_paused());
        assert_eq!(process.take_death(), None, "a death that was asked for is none");
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sh("exit 3", folder.path());
        process.start().unwrap();
        while process.is_up() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(process.take_death().unwrap(), "p ended by itself: exit status: 3");
        assert_eq!(process.take_death(), None);
        process.start().unwrap();
    }

    #[tokio::test]
    async fn output_is_appended_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sh("echo once; sleep 60", folder.path());
        for _ in 0..2 {
            process.start().unwrap();
            while fs::read_to_string(folder.path().join("log")).unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            process.kill().await.unwrap();
        }
        assert_eq!(fs::read_to_string(folder.path().join("log")).unwrap(), "once\nonce\n");
    }
}
