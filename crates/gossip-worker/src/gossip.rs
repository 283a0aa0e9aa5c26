//! The driver of the gossip: publishes what this node is, keeps the view of all. Nothing here decides a lease.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gossip_core::consensus::{Member, Role};
use gossip_core::mutants::Planted;
use gossip_core::node::facts::{ACTIVE_SHARDS, APPLIED, BUILD, LEADER, LIVE_LEASES, LeaderHint, NAME, ROLE};
use gossip_core::node::{Config, Event, Input, MemberView, Message, Node, Output, Peer, View};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::driver::{Handle, StatusPage};
use crate::transport::{Local, Outbound};

/// Between two looks at what there is to publish.
const PUBLISH: Duration = Duration::from_millis(250);

/// A node that lost its leader does not believe others of the same term for this long. They may not have noticed yet, and a dead
/// leader is suspected by then: a round of probes of a small cluster takes less.
const DOUBT: Duration = Duration::from_secs(10);

/// What this node's gossip knows. Clones share it.
#[derive(Clone, Debug)]
pub struct Known(Arc<Mutex<Knowledge>>);

#[derive(Debug)]
struct Knowledge {
    view: View,
    /// When consensus here last knew a leader, and in which term.
    led: Option<(u64, Instant)>,
}

impl Known {
    fn new(view: View) -> Self {
        Known(Arc::new(Mutex::new(Knowledge { view, led: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Knowledge> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node sees of the cluster, itself included, by Raft's numbers.
    pub fn members(&self) -> BTreeMap<u64, MemberView> {
        self.lock().view.members.clone()
    }

    /// Who leads, as far as anybody says: a hint, for when consensus here knows none in its `term`.
    pub fn leader(&self, term: u64) -> Option<u64> {
        let knowledge = self.lock();
        let just_lost = knowledge.led.is_some_and(|(led, at)| led == term && at.elapsed() < DOUBT);
        knowledge.view.leader(if just_lost { term + 1 } else { term }).map(|hint| hint.leader)
    }
}

/// Packets of other nodes on their way in.
pub type Packets = mpsc::Sender<(u64, Vec<u8>)>;

/// Gossip that waits here beyond this is lost, which it allows for.
const QUEUE: usize = 256;

/// The gossip of one node.
#[derive(Debug)]
pub struct Gossip {
    node: Node,
    clock: Clock,
    packets: mpsc::Receiver<(u64, Vec<u8>)>,
    outbound: Arc<Mutex<Outbound>>,
    core: Handle,
    known: Known,
    name: String,
    published: HashMap<&'static str, String>,
    leaving: bool,
    departed: bool,
}

impl Gossip {
    /// The gossip of the node `local` at `address`, which begins with `members`.
    ///
    /// # Errors
    /// The address cannot be told to others.
    pub fn new(
        (local, address): (&Local, &str),
        members: &[Member],
        mut clock: Clock,
        planted: Planted,
        outbound: Arc<Mutex<Outbound>>,
        core: Handle,
    ) -> Result<(Self, Packets, Known), String> {
        let now = clock.now();
        let incarnation = clock.wall_ms();
        let config = Config::new(local.id, address, incarnation, now.as_nanos() ^ local.id);
        let mut node = Node::with_bug(config, now, planted).map_err(|e| e.to_string())?;
        join(&mut node, members, &mut clock);
        let (packets, receiver) = mpsc::channel(QUEUE);
        let known = Known::new(node.view());
        let gossip = Gossip {
            node,
            clock,
            packets: receiver,
            outbound,
            core,
            known: known.clone(),
            name: local.name.clone(),
            published: HashMap::new(),
            leaving: false,
            departed: false,
        };
        Ok((gossip, packets, known))
    }

    /// Runs until `leaving` turns true and the farewell is said.
    pub async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut pages = pages(self.core.clone());
        while !self.departed {
            let patience = self.clock.until(self.node.deadline());
            let input = tokio::select! {
                packet = timeout(patience, self.packets.recv()) => match packet {
                    Ok(Some((from, bytes))) => match Message::decode(&bytes) {
                        Ok(message) => Input::Packet { from, message },
                        Err(error) => {
                            tracing::debug!(from, %error, "gossip refused");
                            continue;
                        }
                    },
                    Ok(None) => return,
                    Err(_) => Input::Tick,
                },
                Some(page) = pages.recv() => {
                    self.publish(&page);
                    Input::Tick
                }
                asked = async { leaving.wait_for(|leaving| *leaving).await.is_ok() }, if !self.leaving => {
                    if !asked {
                        return;
                    }
                    self.leaving = true;
                    Input::Leave
                }
            };
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        if let Err(error) = self.node.handle(now, input) {
            tracing::debug!(%error, "gossip refused");
        }
        let mut changed = false;
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, message } => {
                    let address = self.node.address(to).map(str::to_owned);
                    // Before the lock, for which the core waits too.
                    let packet = message.encode();
                    let mut outbound = self.outbound.lock().unwrap_or_else(PoisonError::into_inner);
                    outbound.gossip(to, address, packet);
                }
                Output::Event(event) => {
                    changed = true;
                    self.note(&event);
                }
            }
        }
        if changed {
            self.known.lock().view = self.node.view();
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::MemberSuspect(node) => tracing::debug!(node, "suspected"),
            Event::MemberDead(node) => tracing::info!(node, "taken for dead"),
            Event::MemberAlive(node) => tracing::debug!(node, "alive"),
            Event::Departed => self.departed = true,
            Event::MemberLeft(_) | Event::MemberForgotten(_) | Event::FactChanged { .. } => {}
        }
    }

    /// Publishes what has changed about this node, and learns whom consensus has added or removed.
    fn publish(&mut self, page: &StatusPage) {
        if page.status.leader.is_some() {
            self.known.lock().led = Some((page.status.term, Instant::now()));
        }
        for (key, value) in facts(&self.name, page) {
            if self.published.get(key) != Some(&value) {
                self.published.insert(key, value.clone());
                self.handle(Input::Publish { key: key.into(), value });
            }
        }
        join(&mut self.node, &page.members.nodes, &mut self.clock);
    }
}

/// The core's word on itself each [`PUBLISH`], until nobody listens. A task of its own: gossip answers in time also while the core
/// is busy, or others would hold a slow disk for a dead node.
fn pages(core: Handle) -> mpsc::Receiver<StatusPage> {
    let (sender, pages) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut publish = tokio::time::interval(PUBLISH);
        publish.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !sender.is_closed() {
            publish.tick().await;
            if let Some(page) = core.status().await
                && sender.send(page).await.is_err()
            {
                return;
            }
        }
    });
    pages
}

