//! Charts as SVG, of what GitHub and every browser shows: the only ones of this repository.
//!
//! Elements are written in the order in which they lie on each other; coordinates have one decimal.

#![allow(clippy::cast_precision_loss, reason = "pictures for people")]

use std::fmt::Write as _;

const COLORS: [&str; 8] = ["#1f6f8b", "#c8553d", "#6a994e", "#7b5ea7", "#b58900", "#555555", "#c06c9b", "#8a5a2b"];

/// The color of a bar that is not highlighted.
const PALE: &str = "#aab4ba";

/// The color of words, and of the line that shows a spread over a bar.
const INK: &str = "#222";

/// The color of the lines of a grid.
const GRID: &str = "#ddd";

const WIDTH: f64 = 760.0;
const TOP: f64 = 48.0;

/// Of bars: the height of a row, the room for names, and that behind the longest bar.
const ROW: f64 = 24.0;
const LABELS: f64 = 230.0;
const MARGIN: f64 = 60.0;

/// Of lines: the height of the picture, the room around the field, and that for names to its right.
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 52.0;
const NAMES: f64 = 220.0;

/// Between the middles of two numbers below an axis, so that both can be read.
const GAP: f64 = 36.0;

/// The least on a logarithmic axis of values.
const LEAST: f64 = 1e-3;

/// What was measured several times.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    /// The least of it.
    pub least: f64,
    /// The middle of it.
    pub median: f64,
    /// The most of it.
    pub most: f64,
}

impl Spread {
    /// What was measured once.
    pub fn of(value: f64) -> Self {
        Self { least: value, median: value, most: value }
    }
}

/// A row of a chart of bars.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// What stands before it.
    pub name: String,
    /// How long it is.
    pub value: Spread,
    /// Whether it is what the chart is about.
    pub highlighted: bool,
}

/// Draws a bar for each row, with its spread. `unit` stands below the axis.
pub fn bars(title: &str, unit: &str, rows: &[Bar]) -> String {
    let marks = ticks(rows.iter().map(|row| row.value.most).fold(0.0, f64::max));
    let scale = (WIDTH - LABELS - MARGIN) / marks.last().unwrap_or(&1.0);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut picture = Picture::begin(bottom + 48.0, title);
    for mark in marks {
        let x = LABELS + mark * scale;
        picture.line((x, TOP), (x, bottom), GRID, 1.0);
        picture.text((x, bottom + 18.0), &figure(mark), "middle", 13);
    }
    picture.text((WIDTH - MARGIN, bottom + 36.0), unit, "end", 13);
    for (number, Bar { name, value, highlighted }) in rows.iter().enumerate() {
        let y = TOP + ROW * number as f64;
        let color = if *highlighted { COLORS[0] } else { PALE };
        picture.text((LABELS - 8.0, y + 16.0), name, "end", 13);
        let (width, height) = (value.median * scale, ROW - 8.0);
        picture.put(format_args!(
            "<rect x=\"{LABELS}\" y=\"{}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{color}\"/>",
            y + 4.0
        ));
        let [from, to] = [value.least, value.most].map(|end| (LABELS + end * scale, y + ROW / 2.0));
        picture.line(from, to, INK, 1.5);
        picture.text((to.0 + 6.0, y + 16.0), &format!("{:.1}", value.median), "start", 13);
    }
    picture.end()
}

/// How values are spread over an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Equal steps are equally long.
    Linear,
    /// Equal factors are equally long. Along the horizontal axis 0 is a decade before the next value.
    Logarithmic,
}

/// An axis of a chart of lines.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// What it shows, with its unit.
    pub name: &'a str,
    /// How values are spread over it.
    pub scale: Scale,
    /// How a value is written at it: [`figure`], or with a unit.
    pub label: fn(f64) -> String,
}

/// A line: its name, and its points from left to right.
pub type Series = (String, Vec<(f64, Spread)>);

