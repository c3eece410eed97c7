//! From the text of a script to its statements.

use std::net::SocketAddr;
use std::time::Duration;

use lethe::wire::tcp::Flags;

use super::{Action, Described, Options, Payload, STATEMENTS_MAX, Script, Statement};
use crate::frame::Ends;

/// How long an `expect` waits when it does not say.
const PATIENCE: Duration = Duration::from_secs(1);

/// A script that cannot be read: where, and what was expected there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

pub(super) fn parse(text: &str) -> Result<Script, ScriptError> {
    let mut script = Script { ends: Ends::v4(), isn: 1000, statements: Vec::new() };
    for (at, line) in text.lines().enumerate() {
        let mut cursor = Cursor { line, at: 0 };
        parse_line(&mut cursor, at + 1, &mut script).map_err(|(place, problem)| ScriptError {
            line: at + 1,
            column: line[..place].chars().count() + 1,
            problem,
        })?;
    }
    Ok(script)
}

/// What is wrong, and at which byte of the line.
type Problem = (usize, String);

fn parse_line(cursor: &mut Cursor<'_>, line: usize, script: &mut Script) -> Result<(), Problem> {
    let start = cursor.skip_space();
    let word = cursor.word();
    let action = match word {
        "" => return cursor.end(),
        "client" => {
            script.ends.client = cursor.parsed("an address and port")?;
            return cursor.end();
        }
        "server" => {
            let server: SocketAddr = cursor.parsed("an address and port")?;
            script.ends.server = server;
            return cursor.end();
        }
        "isn" => {
            script.isn = cursor.parsed("a number")?;
            return cursor.end();
        }
        "vlan" => {
            script.ends.vlan = Some(cursor.parsed("a number")?);
            return cursor.end();
        }
        "wait" => Action::Wait(cursor.time()?),
        "send" => Action::Send(parse_segment(cursor)?),
        "expect" if cursor.accept("nothing") => {
            cursor.require("for")?;
            Action::ExpectNothing(cursor.time()?)
        }
        "expect" => {
            let described = parse_segment(cursor)?;
            let time = if cursor.accept("within") { cursor.time()? } else { PATIENCE };
            Action::Expect(described, time)
        }
        other => return Err((start, format!("there is no statement `{other}`"))),
    };
    cursor.end()?;
    if script.statements.len() == STATEMENTS_MAX {
        return Err((start, format!("a script has at most {STATEMENTS_MAX} statements")));
    }
    if script.ends.client.is_ipv4() != script.ends.server.is_ipv4() {
        return Err((start, "client and server have addresses of different families".to_owned()));
    }
    script.statements.push(Statement { line, action });
    Ok(())
}

fn parse_segment(cursor: &mut Cursor<'_>) -> Result<Described, Problem> {
    const FLAGS: [(&str, Flags); 6] = [
        ("SYN", Flags::SYN),
        ("ACK", Flags::ACK),
        ("PSH", Flags::PSH),
        ("FIN", Flags::FIN),
        ("RST", Flags::RST),
        ("URG", Flags::new(0x20)),
    ];
    let mut described = Described::default();
    while let Some((_, flag)) = FLAGS.iter().find(|(name, _)| cursor.accept(name)) {
        described.flags = described.flags.with(*flag);
    }
    if described.flags == Flags::default() {
        return Err((cursor.skip_space(), "at least one of SYN ACK PSH FIN RST URG".to_owned()));
    }
    if cursor.accept("seq") {
        described.seq = Some(cursor.parsed("a number")?);
    }
    if cursor.accept("ack") {
        described.ack = Some(cursor.parsed("a number")?);
    }
    if cursor.accept("win") {
        described.window = Some(cursor.parsed("a number up to 65535")?);
    }
    if cursor.accept("<") {
        described.options = Some(parse_options(cursor)?);
    }
    described.payload = parse_payload(cursor)?;
    Ok(described)
}

fn parse_options(cursor: &mut Cursor<'_>) -> Result<Options, Problem> {
    let mut options = Options::default();
    if cursor.accept(">") {
        return Ok(options);
    }
    loop {
        let start = cursor.skip_space();
        match cursor.word() {
            "mss" => options.mss = Some(cursor.parsed("a number up to 65535")?),
            "sack-ok" => options.sack_permitted = true,
            "ts" => options.timestamps = Some((cursor.parsed("a number")?, cursor.parsed("a number")?)),
            "wscale" => options.window_scale = Some(cursor.parsed("a number up to 255")?),
            other => return Err((start, format!("there is no option `{other}`"))),
        }
        if cursor.accept(">") {
            return Ok(options);
        }
        cursor.require(",")?;
    }
}

fn parse_payload(cursor: &mut Cursor<'_>) -> Result<Option<Payload>, Problem> {
    if let Some(text) = cursor.text()? {
        let begins = cursor.accept("...");
        return Ok(Some(if begins { Payload::Begins(text) } else { Payload::Is(text) }));
    }
    cursor.skip_space();
    if cursor.rest().starts_with(|first: char| first.is_ascii_digit()) {
        let length = cursor.parsed("a number")?;
        cursor.require("bytes")?;
        return Ok(Some(Payload::Length(length)));
    }
    Ok(None)
}

