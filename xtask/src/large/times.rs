//! One download at a time over networks of all kinds, from Lethe and from nginx by turns: the table of long responses
//! in docs/performance.md, and its charts.

use lethe_sim::draw::{Axis, Scale, Series, Spread, figure, lines};
use lethe_testnet::root;

use super::table::Table;
use super::{Lab, Server as Kind};
use crate::compare::table;
use crate::downloads::{human, percentile};
use crate::page::{self, wrapped};
use crate::shared::{Bottleneck, Contender, Link, SharedNetwork, Site, undisturbed};

/// Where the table is in docs/performance.md.
const MARKS: [&str; 2] = ["<!-- large times: begin -->", "<!-- large times: end -->"];

/// Milliseconds of round trip, percent of loss each way, bytes, and how many downloads of each server: fewer, where
/// each takes long.
const ROWS: [(u32, f64, usize, usize); 22] = [
    (20, 5.0, 14_000, 40),
    (20, 0.0, 64_000, 20),
    (20, 1.0, 64_000, 20),
    (20, 5.0, 64_000, 40),
    (20, 0.0, 1_000_000, 20),
    (20, 0.1, 1_000_000, 20),
    (20, 0.5, 1_000_000, 20),
    (20, 1.0, 1_000_000, 20),
    (20, 2.0, 1_000_000, 20),
    (20, 5.0, 1_000_000, 20),
    (20, 0.0, 10_000_000, 10),
    (20, 0.1, 10_000_000, 10),
    (20, 1.0, 10_000_000, 5),
    (5, 0.0, 1_000_000, 20),
    (50, 0.0, 1_000_000, 20),
    (100, 0.0, 1_000_000, 20),
    (200, 0.0, 1_000_000, 10),
    (300, 0.0, 1_000_000, 10),
    (100, 1.0, 1_000_000, 10),
    (100, 5.0, 1_000_000, 7),
    (100, 0.0, 10_000_000, 5),
    (100, 0.1, 10_000_000, 3),
];

/// What a dimension is where others are given.
const RTT: u32 = 20;
const LOSSES: [f64; 3] = [0.0, 1.0, 5.0];
const SIZE: usize = 1_000_000;
const COUNT: usize = 10;

/// So many places along an axis make a chart.
const CHART: usize = 3;

/// A chart, and what it is called in files and in words.
struct Chart {
    name: String,
    title: String,
    svg: String,
}

/// What a row is of.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Asked {
    rtt: u32,
    loss: f64,
    size: usize,
    count: usize,
}

/// What came of a row: of each server the seconds of each download, and the bytes of its frames for each byte of the
/// file.
struct Found {
    asked: Asked,
    seconds: Vec<Vec<f64>>,
    bytes: Vec<Vec<f64>>,
}

