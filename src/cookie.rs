//! The state of a connection, encoded in fields that the client sends back.
//!
//! A connection table is replaced by two keyed numbers:
//!
//! * the **cookie** is the sequence number of our SYN+ACK. It comes back as the acknowledgement of the
//!   first segment of the request, and proves that the client got our SYN+ACK within the last two
//!   epochs, which MSS it had announced, and which version of the data set was current then. It is no clock (RFC 9293,
//!   section 3.4.1), and needs no quiet time (RFC 9293, section 3.4.3):
//!
//!   ```text
//!    31    29 28  27 26                    16 15                             0
//!   +--------+------+------------------------+--------------------------------+
//!   | MSS    | gen. | tag: SipHash-2-4(all   | mark: SipHash-2-4(addresses,   |
//!   |        |      | else, ISN, epoch)      | ports)                         |
//!   +--------+------+------------------------+--------------------------------+
//!   ```
//!
//!   The high three bits of the tag of a client with timestamps are the scale of its windows instead ([`Scale`]): there
//!   a distance of some 2^16 that is not yet known hardly ever changes them.
//!   The client's initial sequence number is part of the tag, and it can only be had from the segment
//!   that follows the SYN: a later one fails the check and is not mistaken for the start of a request. With
//!   timestamps, 25 more bits of the same hash make that certain.
//!   The mark depends on the connection alone, so any acknowledgement, however late, tells how far its
//!   client has got, modulo 2^16: within a window, exactly.
//!
//! * the **timestamp base** is what our timestamps count from: 32 bits that depend on the connection
//!   alone. Every segment of the client echoes the newest timestamp that it got from us, so it tells what
//!   it has seen of our side, for as long as the connection lasts.

use core::fmt;

use crate::siphash::SipHash;
use crate::time::Instant;
use crate::wire::ip::AddressPair;
use crate::wire::seq::SeqNumber;

/// Seconds that an epoch lasts. A cookie is good for this epoch and the one after: one to two minutes.
pub const EPOCH_SECONDS: u64 = 60;

/// Where the fields of a cookie stand.
const MSS_SHIFT: u32 = 29;
const GENERATION_SHIFT: u32 = 27;
const GENERATION_MASK: u32 = 0b11;
const TAG_SHIFT: u32 = 16;
const TAG_MASK: u32 = 0x7ff;

/// Of these bits of the tag, for clients with timestamps, those above are a scale.
const SHORT_TAG_MASK: u32 = 0xff;
const SCALE_SHIFT: u32 = 24;
const SCALE_MASK: u32 = 0b111;
/// Where the scale is mixed into the epoch that is hashed: two epochs that are accepted at the same time never differ
/// there.
const SCALE_IN_EPOCH_SHIFT: u32 = 24;

/// Bits of what proves that a connection begins, in the timestamp of its SYN+ACK.
pub(crate) const HANDSHAKE_PROOF_BITS: u32 = 25;

/// Bits of what proves that a request begins again, in the timestamps of a response that is not stored.
pub(crate) const REQUEST_PROOF_BITS: u32 = 20;

/// Bits of what proves that a request begins on a connection that was kept open.
pub(crate) const KEPT_PROOF_BITS: u32 = 22;

/// Epochs for which a cookie is good at the start of a request: this one and the one before.
pub(crate) const EPOCHS: u32 = 2;

/// The key of all cookies: 128 random bits. Machines that share it can answer each other's clients.
#[derive(Clone, Copy)]
pub struct Secret(SipHash);

