//! The countries of ISO 3166-1: code, and names in English and Chinese.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::language::Language;

/// A country a line: code, name in English, name in Chinese, and other names in Chinese; `data/README.md` tells its
/// origin.
static COUNTRIES: &str = include_str!("../../data/countries.tsv");

/// The languages that every country has a name in.
pub(super) const LANGUAGES: [Language; 2] = [Language::English, Language::Chinese];

/// Names in English and Chinese, by code.
static BY_CODE: LazyLock<HashMap<&str, [&str; 2]>> = LazyLock::new(|| {
    let country = |line: &'static str| {
        let mut fields = line.split('\t');
        Some((fields.next()?, [fields.next()?, fields.next()?]))
    };
    COUNTRIES.lines().filter_map(country).collect()
});

/// Codes, by any name.
static BY_NAME: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let names = |line: &'static str| {
        let mut fields = line.split('\t');
        let code = fields.next().unwrap_or_default();
        fields.map(move |name| (name, code))
    };
    COUNTRIES.lines().flat_map(names).collect()
});

/// The name of the country with this code.
pub(super) fn name(code: &str, language: Language) -> Option<&'static str> {
    let at = LANGUAGES.iter().position(|&known| known == language)?;
    BY_CODE.get(code).map(|names| names[at])
}

/// The code of the country with this name.
pub(super) fn code(name: &str) -> Option<&'static str> {
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_has_a_code_and_two_names_that_are_its_own() {
        assert_eq!((BY_CODE.len(), COUNTRIES.lines().count()), (250, 250));
        for line in COUNTRIES.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            assert!(fields.len() >= 3 && fields[0].len() == 2, "{line}");
            for of in &fields[1..] {
                assert_eq!(code(of), Some(fields[0]), "{line}");
            }
            assert_eq!(LANGUAGES.map(|language| name(fields[0], language)), [Some(fields[1]), Some(fields[2])]);
        }
        assert_eq!(
            (code("ip2region"), name("XX", Language::English), name("US", Language::German)),
            (None, None, None)
        );
    }
}
