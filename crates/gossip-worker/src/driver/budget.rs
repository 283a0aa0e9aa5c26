//! How much may be under way, so that nothing queues without end: requests by number and bytes, messages of peers by bytes.
//!
//! A request past its budget is refused before it is queued: definitely, with a time to come back. A message of a peer waits at its
//! stream, which makes the peer wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests between their caller and the core. The core takes hundreds at a time, so more than this means that it is not running.
const QUEUED: usize = 8_192;

/// Bytes of peers' messages between their streams and the core. Each stream holds no more than one message beside these.
const PEER_BYTES: u32 = 64 << 20;

/// What a request takes beyond its own bytes: the answer's place, the token, the log's numbers.
const OVERHEAD: u32 = 256;

/// The budgets of one node. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    queue: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    all_bytes: u32,
    peers: Arc<Semaphore>,
}

/// A request's place in the queue, given back when the core takes it.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

/// A request's bytes, given back when it is answered or given up.
#[derive(Debug)]
pub(super) struct Bytes(#[expect(dead_code, reason = "held for its end")] OwnedSemaphorePermit);

impl Budget {
    pub(super) fn new(bytes: u32) -> Self {
        Budget {
            queue: Arc::new(Semaphore::new(QUEUED)),
            bytes: Arc::new(Semaphore::new(bytes as usize)),
            all_bytes: bytes,
            peers: Arc::new(Semaphore::new(PEER_BYTES as usize)),
        }
    }

    /// Takes up a request of this size; `None`: too much is under way. One that is larger than all there is may go alone.
    pub(super) fn admit(&self, bytes: usize) -> Option<(Place, Bytes)> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(OVERHEAD).min(self.all_bytes);
        let place = Arc::clone(&self.queue).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()?;
        Some((Place(place), Bytes(bytes)))
    }

    /// Waits until a peer's message of this size fits.
    pub(super) async fn admit_peer(&self, bytes: usize) -> Option<Bytes> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(PEER_BYTES);
        Arc::clone(&self.peers).acquire_many_owned(bytes).await.ok().map(Bytes)
    }
}
