//! `kafka`: append-only logs with committed offsets.
//!
//! A send is answered when it is committed. A poll shows what this node has applied, which only grows; the workload asks for no
//! more. Committed offsets are answered at once and join the log a little later: a consumer that starts meanwhile starts lower,
//! which repeats messages and loses none.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::consensus::{Consistency, RestoreError, StateMachine};
use gossip_core::coordination::Stamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::replica::{Request, Service};
use super::wire::{Body, Fault, body, canonical, field, list, object, parse, text};

/// How many messages of one log a poll gives at most.
const POLL: usize = 1000;

/// A log's messages are canonical JSON; offsets count from 0.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Logs {
    logs: BTreeMap<String, Vec<String>>,
    committed: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Send {
        key: String,
        message: String,
    },
    /// The highest processed offset of each log; never lowered.
    Commit(BTreeMap<String, u64>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    Sent(u64),
    Committed,
}

#[derive(Clone, Debug)]
pub(super) enum Query {
    /// From these offsets on.
    Poll(BTreeMap<String, u64>),
    Committed(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum View {
    Messages(BTreeMap<String, Vec<(u64, String)>>),
    Offsets(BTreeMap<String, u64>),
}

impl Logs {
    fn poll(&self, key: &str, from: u64) -> Option<Vec<(u64, String)>> {
        let log = self.logs.get(key)?;
        let start = usize::try_from(from).ok().filter(|start| *start < log.len())?;
        Some((from..).zip(log[start..].iter().take(POLL).cloned()).collect())
    }
}

impl StateMachine for Logs {
    type Command = Command;
    type Answer = Answer;
    type Query = Query;
    type View = View;
    type WaitKey = ();

    fn apply(&mut self, _: u64, _: Stamp, command: &Command) -> Answer {
        match command {
            Command::Send { key, message } => {
                let log = self.logs.entry(key.clone()).or_default();
                log.push(message.clone());
                Answer::Sent(log.len() as u64 - 1)
            }
            Command::Commit(offsets) => {
                raise(&mut self.committed, offsets);
                Answer::Committed
            }
        }
    }

    fn read(&self, query: &Query) -> View {
        match query {
            Query::Poll(offsets) => {
                let polled = |(key, from): (&String, &u64)| Some((key.clone(), self.poll(key, *from)?));
                View::Messages(offsets.iter().filter_map(polled).collect())
            }
            Query::Committed(keys) => {
                let known = |key: &String| Some((key.clone(), *self.committed.get(key)?));
                View::Offsets(keys.iter().filter_map(known).collect())
            }
        }
    }

    fn blocked_on(&self, _: &Command, _: &Answer) -> Option<((), Stamp)> {
        None
    }

    fn released_by(&self, _: &Command, _: &Answer) -> Vec<()> {
        Vec::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("our own types can be encoded into memory")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        *self = postcard::from_bytes(snapshot).map_err(|e| RestoreError(e.to_string()))?;
        Ok(())
    }
}

impl Service for Logs {
    const NAME: &'static str = "logs";
    const WINDOW: Duration = Duration::from_millis(5);

    fn request(kind: &str, request: &Body) -> Result<Request<Self>, Fault> {
        Ok(match kind {
            "send" => {
                let (key, message) = (text(request, "key")?.to_owned(), canonical(field(request, "msg")?));
                Request::Command(Command::Send { key, message })
            }
            "poll" => Request::Query(Query::Poll(offsets(request)?), Consistency::Stale),
            "commit_offsets" => {
                let answer = body(json!({ "type": "commit_offsets_ok" }));
                Request::Later(Command::Commit(offsets(request)?), answer)
            }
            _ => {
                let keys = list(request, "keys")?.iter().map(|key| key.as_str().map(str::to_owned));
                let keys = keys.collect::<Option<_>>().ok_or_else(|| Fault::malformed("keys", "are not strings"))?;
                Request::Query(Query::Committed(keys), Consistency::Stale)
            }
        })
    }

    fn answered(answer: Answer) -> Result<Body, Fault> {
        Ok(body(match answer {
            Answer::Sent(offset) => json!({ "type": "send_ok", "offset": offset }),
            Answer::Committed => json!({ "type": "commit_offsets_ok" }),
        }))
    }

    fn viewed(view: View) -> Result<Body, Fault> {
        Ok(body(match view {
            View::Messages(messages) => {
                let pairs = |log: Vec<(u64, String)>| -> Vec<Value> {
                    log.into_iter().map(|(offset, message)| json!([offset, parse(&message)])).collect()
                };
                let messages: BTreeMap<_, _> = messages.into_iter().map(|(key, log)| (key, pairs(log))).collect();
                json!({ "type": "poll_ok", "msgs": messages })
            }
            View::Offsets(offsets) => json!({ "type": "list_committed_offsets_ok", "offsets": offsets }),
        }))
    }

    fn join(first: Command, second: Command) -> Command {
        match (first, second) {
            (Command::Commit(mut offsets), Command::Commit(more)) => {
                raise(&mut offsets, &more);
                Command::Commit(offsets)
            }
            (first, _) => first,
        }
    }
}

fn raise(offsets: &mut BTreeMap<String, u64>, to: &BTreeMap<String, u64>) {
    for (key, offset) in to {
        let known = offsets.entry(key.clone()).or_default();
        *known = (*known).max(*offset);
    }
}

fn offsets(request: &Body) -> Result<BTreeMap<String, u64>, Fault> {
    let offset = |(key, value): (&String, &Value)| Some((key.clone(), value.as_u64()?));
    let offsets = object(request, "offsets")?.iter().map(offset).collect::<Option<_>>();
    offsets.ok_or_else(|| Fault::malformed("offsets", "are not whole numbers from 0 on"))
}
