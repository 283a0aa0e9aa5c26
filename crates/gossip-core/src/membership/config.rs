//! Settings of the failure detector.

use std::time::Duration;

/// Settings of the failure detector. The same on every node of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// One probe is started in each interval (the protocol period of SWIM). Stretched by local health.
    pub probe_interval: Duration,
    /// How long the direct probe waits before others are asked to probe. Stretched by local health; less than the interval.
    pub probe_timeout: Duration,
    /// How many others are asked to probe.
    pub indirect_probes: usize,
    /// Alpha: the shortest suspicion is `alpha * max(1, log10 n) * probe_interval`.
    pub suspicion_alpha: f64,
    /// Beta: the longest suspicion, without a confirmation, is `beta` times the shortest.
    pub suspicion_beta: f64,
    /// K: how many confirmations by others bring a suspicion from the longest to the shortest.
    pub suspicion_confirmations: usize,
    /// The worst local health: intervals and timeouts grow at most to `max_health + 1` times their length.
    pub max_health: u32,
    /// How often news is sent on for its own sake, beside riding on probes.
    pub news_interval: Duration,
    /// To how many nodes each time.
    pub news_fanout: usize,
    /// Lambda: each claim is sent `lambda * ceil(log10(n + 1))` times by each node.
    pub retransmit: u32,
    /// The most claims that ride on one message.
    pub piggyback: usize,
    /// How long a dead or departed node is remembered, so that old news does not raise it.
    pub memory: Duration,
}

impl Config {
    /// How long an asker at its worst local health waits for its helpers. A helper does not know the asker's health.
    pub(super) fn longest_wait_for_helpers(&self) -> Duration {
        self.probe_interval.saturating_sub(self.probe_timeout).saturating_mul(self.max_health + 1)
    }
}

impl Default for Config {
    /// The settings of the Lifeguard paper, with the LAN intervals of memberlist.
    fn default() -> Self {
        Config {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            suspicion_alpha: 5.0,
            suspicion_beta: 6.0,
            suspicion_confirmations: 3,
            max_health: 8,
            news_interval: Duration::from_millis(200),
            news_fanout: 3,
            retransmit: 4,
            piggyback: 12,
            memory: Duration::from_secs(24 * 3600),
        }
    }
}
