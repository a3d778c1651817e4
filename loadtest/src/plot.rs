//! Charts as SVG, drawn by hand: bars and lines, with axes, units and legends.

use std::fmt::Write as _;

use crate::findings::{Bar, Chart, Line};
use crate::page::escape;

const WRITING: &str = "invariant: writing to memory does not fail";
/// Told apart also by those who see red and green alike.
const COLOURS: [&str; 5] = ["#3b7dd8", "#e08a1e", "#3f9d6b", "#b05ac8", "#7a8594"];
const WIDTH: f64 = 760.0;
const LABELS: f64 = 170.0;
const ROW: f64 = 34.0;
/// Room for a value and its note behind the longest bar.
const NOTE: f64 = 200.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 45.0;
/// Grid lines wanted on an axis.
const STEPS: f64 = 5.0;
/// Most grid lines there can be, whatever the numbers do.
const STEPS_MAX: usize = 20;

/// A chart with its title.
pub(crate) fn figure(chart: &Chart) -> String {
    let (title, svg) = match chart {
        Chart::Bars { title, unit, bars } => (title, draw_bars(unit, bars)),
        Chart::Lines { title, x, y, lines } => (title, draw_lines(x, y, lines)),
    };
    format!(
        "<figure><figcaption>{}</figcaption>{svg}</figure>\n",
        escape(title)
    )
}

fn draw_bars(unit: &str, bars: &[Bar]) -> String {
    let largest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let scale = (WIDTH - LABELS - NOTE) / largest.max(f64::MIN_POSITIVE);
    let mut body = String::new();
    let mut y = 0.0;
    for (bar, colour) in bars.iter().zip(COLOURS.iter().cycle()) {
        let width = (bar.value * scale).max(1.0);
        let middle = y + ROW / 2.0 + 4.5;
        write!(
            body,
            "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"3\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{middle:.1}\">{} {}<tspan class=\"soft\" dx=\"8\">{}</tspan></text>",
            LABELS - 10.0,
            escape(&bar.label),
            y + 5.0,
            ROW - 10.0,
            LABELS + width + 8.0,
            number(bar.value),
            escape(unit),
            escape(&bar.note),
        )
        .expect(WRITING);
        y += ROW;
    }
    svg(y.max(ROW), &body)
}

fn draw_lines(x_label: &str, y_label: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let x_max = points().map(|point| point.0).fold(0.0, f64::max).max(1e-9);
    let y_step = step(points().map(|point| point.1).fold(0.0, f64::max));
    let y_max = points()
        .map(|point| (point.1 / y_step).ceil() * y_step)
        .fold(y_step, f64::max);
    let x_of = |value: f64| LEFT + value / x_max * (WIDTH - LEFT - RIGHT);
    let y_of = |value: f64| HEIGHT - BOTTOM - value / y_max * (HEIGHT - TOP - BOTTOM);
    let mut body = String::new();
    for value in ticks(y_max, y_step) {
        let y = y_of(value);
        write!(
            body,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"soft\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.5,
            number(value),
        )
        .expect(WRITING);
    }
    for value in ticks(x_max, step(x_max)) {
        write!(
            body,
            "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x_of(value),
            HEIGHT - BOTTOM + 18.0,
            number(value),
        )
        .expect(WRITING);
    }
    write!(
        body,
        "<text class=\"soft\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
         <text class=\"soft\" x=\"0\" y=\"14\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        escape(x_label),
        escape(y_label),
    )
    .expect(WRITING);
    let mut legend = WIDTH - RIGHT;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path = line.points.iter().fold(String::new(), |mut path, point| {
            let (x, y) = (x_of(point.0), y_of(point.1));
            write!(path, "{x:.1},{y:.1} ").expect(WRITING);
            path
        });
        write!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-linejoin=\"round\"/>\
             <rect x=\"{:.0}\" y=\"4\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{legend:.0}\" y=\"14\" text-anchor=\"end\">{}</text>",
            path.trim_end(),
            legend - text_width(&line.label) - 18.0,
            escape(&line.label),
        )
        .expect(WRITING);
        legend -= text_width(&line.label) + 40.0;
    }
    svg(HEIGHT, &body)
}

/// About as wide as a text is drawn.
fn text_width(text: &str) -> f64 {
    f64::from(u32::try_from(text.chars().count()).unwrap_or(0)) * 7.5
}

fn svg(height: f64, body: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">{body}</svg>")
}

/// A distance between grid lines that reads well: 1, 2 or 5 of some power of ten.
fn step(largest: f64) -> f64 {
    let rough = (largest / STEPS).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

fn ticks(largest: f64, step: f64) -> impl Iterator<Item = f64> {
    let values = (0u32..).map(move |index| f64::from(index) * step);
    values
        .take_while(move |value| *value <= largest * (1.0 + 1e-9))
        .take(STEPS_MAX)
}

/// With as many digits as can be read off a chart.
fn number(value: f64) -> String {
    if value >= 1_000.0 {
        let text = format!("{value:.0}");
        let mut grouped = String::new();
        for (place, digit) in text.chars().enumerate() {
            if place > 0 && (text.len() - place).is_multiple_of(3) {
                grouped.push('\u{202f}');
            }
            grouped.push(digit);
        }
        grouped
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_well() {
        for (largest, wanted) in [(10.0, 2.0), (1.0, 0.2), (230.0, 50.0), (60.0, 20.0)] {
            assert!((step(largest) - wanted).abs() < 1e-9, "{largest}");
        }
        assert_eq!(ticks(60.0, 20.0).count(), 4);
    }

    #[test]
    fn thousands_are_grouped_and_small_numbers_cut() {
        assert_eq!(number(12_345.6), "12\u{202f}346");
        assert_eq!(number(11.40), "11.4");
        assert_eq!(number(0.0), "0");
    }

    #[test]
    fn a_chart_without_points_is_still_a_chart() {
        let chart = Chart::Lines {
            title: "a<b".into(),
            x: "s",
            y: "MiB",
            lines: vec![Line {
                label: "none".into(),
                points: vec![],
            }],
        };
        let figure = figure(&chart);
        assert!(figure.contains("a&lt;b") && !figure.contains("NaN"));
    }
}
