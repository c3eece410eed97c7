//! Ports to network cards: the same engine as over TAP, driven by what the machine has.

#[cfg(feature = "dpdk")]
pub mod dpdk;
