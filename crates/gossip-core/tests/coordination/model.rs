//! The rules once more, the naive way: lists, linear scans, whole answers kept. No index, no counter, no sharing.

use gossip_core::coordination::answer::{ChildShard, LeaseView, RunSummary, ShardCounts};
use gossip_core::coordination::limits::{OP_LOG_PER_SHARD, Quotas};
use gossip_core::coordination::*;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) quotas: Quotas,
    pub(crate) clock: u64,
    pub(crate) runs: Vec<ModelRun>,
    deleted: Vec<(Command, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ModelRun {
    pub(crate) tenant: TenantId,
    pub(crate) summary: RunSummary,
    pub(crate) shards: Vec<ShardView>,
    log: Vec<Logged>,
}

#[derive(Clone, Debug)]
struct Logged {
    command: Command,
    answer: Answer,
    /// `None`: kept as long as the run.
    evictable_of: Option<ShardId>,
}

type Outcome = Result<Answer, Rejection>;

fn over(field: &str, max: u64, actual: u64) -> Rejection {
    Rejection::LimitExceeded { field: field.into(), max, actual }
}

/// An end of a range as something that compares: minus infinity, a key, plus infinity.
type End<'a> = (u8, &'a [u8]);

fn ends(range: &Range) -> (End<'_>, End<'_>) {
    let start = if range.start.is_empty() { (0, &[][..]) } else { (1, &range.start[..]) };
    let end = if range.end.is_empty() { (2, &[][..]) } else { (1, &range.end[..]) };
    (start, end)
}

fn inside(range: &Range, key: &[u8]) -> bool {
    let (start, end) = ends(range);
    start <= (1, key) && (1, key) < end
}

impl Model {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Model { quotas, clock: 0, runs: Vec::new(), deleted: Vec::new() }
    }

    fn shards_of(&self, tenant: &TenantId) -> u64 {
        self.runs.iter().filter(|r| r.tenant == *tenant).map(|r| r.shards.len() as u64).sum()
    }

    fn floor(&self, tenant: &TenantId) -> Fence {
        let fences = self.deleted.iter().filter(|(c, _)| c.tenant == *tenant).map(|(_, fence)| *fence);
        Fence(fences.max().unwrap_or(0))
    }

    pub(crate) fn apply(&mut self, index: u64, stamp: u64, command: &Command) -> Outcome {
        self.clock = self.clock.max(stamp);
        command.check()?;
        let Command { tenant, run, op_id, op } = command;
        if *op == Op::DeleteRun
            && let Some((first, _)) = self.deleted.iter().find(|(c, _)| c.tenant == *tenant && c.op_id == *op_id)
        {
            return if first == command { Ok(Answer::RunDeleted) } else { Err(Rejection::OpIdConflict) };
        }
        let found = self.runs.iter().position(|r| r.tenant == *tenant && r.summary.run == *run);
        let Some(at) = found else {
            return match op {
                Op::CreateRun { metadata } => self.create(index, command, metadata),
                _ => Err(Rejection::RunNotFound),
            };
        };
        if let Some(shard) = op.shard()
            && !self.runs[at].shards.iter().any(|s| s.shard == *shard)
        {
            return Err(Rejection::ShardNotFound);
        }
        if let Some(logged) = self.runs[at].log.iter().find(|l| l.command.op_id == *op_id) {
            return if logged.command == *command { Ok(logged.answer.clone()) } else { Err(Rejection::OpIdConflict) };
        }
        if *op == Op::DeleteRun {
            return self.delete(at, command);
        }
        let room = (self.quotas.shards_per_tenant, self.shards_of(tenant));
        let floor = self.floor(tenant);
        let clock = self.clock;
        let run = &mut self.runs[at];
        let answer = run.decide(index, clock, room, floor, op)?;
        run.summary.changed_at = index;
        run.keep(command, &answer);
        Ok(answer)
    }

    fn create(&mut self, index: u64, command: &Command, metadata: &[u8]) -> Outcome {
        let runs = self.runs.iter().filter(|r| r.tenant == command.tenant).count() as u64;
        if runs + 1 > self.quotas.runs_per_tenant {
            return Err(over("quota.runs_per_tenant", self.quotas.runs_per_tenant, runs + 1));
        }
        let summary = RunSummary {
            run: command.run.clone(),
            status: RunStatus::Open,
            metadata: metadata.to_vec(),
            reason: String::new(),
            roots: 0,
            counts: ShardCounts::default(),
            changed_at: index,
        };
        let mut run = ModelRun { tenant: command.tenant.clone(), summary, shards: Vec::new(), log: Vec::new() };
        let answer = Answer::Run(run.summary.clone());
        run.keep(command, &answer);
        self.runs.push(run);
        Ok(answer)
    }

    fn delete(&mut self, at: usize, command: &Command) -> Outcome {
        let status = self.runs[at].summary.status;
        if matches!(status, RunStatus::Open | RunStatus::Active) {
            return Err(Rejection::RunNotEnded { status });
        }
        let gone = self.runs.remove(at);
        let highest = gone.shards.iter().map(|s| s.fence.0).max().unwrap_or(0);
        self.deleted.push((command.clone(), highest));
        Ok(Answer::RunDeleted)
    }
}

