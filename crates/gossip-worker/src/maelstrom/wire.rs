//! Maelstrom's envelopes, replies and error codes, as of its `doc/protocol.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a message says.
pub type Body = Map<String, Value>;

/// One line on stdin or stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The node or client that sent it.
    pub src: String,
    /// The node or client that it is for.
    pub dest: String,
    /// What it says.
    pub body: Body,
}

/// Maelstrom's error codes, as far as this node uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Indefinite: no outcome in time.
    Timeout = 0,
    /// Definite: no such request here.
    NotSupported = 10,
    /// Definite: not now.
    TemporarilyUnavailable = 11,
    /// Definite: the request makes no sense.
    MalformedRequest = 12,
    /// Indefinite: the outcome is not known.
    Crash = 13,
    /// Definite: it cannot be done.
    Abort = 14,
    /// Definite: the key was never written.
    KeyDoesNotExist = 20,
    /// Definite: the compared value differs.
    PreconditionFailed = 22,
}

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its code.
    pub code: Code,
    /// For people.
    pub text: String,
}

impl Fault {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Fault { code, text: text.into() }
    }

    pub(super) fn malformed(field: &str, problem: &str) -> Self {
        Fault::new(Code::MalformedRequest, format!("{field}: {problem}"))
    }

    fn body(&self) -> Body {
        body(json!({ "type": "error", "code": self.code as u32, "text": self.text }))
    }
}

/// Whom to answer, and to which of its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) name: String,
    pub(super) msg_id: u64,
}

impl Caller {
    /// The envelope of an answer from the node `me`.
    pub(super) fn answer(&self, me: &str, result: Result<Body, Fault>) -> Envelope {
        let mut body = result.unwrap_or_else(|fault| fault.body());
        body.insert("in_reply_to".into(), self.msg_id.into());
        Envelope { src: me.into(), dest: self.name.clone(), body }
    }
}

/// The map of a JSON object that was written down in code.
pub(super) fn body(value: Value) -> Body {
    match value {
        Value::Object(map) => map,
        other => unreachable!("not an object: {other}"),
    }
}

pub(super) fn field<'a>(body: &'a Body, name: &str) -> Result<&'a Value, Fault> {
    body.get(name).ok_or_else(|| Fault::malformed(name, "is missing"))
}

pub(super) fn text<'a>(body: &'a Body, name: &str) -> Result<&'a str, Fault> {
    field(body, name)?.as_str().ok_or_else(|| Fault::malformed(name, "is not a string"))
}

pub(super) fn list<'a>(body: &'a Body, name: &str) -> Result<&'a [Value], Fault> {
    field(body, name)?.as_array().map(Vec::as_slice).ok_or_else(|| Fault::malformed(name, "is not an array"))
}

pub(super) fn object<'a>(body: &'a Body, name: &str) -> Result<&'a Body, Fault> {
    field(body, name)?.as_object().ok_or_else(|| Fault::malformed(name, "is not an object"))
}

/// A JSON value as text, the same for equal values: how keys and values stand in logs and maps.
pub(super) fn canonical(value: &Value) -> String {
    value.to_string()
}

/// The JSON value of a [`canonical`] text.
pub(super) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
