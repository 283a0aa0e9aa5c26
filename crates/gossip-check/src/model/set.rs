//! A set that only grows.

use std::collections::BTreeSet;

use crate::wgl::Model;

/// Empty at first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Set;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetInput {
    Add(i64),
    Read,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SetOutput {
    Added,
    Read(BTreeSet<i64>),
}

impl Model for Set {
    type State = BTreeSet<i64>;
    type Input = SetInput;
    type Output = SetOutput;

    fn init(&self) -> Self::State {
        BTreeSet::new()
    }

    fn step(&self, state: &Self::State, input: &SetInput, output: Option<&SetOutput>) -> Option<Self::State> {
        match (input, output) {
            (SetInput::Add(element), None | Some(SetOutput::Added)) => {
                let mut state = state.clone();
                state.insert(*element);
                Some(state)
            }
            (SetInput::Read, None) => Some(state.clone()),
            (SetInput::Read, Some(SetOutput::Read(seen))) => (seen == state).then(|| state.clone()),
            _ => None,
        }
    }

    fn is_read(&self, input: &SetInput) -> bool {
        *input == SetInput::Read
    }

    /// What is in the set stays there.
    fn is_spent(&self, state: &Self::State, input: &SetInput, _: Option<&SetOutput>) -> bool {
        matches!(input, SetInput::Add(element) if state.contains(element))
    }
}
