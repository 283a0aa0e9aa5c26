//! What the metrics say of the node's state, looked at now and then rather than with each request.

use std::time::Duration;

use metrics::gauge;

use crate::driver::{Handle, StatusPage};
use crate::pool::Pool;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps the gauges true until the core is gone. `arriving` counts what is on its way in, `store_bytes` tells the size of the store.
pub async fn report(core: Handle, arriving: Pool, store_bytes: impl Fn() -> u64) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Some(page) = core.status().await else { return };
        set(&page);
        let (mutations, reads) = core.held();
        for (kind, bytes) in [("arriving", arriving.used()), ("mutations", mutations), ("reads", reads)] {
            gauge!("gossip_requests_bytes", "kind" => kind).set(bytes as f64);
        }
        gauge!("gossip_store_bytes").set(store_bytes() as f64);
    }
}

fn set(page: &StatusPage) {
    let StatusPage { status, totals, .. } = page;
    gauge!("gossip_raft_log_entries").set(status.log_entries as f64);
    gauge!("gossip_raft_log_bytes").set(status.log_bytes as f64);
    gauge!("gossip_raft_snapshot_index").set(status.snapshot as f64);
    gauge!("gossip_runs").set(totals.runs as f64);
    gauge!("gossip_leases").set(totals.leases as f64);
    gauge!("gossip_op_log_entries").set(totals.op_log_entries as f64);
    let counts = totals.by_status;
    let by_status = [
        ("active", counts.active),
        ("parked", counts.parked),
        ("done", counts.done),
        ("split", counts.split),
        ("cancelled", counts.cancelled),
    ];
    for (status, count) in by_status {
        gauge!("gossip_shards", "status" => status).set(count as f64);
    }
}