/// All members each time, so that the removed are called no longer, and one that was away for so long that it is forgotten is.
fn join(node: &mut Node, members: &[Member], clock: &mut Clock) {
    let peers = members.iter().map(|member| Peer { id: member.id, address: member.address.clone() }).collect();
    if let Err(error) = node.handle(clock.now(), Input::Join { peers }) {
        tracing::debug!(%error, "gossip refused");
    }
}

fn facts(name: &str, page: &StatusPage) -> [(&'static str, String); 7] {
    let status = &page.status;
    let role = match status.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::PreCandidate | Role::Candidate => "candidate",
        Role::Learner => "learner",
    };
    // Empty where there is none: what was said of the last one is withdrawn.
    let leader = status.leader.map(|leader| LeaderHint { term: status.term, leader }.to_string());
    [
        (NAME, name.to_owned()),
        (ROLE, role.to_owned()),
        (LEADER, leader.unwrap_or_default()),
        (APPLIED, status.applied.to_string()),
        (BUILD, crate::BUILD.to_owned()),
        (ACTIVE_SHARDS, page.totals.by_status.active.to_string()),
        (LIVE_LEASES, page.totals.leases.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use gossip_core::membership::{Standing, Status};

    use super::*;

    fn view(hints: &[(u64, &str)]) -> View {
        let member = |hint: &str| MemberView {
            address: "a:1".into(),
            standing: Standing { incarnation: 1, status: Status::Alive },
            facts: [(LEADER.to_owned(), hint.to_owned())].into(),
        };
        View { members: hints.iter().map(|(id, hint)| (*id, member(hint))).collect() }
    }

    fn known(hints: &[(u64, &str)], led: Option<(u64, Duration)>) -> Known {
        let known = Known::new(view(hints));
        known.lock().led =
            led.map(|(term, ago)| (term, Instant::now().checked_sub(ago).expect("a machine up for long")));
        known
    }

    #[test]
    fn a_hint_of_an_earlier_term_is_none() {
        let hints = [(1, ""), (2, "3@7"), (3, "3@7")];
        assert_eq!(known(&hints, None).leader(6), Some(3));
        assert_eq!(known(&hints, None).leader(7), Some(3), "this node has not heard from it yet, or cannot");
        assert_eq!(known(&hints, None).leader(8), None);
    }

    #[test]
    fn who_just_lost_its_leader_does_not_take_it_from_others() {
        let hints = [(1, ""), (2, "3@7"), (3, "3@7")];
        assert_eq!(known(&hints, Some((7, Duration::from_secs(1)))).leader(7), None);
        assert_eq!(known(&hints, Some((6, Duration::from_secs(1)))).leader(7), Some(3), "that was another term");
        assert_eq!(known(&hints, Some((7, DOUBT + Duration::from_secs(1)))).leader(7), Some(3), "only the link is cut");
    }
}
