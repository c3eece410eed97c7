//! `lethe check`: whether a server answers, asked over the kernel's own network; and what is to be done when that
//! changes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use humantime::parse_duration;
use lethe_load::{Chunks, Head};

use crate::message::{note, warn};
use crate::run::stop_on_signal_or_hangup;

/// The most that is read of an answer.
const ANSWER_MAX: u64 = 1 << 20;

/// The longest sleep: how late a signal may be seen.
const NAP: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What to fetch: `http://IP[:PORT][/PATH]`. It is well if the answer has a status of 2xx or 3xx, behind any of
    /// 1xx, and comes to its end
    #[arg(value_name = "URL")]
    target: Target,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    timeout: Duration,
    /// Go on, with so long from the start of one fetch to that of the next
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    every: Option<Duration>,
    /// Answers in a row after which a server is up
    #[arg(long, value_name = "N", default_value_t = 3, requires = "every")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rise: u32,
    /// Failures in a row after which it is down
    #[arg(long, value_name = "N", default_value_t = 3, requires = "every")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    fall: u32,
    /// What the shell does when the server is up. Should that fail, it is done again after the next fetch
    #[arg(long, value_name = "COMMAND", requires = "every")]
    up: Option<String>,
    /// What it does when the server is down; and at the end, on Ctrl-C, SIGTERM and SIGHUP, unless the server was down
    #[arg(long, value_name = "COMMAND", requires = "every")]
    down: Option<String>,
}

const EXAMPLE: &str = "\
It fetches once, and the exit code says how that went. With --every it goes on, for a route that is
to be there as long as a server answers: see docs/cluster.md.

Example:
  {name} check http://10.7.1.2/
  {name} check http://10.7.1.2/ --every 200ms --timeout 200ms \\
      --up 'birdc enable \"service*\"' --down 'birdc disable \"service*\"'";

/// What is fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Target {
    address: SocketAddr,
    path: String,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").with_context(|| match text.split_once("://") {
            Some((scheme, _)) => format!("want http://IP[:PORT][/PATH]; {scheme} is not spoken here"),
            None => format!("want http://IP[:PORT][/PATH], as in http://{text}"),
        })?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 80)).or_else(|_| host.parse());
        let address = address.ok().with_context(|| format!("`{host}` is no address; names are not looked up"))?;
        ensure!(address.port() != 0, "there is no port 0: leave it out for 80");
        ensure!(path.bytes().all(|byte| byte.is_ascii_graphic()), "a path has neither spaces nor control characters");
        Ok(Self { address, path: path.to_owned() })
    }
}

impl Target {
    /// Fetches it to the end.
    fn fetch(&self, timeout: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        let mut stream = TcpStream::connect_timeout(&self.address, timeout).context("no connection")?;
        let Self { address, path } = self;
        // In one write: a request line in two is a known limit of ours (docs/protocol.md).
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while (answer.len() as u64) < ANSWER_MAX && !is_whole(&answer) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "no whole answer within {timeout:?}");
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&part[..read]),
                // The loop finds out whether it is over.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("no answer"),
            }
        }
        check_answer(&answer)
    }
}

/// Whether an answer has a status that is no error, and has come whole.
fn check_answer(answer: &[u8]) -> anyhow::Result<()> {
    let Some(head) = Head::last_of(answer) else {
        let begins = answer.starts_with(b"HTTP/1.");
        ensure!(!begins, "the answer ends within its header fields, after {} bytes", answer.len());
        bail!("what came is not HTTP");
    };
    let status = head.status();
    ensure!((200..400).contains(&status), "the status is {}", head.status_text());
    let came = answer.len() - head.end();
    if head.is_chunked() && !head.has_no_body() {
        let is_long = answer.len() as u64 >= ANSWER_MAX;
        ensure!(is_long || has_last_chunk(&answer[head.end()..]), "the answer is cut off: its last chunk has not come");
        return Ok(());
    }
    if let Some(announced) = head.content_length().filter(|_| !head.has_no_body()) {
        let is_cut = came < announced && (answer.len() as u64) < ANSWER_MAX;
        ensure!(!is_cut, "the answer is cut off: its body has {announced} bytes, and {came} came");
    }
    Ok(())
}

/// Whether a body in chunks has come to its end.
fn has_last_chunk(body: &[u8]) -> bool {
    let mut chunks = Chunks::default();
    chunks.take(body, |_| ());
    chunks.is_done()
}

