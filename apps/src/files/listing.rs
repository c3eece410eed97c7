//! The pages that list the files of directories without an index.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::tree::Listed;

/// What is in a directory: the names of its directories, each with a slash, and of its files with their sizes.
#[derive(Default)]
struct Contents {
    directories: BTreeSet<Vec<u8>>,
    files: BTreeMap<Vec<u8>, u64>,
}

/// The pages for all directories of these files that have no `index`, by their paths, which end with a slash.
pub(super) fn pages(files: &[Listed], index: &[u8]) -> Vec<(Vec<u8>, String)> {
    let mut directories: BTreeMap<Vec<u8>, Contents> = BTreeMap::new();
    for Listed { path, len, .. } in files {
        let mut child: Option<Vec<u8>> = None;
        let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
        for at in slashes.rev() {
            let (directory, name) = path.split_at(at + 1);
            let contents = directories.entry(directory.to_vec()).or_default();
            match child.replace(directory.to_vec()) {
                None => drop(contents.files.insert(name.to_vec(), *len)),
                Some(below) => drop(contents.directories.insert(below[directory.len()..].to_vec())),
            }
        }
    }
    directories.retain(|_, contents| !contents.files.contains_key(index));
    directories.into_iter().map(|(path, contents)| (path.clone(), page(&path, &contents))).collect()
}

fn page(path: &[u8], contents: &Contents) -> String {
    let title = html(path);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>body{{font-family:sans-serif}}td{{padding:.1em 1em .1em 0}}\
         td+td{{text-align:right}}</style><h1>{title}</h1><table>\n"
    );
    let mut row = |name: &[u8], size: &str| {
        writeln!(page, "<tr><td><a href=\"{}\">{}</a><td>{size}", reference(name), html(name)).expect("to memory");
    };
    if path != b"/" {
        row(b"../", "");
    }
    contents.directories.iter().for_each(|name| row(name, ""));
    contents.files.iter().for_each(|(name, len)| row(name, &len.to_string()));
    page + "</table>\n"
}

/// Bytes as text of a page. What is not UTF-8 is shown as such.
fn html(text: &[u8]) -> String {
    let mut escaped = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name in a directory as a relative reference: encoded, and not mistaken for one with a scheme (RFC 3986, section
/// 4.2).
fn reference(name: &[u8]) -> String {
    let mut encoded = String::from("./");
    for &byte in name {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            other => write!(encoded, "%{other:02X}").expect("to memory"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_listed_with_what_is_in_it_unless_it_has_an_index() {
        let files = [("/a/b.txt", 3), ("/a/c/d.txt", 4), ("/e/index.html", 5), ("/e/f", 6)];
        let files = files.map(|(path, len)| Listed::of(path.as_bytes(), len));
        let pages = pages(&files, b"index.html");
        let paths: Vec<_> = pages.iter().map(|(path, _)| path.escape_ascii().to_string()).collect();
        assert_eq!(paths, ["/", "/a/", "/a/c/"]);
        let links = |at: usize| {
            let page = &pages[at].1;
            page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(links(0), ["./a/", "./e/"]);
        assert_eq!(links(1), ["./../", "./c/", "./b.txt"]);
        assert_eq!(links(2), ["./../", "./d.txt"]);
        assert!(pages[1].1.contains("b.txt</a><td>3\n"));
    }

    #[test]
    fn a_name_is_text_and_reference_whatever_is_in_it() {
        let name = b"/<b>&\"\xff:%.txt";
        let (_, page) = pages(&[Listed::of(name, 1)], b"index.html").pop().unwrap();
        let row = "<a href=\"./%3Cb%3E%26%22%FF%3A%25.txt\">&lt;b&gt;&amp;&quot;\u{fffd}:%.txt</a>";
        assert!(page.contains(row), "{page}");
    }
}
