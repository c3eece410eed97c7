//! The languages of the form, and which of them a client prefers: `Accept-Language` (RFC 9110, section 12.5.4).

use lethe::http::Headers;

use crate::qvalue::elements;

/// A language that the form is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Language {
    Chinese,
    English,
}

impl Language {
    /// The language with this name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        [Self::Chinese, Self::English].into_iter().find(|language| language.name().as_bytes() == name)
    }

    /// Its language tag (RFC 5646).
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }

    /// English if it has a higher quality value than Chinese; otherwise Chinese.
    pub(super) fn of(headers: &Headers<'_>) -> Self {
        let (mut chinese, mut english) = (0, 0);
        for (range, weight) in elements(headers, "accept-language") {
            // A range is `en`, or begins with it as `en-GB` does.
            let primary = range.split(|&byte| byte == b'-').next().unwrap_or_default();
            if primary.eq_ignore_ascii_case(b"zh") {
                chinese = weight.max(chinese);
            } else if primary.eq_ignore_ascii_case(b"en") {
                english = weight.max(english);
            }
        }
        if english > chinese { Self::English } else { Self::Chinese }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_greater_weight_is_chosen_and_chinese_of_two_alike() {
        for (field, expect) in [
            ("", Language::Chinese),
            ("Accept-Language: \r\n", Language::Chinese),
            ("Accept-Language: *\r\n", Language::Chinese),
            ("Accept-Language: fr, de\r\n", Language::Chinese),
            ("Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n", Language::Chinese),
            ("accept-language: en-GB,en;q=0.9,zh-CN;q=0.8\r\n", Language::English),
            ("Accept-Language: EN\r\n", Language::English),
            ("Accept-Language: en;q=0\r\n", Language::Chinese),
            ("Accept-Language: en, zh\r\n", Language::Chinese),
            ("Accept-Language: de, en;q=0.3\r\n", Language::English),
            ("Accept-Language: zh-Hant-TW;q=0.2\r\nAccept-Language: en;q=0.3\r\n", Language::English),
            ("Accept-Language: english, enx\r\n", Language::Chinese),
        ] {
            assert_eq!(Language::of(&Headers::new(field.as_bytes())), expect, "{field}");
        }
    }
}
