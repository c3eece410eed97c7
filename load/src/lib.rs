//! A load generator for servers of HTTP over TCP: Lethe, or any other.
//!
//! It is a set of clients on the same two queues that the engine runs on ([`RxQueue`](lethe::port::RxQueue),
//! [`TxQueue`](lethe::port::TxQueue)): a TAP device, an interface, a card. Their addresses are whole networks, so that
//! there may be ten million of them, and what a client can compute it does not remember: address, port and initial
//! sequence number of a connection follow from its number, and 24 bytes are kept of each.
//!
//! ```text
//!   number ──► pool ──► address, port        hash ──► initial sequence number
//!
//!            ┌─────────── Generator ───────────┐
//!   rx ────► │ neighbors   ARP, ND             │ ────► tx
//!            │ connection  24 bytes a client   │
//!            │ expected    what must come      │
//!            │ flood       from nobody         │
//!            └─────────────────────────────────┘
//! ```
//!
//! Nothing here uses the engine's code for packets, so that no error stands at both ends of the wire.
//!
//! [`Generator::turn`] is the loop: whoever runs it hands in a clock and both queues, again and again, until
//! [`Generator::is_over`].

#[cfg(feature = "generator")]
mod client_pool;
#[cfg(feature = "generator")]
mod connection;
#[cfg(feature = "generator")]
mod counts;
#[cfg(feature = "generator")]
mod expected;
#[cfg(feature = "generator")]
mod flood;
#[cfg(feature = "generator")]
mod generator;
mod http;
#[cfg(feature = "generator")]
mod neighbors;
#[cfg(feature = "generator")]
mod settings;
#[cfg(feature = "generator")]
mod wire;

#[cfg(feature = "generator")]
pub use client_pool::{Client, ClientPool, ClientPoolError};
#[cfg(feature = "generator")]
pub use counts::{Counts, Failure, Latency, SlowCounts};
#[cfg(feature = "generator")]
pub use expected::NotComparable;
#[cfg(feature = "generator")]
pub use flood::{Flood, FloodKind};
#[cfg(feature = "generator")]
pub use generator::{Generator, Mismatch, Part, Stage, Trouble};
pub use http::{Chunks, Head};
#[cfg(feature = "generator")]
pub use settings::{Compare, Plan, Settings, SettingsError, Slow};
