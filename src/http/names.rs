//! The most frequent names of header fields that decide nothing for the framing, as most clients write them: each is
//! told by two comparisons of eight bytes.

use super::words::Words;

/// A name of 6 to 14 bytes, with its colon.
#[derive(Clone, Copy)]
struct Name {
    /// The line end ahead of it, and its first six bytes.
    head: u64,
    /// The last eight bytes up to its colon,
    tail: u64,
    /// and where they are, from that line end on.
    tail_at: usize,
}

/// Where the value begins of a line with such a name, ahead of which is a line end; `head` are eight bytes from there
/// on.
#[inline]
pub(super) fn value(words: Words<'_>, line_end: usize, head: u64) -> Option<usize> {
    let name = NAMES.get(place(head))?;
    if name.head != head {
        return None;
    }
    let tail_at = line_end + name.tail_at;
    (words.get(tail_at)? == name.tail).then_some(tail_at + 8)
}

/// Names by a hash of how they begin.
#[expect(clippy::indexing_slicing, reason = "the compiler indexes, and finds what is wrong")]
static NAMES: [Name; 1 << BITS] = {
    const LINES: [&[u8]; 8] = [
        b"\r\nUser-Agent:",
        b"\r\nAccept:",
        b"\r\nCache-Control:",
        b"\r\nCookie:",
        b"\r\nReferer:",
        b"\r\nOrigin:",
        b"\r\nPragma:",
        b"\r\nIf-None-Match:",
    ];
    // No bytes have this: what begins with zeros does not end with ones at the same place.
    let mut names = [Name { head: 0, tail: u64::MAX, tail_at: 0 }; 1 << BITS];
    let mut index = 0;
    while index < LINES.len() {
        let line = LINES[index];
        let (Some(head), Some(tail)) = (line.first_chunk(), line.last_chunk()) else { panic!("too short") };
        assert!(line.len() <= 16, "all of it is compared");
        let head = u64::from_le_bytes(*head);
        let place = place(head);
        assert!(names[place].head == 0, "each has a place of its own");
        names[place] = Name { head, tail: u64::from_le_bytes(*tail), tail_at: line.len() - 8 };
        index += 1;
    }
    names
};

const BITS: u32 = 4;

#[inline]
const fn place(head: u64) -> usize {
    (head.wrapping_mul(MULTIPLIER) >> (64 - BITS)) as usize
}

/// Found by trying: with it, each name has a place of its own.
const MULTIPLIER: u64 = 0x1e2f_eb89_414c_343d;
