//! The key of the cookies: drawn at start, or read from a file.
//!
//! It is never printed, and no message quotes the file that it stands in.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use lethe::cookie::Secret;

use crate::warn;

/// Bytes read of a secret file: more than anyone writes around one line of 32 digits, and an end to
/// what has none, such as `/dev/zero`.
const FILE_MAX: u64 = 4096;

/// Permission bits of the group and of others.
const NOT_OWNER: u32 = 0o077;

/// 128 bits from the kernel's generator.
pub(crate) fn random() -> anyhow::Result<Secret> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the kernel gives no random numbers")?;
    Ok(Secret::new(bytes))
}

/// The secret in `file`; warns when others may read it.
pub(crate) fn read(file: &Path) -> anyhow::Result<Secret> {
    try_read(file).with_context(|| format!("secret file {}", file.display()))
}

fn try_read(path: &Path) -> anyhow::Result<Secret> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut text)?;
    let bytes = parse(&text).context("its first line that is not empty must be 32 hexadecimal digits")?;
    if mode & NOT_OWNER != 0 {
        let path = path.display();
        warn(format_args!("{path} is not yours alone: whoever reads it can forge cookies; chmod 600 {path}"));
    }
    Ok(Secret::new(bytes))
}

/// The secret in the first line that is not empty.
fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let line = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty())?;
    let line = str::from_utf8(line).ok().filter(|line| line.len() == 32)?;
    // The sign that `from_str_radix` would take is no digit.
    let digits = line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(line, 16).ok().filter(|_| digits)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_is_not_empty_is_the_secret() {
        let secret = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        for text in [
            "00112233445566778899aabbccddeeff",
            "00112233445566778899AABBCCDDEEFF\n",
            "\n  \r\n\t00112233445566778899aabbccddeeff \r\nand a note\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(secret), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "\n\n",
            "00112233445566778899aabbccddeef",
            "00112233445566778899aabbccddeeff0",
            "+0112233445566778899aabbccddeeff",
            "0x112233445566778899aabbccddeeff",
            "0011 2233445566778899aabbccddeeff",
            "00112233445566778899aabbccddeefg",
            "a note\n00112233445566778899aabbccddeeff",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(&[0xff; 32]), None);
    }

    #[test]
    fn a_file_without_end_is_read_to_a_limit() {
        let error = read(Path::new("/dev/zero")).map(drop).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "secret file /dev/zero: its first line that is not empty must be 32 hexadecimal digits"
        );
    }
}
