//! A TCP proxy on one directed link, which can lose, tear, delay and throttle what passes, and counts what it did.
//!
//! It stands between two processes on one machine, so no rights over the kernel's network are needed. Bytes of a TCP stream
//! cannot be lost and the stream go on: a connection that lost some is reset when the link heals, as a connection dies
//! that was cut for longer than its peers have patience.

mod pump;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::pump::{Ended, Taint, pump, swallow};

/// What happens to bytes that flow one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// They arrive.
    #[default]
    Pass,
    /// They vanish.
    Drop,
    /// So many more arrive on each connection, then it is reset; new connections get no answer.
    Tear {
        /// Bytes that still pass.
        after: u64,
    },
    /// They arrive late, in order.
    Delay(Duration),
    /// They arrive at this many bytes a second.
    Throttle(u64),
}

impl Way {
    /// Whether a new connection is accepted and never answered.
    fn blocks(self) -> bool {
        matches!(self, Way::Drop | Way::Tear { .. })
    }
}

/// The state of a link. `forward` is from the side that dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// From the side that dials to the side that listens.
    pub forward: Way,
    /// Back.
    pub backward: Way,
}

impl Rule {
    /// The same both ways.
    pub fn both(way: Way) -> Self {
        Rule { forward: way, backward: way }
    }
}

/// What a link has done since it was made.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Bytes that arrived, both ways.
    pub passed: AtomicU64,
    /// Bytes that vanished.
    pub dropped: AtomicU64,
    /// Bytes that arrived late or slowly.
    pub slowed: AtomicU64,
    /// Connections reset by a fault.
    pub torn: AtomicU64,
    /// Connections accepted and never answered.
    pub hung: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// How often a fault took an effect on this link: any number above zero shows that it did.
    pub fn effects(&self) -> u64 {
        [&self.dropped, &self.slowed, &self.torn, &self.hung].iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }
}

/// A listening proxy. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    rule: watch::Sender<Rule>,
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// Listens on a free loopback port for connections to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn open(target: SocketAddr) -> io::Result<Link> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (rule, _) = watch::channel(Rule::default());
        let counters = Arc::<Counters>::default();
        let accepting = tokio::spawn(accept(listener, target, rule.clone(), Arc::clone(&counters)));
        Ok(Link { address, rule, counters, accepting })
    }

    /// Where to dial instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the link does from now on, to connections that are open too.
    pub fn set(&self, rule: Rule) {
        self.rule.send_replace(rule);
    }

    /// What it did so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, rule: watch::Sender<Rule>, counters: Arc<Counters>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors, most likely: others may close theirs.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                Counters::add(&counters.connections, 1);
                connections.spawn(connection(stream, target, rule.subscribe(), Arc::clone(&counters)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(near: TcpStream, target: SocketAddr, mut rule: watch::Receiver<Rule>, counters: Arc<Counters>) {
    if rule.borrow_and_update().forward.blocks() {
        Counters::add(&counters.hung, 1);
        swallow(near, &mut rule, &counters).await;
        return;
    }
    let dialled = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(target)).await;
    let Ok(Ok(far)) = dialled else { return };
    // Small messages must not wait for each other.
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let taint = Taint::default();
    let there = pump(near_in, far_out, rule.clone(), |r| r.forward, &taint, &counters);
    let back = pump(far_in, near_out, rule.clone(), |r| r.backward, &taint, &counters);
    let both = async {
        match select(pin!(there), pin!(back)).await {
            Either::Left((Ended::Closed, other)) => drop(other.await),
            Either::Right((Ended::Closed, other)) => drop(other.await),
            Either::Left((Ended::Broken, _)) | Either::Right((Ended::Broken, _)) => {}
        }
    };
    tokio::select! {
        () = both => {}
        () = taint.doom(rule) => { Counters::add(&counters.torn, 1); }
    }
}

#[cfg(test)]
mod tests;