impl ModelRun {
    fn keep(&mut self, command: &Command, answer: &Answer) {
        let evictable_of = match answer {
            Answer::Granted(grant) => Some(grant.shard.clone()),
            Answer::Run(_) | Answer::Completed | Answer::Replaced { .. } | Answer::Split { .. } => None,
            _ => command.op.shard().cloned(),
        };
        self.log.push(Logged { command: command.clone(), answer: answer.clone(), evictable_of: evictable_of.clone() });
        if evictable_of.is_some()
            && self.log.iter().filter(|l| l.evictable_of == evictable_of).count() > OP_LOG_PER_SHARD
        {
            let oldest = self.log.iter().position(|l| l.evictable_of == evictable_of).unwrap();
            self.log.remove(oldest);
        }
    }

    /// Counts and summary anew from the list.
    pub(crate) fn summary(&self) -> RunSummary {
        let count = |status| self.shards.iter().filter(|s| s.status == status).count() as u64;
        let counts = ShardCounts {
            active: count(ShardStatus::Active),
            parked: count(ShardStatus::Parked),
            done: count(ShardStatus::Done),
            split: count(ShardStatus::Split),
            cancelled: count(ShardStatus::Cancelled),
        };
        let roots = self.shards.iter().filter(|s| s.parent.is_none()).count() as u64;
        RunSummary { counts, roots, ..self.summary.clone() }
    }

    fn answer(&self, index: u64) -> Outcome {
        Ok(Answer::Run(RunSummary { changed_at: index, ..self.summary() }))
    }

    fn decide(&mut self, index: u64, now: u64, room: (u64, u64), floor: Fence, op: &Op) -> Outcome {
        let status = self.summary.status;
        let ended = matches!(status, RunStatus::Done | RunStatus::Failed | RunStatus::Cancelled);
        match op {
            Op::CreateRun { .. } => Err(Rejection::RunExists),
            Op::DeleteRun => unreachable!("decided before"),
            Op::Acquire { shard, worker, lease_ms } => {
                self.may_grant()?;
                let at = self.at(shard);
                let record = &self.shards[at];
                match (record.status, &record.lease) {
                    (ShardStatus::Parked, _) => Err(Rejection::ShardParked),
                    (ShardStatus::Active, Some(lease)) if now < lease.deadline.0 => {
                        Err(Rejection::LeaseHeld { remaining_ms: lease.deadline.0 - now })
                    }
                    (ShardStatus::Active, _) => Ok(self.grant(at, now, worker, *lease_ms)),
                    (status, _) => Err(Rejection::ShardTerminal { status }),
                }
            }
            Op::Claim { worker, lease_ms } => {
                self.may_grant()?;
                let active: Vec<usize> =
                    (0..self.shards.len()).filter(|&i| self.shards[i].status == ShardStatus::Active).collect();
                let deadline = |i: usize| self.shards[i].lease.as_ref().map_or(0, |lease| lease.deadline.0);
                let free = active.iter().copied().filter(|&i| deadline(i) <= now);
                match free.min_by(|&a, &b| ends(&self.shards[a].range).0.cmp(&ends(&self.shards[b].range).0)) {
                    Some(at) => Ok(self.grant(at, now, worker, *lease_ms)),
                    None => {
                        let remaining_ms = active.iter().map(|&i| deadline(i) - now).min();
                        Err(Rejection::NoShardFree { remaining_ms })
                    }
                }
            }
            Op::Unpark { shard } => {
                let at = self.at(shard);
                let record = &mut self.shards[at];
                match record.status {
                    ShardStatus::Parked => {
                        record.status = ShardStatus::Active;
                        record.reason.clear();
                        record.fence.0 += 1;
                        Ok(Answer::Unparked { fence: record.fence })
                    }
                    ShardStatus::Active => Err(Rejection::ShardNotParked),
                    status => Err(Rejection::ShardTerminal { status }),
                }
            }
            _ if op.lease().is_some() => self.write(now, room, floor, op),
            _ if ended => Err(Rejection::RunEnded { status }),
            Op::RegisterShards { .. } | Op::StartRun if status == RunStatus::Active => {
                Err(Rejection::RunNotOpen { status })
            }
            Op::CompleteRun if status == RunStatus::Open => Err(Rejection::RunNotStarted),
            Op::RegisterShards { shards, start } => {
                self.register(room, floor, shards)?;
                if *start {
                    self.summary.status = RunStatus::Active;
                }
                self.answer(index)
            }
            Op::StartRun => {
                self.summary.status = RunStatus::Active;
                self.answer(index)
            }
            Op::CompleteRun => {
                let ShardCounts { active, parked, .. } = self.summary().counts;
                if active > 0 || parked > 0 {
                    return Err(Rejection::RunUnfinished { active, parked });
                }
                self.summary.status = RunStatus::Done;
                self.answer(index)
            }
            Op::FailRun { reason } => self.end(index, RunStatus::Failed, reason),
            Op::CancelRun { reason } => self.end(index, RunStatus::Cancelled, reason),
            other => unreachable!("{other:?}"),
        }
    }

