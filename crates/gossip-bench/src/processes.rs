//! The servers under test: child processes in a temporary folder, gone when the bench is.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child process that is killed with its owner.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where clients reach it.
    pub(crate) endpoint: String,
}

impl Server {
    /// Starts `command`, its output in `log`.
    pub(crate) fn start(mut command: Command, endpoint: String, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Server { child, endpoint })
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal).context("cannot signal a server")
    }

    /// User and system time it has used so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The command's name stands in brackets and may hold spaces; utime and stime are the 12th and 13th field after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).context("an unknown form of /proc/PID/stat");
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped process dies of SIGKILL as well. Both calls fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `count` loopback addresses that nobody listens on.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<String>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    listeners.iter().map(|l| Ok(l.local_addr()?.to_string())).collect()
}

/// The program `name` beside this one.
pub(crate) fn sibling(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    path.exists().then_some(path).with_context(|| format!("{name} is not built: run `make build` first"))
}

/// The program `name` on the PATH, if it is there.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}
