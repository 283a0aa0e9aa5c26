//! The judge beside its peers: histories read as EDN beside `clojure-reader`, and searched for a linearization beside
//! Porcupine, which gets the very same histories and models (`porcupine/main.go`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use gossip_check::history::{Op, read_str, write};
use gossip_check::judge::Validity;
use gossip_check::model::{
    self, Known, LostFences, Register, RegisterInput, RegisterOutput, ShardHistory, ShardInput, ShardOutput,
    Write as UnderLease,
};
use gossip_check::wgl::generate::{self, Shape};
use gossip_check::wgl::{Entry, Limits, Outcome, check, check_parts};
use serde_json::{Value, json};

const SHAPE: Shape = Shape { seed: 1, shards: 1, clients: 10, operations: 5_000, lost: 2 };

/// Prints both tables.
pub(crate) fn print() -> Result<()> {
    parsing()?;
    searching()
}

fn parsing() -> Result<()> {
    let ops = generate::shards(&Shape { shards: 100, operations: 100_000, ..SHAPE });
    let mut text = Vec::new();
    write(&mut text, &ops)?;
    let text = String::from_utf8(text)?;
    let begun = Instant::now();
    let read = read_str(&text)?.len();
    let ours = begun.elapsed().as_secs_f64();
    ensure!(read == ops.len(), "{read} of {} ops were read", ops.len());
    let begun = Instant::now();
    for line in text.lines() {
        let op = clojure_reader::edn::read_string(line);
        ensure!(op.is_ok(), "clojure-reader cannot read {line}");
    }
    let theirs = begun.elapsed().as_secs_f64();
    let megabytes = text.len() as f64 / 1e6;
    println!("Reading a history of {read} ops, {megabytes:.1} MB of EDN; ours also checks each op's fields");
    for (name, seconds) in [("gossip-check", ours), ("clojure-reader", theirs)] {
        println!("  {name:16} {:9.0} ops/s {:7.1} MB/s", read as f64 / seconds, megabytes / seconds);
    }
    println!("  gossip-check is {:.2}x as fast\n", theirs / ours);
    Ok(())
}

fn searching() -> Result<()> {
    let peer = Peer::build()?;
    println!(
        "Searching for a linearization, seconds; Porcupine is given the parts into which we took the history before"
    );
    println!("  {:44} {:>8} {:>10} {:>10} {:>10} {:>8}", "history", "verdict", "apart", "search", "Porcupine", "ratio");
    let whole = Shape { shards: 100, operations: 100_000, ..SHAPE };
    for (name, shape) in [
        ("100 shards, 100,000 calls, 2 in 1,000 lost", whole),
        ("one shard, 10 clients, 5,000 calls, 2 lost", SHAPE),
        ("one shard, 10 clients, 5,000 calls", Shape { lost: 0, ..SHAPE }),
    ] {
        let ops = generate::shards(&shape);
        row(name, time_shards(&ops)?, peer.as_ref(), || shards_for_peer(&ops))?;
    }
    let lied = with_a_lie(generate::shards(&whole))?;
    row("100 shards, 100,000 calls, one read lies", time_shards(&lied)?, peer.as_ref(), || shards_for_peer(&lied))?;
    for (name, lost) in [("register, 10 clients, 5,000 calls", 0), ("register, 10 clients, 5,000 calls, 2 lost", 2)] {
        let entries = generate::register(&Shape { lost, ..SHAPE });
        let begun = Instant::now();
        let outcome = check(&Register::default(), &entries, Limits::default());
        let took = Took { apart: 0.0, search: begun.elapsed().as_secs_f64() };
        row(name, (verdict(&outcome), took), peer.as_ref(), || Ok(register_for_peer(&entries)))?;
    }
    println!();
    Ok(())
}

/// Seconds.
struct Took {
    apart: f64,
    search: f64,
}

fn row(
    name: &str,
    (verdict, ours): (&str, Took),
    peer: Option<&Peer>,
    history: impl FnOnce() -> Result<Value>,
) -> Result<()> {
    print!("  {name:44} {verdict:>8} {:10.4} {:10.4}", ours.apart, ours.search);
    match peer {
        None => println!("    skipped (go is not installed, or its modules cannot be had)"),
        Some(peer) => {
            let (said, theirs) = peer.judge(&history()?)?;
            ensure!(said == verdict, "Porcupine says {said} of {name:?}, and we say {verdict}");
            println!(" {theirs:10.4} {:7.1}x", theirs / ours.search);
        }
    }
    Ok(())
}

fn time_shards(ops: &[Op]) -> Result<(&'static str, Took)> {
    let begun = Instant::now();
    let parts = model::shards(ops)?;
    let apart = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let checked = check_parts(&parts, Limits::default());
    let took = Took { apart, search: begun.elapsed().as_secs_f64() };
    let verdict = match checked.validity {
        Validity::True => "Ok",
        Validity::False => "Illegal",
        Validity::Unknown => "Unknown",
    };
    Ok((verdict, took))
}

/// The words of Porcupine.
fn verdict<S>(outcome: &Outcome<S>) -> &'static str {
    match outcome {
        Outcome::Linearizable(_) => "Ok",
        Outcome::Illegal(_) => "Illegal",
        Outcome::Unknown(_) => "Unknown",
    }
}

