//! Writing pcapng files.

use std::borrow::Cow;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::time::Duration;

use lethe::time::Instant;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgWriteError, PcapNgWriter};
use pcap_file::{DataLink, Endianness};

use super::Packet;

/// A pcapng file in the making: named Ethernet interfaces, nanoseconds, and a comment on any packet.
///
/// What is still buffered is written when it is dropped; [`Writer::finish`] also says whether that went
/// well.
pub struct Writer<W: Write> {
    blocks: PcapNgWriter<BufWriter<W>>,
}

impl<W: Write> Writer<W> {
    /// Begins a file with these interfaces; packets name them by their place in the list.
    pub fn new(sink: W, interfaces: &[&str]) -> io::Result<Self> {
        // The same bytes on every machine.
        let blocks = PcapNgWriter::with_endianness(BufWriter::new(sink), Endianness::Little);
        let mut blocks = blocks.map_err(io_error)?;
        for name in interfaces {
            let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
            interface.options = vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ];
            blocks.write_pcapng_block(interface).map_err(io_error)?;
        }
        Ok(Self { blocks })
    }

    /// Adds a packet, with a comment that Wireshark shows above its bytes.
    ///
    /// # Errors
    ///
    /// When writing fails, `interface` is not in the list, or the comment is longer than 65,535 bytes.
    pub fn write(&mut self, interface: u32, at: Instant, frame: &[u8], comment: Option<&str>) -> io::Result<()> {
        self.add(interface, at, frame, u32::try_from(frame.len()).map_err(io::Error::other)?, comment)
    }

    /// Adds a packet of another capture, which may have kept only its beginning, at its time.
    ///
    /// # Errors
    ///
    /// When writing fails, or `interface` is not in the list.
    pub fn copy(&mut self, interface: u32, packet: &Packet) -> io::Result<()> {
        self.add(interface, packet.at, &packet.bytes, packet.original_len, None)
    }

    fn add(&mut self, interface: u32, at: Instant, frame: &[u8], len: u32, comment: Option<&str>) -> io::Result<()> {
        let comment = comment.map(|text| EnhancedPacketOption::Common(CommonOption::Comment(Cow::Borrowed(text))));
        let packet = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_nanos(at.as_unix_nanos()),
            original_len: len,
            data: Cow::Borrowed(frame),
            options: comment.into_iter().collect(),
        };
        self.blocks.write_pcapng_block(packet).map(drop).map_err(io_error)
    }

    /// Writes what is still buffered and gives the sink back.
    pub fn finish(self) -> io::Result<W> {
        self.blocks.into_inner().into_inner().map_err(IntoInnerError::into_error)
    }
}

fn io_error(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        error => io::Error::other(error),
    }
}
