//! Small answers by rules: redirects, connectivity checks, a page that says that there is none.
//!
//! | a rule has                   | and is answered with                                                     |
//! |------------------------------|--------------------------------------------------------------------------|
//! | `body`, `file`, or neither   | that, with its `status` and `fields`                                     |
//! | `directory`                  | the file of that name, of those that were there when it was read         |
//! | `redirect`                   | its `Location`, with parts of the request in it                          |
//!
//! Of the rules whose host and path fit, that of the most specific host answers, and of those that of the most specific
//! path: the order of the file does not matter, and no two rules may answer the same. A method that the rule does not
//! have is answered with 405, a path that no rule has with 404.
//!
//! **Invariant:** what does not depend on the request is finished when the rules are read: head, body and sum. What
//! depends on it is a redirect, of one packet, whose host is one that the rule names or that the request is for.

mod error;

mod location;
mod path;
mod replies;
mod rules;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lethe::app::Position;
use lethe::http::{Method, Methods, Response, Status, Writer};
use lethe::{App, Request};

use crate::host::{Host, HostError};
use error::Fault;
pub use error::RulesError;
use location::Template;
use path::{PATH_MAX, Room};
use replies::{Replies, ReplyId};
use table::{Found, Table};

/// How many methods there are.
const COUNT: usize = Method::ALL.len();

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";

/// What a 405 says.
pub(crate) const NO_METHOD: &[u8] = b"This method is not answered here.\n";

/// What a request is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Reply(ReplyId),
    /// The number of a redirect.
    Redirect(u32),
    /// The application behind the rules answers.
    Behind,
}

/// What a rule says of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruling {
    answer: Answer,
    /// How much of the path the rule has.
    matched: usize,
}

impl Ruling {
    /// What was found for the method of a request.
    #[inline]
    fn of(found: Option<Found<'_, Node>>, request: &Request<'_>) -> Option<Self> {
        let Found { answer, len } = found?;
        match answer[request.method as usize] {
            Answer::Behind => None,
            answer => Some(Self { answer, matched: len }),
        }
    }
}

/// The answers to each method.
type Node = [Answer; COUNT];

/// A redirect to a place that the request has a part in.
#[derive(Debug)]
struct Redirect {
    /// From the status line to the name of the field `Location`.
    head: Box<str>,
    template: Template,
    end: Box<str>,
}

impl Redirect {
    fn new(status: Status, fields: &str, template: Template) -> Self {
        let head = format!("{}Location: ", replies::head(status, fields)).into();
        let end = format!("\r\n{}", replies::head_end(status, 0)).into();
        Self { head, template, end }
    }

    /// `None` where it does not fit the buffer.
    fn respond<'a>(
        &self,
        request: &Request<'_>,
        host: Option<&Host>,
        matched: usize,
        scratch: &'a mut [u8],
    ) -> Option<Response<'a>> {
        let mut out = Writer::new(scratch);
        out.push(&self.head);
        self.template.write(&mut out, request, host, matched);
        out.push(&self.end);
        out.finish().map(|head| Response::prepared(head, b""))
    }
}

/// The replies to requests that no rule answers.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    /// No rule has the path.
    not_found: ReplyId,
    /// No rule has the host.
    misdirected: ReplyId,
    /// The host is none, or there is none and the rule needs one.
    bad_host: ReplyId,
    /// The host may still come.
    no_host_yet: ReplyId,
    /// The redirect is longer than any response.
    long: ReplyId,
}

impl Refusals {
    /// `None` when there is no position left for them.
    fn new(replies: &mut Replies) -> Option<Self> {
        let mut add = |(status, text): (_, &str)| replies.add(status, TEXT, text.as_bytes().to_vec());
        Some(Self {
            not_found: add((Status::NotFound, "Nothing is here.\n"))?,
            misdirected: add(HostError::Unknown.answer())?,
            bad_host: add(HostError::Bad.answer())?,
            no_host_yet: add(HostError::NotYet.answer())?,
            long: add((Status::UriTooLong, "The target of the request is too long.\n"))?,
        })
    }

    const fn of_host(&self, error: HostError) -> ReplyId {
        match error {
            HostError::Bad => self.bad_host,
            HostError::NotYet => self.no_host_yet,
            HostError::Unknown => self.misdirected,
        }
    }
}

/// The application: answers from the rules of one file.
#[derive(Debug)]
pub struct Respond {
    table: Table<Node>,
    redirects: Vec<Redirect>,
    replies: Replies,
    refusals: Refusals,
    methods: Methods,
    rules: usize,
}

impl Respond {
    /// Reads rules from a file, and the files that they name.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something in it is wrong: then the error has the line and the column.
    pub fn load(file: &Path) -> Result<Self, RulesError> {
        Self::parse(&read(file)?, file)
    }

