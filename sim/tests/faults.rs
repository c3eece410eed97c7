//! The simulator is tested as well: it must find every fault that is put into the engine on purpose.
//!
//! A fault is a change of the source, and `faults/list.txt` has them all: the engine itself knows nothing of
//! them. They are made in copies, one at a time in each, and there `examples/judge.rs` runs seed after seed until the
//! checker that is there for it fires. A fault that is not found fails the test, and so does one that
//! cannot be made any more because the source has changed.
//!
//! It needs some minutes and a compiler: `make faults`. With `FAULT=name` in its environment, it is about that one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io, thread};

/// What is put into the engine: see the file for its format.
const LIST: &str = include_str!("faults/list.txt");

/// How many seeds a checker has to find a fault: several times what the rarest needs.
const SEEDS: u32 = 300;

/// What the engine is called where no fault is in it.
const UNCHANGED: &str = "(the engine as it is)";

#[test]
fn every_fault_is_found() {
    let mut faults = list(LIST);
    if let Ok(only) = env::var("FAULT") {
        faults.retain(|fault| fault.name == only);
        assert_eq!(faults.len(), 1, "one fault is called {only}");
    }
    // The unchanged engine is the first job, and takes longest.
    let jobs: Vec<Option<&Fault>> = [None].into_iter().chain(faults.iter().map(Some)).collect();
    let next = AtomicUsize::new(0);
    let work = |number| {
        let copy = Copy::make(number);
        let mut missed = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            missed.extend(examine(&copy, *job));
        }
        missed
    };
    println!("{:30} {:16} {:>6}", "fault", "found by", "seeds");
    let missed: Vec<&str> = thread::scope(|scope| {
        let threads: Vec<_> = (0..copies()).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a copy is examined")).collect()
    });
    assert!(missed.is_empty(), "not as it should be: {missed:?}");
}

/// Builds the engine with a fault in it, or none, and has its checker look; the name of what is not as it should be.
fn examine<'f>(copy: &Copy, fault: Option<&'f Fault>) -> Option<&'f str> {
    let Some(fault) = fault else {
        let found = copy.judge(None);
        println!("{UNCHANGED:30} {found:?}");
        return (found != Ok(Vec::new())).then_some(UNCHANGED);
    };
    let result = copy.with(fault, || copy.judge(Some(&fault.checker)));
    match result.and_then(|findings| fault.verdict(&findings)) {
        Ok(seeds) => {
            println!("{:30} {:16} {seeds:>6}", fault.name, fault.checker);
            None
        }
        Err(problem) => {
            println!("{:30} {problem}", fault.name);
            Some(&fault.name)
        }
    }
}

/// How many copies of the sources are examined at a time: what builds and looks keeps a processor busy.
fn copies() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get().min(4))
}

#[test]
fn the_list_is_read_as_it_is_written() {
    let faults = list("# a note\n\n[one]\nwhat is wrong\nfile src/a.rs\nfound by size\n-    a\n-  b\n+    c\n");
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((fault.name.as_str(), fault.file.as_str(), fault.checker.as_str()), ("one", "src/a.rs", "size"));
    assert_eq!(fault.apply("x\n    a\n  b\ny").as_deref(), Ok("x\n    c\ny"));
    assert!(fault.apply("").is_err());
    assert!(fault.apply("    a\n  b    a\n  b").is_err());
}

/// A fault of the engine, as a change of its source.
#[derive(Debug)]
struct Fault {
    name: String,
    file: String,
    /// The checker that is there to find it.
    checker: String,
    before: String,
    after: String,
}

impl Fault {
    /// The source with the fault in it.
    fn apply(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.before).count() {
            1 => Ok(source.replace(&self.before, &self.after)),
            places => Err(format!("{} has {places} places for it, and not one", self.file)),
        }
    }

    /// How many seeds its checker needed.
    fn verdict(&self, findings: &[Finding]) -> Result<u32, String> {
        match findings.last() {
            Some(last) if last.checker == self.checker => Ok(last.seed),
            Some(_) => {
                let others: BTreeSet<&str> = findings.iter().map(|finding| finding.checker.as_str()).collect();
                Err(format!("{SEEDS} seeds: not by {}, only by {others:?}", self.checker))
            }
            None => Err(format!("{SEEDS} seeds: not found")),
        }
    }
}

