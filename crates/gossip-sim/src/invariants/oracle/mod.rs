//! The oracle follows the answers in the order of the log and knows from them alone what each record must be. It shares no code with
//! the state machine: whatever that accepts or refuses must be right by what was answered before.

mod compare;
mod leases;
mod ranges;
mod replays;

use std::collections::BTreeMap;

use gossip_core::coordination::answer::{ChildShard, RunSummary};
use gossip_core::coordination::{
    Answer, Command, Cursor, Fence, Op, Range, Rejection, RunId, RunStatus, ShardId, ShardStatus, Stamp, TenantId,
    WorkerId,
};

use super::{Checked, Rule, Violation, ensure};
use replays::Replays;

type Outcome = Result<Answer, Rejection>;

/// All records as the answers describe them.
#[derive(Debug, Default)]
pub struct Oracle {
    now: Stamp,
    runs: BTreeMap<(TenantId, RunId), Run>,
    /// The highest fence of each tenant's deleted runs.
    floors: BTreeMap<TenantId, Fence>,
    deletions: Replays,
    /// How often a lease was taken over after its deadline.
    takeovers: u64,
    /// [`Replays::asked_again`] of deleted runs.
    asked_again: (u64, u64),
}

#[derive(Debug)]
struct Run {
    status: RunStatus,
    roots: Vec<Range>,
    shards: BTreeMap<ShardId, Shard>,
    replays: Replays,
}

#[derive(Debug)]
struct Shard {
    range: Range,
    status: ShardStatus,
    fence: Fence,
    lease: Option<Lease>,
    cursor: Option<Cursor>,
    /// The fence of the last lease that was taken over after its deadline.
    ran_out: Option<Fence>,
}

/// A lease that was live at some moment.
#[derive(Debug)]
pub struct Held {
    run: (TenantId, RunId),
    shard: ShardId,
    fence: Fence,
}

#[derive(Debug)]
struct Lease {
    worker: WorkerId,
    granted: Stamp,
    deadline: Stamp,
}

impl Shard {
    fn new(range: Range, fence: Fence) -> Self {
        Shard { range, status: ShardStatus::Active, fence, lease: None, cursor: None, ran_out: None }
    }

    /// The lease that is live at `now`.
    fn live(&self, now: Stamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| now < lease.deadline)
    }
}

impl Run {
    fn count(&self, status: ShardStatus) -> u64 {
        self.shards.values().filter(|shard| shard.status == status).count() as u64
    }

    fn shard(&mut self, name: &ShardId) -> Result<&mut Shard, Violation> {
        self.shards.get_mut(name).ok_or_else(|| Violation::new(Rule::State, format!("shard {name} was never made")))
    }
}

impl Oracle {
    /// Leases taken over after their deadline.
    pub fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// Op ids that came again after their answers were forgotten: for the number of newer ones, and for their bytes.
    pub fn asked_again(&self) -> (u64, u64) {
        let all = self.runs.values().map(|run| run.replays.asked_again);
        all.fold(self.asked_again, |sum, run| (sum.0 + run.0, sum.1 + run.1))
    }

    /// The leases that are live now.
    pub fn live_leases(&self) -> Vec<Held> {
        let shards =
            self.runs.iter().flat_map(|(run, of)| of.shards.iter().map(move |(name, shard)| (run, name, shard)));
        let live = shards.filter(|(.., shard)| shard.live(self.now).is_some());
        live.map(|(run, name, shard)| Held { run: run.clone(), shard: name.clone(), fence: shard.fence }).collect()
    }

    /// Whether one of these has run out since, instead of being given up.
    pub fn any_ran_out(&self, leases: &[Held]) -> bool {
        leases.iter().any(|held| {
            let shard = self.runs.get(&held.run).and_then(|run| run.shards.get(&held.shard));
            shard.is_some_and(|shard| {
                let over = shard.lease.as_ref().is_some_and(|lease| lease.deadline <= self.now);
                shard.ran_out == Some(held.fence) || (shard.fence == held.fence && over)
            })
        })
    }

