//! A whole node: store, core, transport and services, from start to clean stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gossip_core::consensus::{Change, Group, Member, Recovered, Role};
use gossip_core::coordination::State;
use gossip_proto::FILE_DESCRIPTOR_SET;
use gossip_proto::v1::cluster_service_server::ClusterServiceServer;
use gossip_proto::v1::peer_service_server::PeerServiceServer;
use gossip_proto::v1::run_service_server::RunServiceServer;
use gossip_proto::v1::shard_service_server::ShardServiceServer;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tower::util::{MapRequestLayer, MapResponseLayer};

use crate::accept;
use crate::clock::Clock;
use crate::config::Settings;
use crate::driver::{Driver, Handle, Parts, Stopped, Verdict};
use crate::gauges;
use crate::gossip::{Gossip, Known as GossipKnown, Packets};
use crate::join::{self, Known};
use crate::pool::{Pool, SMALL};
use crate::server::{Arrivals, Cluster, Gate, LARGEST_REQUEST, Runs, Shards, finished};
use crate::store::{Card, Disk, Opened, StoreError};
use crate::telemetry;
use crate::transport::{Inbound, Local, MAX_MESSAGE, Outbound, Roster};

/// How long a stop waits for leadership to be handed over and for answers to leave.
const DRAIN: Duration = Duration::from_secs(3);

/// Why a node did not start, or stopped without being asked.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// Flags, port or folder: nothing was changed.
    #[error("{0}")]
    Config(String),
    /// The node cannot go on.
    #[error("{0}")]
    Fatal(String),
}

impl Exit {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Exit::Config(_) => 2,
            Exit::Fatal(_) => 3,
        }
    }
}

impl From<StoreError> for Exit {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse(_) | StoreError::Foreign(_) => Exit::Config(error.to_string()),
            _ => Exit::Fatal(error.to_string()),
        }
    }
}

/// What turns as the node goes down.
#[derive(Debug)]
struct Switches {
    /// No new mutations, no more watching.
    draining: watch::Sender<bool>,
    /// No more messages of peers.
    closing: watch::Sender<bool>,
}

/// Runs a node to its end: one thread for the core and all connections, beside the store's.
///
/// # Errors
/// [`Exit`].
pub fn run_to_end(settings: Settings, started: impl FnOnce(SocketAddr)) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::Fatal(format!("the system gives no runtime: {e}")))?;
    let outcome = runtime.block_on(run(settings, started));
    // The store is closed. What may still be under way is a look-up of a peer's name, which can take its time.
    runtime.shutdown_background();
    outcome
}

/// Runs a node until it is told to stop. `started` hears where it serves.
async fn run(settings: Settings, started: impl FnOnce(SocketAddr)) -> Result<(), Exit> {
    let mut signals = Signals::new()?;
    // Not listened at yet: nobody is kept waiting at it while this node asks others who it is.
    let port = bind(settings.listen)?;
    if let Some(listen) = settings.metrics_listen {
        telemetry::start_metrics(listen).map_err(|e| Exit::Config(e.to_string()))?;
    }
    raise_file_limit();
    let known = tokio::select! {
        known = join::settle(&settings) => known?,
        () = signals.asked() => return Ok(()),
    };
    // Two processes may bind one port, and one of them may listen at it. So this comes before anything is written.
    let listener = port.listen(1024).map_err(|e| cannot_listen(settings.listen, &e))?;
    let serving = listener.local_addr().map_err(|e| cannot_listen(settings.listen, &e))?;
    let opened = open(&settings, &known)?;
    let card = Arc::new(opened.card);
    let local = join::local(&card.identity());
    tracing::info!(
        node = %local.name, id = local.id, cluster = %local.cluster, listen = %serving,
        log_entries = opened.recovered.entries.len(), "starting"
    );
    let members = known.members;
    let parts =
        Stored { disk: opened.disk, recovered: opened.recovered, card: Arc::clone(&card), members: members.clone() };
    let (core, mut ended, outbound) = start_core(&settings, &local, parts)?;
    let switches = Switches { draining: watch::channel(false).0, closing: watch::channel(false).0 };
    let clock = Clock::new(settings.clock_control.clone());
    let own = (&local, settings.address.as_str());
    let (gossip, packets, hearsay) =
        Gossip::new(own, &members, clock, settings.planted, outbound, core.clone()).map_err(Exit::Fatal)?;
    tokio::spawn(gossip.run(switches.draining.subscribe()));
    let arriving = Pool::new(settings.in_flight_bytes.into());
    if settings.metrics_listen.is_some() {
        let data = settings.data.clone();
        tokio::spawn(gauges::report(core.clone(), arriving.clone(), move || folder_bytes(&data)));
    }
    let roster = Roster::new(local.clone(), core.clone(), Arc::clone(&card));
    let routes = services(&settings, roster, &local, &core, (packets, hearsay), &switches).await;
    let server = tokio::spawn(serve(listener, routes, Arrivals::new(arriving)));
    started(serving);
    let outcome = tokio::select! {
        outcome = wait(&core, &mut ended, &mut signals) => outcome,
        Err(exit) = join::meet(&settings, &card, &members), if !card.identity().met => Err(exit),
    };
    if outcome.is_ok() {
        drain(&core, &switches).await;
    }
    core.stop();
    server.abort();
    // It closes the store: what is left to write is written, and synced.
    if !ended.is_finished() {
        let _ = ended.await;
    }
    tracing::info!(node = %local.name, "stopped");
    outcome
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> Exit {
    Exit::Config(format!("--listen: cannot listen on {listen}: {error}"))
}

fn bind(listen: SocketAddr) -> Result<TcpSocket, Exit> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        Ok(socket)
    });
    bound.map_err(|e| cannot_listen(listen, &e))
}

