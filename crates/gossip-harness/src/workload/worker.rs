//! A worker: carries one session out after another until the load ends.

use std::time::Duration;

use gossip_client::clock::Moment;
use gossip_client::{Grant, LeaseRef, OpId, ShardSpec};
use tokio::sync::watch;
use tokio::time::sleep;

use super::calls::{Caller, MAIN, Outcome, SIDE};
use super::keys::{Rest, root_range};
use super::session::{Extra, Finish, Mix, Session};
use crate::gate::Gate;
use crate::pace::Pace;
use crate::rng::Stream;

/// One worker of the load.
#[derive(Debug)]
pub struct Worker {
    /// Its number; processes are numbered apart.
    pub number: usize,
    /// Where the nodes are.
    pub nodes: Vec<String>,
    /// Its way to the service.
    pub caller: Caller,
    /// From what it draws.
    pub mix: Mix,
    /// What it draws with.
    pub rng: Stream,
    /// Where it stands still when it is paused.
    pub gate: Gate,
    /// Turns true when the load is over.
    pub over: watch::Receiver<bool>,
    /// The length of its leases.
    pub lease: Duration,
}

/// Makes the runs of `mix`.
///
/// # Errors
/// The reason of a refusal.
pub async fn register(caller: &mut Caller, mix: &Mix) -> Outcome<()> {
    caller.register(MAIN, roots(MAIN, mix.roots)).await?;
    if mix.side_roots > 0 {
        caller.register(SIDE, roots(SIDE, mix.side_roots)).await?;
    }
    Ok(())
}

fn root_name(run: &str, root: usize) -> String {
    format!("{run}-{root}")
}

fn roots(run: &str, count: usize) -> Vec<ShardSpec> {
    let spec = |root| {
        let range = root_range(root, count);
        ShardSpec::new(root_name(run, root), range.start, range.end)
    };
    (0..count).map(spec).collect()
}

/// A lease under which the worker works.
struct Holding {
    lease: LeaseRef,
    believed_until: Moment,
    rest: Rest,
    /// The op id of the newest checkpoint, of the grant before there is one.
    op: OpId,
}

impl Holding {
    fn of(op: OpId, grant: &Grant) -> Self {
        let rest = Rest::of(&grant.range, grant.cursor.as_ref().map(|cursor| &cursor.key[..]));
        Holding { lease: grant.lease.clone(), believed_until: grant.believed_until, rest, op }
    }

    /// How long the holder may still believe.
    fn left(&self) -> Duration {
        self.believed_until.since(Moment::now())
    }
}

impl Worker {
    /// Works until the load is over.
    pub async fn run(mut self, pace: &Pace) {
        while !*self.over.borrow() {
            let session = self.mix.draw(&mut self.rng);
            // A reason ends the session; what it was stands in the history.
            let _ = self.session(&session, pace).await;
        }
    }

    async fn turn(&self, pace: &Pace) {
        self.gate.pass(self.number).await;
        pace.turn().await;
    }

    async fn session(&mut self, session: &Session, pace: &Pace) -> Outcome<()> {
        self.turn(pace).await;
        let run = if session.side { SIDE } else { MAIN };
        let named = root_name(run, session.root.unwrap_or(0));
        match session.extra {
            Extra::Unpark => drop(self.caller.unpark(&named).await),
            Extra::Read => {
                let node = self.rng.pick(&self.nodes).clone();
                let _ = self.caller.read_shard(&named, &node).await;
            }
            Extra::CancelSide => drop(self.caller.end_run("cancel-run", SIDE).await),
            Extra::CompleteEarly => drop(self.caller.end_run("complete-run", MAIN).await),
            Extra::None | Extra::Replay | Extra::Reuse => {}
        }
        let op = self.caller.op_id();
        let wait = if session.wait { self.lease / 2 } else { Duration::ZERO };
        let grant = match session.root {
            Some(_) => self.caller.acquire(op, &named, wait).await,
            None => self.caller.claim(op, run, wait).await,
        };
        let grant = match grant {
            Ok(grant) => grant,
            Err(reason) => {
                // Nothing to be had: others should have their turn.
                sleep(self.lease / 20).await;
                return Err(reason);
            }
        };
        let mut holding = Holding::of(op, &grant);
        let worked = self.work(session, &mut holding, pace).await;
        let finished = match worked {
            Ok(()) => self.finish(session.finish, &mut holding, pace).await,
            Err(reason) => Err(reason),
        };
        match session.extra {
            Extra::Replay if session.root.is_some() => {
                self.turn(pace).await;
                self.caller.acquire(op, &named, wait).await?;
            }
            Extra::Reuse => {
                self.turn(pace).await;
                let next = holding.rest.key(1);
                // Another payload under an op id that was answered.
                self.caller.checkpoint(holding.op, &holding.lease, &next).await?;
            }
            _ => {}
        }
        finished
    }

