//! Watching a run across broken streams and fail-overs.

use std::time::Duration;

use gossip_proto::v1;
use tokio::time::{Instant, sleep};
use tonic::{Request, Streaming};

use crate::client::Client;
use crate::convert;
use crate::error::{Error, Next, TRANSPORT};
use crate::pool::Direction;
use crate::retry::Kind;
use crate::runs::service;
use crate::types::{Read, RunInfo, RunStatus};

/// A run's changes as they come; see [`Client::watch_run`].
#[derive(Debug)]
pub struct RunWatch {
    client: Client,
    run: String,
    stream: Option<Streaming<v1::WatchRunResponse>>,
    /// The last change told.
    seen: Option<u64>,
    over: bool,
}

/// Between a stream's end and the next one.
const PAUSE: Duration = Duration::from_millis(50);

impl Client {
    /// The run as it stands, then again after each change, until it has ended. Changes may be gathered into one. A broken stream
    /// is opened again at another node, without telling anything twice.
    pub fn watch_run(&self, run: &str) -> RunWatch {
        RunWatch { client: self.clone(), run: run.into(), stream: None, seen: None, over: false }
    }
}

impl RunWatch {
    /// The next change; `None` after the one that ended the run, or after an error. Cancel-safe.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, also when the run is deleted meanwhile; `UNREACHABLE` and the like if no node answered for the client's
    /// deadline.
    pub async fn next(&mut self) -> Option<Result<Read<RunInfo>, Error>> {
        let mut failing: Option<Instant> = None;
        while !self.over {
            let error = match self.step().await {
                Ok(Some(run)) => return Some(Ok(run)),
                Ok(None) => continue,
                Err(error) => error,
            };
            self.stream = None;
            let options = self.client.options();
            let since = *failing.get_or_insert_with(Instant::now);
            if error.next() == Next::GiveUp || options.retries == 0 || since.elapsed() >= options.deadline {
                self.over = true;
                return Some(Err(error));
            }
            self.client.turn_away();
            sleep(error.retry_after.unwrap_or(PAUSE)).await;
        }
        None
    }

    /// One message; `None` if it tells nothing new.
    async fn step(&mut self) -> Result<Option<Read<RunInfo>>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = self.client.open_watch(&self.run).await?;
                self.stream.insert(opened)
            }
        };
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(Error::own(TRANSPORT, false, "the stream ended before the run did")),
            Err(status) => return Err(Error::from_status(&status, "watch")),
        };
        let run = convert::read(convert::run(message.run)?, message.read)?;
        if self.seen.is_some_and(|seen| run.value.changed_at <= seen) {
            return Ok(None);
        }
        self.seen = Some(run.value.changed_at);
        self.over = !matches!(run.value.status, RunStatus::Open | RunStatus::Active);
        Ok(Some(run))
    }
}

impl Client {
    async fn open_watch(&self, run: &str) -> Result<Streaming<v1::WatchRunResponse>, Error> {
        let request = v1::WatchRunRequest { tenant: self.tenant(), run: run.into() };
        self.call(Kind::Read, Duration::ZERO, request, |channel, mut request: Request<_>| async move {
            // The time is for the stream to open, not for how long it may last.
            request.metadata_mut().remove("grpc-timeout");
            service(channel).watch_run(request).await
        })
        .await
    }

    fn turn_away(&self) {
        let failed = self.pool().choose(Direction::Stay);
        self.pool().choose(Direction::Away(failed));
    }
}
