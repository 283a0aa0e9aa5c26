//! A worker: carries one session out after another until the load ends.

use std::time::Duration;

use gossip_client::clock::Moment;
use gossip_client::{Child, Grant, LeaseRef, OpId};
use tokio::sync::watch;
use tokio::time::sleep;

use super::caller::{Caller, Outcome};
use super::course::{Course, Duty, root_name, roots};
use super::keys::Rest;
use super::reads::Place;
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
    pub nodes: Vec<Place>,
    /// Its way to the service.
    pub caller: Caller,
    /// From what its sessions are drawn.
    pub mix: Mix,
    /// With which seed.
    pub seed: u64,
    /// Shared with the other workers.
    pub course: Course,
    /// Where it stands still when it is paused.
    pub gate: Gate,
    /// Turns true when the load is over.
    pub over: watch::Receiver<bool>,
    /// The length of its leases.
    pub lease: Duration,
}

/// Makes the first runs of a load.
///
/// # Errors
/// The reason of a refusal.
pub async fn register(caller: &mut Caller, course: &Course) -> Outcome<()> {
    for (run, count) in course.first() {
        caller.register(&run, roots(&run, count)).await?;
    }
    Ok(())
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
        for (number, session) in (0u64..).zip(self.mix.sessions(self.seed, self.number)) {
            if *self.over.borrow() {
                return;
            }
            self.caller.begin_session(self.number, number);
            let (run, duty) = self.course.begin(session.side);
            if let Some(duty) = duty {
                self.move_on(&duty).await;
            }
            // A reason ends the session; what it was stands in the history.
            let _ = self.session(session, number, &run, pace).await;
        }
    }

    /// Ends the run that got old, if it is one that must end, and makes the next one.
    async fn move_on(&mut self, duty: &Duty) {
        if let Some((run, how)) = &duty.end {
            // Refused or lost: others go on in it, which is a test as well.
            let _ = self.caller.end_run(how, run).await;
        }
        let (run, count) = &duty.open;
        let opened = self.caller.register(run, roots(run, *count)).await.is_ok();
        self.course.moved(duty, opened);
    }

    pub(super) async fn turn(&self, pace: &Pace) {
        self.gate.pass(self.number).await;
        pace.turn().await;
    }

    async fn session(&mut self, mut session: Session, number: u64, run: &str, pace: &Pace) -> Outcome<()> {
        self.turn(pace).await;
        if session.extra == Extra::Brief {
            // A reason ends the brief run; the session goes on.
            let _ = self.brief_run(number, &mut session.dice, pace).await;
        }
        let named = session.root.map(|root| root_name(run, root));
        self.aside(&mut session, run).await;
        let op = self.caller.op_id();
        let wait = if session.wait { self.lease / 2 } else { Duration::ZERO };
        let grant = match &named {
            Some(shard) => self.caller.acquire(op, shard, wait).await,
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
        self.course.saw(&grant.lease.shard);
        let mut holding = Holding::of(op, &grant);
        let worked = self.work(&mut session, &mut holding, pace).await;
        let finished = match worked {
            Ok(()) => self.finish(&mut session, &mut holding, pace).await,
            Err(reason) => Err(reason),
        };
        match session.extra {
            Extra::Replay => {
                self.turn(pace).await;
                match &named {
                    Some(shard) => drop(self.caller.acquire(op, shard, wait).await?),
                    None => drop(self.caller.claim(op, run, wait).await?),
                }
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

    /// What a session does beside its lease, before it has one.
    async fn aside(&mut self, session: &mut Session, run: &str) {
        let dice = &mut session.dice;
        // A shard that somebody met; before there is one, the first root.
        let known = |dice: &mut Stream, course: &Course| course.any(run, dice).unwrap_or_else(|| root_name(run, 0));
        match session.extra {
            Extra::Unpark => {
                let parked = self.course.unpark(run, dice);
                let shard = parked.unwrap_or_else(|| known(dice, &self.course));
                let _ = self.caller.unpark(&shard).await;
            }
            Extra::Read => {
                let shard = known(dice, &self.course);
                let node = dice.pick(&self.nodes).address.clone();
                let _ = self.caller.read_shard(&shard, &node).await;
            }
            Extra::ReadRun => {
                let node = dice.pick(&self.nodes).clone();
                let shards = self.caller.read_run(run, &node, false).await;
                for shard in shards.unwrap_or_default() {
                    self.course.saw(&shard.shard);
                }
            }
            Extra::CompleteEarly => drop(self.caller.end_run("complete-run", run).await),
            Extra::None | Extra::Replay | Extra::Reuse | Extra::Brief => {}
        }
    }

    async fn work(&mut self, session: &mut Session, holding: &mut Holding, pace: &Pace) -> Outcome<()> {
        for step in 0..session.checkpoints {
            if session.section {
                self.section(holding).await;
            }
            // Half-way, however fast it went, and whenever it gets late.
            if session.renew && (step == session.checkpoints / 2 || holding.left() < self.lease / 2) {
                self.turn(pace).await;
                holding.believed_until = self.caller.renew(&holding.lease).await?;
            }
            if holding.rest.left() < 2 {
                return Ok(());
            }
            // Decided now; sent when the gate lets it through, perhaps long after the lease was lost.
            let by = 1 + session.dice.below(holding.rest.left().min(1000));
            let at = holding.rest.key(by);
            self.turn(pace).await;
            let op = self.caller.op_id();
            self.caller.checkpoint(op, &holding.lease, &at).await?;
            holding.rest.done += by;
            holding.op = op;
            self.wrong_cursor(&mut session.dice, holding).await;
        }
        Ok(())
    }

    /// Now and then a cursor that must be refused: behind what is done, or outside of the range.
    async fn wrong_cursor(&mut self, dice: &mut Stream, holding: &Holding) {
        let at = match dice.below(16) {
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

    /// Works in a section in steps, and looks before each and before it leaves whether it still believes. It stalls there like
    /// anywhere else. Times are the true ones: a section that was left under a belief must not meet another. One that
    /// was overstayed is noted as failed: what a holder does after it last looked is its own risk, and it knows by now.
    async fn section(&mut self, holding: &Holding) {
        const STEPS: u32 = 4;
        let left = holding.left();
        if left < self.lease / 10 {
            return;
        }
        let call = self.caller.enter(&holding.lease);
        let clock = self.caller.clock();
        let entered = clock.now().cast_signed();
        for _ in 0..STEPS {
            sleep(left / 8 / STEPS).await;
            self.gate.pass(self.number).await;
            if holding.left().is_zero() {
                break;
            }
        }
        // Looks again if so much time went by since that the look says nothing of the leaving.
        let (mut believed, mut out) = (!holding.left().is_zero(), clock.now().cast_signed());
        while believed {
            let looked = clock.now().cast_signed();
            believed = !holding.left().is_zero();
            out = clock.now().cast_signed();
            if out - looked < FRESH_NS {
                break;
            }
        }
        if believed {
            call.ok(|sent| sent.with("entered", entered).with("left", out));
        } else {
            call.overstayed(|sent| sent.with("entered", entered).with("left", out));
        }
    }

    async fn finish(&mut self, session: &mut Session, holding: &mut Holding, pace: &Pace) -> Outcome<()> {
        let (rest, dice) = (holding.rest.left(), &mut session.dice);
        if session.finish == Finish::Zombie {
            sleep(holding.left() + self.lease / 4).await;
        }
        self.turn(pace).await;
        let op = self.caller.op_id();
        let lease = &holding.lease;
        match session.finish {
            Finish::Zombie if rest > 0 => self.caller.checkpoint(op, lease, &holding.rest.key(1)).await,
            Finish::Complete => self.caller.complete(op, lease).await,
            Finish::Park => {
                self.caller.park(lease).await?;
                self.course.parked(&lease.shard);
                Ok(())
            }
            Finish::SplitReplace if rest > 4 => {
                let first = 1 + dice.below(rest / 2);
                let mut cuts = vec![holding.rest.key(first)];
                if dice.chance(50) {
                    cuts.push(holding.rest.key(first + 1 + dice.below(rest - first)));
                }
                let children = self.caller.split_replace(op, lease, cuts).await?;
                self.learn(&children);
                Ok(())
            }
            Finish::SplitResidual if rest > 4 => {
                let at = holding.rest.key(1 + dice.below(rest));
                let residual = self.caller.split_residual(op, lease, at).await?;
                self.learn(&[residual]);
                self.caller.release(lease).await
            }
            _ => self.caller.release(lease).await,
        }
    }

    fn learn(&self, children: &[Child]) {
        for child in children {
            self.course.saw(&child.shard);
        }
    }
}

/// A look is worth nothing after so many nanoseconds: far below the drift margin of any lease here.
const FRESH_NS: i64 = 10_000_000;

#[cfg(test)]
mod tests;
