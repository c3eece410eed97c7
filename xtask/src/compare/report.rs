//! The tables and charts, out of what was measured.

use std::fmt;
use std::fs;
use std::path::Path;

use lethe_sim::draw::{Axis, Bar, Scale, Series, Spread, bars, figure as mark, lines};

use super::Setup;
use super::clients::Sample;
use super::grow::Growth;
use super::measure::{Loss, Named, Open, Requests};
use super::pace::{Floods, Rates};
use super::servers::Kind;
use super::wire::listed;
use crate::cost::PARTS;
use crate::downloads::{human, percentile};
use crate::page::{self, said, wrapped};

/// Where the reports are in docs/performance.md.
#[derive(Clone, Copy, Default)]
pub(super) enum Place {
    /// What is measured all at once.
    #[default]
    All,
    /// Connections that stay open, which are also measured alone.
    Kept,
}

impl Place {
    /// The marks around it.
    const fn marks(self) -> [&'static str; 2] {
        match self {
            Self::All => ["<!-- compare: begin -->", "<!-- compare: end -->"],
            Self::Kept => ["<!-- compare kept: begin -->", "<!-- compare kept: end -->"],
        }
    }
}

/// The middle of some values, or between the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut ordered = values.to_vec();
    ordered.sort_by(f64::total_cmp);
    match (ordered.get(ordered.len() / 2), ordered.len() % 2) {
        (None, _) => f64::NAN,
        (Some(&middle), 1) => middle,
        (Some(&middle), _) => f64::midpoint(ordered[ordered.len() / 2 - 1], middle),
    }
}

/// Least, median and most; nothing if there is nothing.
fn spread(values: &[f64]) -> Option<Spread> {
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    Some(Spread { least, median: median(values), most })
}

/// The median, and in brackets from the least to the most.
pub(crate) fn figure(values: &[f64], digits: usize) -> String {
    match spread(values) {
        None => "–".to_owned(),
        Some(Spread { median, .. }) if values.len() == 1 => format!("{median:.digits$}"),
        Some(Spread { least, median, most }) => {
            format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
        }
    }
}

/// A number with a comma for each three digits.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table in Markdown; all columns but the first to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![format!("| {} |", head.join(" | ")), format!("|---|{}", "---:|".repeat(head.len() - 1))];
    lines.extend(rows.iter().map(|row| format!("| {} |", row.join(" | "))));
    lines.join("\n")
}

fn costs(samples: &[Sample]) -> impl Iterator<Item = String> {
    (0..PARTS.len()).map(|part| figure(&samples.iter().filter_map(|sample| sample.costs[part]).collect::<Vec<_>>(), 1))
}

fn of(samples: &[Sample], pick: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().map(pick).collect()
}

fn rate_and_failed(samples: &[Sample]) -> [String; 2] {
    let (rate, failed) = (median(&of(samples, |sample| sample.rate)), of(samples, |sample| sample.failed));
    [format!("{rate:.0}"), format!("{:.0}", failed.iter().sum::<f64>())]
}

/// Cells with the three percentiles of latency.
fn latencies(samples: &[Sample]) -> impl Iterator<Item = String> {
    let all: Vec<_> = samples.iter().filter_map(|sample| sample.latency).collect();
    (0..3).map(move |at| figure(&all.iter().map(|latency| latency[at]).collect::<Vec<_>>(), 2))
}

/// Cells of runs of `lethe load`: the share that was answered, how late, and how busy the server was.
fn under_way(samples: &[Sample]) -> Vec<String> {
    let answered = of(samples, |sample| sample.answered() * 100.0);
    // Never 100 of what is not all.
    let down: Vec<f64> = answered.iter().map(|part| (part * 100.0).floor() / 100.0).collect();
    let share =
        if samples.iter().all(|sample| sample.failed <= 0.0) { "all".to_owned() } else { figure(&down, 2) + " %" };
    let busy = figure(&of(samples, |sample| sample.busy * 100.0), 0) + " %";
    std::iter::once(share).chain(latencies(samples)).chain([busy]).collect()
}

fn rounds(count: u32) -> String {
    format!("{count} round{}", if count == 1 { "" } else { "s" })
}

/// Sections, and the charts that they show.
#[derive(Default)]
pub(super) struct Report {
    place: Place,
    sections: Vec<String>,
    charts: Vec<(String, String)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sections.join("\n\n"))
    }
}