/// Opens the folder, and founds in it what was not founded yet.
fn open(settings: &Settings, known: &Known) -> Result<Opened, Exit> {
    let mut opened = Disk::open(&settings.data, known.identity.clone(), settings.planted)?;
    if let Some(founding) = &known.founding
        && (!known.identity.met || opened.recovered.snapshot.is_none())
    {
        opened.disk.found(&founding.record)?;
        opened.recovered = Recovered { snapshot: Some(founding.record.clone()), ..Recovered::default() };
    }
    Ok(opened)
}

/// What asks a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Exit> {
        let system = |e: std::io::Error| Exit::Fatal(format!("the system gives no signals: {e}"));
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(system)?,
            interrupt: signal(SignalKind::interrupt()).map_err(system)?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}

/// What a node starts from.
struct Stored {
    disk: Disk,
    recovered: Recovered,
    card: Arc<Card>,
    members: Vec<Member>,
}

type Started = (Handle, JoinHandle<Stopped>, Arc<Mutex<Outbound>>);

fn start_core(settings: &Settings, local: &Local, stored: Stored) -> Result<Started, Exit> {
    let mut clock = Clock::new(settings.clock_control.clone());
    let now = clock.now();
    let mut config = settings.group.clone();
    config.seed = local.id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ now.as_nanos() ^ u64::from(std::process::id());
    let machine = State::new(settings.quotas.clone(), settings.planted);
    let group = Group::new(local.id, config, stored.recovered, machine, settings.planted, now)
        .map_err(|e| Exit::Fatal(e.to_string()))?;
    let slot = Arc::new(OnceLock::new());
    let runtime = tokio::runtime::Handle::current();
    let outbound = Outbound::new(local.clone(), &stored.members, settings.detours.clone(), Arc::clone(&slot), runtime);
    let outbound = Arc::new(Mutex::new(outbound));
    let shared = Arc::clone(&outbound);
    let met = stored.card.met();
    let send = move |message, members: &[_]| {
        // Who has not met all founders makes no promise.
        if !*met.borrow() {
            return;
        }
        shared.lock().unwrap_or_else(PoisonError::into_inner).send(message, members);
    };
    let system = |e: std::io::Error| Exit::Fatal(format!("the system gives no thread: {e}"));
    let (driver, core) = Driver::new(
        group,
        Parts {
            storage: stored.disk,
            clock,
            planted: settings.planted,
            in_flight_bytes: settings.in_flight_bytes,
            send,
        },
    )
    .map_err(system)?;
    slot.get_or_init(|| core.clone());
    Ok((core, tokio::spawn(driver.run()), outbound))
}

/// Waits for a reason to stop: a signal, the node's removal, what another node says of it, or a core that cannot go on.
async fn wait(core: &Handle, ended: &mut JoinHandle<Stopped>, signals: &mut Signals) -> Result<(), Exit> {
    tokio::select! {
        () = signals.asked() => {}
        () = removed(core) => tracing::warn!("this node was removed from the cluster: stopping"),
        verdict = core.condemned() => match verdict {
            Verdict::Removed(line) => tracing::warn!(%line, "this node was removed from the cluster: stopping"),
            Verdict::Replaced(line) => return Err(Exit::Config(line)),
        },
        stopped = ended => return Err(Exit::Fatal(match stopped {
            Ok(Stopped::Store(error)) => error.to_string(),
            Ok(Stopped::Group(line)) => line,
            Ok(Stopped::Asked) | Err(_) => "the core ended by itself".into(),
        })),
    }
    Ok(())
}

