//! S5: one op id, one effect, one answer.

use std::collections::BTreeMap;

use gossip_core::coordination::limits::OP_LOG_PER_SHARD;
use gossip_core::coordination::{Answer, Command, OpId, Rejection, ShardId};

use super::Outcome;
use crate::invariants::{Rule, Violation, ensure};

/// Every operation that was carried out, for ever.
#[derive(Debug, Default)]
pub(super) struct Replays {
    first: BTreeMap<OpId, First>,
    /// Evictable operations carried out so far on each shard.
    evictable: BTreeMap<ShardId, u64>,
}

#[derive(Debug)]
struct First {
    command: Command,
    answer: Answer,
    /// Its number among its shard's evictable operations.
    number: Option<u64>,
}

impl Replays {
    /// Whether this is a replay, or a conflict: then it had no effect.
    pub(super) fn check(&self, command: &Command, answer: &Outcome) -> Result<bool, Violation> {
        let Some(first) = self.first.get(&command.op_id) else {
            let conflict = matches!(answer, Err(Rejection::OpIdConflict));
            ensure(!conflict, Rule::S5, || format!("{command:?} is refused as a conflict, and its op id is new"))?;
            return Ok(false);
        };
        if self.may_be_evicted(first) {
            let known = matches!(answer, Err(Rejection::OpIdConflict)) || answer.as_ref() == Ok(&first.answer);
            return Ok(known);
        }
        let unknown = matches!(answer, Err(Rejection::ShardNotFound | Rejection::RunNotFound));
        if first.command == *command {
            ensure(answer.as_ref() == Ok(&first.answer), Rule::S5, || {
                format!("{command:?} was answered {:?}, and now {answer:?}", first.answer)
            })?;
        } else if !unknown {
            ensure(matches!(answer, Err(Rejection::OpIdConflict)), Rule::S5, || {
                format!("{command:?} has the op id of {:?}, and was answered {answer:?}", first.command)
            })?;
        }
        Ok(true)
    }

    /// Whether so much has happened on its shard that its answer may be forgotten.
    fn may_be_evicted(&self, first: &First) -> bool {
        let (Some(number), Some(shard)) = (first.number, shard_of(&first.command, &first.answer)) else { return false };
        self.evictable.get(shard).is_some_and(|&count| count >= number + OP_LOG_PER_SHARD as u64)
    }

    /// Remembers an operation that was carried out now.
    pub(super) fn remember(&mut self, command: &Command, answer: &Outcome) {
        let Ok(answer) = answer else { return };
        let pinned = matches!(
            answer,
            Answer::Run(_) | Answer::RunDeleted | Answer::Completed | Answer::Replaced { .. } | Answer::Split { .. }
        );
        let number = shard_of(command, answer).filter(|_| !pinned).map(|shard| {
            let count = self.evictable.entry(shard.clone()).or_default();
            *count += 1;
            *count
        });
        let first = First { command: command.clone(), answer: answer.clone(), number };
        self.first.insert(command.op_id, first);
    }
}

fn shard_of<'a>(command: &'a Command, answer: &'a Answer) -> Option<&'a ShardId> {
    match answer {
        Answer::Granted(grant) => Some(&grant.shard),
        _ => command.op.shard(),
    }
}
