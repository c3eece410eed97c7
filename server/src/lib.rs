//! A stateless web server around an application.
//!
//! An author writes an [`App`]: a function from a request to a response. [`Server`] makes a program of it, with a
//! command line: `serve` on every device (TAP, `AF_PACKET`, `AF_XDP`, DPDK), with reload on SIGHUP, metrics, counters
//! and dropped privileges; `replay` over capture files; `simulate` under loss; `bench`; `top`, `load`, `check` and
//! `verify`.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use lethe_server::{App, Request, Response, Server, Status};
//!
//! struct Hello;
//!
//! impl App for Hello {
//!     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
//!         Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body(b"hello\n")
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     Server::of("hello", || Hello).main()
//! }
//! ```
//!
//! An application that reads data takes its arguments from the command line, and is loaded again on SIGHUP:
//!
//! ```no_run
//! use std::fs;
//! use std::path::PathBuf;
//! use std::process::ExitCode;
//!
//! use lethe_server::{App, Position, Request, Response, Server, Status, Store, Stored, clap};
//!
//! #[derive(Clone, clap::Args)]
//! struct PageArgs {
//!     /// Page to serve
//!     file: PathBuf,
//! }
//!
//! struct Page {
//!     store: Store,
//!     page: Stored,
//! }
//!
//! impl Page {
//!     fn load(args: &PageArgs) -> std::io::Result<Self> {
//!         let mut store = Store::new();
//!         let page = store.add(Status::Ok, &[("Content-Type", "text/html")], fs::read(&args.file)?).unwrap();
//!         Ok(Self { store, page })
//!     }
//! }
//!
//! impl App for Page {
//!     fn respond<'a>(&'a self, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
//!         self.store.get(self.page)
//!     }
//!
//!     fn stored(&self, position: Position) -> Option<Response<'_>> {
//!         self.store.at(position)
//!     }
//!
//!     fn stores(&self) -> bool {
//!         true
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     Server::new("page", |args: &PageArgs| Page::load(args)).main()
//! }
//! ```
//!
//! The crate `lethe-test` tests an application: its contract, clients on a bad network, recorded captures. What an
//! answer may depend on is in the book, `docs/app.md`, which goes from `cargo new` to a network card. What is not
//! re-exported here is in [`lethe`], the engine.
//!
//! # Features
//!
//! | feature      | what it adds                                                          |
//! |--------------|-----------------------------------------------------------------------|
//! | `interfaces` | `--device packet:IFACE` and `--device xdp:IFACE` (default)            |
//! | `dpdk`       | `--device dpdk:N`; needs DPDK's headers and clang to build            |
//! | `bench`, `load`, `simulate` | the commands of these names (default)                  |
//! | `color`      | `--help` and errors in bold and color on a terminal (default)         |
//! | `dist-docs`  | `dist-docs DIRECTORY`: man pages and completions, for packages        |
//!
//! Without any of them a server has TAP devices, and `serve`, `top`, `replay`, `check` and `verify`.

mod access_log;
mod args;
#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "dpdk")]
mod card;
mod check;
mod config;
mod cpus;
#[cfg(feature = "load")]
mod demo;
mod device;
#[cfg(feature = "dist-docs")]
mod dist;
#[cfg(feature = "dpdk")]
mod dpdk;
mod dpdk_args;
mod engine;
mod impaired;
#[cfg(feature = "load")]
mod load;
mod message;
mod metrics;
pub mod output;
mod owners;
pub mod print;
mod privileges;
mod reload;
mod replay;
mod run;
mod secret;
mod serve;
mod server;
mod serving;
#[cfg(feature = "simulate")]
pub mod simulate;
mod store;
mod systemd;
mod table;
mod top;
mod verify;
mod workers;

pub use anyhow;
pub use clap;
#[cfg(feature = "load")]
pub use demo::Demo;
pub use lethe;
pub use lethe::app::{App, Position, Request};
pub use lethe::http::{Headers, Method, Methods, Response, Status, Writer, query};
pub use lethe::port::Port;
pub use message::{note, warn};
pub use server::{Server, parse_path};
pub use store::{Store, StoreError, Stored};