impl Secret {
    /// The secret with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(SipHash::new(bytes))
    }

    /// The keys of a connection.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "fast: inline")]
    pub fn flow_keys(&self, flow: &Flow<impl Copy + Into<AddressPair>>) -> FlowKeys {
        let addresses = match flow.addresses.into() {
            AddressPair::V4 { source, destination } => {
                let [source, destination] = [source, destination].map(|ip| u64::from(u32::from_le_bytes(ip.octets())));
                self.0.with([source | destination << 32])
            }
            AddressPair::V6 { source, destination } => {
                let [source, destination] = [source, destination].map(|ip| u128::from_le_bytes(ip.octets()));
                self.0.with([source as u64, (source >> 64) as u64, destination as u64, (destination >> 64) as u64])
            }
        };
        let ports = u32::from(flow.client_port) | u32::from(flow.server_port) << 16;
        let hash = addresses.finish(ports);
        FlowKeys { timestamp_base: hash as u32, upper: (hash >> 32) as u32, addresses, ports: ports.into() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A connection as its packets name it, from the client's side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow<P = AddressPair> {
    /// The client's address and ours.
    pub addresses: P,
    /// The client's port.
    pub client_port: u16,
    /// Ours.
    pub server_port: u16,
}

/// The keys of one connection, for as long as the secret lasts.
#[derive(Clone, Copy)]
pub struct FlowKeys {
    /// What our timestamps count from on this connection.
    pub timestamp_base: u32,
    /// The rest of the same hash, of which the mark is a part.
    upper: u32,
    /// The hash state after the addresses, with which every hash of the connection begins. The messages differ in
    /// length, those of the two families as well, and so no message is the start of another.
    addresses: SipHash,
    ports: u64,
}

/// The fields of a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CookieFields {
    /// The MSS that the client announced, rounded down.
    pub mss: Mss,
    /// The version of the data set that was current.
    pub generation: u8,
    /// How its windows are scaled, if it uses timestamps.
    pub scale: Scale,
}

impl CookieFields {
    /// The fields of this sequence number, if it is a cookie, for a client with timestamps or without.
    pub(crate) const fn of(cookie: SeqNumber, timestamps: bool) -> Self {
        let value = cookie.value();
        let scale = if timestamps { value >> SCALE_SHIFT & SCALE_MASK } else { 0 };
        Self {
            mss: Mss { index: (value >> MSS_SHIFT) as u8 },
            generation: (value >> GENERATION_SHIFT & GENERATION_MASK) as u8,
            scale: Scale { index: scale as u8 },
        }
    }
}

/// By how many bits the windows of a client are scaled (RFC 7323, section 2.2): one of those that a cookie can carry.
/// To a client that offers another one, windows are not scaled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scale {
    index: u8,
}

/// What a cookie can carry: what kernels offer with buffers of 4 to 64 MB. It has to be exact, or a window of 64 kB
/// looks like one of 8.
const SCALES: [u8; 5] = [0, 7, 8, 9, 10];

impl Scale {
    /// Windows are not scaled.
    pub const NONE: Self = Self { index: 0 };

    /// Those that the timestamps of a connection that was kept open can carry.
    const KEPT: [Self; Self::KEPT_COUNT as usize] = [Self::NONE, Self { index: 1 }, Self { index: 3 }];

    /// How many these are: each lets as many forged packets pass.
    pub(crate) const KEPT_COUNT: u32 = 3;

    /// The scale of a client that offers to scale by so many bits.
    pub fn offered(shift: Option<u8>) -> Self {
        let index = shift.and_then(|shift| SCALES.iter().position(|&known| known == shift));
        Self { index: index.unwrap_or_default() as u8 }
    }

    /// A scale that is read from a cookie to which up to 2^24 has been added may be one too high: that matters where
    /// there is none.
    pub(crate) fn as_if_carried_into(self) -> Self {
        if usize::from(self.index) == SCALES.len() { Self { index: self.index - 1 } } else { self }
    }

    /// Whether windows are scaled.
    pub fn is_scaled(self) -> bool {
        self.bits() != 0
    }

    /// By how many bits.
    pub fn bits(self) -> u8 {
        SCALES.get(usize::from(self.index)).copied().unwrap_or_default()
    }

    /// A window, as it stands in a segment, in bytes.
    pub(crate) fn bytes(self, window: u16) -> u32 {
        u32::from(window) << self.bits()
    }

    /// The number of the largest that is not above this one, of those that the timestamps of a connection that was kept
    /// open can carry. So there a window may look smaller than it is, to a half, and never larger.
    pub(crate) const fn kept_index(self) -> u8 {
        match self.index {
            0 => 0,
            1 | 2 => 1,
            _ => 2,
        }
    }

    /// The one with this number.
    pub(crate) fn of_kept_index(index: u8) -> Self {
        Self::KEPT.get(usize::from(index)).copied().unwrap_or(Self::NONE)
    }

    /// The same, as far as the timestamps of a connection that was kept open tell it.
    pub(crate) fn kept(self) -> Self {
        Self::of_kept_index(self.kept_index())
    }
}

