//! What the service may have forgotten of its answers, as `docs/protocol.md` has it (*How long an answer can be replayed*).
//!
//! The answers of `complete`, of splits and of operations on runs stay as long as the run. Those of all other mutations share
//! a ring for each shard: the newest 64, fewer if they would hold more than 256 KiB of ranges and cursors, but always three.
//! An op id whose answer is forgotten is a new request.
//!
//! Whether an answer was forgotten is not in the history, so it is asked whether it *may* have been: whether so many other
//! op ids may have put an answer into the ring between the earliest moment at which the answer may have been put there and
//! the moment in question. A call that was never answered may have done so at any time after its invocation; a claim that
//! never was, in any ring. It is enough to count each op id once: the first that gets into a ring twice must have been
//! forgotten in between, and by so many others. Tries that the recorder does not note are taken to end with the call.
//!
//! The bytes are those of the longest range and cursor anywhere in the history, since what a lost grant held is not told. A
//! cursor's token stands beside its key, or as the `:ids` that Jepsen's tier keeps in it.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use super::facts::cursor_key;
use crate::history::{Call, Name, Value};

/// Answers in a ring, if they are small.
const KEPT: usize = 64;
/// Answers in a ring, however large they are.
const ALWAYS_KEPT: usize = 3;
/// Bytes of ranges and cursors in a ring.
const BYTES: usize = 256 * 1024;
/// Bytes of one id in a token, at most.
const ID_BYTES: usize = 8;

/// What the service says in an answer.
pub(super) const ANSWERED: [&str; 7] = ["shard", "fence", "granted", "deadline", "cursor", "children", "residual"];

/// Whether the service said the same to both calls.
pub(crate) fn same_answer(a: &Call<'_>, b: &Call<'_>) -> bool {
    ANSWERED.iter().all(|key| a.answer(key) == b.answer(key))
}

/// Whether the answer to such an operation can be forgotten while its run is there.
fn is_evictable(f: &str) -> bool {
    matches!(f, "acquire" | "claim" | "renew" | "checkpoint" | "release" | "park" | "unpark")
}

/// A call that may have put an answer into a ring.
#[derive(Debug)]
struct Logged<'a> {
    at: usize,
    end: usize,
    /// None has one of its own.
    id: Option<Name<'a>>,
}

#[derive(Debug)]
struct Rings<'a> {
    /// In order of invocation.
    by_shard: HashMap<Name<'a>, Vec<Logged<'a>>>,
    lost_claims: Vec<Logged<'a>>,
    /// Deletions of runs that may have happened: the place of the invocation and of the end.
    deletions: Vec<(usize, usize)>,
    kept: usize,
}

/// Answers about one history. What it takes to know is gathered when it is first asked, which few histories do.
#[derive(Debug)]
pub(crate) struct OpLog<'c, 'a> {
    calls: &'c [Call<'a>],
    rings: OnceCell<Rings<'a>>,
}

impl<'c, 'a> OpLog<'c, 'a> {
    pub(crate) fn new(calls: &'c [Call<'a>]) -> Self {
        Self { calls, rings: OnceCell::new() }
    }

    /// Whether what was answered to `call`, and put into the op log at place `from` or later, may be forgotten at some place
    /// before `until`.
    pub(crate) fn may_have_forgotten(&self, call: &Call<'a>, from: usize, until: usize) -> bool {
        let rings = self.rings.get_or_init(|| rings(self.calls));
        let deleted = rings.deletions.iter().any(|(at, end)| *at < until && from < *end);
        deleted || (is_evictable(call.f()) && rings.others(call, from, until) >= rings.kept)
    }
}

impl Rings<'_> {
    /// How many other operations may have been put into the ring in between; counts no further than it must.
    fn others(&self, call: &Call<'_>, from: usize, until: usize) -> usize {
        let own = call.op_id();
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        let mut nameless = 0;
        let shard = call.shard();
        let ring = shard.as_ref().and_then(|shard| self.by_shard.get(shard)).map(Vec::as_slice).unwrap_or_default();
        // A claim of which nothing is known may have been in the ring of any shard.
        let all = self.by_shard.values().filter(|_| shard.is_none()).map(Vec::as_slice);
        for ring in all.chain([ring, &self.lost_claims]) {
            let begun = ring.partition_point(|logged| logged.at < until);
            for logged in ring[..begun].iter().rev().filter(|logged| from < logged.end) {
                match &logged.id {
                    Some(id) if own.as_ref() == Some(id) => {}
                    Some(id) => {
                        ids.insert(id);
                    }
                    None => nameless += 1,
                }
                if ids.len() + nameless >= self.kept {
                    return self.kept;
                }
            }
        }
        ids.len() + nameless
    }
}

fn rings<'a>(calls: &[Call<'a>]) -> Rings<'a> {
    let mut rings = Rings { by_shard: HashMap::new(), lost_claims: Vec::new(), deletions: Vec::new(), kept: KEPT };
    for call in calls.iter().filter(|c| !c.failed()) {
        if call.f() == "delete-run" {
            rings.deletions.push((call.at, call.end()));
        }
        if !is_evictable(call.f()) {
            continue;
        }
        let logged = Logged { at: call.at, end: call.end(), id: call.op_id() };
        match call.shard() {
            Some(shard) => rings.by_shard.entry(shard).or_default().push(logged),
            None => rings.lost_claims.push(logged),
        }
    }
    let bytes =
        calls.iter().map(largest_key).max().unwrap_or(0) * 2 + calls.iter().map(cursor_bytes).max().unwrap_or(0);
    rings.kept = BYTES.checked_div(bytes).unwrap_or(KEPT).clamp(ALWAYS_KEPT, KEPT);
    rings
}

/// Bytes of the longest bound of a range that the call names.
fn largest_key(call: &Call<'_>) -> usize {
    let listed = ["shards", "children"].iter().filter_map(|key| call.output(key)?.items()).flatten();
    let ranges = listed.chain(call.output("residual"));
    let bounds = ranges.flat_map(|range| ["start", "end"].map(|key| range.some(key)));
    bounds.flatten().filter_map(Value::as_str).map(|hex| hex.len().div_ceil(2)).max().unwrap_or(0)
}

/// Bytes of the cursor that the call names.
fn cursor_bytes(call: &Call<'_>) -> usize {
    let cursor = call.output("cursor");
    let key = cursor_key(cursor).map_or(0, |hex| hex.len().div_ceil(2));
    let token = cursor.and_then(|c| c.some("token")).and_then(Value::as_str).map_or(0, str::len);
    let ids = call.output("ids").and_then(Value::items).map_or(0, |ids| ids.len() * ID_BYTES);
    key + token + ids
}
