//! The lease cycle on gossip-rs, straight over gRPC: what any client pays.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use gossip_proto::v1;
use gossip_proto::v1::cluster_service_client::ClusterServiceClient;
use gossip_proto::v1::run_service_client::RunServiceClient;
use gossip_proto::v1::shard_service_client::ShardServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::load::{Cycle, Step};

const TENANT: &str = "bench";
const RUN: &str = "bench";

/// A 128-bit number that no other operation of this process has.
#[derive(Debug)]
struct OpIds {
    worker: u64,
    next: u64,
}

impl OpIds {
    fn next(&mut self) -> String {
        self.next += 1;
        format!("{:016x}{:016x}", self.worker, self.next)
    }
}

/// One worker's connection, its shard and its lease.
#[derive(Debug)]
pub(crate) struct Worker {
    client: ShardServiceClient<Channel>,
    number: usize,
    round: u64,
    shard: String,
    op_ids: OpIds,
    fence: u64,
}

async fn channel(endpoint: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
    Ok(endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(1)).connect().await?)
}

/// Where the leader is, as soon as there is one that serves.
pub(crate) async fn leader(endpoints: &[String]) -> Result<String> {
    for _ in 0..500 {
        for endpoint in endpoints {
            let Ok(channel) = channel(endpoint).await else { continue };
            let mut request = tonic::Request::new(v1::StatusRequest {});
            request.set_timeout(Duration::from_millis(500));
            let Ok(status) = ClusterServiceClient::new(channel).status(request).await else { continue };
            let status = status.into_inner();
            if status.ready && status.role == v1::Role::Leader as i32 {
                return Ok(endpoint.clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("no node of {endpoints:?} leads")
}

/// Makes a run with `shards` shards.
pub(crate) async fn prepare(leader: &str, shards: usize) -> Result<()> {
    let mut client = RunServiceClient::new(channel(leader).await?);
    let op_id = |n: u128| format!("{:032x}", u128::MAX - n);
    let (tenant, run) = (TENANT.to_owned(), RUN.to_owned());
    let create =
        v1::CreateRunRequest { tenant: tenant.clone(), run: run.clone(), op_id: op_id(0), metadata: Vec::new() };
    client.create_run(create).await?;
    let key = |n: usize| format!("{n:06}").into_bytes();
    let shards = (0..shards).map(|n| v1::ShardSpec {
        shard: format!("s{n}"),
        range: Some(v1::Range { start: key(n), end: key(n + 1) }),
        metadata: Vec::new(),
    });
    let register = v1::RegisterShardsRequest { tenant, run, op_id: op_id(1), shards: shards.collect(), start: true };
    client.register_shards(register).await?;
    Ok(())
}

impl Worker {
    /// Connects worker `number`, which takes the shard of this number, to the leader.
    pub(crate) async fn connect(leader: &str, number: usize, round: u64) -> Result<Self> {
        let op_ids = OpIds { worker: (round << 32) + number as u64, next: 0 };
        let client = ShardServiceClient::new(channel(leader).await?);
        Ok(Worker { client, number, round, shard: format!("s{number}"), op_ids, fence: 0 })
    }

    fn lease(&self) -> Option<v1::Lease> {
        Some(v1::Lease { shard: self.shard.clone(), worker: format!("w-{}", self.shard), fence: self.fence })
    }
}

impl Cycle for Worker {
    async fn step(&mut self, step: Step) -> Result<()> {
        let (tenant, run, op_id) = (TENANT.to_owned(), RUN.to_owned(), self.op_ids.next());
        match step {
            Step::Acquire => {
                let (shard, worker) = (self.shard.clone(), format!("w-{}", self.shard));
                let request = v1::AcquireRequest { tenant, run, op_id, shard, worker, lease_ms: 60_000, wait_ms: 0 };
                let grant = self.client.acquire(request).await?.into_inner();
                self.fence = grant.lease.context("a grant without a lease")?.fence;
            }
            Step::Checkpoint(n) => {
                // Behind the shard's first key a number that rises also from round to round.
                let key = format!("{:06}/{:04}/{n:012}", self.number, self.round).into_bytes();
                let cursor = Some(v1::Cursor { key, token: Vec::new() });
                let request = v1::CheckpointRequest { tenant, run, op_id, lease: self.lease(), cursor };
                self.client.checkpoint(request).await?;
            }
            Step::Release => {
                let request = v1::ReleaseRequest { tenant, run, op_id, lease: self.lease() };
                self.client.release(request).await?;
            }
        }
        Ok(())
    }
}
