//! Capture files: every format read from bytes written by hand, what is written read back, and damage of
//! every kind reported and never more than that.

use std::io::{self, Write};

use lethe::port::{RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::time::Instant;
use lethe_sim::capture::{CaptureError, Packet, Reader, Replay, Writer};
use proptest::prelude::*;

/// 2026-11-22T00:00:00.123456789Z.
const SECONDS: u32 = 1_795_305_600;
const NANOS: u32 = 123_456_789;
const FRAME: &[u8] = b"\x02\x4c\x65\x74\x68\x65\x02\x00\x00\x00\x00\x01\x08\x00hello";

const ETHERNET: u32 = 1;
const LINUX_SLL: u32 = 113;

#[derive(Clone, Copy, Debug)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Big => value.to_be_bytes(),
            Self::Little => value.to_le_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Big => value.to_be_bytes(),
            Self::Little => value.to_le_bytes(),
        }
    }

    /// A classic pcap file of one packet.
    fn classic(self, magic: u32, link_type: u32, fraction: u32) -> Vec<u8> {
        let len = FRAME.len() as u32;
        let version = [self.u16(2), self.u16(4)].concat();
        // Time zone, accuracy, snap length, link type; then seconds, fraction, both lengths.
        let header = [0, 0, 65_535, link_type].map(|field| self.u32(field)).concat();
        let packet = [SECONDS, fraction, len, len].map(|field| self.u32(field)).concat();
        [&self.u32(magic)[..], &version, &header, &packet, FRAME].concat()
    }

    /// A pcapng block around `body`.
    fn block(self, block_type: u32, body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let len = self.u32((12 + body.len() + padding.len()) as u32);
        [&self.u32(block_type)[..], &len, body, &padding, &len].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        self.block(0x0a0d_0d0a, &[&self.u32(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat())
    }

    /// An interface with the option `if_tsresol`, or without, which means microseconds.
    fn interface(self, link_type: u16, resolution: Option<u8>) -> Vec<u8> {
        let option = resolution
            .map_or(vec![], |exponent| [&self.u16(9)[..], &self.u16(1), &[exponent, 0, 0, 0], &[0; 4]].concat());
        let body = [&self.u16(link_type)[..], &[0; 2], &self.u32(0), &option].concat();
        self.block(1, &body)
    }

    fn enhanced_packet(self, interface: u32, ticks: u64) -> Vec<u8> {
        let len = FRAME.len() as u32;
        let fields = [interface, (ticks >> 32) as u32, ticks as u32, len, len + 100];
        self.block(6, &[&fields.map(|field| self.u32(field)).concat()[..], FRAME].concat())
    }

    fn simple_packet(self) -> Vec<u8> {
        self.block(3, &[&self.u32(FRAME.len() as u32)[..], FRAME].concat())
    }
}

fn read(file: &[u8]) -> Result<Vec<Packet>, CaptureError> {
    Reader::new(file)?.collect()
}

fn at(nanos: u32) -> Instant {
    Instant::from_unix_nanos(u64::from(SECONDS) * 1_000_000_000 + u64::from(nanos))
}

fn packet(at: Instant, interface: u32, original_len: usize) -> Packet {
    Packet { at, interface, bytes: FRAME.to_vec(), original_len: original_len as u32 }
}

#[test]
fn classic_pcap_is_read_in_both_byte_orders_and_both_resolutions() {
    for order in [Order::Big, Order::Little] {
        let micros = order.classic(0xa1b2_c3d4, ETHERNET, NANOS / 1000);
        let nanos = order.classic(0xa1b2_3c4d, ETHERNET, NANOS);
        assert_eq!(read(&micros).unwrap(), [packet(at(123_456_000), 0, FRAME.len())], "{order:?}");
        assert_eq!(read(&nanos).unwrap(), [packet(at(NANOS), 0, FRAME.len())], "{order:?}");
    }
}

#[test]
fn the_bits_above_a_classic_link_type_are_not_part_of_it() {
    let with_check_sequence = Order::Little.classic(0xa1b2_c3d4, 0x2400_0000 | ETHERNET, 0);
    assert_eq!(read(&with_check_sequence).unwrap().len(), 1);
}

#[test]
fn pcapng_is_read_with_several_interfaces_each_with_its_own_resolution() {
    for order in [Order::Big, Order::Little] {
        let seconds = u64::from(SECONDS);
        let file = [
            order.section(),
            order.interface(1, None),
            order.interface(1, Some(9)),
            // Bit 7: a power of two. Sixteenths of a second.
            order.interface(1, Some(0x84)),
            order.enhanced_packet(0, seconds * 1_000_000 + 123_456),
            order.enhanced_packet(1, seconds * 1_000_000_000 + u64::from(NANOS)),
            order.enhanced_packet(2, seconds * 16 + 5),
        ]
        .concat();
        let cut = FRAME.len() + 100;
        assert_eq!(
            read(&file).unwrap(),
            [packet(at(123_456_000), 0, cut), packet(at(NANOS), 1, cut), packet(at(312_500_000), 2, cut)],
            "{order:?}"
        );
        assert!(read(&file).unwrap().iter().all(Packet::is_cut));
    }
}

#[test]
fn a_simple_packet_has_the_time_of_the_one_before() {
    let order = Order::Little;
    let file = [
        order.section(),
        order.interface(1, None),
        order.simple_packet(),
        order.enhanced_packet(0, u64::from(SECONDS) * 1_000_000),
        order.simple_packet(),
    ]
    .concat();
    let times: Vec<_> = read(&file).unwrap().iter().map(|packet| packet.at).collect();
    assert_eq!(times, [Instant::default(), at(0), at(0)]);
}

#[test]
fn a_second_section_may_have_another_byte_order() {
    let section = |order: Order| [order.section(), order.interface(1, None), order.enhanced_packet(0, 1)].concat();
    let file = [section(Order::Little), section(Order::Big)].concat();
    assert_eq!(read(&file).unwrap().len(), 2);
}

#[test]
fn what_is_written_is_read_back() {
    let mut writer = Writer::new(Vec::new(), &["in", "out"]).unwrap();
    writer.write(0, at(NANOS), FRAME, None).unwrap();
    writer.write(1, at(NANOS + 1), FRAME, Some("duplicated by the link")).unwrap();
    assert!(writer.write(2, at(NANOS), FRAME, None).is_err(), "there are two interfaces");
    let file = writer.finish().unwrap();
    assert_eq!(read(&file).unwrap(), [packet(at(NANOS), 0, FRAME.len()), packet(at(NANOS + 1), 1, FRAME.len())]);
    for text in ["in", "out", "duplicated by the link"] {
        assert!(file.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[test]
fn a_writer_that_is_dropped_has_written_everything() {
    let mut file = Vec::new();
    Writer::new(&mut file, &["in"]).unwrap().write(0, at(0), FRAME, None).unwrap();
    assert_eq!(read(&file).unwrap().len(), 1);
}

#[test]
fn other_files_are_told_from_captures() {
    for file in [&b""[..], b"\xa1\xb2\xc3", b"GET / HTTP/1.1\r\n"] {
        let error = read(file).unwrap_err();
        assert_eq!(error.to_string(), "this is neither a pcap nor a pcapng file", "{file:?}");
    }
}

#[test]
fn frames_that_are_not_ethernet_are_refused() {
    let classic = Order::Big.classic(0xa1b2_c3d4, LINUX_SLL, 0);
    let expected = "packet 1 is no Ethernet frame: its interface has link type 113 (Linux cooked: a capture on `any`; \
                    name one interface instead)";
    assert_eq!(read(&classic).unwrap_err().to_string(), expected);

    let order = Order::Little;
    let interfaces = [order.section(), order.interface(1, None), order.interface(105, None)].concat();
    let first = [interfaces, order.enhanced_packet(0, 0)].concat();
    assert_eq!(read(&first).unwrap().len(), 1, "an interface that is not used is no fault");
    let error = read(&[first, order.enhanced_packet(1, 0)].concat()).unwrap_err();
    assert_eq!(error.to_string(), "packet 2 is no Ethernet frame: its interface has link type 105 (IEEE 802.11)");
}

#[test]
fn a_file_that_is_cut_short_says_after_how_many_packets() {
    let order = Order::Little;
    let ng = [order.section(), order.interface(1, None), order.enhanced_packet(0, 0), order.enhanced_packet(0, 0)];
    let classic = order.classic(0xa1b2_c3d4, ETHERNET, 0);
    for (file, packets) in [(ng.concat(), 1), (classic.clone(), 0), (classic[..20].to_vec(), 0)] {
        let error = read(&file[..file.len() - 3]).unwrap_err();
        let plural = if packets == 1 { "" } else { "s" };
        let expected = format!("the file is cut short after {packets} whole packet{plural}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn damage_is_named_and_ends_the_reading() {
    let order = Order::Little;
    let file = [
        order.section(),
        order.interface(1, None),
        order.enhanced_packet(0, 0),
        order.enhanced_packet(7, 0),
        order.enhanced_packet(0, 0),
    ];
    let results: Vec<_> = Reader::new(&file.concat()[..]).unwrap().collect();
    assert_eq!(results.len(), 2);
    let error = results.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.to_string(), "the file is damaged after 1 packet");
    assert!(matches!(error, CaptureError::Damaged { packets: 1, .. }));
}

#[test]
fn a_replay_hands_out_each_packet_once_and_writes_replies_at_its_time() {
    let file = Order::Little.classic(0xa1b2_3c4d, ETHERNET, NANOS);
    let mut replay = Replay::new(Reader::new(&file[..]).unwrap(), Vec::new()).unwrap();
    assert!(replay.queues().0.receive().is_none(), "there is no packet before the first");

    assert_eq!(replay.advance().unwrap(), Some(at(NANOS)));
    let (mut rx, mut tx) = replay.queues();
    assert_eq!(rx.receive().map(|frame| frame.bytes), Some(FRAME));
    assert!(rx.receive().is_none());
    let pong = |buffer: &mut [u8]| {
        buffer[..4].copy_from_slice(b"pong");
        Some(TxFrame { len: 4, checksum: TxChecksum::Complete })
    };
    assert_eq!(tx.transmit(pong), Transmit::Queued(4));
    assert_eq!(tx.transmit(|_| None), Transmit::Nothing);

    assert_eq!(replay.advance().unwrap(), None);
    let written = read(&replay.finish().unwrap()).unwrap();
    let answer = Packet { at: at(NANOS), interface: 1, bytes: b"pong".to_vec(), original_len: 4 };
    assert_eq!(written, [packet(at(NANOS), 0, FRAME.len()), answer]);
}

#[test]
fn a_frame_that_its_capture_cut_keeps_its_length_in_a_replay() {
    let mut file = Order::Little.classic(0xa1b2_3c4d, ETHERNET, NANOS);
    // The length on the wire, behind the length captured.
    file[36..40].copy_from_slice(&1514_u32.to_le_bytes());
    let mut replay = Replay::new(Reader::new(&file[..]).unwrap(), Vec::new()).unwrap();
    while replay.advance().unwrap().is_some() {}
    let written = read(&replay.finish().unwrap()).unwrap();
    assert_eq!(written, [Packet { original_len: 1514, ..packet(at(NANOS), 0, FRAME.len()) }]);
}

/// A disk that is full.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reply_that_cannot_be_written_is_lost_and_the_next_step_says_so() {
    let file = Order::Little.classic(0xa1b2_3c4d, ETHERNET, NANOS);
    let mut replay = Replay::new(Reader::new(&file[..]).unwrap(), Full).unwrap();
    replay.advance().unwrap();
    // More than what is buffered.
    let longest = |buffer: &mut [u8]| Some(TxFrame { len: buffer.len(), checksum: TxChecksum::Complete });
    assert_eq!(replay.queues().1.transmit(longest), Transmit::Full);
    assert!(matches!(replay.advance(), Err(CaptureError::Write(_))));
    assert!(matches!(replay.finish(), Err(CaptureError::Write(_))));
}

/// Bytes that begin as a capture file of either format, and go on at random.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let order = Order::Little;
    let begin = prop_oneof![
        Just(vec![]),
        Just(order.classic(0xa1b2_c3d4, ETHERNET, 0)[..24].to_vec()),
        Just(order.classic(0xa1b2_cd34, ETHERNET, 0)[..24].to_vec()),
        Just(order.classic(0x1c00_01ac, ETHERNET, 0)[..24].to_vec()),
        Just(order.section()),
        Just([order.section(), order.interface(1, Some(9))].concat()),
    ];
    (begin, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(begin, rest)| [begin, rest].concat())
}

/// A good file of either format with some bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let order = Order::Little;
    let ng = [order.section(), order.interface(1, Some(9)), order.enhanced_packet(0, 1), order.simple_packet()];
    let classic = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0x1c00_01ac].map(|magic| order.classic(magic, ETHERNET, 0));
    let good = prop_oneof![3 => prop::sample::select(classic.to_vec()), 1 => Just(ng.concat())];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (good, changes).prop_map(|(mut file, changes)| {
        for (index, byte) in changes {
            let index = index.index(file.len());
            file[index] = byte;
        }
        file
    })
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic_or_go_on_for_ever(file in prop_oneof![garbage(), damaged()]) {
        if let Ok(reader) = Reader::new(&file[..]) {
            // A packet takes at least 16 bytes of either format.
            prop_assert!(reader.count() <= file.len() / 16 + 1);
        }
    }

    #[test]
    fn packets_survive_writing_and_reading(
        packets in prop::collection::vec((0..2_u32, any::<u64>(), prop::collection::vec(any::<u8>(), 0..100)), 0..20),
    ) {
        let mut writer = Writer::new(Vec::new(), &["a", "b"]).unwrap();
        for (interface, nanos, bytes) in &packets {
            writer.write(*interface, Instant::from_unix_nanos(*nanos), bytes, None).unwrap();
        }
        let file = writer.finish().unwrap();
        let expected: Vec<_> = packets
            .into_iter()
            .map(|(interface, nanos, bytes)| Packet {
                at: Instant::from_unix_nanos(nanos),
                interface,
                original_len: bytes.len() as u32,
                bytes,
            })
            .collect();
        prop_assert_eq!(read(&file).unwrap(), expected);
    }
}
