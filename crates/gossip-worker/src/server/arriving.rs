//! Requests that are on their way in. What has come of a message waits in memory for its rest, before any service is asked, and
//! whoever begins many and ends none would have all of it. So a message is counted as soon as it says how long it will be, which
//! is in its first five bytes, and until it is whole; past the bound it is refused before it has come: definitely.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gossip_core::consensus::Refusal;
use gossip_proto::errors::ErrorDetail;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Request;

use super::error::refused;
use crate::driver::RETRY_AFTER;
use crate::pool::{Held, Pool, SMALL};

/// The largest request of all services. One that announces more is refused by the service it is for.
pub const LARGEST_REQUEST: usize = 8 << 20;

/// How long a message may take to come. The largest comes within it at 2.3 Mbit/s.
const WHOLE: Duration = Duration::from_secs(30);

/// A peer introduces itself with no more than this; only then more is taken from it. Names and addresses of five founders fit.
const HELLO: usize = 16 << 10;

/// Bytes before each message: a flag and its length.
const PREFIX: usize = 5;

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// One message and no more.
    Caller,
    /// A stream, of which the first message is the peer's hello. The rest has bounds of its own: nothing that callers do takes from it.
    Peer,
}

/// Where requests come in. Clones share the bytes that are counted.
#[derive(Clone, Debug)]
pub struct Arrivals(Pool);

impl Arrivals {
    /// Counts in `pool`.
    pub fn new(pool: Pool) -> Self {
        Arrivals(pool)
    }

    /// The request with its bytes counted as they come.
    pub fn counted(&self, request: Request<Body>) -> Request<Body> {
        let path = request.uri().path();
        let from = match path.strip_prefix("/gossip.v1.") {
            Some(rest) if rest.starts_with("PeerService/") => Origin::Peer,
            Some(_) => Origin::Caller,
            // Health and reflection take small messages only.
            None => return request,
        };
        request.map(|body| Body::new(Arriving::new(body, from, self.0.clone())))
    }
}

/// A body as it comes.
struct Arriving {
    body: Body,
    from: Origin,
    pool: Pool,
    prefix: [u8; PREFIX],
    /// How much of the prefix is there.
    known: usize,
    /// Bytes of the first message that are still to come, once it has said how many they are.
    left: usize,
    room: Option<Held>,
    began: Instant,
    /// Most messages are there at once and need no timer.
    late: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    fn new(body: Body, from: Origin, pool: Pool) -> Self {
        let began = Instant::now();
        Arriving { body, from, pool, prefix: [0; PREFIX], known: 0, left: 0, room: None, began, late: None }
    }

    /// Whether nothing here is looked after any more.
    fn passes(&self) -> bool {
        self.from == Origin::Peer && self.known == PREFIX && self.left == 0
    }

    /// What of these bytes goes on. A caller's bytes after its message would be read and forgotten, so they go no further.
    fn take(&mut self, mut bytes: Bytes) -> Result<Bytes, Status> {
        if self.passes() {
            return Ok(bytes);
        }
        let head = bytes.len().min(PREFIX - self.known);
        self.prefix[self.known..self.known + head].copy_from_slice(&bytes[..head]);
        self.known += head;
        if head > 0 && self.known == PREFIX {
            let [_, length @ ..] = self.prefix;
            self.left = u32::from_be_bytes(length) as usize;
            self.admit(self.left)?;
        }
        let rest = (bytes.len() - head).min(self.left);
        self.left -= rest;
        if self.from == Origin::Caller {
            bytes.truncate(head + rest);
        }
        Ok(bytes)
    }

    fn admit(&mut self, length: usize) -> Result<(), Status> {
        match self.from {
            Origin::Peer if length > HELLO => {
                let problem = format!("a peer's hello has at most {HELLO} bytes, not {length}");
                Err(ErrorDetail::new("INVALID_ARGUMENT", problem).with("field", "hello").into_status())
            }
            Origin::Caller if length > SMALL && length <= LARGEST_REQUEST => {
                self.room = self.pool.try_take(length);
                if self.room.is_some() {
                    return Ok(());
                }
                count("OVERLOADED");
                Err(refused(&Refusal::Overloaded { retry_after: RETRY_AFTER }, None))
            }
            Origin::Peer | Origin::Caller => Ok(()),
        }
    }

    /// Nothing has come: whether it is too late.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.passes() {
            return Poll::Pending;
        }
        let due = self.began + WHOLE;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if late.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        count("TIMEOUT");
        let problem = format!("the request did not come whole within {WHOLE:?}");
        Poll::Ready(Some(Err(ErrorDetail::new("TIMEOUT", problem).definite(true).into_status())))
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("gossip_operations_total", "operation" => "arriving", "outcome" => outcome).increment(1);
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            let frame = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Pending => return this.wait(cx),
                Poll::Ready(Some(Ok(frame))) => frame,
                end => return end,
            };
            match frame.into_data().map(|bytes| this.take(bytes)) {
                Ok(Ok(bytes)) if bytes.is_empty() => {}
                Ok(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(Err(status)) => return Poll::Ready(Some(Err(status))),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
#[path = "arriving_tests.rs"]
mod tests;
