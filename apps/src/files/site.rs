//! Sites: which directory the hosts are answered from.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::host::Pattern;

/// The most hosts that have a site of their own: each is named on a command line, and looked at when an image is
/// opened.
pub const SITES_MAX: usize = 1024;

/// Hosts that have a site of their own: one, as `example.org`, or all beneath a name, as `*.example.org`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteHost(Pattern);

impl SiteHost {
    /// As it is written: what its paths in an image begin with.
    pub(super) fn name(&self) -> Vec<u8> {
        self.0.name()
    }

    /// The hosts with this name in an image, and nothing that could be written otherwise.
    pub(super) fn pattern(name: &[u8]) -> Option<Pattern> {
        let parsed: Self = str::from_utf8(name).ok()?.parse().ok()?;
        (parsed.name() == name).then_some(parsed.0)
    }
}

impl FromStr for SiteHost {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        match Pattern::parse(text).map_err(SiteError::Host)? {
            Pattern::Any => Err(SiteError::Any),
            pattern => Ok(Self(pattern)),
        }
    }
}

impl fmt::Display for SiteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.name()).fmt(f)
    }
}

/// A directory, and the hosts whose site it is, as in `example.org=/srv/www`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// The hosts.
    pub host: SiteHost,
    /// The directory.
    pub directory: PathBuf,
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let (host, directory) = text.split_once('=').ok_or(SiteError::Form)?;
        if directory.is_empty() {
            return Err(SiteError::Form);
        }
        Ok(Self { host: host.parse()?, directory: directory.into() })
    }
}

/// Why a text is no site.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SiteError {
    /// It is not of the form `HOST=DIR`.
    #[error("not of the form HOST=DIR, as in \"example.org=/srv/www\"")]
    Form,
    /// No host can be so.
    #[error("{0}")]
    Host(String),
    /// It would be for any host.
    #[error("the site of all other hosts is the directory that is named without a host")]
    Any,
}

/// The directories that an image is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sites {
    /// Each directory once, with the hosts whose site it is; no hosts stand for all others.
    pub(super) directories: Vec<(Vec<SiteHost>, PathBuf)>,
}

impl Sites {
    /// One directory, whatever the host.
    pub fn any(directory: &Path) -> Self {
        Self { directories: vec![(Vec::new(), directory.to_owned())] }
    }

    /// The directories of named hosts, and that of all others, if these have one.
    ///
    /// # Errors
    ///
    /// There is no directory, a host is named twice, or too many are.
    pub fn new(others: Option<&Path>, named: &[Site]) -> Result<Self, SitesError> {
        if named.len() > SITES_MAX {
            return Err(SitesError::TooMany);
        }
        let mut seen = BTreeSet::new();
        let mut directories: Vec<_> = others.map(|others| (Vec::new(), others.to_owned())).into_iter().collect();
        let first_named = directories.len();
        for Site { host, directory } in named {
            if !seen.insert(host.name()) {
                return Err(SitesError::Twice(host.clone()));
            }
            match directories[first_named..].iter_mut().find(|(_, other)| other == directory) {
                Some((hosts, _)) => hosts.push(host.clone()),
                None => directories.push((vec![host.clone()], directory.clone())),
            }
        }
        if directories.is_empty() { Err(SitesError::None) } else { Ok(Self { directories }) }
    }

    /// Whether all hosts that are not named have a site.
    pub(super) fn has_others(&self) -> bool {
        self.directories.iter().any(|(hosts, _)| hosts.is_empty())
    }

    /// The directories, each once.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|(_, directory)| directory.as_path())
    }
}

/// Why directories are not sites together.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SitesError {
    /// There is none.
    #[error("no directory to answer from")]
    None,
    /// Two sites are of one host.
    #[error("{0} has two sites: a host is answered from one directory")]
    Twice(SiteHost),
    /// There are more than [`SITES_MAX`].
    #[error("more than {SITES_MAX} hosts with a site of their own")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_host_and_a_directory() {
        let site = |text: &str| text.parse::<Site>().map(|site| (site.host.to_string(), site.directory));
        let is = |host: &str, directory: &str| Ok((host.to_owned(), PathBuf::from(directory)));
        assert_eq!(site("Example.ORG=a"), is("example.org", "a"));
        assert_eq!(site("*.example.org=/a=b"), is("*.example.org", "/a=b"));
        assert_eq!(site("[2001:DB8::1]=a"), is("[2001:db8::1]", "a"));
        for text in ["", "a", "/srv/www", "a="] {
            assert_eq!(site(text), Err(SiteError::Form), "{text}");
        }
        assert_eq!(site("*=a"), Err(SiteError::Any));
        for text in ["=a", "a_b=a", "a:80=a", "a.*=a", "*.192.0.2.1=a", "http://a=a"] {
            assert!(matches!(site(text), Err(SiteError::Host(_))), "{text}");
        }
    }

    #[test]
    fn a_name_in_an_image_is_the_only_one_of_its_hosts() {
        for name in ["a", "*.a.b", "[::1]"] {
            assert_eq!(SiteHost::pattern(name.as_bytes()).unwrap().name(), name.as_bytes());
        }
        for name in ["A", "a.", "*", "", "*.A", "[0::1]x", "a:80", "\u{e9}"] {
            assert_eq!(SiteHost::pattern(name.as_bytes()), None, "{name}");
        }
        assert_eq!(SiteHost::pattern(b"\xff"), None);
    }

    #[test]
    fn a_host_has_one_site_and_there_is_at_least_one_directory() {
        let sites = |others: Option<&str>, named: &[&str]| {
            let named: Vec<Site> = named.iter().map(|text| text.parse().unwrap()).collect();
            Sites::new(others.map(Path::new), &named)
        };
        assert_eq!(sites(None, &[]), Err(SitesError::None));
        assert_eq!(sites(Some("d"), &[]), Ok(Sites::any(Path::new("d"))));
        let twice = SitesError::Twice("a".parse().unwrap());
        assert_eq!(sites(Some("d"), &["a=x", "b=y", "A.=z"]), Err(twice));
        let shared = sites(None, &["a=x", "b=y", "*.a=x"]).unwrap();
        assert_eq!(shared.directories().collect::<Vec<_>>(), ["x", "y"].map(Path::new));
        assert!(!shared.has_others() && sites(Some("x"), &["a=x"]).unwrap().has_others());
        let many = |count: usize| {
            let named: Vec<_> = (0..count).map(|number| format!("h{number}=x")).collect();
            sites(None, &named.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert!(many(SITES_MAX).is_ok());
        assert_eq!(many(SITES_MAX + 1), Err(SitesError::TooMany));
    }
}
