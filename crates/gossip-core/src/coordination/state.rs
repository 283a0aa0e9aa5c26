//! The state: tenants, their runs, and the entry point of every mutation.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, RunStatus, ShardCounts};
use super::command::{Command, Op};
use super::error::Rejection;
use super::ids::{Fence, OpId, RunId, Stamp, TenantId};
use super::limits::{DELETIONS_PER_TENANT, IDLE_TENANTS, Quotas};
use super::oplog::Payload;
use super::run::{Context, Quota, Run};
use crate::mutants::{Mutant, Planted};

/// The replicated state machine of the service.
///
/// Its size follows the live data: with a run go its shards and its op log. What stays of a tenant whose runs are all deleted is
/// its name, a fence floor and its last deletions; of more than [`IDLE_TENANTS`] such tenants, one floor for all.
#[derive(Clone)]
pub struct State {
    pub(super) data: Data,
    pub(super) planted: Planted,
    scratch: Vec<u8>,
}

/// What is replicated and goes into a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Data {
    pub(super) quotas: Quotas,
    /// The newest stamp that was applied.
    pub(super) clock: Stamp,
    pub(super) tenants: BTreeMap<TenantId, Tenant>,
    /// The tenants without runs, those first whose last run was deleted first.
    pub(super) idle: VecDeque<TenantId>,
    /// The highest floor of the tenants that were forgotten: where a tenant starts that is not known.
    pub(super) floor: Fence,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tenant {
    pub(super) runs: BTreeMap<RunId, Run>,
    /// Shards of all its runs.
    pub(super) shards: u64,
    /// The highest fence of the runs that were deleted: where new shards start, so that a fence never comes twice for the same
    /// names, also when a run's name is used again.
    pub(super) floor: Fence,
    /// The newest deletions, oldest first.
    deletions: VecDeque<(OpId, Payload)>,
}

/// How much there is, for metrics and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tenants that have runs or are remembered for some that were deleted.
    pub tenants: u64,
    /// Runs, ended ones counted.
    pub runs: u64,
    /// Shards, terminal ones counted.
    pub shards: u64,
    /// The same by status.
    pub by_status: ShardCounts,
    /// Leases that are live on the lease clock as of the last applied entry.
    pub leases: u64,
    /// Answers kept for replays.
    pub op_log_entries: u64,
}

impl State {
    /// An empty state. `planted` belongs to this process and is never replicated.
    pub fn new(quotas: Quotas, planted: Planted) -> Self {
        let data = Data {
            quotas,
            clock: Stamp::default(),
            tenants: BTreeMap::new(),
            idle: VecDeque::new(),
            floor: Fence::default(),
        };
        State { data, planted, scratch: Vec::new() }
    }

    /// The lease clock as of the last applied entry.
    pub fn clock(&self) -> Stamp {
        self.data.clock
    }

    /// The quotas in force.
    pub fn quotas(&self) -> &Quotas {
        &self.data.quotas
    }

