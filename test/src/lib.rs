//! Tests for applications of Lethe.
//!
//! | what          | finds                                                                                        |
//! |---------------|----------------------------------------------------------------------------------------------|
//! | [`check_app`] | an answer that breaks the contract: impure, of a wrong length, at positions of another one   |
//! | [`simulate`]  | a client that does not get its reply, byte by byte, over a bad network                       |
//! | [`captures`]  | another answer to recorded clients, and rules that break where their packets are changed     |
//!
//! ```
//! use lethe::http::{Response, Status};
//! use lethe::{App, Request};
//!
//! struct Hello;
//!
//! impl App for Hello {
//!     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
//!         Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body(b"hello\n")
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! lethe_test::check_app(&Hello, ["/", "/a?b=c"]);
//! lethe_test::simulate(&Hello, ["/"]).loss("5%").split().seeds(0..3).run()?;
//! lethe_test::captures("../pcaps/curl-v*.pcap*").secret([0; 16]).requests_only().replay(&Hello)?.mutate(2)?;
//! # Ok(())
//! # }
//! ```
//!
//! All of it is repeatable: the same call always does the same, on every machine.

#![forbid(unsafe_code)]

mod captures;
mod contract;
mod request;
mod simulation;

pub use captures::{Captures, CapturesError, Mutated, Recording, Replayed, captures};
pub use contract::{Breach, Broken, check_app, try_check_app};
pub use request::TestRequest;
pub use simulation::{Report, Simulation, SimulationError, simulate};
