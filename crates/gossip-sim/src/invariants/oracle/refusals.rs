//! Which refusal is due: every reason that an answer may give is worked out from the records, in the order of checks of
//! `docs/protocol.md`, and no other is taken. No reason is taken unexamined. Left out are the words for people alone, which may be
//! put otherwise at any time.

use gossip_core::coordination::ids::Invalid;
use gossip_core::coordination::range::Key;
use gossip_core::coordination::{Command, Cursor, LeaseRef, Op, Rejection, RunStatus, ShardSpec, ShardStatus, Stamp};

use super::plain::{cursor_of, lease_of, run_is_over, shard_is_over};
use super::ranges::Span;
use super::shape::{ROOTS, too_much};
use super::{Outcome, Run, Shard};
use crate::invariants::{Checked, Rule, ensure};

/// How much more of something a tenant may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) field: &'static str,
    pub(super) max: u64,
    pub(super) used: u64,
}

impl Room {
    pub(super) fn refuses(self, more: usize) -> Option<Rejection> {
        let actual = self.used + more as u64;
        (actual > self.max).then(|| Rejection::LimitExceeded { field: self.field.to_owned(), max: self.max, actual })
    }
}

/// Checks an answer against the refusals of which one is due: none, and it must be no refusal.
pub(super) fn examine(due: &[Rejection], now: Stamp, command: &Command, answer: &Outcome) -> Checked {
    let (right, told) = match answer {
        Ok(_) => (due.is_empty(), None),
        Err(why) => (due.contains(&bare(why)), Some(why)),
    };
    // What should have been said tells best which check is wrong.
    let rule = due.first().or(told).map_or(Rule::State, rule_of);
    ensure(right, rule, || {
        format!("at {now:?} {command:?} was answered {answer:?}, and the refusals that are due are {due:?}")
    })
}

/// A refusal without the words for people.
pub(super) fn bare(why: &Rejection) -> Rejection {
    match why {
        Rejection::InvalidArgument(Invalid { field, .. }) => super::shape::invalid(field),
        Rejection::SplitPointInvalid { field, .. } => bad_cut(field.clone()),
        other => other.clone(),
    }
}

fn bad_cut(field: String) -> Rejection {
    Rejection::SplitPointInvalid { field, problem: String::new() }
}

/// The rule that a wrong answer about this breaks.
fn rule_of(why: &Rejection) -> Rule {
    match why {
        Rejection::LeaseHeld { .. } | Rejection::LeaseExpired | Rejection::NotOwner => Rule::S1,
        Rejection::NoShardFree { .. } => Rule::S1,
        Rejection::FenceMismatch { .. } => Rule::S2,
        Rejection::ShardOverlap { .. } | Rejection::SplitPointInvalid { .. } => Rule::S4,
        Rejection::OpIdConflict => Rule::S5,
        Rejection::CursorRegression | Rejection::CursorOutOfRange => Rule::S7,
        _ => Rule::State,
    }
}

impl Run {
    /// The refusals of which one is due, once the op log has not known the op id. None: it must be carried out.
    pub(super) fn due(&self, now: Stamp, command: &Command, shards: Room) -> Vec<Rejection> {
        match self.standing(now, &command.op) {
            Some(why) => vec![why],
            None => self.own_checks(&command.op, shards),
        }
    }

    /// What the run, the shard and the lease say.
    fn standing(&self, now: Stamp, op: &Op) -> Option<Rejection> {
        let status = self.status;
        let over = run_is_over(status).then_some(Rejection::RunEnded { status });
        let not_begun = (status == RunStatus::Open).then_some(Rejection::RunNotStarted);
        match op {
            Op::CreateRun { .. } => Some(Rejection::RunExists),
            Op::DeleteRun => over.is_none().then_some(Rejection::RunNotEnded { status }),
            Op::FailRun { .. } | Op::CancelRun { .. } => over,
            Op::RegisterShards { .. } | Op::StartRun => {
                over.or((status != RunStatus::Open).then_some(Rejection::RunNotOpen { status }))
            }
            Op::CompleteRun => over.or(not_begun).or_else(|| self.unfinished()),
            Op::Claim { .. } => over.or(not_begun).or_else(|| self.none_free(now)),
            Op::Acquire { shard, .. } => {
                over.or(not_begun).or_else(|| self.shards.get(shard).and_then(|shard| shard.refuses_grant(now)))
            }
            Op::Unpark { shard } => self.shards.get(shard).and_then(Shard::refuses_unpark),
            _ => lease_of(op).and_then(|lease| self.shards.get(&lease.shard)?.refuses_write(now, lease)),
        }
    }

    fn unfinished(&self) -> Option<Rejection> {
        let (active, parked) = (self.count(ShardStatus::Active), self.count(ShardStatus::Parked));
        (active + parked > 0).then_some(Rejection::RunUnfinished { active, parked })
    }

