//! Local health: how much this node distrusts itself.

use std::time::Duration;

/// The local health multiplier of Lifeguard (section IV.A): 0 is healthy; each point stretches this node's probes by one more
/// length, so that a slow node gives others more time instead of accusing them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    score: u32,
    worst: u32,
}

impl Health {
    pub(super) fn new(worst: u32) -> Self {
        Health { score: 0, worst }
    }

    pub(super) fn score(self) -> u32 {
        self.score
    }

    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    pub(super) fn worse(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(self.worst);
    }

    pub(super) fn stretch(self, length: Duration) -> Duration {
        length.saturating_mul(self.score + 1)
    }
}
