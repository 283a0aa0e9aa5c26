//! Linearizable reads: gathered into batches, each confirmed by one round of ReadIndex.

use std::collections::{BTreeMap, VecDeque};

use super::api::{NodeId, Token};
use super::machine::StateMachine;
use crate::time::Time;

/// A read that its caller waits for.
type Asked<M> = (Token, <M as StateMachine>::Query);

#[derive(Debug)]
struct Batch<M: StateMachine> {
    reads: Vec<Asked<M>>,
    /// Refused when this comes.
    until: Time,
    /// Asked again when this comes: the question or the answer may be lost.
    retry: Time,
}

/// The reads of one node.
#[derive(Debug)]
pub(super) struct Reads<M: StateMachine> {
    /// Came in since the last question.
    fresh: Vec<Asked<M>>,
    asked: BTreeMap<u64, Batch<M>>,
    /// Confirmed for this index; it must be applied first.
    confirmed: VecDeque<(u64, Vec<Asked<M>>)>,
    next: u64,
    count: usize,
}

impl<M: StateMachine> Default for Reads<M> {
    fn default() -> Self {
        Reads { fresh: Vec::new(), asked: BTreeMap::new(), confirmed: VecDeque::new(), next: 0, count: 0 }
    }
}

/// Questions under way at once. More reads than these gather in the next batch.
const MAX_ASKED: usize = 4;

impl<M: StateMachine> Reads<M> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, token: Token, query: M::Query) {
        self.fresh.push((token, query));
        self.count += 1;
    }

    /// Makes a batch of what is fresh, and returns the number to ask with.
    pub(super) fn ask(&mut self, until: Time, retry: Time) -> Option<u64> {
        if self.fresh.is_empty() || self.asked.len() >= MAX_ASKED {
            return None;
        }
        self.next += 1;
        let reads = std::mem::take(&mut self.fresh);
        self.asked.insert(self.next, Batch { reads, until, retry });
        Some(self.next)
    }

    /// The numbers that must be asked again by now.
    pub(super) fn retries(&mut self, now: Time, next: Time) -> Vec<u64> {
        let due = self.asked.iter_mut().filter(|(_, batch)| batch.retry <= now);
        due.map(|(number, batch)| {
            batch.retry = next;
            *number
        })
        .collect()
    }

    /// The answer to a question: everything up to `index` was committed when it was asked.
    pub(super) fn confirm(&mut self, number: u64, index: u64) {
        if let Some(batch) = self.asked.remove(&number) {
            self.confirmed.push_back((index, batch.reads));
        }
    }

    /// The reads that may be served now that `applied` is reached.
    pub(super) fn servable(&mut self, applied: u64) -> Vec<Asked<M>> {
        let mut ready = Vec::new();
        self.confirmed.retain_mut(|(index, reads)| {
            if *index <= applied {
                ready.append(reads);
            }
            *index > applied
        });
        self.count -= ready.len();
        ready
    }

    /// The reads that nobody confirmed in time.
    pub(super) fn expired(&mut self, now: Time) -> Vec<Token> {
        let late: Vec<u64> = self.asked.iter().filter(|(_, b)| b.until <= now).map(|(n, _)| *n).collect();
        let batches = late.iter().filter_map(|n| self.asked.remove(n));
        let tokens: Vec<Token> = batches.flat_map(|b| b.reads).map(|(token, _)| token).collect();
        self.count -= tokens.len();
        tokens
    }

    /// Forgets a read whose caller has gone.
    pub(super) fn cancel(&mut self, token: Token) -> bool {
        let all =
            self.asked.values_mut().map(|b| &mut b.reads).chain(self.confirmed.iter_mut().map(|(_, reads)| reads));
        for reads in all.chain([&mut self.fresh]) {
            if let Some(at) = reads.iter().position(|(t, _)| *t == token) {
                reads.remove(at);
                self.count -= 1;
                return true;
            }
        }
        false
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Time {
        self.asked.values().map(|b| b.until.min(b.retry)).min().unwrap_or(Time::MAX)
    }
}

/// The context of a question: raft keys a map with it. `start` differs from one life of a node to the next, so that an answer to an
/// earlier life's question is never taken for one of this life.
pub(super) fn context(id: NodeId, start: u64, number: u64) -> Vec<u8> {
    [id, start, number].iter().flat_map(|part| part.to_be_bytes()).collect()
}

/// The number in a context that this life of this node made.
pub(super) fn number_of(context: &[u8], id: NodeId, start: u64) -> Option<u64> {
    let (prefix, number) = context.split_at_checked(16)?;
    let ours = [id.to_be_bytes(), start.to_be_bytes()].concat();
    (prefix == ours).then_some(())?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}
