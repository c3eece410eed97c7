//! What a file is that is no capture, or no capture of Ethernet.

use super::CaptureError;

/// How compressed files begin, by what they are, and what unpacks them.
const COMPRESSED: [(&[u8], &str, &str); 6] = [
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"PK\x03\x04", "zip", "unzip"),
];

/// How captures of other kinds begin, all of which `editcap` reads.
const OTHERS: [(&[u8], &str); 7] = [
    (b"snoop\0\0\0", "snoop"),
    (b"GMBU", "Microsoft Network Monitor"),
    (b"RTSS", "Microsoft Network Monitor"),
    (b"TRSNIFF data    \x1a", "Sniffer"),
    (b"XCP\0", "NetXray"),
    (b"\x7fver", "EtherPeek"),
    (b"iptrace ", "iptrace of AIX"),
];

/// As much as there has to be of a file to tell what it is.
pub(super) const BEGINNING: usize = 17;

/// What a file is, by its beginning.
pub(super) fn not_a_capture(begin: &[u8]) -> CaptureError {
    if let Some(&(_, by, program)) = COMPRESSED.iter().find(|(magic, ..)| begin.starts_with(magic)) {
        return CaptureError::Compressed { by, program };
    }
    let other = OTHERS.iter().find(|(magic, _)| begin.starts_with(magic));
    other.map_or(CaptureError::NotACapture, |&(_, format)| CaptureError::OtherFormat { format })
}

/// Where frames of Ethernet are to be had, for people who captured something else.
pub(super) fn link_type(link_type: u32) -> String {
    let name = match link_type {
        0 | 108 => "BSD loopback; capture on a TAP device or another Ethernet interface",
        9 | 50 | 51 => "PPP",
        12 | 14 | 101 | 228 | 229 => {
            "raw IP, as of a TUN device; capture on a TAP device or another Ethernet interface"
        }
        105 => "IEEE 802.11",
        113 | 276 => "Linux cooked: a capture on `any`; name one interface instead",
        127 => "IEEE 802.11 with radiotap",
        187 | 201 => "Bluetooth",
        189 | 220 => "USB",
        239 => "the log of netfilter",
        _ => return String::new(),
    };
    format!(" ({name})")
}
