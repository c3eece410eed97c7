//! The long way: packets that mean the same as others, and are not recognized at a glance.

use lethe::App;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::port::{Checked, RxChecksum, RxFrame};
use lethe::time::Instant;
use lethe::verdict::Verdict;
use lethe_sim::dissect::Frame;

/// A segment with an IPv4 option or an IPv6 extension header more, which says nothing. If a length or a checksum is
/// wrong, it stays wrong. `None` if this is no such packet.
fn lengthened(frame: &[u8]) -> Option<Vec<u8>> {
    let tag = if frame.get(12..14)? == [0x81, 0] { 4 } else { 0 };
    let (ip, mut long) = (14 + tag, frame.to_vec());
    match (frame.get(12 + tag..ip)?, frame.get(ip)?) {
        ([8, 0], 0x45) if *frame.get(ip + 9)? == 6 && frame.len() >= ip + 20 => {
            let word = |at: usize| u16::from_be_bytes([frame[ip + at], frame[ip + at + 1]]);
            let total = word(2).checked_add(4)?;
            // The sum of what is added (RFC 1624, equation 3).
            let added = 0x0100 + 4 + 2 * 0x0101_u32;
            let sum = u32::from(!word(10)) + added;
            let sum = (sum & 0xffff) + (sum >> 16);
            let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
            long[ip] = 0x46;
            long[ip + 2..ip + 4].copy_from_slice(&total.to_be_bytes());
            long[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
            long.splice(ip + 20..ip + 20, [1; 4]);
        }
        ([0x86, 0xdd], first) if first >> 4 == 6 && *frame.get(ip + 6)? == 6 && frame.len() >= ip + 40 => {
            let len = u16::from_be_bytes([frame[ip + 4], frame[ip + 5]]).checked_add(8)?;
            long[ip + 4..ip + 6].copy_from_slice(&len.to_be_bytes());
            long[ip + 6] = 60;
            long.splice(ip + 40..ip + 40, [6, 0, 1, 4, 0, 0, 0, 0]);
        }
        _ => return None,
    }
    Some(long)
}

/// What becomes of a frame, and the segments that answer it.
fn answers<A: App>(engine: &Engine<A>, now: Instant, frame: RxFrame<'_>) -> (Verdict, Vec<Vec<u8>>) {
    let mut scratch = vec![0; SCRATCH_LEN];
    let mut reply = engine.handle(now, frame, &mut scratch);
    let (verdict, mut buffer, mut sent) = (reply.verdict(), vec![0; 10_000], Vec::new());
    while let Some(frame) = reply.next_frame(&mut buffer) {
        // An ICMP error quotes the packet.
        if Frame::dissect(&buffer[..frame.len]).is_some_and(|frame| frame.tcp().is_some()) {
            sent.push(buffer[..frame.len].to_vec());
        }
    }
    (verdict, sent)
}

/// Checks that a packet is answered as it is the long way, whatever the port knows of its checksums. `false` if there
/// is no long way.
pub(crate) fn is_same<A: App>(engine: &Engine<A>, now: Instant, frame: &[u8]) -> bool {
    let Some(long) = lengthened(frame) else { return false };
    for network in [Checked::Unknown, Checked::Good, Checked::Bad] {
        for transport in [Checked::Unknown, Checked::Good, Checked::Bad] {
            let checksum = RxChecksum { network, transport };
            let [short, long] = [frame, &long].map(|bytes| answers(engine, now, RxFrame { bytes, checksum }));
            assert_eq!(short, long, "{checksum:?} {frame:02x?}");
        }
    }
    true
}
