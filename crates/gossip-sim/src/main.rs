//! `gossip-sim`: plays seeds in a simulated world.

mod args;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use args::{Cli, Many, Mix, One, Verb};
use gossip_check::report::stdout;
use gossip_sim::faults::options::Level;
use gossip_sim::invariants::Violation;
use gossip_sim::reach::JUDGED;
use gossip_sim::run::{Outcome, Plan, commit, run};
use gossip_sim::shrink::shrink;
use gossip_sim::sweep::{Demands, Swept, Until, Verdict, mixed, sweep, table, verdict as verdict_on};

/// A sweep spends a fifth of its time on short-lived messages and records: this one is faster at it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BAD_ARGUMENTS: u8 = 254;
const UNKNOWN: u8 = 2;
const VIOLATION: u8 = 1;

fn main() -> ExitCode {
    let cli = match Cli::read() {
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

/// What a failure prints: the rule, all that the run follows from, and the command that shows it again.
fn tell(plan: &Plan, violation: &Violation) {
    stdout::line(format_args!("VIOLATION {violation}"));
    stdout::line(format_args!("  seed {}  level {}  commit {}", plan.seed, plan.level, commit()));
    stdout::line(format_args!("  {plan}"));
}

fn play(plan: &Plan, one: &One) -> anyhow::Result<u8> {
    let create = |path: &Path| fs::File::create(path).with_context(|| format!("cannot write {}", path.display()));
    let file = one.history.as_deref().map(create).transpose()?;
    let began = Instant::now();
    let outcome = run(plan);
    let took = began.elapsed();
    stdout::text(&outcome.trace);
    let stats = outcome.stats;
    stdout::line(format_args!(
        "seed {}  level {}  {:.3} s simulated, {} events, {} operations, {} applies, {} terms  digest {:016x}",
        plan.seed,
        plan.level,
        stats.simulated as f64 / 1e9,
        stats.events,
        stats.operations,
        stats.applies,
        stats.terms,
        outcome.digest
    ));
    let counts: Vec<String> = JUDGED.iter().zip(outcome.judged).map(|(id, count)| format!("{id} {count}")).collect();
    stdout::line(format_args!("whole states compared {}, by the judge {}", stats.compared, counts.join("  ")));
    // Not on stdout: two processes write the same bytes there.
    eprintln!(
        "{:.3} ms, {:.0} x real time",
        took.as_secs_f64() * 1e3,
        stats.simulated as f64 / 1e9 / took.as_secs_f64()
    );
    let code = verdict(plan, &outcome);
    if let Some(file) = file {
        gossip_check::history::write(file, &outcome.history)?;
    }
    Ok(code)
}

fn verdict(plan: &Plan, outcome: &Outcome) -> u8 {
    match &outcome.violation {
        Some(violation) => {
            tell(plan, violation);
            VIOLATION
        }
        None if outcome.is_empty(plan) => {
            stdout::line("UNKNOWN there was nothing to check");
            UNKNOWN
        }
        None => match &outcome.undecided {
            Some(why) => {
                stdout::line(format_args!("UNKNOWN the judge could not decide: {why}"));
                UNKNOWN
            }
            None => {
                stdout::line("no violation");
                0
            }
        },
    }
}

fn sweep_all(many: &Many) -> anyhow::Result<u8> {
    let levels = if many.swarm { vec![Level::Swarm] } else { many.levels.clone() };
    let share = Duration::from_secs(many.seconds) / u32::try_from(levels.len().max(1))?;
    let until = many.seeds.map_or(Until::Time(share), Until::Seeds);
    let (mut swept, planted) = (Vec::new(), many.planted()?);
    for level in levels {
        let done = sweep(level, many.seed, until, |seed| {
            let length = if let Mix::All(length) = many.length { length } else { mixed(seed) };
            let mut plan = Plan::new(seed, level, length);
            plan.nodes = many.nodes.map(|nodes| nodes as usize);
            (plan.planted, plan.judged) = (planted, !many.unjudged);
            plan
        });
        stdout::line(line(&done, many.seed));
        done.failures.iter().for_each(|(plan, violation)| tell(plan, violation));
        done.unknown.iter().for_each(|(plan, why)| stdout::line(format_args!("UNKNOWN {why}\n  {plan}")));
        swept.push(done);
    }
    stdout::line(table(&swept));
    Ok(judge_sweep(&swept, many))
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

fn judge_sweep(swept: &[Swept], many: &Many) -> u8 {
    let demands = Demands { coverage: !many.any_coverage, judged: !many.unjudged };
    let (verdict, said) = verdict_on(swept, demands);
    said.iter().for_each(stdout::line);
    match verdict {
        Verdict::Pass => 0,
        Verdict::Unknown => UNKNOWN,
        Verdict::Violation => VIOLATION,
    }
}

fn shrink_one(plan: &Plan) -> u8 {
    match shrink(plan) {
        Some((smaller, violation)) => {
            tell(&smaller, &violation);
            VIOLATION
        }
        None => {
            stdout::line("no violation: nothing to shrink");
            0
        }
    }
}

fn meta(plan: &Plan, times: u32) -> u8 {
    let first = run(plan);
    stdout::line(format_args!("digest {:016x}, {} bytes of trace", first.digest, first.trace.len()));
    for _ in 1..times {
        let again = run(plan);
        if (again.digest, &again.trace) != (first.digest, &first.trace) {
            let differs = first.trace.lines().zip(again.trace.lines()).find(|(a, b)| a != b);
            stdout::line(format_args!("VIOLATION the same seed went another way: {differs:?}"));
            return VIOLATION;
        }
    }
    stdout::line(format_args!("{times} times the same"));
    0
}
