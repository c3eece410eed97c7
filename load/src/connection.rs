//! What is remembered of a connection; everything else follows from its number.

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// There was none yet.
    #[default]
    Free,
    /// The SYN is under way.
    SynSent,
    /// The handshake is done, and nothing has been asked.
    Open,
    /// The request, or a part of it, is under way, or its reply.
    Asked,
    /// The reply has come whole, and our FIN has gone out.
    Done,
    /// It has ended in another way, which was counted.
    Failed,
}

/// A connection: 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Connection {
    /// When the SYN or the request was to be sent, in µs since the start. It wraps after 71 minutes, and no timeout is
    /// half as long.
    pub(crate) begun: u32,
    /// The server's initial sequence number.
    pub(crate) server_isn: u32,
    /// Bytes of the reply that have come.
    pub(crate) received: u32,
    /// The server's timestamp to echo (RFC 7323, section 4.3).
    pub(crate) echo: u32,
    /// When something was last sent that is waited for, in ms. It wraps after 65 s, and no timer is half as long.
    pub(crate) sent: u16,
    /// Bytes of the request that the server has acknowledged.
    pub(crate) acknowledged: u16,
    /// Where the body of the reply begins, when that is known: its head has come. Only where bodies are compared.
    pub(crate) body_at: u16,
    pub(crate) phase: Phase,
    /// How often the same has been sent again.
    pub(crate) tries: u8,
}

const _: () = assert!(size_of::<Connection>() == 24, "ten million of them are 240 MB");

/// The first timeout of a SYN (RFC 6298, section 2.1), and of a request: the least that Linux has.
const SYN_TIMEOUT: u32 = 1000;
const REQUEST_TIMEOUT: u32 = 200;

/// The longest: half of what [`Connection::sent`] can tell.
const TIMEOUT_MAX: u32 = 16_000;

impl Connection {
    /// Whether what was sent last is to be sent again at `now`, in ms: timeouts double (RFC 6298, section 5.5).
    pub(crate) fn is_overdue(&self, now: u16) -> bool {
        let first = if self.phase == Phase::SynSent { SYN_TIMEOUT } else { REQUEST_TIMEOUT };
        let timeout = (first << self.tries.min(8)).min(TIMEOUT_MAX);
        u32::from(now.wrapping_sub(self.sent)) >= timeout
    }

    /// Sent again.
    pub(crate) fn sent_again(&mut self, now: u16) {
        self.sent = now;
        self.tries = self.tries.saturating_add(1);
    }

    /// Sent for the first time, or an answer has come.
    pub(crate) fn sent_first(&mut self, now: u16) {
        self.sent = now;
        self.tries = 0;
    }

    /// The sequence number that the server goes on with.
    pub(crate) const fn expected(&self) -> u32 {
        self.server_isn.wrapping_add(1).wrapping_add(self.received)
    }

    /// Takes a timestamp of a segment that is next, or has been (RFC 7323, section 4.3).
    pub(crate) fn take_timestamp(&mut self, value: u32) {
        if value.wrapping_sub(self.echo).cast_signed() >= 0 {
            self.echo = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_double_to_a_limit_and_clocks_wrap() {
        let mut connection = Connection { phase: Phase::SynSent, ..Connection::default() };
        let mut now: u16 = 65_000;
        connection.sent_first(now);
        for timeout in [1000, 2000, 4000, 8000, 16_000, 16_000] {
            assert!(!connection.is_overdue(now.wrapping_add(timeout - 1)), "{timeout}");
            now = now.wrapping_add(timeout);
            assert!(connection.is_overdue(now), "{timeout}");
            connection.sent_again(now);
        }
        connection.phase = Phase::Asked;
        connection.sent_first(now);
        assert!(connection.is_overdue(now.wrapping_add(200)) && !connection.is_overdue(now.wrapping_add(199)));
    }

    #[test]
    fn an_older_timestamp_is_not_taken() {
        let mut connection = Connection { echo: u32::MAX, ..Connection::default() };
        connection.take_timestamp(3);
        connection.take_timestamp(2);
        assert_eq!(connection.echo, 3);
    }
}
