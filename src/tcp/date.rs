//! `Date` (RFC 9110, section 6.6.1), of responses of one packet.
//!
//! When a response was made is in no packet that draws it. So a response of several packets cannot say it: its parts
//! would be of different times, and a client could read a mixture. One of a single packet arrives as a whole or not at
//! all. Asked for again, it may have another time, but not another length: to a client that has it, it is a duplicate.
//! For that, whether it has a `Date` may depend on nothing but its own length and the cookie.

use super::layout::HEAD_END;
use crate::http::Response;
use crate::time::Instant;
use crate::wire::put;

/// Room for a head with a `Date`. A longer one has none.
pub(crate) const ROOM: usize = 1024;

/// Bytes of the line.
const LINE_LEN: usize = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n".len();

const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];

/// From March on: a year that begins there ends with the day that not every year has.
const MONTHS: [&[u8; 3]; 12] =
    [b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec", b"Jan", b"Feb"];

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;
const DAYS_PER_400_YEARS: u64 = 146_097;
const DAYS_PER_100_YEARS: u64 = 36_524;
const DAYS_PER_4_YEARS: u64 = 1461;

/// Gives a response the time at which it is made, its head in `room`, unless that would not fit a packet
/// with `one_packet` bytes of responses.
#[cold]
#[inline(never)]
pub(super) fn add<'a>(response: &mut Response<'a>, now: Instant, one_packet: usize, room: &'a mut [u8]) {
    let fits = response.len() + LINE_LEN <= one_packet;
    let head = response.head().strip_suffix(HEAD_END).filter(|_| fits).and_then(|head| write(head, now, room));
    if let Some(head) = head {
        *response = Response::prepared(head, response.body());
    }
}

/// Writes a head whose end is missing, `Date`, and the end.
fn write<'a>(head: &[u8], now: Instant, room: &'a mut [u8]) -> Option<&'a [u8]> {
    let seconds = now.as_unix_seconds();
    let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let weekday = WEEKDAYS.get((days % 7) as usize)?;
    let (year, month, day) = civil(days);
    let [century, year] = [year / 100, year % 100].map(two_digits);
    let [day, hour, minute, second] = [day, second / 3600, second / 60 % 60, second % 60].map(two_digits);
    let pieces: [&[u8]; 17] = [
        head,
        b"Date: ",
        *weekday,
        b", ",
        &day,
        b" ",
        month,
        b" ",
        &century,
        &year,
        b" ",
        &hour,
        b":",
        &minute,
        b":",
        &second,
        b" GMT\r\n",
    ];
    let len = head.len() + LINE_LEN + HEAD_END.len();
    let rest = pieces.into_iter().try_fold(room.get_mut(..len)?, put)?;
    put(rest, HEAD_END)?;
    room.get(..len)
}

/// Year, month and day of the month, of a day counted from 1970-01-01, before the year 10,000.
fn civil(days: u64) -> (u64, &'static [u8], u64) {
    let days = days + DAYS_BEFORE_1970;
    let (cycle, day) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    // Days of leap years are taken out, so that each year has 365.
    let leap_days = day / (DAYS_PER_4_YEARS - 1) + day / (DAYS_PER_400_YEARS - 1);
    let year = (day + day / DAYS_PER_100_YEARS - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days, as have the next five.
    let month = (5 * day + 2) / 153;
    let is_next_year = month >= 10;
    let name = MONTHS.get(month as usize).copied().unwrap_or(&[0; 3]);
    (400 * cycle + year + u64::from(is_next_year), name, day - (153 * month + 2) / 5 + 1)
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::String;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";

    fn dated(seconds: u64, one_packet: usize, room: usize) -> String {
        let mut room = [0; ROOM][..room].to_vec();
        let mut response = Response::prepared(HEAD, b"body").with_sum(7);
        add(&mut response, Instant::from_unix_seconds(seconds), one_packet, &mut room);
        assert_eq!(response.known_sum().is_some(), response.head() == HEAD, "it is not the sum of other bytes");
        String::from_utf8([response.head(), response.body()].concat()).unwrap()
    }

    /// Until the year 2554, where the engine's clock ends.
    #[quickcheck_macros::quickcheck]
    fn a_date_is_that_of_the_moment(seconds: u64) {
        for seconds in [seconds % 18_446_744_073, seconds % 86_400 * 213_503, seconds % 2] {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            let expected =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nDate: {date}\r\nConnection: close\r\n\r\nbody");
            assert_eq!(dated(seconds, 1000, ROOM), expected);
        }
    }

    #[test]
    fn each_day_of_four_hundred_years_has_its_date() {
        for day in 0..DAYS_PER_400_YEARS {
            let seconds = day * SECONDS_PER_DAY + day % SECONDS_PER_DAY;
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            assert!(dated(seconds, 1000, ROOM).contains(&date), "{date}");
        }
    }

    #[test]
    fn what_would_not_fit_a_packet_with_a_date_has_none() {
        let len = HEAD.len() + 4 + LINE_LEN;
        assert_eq!(dated(0, len, ROOM).len(), len);
        assert_eq!(dated(0, len - 1, ROOM).len(), HEAD.len() + 4);
    }

    #[test]
    fn a_head_that_does_not_fit_the_room_has_no_date() {
        let len = HEAD.len() + LINE_LEN;
        assert_eq!(dated(0, 1000, len).len(), len + 4);
        assert_eq!(dated(0, 1000, len - 1).len(), HEAD.len() + 4);
    }
}
