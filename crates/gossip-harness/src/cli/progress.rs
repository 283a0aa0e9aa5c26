//! What a run says while it goes on: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// Between two plain lines.
const PLAIN: Duration = Duration::from_secs(10);

/// Speaks to stderr, so that stdout holds the report alone.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    /// For a single run.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("[{bar:40}] {pos}/{len} s  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Progress { bar, quiet: false }
    }

    /// Says nothing: one of many runs.
    pub fn quiet() -> Self {
        Progress { bar: None, quiet: true }
    }

    /// One line.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None if self.quiet => {}
            None => eprintln!("{line}"),
        }
    }

    /// Shows how far the load is. Never ends by itself.
    pub async fn follow(&self, begun: Instant, limit: Duration, counts: impl Fn() -> [u64; 3]) {
        if self.quiet {
            return std::future::pending().await;
        }
        if let Some(bar) = &self.bar {
            bar.set_length(limit.as_secs());
        }
        let mut next = PLAIN;
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let elapsed = begun.elapsed();
            let [ok, fail, info] = counts();
            let line = format!("{} operations ({ok} ok, {fail} fail, {info} info)", ok + fail + info);
            match &self.bar {
                Some(bar) => {
                    bar.set_position(elapsed.as_secs().min(limit.as_secs()));
                    bar.set_message(line);
                }
                None if elapsed >= next => {
                    eprintln!("  {:3.0} s of {} s: {line}", elapsed.as_secs_f64(), limit.as_secs());
                    next += PLAIN;
                }
                None => {}
            }
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
