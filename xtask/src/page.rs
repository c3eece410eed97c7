//! Pages of docs that measurements write a part of.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use lethe_testnet::root;

/// Puts a text between two marks of a page, and charts beside it, each with its name. A page that is not there is made,
/// with `marks` and nothing else.
pub(crate) fn put(
    folder: &Path,
    page: &str,
    marks: [&str; 2],
    text: &str,
    charts: &[(String, String)],
) -> anyhow::Result<()> {
    fs::create_dir_all(folder.join("charts"))?;
    for (name, svg) in charts {
        fs::write(folder.join("charts").join(format!("{name}.svg")), svg)?;
    }
    let path = folder.join(page);
    let [begin, end] = marks;
    let old = fs::read_to_string(&path).unwrap_or_else(|_| format!("{begin}\n{end}\n"));
    let (before, rest) = old.split_once(begin).with_context(|| format!("{page} has no {begin}"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("{page} has no {end}"))?;
    fs::write(path, format!("{before}{begin}\n\n{text}\n\n{end}{after}"))?;
    Ok(())
}

/// The first line that a program prints about itself.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new(program).args(arguments).env("PATH", path).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().lines().next().unwrap_or("?").trim().to_owned()
}

/// When, of which commit, and by which command.
pub(crate) fn date_and_command() -> String {
    let repository = root().display().to_string();
    let commit = said("git", &["-C", &repository, "log", "-1", "--format=%h of %cs"]);
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("{}, commit {commit}, `cargo xtask {}`", said("date", &["+%Y-%m-%d"]), words.join(" "))
}

/// Its processors, memory and kernel.
pub(crate) fn machine() -> anyhow::Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let models: Vec<_> = info
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name)
        .collect();
    let hypervisor = if info.contains("hypervisor") { ", a virtual machine" } else { "" };
    let memory = fs::read_to_string("/proc/meminfo")?;
    let total = memory.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).unwrap_or(f64::NAN);
    Ok(format!(
        "{} CPUs ({}){hypervisor}, {:.0} GiB, Linux {}",
        models.len(),
        models.first().unwrap_or(&"?"),
        total / f64::from(1 << 20),
        said("uname", &["-r"])
    ))
}

/// An item of a list in lines of at most 120 columns.
pub(crate) fn wrapped(item: &str) -> String {
    let mut lines = vec![String::new()];
    for word in item.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= 120 => *line = format!("{line} {word}"),
            _ => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn an_item_of_a_list_is_wrapped() {
        assert_eq!(wrapped("* one two"), "* one two");
        let [long, last] = ["a".repeat(60), "b".repeat(58)];
        assert_eq!(wrapped(&format!("* {long} {long} {last} c")), format!("* {long}\n  {long}\n  {last} c"));
    }
}
