//! Sites whose answers depend on header fields, and what clients ask of them: for requests that are cut.
//!
//! * `files`: a directory with files in several forms, short ones and long ones;
//! * `redirect`: short and long answers that depend on `Host`;
//! * `scores`: exam results, with a form in two languages;
//! * `respond`: rules for two hosts, with a redirect, a short body and a long one;
//! * `ipinfo`: places, as text, JSON and pages, with names in two languages, and the client's own address.

use std::fmt;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;

use lethe::app::{App, Request};
use lethe::http::{Response, Status};
use lethe_apps::files::{About, Builder, Coding, Files, Image};
use lethe_apps::ipinfo::IpInfo;
use lethe_apps::respond::Respond;
use lethe_apps::scores;

use crate::run::{Failure, Summary, simulate_app};
use crate::sample;
use crate::scenario::Options;
use crate::world::Recorder;

/// Names a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    /// Files in several forms.
    Files,
    /// Answers that depend on `Host`.
    Redirect,
    /// Exam results.
    Scores,
    /// Small answers by rules.
    Respond,
    /// Places of addresses.
    Ipinfo,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Files, Self::Redirect, Self::Scores, Self::Respond, Self::Ipinfo];

    const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Redirect => "redirect",
            Self::Scores => "scores",
            Self::Respond => "respond",
            Self::Ipinfo => "ipinfo",
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no site with this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no site; there are files, redirect, scores, respond and ipinfo")]
pub struct SiteError(String);

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(name: &str) -> Result<Self, SiteError> {
        Self::ALL.into_iter().find(|site| site.name() == name).ok_or_else(|| SiteError(name.to_owned()))
    }
}

/// Has clients send requests to a site, cut anywhere, under the eyes of all checkers.
///
/// # Errors
///
/// Those of [`simulate`](crate::run::simulate).
pub fn simulate(site: Site, options: Options, recorder: Option<&mut Recorder>) -> Result<Summary, Failure> {
    let Built { app, requests } = build(site);
    let requests = [requests, refused(site)].concat();
    let again = command_line(site, &options);
    simulate_app(&*app, &requests, true, options, again, recorder)
}

/// The command line of [`simulate`].
pub fn command_line(site: Site, options: &Options) -> String {
    format!("{options} --cut {site}")
}

/// A site that can be asked.
pub struct Built {
    /// Who answers.
    pub app: Box<dyn App + Sync>,
    /// Complete requests to it.
    pub requests: Vec<Vec<u8>>,
}

/// Builds a site. It is the same each time.
pub fn build(site: Site) -> Built {
    match site {
        Site::Files => Built { app: Box::new(files()), requests: requests("h", &FILES, &ENCODINGS) },
        Site::Redirect => {
            let hosts = ["old.example", "new.example", "long.example", "longer.example"];
            let all = hosts.map(|host| requests(host, &["/", "/a?b=c"], &[""])).concat();
            Built { app: Box::new(Redirect), requests: all }
        }
        Site::Scores => {
            let targets = ["/", "/?seat=1&id=1", "/?seat=1&id=2", "/?seat=2&id=2", "/?seat=&id="];
            Built { app: Box::new(exam_results()), requests: requests("h", &targets, &LANGUAGES) }
        }
        Site::Respond => {
            let targets = ["/moved/a?b=c", "/short", "/long", "/missing"];
            let all = ["old.example", "a.new.example", "other.example"].map(|host| requests(host, &targets, &[""]));
            Built { app: Box::new(rules()), requests: all.concat() }
        }
        Site::Ipinfo => {
            let targets =
                ["/8.8.8.8", "/8.8.8.8/json", "/2001:4860:4860::8888/json", "/?ip=8.8.8.8", "/", "/json", "/ip"];
            Built { app: Box::new(IpInfo::embedded()), requests: requests("h", &targets, &LANGUAGES) }
        }
    }
}

/// Requests that no application sees, since their header sections are not valid: the first part of one may draw a long
/// response, and all of it a refusal.
fn refused(site: Site) -> Vec<Vec<u8>> {
    let host = "Host: h\r\n";
    let cookie = format!("Cookie: {}\r\n", "c".repeat(1200));
    let targets: &[&str] = match site {
        Site::Files => &["/long.css", "/long.bin", "/short.css"],
        Site::Redirect => &["/"],
        Site::Scores => &["/?seat=1&id=1", "/?seat=2&id=2"],
        Site::Respond => &["/short", "/long"],
        Site::Ipinfo => &["/8.8.8.8", "/?ip=8.8.8.8"],
    };
    let mut all = Vec::new();
    for target in targets {
        for last in [host, "not a field\r\n", "A : b\r\n", "Transfer-Encoding: gzip\r\n", "Expect: a-miracle\r\n"] {
            for fields in
                [format!("{host}{last}"), format!("{host}{cookie}{last}"), format!("{cookie}{last}{cookie}{host}")]
            {
                all.push(format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into_bytes());
            }
        }
        all.push(format!("HEAD {target} HTTP/1.1\r\n{cookie}\r\n").into_bytes());
    }
    all
}

const FILES: [&str; 7] =
    ["/short.css", "/middle.css", "/long.css", "/long.bin", "/missing", "/directory", "/long.css?encoding=gzip"];

const ENCODINGS: [&str; 9] = [
    "",
    "Accept-Encoding: gzip\r\n",
    "Accept-Encoding: br, gzip\r\n",
    "Accept-Encoding: gzip;q=0\r\n",
    "If-None-Match: *\r\nAccept-Encoding: br\r\n",
    "Range: bytes=1000-\r\n",
    "Range: bytes=29999-\r\nAccept-Encoding: br\r\n",
    "Range: bytes=10-300\r\n",
    "Range: bytes=-5000\r\nAccept-Encoding: gzip\r\n",
];

