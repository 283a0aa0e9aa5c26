//! Sequential specifications, for the search in [`crate::wgl`].

mod counter;
mod register;
mod set;

pub use counter::{Counter, CounterInput, CounterOutput};
pub use register::{Register, RegisterInput, RegisterOutput};
pub use set::{Set, SetInput, SetOutput};
