//! Applied prefixes are equal: the first node to apply an index writes it into the ledger and every other node, at whatever time and
//! after whatever restarts, must apply the same command, with the same stamp, and get the same answer.
//!
//! The ledger sees each node's applies through [`Watched`], a state machine around the real one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use gossip_core::consensus::{RestoreError, StateMachine};
use gossip_core::coordination::{Answer, Command, Rejection, Stamp, State, TenantQuery, View, WaitKey};

use super::logs::fold;
use super::oracle::{Allowed, Oracle};
use super::{Checked, Rule, Violation, ensure};
use crate::rng::mix;

/// What became of one command.
type Outcome = Result<Answer, Rejection>;

#[derive(Debug)]
struct Record {
    /// The index of the command before it.
    previous: u64,
    stamp: Stamp,
    command: Command,
    answer: Outcome,
}

/// All that was applied anywhere.
#[derive(Debug)]
pub struct Ledger {
    /// By index; entries of the log that carry no command have none.
    records: Vec<Option<Record>>,
    /// The newest index in it.
    newest: u64,
    oracle: Oracle,
    violation: Option<Violation>,
    /// Applies checked, over all nodes.
    applies: u64,
    /// How often a restored or final state was compared.
    compared: u64,
    /// Fingerprints of whole states, by the index that they had applied.
    digests: BTreeMap<u64, u64>,
    /// Nothing is checked: the judge is on its own.
    blind: bool,
}

/// A node's whole state is compared with the others' once in so many indexes, and at each snapshot.
const DIGEST_EVERY: u64 = 16;

impl Ledger {
    /// One of a cluster whose tenants may have so much. A `blind` one checks nothing.
    pub fn new(allowed: Allowed, blind: bool) -> Self {
        Ledger {
            records: Vec::new(),
            newest: 0,
            oracle: Oracle::new(allowed),
            violation: None,
            applies: 0,
            compared: 0,
            digests: BTreeMap::new(),
            blind,
        }
    }

    /// The first violation that was found, once.
    pub fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    /// Applies and whole states checked so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.applies, self.compared)
    }

    /// What the oracle knows.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    fn applied(&mut self, previous: u64, index: u64, stamp: Stamp, command: &Command, answer: &Outcome, state: &State) {
        self.applies += 1;
        if self.blind {
            return;
        }
        let checked = match self.records.get(index as usize).and_then(Option::as_ref) {
            Some(record) => record.compare(previous, index, stamp, command, answer),
            None => self.first(previous, index, stamp, command, answer, state),
        };
        self.note(checked);
        if index / DIGEST_EVERY != previous / DIGEST_EVERY {
            self.check_digest(index, &state.snapshot(), state);
        }
    }

    /// Compares the whole state at this index, of which `bytes` is the snapshot, with that of every other node there.
    fn check_digest(&mut self, index: u64, bytes: &[u8], state: &State) {
        if self.blind {
            return;
        }
        self.compared += 1;
        // Counted beside the bytes: a snapshot that leaves something out looks the same everywhere.
        let digest = mix(fold(0, bytes) ^ state.totals().op_log_entries);
        let first = *self.digests.entry(index).or_insert(digest);
        let checked = ensure(first == digest, Rule::AppliedPrefix, || {
            format!("after index {index} the whole state differs from another node's: {:?}", state.totals())
        });
        self.note(checked);
    }

    fn first(
        &mut self,
        previous: u64,
        index: u64,
        stamp: Stamp,
        command: &Command,
        answer: &Outcome,
        state: &State,
    ) -> Checked {
        let known = index <= self.newest || previous != self.newest;
        ensure(!known, Rule::AppliedPrefix, || {
            format!("index {index} is applied after {previous}, others went from {previous} on to {}", self.newest)
        })?;
        self.records.resize_with(index as usize + 1, || None);
        let record = Record { previous, stamp, command: command.clone(), answer: answer.clone() };
        self.records[index as usize] = Some(record);
        self.newest = index;
        self.oracle.applied(stamp, command, answer)?;
        if answer.is_ok() {
            self.oracle.compare_touched(command, answer, state)?;
        }
        Ok(())
    }

    fn note(&mut self, checked: Checked) {
        if let (Err(violation), None) = (checked, &self.violation) {
            self.violation = Some(violation);
        }
    }

    /// Checks a node's whole state, which has applied everything up to `index`.
    pub fn check_state(&mut self, index: u64, state: &State) {
        if self.blind {
            return;
        }
        self.check_digest(index, &state.snapshot(), state);
        let own = state.check_invariants().map_err(|violation| Violation::new(Rule::State, violation.to_string()));
        self.note(own);
        if index == self.newest {
            let compared = self.oracle.compare_all(state);
            self.note(compared);
        }
    }
}

impl Record {
    fn compare(&self, previous: u64, index: u64, stamp: Stamp, command: &Command, answer: &Outcome) -> Checked {
        ensure(self.previous == previous, Rule::AppliedPrefix, || {
            format!("before index {index} one node applied {}, another one {previous}", self.previous)
        })?;
        let same = self.stamp == stamp && self.command == *command;
        ensure(same, Rule::AppliedPrefix, || {
            format!("at index {index} one node applied {:?}, another one {command:?}", self.command)
        })?;
        ensure(self.answer == *answer, Rule::AppliedPrefix, || {
            format!("index {index} {command:?} was answered {:?}, by another node {answer:?}", self.answer)
        })
    }
}

/// The real state machine, watched.
#[derive(Debug)]
pub struct Watched {
    state: State,
    /// The last index of a command that it applied.
    applied: u64,
    ledger: Rc<RefCell<Ledger>>,
}

impl Watched {
    /// A new node's state.
    pub fn new(state: State, ledger: Rc<RefCell<Ledger>>) -> Self {
        Watched { state, applied: 0, ledger }
    }

    /// The real state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Checks the state as a whole.
    pub fn check(&self) {
        self.ledger.borrow_mut().check_state(self.applied, &self.state);
    }
}

impl StateMachine for Watched {
    type Command = Command;
    type Answer = Outcome;
    type Query = TenantQuery;
    type View = Result<View, Rejection>;
    type WaitKey = WaitKey;

    fn apply(&mut self, index: u64, stamp: Stamp, command: &Command) -> Outcome {
        let answer = self.state.apply(index, stamp, command);
        let previous = std::mem::replace(&mut self.applied, index);
        self.ledger.borrow_mut().applied(previous, index, stamp, command, &answer, &self.state);
        answer
    }

    fn read(&self, query: &TenantQuery) -> Self::View {
        self.state.read(query)
    }

    fn blocked_on(&self, command: &Command, answer: &Outcome) -> Option<(WaitKey, Stamp)> {
        self.state.blocked_on(command, answer)
    }

    fn released_by(&self, command: &Command, answer: &Outcome) -> Vec<WaitKey> {
        self.state.released_by(command, answer)
    }

    fn snapshot(&self) -> Vec<u8> {
        let state = self.state.snapshot();
        if self.applied > 0 {
            self.ledger.borrow_mut().check_digest(self.applied, &state, &self.state);
        }
        let mut bytes = self.applied.to_le_bytes().to_vec();
        bytes.extend(state);
        bytes
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let (index, state) = snapshot.split_first_chunk().ok_or_else(|| RestoreError("it is cut short".into()))?;
        self.state.restore(state)?;
        self.applied = u64::from_le_bytes(*index);
        self.check();
        Ok(())
    }
}
