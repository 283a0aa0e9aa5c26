//! What happens next: events by virtual time, and among equal times in the order in which they were planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Virtual real time in nanoseconds since the world began. No node and no worker can read it.
pub type Nanos = u64;

/// One microsecond.
pub const MICRO: Nanos = 1_000;
/// One millisecond.
pub const MILLI: Nanos = 1_000_000;
/// One second.
pub const SECOND: Nanos = 1_000_000_000;

#[derive(Debug)]
struct Planned<E> {
    at: Nanos,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    /// The other way round: the heap gives out its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// The agenda of the world.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Planned<E>>,
    now: Nanos,
    sequence: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::with_capacity(256), now: 0, sequence: 0 }
    }
}

impl<E> Queue<E> {
    /// The time of the event that was taken last.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Events taken and planned so far.
    pub fn planned(&self) -> u64 {
        self.sequence
    }

    /// Plans `event` for `at`; a time that has passed means now, after what is planned for now already.
    pub fn at(&mut self, at: Nanos, event: E) {
        self.sequence += 1;
        self.heap.push(Planned { at: at.max(self.now), sequence: self.sequence, event });
    }

    /// Plans `event` for `delay` from now.
    pub fn after(&mut self, delay: Nanos, event: E) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// Takes the next event and moves the time to it.
    pub fn step(&mut self) -> Option<E> {
        let Planned { at, event, .. } = self.heap.pop()?;
        assert!(at >= self.now, "time never goes back");
        self.now = at;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_in_planned_order() {
        let mut queue = Queue::default();
        queue.at(20, 'c');
        queue.at(10, 'a');
        queue.at(20, 'd');
        queue.at(10, 'b');
        assert_eq!(queue.step(), Some('a'));
        queue.at(3, 'x');
        assert_eq!((queue.step(), queue.step(), queue.now()), (Some('b'), Some('x'), 10));
        assert_eq!((queue.step(), queue.step(), queue.step()), (Some('c'), Some('d'), None));
    }
}
