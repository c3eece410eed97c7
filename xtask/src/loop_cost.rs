//! What the loop costs on one core.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use lethe_sim::capture::{Reader, Writer};
use lethe_testnet::{Program, janitor, output, root};

use crate::programs;

const ABOUT: &str = "\
Measures what the loop costs on one core, as ratios of one run.

First DPDK's own testpmd, which swaps addresses, and `lethe`, which answers, by turns: on the same capture (SYN, ACK,
request and FIN of 500 clients), by the same driver: net_pcap, which copies the file's frames into buffers again and
again and drops what is sent. Once with the buffers in pages of 4 kB, and once in huge pages, which are given back.
Then by how many frames are taken at a time, and two workers of `lethe` on two queues beside one. Then one where the
driver costs next to nothing: net_ring, fed by the program itself.

Frames are those of a second of the workers' own time, as the kernel's scheduler counts it, so that it matters less what
else runs; of all seconds the best one counts. Needs root, and two CPUs.

With --kept it is net_ring alone: connections that close, those that stay open, and those whose clients also acknowledge
each response with a frame of its own, by turns.

With --before it is a `lethe` of another commit and this one, by turns, on net_pcap with small pages: first without the
requests, so that no application runs, then with them. Connections close in both. The folder has what that commit's
`cargo build --release --features dpdk -p lethe-httpd -p lethe-hw --example loop_cost --bin lethe` has built: the
clients of its capture are those of its own server.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask loop-cost --rounds 3 --seconds 8
  cargo xtask loop-cost --kept --rounds 5 --seconds 4
  cargo xtask loop-cost --before ../before/target/release --rounds 8 --seconds 4";

/// Frames of each client in a mix, for a response: which of them is the request.
const FRAMES_PER_RESPONSE: u64 = 4;
const REQUEST: u64 = 2;

/// The time is that of now, and read once a burst, as with a card: by the times of the capture, a burst is one frame.
const WALL: [&str; 2] = ["--clock", "wall"];

/// Megabytes that DPDK takes, and so many huge pages of 2 MB.
const MEGABYTES: u32 = 512;
const HUGE_PAGES: u32 = 256;

/// How many huge pages the kernel has.
const SETTING: &str = "/proc/sys/vm/nr_hugepages";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Nothing but `net_ring`: connections that close, and those that stay open, by turns
    #[arg(long)]
    kept: bool,
    /// Nothing but the `lethe` in this folder, of another commit, and that of this commit, by turns
    #[arg(long, value_name = "FOLDER", conflicts_with = "kept")]
    before: Option<PathBuf>,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each time
    #[arg(long, default_value_t = 8)]
    seconds: u32,
}

/// What buffers are in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    Small,
    /// Those of 2 MB, without a file system of their own.
    Huge,
}

impl Pages {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small pages",
            Self::Huge => "huge pages",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Small => "--no-huge",
            Self::Huge => "--in-memory",
        }
    }
}

/// All that a measurement needs to know.
struct Bench<'a> {
    args: &'a Args,
    capture: PathBuf,
    secret: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&[("dpdk-testpmd", "dpdk-dev"), ("stdbuf", "coreutils")])?;
    let loop_cost = "--features dpdk -p lethe-hw --example loop_cost";
    if args.kept {
        programs::build(&[loop_cost])?;
        let [seconds, rounds] = [args.seconds, args.rounds].map(|number| number.to_string());
        print!("{}", output(Command::new(example()).args(["kept", &seconds, &rounds]))?);
        return Ok(());
    }
    programs::build(&["--features dpdk -p lethe-httpd", loop_cost])?;
    let folder = janitor::folder("loop-cost")?;
    let (capture, secret) = (folder.path().join("mix.pcapng"), folder.path().join("secret"));
    fs::copy(root().join("pcaps/secret"), &secret)?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    let bench = Bench { args, capture, secret };
    if let Some(before) = &args.before {
        return bench.beside_before(before);
    }
    bench.beside_testpmd(Pages::Small)?;
    {
        let huge = HugePages::ask_for()?;
        if huge.free >= HUGE_PAGES {
            bench.beside_testpmd(Pages::Huge)?;
        } else {
            println!("there is no room for huge pages");
        }
    }
    bench.mix()?;
    for burst in [1, 4, 16, 32] {
        println!("burst     {burst:>2} frames at a time: {:.2} Mpps", bench.lethe(1, burst, Pages::Small)?);
    }
    bench.mix()?;
    let (one, two) = (bench.lethe(1, 32, Pages::Small)?, bench.lethe(2, 32, Pages::Small)?);
    println!("workers   one {one:.2} Mpps, two {two:.2} Mpps: {:.2} times as many", two / one);
    for _ in 0..args.rounds {
        print!("{}", output(Command::new(example()).args(["ring", &args.seconds.to_string()]))?);
    }
    Ok(())
}

/// The program `hw/examples/loop_cost.rs`.
fn example() -> PathBuf {
    programs::release().join("examples/loop_cost")
}

