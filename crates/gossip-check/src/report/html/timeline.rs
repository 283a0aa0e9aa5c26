//! The leases of each shard on one line of time: as granted and as believed, with sections, faults and violations.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use super::escape;
use super::faults::Fault;
use crate::history::Name;
use crate::invariants::facts::Facts;
use crate::invariants::leases::Lease;
use crate::judge::Violation;

const WIDTH: f64 = 1000.0;
const GUTTER: f64 = 90.0;
const LANE: f64 = 18.0;

/// Shards beyond which only those with violations are drawn.
const MOST_SHARDS: usize = 100;
/// Bars of one shard beyond which later ones are left out.
const MOST_BARS: usize = 2000;

/// What the page has for drawing.
pub(super) struct Stage<'s, 'a> {
    pub(super) facts: &'s Facts<'a>,
    pub(super) faults: &'s [Fault],
    /// In the order of the page, with their ids.
    pub(super) violations: &'s [(&'static str, &'s Violation)],
}

struct Bar {
    lane: usize,
    from: f64,
    to: f64,
    class: String,
    title: String,
    label: String,
}

/// One drawing for each shard that was ever leased, those with violations first and unfolded.
pub(super) fn timelines(stage: &Stage<'_, '_>) -> String {
    let scale = Scale::new(stage.facts);
    let clock = LeaseClock::new(stage.facts);
    let marked = marked_shards(stage);
    let mut shards: Vec<(&Name<'_>, &Vec<Lease<'_>>)> =
        stage.facts.leases.iter().filter(|(_, l)| !l.is_empty()).collect();
    shards.sort_by_key(|(shard, _)| (!marked.contains(shard.as_ref()), *shard));
    let drawn = shards.iter().take_while(|(shard, _)| marked.contains(shard.as_ref())).count().max(MOST_SHARDS);
    let mut out = String::new();
    for (shard, leases) in shards.iter().take(drawn) {
        let open = if marked.contains(shard.as_ref()) || shards.len() <= 3 { " open" } else { "" };
        let _ =
            write!(out, "<details{open}><summary>{} <small>{} leases</small></summary>", escape(shard), leases.len());
        out.push_str(&timeline(stage, shard, leases, &scale, &clock));
        out.push_str("</details>\n");
    }
    if drawn < shards.len() {
        let _ = writeln!(out, "<p>{} more shards without violations are not drawn.</p>", shards.len() - drawn);
    }
    out
}

/// Shards that a violation's ops touch.
fn marked_shards(stage: &Stage<'_, '_>) -> BTreeSet<String> {
    let by_index: HashMap<u64, usize> = stage
        .facts
        .calls
        .iter()
        .enumerate()
        .flat_map(|(i, c)| std::iter::once(c.invoke).chain(c.completion).map(move |op| (op.index, i)))
        .collect();
    let ops = stage.violations.iter().flat_map(|(_, v)| &v.ops);
    let calls = ops.filter_map(|index| by_index.get(index)).map(|&i| &stage.facts.calls[i]);
    calls.filter_map(|call| call.shard().map(Name::into_owned)).collect()
}

fn timeline(stage: &Stage<'_, '_>, shard: &str, leases: &[Lease<'_>], scale: &Scale, clock: &LeaseClock) -> String {
    let mut bars: Vec<Bar> = leases.iter().flat_map(|lease| lease_bars(lease, clock)).collect();
    bars.extend(section_bars(stage.facts, shard));
    let left_out = bars.len().saturating_sub(MOST_BARS);
    bars.truncate(MOST_BARS);
    let lanes = if bars.iter().any(|b| b.lane == 2) { 3 } else { 2 };
    #[expect(clippy::cast_precision_loss, reason = "two or three")]
    let height = LANE * (lanes as f64 + 1.0) + 6.0;
    let mut svg = format!("<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for fault in stage.faults {
        let (x, width) = scale.stretch(fault.from, fault.to);
        let title = escape(&fault.what);
        let _ = write!(
            svg,
            "<rect class=\"fault\" x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{height:.0}\"><title>{title}</title></rect>"
        );
    }
    for (lane, name) in ["granted", "believed", "sections"].iter().enumerate().take(lanes) {
        let _ = write!(svg, "<text class=\"lane\" x=\"0\" y=\"{:.0}\">{name}</text>", lane_top(lane) + 12.0);
    }
    for bar in &bars {
        draw(&mut svg, bar, scale);
    }
    axis(&mut svg, scale, height - 4.0);
    marks(&mut svg, stage, shard, scale, height);
    svg.push_str("</svg>");
    if left_out > 0 {
        let _ = write!(svg, "<p>{left_out} later bars are not drawn.</p>");
    }
    svg
}

fn lane_top(lane: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few lanes")]
    let lane = lane as f64;
    2.0 + LANE * lane
}

fn lease_bars(lease: &Lease<'_>, clock: &LeaseClock) -> Vec<Bar> {
    let Lease { fence, worker, .. } = lease;
    let class = format!("w{}", worker_color(worker));
    let mut bars = Vec::new();
    if let Some(granted) = lease.granted {
        let ended = lease.ended_at.map(super::nanos);
        let deadline = clock.real(lease.known_deadline);
        let to = ended.map_or(deadline, |e| e.min(deadline));
        let until = lease.known_deadline;
        let title =
            format!("fence {fence} of {worker}: granted at {granted} ms, deadline {until} ms of the lease clock");
        bars.push(Bar {
            lane: 0,
            from: clock.real(granted),
            to,
            class: class.clone(),
            title,
            label: fence.to_string(),
        });
    }
    for (from, to, call) in lease.beliefs() {
        let title =
            format!("{worker} believed in fence {fence} from {from} to {to} ns, after op {}", call.invoke.index);
        let (from, to) = (super::nanos(from), super::nanos(to));
        bars.push(Bar { lane: 1, from, to, class: class.clone(), title, label: fence.to_string() });
    }
    bars
}

fn section_bars(facts: &Facts<'_>, shard: &str) -> Vec<Bar> {
    let places = facts.by_shard.get(shard).map(Vec::as_slice).unwrap_or_default();
    let sections = facts.shard_calls(places).filter(|c| c.f() == "section" && c.ok());
    sections
        .filter_map(|call| {
            let (from, to) = (call.output_int("entered")?, call.output_int("left")?);
            let worker = call.output("worker").map(crate::history::name).unwrap_or_default();
            let title = format!("{worker} was in a section from {from} to {to} ns");
            let class = format!("w{}", worker_color(&worker));
            Some(Bar { lane: 2, from: super::nanos(from), to: super::nanos(to), class, title, label: String::new() })
        })
        .collect()
}

fn draw(svg: &mut String, bar: &Bar, scale: &Scale) {
    let (x, y) = (scale.x(bar.from), lane_top(bar.lane));
    let width = (scale.x(bar.to) - x).max(1.0);
    let Bar { class, title, label, .. } = bar;
    let title = escape(title);
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\"><title>{title}</title></rect>",
        LANE - 3.0
    );
    if width > 16.0 && !label.is_empty() {
        let _ = write!(svg, "<text class=\"fence\" x=\"{:.1}\" y=\"{:.0}\">{label}</text>", x + 3.0, y + 11.0);
    }
}

