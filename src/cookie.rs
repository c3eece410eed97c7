//! What the engine would have to remember, put where the client gives it back.
//!
//! A connection table is replaced by two keyed numbers:
//!
//! * the **cookie** is the sequence number of our SYN+ACK. It comes back as the acknowledgement of the
//!   first segment of the request, and proves that the client got our SYN+ACK within the last two
//!   epochs, and which MSS it had announced:
//!
//!   ```text
//!    31    29 28                                                         0
//!   +--------+------------------------------------------------------------+
//!   | MSS    | SipHash-2-4(secret, addresses, ports, ISN, MSS, epoch)     |
//!   +--------+------------------------------------------------------------+
//!   ```
//!
//!   The client's initial sequence number is part of it, and it can only be had from the segment that
//!   follows the SYN: a later one fails the check and cannot be mistaken for the start of a request.
//!
//! * the **timestamp base** is what our timestamps count from: 32 bits that depend on the connection
//!   alone. Every segment of the client echoes the newest timestamp that it got from us, so it tells what
//!   it has seen of our side, for as long as the connection lasts.

use core::fmt;

use siphasher::sip::SipHasher24;

use crate::time::Instant;
use crate::wire::ip::AddressPair;
use crate::wire::seq::SeqNumber;

/// Seconds that an epoch lasts. A cookie is good for this epoch and the one after: one to two minutes.
pub const EPOCH_SECONDS: u64 = 60;

/// Bits of the cookie that are hash; above them stands the MSS index.
const HASH_BITS: u32 = 29;
const HASH_MASK: u32 = (1 << HASH_BITS) - 1;

/// The key of all cookies: 128 random bits. Machines that share it can answer each other's clients.
#[derive(Clone, Copy)]
pub struct Secret {
    cookie: SipHasher24,
    timestamp: SipHasher24,
}

impl Secret {
    /// The secret with these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        // Each use has a key of its own, so that a number handed out for one tells nothing of another.
        let derived = |label: u8| {
            let master = SipHasher24::new_with_key(&bytes);
            let low = master.hash(&[label, 0]).to_le_bytes();
            let high = master.hash(&[label, 1]).to_le_bytes();
            let mut key = [0; 16];
            for (to, byte) in key.iter_mut().zip(low.into_iter().chain(high)) {
                *to = byte;
            }
            SipHasher24::new_with_key(&key)
        };
        Self { cookie: derived(b'C'), timestamp: derived(b'T') }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A connection as its packets name it, from the client's side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// The client's address and ours.
    pub addresses: AddressPair,
    /// The client's port.
    pub client_port: u16,
    /// Ours.
    pub server_port: u16,
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

    /// In bytes.
    pub fn bytes(self) -> u16 {
        let [smallest, ..] = MSS_VALUES;
        MSS_VALUES.get(usize::from(self.index)).copied().unwrap_or(smallest)
    }
}

impl Secret {
    /// The sequence number for the SYN+ACK.
    pub fn cookie(&self, now: Instant, flow: &Flow, client_isn: SeqNumber, mss: Mss) -> SeqNumber {
        let hash = cookie_hash(&self.cookie, flow, client_isn, mss, epoch(now));
        SeqNumber::new(u32::from(mss.index) << HASH_BITS | hash)
    }

    /// Whether `ack` acknowledges exactly the SYN+ACK that we sent, in this epoch or the one before, to a
    /// SYN that `seq` follows; and the MSS that the cookie carries.
    pub fn verify(&self, now: Instant, flow: &Flow, seq: SeqNumber, ack: SeqNumber) -> Option<Mss> {
        let cookie = ack.rewind(1).value();
        let client_isn = seq.rewind(1);
        let mss = Mss { index: (cookie >> HASH_BITS) as u8 };
        let epoch = epoch(now);
        let known = |epoch| cookie_hash(&self.cookie, flow, client_isn, mss, epoch) == cookie & HASH_MASK;
        (known(epoch) || known(epoch.wrapping_sub(1))).then_some(mss)
    }

    /// What our timestamps count from on this connection.
    pub fn timestamp_base(&self, flow: &Flow) -> u32 {
        hash(&self.timestamp, flow, [0; 8]) as u32
    }
}

fn epoch(now: Instant) -> u32 {
    (now.as_unix_seconds() / EPOCH_SECONDS) as u32
}

/// Nobody may change the MSS that a cookie carries, so it is hashed with the rest. It stands above the
/// epoch, which has room until the year 2990.
fn cookie_hash(key: &SipHasher24, flow: &Flow, client_isn: SeqNumber, mss: Mss, epoch: u32) -> u32 {
    let [i0, i1, i2, i3] = client_isn.value().to_le_bytes();
    let [e0, e1, e2, e3] = ((u32::from(mss.index) << HASH_BITS) | (epoch & HASH_MASK)).to_le_bytes();
    hash(key, flow, [i0, i1, i2, i3, e0, e1, e2, e3]) as u32 & HASH_MASK
}

