//! The end of a run: heal, drive every shard to its end, and read it all once more at every node.

use std::collections::VecDeque;

use gossip_check::history::Value;
use gossip_core::coordination::{Op, Query, RunId, RunStatus, ShardStatus, View};

use gossip_core::coordination::answer::RunSummary;

use super::queue::{MILLI, Nanos, SECOND};
use super::request::{Ask, Failure, Reply};
use super::workers::{Draft, ask_of, stands_in_history};
use super::{Event, World};
use crate::history;

/// How often the operator looks whether the nodes have settled.
const LOOK: Nanos = 40 * MILLI;
/// After the heal the views of all nodes must be the same within this.
const GOSSIP: Nanos = 30 * SECOND;

/// What came of the operator's last operation.
type Heard = Option<Result<Reply, Failure>>;

/// How far the end has come.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) began: Nanos,
    stage: Stage,
    /// What the last operation brought, if it was one of the operator's.
    heard: Heard,
    /// Runs that are not known to have ended.
    open: VecDeque<RunSummary>,
    /// All runs that stand in the history.
    told: Vec<RunId>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Asks which runs there are.
    ListRuns,
    /// Asks how the shards of the first open run stand.
    ListShards,
    /// Does something about one of them, or about the run.
    Drive,
    /// Waits until every node has what every other has.
    Settle,
    /// Reads the run at this number at the node in this place: its status first, since the judge expects that where a run has
    /// ended its shards have.
    ReadRun {
        run: usize,
        place: usize,
    },
    ReadShards {
        run: usize,
        place: usize,
        status: RunStatus,
    },
    /// Waits until every node sees the same of all.
    Converge,
}

