//! One shard: fence, holder, status, cursor, range, as the state table has it.
//!
//! A lease may run out at any moment, so a grant is possible whenever the shard is Active; what binds is the fence, which
//! each grant and unpark raises by exactly one and each write must match. Times on the lease clock bind as far as the
//! history tells them: a grant does not precede the last known deadline, unless the lease was given up, and the clock does
//! not run backwards. A lease that ran out stays on record, and reads show it. What an operation does not carry is unknown and
//! matches anything; the first that says it settles it.

use std::collections::BTreeSet;
use std::fmt;

use super::fences::LostFences;
use super::spent;
use crate::wgl::Model;

/// Something that the history may not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known<T> {
    Unknown,
    Is(T),
}

impl<T: Copy + PartialEq> Known<T> {
    /// What is known after seeing `seen`; none if the two contradict each other.
    fn settle(self, seen: Self) -> Option<Self> {
        match (self, seen) {
            (known, Self::Unknown) => Some(known),
            (Self::Unknown, seen) => Some(seen),
            (known, seen) => (known == seen).then_some(known),
        }
    }
}

/// A worker by number; what the numbers mean is the caller's affair.
pub type WorkerNo = u32;

/// Stands for a worker whose name can make no difference.
pub const SOME_WORKER: WorkerNo = WorkerNo::MAX;

/// A key as hex digits; none is infinity in a range, and no cursor in a cursor.
pub type Key<'a> = Option<&'a str>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not made yet.
    Absent,
    /// Not made, and its run has ended.
    Barred,
    Active,
    Parked,
    Done,
    Split,
    Cancelled,
}

