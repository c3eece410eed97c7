//! What became of a packet, and the counters of it.
//!
//! Every received frame gets exactly one [`Verdict`]. The lists below are the whole vocabulary: the
//! counters, the table printed at the end, and the checkers all go through them.

/// Declares one list of outcomes: the enum, its size, and a name for people and a summary for each.
macro_rules! outcomes {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $summary:literal])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $summary])* $variant,)*
        }

        impl $name {
            /// Every member, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in tables, snapshots and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// One line on what it means.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => concat!($($summary,)*).trim_ascii(),)* }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

outcomes! {
    /// Why a packet was answered: what the answer is.
    ReplyKind {
        /// ARP reply: the address asked for is ours.
        Arp = "arp",
        /// ICMP echo reply.
        Echo = "echo",
        /// ICMPv6 echo reply.
        EchoV6 = "echo-v6",
        /// Neighbor advertisement for an address of ours.
        Neighbor = "neighbor",
        /// ICMPv6 Parameter Problem, for an unknown option that requests it.
        ParameterProblem = "parameter-problem",
        /// SYN+ACK with the cookie.
        SynAck = "syn-ack",
        /// The application's response.
        Response = "response",
        /// The first segments of a response that does not fit one.
        FirstWindow = "first-window",
        /// The next segments of a response, drawn by the client's ACKs.
        NextWindow = "next-window",
        /// A probe of a client without timestamps: is it still where it was?
        Probe = "probe",
        /// Segments that the client is missing, by its SACK blocks.
        Resent = "resent",
        /// Segments from where the client is, because its RTO expired.
        Resumed = "resumed",
        /// A segment again in smaller pieces, because a router reported that it was too big.
        Narrowed = "narrowed",
        /// ACK of the whole request, to a client that has acknowledged all of a long response.
        Settled = "settled",
        /// A response of the engine itself: 400, 405, 414, 431, 500 or 505.
        Refusal = "refusal",
        /// ACK of a FIN.
        FinAck = "fin-ack",
        /// ACK of the rest of a request whose response the client already has.
        LateAck = "late-ack",
        /// ACK of a keep-alive probe.
        KeepAlive = "keep-alive",
        /// FIN with no response ahead of it: a response of several segments that cannot be sent on a connection that
        /// was kept open. The client sends its request on a new one.
        Closed = "closed",
        /// ACK of nothing, in answer to the first request for a long response on a connection that was kept open while
        /// the data set was replaced. The request comes again, and is answered from the new version.
        Renewed = "renewed",
        /// RST, sent only under `--refuse reset`.
        Reset = "reset",
    }
}

outcomes! {
    /// Why a packet that is in order was not answered: there is nothing to say.
    Absorbed {
        /// ACK without payload: the end of a handshake, or of a response.
        Ack = "ack",
        /// ACK from the middle of a response, which draws nothing.
        Progress = "progress",
        /// RST: the client has closed its end.
        Reset = "rst",
    }
}

outcomes! {
    /// Why a packet was dropped.
    DropReason {
        /// The frame ends within its Ethernet or VLAN header.
        EthernetTruncated = "ethernet-truncated",
        /// The destination hardware address is not ours.
        EthernetNotForUs = "ethernet-not-for-us",
        /// The source hardware address is a group address.
        EthernetSource = "ethernet-source",
        /// Neither ARP nor IPv4 nor IPv6.
        EtherType = "ether-type",
        /// ARP: truncated, or not for Ethernet and IPv4.
        ArpMalformed = "arp-malformed",
        /// ARP: not a request for an address of ours.
        ArpNotForUs = "arp-not-for-us",
        /// IPv4: truncated, wrong version or header length, or a total length beyond the frame.
        Ipv4Malformed = "ipv4-malformed",
        /// IPv4: wrong header checksum.
        Ipv4Checksum = "ipv4-checksum",
        /// IPv4: a fragment. Lethe does not reassemble.
        Ipv4Fragment = "ipv4-fragment",
        /// IPv4: the destination is not an address of ours.
        Ipv4NotForUs = "ipv4-not-for-us",
        /// IPv6: truncated, wrong version, a payload length beyond the frame, or a bad extension header.
        Ipv6Malformed = "ipv6-malformed",
        /// IPv6: a fragment. Lethe does not reassemble.
        Ipv6Fragment = "ipv6-fragment",
        /// IPv6: an unknown option whose type says to drop the packet.
        Ipv6Option = "ipv6-option",
        /// IPv6: more extension headers than Lethe skips.
        Ipv6Extensions = "ipv6-extensions",
        /// IPv6: the destination is neither an address of ours nor its solicited-node group.
        Ipv6NotForUs = "ipv6-not-for-us",
        /// IP: a source that must not be answered (group, broadcast, unspecified, loopback, or our own).
        IpSource = "ip-source",
        /// IP: a protocol that is not implemented.
        IpProtocol = "ip-protocol",
        /// ICMP: truncated, or the reply would not fit the MTU.
        IcmpMalformed = "icmp-malformed",
        /// ICMP: wrong checksum.
        IcmpChecksum = "icmp-checksum",
        /// ICMP: neither an echo request, nor a neighbor solicitation, nor a "packet too big" message.
        IcmpType = "icmp-type",
        /// ICMP: about a packet that is not ours, or quotes too little of it to send it again in pieces.
        IcmpQuote = "icmp-quote",
        /// Neighbor solicitation that RFC 4861, section 7.1.1, requires to be discarded.
        NeighborInvalid = "neighbor-invalid",
        /// Neighbor solicitation for an address that is not ours.
        NeighborNotForUs = "neighbor-not-for-us",
        /// TCP: truncated, or a header length beyond the segment.
        TcpMalformed = "tcp-malformed",
        /// TCP: wrong checksum.
        TcpChecksum = "tcp-checksum",
        /// TCP: source port 0.
        TcpSourcePort = "tcp-source-port",
        /// TCP: a port that is not served.
        TcpClosedPort = "tcp-closed-port",
        /// TCP: a combination of flags that no client sends here.
        TcpFlags = "tcp-flags",
        /// TCP: payload under five bytes, which is never a request.
        TcpShortPayload = "tcp-short-payload",
        /// TCP: payload whose acknowledgement number is not our cookie: forged, expired, or not the first segment of a
        /// request.
        TcpCookie = "tcp-cookie",
        /// TCP: payload or a FIN from the middle of a response that Lethe cannot have been sending.
        TcpEcho = "tcp-echo",
        /// TCP: a FIN whose echoed timestamp is not ours.
        TcpFinForged = "tcp-fin-forged",
        /// TCP: a FIN from a client that still waits for its response. Acknowledging it would acknowledge a lost
        /// request as well.
        TcpFinEarly = "tcp-fin-early",
        /// TCP: the receive window is too small for the response, which goes out whole or not at all.
        TcpWindow = "tcp-window",
        /// HTTP: not a request, from a client without timestamps: it may be a later part of one.
        HttpMalformed = "http-malformed",
        /// HTTP: the request line is incomplete. The client retransmits it, as a whole where it can.
        HttpIncomplete = "http-incomplete",
    }
}

impl ReplyKind {
    /// Whether it answers a request: with a response, the first segments of one, or a refusal.
    pub const fn answers_request(self) -> bool {
        matches!(self, Self::Response | Self::FirstWindow | Self::Refusal)
    }
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// It was answered.
    Replied(ReplyKind),
    /// It was in order, and there is nothing to say to it.
    Absorbed(Absorbed),
    /// It was dropped.
    Dropped(DropReason),
}

impl Verdict {
    /// Every verdict, in the order of the counters.
    pub fn all() -> impl Iterator<Item = Self> {
        let replied = ReplyKind::ALL.iter().map(|&kind| Self::Replied(kind));
        let absorbed = Absorbed::ALL.iter().map(|&kind| Self::Absorbed(kind));
        let dropped = DropReason::ALL.iter().map(|&reason| Self::Dropped(reason));
        replied.chain(absorbed).chain(dropped)
    }

    /// What was done, as a word: `replied`, `absorbed` or `dropped`.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Replied(_) => "replied",
            Self::Absorbed(_) => "absorbed",
            Self::Dropped(_) => "dropped",
        }
    }

    /// The name of the kind or reason.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replied(kind) => kind.name(),
            Self::Absorbed(kind) => kind.name(),
            Self::Dropped(reason) => reason.name(),
        }
    }

    /// One line on what it means.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Replied(kind) => kind.summary(),
            Self::Absorbed(kind) => kind.summary(),
            Self::Dropped(reason) => reason.summary(),
        }
    }

    const COUNT: usize = ReplyKind::ALL.len() + Absorbed::ALL.len() + DropReason::ALL.len();

    const fn index(self) -> usize {
        match self {
            Self::Replied(kind) => kind as usize,
            Self::Absorbed(kind) => ReplyKind::ALL.len() + kind as usize,
            Self::Dropped(reason) => ReplyKind::ALL.len() + Absorbed::ALL.len() + reason as usize,
        }
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.action(), self.name())
    }
}

