//! A record as a line of text.

use std::fmt;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use lethe::http::RequestLine;
use lethe::time::Instant;
use serde::Serialize;

use super::record::{METHODS, Record};

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// The Combined Log Format, as Apache and nginx have it. The number behind the status is that of the bytes of the
    /// body.
    Combined,
    /// An object of JSON.
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            _ => Err("want combined or json"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Combined => "combined",
            Self::Json => "json",
        })
    }
}

/// What makes lines of records.
pub(super) struct Lines {
    format: Format,
    /// The line that was made last.
    line: Vec<u8>,
    /// The second of that line, and how it is written.
    second: (u64, String),
}

/// A line of JSON.
#[derive(Serialize)]
struct Object<'a> {
    time: String,
    client: IpAddr,
    port: u16,
    method: &'a str,
    target: &'a str,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    status: u16,
    bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

impl Lines {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, line: Vec::new(), second: (u64::MAX, String::new()) }
    }

    /// The line for a record, with its end.
    pub(super) fn line(&mut self, record: &Record) -> &[u8] {
        self.line.clear();
        // Writing to memory does not fail.
        let _ = match self.format {
            Format::Combined => self.combined(record),
            Format::Json => self.json(record),
        };
        self.line.push(b'\n');
        &self.line
    }

    fn combined(&mut self, record: &Record) -> io::Result<()> {
        let second = record.at.as_unix_seconds();
        if self.second.0 != second {
            self.second = (second, combined_time(second));
        }
        let request = Request::of(record.request());
        write!(self.line, "{} - - [{}] \"", record.client, self.second.1)?;
        if request.lacks_method {
            self.line.extend(b"GET ");
        }
        escape(request.line, &mut self.line);
        write!(self.line, "\" {} {}", record.answered.status, record.answered.body_len)?;
        for field in [request.field("referer"), request.field("user-agent")] {
            self.line.extend(b" \"");
            escape(field.unwrap_or(b"-"), &mut self.line);
            self.line.push(b'"');
        }
        Ok(())
    }

    fn json(&mut self, record: &Record) -> io::Result<()> {
        let request = Request::of(record.request());
        let text = String::from_utf8_lossy(request.line);
        let mut words = text.splitn(3, ' ');
        let method = if request.lacks_method { "GET" } else { words.next().unwrap_or_default() };
        let [target, protocol] = [(); 2].map(|()| words.next().unwrap_or_default());
        let [host, referer, user_agent] =
            ["host", "referer", "user-agent"].map(|name| request.field(name).map(String::from_utf8_lossy));
        let object = Object {
            time: humantime::format_rfc3339_micros(UNIX_EPOCH + since_epoch(record.at)).to_string(),
            client: record.client,
            port: record.port,
            method,
            target,
            protocol,
            host: host.as_deref(),
            status: record.answered.status,
            bytes: record.answered.body_len,
            referer: referer.as_deref(),
            user_agent: user_agent.as_deref(),
        };
        Ok(serde_json::to_writer(&mut self.line, &object)?)
    }
}

fn since_epoch(at: Instant) -> Duration {
    Duration::from_nanos(at.as_unix_nanos())
}

/// A request, as far as a log tells of it.
struct Request<'a> {
    /// Its first line, without its end.
    line: &'a [u8],
    /// Whether it begins with its target: so a `GET` comes again when its method was acknowledged.
    lacks_method: bool,
    /// Taken apart, where it is a request.
    parsed: Option<RequestLine<'a>>,
}

impl<'a> Request<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let parsed = RequestLine::parse_for(METHODS, bytes).ok();
        let bytes = bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n")).unwrap_or(bytes);
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let lacks_method = parsed.is_none() && line.first() == Some(&b'/');
        Self { line, lacks_method, parsed }
    }

    /// The value of a header field, if it was sent once at least.
    fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.parsed.as_ref()?.headers.values(name).next()
    }
}

/// Appends bytes of a client: what could end a field or a line, or is no ASCII, as `\xHH`.
fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | 0..b' ' | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(byte),
        }
    }
}

