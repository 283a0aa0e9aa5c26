//! A shard service in one table, by the rules of the state machine, with one bug if so wished.

use std::collections::{BTreeMap, HashMap};

use gossip_check::history::Value;

/// One way of being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    GrantsWhileHeld,
    RenewsWhatRanOut,
    AcceptsOldFences,
    KeepsTheFence,
    RevivesWhatIsDone,
    ForgetsThatTheRunEnded,
    LeavesAGapInASplit,
    ForgetsToShrinkTheParent,
    ForgetsAnswers,
    NeverUnparks,
    LetsCursorsGoBack,
    LetsCursorsLeaveTheRange,
    ForgetsTheCursorInASplit,
    ShowsTheLastHolder,
    LosesTheLastCheckpoint,
    LosesACompletion,
}

/// Milliseconds of the lease clock.
pub(crate) const LEASE: i64 = 200;

#[derive(Debug, Clone)]
pub(crate) struct Shard {
    pub(crate) start: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) fence: i64,
    lease: Option<(String, i64)>,
    pub(crate) cursor: Option<String>,
    before_checkpoint: Option<Option<String>>,
    /// Who gave its lease back last, where that is remembered.
    released: Option<String>,
}

impl Shard {
    fn new(start: Option<String>, end: Option<String>) -> Self {
        Self {
            start,
            end,
            status: "active",
            fence: 0,
            lease: None,
            cursor: None,
            before_checkpoint: None,
            released: None,
        }
    }

    fn record(&self, name: &str) -> Value {
        range(name, self.start.as_deref(), self.end.as_deref())
            .with("status", Value::keyword(self.status))
            .with("fence", self.fence)
            .with(
                "worker",
                self.lease.as_ref().map(|(worker, _)| worker).or(self.released.as_ref()).map(String::as_str),
            )
            .with("deadline", self.lease.as_ref().map(|(_, until)| *until))
            .with("cursor", self.cursor.clone())
    }
}

pub(crate) fn range(name: &str, start: Option<&str>, end: Option<&str>) -> Value {
    Value::map([("shard", Value::from(name)), ("start", start.into()), ("end", end.into())])
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) shards: BTreeMap<String, Shard>,
    run: &'static str,
    answers: HashMap<String, (String, Value)>,
    bug: Option<Bug>,
}

/// What an answer adds to its request, or why it was refused.
pub(crate) type Answer = Result<Value, &'static str>;

fn nothing() -> Value {
    Value::Map(Default::default())
}

