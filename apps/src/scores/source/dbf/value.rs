//! Converts a value of a record to text.
//!
//! Numbers that the table has as text are not reformatted: `118.50` and `0118` are shown as the board wrote them.

use std::fmt::Write as _;

use super::super::text::{DecodeError, Decoder};
use super::header::Kind;

/// The significant digits of a double.
const DIGITS: usize = 15;

/// Below this a double is an exact integer.
const WHOLE: f64 = 1e15;

/// The most digits of points. Numbers of candidates have more.
const POINTS: usize = 6;

const DAY: u32 = 86_400;

/// Why a value cannot be shown.
pub(super) enum ValueError {
    Text(DecodeError),
    Number,
    Date,
}

impl From<DecodeError> for ValueError {
    fn from(error: DecodeError) -> Self {
        Self::Text(error)
    }
}

/// Appends a value to `text`. A blank value is empty, also in a numeric field.
pub(super) fn push(
    kind: Kind,
    decimals: u8,
    bytes: &[u8],
    decoder: Decoder,
    text: &mut String,
) -> Result<(), ValueError> {
    if bytes.iter().all(|&byte| byte == b' ') {
        return Ok(());
    }
    match kind {
        Kind::Text | Kind::Varchar => match until_nul(bytes).trim_ascii_end() {
            // Programs cut text that is too long for its field at any byte.
            full if full.len() == bytes.len() => decoder.decode_cut(full.trim_ascii(), text)?,
            shorter => decoder.decode(shorter.trim_ascii(), text)?,
        },
        Kind::Number => {
            // Skips leading blanks and NULs. Asterisks stand for a number that is too wide for its field.
            let start = bytes.iter().position(|&byte| byte != 0 && byte != b' ').unwrap_or(bytes.len());
            match until_nul(&bytes[start..]).trim_ascii() {
                [b'*', ..] => {}
                number => match written_out(number, decimals) {
                    Some(number) => text.push_str(&number),
                    None => decoder.decode(number, text)?,
                },
            }
        }
        Kind::Logical => match until_nul(bytes).trim_ascii() {
            [b'?'] => {}
            [b'T' | b't' | b'Y' | b'y'] => text.push('T'),
            [b'F' | b'f' | b'N' | b'n'] => text.push('F'),
            other => decoder.decode(other, text)?,
        },
        Kind::Date => match until_nul(bytes).trim_ascii() {
            date if date.iter().all(|byte| b"0 /-.".contains(byte)) => {}
            date if date.len() == 8 && date.iter().all(u8::is_ascii_digit) => {
                let (year, day) = date.split_at(4);
                let (month, day) = day.split_at(2);
                decoder.decode(&[year, month, day].join(&b'-'), text)?;
            }
            other => decoder.decode(other, text)?,
        },
        Kind::Integer => text.push_str(&i32::from_le_bytes(fixed(bytes)).to_string()),
        Kind::Double => text.push_str(&double(f64::from_le_bytes(fixed(bytes)), decimals).ok_or(ValueError::Number)?),
        Kind::Currency => {
            let value = i64::from_le_bytes(fixed(bytes));
            let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
            let (whole, fraction) = (value / 10_000, value % 10_000);
            write!(text, "{sign}{whole}.{fraction:04}").expect("a string takes everything");
        }
        Kind::Moment => text.push_str(&moment(fixed(bytes)).ok_or(ValueError::Date)?),
        Kind::Unshown(_) | Kind::Varbinary => {}
    }
    Ok(())
}

/// Text is padded with blanks, or ends at a NUL, behind which there may be old text.
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The bytes of a value of fixed length, which was checked with the header.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("the header says so of each field of this type")
}

/// Formats a double with the decimals of its field, or without any with as many as it needs.
fn double(value: f64, decimals: u8) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    if value.abs() >= WHOLE {
        // One digit, a point, the other digits, and the exponent.
        let text = format!("{value:.*e}", DIGITS - 1);
        let (digits, exponent) = text.split_once('e')?;
        let zeros = exponent.parse::<usize>().ok()? + 1 - DIGITS;
        return Some(digits.replace('.', "") + &"0".repeat(zeros));
    }
    let decimals = decimals.min(DIGITS as u8);
    // Adding 0 turns a negative zero into a positive one.
    if decimals == 0 {
        return Some((value + 0.0).to_string());
    }
    // Rounds halves away from zero, as FoxPro does; Rust's formatting rounds them to even.
    let scale = 10_f64.powi(i32::from(decimals));
    let rounded = (value * scale).round() / scale + 0.0;
    let decimals = usize::from(decimals);
    Some(format!("{rounded:.decimals$}"))
}

/// Expands a number with an exponent, as C writes it. `None` without an exponent, or where digits were lost: an
/// identity number of `9.90101E+17` fits many people. Points of `1.0E+002` are 100, since a zero at the end of the
/// digits shows that none were lost.
fn written_out(number: &[u8], decimals: u8) -> Option<String> {
    let number = str::from_utf8(number).ok()?;
    let (mantissa, exponent) = number.split_once(['e', 'E'])?;
    let exponent: usize = match exponent.parse::<i32>().ok()? {
        exponent @ 0.. => exponent.unsigned_abs() as usize,
        _ => 0,
    };
    let digits = mantissa.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let is_whole = fraction.len() >= exponent || fraction.ends_with('0') && exponent < POINTS;
    if !is_number || whole.is_empty() || !is_whole {
        return None;
    }
    double(number.parse().ok()?, decimals)
}

/// Formats a date and time. Day 0 is empty, whatever the time, which programs do not clear.
fn moment(bytes: [u8; 8]) -> Option<String> {
    let [day, milliseconds] = bytes.as_chunks().0 else { return None };
    let [day, milliseconds] = [day, milliseconds].map(|half| u32::from_le_bytes(*half));
    if day == 0 {
        return Some(String::new());
    }
    // FoxPro stores some seconds a millisecond short.
    let seconds = milliseconds.saturating_add(500) / 1000;
    let (later, seconds) = (seconds / DAY, seconds % DAY);
    if later > 1 || later == 1 && seconds > 0 {
        return None;
    }
    let (year, month, day) = of_julian_day(day.saturating_add(later))?;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}");
    Some(if second == 0 { text } else { format!("{text}:{second:02}") })
}

/// Year, month and day of a Julian day number from 1900 to 9999 (E. G. Richards, in the Explanatory Supplement to
/// the Astronomical Almanac, section 15.11).
fn of_julian_day(number: u32) -> Option<(u32, u32, u32)> {
    let number = u64::from(number);
    if !(2_415_021..=5_373_484).contains(&number) {
        return None;
    }
    let f = number + 1401 + (4 * number + 274_277) / 146_097 * 3 / 4 - 38;
    let e = 4 * f + 3;
    let h = 5 * (e % 1461 / 4) + 2;
    let (day, month) = (h % 153 / 5 + 1, (h / 153 + 2) % 12 + 1);
    let year = e / 1461 + (12 + 2 - month) / 12 - 4716;
    Some((year as u32, month as u32, day as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_by_the_calendar() {
        let is_leap = |year: u32| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let (mut year, mut month, mut day) = (1900, 1, 1);
        for number in 2_415_021..=5_373_484 {
            assert_eq!(of_julian_day(number), Some((year, month, day)), "{number}");
            let days = match month {
                2 => 28 + u32::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > days {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
        assert_eq!([2_415_020, 5_373_485, 0, u32::MAX].map(of_julian_day), [None; 4]);
    }
}
