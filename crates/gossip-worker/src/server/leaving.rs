//! Answers that are on their way out. A caller that reads slowly, or not at all, leaves them in memory: what is not small is counted
//! from the moment it is there until its last byte is written to the connection, or the caller has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Response, Status};

use crate::pool::{Held, SMALL};

/// The room of an answer, on its way with it.
#[derive(Clone, Debug)]
struct Room(#[expect(dead_code, reason = "held for its end")] Arc<Held>);

/// The answer, counted if it is not small: `room` is asked for its size in bytes.
pub(super) fn leave<M: prost::Message>(message: M, room: impl FnOnce(usize) -> Held) -> Response<M> {
    let size = message.encoded_len();
    let mut response = Response::new(message);
    if size > SMALL {
        response.extensions_mut().insert(Room(Arc::new(room(size))));
    }
    response
}

/// Ties the room of an answer to its bytes.
pub(super) fn counted(mut response: http::Response<Body>) -> http::Response<Body> {
    match response.extensions_mut().remove::<Room>() {
        Some(room) => response.map(|body| Body::new(Leaving { body, room })),
        None => response,
    }
}

struct Leaving {
    body: Body,
    room: Room,
}

/// Bytes that the connection holds until they are written.
struct Chunk {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let room = &self.room;
        let tied = |bytes| Bytes::from_owner(Chunk { bytes, _room: room.clone() });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(tied))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use gossip_proto::v1;

    use http_body::Body as _;

    use super::*;
    use crate::pool::Pool;

    #[tokio::test]
    async fn an_answer_is_counted_until_its_last_byte_is_let_go() {
        let pool = Pool::new(1 << 20);
        let small = leave(v1::AddNodeResponse { node_id: 1 }, |bytes| pool.take(bytes));
        assert_eq!((small.extensions().len(), pool.used()), (0, 0));
        let large = leave(v1::StatusResponse { build: "x".repeat(100_000), ..Default::default() }, |b| pool.take(b));
        assert!(pool.used() >= 100_000);
        let encoded = Bytes::from(vec![0; 100_000]);
        let body = Body::new(http_body_util::Full::new(encoded.clone()));
        let mut response = http::Response::new(body);
        *response.extensions_mut() = large.into_parts().2;
        let mut body = counted(response).into_body();
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
        let mut bytes = frame.into_data().unwrap();
        assert_eq!(bytes, encoded);
        drop(body);
        let last = bytes.split_off(99_999);
        drop(bytes);
        assert!(pool.used() >= 100_000, "a byte is still to be written");
        drop(last);
        assert_eq!(pool.used(), 0);
    }
}