    /// Reads rules from a text, as the contents of a file of this path: errors name it, and the files that rules name
    /// are beside it.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn parse(text: &str, file: &Path) -> Result<Self, RulesError> {
        Self::parse_with(text, file, 0, None)
    }

    /// Reads rules from a file that stand before another application, which has the positions before `first`, and
    /// answers what is not [ruled](Self::ruled).
    pub(crate) fn load_before(file: &Path, first: u32) -> Result<Self, RulesError> {
        Self::parse_with(&read(file)?, file, first, Some(Answer::Behind))
    }

    fn parse_with(text: &str, file: &Path, first: u32, behind: Option<Answer>) -> Result<Self, RulesError> {
        let base = file.parent().unwrap_or(Path::new(""));
        let made =
            rules::read(text, base, first).and_then(|made| Self::new(made, behind).ok_or_else(|| Fault::full(&(0..0))));
        made.map_err(|fault| fault.in_file(file, text))
    }

    /// `None` when there is no position left for a reply.
    fn new(made: rules::Made, behind: Option<Answer>) -> Option<Self> {
        let rules::Made { rules, redirects, mut replies, methods, count } = made;
        let mut refused = rules::Refusals::new();
        let mut complete = |paths: BTreeMap<table::PathPattern, rules::ByMethod>| {
            let nodes = paths.into_iter().map(|(path, answers)| {
                rules::complete(&answers, behind, &mut replies, &mut refused).map(|node| (path, node))
            });
            nodes.collect::<Option<BTreeMap<_, _>>>()
        };
        let nodes = rules.into_iter().map(|(host, paths)| Some((host, complete(paths)?)));
        let table = Table::new(nodes.collect::<Option<_>>()?);
        let refusals = Refusals::new(&mut replies)?;
        Some(Self { table, redirects, replies, refusals, methods, rules: count })
    }

    /// How many rules there are.
    pub const fn rule_count(&self) -> usize {
        self.rules
    }

    /// How many finished replies there are, and how many bytes they have together.
    pub fn replies(&self) -> (usize, u64) {
        self.replies.size()
    }

    /// What a rule answers, if one has the request.
    pub(crate) fn ruled(&self, request: &Request<'_>) -> Option<Ruling> {
        self.find(request).ok()
    }

    /// What a rule answers. Where none has the request, what it is refused with if nothing is behind the rules.
    #[inline]
    fn find(&self, request: &Request<'_>) -> Result<Ruling, ReplyId> {
        if path::is_normal(request.path) { self.find_normal(request, request.path) } else { self.find_escaped(request) }
    }

    /// Finds the rule of a request whose path has this normal form.
    #[inline]
    fn find_normal(&self, request: &Request<'_>, path: &[u8]) -> Result<Ruling, ReplyId> {
        if self.table.is_by_host(path) {
            return self.find_by_host(request, path);
        }
        Ruling::of(self.table.find_for_any(path), request).ok_or(self.refusals.not_found)
    }

    fn find_by_host(&self, request: &Request<'_>, path: &[u8]) -> Result<Ruling, ReplyId> {
        let host = match self.host(request) {
            Ok(host) => host,
            Err(refusal) => return Ok(Ruling { answer: Answer::Reply(refusal), matched: 0 }),
        };
        let found = match &host {
            Some(host) => self.table.find(host, path),
            None => self.table.find_for_any(path),
        };
        Ruling::of(found, request).ok_or_else(|| {
            let is_known = host.is_some_and(|host| self.table.names(&host));
            let is_misdirected = self.table.is_for_named_hosts() && !is_known;
            if is_misdirected { self.refusals.misdirected } else { self.refusals.not_found }
        })
    }

    /// Finds the rule of a request for a path that is not in its normal form.
    #[cold]
    fn find_escaped(&self, request: &Request<'_>) -> Result<Ruling, ReplyId> {
        let mut room: Room = [0; PATH_MAX + 3];
        self.find_normal(request, path::normal(request.path, &mut room))
    }

    /// Answers as a rule says.
    #[inline]
    pub(crate) fn answer<'a>(&'a self, ruling: Ruling, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match ruling.answer {
            Answer::Reply(id) => self.replies.get(id),
            Answer::Redirect(number) => self.redirect(number, request, ruling.matched, scratch),
            Answer::Behind => self.replies.get(self.refusals.not_found),
        }
    }

    /// The host that a request is for; of an old client there may be none.
    fn host(&self, request: &Request<'_>) -> Result<Option<Host>, ReplyId> {
        Host::of(request).map_err(|error| self.refusals.of_host(error))
    }

    /// Redirects a request, of whose path the rule has so many bytes.
    fn redirect<'a>(
        &'a self,
        number: u32,
        request: &Request<'_>,
        matched: usize,
        scratch: &'a mut [u8],
    ) -> Response<'a> {
        let redirect = &self.redirects[number as usize];
        let mut host = None;
        if redirect.template.has_host() {
            host = match self.host(request) {
                Ok(Some(host)) if redirect.template.takes(&host) => Some(host),
                Ok(_) => return self.replies.get(self.refusals.bad_host),
                Err(refusal) => return self.replies.get(refusal),
            };
        }
        let response = redirect.respond(request, host.as_ref(), matched, scratch);
        response.unwrap_or_else(|| self.replies.get(self.refusals.long))
    }
}

/// The text of a file of rules.
fn read(file: &Path) -> Result<String, RulesError> {
    fs::read_to_string(file).map_err(|cause| RulesError::Io { path: file.to_owned(), cause })
}

impl App for Respond {
    #[inline]
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match self.find(request) {
            Ok(ruling) => self.answer(ruling, request, scratch),
            Err(refusal) => self.replies.get(refusal),
        }
    }

    fn methods(&self) -> Methods {
        self.methods
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.replies.at(position)
    }

    fn stores(&self) -> bool {
        self.replies.are_stored()
    }

    fn positions(&self) -> u32 {
        self.replies.end()
    }
}
