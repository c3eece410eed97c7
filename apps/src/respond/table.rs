//! Which answer a request has, by its host, path and method.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::host::{Host, Hosts, Pattern};

/// Answers by path: by the path itself, or by its beginning.
///
/// The beginnings are sorted, and each knows the longest one that it begins with: what is found by a binary search, and
/// a few steps back, is the longest.
#[derive(Debug)]
pub(super) struct Paths<T> {
    exact: HashMap<Box<[u8]>, T>,
    prefixes: Vec<Prefix<T>>,
}

#[derive(Debug)]
struct Prefix<T> {
    path: Box<[u8]>,
    answer: T,
    /// The longest other one that this one begins with.
    shorter: Option<u32>,
}

/// Which paths a rule is for, in their normal form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct PathPattern {
    pub(super) path: Box<[u8]>,
    pub(super) is_prefix: bool,
}

/// What was found for a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'t, T> {
    pub(super) answer: &'t T,
    /// How much of the path the pattern has.
    pub(super) len: usize,
}

impl<T> Paths<T> {
    /// Of patterns in ascending order, each once.
    fn new(patterns: impl IntoIterator<Item = (PathPattern, T)>) -> Self {
        let (mut exact, mut prefixes) = (HashMap::new(), Vec::<Prefix<T>>::new());
        for (PathPattern { path, is_prefix }, answer) in patterns {
            if !is_prefix {
                exact.insert(path, answer);
                continue;
            }
            // What this one begins with is the one before it, or what that begins with.
            let mut shorter = prefixes.len().checked_sub(1);
            while let Some(at) = shorter
                && !path.starts_with(&prefixes[at].path)
            {
                shorter = prefixes[at].shorter.map(|at| at as usize);
            }
            prefixes.push(Prefix { path, answer, shorter: shorter.map(|at| at as u32) });
        }
        Self { exact, prefixes }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// What there is for a path: for itself, or else for the longest beginning of it.
    #[inline]
    pub(super) fn find(&self, path: &[u8]) -> Option<Found<'_, T>> {
        if let Some(answer) = self.exact.get(path) {
            return Some(Found { answer, len: path.len() });
        }
        let mut at = self.prefixes.partition_point(|prefix| *prefix.path <= *path).checked_sub(1)?;
        loop {
            let Prefix { path: beginning, answer, shorter } = &self.prefixes[at];
            if path.starts_with(beginning) {
                return Some(Found { answer, len: beginning.len() });
            }
            at = (*shorter)? as usize;
        }
    }
}

/// Answers by host and path: by the host itself, by the longest end of its name, or for any host.
#[derive(Debug)]
pub(super) struct Table<T> {
    hosts: Hosts<Paths<T>>,
    any: Paths<T>,
    /// Paths for which the host matters.
    hosted: Paths<()>,
}

/// What rules a table is made of.
pub(super) type Rules<T> = BTreeMap<Pattern, BTreeMap<PathPattern, T>>;

impl<T> Table<T> {
    pub(super) fn new(rules: Rules<T>) -> Self {
        let mut hosted = BTreeSet::new();
        let (mut hosts, mut any) = (Hosts::new(), Paths::new([]));
        for (pattern, paths) in rules {
            if pattern != Pattern::Any {
                hosted.extend(paths.keys().cloned());
            }
            if let Some(paths) = hosts.add(pattern, Paths::new(paths)) {
                any = paths;
            }
        }
        Self { hosts, any, hosted: Paths::new(hosted.into_iter().map(|path| (path, ()))) }
    }

    /// Whether the host decides what the answer for this path is.
    pub(super) fn is_by_host(&self, path: &[u8]) -> bool {
        !self.hosted.is_empty() && self.hosted.find(path).is_some()
    }

    /// Whether there is nothing for a host that no rule names.
    pub(super) fn is_for_named_hosts(&self) -> bool {
        self.any.is_empty()
    }

