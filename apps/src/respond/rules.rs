//! The file of rules: read, checked, and made into answers.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use lethe::http::{Method, Methods, Status};
use serde::Deserialize;
use toml::Spanned;

use super::error::{Fault, place};
use super::location::Template;
use super::path::{self, PATH_MAX};
use super::replies::{Replies, has_content};
use super::table::{PathPattern, Rules};
use super::{Answer, COUNT, NO_METHOD, Node, Redirect, TEXT};
use crate::field::is_token;
use crate::host::Pattern;
use crate::media::content_type;

/// The most hosts, paths and methods of all rules, each with each: a bound on a file that is not meant as rules.
const COMBINATIONS_MAX: usize = 1 << 20;

/// The longest file that is an answer, which takes a quarter of the positions of a version.
const BODY_MAX: u64 = 1 << 29;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "rule")]
    rules: Vec<Spanned<Rule>>,
}

/// A rule, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    hosts: Option<Spanned<Vec<Spanned<String>>>>,
    paths: Option<Spanned<Vec<Spanned<String>>>>,
    methods: Option<Spanned<Vec<Spanned<String>>>>,
    status: Option<Spanned<u16>>,
    fields: Option<BTreeMap<Spanned<String>, Spanned<Values>>>,
    body: Option<Spanned<String>>,
    file: Option<Spanned<PathBuf>>,
    directory: Option<Spanned<PathBuf>>,
    redirect: Option<Spanned<String>>,
}

/// The value of a field, or several: then the field is there several times.
#[derive(Deserialize)]
#[serde(untagged, expecting = "the value of a field is a text, or a list of texts")]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl Values {
    fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// Fields that are of the message, or of the connection, and are written by the server.
const OWN_FIELDS: [&str; 7] =
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// What is answered, by method.
pub(super) type ByMethod = [Option<Answer>; COUNT];

/// What a file of rules is made into.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) rules: Rules<ByMethod>,
    pub(super) redirects: Vec<Redirect>,
    pub(super) replies: Replies,
    pub(super) methods: Methods,
    /// How many rules there were.
    pub(super) count: usize,
}

/// Reads the rules of a text. Files that it names are looked for beneath `base`, unless their paths are absolute.
/// Stored replies have positions from `first` on.
pub(super) fn read(text: &str, base: &Path, first: u32) -> Result<Made, Fault> {
    let file: File = toml::from_str(text)?;
    let made = Made { replies: Replies::from_position(first), ..Made::default() };
    let mut maker = Maker { text, base, made, combinations: 0, owners: BTreeMap::new() };
    maker.made.count = file.rules.len();
    for rule in &file.rules {
        maker.add(rule.get_ref(), &rule.span())?;
    }
    Ok(maker.made)
}

struct Maker<'t> {
    text: &'t str,
    base: &'t Path,
    made: Made,
    combinations: usize,
    /// Which rule answers what: where it begins.
    owners: BTreeMap<(Pattern, PathPattern, usize), usize>,
}

/// What a rule answers with.
enum Content {
    /// One answer, whatever the path.
    One(Answer),
    /// A file each, by the end of its path.
    Each(Vec<(Vec<u8>, Answer)>),
}