impl Status {
    /// Of a status as a record shows it, in lower case.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "active" => Self::Active,
            "parked" => Self::Parked,
            "done" => Self::Done,
            "split" => Self::Split,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Barred => "absent in an ended run",
            Self::Active => "active",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Split => "split",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The lease on record. Nothing changes in it when it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    None,
    /// With the deadline, in milliseconds of the lease clock.
    Held(WorkerNo, Known<i64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardState<'a> {
    pub status: Known<Status>,
    pub fence: Known<i64>,
    pub lease: Known<Lease>,
    /// The last time on the lease clock that an answer told.
    pub clock: Option<i64>,
    pub cursor: Known<Key<'a>>,
    pub start: Known<Key<'a>>,
    pub end: Known<Key<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShardInput<'a> {
    /// Registered, or split off; `cursor` is unknown where a child inherits its parent's, `fence` where a run was deleted
    /// before: it then begins at the highest of the tenant's deleted runs.
    Create {
        start: Key<'a>,
        end: Key<'a>,
        cursor: Known<Key<'a>>,
        fence: Known<i64>,
    },
    /// An acquire or claim.
    Grant {
        worker: WorkerNo,
    },
    Write {
        worker: WorkerNo,
        fence: Option<i64>,
        what: Write<'a>,
    },
    Unpark,
    /// The run failed or was cancelled.
    EndRun,
    CompleteRun,
    Read,
}

/// What is done under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write<'a> {
    Renew,
    Checkpoint(Key<'a>),
    Release,
    Complete(Key<'a>),
    Park,
    SplitReplace,
    SplitResidual(Key<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShardOutput<'a> {
    Done,
    Granted { fence: Known<i64>, cursor: Known<Key<'a>>, granted: Option<i64>, deadline: Known<i64> },
    Renewed { granted: Option<i64>, deadline: Known<i64> },
    Unparked { fence: Known<i64> },
    Record(Record<'a>),
}

/// A shard as a read shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record<'a> {
    pub status: Known<Status>,
    pub fence: Known<i64>,
    /// Shown as long as it is on record, expired or not.
    pub lease: Known<Lease>,
    pub cursor: Known<Key<'a>>,
    pub start: Known<Key<'a>>,
    pub end: Known<Key<'a>>,
}

/// A shard of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard<'a> {
    pub init: ShardState<'a>,
    /// Which fences an unanswered grant or unpark may have made.
    pub lost_fences: LostFences,
    /// Fences whose lease has a renewal that was never answered, so that its deadline is unknown.
    pub unsure: BTreeSet<i64>,
}

impl<'a> ShardState<'a> {
    /// Not made yet.
    pub fn absent() -> Self {
        Self { status: Known::Is(Status::Absent), ..Self::unknown() }
    }

    /// Of which nothing is known: its making is not in the history.
    pub fn unknown() -> Self {
        Self {
            status: Known::Unknown,
            fence: Known::Unknown,
            lease: Known::Unknown,
            clock: None,
            cursor: Known::Unknown,
            start: Known::Unknown,
            end: Known::Unknown,
        }
    }

    /// As it is made.
    pub fn made(start: Key<'a>, end: Key<'a>, cursor: Known<Key<'a>>) -> Self {
        Self {
            status: Known::Is(Status::Active),
            fence: Known::Is(0),
            lease: Known::Is(Lease::None),
            clock: None,
            cursor,
            start: Known::Is(start),
            end: Known::Is(end),
        }
    }

    /// If it may be in this status, it is.
    fn being(self, status: Status) -> Option<Self> {
        Some(Self { status: self.status.settle(Known::Is(status))?, ..self })
    }

    /// At that time on the lease clock, which does not run backwards.
    fn at(self, now: Option<i64>) -> Option<Self> {
        match (self.clock, now) {
            (Some(last), Some(now)) if now < last => None,
            _ => Some(Self { clock: now.or(self.clock), ..self }),
        }
    }

    fn raise_fence(self) -> Self {
        let fence = match self.fence {
            Known::Is(fence) => Known::Is(fence.saturating_add(1)),
            Known::Unknown => Known::Unknown,
        };
        Self { fence, ..self }
    }

    fn ended(self, status: Status) -> Self {
        Self { status: Known::Is(status), lease: Known::Is(Lease::None), ..self }
    }

    pub(super) fn is_inside(&self, key: &str) -> bool {
        let above = !matches!(self.start, Known::Is(Some(start)) if key < start);
        let below = !matches!(self.end, Known::Is(Some(end)) if end <= key);
        above && below
    }

    fn move_cursor(self, to: Key<'a>) -> Option<Self> {
        let Some(key) = to else { return Some(self) };
        let back = matches!(self.cursor, Known::Is(Some(cursor)) if key < cursor);
        (!back && self.is_inside(key)).then_some(Self { cursor: Known::Is(to), ..self })
    }

    fn split_residual(self, at: Key<'a>) -> Option<Self> {
        let key = at?;
        let behind = matches!(self.cursor, Known::Is(Some(cursor)) if key <= cursor);
        let first = self.start == Known::Is(at);
        (!behind && !first && self.is_inside(key)).then_some(Self { end: Known::Is(at), ..self })
    }
}

impl<'a> Shard<'a> {
    fn grant(
        &self,
        state: &ShardState<'a>,
        worker: WorkerNo,
        output: Option<&ShardOutput<'a>>,
    ) -> Option<ShardState<'a>> {
        let mut next = state.being(Status::Active)?.raise_fence();
        let mut deadline = Known::Unknown;
        match output {
            None if !self.lost_fences.contains(next.fence) => return None,
            None => {}
            Some(ShardOutput::Granted { fence, cursor, granted, deadline: until }) => {
                if matches!((state.lease, granted), (Known::Is(Lease::Held(_, Known::Is(d))), Some(now)) if *now < d) {
                    return None;
                }
                next = next.at(*granted)?;
                next.fence = next.fence.settle(*fence)?;
                next.cursor = next.cursor.settle(*cursor)?;
                deadline = *until;
            }
            Some(_) => return None,
        }
        if matches!(next.fence, Known::Is(fence) if self.unsure.contains(&fence)) {
            deadline = Known::Unknown;
        }
        Some(ShardState { lease: Known::Is(Lease::Held(worker, deadline)), ..next })
    }

    fn write(
        &self,
        state: &ShardState<'a>,
        (worker, fence, what): (WorkerNo, Option<i64>, Write<'a>),
        output: Option<&ShardOutput<'a>>,
    ) -> Option<ShardState<'a>> {
        let mut next = state.being(Status::Active)?;
        next.fence = next.fence.settle(Known::Is(fence?))?;
        let deadline = match next.lease {
            Known::Unknown => Known::Unknown,
            Known::Is(Lease::Held(holder, deadline)) if holder == worker => deadline,
            Known::Is(_) => return None,
        };
        next.lease = Known::Is(Lease::Held(worker, deadline));
        match what {
            Write::Renew => self.renew(next, deadline, output),
            Write::Checkpoint(cursor) => next.move_cursor(cursor),
            Write::Release => Some(ShardState { lease: Known::Is(Lease::None), ..next }),
            Write::Complete(cursor) => Some(next.move_cursor(cursor)?.ended(Status::Done)),
            Write::Park => Some(next.ended(Status::Parked)),
            Write::SplitReplace => Some(next.ended(Status::Split)),
            Write::SplitResidual(at) => next.split_residual(at),
        }
    }

    fn renew(
        &self,
        state: ShardState<'a>,
        old: Known<i64>,
        output: Option<&ShardOutput<'a>>,
    ) -> Option<ShardState<'a>> {
        let Some(ShardOutput::Renewed { granted, deadline }) = output else { return Some(state) };
        if matches!((old, granted), (Known::Is(d), Some(now)) if d <= *now) {
            return None;
        }
        let Known::Is(Lease::Held(worker, _)) = state.lease else { return None };
        // Where another renewal was never answered, the true deadline stays unknown.
        let is_unsure = matches!(state.fence, Known::Is(fence) if self.unsure.contains(&fence));
        let deadline = if is_unsure { Known::Unknown } else { *deadline };
        Some(ShardState { lease: Known::Is(Lease::Held(worker, deadline)), ..state.at(*granted)? })
    }

    fn read(&self, state: &ShardState<'a>, record: &Record<'a>) -> Option<ShardState<'a>> {
        if matches!(state.status, Known::Is(Status::Absent | Status::Barred)) {
            return None;
        }
        let fence = state.fence.settle(record.fence)?;
        Some(ShardState {
            status: state.status.settle(record.status)?,
            fence,
            lease: self.read_lease(state.lease, record.lease, fence)?,
            cursor: state.cursor.settle(record.cursor)?,
            start: state.start.settle(record.start)?,
            end: state.end.settle(record.end)?,
            ..*state
        })
    }

