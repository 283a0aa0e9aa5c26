//! Version vectors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::NodeIndex;

/// Who published: a node in one of its lives. A node that forgot what it published starts a new life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node.
    pub node: NodeIndex,
    /// Differs from life to life of the node.
    pub life: u64,
}

/// For each origin the highest version up to which everything is there; versions count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(NodeIndex, u64, u64)>", into = "Vec<(NodeIndex, u64, u64)>")]
pub struct Versions(BTreeMap<Origin, u64>);

impl From<Vec<(NodeIndex, u64, u64)>> for Versions {
    fn from(list: Vec<(NodeIndex, u64, u64)>) -> Self {
        Versions(list.into_iter().map(|(node, life, version)| (Origin { node, life }, version)).collect())
    }
}

impl From<Versions> for Vec<(NodeIndex, u64, u64)> {
    fn from(versions: Versions) -> Self {
        versions.0.into_iter().map(|(origin, version)| (origin.node, origin.life, version)).collect()
    }
}

impl Versions {
    /// The version of one origin, 0 if nothing of it is known.
    pub fn get(&self, origin: Origin) -> u64 {
        self.0.get(&origin).copied().unwrap_or(0)
    }

    /// Whether nothing of anybody is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everything that `other` has is here.
    pub fn covers(&self, other: &Versions) -> bool {
        other.0.iter().all(|(origin, version)| self.get(*origin) >= *version)
    }

    pub(super) fn set(&mut self, origin: Origin, version: u64) {
        self.0.insert(origin, version);
    }

    pub(super) fn merge(&mut self, other: &Versions) {
        for (origin, version) in &other.0 {
            let mine = self.0.entry(*origin).or_default();
            *mine = (*mine).max(*version);
        }
    }
}
