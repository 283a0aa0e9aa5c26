//! One direction of one connection.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{Either, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::{Counters, Rule, Way};

const CHUNK: usize = 16 * 1024;
/// Chunks under way in a slow direction before the reader is held back.
const QUEUE: usize = 256;

/// Whether a connection lost bytes and so cannot go on.
#[derive(Debug, Default)]
pub(super) struct Taint(AtomicBool);

impl Taint {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ends when the connection must be reset: it lost bytes, and neither way loses any now.
    pub(super) async fn doom(&self, mut rule: watch::Receiver<Rule>) {
        loop {
            let now = *rule.borrow_and_update();
            if self.0.load(Ordering::Relaxed) && !now.forward.blocks() && !now.backward.blocks() {
                return;
            }
            if rule.changed().await.is_err() {
                return;
            }
        }
    }
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

/// How one direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its sender closed it, and everything that was under way has arrived: the other direction goes on.
    Closed,
    /// Torn, or a side broke: nothing more passes, either way.
    Broken,
}

/// Carries bytes from `from` to `to` as the rule in force says, until either side closes or the connection is torn.
pub(super) async fn pump(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    rule: watch::Receiver<Rule>,
    way: impl Fn(Rule) -> Way,
    taint: &Taint,
    counters: &Counters,
) -> Ended {
    let (queue, arriving) = mpsc::channel(QUEUE);
    let (mut ruled, way) = (rule.clone(), &way);
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        // What a tear lets pass is counted from the moment it began.
        let mut budget = None;
        loop {
            let n = match from.read(&mut buffer).await {
                Ok(0) => {
                    // A cut link loses the farewell as well, until it heals. Then what is in the queue arrives, and the writer ends.
                    let _ = ruled.wait_for(|rule| way(*rule) != Way::Drop).await;
                    return Ended::Closed;
                }
                Err(_) => return Ended::Broken,
                Ok(n) => n,
            };
            let now = way(*ruled.borrow());
            if !matches!(now, Way::Tear { .. }) {
                budget = None;
            }
            let (due, n, torn) = match now {
                Way::Pass | Way::Throttle(_) => (Instant::now(), n, false),
                Way::Delay(by) => {
                    Counters::add(&counters.slowed, n);
                    (Instant::now() + by, n, false)
                }
                Way::Drop => {
                    Counters::add(&counters.dropped, n);
                    taint.set();
                    continue;
                }
                Way::Tear { after } => {
                    let left = budget.get_or_insert(after);
                    let pass = (*left).min(n as u64);
                    *left -= pass;
                    (Instant::now(), pass as usize, pass < n as u64)
                }
            };
            if n > 0 && queue.send(Chunk { due, bytes: buffer[..n].to_vec() }).await.is_err() {
                return Ended::Broken;
            }
            if torn {
                Counters::add(&counters.torn, 1);
                // The last bytes are under way.
                sleep(Duration::from_millis(2)).await;
                return Ended::Broken;
            }
        }
    };
    let (reading, writing) = (pin!(reading), pin!(writing(arriving, to, &rule, way, counters)));
    match select(reading, writing).await {
        Either::Left((Ended::Closed, writing)) => writing.await,
        Either::Left((Ended::Broken, _)) => Ended::Broken,
        Either::Right((ended, _)) => ended,
    }
}

async fn writing(
    mut arriving: mpsc::Receiver<Chunk>,
    mut to: OwnedWriteHalf,
    rule: &watch::Receiver<Rule>,
    way: impl Fn(Rule) -> Way,
    counters: &Counters,
) -> Ended {
    while let Some(Chunk { due, bytes }) = arriving.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let now = way(*rule.borrow());
            let part = match now {
                Way::Throttle(rate) => {
                    // Fiftieths of a second.
                    let part = rest.len().min((rate / 50).max(1) as usize);
                    Counters::add(&counters.slowed, part);
                    sleep(Duration::from_secs_f64(part as f64 / rate.max(1) as f64)).await;
                    part
                }
                _ => rest.len(),
            };
            if to.write_all(&rest[..part]).await.is_err() {
                return Ended::Broken;
            }
            Counters::add(&counters.passed, part);
            rest = &rest[part..];
        }
    }
    // Only this direction: a client that has said all may still wait for the answer.
    if to.shutdown().await.is_err() { Ended::Broken } else { Ended::Closed }
}

/// Holds a connection that never gets an answer, until the link heals or the caller gives up.
pub(super) async fn swallow(mut near: TcpStream, rule: &mut watch::Receiver<Rule>, counters: &Counters) {
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            read = near.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => Counters::add(&counters.dropped, n),
            },
            changed = rule.changed() => {
                if changed.is_err() || !rule.borrow_and_update().forward.blocks() {
                    return;
                }
            }
        }
    }
}
