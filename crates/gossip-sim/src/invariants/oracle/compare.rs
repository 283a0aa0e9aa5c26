//! The records of a real state against what the answers said.

use gossip_core::consensus::StateMachine;
use gossip_core::coordination::answer::ShardView;
use gossip_core::coordination::{
    Answer, Command, Query, Rejection, RunId, ShardId, State, TenantId, TenantQuery, View,
};

use super::plain::shard_of;
use super::{Oracle, Run, Shard, key};
use crate::invariants::{Checked, Rule, Violation, ensure};

impl Oracle {
    /// Compares what `command`, which was just carried out, may have touched.
    pub fn compare_touched(&self, command: &Command, answer: &Result<Answer, Rejection>, state: &State) -> Checked {
        let Some(run) = self.runs.get(&key(command)) else { return Ok(()) };
        let whole =
            matches!(answer, Ok(Answer::Run(_) | Answer::Replaced { .. } | Answer::Split { .. } | Answer::RunDeleted));
        if whole {
            state.check_invariants().map_err(|violation| Violation::new(Rule::State, violation.to_string()))?;
            return run.compare(&command.tenant, &command.run, state);
        }
        let touched = match answer {
            Ok(Answer::Granted(grant)) => Some(&grant.shard),
            _ => shard_of(&command.op),
        };
        let Some(name) = touched else { return Ok(()) };
        let query = Query::Shard { run: command.run.clone(), shard: name.clone() };
        match (read(state, &command.tenant, query)?, run.shards.get(name)) {
            (View::Shard(view), Some(shard)) => shard.compare(name, &view),
            (view, shard) => Err(Violation::new(Rule::State, format!("{name} is {view:?}, it should be {shard:?}"))),
        }
    }

    /// Compares all records.
    pub fn compare_all(&self, state: &State) -> Checked {
        self.runs.iter().try_for_each(|((tenant, name), run)| run.compare(tenant, name, state))
    }
}

fn read(state: &State, tenant: &TenantId, query: Query) -> Result<View, Violation> {
    let query = TenantQuery { tenant: tenant.clone(), query };
    state.read(&query).map_err(|why| Violation::new(Rule::State, format!("{query:?} is refused: {why}")))
}

impl Run {
    fn compare(&self, tenant: &TenantId, name: &RunId, state: &State) -> Checked {
        let mut after: Option<ShardId> = None;
        let mut seen = 0;
        loop {
            let query = Query::Shards { run: name.clone(), after: after.clone(), status: None, limit: 1000 };
            let View::Shards { shards, more } = read(state, tenant, query)? else {
                return Err(Violation::new(Rule::State, format!("{name} has no list of shards")));
            };
            for view in &shards {
                let own = self.shards.get(&view.shard);
                let Some(own) = own else {
                    return Err(Violation::new(Rule::State, format!("{view:?} was never made")));
                };
                own.compare(&view.shard, view)?;
            }
            seen += shards.len();
            if !more {
                break;
            }
            after = shards.last().map(|last| last.shard.clone());
        }
        ensure(seen == self.shards.len(), Rule::S4, || {
            format!("{name} has {seen} shards, {} were made", self.shards.len())
        })
    }
}

impl Shard {
    fn compare(&self, name: &ShardId, view: &ShardView) -> Checked {
        let lease = match (&self.lease, &view.lease) {
            (None, None) => true,
            (Some(own), Some(told)) => {
                own.worker == told.worker && own.granted == told.granted && own.deadline == told.deadline
            }
            _ => false,
        };
        let describe = || format!("{name} should be {self:?}, is {view:?}");
        ensure(self.status == view.status, Rule::S3, describe)?;
        ensure(self.fence == view.fence, Rule::S2, describe)?;
        ensure(lease, Rule::S1, describe)?;
        ensure(self.span.is(&view.range), Rule::S4, describe)?;
        ensure(self.cursor == view.cursor, Rule::S7, describe)
    }
}
