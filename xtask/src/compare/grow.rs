//! How the cost of a request grows: with what is served, and how.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use lethe_sim::sample::expected;
use lethe_testnet::{janitor, output};

use super::Setup;
use super::clients::{Request, Sample, ab, wrk};
use super::measure::{Named, turns};
use super::servers::{Kind, PATH, Running};

/// The most frames that a worker of DPDK takes at a time.
const DPDK_BURST: usize = 32;

/// What grows, and what it costs.
pub(super) struct Growth {
    pub(super) title: &'static str,
    /// The name of its chart.
    pub(super) chart: &'static str,
    /// What is counted.
    pub(super) unit: &'static str,
    /// Whether its axis is logarithmic.
    pub(super) logarithmic: bool,
    /// By server and number, a sample each round.
    pub(super) found: Named<&'static str, Named<usize, Vec<Sample>>>,
}

/// A line of the chart: its name, and which server it is for a number, if there is one.
type Line<'a> = (&'static str, &'a dyn Fn(usize) -> Option<Kind>);

/// Measures each line at every step. `site_of` makes what is served, and `run` asks for it.
fn growth(
    setup: &Setup,
    lines: &[Line<'_>],
    steps: &[usize],
    site_of: impl Fn(usize) -> anyhow::Result<Option<PathBuf>>,
    run: impl Fn(&Running<'_>, usize) -> anyhow::Result<Sample>,
) -> anyhow::Result<Named<&'static str, Named<usize, Vec<Sample>>>> {
    let rounds = setup.amount.rounds_of_more;
    let count = lines.iter().map(|(_, kind)| steps.iter().filter(|&&step| kind(step).is_some()).count()).sum::<usize>();
    setup.expect_steps(rounds as usize * count);
    let mut found = Named::<&'static str, Named<usize, Vec<Sample>>>::new();
    for &step in steps {
        let site = site_of(step)?;
        for round in 0..rounds {
            for (name, kind) in turns(lines.to_vec(), round) {
                let Some(kind) = kind(step) else { continue };
                setup.step(&format!("{name}, {step}, round {}", round + 1));
                setup.going_on(|| {
                    let server = Running::start(setup, &kind, site.as_deref(), 0)?;
                    found.of(name).of(step).push(run(&server, step)?);
                    Ok(())
                });
            }
        }
    }
    found.something()
}

const LETHE: fn(usize) -> Option<Kind> = |_| Some(Kind::lethe_packet(1));
const NGINX: fn(usize) -> Option<Kind> = |_| Some(Kind::nginx_file(1));
const BOTH: [Line<'static>; 2] = [("Lethe, packet", &LETHE), ("nginx, file", &NGINX)];

/// Cost by the size of a file.
pub(super) fn by_size(setup: &Setup) -> anyhow::Result<Growth> {
    let sizes = setup.amount.sizes;
    let site = setup.folder("sizes", sizes.iter().map(|&size| (size.to_string(), expected(size))))?;
    let run = |server: &Running<'_>, size: usize| {
        let path = format!("/{size}");
        server.check_body(&path, &expected(size))?;
        // Fewer of those that take long.
        let requests = setup.amount.growth * 14_000 / size.max(14_000);
        ab(server, Request::Closes, requests, setup.amount.short[0].0, &path)
    };
    let tap = |_| Some(Kind::lethe_tap());
    let [packet, nginx] = BOTH;
    let lines: [Line<'_>; 3] = [("Lethe, tap", &tap), packet, nginx];
    let found = growth(setup, &lines, sizes, |_| Ok(Some(site.clone())), run)?;
    let (title, chart, unit) = ("Cost by the size of a reply", "cost-by-size", "bytes");
    Ok(Growth { title, chart, unit, logarithmic: true, found })
}

/// Cost by the number of files, of 200 bytes each, asked for in no order.
pub(super) fn by_files(setup: &Setup) -> anyhow::Result<Growth> {
    let file = |number: usize| format!("{number:0200}").into_bytes();
    let site = |count: usize| {
        let files = (0..count).map(|number| (number.to_string(), file(number)));
        setup.folder(&format!("files-{count}"), files).map(Some)
    };
    let run = |server: &Running<'_>, count: usize| {
        server.check_body(&format!("/{}", count - 1), &file(count - 1))?;
        let request = format!("wrk.format(\"GET\", \"/\" .. math.random(0, {}))", count - 1);
        wrk(server, Request::Closes, setup.amount.seconds, setup.amount.short[0].0, &script(&request))
    };
    let found = growth(setup, &BOTH, setup.amount.files, site, run)?;
    let (title, chart, unit) = ("Cost by the number of files", "cost-by-files", "files");
    Ok(Growth { title, chart, unit, logarithmic: true, found })
}

/// A script of wrk whose requests differ, by chance and alike in every run.
fn script(request: &str) -> String {
    format!("init = function() math.randomseed(7) end\nrequest = function()\n  return {request}\nend\n")
}

/// What a candidate gets to see: with its head one packet.
fn page(number: usize) -> String {
    format!("{number:01000}")
}

/// Cost by the number of exam results, of which each request wants another.
pub(super) fn by_candidates(setup: &Setup) -> anyhow::Result<Growth> {
    let table = |count: usize| {
        let (text, file) = (setup.work.path().join("scores.txt"), setup.work.path().join(format!("scores-{count}")));
        write_table(&text, count)?;
        output(Command::new(setup.binaries.join("lethe")).args(["prepare", "scores"]).arg(&text).arg(&file))?;
        fs::remove_file(text)?;
        janitor::open_to_all(&file)?;
        Ok(Some(file))
    };
    let run = |server: &Running<'_>, count: usize| {
        let last = count - 1;
        server.check_body(&format!("/?seat={last:07}&id={:09}", last * 7), page(last).as_bytes())?;
        let number = format!("math.random(0, {last})");
        let request = format!(
            "(function(n) return wrk.format(\"GET\", string.format(\"/?seat=%07d&id=%09d\", n, n * 7)) end)({number})"
        );
        // When it starts it reads its pages once, beside its work: that is to be over.
        wrk(server, Request::Closes, 1, setup.amount.short[0].0, &script(&request))?;
        wrk(server, Request::Closes, setup.amount.seconds, setup.amount.short[0].0, &script(&request))
    };
    let xdp = |_| Some(Kind::lethe_xdp());
    let lines: [Line<'_>; 2] = [("Lethe, packet", &LETHE), ("Lethe, xdp", &xdp)];
    let found = growth(setup, &lines, setup.amount.candidates, table, run)?;
    let (title, chart, unit) = ("Cost by the number of exam results", "cost-by-candidates", "candidates");
    Ok(Growth { title, chart, unit, logarithmic: true, found })
}

fn write_table(path: &Path, count: usize) -> anyhow::Result<()> {
    let mut rows = BufWriter::new(fs::File::create(path)?);
    for number in 0..count {
        writeln!(rows, "{number:07}_{:09}_{}", number * 7, page(number))?;
    }
    Ok(rows.flush()?)
}

/// Some lookups.
fn lookups(setup: &Setup) -> impl Fn(&Running<'_>, usize) -> anyhow::Result<Sample> {
    |server, _| {
        server.check_body(PATH, &setup.body)?;
        ab(server, Request::Closes, setup.amount.growth, setup.amount.short[0].0, PATH)
    }
}

/// Cost by the number of workers, as many as there are CPUs.
pub(super) fn by_workers(setup: &Setup) -> anyhow::Result<Growth> {
    let cpus = setup.cpus.server.len() + setup.cpus.client.len();
    let steps: Vec<usize> = [1, 2, 4, 8, 16].into_iter().filter(|&workers| workers <= cpus).collect();
    let (lethe, nginx) = (|workers| Some(Kind::lethe_packet(workers)), |workers| Some(Kind::nginx_file(workers)));
    let lines: [Line<'_>; 2] = [("Lethe, packet", &lethe), ("nginx, file", &nginx)];
    let found = growth(setup, &lines, &steps, |_| Ok(None), lookups(setup))?;
    let (title, chart, unit) = ("Cost by the number of workers", "cost-by-workers", "workers");
    Ok(Growth { title, chart, unit, logarithmic: false, found })
}

/// Cost by how many frames are taken at a time.
pub(super) fn by_burst(setup: &Setup) -> anyhow::Result<Growth> {
    let on = |device: &'static str| move |burst: usize| Some(Kind::with_option(device, "--burst", &burst.to_string()));
    let (packet, xdp) = (on("packet"), on("xdp"));
    let card = |burst| (burst <= DPDK_BURST).then(|| Kind::dpdk_with_burst(burst));
    let mut lines: Vec<Line<'_>> = vec![("Lethe, packet", &packet), ("Lethe, xdp", &xdp)];
    if setup.dpdk {
        lines.push(("Lethe, dpdk by net_af_xdp", &card));
    }
    let found = growth(setup, &lines, setup.amount.bursts, |_| Ok(None), lookups(setup))?;
    let (title, chart, unit) = ("Cost by the frames that are taken at a time", "cost-by-burst", "frames");
    Ok(Growth { title, chart, unit, logarithmic: true, found })
}
