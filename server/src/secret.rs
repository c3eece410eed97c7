//! The keys of the cookies: one drawn at start, or those of a file.
//!
//! They are never printed, and no message quotes the file that they stand in.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use lethe::config::Config;
use lethe::cookie::Secret;

use crate::message::warn;

/// Bytes read of a secret file: more than anyone writes around three lines of 32 digits, and an end to
/// what has none, such as `/dev/zero`.
const FILE_MAX: u64 = 4096;

/// Permission bits of the group and of others.
const NOT_OWNER: u32 = 0o077;

/// What new cookies are keyed with, and what they were keyed with before.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    pub(crate) current: Secret,
    pub(crate) former: [Option<Secret>; Config::FORMER_MAX],
}

impl From<Secret> for Secrets {
    fn from(current: Secret) -> Self {
        Self { current, former: [None; Config::FORMER_MAX] }
    }
}

impl Secrets {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        1 + self.former.iter().flatten().count()
    }
}

/// 128 bits from the kernel's generator.
pub(crate) fn random() -> anyhow::Result<Secret> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the kernel gives no random numbers")?;
    Ok(Secret::new(bytes))
}

/// The secrets in `file`; warns when others may read it.
pub(crate) fn read(file: &Path) -> anyhow::Result<Secrets> {
    try_read(file).with_context(|| format!("secret file {}", file.display()))
}

fn try_read(path: &Path) -> anyhow::Result<Secrets> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= FILE_MAX, "it is longer than {FILE_MAX} bytes: there is more in it than secrets");
    let secrets = parse(&text)?;
    if mode & NOT_OWNER != 0 {
        let path = path.display();
        warn(format_args!("{path} can be read by other users, who could forge cookies with it; chmod 600 {path}"));
    }
    let mut secrets = secrets.into_iter().map(Secret::new);
    let current = secrets.next().context(
        "there is no secret in it; make one with: umask 077; od -An -tx1 -N16 /dev/urandom | tr -d ' ' >FILE",
    )?;
    Ok(Secrets { current, former: std::array::from_fn(|_| secrets.next()) })
}

/// The secrets, one a line, the current one first. Empty lines and what follows a `#` are left out.
fn parse(text: &[u8]) -> anyhow::Result<Vec<[u8; 16]>> {
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            continue;
        }
        let Some(secret) = parse_line(line) else {
            bail!("line {number} must be 32 hexadecimal digits; a comment begins with #");
        };
        // What fits two secrets is not answered.
        ensure!(!secrets.contains(&secret), "line {number} is a secret that is there already: remove it");
        let most = 1 + Config::FORMER_MAX;
        ensure!(secrets.len() < most, "line {number} is one too many: {most} secrets at most; remove the oldest");
        secrets.push(secret);
    }
    Ok(secrets)
}

fn parse_line(line: &[u8]) -> Option<[u8; 16]> {
    let line = str::from_utf8(line).ok().filter(|line| line.len() == 32)?;
    // The sign that `from_str_radix` would take is no digit.
    let digits = line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(line, 16).ok().filter(|_| digits)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "00112233445566778899aabbccddeeff";
    const SECRET: [u8; 16] =
        [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

    #[test]
    fn a_line_of_32_digits_is_a_secret() {
        for text in [
            ONE,
            "00112233445566778899AABBCCDDEEFF\n",
            "# of May\n\n  \r\n\t00112233445566778899aabbccddeeff  # and a note\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), [SECRET], "{text:?}");
        }
    }

    #[test]
    fn the_first_is_current_and_up_to_two_are_accepted_besides() {
        let lines: Vec<String> = (1..=3).map(|digit| format!("{digit:032}\n")).collect();
        let parsed = parse(lines.concat().as_bytes()).unwrap();
        assert_eq!(parsed.iter().map(|secret| secret[15]).collect::<Vec<_>>(), [1, 2, 3]);
    }

    /// What is said of a file with this in it.
    #[track_caller]
    fn check(text: &str, expect: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let error = format!("{:#}", read(file.path()).unwrap_err());
        assert_eq!(error, format!("secret file {}: {expect}", file.path().display()), "{text:?}");
    }

    #[test]
    fn anything_else_is_an_error_that_names_its_line() {
        let none =
            "there is no secret in it; make one with: umask 077; od -An -tx1 -N16 /dev/urandom | tr -d ' ' >FILE";
        for text in ["", "\n\n", "# 00112233445566778899aabbccddeeff\n"] {
            check(text, none);
        }
        for line in [
            "00112233445566778899aabbccddeef",
            "00112233445566778899aabbccddeeff0",
            "+0112233445566778899aabbccddeeff",
            "0x112233445566778899aabbccddeeff",
            "0011 2233445566778899aabbccddeeff",
            "00112233445566778899aabbccddeefg",
            "a note",
            "\u{e9}0112233445566778899aabbccddeeff",
        ] {
            let expect = "must be 32 hexadecimal digits; a comment begins with #";
            check(line, &format!("line 1 {expect}"));
            check(&format!("# now\n{ONE}\n{line}\n"), &format!("line 3 {expect}"));
        }
        let upper = ONE.to_uppercase();
        check(&format!("{ONE}\n{upper}"), "line 2 is a secret that is there already: remove it");
        let four: Vec<String> = (1..=4).map(|digit| format!("{digit:032}\n")).collect();
        check(&four.concat(), "line 4 is one too many: 3 secrets at most; remove the oldest");
    }

    #[test]
    fn a_file_without_end_is_read_to_a_limit() {
        let error = read(Path::new("/dev/zero")).map(drop).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "secret file /dev/zero: it is longer than 4096 bytes: there is more in it than secrets"
        );
    }
}
