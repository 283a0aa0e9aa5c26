//! `kafka`: append-only logs with committed offsets.
//!
//! Sends and committed offsets are answered when the group has committed them, and committed offsets are read by ReadIndex: who
//! asks for them after an answer finds them, on any node. A poll shows what this node has applied, which only grows; the workload
//! asks for no more.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::consensus::{Consistency, RestoreError, StateMachine};
use gossip_core::coordination::Stamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::replica::{Request, Service};
use super::wire::{Body, Code, Fault, body, canonical, field, list, object, parse, text};

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
            "commit_offsets" => Request::Command(Command::Commit(offsets(request)?)),
            _ => {
                let keys = list(request, "keys")?.iter().map(|key| key.as_str().map(str::to_owned));
                let keys = keys.collect::<Option<_>>().ok_or_else(|| Fault::malformed("keys", "are not strings"))?;
                Request::Query(Query::Committed(keys), Consistency::Linearizable)
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

    /// Committed offsets never fall, so one that is reached already stays reached.
    fn settled(&self, command: &Command) -> Option<Answer> {
        let Command::Commit(offsets) = command else { return None };
        let reached = |(key, offset): (&String, &u64)| self.committed.get(key).is_some_and(|known| known >= offset);
        offsets.iter().all(reached).then_some(Answer::Committed)
    }

    /// A consumer commits what it has processed. Maelstrom's goes on behind that after an error that says that nothing happened,
    /// as if the poll before it had never been, and then finds messages skipped. After one that leaves it open it starts again
    /// from the offsets that the group holds.
    fn untaken(command: &Command) -> Fault {
        match command {
            Command::Send { .. } => Fault::new(Code::TemporarilyUnavailable, "no leader is known"),
            Command::Commit(_) => Fault::new(Code::Timeout, "no leader recorded the offsets in time"),
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
