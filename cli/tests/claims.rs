//! What the book says in prose and tables, as far as it can be counted or looked up: files, options, messages, numbers.

#[path = "support/book.rs"]
#[allow(dead_code, reason = "what is run is read by docs.rs")]
mod book;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use book::{ROOT, page, pages};
use pulldown_cmark::{Event, Parser};

/// Options in the book that are those of other programs: DPDK's EAL, container engines, the tools and their tests.
const OPTIONS_OF_OTHERS: [&str; 19] = [
    "--bind",
    "--file-prefix",
    "--help",
    "--in-memory",
    "--lcores",
    "--log-level",
    "--no-huge",
    "--no-pci",
    "--ultra",
    "--quick",
    "--server",
    "--vdev",
    "--without-dpdk",
    "--kind",
    "--release",
    "--features",
    "--test-threads",
    "--nocapture",
    "--quiet",
];

/// Messages in the book that are DPDK's own.
const MESSAGES_OF_OTHERS: [&str; 2] = ["Cannot get hugepage information", "EAL: Cannot create lock on"];

/// The names in a folder with this ending, without it.
fn names(folder: &str, ending: &str) -> BTreeSet<String> {
    let path = Path::new(ROOT).join(folder);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names: BTreeSet<String> = entries
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(ending).map(String::from))
        .collect();
    assert!(!names.is_empty(), "nothing in {folder} ends in {ending}");
    names
}

fn set<'n>(names: impl IntoIterator<Item = &'n str>) -> BTreeSet<String> {
    names.into_iter().map(String::from).collect()
}

/// The first code span in each row of the first table below `words`.
fn rows(page: &str, words: &str) -> BTreeSet<String> {
    let text = book::page(page).text;
    let (_, below) = text.split_once(words).unwrap_or_else(|| panic!("{page} has no {words:?}"));
    let table = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).filter_map(|row| row.split('`').nth(1).map(String::from)).collect()
}

/// All code spans of a page, with the lines that they are in.
fn spans(text: &str) -> Vec<(usize, String)> {
    let events = Parser::new_ext(text, pulldown_cmark::Options::ENABLE_TABLES).into_offset_iter();
    let span = |(event, range): (Event<'_>, std::ops::Range<usize>)| match event {
        Event::Code(code) => Some((1 + text[..range.start].matches('\n').count(), code.replace('\n', " "))),
        _ => None,
    };
    events.filter_map(span).collect()
}

fn number(word: &str) -> usize {
    const WORDS: [&str; 13] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    WORDS.iter().position(|known| *known == word).unwrap_or_else(|| panic!("{word:?} is no number"))
}

#[test]
fn every_fuzz_target_is_in_the_table_and_counted() {
    let targets = names("fuzz/targets", ".rs");
    assert_eq!(rows("docs/simulator.md", "## Fuzzing"), targets);
    let text = page("docs/simulator.md").text;
    let (_, rest) = text.split_once("## Fuzzing").and_then(|(_, rest)| rest.split_once("\nruns ")).unwrap();
    assert_eq!(number(rest.split(' ').next().unwrap()), targets.len());
    assert_eq!(names("fuzz/corpus", ""), targets, "each has a corpus");
}

#[test]
fn every_checker_and_every_rule_of_a_link_is_in_its_table() {
    let mut checkers = names("sim/src/check", ".rs");
    checkers.remove("stand");
    assert_eq!(rows("docs/simulator.md", "## Checkers"), checkers);
    let mut rules: BTreeSet<String> = names("sim/src/link", ".rs").iter().map(|name| format!("{name}.rs")).collect();
    for other in ["fate.rs", "impairment.rs", "packet.rs", "reassembly.rs", "tests.rs"] {
        assert!(rules.remove(other), "{other}");
    }
    let listed: BTreeSet<String> =
        rows("docs/simulator.md", "## Impairments").into_iter().filter(|row| row.contains(".rs")).collect();
    assert_eq!(listed, rules);
}