impl FlowKeys {
    /// Those of a connection that have yet to be found.
    pub(crate) const UNKNOWN: Self = Self { timestamp_base: 0, upper: 0, addresses: SipHash::new([0; 16]), ports: 0 };

    /// The low bits of its cookie.
    #[inline]
    const fn mark(&self) -> u16 {
        self.upper as u16
    }

    /// How far behind the cookie of this connection `ack` is, if that is `start` or at most 2^16 - 1 more.
    pub(crate) const fn offset(&self, ack: SeqNumber, start: u32) -> u32 {
        let low = ack.rewind(1).value().wrapping_sub(self.mark() as u32);
        start.wrapping_add(low.wrapping_sub(start) & 0xffff)
    }
}

/// The MSS values that a cookie can carry. What a client announces is rounded down to one of them.
///
/// They stand for: the smallest that Linux takes; the IPv4 default and IPv6 default (RFC 9293, section
/// 3.7.1); tunnels and mobile networks; PPPoE; Ethernet with IPv6 and IPv4; jumbo frames.
const MSS_VALUES: [u16; 8] = [88, 536, 1220, 1300, 1380, 1440, 1460, 8940];

/// An MSS that fits a cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mss {
    index: u8,
}

impl Mss {
    /// The largest that is not above `announced`, or else the smallest there is.
    pub fn at_most(announced: u16) -> Self {
        let above = MSS_VALUES.iter().filter(|&&value| value <= announced).count();
        Self { index: above.saturating_sub(1) as u8 }
    }

    /// Which of them it is: three bits.
    pub(crate) const fn index(self) -> u8 {
        self.index
    }

    /// The one with this number, of which the low three bits count.
    pub(crate) const fn of_index(index: u8) -> Self {
        Self { index: index & 7 }
    }

    /// In bytes.
    pub fn bytes(self) -> u16 {
        let [smallest, ..] = MSS_VALUES;
        MSS_VALUES.get(usize::from(self.index)).copied().unwrap_or(smallest)
    }
}

/// How long the segments of stored responses are on a connection that was kept open: there is no room in a timestamp
/// for more than two sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SegmentClass {
    /// For packets of 1280 bytes (RFC 8200, section 5).
    Small,
    /// For packets of 1500 bytes.
    Large,
}

impl SegmentClass {
    /// The one for segments of at most so many bytes, where packets have `headers` bytes ahead of them.
    pub(crate) const fn at_most(bytes: usize, headers: usize) -> Option<Self> {
        match bytes + headers {
            1500.. => Some(Self::Large),
            _ if bytes >= 1220 => Some(Self::Small),
            _ => None,
        }
    }

    /// The MSS that it stands for.
    pub(crate) const fn mss(self, headers: usize) -> u16 {
        match self {
            Self::Small => 1220,
            Self::Large => 1500 - headers as u16,
        }
    }
}

impl FlowKeys {
    /// The sequence number for the SYN+ACK, and the proof for its timestamp, of a client with timestamps or without.
    #[inline]
    pub fn cookie(
        &self,
        now: Instant,
        client_isn: SeqNumber,
        fields: CookieFields,
        timestamps: bool,
    ) -> (SeqNumber, u32) {
        let claimed = u32::from(fields.mss.index) << MSS_SHIFT
            | (u32::from(fields.generation) & GENERATION_MASK) << GENERATION_SHIFT;
        let scale = if timestamps { u32::from(fields.scale.index) } else { 0 };
        let (tag, proof) = self.tag(client_isn, claimed, epoch(now) ^ scale << SCALE_IN_EPOCH_SHIFT);
        let tag = if timestamps { tag & SHORT_TAG_MASK } else { tag };
        (SeqNumber::new(claimed | scale << SCALE_SHIFT | tag << TAG_SHIFT | u32::from(self.mark())), proof)
    }

