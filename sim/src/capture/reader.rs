//! Reading capture files.

use std::io::Read;

use lethe::time::Instant;

use super::names::{self, BEGINNING};
use super::pcap::{self, Pcap};
use super::pcapng::PcapNg;
use super::source::Source;
use super::{CaptureError, Packet};

/// A capture file, packet by packet.
///
/// An iterator that ends at the end of the file or after the first error. A frame check sequence that
/// was captured stays at the end of its frame, where the engine takes it for padding.
pub struct Reader<R: Read> {
    source: Source<R>,
    format: Format,
    /// Packets read so far.
    packets: u64,
    /// The time of the packet before, for one that has none of its own.
    last: Instant,
    failed: bool,
}

enum Format {
    Classic(Pcap),
    Ng(PcapNg),
}

impl<R: Read> Reader<R> {
    /// Reads the file's header from `source`, in whichever format it is.
    pub fn new(source: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(source);
        let format = match Pcap::open(&mut source)? {
            Some(classic) => Format::Classic(classic),
            None => Format::Ng(PcapNg::open(&mut source)?.map_or_else(|| Err(other(&mut source)), Ok)?),
        };
        Ok(Self { source, format, packets: 0, last: Instant::default(), failed: false })
    }

    fn read(&mut self) -> Result<Option<Packet>, CaptureError> {
        match &mut self.format {
            Format::Classic(file) => file.next(&mut self.source, self.packets),
            Format::Ng(file) => file.next(&mut self.source, self.packets, self.last),
        }
    }
}

/// What a file is that is in neither format.
fn other<R: Read>(source: &mut Source<R>) -> CaptureError {
    let begin = match source.peek(BEGINNING) {
        Ok(begin) => begin,
        Err(error) => return CaptureError::Read(error),
    };
    let changed = begin.first_chunk().and_then(|&magic| pcap::not_read(magic));
    changed.unwrap_or_else(|| names::not_a_capture(begin))
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
