//! Arithmetic on the engine's time, which has none: it never waits.

use std::time::Duration;

use lethe::time::Instant;

/// The moment `wait` after `start` (saturating in the year 2554).
#[must_use]
pub fn after(start: Instant, wait: Duration) -> Instant {
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_unix_nanos(start.as_unix_nanos().saturating_add(nanos))
}

/// The moment `wait` before `end`, not before 1970.
#[must_use]
pub fn before(end: Instant, wait: Duration) -> Instant {
    let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_unix_nanos(end.as_unix_nanos().saturating_sub(nanos))
}

/// How long it is from `earlier` to `later`; nothing if they stand the other way round.
#[must_use]
pub fn between(earlier: Instant, later: Instant) -> Duration {
    Duration::from_nanos(later.as_unix_nanos().saturating_sub(earlier.as_unix_nanos()))
}
