//! The mutations of histories.

use std::time::Duration;

use gossip_check::history::Value;
use gossip_client::clock::Moment;
use gossip_client::{Child, Client, Cursor, Grant, LeaseRef, OpId, ShardSpec};

use super::caller::{Caller, Outcome};
use super::course::run_of;
use super::reads::Place;
use super::twins::Late;
use super::values::{child, granted, key, number, op_id, ranged, renewed, under};

/// A request that owns what it carries, so that it can be sent twice.
macro_rules! request {
    ($($owned:ident),*; $client:ident => $call:expr) => {
        move |$client: Client| {
            $(let $owned = $owned.clone();)*
            async move { $call.await }
        }
    };
}

impl Caller {
    /// Takes a shard's lease.
    ///
    /// # Errors
    /// The reason.
    pub async fn acquire(&mut self, op: OpId, shard: &str, wait: Duration) -> Outcome<Grant> {
        let (worker, lease, shard, clock) = (self.worker.clone(), self.lease, shard.to_owned(), self.clock());
        let value = Value::map([("shard", &shard[..]), ("worker", &worker[..])]).with("op-id", op_id(op));
        let request = request!(shard, worker; client =>
            client.acquire(op, run_of(&shard), &shard, &worker, lease, wait));
        self.send("acquire", value, Late::Soon, request, move |sent, grant| granted(clock, sent, grant)).await
    }

    /// Takes the lease of a free shard.
    ///
    /// # Errors
    /// The reason.
    pub async fn claim(&mut self, op: OpId, run: &str, wait: Duration) -> Outcome<Grant> {
        let (worker, lease, run, clock) = (self.worker.clone(), self.lease, run.to_owned(), self.clock());
        let value = Value::map([("run", &run[..]), ("worker", &worker[..])]).with("op-id", op_id(op));
        let request = request!(run, worker; client => client.claim(op, &run, &worker, lease, wait));
        self.send("claim", value, Late::Soon, request, move |sent, grant| granted(clock, sent, grant)).await
    }

    /// Makes the lease longer. Answers until when it is believed.
    ///
    /// # Errors
    /// The reason.
    pub async fn renew(&mut self, lease: &LeaseRef) -> Outcome<Moment> {
        let (op, length, lease, clock) = (self.op_id(), self.lease, lease.clone(), self.clock());
        let value = under(&lease).with("op-id", op_id(op));
        let request = request!(lease; client => client.renew(op, run_of(&lease.shard), &lease, length));
        let add = move |sent, renewal: &_| renewed(clock, sent, renewal);
        self.send("renew", value, Late::PastTheLease, request, add).await.map(|renewal| renewal.believed_until)
    }

