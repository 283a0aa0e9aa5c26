//! Broadcast, sets and counters: what a node's clients gave it, on its way to all nodes.

use std::collections::{BTreeMap, BTreeSet};

use gossip_core::broadcast::{Broadcast, Config, History, Input, Message, NodeIndex, Origin, Output, View};
use gossip_core::mutants::Planted;
use gossip_core::time::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::{Code, Fault, canonical};

/// What the nodes' payloads add up to.
pub(super) trait Sum: Default + std::fmt::Debug {
    type Payload: Clone + std::fmt::Debug + Serialize + DeserializeOwned;
    /// Names it in messages between nodes.
    const KIND: &'static str;
    const HISTORY: History;

    /// Adds what a client gave this node; gives what to publish.
    fn give(&mut self, me: Origin, given: Self::Payload) -> Result<Option<Self::Payload>, Fault>;
    /// Takes what another node published.
    fn take(&mut self, origin: Origin, payload: Self::Payload);
}

/// Everything that was ever broadcast or added, each value once.
#[derive(Debug, Default)]
pub(super) struct Values {
    known: BTreeSet<String>,
    pub(super) list: Vec<Value>,
}

impl Sum for Values {
    type Payload = Value;
    const KIND: &'static str = "values";
    const HISTORY: History = History::All;

    fn give(&mut self, _: Origin, given: Value) -> Result<Option<Value>, Fault> {
        let new = self.add(&given);
        Ok(new.then_some(given))
    }

    fn take(&mut self, _: Origin, payload: Value) {
        self.add(&payload);
    }
}

impl Values {
    fn add(&mut self, value: &Value) -> bool {
        let new = self.known.insert(canonical(value));
        if new {
            self.list.push(value.clone());
        }
        new
    }
}

/// A counter: for each origin the sum of its own clients' deltas, of which the newest stands for all.
#[derive(Debug, Default)]
pub(super) struct Counter {
    by_origin: BTreeMap<Origin, i64>,
}

impl Sum for Counter {
    type Payload = i64;
    const KIND: &'static str = "counter";
    const HISTORY: History = History::Newest;

    fn give(&mut self, me: Origin, given: i64) -> Result<Option<i64>, Fault> {
        let mine = self.by_origin.entry(me).or_default();
        let sum =
            mine.checked_add(given).ok_or_else(|| Fault::new(Code::Abort, "delta: the counter would overflow"))?;
        *mine = sum;
        Ok((given != 0).then_some(sum))
    }

    fn take(&mut self, origin: Origin, payload: i64) {
        self.by_origin.insert(origin, payload);
    }
}

impl Counter {
    pub(super) fn value(&self) -> Result<i64, Fault> {
        let sum: i128 = self.by_origin.values().map(|v| i128::from(*v)).sum();
        i64::try_from(sum).map_err(|_| Fault::new(Code::Abort, "the counter is beyond 64 bits"))
    }
}

/// A sum and the protocol that spreads it.
#[derive(Debug)]
pub(super) struct Spread<S: Sum> {
    me: Origin,
    protocol: Broadcast<S::Payload>,
    /// The view of which [`Self::new_role`] told last.
    told: View,
    pub(super) sum: S,
}

impl<S: Sum> Spread<S> {
    pub(super) fn new(node: NodeIndex, nodes: NodeIndex, life: u64, config: Config, now: Time) -> Self {
        let protocol = Broadcast::new(node, nodes, life, S::HISTORY, config, Planted::NONE, now);
        Spread { me: Origin { node, life }, protocol, told: View::default(), sum: S::default() }
    }

    pub(super) fn deadline(&self) -> Time {
        self.protocol.deadline()
    }

    /// The epoch in which this node took the hub's role, once.
    pub(super) fn new_role(&mut self) -> Option<u64> {
        let view = self.protocol.view();
        let new = view != self.told && view.epoch > 0 && view.hub == self.me.node;
        self.told = view;
        new.then_some(view.epoch)
    }

    pub(super) fn give(&mut self, now: Time, given: S::Payload) -> Result<Vec<(NodeIndex, Value)>, Fault> {
        Ok(match self.sum.give(self.me, given)? {
            Some(payload) => self.pump(now, Input::Publish(payload)),
            None => Vec::new(),
        })
    }

    pub(super) fn wake(&mut self, now: Time) -> Vec<(NodeIndex, Value)> {
        self.pump(now, Input::Wake)
    }

    /// A message of another node, as [`Self::give`] made it.
    pub(super) fn receive(
        &mut self,
        now: Time,
        from: NodeIndex,
        message: &Value,
    ) -> Result<Vec<(NodeIndex, Value)>, Fault> {
        let message =
            Message::<S::Payload>::deserialize(message).map_err(|e| Fault::malformed("message", &e.to_string()))?;
        Ok(self.pump(now, Input::Message { from, message }))
    }

    fn pump(&mut self, now: Time, input: Input<S::Payload>) -> Vec<(NodeIndex, Value)> {
        self.protocol.handle(now, input);
        let mut sends = Vec::new();
        while let Some(output) = self.protocol.poll() {
            match output {
                Output::Send { to, message } => {
                    let message = serde_json::to_value(message).expect("our own messages are JSON");
                    sends.push((to, message));
                }
                Output::Deliver { origin, payload, .. } => self.sum.take(origin, payload),
            }
        }
        sends
    }
}
