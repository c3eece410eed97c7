//! Requests that are right and wrong in every way that HTTP/1.1 knows, to `lethe` over a TAP device and to nginx: what
//! RFC 9110 and RFC 9112 ask for, and what both answer. Needs root.
//!
//! docs/conformance.md is the result, and is compared; `LETHE_DOCS=overwrite` writes it.

#[path = "conformance/cases.rs"]
mod cases;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use cases::{CLOSED, Case, Group};
use lethe_harness::test;
use lethe_testnet::nginx::{Content, Nginx};
use lethe_testnet::{Namespace, Server, root};

/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long nothing may come until nothing more is expected.
const QUIET: Duration = Duration::from_millis(400);

/// Connections at a time.
const AT_A_TIME: usize = 8;

/// What came back on a connection.
#[derive(Clone, Debug, Default)]
struct Answer {
    /// Of all responses.
    statuses: Vec<u16>,
    /// There were bytes, and no status line.
    is_headless: bool,
    is_closed: bool,
}

impl Answer {
    fn conforms(&self, case: &Case) -> bool {
        let first = match *self.statuses {
            [first, ..] => first,
            [] if self.is_closed && !self.is_headless => CLOSED,
            [] => return false,
        };
        case.statuses.contains(&first) && self.statuses.len() <= case.responses && (self.is_closed || !case.closes)
    }

    /// As it stands in the table.
    fn text(&self) -> String {
        let mut text = self.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        if self.statuses.is_empty() {
            text.push_str(if self.is_headless { "a body without a head" } else { "nothing" });
        }
        if self.is_closed {
            text.push_str(", closed");
        }
        text
    }
}

/// Takes the responses apart; `is_head` tells of each whether it is to a `HEAD`.
fn statuses(mut bytes: &[u8], is_head: [bool; 2]) -> Vec<u16> {
    let mut found = Vec::new();
    while bytes.starts_with(b"HTTP/1.") {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { break };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head[9..12].parse().expect("a status has three digits");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let has_body = status >= 200 && !is_head[found.len().min(1)];
        bytes = bytes.get(end + 4 + if has_body { length.unwrap_or(0) } else { 0 }..).unwrap_or_default();
        if status >= 200 {
            found.push(status);
        }
    }
    // A response of HTTP/0.9 is a body and nothing else.
    assert!(bytes.is_empty() || found.is_empty(), "{:?}", String::from_utf8_lossy(bytes));
    found
}

fn ask(server: SocketAddr, case: &Case) -> Answer {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    // A server may close while it is still sent to.
    let _ = stream.write_all(&case.request);
    let is_head = |bytes: &[u8]| bytes.starts_with(b"HEAD ");
    let second = case.request.windows(9).skip(1).any(|window| window == b"\r\n\r\nHEAD ");
    let is_head = [is_head(&case.request), second];
    let (mut bytes, mut is_closed) = (Vec::new(), false);
    let since = Instant::now();
    loop {
        let is_answered = statuses(&bytes, is_head).len() >= case.responses;
        let limit = if is_answered { QUIET } else { PATIENCE.saturating_sub(since.elapsed()) };
        if limit.is_zero() || since.elapsed() > 2 * PATIENCE {
            break;
        }
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) => is_closed = true,
            Ok(len) => {
                bytes.extend(&part[..len]);
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => is_closed = !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
        break;
    }
    let statuses = statuses(&bytes, is_head);
    Answer { is_headless: statuses.is_empty() && !bytes.is_empty(), statuses, is_closed }
}

/// What a server answers to all cases.
fn ask_all(space: &Namespace, server: &'static str) -> Vec<Answer> {
    space.enter(move || {
        let cases = cases::all();
        let left: Mutex<VecDeque<usize>> = Mutex::new((0..cases.len()).collect());
        let answers = Mutex::new(vec![Answer::default(); cases.len()]);
        thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some(at) = { left.lock().unwrap().pop_front() } {
                        let answer = ask(server.parse().unwrap(), &cases[at]);
                        answers.lock().unwrap()[at] = answer;
                    }
                });
            }
        });
        answers.into_inner().unwrap()
    })
}

