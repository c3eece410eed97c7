//! The languages that names are in, and which of them a client prefers: `Accept-Language` (RFC 9110, section 12.5.4).

use core::fmt;
use std::str::FromStr;

use lethe::http::Headers;
use thiserror::Error;

use crate::qvalue::elements;

/// A language of names: one that MaxMind DB files are published in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Language {
    /// English.
    English = 1,
    /// Chinese, in simplified characters.
    Chinese,
    /// German.
    German,
    /// Spanish.
    Spanish,
    /// French.
    French,
    /// Japanese.
    Japanese,
    /// Portuguese.
    Portuguese,
    /// Russian.
    Russian,
}

impl Language {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in the order of their numbers in a file.
    pub(super) const ALL: [Self; 8] = [
        Self::English,
        Self::Chinese,
        Self::German,
        Self::Spanish,
        Self::French,
        Self::Japanese,
        Self::Portuguese,
        Self::Russian,
    ];

    /// Its language tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
            Self::German => "de",
            Self::Spanish => "es",
            Self::French => "fr",
            Self::Japanese => "ja",
            Self::Portuguese => "pt",
            Self::Russian => "ru",
        }
    }

    /// Its name in MaxMind DB files.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::Portuguese => "pt-BR",
            other => other.tag(),
        }
    }

    /// The languages of a file, `None` if there is none, one that is not known, or one twice.
    pub(super) fn list(numbers: [u8; Self::COUNT]) -> Option<impl Iterator<Item = Self>> {
        let count = numbers.iter().position(|&number| number == 0).unwrap_or(Self::COUNT);
        let is_new = |at: usize| usize::from(numbers[at]) <= Self::COUNT && !numbers[..at].contains(&numbers[at]);
        let is_list = count > 0 && (0..count).all(is_new) && numbers[count..].iter().all(|&number| number == 0);
        let languages = numbers.into_iter().take(count);
        is_list.then(|| languages.filter_map(|number| Self::ALL.get(usize::from(number) - 1).copied()))
    }

    /// The number, among these, of the language that a client prefers: the first of those with the greatest quality
    /// value, and the first of all if none is acceptable.
    pub(super) fn preferred(languages: impl Iterator<Item = Self>, headers: &Headers<'_>) -> usize {
        let mut best = (0, 0);
        for (at, language) in languages.enumerate() {
            let is_this = |range: &[u8]| {
                // A range is `en`, or begins with it as `en-GB` does.
                let primary = range.split(|&byte| byte == b'-').next().unwrap_or_default();
                primary.eq_ignore_ascii_case(language.tag().as_bytes())
            };
            let weights = elements(headers, "accept-language").filter(|(range, _)| is_this(range));
            let weight = weights.map(|(_, weight)| weight).max().unwrap_or_default();
            if weight > best.1 {
                best = (at, weight);
            }
        }
        best.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(tag: &str) -> Result<Self, LanguageError> {
        let known = Self::ALL.into_iter().find(|language| language.tag() == tag);
        known.ok_or_else(|| LanguageError { tag: tag.to_owned() })
    }
}

/// A language that is not one of [`Language`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{tag:?} is none of the languages: en, zh, de, es, fr, ja, pt, ru")]
pub struct LanguageError {
    /// What was given.
    tag: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_languages_each_once_and_then_zeros() {
        let list = |numbers: [u8; 8]| Language::list(numbers).map(|list| list.map(Language::tag).collect::<Vec<_>>());
        assert_eq!(list([2, 1, 0, 0, 0, 0, 0, 0]), Some(vec!["zh", "en"]));
        let all = ["en", "zh", "de", "es", "fr", "ja", "pt", "ru"];
        assert_eq!(list([1, 2, 3, 4, 5, 6, 7, 8]).as_deref(), Some(&all[..]));
        for wrong in [[0; 8], [9, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 2, 0, 0, 0, 0, 0]] {
            assert_eq!(list(wrong), None, "{wrong:?}");
        }
        for language in Language::ALL {
            assert_eq!(language.tag().parse(), Ok(language));
            assert_eq!(language.to_string(), language.tag());
        }
        let error = "xx".parse::<Language>().unwrap_err().to_string();
        assert_eq!(error, format!("\"xx\" is none of the languages: {}", all.join(", ")));
    }

    #[test]
    fn the_language_with_the_greatest_weight_is_chosen_and_the_first_of_two_alike() {
        let languages = [Language::Chinese, Language::English, Language::Portuguese];
        for (field, expect) in [
            ("", 0),
            ("Accept-Language: *\r\n", 0),
            ("Accept-Language: fr, de\r\n", 0),
            ("Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n", 0),
            ("accept-language: en-GB,en;q=0.9,zh-CN;q=0.8\r\n", 1),
            ("Accept-Language: en;q=0\r\n", 0),
            ("Accept-Language: en, zh\r\n", 0),
            ("Accept-Language: de, en;q=0.3, pt-BR;q=0.4\r\n", 2),
            ("Accept-Language: english\r\n", 0),
        ] {
            let chosen = Language::preferred(languages.into_iter(), &Headers::new(field.as_bytes()));
            assert_eq!(chosen, expect, "{field}");
        }
    }
}
