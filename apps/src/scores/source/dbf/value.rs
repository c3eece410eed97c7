//! One value of a record, as people write it.
//!
//! The values are read as they stand there: a score of `118.50`, or of `0118`, is shown as the board wrote it.

use std::fmt::Write as _;

use super::super::text::{DecodeError, Decoder};
use super::header::Kind;

/// The digits of a number that a double keeps; what is behind them is made up.
const DIGITS: usize = 15;

/// What a double has to be below to keep all of its digits.
const WHOLE: f64 = 1e15;

/// Points have fewer digits, and the numbers of candidates have more.
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

/// Puts a value behind `text`. What is blank is empty, whatever it would be as a number.
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
            // Programs cut what is too long for a field wherever it ends.
            full if full.len() == bytes.len() => decoder.decode_cut(full.trim_ascii(), text)?,
            shorter => decoder.decode(shorter.trim_ascii(), text)?,
        },
        Kind::Number => {
            // Nothing, or a number that was too wide for its field, is ahead of what is one.
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

/// Text is filled up with blanks, or ends at a NUL; what is behind that was there before.
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The bytes of a value whose length the header was checked for.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("the header says so of each field of this type")
}

/// A number with as many decimals as its field has; with none, as many as it has itself.
fn double(value: f64, decimals: u8) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    if value.abs() >= WHOLE {
        // One digit, a point, the others, and the exponent.
        let text = format!("{value:.*e}", DIGITS - 1);
        let (digits, exponent) = text.split_once('e')?;
        let zeros = exponent.parse::<usize>().ok()? + 1 - DIGITS;
        return Some(digits.replace('.', "") + &"0".repeat(zeros));
    }
    let decimals = decimals.min(DIGITS as u8);
    // Adding makes a zero of a negative one.
    if decimals == 0 {
        return Some((value + 0.0).to_string());
    }
    // Halves go up, as in FoxPro; in Rust they go to the even digit.
    let scale = 10_f64.powi(i32::from(decimals));
    let rounded = (value * scale).round() / scale + 0.0;
    let decimals = usize::from(decimals);
    Some(format!("{rounded:.decimals$}"))
}

/// A number with an exponent, as C writes it, without one. `None` where there is none, or where it stands for digits
/// that are not there: an identity number of `9.90101E+17` is that of many people. Points of `1.0E+002` are 100: a zero
/// at the end of the digits says that there are no more.
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

/// Day and time. A day 0 is none, whatever the time: programs leave something there.
fn moment(bytes: [u8; 8]) -> Option<String> {
    let [day, milliseconds] = bytes.as_chunks().0 else { return None };
    let [day, milliseconds] = [day, milliseconds].map(|half| u32::from_le_bytes(*half));
    if day == 0 {
        return Some(String::new());
    }
    // FoxPro writes some seconds a millisecond short.
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