/// The page of the book.
fn page(cases: &[Case], lethe: &[Answer], nginx: &[Answer]) -> String {
    let mut page = String::from(INTRODUCTION);
    let score = |answers: &[Answer], group: Option<Group>| {
        let in_group = cases.iter().zip(answers).filter(|(case, _)| group.is_none_or(|group| group == case.group));
        in_group.filter(|(case, answer)| answer.conforms(case)).count()
    };
    page.push_str("\n| | cases | Lethe | nginx |\n|---|---|---|---|\n");
    for group in Group::ALL {
        let count = cases.iter().filter(|case| case.group == group).count();
        let [lethe, nginx] = [lethe, nginx].map(|answers| score(answers, Some(group)));
        writeln!(page, "| {} | {count} | {lethe} | {nginx} |", group.title()).unwrap();
    }
    writeln!(page, "| all | {} | {} | {} |", cases.len(), score(lethe, None), score(nginx, None)).unwrap();
    page.push_str(DEVIATIONS);
    for group in Group::ALL {
        writeln!(page, "\n## {}\n\n| case | RFC | conforming | Lethe | nginx |\n|---|---|---|---|---|", group.title())
            .unwrap();
        for ((case, lethe), nginx) in cases.iter().zip(lethe).zip(nginx).filter(|((case, _), _)| case.group == group) {
            let rfc =
                if case.section.contains(", ") { case.section.to_owned() } else { format!("9112, {}", case.section) };
            let word = |status: &u16| if *status == CLOSED { "closed".to_owned() } else { status.to_string() };
            let mut expected = case.statuses.iter().map(word).collect::<Vec<_>>().join(" or ");
            if case.closes {
                expected.push_str(", closed");
            }
            let [lethe, nginx] = [lethe, nginx]
                .map(|answer| if answer.conforms(case) { answer.text() } else { format!("**{}**", answer.text()) });
            writeln!(page, "| {} | {rfc} | {expected} | {lethe} | {nginx} |", case.name).unwrap();
        }
    }
    page
}

#[test(root, "nginx")]
fn lethe_conforms_where_nginx_does() {
    let space = Namespace::new();
    let cases = cases::all();
    let ask_lethe = |options: &str| {
        let server = Server::start(&space, &format!("{options} sample"));
        let answers = ask_all(&space, "10.9.0.2:80");
        server.stop();
        answers
    };
    let (lethe, closing) = (ask_lethe("--keep-alive on"), ask_lethe("--keep-alive off"));
    let _nginx = Nginx::new(Content::Text("hello")).start(&space, &[]).unwrap();
    let nginx = ask_all(&space, "127.0.0.1:80");
    for ((case, kept), closing) in cases.iter().zip(&lethe).zip(&closing) {
        assert_eq!(
            kept.conforms(case),
            closing.conforms(case),
            "{}: {kept:?}, or {closing:?} where all close",
            case.name
        );
    }
    let page = page(&cases, &lethe, &nginx);
    let path = root().join("docs/conformance.md");
    if env::var("LETHE_DOCS").is_ok_and(|what| what == "overwrite") {
        fs::write(&path, &page).unwrap();
    }
    for group in Group::ALL {
        let score = |answers: &[Answer]| {
            let in_group = cases.iter().zip(answers).filter(|(case, _)| case.group == group);
            in_group.filter(|(case, answer)| answer.conforms(case)).count()
        };
        assert!(score(&lethe) >= score(&nginx), "{}: {page}", group.title());
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), page, "LETHE_DOCS=overwrite writes {}", path.display());
}

const INTRODUCTION: &str = "\
# Conformance: requests, right and wrong

What RFC 9110 and RFC 9112 ask of a server for `GET` and `HEAD`: request line, `Host`, header fields, and where a
request ends. Each case is one connection to `lethe serve` over a TAP device, and one to nginx 1.22. A case conforms
where the status of the first response is one of those listed, where no byte of a body was answered as a request, and,
where it says *closed*, where the server closed the connection. *200 or 400* is where the RFC lets a
server be lenient. What does not conform is in bold. A test writes this page and compares it
(`cli/tests/conformance.rs`); Lethe may not conform in fewer cases of any group than nginx.
";

const DEVIATIONS: &str = "
Where Lethe does not conform, [the protocol](protocol.md#deliberate-deviations) has the reason:

* *A line of 8,000 bytes* gets 414: putting segments together takes state.
* *A fragment* in a target is a part of the path, which the application does not find.
";

lethe_harness::main!();
