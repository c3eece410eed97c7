//! Rules that add header fields to responses, by path.

use std::str::FromStr;

use lethe::http::FieldValue;
use thiserror::Error;

use crate::field::is_token;

/// Fields that an image has to say itself: they follow from the file, or frame the response.
const OWN: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "transfer-encoding",
    "vary",
];

/// A header field for the files with certain paths, as in `/assets/* Cache-Control: max-age=31536000, immutable`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldRule {
    paths: Pattern,
    name: String,
    value: String,
}

/// The paths that a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Pattern {
    /// `/a/*`, or `*` for all.
    Prefix(String),
    /// `*.css`
    Suffix(String),
    /// `/a/b.css`
    Exact(String),
}

impl Pattern {
    fn has(&self, path: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => path.ends_with(suffix.as_bytes()),
            Self::Exact(exact) => path == exact.as_bytes(),
        }
    }
}

impl FromStr for FieldRule {
    type Err = FieldRuleError;

    fn from_str(text: &str) -> Result<Self, FieldRuleError> {
        let (paths, field) = text.trim().split_once([' ', '\t']).ok_or(FieldRuleError::Form)?;
        let (name, value) = field.split_once(':').ok_or(FieldRuleError::Form)?;
        let (name, value) = (name.trim_start(), value.trim());
        let paths = match (paths.strip_suffix('*'), paths.strip_prefix('*')) {
            (Some(prefix), _) if prefix.is_empty() || prefix.starts_with('/') => Pattern::Prefix(prefix.to_owned()),
            (None, Some(suffix)) => Pattern::Suffix(suffix.to_owned()),
            (None, None) if paths.starts_with('/') => Pattern::Exact(paths.to_owned()),
            _ => return Err(FieldRuleError::Paths(paths.to_owned())),
        };
        let (Pattern::Prefix(part) | Pattern::Suffix(part) | Pattern::Exact(part)) = &paths;
        if part.contains('*') {
            return Err(FieldRuleError::Paths(part.clone()));
        }
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(FieldRuleError::Name(name.to_owned()));
        }
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(FieldRuleError::Own(name.to_owned()));
        }
        if FieldValue::new(value).is_err() || value.is_empty() || value.bytes().any(|byte| byte < b' ') {
            return Err(FieldRuleError::Value(name.to_owned()));
        }
        Ok(Self { paths, name: name.to_owned(), value: value.to_owned() })
    }
}

/// The header fields of a file, as lines. Where two rules have one name, the later one counts.
pub(super) fn lines(rules: &[FieldRule], path: &[u8]) -> String {
    let mut fields: Vec<&FieldRule> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.paths.has(path)) {
        fields.retain(|field| !field.name.eq_ignore_ascii_case(&rule.name));
        fields.push(rule);
    }
    fields.iter().flat_map(|field| ["\r\n", &field.name, ": ", &field.value]).collect()
}

/// Why a text is no rule.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FieldRuleError {
    /// It is not of the form `PATHS NAME: VALUE`.
    #[error("not of the form \"PATHS NAME: VALUE\", as in \"/assets/* Cache-Control: max-age=3600\"")]
    Form,
    /// The paths are no pattern.
    #[error("{0:?} stands for no paths: write /exact, /prefix/*, *.suffix, or * for all")]
    Paths(String),
    /// The name is not that of a field.
    #[error("{0:?} is no name of a header field")]
    Name(String),
    /// The field follows from the file.
    #[error("{0} is set by the server itself")]
    Own(String),
    /// The value is empty, or has a character that no field may have.
    #[error("the value of {0} is empty, or has a control character in it")]
    Value(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> FieldRule {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_is_for_one_path_a_prefix_a_suffix_or_all() {
        let paths: [&[u8]; 4] = [b"/a/b.css", b"/a/", b"/b.css", b"/c"];
        let of = |text: &str| paths.map(|path| rule(&format!("{text} X: y")).paths.has(path));
        assert_eq!(of("/a/*"), [true, true, false, false]);
        assert_eq!(of("*.css"), [true, false, true, false]);
        assert_eq!(of("/c"), [false, false, false, true]);
        assert_eq!(of("*"), [true; 4]);
    }

    #[test]
    fn the_last_rule_of_a_name_counts_and_others_stay() {
        let rules = ["* Cache-Control: no-cache", "* X-A: b: c", "/a/* cache-control:  max-age=60 "].map(rule);
        assert_eq!(lines(&rules, b"/a/b"), "\r\nX-A: b: c\r\ncache-control: max-age=60");
        assert_eq!(lines(&rules, b"/b"), "\r\nCache-Control: no-cache\r\nX-A: b: c");
        assert_eq!(lines(&[], b"/b"), "");
    }

    #[test]
    fn what_is_no_rule_is_told_why() {
        use FieldRuleError::{Form, Name, Own, Paths, Value};
        let error = |text: &str| text.parse::<FieldRule>().unwrap_err();
        assert_eq!(["", "/a", "/a X", "X: y"].map(error), [Form, Form, Form, Form]);
        for paths in ["a/b", "a*", "*a*", "/a*b", "/a*b*", "**"] {
            assert!(matches!(error(&format!("{paths} X: y")), Paths(_)), "{paths}");
        }
        assert_eq!(error("* X Y: z"), Name("X Y".to_owned()));
        assert_eq!(error("* : z"), Name(String::new()));
        assert_eq!(error("* content-LENGTH: 1"), Own("content-LENGTH".to_owned()));
        for value in ["", "a\nb", "a\r\nSet-Cookie: b", "a\0", "a\x01"] {
            assert_eq!(error(&format!("* X: {value}")), Value("X".to_owned()), "{value:?}");
        }
    }
}
