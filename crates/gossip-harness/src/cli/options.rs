//! The options of a run, and why some are refused before anything starts.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;

use crate::rng::fresh_seed;
use crate::schedule::{Nemesis, cycle_ms};
use crate::workload::Kind;

/// As typed.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// What the workers do
    #[arg(long, env = "GOSSIP_VERIFY_WORKLOAD", default_value = "lease-exclusivity")]
    pub workload: String,
    /// What goes wrong meanwhile [default: the workload's own]
    #[arg(long, env = "GOSSIP_VERIFY_NEMESIS")]
    pub nemesis: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    /// The seed of schedule and intents [default: a fresh one, printed]
    #[arg(long)]
    pub test_seed: Option<u64>,
    /// Runs in a row, each with its own seed; ends at the first that is not valid
    #[arg(long, default_value_t = 1)]
    pub test_count: u32,
}

/// What `test` and `test-all` have in common.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Nodes of the cluster: 1, 3 or 5
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Seconds of load; healing, liveness and final reads come on top
    #[arg(long, default_value_t = 45)]
    pub time_limit: u64,
    /// Workers that work at the same time
    #[arg(long, default_value_t = 10)]
    pub concurrency: usize,
    /// Operations a second, over all workers, at most
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// Only these faults of the schedule, by number from 0 [default: all]
    #[arg(long, value_delimiter = ',')]
    pub faults: Option<Vec<usize>>,
    /// Plants a bug in every node: needs a gossip-worker built with the feature `mutants`
    #[arg(long)]
    pub mutant: Option<String>,
    /// The node's binary [default: gossip-worker beside this one]
    #[arg(long, env = "GOSSIP_WORKER")]
    pub worker: Option<PathBuf>,
    /// Where results go
    #[arg(long, env = "GOSSIP_STORE", default_value = "store")]
    pub store: PathBuf,
}

/// A run that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What the workers do.
    pub workload: Kind,
    /// What goes wrong meanwhile.
    pub nemesis: Nemesis,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Seconds of load.
    pub time_limit: u64,
    /// Workers.
    pub concurrency: usize,
    /// Operations a second over all workers.
    pub rate: f64,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Only these faults of the schedule, by number.
    pub faults: Option<Vec<usize>>,
    /// The planted bug.
    pub mutant: Option<String>,
    /// The node's binary, if named.
    pub worker: Option<PathBuf>,
    /// Where results go.
    pub store: PathBuf,
}

impl RunArgs {
    /// Checks the options against each other. A missing seed is drawn.
    ///
    /// # Errors
    /// One line that says which option is wrong and what would be right.
    pub fn spec(&self) -> Result<Spec, String> {
        let workload = workload(&self.workload)?;
        let nemesis = match &self.nemesis {
            Some(name) => nemesis(name)?,
            None => workload.default_nemesis(),
        };
        if self.test_count == 0 {
            return Err("--test-count: must be at least 1".into());
        }
        self.common.spec(workload, nemesis, self.test_seed.unwrap_or_else(fresh_seed))
    }
}

impl CommonArgs {
    /// A checked run of this workload under this nemesis.
    ///
    /// # Errors
    /// As [`RunArgs::spec`].
    pub fn spec(&self, workload: Kind, nemesis: Nemesis, seed: u64) -> Result<Spec, String> {
        let spec = Spec {
            workload,
            nemesis,
            nodes: self.nodes,
            time_limit: self.time_limit,
            concurrency: self.concurrency,
            rate: self.rate,
            seed,
            faults: self.faults.clone(),
            mutant: self.mutant.clone(),
            worker: self.worker.clone(),
            store: self.store.clone(),
        };
        spec.check()?;
        Ok(spec)
    }
}

/// Operations a second, least and most.
const RATES: (f64, f64) = (0.01, 1_000_000.0);
/// Seconds of load.
const LONGEST_S: u64 = 7 * 24 * 3600;

impl Spec {
    /// The node's binary.
    ///
    /// # Errors
    /// This program's own folder cannot be found.
    pub fn binary(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.worker {
            return Ok(path.clone());
        }
        let own = std::env::current_exe().map_err(|error| format!("finding this program's own folder: {error}"))?;
        Ok(own.with_file_name("gossip-worker"))
    }

