//! Lethe on a laptop: the ports that need no special hardware.
//!
//! * [`capture`] runs the engine over a capture file, offline, at the time that the file says it is.
//! * [`tap`] runs it behind a TAP device, where the kernel of the same machine is the client.
//!
//! Both hand out a receive and a transmit queue for [`lethe::turn`], the loop that every port runs.

pub mod capture;
pub mod chart;
pub mod check;
pub mod clock;
pub mod compare;
pub mod contract;
pub mod dialogue;
pub mod dissect;
pub mod exhaustive;
pub mod fetch;
pub mod frame;
pub mod impaired;
pub mod link;
pub mod mutation;
pub mod notation;
mod offload;
pub mod peer;
pub mod random;
pub mod run;
pub mod sample;
pub mod scenario;
pub mod server;
mod stream;
pub mod tap;
#[cfg(test)]
mod testing;
pub mod workspace;
pub mod world;

use lethe::wire::ethernet::LINK_HEADER_MAX;

/// Room for any frame: the longest IP packet (its length field has 16 bits) behind the longest link
/// header. Whatever MTU an interface is given while it is in use, no frame is cut short.
const FRAME_MAX: usize = u16::MAX as usize + LINK_HEADER_MAX;
