//! Time, which is an argument with each packet.
//!
//! The engine has no clock and no timers. A port reads the wall clock once a turn of its loop; the
//! simulator hands in virtual time. Unix time is used, so that machines which share a secret agree on
//! the cookie's epoch without talking to each other.

/// A moment: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment `nanos` nanoseconds after the Unix epoch.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `seconds` seconds after the Unix epoch (saturating in the year 2554).
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_unix_seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }
}
