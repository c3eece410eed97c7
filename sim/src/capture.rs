//! Capture files: classic pcap and pcapng in, pcapng out, and the port that runs an engine over them.
//!
//! ```text
//!  file.pcap ──> Reader ──> Replay ──> Writer ──> out.pcapng
//!                             │ ^                 interface 0: `in`, what the engine was given
//!                          turn() with the        interface 1: `out`, what it answered
//!                          packet's own time
//! ```
//!
//! The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Files are written by `pcap-file`, and
//! read by ourselves, as Wireshark reads them: `pcap-file` refuses what the formats forbid and programs write all the
//! same.

mod names;
mod pcap;
mod pcapng;
mod reader;
mod replay;
mod source;
mod writer;

use std::io;

use lethe::time::Instant;

pub use reader::Reader;
pub use replay::{Replay, Rx, Tx};
pub use writer::Writer;

/// The longest frame, as Wireshark has it: what says that it is longer is no frame.
const FRAME_MAX: usize = 262_144;

/// The only link type that is read, as registered at tcpdump.org.
const ETHERNET: u32 = 1;

/// One packet of a capture file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// When it was captured. Zero when the file does not say (pcapng's simple packets).
    pub at: Instant,
    /// The interface it was captured on, counted from 0 within its section of the file.
    pub interface: u32,
    /// The frame, from its destination address on.
    pub bytes: Vec<u8>,
    /// How long the frame was on the wire: more than `bytes.len()` when the capture cut it.
    pub original_len: u32,
}

impl Packet {
    /// Whether the capture kept only the beginning of the frame.
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.original_len as usize
    }
}

/// Why a capture file cannot be read on, or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Reading failed.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// Writing failed.
    #[error("writing failed")]
    Write(#[source] io::Error),
    /// The first bytes belong to neither format, nor to another that is known.
    #[error("this is neither a pcap nor a pcapng file")]
    NotACapture,
    /// It is compressed.
    #[error("the file is compressed by {by}: unpack it first ({program})")]
    Compressed {
        /// With what.
        by: &'static str,
        /// What undoes it.
        program: &'static str,
    },
    /// It is a capture, of another program's own format.
    #[error(
        "this is a capture in the format of {format}, not pcap or pcapng: convert it first (editcap -F pcapng IN OUT)"
    )]
    OtherFormat {
        /// Whose.
        format: &'static str,
    },
    /// It is a classic file of a kind of which nothing is known but that it is another.
    #[error("this is pcap as changed by {by} (magic number {magic:08x}), which is not read")]
    Changed {
        /// Who changed it.
        by: &'static str,
        /// What it begins with.
        magic: u32,
    },
    /// It is in a version of its format that is not known.
    #[error("this is a {format} file of version {major}.{minor}, where {known} read")]
    Version {
        /// Which format.
        format: &'static str,
        /// The first part of its version.
        major: u16,
        /// The second part of its version.
        minor: u16,
        /// Which ones are.
        known: &'static str,
    },
    /// The file ends within a packet, a block or its header.
    #[error("the file is cut short after {packets} whole packet{}", plural(*packets))]
    CutShort {
        /// How many packets came before.
        packets: u64,
    },
    /// A packet or block contradicts the format.
    #[error("the file is damaged after {packets} packet{}", plural(*packets))]
    Damaged {
        /// How many packets came before.
        packets: u64,
        /// What is wrong.
        source: Damage,
    },
    /// A packet is no Ethernet frame.
    #[error(
        "packet {packet} is no Ethernet frame: its interface has link type {link_type}{}",
        names::link_type(*link_type)
    )]
    NotEthernet {
        /// Its number, counted from 1 as in Wireshark.
        packet: u64,
        /// The link type as registered at tcpdump.org.
        link_type: u32,
    },
}

/// What in a file contradicts its format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// A frame is longer than any is.
    #[error("a packet of {len} bytes, where none has more than {FRAME_MAX}")]
    FrameTooLong {
        /// What its packet says.
        len: usize,
    },
    /// A frame is longer than the block that it is in.
    #[error("a packet of {len} bytes in a block that has room for {room}")]
    FrameInBlock {
        /// What its packet says.
        len: usize,
        /// The bytes that there are.
        room: usize,
    },
    /// A block has a length that none has.
    #[error("a block of {len} bytes, where each has 12 to {}", pcapng::BLOCK_MAX)]
    BlockLength {
        /// What the block says.
        len: usize,
    },
    /// A block is too short for the fields of its type.
    #[error("{what} block of {len} bytes, which has at least {least}")]
    Fields {
        /// Which type.
        what: &'static str,
        /// The bytes of the block.
        len: usize,
        /// The bytes that it has to have.
        least: usize,
    },
    /// The two lengths of a block are not the same.
    #[error("a block begins with a length of {begin} bytes, and ends with one of {end}")]
    Ends {
        /// The first one.
        begin: u32,
        /// The last one.
        end: u32,
    },
    /// An option does not end within its block.
    #[error("an option of {len} bytes, where its block has {left} left")]
    Option {
        /// What it says.
        len: usize,
        /// The bytes that there are.
        left: usize,
    },
    /// A packet is of an interface that was not described.
    #[error("a packet of interface {number}, where its section has described {known}")]
    Interface {
        /// Which one, counted from 0.
        number: u32,
        /// How many there are.
        known: usize,
    },
    /// A section does not say what its byte order is.
    #[error("a section whose byte order is neither big nor little")]
    ByteOrder,
}

impl Damage {
    /// As the error of a file of which so many packets were read.
    fn after(self, packets: u64) -> CaptureError {
        CaptureError::Damaged { packets, source: self }
    }
}

const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn check_link_type(link_type: u32, packets: u64) -> Result<(), CaptureError> {
    if link_type == ETHERNET { Ok(()) } else { Err(CaptureError::NotEthernet { packet: packets + 1, link_type }) }
}

/// The time of so many nanoseconds since 1970, as far as our clock goes: to the year 2554.
fn instant(nanos: i128) -> Instant {
    Instant::from_unix_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}
