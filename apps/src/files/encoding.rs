//! Content codings, and which of them a client accepts: `Accept-Encoding` (RFC 9110, section 12.5.3).

use core::fmt;

use lethe::http::Headers;

use crate::qvalue::{Weight, elements};

/// A content coding: how a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Coding {
    /// RFC 7932
    Brotli,
    /// RFC 8878
    Zstandard,
    /// RFC 1952
    Gzip,
}

impl Coding {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// Its name in HTTP.
    pub(super) const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Its name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "brotli",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The suffix of the names of such files.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_called(self, name: &[u8]) -> bool {
        // RFC 9110, section 8.4.1.3: `x-gzip` is `gzip`.
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        name.eq_ignore_ascii_case(self.token().as_bytes())
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// The quality value of each form, by `Accept-Encoding`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Accepted {
    /// The uncompressed file. All values are doubled, so that 1 is less than any that a client can send.
    pub(super) identity: Weight,
    /// Each of [`Coding::ALL`].
    pub(super) codings: [Weight; Coding::ALL.len()],
}

impl Accepted {
    /// Reads all fields of this name as one list. Malformed elements are skipped.
    pub(super) fn of(headers: &Headers<'_>) -> Self {
        let (mut identity, mut codings, mut others) = (None, [None; Coding::ALL.len()], None);
        for (name, weight) in elements(headers, "accept-encoding") {
            if name == b"*" {
                others = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = Some(weight);
            } else if let Some(at) = Coding::ALL.iter().position(|coding| coding.is_called(name)) {
                codings[at] = Some(weight);
            }
        }
        Self {
            // An uncompressed file is acceptable unless it is excluded, and worse than any coding that is named.
            identity: identity.or(others).map_or(1, |weight| weight * 2),
            codings: codings.map(|weight| weight.or(others).unwrap_or(0) * 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The acceptable forms, best first; of equal ones, the uncompressed file comes last.
    fn order(fields: &str) -> Vec<&'static str> {
        let accepted = Accepted::of(&Headers::new(fields.as_bytes()));
        let codings = Coding::ALL.map(Coding::token).into_iter().zip(accepted.codings);
        let mut all: Vec<_> = codings.chain([("identity", accepted.identity)]).collect();
        all.retain(|(_, weight)| *weight > 0);
        all.sort_by_key(|(_, weight)| u16::MAX - weight);
        all.into_iter().map(|(name, _)| name).collect()
    }

    #[track_caller]
    fn check(value: &str, expect: &[&str]) {
        assert_eq!(order(&format!("Accept-Encoding: {value}\r\n")), expect, "{value}");
    }

    #[test]
    fn without_the_field_only_the_file_itself_is_sent() {
        assert_eq!(order("Host: h\r\n"), ["identity"]);
        check("", &["identity"]);
    }

    #[test]
    fn a_coding_that_is_named_is_better_than_none() {
        check("gzip", &["gzip", "identity"]);
        check("GZIP", &["gzip", "identity"]);
        check("x-gzip", &["gzip", "identity"]);
        check("gzip, deflate, br, zstd", &["br", "zstd", "gzip", "identity"]);
        check("deflate", &["identity"]);
        check("gzip;q=0.001", &["gzip", "identity"]);
    }

    #[test]
    fn weights_order_and_zero_forbids() {
        check("gzip;q=1.0, br;q=0.5", &["gzip", "br", "identity"]);
        check("gzip ; Q=0.2 ,br; q=0.25", &["br", "gzip", "identity"]);
        check("gzip;q=0", &["identity"]);
        check("identity;q=0, gzip", &["gzip"]);
        check("identity, gzip;q=0.5", &["identity", "gzip"]);
        check("identity;q=0", &[]);
    }

    #[test]
    fn an_asterisk_stands_for_what_is_not_named() {
        check("*", &["br", "zstd", "gzip", "identity"]);
        check("*;q=0", &[]);
        check("gzip, *;q=0", &["gzip"]);
        check("br;q=0, *;q=0.5, identity;q=0.7", &["identity", "zstd", "gzip"]);
    }

    #[test]
    fn several_fields_are_one_list() {
        assert_eq!(order("Accept-Encoding: gzip;q=0.5\r\naccept-encoding: br\r\n"), ["br", "gzip", "identity"]);
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        for element in ["gzip;q=2", "gzip;q=1.001", "gzip;q=0.0001", "gzip;q=", "gzip;level=9", ";q=1", "gzip;q=-1"] {
            check(&format!("{element}, br"), &["br", "identity"]);
        }
    }
}
