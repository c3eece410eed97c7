//! Bytes known beforehand, for measurements and tests: `GET /N` answers exactly N of them.
//!
//! The pattern is made so that a transport that loses its place is found out:
//!
//! ```text
//!   position i   4w        4w+1      4w+2      4w+3        w = i / 4
//!   byte         0ppppppp  1ppppppp  0ppppppp  1ppppppp    p: the 28 bits of w, scrambled, low bits first
//! ```
//!
//! * Neighbours differ in their top bit, so two of them swapped, or one repeated or left out, shows.
//! * The scrambling is a bijection, so the four bytes at a multiple of four stand nowhere else in the
//!   first GiB: a segment put in a wrong place shows wherever it was taken from.
//!
//! [`expected`] gives the same bytes without a server, so that a receiver can compare.

use std::collections::BTreeSet;

use lethe::app::{App, Position, Request};
use lethe::http::{Response, Status};

/// The most bytes that one answer can have: 16 MiB, which takes Linux some seconds over a lossy link
/// and is far below the 1 GiB at which the pattern would repeat itself.
pub const MAX_SIZE: usize = 16 << 20;

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
const HELP: &str = "This is Lethe, a web server that forgets every connection.\n\
    Ask for /N to be given N bytes of a known pattern, as in /1000.\n";
const NOTHING: &str = "Nothing is here. Ask for /N, a number of bytes, as in /1000.\n";
const TOO_LARGE: &str = "That is more than this server was started to give.\n";

/// The sizes whose responses are stored, and so have positions: every power of two and every one of these
/// digits before a row of zeros. Others are made when they are asked for.
const STORED_DIGITS: [usize; 6] = [1, 14, 2, 3, 5, 7];

/// Below this, a response fits a segment or two.
const STORED_MIN: usize = 1000;

/// The application.
pub struct Sample {
    bytes: Box<[u8]>,
    /// In ascending order of size, and of position.
    stored: Vec<Stored>,
}

/// A stored response.
struct Stored {
    size: usize,
    position: Position,
    head: Box<[u8]>,
}

impl Sample {
    /// Answers up to `max_size` bytes, and never more than [`MAX_SIZE`].
    pub fn new(max_size: usize) -> Self {
        let bytes: Box<[u8]> = expected(max_size.min(MAX_SIZE)).into();
        let mut stored = Vec::new();
        let mut units = 0;
        for size in stored_sizes(bytes.len()) {
            let mut scratch = [0; 512];
            let head: Box<[u8]> = respond(Status::Ok, BYTES, &bytes[..size], &mut scratch).head().into();
            let Some(position) = Position::new(units) else { break };
            // Where a whole block begins, so that clients without timestamps have a clock as well.
            units += Position::units(head.len() + size).next_multiple_of(Position::BLOCK) as u32;
            stored.push(Stored { size, position, head });
        }
        Self { bytes, stored }
    }

    fn stored_response<'a>(&'a self, stored: &'a Stored) -> Response<'a> {
        let body = self.bytes.get(..stored.size).unwrap_or_default();
        Response::prepared(&stored.head, body).stored_at(stored.position)
    }

    /// The most bytes that it answers.
    pub const fn max_size(&self) -> usize {
        self.bytes.len()
    }
}

impl App for Sample {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match Asked::parse(request.path) {
            Asked::Help => respond(Status::Ok, TEXT, HELP.as_bytes(), scratch),
            Asked::Nothing => respond(Status::NotFound, TEXT, NOTHING.as_bytes(), scratch),
            Asked::Bytes(size) => match self.stored.binary_search_by_key(&size, |stored| stored.size) {
                Ok(at) => self.stored_response(&self.stored[at]),
                Err(_) => match self.bytes.get(..size) {
                    Some(body) => respond(Status::Ok, BYTES, body, scratch),
                    None => respond(Status::NotFound, TEXT, TOO_LARGE.as_bytes(), scratch),
                },
            },
        }
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let behind = self.stored.partition_point(|stored| stored.position <= position);
        let stored = self.stored.get(behind.checked_sub(1)?)?;
        Some(self.stored_response(stored))
    }

    fn stores(&self) -> bool {
        true
    }
}

fn respond<'a>(status: Status, content_type: &str, body: &'a [u8], scratch: &'a mut [u8]) -> Response<'a> {
    Response::build(scratch, status).header("Content-Type", content_type).body(body)
}

/// Whether the response of this size is stored.
pub fn is_stored(size: usize) -> bool {
    stored_sizes(size).last() == Some(&size)
}

/// The largest size up to `max` whose response is stored.
#[cfg(feature = "simulator")]
pub(crate) fn stored_up_to(max: usize) -> Option<usize> {
    stored_sizes(max).pop_last()
}