/// Draws lines, a color each, with the spread of every point.
pub fn lines(title: &str, across: &Axis<'_>, up: &Axis<'_>, series: &[Series]) -> String {
    let field = Field::around(across, up, series);
    let mut picture = Picture::begin(HEIGHT, title);
    field.draw_axes(&mut picture, across, up, series);
    for (number, (name, points)) in series.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let path: Vec<String> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", field.x(x), field.y(y.median))).collect();
        let path = path.join(" ");
        picture.put(format_args!("<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"));
        for &(x, Spread { least, median, most }) in points {
            let x = field.x(x);
            picture.line((x, field.y(least)), (x, field.y(most)), color, 1.5);
            picture.put(format_args!("<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\"/>", field.y(median)));
        }
        let (x, y) = (Field::RIGHT + 16.0, TOP + 14.0 + 20.0 * number as f64);
        picture.line((x, y), (x + 20.0, y), color, 3.0);
        picture.text((x + 26.0, y + 4.0), name, "start", 13);
    }
    picture.end()
}

/// The part of a chart that lines are drawn in, and what stands at its borders.
struct Field {
    x_scale: Scale,
    y_scale: Scale,
    /// Where on a logarithmic axis 0 is.
    nought: f64,
    first: f64,
    last: f64,
    marks: Vec<f64>,
}

impl Field {
    const RIGHT: f64 = WIDTH - NAMES;
    const FLOOR: f64 = HEIGHT - BOTTOM;

    fn around(across: &Axis<'_>, up: &Axis<'_>, series: &[Series]) -> Self {
        let points = || series.iter().flat_map(|(_, points)| points);
        let nought = points().map(|&(x, _)| x).filter(|&x| x > 0.0).fold(f64::INFINITY, f64::min);
        let nought = if nought.is_finite() { nought / 10.0 } else { 0.1 };
        let most = points().map(|(_, y)| y.most).fold(0.0, f64::max);
        let least = points().map(|(_, y)| y.least).fold(f64::INFINITY, f64::min);
        let marks = match up.scale {
            Scale::Linear => ticks(most),
            Scale::Logarithmic if least.is_finite() => decades(least.max(LEAST), most.max(LEAST)),
            Scale::Logarithmic => decades(LEAST, 1.0),
        };
        let mut field = Self { x_scale: across.scale, y_scale: up.scale, nought, first: 0.0, last: 1.0, marks };
        let places = || points().map(|&(x, _)| field.place(x));
        let (left, right) = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
        if left.is_finite() {
            (field.first, field.last) = (left, if right > left { right } else { left + 1.0 });
        }
        field
    }

    fn place(&self, x: f64) -> f64 {
        match self.x_scale {
            Scale::Linear => x,
            Scale::Logarithmic => x.max(self.nought).log10(),
        }
    }

    fn height(&self, y: f64) -> f64 {
        match (self.y_scale, self.marks.first()) {
            (Scale::Logarithmic, Some(&least)) => (y.max(least) / least).log10(),
            _ => y,
        }
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (self.place(x) - self.first) / (self.last - self.first) * (Self::RIGHT - LEFT)
    }

    fn y(&self, y: f64) -> f64 {
        let most = self.marks.last().map_or(1.0, |&most| self.height(most));
        Self::FLOOR - self.height(y) / most * (Self::FLOOR - TOP)
    }

    fn draw_axes(&self, picture: &mut Picture, across: &Axis<'_>, up: &Axis<'_>, series: &[Series]) {
        for &mark in &self.marks {
            let y = self.y(mark);
            picture.line((LEFT, y), (Self::RIGHT, y), GRID, 1.0);
            picture.text((LEFT - 8.0, y + 4.0), &(up.label)(mark), "end", 13);
        }
        let mut all: Vec<f64> = series.iter().flat_map(|(_, points)| points.iter().map(|&(x, _)| x)).collect();
        all.sort_by(f64::total_cmp);
        let mut written = f64::NEG_INFINITY;
        for x in all {
            if self.x(x) - written >= GAP {
                picture.text((self.x(x), Self::FLOOR + 18.0), &(across.label)(x), "middle", 13);
                written = self.x(x);
            }
        }
        picture.text((f64::midpoint(LEFT, Self::RIGHT), HEIGHT - 12.0), across.name, "middle", 13);
        picture.text((LEFT, TOP - 6.0), up.name, "start", 12);
    }
}

/// Some five round numbers from 0 to at least `most`.
fn ticks(most: f64) -> Vec<f64> {
    let mut step = if most > 0.0 { 10_f64.powf((most / 4.0).log10().floor()) } else { 1.0 };
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| step * factor * 5.0 >= most);
    step *= factor.unwrap_or(10.0);
    // At most five steps reach.
    let count = (1..=5).find(|&count| step * f64::from(count) >= most).unwrap_or(5_u32);
    (0..=count).map(|number| step * f64::from(number)).collect()
}

