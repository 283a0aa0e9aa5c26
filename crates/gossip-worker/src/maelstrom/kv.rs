//! `lin-kv`: registers with read, write and compare-and-set.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::consensus::{Consistency, RestoreError, StateMachine};
use gossip_core::coordination::Stamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::replica::{Request, Service};
use super::wire::{Body, Code, Fault, body, canonical, field, parse};

/// Keys and values are canonical JSON.
#[derive(Debug, Default)]
pub(super) struct Kv {
    registers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Write { key: String, value: String },
    Cas { key: String, from: String, to: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    Written,
    Swapped,
    Missing,
    /// The present value.
    Differs(String),
}

impl StateMachine for Kv {
    type Command = Command;
    type Answer = Answer;
    type Query = String;
    type View = Option<String>;
    type WaitKey = ();

    fn apply(&mut self, _: u64, _: Stamp, command: &Command) -> Answer {
        match command {
            Command::Write { key, value } => {
                self.registers.insert(key.clone(), value.clone());
                Answer::Written
            }
            Command::Cas { key, from, to } => match self.registers.get_mut(key) {
                None => Answer::Missing,
                Some(value) if value == from => {
                    value.clone_from(to);
                    Answer::Swapped
                }
                Some(value) => Answer::Differs(value.clone()),
            },
        }
    }

    fn read(&self, key: &String) -> Option<String> {
        self.registers.get(key).cloned()
    }

    fn blocked_on(&self, _: &Command, _: &Answer) -> Option<((), Stamp)> {
        None
    }

    fn released_by(&self, _: &Command, _: &Answer) -> Vec<()> {
        Vec::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.registers).expect("our own types can be encoded into memory")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.registers = postcard::from_bytes(snapshot).map_err(|e| RestoreError(e.to_string()))?;
        Ok(())
    }
}

impl Service for Kv {
    const NAME: &'static str = "kv";
    const WINDOW: Duration = Duration::ZERO;

    fn request(kind: &str, body: &Body) -> Result<Request<Self>, Fault> {
        let text = |name| field(body, name).map(canonical);
        let key = text("key")?;
        Ok(match kind {
            "read" => Request::Query(key, Consistency::Linearizable),
            "write" => Request::Command(Command::Write { key, value: text("value")? }),
            _ => Request::Command(Command::Cas { key, from: text("from")?, to: text("to")? }),
        })
    }

    fn answered(answer: Answer) -> Result<Body, Fault> {
        match answer {
            Answer::Written => Ok(body(json!({ "type": "write_ok" }))),
            Answer::Swapped => Ok(body(json!({ "type": "cas_ok" }))),
            Answer::Missing => Err(Fault::new(Code::KeyDoesNotExist, "key: was never written")),
            Answer::Differs(value) => Err(Fault::new(Code::PreconditionFailed, format!("from: the value is {value}"))),
        }
    }

    fn viewed(view: Option<String>) -> Result<Body, Fault> {
        let value = view.ok_or_else(|| Fault::new(Code::KeyDoesNotExist, "key: was never written"))?;
        Ok(body(json!({ "type": "read_ok", "value": parse(&value) })))
    }
}
