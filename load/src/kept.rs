//! What is remembered of connections that stay open, and the requests that are sent on them.
//!
//! ```text
//!   requests:   /a /b /c | /a /b /c ...        a ring: each client begins at another place of it
//!   batch:            ── ──                    so many requests in a segment (`--pipeline`)
//!   answered:         ↑                        the number of responses tells path and sequence number
//! ```
//!
//! The sequence number of a request follows from the number of requests before it, so that only numbers are stored.

use std::ops::Range;

/// The state of a client whose connections stay open: 12 bytes, beside those of [`crate::connection::Connection`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Kept {
    /// The number of connections that the client has begun.
    pub(crate) rounds: u32,
    /// The responses that it has received, on all of them.
    pub(crate) answered: u32,
    /// Of those, the responses on earlier connections.
    pub(crate) earlier: u32,
}

impl Kept {
    /// Responses on the present connection.
    pub(crate) const fn here(&self) -> u32 {
        self.answered - self.earlier
    }
}

/// All requests, one behind the other and then once more, so that every batch is one slice.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    /// Where each request begins, and the end of the last one.
    starts: Box<[usize]>,
    /// The number of different requests.
    count: usize,
}

impl Ring {
    /// A ring of `requests`, for batches of up to `batch`.
    pub(crate) fn new(requests: &[Vec<u8>], batch: usize) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for request in requests.iter().cycle().take(requests.len() + batch.max(requests.len())) {
            bytes.extend_from_slice(request);
            starts.push(bytes.len());
        }
        Self { bytes: bytes.into(), starts: starts.into(), count: requests.len() }
    }

    fn range(&self, first: usize, count: usize) -> Range<usize> {
        self.starts[first]..self.starts[first + count]
    }

    /// The bytes of `count` requests from the one with number `first`.
    pub(crate) fn batch(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[self.range(first, count)]
    }

    /// The bytes of `count` requests from the one with number `first`, as a distance between sequence numbers.
    pub(crate) fn distance(&self, first: usize, count: u32) -> u32 {
        let (laps, rest) = (count / self.count as u32, count as usize % self.count);
        let lap = self.starts[self.count] as u32;
        lap.wrapping_mul(laps).wrapping_add(self.range(first, rest).len() as u32)
    }

    /// The bytes of the longest batch.
    pub(crate) fn longest(&self, batch: usize) -> usize {
        (0..self.count).map(|first| self.range(first, batch).len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_and_distances_are_those_of_requests_in_turn() {
        let requests = [b"a".to_vec(), b"bb".to_vec(), b"ccc".to_vec()];
        for batch in 1..=7 {
            let ring = Ring::new(&requests, batch);
            for first in 0..3 {
                let endless: Vec<_> = requests.iter().cycle().skip(first).take(50).collect();
                let expect: Vec<u8> = endless[..batch].iter().copied().flatten().copied().collect();
                assert_eq!(ring.batch(first, batch), expect);
                for count in 0..50 {
                    let expect: usize = endless[..count].iter().map(|request| request.len()).sum();
                    assert_eq!(ring.distance(first, count as u32) as usize, expect, "{first} {count}");
                }
            }
        }
        assert_eq!(Ring::new(&requests, 2).longest(2), 5);
    }
}
