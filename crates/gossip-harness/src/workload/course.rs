//! The course of a load: which runs there are, and what has been learnt of their shards.
//!
//! Shards end, and a load that has used all of them up tests nothing more. So after so many sessions it moves on to a fresh run,
//! and the old one is left as it stands: the liveness phase finishes it. The side run does not only get old: it is ended,
//! cancelled and failed by turns, while others still work on it. Which session meets which run is left to the moment, as is
//! who leads: the sessions themselves are drawn before.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gossip_client::{Range, ShardSpec};

use super::keys::root_range;
use super::session::Mix;
use crate::rng::Stream;

/// The line of runs on which most sessions work.
const MAIN: &str = "main";
/// The line of runs that are ended on the way.
const SIDE: &str = "side";

/// The name of a root shard.
pub(super) fn root_name(run: &str, root: u64) -> String {
    format!("{run}-{root}")
}

/// The run of a shard, by its name; the service names children after their root.
pub fn run_of(shard: &str) -> &str {
    let root = shard.split_once('~').map_or(shard, |(root, _)| root);
    root.rsplit_once('-').map_or(root, |(run, _)| run)
}

/// The roots with which a run begins.
pub(super) fn roots(run: &str, count: usize) -> Vec<ShardSpec> {
    let spec = |root| {
        let Range { start, end } = root_range(root, count);
        ShardSpec::new(root_name(run, root as u64), start, end)
    };
    (0..count).map(spec).collect()
}

/// What a session does for all of them before its own work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Duty {
    /// The run that must end, and how.
    pub(super) end: Option<(String, &'static str)>,
    /// The run that must be there next, with so many roots.
    pub(super) open: (String, usize),
    side: bool,
}

/// One line of runs.
#[derive(Debug)]
struct Line {
    name: &'static str,
    roots: usize,
    /// Sessions until a run is old; 0: it never is.
    sessions: u64,
    /// Of the run on which sessions work now.
    current: u64,
    /// Of the newest run that anybody tried to make.
    newest: u64,
    begun: u64,
    /// Somebody is about to move on.
    moving: bool,
}

impl Line {
    fn new(name: &'static str, roots: usize, sessions: u64) -> Self {
        Line { name, roots, sessions, current: 0, newest: 0, begun: 0, moving: false }
    }

    fn run(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }

    /// Counts one session. It may be the one that has to move on.
    fn begin(&mut self) -> Option<Duty> {
        self.begun += 1;
        if self.sessions == 0 || self.begun <= self.sessions || self.moving {
            return None;
        }
        self.moving = true;
        self.newest += 1;
        let how = if self.newest.is_multiple_of(2) { "fail-run" } else { "cancel-run" };
        let side = self.name == SIDE;
        let end = side.then(|| (self.run(self.current), how));
        Some(Duty { end, open: (self.run(self.newest), self.roots), side })
    }

    fn moved(&mut self, opened: bool) {
        self.moving = false;
        if opened {
            (self.current, self.begun) = (self.newest, 0);
        }
    }
}

#[derive(Debug)]
struct State {
    main: Line,
    side: Option<Line>,
    /// Every shard that an answer told of.
    shards: BTreeSet<String>,
    parked: BTreeSet<String>,
    /// Runs of single sessions that are not known to be deleted.
    brief: BTreeSet<String>,
    /// The newest of those that are.
    deleted: VecDeque<String>,
}

/// Deleted runs of which each node is asked at the end whether they are still gone.
const ASKED: usize = 32;

/// Shared by all workers.
#[derive(Clone, Debug)]
pub struct Course(Arc<Mutex<State>>);

