//! Commands as calls.

use gossip_client::{
    Client, ClusterView, Consistency, Cursor, Error, LeaseRef, NodeStatus, OpId, Read, RunInfo, ShardInfo,
};
use serde_json::json;

use super::args::{ClusterCommand, Global, Held, LeaseCommand, NewLease, RunCall, ShardCommand, Status};
use super::show::{self, Report};

/// As many as the service gives at once.
const PAGE: u32 = 1_000;

/// What each endpoint's own node answered.
pub(super) type Answers<T> = Vec<(String, Result<T, Error>)>;

pub(super) async fn statuses(client: &Client) -> Answers<NodeStatus> {
    each(client, |node| async move { node.status().await }).await
}

pub(super) async fn views(client: &Client) -> Answers<ClusterView> {
    each(client, |node| async move { node.view().await }).await
}

/// Asks every endpoint's own node, all at the same time.
async fn each<T, F>(client: &Client, ask: impl Fn(Client) -> F) -> Answers<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut asked = Vec::new();
    for endpoint in client.endpoints() {
        asked.push((endpoint.clone(), tokio::spawn(ask(client.pinned(endpoint)))));
    }
    let mut answers = Vec::new();
    for (endpoint, answer) in asked {
        if let Ok(answer) = answer.await {
            answers.push((endpoint, answer));
        }
    }
    answers
}

/// Whether a failure has an op id under which it can be asked about.
type Failed = (Error, bool);

fn read(error: Error) -> Failed {
    (error, false)
}

fn mutation(error: Error) -> Failed {
    (error, true)
}

/// One command that is no stream and concerns no single node.
pub(super) enum Call {
    Cluster(ClusterCommand),
    Run(RunCall),
    Shard(ShardCommand),
    Lease(LeaseCommand),
}

pub(super) async fn call(client: &Client, global: &Global, op: OpId, call: Call) -> Result<Report, Failed> {
    let consistency = if global.stale { Consistency::Stale } else { Consistency::Linearizable };
    match call {
        // No op id, so nothing to ask under.
        Call::Cluster(command) => cluster(client, command).await.map_err(read),
        Call::Run(command) => run(client, consistency, op, command).await,
        Call::Shard(command) => shard(client, consistency, op, command).await,
        Call::Lease(command) => lease(client, op, command).await.map(|report| under(op, report)).map_err(mutation),
    }
}

/// Names the op id under which the mutation took place.
fn under(op: OpId, mut report: Report) -> Report {
    show::add(&mut report.json, json!({ "op_id": op.to_string() }));
    report
}

async fn cluster(client: &Client, command: ClusterCommand) -> Result<Report, Error> {
    match command {
        ClusterCommand::Transfer { to } => {
            let leader = client.transfer_leader(to.as_deref()).await?;
            Ok(show::done(format!("{leader} leads"), json!({ "leader": leader })))
        }
        ClusterCommand::Add { name, address } => {
            let id = client.add_node(&name, &address).await?;
            let text = format!("{name} is a learner (number {id}); start it with --join");
            Ok(show::done(text, json!({ "node": name, "node_id": id })))
        }
        ClusterCommand::Remove { name } => {
            client.remove_node(&name).await?;
            Ok(show::done(format!("{name} is removed"), json!({ "node": name })))
        }
    }
}

async fn run(client: &Client, consistency: Consistency, op: OpId, command: RunCall) -> Result<Report, Failed> {
    let changed = match command {
        RunCall::Create { run, metadata } => client.create_run(op, &run, metadata.into_bytes()).await,
        RunCall::Start { run } => client.start_run(op, &run).await,
        RunCall::Complete { run } => client.complete_run(op, &run).await,
        RunCall::Fail { run, reason } => client.fail_run(op, &run, &reason).await,
        RunCall::Cancel { run, reason } => client.cancel_run(op, &run, &reason).await,
        RunCall::Delete { run } => {
            client.delete_run(op, &run).await.map_err(mutation)?;
            return Ok(under(op, show::done(format!("{run} is deleted"), json!({ "run": run }))));
        }
        RunCall::List => return Ok(show::runs(&all_runs(client, consistency).await.map_err(read)?)),
        RunCall::Get { run } => {
            let run = client.get_run(&run, consistency).await.map_err(read)?;
            return Ok(show::run(&run.value));
        }
        RunCall::Progress { run } => {
            let run = client.get_run(&run, consistency).await.map_err(read)?;
            return Ok(show::progress(&run.value));
        }
    };
    Ok(under(op, show::run(&changed.map_err(mutation)?)))
}

