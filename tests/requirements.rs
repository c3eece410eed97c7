//! `docs/requirements.md` is true: of the citations in the source, of the tests that it names, of the deviations in
//! `docs/protocol.md`, and of its own counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The number of an RFC, and a section of it; an RFC as a whole has none.
type Citation = (u32, Option<String>);

/// The citations of each file of `src`, by its path.
type Sources = BTreeMap<String, BTreeSet<Citation>>;

const STATUSES: [&str; 3] = ["followed", "relied on", "deviated"];

/// A row of `docs/requirements.md`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    citation: Citation,
    status: String,
    file: String,
    /// The function that checks it, unless there is no test.
    test: Option<String>,
}

/// What the page says.
#[derive(Clone, Debug)]
struct Requirements {
    rows: Vec<Row>,
    /// What the code cites, and nothing that could be followed.
    informative: BTreeSet<Citation>,
    /// The table of counts, line by line.
    counts: Vec<String>,
}

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files in a folder and below it.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(ROOT).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Splits off the number of a section, if there is one: `3.8.1` of `3.8.1, and so on`.
fn split_section(text: &str) -> Option<(String, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    // The end of a sentence is no part of it.
    let section = text[..end].trim_end_matches('.');
    (!section.is_empty()).then(|| (section.to_owned(), &text[section.len()..]))
}

/// All citations in a text without line breaks: `RFC 1, section 2.3` and `RFC 1, sections 2, 3 and 4.5`.
fn citations(text: &str) -> BTreeSet<Citation> {
    let mut found = BTreeSet::new();
    for (at, word) in text.match_indices("RFC ") {
        let rest = &text[at + word.len()..];
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (number, rest) = rest.split_at(end);
        let Ok(number) = number.parse() else { continue };
        found.insert((number, None));
        let list = rest.strip_prefix(", sections ");
        let mut next = list.or_else(|| rest.strip_prefix(", section ")).and_then(split_section);
        while let Some((section, rest)) = next {
            found.insert((number, Some(section)));
            let more = rest.strip_prefix(", ").or_else(|| rest.strip_prefix(" and "));
            next = more.filter(|_| list.is_some()).and_then(split_section);
        }
    }
    found
}

/// A file on one line: what a comment says goes on in the next line.
fn unwrapped(text: &str) -> String {
    let line = |line: &str| line.trim().trim_start_matches(['/', '!']).trim().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join(" ")
}

fn sources() -> Sources {
    let path = |path: &Path| path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    let file = |file: PathBuf| (path(&file), citations(&unwrapped(&read(&file))));
    files("src").into_iter().map(file).collect()
}

/// The names of all tests that a row may name: functions behind `#[test]`, or the attribute of a property.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in ["tests", "src", "sim", "apps", "cli/tests"].into_iter().flat_map(files) {
        let mut is_test = false;
        for line in read(file).lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line.starts_with("#[test") || line.contains("quickcheck");
            } else if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('('))
                && is_test
            {
                found.insert(name.to_owned());
            } else {
                is_test = false;
            }
        }
    }
    found
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// The lines of a table below this heading, without its head.
fn table<'t>(text: &'t str, heading: &str) -> Vec<&'t str> {
    let (_, below) = text.split_once(heading).unwrap_or_else(|| panic!("there is no {heading:?}"));
    let table = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).collect()
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn row(number: u32, line: &str) -> Row {
    let &[section, level, requirement, status, file, test] = &cells(line)[..] else { panic!("six cells: {line}") };
    let levels = ["must", "must not", "should", "should not", "may", "shall", "recommended", "—"];
    assert!(levels.contains(&&*level.to_lowercase()), "{level} is no level: {line}");
    let is_quoted = requirement.len() > 2 && requirement.starts_with('"') && requirement.ends_with('"');
    assert!(is_quoted || requirement.starts_with("*Paraphrased:* "), "a quotation, or paraphrased: {line}");
    assert!(STATUSES.contains(&status), "{status} is no status: {line}");
    let section = (section != "—").then(|| split_section(section).filter(|(_, rest)| rest.is_empty()).unwrap().0);
    Row {
        citation: (number, section),
        status: status.to_owned(),
        file: code(file).unwrap_or_else(|| panic!("a file: {line}")).to_owned(),
        test: (test != "no test").then(|| code(test).unwrap_or_else(|| panic!("a test: {line}")).to_owned()),
    }
}