impl World {
    /// From now on nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        let now = self.queue.now();
        self.trace.line(now, || "HEAL".to_owned());
        self.history.nemesis(now, "heal", Value::Nil);
        let stage = Stage::ListRuns;
        self.finish = Some(Finish { began: now, stage, heard: None, open: VecDeque::new(), told: Vec::new() });
        self.net.heal();
        for place in 0..self.machines.len() {
            self.machines[place].disk.heal();
            if let Some(process) = &mut self.machines[place].process {
                process.fuse = None;
            }
            self.resume(place);
            self.start(place);
        }
        (0..self.workers.len()).for_each(|worker| self.resume_worker(worker));
        self.queue.after(MILLI, Event::Finish);
    }

    /// Takes note of what the operator's operation brought.
    pub(super) fn heard(&mut self, party: usize, reply: Result<&Reply, Failure>) {
        if let Some(finish) = self.finish.as_mut().filter(|_| party == self.options.workers) {
            finish.heard = Some(reply.cloned());
        }
    }

    /// What of the end has not come to pass.
    pub(super) fn describe_stall(&self) -> String {
        let stage = self.finish.as_ref().map(|finish| format!("{:?}, open {:?}", finish.stage, finish.open));
        let nodes: Vec<String> = self
            .machines
            .iter()
            .map(|m| match &m.process {
                Some(process) => format!("{}: {:?}", m.name, process.group.status()),
                None => format!("{}: down", m.name),
            })
            .collect();
        format!("the end does not come: {}; {}", stage.unwrap_or_default(), nodes.join("; "))
    }

    /// The operator's next operation.
    pub(super) fn tend_finish(&mut self) {
        let Some(finish) = &mut self.finish else { return };
        if !self.workers[self.options.workers].is_idle() {
            return;
        }
        let heard = finish.heard.take();
        match finish.stage.clone() {
            Stage::ListRuns => self.list_runs(heard),
            Stage::ListShards => self.list_shards(heard),
            Stage::Drive => self.ask(
                Query::Shards { run: self.first_open(), after: None, status: None, limit: 1000 },
                None,
                Stage::ListShards,
            ),
            Stage::Settle => self.settle(),
            Stage::Converge => self.converge(),
            Stage::ReadRun { run, place } => self.read_run(run, place, heard),
            Stage::ReadShards { run, place, status } => self.read_shards(run, place, status, heard),
        }
    }

    fn first_open(&self) -> RunId {
        let first = self.finish.as_ref().and_then(|finish| finish.open.front());
        first.map_or_else(|| self.directory.first_run(), |summary| summary.run.clone())
    }

    /// Begins a read whose answer the stage `then` takes.
    fn ask(&mut self, query: Query, at: Option<usize>, then: Stage) {
        if let Some(finish) = &mut self.finish {
            finish.stage = then;
        }
        let ask = Ask::Query { query: ask_of(query), stale: false };
        self.begin(self.options.workers, Draft::new(ask, at));
    }

    fn order(&mut self, op: Op, wait: Nanos) {
        if let Some(finish) = &mut self.finish {
            finish.stage = Stage::Drive;
        }
        let run = self.first_open();
        let command = self.workers[self.options.workers].command(&run, op);
        self.begin(self.options.workers, Draft::submit(command, wait));
    }

    fn list_runs(&mut self, heard: Heard) {
        let Some(Ok(Reply::Read { view: Ok(View::Runs { runs, .. }), .. })) = heard else {
            return self.ask(Query::Runs { after: None, limit: 1000 }, None, Stage::ListRuns);
        };
        let Some(finish) = &mut self.finish else { return };
        finish.told = runs.iter().map(|run| run.run.clone()).filter(stands_in_history).collect();
        // What the service has forgotten it does not list.
        finish.told.extend(self.history.standing_runs());
        finish.told.sort();
        finish.told.dedup();
        finish.open = runs.into_iter().filter(|run| !run.status.is_terminal()).collect();
        if finish.told.is_empty() {
            return self.found_a_run();
        }
        self.next_run();
    }

    /// Nobody could found anything while the faults lasted: that the nodes serve now must show all the same.
    fn found_a_run(&mut self) {
        let run = self.directory.first_run();
        let command = self.workers[self.options.workers].command(&run, Op::CreateRun { metadata: Vec::new() });
        self.begin(self.options.workers, Draft::submit(command, 0));
    }

    fn next_run(&mut self) {
        let Some(finish) = &mut self.finish else { return };
        finish.stage = if finish.open.is_empty() { Stage::Settle } else { Stage::Drive };
        self.queue.after(0, Event::Finish);
    }

    /// Does something about the first shard that has not ended, or about the run.
    fn list_shards(&mut self, heard: Heard) {
        let Some(Ok(Reply::Read { view: Ok(View::Shards { shards, .. }), .. })) = heard else {
            // A deletion that was under way may have come late: what is left of the runs has to be seen anew.
            if let Some(finish) = &mut self.finish {
                finish.stage = Stage::ListRuns;
            }
            return self.queue.after(LOOK, Event::Finish);
        };
        let Some(finish) = &mut self.finish else { return };
        let Some(run) = finish.open.front().cloned() else { return self.next_run() };
        let unfinished = shards.iter().find(|shard| !shard.status.is_terminal());
        let worker = self.workers[self.options.workers].name.clone();
        match unfinished {
            Some(shard) if shard.status == ShardStatus::Parked => {
                self.order(Op::Unpark { shard: shard.shard.clone() }, 0);
            }
            Some(shard) if run.status == RunStatus::Active => {
                let held = self.workers[self.options.workers].lease_on(&shard.shard);
                let live = shard.lease.as_ref().is_some_and(|lease| lease.worker == worker);
                match held.filter(|lease| live && lease.fence == shard.fence) {
                    Some(lease) => self.order(Op::Complete { lease, cursor: None }, 0),
                    None => {
                        let shard = shard.shard.clone();
                        self.order(Op::Acquire { shard, worker, lease_ms: 2_000 }, 3_000 * MILLI);
                    }
                }
            }
            _ if run.status == RunStatus::Active => {
                finish.open.pop_front();
                finish.open.push_front(RunSummary { status: RunStatus::Done, ..run });
                self.order(Op::CompleteRun, 0);
            }
            _ if run.status == RunStatus::Open => {
                finish.open.pop_front();
                finish.open.push_front(RunSummary { status: RunStatus::Done, ..run });
                self.order(Op::CancelRun { reason: "never started".into() }, 0);
            }
            // Its end was asked for: look at all runs again.
            _ => {
                finish.stage = Stage::ListRuns;
                self.queue.after(0, Event::Finish);
            }
        }
    }

    /// Waits until every node serves and has applied all.
    fn settle(&mut self) {
        let applied: Vec<Option<(u64, bool)>> = self
            .machines
            .iter()
            .map(|m| m.process.as_ref().map(|p| p.group.status()).map(|s| (s.applied, s.ready)))
            .collect();
        let even = applied.windows(2).all(|pair| pair[0] == pair[1]);
        let serves = applied.iter().all(|node| node.is_some_and(|(_, ready)| ready));
        let stopped = self.replacement.is_some() || self.machines.iter().any(|m| !m.is_up());
        if !even || !serves || stopped {
            return self.queue.after(LOOK, Event::Finish);
        }
        self.read_next(0, 0);
    }

    fn read_next(&mut self, run: usize, place: usize) {
        let Some(finish) = &self.finish else { return };
        let (run, place) = if place == self.machines.len() { (run + 1, 0) } else { (run, place) };
        let Some(name) = finish.told.get(run).cloned() else { return self.converge() };
        let value = history::run_read(&name, &self.machines[place].name);
        let process = self.workers[self.options.workers].process();
        self.history.invoke(self.queue.now(), process, "read-run", value);
        self.ask_run(run, place, name);
    }

    fn ask_run(&mut self, run: usize, place: usize, name: RunId) {
        self.ask(Query::Run { run: name }, Some(place), Stage::ReadRun { run, place });
    }

    fn told_run(&self, run: usize) -> RunId {
        let told = self.finish.as_ref().and_then(|finish| finish.told.get(run));
        told.cloned().unwrap_or_else(|| self.directory.first_run())
    }

    fn read_run(&mut self, run: usize, place: usize, heard: Heard) {
        let name = self.told_run(run);
        let Some(Ok(Reply::Read { view: Ok(View::Run(summary)), .. })) = heard else {
            return self.not_read(run, place, name, heard);
        };
        let query = Query::Shards { run: name, after: None, status: None, limit: 1000 };
        self.ask(query, Some(place), Stage::ReadShards { run, place, status: summary.status });
    }

    fn read_shards(&mut self, run: usize, place: usize, status: RunStatus, heard: Heard) {
        let name = self.told_run(run);
        let Some(Ok(Reply::Read { view: Ok(View::Shards { shards, .. }), applied })) = heard else {
            return self.not_read(run, place, name, heard);
        };
        let sent = history::run_read(&name, &self.machines[place].name);
        let value = history::run_seen(sent, status, &shards, applied);
        let process = self.workers[self.options.workers].process();
        self.history.ok(self.queue.now(), process, "read-run", value);
        self.read_next(run, place + 1);
    }

    /// A read is asked again until it is answered. That the run is not there is an answer, for the judge to weigh.
    fn not_read(&mut self, run: usize, place: usize, name: RunId, heard: Heard) {
        let Some(Err(Failure { reason: reason @ "RUN_NOT_FOUND", .. })) = heard else {
            return self.ask_run(run, place, name);
        };
        let sent = history::run_read(&name, &self.machines[place].name);
        let process = self.workers[self.options.workers].process();
        self.history.failed(self.queue.now(), process, "read-run", sent, reason, true);
        self.read_next(run, place + 1);
    }

    /// Waits until every node sees the same. Who is gone is known to be so when suspicion has taken its time; beyond that the
    /// judge has the word.
    fn converge(&mut self) {
        let now = self.queue.now();
        let Some(finish) = &mut self.finish else { return };
        if !matches!(finish.stage, Stage::Converge) {
            (finish.stage, finish.began) = (Stage::Converge, now);
        }
        let late = now >= finish.began + GOSSIP;
        if !late && !self.views_agree() {
            return self.queue.after(8 * LOOK, Event::Finish);
        }
        if !late && self.options.hush && self.hushed.is_none() {
            self.finish.iter_mut().for_each(|finish| finish.began = now);
            self.hush();
            return self.queue.after(8 * LOOK, Event::Finish);
        }
        self.read_views();
        self.conclude();
    }

    /// All has been read: every node's state is compared as a whole.
    fn conclude(&mut self) {
        for machine in &self.machines {
            if let Some(process) = &machine.process {
                process.group.machine().check();
            }
        }
        self.consult_ledger();
        self.done = true;
    }
}
