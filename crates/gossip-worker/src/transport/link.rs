//! One peer's link: connects, says who it is, and empties the queue into the stream.

use std::time::Duration;

use gossip_proto::v1;
use gossip_proto::v1::peer_message::Message as Frame;
use gossip_proto::v1::peer_service_client::PeerServiceClient;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::{Local, PART, codec};
use crate::driver::Handle;

/// A link that failed is tried again after this, doubling up to [`SLOWEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(30);
const SLOWEST_RETRY: Duration = Duration::from_millis(500);

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
    loop {
        match session(&local, &peer, &mut queue, &core).await {
            End::QueueClosed => return,
            End::Lost { served, problem } => {
                if served {
                    retry = FIRST_RETRY;
                    tracing::info!(peer = peer.id, address = %peer.address, %problem, "link lost");
                } else {
                    tracing::debug!(peer = peer.id, address = %peer.address, %problem, "no link");
                }
            }
        }
        core.unreachable(peer.id);
        if !wait_and_drop(&mut queue, &core, peer.id, retry).await {
            return;
        }
        retry = (retry * 2).min(SLOWEST_RETRY);
    }
}

enum End {
    QueueClosed,
    Lost { served: bool, problem: String },
}

async fn session(local: &Local, peer: &Peer, queue: &mut mpsc::Receiver<Item>, core: &Handle) -> End {
    let lost = |problem: String| End::Lost { served: false, problem };
    let endpoint = match Endpoint::from_shared(format!("http://{}", peer.address)) {
        Ok(endpoint) => endpoint,
        Err(error) => return lost(error.to_string()),
    };
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_millis(500))
        .keep_alive_timeout(Duration::from_secs(2))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(8 << 20);
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return lost(root_cause(&error)),
    };
    let (frames, stream) = mpsc::channel(IN_FLIGHT);
    let hello =
        v1::PeerHello { cluster_id: local.cluster.clone(), from: local.id, to: peer.id, from_name: local.name.clone() };
    if frames.try_send(frame(Frame::Hello(hello))).is_err() {
        return lost("the stream has no room for a hello".into());
    }
    let mut client = PeerServiceClient::new(channel);
    let mut call = std::pin::pin!(client.messages(ReceiverStream::new(stream)));
    loop {
        tokio::select! {
            closed = &mut call => {
                let problem = closed.map_or_else(|status| status.message().to_owned(), |_| "closed by the peer".into());
                return End::Lost { served: true, problem };
            }
            item = queue.recv() => {
                let Some(item) = item else { return End::QueueClosed };
                tokio::select! {
                    closed = &mut call => {
                        let problem = closed.map_or_else(|s| s.message().to_owned(), |_| "closed by the peer".into());
                        return End::Lost { served: true, problem };
                    }
                    sent = put(item, &frames, core, peer.id) => if !sent {
                        return End::Lost { served: true, problem: "the stream broke".into() };
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
            for part in message.get_snapshot().data.chunks(PART) {
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

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
