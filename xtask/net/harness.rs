//! The harness of tests that need more than a compiler: root, or programs that may not be installed.
//!
//! The standard harness decides when it is built which tests are ignored. Whether there is root is known when they
//! run. So files of such tests have this harness (`libtest-mimic`, which takes the same arguments), and their tests
//! say what they need, by the macros of `lethe-harness`. What is not there leaves a test out: it is reported as ignored
//! with the reason, and the last line counts and names all that were left out. As root, and with everything installed
//! that `tools/install test` installs, nothing is.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::ExitCode;

pub use inventory;
use libtest_mimic::{Arguments, Completion, Trial};
use nix::unistd::Uid;

/// Where Debian has administration programs, which are not in every user's `PATH`.
const ADMINISTRATOR: &str = "/usr/sbin:/sbin";

/// A test, as `#[test]` of `lethe-harness` registers it.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// The name of its function.
    pub name: &'static str,
    /// The path of its module, from the name of the crate on.
    pub module: &'static str,
    /// What it needs: `root`, or the names of programs.
    pub needs: &'static [&'static str],
    /// Why it does not run unless it is asked for, if so.
    pub ignored: Option<&'static str>,
    /// The test itself, which panics if it fails.
    pub run: fn(),
}

inventory::collect!(Test);

impl Test {
    /// Its name as the standard harness would print it.
    fn path(&self) -> String {
        let module = self.module.split_once("::").map(|(_, module)| format!("{module}::"));
        format!("{}{}", module.unwrap_or_default(), self.name)
    }

    /// What is missing of what it needs.
    fn missing(&self) -> Option<String> {
        let is_there = |need: &str| if need == "root" { Uid::effective().is_root() } else { is_installed(need) };
        let need = self.needs.iter().find(|need| !is_there(need))?;
        Some(if *need == "root" { "without root".to_owned() } else { format!("without {need}") })
    }

    fn trial(self) -> Trial {
        let run = move || {
            if let Some(missing) = self.missing() {
                return Ok(Completion::ignored_with(missing));
            }
            (self.run)();
            Ok(Completion::Completed)
        };
        let trial = Trial::ignorable_test(self.path(), run);
        trial.with_ignored_flag(self.ignored.is_some())
    }
}

fn is_installed(program: &str) -> bool {
    let path = env::var("PATH").unwrap_or_default();
    [&path, ADMINISTRATOR].iter().any(|list| env::split_paths(list).any(|folder| folder.join(program).is_file()))
}

/// Runs all tests of a file, and then says what was left out.
///
/// `source` is the file: every test in it must be registered, or it would never run.
#[must_use]
pub fn run(source: &Path) -> ExitCode {
    let arguments = Arguments::from_args();
    let tests: Vec<Test> = inventory::iter::<Test>().copied().collect();
    if let Ok(source) = std::fs::read_to_string(source) {
        let written = source.lines().filter(|line| line.trim_start().starts_with("#[test")).count();
        assert_eq!(written, tests.len(), "a `#[test]` is not that of lethe_harness, and would never run");
    }
    let conclusion = libtest_mimic::run(&arguments, tests.iter().map(|test| test.trial()).collect());
    if !arguments.list {
        for (reason, tests) in left_out(&tests, |test| is_asked_for(&arguments, test)) {
            let count = if tests.len() == 1 { "one test".to_owned() } else { format!("{} tests", tests.len()) };
            println!("left out {reason}: {count}: {}\n", tests.join(", "));
        }
    }
    conclusion.exit_code()
}

/// Whether the arguments ask for a test.
fn is_asked_for(arguments: &Arguments, test: &Test) -> bool {
    let path = test.path();
    let is_named = |name: &String| if arguments.exact { path == *name } else { path.contains(name.as_str()) };
    let is_ignored = test.ignored.is_some();
    arguments.filter.as_ref().is_none_or(is_named)
        && !arguments.skip.iter().any(is_named)
        && (arguments.include_ignored || arguments.ignored == is_ignored)
}

/// The names of the tests that cannot run, by what is missing.
fn left_out(tests: &[Test], is_asked_for: impl Fn(&Test) -> bool) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for test in tests.iter().filter(|test| is_asked_for(test)) {
        if let Some(missing) = test.missing() {
            all.entry(missing).or_default().push(test.path());
        }
    }
    for names in all.values_mut() {
        names.sort_unstable();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Arguments, BTreeMap, Test, Uid, left_out};

    const fn needing(name: &'static str, needs: &'static [&'static str], ignored: Option<&'static str>) -> Test {
        Test { name, module: "some_crate", needs, ignored, run: || panic!("it was to be left out") }
    }

    #[test]
    fn a_test_without_what_it_needs_is_left_out_by_name_and_never_passes() {
        let tests = [
            needing("b", &["no-such-program"], None),
            needing("a", &["sh", "no-such-program"], None),
            needing("slow", &["no-such-program"], Some("slow")),
            needing("plain", &["sh"], None),
        ];
        let left_out = left_out(&tests, |test| test.ignored.is_none());
        assert_eq!(left_out, BTreeMap::from([("without no-such-program".to_owned(), vec!["a".into(), "b".into()])]));

        let arguments = Arguments { logfile: Some("/dev/null".to_owned()), ..Arguments::default() };
        let conclusion = libtest_mimic::run(&arguments, tests[..3].iter().map(|test| test.trial()).collect());
        assert_eq!((conclusion.num_passed, conclusion.num_failed, conclusion.num_ignored), (0, 0, 3));
        let conclusion = libtest_mimic::run(&arguments, vec![tests[3].trial()]);
        assert_eq!((conclusion.num_passed, conclusion.num_failed), (0, 1), "with all that it needs it runs");
    }

    #[test]
    fn root_is_the_user_who_runs_the_tests_and_not_who_built_them() {
        let missing = needing("a", &["root"], None).missing();
        assert_eq!(missing.is_none(), Uid::effective().is_root(), "{missing:?}");
    }
}
