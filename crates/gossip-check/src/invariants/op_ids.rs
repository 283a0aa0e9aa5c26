//! Which calls are tries of one operation.
//!
//! An op id counts within its run, that of a deletion within its tenant, since the run is gone (`docs/protocol.md`, *The order of
//! checks*). A history is of one tenant. Where nobody tells the run of a shard, the id counts within the shard: the same id on
//! another may be of another run.

use std::collections::HashMap;

use super::facts::{Runs, is_of_service};
use crate::history::{Call, Name, name};

/// Where an op id counts.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Scope<'a> {
    Deletions,
    Run(Name<'a>),
    Shard(Name<'a>),
    Unknown,
}

fn scope<'a>(call: &Call<'a>, runs: &Runs<'a>) -> Scope<'a> {
    if call.f() == "delete-run" {
        return Scope::Deletions;
    }
    match (run_of(call, runs), call.shard()) {
        (Some(run), _) => Scope::Run(run),
        (None, Some(shard)) => Scope::Shard(shard),
        (None, None) => Scope::Unknown,
    }
}

/// The run that a call is about, as far as it is known. What a recorder notes of its own is about none.
pub(crate) fn run_of<'a>(call: &Call<'a>, runs: &Runs<'a>) -> Option<Name<'a>> {
    if !is_of_service(call.f()) {
        return None;
    }
    call.input("run").map(name).or_else(|| runs.get(&call.shard()?).cloned())
}

/// For each call the number of the operation that it is a try of. A call without an op id is the only one of its own.
pub(crate) fn operations<'a>(calls: &[Call<'a>], runs: &Runs<'a>) -> Vec<usize> {
    let mut known: HashMap<(Scope<'a>, Name<'a>), usize> = HashMap::new();
    let number = |(place, call): (usize, &Call<'a>)| match call.op_id() {
        Some(id) => *known.entry((scope(call, runs), id)).or_insert(place),
        None => place,
    };
    calls.iter().enumerate().map(number).collect()
}
