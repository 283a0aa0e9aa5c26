//! Logs and metrics.

use std::net::SocketAddr;

use gossip_core::coordination::Invalid;
use metrics_exporter_prometheus::PrometheusBuilder;
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
        LogFormat::Text => builder.with_target(false).init(),
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
    PrometheusBuilder::new()
        .with_http_listener(listen)
        .install()
        .map_err(|e| Invalid::new("--metrics-listen", format!("cannot listen on {listen}: {e}")))
}
