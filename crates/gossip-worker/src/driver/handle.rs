//! How the async world asks the core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gossip_core::consensus::{Change, Consistency, Member, Members, NodeId, Refusal, Status, Token};
use gossip_core::coordination::answer::View;
use gossip_core::coordination::{Answer, Command, Rejection, TenantQuery};
use raft::eraftpb::Message;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::pump::Event;

/// Why a request failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The state machine refused it.
    Rejected(Rejection),
    /// The group could not carry it out; the member to ask instead, if one is known.
    Refused(Refusal, Option<Member>),
}

/// A node's status with what only the core knows beside it.
#[derive(Clone, Debug)]
pub struct StatusPage {
    /// Of the group.
    pub status: Status,
    /// Who is in it.
    pub members: Members,
    /// Whether this node was removed.
    pub removed: bool,
    /// Active shards in the state as it stands here.
    pub active_shards: u64,
}

/// What another node said of this one, after which it must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was removed while it was down.
    Removed(String),
    /// It has lost its data.
    Replaced(String),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// A read's answer.
#[derive(Clone, Debug)]
pub struct ReadAnswer {
    /// What was read.
    pub view: View,
    /// At this index.
    pub applied: u64,
    /// The lease clock there.
    pub lease_clock_ms: u64,
}

/// A cheap, cloneable way to the core.
#[derive(Clone, Debug)]
pub struct Handle {
    events: UnboundedSender<Event>,
    tokens: Arc<AtomicU64>,
    applied: watch::Receiver<u64>,
    ready: watch::Receiver<bool>,
    members: watch::Receiver<Members>,
    verdict: Arc<watch::Sender<Option<Verdict>>>,
}

/// Tells the core that nobody waits for an answer any more, unless one came.
struct Abandon<'a> {
    handle: &'a Handle,
    token: Token,
    answered: bool,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.handle.send(Event::Cancel(self.token));
        }
    }
}

impl Handle {
    pub(super) fn new(
        events: UnboundedSender<Event>,
        applied: watch::Receiver<u64>,
        ready: watch::Receiver<bool>,
        members: watch::Receiver<Members>,
    ) -> Self {
        let verdict = Arc::new(watch::channel(None).0);
        Handle { events, tokens: Arc::new(AtomicU64::new(1)), applied, ready, members, verdict }
    }

    pub(super) fn send(&self, event: Event) {
        // A core that is gone ends the process; requests see their reply's sender dropped.
        let _ = self.events.send(event);
    }

    async fn ask<T>(&self, make: impl FnOnce(Token, Reply<T>) -> Event) -> Result<T, Failure> {
        let token = Token(self.tokens.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let mut abandon = Abandon { handle: self, token, answered: false };
        self.send(make(token, reply));
        let answer = answer.await;
        abandon.answered = true;
        // The core dropped the reply: the node is going down, and nobody knows what became of the request.
        answer.unwrap_or(Err(Failure::Refused(Refusal::LeadershipLost, None)))
    }

    /// A mutation; with `wait`, it stands in line while the answer is "not now".
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn submit(&self, command: Command, wait: Duration) -> Result<Answer, Failure> {
        self.ask(|token, reply| Event::Submit { token, command, wait, reply }).await
    }

    /// A read.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn query(&self, query: TenantQuery, consistency: Consistency) -> Result<ReadAnswer, Failure> {
        self.ask(|token, reply| Event::Query { token, query, consistency, reply }).await
    }

    /// A change of members or leader; answers with the node concerned.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn change(&self, change: Change) -> Result<NodeId, Failure> {
        self.ask(|token, reply| Event::Change { token, change, reply }).await
    }

    /// How the node stands; `None` when its core is gone.
    pub async fn status(&self) -> Option<StatusPage> {
        let (reply, answer) = oneshot::channel();
        self.send(Event::Status(reply));
        answer.await.ok()
    }

    /// A message of another node.
    pub fn deliver(&self, message: Message) {
        self.send(Event::Peer(Box::new(message)));
    }

    /// Another node cannot be reached at the moment.
    pub fn unreachable(&self, node: NodeId) {
        self.send(Event::Unreachable(node));
    }

    /// A snapshot for `node` left whole, or was lost.
    pub fn snapshot_sent(&self, node: NodeId, arrived: bool) {
        self.send(Event::SnapshotSent(node, arrived));
    }

    /// Ends the core.
    pub fn stop(&self) {
        self.send(Event::Stop);
    }

    /// The applied index, as it moves.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.clone()
    }

    /// Whether the node can serve, as it changes.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Who is in the group, as far as this node has applied; nobody on a node that joined and has heard nothing yet.
    pub fn members(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }

    /// Another node knows that this one must stop.
    pub fn condemn(&self, verdict: Verdict) {
        self.verdict.send_replace(Some(verdict));
    }

    /// What another node said of this one, once one does.
    pub async fn condemned(&self) -> Verdict {
        let mut verdict = self.verdict.subscribe();
        // The sender lives as long as this handle.
        match verdict.wait_for(Option::is_some).await.ok().and_then(|verdict| verdict.clone()) {
            Some(verdict) => verdict,
            None => std::future::pending().await,
        }
    }
}
