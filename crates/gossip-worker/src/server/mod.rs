//! The services as gRPC callers see them: shapes in, the core's answer out.

mod arriving;
mod cluster;
mod convert;
mod error;
mod leaving;
mod runs;
mod shards;
mod unread;

pub use arriving::{Arrivals, LARGEST_REQUEST};
pub use cluster::Cluster;
pub use runs::Runs;
pub use shards::Shards;

use std::time::{Duration, Instant};

use gossip_core::consensus::Refusal;
use gossip_core::coordination::answer::{Query, View};
use gossip_core::coordination::{Answer, Command, Invalid, Op, OpId, RunId, TenantId, TenantQuery};
use gossip_proto::errors::{ErrorDetail, broken};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Response, Status};

use crate::driver::{Failure, Handle, ReadAnswer};
use crate::gossip::Known;
use crate::pool::Held;

/// A wait in line longer than this is cut: callers renew it, and a node that stops is not held up.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the services of runs and shards share.
#[derive(Clone, Debug)]
pub struct Gate {
    core: Handle,
    known: Known,
    draining: watch::Receiver<bool>,
}

/// Whom a request speaks of, as it came.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    tenant: &'a str,
    run: &'a str,
    op_id: &'a str,
}

impl Gate {
    /// The way to `core`, closed to mutations when `draining` turns true. `known` helps callers to a leader.
    pub fn new(core: Handle, known: Known, draining: watch::Receiver<bool>) -> Self {
        Gate { core, known, draining }
    }

    async fn mutate(&self, target: Target<'_>, wait_ms: u64, op: Result<Op, Invalid>) -> Result<Answer, Status> {
        let (started, name) = (Instant::now(), op.as_ref().map_or("malformed", Op::name));
        let outcome = self.carry_out(target, wait_ms, op).await;
        count(name, started, outcome.as_ref().err());
        outcome
    }

    async fn carry_out(&self, target: Target<'_>, wait_ms: u64, op: Result<Op, Invalid>) -> Result<Answer, Status> {
        let command = command(target, op).map_err(error::invalid)?;
        command.check().map_err(error::rejected)?;
        if *self.draining.borrow() {
            return Err(ErrorDetail::new("STOPPING", "the node is stopping").into_status());
        }
        let wait = Duration::from_millis(wait_ms).min(LONGEST_WAIT);
        match self.core.submit(command, wait).await {
            Ok(answer) => Ok(answer),
            Err(failure) => Err(error::failed(hinted(&self.core, &self.known, failure).await)),
        }
    }

    /// The answer to a mutation.
    fn told<M: prost::Message>(&self, message: M) -> Response<M> {
        leaving::leave(message, |bytes| self.core.answer(bytes))
    }

    async fn read(&self, tenant: &str, consistency: i32, query: Result<Query, Invalid>) -> Result<ReadAnswer, Status> {
        let (started, name) = (Instant::now(), query.as_ref().map_or("malformed", read_name));
        let outcome = self.look(tenant, consistency, query).await;
        count(name, started, outcome.as_ref().err());
        outcome
    }

    async fn look(&self, tenant: &str, consistency: i32, query: Result<Query, Invalid>) -> Result<ReadAnswer, Status> {
        let tenant = TenantId::parse("tenant", tenant).map_err(error::invalid)?;
        let query = TenantQuery { tenant, query: query.map_err(error::invalid)? };
        let consistency = convert::consistency(consistency).map_err(error::invalid)?;
        match self.core.query(query, consistency).await {
            Ok(answer) => Ok(answer),
            Err(failure) => Err(error::failed(hinted(&self.core, &self.known, failure).await)),
        }
    }
}

/// The answer to a read that was admitted with this room.
fn shown<M: prost::Message>(room: &Held, message: M) -> Response<M> {
    leaving::leave(message, |bytes| room.resized(bytes))
}

/// What each answer goes through on its way out.
pub fn finished(response: http::Response<Body>) -> http::Response<Body> {
    leaving::counted(unread::explain(response))
}

/// Where consensus here knows no leader, the gossip may have heard of one.
async fn hinted(core: &Handle, known: &Known, failure: Failure) -> Failure {
    let Failure::Refused(refusal @ (Refusal::NotLeader { .. } | Refusal::ReadUnconfirmed), None) = failure else {
        return failure;
    };
    let member = core.status().await.and_then(|page| {
        let leader = page.status.leader.or_else(|| known.leader(page.status.term))?;
        page.members.nodes.into_iter().find(|member| member.id == leader && member.id != page.status.id)
    });
    Failure::Refused(refusal, member)
}

fn read_name(query: &Query) -> &'static str {
    match query {
        Query::Run { .. } => "get-run",
        Query::Runs { .. } => "list-runs",
        Query::Shard { .. } => "get-shard",
        Query::Shards { .. } => "list-shards",
    }
}

/// Counts a call that was answered: every refusal too, whoever refused it.
fn count(operation: &'static str, started: Instant, refusal: Option<&Status>) {
    let reason = refusal.map_or_else(|| "OK".to_owned(), |status| ErrorDetail::from_status(status).reason);
    metrics::counter!("gossip_operations_total", "operation" => operation, "outcome" => reason).increment(1);
    metrics::histogram!("gossip_operation_seconds", "operation" => operation).record(started.elapsed().as_secs_f64());
}

fn command(target: Target<'_>, op: Result<Op, Invalid>) -> Result<Command, Invalid> {
    Ok(Command {
        tenant: TenantId::parse("tenant", target.tenant)?,
        run: RunId::parse("run", target.run)?,
        op_id: OpId::parse("op_id", target.op_id)?,
        op: op?,
    })
}

/// The state machine answered something else than what was asked: a bug of ours, and nothing is known of the outcome.
fn surprise(what: &impl std::fmt::Debug) -> Status {
    tracing::error!(?what, "an answer of the wrong kind");
    broken("the state machine answered another question")
}

fn surprised_view(view: &View) -> Status {
    surprise(view)
}