    /// What there is for a path of any host.
    pub(super) fn find_for_any(&self, path: &[u8]) -> Option<Found<'_, T>> {
        self.any.find(path)
    }

    /// What there is for a path of this host. Of the rules that fit, that of the most specific host is taken, and of
    /// those that of the most specific path.
    pub(super) fn find(&self, host: &Host, path: &[u8]) -> Option<Found<'_, T>> {
        self.hosts.of(host).find_map(|paths| paths.find(path)).or_else(|| self.find_for_any(path))
    }

    /// Whether a rule names this host.
    pub(super) fn names(&self, host: &Host) -> bool {
        self.hosts.of(host).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        let (path, is_prefix) = text.strip_suffix('*').map_or((text, false), |path| (path, true));
        PathPattern { path: path.as_bytes().into(), is_prefix }
    }

    /// Each pattern is its own answer.
    fn paths(texts: &[&str]) -> Paths<String> {
        let all: BTreeMap<_, _> = texts.iter().map(|text| (pattern(text), (*text).to_owned())).collect();
        Paths::new(all)
    }

    #[test]
    fn the_path_itself_comes_before_the_longest_beginning() {
        let paths = paths(&["/*", "/a", "/a*", "/a/*", "/a/b", "/a/b/c/*", "/b/*", "/ab"]);
        for (path, expect) in [
            ("/", "/*"),
            ("/a", "/a"),
            ("/ab", "/ab"),
            ("/abc", "/a*"),
            ("/a/", "/a/*"),
            ("/a/b", "/a/b"),
            ("/a/bc", "/a/*"),
            ("/a/b/c", "/a/*"),
            ("/a/b/c/", "/a/b/c/*"),
            ("/a/b/c/d/e", "/a/b/c/*"),
            ("/b", "/*"),
            ("/b/b", "/b/*"),
            ("/c", "/*"),
        ] {
            let found = paths.find(path.as_bytes()).unwrap();
            assert_eq!(found.answer, expect, "{path}");
            assert_eq!(found.len, expect.trim_end_matches('*').len());
        }
        assert!(paths.find(b"*").is_none() && paths.find(b"").is_none());
    }

    /// Looks at every pattern.
    fn find_slowly<'t>(texts: &[&'t str], path: &str) -> Option<&'t str> {
        let fits = |text: &&&str| match text.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == **text,
        };
        texts.iter().filter(fits).max_by_key(|text| (!text.ends_with('*'), text.len())).copied()
    }

    #[quickcheck_macros::quickcheck]
    #[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
    fn what_is_found_is_what_a_look_at_every_pattern_finds(patterns: Vec<Vec<u8>>, path: Vec<u8>) -> bool {
        let text = |bytes: &[u8]| bytes.iter().map(|byte| ["/", "a", "b"][usize::from(byte % 3)]).collect::<String>();
        let texts: Vec<String> = patterns
            .iter()
            .map(|bytes| text(&bytes[..bytes.len().min(6)]) + if bytes.len() % 2 == 0 { "*" } else { "" })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let table = paths(&texts);
        (0..path.len()).all(|len| {
            let path = text(&path[..len]);
            table.find(path.as_bytes()).map(|found| found.answer.as_str()) == find_slowly(&texts, &path)
        })
    }

    fn table(rules: &[(&str, &[&str])]) -> Table<String> {
        let all = rules.iter().map(|(host, texts)| {
            let paths = texts.iter().map(|text| (pattern(text), format!("{host}{text}"))).collect();
            (Pattern::parse(host).unwrap(), paths)
        });
        Table::new(all.collect())
    }

    #[test]
    fn the_most_specific_host_that_has_the_path_answers() {
        let table = table(&[
            ("*", &["/*", "/robots.txt"]),
            ("*.example", &["/a", "/c/*"]),
            ("*.b.example", &["/b"]),
            ("a.b.example", &["/a", "/own"]),
        ]);
        for (host, path, expect) in [
            ("a.b.example", "/own", "a.b.example/own"),
            ("a.b.example", "/a", "a.b.example/a"),
            ("a.b.example", "/b", "*.b.example/b"),
            ("a.b.example", "/c/d", "*.example/c/*"),
            ("a.b.example", "/robots.txt", "*/robots.txt"),
            ("b.example", "/own", "*/*"),
            ("b.example", "/b", "*/*"),
            ("c.b.example", "/b", "*.b.example/b"),
            ("example", "/a", "*/*"),
            ("notexample", "/a", "*/*"),
            ("[::1]", "/a", "*/*"),
        ] {
            let host = Host::parse(host.as_bytes()).unwrap();
            assert_eq!(table.find(&host, path.as_bytes()).unwrap().answer, expect);
        }
    }

    #[test]
    fn a_host_matters_where_a_rule_of_a_host_has_the_path() {
        let table = table(&[("*", &["/*"]), ("a.example", &["/a", "/b/*"])]);
        let by_host = ["/a", "/b/", "/b/c", "/", "/b", "/ab"].map(|path| table.is_by_host(path.as_bytes()));
        assert_eq!(by_host, [true, true, true, false, false, false]);
    }

    #[test]
    fn a_host_is_named_by_itself_or_by_an_end_of_it() {
        let table = table(&[("a.example", &["/a"]), ("*.b", &["/a"])]);
        let named = |text: &str| table.names(&Host::parse(text.as_bytes()).unwrap());
        assert!(named("a.example") && named("x.b") && named("x.y.b"));
        assert!(!named("b") && !named("b.a.example") && !named("example"));
        assert!(table.is_for_named_hosts());
    }
}