/// One read, two thirds into the history, shows a fence that nobody was granted.
fn with_a_lie(mut ops: Vec<Op>) -> Result<Vec<Op>> {
    let from = ops.len() * 2 / 3;
    let read = ops[from..].iter_mut().find(|op| op.f == "read-shard" && op.value.some("fence").is_some());
    let read = read.context("no read in the last third")?;
    read.value = read.value.clone().with("fence", 1_000_000);
    Ok(ops)
}

/// Porcupine, built from its module by the `go` of this machine.
struct Peer {
    program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// None where it cannot be built.
    fn build() -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("judge");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("porcupine");
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(source)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        Ok(built.is_ok_and(|status| status.success()).then_some(Self { program, _folder: folder }))
    }

    /// Its verdict and the seconds that its search took.
    fn judge(&self, history: &Value) -> Result<(String, f64)> {
        let mut child = Command::new(&self.program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("a pipe to Porcupine")?;
        input.write_all(&serde_json::to_vec(history)?)?;
        drop(input);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "Porcupine ended with {}", output.status);
        let said = String::from_utf8(output.stdout)?;
        let (verdict, seconds) = said.trim().split_once(' ').context("an answer of Porcupine in two words")?;
        Ok((verdict.to_owned(), seconds.parse()?))
    }
}

fn shards_for_peer(ops: &[Op]) -> Result<Value> {
    let parts = model::shards(ops)?.iter().map(shard_part).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "model": "shard", "parts": parts }))
}

fn shard_part(history: &ShardHistory<'_>) -> Result<Value> {
    let LostFences::UpTo { highest, except } = &history.model.lost_fences else {
        anyhow::bail!("shard {}: any fence may be lost", history.shard);
    };
    let lost: Vec<i64> = (1..=*highest).filter(|fence| !except.contains(fence)).collect();
    let range = history.entries.iter().find_map(|entry| match entry.input {
        ShardInput::Create { start, end, .. } => Some((start, end)),
        _ => None,
    });
    let (start, end) = range.with_context(|| format!("shard {} is never made", history.shard))?;
    let ops = history.entries.iter().map(shard_op).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "start": start, "end": end, "lost_fences": lost, "unsure": history.model.unsure, "ops": ops }))
}

fn shard_op(entry: &Entry<ShardInput<'_>, ShardOutput<'_>>) -> Result<Value> {
    let (f, input) = match entry.input {
        ShardInput::Create { .. } => ("create", json!({})),
        ShardInput::Grant { worker } => ("grant", json!({ "worker": worker })),
        ShardInput::Read => ("read", json!({})),
        ShardInput::Write { worker, fence, what } => {
            let (f, cursor) = match what {
                UnderLease::Renew => ("renew", None),
                UnderLease::Release => ("release", None),
                UnderLease::Checkpoint(cursor) => ("checkpoint", cursor),
                other => anyhow::bail!("{other:?} is not generated"),
            };
            (f, json!({ "worker": worker, "fence": fence, "cursor": cursor }))
        }
        other => anyhow::bail!("{other:?} is not generated"),
    };
    let output = match entry.output {
        None | Some(ShardOutput::Done) => json!({}),
        Some(ShardOutput::Granted { fence, cursor, granted, deadline }) => {
            json!({ "fence": told(fence)?, "cursor": told(cursor)?, "granted": granted, "deadline": told(deadline)? })
        }
        Some(ShardOutput::Renewed { granted, deadline }) => {
            json!({ "granted": granted, "deadline": told(deadline)? })
        }
        Some(ShardOutput::Record(record)) => json!({ "fence": told(record.fence)?, "cursor": told(record.cursor)? }),
        Some(other) => anyhow::bail!("{other:?} is not generated"),
    };
    Ok(op(entry.invoked, entry.answered, f, &input, &output))
}

/// Generated histories tell everything that is answered.
fn told<T>(known: Known<T>) -> Result<T> {
    match known {
        Known::Is(value) => Ok(value),
        Known::Unknown => anyhow::bail!("an answer without its value is not generated"),
    }
}

fn register_for_peer(entries: &[Entry<RegisterInput, RegisterOutput>]) -> Value {
    let ops = entries.iter().map(|entry| {
        let (f, input) = match entry.input {
            RegisterInput::Read => ("read", json!({})),
            RegisterInput::Write(to) => ("write", json!({ "to": to })),
            RegisterInput::Cas(from, to) => ("cas", json!({ "from": from, "to": to })),
        };
        let output = match entry.output {
            None | Some(RegisterOutput::Written) => json!({}),
            Some(RegisterOutput::Read(value)) => json!({ "value": value }),
            Some(RegisterOutput::Swapped(swapped)) => json!({ "swapped": swapped }),
        };
        op(entry.invoked, entry.answered, f, &input, &output)
    });
    json!({ "model": "register", "parts": [{ "ops": ops.collect::<Vec<_>>() }] })
}

fn op(invoked: u64, answered: Option<u64>, f: &str, input: &Value, output: &Value) -> Value {
    json!({ "invoked": invoked, "answered": answered, "f": f, "input": input, "output": output })
}