    /// The tenants that have runs, in order of their names.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.data.tenants.iter().filter(|(_, tenant)| !tenant.runs.is_empty()).map(|(name, _)| name)
    }

    /// Counts what there is: O(number of runs).
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { tenants: self.data.tenants.len() as u64, ..Totals::default() };
        for tenant in self.data.tenants.values() {
            totals.runs += tenant.runs.len() as u64;
            totals.shards += tenant.shards;
            for run in tenant.runs.values() {
                totals.op_log_entries += run.log.len() as u64;
                totals.by_status.add(run.counts);
                totals.leases += run.claims.live(self.data.clock);
            }
        }
        totals
    }

    pub(super) fn mutate(&mut self, index: u64, stamp: Stamp, command: &Command) -> Result<Answer, Rejection> {
        self.data.clock = self.data.clock.max(stamp);
        command.check_with(self.planted)?;
        let payload = Payload::of(command, &mut self.scratch);
        match &command.op {
            Op::CreateRun { metadata } => self.create(index, payload, command, metadata),
            Op::DeleteRun => self.delete(payload, command),
            _ => self.mutate_run(index, payload, command),
        }
    }

    fn mutate_run(&mut self, index: u64, payload: Payload, command: &Command) -> Result<Answer, Rejection> {
        let Data { quotas, clock, tenants, .. } = &mut self.data;
        let tenant = tenants.get_mut(&command.tenant).ok_or(Rejection::RunNotFound)?;
        let any = self.planted.is(Mutant::RunOfClaimIgnored) && matches!(command.op, Op::Claim { .. });
        let first = tenant.runs.keys().next().filter(|_| any).cloned();
        let run = tenant.runs.get_mut(first.as_ref().unwrap_or(&command.run)).ok_or(Rejection::RunNotFound)?;
        let shards = Quota {
            field: "quota.shards_per_tenant",
            max: quotas.shards_per_tenant.min(u64::from(u32::MAX)),
            used: tenant.shards,
        };
        let cx = Context { index, now: *clock, payload, planted: self.planted, floor: tenant.floor, shards };
        let before = run.shards.len();
        let answer = run.apply(&cx, command);
        tenant.shards += (run.shards.len() - before) as u64;
        answer
    }

    fn create(
        &mut self,
        index: u64,
        payload: Payload,
        command: &Command,
        metadata: &[u8],
    ) -> Result<Answer, Rejection> {
        let known = self.data.tenants.get(&command.tenant);
        if known.is_some_and(|tenant| tenant.runs.contains_key(&command.run)) {
            return self.mutate_run(index, payload, command);
        }
        let used = known.map_or(0, |tenant| tenant.runs.len() as u64);
        Quota { field: "quota.runs_per_tenant", max: self.data.quotas.runs_per_tenant, used }.admit(1)?;
        let run = Run::created(index, payload, command.op_id, metadata);
        let answer = Answer::Run(run.summary_now(&command.run));
        self.tenant_at_work(&command.tenant).runs.insert(command.run.clone(), run);
        Ok(answer)
    }

    /// A tenant that gets a run. A new one starts where no fence of a forgotten one comes again.
    fn tenant_at_work(&mut self, name: &TenantId) -> &mut Tenant {
        let Data { tenants, idle, floor, .. } = &mut self.data;
        let tenant = tenants.entry(name.clone()).or_insert_with(|| Tenant { floor: *floor, ..Tenant::default() });
        if tenant.runs.is_empty() {
            idle.retain(|other| other != name);
        }
        tenant
    }

    /// A tenant has no runs any more. The one that has had none for longest is forgotten, except that nobody gets a fence again.
    fn rest(&mut self, name: &TenantId) {
        let Data { tenants, idle, floor, .. } = &mut self.data;
        idle.push_back(name.clone());
        if idle.len() > IDLE_TENANTS
            && let Some(tenant) = idle.pop_front().and_then(|oldest| tenants.remove(&oldest))
        {
            *floor = tenant.floor.max(*floor);
        }
    }

    fn delete(&mut self, payload: Payload, command: &Command) -> Result<Answer, Rejection> {
        let tenant = self.data.tenants.get_mut(&command.tenant).ok_or(Rejection::RunNotFound)?;
        // First of all: a run of the same name may have been made since.
        if let Some((_, first)) = tenant.deletions.iter().find(|(op_id, _)| *op_id == command.op_id) {
            return if *first == payload { Ok(Answer::RunDeleted) } else { Err(Rejection::OpIdConflict) };
        }
        let run = tenant.runs.get(&command.run).ok_or(Rejection::RunNotFound)?;
        if run.log.contains(command.op_id) {
            return Err(Rejection::OpIdConflict);
        }
        let kept = self.planted.is(Mutant::FailedRunUndeletable) && run.status == RunStatus::Failed;
        let ended = run.status.is_terminal() || self.planted.is(Mutant::LiveRunDeletable);
        if !ended || kept {
            return Err(Rejection::RunNotEnded { status: run.status });
        }
        let highest = run.shards.iter().map(|shard| shard.fence).max().unwrap_or_default();
        tenant.floor = tenant.floor.max(highest);
        tenant.shards -= run.shards.len() as u64;
        tenant.runs.remove(&command.run);
        tenant.deletions.push_back((command.op_id, payload));
        if tenant.deletions.len() > DELETIONS_PER_TENANT {
            tenant.deletions.pop_front();
        }
        if tenant.runs.is_empty() {
            self.rest(&command.tenant);
        }
        Ok(Answer::RunDeleted)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("clock", &self.data.clock).field("totals", &self.totals()).finish_non_exhaustive()
    }
}
