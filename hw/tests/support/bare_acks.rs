//! Bare ACKs, and frames that nearly are, with a check that does not use the rules of `filter.rs`.

use std::net::IpAddr;

use proptest::prelude::*;

/// The port whose bare ACKs are left out.
pub(crate) const PORT: u16 = 80;

/// The hardware address that they go to.
pub(crate) const MAC: [u8; 6] = [2, b'L', b'e', b't', b'h', b'e'];

/// What is left out of the frames for one of these addresses: by what RFC 791, 8200 and 9293 say of headers, read from
/// the front.
pub(crate) fn is_bare_ack(ours: &[IpAddr], frame: &[u8], with_options_wanted: bool) -> bool {
    let half = |bytes: &[u8], at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let ip = &frame[14..];
    let (segment, len, destination): (_, _, IpAddr) = match half(frame, 12) {
        0x0800 => {
            let is_fragment = ip[6] & 0x20 != 0 || half(ip, 6) & 0x1fff != 0;
            if ip[0] >> 4 != 4 || ip[0] & 0xf != 5 || is_fragment || ip[9] != 6 {
                return false;
            }
            (&ip[20..], half(ip, 2) as i64 - 20, <[u8; 4]>::try_from(&ip[16..20]).unwrap().into())
        }
        0x86dd => {
            if ip[0] >> 4 != 6 || ip[6] != 6 {
                return false;
            }
            (&ip[40..], half(ip, 4) as i64, <[u8; 16]>::try_from(&ip[24..40]).unwrap().into())
        }
        _ => return false,
    };
    let header_len = i64::from(segment[12] >> 4) * 4;
    let [fin, syn, rst, ack] = [1, 2, 4, 16].map(|flag| segment[13] & flag != 0);
    let is_usual = header_len == 20 || header_len == 32 && !with_options_wanted;
    ours.contains(&destination)
        && half(segment, 2) == usize::from(PORT)
        && (ack && !fin && !syn && !rst)
        && is_usual
        && len == header_len
}

/// A bare ACK to one of these addresses, and up to two of its bytes changed, at places that matter mostly.
pub(crate) fn nearly_bare_ack(ours: Vec<IpAddr>) -> impl Strategy<Value = Vec<u8>> {
    let change = (0..100usize, prop_oneof![any::<u8>(), (0..8u8).prop_map(|bit| 1 << bit)]);
    let frame =
        (prop::sample::select(ours), any::<bool>(), any::<[u8; 4]>()).prop_map(|(address, has_options, ack)| {
            let header_len: usize = if has_options { 32 } else { 20 };
            let mut frame = [&MAC[..], &[2, 0, 0, 0, 0, 1]].concat();
            match address {
                IpAddr::V4(to) => {
                    frame.extend([
                        0x08,
                        0x00,
                        0x45,
                        0,
                        0,
                        20 + header_len as u8,
                        0,
                        1,
                        0x40,
                        0,
                        64,
                        6,
                        0,
                        0,
                        192,
                        0,
                        2,
                        1,
                    ]);
                    frame.extend(to.octets());
                }
                IpAddr::V6(to) => {
                    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, header_len as u8, 6, 64]);
                    frame.extend([&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &to.octets()].concat());
                }
            }
            frame.extend([0x9c, 0x40]);
            frame.extend(PORT.to_be_bytes());
            frame.extend([&[1, 2, 3, 4][..], &ack, &[(header_len << 2) as u8, 0x10, 0xff, 0xff, 0, 0, 0, 0]].concat());
            if has_options {
                frame.extend([&[1, 1, 8, 10, 0, 0, 0, 1][..], &ack].concat());
            }
            frame.resize(100, 0);
            frame
        });
    (frame, prop::collection::vec(change, 0..3)).prop_map(|(mut frame, changes)| {
        for (at, bits) in changes {
            frame[at] ^= bits;
        }
        frame
    })
}