impl Course {
    /// Before anything is made.
    pub fn new(mix: &Mix) -> Self {
        let side = (mix.side_roots > 0).then(|| Line::new(SIDE, mix.side_roots, mix.side_sessions));
        let main = Line::new(MAIN, mix.roots, mix.sessions);
        let (shards, parked, brief) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Course(Arc::new(Mutex::new(State { main, side, shards, parked, brief, deleted: VecDeque::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs with which the load begins, with their numbers of roots.
    pub(super) fn first(&self) -> Vec<(String, usize)> {
        let state = self.state();
        [Some(&state.main), state.side.as_ref()].into_iter().flatten().map(|line| (line.run(0), line.roots)).collect()
    }

    /// The run on which a session works, and what it has to do for all before.
    pub(super) fn begin(&self, side: bool) -> (String, Option<Duty>) {
        let mut state = self.state();
        let State { main, side: second, .. } = &mut *state;
        let line = if side { second.as_mut().unwrap_or(main) } else { main };
        let duty = line.begin();
        (line.run(line.current), duty)
    }

    /// The duty is done, or could not be: then another session tries, with another run.
    pub(super) fn moved(&self, duty: &Duty, opened: bool) {
        let mut state = self.state();
        let State { main, side, .. } = &mut *state;
        if duty.side { side.as_mut().unwrap_or(main) } else { main }.moved(opened);
    }

    /// Somebody is about to make a run for itself.
    pub(super) fn founds(&self, run: &str) {
        self.state().brief.insert(run.to_owned());
    }

    /// This run was deleted.
    pub(super) fn deleted(&self, run: &str) {
        let mut state = self.state();
        state.brief.remove(run);
        state.deleted.push_back(run.to_owned());
        if state.deleted.len() > ASKED {
            state.deleted.pop_front();
        }
    }

    /// Every run that may exist, and the newest of those that must not.
    pub fn runs(&self) -> Vec<String> {
        let state = self.state();
        let lines = [Some(&state.main), state.side.as_ref()].into_iter().flatten();
        let lasting = lines.flat_map(|line| (0..=line.newest).map(|number| line.run(number)));
        lasting.chain(state.brief.iter().cloned()).chain(state.deleted.iter().cloned()).collect()
    }

    /// An answer told of this shard.
    pub(super) fn saw(&self, shard: &str) {
        let mut state = self.state();
        if !state.shards.contains(shard) {
            state.shards.insert(shard.to_owned());
        }
    }

    /// This shard was parked, as far as anybody knows.
    pub(super) fn parked(&self, shard: &str) {
        self.state().parked.insert(shard.to_owned());
    }

    /// A shard of the run that somebody was granted or that a split made; children in half of cases where there are some.
    pub(super) fn any(&self, run: &str, dice: &mut Stream) -> Option<String> {
        let state = self.state();
        let own: Vec<&String> = state.shards.iter().filter(|shard| run_of(shard) == run).collect();
        let children: Vec<&String> = own.iter().filter(|shard| shard.contains('~')).copied().collect();
        let pool = if !children.is_empty() && dice.chance(50) { children } else { own };
        (!pool.is_empty()).then(|| (*dice.pick(&pool)).clone())
    }

    /// A parked shard of the run, which counts as parked no longer.
    pub(super) fn unpark(&self, run: &str, dice: &mut Stream) -> Option<String> {
        let mut state = self.state();
        let own: Vec<String> = state.parked.iter().filter(|shard| run_of(shard) == run).cloned().collect();
        let shard = (!own.is_empty()).then(|| dice.pick(&own).clone())?;
        state.parked.remove(&shard);
        Some(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    #[test]
    fn the_run_of_roots_and_of_children_is_in_the_name() {
        assert_eq!(run_of(&root_name("main-3", 17)), "main-3");
        assert_eq!(run_of("side-12-4~9"), "side-12");
    }

    #[test]
    fn a_run_gets_old_one_session_moves_on_and_a_failed_move_is_tried_again_with_another_run() {
        let mix = Mix { sessions: 3, side_sessions: 2, side_roots: 2, roots: 5, ..Kind::FullLifecycle.mix() };
        let course = Course::new(&mix);
        for _ in 0..3 {
            assert_eq!(course.begin(false), ("main-0".into(), None));
        }
        let (run, duty) = course.begin(false);
        let duty = duty.expect("the fourth session moves on");
        assert_eq!((run.as_str(), &duty.end, &duty.open), ("main-0", &None, &("main-1".into(), 5)));
        assert_eq!(course.begin(false), ("main-0".into(), None), "others do not wait");
        course.moved(&duty, false);
        let (run, again) = course.begin(false);
        assert_eq!((run.as_str(), &again.as_ref().unwrap().open.0[..]), ("main-0", "main-2"));
        course.moved(&again.unwrap(), true);
        assert_eq!(course.begin(false), ("main-2".into(), None));
        assert_eq!(course.runs(), ["main-0", "main-1", "main-2", "side-0"], "one that may exist must be read");
    }

    #[test]
    fn a_brief_run_is_asked_for_at_the_end_until_newer_ones_were_deleted() {
        let course = Course::new(&Kind::FullLifecycle.mix());
        let lasting = course.runs();
        (0..ASKED + 2).for_each(|number| course.founds(&format!("brief-0-{number}")));
        (0..=ASKED).for_each(|number| course.deleted(&format!("brief-0-{number}")));
        let runs = course.runs();
        assert_eq!(runs.len(), lasting.len() + ASKED + 1);
        assert!(runs.contains(&format!("brief-0-{}", ASKED + 1)), "it was never deleted");
        assert!(!runs.contains(&"brief-0-0".to_owned()) && runs.contains(&"brief-0-1".to_owned()));
    }

    #[test]
    fn side_runs_are_cancelled_and_failed_by_turns() {
        let course = Course::new(&Mix { side_sessions: 1, side_roots: 2, ..Kind::FullLifecycle.mix() });
        let mut ends = Vec::new();
        for _ in 0..6 {
            if let (_, Some(duty)) = course.begin(true) {
                ends.push(duty.end.clone().unwrap());
                course.moved(&duty, true);
            }
        }
        let seen: Vec<(&str, &str)> = ends.iter().map(|(run, how)| (run.as_str(), *how)).collect();
        assert_eq!(seen, [("side-0", "cancel-run"), ("side-1", "fail-run"), ("side-2", "cancel-run")]);
    }

    #[test]
    fn reads_find_children_and_a_parked_shard_is_told_once() {
        let (course, mut dice) = (Course::new(&Kind::SplitCorrectness.mix()), Stream::new(1, "dice"));
        assert_eq!(course.any("main-0", &mut dice), None);
        for shard in ["main-0-1", "main-0-1~1", "main-1-1"] {
            course.saw(shard);
        }
        let seen: BTreeSet<String> = (0..50).filter_map(|_| course.any("main-0", &mut dice)).collect();
        assert_eq!(seen, ["main-0-1", "main-0-1~1"].map(str::to_owned).into());
        course.parked("main-0-1");
        assert_eq!(course.unpark("main-1", &mut dice), None);
        assert_eq!(course.unpark("main-0", &mut dice).as_deref(), Some("main-0-1"));
        assert_eq!(course.unpark("main-0", &mut dice), None);
    }
}
