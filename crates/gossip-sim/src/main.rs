//! `gossip-sim`: plays seeds in a simulated world.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use gossip_core::mutants::Planted;
use gossip_sim::faults::options::{Length, Level};
use gossip_sim::faults::{Fault, FaultSet};
use gossip_sim::run::{Cut, Outcome, Plan, run};
use gossip_sim::shrink::shrink;
use gossip_sim::sweep::{Swept, Until, mixed, sweep, table};

/// Deterministic simulation of a gossip-rs cluster: nodes, network, disks, clocks and workers in virtual time.
///
/// Exit codes: 0 no violation, 1 a violation, 2 unknown, 254 bad arguments.
#[derive(Debug, Parser)]
#[command(name = "gossip-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Play one seed and say what came of it
    Run(One),
    /// Play one seed and write everything that happens
    Replay(One),
    /// Play many seeds at one or more levels and print what they reached
    Sweep(Many),
    /// Find what of a failing seed can be left out
    Shrink(One),
    /// Play a seed several times: every time must be the same
    Meta(Again),
}

#[derive(Debug, Args)]
struct One {
    /// The seed
    #[arg(long, env = "SIM_SEED", default_value_t = 1)]
    seed: u64,
    /// 1 Sunny Day, 2 Stormy, 3 Radioactive, swarm
    #[arg(long, env = "SIM_LEVEL", default_value = "2")]
    level: Level,
    /// The seed draws which faults exist
    #[arg(long, conflicts_with = "level")]
    swarm: bool,
    /// short, normal, or seconds of storm
    #[arg(long, default_value = "normal", value_parser = parse_length)]
    length: Length,
    /// Nodes, instead of what the seed draws
    #[arg(long, value_parser = clap::value_parser!(u64).range(3..=7))]
    nodes: Option<u64>,
    /// Kinds of faults to leave out
    #[arg(long, value_delimiter = ',', value_parser = parse_fault)]
    omit: Vec<Fault>,
    /// Faults of the schedule to leave out, by number
    #[arg(long, value_delimiter = ',')]
    omit_strikes: Vec<usize>,
    /// Steps of each worker at most
    #[arg(long)]
    steps: Option<u32>,
    /// Workers at most
    #[arg(long)]
    workers: Option<usize>,
    /// Write the history here, as EDN
    #[arg(long)]
    history: Option<PathBuf>,
    /// A planted bug (only in a build with the feature `mutants`)
    #[arg(long)]
    mutant: Option<String>,
}

#[derive(Debug, Args)]
struct Many {
    /// Levels, one after the other
    #[arg(long, env = "SIM_LEVEL", value_delimiter = ',', default_value = "1,2,3")]
    levels: Vec<Level>,
    /// Each seed draws which faults exist
    #[arg(long)]
    swarm: bool,
    /// The first seed
    #[arg(long, env = "SIM_SEED", default_value_t = 1)]
    seed: u64,
    /// Seeds at each level, instead of a time
    #[arg(long, env = "SIM_SEEDS")]
    seeds: Option<u64>,
    /// Time for all levels together
    #[arg(long, default_value_t = 55)]
    seconds: u64,
    /// mixed, short, normal, or seconds of storm
    #[arg(long, default_value = "mixed")]
    length: String,
    /// Nodes, instead of what the seed draws
    #[arg(long)]
    nodes: Option<usize>,
    /// Do not send histories to the judge
    #[arg(long)]
    unjudged: bool,
    /// Do not fail when a fault or a reason was never reached
    #[arg(long)]
    any_coverage: bool,
}

#[derive(Debug, Args)]
struct Again {
    #[command(flatten)]
    one: One,
    /// How often
    #[arg(long, default_value_t = 3)]
    times: u32,
}

const BAD_ARGUMENTS: u8 = 254;
const UNKNOWN: u8 = 2;
const VIOLATION: u8 = 1;

fn parse_length(text: &str) -> Result<Length, String> {
    match text {
        "short" => Ok(Length::Short),
        "normal" => Ok(Length::Normal),
        other => other.parse().map(Length::Long).map_err(|_| format!("{other:?} is none of short, normal, or seconds")),
    }
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    Fault::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| format!("no fault is named {text:?}"))
}

#[cfg(feature = "mutants")]
fn plant(name: &str) -> anyhow::Result<Planted> {
    Planted::named(name).with_context(|| format!("no planted bug is named {name:?}"))
}

#[cfg(not(feature = "mutants"))]
fn plant(name: &str) -> anyhow::Result<Planted> {
    anyhow::bail!("this build holds no planted bugs, {name:?} neither: build with --features mutants")
}

