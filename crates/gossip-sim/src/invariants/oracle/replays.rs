//! S5: one op id, one effect, one answer, for as long as the answer is kept.
//!
//! What is kept follows from the answers alone: those of operations on runs, of completions and splits for ever; of all others, for
//! each shard, the newest that fit in both bounds of the op log. An op id beyond them is a new request, and is judged as one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gossip_core::coordination::{Answer, Command, OpId, Rejection, ShardId};

use super::Outcome;
use super::plain::shard_of;
use crate::invariants::{Checked, Rule, Violation, ensure};

/// The bounds of the op log, as `docs/protocol.md` states them: evictable answers of a shard, the bytes that they hold, and a tenant's
/// deletions.
const ANSWERS: usize = 64;
const BYTES: usize = 256 * 1024;
const DELETIONS: usize = 1_024;

/// Every answer that is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Replays {
    kept: BTreeMap<OpId, First>,
    /// The evictable ones of each shard.
    rings: BTreeMap<ShardId, Ring>,
    /// Answers that went for their number, and for their bytes.
    forgotten: (BTreeSet<OpId>, BTreeSet<OpId>),
    /// How many of these were asked for again.
    pub(super) asked_again: (u64, u64),
}

#[derive(Clone, Debug)]
struct First {
    command: Command,
    answer: Answer,
}

/// Oldest first, with the bytes that each weighs.
#[derive(Clone, Debug, Default)]
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
        same_or_conflict(&first.command, &first.answer, command, answer)?;
        Ok(true)
    }

    /// Whether the answer to this op id is kept.
    pub(super) fn knows(&self, op_id: OpId) -> bool {
        self.kept.contains_key(&op_id)
    }

    /// Remembers an operation that was carried out now, and forgets what no longer fits.
    pub(super) fn remember(&mut self, command: &Command, answer: &Answer) {
        let first = First { command: command.clone(), answer: answer.clone() };
        self.kept.insert(command.op_id, first);
        let pinned =
            matches!(answer, Answer::Run(_) | Answer::Completed | Answer::Replaced { .. } | Answer::Split { .. });
        let Some(shard) = owner_of(command, answer).filter(|_| !pinned) else { return };
        let ring = self.rings.entry(shard.clone()).or_default();
        ring.entries.push_back((command.op_id, weight(answer)));
        ring.bytes += weight(answer);
        while ring.entries.len() > ANSWERS || ring.bytes > BYTES {
            let many = ring.entries.len() > ANSWERS;
            let Some((oldest, bytes)) = ring.entries.pop_front() else { break };
            ring.bytes -= bytes;
            self.kept.remove(&oldest);
            let gone = if many { &mut self.forgotten.0 } else { &mut self.forgotten.1 };
            gone.insert(oldest);
        }
    }
}

/// The newest deletions of a tenant: a run that is gone remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Deletions(VecDeque<Command>);

impl Deletions {
    /// Whether this is a replay of a deletion, or a conflict with one.
    pub(super) fn check(&self, command: &Command, answer: &Outcome) -> Result<bool, Violation> {
        let Some(first) = self.0.iter().find(|first| first.op_id == command.op_id) else { return Ok(false) };
        same_or_conflict(first, &Answer::RunDeleted, command, answer)?;
        Ok(true)
    }

    pub(super) fn remember(&mut self, command: &Command) {
        self.0.push_back(command.clone());
        if self.0.len() > DELETIONS {
            self.0.pop_front();
        }
    }
}

/// An op id that is known: the same request gets its first answer again, another one is refused.
fn same_or_conflict(first: &Command, told: &Answer, command: &Command, answer: &Outcome) -> Checked {
    if first == command {
        return ensure(answer.as_ref() == Ok(told), Rule::S5, || {
            format!("{command:?} was answered {told:?}, and now {answer:?}")
        });
    }
    ensure(matches!(answer, Err(Rejection::OpIdConflict)), Rule::S5, || {
        format!("{command:?} has the op id of {first:?}, and was answered {answer:?}")
    })
}

/// Bytes of range and cursor that a kept answer holds.
fn weight(answer: &Answer) -> usize {
    let Answer::Granted(grant) = answer else { return 0 };
    let cursor = grant.cursor.as_ref().map_or(0, |cursor| cursor.key.len() + cursor.token.len());
    grant.range.start.len() + grant.range.end.len() + cursor
}

fn owner_of<'a>(command: &'a Command, answer: &'a Answer) -> Option<&'a ShardId> {
    match answer {
        Answer::Granted(grant) => Some(&grant.shard),
        _ => shard_of(&command.op),
    }
}