impl Report {
    pub(super) fn new(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    pub(super) fn add(&mut self, title: &str, parts: &[String]) {
        self.sections.push([&[format!("### {title}")], parts].concat().join("\n\n"));
    }

    fn draw(&mut self, name: &str, title: &str, svg: String) -> String {
        self.charts.retain(|(known, _)| known != name);
        self.charts.push((name.to_owned(), svg));
        format!("![{title}](charts/{name}.svg)")
    }

    /// Puts the charts into `folder`/charts, and the text between the marks of performance.md.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        if !folder.join("performance.md").exists() {
            fs::create_dir_all(folder)?;
            let none = [Place::All, Place::Kept].map(|place| place.marks().join("\n") + "\n").concat();
            fs::write(folder.join("performance.md"), none)?;
        }
        page::put(folder, "performance.md", self.place.marks(), &self.to_string(), &self.charts)
    }

    /// What it was measured on, and with what.
    pub(super) fn machine(&mut self, setup: &Setup) -> anyhow::Result<()> {
        let amount = &setup.amount;
        let clients = amount.short.map(|(parallel, requests)| format!("`ab -n {requests} -c {parallel}`")).join(", ");
        let what = format!(
            "{} of {clients} and `wrk -c {} -d {}s` for Lethe and nginx with one worker, {} with `-n {}` for the \
             others, {} of everything else; {} s at each rate",
            rounds(amount.rounds),
            amount.short[0].0,
            amount.seconds,
            amount.rounds_of_others,
            amount.short_of_others,
            amount.rounds_of_more,
            amount.steady
        );
        self.run(setup, &what)
    }

    /// When and where it was measured: `what` is how often, and by which clients.
    fn run(&mut self, setup: &Setup, what: &str) -> anyhow::Result<()> {
        let (wrk, h2load) = (said("wrk", &["-v"]), said("h2load", &["--version"]));
        let lines = [
            format!("* {}; {what}.", page::date_and_command()),
            format!(
                "* {}. Servers on CPU {}, clients on {}.",
                page::machine()?,
                listed(&setup.cpus.server),
                listed(&setup.cpus.client)
            ),
            format!(
                "* {}; {}; {}; {h2load}.",
                said("nginx", &["-v"]),
                said("ab", &["-V"]).trim_start_matches("This is ").split(" <").next().unwrap_or("?"),
                wrk.split(" Copyright").next().unwrap_or(&wrk)
            ),
            format!(
                "* Before it, with nothing asked of it, the machine was busy for {:.1} % of one CPU, which is \
                 subtracted.",
                setup.baseline.total() * 100.0
            ),
        ];
        self.add("The run", &[lines.map(|line| wrapped(&line)).join("\n")]);
        Ok(())
    }

    /// Costs, ratios and latencies of short connections.
    pub(super) fn short(&mut self, found: &Requests) {
        self.requests(
            found,
            "Short connections",
            ("cost-of-a-connection", "CPU time of the server per short connection"),
        );
    }

    /// Costs, ratios and latencies of requests on connections that stay open, with the run that they are of.
    pub(super) fn kept(&mut self, setup: &Setup, found: &Requests) -> anyhow::Result<()> {
        let (amount, (parallel, requests)) = (&setup.amount, setup.amount.kept);
        let what = format!(
            "{} of `ab -k -n {requests} -c {parallel}`, `h2load --h1 -n {requests} -c {parallel}` and `wrk \
             -c {parallel} -d {}s`",
            rounds(amount.rounds),
            amount.seconds
        );
        self.run(setup, &what)?;
        let chart = ("cost-of-a-kept-request", "CPU time of the server per request on a connection that stays open");
        self.requests(found, "Kept connections", chart);
        Ok(())
    }

    fn requests(&mut self, found: &Requests, name: &str, (chart, chart_title): (&str, &str)) {
        let head: Vec<&str> = [&["µs of CPU a request"][..], &PARTS, &["requests/s", "failed"]].concat();
        let clients = found.clients();
        for client in &clients {
            let samples = || found.samples.0.iter().filter_map(|(name, of)| Some((name, of.get(client)?)));
            let row = |(name, of): (&String, &Vec<Sample>)| {
                std::iter::once(name.clone()).chain(costs(of)).chain(rate_and_failed(of)).collect()
            };
            let rows: Vec<Vec<String>> = samples().map(row).collect();
            let mut parts = vec![table(&head, &rows)];
            if *client == clients[0] {
                let title = format!("{chart_title} ({client})");
                let bar = |(name, samples): (&String, &Vec<Sample>)| {
                    let value = spread(&of(samples, Sample::server))?;
                    Some(Bar { name: name.clone(), value, highlighted: name.starts_with("Lethe") })
                };
                let mut rows: Vec<Bar> = samples().filter_map(bar).collect();
                rows.sort_by(|one, other| one.value.median.total_cmp(&other.value.median));
                let unit = "µs: its processes, and the kernel receiving for it";
                let image = self.draw(chart, &title, bars(&title, unit, &rows));
                parts.insert(0, image);
            }
            self.add(&format!("{name}: {client}"), &parts);
        }
        let mut rows = Vec::new();
        for (name, clients) in &found.ratios.0 {
            for (client, ratios) in &clients.0 {
                let (server, machine): (Vec<f64>, Vec<f64>) = ratios.iter().copied().unzip();
                rows.push(vec![name.clone(), client.clone(), figure(&server, 2), figure(&machine, 2)]);
            }
        }
        let first = format!("CPU time, of that of {}", Kind::reference().name);
        let title = format!("{name}: Lethe beside nginx");
        self.add(&title, &[table(&[&first, "client", "server", "whole machine"], &rows)]);
        let Some(client) = clients.last() else { return };
        let row = |(name, of): &(String, Named<String, Vec<Sample>>)| {
            Some(std::iter::once(name.clone()).chain(latencies(of.get(client)?)).collect())
        };
        let rows: Vec<Vec<String>> = found.samples.0.iter().filter_map(row).collect();
        self.add(&format!("{name}: latency, {client}"), &[table(&["milliseconds", "p50", "p99", "p99.9"], &rows)]);
    }

    /// Memory by open connections, and what a request costs beside them.
    pub(super) fn memory(&mut self, rows: &[Open]) {
        let (mut cells, mut sizes, mut costs) =
            (Vec::new(), Named::<String, Vec<_>>::new(), Named::<String, Vec<_>>::new());
        for Open { server, count, before, processes, kernel, samples } in rows {
            let part = processes - before + kernel;
            let (number, spent) = (*count as f64, of(samples, Sample::server));
            let each = if *count > 0 { format!("{:.2}", part / number / 1e3) } else { "–".to_owned() };
            sizes.of(server.clone()).push((number, Spread::of((before + part.max(0.0)) / 1e6)));
            costs.of(server.clone()).extend(spread(&spent).map(|spent| (number, spent)));
            let memory = [before, processes, kernel].map(|bytes| format!("{:.1}", bytes / 1e6));
            cells
                .push([vec![server.clone(), grouped(number)], memory.to_vec(), vec![each, figure(&spent, 1)]].concat());
        }
        let across = axis("open connections", Scale::Logarithmic);
        let title = "Memory by open connections";
        let up = axis("MB: processes, and the kernel's growth", Scale::Logarithmic);
        let first = self.draw("memory", title, lines(title, &across, &up, &sizes.0));
        let title = "Cost of a request by open connections";
        let up = axis("µs of the server's CPU time a request", Scale::Linear);
        let second = self.draw("cost-by-open-connections", title, lines(title, &across, &up, &costs.0));
        let head = [
            "server",
            "open connections",
            "its processes before, MB",
            "with them",
            "the kernel's growth, MB",
            "the server's part, kB each",
            "a request meanwhile, µs of the server's CPU",
        ];
        self.add("Open connections", &[first, second, table(&head, &cells)]);
    }

    /// Completion times, and their ratios in the same round.
    pub(super) fn loss(&mut self, found: &Loss) {
        let mut rows = Vec::new();
        for ((percent, size), times) in &found.0 {
            let (Some(lethe), Some(nginx)) = (times.get(&"Lethe"), times.get(&"nginx")) else { continue };
            for mark in [50, 90, 99] {
                let each = |rounds: &[Vec<f64>]| rounds.iter().map(|times| percentile(times, mark)).collect::<Vec<_>>();
                let (ours, theirs) = (each(lethe), each(nginx));
                let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
                let name = format!("{percent} %, {}, p{mark}", human(*size));
                rows.push(vec![name, figure(&ours, 3), figure(&theirs, 3), figure(&ratios, 2)]);
            }
        }
        let head = ["loss each way, 20 ms each way; seconds", "Lethe", "nginx", "Lethe/nginx"];
        self.add("Completion time under loss", &[table(&head, &rows)]);
    }

    /// A chart and a table of what the server spends, by something that grows.
    pub(super) fn growth(&mut self, Growth { title, chart, unit, logarithmic, found }: &Growth) {
        let (mut series, mut rows) = (Vec::<Series>::new(), Vec::new());
        for (name, steps) in &found.0 {
            let mut points = Vec::new();
            for (step, samples) in &steps.0 {
                let (server, machine) = (of(samples, Sample::server), of(samples, Sample::machine));
                points.extend(spread(&server).map(|spent| (*step as f64, spent)));
                let [rate, failed] = rate_and_failed(samples);
                let step = grouped(*step as f64);
                rows.push(vec![(*name).to_owned(), step, figure(&server, 1), figure(&machine, 1), rate, failed]);
            }
            series.push(((*name).to_owned(), points));
        }
        let across = axis(unit, if *logarithmic { Scale::Logarithmic } else { Scale::Linear });
        let up = axis("µs of the server's CPU time a request", Scale::Linear);
        let image = self.draw(chart, title, lines(title, &across, &up, &series));
        let head = ["µs of CPU a request", unit, "server", "whole machine", "requests/s", "failed"];
        self.add(title, &[image, table(&head, &rows)]);
    }

    /// Latency by the rate of requests, alone and in a flood.
    pub(super) fn rates(&mut self, found: &Rates) {
        let mut ordered: Vec<_> = found.0.iter().collect();
        ordered.sort_by_key(|((_, rate, flooded), _)| (*flooded, *rate));
        let (mut rows, mut series) = (Vec::new(), [Named::<String, Vec<_>>::new(), Named::new()]);
        for ((name, rate, flooded), samples) in ordered {
            let syns = if *flooded { grouped(median(&of(samples, |sample| sample.flood))) } else { "–".to_owned() };
            rows.push([vec![name.clone(), grouped(f64::from(*rate)), syns], under_way(samples)].concat());
            let marks: Vec<f64> = samples.iter().filter_map(|sample| Some(sample.latency?[1])).collect();
            if let Some(spread) = spread(&marks) {
                series[usize::from(*flooded)].of(name.clone()).push((f64::from(*rate), spread));
            }
        }
        let titles = [
            ("latency-by-rate", "99th percentile of latency by rate"),
            ("latency-by-rate-in-flood", "99th percentile of latency by rate, nine of ten packets a flood"),
        ];
        let (across, up) = (axis("requests a second", Scale::Logarithmic), axis("ms", Scale::Logarithmic));
        let mut parts = Vec::new();
        for ((file, title), series) in titles.into_iter().zip(&series).filter(|(_, series)| !series.0.is_empty()) {
            parts.push(self.draw(file, title, lines(title, &across, &up, &series.0)));
        }
        let first = "requests at a fixed rate; latency in ms";
        let head = [first, "requests/s", "SYNs/s beside them", "answered", "p50", "p99", "p99.9", "server's CPU"];
        parts.push(table(&head, &rows));
        self.add("Latency at a fixed rate", &parts);
    }

    /// The share that is answered, by the rate of SYNs beside it.
    pub(super) fn flood(&mut self, found: &Floods) {
        let (mut rows, mut series) = (Vec::new(), Named::<String, Vec<_>>::new());
        for ((name, _), samples) in &found.0 {
            let syns = median(&of(samples, |sample| sample.flood));
            rows.push([vec![name.clone(), grouped(syns)], under_way(samples)].concat());
            let answered = spread(&of(samples, |sample| sample.answered() * 100.0));
            series.of(name.clone()).extend(answered.map(|answered| (syns, answered)));
        }
        for (_, points) in &mut series.0 {
            points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        }
        let title = "Requests that are answered in a SYN flood";
        let (across, up) = (axis("SYNs a second", Scale::Linear), axis("% of the requests", Scale::Linear));
        let image = self.draw("goodput-in-flood", title, lines(title, &across, &up, &series.0));
        let first = "1,000 requests a second; latency in ms";
        let head = [first, "SYNs/s beside them", "answered", "p50", "p99", "p99.9", "server's CPU"];
        self.add("Goodput under a SYN flood", &[image, table(&head, &rows)]);
    }
}

