//! Capture files as other programs write them: each is read as tshark reads it, frame by frame, and what is not read is
//! named.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use lethe::time::Instant;
use lethe_sim::capture::{CaptureError, Packet, Reader};

/// 2026-11-22T00:00:00Z.
const SECONDS: u64 = 1_795_305_600;

const STANDARD: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;
const IXIA_HARDWARE: u32 = 0x1c00_01ac;
const IXIA_SOFTWARE: u32 = 0x1c00_01ab;

const ETHERNET: u32 = 1;

/// The text 注释 in GBK, which is not UTF-8.
const GBK: &[u8] = b"\xd7\xa2\xca\xcd";

/// What is captured: a frame that says which one it is.
fn frame(number: u8) -> Vec<u8> {
    long_frame(number, 60)
}

fn long_frame(number: u8, len: usize) -> Vec<u8> {
    let mut frame = b"\x02\x4c\x65\x74\x68\x65\x02\0\0\0\0\x01\x08\0".to_vec();
    frame.resize(len, number);
    frame
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Order {
    Big,
    Little,
}

use Order::{Big, Little};

impl Order {
    const fn other(self) -> Self {
        match self {
            Big => Little,
            Little => Big,
        }
    }

    fn u16(self, value: u16) -> [u8; 2] {
        if self == Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self == Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }

    fn i64(self, value: i64) -> [u8; 8] {
        if self == Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// A classic file in the making.
#[derive(Clone)]
struct Pcap {
    order: Order,
    /// What stands between the fields of a record that all kinds have, and its frame.
    extra: &'static [u8],
    bytes: Vec<u8>,
}

/// What a record says.
#[derive(Clone, Copy)]
struct Says {
    fraction: u32,
    captured: u32,
    original: u32,
}

impl Pcap {
    fn new(order: Order, magic: u32) -> Self {
        Self::with(order, magic, (2, 4), 65_535, ETHERNET)
    }

    fn with(order: Order, magic: u32, version: (u16, u16), snap_len: u32, link_type: u32) -> Self {
        let version = [order.u16(version.0), order.u16(version.1)].concat();
        let rest = order.words(&[0, 0, snap_len, link_type]);
        Self { order, extra: b"", bytes: [&order.u32(magic)[..], &version, &rest].concat() }
    }

    fn extra(self, extra: &'static [u8]) -> Self {
        Self { extra, ..self }
    }

    fn says(mut self, frame: &[u8], says: Says) -> Self {
        let Says { fraction, captured, original } = says;
        self.bytes.extend(self.order.words(&[SECONDS as u32, fraction, captured, original]));
        self.bytes.extend(self.extra);
        self.bytes.extend(frame);
        self
    }

    fn frame(self, frame: &[u8], fraction: u32, original: u32) -> Self {
        self.says(frame, Says { fraction, captured: frame.len() as u32, original })
    }

    /// Four frames, each complete.
    fn four(self, fraction: u32) -> Vec<u8> {
        (1..=4).fold(self, |file, number| file.frame(&frame(number), fraction, 60)).bytes
    }
}

/// A pcapng file in the making.
#[derive(Clone)]
struct Ng {
    order: Order,
    bytes: Vec<u8>,
}

/// A frame in an enhanced packet block, in the last microsecond of a second.
#[derive(Clone, Copy)]
struct Enhanced {
    interface: u32,
    ticks: u64,
    original: u32,
}

const PLAIN: Enhanced = Enhanced { interface: 0, ticks: SECONDS * 1_000_000 + 123_456, original: 60 };

impl Ng {
    fn new(order: Order) -> Self {
        Self { order, bytes: Vec::new() }.section(order, (1, 0), &[])
    }

    fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let len = self.order.u32((12 + body.len() + padding.len()) as u32);
        self.bytes.extend([&self.order.u32(kind)[..], &len, body, &padding, &len].concat());
        self
    }

    fn section(mut self, order: Order, version: (u16, u16), options: &[u8]) -> Self {
        self.order = order;
        let version = [order.u16(version.0), order.u16(version.1)].concat();
        let body = [&order.u32(0x1a2b_3c4d)[..], &version, &[0xff; 8], options].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [&self.order.u16(code)[..], &self.order.u16(value.len() as u16), value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn interface_of(self, link_type: u16, snap_len: u32, options: &[u8]) -> Self {
        let body = [&self.order.u16(link_type)[..], &[0; 2], &self.order.u32(snap_len), options].concat();
        self.block(1, &body)
    }

    fn interface(self) -> Self {
        self.interface_of(1, 0, &[])
    }

    /// An interface with this option, as it is with the end of options behind it.
    fn interface_with(self, code: u16, value: &[u8]) -> Self {
        let options = [self.option(code, value), self.option(0, b"")].concat();
        self.interface_of(1, 0, &options)
    }

    fn enhanced(self, frame: &[u8], says: Enhanced, options: &[u8]) -> Self {
        let Enhanced { interface, ticks, original } = says;
        let fields = self.order.words(&[interface, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, original]);
        let padding = vec![0; frame.len().next_multiple_of(4) - frame.len()];
        self.block(6, &[&fields, frame, &padding, options].concat())
    }

    fn plain(self, number: u8) -> Self {
        self.enhanced(&frame(number), PLAIN, &[])
    }

    fn simple(self, frame: &[u8], original: u32) -> Self {
        let len = self.order.u32(original);
        self.block(3, &[&len[..], frame].concat())
    }

    /// The packet block of before 2009.
    fn obsolete(self, frame: &[u8], original: u32) -> Self {
        let ticks = PLAIN.ticks;
        let fields = self.order.words(&[(ticks >> 32) as u32, ticks as u32, frame.len() as u32, original]);
        let interface = [self.order.u16(0), self.order.u16(0xffff)].concat();
        self.block(2, &[&interface[..], &fields, frame].concat())
    }
}

fn read(file: &[u8]) -> (Vec<Packet>, Option<CaptureError>) {
    let reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut packets = Vec::new();
    for packet in reader {
        match packet {
            Ok(packet) => packets.push(packet),
            Err(error) => return (packets, Some(error)),
        }
    }
    (packets, None)
}

#[track_caller]
fn whole(file: &[u8]) -> Vec<Packet> {
    let (packets, error) = read(file);
    assert!(error.is_none(), "{}", said(error.as_ref()));
    packets
}

/// An error with all that is behind it, as people read it.
fn said(error: Option<&CaptureError>) -> String {
    let mut said = String::new();
    let mut next = error.map(|error| error as &dyn std::error::Error);
    while let Some(error) = next {
        write!(said, "{}{error}", if said.is_empty() { "" } else { ": " }).unwrap();
        next = error.source();
    }
    said
}

fn error_of(file: &[u8]) -> String {
    said(read(file).1.as_ref())
}

fn at(nanos: u64) -> Instant {
    Instant::from_unix_nanos(SECONDS * 1_000_000_000 + nanos)
}

fn times(packets: &[Packet]) -> Vec<Instant> {
    packets.iter().map(|packet| packet.at).collect()
}

fn four_frames(packets: &[Packet]) -> bool {
    packets.iter().map(|packet| &packet.bytes).eq(&[1, 2, 3, 4].map(frame))
}

#[test]
fn the_length_of_a_snapshot_says_nothing_of_the_frames() {
    for snap_len in [0, 10, 59, 60, u32::MAX] {
        for order in [Big, Little] {
            let file = Pcap::with(order, STANDARD, (2, 4), snap_len, ETHERNET).four(123_456);
            assert!(four_frames(&whole(&file)), "{snap_len} {order:?}");
        }
    }
    assert_eq!(whole(include_bytes!("cases/8a-snaplen-0.pcap")), whole(include_bytes!("cases/8-good.pcap")));
}

#[test]
fn an_original_length_below_the_captured_one_takes_nothing_from_the_frame() {
    for original in [0, 1, 20, 59] {
        let classic = Pcap::new(Little, STANDARD).frame(&frame(1), 123_456, original).bytes;
        let ng = Ng::new(Little).interface().enhanced(&frame(1), Enhanced { original, ..PLAIN }, &[]).bytes;
        let old = Ng::new(Little).interface().obsolete(&frame(1), original).bytes;
        for file in [classic, ng, old] {
            let expected = Packet { at: at(123_456_000), interface: 0, bytes: frame(1), original_len: original };
            assert!(!expected.is_cut());
            assert_eq!(whole(&file), [expected]);
        }
    }
}

#[test]
fn a_fraction_of_a_second_and_more_counts_on() {
    let classic = |magic, fraction| Pcap::new(Little, magic).frame(&frame(1), fraction, 60).bytes;
    for (magic, fraction, nanos) in [
        (STANDARD, 999_999, 999_999_000),
        (STANDARD, 1_000_000, 1_000_000_000),
        (STANDARD, 1_500_000, 1_500_000_000),
        (STANDARD, u32::MAX, 4_294_967_295_000),
        (NANOSECONDS, 1_500_000_000, 1_500_000_000),
        (NANOSECONDS, u32::MAX, 4_294_967_295),
    ] {
        assert_eq!(times(&whole(&classic(magic, fraction))), [at(nanos)], "{magic:x} {fraction}");
    }
}

#[test]
fn text_of_any_encoding_may_be_in_a_file() {
    assert_eq!(whole(include_bytes!("cases/8f-comment-in-gbk.pcapng")).len(), 1);
    for order in [Big, Little] {
        let ng = Ng::new(order);
        let of = |codes: &[u16]| codes.iter().flat_map(|&code| ng.option(code, GBK)).collect::<Vec<_>>();
        let text_in_all = Ng { order, bytes: Vec::new() }
            .section(order, (1, 0), &of(&[1, 2, 3, 4]))
            .interface_of(1, 0, &of(&[1, 2, 3, 12, 15]))
            .enhanced(&frame(1), PLAIN, &of(&[1]))
            .block(4, &[&order.u16(1)[..], &order.u16(8), &[10, 9, 0, 1], GBK, &[0; 4]].concat());
        assert_eq!(whole(&text_in_all.bytes).len(), 1, "{order:?}");
    }
}

#[test]
fn kuznetzovs_records_have_a_longer_head() {
    assert_eq!(whole(include_bytes!("cases/8d-kuznetzov.pcap")), whole(include_bytes!("cases/8-good.pcap")));
    for order in [Big, Little] {
        // Of October 1999, of September (with two more fields), and of April, which had the magic of everybody else.
        for (magic, extra) in [(KUZNETZOV, &[7; 8][..]), (KUZNETZOV, &[7; 12]), (STANDARD, &[7; 8])] {
            let file = Pcap::new(order, magic).extra(extra).four(123_456);
            let packets = whole(&file);
            assert!(four_frames(&packets), "{order:?} {magic:x} {}", extra.len());
            assert_eq!(times(&packets), [at(123_456_000); 4]);
        }
    }
}

#[test]
fn records_of_nokia_have_four_bytes_more() {
    for order in [Big, Little] {
        assert!(four_frames(&whole(&Pcap::new(order, STANDARD).extra(b"\xee\xdd\xcc\xbb").four(0))), "{order:?}");
    }
}

#[test]
fn a_file_of_ixia_says_first_how_long_it_is() {
    for order in [Big, Little] {
        for magic in [IXIA_HARDWARE, IXIA_SOFTWARE] {
            let mut file = Pcap::new(order, magic);
            file.bytes.extend(order.u32(4 * (16 + 60)));
            let packets = whole(&file.four(123_456));
            assert!(four_frames(&packets), "{order:?} {magic:x}");
            assert_eq!(times(&packets), [at(123_456_000); 4]);
        }
    }
}

#[test]
fn lengths_are_the_other_way_round_in_old_versions() {
    let swapped = Says { fraction: 5, captured: 100, original: 60 };
    for version in [(2, 0), (2, 1), (2, 2), (2, 3), (543, 0)] {
        let file = Pcap::with(Little, STANDARD, version, 65_535, ETHERNET).says(&frame(1), swapped).bytes;
        let expected = Packet { at: at(5000), interface: 0, bytes: frame(1), original_len: 100 };
        assert_eq!(whole(&file), [expected], "{version:?}");
    }
    // Of version 2.3 there are both.
    for version in [(2, 3), (2, 4), (2, 5), (3, 0)] {
        let file = Pcap::with(Little, STANDARD, version, 65_535, ETHERNET).frame(&frame(1), 5, 100).bytes;
        assert_eq!(whole(&file)[0].original_len, 100, "{version:?}");
    }
}

#[test]
fn aix_numbers_ethernet_otherwise_and_counts_nanoseconds() {
    for order in [Big, Little] {
        let file = Pcap::with(order, STANDARD, (2, 2), 65_535, 6).four(123_456_789);
        let packets = whole(&file);
        assert!(four_frames(&packets), "{order:?}");
        assert_eq!(times(&packets), [at(123_456_789); 4]);
    }
}

#[test]
fn the_resolution_of_an_interface_is_any_power_of_ten_or_of_two() {
    for (exponent, units) in [
        (0, 1),
        (1, 10),
        (3, 1000),
        (10, 10_u128.pow(10)),
        (12, 10_u128.pow(12)),
        (19, 10_u128.pow(19)),
        (0x80, 1),
        (0x81, 2),
        (0x8a, 1024),
        (0x9e, 1 << 30),
        (0xa2, 1 << 34),
        (0xbf, 1 << 63),
    ] {
        // As far as a file of that resolution can say it: of small units, 64 bits are a short while.
        let ticks = u64::try_from(units * u128::from(SECONDS) + units / 3).unwrap_or((units / 3) as u64);
        let expected = u128::from(ticks) * 1_000_000_000 / units;
        let file = Ng::new(Big).interface_with(9, &[exponent]).enhanced(&frame(1), Enhanced { ticks, ..PLAIN }, &[]);
        let found = times(&whole(&file.bytes));
        assert_eq!(found, [Instant::from_unix_nanos(expected as u64)], "{exponent:x}");
    }
    // So small a unit that no file reaches a nanosecond.
    for exponent in [60, 0x7f, 0xff] {
        let file = Ng::new(Big).interface_with(9, &[exponent]).plain(1);
        assert_eq!(times(&whole(&file.bytes)), [Instant::default()], "{exponent:x}");
    }
}

#[test]
fn an_option_of_a_length_that_it_cannot_have_is_passed_over() {
    let microseconds = at(123_456_000);
    for (code, value) in [(9, &b""[..]), (9, b"\x09\x09"), (14, b"\0\0\0\x09"), (14, b"")] {
        let file = Ng::new(Big).interface_with(code, value).plain(1);
        assert_eq!(times(&whole(&file.bytes)), [microseconds], "{code} {value:?}");
    }
}

#[test]
fn times_are_counted_from_the_offset_of_their_interface() {
    let after = |offset| times(&whole(&Ng::new(Big).interface_with(14, &Big.i64(offset)).plain(1).bytes));
    assert_eq!(after(1000), [at(1_000_123_456_000)]);
    assert_eq!(after(-1000), [Instant::from_unix_nanos((SECONDS - 1000) * 1_000_000_000 + 123_456_000)]);
    // Before 1970, where our clock begins, and behind its end.
    assert_eq!(after(-SECONDS.cast_signed() - 5), [Instant::default()]);
    assert_eq!(after(i64::MIN), [Instant::default()]);
    assert_eq!(after(i64::MAX), [Instant::from_unix_nanos(u64::MAX)]);
}

#[test]
fn a_simple_packet_is_as_long_as_the_snapshot_of_its_interface() {
    let file = Ng::new(Little).interface_of(1, 10, &[]).simple(&frame(1)[..10], 60).plain(2);
    let packets = whole(&file.bytes);
    assert_eq!(
        packets[0],
        Packet { at: Instant::default(), interface: 0, bytes: frame(1)[..10].to_vec(), original_len: 60 }
    );
    assert!(packets[0].is_cut());
    assert_eq!(packets[1].bytes, frame(2));
}

#[test]
fn blocks_that_say_nothing_of_frames_are_passed_over() {
    let huge = vec![7; 3 << 20];
    let file = Ng::new(Big)
        .block(0x99, b"abc")
        .interface()
        .block(0x8000_0001, b"")
        .plain(1)
        .block(0xbad, b"\0\0\x7e\xd9xx")
        .block(5, &[0xff; 12])
        .block(4, &[0xff; 8])
        .plain(2)
        .block(9, GBK)
        .block(0x99, &huge)
        .plain(3);
    assert_eq!(whole(&file.bytes).len(), 3);
}

#[test]
fn each_section_has_its_byte_order_and_its_interfaces() {
    for order in [Big, Little] {
        let nanoseconds = Enhanced { interface: 1, ticks: SECONDS * 1_000_000_000 + 7, original: 60 };
        let file = Ng::new(order)
            .interface()
            .plain(1)
            .section(order.other(), (1, 2), &[])
            .interface()
            .interface_with(9, &[9])
            .enhanced(&frame(2), nanoseconds, &[])
            .section(order, (1, 0), &[])
            .plain(3);
        let (packets, error) = read(&file.bytes);
        assert_eq!(times(&packets), [at(123_456_000), at(7)]);
        let expected =
            "the file is damaged after 2 packets: a packet of interface 0, where its section has described 0";
        assert_eq!(said(error.as_ref()), expected);
    }
}

#[test]
fn a_frame_is_as_long_as_any_that_tshark_reads_and_no_longer() {
    let expected = "the file is damaged after 1 packet: a packet of 262145 bytes, where none has more than 262144";
    for len in [262_144, 262_145] {
        let frame = long_frame(1, len);
        let original = len as u32;
        let ng = Ng::new(Big).interface().plain(9).enhanced(&frame, Enhanced { original, ..PLAIN }, &[]).plain(9).bytes;
        let classic = Pcap::with(Big, STANDARD, (2, 4), 0, ETHERNET).frame(&long_frame(9, 60), 0, 60);
        for file in [ng, classic.frame(&frame, 0, original).frame(&frame, 0, original).bytes] {
            match len {
                262_144 => assert_eq!(whole(&file)[1].bytes.len(), len),
                _ => assert_eq!(error_of(&file), expected),
            }
        }
    }
}

#[test]
fn damage_is_said_in_words() {
    let ng = Ng::new(Little).interface().plain(1);
    let with = |bytes: &[u8]| [&ng.bytes[..], bytes].concat();
    let good = ng.clone().plain(2).bytes[ng.bytes.len()..].to_vec();
    let mut other_end = good.clone();
    let last = other_end.len() - 4;
    other_end[last] = 80;
    let mut captured = good.clone();
    captured[20] = 100;
    let mut long_option = ng.clone().enhanced(&frame(2), PLAIN, b"\x01\0\xf4\x01abcd").bytes;
    long_option.drain(..ng.bytes.len());
    let short = Ng { order: Little, bytes: Vec::new() }.block(6, &[0; 16]).bytes;
    let simple = Ng { order: Little, bytes: Vec::new() }.simple(&frame(2), 100).bytes;
    for (what, bytes, expected) in [
        ("end", &other_end[..], "a block begins with a length of 92 bytes, and ends with one of 80"),
        ("captured", &captured, "a packet of 100 bytes in a block that has room for 60"),
        ("option", &long_option, "an option of 500 bytes, where its block has 4 left"),
        ("short", &short, "an enhanced packet block of 28 bytes, which has at least 32"),
        ("simple", &simple, "a packet of 100 bytes in a block that has room for 60"),
        ("length", &[6, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0], "a block of 11 bytes, where each has 12 to 16777216"),
        (
            "length",
            &[6, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0],
            "a block of 2147483648 bytes, where each has 12 to 16777216",
        ),
    ] {
        assert_eq!(error_of(&with(bytes)), format!("the file is damaged after 1 packet: {expected}"), "{what}");
    }
    let no_interface = Ng::new(Little).simple(&frame(1), 60).bytes;
    let expected = "the file is damaged after 0 packets: a packet of interface 0, where its section has described 0";
    assert_eq!(error_of(&no_interface), expected);
    let mut byte_order = Ng::new(Little).bytes;
    byte_order[8] = 0;
    let expected = "the file is damaged after 0 packets: a section whose byte order is neither big nor little";
    assert_eq!(error_of(&byte_order), expected);
}

#[test]
fn a_version_that_is_not_known_is_no_damage() {
    let classic = Pcap::with(Little, STANDARD, (1, 0), 65_535, ETHERNET).four(0);
    assert_eq!(error_of(&classic), "this is a pcap file of version 1.0, where 2.0 and later are read");
    for version in [(1, 1), (2, 0)] {
        let ng = Ng { order: Little, bytes: Vec::new() }.section(Little, version, &[]).interface().plain(1).bytes;
        let (major, minor) = version;
        let expected = format!("this is a pcapng file of version {major}.{minor}, where 1.0 and 1.2 are read");
        assert_eq!(error_of(&ng), expected);
    }
}

#[test]
fn what_is_compressed_is_named_with_what_unpacks_it() {
    for (begin, name, program) in [
        (&b"\x1f\x8b\x08\x00"[..], "gzip", "gunzip"),
        (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
        (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
        (b"\xfd7zXZ\0", "xz", "unxz"),
        (b"BZh91AY", "bzip2", "bunzip2"),
        (b"PK\x03\x04", "zip", "unzip"),
    ] {
        let file = [begin, &[0; 40]].concat();
        assert_eq!(error_of(&file), format!("the file is compressed by {name}: unpack it first ({program})"));
    }
}

#[test]
fn captures_of_other_kinds_are_named() {
    let converts = "convert it first (editcap -F pcapng IN OUT)";
    for (begin, name) in [
        (&b"snoop\0\0\0"[..], "snoop"),
        (b"GMBU\0\0", "Microsoft Network Monitor"),
        (b"RTSS\0\0", "Microsoft Network Monitor"),
        (b"TRSNIFF data    \x1a", "Sniffer"),
        (b"XCP\0", "NetXray"),
        (b"\x7fver\0", "EtherPeek"),
        (b"iptrace 1.0", "iptrace of AIX"),
        (b"iptrace 2.0", "iptrace of AIX"),
    ] {
        let file = [begin, &[0; 200]].concat();
        assert_eq!(
            error_of(&file),
            format!("this is a capture in the format of {name}, not pcap or pcapng: {converts}")
        );
    }
    for order in [Big, Little] {
        for (magic, name) in [
            (0xa1b2_34cd, "F. Mesquita"),
            (0xa12b_3c4d, "Navtel"),
            (0xa1b2_c3cb, "a filter on the card (CBPF)"),
            (0xa1e2_cb12, "an early pcap-ng"),
        ] {
            let expected = format!("this is pcap as changed by {name} (magic number {magic:08x}), which is not read");
            assert_eq!(error_of(&Pcap::new(order, magic).four(0)), expected, "{order:?}");
        }
    }
    assert_eq!(error_of(b"GET / HTTP/1.1\r\n\r\n"), "this is neither a pcap nor a pcapng file");
}

#[test]
fn link_types_other_than_ethernet_are_named() {
    for (link_type, name) in [
        (0, "BSD loopback; capture on a TAP device or another Ethernet interface"),
        (9, "PPP"),
        (101, "raw IP, as of a TUN device; capture on a TAP device or another Ethernet interface"),
        (105, "IEEE 802.11"),
        (113, "Linux cooked: a capture on `any`; name one interface instead"),
        (127, "IEEE 802.11 with radiotap"),
        (276, "Linux cooked: a capture on `any`; name one interface instead"),
    ] {
        let expected = format!("packet 1 is no Ethernet frame: its interface has link type {link_type} ({name})");
        assert_eq!(error_of(&Pcap::with(Big, STANDARD, (2, 4), 0, link_type).four(0)), expected);
        let ng = Ng::new(Big).interface_of(link_type as u16, 0, &[]).plain(1).bytes;
        assert_eq!(error_of(&ng), expected);
    }
    let unnamed = "packet 1 is no Ethernet frame: its interface has link type 300";
    assert_eq!(error_of(&Pcap::with(Big, STANDARD, (2, 4), 0, 300).four(0)), unnamed);
    // Bits that say another class of types.
    let reserved = "packet 1 is no Ethernet frame: its interface has link type 65537";
    assert_eq!(error_of(&Pcap::with(Big, STANDARD, (2, 4), 0, 0x0001_0001).four(0)), reserved);
}

/// Classic files, by name.
fn classic(order: Order) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| all.push((format!("{name}, {order:?}"), bytes));
    let standard = || Pcap::new(order, STANDARD);
    add("standard", standard().four(123_456));
    add("nanoseconds", Pcap::new(order, NANOSECONDS).four(123_456_789));
    for snap_len in [0, 10] {
        add(&format!("snap length {snap_len}"), Pcap::with(order, STANDARD, (2, 4), snap_len, 1).four(5));
    }
    for original in [0, 20, 100] {
        let file = standard().frame(&frame(1), 5, original).frame(&frame(2), 5, 60);
        add(&format!("original {original}"), file.bytes);
    }
    add("fraction", standard().frame(&frame(1), 999_999, 60).frame(&frame(2), 1_000_000, 60).bytes);
    add("large fraction", standard().four(1_500_000));
    add("all at once", Pcap::with(order, STANDARD, (2, 4), 0, 1).frame(&frame(1), 2_000_000, 1).bytes);
    for (name, magic, extra) in [
        ("of October", KUZNETZOV, &[7; 8][..]),
        ("of September", KUZNETZOV, &[7; 12]),
        ("of April", STANDARD, &[7; 8]),
        ("of Nokia", STANDARD, &[7; 4]),
    ] {
        add(name, Pcap::new(order, magic).extra(extra).four(123_456));
        add(&format!("one {name}"), Pcap::new(order, magic).extra(extra).frame(&frame(1), 5, 60).bytes);
    }
    for magic in [IXIA_HARDWARE, IXIA_SOFTWARE] {
        let mut file = Pcap::new(order, magic);
        file.bytes.extend(order.u32(4 * (16 + 60)));
        add("of Ixia", file.four(123_456));
    }
    for version in [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (3, 0), (543, 0), (1, 0)] {
        let of = || Pcap::with(order, STANDARD, version, 65_535, ETHERNET);
        let swapped = Says { fraction: 5, captured: 100, original: 60 };
        add(&format!("version {version:?}"), of().frame(&frame(1), 5, 100).frame(&frame(2), 5, 100).bytes);
        add(&format!("version {version:?} swapped"), of().says(&frame(1), swapped).says(&frame(2), swapped).bytes);
    }
    add("of AIX", Pcap::with(order, STANDARD, (2, 2), 65_535, 6).four(123_456_789));
    add("nothing", standard().bytes);
    add("an empty frame", standard().frame(b"", 5, 0).frame(&frame(1), 5, 60).bytes);
    add("check sequence", Pcap::with(order, STANDARD, (2, 4), 65_535, 0x2400_0001).four(5));
    let mut cut = standard().four(5);
    cut.truncate(cut.len() - 3);
    add("cut", cut.clone());
    cut.truncate(24 + 16 + 60 + 7);
    add("cut in a head", cut);
    let long = |len| {
        let file = Pcap::with(order, STANDARD, (2, 4), 0, ETHERNET).frame(&frame(1), 5, 60);
        file.frame(&long_frame(2, len), 5, len as u32).frame(&frame(3), 5, 60).bytes
    };
    add("long", long(262_144));
    add("too long", long(262_145));
    all
}

/// Files of blocks, by name.
fn of_blocks(order: Order) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| all.push((format!("{name}, {order:?}"), bytes));
    let ng = || Ng::new(order).interface();
    add("pcapng", ng().plain(1).plain(2).bytes);
    let with = |code, value: &[u8]| Ng::new(order).interface_with(code, value);
    for (exponent, units) in
        [(0, 1), (1, 10), (6, 1_000_000), (9, 1_000_000_000), (0x80, 1), (0x8a, 1024), (0x9e, 1 << 30)]
    {
        let ticks = SECONDS * units + units / 3;
        let file = with(9, &[exponent]).enhanced(&frame(1), Enhanced { ticks, ..PLAIN }, &[]);
        add(&format!("resolution {exponent}"), file.bytes);
    }
    for value in [&b""[..], b"\x09\x09"] {
        add("resolution of another length", with(9, value).plain(1).bytes);
    }
    add("offset", with(14, &order.i64(1000)).plain(1).bytes);
    add("negative offset", with(14, &order.i64(-1000)).plain(1).bytes);
    add("offset of another length", with(14, &[9; 4]).plain(1).bytes);
    let gbk = Ng::new(order).option(1, GBK);
    add("comment", ng().enhanced(&frame(1), PLAIN, &gbk).plain(2).bytes);
    for original in [0, 20, 200] {
        add("original", ng().enhanced(&frame(1), Enhanced { original, ..PLAIN }, &[]).plain(2).bytes);
    }
    add("simple", ng().simple(&frame(1), 60).plain(2).simple(&frame(3), 60).bytes);
    add("simple and cut", Ng::new(order).interface_of(1, 10, &[]).simple(&frame(1)[..10], 60).plain(2).bytes);
    add("simple and too short", ng().simple(&frame(1), 100).bytes);
    add("simple without interface", Ng::new(order).simple(&frame(1), 60).bytes);
    add("no interface", Ng::new(order).plain(1).bytes);
    add("another interface", ng().plain(1).enhanced(&frame(1), Enhanced { interface: 1, ..PLAIN }, &[]).bytes);
    add("obsolete", ng().obsolete(&frame(1), 60).obsolete(&frame(2), 20).bytes);
    add("unknown", ng().block(0x99, b"abc").plain(1).block(0x8000_0001, b"").plain(2).bytes);
    let other = order.other();
    add("sections", ng().plain(1).section(other, (1, 0), &[]).interface().plain(2).section(order, (1, 2), &[]).bytes);
    add("no end of options", ng().interface_of(1, 0, &gbk).plain(1).bytes);
    let lying = [order.u16(2), order.u16(500)].concat();
    add("option too long", Ng::new(order).interface_of(1, 0, &[&lying[..], b"abcd"].concat()).plain(1).bytes);
    add("option of a packet too long", ng().enhanced(&frame(1), PLAIN, &[&lying[..], b"abcd"].concat()).bytes);
    let whole = ng().plain(1).plain(2).bytes;
    for cut in [3, 86, 90] {
        add("pcapng cut", whole[..whole.len() - cut].to_vec());
    }
    for version in [(1, 1), (1, 2), (2, 0)] {
        let file = Ng { order, bytes: Vec::new() }.section(order, version, &[]).interface().plain(1);
        add(&format!("pcapng version {version:?}"), file.bytes);
    }
    let two_types = Ng::new(order).interface_of(113, 0, &[]).interface();
    add("two types", two_types.enhanced(&frame(1), Enhanced { interface: 1, ..PLAIN }, &[]).bytes);
    all
}

/// A frame as both tell it: its time in nanoseconds where it has one, bytes on the wire, its interface and its bytes.
#[derive(PartialEq, Debug)]
struct Told {
    at: Option<u64>,
    original: u32,
    interface: u32,
    bytes: String,
}

/// What tshark reads of a file, and whether it read all of it.
fn by_tshark(file: &[u8]) -> (Vec<Told>, bool) {
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(file).unwrap();
    let output = Command::new("tshark").args(["-T", "json", "-x", "-J", "frame", "-r"]).arg(on_disk.path()).output();
    let output = output.expect("tshark is there: `tools/install test` installs it");
    let mut told = Vec::new();
    let mut lines = str::from_utf8(&output.stdout).unwrap().lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("\"_index\"") {
            told.push(Told { at: None, original: 0, interface: 0, bytes: String::new() });
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        let (value, frame) = (value.trim_matches([',', '"']), told.last_mut().unwrap());
        match name.trim_matches('"') {
            "frame_raw" => lines.next().unwrap().trim_matches([',', '"']).clone_into(&mut frame.bytes),
            "frame.len" => frame.original = value.parse().unwrap(),
            "frame.interface_id" => frame.interface = value.parse().unwrap(),
            "frame.time_epoch" => {
                // A fraction of more than a second is written as it is, with more digits.
                let (seconds, nanos) = value.split_once('.').unwrap();
                frame.at = Some(seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos.parse::<u64>().unwrap());
            }
            _ => {}
        }
    }
    (told, output.status.success())
}

/// What we read of it. Simple packets have no time: ours is that of the frame before.
fn by_us(file: &[u8], theirs: &[Told]) -> (Vec<Told>, bool) {
    let (packets, error) = read(file);
    let timed = theirs.iter().map(|told| told.at.is_some()).chain(std::iter::repeat(true));
    let told = packets.iter().zip(timed).map(|(packet, timed)| Told {
        at: timed.then(|| packet.at.as_unix_nanos()),
        original: packet.original_len,
        interface: packet.interface,
        bytes: packet.bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        }),
    });
    (told.collect(), error.is_none())
}

#[test]
fn each_file_is_read_as_tshark_reads_it() {
    let mut others = Vec::new();
    // It takes a fifth of a second to start tshark: every other file is in the other byte order.
    let of = |order| classic(order).into_iter().chain(of_blocks(order));
    for (at, (big, little)) in of(Big).zip(of(Little)).enumerate() {
        let (name, file) = if at % 2 == 0 { big } else { little };
        let theirs = by_tshark(&file);
        let ours = by_us(&file, &theirs.0);
        if ours != theirs {
            others.push(format!(
                "{name}: {} frames and {}, by tshark {} and {}",
                ours.0.len(),
                ours.1,
                theirs.0.len(),
                theirs.1
            ));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}
