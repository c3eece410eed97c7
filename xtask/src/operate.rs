//! What operating Lethe costs: the access log, and several workers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use lethe_testnet::{Namespace, Server, TAP, janitor, output, serve};
use nix::sys::signal::Signal;

use crate::compare::{figure, grouped, table};
use crate::cost::of_processes;
use crate::programs;

const ABOUT: &str = "\
Measures what operating Lethe costs, with wrk on connections that stay open, and prints tables.

  log      requests a second over a TAP device, and CPU time of the server for a request, without an access log, with a
           line for each request and with one for each thousandth; lines that were written and lost
  workers  requests a second with one worker and with two in one process, on packet:, xdp: and tap:; and with two while
           the data is loaded again five times a second: every request is answered

All go by turns. Needs root, ip, wrk, and a release build, which is made if there is none.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask operate log
  cargo xtask operate workers --rounds 5 --seconds 5";

/// Connections of wrk.
const CONNECTIONS: &str = "64";

/// Between two reloads.
const RELOAD: Duration = Duration::from_millis(200);

/// The server on a veth, whose other end is wrk's.
const ADDRESS: &str = "10.9.0.2";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What is measured
    what: What,
    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of a measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The command `lethe`
    #[arg(long, value_name = "FILE")]
    lethe: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    Log,
    Workers,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&[("ip", "iproute2"), ("wrk", "wrk"), ("ethtool", "ethtool")])?;
    let lethe = args.lethe.clone().unwrap_or_else(|| programs::release().join("lethe"));
    if !lethe.exists() {
        programs::build(&["-p lethe-httpd"])?;
    }
    match args.what {
        What::Log => args.log(&lethe),
        What::Workers => args.workers(&lethe),
    }
}

/// What wrk and the kernel counted.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    requests: f64,
    rate: f64,
    /// Seconds of the server's processor time.
    cpu: f64,
}

impl Args {
    fn log(&self, lethe: &Path) -> anyhow::Result<()> {
        const WAYS: [(&str, &[&str]); 4] = [
            ("no log", &[]),
            ("a line a request, Combined", &["--log-sample", "1/1"]),
            ("a line a request, JSON", &["--log-sample", "1/1", "--log-format", "json"]),
            ("a line for 1,000", &["--log-sample", "1/1000"]),
        ];
        let mut rows = WAYS.map(|_| Vec::new());
        for _ in 0..self.rounds {
            for ((_, options), row) in WAYS.iter().zip(&mut rows) {
                row.push(self.logged(lethe, options)?);
            }
        }
        let titles = ["", "requests/s", "CPU, µs a request", "requests", "lines", "lost"];
        let of = |row: &[(Load, _)], of: fn(&Load) -> f64| row.iter().map(|(load, _)| of(load)).collect::<Vec<_>>();
        let lines = WAYS.iter().zip(&rows).map(|((name, _), row)| {
            let lines = row.iter().fold([0; 2], |sum, (_, lines)| [sum[0] + lines[0], sum[1] + lines[1]]);
            vec![
                (*name).to_owned(),
                figure(&of(row, |load| load.rate), 0),
                figure(&of(row, |load| load.cpu / load.requests * 1e6), 2),
                grouped(of(row, |load| load.requests).iter().sum()),
                grouped(lines[0] as f64),
                grouped(lines[1] as f64),
            ]
        });
        println!("{}", table(&titles, &lines.collect::<Vec<_>>()));
        Ok(())
    }

    /// The load with these options of the log, and the lines that were written and lost.
    fn logged(&self, lethe: &Path, options: &[&str]) -> anyhow::Result<(Load, [u64; 2])> {
        let (space, folder) = (Namespace::create()?, janitor::folder("operate")?);
        let log = folder.path().join("log");
        let mut command = serve(&space, lethe, &["--device", TAP]);
        if !options.is_empty() {
            command.arg("--access-log").arg(&log).args(options);
        }
        let server = Server::launch(command.arg("ipinfo"), 2)?;
        let load = self.load(&space, &server, "/8.8.8.8", || ())?;
        let said = server.stop();
        let lines = match fs::File::open(&log) {
            Ok(log) => BufReader::new(log).lines().count() as u64,
            Err(_) => 0,
        };
        let lost = said.lines().find_map(|line| line.split_once("lines in the access log, and ")?.1.split_once(' '));
        let lost = lost.map_or(Ok(0), |(lost, _)| lost.parse()).context("the count of lost lines")?;
        Ok((load, [lines, lost]))
    }

