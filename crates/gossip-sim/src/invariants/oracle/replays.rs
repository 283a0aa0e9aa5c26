//! S5: one op id, one effect, one answer, for as long as the answer is kept.
//!
//! What is kept follows from the answers alone: those of operations on runs, of completions and splits for ever; of all others, for
//! each shard, the newest that fit in both bounds of the op log. An op id beyond them is a new request, and is judged as one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gossip_core::coordination::limits::{OP_LOG_BYTES_PER_SHARD, OP_LOG_PER_SHARD};
use gossip_core::coordination::{Answer, Command, OpId, Rejection, ShardId};

use super::Outcome;
use crate::invariants::{Rule, Violation, ensure};

/// Every answer that is kept.
#[derive(Debug, Default)]
pub(super) struct Replays {
    kept: BTreeMap<OpId, First>,
    /// The evictable ones of each shard.
    rings: BTreeMap<ShardId, Ring>,
    /// Answers that went for their number, and for their bytes.
    forgotten: (BTreeSet<OpId>, BTreeSet<OpId>),
    /// How many of these were asked for again.
    pub(super) asked_again: (u64, u64),
}

#[derive(Debug)]
struct First {
    command: Command,
    answer: Answer,
}

/// Oldest first, with the bytes that each weighs.
#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<(OpId, usize)>,
    bytes: usize,
}

impl Replays {
    /// Whether this is a replay, or a conflict: then it had no effect.
    pub(super) fn check(&mut self, command: &Command, answer: &Outcome) -> Result<bool, Violation> {
        let Some(first) = self.kept.get(&command.op_id) else {
            let conflict = matches!(answer, Err(Rejection::OpIdConflict));
            ensure(!conflict, Rule::S5, || {
                format!("{command:?} is refused as a conflict, and its op id is not known")
            })?;
            self.asked_again.0 += u64::from(self.forgotten.0.contains(&command.op_id));
            self.asked_again.1 += u64::from(self.forgotten.1.contains(&command.op_id));
            return Ok(false);
        };
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

    /// Remembers an operation that was carried out now, and forgets what no longer fits.
    pub(super) fn remember(&mut self, command: &Command, answer: &Outcome) {
        let Ok(answer) = answer else { return };
        let first = First { command: command.clone(), answer: answer.clone() };
        self.kept.insert(command.op_id, first);
        let pinned = matches!(
            answer,
            Answer::Run(_) | Answer::RunDeleted | Answer::Completed | Answer::Replaced { .. } | Answer::Split { .. }
        );
        let Some(shard) = shard_of(command, answer).filter(|_| !pinned) else { return };
        let ring = self.rings.entry(shard.clone()).or_default();
        ring.entries.push_back((command.op_id, weight(answer)));
        ring.bytes += weight(answer);
        while ring.entries.len() > OP_LOG_PER_SHARD || ring.bytes > OP_LOG_BYTES_PER_SHARD {
            let many = ring.entries.len() > OP_LOG_PER_SHARD;
            let Some((oldest, bytes)) = ring.entries.pop_front() else { break };
            ring.bytes -= bytes;
            self.kept.remove(&oldest);
            let gone = if many { &mut self.forgotten.0 } else { &mut self.forgotten.1 };
            gone.insert(oldest);
        }
    }
}

/// Bytes of range and cursor that a kept answer holds.
fn weight(answer: &Answer) -> usize {
    let Answer::Granted(grant) = answer else { return 0 };
    let cursor = grant.cursor.as_ref().map_or(0, |cursor| cursor.key.len() + cursor.token.len());
    grant.range.start.len() + grant.range.end.len() + cursor
}

fn shard_of<'a>(command: &'a Command, answer: &'a Answer) -> Option<&'a ShardId> {
    match answer {
        Answer::Granted(grant) => Some(&grant.shard),
        _ => command.op.shard(),
    }
}