    /// Every shard that is not at its end or parked is under a live lease: then it says when the first one ends.
    fn none_free(&self, now: Stamp) -> Option<Rejection> {
        let mut earliest: Option<u64> = None;
        for shard in self.shards.values().filter(|shard| shard.status == ShardStatus::Active) {
            let left = shard.live(now)?.deadline.0 - now.0;
            earliest = Some(earliest.map_or(left, |least| least.min(left)));
        }
        Some(Rejection::NoShardFree { remaining_ms: earliest })
    }

    /// What an operation checks by itself. Which of several comes first nobody promises.
    fn own_checks(&self, op: &Op, room: Room) -> Vec<Rejection> {
        let shard = lease_of(op).and_then(|lease| self.shards.get(&lease.shard));
        match (op, shard) {
            (Op::RegisterShards { shards, .. }, _) => self.refuses_roots(shards, room),
            (Op::SplitReplace { cuts, .. }, Some(shard)) => {
                shard.refuses_cuts(cuts).chain(room.refuses(cuts.len() + 1)).collect()
            }
            (Op::SplitResidual { at, .. }, Some(shard)) => {
                let bad = (!shard.may_cut(at)).then(|| bad_cut("at".to_owned()));
                bad.into_iter().chain(room.refuses(1)).collect()
            }
            (_, Some(shard)) => cursor_of(op).map_or_else(Vec::new, |cursor| shard.refuses_cursor(cursor)),
            _ => Vec::new(),
        }
    }

    /// Each pair is compared: all shards of a run that is open are roots.
    fn refuses_roots(&self, specs: &[ShardSpec], room: Room) -> Vec<Rejection> {
        let count = self.roots.len() + specs.len();
        let many = (count > ROOTS).then(|| too_much("shards", ROOTS, count));
        let mut due: Vec<Rejection> = many.into_iter().chain(room.refuses(specs.len())).collect();
        let spans: Vec<Span> = specs.iter().map(|spec| Span::from(&spec.range)).collect();
        for (at, spec) in specs.iter().enumerate() {
            let shard = spec.shard.to_string();
            let there = self.shards.iter().map(|(name, shard)| (name, &shard.span));
            let others = there.chain(specs[..at].iter().map(|spec| &spec.shard).zip(&spans));
            for (name, span) in others {
                if *name == spec.shard {
                    due.push(Rejection::ShardExists { shard: shard.clone() });
                }
                if span.meets(&spans[at]) {
                    due.push(Rejection::ShardOverlap { shard: shard.clone(), other: name.to_string() });
                }
            }
        }
        due
    }
}

impl Shard {
    fn set_aside(&self) -> Option<Rejection> {
        match self.status {
            status if shard_is_over(status) => Some(Rejection::ShardTerminal { status }),
            ShardStatus::Parked => Some(Rejection::ShardParked),
            _ => None,
        }
    }

    fn refuses_grant(&self, now: Stamp) -> Option<Rejection> {
        let held = self.live(now).map(|lease| Rejection::LeaseHeld { remaining_ms: lease.deadline.0 - now.0 });
        self.set_aside().or(held)
    }

    fn refuses_unpark(&self) -> Option<Rejection> {
        match self.set_aside() {
            Some(Rejection::ShardParked) => None,
            other => other.or(Some(Rejection::ShardNotParked)),
        }
    }

    fn refuses_write(&self, now: Stamp, lease: &LeaseRef) -> Option<Rejection> {
        if let Some(why) = self.set_aside() {
            return Some(why);
        }
        if lease.fence != self.fence {
            return Some(Rejection::FenceMismatch { current: self.fence });
        }
        match self.live(now) {
            None => Some(Rejection::LeaseExpired),
            Some(held) => (held.worker != lease.worker).then_some(Rejection::NotOwner),
        }
    }

    fn refuses_cursor(&self, cursor: &Cursor) -> Vec<Rejection> {
        let outside = (!self.span.owns(&cursor.key)).then_some(Rejection::CursorOutOfRange);
        let back = self.cursor.as_ref().is_some_and(|old| cursor.key < old.key);
        outside.into_iter().chain(back.then_some(Rejection::CursorRegression)).collect()
    }

    /// A cut leaves keys on both sides, and all that is processed on the left.
    fn may_cut(&self, at: &[u8]) -> bool {
        self.span.is_cut_at(at) && self.cursor.as_ref().is_none_or(|cursor| *cursor.key < *at)
    }

    fn refuses_cuts<'a>(&'a self, cuts: &'a [Key]) -> impl Iterator<Item = Rejection> + 'a {
        let bad = |&i: &usize| !self.may_cut(&cuts[i]) || (i > 0 && cuts[i] <= cuts[i - 1]);
        (0..cuts.len()).filter(bad).map(|i| bad_cut(format!("cuts[{i}]")))
    }
}