    /// Moves the cursor.
    ///
    /// # Errors
    /// The reason.
    pub async fn checkpoint(&mut self, op: OpId, lease: &LeaseRef, at: &[u8]) -> Outcome<()> {
        let (lease, cursor) = (lease.clone(), Cursor::at(at));
        let value = under(&lease).with("cursor", key(at)).with("op-id", op_id(op));
        let request = request!(lease, cursor; client => client.checkpoint(op, run_of(&lease.shard), &lease, cursor));
        self.send("checkpoint", value, Late::PastTheLease, request, |sent, _| sent).await.map(drop)
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// The reason.
    pub async fn release(&mut self, lease: &LeaseRef) -> Outcome<()> {
        let (op, lease) = (self.op_id(), lease.clone());
        let value = under(&lease).with("op-id", op_id(op));
        let request = request!(lease; client => client.release(op, run_of(&lease.shard), &lease));
        self.send("release", value, Late::PastTheLease, request, |sent, ()| sent).await
    }

    /// Finishes the shard.
    ///
    /// # Errors
    /// The reason.
    pub async fn complete(&mut self, op: OpId, lease: &LeaseRef) -> Outcome<()> {
        let lease = lease.clone();
        let value = under(&lease).with("cursor", Value::Nil).with("op-id", op_id(op));
        let request = request!(lease; client => client.complete(op, run_of(&lease.shard), &lease, None));
        self.send("complete", value, Late::PastTheLease, request, |sent, ()| sent).await
    }

    /// Sets the shard aside.
    ///
    /// # Errors
    /// The reason.
    pub async fn park(&mut self, lease: &LeaseRef) -> Outcome<()> {
        let (op, lease) = (self.op_id(), lease.clone());
        let value = under(&lease).with("reason", "looks odd").with("op-id", op_id(op));
        let request = request!(lease; client => client.park(op, run_of(&lease.shard), &lease, "looks odd"));
        self.send("park", value, Late::PastTheLease, request, |sent, ()| sent).await
    }

    /// Makes a parked shard active.
    ///
    /// # Errors
    /// The reason.
    pub async fn unpark(&mut self, shard: &str) -> Outcome<u64> {
        let (op, shard) = (self.op_id(), shard.to_owned());
        let value = Value::map([("shard", &shard[..])]).with("op-id", op_id(op));
        let request = request!(shard; client => client.unpark(op, run_of(&shard), &shard));
        self.send("unpark", value, Late::Soon, request, |sent, fence| sent.with("fence", number(*fence))).await
    }

    /// Replaces the shard by its parts.
    ///
    /// # Errors
    /// The reason.
    pub async fn split_replace(&mut self, op: OpId, lease: &LeaseRef, cuts: Vec<Vec<u8>>) -> Outcome<Vec<Child>> {
        let lease = lease.clone();
        let listed: Vec<Value> = cuts.iter().map(|cut| key(cut)).collect();
        let value = under(&lease).with("cuts", listed).with("op-id", op_id(op));
        let request = request!(lease, cuts; client => client.split_replace(op, run_of(&lease.shard), &lease, cuts));
        let add = |sent: Value, children: &Vec<Child>| {
            sent.with("children", children.iter().map(child).collect::<Vec<Value>>())
        };
        self.send("split-replace", value, Late::PastTheLease, request, add).await
    }

    /// Splits the rest off.
    ///
    /// # Errors
    /// The reason.
    pub async fn split_residual(&mut self, op: OpId, lease: &LeaseRef, at: Vec<u8>) -> Outcome<Child> {
        let lease = lease.clone();
        let value = under(&lease).with("at", key(&at)).with("op-id", op_id(op));
        let request = request!(lease, at; client => client.split_residual(op, run_of(&lease.shard), &lease, at));
        let add = |sent: Value, residual: &Child| sent.with("residual", child(residual));
        self.send("split-residual", value, Late::PastTheLease, request, add).await
    }

    /// Makes a run with these shards, and starts it.
    ///
    /// # Errors
    /// The reason of a refusal.
    pub async fn register(&mut self, run: &str, shards: Vec<ShardSpec>) -> Outcome<()> {
        let create = self.op_id();
        self.client.create_run(create, run, Vec::new()).await.map_err(|error| error.reason)?;
        self.start(run, shards).await
    }

    /// Makes a run without shards by a request that reached one node alone, and once: no copy of it can come after the run was
    /// deleted and make it once more.
    ///
    /// # Errors
    /// The reason. The run may exist.
    pub(super) async fn create_once(&mut self, run: &str, nodes: &[Place]) -> Outcome<()> {
        let create = self.op_id();
        let mut outcome = Err("UNREACHABLE".to_owned());
        for node in nodes {
            match self.client.pinned(&node.address).create_run(create, run, Vec::new()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.definite => outcome = Err(error.reason),
                Err(error) => return Err(error.reason),
            }
        }
        outcome
    }

    /// Gives a run its shards, and starts it.
    ///
    /// # Errors
    /// The reason.
    pub(super) async fn start(&mut self, run: &str, shards: Vec<ShardSpec>) -> Outcome<()> {
        let (start, run) = (self.op_id(), run.to_owned());
        let listed: Vec<Value> = shards.iter().map(|spec| ranged(&spec.shard, &spec.range)).collect();
        let value = Value::map([("run", &run[..])]).with("shards", listed).with("op-id", op_id(start));
        let request = request!(run, shards; client => client.register_shards(start, &run, shards, true));
        self.send("register", value, Late::Soon, request, |sent, _| sent).await.map(drop)
    }

    /// Ends a run in one of the three ways: `complete-run`, `fail-run`, `cancel-run`.
    ///
    /// # Errors
    /// The reason.
    pub async fn end_run(&mut self, f: &'static str, run: &str) -> Outcome<()> {
        let (op, run) = (self.op_id(), run.to_owned());
        let value = Value::map([("run", &run[..])]).with("op-id", op_id(op));
        let request = move |client: Client| {
            let run = run.clone();
            async move {
                match f {
                    "complete-run" => client.complete_run(op, &run).await,
                    "fail-run" => client.fail_run(op, &run, "the workload says so").await,
                    _ => client.cancel_run(op, &run, "the workload says so").await,
                }
            }
        };
        self.send(f, value, Late::Soon, request, |sent, _| sent).await.map(drop)
    }

    /// Deletes a run.
    ///
    /// # Errors
    /// The reason.
    pub(super) async fn delete_run(&mut self, run: &str) -> Outcome<()> {
        let (op, run) = (self.op_id(), run.to_owned());
        let value = Value::map([("run", &run[..])]).with("op-id", op_id(op));
        let request = request!(run; client => client.delete_run(op, &run));
        self.send("delete-run", value, Late::Soon, request, |sent, ()| sent).await
    }

    /// Begins an unfenced critical section.
    pub(super) fn enter(&self, lease: &LeaseRef) -> crate::recorder::Call {
        self.begin("section", under(lease))
    }
}
