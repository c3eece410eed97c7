//! Ports to network cards: the same engine as over TAP, driven by what the machine has.
//!
//! * [`packet`] shares an interface with the kernel by an `AF_PACKET` socket: any interface, any driver.
//! * [`xdp`] takes frames from the driver before the kernel's stack sees them, by `AF_XDP`.
//!
//! Both take what is for Lethe's addresses and leave the rest to the kernel. [`dpdk`] has a card for itself.

#[cfg(feature = "dpdk")]
pub mod dpdk;
mod filter;
mod interface;
pub mod packet;
mod published;
mod sys;
pub mod xdp;

pub use filter::Destinations;
pub use interface::InterfaceError;
pub use published::{Published, Writer};
