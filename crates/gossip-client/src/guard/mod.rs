//! A lease that is kept alive in the background.

mod belief;
mod keeper;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

pub use belief::Lost;

use crate::client::Client;
use crate::error::Error;
use crate::opid::OpId;
use crate::options::Options;
use crate::types::{Child, Cursor, Grant, LeaseRef, Range};
use belief::Belief;
use keeper::{Pace, keep};

/// The guard knows that the lease is lost: nothing was sent.
pub const LEASE_LOST: &str = "LEASE_LOST";

/// How a guard keeps its lease.
#[derive(Clone, Copy, Debug)]
pub struct LeaseOptions {
    /// The lease's length. Default: 30 s. Shorter ones end sooner after a crash, and less outage loses them.
    pub lease: Duration,
    /// How long to wait in line for it. Default: not at all.
    pub wait: Duration,
    /// From one renewal to the next. `None`: a third of the lease.
    pub every: Option<Duration>,
    /// How long before the lease may be lost the user is told. `None`: a tenth of the lease.
    pub notice: Option<Duration>,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        LeaseOptions { lease: Duration::from_secs(30), wait: Duration::ZERO, every: None, notice: None }
    }
}

impl LeaseOptions {
    /// The default with this length.
    pub fn lease(lease: Duration) -> Self {
        LeaseOptions { lease, ..LeaseOptions::default() }
    }

    fn pace(&self) -> Pace {
        Pace { every: self.every.unwrap_or(self.lease / 3), notice: self.notice.unwrap_or(self.lease / 10) }
    }
}

/// Holds a lease and renews it in the background. Dropped, it gives the lease back as best it can.
///
/// It says that the lease is lost *before* another holder can get it: [`LeaseGuard::lost`] comes a notice before the end of what
/// the holder may believe by its own clock, [`LeaseGuard::check`] goes by that clock at once. What is lost stays lost: stop the
/// work, drop the guard, acquire again. Writes under the lease are fenced all the same.
#[derive(Debug)]
pub struct LeaseGuard {
    client: Client,
    run: String,
    grant: Grant,
    belief: Arc<Belief>,
    keeper: AbortHandle,
}

impl LeaseGuard {
    /// Acquires a shard and keeps the lease. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As for [`Client::acquire`]. After an indefinite one the lease may have been granted; it runs out by itself.
    pub async fn acquire(
        client: &Client,
        run: &str,
        shard: &str,
        worker: &str,
        options: LeaseOptions,
    ) -> Result<LeaseGuard, Error> {
        let grant = client.acquire(client.op_id(), run, shard, worker, options.lease, options.wait).await?;
        LeaseGuard::keep(client, run, grant, options).await
    }

    /// Claims the first free shard of a run and keeps the lease. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As for [`Client::claim`].
    pub async fn claim(client: &Client, run: &str, worker: &str, options: LeaseOptions) -> Result<LeaseGuard, Error> {
        let grant = client.claim(client.op_id(), run, worker, options.lease, options.wait).await?;
        LeaseGuard::keep(client, run, grant, options).await
    }

    /// Keeps a lease that was granted already. If less than two thirds of it can be believed, as after a wait in line, it is
    /// renewed first. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As for [`Client::renew`].
    pub async fn keep(client: &Client, run: &str, grant: Grant, options: LeaseOptions) -> Result<LeaseGuard, Error> {
        let pace = options.pace();
        let belief = Arc::new(Belief::new(client.options().clock.clone(), grant.believed_until));
        if grant.believed_until.since(client.now()) < options.lease * 2 / 3 {
            let renewed = client.renew(client.op_id(), run, &grant.lease, options.lease).await;
            match renewed {
                Ok(renewal) => belief.extend(renewal.believed_until),
                Err(error) => {
                    release_in_background(client, run, &grant.lease);
                    return Err(error);
                }
            }
        }
        let renewing = renewer(client, pace.every);
        let (run, lease) = (run.to_string(), grant.lease.clone());
        let renew = {
            let run = run.clone();
            move |now| {
                let (client, run, lease) = (renewing.clone(), run.clone(), lease.clone());
                let op = OpId::fresh(OpId::random().get(), now);
                async move { Ok(client.renew(op, &run, &lease, options.lease).await?.believed_until) }
            }
        };
        let due = client.now().after(pace.every);
        let keeper = tokio::spawn(keep(belief.clone(), pace, due, renew)).abort_handle();
        Ok(LeaseGuard { client: client.clone(), run, grant, belief, keeper })
    }

    /// What was granted: range, cursor of the last holder, metadata.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The token that every write carries.
    pub fn lease(&self) -> &LeaseRef {
        &self.grant.lease
    }

    /// The shard's range as it was granted.
    pub fn range(&self) -> &Range {
        &self.grant.range
    }

