//! The state of a connection. Everything else follows from its number.

/// The phase of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// The slot was not used yet.
    #[default]
    Free,
    /// The SYN was sent.
    SynSent,
    /// The handshake is complete, and no request was sent.
    Open,
    /// The request or a part of it was sent; the reply is not complete.
    Asked,
    /// The reply is complete, and our FIN was sent.
    Done,
    /// The connection failed, which was counted.
    Failed,
}

/// The state of a connection: 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Connection {
    /// The time at which the SYN or the request was due, in µs since the start. It wraps after 71 minutes; timeouts are
    /// less than half of that.
    pub(crate) begun: u32,
    /// The server's initial sequence number.
    pub(crate) server_isn: u32,
    /// Bytes of the reply that were received.
    pub(crate) received: u32,
    /// The server's timestamp to echo (RFC 7323, section 4.3).
    pub(crate) echo: u32,
    /// The time of the last transmission that needs an answer, in ms. It wraps after 65 s; timers are less than half of
    /// that.
    pub(crate) sent: u16,
    /// Bytes of the request that the server has acknowledged.
    pub(crate) acknowledged: u16,
    /// The offset of the body of the reply, after its head was received. Only where bodies are compared.
    pub(crate) body_at: u16,
    pub(crate) phase: Phase,
    /// The number of retransmissions.
    pub(crate) tries: u8,
}

const _: () = assert!(size_of::<Connection>() == 24, "ten million of them are 240 MB");

/// The initial RTO of a SYN (RFC 6298, section 2.1), and of a request: the minimum of Linux.
const SYN_TIMEOUT: u32 = 1000;
const REQUEST_TIMEOUT: u32 = 200;

/// The largest RTO: half of the range of [`Connection::sent`], at most.
const TIMEOUT_MAX: u32 = 16_000;

impl Connection {
    /// Whether the last transmission is due for retransmission at `now`, in ms. The RTO doubles each time (RFC 6298,
    /// section 5.5).
    pub(crate) fn is_overdue(&self, now: u16) -> bool {
        let first = if self.phase == Phase::SynSent { SYN_TIMEOUT } else { REQUEST_TIMEOUT };
        let timeout = (first << self.tries.min(8)).min(TIMEOUT_MAX);
        u32::from(now.wrapping_sub(self.sent)) >= timeout
    }

    /// Records a retransmission.
    pub(crate) fn sent_again(&mut self, now: u16) {
        self.sent = now;
        self.tries = self.tries.saturating_add(1);
    }

    /// Records a first transmission, or progress by an answer: the RTO is reset.
    pub(crate) fn sent_first(&mut self, now: u16) {
        self.sent = now;
        self.tries = 0;
    }

    /// RCV.NXT: the next sequence number of the server.
    pub(crate) const fn expected(&self) -> u32 {
        self.server_isn.wrapping_add(1).wrapping_add(self.received)
    }

    /// Takes the timestamp of a segment in order, or of an old one, unless it is older (RFC 7323, section 4.3).
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
