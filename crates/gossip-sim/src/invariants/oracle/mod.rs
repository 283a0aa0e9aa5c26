//! The oracle follows the answers in the order of the log and knows from them alone what each record must be: whatever the state
//! machine accepts or refuses must be right by what was answered before.
//!
//! It shares types with the state machine, since both speak of the same requests and answers, and no decision: ranges, limits, names, the
//! order of checks and what is due at a moment are worked out here by code of its own, as plain as it can be (`ranges`, `shape`,
//! `refusals`, `plain`). What it does not look at are the words for people in an answer, the metadata that comes back as it was given,
//! and the index of a run's last change.

mod compare;
mod leases;
mod plain;
mod ranges;
mod refusals;
mod replays;
mod shape;

use std::collections::BTreeMap;

use gossip_core::coordination::answer::{ChildShard, RunSummary};
use gossip_core::coordination::{
    Answer, Command, Cursor, Fence, Op, Rejection, RunId, RunStatus, ShardId, ShardStatus, Stamp, TenantId, WorkerId,
};

use super::{Checked, Rule, Violation, ensure};
use plain::{lease_of, run_is_over, shard_is_over, shard_of};
use ranges::Span;
use refusals::{Room, examine};
use replays::{Deletions, Replays};

type Outcome = Result<Answer, Rejection>;

/// What a tenant may have, as the cluster was told.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Runs, ended ones counted.
    pub runs: u64,
    /// Shards, terminal ones counted.
    pub shards: u64,
}

/// All records as the answers describe them.
#[derive(Clone, Debug)]
pub struct Oracle {
    now: Stamp,
    allowed: Allowed,
    runs: BTreeMap<(TenantId, RunId), Run>,
    /// The highest fence of each tenant's deleted runs.
    floors: BTreeMap<TenantId, Fence>,
    deletions: BTreeMap<TenantId, Deletions>,
    /// How often a lease was taken over after its deadline.
    takeovers: u64,
    /// [`Replays::asked_again`] of deleted runs.
    asked_again: (u64, u64),
}

#[derive(Clone, Debug)]
struct Run {
    status: RunStatus,
    roots: Vec<Span>,
    shards: BTreeMap<ShardId, Shard>,
    replays: Replays,
}

#[derive(Clone, Debug)]
struct Shard {
    span: Span,
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

#[derive(Clone, Debug)]
struct Lease {
    worker: WorkerId,
    granted: Stamp,
    deadline: Stamp,
}

impl Shard {
    fn new(span: Span, fence: Fence) -> Self {
        Shard { span, status: ShardStatus::Active, fence, lease: None, cursor: None, ran_out: None }
    }

    /// The lease that is live at `now`.
    fn live(&self, now: Stamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| now < lease.deadline)
    }
}

impl Run {
    fn new() -> Self {
        Run { status: RunStatus::Open, roots: Vec::new(), shards: BTreeMap::new(), replays: Replays::default() }
    }

    fn count(&self, status: ShardStatus) -> u64 {
        self.shards.values().filter(|shard| shard.status == status).count() as u64
    }

    fn shard(&mut self, name: &ShardId) -> Result<&mut Shard, Violation> {
        self.shards.get_mut(name).ok_or_else(|| Violation::new(Rule::State, format!("shard {name} was never made")))
    }
}