/// Powers of ten, from at most the one to at least the other.
fn decades(least: f64, most: f64) -> Vec<f64> {
    let (low, high) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    (low..=high.max(low + 1)).map(|power| 10_f64.powi(power)).collect()
}

/// A number at an axis: in thousands or millions, if it is large.
pub fn figure(value: f64) -> String {
    for (unit, name) in [(1e6, "M"), (1e3, "k")] {
        if value >= unit {
            return significant(value / unit, 3) + name;
        }
    }
    significant(value, 6)
}

/// A number with so many significant digits at most.
fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (digits - 1 - value.abs().log10().floor() as i32).max(0).unsigned_abs() as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A picture that is being written.
struct Picture(String);

impl Picture {
    fn begin(height: f64, title: &str) -> Self {
        let mut picture = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"{}\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n",
            escape(title)
        ));
        picture.text((16.0, 26.0), title, "start", 16);
        picture
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{element}");
    }

    fn text(&mut self, (x, y): (f64, f64), words: &str, anchor: &str, size: u32) {
        let words = escape(words);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" \
             fill=\"{INK}\">{words}</text>"
        ));
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str, width: f64) {
        self.put(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\" \
             stroke-width=\"{width}\"/>"
        ));
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis<'static> {
        Axis { name: "things", scale, label: figure }
    }

    fn series(points: &[(f64, f64)]) -> Vec<Series> {
        vec![("one".to_owned(), points.iter().map(|&(x, y)| (x, Spread::of(y))).collect())]
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        let all = [(0.0, "0"), (0.3, "0.3"), (0.001, "0.001"), (250.0, "250"), (1500.0, "1.5k"), (2e6, "2M")];
        for (value, text) in all {
            assert_eq!(figure(value), text);
        }
        assert_eq!(figure(0.1 + 0.2), "0.3");
    }

    #[test]
    fn marks_are_round_and_reach_over_everything() {
        assert_eq!(ticks(438.0), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(ticks(0.0), [0.0, 1.0]);
        assert_eq!(decades(0.04, 20.0), [0.01, 0.1, 1.0, 10.0, 100.0]);
        assert_eq!(decades(1.0, 1.0), [1.0, 10.0]);
    }

    #[test]
    fn more_is_higher_up_and_further_to_the_right_and_nothing_leaves_the_field() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let series = series(&[(0.0, 0.04), (10.0, 3.0), (30.0, 20.0)]);
            let field = Field::around(&axis(scale), &axis(scale), &series);
            for pair in series[0].1.windows(2) {
                assert!(field.x(pair[0].0) < field.x(pair[1].0), "{scale:?}");
                assert!(field.y(pair[0].1.median) > field.y(pair[1].1.median), "{scale:?}");
            }
            for &(x, y) in &series[0].1 {
                assert!((LEFT..=Field::RIGHT).contains(&field.x(x)), "{scale:?}");
                assert!((TOP..=Field::FLOOR).contains(&field.y(y.median)), "{scale:?}");
            }
        }
    }

    #[test]
    fn a_picture_has_everything_and_escapes_what_it_is_told() {
        let (across, up) = (axis(Scale::Logarithmic), axis(Scale::Linear));
        let picture = lines("a < b & \"c\"", &across, &up, &series(&[(1.0, 2.0), (100.0, 3.0)]));
        for part in ["aria-label=\"a &lt; b &amp; &quot;c&quot;\"", ">things<", ">one<", ">100<", ">3<"] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        assert_eq!((picture.matches("<polyline").count(), picture.matches("<circle").count()), (1, 2));
        let value = Spread { least: 1.0, median: 2.0, most: 4.0 };
        let rows = [true, false].map(|highlighted| Bar { name: "server".to_owned(), value, highlighted });
        let picture = bars("cost", "µs", &rows);
        assert_eq!(picture.matches(">server<").count(), 2);
        assert!(picture.contains(COLORS[0]) && picture.contains(PALE) && picture.contains(">2.0<"), "{picture}");
    }

    #[test]
    fn a_picture_of_nothing_is_still_one() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let picture = lines("", &axis(scale), &axis(scale), &[]);
            assert!(picture.ends_with("</svg>\n") && !picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
        assert!(bars("", "", &[]).ends_with("</svg>\n"));
    }
}