impl Requirements {
    fn parse(page: &str) -> Self {
        let mut rows = Vec::new();
        for chapter in page.split("\n## RFC ").skip(1) {
            let (number, _) = chapter.split_once(": ").unwrap();
            let number = number.parse().unwrap();
            rows.extend(table(chapter, "\n").into_iter().map(|line| row(number, line)));
        }
        let (_, informative) = page.split_once("\n## Informative citations\n").unwrap();
        let informative = informative.lines().filter(|line| line.starts_with("* "));
        let counts = table(page, "\n## Counts\n").into_iter().map(str::to_owned).collect();
        Self {
            rows,
            informative: informative.flat_map(citations).filter(|(_, section)| section.is_some()).collect(),
            counts,
        }
    }

    /// The table of counts as it should be: a line for each RFC, and one for all.
    fn counted(&self) -> Vec<String> {
        let mut numbers: Vec<u32> = self.rows.iter().map(|row| row.citation.0).collect();
        numbers.dedup();
        let line = |name: &str, rows: &[&Row]| {
            let [followed, relied_on, deviated] =
                STATUSES.map(|status| rows.iter().filter(|row| row.status == status).count());
            let without = rows.iter().filter(|row| row.test.is_none()).count();
            format!("| {name} | {} | {followed} | {relied_on} | {deviated} | {without} |", rows.len())
        };
        let of = |number: &u32| {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.citation.0 == *number).collect();
            line(&number.to_string(), &rows)
        };
        let all: Vec<&Row> = self.rows.iter().collect();
        numbers.iter().map(of).chain([line("all", &all)]).collect()
    }

    /// What is not true of these sources, tests and explained deviations.
    fn problems(
        &self,
        sources: &Sources,
        tests: &BTreeSet<String>,
        explained: &BTreeSet<Citation>,
    ) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        let listed: BTreeSet<&Citation> = self.rows.iter().map(|row| &row.citation).collect();
        for row in &self.rows {
            match sources.get(&row.file) {
                None => problems.insert(format!("there is no {}", row.file)),
                Some(cited) if !cited.contains(&row.citation) => {
                    problems.insert(format!("{} does not cite {:?}", row.file, row.citation))
                }
                Some(_) => false,
            };
            if let Some(test) = row.test.as_ref().filter(|test| !tests.contains(*test)) {
                problems.insert(format!("{:?}: there is no test {test}", row.citation));
            }
        }
        for (file, cited) in sources {
            let cited = cited.iter().filter(|citation| citation.1.is_some());
            let unknown = cited.filter(|citation| !listed.contains(citation) && !self.informative.contains(citation));
            problems.extend(unknown.map(|citation| format!("{file} cites {citation:?}, which has no row")));
        }
        for citation in &self.informative {
            if listed.contains(citation) {
                problems.insert(format!("{citation:?} is informative, and has a row"));
            }
            if !sources.values().any(|cited| cited.contains(citation)) {
                problems.insert(format!("{citation:?} is informative, and not cited"));
            }
        }
        let deviated = self.rows.iter().filter(|row| row.status == "deviated").map(|row| row.citation.clone());
        for (number, section) in deviated.collect::<BTreeSet<_>>().symmetric_difference(explained) {
            problems.insert(format!("RFC {number}, section {section:?}: deviated, or explained, but not both"));
        }
        let counted = self.counted();
        if counted != self.counts {
            problems.insert(format!("the counts are\n{}", counted.join("\n")));
        }
        problems
    }
}