/// A place in a line.
struct Cursor<'t> {
    line: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    /// Goes to the next thing that is not space, and tells where that is.
    fn skip_space(&mut self) -> usize {
        self.at += self.rest().len() - self.rest().trim_start().len();
        self.at
    }

    /// The next word: up to a space or one of `< > , " #`.
    fn word(&mut self) -> &'t str {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "<>,\"#".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Takes this word or sign if it is next.
    fn accept(&mut self, wanted: &str) -> bool {
        self.skip_space();
        let Some(behind) = self.rest().strip_prefix(wanted) else { return false };
        let is_word = wanted.ends_with(|c: char| c.is_ascii_alphanumeric());
        if is_word && behind.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return false;
        }
        self.at += wanted.len();
        true
    }

    fn require(&mut self, wanted: &str) -> Result<(), Problem> {
        if self.accept(wanted) { Ok(()) } else { Err((self.at, format!("`{wanted}` was expected"))) }
    }

    fn parsed<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Problem> {
        let start = self.skip_space();
        self.word().parse().map_err(|_| (start, format!("{what} was expected")))
    }

    fn time(&mut self) -> Result<Duration, Problem> {
        let start = self.skip_space();
        let problem = |_| (start, "a time was expected, such as 200ms".to_owned());
        humantime::parse_duration(self.word()).map_err(problem)
    }

    /// A text in quotation marks, if one is next.
    fn text(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let start = self.skip_space();
        if !self.accept("\"") {
            return Ok(None);
        }
        let mut text = Vec::new();
        loop {
            let mut characters = self.rest().chars();
            let place = self.at;
            let first = characters.next().ok_or((start, "the text has no end".to_owned()))?;
            self.at += first.len_utf8();
            match first {
                '"' => return Ok(Some(text)),
                '\\' => text.push(self.escape(place)?),
                other => text.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, start: usize) -> Result<u8, Problem> {
        let byte = match self.rest().as_bytes() {
            [b'r', ..] => b'\r',
            [b'n', ..] => b'\n',
            [b't', ..] => b'\t',
            [sign @ (b'"' | b'\\'), ..] => *sign,
            [b'x', high, low, ..] => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16).map(|digit| digit as u8);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                    return Err((start, "two hexadecimal digits were expected behind \\x".to_owned()));
                };
                self.at += 3;
                return Ok(high << 4 | low);
            }
            _ => return Err((start, "there is no such escape: \\r \\n \\t \\\" \\\\ \\xHH".to_owned())),
        };
        self.at += 1;
        Ok(byte)
    }

    /// Nothing may follow but a remark.
    fn end(&mut self) -> Result<(), Problem> {
        self.skip_space();
        match self.rest() {
            "" => Ok(()),
            rest if rest.starts_with('#') => Ok(()),
            _ => Err((self.at, "nothing more was expected on this line".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_read_as_it_is_written() {
        let script: Script =
            "send ACK PSH seq 1 ack 2 win 3 <mss 4, sack-ok, ts 5 6, wscale 7> \"a\\x0d\\\"b\" # so".parse().unwrap();
        let options = Options { mss: Some(4), sack_permitted: true, timestamps: Some((5, 6)), window_scale: Some(7) };
        let described = Described {
            flags: Flags::ACK.with(Flags::PSH),
            seq: Some(1),
            ack: Some(2),
            window: Some(3),
            options: Some(options),
            payload: Some(Payload::Is(b"a\r\"b".to_vec())),
        };
        assert_eq!(script.statements, [Statement { line: 1, action: Action::Send(described) }]);
    }

    #[test]
    fn an_error_names_line_and_column() {
        let error = |text: &str| text.parse::<Script>().unwrap_err().to_string();
        assert_eq!(error("wait 1s\n  jump"), "line 2, column 3: there is no statement `jump`");
        assert_eq!(error("send seq 1"), "line 1, column 6: at least one of SYN ACK PSH FIN RST URG");
        assert_eq!(error("send ACK seq x"), "line 1, column 14: a number was expected");
        assert_eq!(error("send ACK win 70000"), "line 1, column 14: a number up to 65535 was expected");
        assert_eq!(error("send SYN <mss 1, wsale 2>"), "line 1, column 18: there is no option `wsale`");
        assert_eq!(error("send SYN <mss 1 ts 2 3>"), "line 1, column 17: `,` was expected");
        assert_eq!(
            error("send ACK \"é\\q\""),
            "line 1, column 12: there is no such escape: \\r \\n \\t \\\" \\\\ \\xHH"
        );
        assert_eq!(error("send ACK \"abc"), "line 1, column 10: the text has no end");
        assert_eq!(error("expect ACK within soon"), "line 1, column 19: a time was expected, such as 200ms");
        assert_eq!(error("expect nothing 1s"), "line 1, column 16: `for` was expected");
        assert_eq!(error("wait 1s 2s"), "line 1, column 9: nothing more was expected on this line");
        assert_eq!(error("client 10.9.0.1"), "line 1, column 8: an address and port was expected");
        assert_eq!(
            error("client [fd09::1]:1\nwait 1s"),
            "line 2, column 1: client and server have addresses of different families"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(send|expect|wait|\\\\|\"|<|>|,|[ -~]|é|\n| ){0,60}") {
            let _ = text.parse::<Script>();
        }
    }
}