impl Lab<'_> {
    /// Times of single downloads. All of them go into docs/performance.md.
    pub(super) fn times(&self, wrong: &mut Table) -> anyhow::Result<()> {
        let (asked, contenders) = (self.asked(), self.contenders());
        let sizes: Vec<usize> = asked.iter().map(|row| row.size).collect();
        let site = Site::of(&self.networks, &sizes)?;
        let mut all = Vec::new();
        let mut rest = asked.clone();
        // All sizes over one network.
        while let Some(&Asked { rtt, loss, .. }) = rest.first() {
            let (rows, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|row| (row.rtt, row.loss) == (rtt, loss));
            rest = others;
            let link = Link { rtt, loss, bottleneck: self.bottleneck() };
            println!("\n{link}");
            all.extend(undisturbed(|| {
                let impair = link.impair(self.args.seed);
                let mut network = SharedNetwork::start(&self.networks, &contenders, &site, &impair)?;
                let found = rows.iter().map(|&row| self.row_of_times(row, &mut network, wrong));
                let found = found.collect::<anyhow::Result<Vec<_>>>()?;
                network.check_devices()?;
                Ok(found)
            })?);
        }
        all.sort_by_key(|found| asked.iter().position(|row| *row == found.asked));
        let charts = charts(&contenders, &all);
        let folder = self.args.out.clone().or_else(|| self.is_whole_table().then(|| root().join("docs")));
        let text = self.report(&contenders, &all, &charts)?;
        println!("\n{text}");
        match folder {
            Some(folder) => {
                let charts: Vec<_> = charts.into_iter().map(|Chart { name, svg, .. }| (name, svg)).collect();
                page::put(&folder, "performance.md", MARKS, &text, &charts)
            }
            None => Ok(()),
        }
    }

    /// The rows that are asked for: those of the table, or each combination of what the options say.
    fn asked(&self) -> Vec<Asked> {
        let args = self.args;
        let scaled = |count| args.count.map_or_else(|| self.scaled(count, 1), usize::from);
        if args.rtt.is_empty() && args.loss.is_empty() && args.size.is_empty() {
            return ROWS.map(|(rtt, loss, size, count)| Asked { rtt, loss, size, count: scaled(count) }).into();
        }
        let mut rows = Vec::new();
        for &rtt in or(&args.rtt, &[RTT]) {
            for &loss in or(&args.loss, &LOSSES) {
                for &size in or(&args.size, &[SIZE]) {
                    rows.push(Asked { rtt, loss, size, count: scaled(COUNT) });
                }
            }
        }
        rows
    }

    /// Whether what is measured is what docs/performance.md shows.
    fn is_whole_table(&self) -> bool {
        let rows = ROWS.map(|(rtt, loss, size, count)| Asked { rtt, loss, size, count });
        self.asked() == rows && self.contenders() == Contender::all() && self.bottleneck().is_none()
    }

    /// The servers that are asked for.
    fn contenders(&self) -> Vec<Contender> {
        let is_wanted = |contender: &Contender| {
            let kind = if matches!(contender, Contender::Nginx(_)) { Kind::Nginx } else { Kind::Lethe };
            self.servers().contains(&kind)
        };
        Contender::all().into_iter().filter(is_wanted).chain(self.before()).collect()
    }

    /// The other build that is put beside, if one is asked for.
    pub(super) fn before(&self) -> Option<Contender> {
        self.args.before.clone().map(Contender::Before)
    }

    fn bottleneck(&self) -> Option<Bottleneck> {
        self.args.rate.map(|rate| Bottleneck { rate, queue: self.args.queue })
    }

    /// Downloads of one size, by turns.
    fn row_of_times(&self, asked: Asked, network: &mut SharedNetwork, wrong: &mut Table) -> anyhow::Result<Found> {
        let count = network.contenders().len();
        let mut found = Found { asked, seconds: vec![Vec::new(); count], bytes: vec![Vec::new(); count] };
        let (family, path) = (self.families()[0].name(), self.work.path().join("body"));
        let curl = network.curl(self.networks.pattern(asked.size), self.args.longest);
        for round in 0..asked.count {
            for turn in 0..count {
                // Each is first as often as the others, or nearly.
                let number = (round + turn) % count;
                let before = network.counters()?[number].bytes;
                let download = curl.fetch(&SharedNetwork::url(number, family, &asked.size.to_string()), &path);
                let bytes = network.counters()?[number].bytes - before;
                wrong.note(&network.contenders()[number].name(), &download);
                found.seconds[number].push(download.seconds);
                found.bytes[number].push(bytes as f64 / asked.size as f64);
            }
        }
        println!("{}", cells(&found).join("  "));
        Ok(found)
    }

    /// The lines and tables of docs/performance.md.
    fn report(&self, contenders: &[Contender], all: &[Found], charts: &[Chart]) -> anyhow::Result<String> {
        let family = self.families()[0].name();
        let run = [
            format!("* {}; IP{family}.", page::date_and_command()),
            format!("* {}; {}.", page::machine()?, page::said("nginx", &["-v"])),
        ];
        let run = run.map(|line| wrapped(&line)).join("\n");
        let names: Vec<String> = contenders.iter().map(Contender::name).collect();
        let mut head = vec!["RTT, ms".to_owned(), "lost each way".to_owned(), "size".to_owned(), "n".to_owned()];
        head.extend(names.iter().map(|name| format!("{name}: p50 / p90, s")));
        head.extend(names.iter().skip(1).map(|name| format!("{}/{name}", names[0])));
        head.extend(names.iter().map(|name| format!("{name}: bytes")));
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = all.iter().map(cells).collect();
        let images = charts.iter().map(|Chart { name, title, .. }| format!("![{title}](charts/{name}.svg)"));
        Ok([run].into_iter().chain(images).chain([table(&head, &rows)]).collect::<Vec<_>>().join("\n\n"))
    }
}

/// What is given, or what is taken where nothing is.
pub(super) fn or<'a, T>(given: &'a [T], default: &'a [T]) -> &'a [T] {
    if given.is_empty() { default } else { given }
}

/// Three significant digits.
fn short(value: f64) -> String {
    let digits = 2 - value.abs().max(1e-9).log10().floor() as i32;
    format!("{value:.*}", digits.clamp(0, 3).unsigned_abs() as usize)
}

