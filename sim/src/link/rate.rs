//! A bottleneck: so many bits a second, and a queue before it that drops what finds it full.

use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;

use super::{Fate, Frame, Passage, Rate, Rule};
use crate::clock::{after, between};

pub(super) struct Bottleneck {
    rate: Rate,
    /// The most frames that wait or are being sent.
    limit: usize,
    /// When each of those will have been sent.
    departures: VecDeque<Instant>,
}

impl Bottleneck {
    pub(super) fn new(rate: Rate, limit: u32) -> Self {
        Self { rate, limit: limit.max(1) as usize, departures: VecDeque::new() }
    }

    /// How long it takes to send so many bytes.
    fn time_for(&self, len: usize) -> Duration {
        let nanos = len as u64 * 8 * 1_000_000_000 / self.rate.bits_per_second();
        Duration::from_nanos(nanos)
    }
}

impl Rule for Bottleneck {
    fn apply(&mut self, mut frame: Frame, passage: &mut Passage) {
        while self.departures.front().is_some_and(|&departure| departure <= frame.at) {
            self.departures.pop_front();
        }
        if self.departures.len() >= self.limit {
            passage.lose(frame, Fate::QueueFull);
            return;
        }
        let begins = self.departures.back().map_or(frame.at, |&last| last.max(frame.at));
        let departure = after(begins, self.time_for(frame.bytes.len()));
        self.departures.push_back(departure);
        let waited = between(frame.at, departure);
        frame.at = departure;
        passage.pass_marked(frame, Fate::Queued(waited));
    }
}
