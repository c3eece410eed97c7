//! DPDK: the queues of a card, without the kernel between them and the engine.
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
//! * [`Eal`] is DPDK itself: memory, lcores, drivers. A process has one.
//! * [`Port`] is a configured and started card; it owns the buffers.
//! * [`Rx`] and [`Tx`] are its queues, which implement the engine's traits over bursts. [`Queues`] are both of a
//!   worker: an answer goes out in the buffer of the frame that it answers.
//! * [`Workers`] run the loop on each lcore; their counters can be read, and their engine replaced, meanwhile.
//!
//! Since every packet is answered from that packet alone, any core can answer any packet: RSS only distributes the
//! load, and need not keep the packets of a flow together.
//!
//! **Invariant:** between two quiescent points a worker makes no system call and allocates nothing, except in the
//! driver, and for the sleep of an adaptive poll.

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
pub use tx::{Queues, Tx};
pub use workers::{Polling, TimeSource, Workers};

/// The most frames of a burst: enough to amortize the calls of the driver and of the clock, few enough that they fit
/// the L1 cache with their answers.
pub const BURST: usize = 32;