/// The sections that the first column of "Deliberate deviations" names; an RFC alone where no section is named.
fn explained() -> BTreeSet<Citation> {
    let page = read("docs/protocol.md");
    let mut all = BTreeSet::new();
    for line in table(&page, "\n## Deliberate deviations\n") {
        let cited = citations(cells(line)[0]);
        assert!(!cited.is_empty(), "no section: {line}");
        let has_section = |number| cited.iter().any(|(other, section)| *other == number && section.is_some());
        all.extend(cited.iter().filter(|(number, section)| section.is_some() || !has_section(*number)).cloned());
    }
    all
}

fn page() -> Requirements {
    Requirements::parse(&read("docs/requirements.md"))
}

#[test]
fn the_requirements_are_those_of_code_tests_and_deviations() {
    let page = page();
    let problems = page.problems(&sources(), &tests(), &explained());
    assert!(problems.is_empty(), "{}", Vec::from_iter(problems).join("\n"));
    assert!(page.rows.len() > 200, "{} rows", page.rows.len());
}

#[test]
fn whatever_is_taken_away_is_missed() {
    let (page, sources, tests, explained) = (page(), sources(), tests(), explained());
    for at in 0..page.rows.len() {
        let mut less = page.clone();
        let row = less.rows.remove(at);
        assert!(!less.problems(&sources, &tests, &explained).is_empty(), "the row {row:?}");
        // Were the counts changed with it, the section would still be missed where no other row has it.
        less.counts = less.counted();
        let is_only = less.rows.iter().all(|other| other.citation != row.citation);
        let is_missed = !less.problems(&sources, &tests, &explained).is_empty();
        assert!(is_missed || !is_only || row.citation.1.is_none(), "the section of {row:?}");
        let mut without_citation = sources.clone();
        without_citation.get_mut(&row.file).unwrap().remove(&row.citation);
        assert!(!page.problems(&without_citation, &tests, &explained).is_empty(), "the citation of {row:?}");
        if let Some(test) = &row.test {
            let without_test = tests.iter().filter(|name| *name != test).cloned().collect();
            assert!(!page.problems(&sources, &without_test, &explained).is_empty(), "the test of {row:?}");
        }
    }
    for citation in &explained {
        let without = explained.iter().filter(|other| *other != citation).cloned().collect();
        assert!(!page.problems(&sources, &tests, &without).is_empty(), "the explanation of {citation:?}");
    }
    for citation in &page.informative {
        let mut less = page.clone();
        less.informative.remove(citation);
        assert!(!less.problems(&sources, &tests, &explained).is_empty(), "the reason of {citation:?}");
    }
}

#[test]
fn citations_are_read_with_all_their_sections_and_across_lines() {
    let read = |text: &str| {
        let name = |(number, section): Citation| section.map(|section| format!("{number} {section}"));
        citations(&unwrapped(text)).into_iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    for (text, expect) in [
        ("/// So it is (RFC 9293, section 3.8.1).", "9293 3.8.1"),
        ("    /// So it is (RFC\n    /// 9293, section\n    /// 3.8.1).", "9293 3.8.1"),
        (
            "//! RFC 1122, sections 3.2.1.8 and 3.2.2.6; RFC 2018, section 3, and 4.",
            "1122 3.2.1.8, 1122 3.2.2.6, 2018 3",
        ),
        ("// RFC 4443, sections 4, 3.2 and 3.4, and RFC 826", "4443 3.2, 4443 3.4, 4443 4"),
        ("/// `tchar` of RFC 9110, section 5.6.2.\nconst X: u8 = 1;", "9110 5.6.2"),
        ("// RFC 7323, appendix A; RFC 792; an RFC, section 3", ""),
    ] {
        assert_eq!(read(text), expect, "{text}");
    }
}
