//! A counter: add, read.

use crate::wgl::Model;

/// Zero at first. Sums that leave 64 bits cannot happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterInput {
    Add(i64),
    Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterOutput {
    Added,
    Read(i64),
}

impl Model for Counter {
    type State = i64;
    type Input = CounterInput;
    type Output = CounterOutput;

    fn init(&self) -> i64 {
        0
    }

    fn step(&self, state: &i64, input: &CounterInput, output: Option<&CounterOutput>) -> Option<i64> {
        match (input, output) {
            (CounterInput::Add(n), None | Some(CounterOutput::Added)) => state.checked_add(*n),
            (CounterInput::Read, None) => Some(*state),
            (CounterInput::Read, Some(CounterOutput::Read(seen))) => (seen == state).then_some(*state),
            _ => None,
        }
    }

    fn is_read(&self, input: &CounterInput) -> bool {
        *input == CounterInput::Read
    }
}