const LANGUAGES: [&str; 3] = ["", "Accept-Language: en\r\n", "Accept-Language: zh-CN, en;q=0.5\r\n"];

/// Each target with each set of fields, behind fields of different lengths: the last ones fill several segments.
fn requests(host: &str, targets: &[&str], fields: &[&str]) -> Vec<Vec<u8>> {
    let cookies =
        [0, 10, 300, 4000].map(|len| if len == 0 { String::new() } else { format!("Cookie: {}\r\n", "c".repeat(len)) });
    let mut all = Vec::new();
    for target in targets {
        for fields in fields {
            for cookie in &cookies {
                all.push(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{cookie}\r\n").into_bytes());
                all.push(format!("GET {target} HTTP/1.1\r\n{cookie}{fields}Host: {host}\r\n\r\n").into_bytes());
            }
            all.push(format!("HEAD {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").into_bytes());
        }
    }
    all
}

/// Files that are there as they are, and compressed in two ways. What is in them does not matter, only that no two
/// forms have the same bytes at the same place.
fn files() -> Files {
    let mut builder = Builder::new(Cursor::new(Vec::new())).expect("memory has room");
    let bytes = sample::expected(200_000);
    let add = |builder: &mut Builder<_>, len: usize, coding, varies, offset: usize| {
        let about = About { content_type: "text/css", coding, varies, ..About::OK };
        let mut body = &bytes[offset..offset + len];
        let added = builder.add(&about, len as u64, &mut body, &mut |_| ControlFlow::Continue(()));
        added.expect("it has that many bytes")
    };
    for (path, plain, brotli, gzip) in [
        ("/short.css", 300, 200, 250),
        ("/middle.css", 2000, 900, 1100),
        ("/long.css", 100_000, 30_000, 40_000),
        ("/directory/", 20_000, 5000, 6000),
    ] {
        let plain = add(&mut builder, plain, None, true, 0);
        let brotli = add(&mut builder, brotli, Some(Coding::Brotli), true, 1);
        let gzip = add(&mut builder, gzip, Some(Coding::Gzip), true, 2);
        builder.name(path.as_bytes(), plain, [Some(brotli), None, Some(gzip)]);
    }
    builder.redirect(b"/directory");
    let single = add(&mut builder, 50_000, None, false, 3);
    builder.name(b"/long.bin", single, [None; 3]);
    let image = builder.finish().expect("memory has room").into_inner();
    Files::new(Image::open(image).expect("it has just been written"))
}

/// A page of one packet, and one of several.
fn exam_results() -> scores::Scores {
    let labels = scores::Labels::new("", "", "").expect("they are short");
    let mut builder = scores::Builder::new(Cursor::new(Vec::new()), [7; 32], labels).expect("memory has room");
    for (seat, len) in [("1", 500), ("2", 20_000)] {
        builder.add(seat, seat, &sample::expected(len)).expect("each seat is there once");
    }
    let image = builder.finish().expect("there are candidates").into_inner();
    scores::Scores::new(scores::Image::open(image).expect("it has just been written"))
}

/// Rules of which the host decides, with a redirect, and bodies of one packet and of several.
fn rules() -> Respond {
    let long = |line: &str| line.repeat(2000);
    let text = format!(
        "[[rule]]\npaths = ['/moved/*']\nredirect = 'https://{{host}}/{{rest}}{{query}}'\n\
         [[rule]]\npaths = ['/short']\nbody = 'a short one'\n\
         [[rule]]\nhosts = ['old.example']\npaths = ['/short']\nbody = 'another short one'\n\
         [[rule]]\nhosts = ['old.example']\npaths = ['/long']\nbody = '{}'\n\
         [[rule]]\nhosts = ['*.new.example']\npaths = ['/long']\nstatus = 503\nbody = '{}'\n",
        long("a long one, "),
        long("another long one, "),
    );
    Respond::parse(&text, Path::new("rules.toml")).expect("they are right")
}

/// Answers by `Host`: with redirects, and with responses of several packets, made on the spot, of which each host has
/// another one.
struct Redirect;

impl App for Redirect {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let location = |location: &mut lethe::http::Writer<'_>| {
            location.push("https://new.example");
            location.push_bytes(request.path);
        };
        let long = |scratch: &'a mut [u8], line: &'static [u8]| {
            let text = |body: &mut lethe::http::Writer<'_>| (0..500).for_each(|_| body.push_bytes(line));
            Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body_with(text)
        };
        match request.authority() {
            Some(b"old.example") => {
                Response::build(scratch, Status::MovedPermanently).header_with("Location", location).body(b"")
            }
            Some(b"new.example") => Response::build(scratch, Status::Ok).body(b"Welcome.\n"),
            Some(b"long.example") => long(scratch, b"a long page\n"),
            Some(b"longer.example") => long(scratch, b"one that is longer\n"),
            Some(_) => Response::build(scratch, Status::NotFound).body(b"That is not here.\n"),
            None => long(scratch, b"no host at all\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section;

    #[test]
    fn what_is_refused_is_and_nothing_else() {
        for site in Site::ALL {
            assert!(refused(site).iter().all(|request| section::refused(request).is_some()), "{site}");
            assert!(build(site).requests.iter().all(|request| section::refused(request).is_none()), "{site}");
        }
    }
}