    /// The fields of `cookie`, if it was sent in one of the last `epochs` epochs in answer to the SYN before `seq`, its
    /// version of the data set is `live`, and the `proof`, if there is one, belongs to it. What is a tag differs
    /// between clients with `timestamps` and others.
    #[inline]
    pub(crate) fn verify(
        &self,
        now: Instant,
        [seq, cookie]: [SeqNumber; 2],
        timestamps: bool,
        proof: Option<u32>,
        live: u8,
        epochs: u32,
    ) -> Option<CookieFields> {
        let value = cookie.value();
        let fields = CookieFields::of(cookie, timestamps);
        if value as u16 != self.mark() || live >> fields.generation & 1 == 0 {
            return None;
        }
        let (claimed, found) = (value & !((1 << GENERATION_SHIFT) - 1), value >> TAG_SHIFT & TAG_MASK);
        let client_isn = seq.rewind(1);
        let newest = epoch(now);
        let mask = if timestamps { SHORT_TAG_MASK } else { TAG_MASK };
        let scale = u32::from(fields.scale.index) << SCALE_IN_EPOCH_SHIFT;
        let known = |age| {
            let (tag, its_proof) = self.tag(client_isn, claimed, newest.wrapping_sub(age) ^ scale);
            (tag ^ found) & mask == 0 && proof.is_none_or(|proof| proof == its_proof)
        };
        (0..epochs).any(known).then_some(fields)
    }

    /// What proves that a request begins at `client_next` whose client has acknowledged all up to `own_next`: the
    /// response before it carried this, and nothing else of the connection does. What else that response says of the
    /// connection is in `claims`.
    ///
    /// The low bits of where the request begins are added to the hash and not hashed with the rest: what is sent behind
    /// it, with the same acknowledgement, does not fit, and not by chance either.
    #[inline]
    pub(crate) fn kept_proof(&self, client_next: SeqNumber, own_next: SeqNumber, claims: u8) -> u32 {
        let (client_next, own_next) = (client_next.value(), u64::from(own_next.value()));
        let known = self.ports | u64::from(claims) << 32 | u64::from(client_next >> KEPT_PROOF_BITS) << 40;
        let hash = self.addresses.with([known, own_next]).finish(0);
        client_next.wrapping_add(hash as u32) & ((1 << KEPT_PROOF_BITS) - 1)
    }

    /// What the sequence number of each segment of a later response tells, modulo a power of two, of a request that
    /// ends at `client_next`. The low six bits are those of the mark, the same for all requests of a connection.
    pub(crate) fn residue(&self, client_next: SeqNumber) -> u32 {
        let ends = u64::from(client_next.value());
        let hash = self.addresses.with([self.ports, ends]).finish(1);
        hash as u32 & !63 | u32::from(self.mark()) & 63
    }

    /// What proves that a request begins at `seq`, to whose response this has been sent.
    pub(crate) fn request_proof(&self, seq: SeqNumber) -> u32 {
        let ends = u64::from(seq.value());
        (self.addresses.with([self.ports, ends]).finish(2) >> (64 - REQUEST_PROOF_BITS)) as u32
    }

    /// What is added to the start of a response that is not stored, on a connection that was kept open before: it
    /// depends on where the request begins, and on what is in `claims`.
    pub(crate) fn later_key(&self, seq: SeqNumber, claims: u8) -> u32 {
        let ends = u64::from(seq.value());
        (self.addresses.with([self.ports | u64::from(claims) << 32, ends]).finish(3) >> 32) as u32
    }

    /// The fields of a cookie are hashed with the rest, so that they cannot be changed. They stand above the epoch,
    /// which has room until the year 2225.
    #[inline]
    fn tag(&self, client_isn: SeqNumber, claimed: u32, epoch: u32) -> (u32, u32) {
        let connection = self.addresses.with([self.ports | u64::from(client_isn.value()) << 32]);
        let hash = connection.finish(claimed | epoch & ((1 << GENERATION_SHIFT) - 1));
        (hash as u32 & TAG_MASK, (hash >> (64 - HANDSHAKE_PROOF_BITS)) as u32)
    }
}

