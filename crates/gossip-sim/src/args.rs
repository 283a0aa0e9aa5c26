//! The command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, value_parser};
use gossip_core::mutants::Planted;
use gossip_sim::faults::options::{Length, Level};
use gossip_sim::faults::{Fault, FaultSet};
use gossip_sim::run::{Cut, Plan};
use gossip_sim::world::Step;

/// Deterministic simulation of a gossip-rs cluster: nodes, network, disks, clocks and workers in virtual time.
///
/// Exit codes: 0 no violation, 1 a violation, 2 unknown, 254 bad arguments.
#[derive(Debug, Parser)]
#[command(name = "gossip-sim", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
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
pub(crate) struct One {
    /// The seed
    #[arg(long, env = "SIM_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// 1 Sunny Day, 2 Stormy, 3 Radioactive, swarm
    #[arg(long, env = "SIM_LEVEL", default_value = "2")]
    pub(crate) level: Level,
    /// The seed draws which faults exist, instead of a level
    #[arg(long)]
    pub(crate) swarm: bool,
    /// short, normal, or seconds of storm
    #[arg(long, default_value = "normal", value_parser = parse_length)]
    pub(crate) length: Length,
    /// Nodes, instead of what the seed draws
    #[arg(long, value_parser = value_parser!(u64).range(3..=7))]
    pub(crate) nodes: Option<u64>,
    /// Kinds of faults to leave out
    #[arg(long, value_delimiter = ',', value_parser = parse_fault)]
    pub(crate) omit: Vec<Fault>,
    /// Faults of the schedule to leave out, by number
    #[arg(long, value_delimiter = ',')]
    pub(crate) omit_strikes: Vec<usize>,
    /// Operations of workers to leave out, by worker and step: 2.17
    #[arg(long, value_delimiter = ',', value_parser = parse_step)]
    pub(crate) omit_operations: Vec<Step>,
    /// Steps of each worker at most
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    pub(crate) steps: Option<u32>,
    /// Workers at most
    #[arg(long, value_parser = value_parser!(u16).range(1..))]
    pub(crate) workers: Option<u16>,
    /// Look at nothing but what the workers saw: no check of the nodes' own state
    #[arg(long)]
    pub(crate) blind: bool,
    /// Write the history here, as EDN
    #[arg(long)]
    pub(crate) history: Option<PathBuf>,
    /// A planted bug (only in a build with the feature `mutants`)
    #[arg(long)]
    pub(crate) mutant: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Many {
    /// Levels, one after the other
    #[arg(long, visible_alias = "level", env = "SIM_LEVEL", value_delimiter = ',', default_value = "1,2,3")]
    pub(crate) levels: Vec<Level>,
    /// Each seed draws which faults exist, instead of levels
    #[arg(long)]
    pub(crate) swarm: bool,
    /// The first seed
    #[arg(long, env = "SIM_SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seeds at each level, instead of a time
    #[arg(long, env = "SIM_SEEDS", value_parser = value_parser!(u64).range(1..))]
    pub(crate) seeds: Option<u64>,
    /// Time for all levels together
    #[arg(long, default_value_t = 55, value_parser = value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// mixed, short, normal, or seconds of storm
    #[arg(long, default_value = "mixed", value_parser = parse_mix)]
    pub(crate) length: Mix,
    /// Nodes, instead of what the seed draws
    #[arg(long, value_parser = value_parser!(u64).range(3..=7))]
    pub(crate) nodes: Option<u64>,
    /// A planted bug (only in a build with the feature `mutants`)
    #[arg(long)]
    pub(crate) mutant: Option<String>,
    /// Do not send histories to the judge
    #[arg(long)]
    pub(crate) unjudged: bool,
    /// Do not fail when a fault or a reason was never reached
    #[arg(long)]
    pub(crate) any_coverage: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Again {
    #[command(flatten)]
    pub(crate) one: One,
    /// How often
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(2..))]
    pub(crate) times: u32,
}

/// How long the seeds of a sweep are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mix {
    Mixed,
    All(Length),
}

/// The longest storm, a day: more virtual time than a clock of nanoseconds must hold at double rate.
const LONGEST: u64 = 24 * 3600;

fn parse_length(text: &str) -> Result<Length, String> {
    match text {
        "short" => Ok(Length::Short),
        "normal" => Ok(Length::Normal),
        other => match other.parse() {
            Ok(seconds @ 1..=LONGEST) => Ok(Length::Long(seconds)),
            _ => Err(format!("{other:?} is none of short, normal, or 1 to {LONGEST} seconds")),
        },
    }
}

fn parse_mix(text: &str) -> Result<Mix, String> {
    if text == "mixed" { Ok(Mix::Mixed) } else { parse_length(text).map(Mix::All) }
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    Fault::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| format!("no fault is named {text:?}"))
}

fn parse_step(text: &str) -> Result<Step, String> {
    let parts = text.split_once('.').and_then(|(worker, step)| Some((worker.parse().ok()?, step.parse().ok()?)));
    parts.ok_or_else(|| format!("{text:?} is no worker and step, as in 2.17"))
}

#[cfg(feature = "mutants")]
fn plant(name: &str) -> anyhow::Result<Planted> {
    Planted::named(name).with_context(|| format!("no planted bug is named {name:?}"))
}

#[cfg(not(feature = "mutants"))]
fn plant(name: &str) -> anyhow::Result<Planted> {
    Err(anyhow::anyhow!("this build holds no planted bugs, {name:?} neither")).context("build with --features mutants")
}

fn planted(name: Option<&str>) -> anyhow::Result<Planted> {
    name.map_or(Ok(Planted::NONE), plant)
}

impl Many {
    pub(crate) fn planted(&self) -> anyhow::Result<Planted> {
        planted(self.mutant.as_deref())
    }
}

impl One {
    pub(crate) fn plan(&self, readable: bool) -> anyhow::Result<Plan> {
        let level = if self.swarm { Level::Swarm } else { self.level };
        let mut plan = Plan::new(self.seed, level, self.length);
        plan.nodes = self.nodes.map(|nodes| nodes as usize);
        plan.cut = Cut {
            kinds: FaultSet::of(&self.omit),
            strikes: self.omit_strikes.clone(),
            steps: self.steps,
            workers: self.workers.map(usize::from),
            operations: self.omit_operations.clone(),
        };
        plan.planted = planted(self.mutant.as_deref())?;
        plan.readable = readable;
        plan.blind = self.blind;
        match plan.stray_cut() {
            Some(stray) => Err(anyhow::anyhow!("cannot leave out {stray}")),
            None => Ok(plan),
        }
    }
}

impl Cli {
    /// Reads the command line. A level in the environment gives way to `--swarm`; one beside it contradicts it.
    pub(crate) fn read() -> Result<Cli, clap::Error> {
        let matches = Cli::command().try_get_matches()?;
        if let Some((_, matches)) = matches.subcommand()
            && matches.get_flag("swarm")
            && ["level", "levels"].into_iter().any(|id| is_typed(matches, id))
        {
            let what = "--swarm stands in the place of a level: give one of the two\n";
            return Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, what));
        }
        Cli::from_arg_matches(&matches)
    }
}

fn is_typed(matches: &ArgMatches, id: &str) -> bool {
    let known = matches.ids().any(|known| known.as_str() == id);
    known && matches.value_source(id) == Some(ValueSource::CommandLine)
}
