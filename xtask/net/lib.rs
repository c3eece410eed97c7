//! Networks, servers and clients for the tests and for the measurements of `cargo xtask`.
//!
//! * [`Namespace`] is a network of its own; a cable or a [`relay`] with impairments joins two.
//! * [`Server`] is a running `lethe serve`, [`nginx`] the one configuration of nginx, [`Program`] any other program.
//! * [`terminator`] is a program that speaks TLS in front of Lethe.
//! * [`Capture`] records what passes an interface.
//! * [`guest`] boots a virtual machine with a network card that DPDK drives.
//! * [`kept`] is clients that keep their connections.
//! * [`harness`] runs the tests of a file, and leaves out by name those that need what is not there.
//! * [`cluster`], [`browser`] and [`session`] are what single test files are about.
//!
//! Everything needs root, and is removed however the process ends: by `Drop` where it returns or panics, and by
//! [`janitor`] where a signal ends it.

pub mod browser;
pub mod capture;
pub mod cluster;
pub mod guest;
pub mod harness;
pub mod janitor;
pub mod kept;
mod lethe;
mod namespace;
pub mod nginx;
mod program;
pub mod relay;
pub mod session;
pub mod terminator;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
pub use capture::Capture;
pub use lethe::{Server, TAP, binary, counters, row, serve};
pub use namespace::Namespace;
pub use program::{Program, output};

/// The address of the servers, as the beginning of a URL.
pub const V4: &str = "http://10.9.0.2";
/// The IPv6 address of the servers, as the beginning of a URL.
pub const V6: &str = "http://[fd09::2]";

/// How often something is asked for that takes some milliseconds.
const STEP: Duration = Duration::from_millis(20);

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository").to_owned()
}

/// Asks until the answer is there.
///
/// # Errors
///
/// When `what` has not come about within `limit`, or `ask` fails.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if since.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        sleep(STEP);
    }
}

/// The bytes of a file for tests: lines of text that no file of another length has, and no other place of this one.
pub fn content(len: usize) -> Vec<u8> {
    let line = |at: usize| format!("{len}:{at}\n").into_bytes();
    (0..).flat_map(line).take(len).collect()
}
