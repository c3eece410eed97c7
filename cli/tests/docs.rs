//! The book is run: every command of README.md and docs/*.md, and what it is quoted to say. Needs root.
//!
//! A ```console``` block has commands behind `$ `, and below each, if there is something, what it says. `…` stands
//! there for what differs from run to run: on a line of its own for any lines, else for anything within the line. HTML
//! comments, which a reader of the page is not shown, say what else is to be known:
//!
//! * `<!-- setup: … -->`: shell lines that run first: files, interfaces; or one `lethe serve`, which then stays.
//! * `<!-- run: no, REASON -->` before a block: it is not run; such blocks are listed in
//!   `snapshots/docs__not-run.snap`.
//! * `<!-- run: fails -->`: its last command ends with an error. `<!-- run: stays -->`: it goes on in the background,
//!   as `lethe serve` does anyway. `<!-- run: through COMMAND -->`: the block is what that command reads.
//!
//! A page has a network, processes and a working directory of its own. With `LETHE_DOCS=overwrite` what a command says
//! is written into the page, so that the book is made from the command: read the difference before you commit it.

#[path = "support/book.rs"]
mod book;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use book::{Block, How, Item, Page, ROOT, page, pages};
use lethe_harness::test;
use lethe_testnet::session::Session;
use snapbox::Data;
use snapbox::filter::NormalizeToExpected;

/// Blocks that are no commands.
const NO_COMMANDS: [&str; 14] = [
    "text",
    "nft",
    "rust",
    "toml",
    "ini",
    "yaml",
    "json",
    "bird",
    "prometheus",
    "html",
    "sh",
    "nginx",
    "haproxy",
    "caddyfile",
];

/// How commands begin that belong into a `console` block.
const COMMANDS: [&str; 14] = [
    "$ ",
    "lethe ",
    "make ",
    "tools/",
    "cargo ",
    "curl ",
    "ip ",
    "kill ",
    "ethtool ",
    "sysctl ",
    "umask ",
    "apt-get ",
    "tshark ",
    "modprobe ",
];

/// What a page's text is to be in place of what it is.
struct Change {
    lines: (usize, usize),
    indent: usize,
    text: String,
}

/// Runs a page from its first line to its last; fails with all that was wrong.
fn run(name: &str) {
    let page = page(name);
    let mut session = Session::new();
    let (mut problems, mut changes, mut commands) = (Vec::new(), Vec::new(), 0);
    for item in &page.items {
        match item {
            Item::Setup { line, script } => {
                let ended = if is_server(script) {
                    session.start(script, |said| is_listening(script, said))
                } else {
                    Ok(session.run(&format!("set -e\n{script}")))
                };
                let (success, said) = ended.unwrap_or_else(|problem| (false, problem));
                if !success {
                    problems.push(format!("{name}:{line}: setup failed:\n{said}"));
                }
            }
            Item::Block(block) => commands += run_block(name, block, &mut session, &mut problems, &mut changes),
        }
    }
    problems.extend(session.stop_all().err().map(|problem| format!("{name}: {problem}")));
    if std::env::var("LETHE_DOCS").is_ok_and(|what| what == "overwrite") {
        overwrite(&page, &changes);
    }
    println!("{name}: {commands} commands were run");
    assert!(problems.is_empty(), "{} problems\n\n{}", problems.len(), problems.join("\n\n"));
}

fn run_block(
    name: &str,
    block: &Block,
    session: &mut Session,
    problems: &mut Vec<String>,
    changes: &mut Vec<Change>,
) -> usize {
    if let How::Through(command) = &block.how {
        let (success, said) = session.run_with(command, &(block.lines.join("\n") + "\n"));
        if !success {
            problems.push(format!("{name}:{}: {command} does not take this block:\n{said}", block.line));
        }
        return 1;
    }
    if block.kind != "console" || matches!(block.how, How::Not(_)) {
        return 0;
    }
    let commands = block.commands();
    let count = commands.len();
    for (number, command) in commands.into_iter().enumerate() {
        let at = format!("{name}:{}: {}", command.output_lines.0 - 1, command.text);
        let serves = is_server(&command.text);
        let ended = if serves || block.how == How::Stays {
            session.start(&command.text, |said| {
                (!serves || is_listening(&command.text, said)) && compare(said, &command.output).is_ok()
            })
        } else {
            Ok(session.run(&command.text))
        };
        let must_fail = block.how == How::Fails && number + 1 == count;
        match ended {
            Err(problem) => problems.push(problem),
            Ok((success, said)) if success == must_fail => {
                problems.push(format!("{at}\nit did not end as it should, and said:\n{said}"));
            }
            Ok((_, said)) => {
                if let Err((difference, text)) = compare(&said, &command.output) {
                    problems.push(format!("{at}\n{difference}"));
                    changes.push(Change { lines: command.output_lines, indent: block.indent, text });
                }
            }
        }
    }
    count
}

/// Whether a command is a server: `lethe serve`, or that of a program made with the library.
fn is_server(command: &str) -> bool {
    command.split_whitespace().nth(1) == Some("serve")
}

/// Whether a server has said of each of its addresses that it is there.
fn is_listening(command: &str, said: &str) -> bool {
    said.matches("listening on ").count() >= command.matches("--addr ").count()
}

