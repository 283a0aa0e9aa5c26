//! What a worker means to do: sessions, drawn from the seed before the run.
//!
//! A session takes one lease, works under it and ends it in some way. What comes of it depends on the service and on the faults;
//! what is *meant* does not, and goes into the schedule's digest. So each session draws from a stream of its own: how much one
//! draws depends on its answers, and must not shift the next.

use std::fmt::Write as _;

use crate::rng::Stream;

/// How a session leaves its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Gives it back.
    Release,
    /// Lets it run out, then writes once more: a zombie.
    Zombie,
    /// Finishes the shard.
    Complete,
    /// Sets the shard aside.
    Park,
    /// Splits the shard into children.
    SplitReplace,
    /// Splits the rest off and goes on.
    SplitResidual,
}

/// What else a session tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Nothing.
    None,
    /// Sends its first request again under the same op id when all is over.
    Replay,
    /// Uses its first op id for another request.
    Reuse,
    /// Reads a shard, from any node.
    Read,
    /// Reads the whole run, from any node.
    ReadRun,
    /// Unparks a shard first.
    Unpark,
    /// Wants the run to be complete, long before it is.
    CompleteEarly,
    /// Founds a run of its own, ends it and deletes it.
    Brief,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The root to acquire; `None`: claim whatever is free.
    pub root: Option<u64>,
    /// In the side run, which is ended on the way.
    pub side: bool,
    /// Waits in line if the lease is held.
    pub wait: bool,
    /// Moves of the cursor.
    pub checkpoints: u64,
    /// Enters an unfenced critical section between moves.
    pub section: bool,
    /// Renews the lease between moves.
    pub renew: bool,
    /// How it ends.
    pub finish: Finish,
    /// What else.
    pub extra: Extra,
    /// What it draws with on the way: steps of the cursor, cuts, nodes to be asked.
    pub dice: Stream,
}

/// From what sessions are drawn. Numbers are weights or percentages.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Roots of a main run.
    pub roots: usize,
    /// Sessions, of all workers together, after which the load moves on to a fresh main run, before this one's shards are used
    /// up; 0: its shards never end, and it stays.
    pub sessions: u64,
    /// Roots of a side run; 0: there is none.
    pub side_roots: usize,
    /// Sessions after which a side run is ended and another one begins.
    pub side_sessions: u64,
    /// Sessions that claim instead of naming a root, in percent.
    pub claim: u64,
    /// Sessions that wait in line, in percent.
    pub wait: u64,
    /// Most moves of the cursor in a session.
    pub checkpoints: u64,
    /// Sessions with critical sections, in percent.
    pub section: u64,
    /// Sessions that renew, in percent.
    pub renew: u64,
    /// Weights of [`Finish`] in its order.
    pub finish: [u64; 6],
    /// Weights of [`Extra`] in its order.
    pub extra: [u64; 8],
}

fn weighted<T: Copy, const N: usize>(rng: &mut Stream, weights: &[u64; N], items: [T; N]) -> T {
    let mut at = rng.below(weights.iter().sum::<u64>().max(1));
    for (weight, item) in weights.iter().zip(items) {
        if at < *weight {
            return item;
        }
        at -= weight;
    }
    items[0]
}

impl Mix {
    /// The sessions of a worker, one after the other and without an end.
    pub fn sessions(&self, seed: u64, worker: usize) -> impl Iterator<Item = Session> + Send + use<> {
        let mix = *self;
        (0u64..).map(move |number| mix.draw(Stream::new(seed, &format!("worker-{worker}-session-{number}"))))
    }

    fn draw(&self, mut dice: Stream) -> Session {
        use Extra as E;
        use Finish as F;
        let rng = &mut dice;
        let side = self.side_roots > 0 && rng.chance(15);
        let roots = if side { self.side_roots } else { self.roots };
        Session {
            root: (!rng.chance(self.claim)).then(|| rng.below(roots as u64)),
            side,
            wait: rng.chance(self.wait),
            checkpoints: rng.between(1, self.checkpoints),
            section: rng.chance(self.section),
            renew: rng.chance(self.renew),
            finish: weighted(
                rng,
                &self.finish,
                [F::Release, F::Zombie, F::Complete, F::Park, F::SplitReplace, F::SplitResidual],
            ),
            extra: weighted(
                rng,
                &self.extra,
                [E::None, E::Replay, E::Reuse, E::Read, E::ReadRun, E::Unpark, E::CompleteEarly, E::Brief],
            ),
            dice,
        }
    }

    /// The first sessions of each worker, as text: for the digest.
    pub fn intents(&self, seed: u64, workers: usize) -> String {
        let mut text = String::new();
        for worker in 0..workers {
            for session in self.sessions(seed, worker).take(64) {
                let _ = writeln!(text, "{worker} {session:?}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    #[test]
    fn intents_depend_on_the_seed_alone() {
        for kind in Kind::ALL {
            let mix = kind.mix();
            assert_eq!(mix.intents(7, 4), mix.intents(7, 4));
            assert_ne!(mix.intents(7, 4), mix.intents(8, 4));
        }
    }

    #[test]
    fn every_weight_above_zero_is_drawn_and_none_at_zero() {
        let drawn: Vec<Session> = Kind::FullLifecycle.mix().sessions(1, 0).take(2000).collect();
        for finish in [Finish::Release, Finish::Zombie, Finish::Complete, Finish::Park, Finish::SplitReplace] {
            assert!(drawn.iter().any(|session| session.finish == finish), "{finish:?}");
        }
        use Extra as E;
        for extra in [E::Replay, E::Reuse, E::Read, E::ReadRun, E::Unpark, E::CompleteEarly, E::Brief] {
            assert!(drawn.iter().any(|session| session.extra == extra), "{extra:?}");
        }
        let calm = Kind::ConcurrentAcquisition.mix();
        assert!(calm.sessions(1, 0).take(2000).all(|session| session.finish == Finish::Release));
    }

    #[test]
    fn a_workload_whose_shards_end_moves_on_and_one_whose_shards_stay_does_not() {
        for kind in Kind::ALL {
            let mix = kind.mix();
            // Completed, parked, split.
            let ends = mix.finish[2..5].iter().sum::<u64>() > 0;
            assert_eq!(mix.sessions > 0, ends, "{}", kind.name());
            assert_eq!(mix.side_sessions > 0, mix.side_roots > 0, "{}", kind.name());
            // More than its roots would be used up before the load moves on.
            let spent = mix.sessions * mix.finish[2..5].iter().sum::<u64>() / mix.finish.iter().sum::<u64>();
            let split = mix.finish[4] > 0;
            assert!(spent < mix.roots as u64 || split, "{}: {spent} of {}", kind.name(), mix.roots);
        }
    }
}
