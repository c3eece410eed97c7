//! A load generator for HTTP servers: Lethe, or any other.
//!
//! It is a set of clients on the same two queues that the engine runs on ([`RxQueue`](lethe::port::RxQueue),
//! [`TxQueue`](lethe::port::TxQueue)): a TAP device, an interface, a card. Their addresses are whole networks, so that
//! there may be ten million of them. Address, port and initial sequence number of a connection are computed from its
//! number, and 24 bytes of state are kept of each; 36 where connections stay open for further requests.
//!
//! ```text
//!   number ──► pool ──► address, port        hash ──► initial sequence number
//!
//!            ┌─────────── Generator ───────────┐
//!   rx ────► │ neighbors   ARP, ND             │ ────► tx
//!            │ connection  24 bytes a client   │
//!            │ kept        requests in turn    │
//!            │ expected    the right replies   │
//!            │ flood       SYN, ACK, garbage   │
//!            └─────────────────────────────────┘
//! ```
//!
//! It does not use the engine's packet code, so that an error in that cannot be on both ends of the wire.
//!
//! The caller runs the loop: it calls [`Generator::turn`] with a clock and both queues until [`Generator::is_over`].

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
mod kept;
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
pub use generator::{Generator, Mismatch, Part, RunError, Stage};
pub use http::{Chunks, Head};
#[cfg(feature = "generator")]
pub use settings::{Compare, KeepAlive, Plan, Settings, SettingsError, Slow};
