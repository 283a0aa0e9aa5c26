//! A worker's way to the service: sends, notes the beginning and the end, and takes a new process number after an operation whose
//! outcome is open.

use std::time::Duration;

use gossip_check::history::Value;
use gossip_client::{Client, Error, OpId, Options};

use super::twins::{Late, Twins};
use crate::clock::Clock;
use crate::recorder::{Call, Recorder};
use crate::rng::Stream;

/// An ended operation: what came back, or the reason in the error table.
pub type Outcome<T> = Result<T, String>;

/// What a caller is made of.
#[derive(Clone, Debug)]
pub struct Start {
    /// Where the nodes are, for clients.
    pub endpoints: Vec<String>,
    /// How its client behaves.
    pub options: Options,
    /// Notes what it does.
    pub recorder: Recorder,
    /// Its first process; the worker is named after it.
    pub process: i64,
    /// Added to the process number when one is spent.
    pub step: i64,
    /// The length of its leases.
    pub lease: Duration,
    /// The seed of what it draws.
    pub seed: u64,
    /// Operations a second over all callers.
    pub rate: f64,
    /// Whether its mutations are sent twice.
    pub twins: Twins,
}

/// A way to the service.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) client: Client,
    /// Has connections and a favourite node of its own: what it sends does not travel with what `client` sends.
    twin: Client,
    endpoints: Vec<String>,
    recorder: Recorder,
    process: i64,
    step: i64,
    pub(super) worker: String,
    pub(super) lease: Duration,
    seed: u64,
    op_ids: Stream,
    /// Of the twins alone, so that nothing else shifts when the nemesis turns them on.
    dice: Stream,
    rate: f64,
    twins: Twins,
}

impl Caller {
    /// A caller that begins as process `process` and names its worker after it.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(start: Start) -> Result<Self, Error> {
        let Start { endpoints, options, recorder, process, step, lease, seed, rate, twins } = start;
        let mut rotated = endpoints.clone();
        rotated.rotate_left(1 % endpoints.len().max(1));
        Ok(Caller {
            client: Client::lazy(endpoints.clone(), options.clone())?,
            twin: Client::lazy(rotated, options)?,
            endpoints,
            recorder,
            process,
            step,
            worker: format!("w{process}"),
            lease,
            seed,
            op_ids: Stream::new(seed, &format!("op-ids-{process}")),
            dice: Stream::new(seed, &format!("twins-{process}")),
            rate,
            twins,
        })
    }

    /// Op ids are drawn anew for each session: how many the last one needed depended on its answers.
    pub(super) fn begin_session(&mut self, worker: usize, session: u64) {
        self.op_ids = Stream::new(self.seed, &format!("op-ids-{worker}-{session}"));
    }

    /// A fresh op id.
    pub fn op_id(&mut self) -> OpId {
        OpId::fresh(self.op_ids.wide(), gossip_client::clock::Moment::now())
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The recorder's clock.
    pub fn clock(&self) -> Clock {
        self.recorder.clock()
    }

    pub(super) fn begin(&self, f: &'static str, value: Value) -> Call {
        self.recorder.invoke(self.process, f, value)
    }

    pub(super) fn end<T>(
        &mut self,
        call: Call,
        outcome: Result<T, Error>,
        add: impl FnOnce(Value, &T) -> Value,
    ) -> Outcome<T> {
        match outcome {
            Ok(value) => {
                call.ok(|sent| add(sent, &value));
                Ok(value)
            }
            Err(error) => {
                if !call.failed(&error) {
                    self.process += self.step;
                    self.worker = format!("w{}", self.process);
                }
                Err(error.reason)
            }
        }
    }

    /// Carries a mutation out, and its twin beside it if the nemesis wants one.
    pub(super) async fn send<T, F>(
        &mut self,
        f: &'static str,
        value: Value,
        late: Late,
        request: impl Fn(Client) -> F + Send + 'static,
        add: impl Fn(Value, &T) -> Value + Clone + Send + 'static,
    ) -> Outcome<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let call = self.begin(f, value.clone());
        let asked = request(self.client.clone());
        if self.twins.wanted() {
            self.spawn_twin(f, value, late, request, add.clone());
        }
        let outcome = asked.await;
        self.end(call, outcome, add)
    }

    fn spawn_twin<T, F>(
        &mut self,
        f: &'static str,
        value: Value,
        late: Late,
        request: impl Fn(Client) -> F + Send + 'static,
        add: impl Fn(Value, &T) -> Value + Send + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let delay = self.twin_delay(late);
        let elsewhere: &String = self.dice.pick(&self.endpoints);
        let elsewhere = self.twin.pinned(elsewhere);
        let (client, recorder, twins) = (self.twin.clone(), self.recorder.clone(), self.twins.clone());
        self.twins.spawn(async move {
            tokio::time::sleep(delay).await;
            let call = recorder.invoke(twins.process(), f, value);
            twins.note_sent();
            let outcome = match request(elsewhere).await {
                // That node took nothing: the request goes on to one that does.
                Err(error) if error.definite && is_of_the_way(&error.reason) => request(client).await,
                outcome => outcome,
            };
            match outcome {
                Ok(answer) => {
                    twins.note_answered();
                    call.ok(|sent| add(sent, &answer));
                }
                Err(error) => {
                    if error.definite && !is_of_the_way(&error.reason) {
                        twins.note_answered();
                    }
                    call.failed(&error);
                }
            }
        });
    }

    /// Together with the first, a little later, or when the lease is long over.
    fn twin_delay(&mut self, late: Late) -> Duration {
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        // A shard keeps the answers of its newest 64 operations: half as many may be sent meanwhile.
        let soon = ((32_000.0 / self.rate) as u64).min(lease / 8);
        let most = match (late, self.dice.below(4)) {
            (_, 0) => 1,
            (Late::PastTheLease, 1) => lease / 2,
            (Late::PastTheLease, 2) => lease * 3 / 2,
            _ => soon,
        };
        Duration::from_millis(self.dice.below(most.max(1)))
    }
}

/// Refusals by a node that did not take the request.
fn is_of_the_way(reason: &str) -> bool {
    matches!(reason, "NOT_LEADER" | "UNREACHABLE" | "STOPPING" | "OVERLOADED")
}
