//! Logs and metrics.

use std::io::IsTerminal;
use std::net::SocketAddr;

use gossip_core::coordination::Invalid;
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging to stderr.
///
/// # Errors
/// `filter` is none.
pub fn start_logs(filter: &str, format: LogFormat) -> Result<(), Invalid> {
    let filter = EnvFilter::try_new(filter).map_err(|e| Invalid::new("--log", e.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        // Colours are for eyes, not for files.
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Serves metrics at `listen`. Called inside the runtime.
///
/// # Errors
/// The address cannot be used.
pub fn start_metrics(listen: SocketAddr) -> Result<(), Invalid> {
    // The exporter itself reports a port in use only when it is too late to say so.
    std::net::TcpListener::bind(listen)
        .map_err(|e| Invalid::new("--metrics-listen", format!("cannot listen on {listen}: {e}")))?;
    let in_use = |e: metrics_exporter_prometheus::BuildError| {
        Invalid::new("--metrics-listen", format!("cannot listen on {listen}: {e}"))
    };
    PrometheusBuilder::new()
        .with_http_listener(listen)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full("gossip_store_group_writes".into()), &COUNTS))
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full("gossip_core_batch_inputs".into()), &COUNTS))
        .and_then(PrometheusBuilder::install)
        .map_err(in_use)?;
    describe();
    Ok(())
}

/// Bounds of histograms of times: from a write on a fast disk to a long wait in line.
const SECONDS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];
/// Of counts.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// What each metric is, as `/metrics` and `docs/operating.md` say it.
fn describe() {
    for (name, help) in [
        ("gossip_operations_total", "Calls answered, by reason of the error table, OK for success."),
        ("gossip_peer_dropped_messages_total", "Messages dropped for a peer that cannot keep up or cannot be reached."),
        ("gossip_peer_refused_messages_total", "Messages of peers that made no sense."),
    ] {
        describe_counter!(name, help);
    }
    for (name, help) in [
        ("gossip_operation_seconds", "From a call's coming to its answer, waits in line included."),
        ("gossip_store_write_seconds", "One group commit."),
        ("gossip_store_group_writes", "Writes that shared a group commit."),
        ("gossip_core_batch_inputs", "Inputs that the core took together."),
    ] {
        describe_histogram!(name, help);
    }
    for (name, help) in [
        ("gossip_ready", "1 while the node can serve."),
        ("gossip_raft_is_leader", "1 while the node leads."),
        ("gossip_raft_term", "Raft's term."),
        ("gossip_raft_commit_index", "The last entry known to be committed."),
        ("gossip_raft_applied_index", "The last entry applied."),
        ("gossip_raft_snapshot_index", "The entry of the newest snapshot."),
        ("gossip_raft_log_entries", "Entries of the log in memory."),
        ("gossip_raft_log_bytes", "Bytes of these entries."),
        ("gossip_requests_in_flight", "Requests under way at this node."),
        (
            "gossip_requests_bytes",
            "Bytes held for callers: of what is on its way in, of mutations and of reads with their answers.",
        ),
        ("gossip_waiters", "Requests that wait in line."),
        ("gossip_runs", "Runs that were not deleted."),
        ("gossip_shards", "Shards of these runs by status."),
        ("gossip_leases", "Leases that are live as of the last applied entry."),
        ("gossip_op_log_entries", "Answers kept for replays."),
        ("gossip_store_bytes", "Bytes of the data folder."),
    ] {
        describe_gauge!(name, help);
    }
}
