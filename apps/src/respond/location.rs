//! Where a redirect leads: a URL with holes for parts of the request.
//!
//! The host that it leads to is what the rule says, whatever the request says: parts of a path and a query stand only
//! behind the host, and what could end them or their field is escaped.

use lethe::Request;
use lethe::http::Writer;

use super::path::{self, Target};
use crate::host::Host;

/// A part of a URL.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Box<str>),
    /// The host of the request, without its port.
    Host,
    /// Its path; behind a `?`, as the value of a field.
    Path {
        is_value: bool,
    },
    /// What of the path a `*` stands for.
    Rest {
        is_value: bool,
    },
    /// Its query, behind this byte; nothing where it has none.
    Query(u8),
}

/// A URL with holes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// It has no scheme and no host.
    is_local: bool,
    /// The host is a part of a name, where an address cannot stand.
    is_in_name: bool,
}

/// What is wrong with a template.
type Wrong = String;

const HOLES: &str = "{host}, {path}, {rest} and {query}";

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let pieces = pieces(text)?;
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
        let is_in_name = match scheme {
            Some(scheme) => check_authority(&pieces, scheme)?,
            None => check_local(text).map(|()| false)?,
        };
        for pair in pieces.windows(2) {
            if let [Piece::Text(text), Piece::Path { is_value: false }] = pair
                && text.ends_with('/')
            {
                return Err("{path} begins with a slash: leave out the one before it".to_owned());
            }
        }
        Ok(Self { pieces, is_local: scheme.is_none(), is_in_name })
    }

    /// Whether it is the same for all requests: the URL.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it has a part that only `*` makes.
    pub(super) fn has_rest(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Rest { .. }))
    }

    /// Whether the host of the request is in it.
    pub(super) fn has_host(&self) -> bool {
        self.pieces.contains(&Piece::Host)
    }

    /// Whether it can be written for this host.
    pub(super) fn takes(&self, host: &Host) -> bool {
        !(self.is_in_name && host.is_address())
    }

    /// Writes it for a request, of whose path the pattern of the rule has so many bytes in normal form.
    pub(super) fn write(&self, out: &mut Writer<'_>, request: &Request<'_>, host: Option<&Host>, matched: usize) {
        let kind = |is_value| if is_value { path::is_value as fn(u8) -> bool } else { path::is_path };
        let mut target = Target::new(out, self.is_local);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => target.push(text.as_bytes()),
                Piece::Host => target.push(host.map_or(b"", Host::as_bytes)),
                Piece::Path { is_value } => path::write(request.path, kind(*is_value), |bytes| target.push(bytes)),
                Piece::Rest { is_value } => {
                    path::write(path::behind(request.path, matched), kind(*is_value), |bytes| target.push(bytes));
                }
                Piece::Query(first) => {
                    if let Some(query) = request.query {
                        target.push(&[*first]);
                        path::write(query, path::is_query, |bytes| target.push(bytes));
                    }
                }
            }
        }
    }
}

/// Takes a text apart.
fn pieces(text: &str) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    let (mut rest, mut is_value) = (text, false);
    while !rest.is_empty() {
        let (before, hole) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        if !before.is_empty() {
            check_text(before)?;
            is_value |= before.contains('?');
            pieces.push(Piece::Text(before.into()));
        }
        let Some(inner) = hole.strip_prefix('{') else { break };
        let (name, after) = inner.split_once('}').ok_or_else(|| format!("a `{{` has no `}}`: there are {HOLES}"))?;
        pieces.push(match name {
            "host" => Piece::Host,
            "path" => Piece::Path { is_value },
            "rest" => Piece::Rest { is_value },
            "query" => Piece::Query(if is_value { b'&' } else { b'?' }),
            _ => return Err(format!("there is no {{{name}}}: there are {HOLES}")),
        });
        rest = after;
    }
    Ok(pieces)
}

/// A text that stands in a URL as it is.
fn check_text(text: &str) -> Result<(), Wrong> {
    let is_uri = |byte: u8| path::is_query(byte) || matches!(byte, b'#' | b'[' | b']' | b'%');
    match text.chars().find(|&letter| !u8::try_from(letter).is_ok_and(|byte| byte.is_ascii() && is_uri(byte))) {
        None => Ok(()),
        Some(letter) => {
            let mut room = [0; 4];
            let bytes: Vec<_> = letter.encode_utf8(&mut room).bytes().map(|byte| format!("%{byte:02X}")).collect();
            let escaped = bytes.concat();
            Err(format!("`{}` cannot stand in a URL: write {escaped}", letter.escape_debug()))
        }
    }
}

/// A URL without a host leads to the host that was asked: its path is the path of one.
fn check_local(text: &str) -> Result<(), Wrong> {
    let begins_with_path = text.starts_with("{path}") || text.starts_with('/');
    if begins_with_path && !text.starts_with("//") {
        return Ok(());
    }
    let like = "\"https://{host}{path}{query}\"";
    Err(format!("a redirect leads to a URL that begins with https://, http:// or a single slash: {like}"))
}

