//! Latency and rate over time, as SVG.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::faults::Fault;
use crate::history::Call;

const SIZE: (u32, u32) = (1000, 280);
/// Points beyond which only every so many is drawn.
const MOST_POINTS: usize = 4000;
const WINDOWS: usize = 60;

const OK: RGBColor = RGBColor(46, 125, 84);
const FAIL: RGBColor = RGBColor(200, 135, 20);
const INFO: RGBColor = RGBColor(178, 60, 60);
const SHADE: RGBColor = RGBColor(230, 214, 196);

/// How a call ended, as plotted.
const ENDS: [(&str, RGBColor); 3] = [("ok", OK), ("fail", FAIL), ("info", INFO)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// When it was invoked in seconds, its latency in milliseconds, and its place in [`ENDS`].
struct Point {
    at: f64,
    latency: f64,
    end: usize,
}

fn points(calls: &[Call<'_>]) -> Vec<Point> {
    let point = |call: &Call<'_>| {
        let end_time = call.end_time()?;
        let end = if call.ok() { 0 } else { 1 + usize::from(call.open()) };
        let latency = super::nanos(end_time - call.time()) * 1e3;
        Some(Point { at: super::nanos(call.time()), latency: latency.max(0.01), end })
    };
    calls.iter().filter_map(point).collect()
}

/// Seconds from the first to the last invocation.
fn span(points: &[Point]) -> Option<(f64, f64)> {
    let from = points.iter().map(|p| p.at).min_by(f64::total_cmp)?;
    let to = points.iter().map(|p| p.at).max_by(f64::total_cmp)?;
    Some((from, to.max(from + 0.001)))
}

/// Latency of each call on a logarithmic scale, with quantiles over windows of time. None without answered calls.
pub(super) fn latency(calls: &[Call<'_>], faults: &[Fault]) -> Option<String> {
    let points = points(calls);
    let span = span(&points)?;
    svg(|area| draw_latency(area, &points, span, faults))
}

/// Calls a second by how they ended. None without answered calls.
pub(super) fn rate(calls: &[Call<'_>], faults: &[Fault]) -> Option<String> {
    let points = points(calls);
    let span = span(&points)?;
    svg(|area| draw_rate(area, &points, span, faults))
}

/// A drawing that cannot be made is left out: the page says the same in words.
fn svg(draw: impl for<'a> FnOnce(&Area<'a>) -> Result<(), DrawError<'a>>) -> Option<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area).and_then(|()| area.present()).ok()?;
    }
    Some(text)
}

fn draw_latency<'a>(
    area: &Area<'a>,
    points: &[Point],
    span: (f64, f64),
    faults: &[Fault],
) -> Result<(), DrawError<'a>> {
    let low = points.iter().map(|p| p.latency).min_by(f64::total_cmp).unwrap_or(0.1) * 0.8;
    let high = points.iter().map(|p| p.latency).max_by(f64::total_cmp).unwrap_or(1.0) * 1.25;
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d(span.0..span.1, (low..high).log_scale())?;
    shade(&mut chart, faults, span, (low, high))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_label_formatter(&|s| format!("{s:.1}s"))
        .y_label_formatter(&|ms| format!("{ms:.1}"))
        .y_desc("latency, ms")
        .draw()?;
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    for (end, (name, color)) in ENDS.iter().enumerate() {
        let own = points.iter().filter(|p| p.end == end).step_by(step);
        chart
            .draw_series(own.map(|p| Circle::new((p.at, p.latency), 2, color.mix(0.4).filled())))?
            .label(*name)
            .legend(|(x, y)| Circle::new((x + 8, y), 3, color.filled()));
    }
    for (share, color) in [(0.5, BLACK.mix(0.5)), (0.99, BLACK.mix(0.9))] {
        let line = quantiles(points, span, share);
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(1)))?
            .label(format!("p{:.0}", share * 100.0))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()
}

/// Of each window of time, the latency below which a share of the calls stayed.
fn quantiles(points: &[Point], span: (f64, f64), share: f64) -> Vec<(f64, f64)> {
    let mut windows: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for p in points {
        windows.entry(window(p.at, span)).or_default().push(p.latency);
    }
    let quantile = |(window, mut latencies): (usize, Vec<f64>)| {
        latencies.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let rank = ((latencies.len() - 1) as f64 * share).round() as usize;
        (middle(window, span), latencies[rank])
    };
    windows.into_iter().map(quantile).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small number"
)]
fn window(at: f64, (from, to): (f64, f64)) -> usize {
    (((at - from) / (to - from) * WINDOWS as f64) as usize).min(WINDOWS - 1)
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn middle(window: usize, (from, to): (f64, f64)) -> f64 {
    from + (to - from) * (window as f64 + 0.5) / WINDOWS as f64
}

fn draw_rate<'a>(area: &Area<'a>, points: &[Point], span: (f64, f64), faults: &[Fault]) -> Result<(), DrawError<'a>> {
    let mut counts = [[0.0f64; WINDOWS]; ENDS.len()];
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let seconds = (span.1 - span.0) / WINDOWS as f64;
    for p in points {
        counts[p.end][window(p.at, span)] += 1.0 / seconds;
    }
    let high = counts.iter().flatten().copied().max_by(f64::total_cmp).unwrap_or(1.0) * 1.1;
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d(span.0..span.1, 0.0..high)?;
    shade(&mut chart, faults, span, (0.0, high))?;
    chart.configure_mesh().disable_mesh().x_label_formatter(&|s| format!("{s:.1}s")).y_desc("calls a second").draw()?;
    for (counts, (name, color)) in counts.iter().zip(ENDS) {
        let line = counts.iter().enumerate().map(|(w, rate)| (middle(w, span), *rate));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()
}

fn shade<'a, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'a>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    faults: &[Fault],
    (from, to): (f64, f64),
    (low, high): (f64, f64),
) -> Result<(), DrawError<'a>>
where
    Y: Ranged<ValueType = f64>,
{
    let clip = |ns: i64| super::nanos(ns).clamp(from, to);
    let shades =
        faults.iter().map(|f| Rectangle::new([(clip(f.from), low), (clip(f.to), high)], SHADE.mix(0.6).filled()));
    chart.draw_series(shades)?;
    Ok(())
}
