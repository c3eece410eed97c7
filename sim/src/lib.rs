//! Lethe on a laptop: the ports that need no special hardware, and a simulator of clients and networks.
//!
//! * [`capture`] runs the engine over a capture file, offline, at the time that the file says it is.
//! * [`tap`] runs it behind a TAP device, where the kernel of the same machine is the client.
//! * [`impaired`] puts the links of [`link`] in front of any port.
//!
//! All hand out a receive and a transmit queue for [`lethe::turn`], the loop that every port runs.
//!
//! | feature     | what it adds                                                                                |
//! |-------------|---------------------------------------------------------------------------------------------|
//! | (none)      | what a server links: the ports, [`frame`] and [`fetch`] to benchmark an engine, [`sample`]   |
//! | `simulator` | worlds of clients and links in virtual time, checkers, a parser that is not the engine's    |
//! | `sites`     | applications of this workspace in the simulator: `lethe simulate --cut SITE`                 |

pub mod capture;
#[cfg(feature = "simulator")]
pub mod chart;
#[cfg(feature = "simulator")]
pub mod check;
pub mod clock;
#[cfg(feature = "simulator")]
pub mod compare;
#[cfg(feature = "simulator")]
pub mod dialogue;
#[cfg(any(test, feature = "simulator"))]
pub mod dissect;
#[cfg(feature = "simulator")]
pub mod draw;
#[cfg(feature = "simulator")]
pub mod exhaustive;
pub mod fetch;
pub mod frame;
pub mod impaired;
pub mod link;
#[cfg(feature = "simulator")]
pub mod mutation;
#[cfg(feature = "simulator")]
pub mod notation;
pub mod offload;
#[cfg(feature = "simulator")]
pub mod peer;
pub mod random;
#[cfg(feature = "simulator")]
mod recent;
#[cfg(feature = "simulator")]
pub mod run;
pub mod sample;
#[cfg(feature = "simulator")]
pub mod scenario;
#[cfg(feature = "simulator")]
mod section;
#[cfg(feature = "simulator")]
pub mod server;
#[cfg(feature = "sites")]
pub mod sites;
#[cfg(feature = "simulator")]
mod stream;
pub mod tap;
#[cfg(test)]
mod testing;
#[cfg(feature = "simulator")]
pub mod workspace;
#[cfg(feature = "simulator")]
pub mod world;

use lethe::wire::ethernet::LINK_HEADER_MAX;

/// Room for any frame: the longest IP packet (its length field has 16 bits) behind the longest link
/// header. Whatever MTU an interface is given while it is in use, no frame is cut short.
const FRAME_MAX: usize = u16::MAX as usize + LINK_HEADER_MAX;