    /// Takes in the next entry of the log with its answer.
    ///
    /// # Errors
    /// The answer cannot be right.
    pub fn applied(&mut self, stamp: Stamp, command: &Command, answer: &Outcome) -> Checked {
        ensure(self.now <= stamp, Rule::LeaseClock, || {
            format!("the lease clock went from {:?} to {stamp:?}", self.now)
        })?;
        self.now = stamp;
        if command.check().is_err() {
            return ensure(answer.is_err(), Rule::State, || {
                format!("a malformed command was carried out: {command:?}")
            });
        }
        match (&command.op, answer) {
            (Op::DeleteRun, _) => self.delete(command, answer),
            (Op::CreateRun { .. }, Ok(_)) if !self.runs.contains_key(&key(command)) => {
                let mut run = Run {
                    status: RunStatus::Open,
                    roots: Vec::new(),
                    shards: BTreeMap::new(),
                    replays: Replays::default(),
                };
                run.replays.remember(command, answer);
                self.runs.insert(key(command), run);
                Ok(())
            }
            _ => self.on_run(command, answer),
        }
    }

    fn on_run(&mut self, command: &Command, answer: &Outcome) -> Checked {
        let now = self.now;
        let floor = self.floors.get(&command.tenant).copied().unwrap_or_default();
        let Some(run) = self.runs.get_mut(&key(command)) else {
            let lost = matches!(answer, Err(Rejection::RunNotFound | Rejection::LimitExceeded { .. }));
            return ensure(lost, Rule::State, || format!("{command:?} on a run that is not there: {answer:?}"));
        };
        if run.replays.check(command, answer)? {
            return Ok(());
        }
        match answer {
            Ok(answer) => {
                self.takeovers += u64::from(run.carried_out(now, floor, command, answer)?);
                run.replays.remember(command, &Ok(answer.clone()));
                Ok(())
            }
            Err(rejection) => run.refused(now, command, rejection),
        }
    }

    fn delete(&mut self, command: &Command, answer: &Outcome) -> Checked {
        if self.deletions.check(command, answer)? {
            return Ok(());
        }
        let run = self.runs.get(&key(command));
        match answer {
            Ok(_) => {
                let ended = run.is_some_and(|run| run.status.is_terminal());
                ensure(ended, Rule::S3, || format!("{} is deleted and has not ended", command.run))?;
                let highest =
                    run.and_then(|run| run.shards.values().map(|shard| shard.fence).max()).unwrap_or_default();
                let floor = self.floors.entry(command.tenant.clone()).or_default();
                *floor = highest.max(*floor);
                let gone = self.runs.remove(&key(command)).map(|run| run.replays.asked_again).unwrap_or_default();
                self.asked_again = (self.asked_again.0 + gone.0, self.asked_again.1 + gone.1);
                self.deletions.remember(command, answer);
                Ok(())
            }
            Err(Rejection::RunNotFound) => ensure(run.is_none(), Rule::State, || format!("{} is there", command.run)),
            Err(_) => Ok(()),
        }
    }
}

fn key(command: &Command) -> (TenantId, RunId) {
    (command.tenant.clone(), command.run.clone())
}

impl Run {
    /// Checks that `command` could be carried out with this answer, and takes its effect over. Says whether an expired lease
    /// was taken over.
    fn carried_out(&mut self, now: Stamp, floor: Fence, command: &Command, answer: &Answer) -> Result<bool, Violation> {
        let grants = matches!(command.op, Op::Acquire { .. } | Op::Claim { .. });
        ensure(!self.status.is_terminal(), Rule::S3, || {
            format!("{} on a run that is {}", command.op.name(), self.status.name())
        })?;
        if let Op::Acquire { .. } | Op::Claim { .. } | Op::CompleteRun = command.op {
            ensure(self.status == RunStatus::Active, Rule::S3, || format!("{} before the start", command.op.name()))?;
        }
        match (&command.op, answer) {
            (_, Answer::Granted(grant)) if grants => return self.granted(now, command, grant),
            (Op::RegisterShards { shards, start }, Answer::Run(summary)) => {
                for spec in shards {
                    self.add_root(spec.shard.clone(), spec.range.clone(), floor)?;
                }
                self.status = if *start { RunStatus::Active } else { self.status };
                self.agrees(summary)?;
            }
            (Op::StartRun, Answer::Run(summary)) => {
                self.status = RunStatus::Active;
                self.agrees(summary)?;
            }
            (Op::CompleteRun, Answer::Run(summary)) => {
                let left = self.count(ShardStatus::Active) + self.count(ShardStatus::Parked);
                ensure(left == 0, Rule::S3, || format!("{} is completed with {left} shards unfinished", command.run))?;
                self.status = RunStatus::Done;
                self.agrees(summary)?;
            }
            (Op::FailRun { .. }, Answer::Run(summary)) => self.end(RunStatus::Failed, summary)?,
            (Op::CancelRun { .. }, Answer::Run(summary)) => self.end(RunStatus::Cancelled, summary)?,
            (Op::Unpark { shard }, Answer::Unparked { fence }) => self.shard(shard)?.unparked(*fence)?,
            (Op::SplitReplace { lease, cuts }, Answer::Replaced { children }) => {
                self.shard(&lease.shard)?.written(now, lease)?;
                self.replaced(&lease.shard, cuts, children, floor)?;
            }
            (Op::SplitResidual { lease, at }, Answer::Split { residual }) => {
                self.shard(&lease.shard)?.written(now, lease)?;
                self.split(&lease.shard, at, residual, floor)?;
            }
            (op, answer) => match op.lease() {
                Some(lease) => self.shard(&lease.shard)?.wrote(now, op, lease, answer)?,
                None => return Err(Violation::new(Rule::State, format!("{command:?} was answered {answer:?}"))),
            },
        }
        Ok(false)
    }