    /// What is known of the lease after a read; none if it contradicts what was known. A deadline that a renewal may have moved
    /// unseen says nothing, since the renewal may as well happen later.
    fn read_lease(&self, known: Known<Lease>, seen: Known<Lease>, fence: Known<i64>) -> Option<Known<Lease>> {
        let Known::Is(Lease::Held(worker, deadline)) = seen else { return known.settle(seen) };
        let is_sure = matches!(fence, Known::Is(fence) if !self.unsure.contains(&fence));
        let deadline = if is_sure { deadline } else { Known::Unknown };
        match known {
            Known::Unknown => Some(Known::Is(Lease::Held(worker, deadline))),
            Known::Is(Lease::Held(holder, until)) if holder == worker => {
                Some(Known::Is(Lease::Held(worker, until.settle(deadline)?)))
            }
            Known::Is(_) => None,
        }
    }

    fn unpark(&self, state: &ShardState<'a>, output: Option<&ShardOutput<'a>>) -> Option<ShardState<'a>> {
        let mut next = state.being(Status::Parked)?.raise_fence();
        match output {
            None if !self.lost_fences.contains(next.fence) => return None,
            Some(ShardOutput::Unparked { fence }) => next.fence = next.fence.settle(*fence)?,
            _ => {}
        }
        Some(ShardState { status: Known::Is(Status::Active), lease: Known::Is(Lease::None), ..next })
    }

    fn end_run(state: &ShardState<'a>) -> ShardState<'a> {
        match state.status {
            Known::Is(Status::Absent) => ShardState { status: Known::Is(Status::Barred), ..*state },
            Known::Is(Status::Active | Status::Parked) => state.raise_fence().ended(Status::Cancelled),
            // It may have been terminal before.
            Known::Unknown => ShardState { status: Known::Unknown, ..ShardState::unknown() },
            Known::Is(_) => *state,
        }
    }

    fn complete_run(state: &ShardState<'a>) -> Option<ShardState<'a>> {
        match state.status {
            Known::Is(Status::Absent) => Some(ShardState { status: Known::Is(Status::Barred), ..*state }),
            Known::Is(Status::Active | Status::Parked) => None,
            _ => Some(*state),
        }
    }
}

impl<'a> Model for Shard<'a> {
    type State = ShardState<'a>;
    type Input = ShardInput<'a>;
    type Output = ShardOutput<'a>;

    fn init(&self) -> ShardState<'a> {
        self.init
    }

    fn step(
        &self,
        state: &ShardState<'a>,
        input: &ShardInput<'a>,
        output: Option<&ShardOutput<'a>>,
    ) -> Option<ShardState<'a>> {
        match *input {
            ShardInput::Create { start, end, cursor, fence } => (state.status == Known::Is(Status::Absent))
                .then(|| ShardState { fence, ..ShardState::made(start, end, cursor) }),
            ShardInput::Grant { worker } => self.grant(state, worker, output),
            ShardInput::Write { worker, fence, what } => self.write(state, (worker, fence, what), output),
            ShardInput::Unpark => self.unpark(state, output),
            ShardInput::EndRun => Some(Self::end_run(state)),
            ShardInput::CompleteRun => Self::complete_run(state),
            ShardInput::Read => match output {
                Some(ShardOutput::Record(record)) => self.read(state, record),
                _ => Some(*state),
            },
        }
    }

    fn is_read(&self, input: &ShardInput<'a>) -> bool {
        *input == ShardInput::Read
    }

    fn is_spent(&self, state: &ShardState<'a>, input: &ShardInput<'a>, output: Option<&ShardOutput<'a>>) -> bool {
        spent::is_spent(self, state, input, output)
    }
}

/// `active, fence 2, held until 1500, cursor 20, [10, 40)`
impl fmt::Display for ShardState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Known::Unknown => f.write_str("unknown")?,
            Known::Is(status @ (Status::Absent | Status::Barred)) => return f.write_str(status.name()),
            Known::Is(status) => f.write_str(status.name())?,
        }
        if let Known::Is(fence) = self.fence {
            write!(f, ", fence {fence}")?;
        }
        match self.lease {
            Known::Unknown => {}
            Known::Is(Lease::None) => f.write_str(", no lease")?,
            Known::Is(Lease::Held(_, Known::Unknown)) => f.write_str(", held")?,
            Known::Is(Lease::Held(_, Known::Is(deadline))) => write!(f, ", held until {deadline}")?,
        }
        if let Known::Is(cursor) = self.cursor {
            write!(f, ", cursor {}", cursor.unwrap_or("none"))?;
        }
        if let (Known::Is(start), Known::Is(end)) = (self.start, self.end) {
            write!(f, ", [{}, {})", start.unwrap_or("-inf"), end.unwrap_or("+inf"))?;
        }
        Ok(())
    }
}
