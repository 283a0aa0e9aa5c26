//! Fail-over: the leader is killed or stopped, and a client tries the others until one carries an acquire out.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use crate::load::{Cycle, Step};
use crate::services::{FAILOVER_SHARDS, Service};

/// A client gives one try this long.
const TRY: Duration = Duration::from_millis(100);

/// Measures `times` fail-overs of each kind and prints them.
pub(crate) async fn measure<S: Service>(name: &str, times: usize) -> Result<()> {
    for (label, signal) in [("kill -9", Signal::SIGKILL), ("SIGSTOP", Signal::SIGSTOP)] {
        let mut taken = Vec::new();
        for _ in 0..times {
            taken.push(once::<S>(signal).await?.as_millis());
        }
        taken.sort_unstable();
        println!("  {name:10} {label:8} {:6} {:6}", taken[taken.len() / 2], taken[taken.len() - 1]);
    }
    Ok(())
}

async fn once<S: Service>(signal: Signal) -> Result<Duration> {
    let service = S::start(FAILOVER_SHARDS).await?;
    // The followers settle and every connection between them is up.
    sleep(Duration::from_millis(500)).await;
    let leader = service.leader().await?;
    let others: Vec<String> = service.endpoints().into_iter().filter(|endpoint| *endpoint != leader).collect();
    service.signal(&leader, signal)?;
    let started = Instant::now();
    for round in 1.. {
        for endpoint in &others {
            let attempt = async {
                let mut worker = service.worker_at(endpoint, round).await?;
                worker.step(Step::Acquire).await
            };
            if let Ok(Ok(())) = timeout(TRY, attempt).await {
                return Ok(started.elapsed());
            }
        }
        if started.elapsed() > Duration::from_secs(30) {
            bail!("no fail-over within 30 s");
        }
        sleep(Duration::from_millis(5)).await;
    }
    unreachable!("the rounds have no end")
}
