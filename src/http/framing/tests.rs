extern crate std;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;

fn of(request: &str) -> Framing {
    of_bytes(request.as_bytes())
}

fn of_bytes(request: &[u8]) -> Framing {
    let request = request.strip_prefix(b"\r\n").unwrap_or(request);
    let (line, section) = request.split_at(request.iter().position(|&byte| byte == b'\n').unwrap() + 1);
    let version = if line.trim_ascii_end().ends_with(b"HTTP/1.0") { Version::Http10 } else { Version::Http11 };
    Framing::of_section(LineEnd::new(version, line.ends_with(b"\r\n")), section)
}

/// A request of HTTP/1.1 with `Host` and these lines.
fn with(lines: &str) -> Framing {
    of(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

fn old_with(lines: &str) -> Framing {
    of(&format!("GET / HTTP/1.0\r\n{lines}\r\n"))
}

const fn complete(persistence: Persistence) -> Framing {
    Framing::Complete { behind: 0, persistence }
}

const KEEP: Framing = complete(Persistence::Keep);
const CLOSE: Framing = complete(Persistence::Close);
const KEEP_ALIVE: Framing = complete(Persistence::KeepAlive);
const BAD: Framing = Framing::Refused(Status::BadRequest);
const NOT_IMPLEMENTED: Framing = Framing::Refused(Status::NotImplemented);
const EXPECTATION_FAILED: Framing = Framing::Refused(Status::ExpectationFailed);

#[test]
fn a_section_is_complete_with_its_empty_line_and_says_what_is_behind() {
    let section = "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n";
    for end in "GET / HTTP/1.1\r\n".len()..section.len() {
        assert_eq!(of(&section[..end]), Framing::Incomplete, "{:?}", &section[..end]);
    }
    for behind in ["", "x", "\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let expect = Framing::Complete { behind: behind.len(), persistence: Persistence::Keep };
        assert_eq!(of(&format!("{section}{behind}")), expect);
        assert_eq!(of(&format!("\r\n{section}{behind}")), expect, "an empty line ahead of it");
    }
}

#[test]
fn http_1_1_has_one_host_and_http_1_0_at_most_one() {
    assert_eq!(of("GET / HTTP/1.1\r\n\r\n"), BAD);
    assert_eq!(of("GET / HTTP/1.1\r\nX: y\r\n\r\n"), BAD);
    assert_eq!(of("GET / HTTP/1.9\r\nX: y\r\n\r\n"), BAD, "a later minor version is as 1.1");
    assert_eq!(of("GET http://h/ HTTP/1.1\r\n\r\n"), BAD, "in absolute form as well");
    assert_eq!(with("Host: h\r\n"), BAD);
    assert_eq!(with("hOST:h\r\n"), BAD);
    assert_eq!(with("X-Host: h\r\nHos: h\r\nHostt: h\r\n"), KEEP);
    assert_eq!(old_with(""), CLOSE);
    assert_eq!(old_with("Host: h\r\n"), CLOSE);
    assert_eq!(old_with("Host: h\r\nHost: h\r\n"), BAD);
    assert_eq!(old_with("Host: /\r\n"), BAD);
}

#[test]
fn a_host_is_a_name_or_an_address_with_an_optional_port() {
    for host in [
        "h",
        "10.9.0.2",
        "lethe.example",
        "Lethe.Example:80",
        "a-b.example",
        "h:",
        "h:0",
        "h:65535",
        "[::1]",
        "[fd09::2]:8080",
        "[v1.a:b]",
        "xn--bcher-kva.example",
        "a_b",
        "%41",
        "a%2fb:1",
        "!$&'()*+,;=~",
        "1.2.3.4.5",
    ] {
        for [before, behind] in [["", ""], [" ", ""], ["\t ", "\t"], ["  ", " "]] {
            assert_eq!(of(&format!("GET / HTTP/1.1\r\nHost:{before}{host}{behind}\r\n\r\n")), KEEP, "{host}");
        }
    }
    for host in [
        "", " ", "a b", "h/", "u@h", "h:a", "h:80:80", ":80", "[", "[]", "[::1", "[::1]a", "[g::]", "::1", "h:65536",
        "a\\b", "a\"b", "<a>", "%4", "%zz", "h,h h", "h#a", "h?a", "[v1.]", "[v.a]", "[v1]", "http://h", "h:-1",
        "h:+1", "{}", "a|b", "a^b", "\u{e9}",
    ] {
        assert_eq!(of(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), BAD, "{host}");
    }
}

#[test]
fn what_is_no_letter_digit_dot_or_hyphen_is_marked_in_a_host_wherever_it_stands() {
    for byte in 0..=u8::MAX {
        for at in 0..8 {
            let mut text = [b'x'; 8];
            text[at] = byte;
            let word = u64::from_le_bytes(text);
            let marks = no_host(word);
            let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            let expect = if is_plain { 0 } else { 0x80 << (8 * at) };
            assert_eq!(marks & marks.wrapping_neg(), expect, "{byte:#x} at {at}");
        }
    }
}

#[test]
fn a_name_is_a_token_and_a_colon_follows_it() {
    for line in
        ["X-1: y\r\n", "!#$%&'*+-.^_`|~9aZ: y\r\n", "x:\r\n", "x:y:z\r\n", "--:\r\n", "a-long-name-of-a-field: \r\n"]
    {
        assert_eq!(with(line), KEEP, "{line}");
    }
    for line in [
        ": y\r\n",
        "X : y\r\n",
        "X\t: y\r\n",
        "X\r\n",
        "X y\r\n",
        "X;: y\r\n",
        "X\u{e9}: y\r\n",
        "(X): y\r\n",
        "X\0: y\r\n",
        "X/y: z\r\n",
        "X\"y: z\r\n",
        "=\r\n",
        "a-long-name-of-a-field\r\n",
        "a-long-name-of-a-field : y\r\n",
    ] {
        assert_eq!(with(line), BAD, "{line:?}");
    }
}

#[test]
fn a_line_that_begins_with_white_space_is_refused() {
    for space in [" ", "\t"] {
        assert_eq!(with(&format!("X: y\r\n{space}z\r\n")), BAD);
        assert_eq!(with(&format!("{space}\r\n")), BAD);
        assert_eq!(of(&format!("GET / HTTP/1.1\r\n{space}Host: h\r\n\r\n")), BAD, "ahead of the first field");
    }
}

#[test]
fn a_value_has_no_control_character_but_the_tab() {
    for byte in (0..=u8::MAX).filter(|byte| !matches!(byte, b'\n')) {
        for at in 0..20 {
            let mut value = [b'v'; 20];
            value[at] = byte;
            let section = [&b"GET / HTTP/1.1\r\nHost: h\r\nName: "[..], &value, b"\r\n\r\n"].concat();
            let expect = if byte == b'\t' || !byte.is_ascii_control() { KEEP } else { BAD };
            assert_eq!(of_bytes(&section), expect, "{byte:#x} at {at}");
        }
    }
    assert_eq!(with("X: \u{e9}\t\u{e9}\u{fc}\t \t\r\nY: \t\u{e9}\r\n"), KEEP);
    assert_eq!(with("X: \u{e9}\u{e9}\u{1}\r\n"), BAD);
}

#[test]
fn a_bare_cr_is_refused_and_a_bare_lf_ends_a_line_and_the_connection() {
    for section in ["X: y\rz\r\n", "X: y\r\r\n", "X: y\rY: z\r\n", "\rX: y\r\n", "X\r: y\r\n"] {
        assert_eq!(with(section), BAD, "{section:?}");
    }
    assert_eq!(of("GET / HTTP/1.1\r\nHost: h\r\n\r\r\n"), BAD);
    for request in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\nHost: h\n\n",
    ] {
        assert_eq!(of(request), CLOSE, "{request:?}");
    }
    assert_eq!(of("GET / HTTP/1.0\nConnection: keep-alive\n\n"), CLOSE);
    assert_eq!(of("GET / HTTP/1.1\r\nHost: h\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), {
        Framing::Complete { behind: 27, persistence: Persistence::Close }
    });
}

#[test]
fn a_content_length_is_one_number() {
    assert_eq!(with("Content-Length: 0\r\n"), KEEP);
    assert_eq!(with("content-length:000\r\n"), KEEP);
    for length in ["1", "5", "18446744073709551615"] {
        assert_eq!(with(&format!("Content-Length: {length}\r\n")), CLOSE, "{length}");
    }
    for length in [
        "",
        "a",
        "+1",
        "-1",
        "0x1",
        "1 1",
        "1,1",
        "1, 1",
        "0,0",
        "1.0",
        "1e1",
        "18446744073709551616",
        "\u{661}",
        "'1'",
    ] {
        assert_eq!(with(&format!("Content-Length: {length}\r\n")), BAD, "{length}");
    }
    assert_eq!(with("Content-Length: 1\r\nContent-Length: 1\r\n"), BAD);
    assert_eq!(with("Content-Length: 0\r\nX: y\r\ncontent-LENGTH: 0\r\n"), BAD);
    assert_eq!(with("Content-Lengths: a\r\nContent: b\r\n"), KEEP);
}

#[test]
fn a_transfer_coding_is_chunked_and_alone() {
    for coding in ["chunked", "Chunked", " chunked ", ",chunked,", "\tchunked"] {
        assert_eq!(with(&format!("Transfer-Encoding:{coding}\r\n")), CLOSE, "{coding}");
    }
    for coding in ["gzip", "identity", "gzip, chunked", "xchunked", "chunkedx", "gzip;q=1, chunked"] {
        assert_eq!(with(&format!("Transfer-Encoding: {coding}\r\n")), NOT_IMPLEMENTED, "{coding}");
    }
    for coding in ["", ",", "chunked, gzip", "chunked, chunked", "chunked;a=b", "\"chunked\"", "chunked chunked"] {
        assert_eq!(with(&format!("Transfer-Encoding: {coding}\r\n")), BAD, "{coding}");
    }
    assert_eq!(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), BAD);
    assert_eq!(with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), NOT_IMPLEMENTED);
}

