//! The operations of histories, each noted at its beginning and its end.

use std::time::Duration;

use gossip_check::history::Value;
use gossip_client::{
    Child, Client, Consistency, Cursor, Error, Grant, LeaseRef, OpId, Range, RunStatus, ShardInfo, ShardSpec,
};
use tokio::sync::watch;

use crate::recorder::{Call, Recorder};
use crate::rng::Stream;

/// The run that every workload has.
pub const MAIN: &str = "main";
/// The run that is cancelled on the way.
pub const SIDE: &str = "side";

/// The run of a shard, by its name.
pub fn run_of(shard: &str) -> &'static str {
    if shard.starts_with(SIDE) { SIDE } else { MAIN }
}

/// A worker's way to the service: sends, notes, and takes a new process number after an operation whose outcome is open.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Client,
    recorder: Recorder,
    process: i64,
    /// Added to the process number when one is spent.
    step: i64,
    worker: String,
    lease: Duration,
    op_ids: Stream,
    /// While true, each mutation is sent a second time.
    duplicate: watch::Receiver<bool>,
}

/// An ended operation: what came back, or the reason in the error table.
pub type Outcome<T> = Result<T, String>;

fn key(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Nil } else { Value::hex_key(bytes) }
}

fn number(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn op_id(op: OpId) -> Value {
    Value::from(op.to_string())
}

fn ranged(shard: &str, range: &Range) -> Value {
    Value::map([("shard", Value::from(shard)), ("start", key(&range.start)), ("end", key(&range.end))])
}

fn child(child: &Child) -> Value {
    ranged(&child.shard, &child.range)
}

fn under(lease: &LeaseRef) -> Value {
    Value::map([("shard", lease.shard.as_str()), ("worker", lease.worker.as_str())]).with("fence", number(lease.fence))
}

/// A shard's record as reads show it.
fn record(info: &ShardInfo) -> Value {
    let cursor = info.cursor.as_ref().map_or(Value::Nil, |cursor| key(&cursor.key));
    let lease = info.lease.as_ref();
    ranged(&info.shard, &info.range)
        .with("status", Value::keyword(info.status.name()))
        .with("fence", number(info.fence))
        .with("worker", lease.map_or(Value::Nil, |lease| Value::from(lease.worker.as_str())))
        .with("deadline", lease.map_or(Value::Nil, |lease| number(lease.deadline_ms)))
        .with("cursor", cursor)
}

impl Caller {
    /// A caller that begins as process `process` and names its worker after it.
    pub fn new(
        client: Client,
        recorder: Recorder,
        process: i64,
        step: i64,
        lease: Duration,
        seed: u64,
        duplicate: watch::Receiver<bool>,
    ) -> Self {
        let op_ids = Stream::new(seed, &format!("op-ids-{process}"));
        Caller { client, recorder, process, step, worker: format!("w{process}"), lease, op_ids, duplicate }
    }

    /// A fresh op id.
    pub fn op_id(&mut self) -> OpId {
        OpId::fresh(self.op_ids.wide(), gossip_client::clock::Moment::now())
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn end<T>(&mut self, call: Call, outcome: Result<T, Error>, add: impl FnOnce(Value, &T) -> Value) -> Outcome<T> {
        match outcome {
            Ok(value) => {
                call.ok(|sent| add(sent, &value));
                Ok(value)
            }
            Err(error) => {
                if !call.failed(&error) {
                    self.process += self.step;
                    self.worker = format!("w{}", self.process);
                }
                Err(error.reason)
            }
        }
    }

    fn begin(&self, f: &'static str, value: Value) -> Call {
        self.recorder.invoke(self.process, f, value)
    }

    /// Sends the same request a second time, if the nemesis wants it: its answer interests nobody.
    fn again<F: Future<Output = ()> + Send + 'static>(&self, request: impl FnOnce(Client) -> F) {
        if *self.duplicate.borrow() {
            tokio::spawn(request(self.client.clone()));
        }
    }

    fn granted(&self, sent: Value, grant: &Grant) -> Value {
        let believed = self.recorder.clock().place(grant.believed_until.as_nanos());
        sent.with("shard", grant.lease.shard.as_str())
            .with("fence", number(grant.lease.fence))
            .with("granted", number(grant.granted_ms))
            .with("deadline", number(grant.deadline_ms))
            .with("believed-until", believed)
            .with("cursor", grant.cursor.as_ref().map_or(Value::Nil, |cursor| key(&cursor.key)))
    }

    /// Takes a shard's lease.
    ///
    /// # Errors
    /// The reason.
    pub async fn acquire(&mut self, op: OpId, shard: &str, wait: Duration) -> Outcome<Grant> {
        let (worker, lease) = (self.worker.clone(), self.lease);
        let value = Value::map([("shard", shard), ("worker", &worker)]).with("op-id", op_id(op));
        let call = self.begin("acquire", value);
        let (name, holder) = (shard.to_owned(), worker.clone());
        self.again(move |client| async move {
            let _ = client.acquire(op, run_of(&name), &name, &holder, lease, wait).await;
        });
        let outcome = self.client.acquire(op, run_of(shard), shard, &worker, lease, wait).await;
        let caller = self.clone();
        self.end(call, outcome, |sent, grant| caller.granted(sent, grant))
    }

    /// Takes the lease of a free shard.
    ///
    /// # Errors
    /// The reason.
    pub async fn claim(&mut self, op: OpId, run: &'static str, wait: Duration) -> Outcome<Grant> {
        let (worker, lease) = (self.worker.clone(), self.lease);
        let value = Value::map([("run", run), ("worker", &worker)]).with("op-id", op_id(op));
        let call = self.begin("claim", value);
        let holder = worker.clone();
        self.again(move |client| async move {
            let _ = client.claim(op, run, &holder, lease, wait).await;
        });
        let outcome = self.client.claim(op, run, &worker, lease, wait).await;
        let caller = self.clone();
        self.end(call, outcome, |sent, grant| caller.granted(sent, grant))
    }

    /// Makes the lease longer. Answers until when it is believed.
    ///
    /// # Errors
    /// The reason.
    pub async fn renew(&mut self, lease: &LeaseRef) -> Outcome<gossip_client::clock::Moment> {
        let op = self.op_id();
        let call = self.begin("renew", under(lease));
        let outcome = self.client.renew(op, run_of(&lease.shard), lease, self.lease).await;
        let clock = self.recorder.clock();
        let renewed = self.end(call, outcome, |sent, renewal| {
            sent.with("granted", number(renewal.granted_ms))
                .with("deadline", number(renewal.deadline_ms))
                .with("believed-until", clock.place(renewal.believed_until.as_nanos()))
        });
        renewed.map(|renewal| renewal.believed_until)
    }

    /// Moves the cursor.
    ///
    /// # Errors
    /// The reason.
    pub async fn checkpoint(&mut self, op: OpId, lease: &LeaseRef, at: &[u8]) -> Outcome<()> {
        let call = self.begin("checkpoint", under(lease).with("cursor", key(at)).with("op-id", op_id(op)));
        let (copy, cursor) = (lease.clone(), Cursor::at(at));
        let same = cursor.clone();
        self.again(move |client| async move {
            let _ = client.checkpoint(op, run_of(&copy.shard), &copy, same).await;
        });
        let outcome = self.client.checkpoint(op, run_of(&lease.shard), lease, cursor).await;
        self.end(call, outcome.map(drop), |sent, ()| sent)
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// The reason.
    pub async fn release(&mut self, lease: &LeaseRef) -> Outcome<()> {
        let op = self.op_id();
        let call = self.begin("release", under(lease).with("op-id", op_id(op)));
        let outcome = self.client.release(op, run_of(&lease.shard), lease).await;
        self.end(call, outcome, |sent, ()| sent)
    }

    /// Finishes the shard.
    ///
    /// # Errors
    /// The reason.
    pub async fn complete(&mut self, op: OpId, lease: &LeaseRef) -> Outcome<()> {
        let call = self.begin("complete", under(lease).with("cursor", Value::Nil).with("op-id", op_id(op)));
        let copy = lease.clone();
        self.again(move |client| async move {
            let _ = client.complete(op, run_of(&copy.shard), &copy, None).await;
        });
        let outcome = self.client.complete(op, run_of(&lease.shard), lease, None).await;
        self.end(call, outcome, |sent, ()| sent)
    }

    /// Sets the shard aside.
    ///
    /// # Errors
    /// The reason.
    pub async fn park(&mut self, lease: &LeaseRef) -> Outcome<()> {
        let op = self.op_id();
        let call = self.begin("park", under(lease).with("reason", "looks odd").with("op-id", op_id(op)));
        let outcome = self.client.park(op, run_of(&lease.shard), lease, "looks odd").await;
        self.end(call, outcome, |sent, ()| sent)
    }

    /// Makes a parked shard active.
    ///
    /// # Errors
    /// The reason.
    pub async fn unpark(&mut self, shard: &str) -> Outcome<u64> {
        let op = self.op_id();
        let call = self.begin("unpark", Value::map([("shard", shard)]).with("op-id", op_id(op)));
        let outcome = self.client.unpark(op, run_of(shard), shard).await;
        self.end(call, outcome, |sent, fence| sent.with("fence", number(*fence)))
    }

    /// Replaces the shard by its parts.
    ///
    /// # Errors
    /// The reason.
    pub async fn split_replace(&mut self, op: OpId, lease: &LeaseRef, cuts: Vec<Vec<u8>>) -> Outcome<Vec<Child>> {
        let listed: Vec<Value> = cuts.iter().map(|cut| key(cut)).collect();
        let call = self.begin("split-replace", under(lease).with("cuts", listed).with("op-id", op_id(op)));
        let outcome = self.client.split_replace(op, run_of(&lease.shard), lease, cuts).await;
        self.end(call, outcome, |sent, children| {
            sent.with("children", children.iter().map(child).collect::<Vec<Value>>())
        })
    }

    /// Splits the rest off.
    ///
    /// # Errors
    /// The reason.
    pub async fn split_residual(&mut self, op: OpId, lease: &LeaseRef, at: Vec<u8>) -> Outcome<Child> {
        let call = self.begin("split-residual", under(lease).with("at", key(&at)).with("op-id", op_id(op)));
        let outcome = self.client.split_residual(op, run_of(&lease.shard), lease, at).await;
        self.end(call, outcome, |sent, residual| sent.with("residual", child(residual)))
    }

    /// Makes a run with these shards, and starts it. Sent until it is known to have worked.
    ///
    /// # Errors
    /// The reason of a refusal.
    pub async fn register(&mut self, run: &'static str, shards: Vec<ShardSpec>) -> Outcome<()> {
        let (create, start) = (self.op_id(), self.op_id());
        self.client.create_run(create, run, Vec::new()).await.map_err(|error| error.to_string())?;
        let listed: Vec<Value> = shards.iter().map(|spec| ranged(&spec.shard, &spec.range)).collect();
        let call = self.begin("register", Value::map([("run", run)]).with("shards", listed));
        let outcome = self.client.register_shards(start, run, shards, true).await;
        self.end(call, outcome.map(drop), |sent, ()| sent)
    }

    /// Ends a run in one of the three ways: `complete-run`, `fail-run`, `cancel-run`.
    ///
    /// # Errors
    /// The reason.
    pub async fn end_run(&mut self, f: &'static str, run: &'static str) -> Outcome<()> {
        let op = self.op_id();
        let call = self.begin(f, Value::map([("run", run)]).with("op-id", op_id(op)));
        let outcome = match f {
            "complete-run" => self.client.complete_run(op, run).await,
            "fail-run" => self.client.fail_run(op, run, "the workload says so").await,
            _ => self.client.cancel_run(op, run, "the workload says so").await,
        };
        self.end(call, outcome.map(drop), |sent, ()| sent)
    }

    /// Reads a shard from the node at `address`, whichever part it plays.
    ///
    /// # Errors
    /// The reason.
    pub async fn read_shard(&mut self, shard: &str, address: &str) -> Outcome<()> {
        let call = self.begin("read-shard", Value::map([("shard", shard)]));
        let node = self.client.pinned(address);
        let outcome = node.get_shard(run_of(shard), shard, Consistency::Linearizable).await;
        self.end(call, outcome, |sent, read| {
            let Value::Map(map) = record(&read.value) else { return sent };
            map.iter()
                .fold(sent, |sent, (name, value)| sent.with(name.name().unwrap_or_default(), value.clone()))
                .with("applied", number(read.applied))
        })
        .map(drop)
    }

    /// The last word: everything of a run, from one node. Answers the shards.
    ///
    /// # Errors
    /// The reason.
    pub async fn read_run(&mut self, run: &'static str, node: &str, address: &str) -> Outcome<Vec<ShardInfo>> {
        let value = Value::map([("run", run), ("node", node)]).with("final?", true);
        let call = self.begin("read-run", value);
        let outcome = everything(&self.client.pinned(address), run).await;
        self.end(call, outcome, |sent, (status, applied, shards)| {
            sent.with("status", Value::keyword(status.name()))
                .with("shards", shards.iter().map(record).collect::<Vec<Value>>())
                .with("applied", number(*applied))
        })
        .map(|(_, _, shards)| shards)
    }

    /// One node's view of the cluster, as its gossip has it.
    ///
    /// # Errors
    /// The reason.
    pub async fn read_view(&mut self, node: &str, address: &str, last: bool) -> Outcome<()> {
        let value = Value::map([("node", node)]);
        let call = self.begin("read-view", if last { value.with("final?", true) } else { value });
        let outcome = self.client.pinned(address).members().await;
        self.end(call, outcome, |sent, members| {
            let view = members.iter().map(|member| {
                let health = Value::from(format!("{:?}", member.health()).to_ascii_lowercase());
                let mut facts: Vec<(&String, &String)> =
                    member.facts.iter().filter(|(name, _)| is_settled(name)).collect();
                facts.sort();
                let facts = Value::map(facts.into_iter().map(|(name, value)| (name.as_str(), value.as_str())));
                (member.node.as_str(), Value::map([("health", health)]).with("facts", facts))
            });
            sent.with("view", Value::map(view))
        })
        .map(drop)
    }

    /// Notes an unfenced critical section that was entered and left.
    pub fn section(&mut self, call: Call, entered: i64, left: i64) {
        call.ok(|sent| sent.with("entered", entered).with("left", left));
    }

    /// Begins an unfenced critical section.
    pub fn enter(&self, lease: &LeaseRef) -> Call {
        self.begin("section", under(lease))
    }

    /// The recorder's clock.
    pub fn clock(&self) -> crate::clock::Clock {
        self.recorder.clock()
    }
}

/// Facts that stand still when nothing happens; load and indexes never do.
fn is_settled(name: &str) -> bool {
    matches!(name, "address" | "build" | "role" | "leader" | "term")
}

async fn everything(client: &Client, run: &str) -> Result<(RunStatus, u64, Vec<ShardInfo>), Error> {
    let (mut shards, mut after) = (Vec::new(), None::<String>);
    loop {
        let read = client.list_shards(run, None, after.as_deref(), 1000, Consistency::Linearizable).await?;
        shards.extend(read.value.items);
        after = read.value.next;
        if after.is_none() {
            break;
        }
    }
    let run = client.get_run(run, Consistency::Linearizable).await?;
    Ok((run.value.status, run.applied, shards))
}