/// The sizes up to `max` whose responses are stored, each once, in ascending order.
fn stored_sizes(max: usize) -> BTreeSet<usize> {
    let decimal = (2..8).flat_map(|zeros| STORED_DIGITS.map(|digits| digits * 10_usize.pow(zeros)));
    let binary = (0..usize::BITS - 1).map(|bit| 1 << bit);
    decimal.chain(binary).filter(|size| (STORED_MIN..=max).contains(size)).collect()
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample").field("max_size", &self.max_size()).finish()
    }
}

/// The first `size` bytes of the pattern: the body of the answer to `GET /size`.
pub fn expected(size: usize) -> Vec<u8> {
    (0..size).map(byte_at).collect()
}

/// The byte at one position of the pattern.
pub const fn byte_at(position: usize) -> u8 {
    /// Odd, so that multiplication modulo a power of two is a bijection; 2^32 divided by the golden
    /// ratio, so that near words get far products.
    const SCRAMBLE: u32 = 0x9e37_79b1;
    let word = ((position / 4) as u32).wrapping_mul(SCRAMBLE);
    let within = position % 4;
    (word >> (7 * within)) as u8 & 0x7f | ((within as u8 & 1) << 7)
}

/// What a path asks for.
enum Asked {
    Help,
    Bytes(usize),
    Nothing,
}

impl Asked {
    /// A size is digits and nothing else: no sign, and not so many that no machine could mean them.
    fn parse(path: &[u8]) -> Self {
        match path {
            b"/" => Self::Help,
            [b'/', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
                let size = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                Self::Bytes(size.unwrap_or(usize::MAX))
            }
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, status: Status, body: &[u8]) {
        let request = Request::get(path.as_bytes());
        let sample = Sample::new(5000);
        let mut scratch = [0; 512];
        let response = sample.respond(&request, &mut scratch);
        let head = str::from_utf8(response.head()).unwrap();
        assert!(head.starts_with(status.line()), "{path}: {head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{path}: {head}");
        assert_eq!(response.body(), body, "{path}");
    }

    #[test]
    fn a_number_is_answered_with_as_many_bytes() {
        for size in [0, 1, 2, 1459, 5000] {
            check(&format!("/{size}"), Status::Ok, &expected(size));
        }
    }

    #[test]
    fn more_than_there_is_is_not_found() {
        check("/5001", Status::NotFound, TOO_LARGE.as_bytes());
        check(&format!("/{}", "9".repeat(99)), Status::NotFound, TOO_LARGE.as_bytes());
        assert_eq!(Sample::new(usize::MAX).max_size(), MAX_SIZE);
    }

    #[test]
    fn what_is_no_number_is_not_found() {
        for path in ["/+1", "/-1", "/1x", "/1/", "//1", "/%31", "/favicon.ico"] {
            check(path, Status::NotFound, NOTHING.as_bytes());
        }
    }

    #[test]
    fn no_answer_allocates() {
        let sample = Sample::new(5000);
        let mut scratch = [0; 512];
        for path in ["/", "/4000", "/4096", "/5001", "/x"] {
            let allocations = allocation_counter::measure(|| {
                std::hint::black_box(sample.respond(&Request::get(path.as_bytes()), &mut scratch));
            });
            assert_eq!(allocations.count_total, 0, "{path}");
        }
    }

    #[test]
    fn the_root_explains_itself() {
        check("/", Status::Ok, HELP.as_bytes());
    }

    #[test]
    fn a_shorter_answer_is_the_start_of_a_longer_one() {
        assert!(expected(5000).starts_with(&expected(4999)));
    }

    #[test]
    fn the_pattern_stays_as_it_is() {
        // Two machines, and two versions, must agree on it.
        assert_eq!(expected(8), [0x00, 0x80, 0x00, 0x80, 0x31, 0xf3, 0x5d, 0xf1]);
        assert_eq!(crc32fast::hash(&expected(1 << 20)), 0x5b69_2a56);
    }

    #[test]
    fn two_neighbours_are_never_alike() {
        assert!(expected(1 << 20).array_windows().all(|[a, b]| a != b));
    }

    #[test]
    fn no_aligned_word_stands_twice_in_the_largest_answer() {
        let bytes = expected(MAX_SIZE);
        let mut words = bytes.as_chunks::<4>().0.to_vec();
        words.sort_unstable();
        assert!(words.array_windows().all(|[a, b]| a != b));
    }

    #[test]
    fn a_shift_by_any_segment_size_shows_within_eight_bytes() {
        let bytes = expected(1 << 14);
        for shift in 1..=1 << 13 {
            let unshifted = bytes.array_windows::<8>();
            assert!(unshifted.zip(bytes[shift..].array_windows()).all(|(a, b)| a != b), "{shift}");
        }
    }
}
