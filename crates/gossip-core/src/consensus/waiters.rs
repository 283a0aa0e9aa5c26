//! Lines of commands that were answered "not now": first come, first asked again.

use std::collections::{BTreeMap, VecDeque};

use super::api::Token;
use super::machine::StateMachine;
use crate::coordination::ids::Stamp;
use crate::time::Time;

/// A command in line.
#[derive(Debug)]
pub(super) struct Waiter<M: StateMachine> {
    pub(super) token: Token,
    pub(super) command: M::Command,
    /// When its caller's patience ends.
    pub(super) until: Time,
    /// The last "not now", and the log index that gave it.
    pub(super) refusal: (u64, M::Answer),
}

#[derive(Debug)]
struct Line<M: StateMachine> {
    waiting: VecDeque<Waiter<M>>,
    /// The head is in the log: nobody else of this line is asked meanwhile.
    asking: bool,
    /// Worth asking again at this stamp at the latest; zero: now.
    wake: Stamp,
}

/// All lines of a leader.
#[derive(Debug)]
pub(super) struct Waiters<M: StateMachine> {
    lines: BTreeMap<M::WaitKey, Line<M>>,
    count: usize,
}

impl<M: StateMachine> Default for Waiters<M> {
    fn default() -> Self {
        Waiters { lines: BTreeMap::new(), count: 0 }
    }
}

impl<M: StateMachine> Waiters<M> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Puts a newcomer at the end of its line.
    pub(super) fn join(&mut self, key: M::WaitKey, wake: Stamp, waiter: Waiter<M>) {
        let line = self.lines.entry(key).or_insert_with(|| Line { waiting: VecDeque::new(), asking: false, wake });
        line.waiting.push_back(waiter);
        line.wake = if line.waiting.len() == 1 { wake } else { line.wake.min(wake) };
        self.count += 1;
    }

    /// Puts the head back to its place after another "not now".
    pub(super) fn back(&mut self, key: M::WaitKey, wake: Stamp, waiter: Waiter<M>) {
        let line = self.lines.entry(key).or_insert_with(|| Line { waiting: VecDeque::new(), asking: false, wake });
        line.waiting.push_front(waiter);
        line.asking = false;
        line.wake = wake;
        self.count += 1;
    }

    /// The head got its final answer: the next one may be asked at once.
    pub(super) fn done(&mut self, key: &M::WaitKey) {
        if let Some(line) = self.lines.get_mut(key) {
            line.asking = false;
            line.wake = Stamp(0);
            self.sweep(key);
        }
    }

    /// Something became free.
    pub(super) fn wake(&mut self, key: &M::WaitKey) {
        if let Some(line) = self.lines.get_mut(key) {
            line.wake = Stamp(0);
        }
    }

    /// The next head that is worth asking now; it leaves its line until [`Self::back`] or [`Self::done`].
    pub(super) fn next_due(&mut self, clock: Stamp) -> Option<(M::WaitKey, Waiter<M>)> {
        let due = |line: &Line<M>| !line.asking && line.wake <= clock && !line.waiting.is_empty();
        let (key, line) = self.lines.iter_mut().find(|(_, line)| due(line))?;
        let waiter = line.waiting.pop_front()?;
        line.asking = true;
        self.count -= 1;
        Some((key.clone(), waiter))
    }

    /// The stamp at which a line is due next.
    pub(super) fn next_wake(&self) -> Option<Stamp> {
        self.lines.values().filter(|l| !l.asking && !l.waiting.is_empty()).map(|l| l.wake).min()
    }

    /// When the next caller's patience ends.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.lines.values().flat_map(|l| &l.waiting).map(|w| w.until).min()
    }

    /// Takes out everyone whose patience has ended.
    pub(super) fn expired(&mut self, now: Time) -> Vec<Waiter<M>> {
        self.take(|w| w.until <= now)
    }

    /// Takes out the one with this token.
    pub(super) fn cancel(&mut self, token: Token) -> Option<Waiter<M>> {
        self.take(|w| w.token == token).pop()
    }

    /// Takes out everyone: leadership is lost.
    pub(super) fn clear(&mut self) -> Vec<Waiter<M>> {
        let all = std::mem::take(self);
        all.lines.into_values().flat_map(|l| l.waiting).collect()
    }

    fn take(&mut self, gone: impl Fn(&Waiter<M>) -> bool) -> Vec<Waiter<M>> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut() {
            if line.waiting.iter().any(&gone) {
                let (out, stay): (Vec<_>, Vec<_>) = line.waiting.drain(..).partition(&gone);
                taken.extend(out);
                line.waiting = stay.into();
            }
        }
        self.count -= taken.len();
        self.lines.retain(|_, line| line.asking || !line.waiting.is_empty());
        taken
    }

    fn sweep(&mut self, key: &M::WaitKey) {
        if self.lines.get(key).is_some_and(|l| !l.asking && l.waiting.is_empty()) {
            self.lines.remove(key);
        }
    }
}
