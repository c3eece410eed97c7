//! Ports to network interfaces and cards.
//!
//! * [`packet`] shares an interface with the kernel by an `AF_PACKET` socket: any interface, any driver.
//! * [`xdp`] takes frames from the driver before the kernel's stack sees them, by `AF_XDP`.
//!
//! Both take only the frames for Lethe's addresses, and leave the others to the kernel. `dpdk` takes over a whole
//! card.

#[cfg(feature = "interfaces")]
mod bpf;
#[cfg(feature = "dpdk")]
pub mod dpdk;
#[cfg(feature = "interfaces")]
mod filter;
#[cfg(feature = "interfaces")]
mod interface;
#[cfg(feature = "interfaces")]
pub mod packet;
#[cfg(feature = "interfaces")]
mod sys;
mod worker_stats;
#[cfg(feature = "interfaces")]
pub mod xdp;

#[cfg(feature = "interfaces")]
pub use filter::Destinations;
#[cfg(feature = "interfaces")]
pub use interface::InterfaceError;
pub use worker_stats::{StatsPublisher, Turns, WorkerStats};