#[test]
fn every_capture_is_in_the_list_of_captures() {
    let captures: BTreeSet<String> = names("pcaps", "").into_iter().filter(|name| name.contains(".pcap")).collect();
    assert!(captures.len() > 10, "{captures:?}");
    assert_eq!(rows("pcaps/README.md", "# Captures of real clients"), captures);
}

#[test]
fn every_page_is_in_the_contents_and_in_the_readme() {
    let mut pages = names("docs", ".md");
    assert!(pages.remove("README") && pages.remove("SUMMARY"));
    for list in ["docs/README.md", "docs/SUMMARY.md", "README.md"] {
        let text = page(list).text;
        for name in &pages {
            let link = if list == "README.md" { format!("(docs/{name}.md)") } else { format!("({name}.md)") };
            assert!(text.contains(&link), "{list} does not have {name}.md");
        }
    }
}

#[test]
fn every_tool_is_in_the_readme() {
    let text = page("README.md").text;
    let tools = text.lines().find(|line| line.contains("[`tools`](tools)")).unwrap();
    // Parts of other tools, which no reader runs.
    let used = set(["lib"]);
    for tool in names("tools", "").difference(&used) {
        assert!(tools.contains(&format!("`{tool}`")), "README.md does not have tools/{tool}");
    }
    let measurements = text.lines().find(|line| line.contains("[`xtask`](xtask)")).unwrap();
    let main = fs::read_to_string(Path::new(ROOT).join("xtask/src/main.rs")).unwrap();
    let commands = main.lines().filter_map(|line| line.trim().strip_prefix("Command::")?.split_once("(args) => "));
    let commands: Vec<_> =
        commands.filter_map(|(_, call)| Some(call.split_once("::run")?.0.replace('_', "-"))).collect();
    assert!(commands.len() > 5, "{main}");
    for command in commands {
        assert!(measurements.contains(&format!("`{command}`")), "README.md does not have cargo xtask {command}");
    }
}

#[test]
fn the_engine_has_no_dependency_as_the_book_says() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("\n[dependencies]"), "docs/dependencies.md and CONTRIBUTING.md say that there is none");
    let said = page("CONTRIBUTING.md").text;
    assert!(said.contains("The engine has none."), "CONTRIBUTING.md");
    assert!(page("docs/dependencies.md").text.contains("## The engine has no dependency"));
}

/// Whether a word names a file or a folder of the repository.
fn is_path(word: &str) -> bool {
    let folders = [
        "apps/",
        "benches/",
        "cli/",
        "docs/",
        "examples/",
        "fuzz/",
        "hw/",
        "load/",
        "pcaps/",
        "server/",
        "sim/",
        "src/",
        "tests/",
        "tools/",
        "xtask/",
    ];
    folders.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '…', '{'])
}

