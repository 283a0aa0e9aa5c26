//! Calls: an invocation together with how it ended. Judges look at these and not at ops.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{HistoryError, Op, OpType, Process, Value};

/// The end of a call that is open: it may take effect at any later time.
pub const OPEN_END: usize = usize::MAX;

/// The name of a shard, run, node, worker or op id.
pub type Name<'a> = Cow<'a, str>;

/// One call of a client.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub invoke: &'a Op,
    /// Absent when the history ends before the call does.
    pub completion: Option<&'a Op>,
    /// Place of the invocation in the slice of ops.
    pub at: usize,
    /// Place of the completion, whatever its type.
    pub completed_at: Option<usize>,
}

impl<'a> Call<'a> {
    pub fn f(&self) -> &'a str {
        &self.invoke.f
    }

    pub fn ok(&self) -> bool {
        self.completion.is_some_and(|c| c.typ == OpType::Ok)
    }

    /// It definitely had no effect.
    pub fn failed(&self) -> bool {
        self.completion.is_some_and(|c| c.typ == OpType::Fail)
    }

    /// It may have had, or may still have, an effect.
    pub fn open(&self) -> bool {
        !self.ok() && !self.failed()
    }

    /// Place after which it has no effect any more.
    pub fn end(&self) -> usize {
        self.completed_at.filter(|_| !self.open()).unwrap_or(OPEN_END)
    }

    /// Nanoseconds.
    pub fn time(&self) -> i64 {
        self.invoke.time
    }

    /// Nanoseconds; none when it never came back.
    pub fn end_time(&self) -> Option<i64> {
        self.completion.map(|c| c.time)
    }

    /// What the invocation says at a keyword; `nil` is none.
    pub fn input(&self, key: &str) -> Option<&'a Value> {
        self.invoke.value.some(key)
    }

    /// What the answer says at a keyword, or the invocation where the answer does not; `nil` is none.
    pub fn output(&self, key: &str) -> Option<&'a Value> {
        self.answer(key).filter(|v| !v.is_nil())
    }

    /// As [`Call::output`], with an explicit `nil` told from nothing.
    pub fn answer(&self, key: &str) -> Option<&'a Value> {
        let added = self.completion.filter(|c| c.typ == OpType::Ok).and_then(|c| c.value.get(key));
        added.or_else(|| self.invoke.value.get(key))
    }

    pub fn input_int(&self, key: &str) -> Option<i64> {
        self.input(key).and_then(Value::as_i64)
    }

    pub fn output_int(&self, key: &str) -> Option<i64> {
        self.output(key).and_then(Value::as_i64)
    }

    /// The shard that it touched, as far as that is known.
    pub fn shard(&self) -> Option<Name<'a>> {
        self.output("shard").map(name)
    }

    pub fn op_id(&self) -> Option<Name<'a>> {
        self.input("op-id").map(name)
    }

    pub fn reason(&self) -> Option<String> {
        self.completion.and_then(Op::reason)
    }
}

/// A value as the name of something: the text of strings, keywords and symbols, other values as they print.
pub fn name(value: &Value) -> Name<'_> {
    value.name().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

/// The client calls of a history, in order of invocation.
///
/// # Errors
///
/// A process that invokes while its last call is under way, or completes what it did not invoke. Ops do not say where they were
/// read: the error's line is that of a file with one op a line, as [`crate::history::write`] writes it, and its index the op's.
pub fn calls(ops: &[Op]) -> Result<Vec<Call<'_>>, HistoryError> {
    let mut calls: Vec<Call<'_>> = Vec::with_capacity(ops.len() / 2 + 1);
    let mut open: HashMap<i64, usize> = HashMap::new();
    for (at, op) in ops.iter().enumerate() {
        let Process::Client(process) = op.process else { continue };
        if op.typ == OpType::Invoke {
            if let Some(earlier) = open.insert(process, calls.len()) {
                let earlier = calls[earlier].invoke.index;
                let message = format!("{process} invokes :{} while its call at index {earlier} is under way", op.f);
                return Err(unpaired(op, message));
            }
            calls.push(Call { invoke: op, completion: None, at, completed_at: None });
            continue;
        }
        let call = open.remove(&process).map(|i| &mut calls[i]).filter(|call| call.f() == op.f);
        let Some(call) = call else {
            return Err(unpaired(op, format!("{process} completes :{}, which it never invoked", op.f)));
        };
        call.completion = Some(op);
        call.completed_at = Some(at);
    }
    Ok(calls)
}

fn unpaired(op: &Op, message: String) -> HistoryError {
    let field = Some("process".to_owned());
    HistoryError { line: op.index + 1, index: Some(op.index), field, message, source: None }
}