impl Maker<'_> {
    fn add(&mut self, rule: &Rule, at: &Range<usize>) -> Result<(), Fault> {
        let hosts = hosts(rule)?;
        let paths = paths(rule)?;
        let methods = methods(rule)?;
        let fields = fields(rule)?;
        let content = self.content(rule, at, &fields, &paths)?;
        let files = if let Content::Each(files) = &content { files.len() } else { 1 };
        self.combinations += hosts.len().saturating_mul(paths.len()).saturating_mul(methods.len() * files);
        if self.combinations > COMBINATIONS_MAX {
            return Err(Fault::new(at, format!("hosts, paths and methods make more than {COMBINATIONS_MAX} answers")));
        }
        self.made.methods = methods.iter().fold(self.made.methods, |all, &method| all.with(method));
        for host in &hosts {
            for path in &paths {
                match &content {
                    Content::One(answer) => self.put(host, path, &methods, *answer, at)?,
                    Content::Each(files) => {
                        for (name, answer) in files {
                            let path: Box<[u8]> = [&*path.path, name].concat().into();
                            if path.len() > PATH_MAX {
                                return Err(Fault::new(at, format!("a file has a path of more than {PATH_MAX} bytes")));
                            }
                            self.put(host, &PathPattern { path, is_prefix: false }, &methods, *answer, at)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts an answer in its place, which no other rule may have.
    fn put(
        &mut self,
        host: &Pattern,
        path: &PathPattern,
        methods: &[Method],
        answer: Answer,
        at: &Range<usize>,
    ) -> Result<(), Fault> {
        for &method in methods {
            let key = (host.clone(), path.clone(), method as usize);
            if let Some(&owner) = self.owners.get(&key) {
                let (line, _) = place(&self.text[..owner]);
                let name = String::from_utf8_lossy(&path.path).into_owned();
                let star = if path.is_prefix { "*" } else { "" };
                return Err(Fault::new(
                    at,
                    format!("{} {name}{star} is answered by the rule in line {line} already", method.name()),
                ));
            }
            self.owners.insert(key, at.start);
            let answers = self.made.rules.entry(host.clone()).or_default().entry(path.clone()).or_default();
            answers[method as usize] = Some(answer);
        }
        Ok(())
    }

    /// What a rule answers with, of which there is one kind.
    fn content(
        &mut self,
        rule: &Rule,
        at: &Range<usize>,
        fields: &Fields,
        paths: &[PathPattern],
    ) -> Result<Content, Fault> {
        let kinds = [
            rule.body.as_ref().map(|body| ("body", body.span())),
            rule.file.as_ref().map(|file| ("file", file.span())),
            rule.directory.as_ref().map(|directory| ("directory", directory.span())),
            rule.redirect.as_ref().map(|redirect| ("redirect", redirect.span())),
        ];
        let mut kinds = kinds.into_iter().flatten();
        if let (Some((first, _)), Some((second, at))) = (kinds.next(), kinds.next()) {
            return Err(Fault::new(&at, format!("a rule has {first} or {second}, and not both")));
        }
        let status = status(rule)?;
        if let Some(redirect) = &rule.redirect {
            return self.redirect(redirect, rule.status.as_ref(), status, fields, paths).map(Content::One);
        }
        if let (Some(status), Some(at)) = (status, &rule.status)
            && is_redirect(status)
        {
            return Err(Fault::new(
                &at.span(),
                format!("{} is a redirect: say where it leads with redirect", status.code()),
            ));
        }
        if let Some(directory) = &rule.directory {
            return self.directory(directory, status.unwrap_or(Status::Ok), fields, paths);
        }
        let (body, media_type) = match (&rule.body, &rule.file) {
            (Some(body), _) => (body.get_ref().clone().into_bytes(), Some("text/plain; charset=utf-8".to_owned())),
            (_, Some(file)) => {
                let path = self.base.join(file.get_ref());
                (read_file(&path, &file.span())?, Some(content_type(path.as_os_str())))
            }
            (None, None) if rule.status.is_some() => (Vec::new(), None),
            (None, None) => {
                let what = "a rule answers with a body, a file, a directory, a redirect, or a status alone";
                return Err(Fault::new(at, what));
            }
        };
        let answer = self.reply(at, status.unwrap_or(Status::Ok), fields, media_type.as_deref(), body)?;
        if let (Some(at), Some(status)) = (&rule.status, status)
            && !has_content(status)
            && (rule.body.is_some() || rule.file.is_some())
        {
            return Err(Fault::new(&at.span(), format!("a response with status {} has no body", status.code())));
        }
        Ok(Content::One(answer))
    }

    fn reply(
        &mut self,
        at: &Range<usize>,
        status: Status,
        fields: &Fields,
        media_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Answer, Fault> {
        let media_type = media_type.filter(|_| !fields.names.iter().any(|name| name == "content-type"));
        let media_type = media_type.map_or(String::new(), |media_type| format!("Content-Type: {media_type}\r\n"));
        let reply = self.made.replies.add(status, &(media_type + &fields.lines), body);
        reply.map(Answer::Reply).ok_or_else(|| Fault::full(at))
    }

    fn redirect(
        &mut self,
        redirect: &Spanned<String>,
        said: Option<&Spanned<u16>>,
        status: Option<Status>,
        fields: &Fields,
        paths: &[PathPattern],
    ) -> Result<Answer, Fault> {
        let at = redirect.span();
        let status = status.unwrap_or(Status::PermanentRedirect);
        if let Some(said) = said
            && !is_redirect(status)
        {
            return Err(Fault::new(&said.span(), "a redirect has status 301, 302, 303, 307 or 308"));
        }
        if fields.names.iter().any(|name| name == "location") {
            return Err(Fault::new(&at, "a redirect has its Location from `redirect`: leave it out of the fields"));
        }
        let template = Template::parse(redirect.get_ref()).map_err(|what| Fault::new(&at, what))?;
        if template.has_rest() && paths.iter().any(|path| !path.is_prefix) {
            return Err(Fault::new(&at, "{rest} is what a `*` stands for: each path of the rule has to end with one"));
        }
        if let Some(location) = template.fixed() {
            let fields = Fields { names: Vec::new(), lines: format!("{}Location: {location}\r\n", fields.lines) };
            return self.reply(&at, status, &fields, None, Vec::new());
        }
        let id = self.made.redirects.len() as u32;
        self.made.redirects.push(Redirect::new(status, &fields.lines, template));
        Ok(Answer::Redirect(id))
    }

    /// The files of a directory, each under its name.
    fn directory(
        &mut self,
        directory: &Spanned<PathBuf>,
        status: Status,
        fields: &Fields,
        paths: &[PathPattern],
    ) -> Result<Content, Fault> {
        let at = directory.span();
        if paths.iter().any(|path| !path.is_prefix || !path.path.ends_with(b"/")) {
            return Err(Fault::new(
                &at,
                "the paths of a directory end with `/*`, and `*` stands for the name of a file",
            ));
        }
        let directory = self.base.join(directory.get_ref());
        let unreadable = |path: &Path| {
            let (path, at) = (path.to_owned(), at.clone());
            move |cause| Fault::unreadable(&at, &path, cause)
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&directory).map_err(unreadable(&directory))? {
            let entry = entry.map_err(unreadable(&directory))?;
            let (name, path) = (entry.file_name(), entry.path());
            let is_file = fs::metadata(&path).map_err(unreadable(&path))?.is_file();
            if !is_file || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            files.push((name, path));
        }
        // So that the same files are the same answers on every machine.
        files.sort();
        let mut all = Vec::new();
        for (name, path) in files {
            let body = read_file(&path, &at)?;
            let answer = self.reply(&at, status, fields, Some(&content_type(&name)), body)?;
            let mut room = [0; PATH_MAX + 3];
            // Their normal form says which of them are needed.
            let escaped: Vec<u8> = name.as_encoded_bytes().iter().flat_map(|&byte| path::escaped(byte)).collect();
            all.push((path::normal(&escaped, &mut room).to_vec(), answer));
        }
        Ok(Content::Each(all))
    }
}

const fn is_redirect(status: Status) -> bool {
    matches!(
        status,
        Status::MovedPermanently
            | Status::Found
            | Status::SeeOther
            | Status::TemporaryRedirect
            | Status::PermanentRedirect
    )
}

fn read_file(path: &Path, at: &Range<usize>) -> Result<Vec<u8>, Fault> {
    let len = fs::metadata(path).map_err(|cause| Fault::unreadable(at, path, cause))?.len();
    if len > BODY_MAX {
        return Err(Fault::new(at, format!("{} is longer than {} MiB", path.display(), BODY_MAX >> 20)));
    }
    fs::read(path).map_err(|cause| Fault::unreadable(at, path, cause))
}

/// Refuses an empty list, which would stand for nothing.
fn list<'l>(what: &str, list: &'l Spanned<Vec<Spanned<String>>>) -> Result<&'l [Spanned<String>], Fault> {
    match list.get_ref().as_slice() {
        [] => Err(Fault::new(&list.span(), format!("an empty list: leave {what} out for all of them"))),
        all => Ok(all),
    }
}

fn hosts(rule: &Rule) -> Result<Vec<Pattern>, Fault> {
    let Some(hosts) = &rule.hosts else { return Ok(vec![Pattern::Any]) };
    let parse = |host: &Spanned<String>| Pattern::parse(host.get_ref()).map_err(|what| Fault::new(&host.span(), what));
    list("hosts", hosts)?.iter().map(parse).collect()
}

fn paths(rule: &Rule) -> Result<Vec<PathPattern>, Fault> {
    let Some(paths) = &rule.paths else {
        return Ok(vec![PathPattern { path: b"/"[..].into(), is_prefix: true }]);
    };
    let parse = |path: &Spanned<String>| parse_path(path.get_ref()).map_err(|what| Fault::new(&path.span(), what));
    list("paths", paths)?.iter().map(parse).collect()
}

/// What is written in a rule. Characters that are escaped in a request may be so here, or not.
fn parse_path(text: &str) -> Result<PathPattern, String> {
    if !text.starts_with('/') {
        return Err(format!("a path begins with a slash: \"/{}\"", text.escape_debug()));
    }
    if let Some((path, _)) = text.split_once(['?', '#']) {
        return Err(format!("a path ends before `?` and `#`, and queries are not compared: \"{path}\""));
    }
    let (path, is_prefix) = text.strip_suffix('*').map_or((text, false), |path| (path, true));
    if path.contains('*') {
        return Err("a `*` stands at the end of a path, for all that may follow; for itself, write %2A".to_owned());
    }
    let mut room = [0; PATH_MAX + 3];
    let path = path::normal(path.as_bytes(), &mut room);
    if path.len() > PATH_MAX {
        return Err(format!("a path has at most {PATH_MAX} bytes"));
    }
    Ok(PathPattern { path: path.into(), is_prefix })
}

fn methods(rule: &Rule) -> Result<Vec<Method>, Fault> {
    // HEAD is answered as GET.
    let all = Method::ALL.into_iter().filter(|&method| method != Method::Head);
    let Some(methods) = &rule.methods else { return Ok(vec![Method::Get]) };
    let named = list("methods", methods)?;
    if named.iter().any(|name| name.get_ref() == "*") {
        return Ok(all.collect());
    }
    let parse = |name: &Spanned<String>| {
        let found = all.clone().find(|method| method.name() == name.get_ref());
        found.ok_or_else(|| {
            let known: Vec<&str> = all.clone().map(Method::name).collect();
            let what = match name.get_ref().as_str() {
                "HEAD" => "HEAD is answered where GET is: leave it out".to_owned(),
                _ => format!("there are the methods {}, and \"*\" for all of them", known.join(", ")),
            };
            Fault::new(&name.span(), what)
        })
    };
    named.iter().map(parse).collect()
}

fn status(rule: &Rule) -> Result<Option<Status>, Fault> {
    let Some(said) = &rule.status else { return Ok(None) };
    let fault = |what: &str| Fault::new(&said.span(), what);
    match Status::from_code(*said.get_ref()) {
        None => Err(fault("there is no such status: 200, 404 and 503 are some")),
        Some(Status::PartialContent | Status::NotModified | Status::RangeNotSatisfiable) => {
            Err(fault("this status answers conditions and ranges, which rules do not look at"))
        }
        Some(status) => Ok(Some(status)),
    }
}

/// The fields of a response.
struct Fields {
    /// In lower case.
    names: Vec<String>,
    lines: String,
}

fn fields(rule: &Rule) -> Result<Fields, Fault> {
    let mut fields = Fields { names: Vec::new(), lines: String::new() };
    for (name, values) in rule.fields.iter().flatten() {
        let text = name.get_ref().as_str();
        let fault = |what: String| Err(Fault::new(&name.span(), what));
        if text.is_empty() || !text.bytes().all(is_token) {
            return fault("the name of a field has letters, digits and `-`, and no spaces".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        if OWN_FIELDS.contains(&lower.as_str()) {
            return fault(format!("{text} is written by the server: leave it out"));
        }
        if fields.names.contains(&lower) {
            return fault(format!("{text} is there twice: write a list of its values"));
        }
        fields.names.push(lower);
        for value in values.get_ref().all() {
            let is_sent = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
            if !value.bytes().all(is_sent) {
                let what = format!("the value of {text} has a line end or a character beyond ASCII in it");
                return Err(Fault::new(&values.span(), what));
            }
            for part in [text, ": ", value.trim(), "\r\n"] {
                fields.lines.push_str(part);
            }
        }
    }
    Ok(fields)
}

/// The answers to all methods: to `HEAD` as to `GET`, and to those that no rule has with 405 and the others. What is
/// `behind` the rules answers `GET` where none does.
pub(super) fn complete(
    answers: &ByMethod,
    behind: Option<Answer>,
    replies: &mut Replies,
    refusals: &mut Refusals,
) -> Option<Node> {
    let mut answers = *answers;
    answers[Method::Get as usize] = answers[Method::Get as usize].or(behind);
    answers[Method::Head as usize] = answers[Method::Get as usize];
    let allowed: Vec<&str> =
        Method::ALL.into_iter().filter(|&method| answers[method as usize].is_some()).map(Method::name).collect();
    if allowed.len() == COUNT {
        return Some(answers.map(|answer| answer.unwrap_or(Answer::Redirect(0))));
    }
    let allowed = allowed.join(", ");
    let refusal = if let Some(&refusal) = refusals.get(&allowed) {
        refusal
    } else {
        let fields = format!("Allow: {allowed}\r\n{TEXT}");
        let refusal = Answer::Reply(replies.add(Status::MethodNotAllowed, &fields, NO_METHOD.to_vec())?);
        refusals.insert(allowed, refusal);
        refusal
    };
    Some(answers.map(|answer| answer.unwrap_or(refusal)))
}

/// What was made to refuse other methods than those of a list.
pub(super) type Refusals = BTreeMap<String, Answer>;
