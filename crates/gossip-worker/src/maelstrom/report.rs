//! The MAELSTROM REPORT: what a run's results folder says, on one screen.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clojure_reader::edn::Edn;

/// Figures that a run must stay within to pass, besides that of rounds in a run without faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Most messages between servers for each operation.
    pub messages: Option<f64>,
    /// Messages for each operation must be fewer than this.
    pub messages_below: Option<f64>,
    /// The median of the time until a value is stable must be below this, in milliseconds.
    pub median_ms: Option<f64>,
    /// The longest such time must be below this.
    pub max_ms: Option<f64>,
}

/// One bound with the run's figure.
#[derive(Clone, Copy, Debug)]
struct Bound {
    name: &'static str,
    limit: f64,
    /// The limit itself is beyond it.
    strict: bool,
    figure: Option<f64>,
}

impl Bound {
    fn held(&self) -> bool {
        self.figure.is_some_and(|figure| figure < self.limit || (!self.strict && figure == self.limit))
    }
}

/// What the results folder does not say.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// What the run is held to beside its checkers.
    pub bounds: Bounds,
    /// What the run is called, if not as its workload.
    pub name: Option<String>,
    /// What was done to the nodes from outside Maelstrom.
    pub nemesis: Option<String>,
    /// Whether Maelstrom was to cut the network.
    pub partition: bool,
    /// The network's latency between servers.
    pub latency: Duration,
    /// [`super::Settings::batch`].
    pub batch: Duration,
    /// The line that repeats the run.
    pub command: Option<String>,
}