impl From<DropReason> for Verdict {
    fn from(reason: DropReason) -> Self {
        Self::Dropped(reason)
    }
}

impl From<Absorbed> for Verdict {
    fn from(kind: Absorbed) -> Self {
        Self::Absorbed(kind)
    }
}

/// A response to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Its status (RFC 9110, section 15); 0 if it has none.
    pub status: u16,
    /// Bytes of its body.
    pub body_len: u32,
}

/// The counters of one loop. Each loop owns a set; they are added up only to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    verdicts: [u64; Verdict::COUNT],
    later_requests: u64,
    /// Packets with requests that are not the first of their connection, and without that.
    later_packets: u64,
    /// By class, from 2xx on.
    responses: [u64; Self::CLASSES],
    received_bytes: u64,
    sent_frames: u64,
    sent_bytes: u64,
    queue_full: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self::from_counters([0; Self::COUNTERS])
    }
}

impl Stats {
    /// How many counters there are.
    pub const COUNTERS: usize = Verdict::COUNT + Self::CLASSES + 6;

    /// The classes of final statuses: 2xx to 5xx.
    const CLASSES: usize = 4;

    /// Every counter, in an order of our own: for [`from_counters`](Self::from_counters), in another thread.
    pub fn counters(&self) -> [u64; Self::COUNTERS] {
        let mut all = [0; Self::COUNTERS];
        let (verdicts, rest) = all.split_at_mut(Verdict::COUNT);
        let (responses, totals) = rest.split_at_mut(Self::CLASSES);
        verdicts.copy_from_slice(&self.verdicts);
        responses.copy_from_slice(&self.responses);
        let Self { later_requests, later_packets, received_bytes, sent_frames, sent_bytes, queue_full, .. } = *self;
        totals.copy_from_slice(&[later_requests, later_packets, received_bytes, sent_frames, sent_bytes, queue_full]);
        all
    }

