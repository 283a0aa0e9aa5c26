//! The Maelstrom node through a network of our own: what Maelstrom checks, and its message counts as a regression.

mod eventual;
mod net;
mod process;
mod protocol;
mod replicated;
mod report;