fn axis(name: &str, scale: Scale) -> Axis<'_> {
    Axis { name, scale, label: mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_medians_with_their_spread() {
        assert_eq!(figure(&[], 1), "–");
        assert_eq!(figure(&[3.25], 1), "3.2");
        assert_eq!(figure(&[4.0, 1.0, 2.0], 1), "2.0 (1.0 to 4.0)");
        assert!((median(&[1.0, 2.0, 3.0, 4.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (1_234_567.4, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_report_goes_between_the_marks_and_leaves_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("performance.md");
        let ([begin, end], other) = (Place::All.marks(), Place::Kept.marks().join("\nkept\n"));
        fs::write(&page, format!("before\n{begin}\nold\n{end}\nafter\n{other}\n")).unwrap();
        let mut report = Report::default();
        let image = report.draw("a", "A chart", "<svg/>".to_owned());
        report.add("Title", &[image, table(&["one", "two"], &[vec!["1".to_owned(), "2".to_owned()]])]);
        report.write(folder.path()).unwrap();
        report.write(folder.path()).unwrap();
        let text = "before\n<!-- compare: begin -->\n\n### Title\n\n![A chart](charts/a.svg)\n\n| one | two |\n\
                    |---|---:|\n\
                    | 1 | 2 |\n\n<!-- compare: end -->\nafter\n";
        assert_eq!(fs::read_to_string(&page).unwrap(), format!("{text}{other}\n"));
        assert_eq!(fs::read_to_string(folder.path().join("charts/a.svg")).unwrap(), "<svg/>");
    }
}