    async fn work(&mut self, session: &Session, holding: &mut Holding, pace: &Pace) -> Outcome<()> {
        for _ in 0..session.checkpoints {
            if session.section {
                self.section(holding).await;
            }
            if session.renew && holding.left() < self.lease / 2 {
                self.turn(pace).await;
                holding.believed_until = self.caller.renew(&holding.lease).await?;
            }
            if holding.rest.left() < 2 {
                return Ok(());
            }
            // Decided now; sent when the gate lets it through, perhaps long after the lease was lost.
            let by = 1 + self.rng.below(holding.rest.left().min(1000));
            let at = holding.rest.key(by);
            self.turn(pace).await;
            let op = self.caller.op_id();
            self.caller.checkpoint(op, &holding.lease, &at).await?;
            holding.rest.done += by;
            holding.op = op;
            self.wrong_cursor(holding).await;
        }
        Ok(())
    }

    /// Now and then a cursor that must be refused: behind what is done, or outside of the range.
    async fn wrong_cursor(&mut self, holding: &Holding) {
        let at = match self.rng.below(16) {
            0 => holding.rest.behind(),
            1 => holding.rest.outside(),
            _ => None,
        };
        if let Some(at) = at {
            let op = self.caller.op_id();
            // Refused, or the judge will say so.
            let _ = self.caller.checkpoint(op, &holding.lease, &at).await;
        }
    }

    /// Stays in the section for a part of what is left of the belief, and never beyond it.
    async fn section(&mut self, holding: &Holding) {
        let left = holding.left();
        if left < self.lease / 10 {
            return;
        }
        let call = self.caller.enter(&holding.lease);
        let clock = self.caller.clock();
        let entered = clock.now().cast_signed();
        sleep(left / 8).await;
        let believed = clock.place(holding.believed_until.as_nanos());
        self.caller.section(call, entered, clock.now().cast_signed().min(believed));
    }

    async fn finish(&mut self, finish: Finish, holding: &mut Holding, pace: &Pace) -> Outcome<()> {
        let rest = holding.rest.left();
        if finish == Finish::Zombie {
            sleep(holding.left() + self.lease / 4).await;
        }
        self.turn(pace).await;
        let op = self.caller.op_id();
        let lease = &holding.lease;
        match finish {
            Finish::Zombie if rest > 0 => self.caller.checkpoint(op, lease, &holding.rest.key(1)).await,
            Finish::Complete => self.caller.complete(op, lease).await,
            Finish::Park => self.caller.park(lease).await,
            Finish::SplitReplace if rest > 4 => {
                let first = 1 + self.rng.below(rest / 2);
                let mut cuts = vec![holding.rest.key(first)];
                if self.rng.chance(50) {
                    cuts.push(holding.rest.key(first + 1 + self.rng.below(rest - first)));
                }
                self.caller.split_replace(op, lease, cuts).await.map(drop)
            }
            Finish::SplitResidual if rest > 4 => {
                let at = holding.rest.key(1 + self.rng.below(rest));
                self.caller.split_residual(op, lease, at).await?;
                self.caller.release(lease).await
            }
            _ => self.caller.release(lease).await,
        }
    }
}
