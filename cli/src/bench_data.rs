//! Generated data sets for `lethe bench`.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context;
use lethe_apps::files::{self, About, Files};
use lethe_apps::ipinfo::IpInfo;
use lethe_apps::respond::Respond;
use lethe_apps::scores::{self, Labels, Scores};

use crate::app::Application;
use crate::map::{Pages, map};

/// A generated data set of an application.
#[derive(Clone, Copy)]
pub(crate) enum Dataset {
    /// The database of places that comes with Lethe.
    Places,
    /// A thousand files of 1,000 bytes, and [`LONG_FILE`].
    Files,
    /// A thousand rules, each of which has a path and an answer of ten bytes, and one that redirects to HTTPS.
    Rules,
    /// These rules, for paths that are redirected.
    Redirects,
    /// Exam results, a page of 1,000 bytes for each candidate.
    Results {
        /// The size of all pages together.
        megabytes: u32,
    },
}

const FILES: u32 = 1000;
const RULES: u32 = 1000;
const BODY: [u8; 1000] = [b'x'; 1000];

/// A file of 100,000 bytes, which takes several windows.
pub(crate) const LONG_FILE: &str = "/long.html";

impl Dataset {
    pub(crate) fn load(self) -> anyhow::Result<Application> {
        Ok(match self {
            Self::Places => Application::IpInfo(IpInfo::embedded()),
            Self::Files => Application::Files(files().context("files in memory")?),
            Self::Rules | Self::Redirects => Application::Respond(rules()?),
            Self::Results { .. } => Application::Scores(
                results(self.candidates())
                    .with_context(|| format!("a table in a file in {}", std::env::temp_dir().display()))?,
            ),
        })
    }

    /// The request target of client `number`. Consecutive clients request data that is far apart.
    pub(crate) fn target(self, number: u32) -> String {
        let spread = number.wrapping_mul(0x9e37_79b9);
        match self {
            Self::Places => format!("/{}", std::net::Ipv4Addr::from_bits(0xca60_8056 ^ (spread >> 28 << 8))),
            Self::Files => format!("/page-{}.html", spread % FILES),
            Self::Rules => format!("/rule-{}", spread % RULES),
            Self::Redirects => format!("/page-{}.html?a=b", spread % RULES),
            Self::Results { .. } => {
                let (seat, secret) = candidate(((u64::from(spread) * u64::from(self.candidates())) >> 32) as u32);
                format!("/?seat={seat}&id={secret}")
            }
        }
    }

    const fn candidates(self) -> u32 {
        match self {
            Self::Results { megabytes } => megabytes * 1000,
            Self::Places | Self::Files | Self::Rules | Self::Redirects => 0,
        }
    }
}

fn candidate(number: u32) -> (String, String) {
    (format!("2699{number:08}"), format!("990101200801{number:08}"))
}

fn files() -> anyhow::Result<Files> {
    let mut builder = files::Builder::new(Cursor::new(Vec::new()))?;
    let about = About { content_type: "text/html; charset=utf-8", ..About::OK };
    let mut add = |name: &str, body: &[u8]| -> anyhow::Result<()> {
        let added = builder.add(&about, body.len() as u64, &mut &body[..], &mut |_| ControlFlow::Continue(()))?;
        builder.name(name.as_bytes(), added, [None; 3]);
        Ok(())
    };
    for number in 0..FILES {
        add(&format!("/page-{number}.html"), &BODY)?;
    }
    add(LONG_FILE, &BODY.repeat(100))?;
    Ok(Files::new(files::Image::open(builder.finish()?.into_inner())?))
}

fn rules() -> anyhow::Result<Respond> {
    let rule = |number| format!("[[rule]]\npaths = ['/rule-{number}']\nbody = '{number:010}'\n");
    let rules: Vec<_> = (0..RULES).map(rule).collect();
    let redirect = "[[rule]]\nmethods = ['*']\nredirect = 'https://{host}{path}{query}'\n";
    Ok(Respond::parse(&(rules.concat() + redirect), Path::new("rules.toml"))?)
}

/// Exam results in a mapped file, as a server has them, so that the cost of mapped memory is included.
fn results(candidates: u32) -> anyhow::Result<Scores> {
    let mut builder = scores::Builder::new(tempfile::tempfile()?, [7; 32], Labels::default())?;
    for number in 0..candidates {
        let (seat, secret) = candidate(number);
        builder.add(&seat, &secret, &BODY)?;
    }
    Ok(Scores::new(scores::Image::open(map(&builder.finish()?, Pages::Now)?)?))
}