    /// What [`counters`](Self::counters) were taken of.
    pub fn from_counters(counters: [u64; Self::COUNTERS]) -> Self {
        let mut all = counters.into_iter();
        let mut next = || all.next().unwrap_or(0);
        Self {
            verdicts: core::array::from_fn(|_| next()),
            responses: core::array::from_fn(|_| next()),
            later_requests: next(),
            later_packets: next(),
            received_bytes: next(),
            sent_frames: next(),
            sent_bytes: next(),
            queue_full: next(),
        }
    }

    /// Counts a received frame of `len` bytes and what became of it.
    pub fn count_received(&mut self, len: usize, verdict: Verdict) {
        if let Some(counter) = self.verdicts.get_mut(verdict.index()) {
            *counter += 1;
        }
        self.received_bytes += len as u64;
    }

    /// Counts bare ACKs that a device has left out of those that it receives: each as received and absorbed.
    pub fn count_left_out(&mut self, frames: u64, bytes: u64) {
        if let Some(counter) = self.verdicts.get_mut(Verdict::Absorbed(Absorbed::Ack).index()) {
            *counter += frames;
        }
        self.received_bytes += bytes;
    }

    /// Counts the responses to the requests of a packet, beside the verdict on it. `is_later`: none of them is the
    /// first of its connection.
    #[inline]
    pub fn count_answers(&mut self, is_later: bool, answers: impl Iterator<Item = Answered>) {
        let mut count = 0;
        for Answered { status, .. } in answers {
            count += 1;
            if let Some(counter) = self.responses.get_mut(usize::from(status / 100).wrapping_sub(2)) {
                *counter += 1;
            }
        }
        if count > 0 {
            self.later_requests += count - u64::from(!is_later);
            self.later_packets += u64::from(is_later);
        }
    }

    /// Counts a sent frame of `len` bytes.
    pub fn count_sent(&mut self, len: usize) {
        self.sent_frames += 1;
        self.sent_bytes += len as u64;
    }

    /// Counts a reply of which at least one frame was lost to a full transmit queue.
    pub fn count_queue_full(&mut self) {
        self.queue_full += 1;
    }