/// Huge pages that the kernel has put aside; it gets them back when this is dropped.
struct HugePages {
    before: String,
    free: u32,
}

impl HugePages {
    /// Has the kernel put enough of them aside, if it can.
    fn ask_for() -> anyhow::Result<Self> {
        let before = fs::read_to_string(SETTING)?;
        let wanted = before.trim().parse::<u32>()? + HUGE_PAGES.saturating_sub(free_pages()?);
        let _ = fs::write(SETTING, wanted.to_string());
        Ok(Self { before, free: free_pages()? })
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = fs::write(SETTING, &self.before);
    }
}

fn free_pages() -> anyhow::Result<u32> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    Ok(line.context("HugePages_Free")?.trim().parse()?)
}

impl Bench<'_> {
    /// Writes the capture anew: cookies are good for a minute.
    fn mix(&self) -> anyhow::Result<()> {
        output(Command::new(example()).arg("mix").arg(&self.capture)).map(drop)
    }

    /// The time of a frame beside that of another commit, without requests and with them.
    fn beside_before(&self, before: &Path) -> anyhow::Result<()> {
        println!("net_pcap, small pages      before Mpps    now Mpps  time now/before");
        for has_requests in [false, true] {
            let name = if has_requests { "with requests" } else { "SYN, ACK and FIN" };
            let mut ratios = Vec::new();
            for number in 1..=self.args.rounds {
                let mut rates = [0.0; 2];
                for turn in 0..2 {
                    let which = (number as usize + turn) % 2;
                    let (folder, more): (_, &[_]) = match which {
                        0 => (before.to_owned(), &[]),
                        _ => (programs::release(), &["--keep-alive", "off", WALL[0], WALL[1]]),
                    };
                    output(Command::new(folder.join("examples/loop_cost")).arg("mix").arg(&self.capture))?;
                    if !has_requests {
                        without_requests(&self.capture)?;
                    }
                    let per_response = has_requests.then_some(FRAMES_PER_RESPONSE);
                    rates[which] = self.lethe_of(&folder.join("lethe"), more, 1, 32, Pages::Small, per_response)?;
                }
                let [before, now] = rates;
                ratios.push(before / now);
                show_pair(&format!("{name}, {number}"), &format!("{before:.2}"), &format!("{now:.2}"), before / now);
            }
            ratios.sort_by(f64::total_cmp);
            show_pair(&format!("{name}, median"), "", "", ratios[ratios.len() / 2]);
        }
        Ok(())
    }

    fn beside_testpmd(&self, pages: Pages) -> anyhow::Result<()> {
        println!("net_pcap, {:<11}  testpmd Mpps  lethe Mpps  million requests/s  lethe/testpmd", pages.name());
        let mut best = (0.0_f64, 0.0_f64);
        for number in 1..=self.args.rounds {
            self.mix()?;
            let (testpmd, lethe) = (self.testpmd(pages)?, self.lethe(1, 32, pages)?);
            best = (best.0.max(testpmd), best.1.max(lethe));
            show(&format!("round {number}"), testpmd, lethe);
        }
        show("best", best.0, best.1);
        Ok(())
    }

    /// The arguments of EAL for a card that reads the capture again and again.
    fn eal(&self, prefix: &str, lcores: &[&str], pages: Pages, queues: usize) -> Vec<String> {
        let queue = format!(",rx_pcap={}", self.capture.display());
        let card = format!("net_pcap0{},infinite_rx=1", queue.repeat(queues));
        let megabytes = MEGABYTES.to_string();
        let mut words = vec!["--no-pci", pages.option(), "-m", &megabytes, "--no-telemetry", "--file-prefix", prefix];
        words.extend(lcores);
        words.extend(["--vdev", &card]);
        words.into_iter().map(String::from).collect()
    }

    /// Millions of frames in a second of testpmd's forwarding thread.
    fn testpmd(&self, pages: Pages) -> anyhow::Result<f64> {
        let prefix = prefix("testpmd");
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "dpdk-testpmd"]).args(self.eal(&prefix, &["--lcores", "0@1,1@0"], pages, 1));
        command.args("-- --forward-mode=macswap --stats-period 1 --no-flush-rx --total-num-mbufs=4095".split(' '));
        let frames = |line: &str| Ok(number_behind(line, "RX-packets: "));
        self.rate(&prefix, &mut command, frames, |name, _| name == "rte-worker-1", 1)
    }

    /// Millions of frames in a second of lethe's workers together, if each had a CPU, that take so many frames at a
    /// time. There is a response for every fourth frame.
    fn lethe(&self, workers: usize, burst: u32, pages: Pages) -> anyhow::Result<f64> {
        self.lethe_of(&programs::release().join("lethe"), &WALL, workers, burst, pages, Some(FRAMES_PER_RESPONSE))
    }

    /// Those of another program, with more options. `per_response` is how many frames there are for each response, if
    /// there are any.
    fn lethe_of(
        &self,
        program: &Path,
        more: &[&str],
        workers: usize,
        burst: u32,
        pages: Pages,
        per_response: Option<u64>,
    ) -> anyhow::Result<f64> {
        let prefix = prefix("lethe");
        let lcores = if workers == 1 { "0" } else { "0,1" };
        let eal = self.eal(&prefix, &["-l", lcores], pages, workers).join(" ");
        let mut command = Command::new(program);
        command.args(["serve", "--device", "dpdk:0", "--addr", "10.9.0.2", "--stats", "--poll", "busy"]);
        command.arg("--secret-file").arg(&self.secret);
        command.args(["--burst", &burst.to_string(), "--eal", &eal]).args(more).arg("ipinfo");
        let mut total = 0;
        let frames = |line: &str| {
            let Some(received) = number_behind(line, "in ") else { return Ok(None) };
            if let Some(per_response) = per_response {
                let Some(responses) = number_behind(line, " response ") else { return Ok(None) };
                let is_right = received.abs_diff(per_response * responses) < 1000;
                ensure!(is_right, "not a response for every {per_response} frames: {line}");
            }
            total += received;
            Ok(Some(total))
        };
        self.rate(&prefix, &mut command, frames, |name, is_main| is_main || name == "rte-worker-1", workers)
    }

    /// The best second: millions of frames by the workers' own time. `frames` finds in a line how many there were so
    /// far.
    fn rate(
        &self,
        prefix: &str,
        command: &mut Command,
        mut frames: impl FnMut(&str) -> anyhow::Result<Option<u64>>,
        is_worker: impl Fn(&str, bool) -> bool,
        workers: usize,
    ) -> anyhow::Result<f64> {
        let mut program = Program::start(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let lines = BufReader::new(program.output().context("it is piped")?).lines();
        let (mut last, mut best, mut left) = (None::<(u64, f64)>, 0.0_f64, self.args.seconds);
        for line in lines {
            let Some(count) = frames(&line?)? else { continue };
            let ran = run_time(program.pid(), &is_worker, workers)?;
            if let Some((before, since)) = last
                && ran > since
            {
                best = best.max((count - before) as f64 / (ran - since) * 1e3);
            }
            (last, left) = (Some((count, ran)), left.saturating_sub(1));
            if left == 0 {
                break;
            }
        }
        program.stop(nix::sys::signal::Signal::SIGINT);
        let _ = fs::remove_dir_all(format!("/var/run/dpdk/{prefix}"));
        Ok(best)
    }
}