async fn shard(client: &Client, consistency: Consistency, op: OpId, command: ShardCommand) -> Result<Report, Failed> {
    match command {
        ShardCommand::List { run, status } => {
            let shards = all_shards(client, &run, status, consistency).await.map_err(read)?;
            Ok(show::shards(&shards))
        }
        ShardCommand::Get { run, shard } => {
            let shard = client.get_shard(&run, &shard, consistency).await.map_err(read)?;
            Ok(show::shard(&shard))
        }
        ShardCommand::Register { run, shards, start } => {
            let run = client.register_shards(op, &run, shards, start).await.map_err(mutation)?;
            Ok(under(op, show::run(&run)))
        }
    }
}

fn lease_of(held: &Held) -> LeaseRef {
    LeaseRef { shard: held.shard.clone(), worker: held.worker.clone(), fence: held.fence }
}

async fn lease(client: &Client, op: OpId, command: LeaseCommand) -> Result<Report, Error> {
    match command {
        LeaseCommand::Acquire { run, shard, lease: NewLease { worker, lease, wait } } => {
            Ok(show::grant(&client.acquire(op, &run, &shard, &worker, lease, wait).await?))
        }
        LeaseCommand::Claim { run, lease: NewLease { worker, lease, wait } } => {
            Ok(show::grant(&client.claim(op, &run, &worker, lease, wait).await?))
        }
        LeaseCommand::Renew { held, lease } => {
            Ok(show::renewal(&client.renew(op, &held.run, &lease_of(&held), lease).await?))
        }
        LeaseCommand::Checkpoint { held, key, token } => {
            let cursor = Cursor { key: key.0, token: token.map(|token| token.0).unwrap_or_default() };
            Ok(show::cursor(&client.checkpoint(op, &held.run, &lease_of(&held), cursor).await?))
        }
        LeaseCommand::Release { held } => {
            client.release(op, &held.run, &lease_of(&held)).await?;
            Ok(said(&held.shard, "is free"))
        }
        LeaseCommand::Complete { held, key } => {
            let cursor = key.map(|key| Cursor::at(key.0));
            client.complete(op, &held.run, &lease_of(&held), cursor).await?;
            Ok(said(&held.shard, "is done"))
        }
        LeaseCommand::Park { held, reason } => {
            client.park(op, &held.run, &lease_of(&held), &reason).await?;
            Ok(said(&held.shard, "is parked"))
        }
        LeaseCommand::Unpark { run, shard } => {
            let fence = client.unpark(op, &run, &shard).await?;
            let text = format!("{shard} is active again, fence {fence}");
            Ok(show::done(text, json!({ "shard": shard, "fence": fence })))
        }
        LeaseCommand::SplitReplace { held, cuts } => {
            let cuts = cuts.into_iter().map(|cut| cut.0).collect();
            Ok(show::children(&client.split_replace(op, &held.run, &lease_of(&held), cuts).await?))
        }
        LeaseCommand::SplitResidual { held, at } => {
            Ok(show::children(&[client.split_residual(op, &held.run, &lease_of(&held), at.0).await?]))
        }
    }
}

fn said(shard: &str, what: &str) -> Report {
    show::done(format!("{shard} {what}"), json!({ "shard": shard }))
}

/// All pages. Each is a read of its own: what changes meanwhile may show in one and not in another.
async fn all_runs(client: &Client, consistency: Consistency) -> Result<Read<Vec<RunInfo>>, Error> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let Read { value, applied, lease_clock_ms, stale } =
            client.list_runs(after.as_deref(), PAGE, consistency).await?;
        all.extend(value.items);
        after = value.next;
        if after.is_none() {
            return Ok(Read { value: all, applied, lease_clock_ms, stale });
        }
    }
}

async fn all_shards(
    client: &Client,
    run: &str,
    status: Option<Status>,
    consistency: Consistency,
) -> Result<Read<Vec<ShardInfo>>, Error> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = client.list_shards(run, status.map(Into::into), after.as_deref(), PAGE, consistency).await?;
        let Read { value, applied, lease_clock_ms, stale } = page;
        all.extend(value.items);
        after = value.next;
        if after.is_none() {
            return Ok(Read { value: all, applied, lease_clock_ms, stale });
        }
    }
}
