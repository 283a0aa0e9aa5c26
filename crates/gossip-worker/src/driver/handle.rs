//! How the async world asks the core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gossip_core::consensus::{Change, Consistency, Member, Members, NodeId, Refusal, Status, Token};
use gossip_core::coordination::answer::View;
use gossip_core::coordination::{Answer, Command, Rejection, TenantQuery, Totals};
use raft::eraftpb::Message;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::budget::{Budget, Place};
use super::pump::Event;
use crate::pool::Held;

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
    /// How much there is in the state as it stands here.
    pub totals: Totals,
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
#[derive(Debug)]
pub struct ReadAnswer {
    /// What was read.
    pub view: View,
    /// At this index.
    pub applied: u64,
    /// The lease clock there.
    pub lease_clock_ms: u64,
    /// Taken of the budget as long as the answer is here.
    pub(crate) room: Held,
}

/// When a request that found no room may try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(50);

/// A cheap, cloneable way to the core.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Without a bound of its own: what goes in has its place in the budget, or is one of few.
    events: UnboundedSender<Event>,
    budget: Budget,
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
        budget: Budget,
        applied: watch::Receiver<u64>,
        ready: watch::Receiver<bool>,
        members: watch::Receiver<Members>,
    ) -> Self {
        let verdict = Arc::new(watch::channel(None).0);
        Handle { events, budget, tokens: Arc::new(AtomicU64::new(1)), applied, ready, members, verdict }
    }

    pub(super) fn send(&self, event: Event) {
        // A core that is gone ends the process; requests see their reply's sender dropped.
        let _ = self.events.send(event);
    }

    async fn ask<T>(
        &self,
        room: Option<(Place, Held)>,
        make: impl FnOnce(Token, Reply<T>, (Place, Held)) -> Event,
    ) -> Result<T, Failure> {
        let Some(room) = room else {
            return Err(Failure::Refused(Refusal::Overloaded { retry_after: RETRY_AFTER }, None));
        };
        let token = Token(self.tokens.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let mut abandon = Abandon { handle: self, token, answered: false };
        self.send(make(token, reply, room));
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
        let room = self.budget.admit(command.size());
        self.ask(room, |token, reply, room| Event::Submit { token, command, wait, reply, room }).await
    }

    /// A read.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn query(&self, query: TenantQuery, consistency: Consistency) -> Result<ReadAnswer, Failure> {
        let room = self.budget.admit_read(query.query.page_bytes());
        self.ask(room, |token, reply, room| Event::Query { token, query, consistency, reply, room }).await
    }

    /// A change of members or leader; answers with the node concerned.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn change(&self, change: Change) -> Result<NodeId, Failure> {
        self.ask(self.budget.admit(0), |token, reply, room| Event::Change { token, change, reply, room }).await
    }

    /// Takes room for an answer that is told whatever room there is.
    pub(crate) fn answer(&self, bytes: usize) -> Held {
        self.budget.answer(bytes)
    }

    /// Bytes of mutations and of reads under way, their answers included.
    pub fn held(&self) -> (u64, u64) {
        self.budget.used()
    }

    /// How the node stands; `None` when its core is gone.
    pub async fn status(&self) -> Option<StatusPage> {
        let (reply, answer) = oneshot::channel();
        self.send(Event::Status(reply));
        answer.await.ok()
    }

    /// A message of another node. Waits while the core has more of them than it can take.
    pub async fn deliver(&self, message: Message) {
        let entries: usize = message.entries.iter().map(|entry| entry.data.len() + 64).sum();
        let bytes = 256 + entries + message.get_snapshot().data.len();
        if let Some(room) = self.budget.admit_peer(bytes).await {
            self.send(Event::Peer(Box::new(message), room));
        }
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use gossip_core::coordination::{Op, OpId, RunId, TenantId};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    const BUDGET: u32 = 1 << 20;

    fn handle() -> (Handle, UnboundedReceiver<Event>) {
        let (events, queue) = unbounded_channel();
        let watches = (watch::channel(0).1, watch::channel(false).1, watch::channel(Members::default()).1);
        (Handle::new(events, Budget::new(BUDGET), watches.0, watches.1, watches.2), queue)
    }

    fn command(bytes: usize) -> Command {
        Command {
            tenant: TenantId::parse("tenant", "t").unwrap(),
            run: RunId::parse("run", "r").unwrap(),
            op_id: OpId(1),
            op: Op::CreateRun { metadata: vec![0; bytes] },
        }
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_under_way_is_bounded_in_bytes_and_beyond_it_nothing_happens() {
        let (handle, mut queue) = handle();
        let half = BUDGET as usize / 2 - 1_000;
        let mut first = pin!(handle.submit(command(half), Duration::ZERO));
        let mut second = pin!(handle.submit(command(half), Duration::ZERO));
        let mut third = pin!(handle.submit(command(half), Duration::ZERO));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let Poll::Ready(Err(Failure::Refused(refusal, None))) = poll(third.as_mut()) else { panic!("it was let in") };
        assert!(refusal.is_definite() && matches!(refusal, Refusal::Overloaded { .. }));
        // Reads need next to nothing of it.
        assert!(poll(pin!(handle.change(Change::TransferLeader { to: None })).as_mut()).is_pending());
        // The bytes are held until the answer, wherever the request is by then.
        let Some(Event::Submit { reply, room, .. }) = queue.try_recv().ok() else { panic!("another event") };
        let (place, bytes) = room;
        drop(place);
        let mut fourth = pin!(handle.submit(command(half), Duration::ZERO));
        assert!(poll(fourth.as_mut()).is_ready());
        drop(bytes);
        let _ = reply.send(Err(Failure::Refused(Refusal::Stopping, None)));
        let mut fifth = pin!(handle.submit(command(half), Duration::ZERO));
        assert!(poll(fifth.as_mut()).is_pending());
    }

    #[test]
    fn the_queue_is_bounded_in_number() {
        let (handle, mut queue) = handle();
        let mut asked = Vec::new();
        for _ in 0..20_000 {
            let mut change = Box::pin(handle.change(Change::TransferLeader { to: None }));
            if poll(change.as_mut()).is_ready() {
                break;
            }
            asked.push(change);
        }
        assert!(asked.len() < 10_000, "{} requests are queued", asked.len());
        // The core took one: there is room for one.
        assert!(matches!(queue.try_recv(), Ok(Event::Change { .. })));
        assert!(poll(pin!(handle.change(Change::TransferLeader { to: None })).as_mut()).is_pending());
    }
}