impl One {
    fn plan(&self, readable: bool) -> anyhow::Result<Plan> {
        let level = if self.swarm { Level::Swarm } else { self.level };
        let mut plan = Plan::new(self.seed, level, self.length);
        plan.nodes = self.nodes.map(|nodes| nodes as usize);
        plan.cut = Cut {
            kinds: FaultSet::of(&self.omit),
            strikes: self.omit_strikes.clone(),
            steps: self.steps,
            workers: self.workers,
        };
        plan.planted = self.mutant.as_deref().map_or(Ok(Planted::NONE), plant)?;
        plan.readable = readable;
        Ok(plan)
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(BAD_ARGUMENTS) } else { ExitCode::SUCCESS };
        }
    };
    gossip_sim::run::quiet_panics();
    let done = match &cli.command {
        Verb::Run(one) => one.plan(false).and_then(|plan| play(&plan, one)),
        Verb::Replay(one) => one.plan(true).and_then(|plan| play(&plan, one)),
        Verb::Sweep(many) => sweep_all(many),
        Verb::Shrink(one) => one.plan(false).map(|plan| shrink_one(&plan)),
        Verb::Meta(again) => again.one.plan(true).map(|plan| meta(&plan, again.times)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("gossip-sim: {error:#}");
            ExitCode::from(BAD_ARGUMENTS)
        }
    }
}

fn play(plan: &Plan, one: &One) -> anyhow::Result<u8> {
    let began = Instant::now();
    let outcome = run(plan);
    let took = began.elapsed();
    print!("{}", outcome.trace);
    let stats = outcome.stats;
    println!(
        "seed {}  level {}  {:.3} s simulated, {} events, {} operations, {} applies, {} terms  digest {:016x}",
        plan.seed,
        plan.level,
        stats.simulated as f64 / 1e9,
        stats.events,
        stats.operations,
        stats.applies,
        stats.terms,
        outcome.digest
    );
    // Not on stdout: two processes write the same bytes there.
    eprintln!(
        "{:.3} ms, {:.0} x real time",
        took.as_secs_f64() * 1e3,
        stats.simulated as f64 / 1e9 / took.as_secs_f64()
    );
    if let Some(path) = &one.history {
        let file = fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        gossip_check::history::write(file, &outcome.history)?;
    }
    Ok(verdict(plan, &outcome))
}

fn verdict(plan: &Plan, outcome: &Outcome) -> u8 {
    match &outcome.violation {
        Some(violation) => {
            println!("VIOLATION {violation}\n  {plan}");
            VIOLATION
        }
        None if outcome.undecided => {
            println!("UNKNOWN the judge gave up within its limits");
            UNKNOWN
        }
        None => {
            println!("no violation");
            0
        }
    }
}

fn sweep_all(many: &Many) -> anyhow::Result<u8> {
    let levels = if many.swarm { vec![Level::Swarm] } else { many.levels.clone() };
    let fixed = match many.length.as_str() {
        "mixed" => None,
        other => Some(parse_length(other).map_err(anyhow::Error::msg).context("--length")?),
    };
    let share = Duration::from_secs(many.seconds) / u32::try_from(levels.len().max(1))?;
    let until = many.seeds.map_or(Until::Time(share), Until::Seeds);
    let mut swept = Vec::new();
    for level in levels {
        let done = sweep(level, many.seed, until, |seed| {
            let mut plan = Plan::new(seed, level, fixed.unwrap_or_else(|| mixed(seed)));
            plan.nodes = many.nodes;
            plan.judged = !many.unjudged;
            plan
        });
        println!("{}", line(&done, many.seed));
        for (plan, violation) in &done.failures {
            println!("VIOLATION {violation}\n  {plan}");
        }
        swept.push(done);
    }
    println!("{}", table(&swept));
    Ok(judge_sweep(&swept, many.any_coverage))
}

fn line(swept: &Swept, first: u64) -> String {
    let seconds = swept.took.as_secs_f64();
    format!(
        "level {}: seeds {first}..{}  {} failed, {} undecided  {:.0} seeds/s  {:.0} x real time  {} operations, {} applies checked  {seconds:.1} s",
        swept.level,
        first.wrapping_add(swept.seeds),
        swept.failed,
        swept.undecided,
        swept.seeds as f64 / seconds,
        swept.simulated.as_secs_f64() / seconds,
        swept.operations,
        swept.applies,
    )
}

fn judge_sweep(swept: &[Swept], any_coverage: bool) -> u8 {
    if swept.iter().any(|level| level.failed > 0) {
        return VIOLATION;
    }
    let mut code = 0;
    for level in swept {
        let missing = level.coverage.missing(level.level);
        if !missing.is_empty() && !any_coverage {
            println!("level {}: never reached: {}", level.level, missing.join(", "));
            code = VIOLATION;
        }
        if level.undecided > 0 {
            code = code.max(UNKNOWN);
        }
    }
    code
}

fn shrink_one(plan: &Plan) -> u8 {
    match shrink(plan) {
        Some((smaller, violation)) => {
            println!("VIOLATION {violation}\n  {smaller}");
            VIOLATION
        }
        None => {
            println!("no violation: nothing to shrink");
            0
        }
    }
}

fn meta(plan: &Plan, times: u32) -> u8 {
    let first = run(plan);
    println!("digest {:016x}, {} bytes of trace", first.digest, first.trace.len());
    for _ in 1..times {
        let again = run(plan);
        if (again.digest, &again.trace) != (first.digest, &first.trace) {
            let differs = first.trace.lines().zip(again.trace.lines()).find(|(a, b)| a != b);
            println!("VIOLATION the same seed went another way: {differs:?}");
            return VIOLATION;
        }
    }
    println!("{times} times the same");
    0
}