/// Hashes the connection and eight more bytes. The two families differ in length, and so never meet.
#[inline]
fn hash(key: &SipHasher24, flow: &Flow, more: [u8; 8]) -> u64 {
    let [c0, c1] = flow.client_port.to_le_bytes();
    let [s0, s1] = flow.server_port.to_le_bytes();
    let [m0, m1, m2, m3, m4, m5, m6, m7] = more;
    let tail = [c0, c1, s0, s1, m0, m1, m2, m3, m4, m5, m6, m7];
    match flow.addresses {
        AddressPair::V4 { source, destination } => {
            key.hash(&concat::<20>([&source.octets(), &destination.octets(), &tail]))
        }
        AddressPair::V6 { source, destination } => {
            key.hash(&concat::<44>([&source.octets(), &destination.octets(), &tail]))
        }
    }
}

/// The parts in a row; `N` is the sum of their lengths.
#[inline]
fn concat<const N: usize>(parts: [&[u8]; 3]) -> [u8; N] {
    let mut whole = [0; N];
    let mut rest = whole.as_mut_slice();
    for part in parts {
        let Some((room, after)) = rest.split_at_mut_checked(part.len()) else {
            break;
        };
        room.copy_from_slice(part);
        rest = after;
    }
    whole
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

    fn verify(secret: &Secret, now: Instant, flow: &Flow, isn: SeqNumber, cookie: SeqNumber) -> Option<u16> {
        secret.verify(now, flow, isn.advance(1), cookie.advance(1)).map(Mss::bytes)
    }

    #[test]
    fn a_cookie_is_good_for_its_epoch_and_the_next() {
        let secret = Secret::new([7; 16]);
        let cookie = secret.cookie(at(100), &flow(), ISN, Mss::at_most(1460));
        let good = |epoch| verify(&secret, at(epoch), &flow(), ISN, cookie);
        assert_eq!([99, 100, 101, 102].map(good), [None, Some(1460), Some(1460), None]);
    }

    #[test]
    fn a_cookie_is_bound_to_all_that_names_the_connection() {
        let secret = Secret::new([7; 16]);
        let cookie = secret.cookie(at(100), &flow(), ISN, Mss::at_most(1460));
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
        assert_eq!(verify(&secret, at(100), &flow(), ISN, cookie), Some(1460));
        for other in others {
            assert_eq!(verify(&secret, at(100), &other, ISN, cookie), None, "{other:?}");
        }
        assert_eq!(verify(&secret, at(100), &flow(), ISN.advance(1), cookie), None);
        assert_eq!(verify(&Secret::new([8; 16]), at(100), &flow(), ISN, cookie), None);
    }

    #[test]
    fn nobody_can_change_the_mss_in_a_cookie() {
        let secret = Secret::new([7; 16]);
        let cookie = secret.cookie(at(100), &flow(), ISN, Mss::at_most(536));
        for other in 1..8 {
            let forged = SeqNumber::new(cookie.value() ^ (other << HASH_BITS));
            assert_eq!(verify(&secret, at(100), &flow(), ISN, forged), None, "{other}");
        }
    }

    #[test]
    fn a_cookie_cannot_be_computed_from_another_one() {
        // One observed SYN+ACK: were the hash linear in what is public, the difference of two cookies
        // would be the same for every secret.
        let difference = |secret: Secret, other: &Flow, isn: SeqNumber| {
            let mss = Mss::at_most(1460);
            let one = secret.cookie(at(100), &flow(), ISN, mss).value();
            (secret.cookie(at(100), other, isn, mss).value() ^ one, one)
        };
        let next_port = Flow { client_port: 40_001, ..flow() };
        for (other, isn) in [(next_port, ISN), (flow(), ISN.advance(1))] {
            let (a, _) = difference(Secret::new([1; 16]), &other, isn);
            let (b, _) = difference(Secret::new([2; 16]), &other, isn);
            assert_ne!(a, b);
            assert!(a.count_ones() > 4 && b.count_ones() > 4, "{a:x} {b:x}");
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
            let cookie = secret.cookie(at(1), &flow(), ISN, Mss::at_most(value));
            assert_eq!(verify(&secret, at(1), &flow(), ISN, cookie), Some(value));
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        extern crate std;
        assert_eq!(std::format!("{:?}", Secret::new([0x41; 16])), "Secret(..)");
    }
}