    fn end(&mut self, index: u64, status: RunStatus, reason: &str) -> Outcome {
        self.summary.status = status;
        self.summary.reason = reason.into();
        for shard in &mut self.shards {
            if matches!(shard.status, ShardStatus::Active | ShardStatus::Parked) {
                shard.status = ShardStatus::Cancelled;
                shard.lease = None;
                shard.fence.0 += 1;
            }
        }
        self.answer(index)
    }

    fn may_grant(&self) -> Result<(), Rejection> {
        match self.summary.status {
            RunStatus::Open => Err(Rejection::RunNotStarted),
            RunStatus::Active => Ok(()),
            status => Err(Rejection::RunEnded { status }),
        }
    }

    fn at(&self, shard: &ShardId) -> usize {
        self.shards.iter().position(|s| s.shard == *shard).unwrap()
    }

    fn grant(&mut self, at: usize, now: u64, worker: &WorkerId, lease_ms: u64) -> Answer {
        let record = &mut self.shards[at];
        record.fence.0 += 1;
        let (granted, deadline) = (Stamp(now), Stamp(now + lease_ms));
        record.lease = Some(LeaseView { worker: worker.clone(), granted, deadline });
        Answer::Granted(Grant {
            shard: record.shard.clone(),
            worker: worker.clone(),
            fence: record.fence,
            granted,
            deadline,
            range: record.range.clone(),
            cursor: record.cursor.clone(),
            metadata: record.metadata.clone(),
        })
    }