#[test]
fn a_transfer_coding_beside_a_content_length_or_in_http_1_0_is_refused() {
    for length in ["0", "4"] {
        assert_eq!(with(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")), BAD);
        assert_eq!(with(&format!("Transfer-Encoding: gzip\r\nContent-Length: {length}\r\n")), BAD);
    }
    assert_eq!(old_with("Transfer-Encoding: chunked\r\n"), BAD);
    assert_eq!(old_with("Connection: keep-alive\r\nTransfer-Encoding: gzip\r\n"), BAD);
}

#[test]
fn an_unknown_expectation_is_refused_and_a_known_one_closes() {
    assert_eq!(with("Expect: 100-continue\r\n"), CLOSE);
    assert_eq!(with("expect: 100-Continue\r\n"), CLOSE);
    for other in ["", "x", "100-continue, x", "200-ok"] {
        assert_eq!(with(&format!("Expect: {other}\r\n")), EXPECTATION_FAILED, "{other}");
    }
    assert_eq!(with("Expect: 100-continue\r\nExpect: x\r\n"), EXPECTATION_FAILED);
    assert_eq!(old_with("Expect: x\r\n"), CLOSE, "in HTTP/1.0 it is ignored");
}

#[test]
fn an_upgrade_is_ignored_and_closes() {
    assert_eq!(with("Upgrade: h2c\r\nConnection: upgrade\r\n"), CLOSE);
    assert_eq!(with("Upgrade: websocket\r\n"), CLOSE);
    assert_eq!(with("Upgrade-Insecure-Requests: 1\r\n"), KEEP);
}

#[test]
fn a_connection_is_kept_as_its_options_and_version_say() {
    for (options, in_1_1, in_1_0) in [
        ("close", CLOSE, CLOSE),
        ("CLOSE", CLOSE, CLOSE),
        ("keep-alive", KEEP, KEEP_ALIVE),
        ("Keep-Alive, TE", KEEP, KEEP_ALIVE),
        (", ,\tkeep-alive ,", KEEP, KEEP_ALIVE),
        ("keep-alive, close", CLOSE, CLOSE),
        ("close\r\nConnection: keep-alive", CLOSE, CLOSE),
        ("keep-alive\r\nX: y\r\nConnection: x,close", CLOSE, CLOSE),
        ("x", KEEP, CLOSE),
        ("closed, keep-alives", KEEP, CLOSE),
        ("", KEEP, CLOSE),
        ("a b", CLOSE, CLOSE),
        ("\"keep-alive\"", CLOSE, CLOSE),
    ] {
        assert_eq!(with(&format!("Connection: {options}\r\n")), in_1_1, "{options}");
        assert_eq!(old_with(&format!("Connection: {options}\r\n")), in_1_0, "{options}");
    }
    assert_eq!(with("Proxy-Connection: close\r\nConnections: close\r\n"), KEEP);
}

#[test]
fn a_malformed_section_counts_ahead_of_an_unknown_coding_and_that_ahead_of_an_expectation() {
    assert_eq!(with("Expect: x\r\nTransfer-Encoding: gzip\r\n"), NOT_IMPLEMENTED);
    assert_eq!(with("Expect: x\r\nTransfer-Encoding: gzip\r\nHost: h\r\n"), BAD);
    assert_eq!(with("Expect: x\r\nContent-Length: x\r\n"), BAD);
}

/// What most clients send, and a section that is read as it is not.
const PLAIN: [&str; 4] = [
    "Host: 10.9.0.2\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    "Host: lethe.example:8080\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
     Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
     Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nSec-Fetch-Site: none\r\n\
     Accept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\nA:\r\n\r\n",
    "Host: 1\r\nA: b\r\n\r\n",
    "Host: 10.9.0.2:80\r\nCookie: a=b\r\nConnection: close\r\nX-1: y\r\n\r\n",
];

/// Asserts that plain lines are read as those of all kinds are.
fn assert_read_alike(section: &[u8]) {
    for end in [LineEnd::new(Version::Http11, true), LineEnd::new(Version::Http10, true)] {
        let (behind, seen) = read_lines(section, Seen(end.0));
        assert_eq!(Framing::of_section(end, section), seen.decide(behind), "{}", section.escape_ascii());
    }
}

#[test]
fn a_plain_section_with_any_byte_in_any_place_is_read_as_all_are() {
    for section in PLAIN {
        for end in 0..section.len() {
            assert_read_alike(&section.as_bytes()[..end]);
            for byte in 0..=u8::MAX {
                let mut bytes = section.as_bytes().to_vec();
                bytes[end] = byte;
                assert_read_alike(&bytes);
            }
        }
    }
}

#[test]
fn zeros_behind_a_host_or_a_value_are_refused() {
    for section in PLAIN {
        for at in section.match_indices('\r').map(|(at, _)| at) {
            for zeros in 1..20 {
                let bytes = [&section.as_bytes()[..at], &[0; 20][..zeros]].concat();
                assert_read_alike(&bytes);
                assert_read_alike(&[&bytes, &section.as_bytes()[at..]].concat());
            }
        }
    }
}

#[quickcheck_macros::quickcheck]
#[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
fn plain_lines_among_others_are_read_as_all_are(host: u8, lines: Vec<u8>, behind: Vec<u8>) {
    const LINES: [&str; 24] = [
        "\r\n",
        "User-Agent: a\r\n",
        "Accept: a value of some forty characters, or of more\r\n",
        "Accept: of twenty characters\r\n",
        "Cache-Control:\r\n",
        "Accept-Encoding: gzip\r\n",
        "Accept-Language: \u{e9}\r\n",
        "Connection: keep-alive\r\n",
        "Connection: keep-alive, close\r\n",
        "Connection: close\r\n",
        "Upgrade-Insecure-Requests: 1\r\n",
        "Upgrade: h2c\r\n",
        "Host: h\r\n",
        "A:\r\n",
        "A-Long-Name-Of-A-Field: with\ttab\r\n",
        "Name-1: y\r\n",
        "Expect: 100-continue\r\n",
        "Content-Length: 0\r\n",
        "Cookie: a\0b\r\n",
        "\0\0\0\0\0\0\0\0",
        "Referer: a\n",
        "Origin: b\r",
        "Pragma : c\r\n",
        "If-None-Match: \"0123456789abcdef\"\r\n",
    ];
    const HOSTS: [&str; 8] = ["1", "10.9.0.2", "h", "lethe.example", "1.2.3.4:80", "h:8080", "", "h:80800"];
    let host = HOSTS[usize::from(host) % HOSTS.len()];
    let mut section = format!("Host: {host}\r\n").into_bytes();
    section.extend(lines.iter().flat_map(|&line| LINES[usize::from(line) % LINES.len()].bytes()));
    section.extend(b"\r\n");
    section.extend(behind);
    assert_read_alike(&section);
    for end in 0..section.len() {
        assert_read_alike(&section[..end]);
    }
}

/// Lines of all kinds, of which most are right.
fn section_of(pieces: &[u8]) -> String {
    const PIECES: [&str; 24] = [
        "Host: h\r\n",
        "Host: h\r\n",
        "\r\n",
        "Connection: ",
        "keep-alive",
        "close",
        "\r\n",
        ", ",
        "Content-Length: ",
        "0",
        "7",
        "\r\n",
        "Transfer-Encoding: ",
        "chunked",
        "\r\n",
        "X-Y: ",
        "long enough for two words",
        "\r\n",
        "\n",
        "\r",
        "\t",
        " ",
        "\u{e9}",
        ":",
    ];
    pieces.iter().map(|&piece| PIECES[usize::from(piece) % PIECES.len()]).collect()
}

#[quickcheck_macros::quickcheck]
#[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
fn more_bytes_change_nothing_once_a_section_is_complete(pieces: Vec<u8>, behind: Vec<u8>) -> bool {
    let section = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", section_of(&pieces));
    let Framing::Complete { behind: rest, persistence } = of(&section) else { return true };
    let longer = [section.as_bytes(), &behind].concat();
    let expect = Framing::Complete { behind: rest + behind.len(), persistence };
    of_bytes(&longer) == expect
}

#[quickcheck_macros::quickcheck]
#[expect(clippy::needless_pass_by_value, reason = "quickcheck hands over what it made")]
fn less_bytes_of_a_valid_section_are_incomplete(pieces: Vec<u8>) -> bool {
    let section = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", section_of(&pieces));
    let whole = of(&section);
    let Framing::Complete { behind, .. } = whole else { return true };
    (16..section.len()).filter(|&end| section.is_char_boundary(end)).all(|end| {
        let expect = if end < section.len() - behind {
            Framing::Incomplete
        } else {
            let Framing::Complete { persistence, .. } = whole else { return false };
            Framing::Complete { behind: end + behind - section.len(), persistence }
        };
        of(&section[..end]) == expect
    })
}
