//! Watches the gossip: what each node says of itself, and what each says of the others.
//!
//! The service publishes on its own: its clients cannot. So a node's own word (`Status`) is the truth that a publication is noted
//! from: the log index that it has applied, which only rises. (Whom it takes for the leader is withdrawn while it knows none, so
//! that no view owes it; but what a view shows of that must not go back either.) What others know is read from `Members`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gossip_client::{Health, Member};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::caller::Caller;
use super::reads::Place;
use super::values::version;

/// Between two looks at all nodes.
const ROUND: Duration = Duration::from_millis(250);

/// The fact that every view owes.
const APPLIED: &str = "applied";

/// Facts with a version: owner and key to version.
type Versions = BTreeMap<(String, String), i64>;

/// The watcher.
#[derive(Debug)]
pub struct Watcher {
    caller: Caller,
    nodes: Vec<Place>,
    published: Versions,
}

impl Watcher {
    /// Watches these nodes.
    pub fn new(caller: Caller, nodes: Vec<Place>) -> Self {
        Watcher { caller, nodes, published: BTreeMap::new() }
    }

    /// Watches until the load is over.
    pub async fn run(mut self, over: watch::Receiver<bool>) -> Self {
        while !*over.borrow() {
            self.publications().await;
            self.views(false).await;
            sleep(ROUND).await;
        }
        self
    }

    /// Notes what the nodes published since the last time.
    async fn publications(&mut self) {
        for node in &self.nodes {
            let Some(status) = self.caller.status(node).await else { continue };
            let applied = i64::try_from(status.applied_index).unwrap_or(i64::MAX);
            let known = self.published.entry((status.node.clone(), APPLIED.to_owned())).or_default();
            if *known < applied {
                *known = applied;
                self.caller.published(&status.node, APPLIED, applied);
            }
        }
    }

    /// Reads each node's view; `None` for one that does not answer.
    async fn views(&mut self, last: bool) -> Vec<Option<Vec<Member>>> {
        let mut views = Vec::new();
        for node in &self.nodes {
            views.push(self.caller.read_view(node, last).await.ok());
        }
        views
    }

    /// After the load: reads all views until they show everything and are the same, or `patience` is over. The last ones count.
    /// Answers how long it took, `None` if they never did, and which node listed another twice.
    pub async fn settle(&mut self, patience: Duration) -> (Option<Duration>, Vec<String>) {
        let begun = Instant::now();
        loop {
            self.publications().await;
            let views = self.views(true).await;
            let doubles: Vec<String> = self.nodes.iter().zip(&views).filter_map(twice).collect();
            if self.is_settled(&views) {
                return (Some(begun.elapsed()), doubles);
            }
            if begun.elapsed() > patience {
                return (None, doubles);
            }
            sleep(ROUND / 2).await;
        }
    }

    fn is_settled(&self, views: &[Option<Vec<Member>>]) -> bool {
        let Some(shown) = views.iter().map(|view| view.as_deref().map(shows)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let up_to_date = |(versions, _): &Shown| {
            self.published.iter().all(|(fact, version)| versions.get(fact).is_some_and(|seen| seen >= version))
        };
        shown.iter().all(up_to_date) && shown.windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// The versions that a view shows, and who is not alive in it.
type Shown = (Versions, BTreeSet<String>);

fn shows(view: &[Member]) -> Shown {
    let facts = view.iter().flat_map(|member| {
        let told = member.facts.iter().filter_map(|(key, value)| Some((key, version(key, value)?)));
        told.map(|(key, version)| ((member.node.clone(), key.clone()), version))
    });
    let unwell = view.iter().filter(|member| member.health() != Health::Alive).map(|member| member.node.clone());
    (facts.collect(), unwell.collect())
}

/// A view that lists a node twice, in words.
fn twice((node, view): (&Place, &Option<Vec<Member>>)) -> Option<String> {
    let mut seen = BTreeSet::new();
    let double = view.iter().flatten().find(|member| !seen.insert(&member.node))?;
    Some(format!("the view of {} lists {} twice", node.name, double.node))
}

#[cfg(test)]
mod tests {
    use gossip_client::Options;

    use super::*;
    use crate::recorder::Recorder;
    use crate::workload::{Start, Twins};

    fn member(node: &str, facts: &[(&str, &str)]) -> Member {
        let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Member { node: node.into(), health: Health::Alive.into(), facts, ..Member::default() }
    }

    fn watcher() -> Watcher {
        let caller = Caller::new(Start {
            endpoints: vec!["127.0.0.1:1".into()],
            options: Options::default(),
            recorder: Recorder::start(),
            process: 0,
            step: 1,
            lease: Duration::from_secs(1),
            seed: 1,
            rate: 100.0,
            twins: Twins::default(),
        });
        let mut watcher = Watcher::new(caller.unwrap(), Vec::new());
        watcher.published.insert(("n1".into(), "applied".into()), 40);
        watcher
    }

    #[test]
    fn views_are_settled_when_all_show_what_was_published_and_the_same() {
        let now = || vec![member("n1", &[("applied", "41"), ("leader", "2@7")])];
        let watcher = watcher();
        assert!(watcher.is_settled(&[Some(now()), Some(now())]));
        assert!(!watcher.is_settled(&[Some(now()), None]), "a view is missing");
        let old = vec![member("n1", &[("applied", "39"), ("leader", "2@7")])];
        assert!(!watcher.is_settled(&[Some(old.clone()), Some(old)]), "both lack what was published");
        let other = vec![member("n1", &[("applied", "41"), ("leader", "2@6")])];
        assert!(!watcher.is_settled(&[Some(now()), Some(other)]), "they differ");
        let mut dead = now();
        dead[0].health = Health::Dead.into();
        assert!(!watcher.is_settled(&[Some(now()), Some(dead)]), "they differ in who is alive");
    }

    #[test]
    fn a_node_that_is_listed_twice_is_told() {
        let place = Place { name: "n2".into(), address: String::new() };
        let twin = Some(vec![member("n1", &[]), member("n3", &[]), member("n1", &[])]);
        assert_eq!(twice((&place, &twin)).unwrap(), "the view of n2 lists n1 twice");
        assert_eq!(twice((&place, &Some(vec![member("n1", &[])]))), None);
    }
}