    /// The run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Whether the lease may still be believed, by the clock, now.
    ///
    /// # Errors
    /// Why it is lost.
    pub fn check(&self) -> Result<(), Lost> {
        self.belief.check()
    }

    /// How long the lease may be believed if no renewal follows; zero when it is lost.
    pub fn remaining(&self) -> Duration {
        self.check().map_or(Duration::ZERO, |()| self.belief.until().since(self.belief.now()))
    }

    /// Until when the lease may be believed, by the client's clock, if no renewal follows.
    pub fn believed_until(&self) -> crate::clock::Moment {
        self.belief.until()
    }

    /// Comes when the work must stop: a notice before the lease may be lost, or as soon as it is known to be lost. Cancel-safe; to
    /// be used beside the work in a `tokio::select!`.
    pub async fn lost(&self) -> Lost {
        self.belief.lost().await
    }

    /// [`Client::checkpoint`] under this lease.
    ///
    /// # Errors
    /// [`LEASE_LOST`] without sending anything once the lease is lost.
    pub async fn checkpoint(&self, op: OpId, cursor: Cursor) -> Result<Cursor, Error> {
        self.writable()?;
        self.told(self.client.checkpoint(op, &self.run, self.lease(), cursor).await)
    }

    /// [`Client::split_residual`] under this lease, which goes on over the left part.
    ///
    /// # Errors
    /// As for [`LeaseGuard::checkpoint`].
    pub async fn split_residual(&self, op: OpId, at: Vec<u8>) -> Result<Child, Error> {
        self.writable()?;
        self.told(self.client.split_residual(op, &self.run, self.lease(), at).await)
    }

    /// [`Client::split_replace`] under this lease, which ends with it.
    ///
    /// # Errors
    /// As for [`LeaseGuard::checkpoint`]. The guard goes on: after an indefinite failure call it again with the same op id.
    pub async fn split_replace(&self, op: OpId, cuts: Vec<Vec<u8>>) -> Result<Vec<Child>, Error> {
        self.writable()?;
        let _ending = self.belief.end();
        self.ended(self.client.split_replace(op, &self.run, self.lease(), cuts).await)
    }

    /// [`Client::complete`] under this lease, which ends with it.
    ///
    /// # Errors
    /// As for [`LeaseGuard::split_replace`].
    pub async fn complete(&self, op: OpId, cursor: Option<Cursor>) -> Result<(), Error> {
        self.writable()?;
        let _ending = self.belief.end();
        self.ended(self.client.complete(op, &self.run, self.lease(), cursor).await)
    }

    /// [`Client::park`] under this lease, which ends with it.
    ///
    /// # Errors
    /// As for [`LeaseGuard::split_replace`].
    pub async fn park(&self, op: OpId, reason: &str) -> Result<(), Error> {
        self.writable()?;
        let _ending = self.belief.end();
        self.ended(self.client.park(op, &self.run, self.lease(), reason).await)
    }

    /// Gives the lease back and says how that went, which a drop cannot.
    ///
    /// # Errors
    /// As for [`Client::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.keeper.abort();
        self.belief.lose(Lost::Finished);
        self.client.release(self.client.op_id(), &self.run, self.lease()).await
    }

    /// Refuses to send what would be fenced anyway. An operation that may have ended the lease may be asked about again.
    fn writable(&self) -> Result<(), Error> {
        match self.check() {
            Err(lost @ (Lost::Unconfirmed | Lost::Finished)) => Err(Error::own(LEASE_LOST, true, lost.to_string())),
            // The service answers from its record: it replays what was done under this op id, or refuses.
            Ok(()) | Err(Lost::Refused(_)) => Ok(()),
        }
    }

    fn told<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &outcome
            && error.is_lease_lost()
        {
            self.belief.lose(Lost::Refused(error.clone()));
        }
        outcome
    }

    fn ended<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        if outcome.is_ok() {
            self.keeper.abort();
            self.belief.lose(Lost::Finished);
        }
        self.told(outcome)
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.keeper.abort();
        if self.check().is_ok() {
            release_in_background(&self.client, &self.run, self.lease());
        }
        self.belief.lose(Lost::Finished);
    }
}

/// A client that gives a renewal up when the next one is due.
fn renewer(client: &Client, every: Duration) -> Client {
    let Options { deadline, attempt, .. } = *client.options();
    client.with_times(deadline.min(every), attempt.min(every / 2))
}

/// As best it can: where no runtime is left, the lease runs out by itself.
fn release_in_background(client: &Client, run: &str, lease: &LeaseRef) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let (client, run, lease) = (client.clone(), run.to_string(), lease.clone());
        runtime.spawn(async move { client.release(client.op_id(), &run, &lease).await });
    }
}
