//! Classic capture files, in all the kinds that Wireshark reads.
//!
//! ```text
//! 0   magic number u32: byte order, resolution, kind      0   seconds since 1970, u32
//! 4   version, u16 and u16                                4   fraction of a second, u32
//! 8   time zone and accuracy, not used                    8   bytes captured, u32
//! 16  length of a snapshot, u32: what was asked for       12  bytes on the wire, u32
//! 20  link type, u16, and what is known of its frames     16  of some kinds more, then the frame
//! ```
//!
//! Of what a head says only what is needed is believed, as Wireshark does: a snapshot of no length, fractions of more
//! than a second and frames that were longer in the capture than on the wire are all found in files.

use std::io::{self, Read};

use super::source::{Order, Source, Taken};
use super::{CaptureError, Damage, FRAME_MAX, Packet, check_link_type, instant};

/// What the first four bytes say.
const STANDARD: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;
const IXIA_HARDWARE: u32 = 0x1c00_01ac;
const IXIA_SOFTWARE: u32 = 0x1c00_01ab;
const READ: [u32; 5] = [STANDARD, NANOSECONDS, KUZNETZOV, IXIA_HARDWARE, IXIA_SOFTWARE];

/// Kinds that no program in reach reads, and who made them.
const NOT_READ: [(u32, &str); 4] = [
    (0xa1b2_34cd, "F. Mesquita"),
    (0xa12b_3c4d, "Navtel"),
    (0xa1b2_c3cb, "a filter on the card (CBPF)"),
    (0xa1e2_cb12, "an early pcap-ng"),
];

/// The head of a file, and that of a record as all kinds have it.
const HEADER: usize = 24;
const RECORD: usize = 16;

/// How many bytes more a record's head has: none; those of A. Kuznetzov's patches of April and October 1999; of Nokia's
/// devices; and those of the patch of September 1999. The magic number tells them only in part.
const OF_STANDARD: [usize; 3] = [0, 8, 4];
const OF_KUZNETZOV: [usize; 2] = [8, 12];

/// How many records are looked at to tell the kind.
const TRIED: usize = 3;

/// More bytes on the wire than anything has: a record that says so is most likely none.
const ORIGINAL_MAX: u32 = 128 << 20;

/// AIX writes version 2.2, and calls Ethernet by its number in RFC 1573.
const AIX: (u16, u16) = (2, 2);
const ETHERNET_OF_AIX: u32 = 6;

/// What may be in the upper half of the link type: the length of the frame check sequence. The rest is reserved.
const LINK_TYPE: u32 = 0x03ff_ffff;

/// A classic file, behind its head.
pub(super) struct Pcap {
    order: Order,
    link_type: u32,
    /// Nanoseconds in a unit of the fraction.
    unit: u64,
    lengths: Lengths,
    /// Bytes of a record's head that only its kind has.
    extra: usize,
}

/// In which order a record says its two lengths.
#[derive(Clone, Copy)]
enum Lengths {
    Captured,
    /// As before version 2.3.
    Original,
    /// Of version 2.3 there are both.
    Smaller,
}

/// The head of a record.
struct Record {
    nanos: u64,
    captured: u32,
    original: u32,
    /// Whether the fraction is one.
    is_fraction: bool,
}

/// Who changed the format of a file that begins like this, if it is one that is not read.
pub(super) fn not_read(magic: [u8; 4]) -> Option<CaptureError> {
    let (magic, by) = NOT_READ.into_iter().find(|(number, _)| Order::of(magic, *number).is_some())?;
    Some(CaptureError::Changed { by, magic })
}