    /// How many packets got `verdict`.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(verdict.index()).copied().unwrap_or(0)
    }

    /// Each verdict with its count, in the order of the counters.
    pub fn rows(&self) -> impl Iterator<Item = (Verdict, u64)> {
        Verdict::all().zip(self.verdicts.iter().copied())
    }

    /// Frames received: the sum of all verdicts.
    pub fn received_frames(&self) -> u64 {
        self.verdicts.iter().sum()
    }

    /// Requests that were answered: with a response, the first segments of one, or a refusal.
    pub fn requests(&self) -> u64 {
        self.connections().saturating_add(self.later_requests)
    }

    /// Responses by the class of their status: 2xx, 3xx, 4xx and 5xx.
    pub const fn responses(&self) -> [u64; 4] {
        self.responses
    }

    /// Connections whose first request was answered.
    pub fn connections(&self) -> u64 {
        let kinds = ReplyKind::ALL.iter().filter(|kind| kind.answers_request());
        let packets: u64 = kinds.map(|&kind| self.count(Verdict::Replied(kind))).sum();
        packets.saturating_sub(self.later_packets)
    }

    /// Bytes received.
    pub const fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Frames sent.
    pub const fn sent_frames(&self) -> u64 {
        self.sent_frames
    }

    /// Bytes sent.
    pub const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Replies of which at least one frame was lost to a full transmit queue.
    pub const fn queue_full(&self) -> u64 {
        self.queue_full
    }

    /// Adds the counters of another loop.
    pub fn add(&mut self, other: &Self) {
        for (sum, value) in self.verdicts.iter_mut().zip(&other.verdicts) {
            *sum += value;
        }
        self.later_requests += other.later_requests;
        self.later_packets += other.later_packets;
        for (sum, count) in self.responses.iter_mut().zip(other.responses) {
            *sum += count;
        }
        self.received_bytes += other.received_bytes;
        self.sent_frames += other.sent_frames;
        self.sent_bytes += other.sent_bytes;
        self.queue_full += other.queue_full;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters of which each has another value: a power of two for most.
    fn distinct() -> Stats {
        Stats::from_counters(core::array::from_fn(|place| 1 << (place % 60)))
    }

    #[test]
    fn each_thing_is_counted_in_its_place() {
        let mut stats = Stats::default();
        for (times, verdict) in Verdict::all().enumerate() {
            for _ in 0..=times {
                stats.count_received(10, verdict);
            }
        }
        for (times, verdict) in Verdict::all().enumerate() {
            assert_eq!(stats.count(verdict), times as u64 + 1, "{verdict}");
        }
        let frames: u64 = (1..=Verdict::COUNT as u64).sum();
        assert_eq!((stats.received_frames(), stats.received_bytes()), (frames, 10 * frames));
        stats.count_sent(7);
        stats.count_sent(8);
        stats.count_queue_full();
        stats.count_queue_full();
        stats.count_queue_full();
        assert_eq!((stats.sent_frames(), stats.sent_bytes(), stats.queue_full()), (2, 15, 3));
    }

    #[test]
    fn requests_are_those_of_all_packets_and_connections_those_that_have_a_first_one() {
        let mut stats = Stats::default();
        let mut count = |kind, is_later, statuses: &[u16]| {
            stats.count_received(10, Verdict::Replied(kind));
            stats.count_answers(is_later, statuses.iter().map(|&status| Answered { status, body_len: 0 }));
            (stats.requests(), stats.connections(), stats.responses())
        };
        assert_eq!(count(ReplyKind::SynAck, false, &[]), (0, 0, [0, 0, 0, 0]));
        assert_eq!(count(ReplyKind::FirstWindow, false, &[200]), (1, 1, [1, 0, 0, 0]));
        assert_eq!(count(ReplyKind::NextWindow, false, &[]), (1, 1, [1, 0, 0, 0]));
        assert_eq!(count(ReplyKind::Refusal, false, &[400]), (2, 2, [1, 0, 1, 0]));
        assert_eq!(count(ReplyKind::Response, true, &[308]), (3, 2, [1, 1, 1, 0]));
        assert_eq!(count(ReplyKind::Response, false, &[204, 404, 500, 299]), (7, 3, [3, 1, 2, 1]));
        assert_eq!(count(ReplyKind::Response, true, &[304, 599, 0, 100]), (11, 3, [3, 2, 2, 2]));
    }

    #[test]
    fn counters_of_two_loops_are_added_each_to_its_own() {
        let mut sum = distinct();
        sum.add(&distinct());
        assert_eq!(sum.counters(), distinct().counters().map(|counter| 2 * counter));
        assert_eq!(sum.received_frames(), 2 * distinct().received_frames());
    }

    #[test]
    fn every_verdict_has_a_name_and_a_summary_of_its_own() {
        for verdict in Verdict::all() {
            assert!(verdict.summary().len() > 10 && verdict.name().len() > 2, "{verdict}");
            let alike = Verdict::all().filter(|other| other.summary() == verdict.summary());
            assert_eq!(alike.count(), 1, "{verdict}");
        }
    }

    #[test]
    fn counters_that_are_taken_apart_come_together_again() {
        let counters = core::array::from_fn(|place| place as u64 + 1);
        assert_eq!(Stats::from_counters(counters).counters(), counters);
    }
}