/// A verdict; false beats unknown beats true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every checker said yes.
    Pass,
    /// Some checker said no.
    Fail,
    /// Some checker could not tell.
    Unknown,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the results folder cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the results folder is not what Maelstrom writes.
    #[error("{path}: {problem}")]
    Malformed {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Milliseconds: median, 95th and 99th percentile, maximum.
type Quantiles = [f64; 4];

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Report {
    title: String,
    nodes: usize,
    seconds: f64,
    operations: u64,
    /// Whether Maelstrom cut the network.
    partitioned: bool,
    /// What the run came to, bounds included.
    pub verdict: Verdict,
    /// What Maelstrom's checkers said.
    valid: Verdict,
    /// Of the values of a broadcast or set.
    values: Option<Values>,
    ok_fraction: Option<f64>,
    requests: Option<Quantiles>,
    messages_per_operation: Option<f64>,
    anomalies: Vec<String>,
    circumstances: Circumstances,
}

#[derive(Clone, Debug)]
struct Values {
    attempted: i64,
    lost: i64,
    stable: i64,
    latency: Option<Quantiles>,
}

impl Report {
    /// Reads a results folder of Maelstrom, for example `store/latest`.
    ///
    /// # Errors
    /// The folder lacks `results.edn` or `history.edn`, or they are not Maelstrom's.
    pub fn read(folder: &Path, circumstances: Circumstances) -> Result<Self, ReportError> {
        let path = folder.join("results.edn");
        let text = text(&path)?;
        let malformed = |problem: String| ReportError::Malformed { path: path.clone(), problem };
        let results = clojure_reader::edn::read_string(&text).map_err(|e| malformed(e.to_string()))?;
        let verdict = get(&results, &["valid?"]).and_then(verdict);
        let verdict = verdict.ok_or_else(|| malformed(":valid? is missing".into()))?;
        let history = History::read(&folder.join("history.edn"))?;
        let title = circumstances.name.clone().or_else(|| workload(folder)).unwrap_or_default();
        let mut report = Report {
            title,
            nodes: nodes(folder),
            seconds: history.nanos as f64 / 1e9,
            operations: history.operations,
            partitioned: history.partitioned,
            verdict,
            valid: verdict,
            values: get(&results, &["workload"]).and_then(Values::read),
            ok_fraction: get(&results, &["availability", "ok-fraction"]).and_then(number),
            requests: history.quantiles,
            messages_per_operation: get(&results, &["net", "servers", "msgs-per-op"]).and_then(number),
            anomalies: anomalies(&results),
            circumstances,
        };
        report.hold_to_bounds();
        report.doubt();
        Ok(report)
    }

    /// The bounds that the run was given.
    fn bounds(&self) -> Vec<Bound> {
        let stable = self.values.as_ref().and_then(|v| v.latency);
        let Bounds { messages, messages_below, median_ms, max_ms } = self.circumstances.bounds;
        let bounds = [
            ("messages per op", messages, false, self.messages_per_operation),
            ("messages per op", messages_below, true, self.messages_per_operation),
            ("p50 (ms)", median_ms, true, stable.map(|q| q[0])),
            ("max (ms)", max_ms, true, stable.map(|q| q[3])),
        ];
        let bound = |(name, limit, strict, figure)| Some(Bound { name, limit: limit?, strict, figure });
        bounds.into_iter().filter_map(bound).collect()
    }

    /// The bound of rounds, by which runs without faults are judged: one that is cut off converges when the cut heals.
    fn rounds_bound(&self) -> Option<Bound> {
        let (rounds, limit) = self.rounds().filter(|_| self.faults().is_empty())?;
        let name = "rounds to full convergence";
        Some(Bound { name, limit: limit as f64, strict: false, figure: Some(rounds as f64) })
    }

    /// A run that shows nothing of what it is for is unknown, and no pass.
    fn doubt(&mut self) {
        let spreads = ["broadcast", "g-set"].iter().any(|kind| self.title.starts_with(kind));
        let doubts = [
            (self.operations == 0, "nothing was asked"),
            (self.circumstances.partition && !self.partitioned, "the network was never cut"),
            (spreads && self.values.is_none(), "no checker counted the values that were lost"),
        ];
        for (_, doubt) in doubts.into_iter().filter(|(there, _)| *there) {
            if self.verdict == Verdict::Pass {
                self.verdict = Verdict::Unknown;
            }
            self.anomalies.push(doubt.to_owned());
        }
    }

    fn hold_to_bounds(&mut self) {
        for bound in self.bounds().into_iter().chain(self.rounds_bound()) {
            let Bound { name, limit, strict, figure } = bound;
            match figure {
                Some(_) if bound.held() => {}
                Some(figure) => {
                    self.verdict = Verdict::Fail;
                    let word = if strict { "not below" } else { "above" };
                    self.anomalies.push(format!("{name}: {figure:.2} is {word} {limit}"));
                }
                None => {
                    if self.verdict == Verdict::Pass {
                        self.verdict = Verdict::Unknown;
                    }
                    self.anomalies.push(format!("{name}: the run has no such figure"));
                }
            }
        }
    }

    /// What was done to the nodes, by Maelstrom and from outside.
    fn faults(&self) -> Vec<&str> {
        let by_maelstrom = self.partitioned.then_some("partition");
        by_maelstrom.into_iter().chain(self.circumstances.nemesis.as_deref()).collect()
    }

    /// How many rounds the slowest value took, a round being a window at the hub and one hop; and their bound.
    fn rounds(&self) -> Option<(u64, u64)> {
        let slowest = self.values.as_ref()?.latency?[3];
        let round = self.circumstances.batch.mul_f64(0.8) + self.circumstances.latency;
        let bound = (self.nodes.max(2) as f64).log2().ceil() as u64;
        (!round.is_zero()).then(|| ((slowest / 1e3 / round.as_secs_f64()).ceil() as u64, bound))
    }
}

impl Values {
    fn read(workload: &Edn<'_>) -> Option<Self> {
        let count = |key| get(workload, &[key]).and_then(number).map(|n| n as i64);
        let latency = get(workload, &["stable-latencies"]).and_then(|map| {
            let Edn::Map(map) = map else { return None };
            let at =
                |quantile: f64| map.iter().find(|(key, _)| number(key) == Some(quantile)).and_then(|(_, v)| number(v));
            Some([at(0.5)?, at(0.95)?, at(0.99)?, at(1.0)?])
        });
        Some(Values {
            attempted: count("attempt-count")?,
            lost: count("lost-count")?,
            stable: count("stable-count")?,
            latency,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("MAELSTROM REPORT — {}", self.title);
        writeln!(f, "{title}\n{}", "═".repeat(title.chars().count()))?;
        let faults = self.faults();
        let nemesis = if faults.is_empty() { "none".into() } else { faults.join(", ") };
        writeln!(
            f,
            "Nodes: {}   Duration: {:.0}s   Operations: {}   Nemesis: {nemesis}",
            self.nodes, self.seconds, self.operations
        )?;
        let words = |verdict| match verdict {
            Verdict::Pass => ("PASS", "yes"),
            Verdict::Fail => ("FAIL", "no"),
            Verdict::Unknown => ("UNKNOWN", "unknown"),
        };
        let ((result, _), (_, valid)) = (words(self.verdict), words(self.valid));
        writeln!(f, "Result: {result}")?;
        write!(f, "Consistency:   Valid: {valid}")?;
        if let Some(Values { attempted, lost, stable, .. }) = &self.values {
            let percent = |part: &i64| 100.0 * *part as f64 / (*attempted).max(1) as f64;
            write!(f, "   Lost messages: {lost} ({:.1}%)   Stable: {stable} ({:.1}%)", percent(lost), percent(stable))?;
        }
        match self.ok_fraction {
            Some(ok) => writeln!(f, "   Answered ok: {:.1}%", 100.0 * ok)?,
            None => writeln!(f)?,
        }
        let stable = self.values.as_ref().and_then(|v| v.latency);
        for (what, quantiles) in [("until stable", stable), ("of requests", self.requests)] {
            if let Some([p50, p95, p99, max]) = quantiles {
                writeln!(f, "Latency (ms):  p50: {p50:.0}   p95: {p95:.0}   p99: {p99:.0}   max: {max:.0}   ({what})")?;
            }
        }
        if let Some(messages) = self.messages_per_operation {
            writeln!(f, "Messages:      per op: {messages:.2} (servers)")?;
        }
        if let Some((rounds, bound)) = self.rounds() {
            let status = match self.rounds_bound().map(|bound| bound.held()) {
                None => "NOT JUDGED (faults)",
                Some(true) => "WITHIN BOUND",
                Some(false) => "BEYOND BOUND",
            };
            writeln!(
                f,
                "Convergence:   Rounds to full convergence: {rounds}   Expected (O(log n)): {bound}   Status: {status}"
            )?;
        }
        let bounds = self.bounds();
        if !bounds.is_empty() {
            let line = |bound: &Bound| {
                let (than, held) = (if bound.strict { "<" } else { "<=" }, if bound.held() { "yes" } else { "no" });
                format!("{} {than} {}: {held}", bound.name, bound.limit)
            };
            writeln!(f, "Bounds:        {}", bounds.iter().map(line).collect::<Vec<_>>().join("   "))?;
        }
        if self.verdict != Verdict::Pass {
            writeln!(f, "Anomalies found: {}", self.anomalies.join("; "))?;
            if let Some(command) = &self.circumstances.command {
                writeln!(f, "Reproduction:\n  {command}")?;
            }
        }
        Ok(())
    }
}

/// What the report takes from `history.edn`.
#[derive(Debug, Default)]
struct History {
    operations: u64,
    nanos: i64,
    partitioned: bool,
    quantiles: Option<Quantiles>,
}

impl History {
    fn read(path: &Path) -> Result<Self, ReportError> {
        let (mut history, mut open, mut delays) = (History::default(), BTreeMap::new(), Vec::new());
        for (line, op) in text(path)?.lines().enumerate().filter(|(_, op)| !op.trim().is_empty()) {
            let malformed = |problem: String| ReportError::Malformed {
                path: path.to_owned(),
                problem: format!("line {}: {problem}", line + 1),
            };
            let op = clojure_reader::edn::read_string(op).map_err(|e| malformed(e.to_string()))?;
            let field = |name| get(&op, &[name]).ok_or_else(|| malformed(format!(":{name} is missing")));
            let (time, kind) = (field("time")?, field("type")?);
            let &Edn::Int(time) = time else { return Err(malformed(":time is not a whole number".into())) };
            history.nanos = history.nanos.max(time);
            match field("process")? {
                Edn::Int(process) if is_key(kind, "invoke") => {
                    history.operations += 1;
                    open.insert(*process, time);
                }
                Edn::Int(process) => {
                    let began = open.remove(process);
                    delays.extend(began.filter(|_| is_key(kind, "ok")).map(|began| (time - began) as f64 / 1e6));
                }
                // A cut is told twice: as it is asked for, with what kind, and as it was done, with who is cut from whom.
                _ => {
                    let cut = get(&op, &["f"]).is_some_and(|f| is_key(f, "start-partition"));
                    history.partitioned |= cut && matches!(get(&op, &["value"]), Some(Edn::Vector(_)));
                }
            }
        }
        history.quantiles = quantiles(delays);
        Ok(history)
    }
}

fn quantiles(mut all: Vec<f64>) -> Option<Quantiles> {
    all.sort_by(f64::total_cmp);
    let last = all.len().checked_sub(1)?;
    Some([0.5, 0.95, 0.99, 1.0].map(|q| all[(last as f64 * q).round() as usize]))
}

/// Each checker that did not say yes, with what it counted or found.
fn anomalies(results: &Edn<'_>) -> Vec<String> {
    let Edn::Map(checkers) = results else { return Vec::new() };
    let mut found = Vec::new();
    for (name, result) in checkers {
        if get(result, &["valid?"]).and_then(verdict).is_none_or(|v| v == Verdict::Pass) {
            continue;
        }
        let mut line = format!("{name}");
        if let Edn::Map(fields) = result {
            for (key, value) in fields.iter().filter(|(_, value)| !matches!(value, Edn::Nil | Edn::Bool(true))) {
                let mut value = format!("{value}");
                if value.len() > 80 {
                    value = value.chars().take(80).chain(['…']).collect();
                }
                let _ = write!(line, " {key} {value}");
            }
        }
        found.push(line);
    }
    found
}

fn text(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(|source| ReportError::Unreadable { path: path.to_owned(), source })
}

/// Maelstrom keeps one log for each node.
fn nodes(folder: &Path) -> usize {
    fs::read_dir(folder.join("node-logs")).map_or(0, Iterator::count)
}

/// `store/<workload>/<time>`.
fn workload(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    Some(folder.parent()?.file_name()?.to_string_lossy().into_owned())
}

fn is_key(edn: &Edn<'_>, name: &str) -> bool {
    matches!(edn, Edn::Key(key) if key.trim_start_matches(':') == name)
}

fn get<'a, 'e>(edn: &'a Edn<'e>, path: &[&str]) -> Option<&'a Edn<'e>> {
    path.iter().try_fold(edn, |at, name| {
        let Edn::Map(map) = at else { return None };
        map.iter().find(|(key, _)| is_key(key, name)).map(|(_, value)| value)
    })
}

fn number(edn: &Edn<'_>) -> Option<f64> {
    match edn {
        Edn::Int(n) => Some(*n as f64),
        Edn::Double(n) => Some(n.0),
        Edn::Rational((n, d)) => Some(*n as f64 / *d as f64),
        _ => None,
    }
}

fn verdict(edn: &Edn<'_>) -> Option<Verdict> {
    match edn {
        Edn::Bool(true) => Some(Verdict::Pass),
        Edn::Bool(false) => Some(Verdict::Fail),
        other if is_key(other, "unknown") => Some(Verdict::Unknown),
        _ => None,
    }
}