fn text(request: &Value, key: &str) -> String {
    request.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Service {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { shards: BTreeMap::new(), run: "active", answers: HashMap::new(), bug }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// A crash of every node at once.
    pub(crate) fn crash(&mut self) {
        let (forgets, reverts) = (self.has(Bug::LosesTheLastCheckpoint), self.has(Bug::LosesACompletion));
        for shard in self.shards.values_mut() {
            if let Some(before) = shard.before_checkpoint.take().filter(|_| forgets) {
                shard.cursor = before;
            }
            if reverts && shard.status == "done" {
                shard.status = "active";
            }
        }
    }

    /// `now` is the lease clock's.
    pub(crate) fn apply(&mut self, now: i64, f: &str, request: &Value) -> Answer {
        let id = text(request, "op-id");
        let payload = format!("{f} {request}");
        if let Some((known, answer)) = self.answers.get(&id).filter(|_| !id.is_empty()) {
            return if *known == payload { Ok(answer.clone()) } else { Err("op-id-conflict") };
        }
        let answer = self.decide(now, f, request)?;
        if !id.is_empty() && !self.has(Bug::ForgetsAnswers) {
            self.answers.insert(id, (payload, answer.clone()));
        }
        Ok(answer)
    }

    fn decide(&mut self, now: i64, f: &str, request: &Value) -> Answer {
        match f {
            "register" => self.register(request),
            "read-run" => {
                let records = self.shards.iter().map(|(name, shard)| shard.record(name)).collect();
                Ok(nothing().with("status", Value::keyword(self.run)).with("shards", Value::Vec(records)))
            }
            "cancel-run" => self.cancel(),
            "claim" => {
                let is_free =
                    |s: &&Shard| s.status == "active" && s.lease.as_ref().is_none_or(|(_, until)| *until <= now);
                let free = self.shards.iter().find(|(_, s)| is_free(s)).map(|(name, _)| name.clone());
                let name = free.ok_or("no-shard-free")?;
                Ok(self.grant(now, &name, &text(request, "worker"))?.with("shard", name))
            }
            "acquire" => self.grant(now, &text(request, "shard"), &text(request, "worker")),
            "read-shard" => {
                let name = text(request, "shard");
                Ok(self.shards.get(&name).ok_or("shard-not-found")?.record(&name))
            }
            "unpark" => self.unpark(request),
            _ => self.write(now, f, request),
        }
    }

    fn register(&mut self, request: &Value) -> Answer {
        for shard in request.get("shards").and_then(Value::items).unwrap_or_default() {
            let bound = |key: &str| shard.get(key).and_then(Value::as_str).map(str::to_owned);
            self.shards.insert(text(shard, "shard"), Shard::new(bound("start"), bound("end")));
        }
        Ok(nothing())
    }

    fn cancel(&mut self) -> Answer {
        if self.run != "active" {
            return Err("run-ended");
        }
        self.run = "cancelled";
        let forgets = self.has(Bug::ForgetsThatTheRunEnded);
        for shard in self.shards.values_mut().filter(|s| matches!(s.status, "active" | "parked") && !forgets) {
            (shard.status, shard.lease, shard.fence) = ("cancelled", None, shard.fence + 1);
        }
        Ok(nothing())
    }

    fn grant(&mut self, now: i64, name: &str, worker: &str) -> Answer {
        let (overlaps, keeps) = (self.has(Bug::GrantsWhileHeld), self.has(Bug::KeepsTheFence));
        let revives = self.has(Bug::RevivesWhatIsDone);
        let shard = self.shards.get_mut(name).ok_or("shard-not-found")?;
        match shard.status {
            "active" => {}
            "done" if revives => shard.status = "active",
            "parked" => return Err("shard-parked"),
            _ => return Err("shard-terminal"),
        }
        if shard.lease.as_ref().is_some_and(|(_, until)| now < *until) && !overlaps {
            return Err("lease-held");
        }
        shard.fence += i64::from(!keeps || shard.fence == 0);
        shard.lease = Some((worker.to_owned(), now + LEASE));
        let lease = nothing().with("fence", shard.fence).with("granted", now).with("deadline", now + LEASE);
        Ok(lease.with("cursor", shard.cursor.clone()))
    }

    fn unpark(&mut self, request: &Value) -> Answer {
        let stuck = self.has(Bug::NeverUnparks);
        let shard = self.shards.get_mut(&text(request, "shard")).ok_or("shard-not-found")?;
        if shard.status != "parked" || stuck {
            return Err("shard-not-parked");
        }
        (shard.status, shard.fence) = ("active", shard.fence + 1);
        Ok(nothing().with("fence", shard.fence))
    }

    /// What needs a lease.
    fn write(&mut self, now: i64, f: &str, request: &Value) -> Answer {
        let bug = self.bug;
        let has = |b: Bug| bug == Some(b);
        let name = text(request, "shard");
        let shard = self.shards.get_mut(&name).ok_or("shard-not-found")?;
        let fence = request.get("fence").and_then(Value::as_i64).unwrap_or(0);
        if shard.status != "active" {
            return Err(if shard.status == "parked" { "shard-parked" } else { "shard-terminal" });
        }
        if fence != shard.fence && !(has(Bug::AcceptsOldFences) && fence < shard.fence) {
            return Err("fence-mismatch");
        }
        let Some((owner, until)) = shard.lease.clone() else { return Err("lease-expired") };
        let old = fence < shard.fence;
        if until <= now && !(f == "renew" && has(Bug::RenewsWhatRanOut)) {
            return Err("lease-expired");
        }
        if owner != text(request, "worker") && !old {
            return Err("not-owner");
        }
        match f {
            "renew" => {
                let until = until.max(now + LEASE);
                shard.lease = Some((owner, until));
                return Ok(nothing().with("granted", now).with("deadline", until));
            }
            "checkpoint" | "complete" => {
                move_cursor(shard, request, bug)?;
                if f == "complete" {
                    (shard.status, shard.lease) = ("done", None);
                }
            }
            "release" => {
                shard.released = Some(owner).filter(|_| has(Bug::ShowsTheLastHolder));
                shard.lease = None;
            }
            "park" => (shard.status, shard.lease) = ("parked", None),
            "split-replace" | "split-residual" => return self.split(f, &name, request),
            _ => return Err("invalid-argument"),
        }
        Ok(nothing())
    }

    fn split(&mut self, f: &str, name: &str, request: &Value) -> Answer {
        let (gap, wide) = (self.has(Bug::LeavesAGapInASplit), self.has(Bug::ForgetsToShrinkTheParent));
        let shard = self.shards.get_mut(name).ok_or("shard-not-found")?;
        let key = if f == "split-residual" {
            request.get("at")
        } else {
            request.get("cuts").and_then(|c| c.items()?.first())
        };
        let at = key.and_then(Value::as_str).unwrap_or_default().to_owned();
        let inside = shard.start.as_ref().is_none_or(|s| *s < at) && shard.end.as_ref().is_none_or(|e| at < *e);
        if !inside || shard.cursor.as_ref().is_some_and(|c| *c >= at) {
            return Err("split-point-invalid");
        }
        let (start, end, cursor) = (shard.start.clone(), shard.end.clone(), shard.cursor.clone());
        let right = Shard::new(Some(if gap { format!("{at}01") } else { at.clone() }), end);
        let record = |name: &str, s: &Shard| range(name, s.start.as_deref(), s.end.as_deref());
        if f == "split-residual" {
            if !wide {
                shard.end = Some(at);
            }
            let child = format!("{name}~{}", self.shards.len());
            let residual = record(&child, &right);
            self.shards.insert(child, right);
            return Ok(nothing().with("residual", residual));
        }
        (shard.status, shard.lease) = ("split", None);
        let mut left = Shard::new(start, Some(at));
        left.cursor = cursor.filter(|_| self.bug != Some(Bug::ForgetsTheCursorInASplit));
        let names = [format!("{name}.{}", self.shards.len()), format!("{name}.{}", self.shards.len() + 1)];
        let children = vec![record(&names[0], &left), record(&names[1], &right)];
        let [a, b] = names;
        self.shards.extend([(a, left), (b, right)]);
        Ok(nothing().with("children", Value::Vec(children)))
    }
}

fn move_cursor(shard: &mut Shard, request: &Value, bug: Option<Bug>) -> Result<(), &'static str> {
    let Some(cursor) = request.get("cursor").and_then(Value::as_str).map(str::to_owned) else { return Ok(()) };
    let regresses = shard.cursor.as_ref().is_some_and(|c| cursor < *c);
    if regresses && bug != Some(Bug::LetsCursorsGoBack) {
        return Err("cursor-regression");
    }
    let inside = shard.start.as_ref().is_none_or(|s| *s <= cursor) && shard.end.as_ref().is_none_or(|e| cursor < *e);
    if !inside && bug != Some(Bug::LetsCursorsLeaveTheRange) {
        return Err("cursor-out-of-range");
    }
    shard.before_checkpoint = Some(shard.cursor.replace(cursor));
    Ok(())
}
