//! DPDK: the card's queues in our own memory, and no kernel between them and the engine.
//!
//! ```text
//!  lcore 0                     lcore 1
//!  ┌───────────────────────┐   ┌───────────────────────┐   One worker an lcore, each with
//!  │ Rx 0 ─ turn() ─ Tx 0  │   │ Rx 1 ─ turn() ─ Tx 1  │   its queues, its buffers and its
//!  └──▲───────────────┬────┘   └──▲───────────────┬────┘   counters. Nothing is shared but
//!     │    Pool 0     │           │    Pool 1     │        the engine, which never changes.
//!  ┌──┴───────────────▼───────────┴───────────────▼────┐
//!  │ Port: receive queues (RSS spreads), transmit queues│
//!  └────────────────────────────────────────────────────┘
//! ```
//!
//! * [`Eal`] is DPDK itself: memory, lcores, drivers. There is one in a process.
//! * [`Port`] is a card, set up and started; it owns the buffers.
//! * [`Rx`] and [`Tx`] are a queue each, and implement the engine's traits over bursts.
//! * [`Workers`] runs the loop on each lcore; its counters can be read, and its engine written to, meanwhile.
//!
//! Since every packet is answered from that packet alone, any core can answer any packet: RSS is used for
//! its spreading, not to keep flows together, and a card may spread as it likes.
//!
//! **Invariant:** between two roll calls a worker makes no system call and allocates nothing, but for what
//! the driver does, and for the nap of an adaptive poll.

#![allow(unsafe_code, reason = "DPDK is C: each block says why it may be done")]

mod eal;
mod error;
mod pool;
mod port;
mod ring_port;
mod rx;
mod tx;
mod workers;

pub use eal::Eal;
pub use error::DpdkError;
pub use port::{Card, CardStats, Link, Port, PortConfig};
pub use ring_port::{RingPort, RingQueue};
pub use rx::Rx;
pub use tx::Tx;
pub use workers::{Clock, Polling, Workers};

/// Frames that are received, answered and sent at a time: enough that a call of the driver and a look at the
/// clock are shared by many, few enough that they fit the first cache with their answers.
pub const BURST: usize = 32;