fn epoch(now: Instant) -> u32 {
    (now.as_unix_seconds() / EPOCH_SECONDS) as u32
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ISN: SeqNumber = SeqNumber::new(0xdead_beef);

    fn flow() -> Flow {
        Flow {
            addresses: AddressPair::V4 { source: Ipv4Addr::new(10, 9, 0, 1), destination: Ipv4Addr::new(10, 9, 0, 2) },
            client_port: 40_000,
            server_port: 80,
        }
    }

    fn at(epoch: u64) -> Instant {
        Instant::from_unix_seconds(epoch * EPOCH_SECONDS)
    }

    const LIVE: u8 = 0b1111;

    fn fields(mss: u16) -> CookieFields {
        CookieFields { mss: Mss::at_most(mss), generation: 2, scale: Scale::NONE }
    }

    fn cookie(secret: &Secret, now: Instant, flow: &Flow, isn: SeqNumber, fields: CookieFields) -> SeqNumber {
        secret.flow_keys(flow).cookie(now, isn, fields, false).0
    }

    fn verify(secret: &Secret, now: Instant, flow: &Flow, isn: SeqNumber, cookie: SeqNumber) -> Option<CookieFields> {
        secret.flow_keys(flow).verify(now, [isn.advance(1), cookie], false, None, LIVE, EPOCHS)
    }

    #[test]
    fn the_cookie_of_a_client_with_timestamps_tells_how_its_windows_are_scaled() {
        let keys = Secret::new([7; 16]).flow_keys(&flow());
        let exact = (0..=u8::MAX).map(|shift| Scale::offered(Some(shift)).bits()).filter(|&bits| bits > 0);
        assert!(exact.eq(7..=10));
        for shift in [None, Some(0), Some(6), Some(7), Some(10), Some(11)] {
            let fields = CookieFields { scale: Scale::offered(shift), ..fields(1460) };
            let (cookie, proof) = keys.cookie(at(100), ISN, fields, true);
            let verify = |cookie, proof| keys.verify(at(101), [ISN.advance(1), cookie], true, proof, LIVE, EPOCHS);
            assert_eq!(verify(cookie, Some(proof)), Some(fields), "{shift:?}");
            assert_eq!(CookieFields::of(cookie, true), fields);
            for other in 1..8 {
                let forged = SeqNumber::new(cookie.value() ^ other << SCALE_SHIFT);
                assert_eq!(verify(forged, Some(proof)), None, "{shift:?} {other}");
            }
            // Without timestamps all of the tag is a tag.
            assert_eq!(keys.verify(at(100), [ISN.advance(1), cookie], false, None, LIVE, EPOCHS), None);
        }
    }

    #[test]
    fn on_a_connection_that_was_kept_open_no_window_looks_larger_than_it_is_and_usual_ones_at_least_half_as_large() {
        let kept = |shift| Scale::offered(Some(shift)).kept().bits();
        assert_eq!([0, 6, 7, 8, 9, 10, 11].map(kept), [0, 0, 7, 7, 9, 9, 0]);
        assert!((0..3).all(|index| Scale::of_kept_index(index).kept_index() == index));
    }

    #[test]
    fn a_cookie_is_good_for_its_epoch_and_the_next() {
        let secret = Secret::new([7; 16]);
        let cookie = cookie(&secret, at(100), &flow(), ISN, fields(1460));
        let good = |epoch| verify(&secret, at(epoch), &flow(), ISN, cookie);
        let known = Some(fields(1460));
        assert_eq!([99, 100, 101, 102].map(good), [None, known, known, None]);
    }

    #[test]
    fn a_cookie_of_a_version_that_is_gone_is_not_good() {
        let secret = Secret::new([7; 16]);
        let cookie = cookie(&secret, at(100), &flow(), ISN, fields(1460));
        let with =
            |live| secret.flow_keys(&flow()).verify(at(100), [ISN.advance(1), cookie], false, None, live, EPOCHS);
        assert_eq!([0b0100, 0b1100, 0b1011].map(with).map(|fields| fields.is_some()), [true, true, false]);
    }

    #[test]
    fn a_proof_belongs_to_one_initial_sequence_number() {
        let secret = Secret::new([7; 16]);
        let keys = secret.flow_keys(&flow());
        let (cookie, proof) = keys.cookie(at(100), ISN, fields(1460), true);
        let verify =
            |isn: SeqNumber, proof| keys.verify(at(100), [isn.advance(1), cookie], true, Some(proof), LIVE, EPOCHS);
        assert!(verify(ISN, proof).is_some() && verify(ISN, proof ^ 1).is_none());
        // 33 bits have to be right, in one of two epochs.
        assert!((1..50_000).all(|after| verify(ISN.advance(after), proof).is_none()));
    }

    #[test]
    fn any_acknowledgement_tells_its_offset_within_64_kb() {
        let secret = Secret::new([7; 16]);
        let keys = secret.flow_keys(&flow());
        let cookie = cookie(&secret, at(100), &flow(), ISN, fields(1460));
        for offset in [0, 1, 65_535, 65_536, 1 << 30] {
            let ack = cookie.advance(1).advance(offset);
            for start in [offset, offset.saturating_sub(1), offset.saturating_sub(65_535)] {
                assert_eq!(keys.offset(ack, start), offset, "{start}");
            }
        }
    }

    #[test]
    fn a_cookie_is_bound_to_all_that_names_the_connection() {
        let secret = Secret::new([7; 16]);
        let cookie = cookie(&secret, at(100), &flow(), ISN, fields(1460));
        let v4 = |source, destination| AddressPair::V4 { source, destination };
        let (client, server) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
        let others = [
            Flow { client_port: 40_001, ..flow() },
            Flow { server_port: 81, ..flow() },
            Flow { addresses: v4(Ipv4Addr::new(10, 9, 0, 3), server), ..flow() },
            Flow { addresses: v4(client, Ipv4Addr::new(10, 9, 0, 3)), ..flow() },
            Flow { addresses: v4(server, client), ..flow() },
            Flow {
                addresses: AddressPair::V6 {
                    source: Ipv6Addr::from_bits(u128::from(client.to_bits())),
                    destination: Ipv6Addr::from_bits(u128::from(server.to_bits())),
                },
                ..flow()
            },
        ];
        assert_eq!(verify(&secret, at(100), &flow(), ISN, cookie), Some(fields(1460)));
        for other in others {
            assert_eq!(verify(&secret, at(100), &other, ISN, cookie), None, "{other:?}");
        }
        assert_eq!(verify(&secret, at(100), &flow(), ISN.advance(1), cookie), None);
        assert_eq!(verify(&Secret::new([8; 16]), at(100), &flow(), ISN, cookie), None);
    }

    #[test]
    fn nobody_can_change_what_a_cookie_claims() {
        let secret = Secret::new([7; 16]);
        let cookie = cookie(&secret, at(100), &flow(), ISN, fields(536));
        for other in 1..32 {
            let forged = SeqNumber::new(cookie.value() ^ (other << GENERATION_SHIFT));
            assert_eq!(verify(&secret, at(100), &flow(), ISN, forged), None, "{other}");
        }
    }

    #[test]
    fn a_cookie_cannot_be_computed_from_another_one() {
        // One observed SYN+ACK: were the hash linear in what is public, the difference of two cookies
        // would be the same for every secret.
        let differences = |other: Flow, isn: SeqNumber| {
            (0..64).map(move |key| {
                let secret = Secret::new([key; 16]);
                let one = cookie(&secret, at(100), &flow(), ISN, fields(1460)).value();
                cookie(&secret, at(100), &other, isn, fields(1460)).value() ^ one
            })
        };
        let next_port = Flow { client_port: 40_001, ..flow() };
        for (other, isn, bits) in [(next_port, ISN, 27), (flow(), ISN.advance(1), 11)] {
            // Each bit that is hash changes about every other time.
            for bit in 27 - bits..27 {
                let changed = differences(other, isn).filter(|difference| difference >> bit & 1 == 1).count();
                assert!((12..=52).contains(&changed), "bit {bit}: {changed} of 64");
            }
        }
    }

    #[test]
    fn every_mss_is_rounded_down_to_one_that_fits_the_cookie() {
        for (announced, kept) in [
            (0, 88),
            (88, 88),
            (535, 88),
            (536, 536),
            (1219, 536),
            (1220, 1220),
            (1452, 1440),
            (1460, 1460),
            (8939, 1460),
            (8960, 8940),
            (u16::MAX, 8940),
        ] {
            assert_eq!(Mss::at_most(announced).bytes(), kept, "{announced}");
        }
        let secret = Secret::new([7; 16]);
        for value in MSS_VALUES {
            let cookie = cookie(&secret, at(1), &flow(), ISN, fields(value));
            let found = verify(&secret, at(1), &flow(), ISN, cookie);
            assert_eq!(found.map(|fields| fields.mss.bytes()), Some(value));
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        extern crate std;
        assert_eq!(std::format!("{:?}", Secret::new([0x41; 16])), "Secret(..)");
    }
}