fn axis(svg: &mut String, scale: &Scale, y: f64) {
    for step in 0..=10 {
        let seconds = scale.from + (scale.to - scale.from) * f64::from(step) / 10.0;
        let _ = write!(svg, "<text class=\"axis\" x=\"{:.1}\" y=\"{y:.0}\">{seconds:.1}s</text>", scale.x(seconds));
    }
}

/// A line at each violation that touches the shard, linked to its trace.
fn marks(svg: &mut String, stage: &Stage<'_, '_>, shard: &str, scale: &Scale, height: f64) {
    let places = stage.facts.by_shard.get(shard).map(Vec::as_slice).unwrap_or_default();
    let indices: BTreeSet<u64> = stage
        .facts
        .shard_calls(places)
        .flat_map(|c| std::iter::once(c.invoke).chain(c.completion).map(|op| op.index))
        .collect();
    for (n, (id, violation)) in stage.violations.iter().enumerate() {
        if violation.ops.iter().any(|op| indices.contains(op)) {
            let x = scale.x(super::nanos(violation.time));
            let title = escape(&violation.message);
            let _ = write!(
                svg,
                "<a href=\"#violation-{n}\"><line class=\"violation\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{height:.0}\"><title>{id}: \
                 {title}</title></line><text class=\"violation\" x=\"{:.1}\" y=\"11\">{id}</text></a>",
                x + 3.0
            );
        }
    }
}

/// Workers get one of eight colours, by name and so the same in every drawing.
fn worker_color(worker: &str) -> u32 {
    worker.bytes().fold(0u32, |sum, b| sum.wrapping_mul(31).wrapping_add(u32::from(b))) % 8
}

/// Seconds of the recorder to places on the page.
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    fn new(facts: &Facts<'_>) -> Self {
        let times = facts.ops.iter().map(|op| op.time);
        let (from, to) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
        Self { from: super::nanos(from), to: super::nanos(to.max(from + 1)) }
    }

    fn x(&self, seconds: f64) -> f64 {
        let share = ((seconds - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        GUTTER + share * (WIDTH - GUTTER - 40.0)
    }

    fn stretch(&self, from: i64, to: i64) -> (f64, f64) {
        let x = self.x(super::nanos(from));
        (x, (self.x(super::nanos(to)) - x).max(1.0))
    }
}

/// Lays the lease clock on real time: what was granted at a moment of the lease clock was answered at a moment of real time.
/// Between such moments it runs evenly, beyond the last one a millisecond in a millisecond. Order is kept, so that leases
/// that overlap on the lease clock overlap on the page.
struct LeaseClock {
    /// Milliseconds of the lease clock and seconds of real time, both ascending.
    known: Vec<(i64, f64)>,
}

impl LeaseClock {
    fn new(facts: &Facts<'_>) -> Self {
        let calls = facts.leases.values().flatten().flat_map(|l| l.answers.iter().chain(&l.renewals));
        let mut known: Vec<(i64, i64)> =
            calls.filter_map(|c| Some((c.output_int("granted")?, c.end_time()?))).collect();
        known.sort_unstable();
        known.dedup_by_key(|(clock, _)| *clock);
        let mut latest = i64::MIN;
        let raised = known.into_iter().map(|(clock, real)| {
            latest = latest.max(real);
            (clock, super::nanos(latest))
        });
        Self { known: raised.collect() }
    }

    /// Seconds of real time.
    fn real(&self, clock: i64) -> f64 {
        let after = self.known.partition_point(|(known, _)| *known <= clock);
        let Some((from, real)) = after.checked_sub(1).map(|i| self.known[i]) else {
            return self.known.first().map_or(0.0, |(from, real)| real - millis(from - clock));
        };
        match self.known.get(after) {
            Some((to, next)) => real + (next - real) * millis(clock - from) / millis(to - from),
            None => real + millis(clock - from),
        }
    }
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "drawn, not judged")]
fn millis(ms: i64) -> f64 {
    ms as f64 / 1e3
}
