//! Frames for us, and frames that nearly are, with a check that does not use the rules of `filter.rs`.

use ipnet::IpNet;
use proptest::prelude::*;

/// Single addresses of both families.
pub(crate) fn ours() -> Vec<IpNet> {
    let parse = |text: &str| text.parse().unwrap();
    ["10.9.0.2/32", "10.9.0.7/32", "fd09::2/128", "fd09::1:7/128"].map(parse).to_vec()
}

/// Networks whose masks end within a byte, at the end of a word, and within another one.
pub(crate) fn networks() -> Vec<IpNet> {
    let parse = |text: &str| text.parse().unwrap();
    ["10.9.0.2/31", "44.0.0.0/6", "fd09::/64", "fd08:8000::/17"].map(parse).to_vec()
}

/// Whether a frame without a tag is for one of the networks: an IP packet to it, an ARP request for it, or a neighbor
/// solicitation for it. Of an address that is cut short, only what the network is told by must be there.
pub(crate) fn is_for(networks: &[IpNet], frame: &[u8]) -> bool {
    let has = |at: usize, bytes: &[u8]| frame.get(at..at + bytes.len()) == Some(bytes);
    let in_network = |at: usize, net: &IpNet| {
        let (net_bytes, bits) = match net {
            IpNet::V4(net) => (net.addr().octets().to_vec(), usize::from(net.prefix_len())),
            IpNet::V6(net) => (net.addr().octets().to_vec(), usize::from(net.prefix_len())),
        };
        // The kernel's programs read whole words.
        let Some(address) = frame.get(at..at + bits.div_ceil(32) * 4) else { return false };
        (0..bits).all(|bit| (address[bit / 8] ^ net_bytes[bit / 8]) << (bit % 8) & 0x80 == 0)
    };
    networks.iter().any(|net| match net {
        IpNet::V4(_) => {
            (has(12, &[0x08, 0x00]) && in_network(30, net)) || (has(12, &[0x08, 0x06]) && in_network(38, net))
        }
        IpNet::V6(_) => {
            let is_solicitation = has(20, &[58]) && has(38, &[0xff]) && has(54, &[135]);
            has(12, &[0x86, 0xdd]) && (in_network(38, net) || (is_solicitation && in_network(62, net)))
        }
    })
}

/// Frames of each kind to our addresses and to others, whole and truncated.
pub(crate) fn nearly_for_us() -> impl Strategy<Value = Vec<u8>> {
    let v4 = prop_oneof![
        Just([10, 9, 0, 2]),
        Just([10, 9, 0, 7]),
        Just([10, 9, 0, 3]),
        any::<[u8; 3]>().prop_map(|[a, b, c]| [0x2c | a & 3, a, b, c]),
        any::<[u8; 4]>()
    ];
    let v6 = prop_oneof![
        Just(0xfd09 << 112 | 2),
        Just(0xfd09 << 112 | 0x1_0007),
        Just(0xfd09 << 112 | 7u128),
        any::<u64>().prop_map(|low| 0xfd08 << 112 | u128::from(low) << 60)
    ];
    let ether_type = prop_oneof![Just(0x0800u16), Just(0x0806), Just(0x86dd), any::<u16>()];
    let len = prop_oneof![Just(100usize), 14..100usize];
    (ether_type, v4, v6, any::<bool>(), prop_oneof![Just(135u8), any::<u8>()], len).prop_map(
        |(ether_type, v4, v6, is_group, message, len)| {
            let mut frame = [0; 100];
            frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
            let address: [u8; 16] = v6.to_be_bytes();
            match (ether_type, is_group) {
                (0x0806, _) => frame[38..42].copy_from_slice(&v4),
                (0x86dd, true) => {
                    (frame[20], frame[38], frame[54]) = (58, 0xff, message);
                    frame[62..78].copy_from_slice(&address);
                }
                (0x86dd, false) => frame[38..54].copy_from_slice(&address),
                _ => frame[30..34].copy_from_slice(&v4),
            }
            frame[..len].to_vec()
        },
    )
}