async fn removed(core: &Handle) {
    let mut ready = core.ready();
    loop {
        if core.status().await.is_some_and(|page| page.removed) {
            return;
        }
        // A removal takes readiness away; the timer is for one that was applied before we looked.
        tokio::select! {
            changed = ready.changed() => if changed.is_err() { return std::future::pending().await },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Hands leadership over and lets answers out, so that no caller is left guessing.
async fn drain(core: &Handle, switches: &Switches) {
    switches.draining.send_replace(true);
    let leads = core.status().await.is_some_and(|page| page.status.role == Role::Leader && !page.removed);
    let handover = async {
        if leads && let Err(failure) = core.change(Change::TransferLeader { to: None }).await {
            tracing::info!(?failure, "leadership was not handed over");
        }
        while core.status().await.is_some_and(|page| page.status.in_flight > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(DRAIN, handover).await.is_err() {
        tracing::warn!("stopping with requests under way");
    }
    switches.closing.send_replace(true);
    // The last answers are on their way through the connections.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn services(
    settings: &Settings,
    roster: Roster,
    local: &Local,
    core: &Handle,
    (packets, known): (Packets, GossipKnown),
    switches: &Switches,
) -> tonic::service::Routes {
    let (health, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(health, core.ready(), switches.draining.subscribe()));
    let gate = Gate::new(core.clone(), known.clone(), switches.draining.subscribe());
    let data = settings.data.clone();
    let cluster = Cluster::new(core.clone(), local.clone(), Arc::new(move || folder_bytes(&data)), known);
    let inbound = Inbound::new(roster, packets, switches.closing.subscribe());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the build made these descriptors")
        .max_decoding_message_size(SMALL);
    let mut routes = tonic::service::RoutesBuilder::default();
    routes
        .add_service(RunServiceServer::new(Runs(gate.clone())).max_decoding_message_size(LARGEST_REQUEST))
        .add_service(ShardServiceServer::new(Shards(gate)))
        .add_service(ClusterServiceServer::new(cluster))
        .add_service(PeerServiceServer::new(inbound).max_decoding_message_size(MAX_MESSAGE))
        .add_service(health_service.max_decoding_message_size(SMALL))
        .add_service(reflection);
    routes.routes()
}

/// Serves connections until it is aborted.
async fn serve(listener: TcpListener, routes: tonic::service::Routes, arrivals: Arrivals) {
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        // As many as the node takes up at all. All of a process's waits in line share its connection with its renewals, which must
        // not stand behind them.
        .max_concurrent_streams(4096)
        .http2_max_header_list_size(8 << 10)
        // A connection holds no more than this of what no service reads. Callers' requests are read as they come; it is for a stream
        // of a peer: 2 MiB on their way are 200 Mbit/s at a round trip of 80 ms.
        .initial_stream_window_size(2 << 20)
        .initial_connection_window_size(4 << 20)
        .layer(MapResponseLayer::new(finished))
        .layer(MapRequestLayer::new(move |request| arrivals.counted(request)))
        .add_routes(routes)
        .serve_with_incoming(ReceiverStream::new(accept::connections(listener)));
    if let Err(error) = server.await {
        tracing::error!(%error, "the server ended");
    }
}

async fn report_health(
    health: tonic_health::server::HealthReporter,
    mut ready: watch::Receiver<bool>,
    mut draining: watch::Receiver<bool>,
) {
    loop {
        let serves = *ready.borrow_and_update() && !*draining.borrow_and_update();
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", "gossip.v1.RunService", "gossip.v1.ShardService", "gossip.v1.ClusterService"] {
            health.set_service_status(service, status).await;
        }
        metrics::gauge!("gossip_ready").set(f64::from(u8::from(serves)));
        tokio::select! {
            changed = ready.changed() => if changed.is_err() { return },
            changed = draining.changed() => if changed.is_err() { return },
        }
    }
}

/// Bytes of all files in `folder`, as far as they can be read.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Each connection takes a file descriptor, and many systems give 1,024 unless asked.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::info!(%error, soft, "the limit of open files stays as it is");
    }
}
