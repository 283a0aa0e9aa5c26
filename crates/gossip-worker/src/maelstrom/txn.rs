//! `txn-list-append`: transactions of reads and appends over lists, each one entry of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::consensus::{Consistency, RestoreError, StateMachine};
use gossip_core::coordination::Stamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::replica::{Request, Service};
use super::wire::{Body, Fault, body, canonical, list, parse};

/// Keys and elements are canonical JSON.
#[derive(Debug, Default)]
pub(super) struct Lists {
    lists: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Op {
    Read(String),
    Append(String, String),
}

/// The list that an operation saw, for reads of keys that exist.
type Seen = Option<Vec<String>>;

impl StateMachine for Lists {
    type Command = Vec<Op>;
    type Answer = Vec<(Op, Seen)>;
    type Query = Vec<Op>;
    type View = Vec<(Op, Seen)>;
    type WaitKey = ();

    fn apply(&mut self, _: u64, _: Stamp, txn: &Vec<Op>) -> Self::Answer {
        let mut run = |op: &Op| match op {
            Op::Read(key) => self.lists.get(key).cloned(),
            Op::Append(key, element) => {
                self.lists.entry(key.clone()).or_default().push(element.clone());
                None
            }
        };
        txn.iter().map(|op| (op.clone(), run(op))).collect()
    }

    /// Appends are left out: [`Service::request`] makes queries of reads alone.
    fn read(&self, txn: &Vec<Op>) -> Self::View {
        let seen = |op: &Op| match op {
            Op::Read(key) => Some((op.clone(), self.lists.get(key).cloned())),
            Op::Append(..) => None,
        };
        txn.iter().filter_map(seen).collect()
    }

    fn blocked_on(&self, _: &Vec<Op>, _: &Self::Answer) -> Option<((), Stamp)> {
        None
    }

    fn released_by(&self, _: &Vec<Op>, _: &Self::Answer) -> Vec<()> {
        Vec::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.lists).expect("our own types can be encoded into memory")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.lists = postcard::from_bytes(snapshot).map_err(|e| RestoreError(e.to_string()))?;
        Ok(())
    }
}

impl Service for Lists {
    const NAME: &'static str = "lists";
    const WINDOW: Duration = Duration::ZERO;

    fn request(_: &str, body: &Body) -> Result<Request<Self>, Fault> {
        let txn: Vec<Op> = list(body, "txn")?.iter().map(op).collect::<Result<_, _>>()?;
        let reads_only = txn.iter().all(|op| matches!(op, Op::Read(_)));
        Ok(if reads_only { Request::Query(txn, Consistency::Linearizable) } else { Request::Command(txn) })
    }

    fn answered(answer: Self::Answer) -> Result<Body, Fault> {
        let done = |(op, seen): (Op, Seen)| match op {
            Op::Read(key) => json!(["r", parse(&key), seen.map(|s| s.iter().map(|e| parse(e)).collect::<Vec<_>>())]),
            Op::Append(key, element) => json!(["append", parse(&key), parse(&element)]),
        };
        let txn: Vec<Value> = answer.into_iter().map(done).collect();
        Ok(body(json!({ "type": "txn_ok", "txn": txn })))
    }

    fn viewed(view: Self::View) -> Result<Body, Fault> {
        Self::answered(view)
    }
}

fn op(value: &Value) -> Result<Op, Fault> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(f), key, _]) if f == "r" => Ok(Op::Read(canonical(key))),
        Some([Value::String(f), key, element]) if f == "append" => Ok(Op::Append(canonical(key), canonical(element))),
        _ => Err(Fault::malformed("txn", "an operation is neither [\"r\", key, null] nor [\"append\", key, element]")),
    }
}
