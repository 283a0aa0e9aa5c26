//! What was published, by origin and version.

use std::collections::BTreeMap;

use super::api::{History, Run};
use super::versions::{Origin, Versions};
use crate::mutants::{Mutant, Planted};

/// The newest `payloads.len()` payloads of one origin, of which the last has version `last`.
#[derive(Clone, Debug)]
struct Log<P> {
    last: u64,
    payloads: Vec<P>,
}

#[derive(Clone, Debug)]
pub(super) struct Store<P> {
    history: History,
    planted: Planted,
    logs: BTreeMap<Origin, Log<P>>,
    versions: Versions,
}

impl<P: Clone> Store<P> {
    pub(super) fn new(history: History, planted: Planted) -> Self {
        Store { history, planted, logs: BTreeMap::new(), versions: Versions::default() }
    }

    pub(super) fn versions(&self) -> &Versions {
        &self.versions
    }

    pub(super) fn publish(&mut self, origin: Origin, payload: P) {
        let version = self.versions.get(origin) + 1;
        self.append(origin, version, payload);
    }

    /// Takes what is new of a run; gives it back with its versions. A run that begins after a gap is left for a later pull.
    pub(super) fn merge(&mut self, run: Run<P>) -> Vec<(u64, P)> {
        let first = run.first.max(1);
        // The version after the last one is counted on too. A range without an end would step beyond it.
        let Some(end) = first.checked_add(run.payloads.len() as u64) else { return Vec::new() };
        let have = self.versions.get(run.origin);
        let payloads: Vec<(u64, P)> = (first..end).zip(run.payloads).filter(|(v, _)| *v > have).collect();
        let new = match (self.history, payloads.first()) {
            (_, None) => return Vec::new(),
            (History::All, Some((first, _))) if *first > have + 1 && !self.planted.is(Mutant::GapAcknowledged) => {
                return Vec::new();
            }
            (History::All, Some(_)) => payloads,
            (History::Newest, Some(_)) => payloads.into_iter().last().into_iter().collect(),
        };
        for (version, payload) in &new {
            self.append(run.origin, *version, payload.clone());
        }
        new
    }

    /// Everything here that is beyond `known`.
    pub(super) fn beyond(&self, known: &Versions) -> Vec<Run<P>> {
        let run = |(origin, log): (&Origin, &Log<P>)| {
            let missing = usize::try_from(log.last.checked_sub(known.get(*origin))?).unwrap_or(usize::MAX);
            let count = missing.min(log.payloads.len());
            let payloads = log.payloads[log.payloads.len() - count..].to_vec();
            (count > 0).then(|| Run { origin: *origin, first: log.last + 1 - count as u64, payloads })
        };
        self.logs.iter().filter_map(run).collect()
    }

    fn append(&mut self, origin: Origin, version: u64, payload: P) {
        let log = self.logs.entry(origin).or_insert_with(|| Log { last: 0, payloads: Vec::new() });
        if self.history == History::Newest {
            log.payloads.clear();
        }
        log.payloads.push(payload);
        log.last = version;
        self.versions.set(origin, version);
    }
}
