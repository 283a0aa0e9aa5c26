//! What reads show, and what the history is told of it.
//!
//! A read of a run asks for its status first and for its shards then, and is one operation of the history: where it shows an ended
//! run, its shards have ended too.

use gossip_core::coordination::limits::MAX_PAGE;
use gossip_core::coordination::{Query, RunId, RunStatus, View};

use super::{Call, ask_of};
use crate::history;
use crate::reach::Event as Rare;
use crate::world::World;
use crate::world::request::Ask;

impl World {
    /// Takes over what a read showed.
    pub(super) fn seen(&mut self, place: usize, call: Call, applied: u64, view: &View) {
        let Ask::Query { query, stale } = &call.ask else { return };
        let stale = *stale;
        if stale {
            self.workers[place].stale = Some((call.asked, applied));
        } else {
            self.seen_fresh(place, &call, applied, view);
        }
        if let (Query::Run { run }, View::Run(summary), Some(_)) = (&query.query, view, &call.value) {
            let run = run.clone();
            return self.read_on(place, call, run, stale, summary.status);
        }
        self.tell_read(place, call, applied, view);
        self.go_on(place);
    }

    fn seen_fresh(&mut self, place: usize, call: &Call, applied: u64, view: &View) {
        if self.machines[call.asked].leads().is_none() {
            self.reach.event(Rare::FollowerRead);
        }
        if self.workers[place].stale.take().is_some_and(|(at, then)| at == call.asked && then < applied) {
            self.reach.event(Rare::StaleBehind);
        }
        if let (Ask::Query { query, .. }, View::Shards { shards, .. }) = (&call.ask, view)
            && let Query::Shards { run, .. } = &query.query
        {
            shards.iter().for_each(|shard| self.directory.add(run, &shard.shard));
        }
    }

    /// Goes on with the shards of a run whose status is read.
    fn read_on(&mut self, place: usize, call: Call, run: RunId, stale: bool, status: RunStatus) {
        let query = ask_of(Query::Shards { run, after: None, status: None, limit: MAX_PAGE });
        let ask = Ask::Query { query, stale };
        self.workers[place].call = Some(Call { ask, status: Some(status), tries: 0, ..call });
        self.attempt(place, 0);
    }

    fn tell_read(&mut self, place: usize, call: Call, applied: u64, view: &View) {
        let (now, process) = (self.queue.now(), self.workers[place].process);
        let Some(sent) = call.value else { return };
        match (view, call.status) {
            (View::Shard(shard), _) => {
                let answer = history::shard_read(&sent, shard, applied);
                self.history.ok(now, process, call.f, answer);
            }
            // Several pages show several moments, and the leaves of each of these tile, not those of all.
            (View::Shards { more: true, .. }, Some(_)) => {
                self.history.failed(now, process, call.f, sent, "LIMIT_EXCEEDED", true);
            }
            (View::Shards { shards, .. }, Some(status)) => {
                self.reach.event(Rare::RunRead);
                self.history.ok(now, process, call.f, history::run_seen(sent, status, shards, applied));
            }
            _ => {}
        }
    }
}
