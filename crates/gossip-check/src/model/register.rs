//! A register: read, write, compare and set.

use crate::wgl::Model;

/// Holds a number, or nothing at first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Register {
    pub init: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegisterInput {
    Read,
    Write(i64),
    /// Puts the second in place of the first.
    Cas(i64, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegisterOutput {
    Read(Option<i64>),
    Written,
    /// Whether the register held what was expected.
    Swapped(bool),
}

impl Model for Register {
    type State = Option<i64>;
    type Input = RegisterInput;
    type Output = RegisterOutput;

    fn init(&self) -> Self::State {
        self.init
    }

    fn step(&self, state: &Self::State, input: &RegisterInput, output: Option<&RegisterOutput>) -> Option<Self::State> {
        match (input, output) {
            (RegisterInput::Read, None) => Some(*state),
            (RegisterInput::Read, Some(RegisterOutput::Read(seen))) => (seen == state).then_some(*state),
            (RegisterInput::Write(value), None | Some(RegisterOutput::Written)) => Some(Some(*value)),
            (RegisterInput::Cas(from, to), None) => Some(if *state == Some(*from) { Some(*to) } else { *state }),
            (RegisterInput::Cas(from, to), Some(RegisterOutput::Swapped(swapped))) => {
                let fits = *state == Some(*from);
                (fits == *swapped).then_some(if fits { Some(*to) } else { *state })
            }
            _ => None,
        }
    }

    fn is_read(&self, input: &RegisterInput) -> bool {
        *input == RegisterInput::Read
    }
}