impl Oracle {
    /// Nothing is known, and nothing is there.
    pub fn new(allowed: Allowed) -> Self {
        Oracle {
            now: Stamp::default(),
            allowed,
            runs: BTreeMap::new(),
            floors: BTreeMap::new(),
            deletions: BTreeMap::new(),
            takeovers: 0,
            asked_again: (0, 0),
        }
    }

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
        let faults = shape::faults(command);
        if !faults.is_empty() {
            return examine(&faults, stamp, command, answer);
        }
        match &command.op {
            Op::DeleteRun => self.delete(command, answer),
            _ if self.runs.contains_key(&key(command)) => self.on_run(command, answer),
            Op::CreateRun { .. } => self.create(command, answer),
            _ => examine(&[Rejection::RunNotFound], stamp, command, answer),
        }
    }

    fn create(&mut self, command: &Command, answer: &Outcome) -> Checked {
        let used = self.runs_of(&command.tenant).count() as u64;
        let room = Room { field: "quota.runs_per_tenant", max: self.allowed.runs, used };
        let due: Vec<Rejection> = room.refuses(1).into_iter().collect();
        examine(&due, self.now, command, answer)?;
        let Ok(told) = answer else { return Ok(()) };
        let mut run = Run::new();
        match told {
            Answer::Run(summary) => run.agrees(summary)?,
            _ => return Err(Violation::new(Rule::State, format!("{command:?} was answered {told:?}"))),
        }
        run.replays.remember(command, told);
        self.runs.insert(key(command), run);
        Ok(())
    }

    fn on_run(&mut self, command: &Command, answer: &Outcome) -> Checked {
        let now = self.now;
        let floor = self.floors.get(&command.tenant).copied().unwrap_or_default();
        let room = self.room(command);
        let Some(run) = self.runs.get_mut(&key(command)) else { return Ok(()) };
        if shard_of(&command.op).is_some_and(|name| !run.shards.contains_key(name)) {
            return examine(&[Rejection::ShardNotFound], now, command, answer);
        }
        if run.replays.check(command, answer)? {
            return Ok(());
        }
        let due = run.due(now, command, room);
        if let Ok(told) = answer {
            // The rules by name come first: they say best what a wrong success breaks.
            self.takeovers += u64::from(run.carried_out(now, floor, command, told)?);
            run.replays.remember(command, told);
        }
        examine(&due, now, command, answer)
    }

    /// How many more shards the tenant may have. Only what makes some asks.
    fn room(&self, command: &Command) -> Room {
        let makes =
            matches!(command.op, Op::RegisterShards { .. } | Op::SplitReplace { .. } | Op::SplitResidual { .. });
        let used = if makes { self.runs_of(&command.tenant).map(|run| run.shards.len() as u64).sum() } else { 0 };
        Room { field: "quota.shards_per_tenant", max: self.allowed.shards, used }
    }

    fn runs_of<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |((of, _), _)| of == tenant).map(|(_, run)| run)
    }

    fn delete(&mut self, command: &Command, answer: &Outcome) -> Checked {
        let now = self.now;
        if let Some(deletions) = self.deletions.get(&command.tenant)
            && deletions.check(command, answer)?
        {
            return Ok(());
        }
        let Some(run) = self.runs.get(&key(command)) else {
            return examine(&[Rejection::RunNotFound], now, command, answer);
        };
        if run.replays.knows(command.op_id) {
            return examine(&[Rejection::OpIdConflict], now, command, answer);
        }
        let status = run.status;
        let Ok(told) = answer else {
            let due = (!run_is_over(status)).then_some(Rejection::RunNotEnded { status });
            return examine(due.as_slice(), now, command, answer);
        };
        ensure(run_is_over(status), Rule::S3, || format!("{} is deleted and has not ended", command.run))?;
        ensure(*told == Answer::RunDeleted, Rule::State, || format!("{command:?} was answered {told:?}"))?;
        let highest = run.shards.values().map(|shard| shard.fence).max().unwrap_or_default();
        let floor = self.floors.entry(command.tenant.clone()).or_default();
        *floor = highest.max(*floor);
        let gone = self.runs.remove(&key(command)).map(|run| run.replays.asked_again).unwrap_or_default();
        self.asked_again = (self.asked_again.0 + gone.0, self.asked_again.1 + gone.1);
        self.deletions.entry(command.tenant.clone()).or_default().remember(command);
        Ok(())
    }
}

/// Checks what the edge says to a request before it enters the log: it looks at the shape alone.
///
/// # Errors
/// It lets a malformed request in, or refuses a good one, or for a fault that is not there.
pub fn at_the_edge(command: &Command, refused: Option<&Rejection>) -> Checked {
    let due = shape::faults(command);
    let right = refused.map_or(due.is_empty(), |why| due.contains(&refusals::bare(why)));
    ensure(right, Rule::State, || {
        format!("the edge says {refused:?} to {command:?}, and what is wrong with it is {due:?}")
    })
}

fn key(command: &Command) -> (TenantId, RunId) {
    (command.tenant.clone(), command.run.clone())
}

impl Run {
    /// Checks that `command` could be carried out with this answer, and takes its effect over. Says whether an expired lease
    /// was taken over.
    fn carried_out(&mut self, now: Stamp, floor: Fence, command: &Command, answer: &Answer) -> Result<bool, Violation> {
        let grants = matches!(command.op, Op::Acquire { .. } | Op::Claim { .. });
        ensure(!run_is_over(self.status), Rule::S3, || {
            format!("{} on a run that is {}", command.op.name(), self.status.name())
        })?;
        if let Op::Acquire { .. } | Op::Claim { .. } | Op::CompleteRun = command.op {
            ensure(self.status == RunStatus::Active, Rule::S3, || format!("{} before the start", command.op.name()))?;
        }
        match (&command.op, answer) {
            (_, Answer::Granted(grant)) if grants => return self.granted(now, command, grant),
            (Op::RegisterShards { shards, start }, Answer::Run(summary)) => {
                for spec in shards {
                    self.add_root(spec.shard.clone(), Span::from(&spec.range), floor)?;
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
            (op, answer) => match lease_of(op) {
                Some(lease) => self.shard(&lease.shard)?.wrote(now, op, lease, answer)?,
                None => return Err(Violation::new(Rule::State, format!("{command:?} was answered {answer:?}"))),
            },
        }
        Ok(false)
    }

    fn end(&mut self, status: RunStatus, summary: &RunSummary) -> Checked {
        self.status = status;
        for shard in self.shards.values_mut().filter(|shard| !shard_is_over(shard.status)) {
            (shard.status, shard.lease) = (ShardStatus::Cancelled, None);
            shard.fence = Fence(shard.fence.0 + 1);
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
}
