//! What a node knows about another, and how long acknowledgements take.

use std::time::Duration;

use super::versions::Versions;
use crate::time::Time;

#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// Its life, and what it has: from its own messages. `None`: never heard.
    pub(super) known: Option<(u64, Versions)>,
    /// What it has if nothing that was sent to it is lost: never behind `known`.
    pub(super) sent: Versions,
    /// The oldest push that it has not acknowledged, and what it must have to do so.
    pub(super) unacked: Option<(Time, Versions)>,
    pub(super) heard: Option<Time>,
    /// When an acknowledgement is due to it unless one rides on something else before.
    pub(super) ack_at: Option<Time>,
    /// When to ask it for what it has and this node lacks.
    pub(super) pull_at: Option<Time>,
    /// How often in a row it was asked without getting this node level with it.
    pub(super) pulls: u32,
    /// It does not answer: when to probe it next, and how long to wait after that.
    pub(super) probe: Option<(Time, Duration)>,
    /// Not to be taken as parent before this: it did not acknowledge.
    pub(super) avoid_until: Option<Time>,
    /// It hears everything through this node.
    pub(super) child: bool,
}

impl Peer {
    /// Takes the header of a message. Gives the delay of an acknowledgement if there was one.
    pub(super) fn hear(&mut self, now: Time, life: u64, versions: &Versions, exact: bool) -> Option<Duration> {
        self.heard = Some(now);
        self.probe = None;
        match &mut self.known {
            Some((known_life, known)) if *known_life == life && !exact => known.merge(versions),
            known => {
                *known = Some((life, versions.clone()));
                self.sent = versions.clone();
                self.unacked = None;
            }
        }
        self.sent.merge(versions);
        self.settle(now)
    }

    fn settle(&mut self, now: Time) -> Option<Duration> {
        let (_, known) = self.known.as_ref()?;
        let (since, wanted) = self.unacked.as_ref()?;
        if !known.covers(wanted) {
            return None;
        }
        let delay = now - *since;
        // Later pushes are measured from now on: a little late, never too strict.
        self.unacked = (!known.covers(&self.sent)).then(|| (now, self.sent.clone()));
        Some(delay)
    }

    /// Notes that everything in `versions` was sent to it, something new among it. `acknowledges`: it will say so.
    pub(super) fn pushed(&mut self, now: Time, versions: &Versions, acknowledges: bool) {
        self.sent.merge(versions);
        if self.unacked.is_none() && acknowledges {
            self.unacked = Some((now, self.sent.clone()));
        }
    }

    /// Forgets what was sent beyond what it acknowledged, and starts to probe it.
    pub(super) fn give_up(&mut self, now: Time) {
        self.unacked = None;
        self.sent = self.known.as_ref().map(|(_, known)| known.clone()).unwrap_or_default();
        self.probe = Some((now, FIRST_PROBE));
    }

    pub(super) fn avoided(&self, now: Time) -> bool {
        self.avoid_until.is_some_and(|until| now < until)
    }
}

pub(super) const FIRST_PROBE: Duration = Duration::from_millis(500);

/// RFC 6298's estimator of the time until something is acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct AckDelay {
    mean: Option<Duration>,
    deviation: Duration,
}

impl AckDelay {
    pub(super) fn sample(&mut self, delay: Duration) {
        match self.mean {
            None => (self.mean, self.deviation) = (Some(delay), delay / 2),
            Some(mean) => {
                self.deviation = (self.deviation * 3 + mean.abs_diff(delay)) / 4;
                self.mean = Some((mean * 7 + delay) / 8);
            }
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.mean.unwrap_or_default() + self.deviation * 4
    }
}
