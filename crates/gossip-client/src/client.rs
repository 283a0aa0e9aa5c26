//! The client itself: how a call finds the node that can answer it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::clock::Moment;
use crate::error::{DEADLINE, Error};
use crate::opid::OpId;
use crate::options::Options;
use crate::pool::{Direction, Pool};
use crate::retry::{Attempt, Kind, Policy, with_retries};

/// A client of one cluster for one tenant. Cheap to clone; clones share connections and what is known of the leader.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    options: Arc<Options>,
    /// Ask this node only.
    pinned: Option<Arc<str>>,
}

/// An answer may be this large. The largest are the 256 children of a split whose keys have 4 KiB each (2 MiB), a page of a list
/// (1 MiB of rows as the service measures them), and the members with what each says of itself (69 KiB a node at most).
pub(crate) const LARGEST_ANSWER: usize = 8 << 20;

impl Client {
    /// A client of the cluster that has these nodes, each `host:port` (an `http://` before it may stand). One that is up is
    /// enough: the others are found by the leader's hints.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none. `UNREACHABLE` or `DEADLINE` if no node answers in time.
    pub async fn connect(endpoints: Vec<String>, options: Options) -> Result<Client, Error> {
        let client = Client::lazy(endpoints, options)?;
        client.status().await?;
        Ok(client)
    }

    /// Like [`Client::connect`], but the first call makes the first connection.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that is none.
    pub fn lazy(endpoints: Vec<String>, options: Options) -> Result<Client, Error> {
        let pool = Pool::new(endpoints, options.connect)?;
        Ok(Client { pool: Arc::new(pool), options: Arc::new(options), pinned: None })
    }

    /// A client that asks only the node at this address and sends each call once: what comes back is that node's own answer,
    /// `NOT_LEADER` included. For harnesses and for looking at one node.
    #[must_use]
    pub fn pinned(&self, endpoint: &str) -> Client {
        let options = Options { retries: 0, ..(*self.options).clone() };
        Client {
            pinned: Some(endpoint.trim_start_matches("http://").into()),
            options: Arc::new(options),
            ..self.clone()
        }
    }

    /// The same client for another tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: impl Into<String>) -> Client {
        let options = Options { tenant: tenant.into(), ..(*self.options).clone() };
        Client { options: Arc::new(options), ..self.clone() }
    }

    pub(crate) fn with_times(&self, deadline: Duration, attempt: Duration) -> Client {
        let options = Options { deadline, attempt, ..(*self.options).clone() };
        Client { options: Arc::new(options), ..self.clone() }
    }

    /// A fresh op id, at this client's clock.
    pub fn op_id(&self) -> OpId {
        OpId::fresh(OpId::random().get(), self.now())
    }

    /// How it behaves.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The addresses that it was given.
    pub fn endpoints(&self) -> &[String] {
        self.pool.endpoints()
    }

    /// Now, by this client's clock.
    pub fn now(&self) -> Moment {
        self.options.clock.now()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn tenant(&self) -> String {
        self.options.tenant.clone()
    }

    /// Calls until it succeeds or must not be tried again. `wait` is how long the service may keep the answer back.
    pub(crate) async fn call<Q, R, F>(
        &self,
        kind: Kind,
        wait: Duration,
        request: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<R, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let policy = Policy {
            kind,
            patience: self.options.deadline.saturating_add(wait),
            slice: self.options.attempt.saturating_add(wait),
            retries: self.options.retries,
        };
        with_retries(policy, |Attempt { direction, time }| self.attempt(direction, time, request.clone(), &send)).await
    }

    async fn attempt<Q, R, F>(
        &self,
        direction: Direction,
        time: Duration,
        request: Q,
        send: &impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<R, (Error, String)>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let (address, channel) = self.channel(direction)?;
        let mut request = Request::new(request);
        // The service learns how long anybody waits for the answer, and drops what is overdue.
        request.set_timeout(time);
        match timeout(time, send(channel, request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err((Error::from_status(&status, &address), address)),
            Err(_) => Err((Error::own(DEADLINE, false, format!("{address}: no answer within {time:?}")), address)),
        }
    }

    /// The connection to the node that is to be asked, and its address.
    pub(crate) fn channel(&self, direction: Direction) -> Result<(String, Channel), (Error, String)> {
        let address = match &self.pinned {
            Some(pinned) => pinned.to_string(),
            None => self.pool.choose(direction),
        };
        match self.pool.channel(&address) {
            Ok(channel) => Ok((address, channel)),
            Err(error) => Err((error, address)),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Client { pool, options, pinned } = self;
        f.debug_struct("Client")
            .field("endpoints", &pool.endpoints())
            .field("tenant", &options.tenant)
            .field("pinned", pinned)
            .finish()
    }
}
