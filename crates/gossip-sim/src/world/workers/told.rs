//! What of the workers' doings stands in the history.

use gossip_check::history::Value;
use gossip_core::coordination::{Query, RunId, TenantQuery};

use crate::history;
use crate::world::request::Ask;

/// Whether the history tells of this run: side runs come and go unseen.
pub(in crate::world) fn stands_in_history(run: &RunId) -> bool {
    run.as_str().starts_with(['r', super::brief::INITIAL])
}

/// The word for it in histories, and what it says there.
pub(super) fn told(ask: &Ask) -> (&'static str, Option<Value>) {
    match ask {
        Ask::Submit { command, .. } => (command.op.name(), history::invocation(command)),
        Ask::Query { query, stale } => match &query.query {
            Query::Shard { shard, .. } => {
                let value = Value::map([("shard", shard.as_str())]);
                ("read-shard", Some(if *stale { value.with("stale", true) } else { value }))
            }
            _ => ("read", None),
        },
        Ask::Change(_) => ("change", None),
    }
}

/// Whether the history tells of what is asked.
pub(super) fn is_told(ask: &Ask) -> bool {
    match ask {
        Ask::Submit { command, .. } => stands_in_history(&command.run),
        Ask::Query { query: TenantQuery { query: Query::Shard { run, .. }, .. }, .. } => stands_in_history(run),
        _ => false,
    }
}
