//! Histories in Jepsen's EDN form: one op per line, `{:process 0, :type :invoke, :f :acquire, :value {...}, :time 17,
//! :index 0}`, with `:error [reason detail]` on an op that failed or stayed open.
//!
//! Every tier writes this form and every judge reads it. Ops may carry Jepsen's tag (`#jepsen.history.Op{...}`) and may
//! stretch over several lines; one written here never does.

mod calls;
mod edn;
mod read;
mod value;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use calls::{Call, Name, OPEN_END, calls, name};
pub use edn::SyntaxError;
pub use read::{Reader, read, read_str};
pub use value::{Map, Value};
pub use write::{Writer, write};

/// One line of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Place in the history, from 0. Strictly increasing, but with gaps in a part of a history.
    pub index: u64,
    /// Nanoseconds of the recorder's monotonic clock.
    pub time: i64,
    pub process: Process,
    pub typ: OpType,
    /// What is done, without the colon: `acquire`, `read-shard`, `start-partition`.
    pub f: String,
    pub value: Value,
    /// `[reason detail]`, with `reason` from the error table.
    pub error: Option<Value>,
    /// Fields this crate does not know, by name without the colon. They are kept and written back.
    pub ext: BTreeMap<String, Value>,
}

impl Op {
    /// An op without error or unknown fields. [`Writer`] and [`number`] give it its index.
    pub fn new(process: Process, typ: OpType, f: impl Into<String>, value: Value, time: i64) -> Self {
        Self { index: 0, time, process, typ, f: f.into(), value, error: None, ext: BTreeMap::new() }
    }

    /// The op with `:error [reason detail]`; `reason` is a keyword of the error table such as `lease-held`.
    #[must_use]
    pub fn with_error(mut self, reason: &str, detail: &str) -> Self {
        self.error = Some(Value::Vec(vec![Value::keyword(reason), Value::from(detail)]));
        self
    }

    pub fn is_client(&self) -> bool {
        matches!(self.process, Process::Client(_))
    }

    /// Whether it tells of something that was not done. A nemesis's steps are all of the type `:info`.
    pub fn has_failed(&self) -> bool {
        self.error.is_some() || self.typ == OpType::Fail
    }

    /// The reason in `:error`, lower case with dashes, however the recorder spelled it (`LEASE_HELD`, `:lease-held`).
    pub fn reason(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let name = match error {
            Value::Vec(items) | Value::List(items) => items.first()?.name()?,
            other => other.name()?,
        };
        Some(name.to_ascii_lowercase().replace('_', "-"))
    }
}

/// Gives ops the indices 0, 1, 2, ...
pub fn number(ops: &mut [Op]) {
    for (op, index) in ops.iter_mut().zip(0..) {
        op.index = index;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OpType {
    Invoke,
    /// It took effect.
    Ok,
    /// It definitely took none.
    Fail,
    /// It may take effect at any later time, or never.
    Info,
}

impl OpType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// Who did it: a client's logical thread, or the nemesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Process {
    Client(i64),
    Nemesis,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(f, "{id}"),
            Self::Nemesis => f.write_str(":nemesis"),
        }
    }
}

/// Why a text is no history.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {}{message}", field.as_ref().map(|f| format!(":{f} ")).unwrap_or_default())]
pub struct HistoryError {
    /// Line of the file, from 1.
    pub line: u64,
    /// Of an op that could be read and does not fit to those before it.
    pub index: Option<u64>,
    /// The op's field that is wrong, without the colon; none when the op as a whole is.
    pub field: Option<String>,
    pub message: String,
    /// Set when the history could not be read at all.
    #[source]
    pub source: Option<std::io::Error>,
}
