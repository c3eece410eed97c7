//! What the engine may leave to a network card, done in software, and without the engine's own sum: else an error there
//! would be on both sides.

use lethe::port::TxChecksum;

use crate::frame::internet_checksum;

/// Where an IPv4 header has its length, its identification and its checksum.
const IPV4_LENGTH: usize = 2;
const IPV4_IDENTIFICATION: usize = 4;
const IPV4_CHECKSUM: usize = 10;
/// Where an IPv6 header has its length, and how long it is.
const IPV6_LENGTH: usize = 4;
const IPV6_HEADER_LEN: usize = 40;
/// Where a TCP header has its sequence number, its own length, its flags and its checksum.
const TCP_SEQ: usize = 4;
const TCP_DATA_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
/// FIN and PSH, which only the last segment of a frame has.
const LAST_FLAGS: u8 = 0x09;

/// The frames that go on the wire for one that the engine wrote: two where it has to be cut, and their checksums are
/// in place.
pub fn on_the_wire(frame: &mut [u8], checksum: TxChecksum) -> Vec<Vec<u8>> {
    let TxChecksum::Partial { network_offset, network_len, network, transport, segment_len } = checksum else {
        return vec![frame.to_vec()];
    };
    if let Some(segment_len) = segment_len {
        return cut(frame, network_offset, network_len, segment_len.into());
    }
    let (header, segment) = frame[network_offset..].split_at_mut(network_len);
    if network {
        put(header, IPV4_CHECKSUM);
    }
    if transport {
        put(segment, TCP_CHECKSUM);
    }
    vec![frame.to_vec()]
}

/// Sums up all there is, with what the field holds already, and puts the result there.
fn put(bytes: &mut [u8], at: usize) {
    let checksum = internet_checksum([&*bytes]);
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Segments of this size, each with the headers of the frame, as Linux and cards cut it (TSO).
fn cut(frame: &[u8], network_offset: usize, network_len: usize, segment_len: usize) -> Vec<Vec<u8>> {
    let transport_offset = network_offset + network_len;
    let transport_len = usize::from(frame[transport_offset + TCP_DATA_OFFSET] >> 4) * 4;
    let (headers, payload) = frame.split_at(transport_offset + transport_len);
    let count = payload.len().div_ceil(segment_len);
    let cut = |(number, part): (usize, &[u8])| {
        let mut frame = [headers, part].concat();
        let (header, segment) = frame[network_offset..].split_at_mut(network_len);
        let len = segment.len() as u16;
        let addresses = if network_len == IPV6_HEADER_LEN {
            header[IPV6_LENGTH..IPV6_LENGTH + 2].copy_from_slice(&len.to_be_bytes());
            &header[8..]
        } else {
            let mut change = |at: usize, change: &dyn Fn(u16) -> u16| {
                let field = u16::from_be_bytes([header[at], header[at + 1]]);
                header[at..at + 2].copy_from_slice(&change(field).to_be_bytes());
            };
            change(IPV4_LENGTH, &|_| len + network_len as u16);
            change(IPV4_IDENTIFICATION, &|first| first.wrapping_add(number as u16));
            change(IPV4_CHECKSUM, &|_| 0);
            put(header, IPV4_CHECKSUM);
            &header[12..]
        };
        let seq = u32::from_be_bytes([segment[TCP_SEQ], segment[5], segment[6], segment[7]]);
        let seq = seq.wrapping_add((number * segment_len) as u32);
        segment[TCP_SEQ..TCP_SEQ + 4].copy_from_slice(&seq.to_be_bytes());
        if number + 1 < count {
            segment[TCP_FLAGS] &= !LAST_FLAGS;
        }
        segment[TCP_CHECKSUM..TCP_CHECKSUM + 2].fill(0);
        let checksum = internet_checksum([addresses, &[0, 6], &len.to_be_bytes(), &*segment]);
        segment[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
        frame
    };
    payload.chunks(segment_len).enumerate().map(cut).collect()
}
