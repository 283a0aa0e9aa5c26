//! Leases as a history shows them.

use std::collections::HashMap;

use super::facts::{is_grant, is_lease_end, is_lease_write};
use crate::history::{Call, Name, name};

/// One grant, with what became of it. Times are on the lease clock, in milliseconds, unless said otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Lease<'a> {
    pub(crate) fence: i64,
    pub(crate) worker: Name<'a>,
    /// The first answer to the grant; a place in the history.
    pub(crate) end: usize,
    pub(crate) granted: Option<i64>,
    /// As granted.
    pub(crate) first_deadline: Option<i64>,
    /// The latest that is known: as granted, or as moved by answered renewals.
    pub(crate) known_deadline: i64,
    /// A renewal was never answered, which may have moved the deadline any further.
    pub(crate) renewal_is_open: bool,
    /// Answered renewals.
    pub(crate) renewals: Vec<Call<'a>>,
    /// All answers to the grant, replays included.
    pub(crate) answers: Vec<Call<'a>>,
    /// Where its holder first tried to give it up; a place in the history.
    pub(crate) ended_from: Option<usize>,
    /// When that was, in nanoseconds of the recorder.
    pub(crate) ended_at: Option<i64>,
}

impl<'a> Lease<'a> {
    /// Whether it may have been given up by the time that another lease was answered.
    pub(crate) fn given_up_before(&self, other: &Lease<'_>) -> bool {
        self.ended_from.is_some_and(|from| from < other.end)
    }

    /// When its holder believed in it: stretches of real time in nanoseconds, each with the call whose answer began it. A
    /// renewal extends a belief; it does not fill a gap in it.
    pub(crate) fn beliefs(&self) -> impl Iterator<Item = (i64, i64, &Call<'a>)> {
        self.answers.iter().chain(&self.renewals).filter_map(|call| {
            let (from, until) = (call.end_time()?, call.output_int("believed-until")?);
            let to = self.ended_at.map_or(until, |ended| until.min(ended));
            (from < to).then_some((from, to, call))
        })
    }
}

/// The leases granted on one shard, in order of their first invocation: one for each distinct grant. Answers of one op id are of
/// one grant if they tell the same fence: an op id that was evicted from the op log may be granted anew, with a fence of its own.
pub(crate) fn granted<'a>(calls: &[Call<'a>], places: &[usize]) -> Vec<Lease<'a>> {
    let own = || places.iter().map(|&i| calls[i]);
    let mut writes: HashMap<i64, Vec<Call<'a>>> = HashMap::new();
    for call in own().filter(|c| is_lease_write(c.f())) {
        if let Some(fence) = call.input_int("fence") {
            writes.entry(fence).or_default().push(call);
        }
    }
    let mut order: Vec<Vec<Call<'a>>> = Vec::new();
    let mut by_id: HashMap<(Name<'a>, i64), usize> = HashMap::new();
    for call in own().filter(|c| is_grant(c.f()) && c.ok()) {
        let Some(fence) = call.output_int("fence") else { continue };
        match call.op_id() {
            Some(id) => {
                let place = *by_id.entry((id, fence)).or_insert(order.len());
                if place == order.len() {
                    order.push(Vec::new());
                }
                order[place].push(call);
            }
            None => order.push(vec![call]),
        }
    }
    order.into_iter().filter_map(|answers| lease(answers, &writes)).collect()
}

fn lease<'a>(answers: Vec<Call<'a>>, writes: &HashMap<i64, Vec<Call<'a>>>) -> Option<Lease<'a>> {
    let first = *answers.iter().min_by_key(|c| c.end())?;
    let fence = first.output_int("fence")?;
    let worker = first.output("worker").map(name);
    // The fence alone says whose renewal it is where one of the two does not tell the worker.
    let is_own = |c: &Call<'a>| c.output("worker").map(name).zip(worker.as_ref()).is_none_or(|(by, own)| by == *own);
    let own: &[Call<'a>] = writes.get(&fence).map(Vec::as_slice).unwrap_or_default();
    let renewals: Vec<Call<'a>> = own.iter().filter(|c| c.f() == "renew" && c.ok() && is_own(c)).copied().collect();
    let ends = || own.iter().filter(|c| is_lease_end(c.f()) && !c.failed());
    let first_deadline = first.output_int("deadline");
    let deadlines = renewals.iter().filter_map(|c| c.output_int("deadline"));
    Some(Lease {
        fence,
        worker: worker.unwrap_or_default(),
        end: first.end(),
        granted: first.output_int("granted"),
        first_deadline,
        known_deadline: deadlines.chain(first_deadline).max().unwrap_or(0),
        renewal_is_open: own.iter().any(|c| c.f() == "renew" && c.open()),
        ended_from: ends().map(|c| c.at).min(),
        ended_at: ends().map(Call::time).min(),
        renewals,
        answers,
    })
}
