//! The history as it happens: each operation's beginning and end, with the time at which it was noted.

use std::sync::{Arc, Mutex, PoisonError};

use gossip_check::history::{Op, OpType, Process, Value, number};
use gossip_client::Error;

use crate::clock::Clock;

/// Takes operations from all workers and the nemesis. Clones share one history.
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: Clock,
    ops: Arc<Mutex<Vec<Op>>>,
}

impl Recorder {
    /// An empty history; its clock's zero is now.
    pub fn start() -> Self {
        Recorder { clock: Clock::start(), ops: Arc::default() }
    }

    /// The recorder's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    fn note(&self, make: impl FnOnce(i64) -> Op) {
        let mut ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: times rise with the order.
        let time = i64::try_from(self.clock.now()).unwrap_or(i64::MAX);
        ops.push(make(time));
    }

    /// Notes that `process` is about to do `f`. It must be told how it ended, or it stays open for ever.
    pub fn invoke(&self, process: i64, f: &'static str, value: Value) -> Call {
        let process = Process::Client(process);
        self.note(|time| Op::new(process, OpType::Invoke, f, value.clone(), time));
        Call { recorder: self.clone(), process, f, value }
    }

    /// Notes something that the nemesis did. `error`: it could not, or it had no effect.
    pub fn nemesis(&self, f: &str, value: Value, error: Option<(&str, &str)>) {
        self.note(|time| {
            let op = Op::new(Process::Nemesis, OpType::Info, f, value, time);
            match error {
                Some((reason, detail)) => op.with_error(reason, detail),
                None => op,
            }
        });
    }

    /// How many operations came to an end: ok, fail, info.
    pub fn counts(&self) -> [u64; 3] {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |typ| ops.iter().filter(|op| op.is_client() && op.typ == typ).count() as u64;
        [count(OpType::Ok), count(OpType::Fail), count(OpType::Info)]
    }

    /// How many lines the history has by now.
    pub fn len(&self) -> usize {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing was noted yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of the lines behind the first `from` is as asked.
    pub fn any_since(&self, from: usize, is: impl Fn(&Op) -> bool) -> bool {
        let ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        ops.get(from..).is_some_and(|later| later.iter().any(is))
    }

    /// The history so far, numbered.
    pub fn history(&self) -> Vec<Op> {
        let mut ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner).clone();
        number(&mut ops);
        ops
    }
}

/// An operation under way.
#[derive(Debug)]
#[must_use = "an operation that is never ended stays open for ever"]
pub struct Call {
    recorder: Recorder,
    process: Process,
    f: &'static str,
    value: Value,
}

impl Call {
    /// It took effect; `value` is what was sent with what came back.
    pub fn ok(self, add: impl FnOnce(Value) -> Value) {
        let Call { recorder, process, f, value } = self;
        let value = add(value);
        recorder.note(|time| Op::new(process, OpType::Ok, f, value, time));
    }

    /// A section that its holder left when its belief was over: no protection is claimed for it.
    pub fn overstayed(self, add: impl FnOnce(Value) -> Value) {
        let Call { recorder, process, f, value } = self;
        let value = add(value);
        let detail = "the belief ended inside of the section";
        recorder.note(|time| Op::new(process, OpType::Fail, f, value, time).with_error("lease-expired", detail));
    }

    /// It was refused, or nobody knows. Answers whether the process may go on under its number.
    pub fn failed(self, error: &Error) -> bool {
        let Call { recorder, process, f, value } = self;
        let typ = if error.definite { OpType::Fail } else { OpType::Info };
        let reason = error.reason.to_ascii_lowercase().replace('_', "-");
        recorder.note(|time| Op::new(process, typ, f, value, time).with_error(&reason, &error.message));
        error.definite
    }
}
