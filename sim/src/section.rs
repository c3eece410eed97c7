//! Which header sections are refused, and what is said then: written down once more, so that no error of the
//! engine's own reader stands on both sides.

use lethe::http::{Response, Status};

use crate::peer::client::TIMESTAMPS_LEN;

/// How many bytes a response may have that goes in one packet, where the MSS is the least that there is, 88, and the
/// client uses timestamps: fewer than a segment.
pub(crate) const LEAST_ROOM: usize = 88 - TIMESTAMPS_LEN - 1;

/// The refusal of a whole request whose header section is not valid, as bytes of a response of at most `one_packet`
/// bytes. `None` for all others, and where there is no refusal so short.
pub(crate) fn refusal(request: &[u8], one_packet: usize) -> Option<Vec<u8>> {
    let (status, text) = match refused(request)? {
        status @ Status::NotImplemented => (status, "The transfer coding is not known here.\n"),
        status @ Status::ExpectationFailed => (status, "Only 100-continue may be expected here.\n"),
        status => (status, "The header section is not valid.\n"),
    };
    let (mut scratch, mut short) = ([0; 256], [0; 256]);
    let with_text = Response::build(&mut scratch, status).header("Content-Type", "text/plain").body(text.as_bytes());
    let response =
        if with_text.len() <= one_packet { with_text } else { Response::build(&mut short, status).body(b"") };
    if response.len() > one_packet {
        return None;
    }
    let body = if request.starts_with(b"HEAD ") { &[] } else { response.body() };
    Some([response.head(), body].concat())
}

/// The status of the refusal of a whole request (RFC 9112, sections 3.2, 5 and 6; RFC 9110, section 10.1.1). One of
/// HTTP/1.0 needs no host.
pub(crate) fn refused(request: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(request);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let is_old = lines.next().is_some_and(|line| line.ends_with(" HTTP/1.0"));
    let mut fields = Vec::new();
    for line in lines {
        match line.split_once(':') {
            Some((name, value)) if is_token(name) && !value.chars().any(|char| char.is_control() && char != '\t') => {
                fields.push((name.to_ascii_lowercase(), value.trim().to_ascii_lowercase()));
            }
            _ => return Some(Status::BadRequest),
        }
    }
    let values = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    let (hosts, lengths, codings) = (values("host"), values("content-length"), values("transfer-encoding"));
    let is_host = |host: &&str| !host.is_empty() && !host.contains([' ', '\t', '/', '@', '?', '#', '\\', '"']);
    let is_length = |length: &&str| length.parse::<u64>().is_ok() && !length.starts_with('+');
    let is_wrong = hosts.len() != 1 && !(is_old && hosts.is_empty())
        || !hosts.iter().all(is_host)
        || lengths.len() > 1
        || !lengths.iter().all(is_length)
        || !codings.is_empty() && !lengths.is_empty();
    if is_wrong {
        Some(Status::BadRequest)
    } else if codings.iter().any(|&coding| coding != "chunked") {
        Some(Status::NotImplemented)
    } else if values("expect").iter().any(|&expected| expected != "100-continue") {
        Some(Status::ExpectationFailed)
    } else {
        None
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_valid_is_refused_and_nothing_else_is() {
        for (fields, status) in [
            ("Host: h\r\n", None),
            ("Accept: */*\r\nHost: h:80\r\nContent-Length: 0\r\nExpect: 100-continue\r\n", None),
            ("Host: h\r\nTransfer-Encoding: chunked\r\n", None),
            ("", Some(Status::BadRequest)),
            ("Host: h\r\nHost: h\r\n", Some(Status::BadRequest)),
            ("Host: a b\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nnot a field\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nA : b\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nA: b\r\n c\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nA: \x01\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nContent-Length: 1, 1\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n", Some(Status::BadRequest)),
            ("Host: h\r\nTransfer-Encoding: gzip\r\n", Some(Status::NotImplemented)),
            ("Host: h\r\nExpect: a-miracle\r\n", Some(Status::ExpectationFailed)),
        ] {
            let request = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            assert_eq!(refused(request.as_bytes()), status, "{fields:?}");
            assert_eq!(refusal(request.as_bytes(), 1000).is_some(), status.is_some());
            let cut = &request.as_bytes()[..request.len() - 1];
            assert_eq!(refused(cut), None, "the section may go on");
        }
    }

    #[test]
    fn an_old_request_needs_no_host_and_has_no_two() {
        assert_eq!(refused(b"GET / HTTP/1.0\r\n\r\n"), None);
        assert_eq!(refused(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Some(Status::BadRequest));
    }

    #[test]
    fn a_refusal_is_without_text_where_that_has_no_room() {
        let request = "GET / HTTP/1.1\r\n\r\n";
        let long = refusal(request.as_bytes(), 1000).unwrap();
        assert!(long.ends_with(b"not valid.\n"));
        let short = refusal(request.as_bytes(), long.len() - 1).unwrap();
        assert!(short.ends_with(b"\r\n\r\n") && short.len() < long.len());
        assert_eq!(refusal(request.as_bytes(), short.len() - 1), None);
        assert!(refusal(b"HEAD / HTTP/1.1\r\n\r\n", 1000).unwrap().ends_with(b"\r\n\r\n"));
    }
}
