//! Completion time against loss, measured and drawn.

use std::time::Duration;

use crate::draw::{Axis, Scale, Spread, figure, lines};
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

/// Draws the points: loss to the right, time upwards on a logarithmic scale.
pub fn svg(title: &str, points: &[Point]) -> String {
    let healing = format!("frames lost each way, in percent (all links heal after {} s)", HEALS_AFTER.as_secs());
    let across = Axis { name: &healing, scale: Scale::Linear, label: figure };
    let up = Axis { name: "time from SYN to the end", scale: Scale::Logarithmic, label };
    let line = |name: &str, pick: fn(&Point) -> Duration| {
        let place = |point: &Point| (f64::from(point.loss), Spread::of(pick(point).as_secs_f64()));
        (name.to_owned(), points.iter().map(place).collect())
    };
    lines(title, &across, &up, &[line("median", |point| point.median), line("99 of 100", |point| point.p99)])
}

/// A power of ten of seconds, with its unit.
fn label(seconds: f64) -> String {
    if seconds < 0.5 { format!("{} ms", figure(seconds * 1e3)) } else { format!("{} s", figure(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_axes_with_units_and_both_lines() {
        let point = |loss, median, p99| {
            let [median, p99] = [median, p99].map(Duration::from_millis);
            Point { loss, median, p99 }
        };
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
}
