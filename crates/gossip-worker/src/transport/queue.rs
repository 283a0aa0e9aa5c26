//! What waits for one peer: Raft's messages and the gossip's packets, apart, so that neither takes the other's room.

use std::pin::Pin;
use std::task::{Context, Poll};

use raft::eraftpb::Message;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

/// Messages of Raft that wait for one peer. Beyond it they are dropped, and the group is told.
const RAFT: usize = 1024;

/// Packets of the gossip that wait for one peer. A node sends a peer a few a second, and an old one is worth little.
const GOSSIP: usize = 64;

/// Messages of Raft that may pass in front of a packet that waits. A snapshot is hundreds of frames: behind all of them a probe
/// would be lost, and its receiver suspected.
const AHEAD: u32 = 16;

/// The end that takes. It never blocks.
#[derive(Debug)]
pub(super) struct Queue {
    raft: mpsc::Sender<Box<Message>>,
    gossip: mpsc::Sender<Vec<u8>>,
}

/// The link's end.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) raft: mpsc::Receiver<Box<Message>>,
    pub(super) gossip: mpsc::Receiver<Vec<u8>>,
}

/// An empty queue.
pub(super) fn queue() -> (Queue, Waiting) {
    let (raft, raft_waiting) = mpsc::channel(RAFT);
    let (gossip, gossip_waiting) = mpsc::channel(GOSSIP);
    (Queue { raft, gossip }, Waiting { raft: raft_waiting, gossip: gossip_waiting })
}

impl Queue {
    /// `false` when it is full or the link has ended.
    pub(super) fn raft(&self, message: Box<Message>) -> bool {
        self.raft.try_send(message).is_ok()
    }

    /// `false` when it is full or the link has ended.
    pub(super) fn gossip(&self, packet: Vec<u8>) -> bool {
        self.gossip.try_send(packet).is_ok()
    }
}

/// Raft's frames in their order, and the gossip's where Raft has none, or has had [`AHEAD`] since the last of them.
#[derive(Debug)]
pub(super) struct Merged<T> {
    raft: ReceiverStream<T>,
    gossip: ReceiverStream<T>,
    since_gossip: u32,
}

impl<T> Merged<T> {
    pub(super) fn new(raft: mpsc::Receiver<T>, gossip: mpsc::Receiver<T>) -> Self {
        Merged { raft: ReceiverStream::new(raft), gossip: ReceiverStream::new(gossip), since_gossip: 0 }
    }

    fn poll_gossip(&mut self, cx: &mut Context<'_>) -> Option<T> {
        let Poll::Ready(Some(frame)) = Pin::new(&mut self.gossip).poll_next(cx) else { return None };
        self.since_gossip = 0;
        Some(frame)
    }
}

impl<T> Stream for Merged<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.since_gossip >= AHEAD
            && let Some(frame) = self.poll_gossip(cx)
        {
            return Poll::Ready(Some(frame));
        }
        match Pin::new(&mut self.raft).poll_next(cx) {
            Poll::Ready(Some(frame)) => {
                self.since_gossip = self.since_gossip.saturating_add(1);
                Poll::Ready(Some(frame))
            }
            // The session has ended: what gossip waits then is lost with it.
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_gossip(cx).map_or(Poll::Pending, |frame| Poll::Ready(Some(frame))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[test]
    fn a_flood_of_gossip_drops_nothing_of_raft() {
        let (queue, mut waiting) = queue();
        let taken = (0..10_000).filter(|_| queue.gossip(vec![0; 100])).count();
        assert_eq!(taken, GOSSIP);
        assert!((0..RAFT).all(|_| queue.raft(Box::default())));
        assert!(!queue.raft(Box::default()), "bounded too");
        assert!((0..RAFT).all(|_| waiting.raft.try_recv().is_ok()));
    }

    /// What comes out where both hold frames: Raft's are positive, the gossip's negative.
    async fn order(raft: i32, gossip: i32) -> Vec<i32> {
        let (to_raft, raft_frames) = mpsc::channel(2000);
        let (to_gossip, gossip_frames) = mpsc::channel(2000);
        for n in 1..=gossip {
            to_gossip.try_send(-n).unwrap();
        }
        for n in 1..=raft {
            to_raft.try_send(n).unwrap();
        }
        Merged::new(raft_frames, gossip_frames).take((raft + gossip) as usize).collect().await
    }

    #[tokio::test]
    async fn raft_goes_first_and_gossip_does_not_starve() {
        let order = order(1000, 1000).await;
        assert!(order[..16].iter().all(|n| *n > 0), "{:?}", &order[..16]);
        let last_of_raft = order.iter().position(|n| *n == 1000).unwrap();
        let gossip_before = order[..last_of_raft].iter().filter(|n| **n < 0).count();
        assert_eq!(gossip_before, 1000 / AHEAD as usize, "one packet after each {AHEAD} frames");
        assert!(order.iter().filter(|n| **n > 0).is_sorted(), "in order");
        assert!(order.iter().filter(|n| **n < 0).map(|n| -n).is_sorted(), "in order");
    }

    #[tokio::test]
    async fn gossip_alone_flows_and_the_stream_ends_with_rafts_side() {
        assert_eq!(order(0, 3).await, [-1, -2, -3]);
        let (to_raft, raft_frames) = mpsc::channel::<i32>(1);
        let (_to_gossip, gossip_frames) = mpsc::channel(1);
        drop(to_raft);
        assert_eq!(Merged::new(raft_frames, gossip_frames).next().await, None);
    }
}
