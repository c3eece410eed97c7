//! The round-trip time, and the retransmission timeout (RTO) that follows from it (RFC 6298).

use std::time::Duration;

/// Before a round trip was measured (RFC 6298, section 2.1).
pub(super) const INITIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// `TCP_TIMEOUT_FALLBACK`: after a SYN that had to be repeated and so could not be timed.
pub(super) const FALLBACK_TIMEOUT: Duration = Duration::from_secs(3);
/// `TCP_RTO_MIN`.
pub(super) const TIMEOUT_MIN: Duration = Duration::from_millis(200);
/// `TCP_RTO_MAX`.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// The estimate of the round trip (RFC 6298, section 2).
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    /// Smoothed, and its variation.
    pub(super) estimate: Option<(Duration, Duration)>,
    pub(super) fallback: Duration,
}

impl RoundTrip {
    /// Takes a measured round trip into the estimate.
    pub(super) fn measure(&mut self, sample: Duration) {
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smoothed, variation)) => {
                ((smoothed * 7 + sample) / 8, (variation * 3 + smoothed.abs_diff(sample)) / 4)
            }
        });
    }

    /// The retransmission timeout, doubled so many times.
    pub(super) fn timeout(&self, backoff: u32) -> Duration {
        let Self { estimate, fallback } = *self;
        let once = estimate.map_or(fallback, |(smoothed, variation)| smoothed + (4 * variation).max(TIMEOUT_MIN));
        (once * 2u32.saturating_pow(backoff.min(10))).min(TIMEOUT_MAX)
    }
}
