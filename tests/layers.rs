//! The modules of the engine, and those of the server, are layers: none imports one that imports it, directly or
//! through others.
//!
//! Read from the source: a path that begins with `crate::` or `super::` is an import, wherever it stands outside of
//! comments and unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the sources of both crates.
const ENGINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/server/src");

/// What each module imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The code of a file: without its comments, and without its unit tests, which stand at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The Rust files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The names that follow `prefix` in paths: all of a group, `prefix{a, b::c}`.
fn names_behind(code: &str, prefix: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|letter| is_name(letter) || letter == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(rest.split(|letter| !is_name(letter)).next().unwrap().to_owned());
            continue;
        };
        let mut depth = 0;
        let mut starts = true;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                letter if starts && is_name(letter) => {
                    found.insert(group[at..].split(|letter| !is_name(letter)).next().unwrap().to_owned());
                    starts = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// What the modules at the top import of each other; each stands for the modules within it.
fn top_level(src: &str) -> Imports {
    let tops = files(Path::new(src)).into_iter().filter(|path| name(path) != "lib");
    tops.map(|path| {
        let within = path.with_extension("");
        let mut paths = if within.is_dir() { files(&within) } else { Vec::new() };
        paths.push(path.clone());
        let imports = paths.iter().flat_map(|path| names_behind(&code(path), "crate::"));
        let module = name(&path);
        (module.clone(), imports.filter(|import| *import != module).collect())
    })
    .collect()
}

/// What a module and those within it import of each other.
fn within(src: &str, module: &str) -> Imports {
    let root = Path::new(src).join(module).with_extension("rs");
    let children: Vec<PathBuf> = files(&Path::new(src).join(module));
    let names: BTreeSet<String> = children.iter().map(|path| name(path)).collect();
    let of_root = code(&root);
    let used = names.iter().filter(|child| of_root.contains(&format!("{child}::")));
    let mut imports = Imports::from([(module.to_owned(), used.cloned().collect())]);
    for path in &children {
        let up = names_behind(&code(path), "super::");
        let targets = up.iter().map(|up| if names.contains(up) { up } else { module }.to_owned());
        imports.insert(name(path), targets.collect());
    }
    imports
}

/// The modules that can be reached from one by imports.
fn reachable(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = vec![from];
    while let Some(module) = rest.pop() {
        for next in imports.get(module).into_iter().flatten() {
            if found.insert(next.clone()) {
                rest.push(next);
            }
        }
    }
    found
}

/// Pairs of modules that can be reached from each other.
fn circles(imports: &Imports) -> Vec<(String, String)> {
    let all: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|module| (module, reachable(imports, module))).collect();
    let pairs = all.iter().flat_map(|(module, found)| found.iter().map(|other| ((*module).clone(), other.clone())));
    pairs.filter(|(one, other)| one < other && all[other].contains(one)).collect()
}

fn check_top_level(src: &str, expect: &[(&str, &str)]) {
    let imports = top_level(src);
    for (module, others) in &imports {
        for other in others {
            assert!(imports.contains_key(other), "{module} imports crate::{other}, which is no module");
        }
    }
    // These are imports that there are: they are read.
    for (module, other) in expect {
        assert!(imports[*module].contains(*other), "{module} does not import {other}: {imports:?}");
    }
    assert_eq!(circles(&imports), [], "in {src}");
}

fn check_within_modules(src: &str) {
    let folders = fs::read_dir(src).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let modules = folders.filter(|folder| folder.with_extension("rs").exists());
    for module in modules.map(|folder| name(&folder)) {
        let imports = within(src, &module);
        assert!(imports.len() > 1, "{imports:?}");
        assert_eq!(circles(&imports), [], "in {src}/{module}");
    }
}

#[test]
fn no_module_of_the_engine_imports_one_that_imports_it() {
    check_top_level(ENGINE, &[("tcp", "wire"), ("engine", "tcp")]);
}

#[test]
fn nor_does_one_within_a_module_of_the_engine() {
    check_within_modules(ENGINE);
}

#[test]
fn no_module_of_the_server_imports_one_that_imports_it() {
    check_top_level(SERVER, &[("serve", "device"), ("dpdk", "reload"), ("load", "device")]);
}

#[test]
fn nor_does_one_within_a_module_of_the_server() {
    check_within_modules(SERVER);
}

#[test]
fn a_circle_is_found_through_others_as_well() {
    let imports = |edges: &[(&str, &[&str])]| -> Imports {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        edges.iter().map(|(module, others)| ((*module).to_owned(), owned(others))).collect()
    };
    let line = imports(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
    assert_eq!(circles(&line), []);
    let circle = imports(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]);
    let pairs = circles(&circle).into_iter().map(|(one, other)| one + &other).collect::<Vec<_>>();
    assert_eq!(pairs, ["ab", "ac", "bc"]);
}

#[test]
fn imports_are_read_from_paths_and_groups() {
    let code =
        "use crate::app::{App, b}; use crate::{c, d::{e, f}, g}; let x = crate::h::i(); other_crate::j; a::crate::k";
    let found: Vec<String> = names_behind(code, "crate::").into_iter().collect();
    assert_eq!(found, ["app", "c", "d", "g", "h"]);
}
