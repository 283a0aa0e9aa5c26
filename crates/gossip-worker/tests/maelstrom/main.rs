//! The Maelstrom node through a network of our own: what Maelstrom checks, and its message counts as a regression.

mod eventual;
mod load;
mod logs;
mod net;
mod process;
mod protocol;
mod registers;
mod replicated;
mod report;
mod txns;
