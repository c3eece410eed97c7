//! Everything that can be set about a client.

use std::time::Duration;

use crate::frame::Ends;

/// What a client is like, and what it comes for. [`Settings::linux`] is what a Linux kernel does for
/// `curl`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that a client has, and all combine")]
pub struct Settings {
    /// Both ends. The server's hardware address is only used when it is not asked for.
    pub ends: Ends,
    /// Ask for the server's hardware address first.
    pub resolve: bool,
    /// What it comes for.
    pub errand: Errand,
    /// What it sends, in as many pieces as the application writes: each is a segment of its own, or
    /// several if it does not fit one.
    pub request: Vec<Vec<u8>>,
    /// When it closes its side.
    pub close: Close,
    /// How long it waits between handshake and request.
    pub think: Duration,

    /// The initial sequence number.
    pub isn: u32,
    /// The timestamp at the beginning of 1970.
    pub timestamp_base: u32,
    /// Offer timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Offer to scale the window by so many bits.
    pub window_scale: Option<u8>,
    /// The MSS to announce; with none, the option is left out.
    pub mss: Option<u16>,
    /// The receive buffer, which is the largest window. Without a scale, no more than 65,535 of it is told.
    pub window: u32,
    /// How many bytes a second the application reads; whatever comes, at once, if there is no such limit.
    pub reads: Option<u64>,
    /// How many ACKs in a row are not held back, at first and after something has come twice
    /// (`TCP_MAX_QUICKACKS`).
    pub quick_acks: u32,
    /// An ACK is held back until more than so many full segments have come: one as a rule, and more where a network
    /// card puts them together.
    pub stretch: usize,
    /// How long an ACK may be held back for a second segment; not at all if zero (RFC 9293, section 3.8.6.3).
    pub delayed_ack: Duration,
    /// The ACK that ends the handshake is sent on its own, not just with the request.
    pub ack_handshake: bool,
    /// Hold small writes back while something is unacknowledged (Nagle; RFC 9293, section 3.7.4).
    pub nagle: bool,
    /// Put small adjacent segments together when they are sent again, as Linux does.
    pub collapse: bool,
    /// Send the last segment once more before the retransmission timer expires (RFC 8985, section 7).
    pub tail_loss_probe: bool,
    /// Take back that the retransmission timer was doubled when ICMP says that the path is broken (RFC 6069).
    pub revert_backoff: bool,
    /// What is sent again goes out in segments of so many bytes at most: the path has become narrower.
    pub resend_limit: Option<u16>,
    /// How often an idle connection is probed.
    pub keep_alive: Option<Duration>,
    /// How often a SYN is sent again before it gives up.
    pub syn_retries: u32,
    /// How often anything else is, each time after twice as long; or for as long as that takes.
    pub retries: u32,
    /// There has been a connection between the same ports before, and segments of it still turn up.
    pub old_duplicates: bool,
    /// A reply that no TCP may send is an error, and not only dropped. To be switched off where the
    /// network changes packets and mends their checksums.
    pub strict: bool,
}

/// What a client comes for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Errand {
    /// To send its request and read the reply to the end.
    Fetch,
    /// To connect and close again.
    Connect,
    /// To send its request and reset the connection.
    Abort,
    /// To leave it at a SYN: what it gets for that is not answered.
    Scan,
}

/// When a client closes its side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Close {
    /// When it has read the reply to the end.
    AfterReply,
    /// Right after the request, in a segment of its own.
    AfterRequest,
    /// With the last segment of the request.
    WithRequest,
}

impl Settings {
    /// Linux with its defaults, which fetches `path`.
    pub fn linux(ends: &Ends, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", ends.host());
        Self {
            ends: *ends,
            resolve: false,
            errand: Errand::Fetch,
            request: vec![request.into_bytes()],
            close: Close::AfterReply,
            think: Duration::ZERO,
            isn: 1000,
            timestamp_base: 1_000_000,
            timestamps: true,
            sack: true,
            window_scale: Some(7),
            mss: Some(if ends.client.is_ipv4() { 1460 } else { 1440 }),
            window: 64_240,
            reads: None,
            quick_acks: 16,
            stretch: 1,
            delayed_ack: Duration::from_millis(40),
            ack_handshake: true,
            nagle: false,
            collapse: true,
            tail_loss_probe: true,
            revert_backoff: true,
            resend_limit: None,
            keep_alive: None,
            syn_retries: 6,
            retries: 15,
            old_duplicates: false,
            strict: true,
        }
    }

    /// Cuts the request at these places, counted from its beginning: each piece is a write of its own.
    #[must_use]
    pub fn split_at(mut self, places: &[usize]) -> Self {
        let whole = self.request.concat();
        let mut places: Vec<usize> = places.iter().copied().filter(|&place| 0 < place && place < whole.len()).collect();
        places.sort_unstable();
        places.dedup();
        let starts = [0].into_iter().chain(places.iter().copied());
        let ends = places.iter().copied().chain([whole.len()]);
        self.request = starts.zip(ends).map(|(start, end)| whole[start..end].to_vec()).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_cut_where_it_is_told_to_and_nothing_is_lost() {
        let settings = Settings::linux(&Ends::v4(), "/");
        let whole = settings.request.concat();
        let cut = settings.split_at(&[3, 0, 10_000, 3, 1]);
        assert_eq!(cut.request.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, whole.len() - 3]);
        assert_eq!(cut.request.concat(), whole);
    }
}
