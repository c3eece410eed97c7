//! Completion time against loss, measured and drawn.

use std::fmt::Write as _;
use std::time::Duration;

use crate::link::Impairment;
use crate::random::Probability;
use crate::run::{Failure, simulate};
use crate::scenario::{HEALS_AFTER, Options};

/// The losses that are measured, in percent.
pub const LOSSES: [u32; 9] = [0, 1, 2, 5, 10, 15, 20, 25, 30];

/// What is measured at one loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// The loss in percent, each way.
    pub loss: u32,
    /// Half of the fetches were done within this time,
    pub median: Duration,
    /// and 99 of 100 within this.
    pub p99: Duration,
}

/// Fetches `options.size` bytes `options.requests` times at each loss; the rest of what is wrong stays as
/// the options say.
///
/// # Errors
///
/// When a run fails.
pub fn measure(options: &Options) -> Result<Vec<Point>, Failure> {
    let mut points = Vec::new();
    for loss in LOSSES {
        let base = options.impairment.clone().unwrap_or_default();
        let impairment = Some(Impairment { loss: Probability::from_percent(loss), ..base });
        let summary = simulate(Options { impairment, ..options.clone() }, None)?;
        let time = |percent| summary.percentile(percent).unwrap_or_default();
        points.push(Point { loss, median: time(50), p99: time(99) });
    }
    Ok(points)
}

/// The picture's size, and the room around the field in which lines are drawn.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 88.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;

/// One line of the picture: its name, its colour and what it shows.
type Curve = (&'static str, &'static str, fn(&Point) -> Duration);

const CURVES: [Curve; 2] = [("median", "#2563eb", |point| point.median), ("99 of 100", "#dc2626", |point| point.p99)];

/// Draws the points: loss to the right, time upwards on a logarithmic scale.
pub fn svg(title: &str, points: &[Point]) -> String {
    let field = Field::around(points);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#334155\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"16\" font-weight=\"600\" fill=\"#0f172a\">{}</text>\n",
        escape(title)
    );
    field.put_axes(&mut out, points);
    for curve in CURVES {
        field.put_curve(&mut out, curve, points);
    }
    out.push_str("</svg>\n");
    out
}

/// The part of the picture that lines are drawn in: what stands at its borders.
struct Field {
    loss_max: f64,
    /// Powers of ten, in seconds.
    bottom: i32,
    top: i32,
}

impl Field {
    fn around(points: &[Point]) -> Self {
        let seconds = |pick: fn(&Point) -> Duration| points.iter().map(move |point| pick(point).as_secs_f64());
        // A millisecond is less than anything that goes over a network worth the picture.
        let least = seconds(|point| point.median).fold(1.0, f64::min).max(1e-3);
        let most = seconds(|point| point.p99).fold(0.0, f64::max).max(least);
        let loss_max = points.iter().map(|point| point.loss).max().unwrap_or(0).max(1);
        let bottom = least.log10().floor() as i32;
        Self { loss_max: loss_max.into(), bottom, top: (most.log10().ceil() as i32).max(bottom + 1) }
    }

    fn x(&self, loss: u32) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * f64::from(loss) / self.loss_max
    }

    fn y(&self, seconds: f64) -> f64 {
        let (bottom, top) = (f64::from(self.bottom), f64::from(self.top));
        let height = (seconds.max(1e-9).log10() - bottom) / (top - bottom);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * height.clamp(0.0, 1.0)
    }

    fn put_axes(&self, out: &mut String, points: &[Point]) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for power in self.bottom..=self.top {
            let y = self.y(10_f64.powi(power));
            let _ = write!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#e2e8f0\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 8.0,
                y + 4.0,
                label(power)
            );
        }
        for point in points {
            let x = self.x(point.loss);
            let _ = write!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{floor}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#94a3b8\"/>\n\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                floor + 4.0,
                floor + 20.0,
                point.loss
            );
        }
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{floor}\" x2=\"{right}\" y2=\"{floor}\" stroke=\"#94a3b8\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">frames lost each way, in percent \
             (all links heal after {} s)</text>\n\
             <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">time from SYN to the end</text>\n",
            f64::midpoint(LEFT, right),
            HEIGHT - 14.0,
            HEALS_AFTER.as_secs(),
            f64::midpoint(TOP, floor),
        );
    }

    fn put_curve(&self, out: &mut String, (name, colour, pick): Curve, points: &[Point]) {
        let places: Vec<(f64, f64)> =
            points.iter().map(|point| (self.x(point.loss), self.y(pick(point).as_secs_f64()))).collect();
        let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for (x, y) in &places {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        if let Some((x, y)) = places.last() {
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>", x + 10.0, y + 4.0);
        }
    }
}

/// A power of ten of seconds, as people say it.
fn label(power: i32) -> String {
    match power {
        ..0 => format!("{} ms", 10_i32.pow(3_u32.saturating_add_signed(power))),
        0.. => format!("{} s", 10_i32.pow(power.unsigned_abs())),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(loss: u32, median: u64, p99: u64) -> Point {
        Point { loss, median: Duration::from_millis(median), p99: Duration::from_millis(p99) }
    }

    #[test]
    fn a_picture_has_axes_with_units_and_both_lines() {
        let picture = svg("a < b & c", &[point(0, 40, 41), point(10, 60, 3200), point(30, 250, 20_000)]);
        for part in [
            "a &lt; b &amp; c",
            ">10 ms<",
            ">100 s<",
            ">1 s<",
            ">0<",
            ">30<",
            "frames lost each way, in percent",
            ">median<",
            ">99 of 100<",
        ] {
            assert!(picture.contains(part), "{part}");
        }
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert_eq!(picture.matches("<circle").count(), 6);
    }

    #[test]
    fn more_time_is_higher_up_and_nothing_leaves_the_field() {
        let field = Field::around(&[point(0, 40, 41), point(30, 250, 20_000)]);
        assert_eq!((field.bottom, field.top), (-2, 2));
        assert!(field.y(0.1) > field.y(1.0));
        assert!((field.y(0.01) - (HEIGHT - BOTTOM)).abs() < 1e-6 && (field.y(1e9) - TOP).abs() < 1e-6);
    }

    #[test]
    fn a_picture_of_nothing_is_still_one() {
        assert!(svg("", &[]).ends_with("</svg>\n"));
    }
}
