//! One peer's link: connects, says who it is, and empties the queue into the stream.

use std::time::{Duration, Instant};

use gossip_proto::v1;
use gossip_proto::v1::peer_message::Message as Frame;
use gossip_proto::v1::peer_service_client::PeerServiceClient;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Local, PART, Refused, codec, connect, greet};
use crate::driver::{Handle, Verdict};

/// A link that failed is tried again after this, doubling up to [`SLOWEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(30);
const SLOWEST_RETRY: Duration = Duration::from_millis(500);
/// A peer that said no is asked again this often: somebody has to mend it first.
const SLOWEST_PLEA: Duration = Duration::from_secs(5);

/// A peer that cannot be reached for this long is worth a warning; earlier it may only be starting.
const WORRY: Duration = Duration::from_secs(10);
/// Between two warnings of the same trouble.
const NAG: Duration = Duration::from_secs(60);

/// Frames on their way into the connection. Short: what waits here has left the queue that drops.
const IN_FLIGHT: usize = 64;

/// What the queue holds.
#[derive(Debug)]
pub(super) enum Item {
    Raft(Box<Message>),
    Gossip(Vec<u8>),
}

/// A peer as the link sees it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: u64,
    /// Where to dial: the member's address, or a detour that the operator gave.
    pub(super) address: String,
}

/// Runs until the queue's other end is dropped.
pub(super) async fn run(local: Local, peer: Peer, mut queue: mpsc::Receiver<Item>, core: Handle) {
    let mut retry = FIRST_RETRY;
    let mut trouble = Trouble::default();
    loop {
        let mut slowest = SLOWEST_RETRY;
        match session(&local, &peer, &mut queue, &core).await {
            End::QueueClosed => return,
            End::Lost(problem) => {
                (retry, trouble) = (FIRST_RETRY, Trouble::default());
                tracing::info!(peer = peer.id, address = %peer.address, %problem, "link lost");
            }
            End::Refused(refused) => {
                heed(&refused, &core);
                if matches!(refused, Refused::By(_)) {
                    slowest = SLOWEST_PLEA;
                }
                trouble.tell(&peer, &refused);
            }
        }
        core.unreachable(peer.id);
        if !wait_and_drop(&mut queue, &core, peer.id, retry).await {
            return;
        }
        retry = (retry * 2).min(slowest);
    }
}

/// What a peer says that ends this node.
fn heed(refused: &Refused, core: &Handle) {
    let Refused::By(detail) = refused else { return };
    match &detail.reason[..] {
        "NODE_REMOVED" => core.condemn(Verdict::Removed(detail.message.clone())),
        "NODE_REPLACED" => core.condemn(Verdict::Replaced(detail.message.clone())),
        _ => {}
    }
}

/// A link that does not come about, and what was said of it.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    warned: Option<(String, Instant)>,
}

impl Trouble {
    fn tell(&mut self, peer: &Peer, refused: &Refused) {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let grave = !matches!(refused, Refused::Unreachable(_)) || now - since >= WORRY;
        let problem = refused.to_string();
        let fresh = match &self.warned {
            Some((said, when)) => *said != problem || now - *when >= NAG,
            None => true,
        };
        if grave && fresh {
            tracing::warn!(peer = peer.id, address = %peer.address, %problem, "no link to a peer");
            self.warned = Some((problem, now));
        } else {
            tracing::debug!(peer = peer.id, address = %peer.address, %problem, "no link");
        }
    }
}

enum End {
    QueueClosed,
    /// The peer had taken the link.
    Lost(String),
    /// There was none.
    Refused(Refused),
}

async fn session(local: &Local, peer: &Peer, queue: &mut mpsc::Receiver<Item>, core: &Handle) -> End {
    let opened = async {
        let channel = connect(&peer.address).await?;
        greet(channel.clone(), local.hello(peer.id), false).await?;
        Ok(channel)
    };
    let channel = match opened.await {
        Ok(channel) => channel,
        Err(refused) => return End::Refused(refused),
    };
    let (frames, stream) = mpsc::channel(IN_FLIGHT);
    if frames.try_send(frame(Frame::Hello(local.hello(peer.id)))).is_err() {
        return End::Lost("the stream has no room for a hello".into());
    }
    let mut client = PeerServiceClient::new(channel);
    let mut call = std::pin::pin!(client.messages(ReceiverStream::new(stream)));
    let closed = |outcome: Result<_, tonic::Status>| {
        End::Lost(outcome.map_or_else(|status| status.message().to_owned(), |_| "closed by the peer".into()))
    };
    loop {
        tokio::select! {
            outcome = &mut call => return closed(outcome),
            item = queue.recv() => {
                let Some(item) = item else { return End::QueueClosed };
                tokio::select! {
                    outcome = &mut call => return closed(outcome),
                    sent = put(item, &frames, core, peer.id) => if !sent {
                        return End::Lost("the stream broke".into());
                    }
                }
            }
        }
    }
}

fn frame(message: Frame) -> v1::PeerMessage {
    v1::PeerMessage { message: Some(message) }
}

async fn put(item: Item, frames: &mpsc::Sender<v1::PeerMessage>, core: &Handle, peer: u64) -> bool {
    match item {
        Item::Gossip(bytes) => frames.send(frame(Frame::Gossip(bytes))).await.is_ok(),
        Item::Raft(message) if message.get_msg_type() == MessageType::MsgSnapshot => {
            let mut sending = Sending { core, peer, arrived: false };
            let data = &message.get_snapshot().data;
            if frames.send(frame(Frame::SnapshotBytes(data.len() as u64))).await.is_err() {
                return false;
            }
            for part in data.chunks(PART) {
                if frames.send(frame(Frame::SnapshotPart(part.to_vec()))).await.is_err() {
                    return false;
                }
            }
            sending.arrived = frames.send(frame(Frame::Raft(codec::encode(*message)))).await.is_ok();
            sending.arrived
        }
        Item::Raft(message) => frames.send(frame(Frame::Raft(codec::encode(*message)))).await.is_ok(),
    }
}

/// Tells the group what became of a snapshot, also when the call that carried it ended first.
struct Sending<'a> {
    core: &'a Handle,
    peer: u64,
    arrived: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.core.snapshot_sent(self.peer, self.arrived);
    }
}

/// Waits before the next try. What is asked to be sent meanwhile is dropped: Raft has something newer by then. `false` when the
/// queue was closed.
async fn wait_and_drop(queue: &mut mpsc::Receiver<Item>, core: &Handle, peer: u64, wait: Duration) -> bool {
    let until = tokio::time::sleep(wait);
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => return true,
            item = queue.recv() => match item {
                None => return false,
                Some(Item::Raft(message)) if message.get_msg_type() == MessageType::MsgSnapshot => {
                    core.snapshot_sent(peer, false);
                }
                Some(_) => {}
            }
        }
    }
}