    fn write(&mut self, now: u64, (quota, used): (u64, u64), floor: Fence, op: &Op) -> Outcome {
        let token = op.lease().unwrap();
        let at = self.at(&token.shard);
        let record = &mut self.shards[at];
        match record.status {
            ShardStatus::Active => {}
            ShardStatus::Parked => return Err(Rejection::ShardParked),
            status => return Err(Rejection::ShardTerminal { status }),
        }
        if token.fence != record.fence {
            return Err(Rejection::FenceMismatch { current: record.fence });
        }
        match &mut record.lease {
            Some(lease) if now < lease.deadline.0 => {
                if lease.worker != token.worker {
                    return Err(Rejection::NotOwner);
                }
                if let Op::Renew { lease_ms, .. } = op {
                    lease.granted = Stamp(now);
                    lease.deadline = Stamp(lease.deadline.0.max(now + lease_ms));
                    return Ok(Answer::Renewed { granted: lease.granted, deadline: lease.deadline });
                }
            }
            _ => return Err(Rejection::LeaseExpired),
        }
        if let Some(cursor) = op.cursor() {
            if !inside(&record.range, &cursor.key) {
                return Err(Rejection::CursorOutOfRange);
            }
            if record.cursor.as_ref().is_some_and(|old| old.key > cursor.key) {
                return Err(Rejection::CursorRegression);
            }
            record.cursor = Some(cursor.clone());
        }
        match op {
            Op::Checkpoint { cursor, .. } => Ok(Answer::Checkpointed { cursor: cursor.clone() }),
            Op::Release { .. } => {
                record.lease = None;
                Ok(Answer::Released)
            }
            Op::Complete { .. } => {
                record.lease = None;
                record.status = ShardStatus::Done;
                Ok(Answer::Completed)
            }
            Op::Park { reason, .. } => {
                record.lease = None;
                record.status = ShardStatus::Parked;
                record.reason = reason.clone();
                Ok(Answer::Parked)
            }
            Op::SplitReplace { cuts, .. } => {
                for (i, cut) in cuts.iter().enumerate() {
                    good_cut(record, cut, &format!("cuts[{i}]"))?;
                    if i > 0 && cuts[i - 1] >= *cut {
                        let problem = "must be above the cut before it".into();
                        return Err(Rejection::SplitPointInvalid { field: format!("cuts[{i}]"), problem });
                    }
                }
                let actual = used + cuts.len() as u64 + 1;
                if actual > quota {
                    return Err(over("quota.shards_per_tenant", quota, actual));
                }
                record.lease = None;
                record.status = ShardStatus::Split;
                let parent = record.clone();
                let mut children = Vec::new();
                for i in 0..=cuts.len() {
                    let start = if i == 0 { parent.range.start.clone() } else { cuts[i - 1].clone() };
                    let end = if i == cuts.len() { parent.range.end.clone() } else { cuts[i].clone() };
                    let cursor = if i == 0 { parent.cursor.clone() } else { None };
                    children.push(self.child(&parent, Range { start, end }, cursor, floor));
                }
                Ok(Answer::Replaced { children })
            }
            Op::SplitResidual { at, .. } => {
                good_cut(record, at, "at")?;
                if used + 1 > quota {
                    return Err(over("quota.shards_per_tenant", quota, used + 1));
                }
                let parent = record.clone();
                record.range.end = at.clone();
                let range = Range { start: at.clone(), end: parent.range.end.clone() };
                Ok(Answer::Split { residual: self.child(&parent, range, None, floor) })
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn child(&mut self, parent: &ShardView, range: Range, cursor: Option<Cursor>, fence: Fence) -> ChildShard {
        let number = self.shards.iter().filter(|s| s.parent.is_some()).count();
        let root = parent.shard.as_str().split_once('~').map_or(parent.shard.as_str(), |(root, _)| root);
        let shard = ShardId::parse("shard", &format!("{root}~{number}")).unwrap();
        self.shards.push(ShardView {
            shard: shard.clone(),
            parent: Some(parent.shard.clone()),
            range: range.clone(),
            status: ShardStatus::Active,
            fence,
            lease: None,
            cursor,
            metadata: parent.metadata.clone(),
            reason: String::new(),
        });
        ChildShard { shard, range }
    }

    fn register(&mut self, (quota, used): (u64, u64), fence: Fence, specs: &[ShardSpec]) -> Result<(), Rejection> {
        let roots = self.shards.len() + specs.len();
        if roots > limits::MAX_ROOTS {
            return Err(over("shards", limits::MAX_ROOTS as u64, roots as u64));
        }
        if used + specs.len() as u64 > quota {
            return Err(over("quota.shards_per_tenant", quota, used + specs.len() as u64));
        }
        for (i, spec) in specs.iter().enumerate() {
            let old = self.shards.iter().map(|s| &s.shard);
            if old.chain(specs[..i].iter().map(|s| &s.shard)).any(|name| *name == spec.shard) {
                return Err(Rejection::ShardExists { shard: spec.shard.to_string() });
            }
        }
        let before = self.shards.len();
        for spec in specs {
            let (start, end) = ends(&spec.range);
            let clash = self.shards.iter().any(|s| ends(&s.range).0 < end && start < ends(&s.range).1);
            if clash {
                self.shards.truncate(before);
                // Which of several it names is the machine's choice.
                return Err(Rejection::ShardOverlap { shard: spec.shard.to_string(), other: String::new() });
            }
            self.shards.push(ShardView {
                shard: spec.shard.clone(),
                parent: None,
                range: spec.range.clone(),
                status: ShardStatus::Active,
                fence,
                lease: None,
                cursor: None,
                metadata: spec.metadata.clone(),
                reason: String::new(),
            });
        }
        Ok(())
    }
}

fn good_cut(record: &ShardView, cut: &Key, field: &str) -> Result<(), Rejection> {
    let problem = if !inside(&record.range, cut) || *cut == record.range.start {
        "must lie strictly inside the shard's range"
    } else if record.cursor.as_ref().is_some_and(|cursor| cursor.key >= *cut) {
        "must be above the cursor"
    } else {
        return Ok(());
    };
    Err(Rejection::SplitPointInvalid { field: field.into(), problem: problem.into() })
}