    /// Whether the node's binary runs, and holds the bug that is to be planted. Nothing stays behind.
    ///
    /// # Errors
    /// As [`RunArgs::spec`].
    pub fn probe(&self) -> Result<(), String> {
        let binary = self.binary()?;
        let ask = |arguments: &[&str]| {
            let answer = Command::new(&binary).args(arguments).stdin(Stdio::null()).output();
            answer.map_err(|error| format!("--worker {}: {error}: build it, or name it", binary.display()))
        };
        if !ask(&["--version"])?.status.success() {
            return Err(format!("--worker {}: is no gossip-worker", binary.display()));
        }
        let Some(mutant) = &self.mutant else { return Ok(()) };
        let answer = ask(&["--mutant", mutant, "--help"])?;
        if answer.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&answer.stderr);
        if said.contains("invalid value") {
            return Err(format!("--mutant {mutant}: {} holds no such bug", binary.display()));
        }
        Err(format!(
            "--mutant {mutant}: {} holds no planted bugs: build one with `--features mutants` and name it by --worker",
            binary.display()
        ))
    }

    /// Which of the schedule's `planned` faults are carried out.
    pub fn kept_faults(&self, planned: usize) -> Vec<usize> {
        self.faults.clone().unwrap_or_else(|| (0..planned).collect())
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// As [`RunArgs::spec`].
    pub fn check(&self) -> Result<(), String> {
        let (workload, nemesis) = (self.workload.name(), self.nemesis.name());
        if !matches!(self.nodes, 1 | 3 | 5) {
            return Err(format!("--nodes {}: a cluster has 1, 3 or 5 nodes", self.nodes));
        }
        if self.nodes == 1 && self.nemesis.needs_peers() {
            return Err(format!("--nodes 1: {nemesis} needs nodes that can be parted; use 3 or 5"));
        }
        if self.nodes == 1 && self.workload == Kind::GossipConvergence {
            return Err(format!("--nodes 1: {workload} needs nodes that talk to each other; use 3 or 5"));
        }
        let least = self.workload.min_concurrency();
        if self.concurrency < least {
            return Err(format!("--concurrency {}: {workload} needs at least {least}", self.concurrency));
        }
        if self.concurrency > 1_000 {
            return Err(format!("--concurrency {}: at most 1000", self.concurrency));
        }
        if !(RATES.0..=RATES.1).contains(&self.rate) {
            return Err(format!("--rate {}: must be from {} to {}", self.rate, RATES.0, RATES.1));
        }
        if self.time_limit > LONGEST_S {
            return Err(format!("--time-limit {}: at most {LONGEST_S}, a week", self.time_limit));
        }
        let cycle = cycle_ms(self.nemesis, self.workload.lease_ms()).div_ceil(1000);
        if self.time_limit < cycle {
            return Err(format!(
                "--time-limit {}: one fault of {nemesis} and its end take up to {cycle} s",
                self.time_limit
            ));
        }
        Ok(())
    }

    /// The command that repeats this run.
    pub fn command(&self) -> String {
        let mut line = format!(
            "gossip-verify test --nodes {} --workload {} --nemesis {} --time-limit {} --concurrency {} --rate {} --test-seed {}",
            self.nodes,
            self.workload.name(),
            self.nemesis.name(),
            self.time_limit,
            self.concurrency,
            self.rate,
            self.seed
        );
        if let Some(faults) = &self.faults {
            let numbers: Vec<String> = faults.iter().map(usize::to_string).collect();
            line += &format!(" --faults {}", numbers.join(","));
        }
        if let Some(mutant) = &self.mutant {
            line += &format!(" --mutant {mutant}");
        }
        if let Some(worker) = &self.worker {
            line += &format!(" --worker {}", worker.display());
        }
        line
    }
}

/// The workload of this name.
///
/// # Errors
/// The valid names, with the nearest match.
pub fn workload(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| unknown("--workload", name, Kind::ALL.iter().map(|k| k.name())))
}

/// The nemesis of this name.
///
/// # Errors
/// The valid names, with the nearest match.
pub fn nemesis(name: &str) -> Result<Nemesis, String> {
    Nemesis::named(name).ok_or_else(|| unknown("--nemesis", name, Nemesis::ALL.iter().map(|n| n.name())))
}

fn unknown<'a>(option: &str, name: &str, valid: impl Iterator<Item = &'a str>) -> String {
    let valid: Vec<&str> = valid.collect();
    let near = valid.iter().map(|v| (strsim::jaro_winkler(name, v), v)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match near {
        Some((score, near)) if score > 0.7 => format!(" Did you mean {near}?"),
        _ => String::new(),
    };
    format!("{option} {name}: no such name.{hint}\n  valid: {}", valid.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn spec(line: &str) -> Result<Spec, String> {
        Line::try_parse_from(std::iter::once("test").chain(line.split_whitespace())).unwrap().run.spec()
    }

    #[test]
    fn unknown_names_list_the_valid_ones_with_the_nearest() {
        let error = spec("--workload lease-exclusivty").unwrap_err();
        assert!(error.contains("Did you mean lease-exclusivity?") && error.contains("full-lifecycle"), "{error}");
        let error = spec("--nemesis partition-node").unwrap_err();
        assert!(error.contains("Did you mean partition-random-node?"), "{error}");
        let error = spec("--nemesis zzz").unwrap_err();
        assert!(!error.contains("Did you mean") && error.contains("clock-skew"), "{error}");
    }

    #[test]
    fn impossible_combinations_are_refused() {
        for (line, word) in [
            ("--nodes 2", "--nodes 2"),
            ("--nodes 1 --nemesis partition-random-halves", "--nodes 1"),
            ("--nodes 1 --nemesis membership", "--nodes 1"),
            ("--nodes 1 --workload gossip-convergence", "--nodes 1"),
            ("--concurrency 1", "--concurrency 1"),
            ("--concurrency 5000", "--concurrency 5000"),
            ("--rate 0", "--rate 0"),
            ("--rate 1e-30", "--rate"),
            ("--rate NaN", "--rate NaN"),
            ("--time-limit 18446744073709551615", "--time-limit"),
            ("--time-limit 5", "--time-limit 5"),
            ("--time-limit 0 --nemesis none", "--time-limit 0"),
            ("--test-count 0", "--test-count"),
        ] {
            let error = spec(line).expect_err(line);
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn a_workload_named_for_a_fault_brings_it_along() {
        assert_eq!(spec("--workload full-partition").unwrap().nemesis, Nemesis::PartitionRandomHalves);
        assert_eq!(spec("--workload full-partition --nemesis none").unwrap().nemesis, Nemesis::None);
    }

    #[test]
    fn the_printed_command_repeats_the_run() {
        let first =
            spec("--workload process-pause --nodes 5 --rate 50 --mutant stale-read --worker target/w --faults 0,3")
                .unwrap();
        let again = first.command();
        assert_eq!(spec(again.strip_prefix("gossip-verify test ").unwrap()).unwrap(), first);
    }

    #[test]
    fn every_sensible_pair_is_accepted_with_the_defaults() {
        for workload in Kind::ALL {
            for nemesis in Nemesis::ALL {
                spec(&format!("--workload {} --nemesis {}", workload.name(), nemesis.name())).unwrap();
            }
        }
    }
}
