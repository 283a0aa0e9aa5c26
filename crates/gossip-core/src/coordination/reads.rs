//! Reads of the state as it stands.

use std::ops::Bound;

use serde::Serialize;

use super::answer::{LeaseView, Query, RunStatus, ShardStatus, ShardView, TenantQuery, View};
use super::command::size;
use super::error::Rejection;
use super::ids::{Invalid, RunId, ShardId, TenantId};
use super::limits::{MAX_PAGE, MAX_PAGE_BYTES};
use super::run::Run;
use super::shard::{Shard, Slot};
use super::state::State;
use crate::mutants::Mutant;

impl State {
    pub(super) fn view(&self, TenantQuery { tenant, query }: &TenantQuery) -> Result<View, Rejection> {
        match query {
            Query::Run { run } => {
                let mut summary = self.run(tenant, run)?.summary_now(run);
                if self.planted.is(Mutant::EndedRunForgotten) && summary.status.is_terminal() {
                    return Err(Rejection::RunNotFound);
                }
                if self.planted.is(Mutant::FailedRunReadsCancelled) && summary.status == RunStatus::Failed {
                    summary.status = RunStatus::Cancelled;
                }
                Ok(View::Run(summary))
            }
            Query::Runs { after, limit } => self.list_runs(tenant, after.as_ref(), check_limit(*limit)?),
            Query::Shard { run, shard } => {
                let run = self.run(tenant, run)?;
                Ok(View::Shard(run.view(run.slot(shard)?)))
            }
            Query::Shards { run, after, status, limit } => {
                Ok(self.run(tenant, run)?.list(after.as_ref(), *status, check_limit(*limit)?))
            }
        }
    }

    pub(super) fn run(&self, tenant: &TenantId, run: &RunId) -> Result<&Run, Rejection> {
        self.data.tenants.get(tenant).and_then(|tenant| tenant.runs.get(run)).ok_or(Rejection::RunNotFound)
    }

    /// A tenant that was never heard of has no runs, which is no error.
    fn list_runs(&self, tenant: &TenantId, after: Option<&RunId>, limit: usize) -> Result<View, Rejection> {
        let runs = self.data.tenants.get(tenant).map(|tenant| &tenant.runs);
        let rest = runs.into_iter().flat_map(|runs| runs.range((past(after), Bound::Unbounded)));
        let (runs, more) = page(rest.map(|(name, run)| run.summary_now(name)), limit);
        Ok(View::Runs { runs, more })
    }
}

impl Run {
    fn list(&self, after: Option<&ShardId>, status: Option<ShardStatus>, limit: usize) -> View {
        let all = self.names.range((past(after), Bound::Unbounded)).map(|(_, &slot)| slot);
        let rest = all.filter(|&slot| status.is_none_or(|status| self.shard(slot).status == status));
        let (shards, more) = page(rest.map(|slot| self.view(slot)), limit);
        View::Shards { shards, more }
    }

    fn view(&self, slot: Slot) -> ShardView {
        let Shard { name, root, parent, range, status, fence, lease, cursor, reason, .. } = self.shard(slot);
        ShardView {
            shard: name.clone(),
            parent: parent.map(|parent| self.shard(parent).name.clone()),
            range: (**range).clone(),
            status: *status,
            fence: *fence,
            lease: lease.as_ref().map(|lease| LeaseView {
                worker: lease.worker.clone(),
                granted: lease.granted,
                deadline: lease.deadline,
            }),
            cursor: cursor.as_deref().cloned(),
            metadata: self.roots[*root as usize].metadata.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The rows of one page, and whether more come after them.
fn page<T: Serialize>(rows: impl Iterator<Item = T>, limit: usize) -> (Vec<T>, bool) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        bytes += size(&row);
        if !page.is_empty() && (page.len() == limit || bytes > MAX_PAGE_BYTES) {
            return (page, true);
        }
        page.push(row);
    }
    (page, false)
}

fn past<T>(after: Option<&T>) -> Bound<&T> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

fn check_limit(limit: usize) -> Result<usize, Rejection> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Invalid::new("page_size", format!("must be 1 to {MAX_PAGE}, is {limit}")).into())
}