/// Whether all has come, so that the end of the connection need not be waited for.
fn is_whole(answer: &[u8]) -> bool {
    Head::last_of(answer).is_some_and(|head| {
        if head.is_chunked() && !head.has_no_body() {
            return has_last_chunk(&answer[head.end()..]);
        }
        let announced = if head.has_no_body() { Some(0) } else { head.content_length() };
        announced.is_some_and(|announced| answer.len() - head.end() >= announced)
    })
}

/// Fetches once, or until a signal comes.
pub(crate) fn check(args: &Args) -> anyhow::Result<()> {
    ensure!(!args.timeout.is_zero(), "--timeout 0s leaves no time for an answer: give some, such as 500ms");
    let Some(every) = args.every else { return args.target.fetch(args.timeout) };
    ensure!(!every.is_zero(), "--every 0s is no pause: give one, such as 200ms");
    let stop = stop_on_signal_or_hangup().context("cannot catch signals")?;
    let mut health = Health::new(args.rise, args.fall);
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + every;
        let Some(fetched) = fetch_unless_stopped(&args.target, args.timeout, &stop) else { break };
        if let Some(is_up) = health.observe(fetched.is_ok()) {
            let (word, command) = if is_up { ("up", &args.up) } else { ("down", &args.down) };
            match &fetched {
                Ok(()) => note(format_args!("{} is {word}", args.target.address)),
                Err(error) => note(format_args!("{} is {word}: {error:#}", args.target.address)),
            }
            if let Err(error) = command.as_deref().map_or(Ok(()), execute) {
                warn(format_args!("{error:#}"));
                health.told = None;
            }
        }
        sleep_until(next, &stop);
    }
    // What was done when the server went down is not done again.
    if health.told == Some(false) {
        return Ok(());
    }
    args.down.as_deref().map_or(Ok(()), execute)
}

/// Fetches to the end, or until a signal comes: `None` then. It may be that the server was stopped first, so that the
/// fetch goes on until its time is over.
fn fetch_unless_stopped(target: &Target, timeout: Duration, stop: &AtomicBool) -> Option<anyhow::Result<()>> {
    let (send, fetched) = mpsc::channel();
    let target = target.clone();
    // It fails where the receiver is gone, which needs no result any more.
    let fetch = move || drop(send.send(target.fetch(timeout)));
    if let Err(error) = thread::Builder::new().spawn(fetch) {
        return Some(Err(error).context("cannot start a thread"));
    }
    loop {
        match fetched.recv_timeout(NAP) {
            Ok(fetched) => return Some(fetched),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Some(Err(anyhow!("the fetch panicked"))),
        }
    }
}

fn execute(command: &str) -> anyhow::Result<()> {
    // In a process group of its own: Ctrl-C in a terminal ends this program, and not what takes its route back.
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).process_group(0);
    let status = shell.status().with_context(|| format!("`{command}`"))?;
    ensure!(status.success(), "`{command}` failed: {status}");
    Ok(())
}

fn sleep_until(time: Instant, stop: &AtomicBool) {
    loop {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() || stop.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(left.min(NAP));
    }
}

/// What is known of a server by the last fetches.
struct Health {
    rise: u32,
    fall: u32,
    /// How the last fetch went, and how many in a row went so.
    row: (bool, u32),
    /// What was said last; nothing before the first row is long enough.
    told: Option<bool>,
}

impl Health {
    const fn new(rise: u32, fall: u32) -> Self {
        Self { rise, fall, row: (false, 0), told: None }
    }

