//! The facts that one node has: its own and those of others.

use std::collections::BTreeMap;

use super::fact::{Delta, Fact, Invalid, MAX_KEYS, Version, check};
use crate::membership::NodeId;
use crate::mutants::{Mutant, Planted};

#[derive(Clone, Debug, Default)]
struct Owned {
    version: Version,
    facts: BTreeMap<String, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    value: String,
    counter: u64,
}

/// The facts of all nodes, as one of them has them.
#[derive(Clone, Debug)]
pub struct Facts {
    me: NodeId,
    owners: BTreeMap<NodeId, Owned>,
    planted: Planted,
}

impl Facts {
    /// Nothing published yet in a life that began at `incarnation`.
    pub fn new(me: NodeId, incarnation: u64, planted: Planted) -> Self {
        let own = Owned { version: Version { incarnation, counter: 0 }, facts: BTreeMap::new() };
        Facts { me, owners: BTreeMap::from([(me, own)]), planted }
    }

    /// Publishes a value in the place of the key's last one. False if it is the same: nothing changes then.
    pub fn publish(&mut self, key: &str, value: &str) -> Result<bool, Invalid> {
        check(key, value)?;
        let own = self.owners.entry(self.me).or_default();
        match own.facts.get(key) {
            Some(held) if held.value == value => return Ok(false),
            None if own.facts.len() >= MAX_KEYS => return Err(Invalid::new("key", "one more than the 64 of a node")),
            _ => {}
        }
        own.version.counter += 1;
        own.facts.insert(key.to_owned(), Held { value: value.to_owned(), counter: own.version.counter });
        Ok(true)
    }

    /// Begins a new life at `incarnation`: what was published stays, and outranks what earlier lives published.
    pub fn reborn(&mut self, incarnation: u64) {
        let own = self.owners.entry(self.me).or_default();
        own.version = Version { incarnation, counter: 0 };
        for held in own.facts.values_mut() {
            own.version.counter += 1;
            held.counter = own.version.counter;
        }
    }

    /// How much of an owner's facts is here; the least version if nothing is.
    pub fn version(&self, owner: NodeId) -> Version {
        self.owners.get(&owner).map_or(Version::default(), |owned| owned.version)
    }

    /// Whether a node that has `theirs` of an owner's facts lacks some.
    pub fn has_more(&self, owner: NodeId, theirs: Version) -> bool {
        let ours = self.version(owner);
        // The planted bug compares nothing, so that whoever speaks last is right.
        ours > theirs || (self.planted.is(Mutant::OlderFactOverwrites) && ours != theirs)
    }

    /// What a node that has `theirs` lacks of an owner's facts. `None` if it lacks nothing.
    pub fn delta(&self, owner: NodeId, theirs: Version) -> Option<Delta> {
        if self.planted.is(Mutant::GossipOwnFactsOnly) && owner != self.me {
            return None;
        }
        let owned = self.owners.get(&owner)?;
        let incarnation = owned.version.incarnation;
        if !self.has_more(owner, theirs) {
            return None;
        }
        let all = theirs.incarnation != incarnation || self.planted.is(Mutant::OlderFactOverwrites);
        let after = if all { 0 } else { theirs.counter };
        let mut facts: Vec<Fact> = owned
            .facts
            .iter()
            .filter(|(_, held)| held.counter > after)
            .map(|(key, held)| Fact { key: key.clone(), value: held.value.clone(), counter: held.counter })
            .collect();
        facts.sort_by_key(|fact| fact.counter);
        Some(Delta { owner, incarnation, after, facts })
    }

    /// Takes what is new of a checked delta; the keys that changed or ended with an earlier life. A delta that would leave a gap is not taken: the
    /// digest of the next round asks again.
    pub fn apply(&mut self, delta: &Delta) -> Vec<String> {
        let held = self.version(delta.owner);
        let newer_life = delta.incarnation > held.incarnation;
        let fits = if newer_life {
            delta.after == 0
        } else {
            delta.incarnation == held.incarnation && delta.after <= held.counter
        };
        let overwrite = self.planted.is(Mutant::OlderFactOverwrites);
        if delta.owner == self.me || !(fits || overwrite) {
            return Vec::new();
        }
        let owned = self.owners.entry(delta.owner).or_default();
        let mut changed = Vec::new();
        if newer_life {
            owned.version = Version { incarnation: delta.incarnation, counter: 0 };
            changed.extend(std::mem::take(&mut owned.facts).into_keys());
        }
        for fact in &delta.facts {
            let full = owned.facts.len() >= MAX_KEYS && !owned.facts.contains_key(&fact.key);
            if (fact.counter > owned.version.counter || overwrite) && !full {
                owned.version.counter = fact.counter;
                owned.facts.insert(fact.key.clone(), Held { value: fact.value.clone(), counter: fact.counter });
                if !changed.contains(&fact.key) {
                    changed.push(fact.key.clone());
                }
            }
        }
        changed
    }

    /// Drops the facts of a node that is remembered no longer.
    pub fn forget(&mut self, owner: NodeId) {
        if owner != self.me {
            self.owners.remove(&owner);
        }
    }

    /// The value that an owner published under a key.
    pub fn get(&self, owner: NodeId, key: &str) -> Option<&str> {
        self.owners.get(&owner)?.facts.get(key).map(|held| held.value.as_str())
    }

    /// Everything that an owner published, by key.
    pub fn of(&self, owner: NodeId) -> impl Iterator<Item = (&str, &str)> {
        let facts = self.owners.get(&owner).map(|owned| &owned.facts);
        facts.into_iter().flatten().map(|(key, held)| (key.as_str(), held.value.as_str()))
    }
}