impl Pcap {
    /// Reads the head of a file, if it is one of this format.
    pub(super) fn open<R: Read>(source: &mut Source<R>) -> Result<Option<Self>, CaptureError> {
        let Some(&begin) = source.peek(4).map_err(CaptureError::Read)?.first_chunk() else { return Ok(None) };
        let told = READ.into_iter().find_map(|magic| Order::of(begin, magic).map(|order| (magic, order)));
        let Some((magic, order)) = told else { return Ok(None) };
        let cut = || CaptureError::CutShort { packets: 0 };
        let Taken::All(head) = source.take::<HEADER>().map_err(CaptureError::Read)? else { return Err(cut()) };
        if matches!(magic, IXIA_HARDWARE | IXIA_SOFTWARE)
            && !matches!(source.take::<4>().map_err(CaptureError::Read)?, Taken::All(_))
        {
            // The length of all records.
            return Err(cut());
        }
        let version = (order.u16(&head, 4), order.u16(&head, 6));
        let lengths = match version {
            (0..2, _) => {
                let known = "2.0 and later are";
                return Err(CaptureError::Version { format: "pcap", major: version.0, minor: version.1, known });
            }
            (2, 0..3) | (543, _) => Lengths::Original,
            (2, 3) => Lengths::Smaller,
            _ => Lengths::Captured,
        };
        let link_type = order.u32(&head, 20) & LINK_TYPE;
        let is_aix = magic == STANDARD && version == AIX && link_type == ETHERNET_OF_AIX;
        let unit = if magic == NANOSECONDS || is_aix { 1 } else { 1000 };
        let link_type = if is_aix { 1 } else { link_type };
        let mut file = Self { order, link_type, unit, lengths, extra: 0 };
        match magic {
            STANDARD if !is_aix => file.tell(source, &OF_STANDARD, order.u32(&head, 16)),
            KUZNETZOV => file.tell(source, &OF_KUZNETZOV, order.u32(&head, 16)),
            _ => Ok(()),
        }
        .map_err(CaptureError::Read)?;
        Ok(Some(file))
    }

    /// Takes the kind whose first records make the most sense; of those that make as much, the first.
    fn tell<R: Read>(&mut self, source: &mut Source<R>, kinds: &[usize], snap_len: u32) -> io::Result<()> {
        let mut least = u32::MAX;
        let mut best = 0;
        for &kind in kinds {
            self.extra = kind;
            let wrong = self.wrong(source, snap_len)?;
            if wrong < least {
                (least, best) = (wrong, kind);
            }
        }
        self.extra = best;
        Ok(())
    }

    /// How much is wrong with the first record with which anything is.
    fn wrong<R: Read>(&self, source: &mut Source<R>, snap_len: u32) -> io::Result<u32> {
        let mut at = 0;
        for _ in 0..TRIED {
            let begin = source.peek(at + RECORD + self.extra)?.get(at..).unwrap_or_default();
            if begin.is_empty() {
                return Ok(0);
            }
            if begin.len() < RECORD + self.extra {
                return Ok(1);
            }
            let record = self.record(begin);
            let wrong = [
                !record.is_fraction,
                record.captured as usize > FRAME_MAX,
                record.original > ORIGINAL_MAX,
                record.captured > snap_len,
                record.captured > record.original,
            ];
            let wrong = wrong.into_iter().map(u32::from).sum();
            if wrong > 0 {
                return Ok(wrong);
            }
            at += RECORD + self.extra + record.captured as usize;
            if source.peek(at)?.len() < at {
                return Ok(1);
            }
        }
        Ok(0)
    }

    /// The head of a record, all of which is in `bytes`.
    fn record(&self, bytes: &[u8]) -> Record {
        let [seconds, fraction, first, second] = [0, 4, 8, 12].map(|at| self.order.u32(bytes, at));
        let (captured, original) = match self.lengths {
            Lengths::Original => (second, first),
            Lengths::Smaller if first > second => (second, first),
            Lengths::Smaller | Lengths::Captured => (first, second),
        };
        let fraction = u64::from(fraction) * self.unit;
        let nanos = u64::from(seconds) * 1_000_000_000 + fraction;
        Record { nanos, captured, original, is_fraction: fraction < 1_000_000_000 }
    }

    /// The next packet, behind so many.
    pub(super) fn next<R: Read>(&self, source: &mut Source<R>, packets: u64) -> Result<Option<Packet>, CaptureError> {
        let head_len = RECORD + self.extra;
        let head = source.peek(head_len).map_err(CaptureError::Read)?;
        if head.is_empty() {
            return Ok(None);
        }
        let cut = CaptureError::CutShort { packets };
        if head.len() < head_len {
            return Err(cut);
        }
        let Record { nanos, captured, original, .. } = self.record(head);
        let len = captured as usize;
        if len > FRAME_MAX {
            return Err(Damage::FrameTooLong { len }.after(packets));
        }
        check_link_type(self.link_type, packets)?;
        let bytes = source.peek(head_len + len).map_err(CaptureError::Read)?;
        let Some(bytes) = bytes.get(head_len..head_len + len) else { return Err(cut) };
        let packet = Packet { at: instant(nanos.into()), interface: 0, bytes: bytes.to_vec(), original_len: original };
        source.skip(head_len + len);
        Ok(Some(packet))
    }
}
