//! The model of long responses and kept connections (`model/long.pml`), checked by Spin: all that can happen, and what
//! goes wrong without each of its rules.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use lethe_testnet::{output, root};
use tempfile::TempDir;

use crate::compare::{grouped, table};
use crate::{page, programs};

const ABOUT: &str = "\
Checks the model of long responses and kept connections (model/long.pml) with Spin: everything that a client, a network
that loses, doubles and reorders, and a server without state can do to each other.

Each client is checked with its rules; then each rule is taken out, and the run must end with a counterexample, which is
printed. Without --quick this takes some minutes; `--out docs` writes its tables into docs/model.md.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask model
  cargo xtask model --quick
  cargo xtask model --out docs";

/// Where tables are in docs/model.md.
const MARKS: [&str; 2] = ["<!-- model: begin -->", "<!-- model: end -->"];

const CLIENTS: [(&str, &str); 4] = [
    ("CLOSES", "closes"),
    ("HALF", "closes its end at once"),
    ("KEEPS", "keeps the connection"),
    ("PIPELINES", "keeps it, and does not wait"),
];

/// Segments, window, losses, copies and early timeouts.
type Size = [u32; 5];

/// What takes seconds, and what takes minutes.
const QUICK: [Size; 1] = [[2, 2, 2, 1, 1]];
const FULL: [Size; 6] =
    [[2, 1, 2, 1, 1], [2, 2, 2, 1, 1], [2, 1, 3, 2, 2], [3, 1, 2, 1, 1], [3, 2, 1, 0, 1], [3, 3, 1, 0, 0]];

/// A rule, and what happens without it.
struct Rule {
    /// What is defined to take it out.
    without: &'static str,
    /// More definitions: where it is needed, and what of the network.
    options: &'static str,
    /// A part of what Spin then says.
    violation: &'static str,
    text: &'static str,
    consequence: &'static str,
}

const EARLY_ACKNOWLEDGEMENT: &str = "(acked<";
const NOTHING_COMES: &str = "(timeouts<=";
const SILENCE: &str = "invalid end state";
const REPEATED: &str = "(reason||";