/// A row of the table.
fn cells(Found { asked, seconds, bytes }: &Found) -> Vec<String> {
    let Asked { rtt, loss, size, count } = asked;
    let middle = |values: &[f64]| percentile(values, 50);
    let mut cells = vec![rtt.to_string(), format!("{loss} %"), human(*size), count.to_string()];
    cells.extend(seconds.iter().map(|times| format!("{} / {}", short(middle(times)), short(percentile(times, 90)))));
    cells.extend(seconds.iter().skip(1).map(|times| format!("{:.2}", middle(&seconds[0]) / middle(times))));
    cells.extend(bytes.iter().map(|bytes| format!("{:.3}", bytes.iter().sum::<f64>() / bytes.len() as f64)));
    cells
}

/// Charts of time against loss and against the round trip, wherever there are enough rows that differ in nothing else.
fn charts(contenders: &[Contender], all: &[Found]) -> Vec<Chart> {
    let mut charts: Vec<Chart> = Vec::new();
    for found in all {
        let Asked { rtt, loss, size, .. } = found.asked;
        let by_loss = (
            format!("long-by-loss-rtt-{rtt}-{size}"),
            format!("{}, RTT {rtt} ms: time by loss", human(size)),
            "percent lost each way",
            along(all, |row| (row.rtt, row.size) == (rtt, size), |row| row.loss),
        );
        let by_rtt = (
            format!("long-by-rtt-loss-{loss}-{size}"),
            format!("{}, {loss} % lost each way: time by round trip", human(size)),
            "round trip, ms",
            along(all, |row| (row.loss, row.size) == (loss, size), |row| f64::from(row.rtt)),
        );
        for (name, title, across, points) in [by_loss, by_rtt] {
            if points.len() >= CHART && charts.iter().all(|chart| chart.name != name) {
                let series = |(number, contender): (usize, &Contender)| -> Series {
                    let spread = |found: &Found| {
                        let [median, most] = [50, 90].map(|mark| percentile(&found.seconds[number], mark));
                        Spread { least: median, median, most }
                    };
                    (contender.name(), points.iter().map(|&(x, found)| (x, spread(found))).collect())
                };
                let series: Vec<Series> = contenders.iter().enumerate().map(series).collect();
                let across = Axis { name: across, scale: Scale::Linear, label: figure };
                let up = Axis { name: "seconds: median, and up to p90", scale: Scale::Logarithmic, label: figure };
                let svg = lines(&title, &across, &up, &series);
                charts.push(Chart { name, title, svg });
            }
        }
    }
    charts
}

/// The rows of a kind, in the order of where they are along an axis.
fn along(all: &[Found], is_one: impl Fn(&Asked) -> bool, place: impl Fn(&Asked) -> f64) -> Vec<(f64, &Found)> {
    let mut points: Vec<_> =
        all.iter().filter(|found| is_one(&found.asked)).map(|found| (place(&found.asked), found)).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rtt: u32, loss: f64, seconds: f64) -> Found {
        let asked = Asked { rtt, loss, size: 64_000, count: 2 };
        Found { asked, seconds: vec![vec![seconds, seconds * 2.0], vec![1.0, 1.0]], bytes: vec![vec![1.1]; 2] }
    }

    #[test]
    fn a_row_has_times_ratios_and_bytes() {
        let cells = cells(&found(20, 0.1, 0.0512));
        assert_eq!(cells, ["20", "0.1 %", "64 kB", "2", "0.051 / 0.102", "1.00 / 1.00", "0.05", "1.100", "1.100"]);
        assert_eq!([0.1, 1.234, 12.34, 123.4].map(short), ["0.100", "1.23", "12.3", "123"]);
    }

    #[test]
    fn there_is_a_chart_where_only_one_thing_differs() {
        let contenders = [Contender::Lethe, Contender::Nginx("cubic".to_owned())];
        let losses = [5.0, 0.0, 1.0].map(|loss| found(20, loss, loss + 0.1));
        let made = charts(&contenders, &losses);
        let names: Vec<&str> = made.iter().map(|chart| chart.name.as_str()).collect();
        assert_eq!(names, ["long-by-loss-rtt-20-64000"]);
        let points = along(&losses, |_| true, |row| row.loss);
        assert_eq!(points.iter().map(|(x, _)| *x).collect::<Vec<_>>(), [0.0, 1.0, 5.0]);
        let svg = &made[0].svg;
        assert!(svg.contains(">Lethe<") && svg.contains(">nginx, cubic<") && svg.matches("<circle").count() == 6);
        assert!(charts(&contenders, &[5, 20].map(|rtt| found(rtt, 0.0, 1.0))).is_empty());
    }
}
