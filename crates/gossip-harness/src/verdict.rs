//! How a run of a workload under a nemesis is judged, and what the harness itself adds to the verdict.

use std::collections::BTreeSet;

use gossip_check::judge::{MustHappen, Options};

use crate::schedule::Nemesis;
use crate::workload::Kind;

/// How the history of such a run is judged.
pub fn options(workload: Kind, nemesis: Nemesis) -> Options {
    Options {
        required: workload.required().into_iter().collect(),
        rates_are_sane: Some(nemesis.rates_are_sane()),
        must_happen: must_happen(workload, nemesis),
        gossip_bound_ns: (workload == Kind::GossipConvergence).then_some(GOSSIP_BOUND_NS),
        ..Options::default()
    }
}

fn any(faults: &[&str]) -> MustHappen {
    MustHappen::Fault(faults.iter().map(|&f| f.to_owned()).collect::<BTreeSet<_>>())
}

/// What such a run must have seen, or else its name promises too much.
fn must_happen(workload: Kind, nemesis: Nemesis) -> Vec<MustHappen> {
    use Nemesis as N;
    let mut wanted = match nemesis {
        N::None => Vec::new(),
        N::PartitionRandomHalves | N::PartitionRandomNode | N::PartitionAsymmetric => vec![any(&["start-partition"])],
        N::KillRandomNode => vec![any(&["kill"])],
        N::PauseRandomNode => vec![any(&["pause"])],
        N::ClockSkew | N::ClockSkewStrong => vec![any(&["skew"])],
        N::Membership => vec![any(&["shrink"]), any(&["grow"])],
        N::FlakyLinks => vec![any(&["start-client-fault", "start-partition"])],
        N::Combined => vec![any(&["kill", "pause", "start-partition", "shrink", "skew", "start-client-fault"])],
    };
    if nemesis != N::None {
        // A load that has nothing left to be granted shows nothing of what a fault does to it.
        wanted
            .push(MustHappen::GrantAfterFaults { faults: BEGINNINGS.map(str::to_owned).into(), before: "heal".into() });
    }
    if workload == Kind::FullLifecycle {
        wanted.push(MustHappen::Success("delete-run".into()));
        wanted.push(MustHappen::Refusal { f: "delete-run".into(), reason: "run-not-ended".into() });
    }
    let lets_leases_run_out =
        matches!(workload, Kind::LeaseExclusivity | Kind::CheckpointFence | Kind::ProcessPause | Kind::FullPartition);
    if lets_leases_run_out {
        let stalls = matches!(workload, Kind::LeaseExclusivity | Kind::ProcessPause) && nemesis == N::PauseRandomNode;
        wanted.push(if stalls {
            // The zombies of the workload let leases run out in any case.
            MustHappen::LeaseExpiryDuring { start: "pause".into(), stop: "resume".into() }
        } else {
            MustHappen::LeaseExpiry
        });
    }
    wanted
}

/// The nemesis operations that begin a fault.
const BEGINNINGS: [&str; 6] = ["kill", "pause", "start-partition", "shrink", "skew", "start-client-fault"];

/// A fact must be seen within this time, in nanoseconds, by every node that it can reach: eight rounds of the gossip. Shorter
/// than any fault of a workload that is judged by it.
const GOSSIP_BOUND_NS: i64 = 4_000_000_000;

/// What went wrong beside the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// The system's: a node that died by itself, a panic, an error in a log. The run has failed.
    pub system: Vec<String>,
    /// The harness's own: the run says nothing.
    pub harness: Vec<String>,
    /// Nothing wrong: what was measured on the way.
    pub notes: Vec<String>,
}
