//! Reading capture files.

use std::error::Error;
use std::io::{self, Chain, Cursor, Read};
use std::time::Duration;

use lethe::time::Instant;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapReadError, PcapReader};
use pcap_file::pcapng::{Block, PcapNgReadError, PcapNgReader, PcapNgState};

use super::{CaptureError, Packet};

/// The link types of tcpdump.org have 16 bits; a classic pcap file has other things above them, such as
/// the length of the frame check sequence.
const LINK_TYPE_MASK: u32 = 0xffff;

/// A capture file, packet by packet.
///
/// An iterator that ends at the end of the file or after the first error. A frame check sequence that
/// was captured stays at the end of its frame, where the engine takes it for padding.
pub struct Reader<R: Read> {
    format: Format<R>,
    /// Packets read so far.
    packets: u64,
    /// The time of the packet before, for one that has none of its own.
    last: Instant,
    failed: bool,
}

/// The bytes that told the format, put back in front of the rest.
type Source<R> = Chain<Cursor<[u8; 4]>, R>;

enum Format<R: Read> {
    Classic(PcapReader<Source<R>>),
    Ng(PcapNgReader<Source<R>>),
}

impl<R: Read> Reader<R> {
    /// Reads the file's header from `source`, in whichever format it is.
    pub fn new(mut source: R) -> Result<Self, CaptureError> {
        let mut magic = [0; 4];
        source.read_exact(&mut magic).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => CaptureError::NotACapture,
            _ => CaptureError::Read(error),
        })?;
        let source = Cursor::new(magic).chain(source);
        let format = match magic {
            // 0xa1b2c3d4 for microseconds and 0xa1b23c4d for nanoseconds, in the writer's byte order.
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0x4d, 0x3c, 0xb2, 0xa1] => {
                Format::Classic(PcapReader::new(source).map_err(|error| classic_error(error, 0))?)
            }
            // The section header block: a palindrome, so that it is the same in either byte order.
            [0x0a, 0x0d, 0x0d, 0x0a] => Format::Ng(PcapNgReader::new(source).map_err(|error| ng_error(error, 0))?),
            _ => return Err(CaptureError::NotACapture),
        };
        Ok(Self { format, packets: 0, last: Instant::default(), failed: false })
    }

    fn read(&mut self) -> Result<Option<Packet>, CaptureError> {
        match &mut self.format {
            Format::Classic(reader) => next_classic(reader, self.packets),
            Format::Ng(reader) => next_ng(reader, self.packets, self.last),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Packet, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let packet = self.read().transpose()?;
        match &packet {
            Ok(packet) => {
                self.packets += 1;
                self.last = packet.at;
            }
            Err(_) => self.failed = true,
        }
        Some(packet)
    }
}

fn next_classic<R: Read>(reader: &mut PcapReader<R>, packets: u64) -> Result<Option<Packet>, CaptureError> {
    let link_type = reader.header().datalink;
    let Some(packet) = reader.next_packet() else {
        return Ok(None);
    };
    let packet = packet.map_err(|error| classic_error(error, packets))?;
    check_link_type(link_type, packets)?;
    Ok(Some(Packet {
        at: instant(packet.timestamp()),
        interface: 0,
        original_len: packet.orig_len(),
        bytes: packet.into_data().into_owned(),
    }))
}

fn next_ng<R: Read>(reader: &mut PcapNgReader<R>, packets: u64, last: Instant) -> Result<Option<Packet>, CaptureError> {
    while let Some(block) = reader.next_block() {
        let (block, state) = block.map_err(|error| ng_error(error, packets))?;
        let packet = match block {
            Block::EnhancedPacket(block) => Packet {
                at: instant(block.timestamp),
                interface: block.interface_id,
                original_len: block.original_len,
                bytes: block.data.into_owned(),
            },
            Block::SimplePacket(block) => {
                Packet { at: last, interface: 0, original_len: block.original_len, bytes: block.data.into_owned() }
            }
            // The packet block of files written before 2009.
            Block::Packet(block) => Packet {
                at: instant(block.timestamp),
                interface: u32::from(block.interface_id),
                original_len: block.original_len,
                bytes: block.data.into_owned(),
            },
            _ => continue,
        };
        check_link_type(link_type(state, packet.interface), packets)?;
        return Ok(Some(packet));
    }
    Ok(None)
}

fn link_type(state: &PcapNgState, interface: u32) -> DataLink {
    // `pcap-file` has refused a packet whose interface is not described.
    state.interfaces().get(interface as usize).map_or(DataLink::NULL, |described| described.linktype)
}

fn check_link_type(link_type: DataLink, packets: u64) -> Result<(), CaptureError> {
    let link_type = u32::from(link_type) & LINK_TYPE_MASK;
    if link_type == u32::from(DataLink::ETHERNET) {
        Ok(())
    } else {
        Err(CaptureError::NotEthernet { packet: packets + 1, link_type })
    }
}

/// Saturating in the year 2554.
fn instant(since_epoch: Duration) -> Instant {
    Instant::from_unix_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

fn classic_error(error: PcapReadError, packets: u64) -> CaptureError {
    match error {
        PcapReadError::Io(error) => io_error(error, packets),
        PcapReadError::Validation(error) => damaged(error, packets),
    }
}

fn ng_error(error: PcapNgReadError, packets: u64) -> CaptureError {
    match error {
        PcapNgReadError::Io(error) => io_error(error, packets),
        error => damaged(error, packets),
    }
}

fn io_error(error: io::Error, packets: u64) -> CaptureError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CaptureError::CutShort { packets },
        _ => CaptureError::Read(error),
    }
}

fn damaged(source: impl Error + Send + Sync + 'static, packets: u64) -> CaptureError {
    CaptureError::Damaged { packets, source: Box::new(source) }
}
