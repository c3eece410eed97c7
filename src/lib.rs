//! **Lethe**: a web server that forgets every connection.
//!
//! This crate is the engine: frames in, frames out. It answers each packet from that packet alone, so
//! there is no connection table, no timer and no memory per client. What a server usually remembers is
//! put where the client gives it back ([`cookie`]).
//!
//! * [`Engine::handle`] takes a frame and gives a [`Reply`]; [`Reply::next_frame`] writes what goes out.
//! * [`turn`] is one turn of the event loop that every port runs: TAP, captures, the simulator, DPDK.
//! * [`App`] is what a server answers with.
//!
//! **Invariants.** No `unsafe`, no allocation, no clock, no randomness, no I/O, no globals. No input makes
//! it panic: a panic is a bug of ours. The same arguments always give the same frames.
//!
//! # The whole of a server
//!
//! ```
//! use lethe::http::{Response, Status};
//! use lethe::port::{RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
//! use lethe::verdict::{ReplyKind, Stats, Verdict};
//! use lethe::{App, Config, Engine, Request};
//! # use lethe::cookie::Secret;
//! # use lethe::config::Addresses;
//! # use lethe::time::Instant;
//! # use lethe::wire::arp::{self, Operation};
//! # use lethe::wire::ethernet::{EtherType, Header, MacAddress};
//!
//! /// What it answers with.
//! struct Hello;
//!
//! impl App for Hello {
//!     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
//!         Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body(b"hello\n")
//!     }
//! }
//!
//! /// Where frames come from and go to: here two lists, elsewhere a network card.
//! struct Received { frames: Vec<Vec<u8>>, next: usize }
//! struct Sent(Vec<Vec<u8>>);
//!
//! impl RxQueue for Received {
//!     fn receive(&mut self) -> Option<RxFrame<'_>> {
//!         let frame = self.frames.get(self.next)?;
//!         self.next += 1;
//!         Some(RxFrame::unchecked(frame))
//!     }
//! }
//!
//! impl TxQueue for Sent {
//!     fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
//!         let mut buffer = vec![0; 2048];
//!         let Some(frame) = write(&mut buffer) else { return Transmit::Nothing };
//!         buffer.truncate(frame.len);
//!         self.0.push(buffer);
//!         Transmit::Queued(frame.len)
//!     }
//!
//!     fn flush(&mut self) {}
//! }
//!
//! let mut config = Config::new(Secret::new([7; 16]));
//! config.addresses.add("10.9.0.2".parse().unwrap()).unwrap();
//! let engine = Engine::new(config, Hello);
//!
//! // An ARP request for 10.9.0.2 ...
//! # let client = MacAddress::new([2, 0, 0, 0, 0, 1]);
//! # let question = arp::Packet {
//! #     operation: Operation::Request,
//! #     sender_mac: client,
//! #     sender_ip: [10, 9, 0, 1].into(),
//! #     target_mac: MacAddress::new([0; 6]),
//! #     target_ip: [10, 9, 0, 2].into(),
//! # };
//! # let link = Header { destination: MacAddress::BROADCAST, source: client, tag: None, ether_type: EtherType::ARP };
//! # let mut frame = vec![0; link.header_len() + arp::LEN];
//! # question.emit(link.emit(&mut frame).unwrap()).unwrap();
//! let received = Received { frames: vec![frame], next: 0 };
//! let mut sent = Sent(Vec::new());
//! let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
//! let mut stats = Stats::default();
//! let now = Instant::from_unix_seconds(1_700_000_000);
//!
//! // ... and one turn of the loop answers.
//! lethe::turn(&engine, now, &mut (received, &mut sent), &mut scratch, &mut stats, 32);
//! assert_eq!(stats.count(Verdict::Replied(ReplyKind::Arp)), 1);
//! assert_eq!(sent.0[0].len(), 42);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::std_instead_of_core,
        clippy::alloc_instead_of_core
    )
)]

pub mod app;
pub mod config;
pub mod cookie;
pub mod engine;
pub mod event_loop;
mod glance;
pub mod http;
mod packet;
pub mod port;
mod position;
mod reply;
mod siphash;
mod stamp;
mod tcp;
pub mod time;
pub mod verdict;
pub mod versions;
pub mod vnet;
pub mod wire;

pub use app::{App, Request};
pub use config::Config;
pub use engine::Engine;
pub use event_loop::turn;
pub use position::Position;
pub use reply::{Answers, Reply};