/// A seed that failed, and who found out.
#[derive(PartialEq, Eq, Debug)]
struct Finding {
    seed: u32,
    checker: String,
}

impl FromStr for Finding {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let parse = |line: &str| {
            let (seed, checker) = line.split_once(' ')?;
            Some(Self { seed: seed.parse().ok()?, checker: checker.to_owned() })
        };
        parse(line).ok_or_else(|| format!("the judge says {line:?}"))
    }
}

/// The sources, in a place where they may be changed, with a target folder of its own.
struct Copy {
    sources: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// The place of a number is always the same, so that a compiler that comes again finds most of its work done.
    fn make(number: usize) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member has a workspace");
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults").join(number.to_string());
        let copy = Self { sources: place.join("sources"), target: place.join("target") };
        if copy.sources.exists() {
            fs::remove_dir_all(&copy.sources).expect("what was left can be removed");
        }
        copy_all(root, &copy.sources).expect("sources can be copied");
        copy
    }

    /// What is found with this fault in the sources. Afterwards they are as they were.
    fn with<T>(&self, fault: &Fault, find: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let path = self.sources.join(&fault.file);
        let source = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", fault.file))?;
        write(&path, &fault.apply(&source)?)?;
        let result = find();
        write(&path, &source)?;
        result
    }

    /// Builds the judge, and has it run seeds until `awaited` finds something.
    fn judge(&self, awaited: Option<&str>) -> Result<Vec<Finding>, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "-p", "lethe-sim", "--features", "faults", "--example", "judge"]);
        // Built over and over, and never debugged.
        build.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
        run(build.arg("--target-dir").arg(&self.target).current_dir(&self.sources))?;

        let mut judge = Command::new(self.target.join("debug/examples/judge"));
        let findings = run(judge.arg(SEEDS.to_string()).args(awaited))?;
        findings.lines().map(str::parse).collect()
    }
}

/// What it writes to standard output.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

fn write(path: &Path, source: &str) -> Result<(), String> {
    fs::write(path, source).map_err(|error| format!("{}: {error}", path.display()))
}

/// A file, or a folder and all that is in it but what was built and what is hidden. The copy is as old as now: a
/// compiler looks at nothing else.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::write(to, fs::read(from)?);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        copy_all(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Reads the list of faults.
fn list(text: &str) -> Vec<Fault> {
    let is_note = |line: &str| line.is_empty() || line.starts_with('#');
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in text.lines().filter(|line| !is_note(line)) {
        if line.starts_with('[') {
            blocks.push(Vec::new());
        }
        blocks.last_mut().expect("the list begins with a [name]").push(line);
    }
    let faults: Vec<Fault> = blocks.iter().map(|block| fault(block)).collect();
    let names: BTreeSet<&str> = faults.iter().map(|fault| fault.name.as_str()).collect();
    assert_eq!(names.len(), faults.len(), "two faults have the same name");
    faults
}

fn fault(block: &[&str]) -> Fault {
    let all = |key: &str| block.iter().filter_map(|line| line.strip_prefix(key)).collect::<Vec<&str>>();
    let one = |key: &str| match all(key).as_slice() {
        [value] => value.trim().trim_end_matches(']').to_owned(),
        values => panic!("{:?} has {} lines {key:?}, and not one", block[0], values.len()),
    };
    let (before, after) = (all("-").join("\n"), all("+").join("\n"));
    assert!(!one("what ").is_empty() && !before.is_empty() && before != after, "{:?} changes nothing", block[0]);
    Fault { name: one("["), file: one("file "), checker: one("found by "), before, after }
}
