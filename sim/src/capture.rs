//! Capture files: classic pcap and pcapng in, pcapng out, and the port that runs an engine over them.
//!
//! ```text
//!  file.pcap ──> Reader ──> Replay ──> Writer ──> out.pcapng
//!                             │ ^                 interface 0: `in`, what the engine was given
//!                          turn() with the        interface 1: `out`, what it answered
//!                          packet's own time
//! ```
//!
//! The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng; `pcap-file` knows them. It
//! is pinned to a release candidate because 2.0.0 takes every pcapng timestamp for nanoseconds.

mod reader;
mod replay;
mod writer;

use std::error::Error;
use std::io;

use lethe::time::Instant;

pub use reader::Reader;
pub use replay::{Replay, Rx, Tx};
pub use writer::Writer;

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
    /// The first four bytes belong to neither format.
    #[error("this is neither a pcap nor a pcapng file")]
    NotACapture,
    /// The file ends within a packet, a block or its header.
    #[error("the file is cut short after {packets} whole packets")]
    CutShort {
        /// How many packets came before.
        packets: u64,
    },
    /// A packet or block contradicts the format.
    #[error("the file is damaged after {packets} packets")]
    Damaged {
        /// How many packets came before.
        packets: u64,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A packet is no Ethernet frame.
    #[error("packet {packet} is no Ethernet frame: its interface has link type {link_type}{}", hint(*link_type))]
    NotEthernet {
        /// Its number, counted from 1 as in Wireshark.
        packet: u64,
        /// The link type as registered at tcpdump.org.
        link_type: u32,
    },
}

fn hint(link_type: u32) -> &'static str {
    match link_type {
        113 | 276 => " (a capture on `any`; name one interface instead)",
        _ => "",
    }
}
