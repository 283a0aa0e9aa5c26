//! The state machine as the consensus group sees it.

use super::answer::{Answer, TenantQuery, View};
use super::command::Command;
use super::error::Rejection;
use super::ids::Stamp;
use super::state::State;
use super::waits::WaitKey;
use crate::consensus::{RestoreError, StateMachine};

impl StateMachine for State {
    type Command = Command;
    type Answer = Result<Answer, Rejection>;
    type Query = TenantQuery;
    type View = Result<View, Rejection>;
    type WaitKey = WaitKey;

    fn apply(&mut self, index: u64, stamp: Stamp, command: &Command) -> Self::Answer {
        self.mutate(index, stamp, command)
    }

    fn read(&self, query: &TenantQuery) -> Self::View {
        self.view(query)
    }

    fn blocked_on(&self, command: &Command, answer: &Self::Answer) -> Option<(WaitKey, Stamp)> {
        self.wait_of(command, answer)
    }

    fn released_by(&self, command: &Command, answer: &Self::Answer) -> Vec<WaitKey> {
        self.woken_by(command, answer)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.to_bytes()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.replace_by(snapshot)
    }
}
