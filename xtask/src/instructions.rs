//! How many instructions the engine executes for a packet.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use lethe_testnet::{output, root};

use crate::programs;

const ABOUT: &str = "\
Counts the instructions that the engine executes for a packet: exact, and the same on every run.

Counted by valgrind (callgrind), twice with different numbers of packets, so that only what a packet costs is left.
Compared with benches/instructions.txt, which is in the repository: what takes more than 3 % more instructions is an
error, and what takes fewer had better be written down with --update. Another compiler makes other instructions:
rust-toolchain.toml says which one it is, and with one that the file does not name the figures cannot be compared,
which is an error.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask instructions                 compare
  cargo xtask instructions --update        write the figures of this build down
  cargo xtask instructions --planted 5     do 5 % more than the engine has to, and see that it is noticed";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Write the figures down
    #[arg(long)]
    update: bool,
    /// Compare this build with one that does so much unnecessary work: must fail
    #[arg(long, value_name = "PERCENT")]
    planted: Option<u32>,
}

/// A program with one application, and what is counted of it, for each family.
pub(crate) struct Measured {
    pub(crate) program: &'static str,
    /// What its rows begin with, behind the family.
    prefix: &'static str,
    pub(crate) packets: &'static [&'static str],
}

impl Measured {
    const fn of_app(program: &'static str, prefix: &'static str) -> Self {
        Self { program, prefix, packets: &["get", "kept get"] }
    }

    /// The name of a row.
    pub(crate) fn row(&self, family: &str, packet: &str) -> String {
        format!("{family} {}{packet}", self.prefix)
    }
}

/// What is counted.
pub(crate) const PROGRAMS: [Measured; 6] = [
    Measured {
        program: "cost",
        prefix: "",
        packets: &[
            "syn",
            "ack",
            "get",
            "browser",
            "fin",
            "garbage",
            "transaction",
            "kept first",
            "kept get",
            "kept fin",
            "kept probe",
        ],
    },
    Measured { program: "cost_stored", prefix: "", packets: &["kept long get", "kept long ack"] },
    Measured::of_app("cost_files", "files "),
    Measured::of_app("cost_scores", "scores "),
    Measured::of_app("cost_respond", "respond "),
    Measured::of_app("cost_versions", "versions "),
];

/// How many batches the programs run.
const BATCHES: u32 = 200;

/// The packets of a batch in the two runs whose difference counts.
const FEW: u32 = 5;
const MANY: u32 = 45;

/// Above this part of the recorded figure it is an error, and below the other one it is to be recorded anew.
const ALLOWED: f64 = 1.03;
const FEWER: f64 = 0.99;

/// The instructions of a packet, by its name with its family.
type Figures = Vec<(String, f64)>;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need(&[("valgrind", "valgrind")])?;
    let file = root().join("benches/instructions.txt");
    let known = fs::read_to_string(&file)?;
    let compiler = output(Command::new("rustc").arg("--version").current_dir(root()))?.trim().to_owned();
    ensure!(
        args.update || known.lines().any(|line| line == format!("# {compiler}")),
        "benches/instructions.txt has no figures of {compiler}, so there is nothing to compare with.\n  \
         Take the compiler that rust-toolchain.toml names (without RUSTUP_TOOLCHAIN, and without cargo +TOOLCHAIN). To \
         go over to\n  this one: look at a commit whose figures are right, run cargo xtask instructions --update \
         there, and commit that file."
    );
    let programs = build_in(&root(), &programs::target())?;
    let found = figures(&programs, 0)?;
    if let Some(percent) = args.planted {
        return compare(&found, &figures(&programs, percent)?);
    }
    if args.update {
        let mut text =
            format!("# Instructions for a packet, reply included: cargo xtask instructions --update\n# {compiler}\n");
        for (name, count) in &found {
            writeln!(text, "{name} {count:.0}")?;
        }
        fs::write(&file, text)?;
    }
    compare(&parse(&fs::read_to_string(&file)?)?, &found)
}

/// Builds those of the [`PROGRAMS`] that a folder has the sources of into another, and returns all in their order.
pub(crate) fn build_in(sources: &Path, target: &Path) -> anyhow::Result<Vec<Option<PathBuf>>> {
    let is_there = |name: &str| sources.join(format!("benches/{name}.rs")).exists();
    let mut command = programs::cargo();
    command.current_dir(sources).env("CARGO_TARGET_DIR", target);
    command.args(["bench", "--quiet", "--package", "lethe-engine", "--no-run", "--message-format", "json"]);
    for Measured { program, .. } in PROGRAMS {
        if is_there(program) {
            command.args(["--bench", program]);
        }
    }
    let text = output(&mut command)?;
    let built: Vec<_> =
        text.split("\"executable\":\"").skip(1).filter_map(|rest| rest.split('"').next().map(PathBuf::from)).collect();
    let of = |name: &str| {
        let is_it = |path: &&PathBuf| {
            let file = path.file_name().and_then(|file| file.to_str()?.rsplit_once('-'));
            file.is_some_and(|(file, _)| file == name)
        };
        built.iter().rfind(is_it).cloned().with_context(|| format!("cargo names no program {name}"))
    };
    PROGRAMS.iter().map(|measured| is_there(measured.program).then(|| of(measured.program)).transpose()).collect()
}

fn figures(programs: &[Option<PathBuf>], planted: u32) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    for family in ["v4", "v6"] {
        for (program, measured) in programs.iter().zip(PROGRAMS) {
            let program = program.as_ref().context("a program is missing in benches")?;
            for packet in measured.packets {
                let count = |packets| count(program, family, packet, packets, planted);
                let more = count(MANY)?.saturating_sub(count(FEW)?);
                figures.push((measured.row(family, packet), more as f64 / f64::from(BATCHES * (MANY - FEW))));
            }
        }
    }
    Ok(figures)
}

/// The instructions of a whole run.
fn count(program: &Path, family: &str, packet: &str, packets: u32, planted: u32) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let ran = command.args([family, packet, &packets.to_string(), &planted.to_string()]).output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.filter(|_| ran.status.success()).with_context(|| format!("{}: {said}", program.display()))
}

/// Reads the figures that were recorded.
fn parse(text: &str) -> anyhow::Result<Figures> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.rsplit_once(' ').context("want a name and a number")?;
            Ok((name.to_owned(), count.parse()?))
        })
        .collect()
}

fn compare(known: &Figures, found: &Figures) -> anyhow::Result<()> {
    let mut worse = 0;
    println!("instructions        before      now");
    for (name, count) in found {
        let before = known.iter().find(|(known, _)| known == name);
        let before = before.with_context(|| format!("benches/instructions.txt has no {name}: --update"))?.1;
        let note = if *count > ALLOWED * before {
            worse += 1;
            "  more than 3 % more"
        } else if *count < FEWER * before {
            "  fewer: --update"
        } else {
            ""
        };
        let change = format!("{:+.1}%", (count / before - 1.0) * 100.0);
        println!("{name:<17} {before:>8.0} {count:>8.0} {change:>7}{note}");
    }
    if worse > 0 {
        bail!("{worse} packets take more instructions");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_more_than_three_percent_more_is_an_error() {
        let known = parse("# a comment\nv4 syn 1000\nv4 get 2000\n").unwrap();
        assert!(compare(&known, &parse("v4 syn 1030\nv4 get 1500\n").unwrap()).is_ok());
        assert!(compare(&known, &parse("v4 syn 1031\nv4 get 1500\n").unwrap()).is_err());
        assert!(compare(&known, &parse("v6 syn 1\n").unwrap()).is_err(), "nothing to compare with");
    }
}