const RULES: [Rule; 11] = [
    Rule {
        without: "HOLDING_BACK",
        options: "CLIENT=CLOSES LOSSES=0",
        violation: EARLY_ACKNOWLEDGEMENT,
        text: "the end of a request is acknowledged when its client has the whole response",
        consequence: "the request is acknowledged before",
    },
    Rule {
        without: "HOLDING_BACK",
        options: "ACKNOWLEDGEMENT_UNCHECKED CLIENT=CLOSES LOSSES=1",
        violation: SILENCE,
        text: "the same",
        consequence: "a segment is lost, and nothing is ever sent again",
    },
    Rule {
        without: "SETTLED",
        options: "CLIENT=CLOSES LOSSES=0",
        violation: NOTHING_COMES,
        text: "the acknowledgement of all of a response draws that of the request",
        consequence: "the client repeats its request for ever",
    },
    Rule {
        without: "DUPLICATES",
        options: "CLIENT=CLOSES LOSSES=0 COPIES=1",
        violation: REPEATED,
        text: "an ACK that reports a duplicate draws nothing",
        consequence: "what the network doubles draws segments again",
    },
    Rule {
        without: "METHOD_ALONE",
        options: "CLIENT=KEEPS WINDOW=2 LOSSES=1",
        violation: NOTHING_COMES,
        text: "the segments that a response begins with acknowledge the method, and nothing else of the request",
        consequence: "a client that lacks the first of them has nothing left to ask with",
    },
    Rule {
        without: "TARGET",
        options: "CLIENT=KEEPS WINDOW=2 LOSSES=1",
        violation: NOTHING_COMES,
        text: "a request that comes again without its method is answered from the start",
        consequence: "a client that lacks the first segment asks for ever",
    },
    Rule {
        without: "PROOF_WHEN_SETTLED",
        options: "CLIENT=KEEPS WINDOW=2 LOSSES=1",
        violation: EARLY_ACKNOWLEDGEMENT,
        text: "the acknowledgement of a request has the timestamp that proves where the next one begins",
        consequence: "behind a last segment out of order the next request is acknowledged, and never answered",
    },
    Rule {
        without: "REQUEST_BEHIND",
        options: "CLIENT=KEEPS LOSSES=1",
        violation: NOTHING_COMES,
        text: "a request behind the last byte of the one before, in one packet, is answered",
        consequence: "a client that repeats both together gets nothing",
    },
    Rule {
        without: "WINDOW",
        options: "CLIENT=PIPELINES LOSSES=1",
        violation: REPEATED,
        text: "the window of the client ends where its request ends",
        consequence: "the next request is taken for another ACK, and draws segments again",
    },
    Rule {
        without: "WINDOW",
        options: "REPEATS_UNCHECKED CLIENT=PIPELINES LOSSES=1",
        violation: EARLY_ACKNOWLEDGEMENT,
        text: "the same",
        consequence: "a part of the next request is acknowledged, which never gets an answer",
    },
    Rule {
        without: "GATE",
        options: "REPEATS_UNCHECKED CLIENT=PIPELINES WINDOW=2 LOSSES=1",
        violation: EARLY_ACKNOWLEDGEMENT,
        text: "what opens the window is older than all that its client has, but for the last segment",
        consequence: "a part of the next request is acknowledged, which never gets an answer",
    },
];

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Two segments only: seconds
    #[arg(long)]
    quick: bool,
    /// Where the report goes besides here
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What a run of Spin came to.
struct Outcome {
    states: f64,
    depth: String,
    /// What is violated, if anything is.
    violation: Option<String>,
    seconds: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need(&[("spin", "spin"), ("cc", "gcc")])?;
    let mut text = String::new();
    let mut rows = Vec::new();
    for size in if args.quick { &QUICK[..] } else { &FULL[..] } {
        for (client, name) in CLIENTS {
            let outcome = check_all(client, *size)?;
            let [segments, window, losses, copies, early] = size.map(|number| number.to_string());
            let (states, seconds) = (grouped(outcome.states), format!("{:.1}", outcome.seconds));
            let row = vec![name.to_owned(), segments, window, losses, copies, early, states, outcome.depth, seconds];
            println!("{}", row.join("  "));
            rows.push(row);
        }
    }
    let head =
        ["client", "segments", "window", "losses", "copies", "early timeouts", "states", "depth", "seconds with cc"];
    writeln!(text, "{}\n", table(&head, &rows))?;
    writeln!(text, "Without a rule, by the shortest way:\n")?;
    let mut trails = String::new();
    let mut rows = Vec::new();
    for rule in &RULES {
        let (depth, trail) = counterexample(rule)?;
        println!("\nwithout {} ({}): {}\n{trail}", rule.without, rule.options, rule.consequence);
        rows.push(vec![rule.text.to_owned(), rule.consequence.to_owned(), depth]);
        write!(trails, "\n`WITHOUT_{}`: {}.\n\n```text\n{trail}```\n", rule.without, rule.consequence)?;
    }
    write!(text, "{}\n{}", table(&["rule", "without it", "steps"], &rows), trails.trim_end())?;
    match &args.out {
        Some(folder) => page::put(folder, "model.md", MARKS, &text, &[]),
        None => Ok(()),
    }
}

/// All states of a client with all rules.
fn check_all(client: &str, [segments, window, losses, copies, early]: Size) -> anyhow::Result<Outcome> {
    let options =
        format!("CLIENT={client} SEGMENTS={segments} WINDOW={window} LOSSES={losses} COPIES={copies} EARLY={early}");
    let (outcome, _) = verify(&options, &["-O1", "-DSAFETY"])?;
    match outcome.violation {
        None => Ok(outcome),
        Some(violation) => bail!("{options}: {violation}"),
    }
}

