//! The one thread that owns the store. Writes that queue up while it syncs go down together.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gossip_core::consensus::{Persist, Ticket};

use gossip_core::mutants::{Mutant, Planted};

use super::{Storage, StoreError};

/// How late the disk is with one planted bug.
const LAZY: Duration = Duration::from_millis(300);

/// What the storage thread reports.
#[derive(Debug)]
pub enum Report {
    /// Everything up to this write is durable.
    Durable(Ticket),
    /// The store failed. Nothing more is written.
    Failed(StoreError),
}

/// The way to the storage thread. It ends when this is dropped, after everything sent was written.
#[derive(Debug)]
pub struct Writer {
    writes: Option<Sender<Vec<Persist>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. It calls `report` for each group of writes.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        storage: impl Storage + 'static,
        planted: Planted,
        report: impl Fn(Report) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("store".into()).spawn(move || run(storage, &receiver, planted, report))?;
        Ok(Writer { writes: Some(sender), thread: Some(thread) })
    }

    /// Hands writes over, in order.
    pub fn send(&self, writes: Vec<Persist>) {
        if let Some(sender) = &self.writes {
            // The thread ends early only after it has reported a failure, which ends the process.
            let _ = sender.send(writes);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut storage: impl Storage, receiver: &Receiver<Vec<Persist>>, planted: Planted, report: impl Fn(Report)) {
    // Writes that nothing depends on (a commit index that moved) wait for the next one that must be durable.
    let mut group: Vec<Persist> = Vec::new();
    while let Ok(first) = receiver.recv() {
        group.extend(first);
        if planted.is(Mutant::AckBeforeSync) {
            // Nobody waits for the disk with this bug, so it may take its time: else only a machine that crashes would tell.
            std::thread::sleep(LAZY);
        }
        while let Ok(more) = receiver.try_recv() {
            group.extend(more);
        }
        let Some(newest) = group.last().map(|write| Ticket(write.ticket)) else { continue };
        let sync = group.iter().any(|write| write.must_sync);
        let heavy = group.iter().any(|write| write.snapshot.is_some());
        if sync || heavy {
            let started = Instant::now();
            if let Err(error) = storage.write(&group, sync) {
                return report(Report::Failed(error));
            }
            metrics::histogram!("gossip_store_write_seconds").record(started.elapsed().as_secs_f64());
            metrics::histogram!("gossip_store_group_writes").record(group.len() as f64);
            group.clear();
        }
        report(Report::Durable(newest));
    }
    if !group.is_empty()
        && let Err(error) = storage.write(&group, true)
    {
        report(Report::Failed(error));
    }
}