/// Checks the host of a URL. Returns whether the host of the request is a part of its name.
fn check_authority(pieces: &[Piece], scheme: &str) -> Result<bool, Wrong> {
    let (mut authority, mut shown) = (String::new(), String::new());
    let mut hosts = 0;
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                let text = if authority.is_empty() { text.strip_prefix(scheme).unwrap_or(text) } else { text };
                let end = text.find(['/', '?', '#']);
                let text = &text[..end.unwrap_or(text.len())];
                authority.push_str(text);
                shown.push_str(text);
                if end.is_some() {
                    break;
                }
            }
            Piece::Host => {
                authority.push('h');
                shown.push_str("{host}");
                hosts += 1;
            }
            Piece::Rest { .. } => return Err("{rest} would be a part of the host: put a slash before it".to_owned()),
            Piece::Path { .. } | Piece::Query(_) => break,
        }
    }
    if Host::parse(authority.as_bytes()).is_none() {
        return Err(format!("`{shown}` is no host: a name of letters, digits, `-` and `.`, and perhaps a port"));
    }
    Ok(hosts > 0 && authority != "h" && !authority.starts_with("h:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Template::parse(text).unwrap_err()
    }

    fn written(template: &str, host: &str, target: &str, matched: usize) -> String {
        let template = Template::parse(template).unwrap();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let request = Request::get(path.as_bytes()).with_query(query.map(str::as_bytes));
        let host = Host::parse(host.as_bytes()).unwrap();
        let mut buffer = [0; 256];
        let mut out = Writer::new(&mut buffer);
        template.write(&mut out, &request, Some(&host), matched);
        String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn holes_are_filled_with_parts_of_the_request() {
        for (template, target, matched, expect) in [
            ("https://{host}{path}{query}", "/a/b?c=d", 1, "https://h.example/a/b?c=d"),
            ("https://{host}{path}{query}", "/a/b?", 1, "https://h.example/a/b?"),
            ("https://{host}{path}{query}", "/a/b", 1, "https://h.example/a/b"),
            ("https://www.{host}:8443/x/{rest}", "/old/a/b?c", 5, "https://www.h.example:8443/x/a/b"),
            ("https://{host}/x/{rest}", "/%6fld/a%2Fb", 5, "https://h.example/x/a%2Fb"),
            ("http://new.example{query}", "/a?b", 1, "http://new.example?b"),
            ("/in?to={path}&at={host}{query}", "/a&b?c=d", 1, "/in?to=/a%26b&at=h.example&c=d"),
            ("{path}.html{query}", "/a?b", 1, "/a.html?b"),
        ] {
            assert_eq!(written(template, "H.example:80", target, matched), expect, "{template}");
        }
    }

    #[test]
    fn a_target_without_a_host_never_gets_one() {
        for (template, target, matched, expect) in [
            ("{path}", "//evil.example/", 1, "/.//evil.example/"),
            ("/{rest}", "/a//evil.example", 3, "/.//evil.example"),
            ("/{rest}/b", "/a/", 3, "/.//b"),
            ("{path}", "/\\evil.example", 1, "/%5Cevil.example"),
            ("/{rest}", "/a/\\evil.example", 3, "/%5Cevil.example"),
            ("/{rest}", "/a/\t/evil.example", 3, "/%09/evil.example"),
        ] {
            assert_eq!(written(template, "h", target, matched), expect, "{template} {target}");
        }
    }

    #[test]
    fn a_url_without_holes_is_fixed() {
        let parsed = |text| Template::parse(text).unwrap();
        assert_eq!(parsed("https://a.example/b?c#d").fixed(), Some("https://a.example/b?c#d"));
        assert_eq!(parsed("/a").fixed(), Some("/a"));
        assert_eq!(parsed("/a{query}").fixed(), None);
        assert!(parsed("/a/{rest}").has_rest() && !parsed("/a{path}").has_rest());
        assert!(parsed("http://{host}/").has_host() && !parsed("/a{path}").has_host());
    }

    #[test]
    fn an_address_is_no_part_of_a_name() {
        let takes =
            |template, host: &str| Template::parse(template).unwrap().takes(&Host::parse(host.as_bytes()).unwrap());
        assert!(takes("https://{host}/", "[::1]") && takes("https://{host}:8443/", "[::1]"));
        assert!(takes("https://www.{host}/", "a") && takes("/{host}", "[::1]"));
        assert!(!takes("https://www.{host}/", "[::1]") && !takes("https://www.{host}/", "192.0.2.1"));
        assert!(takes("https://{host}/", "192.0.2.1") && !takes("https://{host}.example/", "[::1]"));
    }

    #[test]
    fn the_host_is_what_the_rule_says_and_nothing_of_the_path() {
        for template in ["https://a.example{rest}", "https://{rest}", "http://{host}{rest}", "https://a:80{rest}/"] {
            assert!(wrong(template).contains("a part of the host"), "{template}");
        }
        for template in [
            "https://",
            "https:///a",
            "https://{path}",
            "https://a@b/",
            "https://a:b/",
            "https://[a]/",
            "https://a_b/",
            "https://[{host}]/",
            "https://{host}{host}:a/",
            "https://?a",
            "https://u:p@{host}/",
            "https://a:80:{host}",
        ] {
            assert!(wrong(template).contains("is no host"), "{template}: {}", wrong(template));
        }
        for template in ["", "a", "//a.example/", "ftp://a/", "{host}", "{query}", "{rest}", "javascript:1", "HTTP://a"]
        {
            assert!(wrong(template).contains("begins with https://"), "{template}: {}", wrong(template));
        }
    }

    #[test]
    fn what_is_wrong_with_a_template_is_told() {
        for (template, said) in [
            ("/{uri}", "there is no {uri}: there are {host}, {path}, {rest} and {query}"),
            ("/{path", "a `{` has no `}`: there are {host}, {path}, {rest} and {query}"),
            ("/a b", "` ` cannot stand in a URL: write %20"),
            ("/\u{e9}", "`\u{e9}` cannot stand in a URL: write %C3%A9"),
            ("/a}", "`}` cannot stand in a URL: write %7D"),
            ("/a\r\nSet-Cookie: b", "`\\r` cannot stand in a URL: write %0D"),
            ("/a\\", "`\\\\` cannot stand in a URL: write %5C"),
            ("https://{host}/{path}", "{path} begins with a slash: leave out the one before it"),
        ] {
            assert_eq!(wrong(template), said);
        }
    }
}
