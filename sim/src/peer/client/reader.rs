//! The application that reads a stream, at its own pace, and the buffer that it reads from.

use std::time::Duration;

use lethe::time::Instant;

use crate::clock::{after, between};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The application that reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// Bytes of the buffer.
    buffer: usize,
    /// By less than this the right edge of the window is not moved (RFC 9293, section 3.8.6.2.2).
    step: usize,
    /// Bytes a second; all at once with none.
    rate: Option<u64>,
    /// How many it has read, and until when.
    position: usize,
    since: Instant,
}

impl Reader {
    /// One that reads so many bytes a second, or whatever is there, from a buffer of so many.
    pub(super) fn new(buffer: usize, mss: usize, rate: Option<u64>) -> Self {
        let rate = rate.map(|rate| rate.max(1));
        Self { buffer, step: (buffer / 2).min(mss).max(1), rate, position: 0, since: Instant::default() }
    }

    /// How many bytes it has read.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Lets it read until now what is there up to `end`.
    pub(super) fn read(&mut self, now: Instant, end: usize) {
        let Some(rate) = self.rate else {
            self.position = end;
            return;
        };
        let passed = between(self.since, now).as_nanos();
        let could = usize::try_from(passed * u128::from(rate) / NANOS_PER_SECOND).unwrap_or(usize::MAX);
        if could >= end - self.position {
            self.position = end;
            self.since = now;
        } else {
            self.position += could;
            // What is left of a byte's time counts for the next.
            self.since = after(self.since, time_for(could, rate));
        }
    }

    /// When it will have read everything up to `place`, if that is still to come.
    pub(super) fn when(&self, place: usize) -> Option<Instant> {
        let rate = self.rate.filter(|_| place > self.position)?;
        Some(after(self.since, time_for(place - self.position, rate)))
    }

    /// The right edge of the window, where it was `allowed` before and `end` bytes are there.
    pub(super) fn edge(&self, end: usize, allowed: usize) -> usize {
        let edge = self.position + self.buffer;
        match self.rate {
            None => end + self.buffer,
            Some(_) if edge >= allowed + self.step => edge,
            Some(_) => allowed,
        }
    }

    /// Whether the window has become at least twice as large as the server knows (`tcp_cleanup_rbuf`).
    pub(super) fn opens(&self, end: usize, allowed: usize) -> bool {
        self.opens_at(end, allowed).is_some_and(|place| self.position >= place)
    }

    /// When that will be.
    pub(super) fn when_window_opens(&self, end: usize, allowed: usize) -> Option<Instant> {
        // What is not there cannot be read.
        self.opens_at(end, allowed).filter(|&place| place <= end).and_then(|place| self.when(place))
    }

    /// What must have been read for that.
    fn opens_at(&self, end: usize, allowed: usize) -> Option<usize> {
        self.rate?;
        let window = allowed.saturating_sub(end);
        if 2 * window > self.buffer {
            return None;
        }
        Some((end + (2 * window).max(window + self.step)).saturating_sub(self.buffer))
    }
}

/// How long so many bytes take, rounded up.
fn time_for(bytes: usize, rate: u64) -> Duration {
    let nanos = (bytes as u128 * NANOS_PER_SECOND).div_ceil(u128::from(rate));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