/// Compares what was said with what is quoted. What differs: as it is to be shown, and what the page should say.
fn compare(said: &str, quoted: &str) -> Result<(), (String, String)> {
    if quoted.is_empty() {
        return Ok(());
    }
    let pattern: String = quoted
        .lines()
        .map(|line| if line == "…" { "...\n".into() } else { line.replace('…', "[..]") + "\n" })
        .collect();
    let said: String = said.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    let pattern = Data::text(pattern);
    let found = NormalizeToExpected::new().redact().normalize(Data::text(said), &pattern);
    if found == pattern {
        return Ok(());
    }
    let mut difference = String::new();
    let palette = snapbox::report::Palette::plain();
    let names: [&dyn std::fmt::Display; 2] = [&"the book", &"the command"];
    snapbox::report::write_diff(&mut difference, &pattern, &found, Some(names[0]), Some(names[1]), palette).unwrap();
    let text = found.render().unwrap_or_default();
    let text =
        text.lines().map(|line| if line == "..." { "…\n".into() } else { line.replace("[..]", "…") + "\n" }).collect();
    Err((difference, text))
}

/// Writes into a page what its commands say now.
fn overwrite(page: &Page, changes: &[Change]) {
    let mut lines: Vec<String> = page.text.lines().map(String::from).collect();
    for Change { lines: (first, end), indent, text } in changes.iter().rev() {
        let text = text.lines().map(|line| format!("{}{line}", " ".repeat(*indent)).trim_end().to_owned());
        lines.splice(first - 1..end - 1, text);
    }
    fs::write(Path::new(ROOT).join(&page.name), lines.join("\n") + "\n").unwrap();
}

#[test(root, "curl", "ethtool")]
fn readme() {
    run("README.md");
}

#[test(root, "curl", "dumpcap", "ethtool", "git")]
fn app() {
    run("docs/app.md");
}

#[test(root, "bird", "nft")]
fn cluster() {
    run("docs/cluster.md");
}

#[test(root, "curl")]
fn files() {
    run("docs/files.md");
}

#[test(root, "curl", "openssl", "nginx", "haproxy", "caddy")]
fn https() {
    run("docs/https.md");
}

#[test(root, "curl")]
fn ipinfo() {
    run("docs/ipinfo.md");
}

#[test(root, "nft", "ethtool")]
fn interfaces() {
    run("docs/interfaces.md");
}

#[test(root, "ethtool")]
fn load() {
    run("docs/load.md");
}

#[test(root, "curl", "jq")]
fn observability() {
    run("docs/observability.md");
}

#[test(root)]
fn performance() {
    run("docs/performance.md");
}

#[test(root, "curl")]
fn respond() {
    run("docs/respond.md");
}

#[test(root, "nft", "curl")]
fn scores() {
    run("docs/scores.md");
}

#[test(root, "tshark")]
fn simulator() {
    run("docs/simulator.md");
}

#[test(root)]
fn using() {
    run("docs/using.md");
}

/// A page with commands has a test of its own above; and every block says what it is, so that no command hides in one
/// that is not run.
#[test]
fn every_page_is_run_and_every_block_says_what_it_is() {
    let source = include_str!("docs.rs");
    let mut problems = Vec::new();
    let mut blocks = 0;
    for page in pages() {
        let mut is_to_run = false;
        for item in &page.items {
            let Item::Block(block) = item else { continue };
            let at = format!("{}:{}", page.name, block.line);
            blocks += 1;
            let is_run = block.kind == "console" || matches!(block.how, How::Through(_));
            is_to_run |= is_run && !matches!(block.how, How::Not(_));
            if block.kind == "console" {
                assert!(!block.commands().is_empty(), "{at}: no command");
                continue;
            }
            if !NO_COMMANDS.contains(&block.kind.as_str()) {
                problems.push(format!("{at}: a block is fenced, and is `console` or one of {NO_COMMANDS:?}"));
            }
            let command = block.lines.iter().find(|line| COMMANDS.iter().any(|command| line.starts_with(command)));
            if let Some(command) = command.filter(|_| !is_run) {
                problems.push(format!("{at}: a command belongs into a `console` block: {command}"));
            }
        }
        if is_to_run && !source.contains(&format!("run(\"{}\");", page.name)) {
            problems.push(format!("{}: no test runs it", page.name));
        }
    }
    assert!(blocks > 50, "only {blocks} blocks were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What the book has and no test runs, each with its reason.
#[test]
fn what_is_not_run_is_listed() {
    let mut list = String::new();
    let (mut run, mut left_out) = (0, 0);
    for page in pages() {
        for item in &page.items {
            let Item::Block(block) = item else { continue };
            match &block.how {
                How::Not(reason) => {
                    for command in block.commands() {
                        left_out += 1;
                        let (first, _) = command.text.split_once(" \\\n").unwrap_or((&command.text, ""));
                        writeln!(list, "{}: {}\n    {reason}", page.name, first.split("  ").next().unwrap()).unwrap();
                    }
                }
                How::Through(_) => run += 1,
                _ if block.kind == "console" => run += block.commands().len(),
                _ => {}
            }
        }
    }
    println!("the book has {run} commands that are run, and {left_out} that are not:\n{list}");
    insta::assert_snapshot!("not-run", format!("{left_out} commands, and {run} others that are run\n\n{list}"));
}

lethe_harness::main!();
