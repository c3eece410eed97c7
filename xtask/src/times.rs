//! How long the engine takes for a packet, compared with another commit.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use lethe_testnet::{janitor, output, root};

use crate::instructions::{PROGRAMS, build_in};
use crate::programs;

const ABOUT: &str = "\
Measures how long the engine takes for a packet, beside the same of another commit: the one before, unless another is
named. Both are built, and run by turns; of each pair of runs the ratio counts, and of all ratios the median. More than
1.05 for any packet, in each of three measurements, is an error.

The number of instructions does not tell this. Where a value is written in two pieces and read as one, the processor
waits a dozen cycles for its own store, and not one instruction more is executed.

A packet that is to take longer is named in benches/slower.txt, one a line, with the reason behind it. A line counts
for the commit that adds it.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask times                        beside the commit before
  cargo xtask times --base v0.1.0 --rounds 24
  cargo xtask times --planted              wait for a store in each packet, and see that it is noticed";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The commit to compare with [default: the one before, if there is one here]
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// How often each of both is run
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// Compare this build with itself where each packet waits for a store, without more instructions: must fail
    #[arg(long)]
    planted: bool,
}

/// Packets of a batch. Of a run the best of 200 batches counts.
const PACKETS: &str = "100";

/// The commit before.
const BEFORE: &str = "HEAD~1";

/// The largest ratio that is no error.
const ALLOWED: f64 = 1.05;

/// How often a packet is measured that seems to take longer.
const ATTEMPTS: u32 = 3;

/// The lines of this file name packets that are to take longer.
const SLOWER: &str = "benches/slower.txt";

/// A program, and what is behind the number of packets on its command line.
type Program<'a> = (&'a Path, &'a [&'a str]);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.planted {
        let new = build_in(&root(), &programs::target())?;
        let pairs = new.iter().map(|program| {
            let program = program.as_deref()?;
            Some([(program, &["0", "wait"][..]), (program, &["0", "stall"])])
        });
        return compare(&pairs.collect::<Vec<_>>(), args.rounds, &[]);
    }
    let base = match &args.base {
        Some(base) => base,
        None if is_there(BEFORE)? => BEFORE,
        None => {
            println!("this clone has no commit before this one, so there is nothing to compare with");
            return Ok(());
        }
    };
    let folder = janitor::folder("times")?;
    extract(base, folder.path())?;
    // Cargo cannot tell the packages of two folders apart that it builds into one.
    let apart = programs::target().join("times");
    let old = build_in(folder.path(), &apart).with_context(|| format!("cannot build {base}"))?;
    let new = build_in(&root(), &programs::target())?;
    let pairs = old.iter().zip(&new).map(|(old, new)| Some([(old.as_deref()?, &[][..]), (new.as_deref()?, &[])]));
    let pairs: Vec<_> = pairs.collect();
    compare(&pairs, args.rounds, &slower(base))
}

/// Whether this clone has a commit.
fn is_there(commit: &str) -> anyhow::Result<bool> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--quiet", "--verify", &format!("{commit}^{{commit}}")]).current_dir(root());
    Ok(git.stdout(Stdio::null()).status().context("cannot run git")?.success())
}

/// Writes the files of a commit into a folder.
fn extract(commit: &str, folder: &Path) -> anyhow::Result<()> {
    let mut archive = Command::new("git")
        .args(["archive", commit])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run git")?;
    let files = archive.stdout.take().context("git has no output")?;
    // With the time of now: Cargo would take older files for those of another commit that it has built before.
    let unpacked =
        Command::new("tar").args(["-x", "-m", "-C"]).arg(folder).stdin(files).status().context("cannot run tar")?;
    ensure!(archive.wait()?.success() && unpacked.success(), "there is no commit {commit} to compare with");
    Ok(())
}

/// The packets that are to take longer since that commit.
fn slower(base: &str) -> Vec<String> {
    let before = output(Command::new("git").args(["show", &format!("{base}:{SLOWER}")]).current_dir(root()));
    let before = before.unwrap_or_default();
    let now = fs::read_to_string(root().join(SLOWER)).unwrap_or_default();
    now.lines().filter(|line| !before.lines().any(|known| known == *line)).map(str::to_owned).collect()
}

/// Runs each packet of each pair of programs, and prints a table. `None` is a program that only one commit has.
/// `slower` are the lines that allow a packet more.
fn compare(pairs: &[Option<[Program<'_>; 2]>], rounds: u32, slower: &[String]) -> anyhow::Result<()> {
    let mut worse = Vec::new();
    println!("ns                    before      now   ratio");
    for family in ["v4", "v6"] {
        for (pair, measured) in pairs.iter().zip(PROGRAMS) {
            let Some(pair) = pair else { continue };
            for packet in measured.packets {
                let name = measured.row(family, packet);
                let mut found = measure(pair, family, packet, rounds)?;
                // The machine may have had something else to do.
                for times in 2..=ATTEMPTS {
                    if found.ratio > ALLOWED {
                        found = measure(pair, family, packet, times * rounds)?;
                    }
                }
                let is_allowed = slower.iter().any(|line| line.starts_with(&format!("{name} ")));
                let note = if found.ratio <= ALLOWED {
                    ""
                } else if is_allowed {
                    "  slower, as benches/slower.txt says"
                } else {
                    worse.push(name.clone());
                    "  more than 1.05"
                };
                println!("{name:<18} {:>9.1} {:>8.1} {:>7.3}{note}", found.nanos[0], found.nanos[1], found.ratio);
            }
        }
    }
    if !worse.is_empty() {
        bail!("{} packets take longer: {}", worse.len(), worse.join(", "));
    }
    Ok(())
}

/// What two programs took for a packet.
struct Found {
    /// The medians, in nanoseconds.
    nanos: [f64; 2],
    /// The median of the ratios, the second by the first.
    ratio: f64,
}

/// Runs two programs by turns.
fn measure(pair: &[Program<'_>; 2], family: &str, packet: &str, rounds: u32) -> anyhow::Result<Found> {
    let (mut nanos, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..rounds {
        let mut both = [0.0; 2];
        for turn in 0..2 {
            let which = (round as usize + turn) % 2;
            both[which] = time(pair[which], family, packet)?;
        }
        let [old, new] = both;
        nanos[0].push(old);
        nanos[1].push(new);
        ratios.push(new / old);
    }
    let [old, new] = nanos;
    Ok(Found { nanos: [median(old), median(new)], ratio: median(ratios) })
}

/// The nanoseconds of a packet.
fn time((program, more): Program<'_>, family: &str, packet: &str) -> anyhow::Result<f64> {
    let text = output(Command::new(program).args([family, packet, PACKETS]).args(more))?;
    let found = text.rsplit_once(": ").and_then(|(_, nanos)| nanos.trim().strip_suffix(" ns")?.parse().ok());
    found.with_context(|| format!("{} printed no time: {text}", program.display()))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }
}
