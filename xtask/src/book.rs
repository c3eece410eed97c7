//! The book as a web site.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use lethe_testnet::root;
use serde_json::Value;

use crate::programs;

const ABOUT: &str = "\
Makes a web site of docs/ with mdBook, as book.toml says, and checks it: mdBook must not warn, and every link within the
book must lead to a page and to a place on it that are there.

tools/install book installs mdBook.";

const EXAMPLE: &str = "\
Example:
  cargo xtask book --out /var/www/lethe";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Where it goes (target/book)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What mdBook calls: replaces links in the book that it hands over
    #[arg(long, hide = true)]
    preprocess: bool,
    /// Its question whether that is there for an output
    #[arg(hide = true, requires = "preprocess")]
    question: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.preprocess {
        return if args.question.is_empty() { preprocess() } else { Ok(()) };
    }
    let out = args.out.clone().unwrap_or_else(|| programs::target().join("book"));
    let out = std::path::absolute(&out).with_context(|| out.display().to_string())?;
    let built = Command::new("mdbook").arg("build").arg("--dest-dir").arg(&out).current_dir(root()).output();
    let built = built.context("mdbook, which tools/install book installs")?;
    let said = String::from_utf8_lossy(&built.stderr).into_owned() + &String::from_utf8_lossy(&built.stdout);
    ensure!(built.status.success() && !said.contains("WARN"), "mdbook build:\n{said}");
    let (pages, links) = check(&out)?;
    println!("{}: {pages} pages, {links} links within them", out.join("index.html").display());
    Ok(())
}

/// Reads what mdBook hands to a preprocessor, `[context, book]`, and writes the book with other links.
fn preprocess() -> anyhow::Result<()> {
    let mut both: Value = serde_json::from_reader(stdin().lock())?;
    let repository = both.pointer("/0/config/preprocessor/repository/repository").and_then(Value::as_str);
    let repository = repository.map(|url| url.trim_end_matches('/').to_owned());
    let book = both.get_mut(1).context("mdBook hands over no book")?;
    replace_all(book, repository.as_deref());
    serde_json::to_writer(stdout().lock(), book)?;
    Ok(())
}

/// Replaces links in the text of each chapter, however deep.
fn replace_all(value: &mut Value, repository: Option<&str>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| replace_all(value, repository)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "content" => *text = replace(text, repository),
                    other => replace_all(other, repository),
                }
            }
        }
        _ => {}
    }
}

/// The text of a page whose links out of `docs`, `[text](../path)`, lead to the repository on the web, or are just
/// their text where that is not known.
fn replace(page: &str, repository: Option<&str>) -> String {
    const OUT: &str = "](../";
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, behind)) = rest.split_once(OUT) {
        let (Some(open), Some((path, after))) = (before.rfind('['), behind.split_once(')')) else { break };
        text.push_str(&before[..open]);
        let label = &before[open + 1..];
        match repository {
            Some(url) => text.extend(["[", label, "](", url, "/", path, ")"]),
            None => text.push_str(label),
        }
        rest = after;
    }
    text + rest
}

/// Follows each link of each page to a page and to a place on it; how many pages and links there are.
fn check(out: &Path) -> anyhow::Result<(usize, usize)> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(out).with_context(|| out.display().to_string())? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|kind| kind == "html");
        // These repeat all of it, for printing and for what is not there.
        let is_other = path.file_stem().is_some_and(|stem| stem == "print" || stem == "404" || stem == "toc");
        if is_page && !is_other {
            let text = fs::read_to_string(&path)?;
            pages.insert(path, text);
        }
    }
    let places: BTreeMap<&Path, BTreeSet<&str>> =
        pages.iter().map(|(path, page)| (path.as_path(), values(page, "id").collect())).collect();
    let mut wrong = Vec::new();
    let mut links = 0;
    for (path, page) in &pages {
        for link in values(page, "href").chain(values(page, "src")) {
            if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
                continue;
            }
            links += 1;
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { out.join(file) };
            let is_there = match places.get(target.as_path()) {
                Some(places) => place.is_empty() || places.contains(place),
                None => place.is_empty() && target.is_file(),
            };
            if !is_there {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("links that lead nowhere:\n{}", wrong.join("\n"));
    }
    Ok((pages.len(), links))
}

/// The values of an attribute in all tags, of which none has it twice. In what a page quotes, `<` is `&lt;`.
fn values<'p>(page: &'p str, name: &str) -> impl Iterator<Item = &'p str> {
    let start = format!(" {name}=\"");
    let tags = page.split('<').skip(1).filter_map(|part| Some(part.split_once('>')?.0));
    tags.filter_map(move |tag| Some(tag.split_once(start.as_str())?.1.split_once('"')?.0))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{check, replace};

    #[test]
    fn links_out_of_the_book_lead_to_the_repository_or_are_their_text() {
        let page = "See [the `list`](../a/b.txt), [x](x.md#y) and [z](../z).";
        assert_eq!(replace(page, None), "See the `list`, [x](x.md#y) and z.");
        let url = Some("https://example.org/tree/main");
        let linked = "See [the `list`](https://example.org/tree/main/a/b.txt), [x](x.md#y) and \
                      [z](https://example.org/tree/main/z).";
        assert_eq!(replace(page, url), linked);
    }

    #[test]
    fn a_link_to_a_page_or_a_place_that_is_not_there_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.html", r##"<h1 id="top">A</h1> <a href="b.html#in-b">b</a> <a href="#top">up</a>"##);
        write("b.html", r#"<h1 id="in-b">B</h1> <a href="https://example.org/">out</a> &lt;a href="/quoted"&gt;"#);
        assert_eq!(check(folder.path()).unwrap(), (2, 2));
        for wrong in ["c.html", "b.html#in-c", "#bottom"] {
            write("b.html", &format!(r#"<h1 id="in-b">B</h1> <a href="{wrong}">there</a>"#));
            let error = check(folder.path()).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
