//! The load: every worker runs lease cycles until the time is up; each step is one operation.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// Checkpoints of one cycle.
pub(crate) const CHECKPOINTS: u64 = 8;

/// One operation of a cycle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Take the lease.
    Acquire,
    /// Move the cursor, the nth time.
    Checkpoint(u64),
    /// Give the lease back.
    Release,
}

/// A worker that can run the steps against some service.
pub(crate) trait Cycle: Send + 'static {
    /// Runs one step and returns when the service says it is durable.
    fn step(&mut self, step: Step) -> impl Future<Output = Result<()>> + Send;
}

/// What one run of the load showed.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Concurrent workers.
    pub(crate) workers: usize,
    /// Operations in the measured time.
    pub(crate) operations: u64,
    /// The measured time.
    pub(crate) elapsed: Duration,
    /// Microseconds an operation.
    pub(crate) latency: Histogram<u64>,
}

impl Figures {
    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency at `quantile`, in milliseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Runs cycles on every worker for `warm_up`, which does not count, and then for `measured`.
pub(crate) async fn run<C: Cycle>(workers: Vec<C>, warm_up: Duration, measured: Duration) -> Result<Figures> {
    let count = workers.len();
    let start = Instant::now() + warm_up;
    let end = start + measured;
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(cycles(worker, start, end));
    }
    let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    while let Some(done) = tasks.join_next().await {
        latency.add(done??)?;
    }
    Ok(Figures { workers: count, operations: latency.len(), elapsed: measured, latency })
}

async fn cycles<C: Cycle>(mut worker: C, start: Instant, end: Instant) -> Result<Histogram<u64>> {
    let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    let mut written = 0;
    while Instant::now() < end {
        let mut steps = vec![Step::Acquire];
        steps.extend((0..CHECKPOINTS).map(|n| Step::Checkpoint(written + n)));
        steps.push(Step::Release);
        written += CHECKPOINTS;
        for step in steps {
            let sent = Instant::now();
            worker.step(step).await?;
            let done = Instant::now();
            if sent >= start && done <= end {
                latency.record((done - sent).as_micros() as u64)?;
            }
        }
    }
    Ok(latency)
}