    fn workers(&self, lethe: &Path) -> anyhow::Result<()> {
        const DEVICES: [&str; 3] = ["packet", "xdp", "tap"];
        const COUNTS: [(u32, bool); 3] = [(1, false), (2, false), (2, true)];
        let mut loads = DEVICES.map(|_| COUNTS.map(|_| Vec::new()));
        let mut reloads = DEVICES.map(|_| 0);
        for _ in 0..self.rounds {
            for ((device, loads), reloads) in DEVICES.iter().zip(&mut loads).zip(&mut reloads) {
                for ((workers, is_reloaded), loads) in COUNTS.iter().zip(loads) {
                    let (load, count) = self.worked(lethe, device, *workers, *is_reloaded)?;
                    loads.push(load);
                    *reloads += count;
                }
            }
        }
        let titles = ["device", "1 worker, requests/s", "2 workers", "ratio", "2 workers, reloaded", "reloads"];
        let lines = DEVICES.iter().zip(&loads).zip(&reloads).map(|((device, loads), reloads)| {
            let rates = loads.each_ref().map(|loads| loads.iter().map(|load| load.rate).collect::<Vec<_>>());
            let [one, two, reloaded] = &rates;
            let ratios: Vec<f64> = one.iter().zip(two).map(|(one, two)| two / one).collect();
            let cells = [figure(one, 0), figure(two, 0), figure(&ratios, 2), figure(reloaded, 0), reloads.to_string()];
            [vec![format!("{device}:")], cells.to_vec()].concat()
        });
        println!("{}", table(&titles, &lines.collect::<Vec<_>>()));
        Ok(())
    }

    /// The load of so many workers, and how often the data was loaded again meanwhile.
    fn worked(&self, lethe: &Path, device: &str, workers: u32, is_reloaded: bool) -> anyhow::Result<(Load, u32)> {
        let (server_space, client_space) = (Namespace::create()?, Namespace::create()?);
        let site = janitor::folder("operate")?;
        // Served as a user without rights.
        fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755))?;
        fs::write(site.path().join("index.html"), "hello\n")?;
        let (space, options) = if device == "tap" {
            (&server_space, TAP.to_owned())
        } else {
            // Two queues, so that two workers have one each.
            server_space.sh("ip link add lethe0 numrxqueues 2 numtxqueues 2 type veth peer name client0 \
                 numrxqueues 2 numtxqueues 2")?;
            server_space.sh(&format!("ip link set client0 netns {}", client_space.name()))?;
            server_space.sh("ip link set lethe0 up")?;
            client_space.sh("ip link set client0 up; ip address add 10.9.0.1/24 dev client0")?;
            if device == "xdp" {
                client_space.sh("ethtool -K client0 tx off")?;
            }
            (&client_space, format!("{device}:lethe0"))
        };
        let mut command = server_space.command(lethe);
        command.args(["serve", "--device", &options, "--addr", ADDRESS, "--workers", &workers.to_string()]);
        let server = Server::launch(command.arg("files").arg(site.path()), 1)?;
        let mut reloads = 0;
        let load = self.load(space, &server, "/", || {
            if is_reloaded {
                server.signal(Signal::SIGHUP);
                reloads += 1;
            }
        })?;
        server.stop();
        Ok((load, reloads))
    }

    /// Has wrk ask for a path, and calls `meanwhile` from time to time. Every request must be answered, and well.
    fn load(
        &self,
        space: &Namespace,
        server: &Server,
        path: &str,
        mut meanwhile: impl FnMut(),
    ) -> anyhow::Result<Load> {
        let seconds = format!("{}s", self.seconds);
        let url = format!("http://{ADDRESS}{path}");
        let mut wrk = space.command("wrk");
        wrk.args(["-t", "2", "-c", CONNECTIONS, "-d", &seconds, &url]);
        let before = of_processes(&[server.pid()])?;
        let run = std::thread::spawn(move || output(&mut wrk));
        while !run.is_finished() {
            meanwhile();
            sleep(RELOAD);
        }
        let said = run.join().map_err(|_| anyhow::anyhow!("wrk was not run"))??;
        let cpu = of_processes(&[server.pid()])? - before;
        ensure!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
        let number = |name: &str| -> anyhow::Result<f64> {
            let found = said.lines().find(|line| line.contains(name)).with_context(|| said.clone())?;
            let word = found.split_whitespace().find_map(|word| word.parse::<f64>().ok());
            word.with_context(|| found.to_owned())
        };
        Ok(Load { requests: number("requests in")?, rate: number("Requests/sec")?, cpu })
    }
}