/// What happens without a rule: how many steps, and which.
fn counterexample(rule: &Rule) -> anyhow::Result<(String, String)> {
    let defaults = ["LOSSES=", "COPIES=", "EARLY="].into_iter().filter(|key| !rule.options.contains(key));
    let defaults: Vec<String> = defaults.map(|key| format!("{key}0")).collect();
    let options = format!("WITHOUT_{} {} {}", rule.without, rule.options, defaults.join(" "));
    // By breadth: the first that is found is the shortest.
    let (outcome, folder) = verify(&options, &["-O0", "-DSAFETY", "-DBFS"])?;
    let violation = outcome.violation.with_context(|| format!("{options}: nothing is wrong without that rule"))?;
    ensure!(violation.contains(rule.violation), "{options}: {violation}");
    let mut replay = Command::new("spin");
    replay.arg("-t").args(definitions(&options)).arg("long.pml").current_dir(&folder);
    let said = output(&mut replay)?;
    let marks = ["client:", "server:", "arrives:", "lost on its way", "doubled on its way"];
    let is_told = |line: &&str| *line == "timeout" || marks.iter().any(|mark| line.starts_with(mark));
    let lines = said.lines().map(str::trim).filter(is_told);
    let indented =
        |line: &str| if line.ends_with("its way") { format!("         {line}\n") } else { format!("{line}\n") };
    Ok((outcome.depth, lines.map(indented).collect()))
}

fn definitions(options: &str) -> impl Iterator<Item = String> {
    options.split_whitespace().map(|word| format!("-D{word}"))
}

/// Runs Spin with these definitions. The folder has what it left.
fn verify(options: &str, compiler: &[&str]) -> anyhow::Result<(Outcome, TempDir)> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    fs::copy(root().join("model/long.pml"), folder.path().join("long.pml"))?;
    output(Command::new("spin").arg("-a").args(definitions(options)).arg("long.pml").current_dir(&folder))?;
    output(Command::new("cc").args(compiler).args(["-w", "-o", "pan", "pan.c"]).current_dir(&folder))?;
    let said = output(Command::new("./pan").args(["-m1000000", "-w24"]).current_dir(&folder))?;
    ensure!(!said.contains("max search depth too small"), "{options}: {said}");
    let outcome = Outcome::parse(&said, begun.elapsed().as_secs_f64()).with_context(|| format!("{options}: {said}"))?;
    Ok((outcome, folder))
}

impl Outcome {
    fn parse(said: &str, seconds: f64) -> Option<Self> {
        let states = said.lines().find_map(|line| line.strip_suffix("states, stored"))?.trim().parse().ok()?;
        let line = said.lines().find(|line| line.contains("depth reached"))?;
        let (_, rest) = line.split_once("depth reached ")?;
        let (depth, errors) = rest.split_once(", errors: ")?;
        let violation = said.lines().find_map(|line| line.strip_prefix("pan:1: ")).map(ToOwned::to_owned);
        // Both say the same, or it was not understood.
        ((errors.trim() != "0") == violation.is_some()).then(|| Self {
            states,
            depth: depth.to_owned(),
            violation,
            seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spin_says_is_understood() {
        let said =
            |errors| format!("State-vector 108 byte, depth reached 181, errors: {errors}\n     3251 states, stored\n");
        let outcome = Outcome::parse(&said(0), 1.0).unwrap();
        assert_eq!((outcome.states, outcome.depth.as_str(), outcome.violation), (3251.0, "181", None));
        let wrong = format!("pan:1: invalid end state (at depth 30)\n{}", said(1));
        assert_eq!(Outcome::parse(&wrong, 1.0).unwrap().violation.unwrap(), "invalid end state (at depth 30)");
        assert!(Outcome::parse(&said(1), 1.0).is_none() && Outcome::parse("", 1.0).is_none());
    }
}