    /// Whether the server is up from now on, or down; `None` if that is nothing new.
    fn observe(&mut self, answered: bool) -> Option<bool> {
        self.row = if self.row.0 == answered { (answered, self.row.1.saturating_add(1)) } else { (answered, 1) };
        let enough = if answered { self.rise } else { self.fall };
        if self.row.1 < enough || self.told == Some(answered) {
            return None;
        }
        self.told.replace(answered);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_target_is_an_address_with_a_path() {
        let parse =
            |text: &str| text.parse::<Target>().map(|target| (target.address.to_string(), target.path)).unwrap();
        let of = |address: &str, path: &str| (address.to_owned(), path.to_owned());
        assert_eq!(parse("http://10.9.0.2"), of("10.9.0.2:80", "/"));
        assert_eq!(parse("http://10.9.0.2:8080/a?b"), of("10.9.0.2:8080", "/a?b"));
        assert_eq!(parse("http://[fd09::2]/"), of("[fd09::2]:80", "/"));
        assert_eq!(parse("http://[fd09::2]:81"), of("[fd09::2]:81", "/"));
        let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert_eq!(error("10.9.0.2"), "want http://IP[:PORT][/PATH], as in http://10.9.0.2");
        assert_eq!(error("https://10.9.0.2"), "want http://IP[:PORT][/PATH]; https is not spoken here");
        assert_eq!(error("http://10.9.0.2:0/"), "there is no port 0: leave it out for 80");
        assert_eq!(error("http://lethe.example/"), "`lethe.example` is no address; names are not looked up");
        assert_eq!(error("http://10.9.0.2/a b"), "a path has neither spaces nor control characters");
    }

    /// What is said of a server that answers this.
    fn fetch(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target: Target = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1000];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let fetched = target.fetch(Duration::from_secs(10)).map_err(|error| error.to_string());
        server.join().unwrap();
        fetched
    }

    #[test]
    fn a_page_or_another_place_is_an_answer_and_an_error_is_none() {
        assert_eq!(fetch("HTTP/1.1 200 OK\r\n\r\nhello"), Ok(()));
        assert_eq!(fetch("HTTP/1.0 302 Found\r\n\r\n"), Ok(()));
        assert_eq!(fetch("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), Ok(()));
        assert_eq!(
            fetch("HTTP/1.1 500 Internal Server Error\r\n\r\n"),
            Err("the status is 500 Internal Server Error".into())
        );
        assert_eq!(fetch("SSH-2.0\r\n"), Err("what came is not HTTP".into()));
        assert_eq!(fetch(""), Err("what came is not HTTP".into()));
    }

    #[test]
    fn an_answer_may_have_others_of_1xx_before_it() {
        let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        let with = |rest: &str| fetch(Box::leak(format!("{hints}{rest}").into_boxed_str()));
        assert_eq!(with("HTTP/1.1 200 OK\r\n\r\nhello"), Ok(()));
        assert_eq!(with("HTTP/1.1 503 Busy\r\n\r\n"), Err("the status is 503 Busy".into()));
        assert_eq!(with(""), Err("the answer ends within its header fields, after 69 bytes".into()));
    }

    #[test]
    fn an_answer_that_is_cut_off_is_none() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
        assert_eq!(fetch(cut), Err("the answer is cut off: its body has 6 bytes, and 5 came".into()));
        assert_eq!(
            fetch("HTTP/1.1 200 OK\r\nServer: x"),
            Err("the answer ends within its header fields, after 26 bytes".into())
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        assert_eq!(fetch(chunked), Err("the answer is cut off: its last chunk has not come".into()));
        assert_eq!(fetch("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Ok(()));
    }

    /// The end of the connection need not be waited for.
    #[test]
    fn an_answer_that_tells_its_length_is_over_by_then() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target: Target = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-City: K\xf6ln\r\nContent-Length: 2\r\n\r\nok").unwrap();
            stream
        });
        target.fetch(Duration::from_secs(10)).unwrap();
        drop(server.join());
    }

    #[test]
    fn who_says_nothing_is_waited_for_and_not_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target: Target = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let error = target.fetch(Duration::from_millis(100)).unwrap_err().to_string();
        assert_eq!(error, "no whole answer within 100ms");
        drop(listener);
        assert_eq!(target.fetch(Duration::from_secs(10)).unwrap_err().to_string(), "no connection");
    }

    #[test]
    fn a_row_of_answers_is_up_and_a_row_of_failures_is_down() {
        let mut health = Health::new(2, 3);
        let mut told = |answers: &[u8]| answers.iter().map(|&answer| health.observe(answer == 1)).collect::<Vec<_>>();
        assert_eq!(told(&[1, 1, 1]), [None, Some(true), None]);
        assert_eq!(told(&[0, 0, 1, 0, 0, 0, 0]), [None, None, None, None, None, Some(false), None]);
        assert_eq!(told(&[1, 0, 1, 1]), [None, None, None, Some(true)]);
    }

    #[test]
    fn what_is_down_from_the_start_is_said_to_be() {
        let mut health = Health::new(1, 2);
        assert_eq!([false, false, true].map(|answer| health.observe(answer)), [None, Some(false), Some(true)]);
    }
}