/// A second since 1970 in the parts of a date: day, the name of the month, year, and the time of day.
fn parts(second: u64) -> [String; 4] {
    // Sun, 29 Nov 2026 23:44:42 GMT
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
    let mut words = text.split(' ').skip(1).map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// As Combined has it, in UTC.
fn combined_time(second: u64) -> String {
    let [day, month, year, time] = parts(second);
    format!("{day}/{month}/{year}:{time} +0000")
}

/// As syslog has it (RFC 3164, section 4.1.2), in UTC.
pub(super) fn syslog_time(second: u64) -> String {
    let [day, month, _, time] = parts(second);
    let day = day.trim_start_matches('0');
    format!("{month} {day:>2} {time}")
}

#[cfg(test)]
mod tests {
    use lethe::verdict::Answered;

    use super::*;

    fn line(format: Format, request: &[u8]) -> String {
        let at = Instant::from_unix_nanos(1_796_082_282_123_456_789);
        let answered = Answered { status: 200, body_len: 42 };
        let record = Record::of(at, "192.0.2.7".parse().unwrap(), answered, request);
        String::from_utf8(Lines::new(format).line(&record).to_vec()).unwrap()
    }

    const FULL: &[u8] = b"GET /a?b=%20 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/\"8\"\r\n\
                          Referer: http://r/\r\n\r\n";

    #[test]
    fn a_line_is_as_other_servers_write_it() {
        assert_eq!(
            line(Format::Combined, FULL),
            "192.0.2.7 - - [30/Nov/2026:23:44:42 +0000] \"GET /a?b=%20 HTTP/1.1\" 200 42 \"http://r/\" \
             \"curl/\\x228\\x22\"\n"
        );
    }

    #[test]
    fn what_a_client_sends_ends_neither_a_field_nor_a_line() {
        let hostile = line(Format::Combined, b"GET /\"\\\x00\xff\x7f HTTP/1.1\rX\r\nUser-Agent: a\tb\r\n\r\n");
        assert_eq!(hostile.matches('\n').count(), 1);
        assert!(hostile.contains(r#""GET /\x22\x5C\x00\xFF\x7F HTTP/1.1\x0DX" 200 42 "-" "#), "{hostile}");
        let json = line(Format::Json, b"GET /\"\\\x00\xff HTTP/1.1\r\nHost: \"\\\r\n\r\n");
        assert_eq!(json.matches('\n').count(), 1);
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn json_says_what_there_is() {
        let value: serde_json::Value = serde_json::from_str(&line(Format::Json, FULL)).unwrap();
        let expect = serde_json::json!({
            "time": "2026-11-30T23:44:42.123456Z", "client": "192.0.2.7", "port": 50000, "method": "GET",
            "target": "/a?b=%20", "protocol": "HTTP/1.1", "host": "example.org", "status": 200, "bytes": 42,
            "referer": "http://r/", "user_agent": "curl/\"8\""
        });
        assert_eq!(value, expect);
        let bare: serde_json::Value = serde_json::from_str(&line(Format::Json, b"HEAD / HTTP/1.0\r\n\r\n")).unwrap();
        assert_eq!((&bare["method"], bare.get("host")), (&"HEAD".into(), None));
    }

    #[test]
    fn a_request_without_its_method_is_a_get() {
        let text = b"/page HTTP/1.1\r\nHost: h\r\n\r\n";
        assert!(line(Format::Combined, text).contains("\"GET /page HTTP/1.1\" 200"));
        let value: serde_json::Value = serde_json::from_str(&line(Format::Json, text)).unwrap();
        assert_eq!((&value["method"], &value["target"]), (&"GET".into(), &"/page".into()));
    }

    #[test]
    fn what_is_no_request_is_shown_as_it_came() {
        assert!(line(Format::Combined, b"\x16\x03\x01\x02").contains(r#""\x16\x03\x01\x02" 200"#));
        assert!(line(Format::Combined, b"").contains("\"\" 200"));
    }

    #[test]
    fn a_day_of_one_digit_stands_to_the_right_in_syslog() {
        assert_eq!(syslog_time(951_782_400), "Feb 29 00:00:00");
        assert_eq!(syslog_time(951_868_800 + 3_661), "Mar  1 01:01:01");
        assert_eq!(combined_time(951_868_800), "01/Mar/2000:00:00:00 +0000");
    }
}
