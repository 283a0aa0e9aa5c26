//! How much may be under way, so that nothing queues without end: requests by number and bytes, messages of peers by bytes.
//!
//! Mutations and reads have bytes of their own, as many each: pages that nobody takes from this node do not keep leases from being
//! renewed. An answer that is not small is counted with its kind until it is written.
//!
//! A request past its budget is refused before it is queued: definitely, with a time to come back. A message of a peer waits at its
//! stream, which makes the peer wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pool::{Held, Pool};

/// Requests between their caller and the core. The core takes hundreds at a time, so more than this means that it is not running.
const QUEUED: usize = 8_192;

/// Bytes of peers' messages between their streams and the core. Each stream holds no more than one message beside these.
const PEER_BYTES: u32 = 64 << 20;

/// What a request takes beyond its own bytes: the answer's place, the token, the log's numbers.
const OVERHEAD: usize = 256;

/// The budgets of one node. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    queue: Arc<Semaphore>,
    mutations: Pool,
    reads: Pool,
    peers: Arc<Semaphore>,
}

/// A request's place in the queue, given back when the core takes it.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

/// The bytes of a peer's message, given back when the core takes it.
#[derive(Debug)]
pub(super) struct Bytes(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

impl Budget {
    pub(super) fn new(bytes: u32) -> Self {
        Budget {
            queue: Arc::new(Semaphore::new(QUEUED)),
            mutations: Pool::new(bytes.into()),
            reads: Pool::new(bytes.into()),
            peers: Arc::new(Semaphore::new(PEER_BYTES as usize)),
        }
    }

    /// Takes up a mutation of this size; `None`: too much is under way. The bytes are given back when it is answered or given up.
    pub(super) fn admit(&self, bytes: usize) -> Option<(Place, Held)> {
        self.enter(&self.mutations, bytes)
    }

    /// Takes up a read whose answer may be this large.
    pub(super) fn admit_read(&self, bytes: usize) -> Option<(Place, Held)> {
        self.enter(&self.reads, bytes)
    }

    fn enter(&self, pool: &Pool, bytes: usize) -> Option<(Place, Held)> {
        let place = Arc::clone(&self.queue).try_acquire_owned().ok()?;
        let bytes = pool.try_take(bytes.saturating_add(OVERHEAD))?;
        Some((Place(place), bytes))
    }

    /// Room of an answer, of a mutation most of all: what took place is told, whatever there is.
    pub(super) fn answer(&self, bytes: usize) -> Held {
        self.mutations.take(bytes)
    }

    /// Bytes of mutations and of reads under way, answers included.
    pub(super) fn used(&self) -> (u64, u64) {
        (self.mutations.used(), self.reads.used())
    }

    /// Waits until a peer's message of this size fits.
    pub(super) async fn admit_peer(&self, bytes: usize) -> Option<Bytes> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(PEER_BYTES);
        Arc::clone(&self.peers).acquire_many_owned(bytes).await.ok().map(Bytes)
    }
}
