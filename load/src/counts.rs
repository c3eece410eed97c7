//! Counters and latencies.

use hdrhistogram::Histogram;

/// Why a connection failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// The SYN was never answered.
    NoSynAck,
    /// The SYN was answered with RST.
    Refused,
    /// The request was never answered.
    NoReply,
    /// The reply did not come to its end.
    Incomplete,
    /// An RST on an open connection.
    Reset,
    /// A FIN before the reply.
    ClosedEarly,
    /// The reply had another status or other bytes than expected, or was too short.
    WrongBytes,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoSynAck,
        Self::Refused,
        Self::NoReply,
        Self::Incomplete,
        Self::Reset,
        Self::ClosedEarly,
        Self::WrongBytes,
    ];

    /// Its name, in reports and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSynAck => "no-syn-ack",
            Self::Refused => "refused",
            Self::NoReply => "no-reply",
            Self::Incomplete => "incomplete",
            Self::Reset => "reset",
            Self::ClosedEarly => "closed-early",
            Self::WrongBytes => "wrong-bytes",
        }
    }
}

/// Counters, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent, without those of floods.
    pub frames_out: u64,
    /// Of those, retransmissions.
    pub sent_again: u64,
    /// Frames that the transmit queue had no room for.
    pub queue_full: u64,
    /// Frames with a wrong length or checksum.
    pub bad_frames: u64,
    /// IP fragments, which are not reassembled.
    pub fragments: u64,
    /// Segments that belong to no connection of ours.
    pub strays: u64,
    /// Frames of floods.
    pub flood_frames: u64,
    /// Connections begun.
    pub begun: u64,
    /// Of those, connections whose SYN was answered.
    pub opened: u64,
    /// Of those, connections that have ended.
    pub ended: u64,
    /// Of those, connections that the server has closed after the last reply, though they were to stay open.
    pub closed: u64,
    /// Requests sent, without retransmissions.
    pub asked: u64,
    /// Of those, requests on a connection that had one before.
    pub later: u64,
    /// Of those, requests that were sent again on another connection, since theirs ended before the reply.
    pub cut: u64,
    /// Of those, requests with a complete and correct reply.
    pub answered: u64,
    /// Connections that were due and never begun, because the generator was too slow.
    pub never_begun: u64,
    failed: [u64; Failure::ALL.len()],
}

impl Counts {
    /// The number of connections that failed for this reason.
    pub const fn failed(&self, failure: Failure) -> u64 {
        self.failed[failure as usize]
    }

    /// The number of connections that failed.
    pub fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// The number of replies that differed from the expected one.
    pub const fn wrong(&self) -> u64 {
        self.failed(Failure::WrongBytes)
    }

    /// Connections that are open as far as is known.
    pub const fn open(&self) -> u64 {
        self.opened - self.ended
    }

    /// Requests that were due, and neither had a reply nor failed.
    pub fn unfinished(&self) -> u64 {
        (self.begun + self.later).saturating_sub(self.answered + self.cut + self.failures())
    }

    pub(crate) fn count_failed(&mut self, failure: Failure) {
        self.failed[failure as usize] += 1;
    }
}

/// Counters of slow clients of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlowCounts {
    /// The number of slow clients.
    pub wanted: u64,
    /// Of those, clients with an open connection, at some time.
    pub opened: u64,
    /// Of those, clients with a complete reply.
    pub answered: u64,
    /// Of those, clients whose connection the server has closed or reset.
    pub closed: u64,
}

/// A histogram of latencies in µs, from one to an hour, with three significant digits.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

/// An hour in µs.
const LONGEST: u64 = 3_600_000_000;

impl Latency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
        Self { histogram }
    }

    pub(crate) fn record(&mut self, micros: u32) {
        self.histogram.saturating_record(u64::from(micros).max(1));
    }

    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
    }

    /// The number of measurements.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The quantile `part`, from 0 to 1, in µs.
    pub fn quantile(&self, part: f64) -> u64 {
        self.histogram.value_at_quantile(part)
    }

    /// The longest latency, in µs.
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    /// The mean, in µs.
    pub fn mean(&self) -> f64 {
        self.histogram.mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut latency = Latency::new();
        (1..=100_000).for_each(|micros| latency.record(micros));
        assert_eq!((latency.count(), latency.max() / 100), (100_000, 1000));
        for (part, expect) in [(0.5, 50_000), (0.99, 99_000), (0.999, 99_900)] {
            let found = latency.quantile(part);
            assert!(found.abs_diff(expect) <= expect / 1000, "{part}: {found}");
        }
        latency.clear();
        assert_eq!(latency.count(), 0);
    }

    #[test]
    fn what_is_open_was_opened_and_has_not_ended() {
        let mut counts = Counts { begun: 10, opened: 8, ended: 4, answered: 5, later: 2, ..Counts::default() };
        for failure in [Failure::NoSynAck, Failure::Refused, Failure::NoReply] {
            counts.count_failed(failure);
        }
        assert_eq!((counts.failures(), counts.open(), counts.unfinished()), (3, 4, 4));
    }
}
