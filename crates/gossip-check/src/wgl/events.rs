//! The history as a doubly linked list of invocations and answers in real-time order, from which operations can be lifted
//! and put back in constant time as long as the last one lifted is the first put back.

use super::Entry;

/// A place in the list: below `n` the invocation of that operation, below `2n` the answer of operation `place - n`.
pub(super) type Place = usize;

#[derive(Debug)]
pub(super) struct Events {
    operations: usize,
    next: Vec<u32>,
    previous: Vec<u32>,
    /// Rank of each answer in real time; zero for operations that have none.
    rank: Vec<u32>,
    unanswered: Vec<bool>,
    /// Answers still in the list.
    answers: usize,
}

impl Events {
    pub(super) fn new<I, O>(entries: &[Entry<I, O>]) -> Self {
        let n = entries.len();
        assert!(n < u32::MAX as usize / 2, "more operations than places");
        let mut order: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * n);
        for (i, entry) in entries.iter().enumerate() {
            order.push((entry.invoked, false, i));
            if let Some(answered) = entry.answered {
                assert!(entry.invoked <= answered, "operation {i} is answered before it is invoked");
                order.push((answered, true, n + i));
            }
        }
        // Invocations first among equal times: those operations are concurrent.
        order.sort_unstable();
        let mut events = Self {
            operations: n,
            next: vec![0; 2 * n + 1],
            previous: vec![0; 2 * n + 1],
            rank: vec![0; n],
            unanswered: entries.iter().map(|e| e.answered.is_none()).collect(),
            answers: 0,
        };
        let mut last = events.head();
        for (_, is_answer, place) in order {
            events.link(last, place);
            last = place;
            if is_answer {
                events.answers += 1;
                events.rank[place - n] = events.answers as u32;
            }
        }
        events.link(last, events.head());
        events
    }

    fn link(&mut self, before: Place, after: Place) {
        self.next[before] = after as u32;
        self.previous[after] = before as u32;
    }

    /// Stands before the first event and behind the last one.
    pub(super) fn head(&self) -> Place {
        2 * self.operations
    }

    pub(super) fn first(&self) -> Place {
        self.next(self.head())
    }

    pub(super) fn next(&self, place: Place) -> Place {
        self.next[place] as usize
    }

    /// Whether the place is an invocation.
    pub(super) fn is_invocation(&self, place: Place) -> bool {
        place < self.operations
    }

    /// The operation that an answer belongs to; none for the head.
    pub(super) fn answered(&self, place: Place) -> Option<usize> {
        place.checked_sub(self.operations).filter(|op| *op < self.operations)
    }

    /// The rank of an operation's answer in real time, from 1.
    pub(super) fn rank(&self, operation: usize) -> u32 {
        self.rank[operation]
    }

    /// Whether every operation that was answered has been lifted.
    pub(super) fn all_answers_lifted(&self) -> bool {
        self.answers == 0
    }

    pub(super) fn lift(&mut self, operation: usize) {
        self.unlink(operation);
        if !self.unanswered[operation] {
            self.unlink(self.operations + operation);
            self.answers -= 1;
        }
    }

    pub(super) fn put_back(&mut self, operation: usize) {
        if !self.unanswered[operation] {
            self.relink(self.operations + operation);
            self.answers += 1;
        }
        self.relink(operation);
    }

    fn unlink(&mut self, place: Place) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before as usize] = after;
        self.previous[after as usize] = before;
    }

    fn relink(&mut self, place: Place) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before as usize] = place as u32;
        self.previous[after as usize] = place as u32;
    }
}