    fn end(&mut self, status: RunStatus, summary: &RunSummary) -> Checked {
        self.status = status;
        for shard in self.shards.values_mut().filter(|shard| !shard.status.is_terminal()) {
            (shard.status, shard.lease, shard.fence) = (ShardStatus::Cancelled, None, shard.fence.next());
        }
        self.agrees(summary)
    }

    fn agrees(&self, summary: &RunSummary) -> Checked {
        let counts = summary.counts;
        let told = [counts.active, counts.parked, counts.done, counts.split, counts.cancelled];
        let all =
            [ShardStatus::Active, ShardStatus::Parked, ShardStatus::Done, ShardStatus::Split, ShardStatus::Cancelled];
        let own = all.map(|status| self.count(status));
        let same = own == told && summary.status == self.status && summary.roots == self.roots.len() as u64;
        ensure(same, Rule::S3, || format!("the run is {:?} {own:?}, the answer says {summary:?}", self.status))
    }

    /// Checks that the refusal was due.
    fn refused(&self, now: Stamp, command: &Command, why: &Rejection) -> Checked {
        let shard = command.op.shard().and_then(|name| self.shards.get(name));
        let live = shard.and_then(|shard| shard.live(now));
        let lease = command.op.lease();
        let due = match why {
            Rejection::RunNotFound => false,
            Rejection::RunEnded { status } => self.status == *status && status.is_terminal(),
            Rejection::RunNotStarted => self.status == RunStatus::Open,
            Rejection::RunNotOpen { status } => self.status == *status && *status != RunStatus::Open,
            Rejection::RunUnfinished { active, parked } => {
                *active == self.count(ShardStatus::Active) && *parked == self.count(ShardStatus::Parked)
            }
            Rejection::ShardNotFound => shard.is_none(),
            Rejection::ShardTerminal { status } => shard.is_some_and(|s| s.status == *status && status.is_terminal()),
            Rejection::ShardParked => shard.is_some_and(|shard| shard.status == ShardStatus::Parked),
            Rejection::ShardNotParked => shard.is_some_and(|shard| shard.status == ShardStatus::Active),
            Rejection::LeaseHeld { remaining_ms } => {
                live.is_some_and(|lease| lease.deadline.since(now) == *remaining_ms)
            }
            Rejection::NoShardFree { .. } => {
                self.shards.values().all(|shard| shard.status != ShardStatus::Active || shard.live(now).is_some())
            }
            Rejection::FenceMismatch { current } => {
                shard.is_some_and(|s| s.fence == *current) && lease.is_some_and(|lease| lease.fence != *current)
            }
            Rejection::LeaseExpired => live.is_none(),
            Rejection::NotOwner => live.is_some_and(|held| lease.is_some_and(|lease| lease.worker != held.worker)),
            Rejection::CursorRegression | Rejection::CursorOutOfRange => {
                shard.is_some_and(|shard| shard.refuses_cursor(command.op.cursor(), why))
            }
            _ => true,
        };
        let rule = match why {
            Rejection::LeaseHeld { .. } | Rejection::LeaseExpired | Rejection::NotOwner => Rule::S1,
            Rejection::NoShardFree { .. } => Rule::S1,
            Rejection::FenceMismatch { .. } => Rule::S2,
            Rejection::CursorRegression | Rejection::CursorOutOfRange => Rule::S7,
            _ => Rule::State,
        };
        ensure(due, rule, || format!("at {now:?} {command:?} was refused with {why:?}, and {shard:?}"))
    }
}