/// Takes the request of each client out of a mix.
fn without_requests(capture: &Path) -> anyhow::Result<()> {
    let packets = Reader::new(BufReader::new(File::open(capture)?))?;
    let mut kept = Writer::new(Vec::new(), &["in"])?;
    for (number, packet) in (0..).zip(packets) {
        if number % FRAMES_PER_RESPONSE != REQUEST {
            kept.copy(0, &packet?)?;
        }
    }
    fs::write(capture, kept.finish()?)?;
    Ok(())
}

fn show_pair(name: &str, before: &str, now: &str, ratio: f64) {
    println!("{name:<25}  {before:>11}  {now:>10}  {ratio:>15.3}");
}

fn prefix(name: &str) -> String {
    format!("lethe-loop-cost-{}-{name}", std::process::id())
}

fn show(name: &str, testpmd: f64, lethe: f64) {
    let (requests, ratio) = (lethe / 4.0, lethe / testpmd);
    println!("{name:<21}  {testpmd:>12.2}  {lethe:>10.2}  {requests:>18.2}  {ratio:>13.2}");
}

/// The number behind these words.
fn number_behind(line: &str, words: &str) -> Option<u64> {
    let (_, rest) = line.split_once(words)?;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

/// Nanoseconds for which a worker has run: the mean of the threads that are workers.
fn run_time(pid: u32, is_worker: impl Fn(&str, bool) -> bool, workers: usize) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for task in fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"))? {
        let task = task?;
        let name = fs::read_to_string(task.path().join("comm"))?;
        if is_worker(name.trim(), task.file_name().to_str() == Some(&pid.to_string())) {
            let text = fs::read_to_string(task.path().join("schedstat"))?;
            times.push(text.split(' ').next().context("schedstat")?.parse::<f64>()?);
        }
    }
    ensure!(times.len() == workers, "{} workers of {pid}", times.len());
    Ok(times.iter().sum::<f64>() / workers as f64)
}

#[cfg(test)]
mod tests {
    use super::number_behind;

    #[test]
    fn numbers_are_found_in_the_lines_of_both_programs() {
        assert_eq!(number_behind("  RX-packets: 4711  RX-missed: 0", "RX-packets: "), Some(4711));
        assert_eq!(number_behind("lcore 0: in 12/s out 3/s  response 3 ", "in "), Some(12));
        assert_eq!(number_behind("Port statistics", "RX-packets: "), None);
    }
}