#[test]
fn every_path_that_is_named_is_there() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for (line, span) in spans(&page.text) {
            let path = span.split([' ', '#']).next().unwrap();
            if !is_path(path) {
                continue;
            }
            checked += 1;
            // Files that a build or a run makes are not in the repository.
            let is_made = ["fuzz/artifacts"].contains(&path);
            if !is_made && !Path::new(ROOT).join(path).exists() {
                problems.push(format!("{}:{line}: there is no {path}", page.name));
            }
        }
    }
    assert!(checked > 40, "only {checked} paths were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The help of a command, and of what is below it.
fn help(command: &str) -> String {
    let run = |words: &str| {
        let arguments = words.split_whitespace().chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_lethe")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let mut all = run(command);
    let below = match command {
        "serve" | "replay" | "verify" => ["ipinfo", "files", "respond", "sample", "scores"].as_slice(),
        "prepare" => &["ipinfo", "files", "scores", "scores-sample"],
        _ => &[],
    };
    for name in below {
        all += &run(&format!("{command} {name}"));
    }
    all
}

/// Long options in a text.
fn options(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 3)
}

const COMMANDS: [&str; 9] = ["serve", "top", "replay", "load", "simulate", "prepare", "bench", "check", "verify"];

#[test]
fn every_path_in_a_help_is_there() {
    let mut checked = 0;
    for command in COMMANDS.into_iter().chain([""]) {
        for path in help(command).split_whitespace().map(|word| word.trim_end_matches(['.', ',', ':', ')'])) {
            if !is_path(path) {
                continue;
            }
            checked += 1;
            assert!(Path::new(ROOT).join(path).exists(), "lethe {command} --help: there is no {path}");
        }
    }
    assert!(checked > 0, "the example of lethe replay has a capture");
}

#[test]
fn every_option_that_is_named_is_one() {
    let helps: BTreeMap<&str, String> = COMMANDS.into_iter().map(|command| (command, help(command))).collect();
    let known: BTreeMap<&str, BTreeSet<&str>> =
        helps.iter().map(|(name, help)| (*name, options(help).collect())).collect();
    let mut problems = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for (line, span) in spans(&page.text) {
            let command = span.strip_prefix("lethe ").and_then(|rest| known.get_key_value(rest.split(' ').next()?));
            if command.is_none() && !span.starts_with("--") {
                continue;
            }
            for option in options(&span).filter(|option| !OPTIONS_OF_OTHERS.contains(option)) {
                checked += 1;
                let is_known = match command {
                    Some((_, options)) => options.contains(option),
                    None => known.values().any(|options| options.contains(option)),
                };
                if !is_known {
                    problems.push(format!("{}:{line}: no command has {option}: {span}", page.name));
                }
            }
        }
    }
    assert!(checked > 60, "only {checked} options were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Every string in the source, with `\0` where something is put in.
fn messages() -> Vec<Vec<char>> {
    let mut folders: Vec<PathBuf> =
        ["apps/src", "cli/src", "hw/src", "load/src", "server/src", "sim/src"].map(|f| Path::new(ROOT).join(f)).into();
    let mut messages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            for literal in text.split('"').skip(1).filter(|part| part.len() > 8) {
                // A line that goes on has white space in front that is not in the string.
                let joined: String = literal.split("\\\n").map(str::trim_start).collect();
                let mut message = Vec::new();
                let mut depth = 0;
                for character in joined.chars() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth > 0 => {
                            depth -= 1;
                            message.push('\0');
                        }
                        _ if depth == 0 => message.push(character),
                        _ => {}
                    }
                }
                messages.push(message);
            }
        }
    }
    assert!(messages.len() > 500);
    messages
}

/// Whether the quote may be a part of a message, and at least eight letters of it are the message's own, and not put
/// in.
fn says(message: &[char], quote: &[char]) -> bool {
    // For what is left of the message, from its end on: letters that are its own, for each rest of the quote.
    let mut below = vec![None; quote.len() + 1];
    below[quote.len()] = Some(0);
    let mut most = 0;
    for one in message.iter().rev() {
        let mut row: Vec<Option<usize>> = vec![None; quote.len() + 1];
        row[quote.len()] = Some(0);
        for at in (0..quote.len()).rev() {
            row[at] = match one {
                // It takes nothing, or one more.
                '\0' => below[at].max(row[at + 1]),
                _ if *one == quote[at] => below[at + 1].map(|letters| letters + 1),
                _ => None,
            };
        }
        most = most.max(row[0].unwrap_or(0));
        below = row;
    }
    most >= 8
}

#[test]
fn every_message_in_the_tables_of_what_is_wrong_is_one_that_is_printed() {
    let messages = messages();
    let mut checked = 0;
    for name in ["docs/using.md", "docs/deploy-dpdk.md"] {
        let text = page(name).text;
        let (_, below) = text.split_once("## Troubleshooting").unwrap();
        for row in below.lines().filter(|line| line.starts_with("| `")) {
            let quote = row.split('`').nth(1).unwrap();
            if MESSAGES_OF_OTHERS.iter().any(|other| quote.starts_with(other)) || row.starts_with("| curl") {
                continue;
            }
            checked += 1;
            let quote: Vec<char> = quote.chars().collect();
            assert!(
                messages.iter().any(|message| says(message, &quote)),
                "{name}: nothing prints {:?}",
                quote.iter().collect::<String>()
            );
        }
    }
    assert!(checked >= 5, "only {checked} messages were found");
}
