//! The server, seen from outside: `--stats`, `--metrics`, and what `lethe top` asks for.
//!
//! ```text
//! worker ── publishes its counters ──► Watched ──► Snapshot ──┬── prometheus   GET /metrics
//! card, reload, missed frames ───────►                        ├── JSON         GET /stats.json ──► lethe top
//!                                                             └── (totals)     --stats
//! ```
//!
//! **Invariant:** workers write words of memory and never wait; all that reads, formats and sends is done by threads
//! that they do not know of, on sockets of the kernel.

pub(crate) mod endpoint;
mod http;
mod monitor;
mod prometheus;
pub(crate) mod snapshot;

use std::sync::Arc;

use self::endpoint::{Endpoint, Listener};
use self::http::Server;
use self::monitor::Monitor;
use self::snapshot::Watched;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct MetricsArgs {
    /// Print a line of counters every second
    #[arg(long)]
    stats: bool,
    /// Answer GET /metrics (for Prometheus) and /stats.json (for `{name} top`) on a socket of the kernel:
    /// unix:PATH, or IP:PORT of this machine; IP:PORT,public where others may ask
    #[arg(long, value_name = "WHERE")]
    metrics: Option<Endpoint>,
}

impl MetricsArgs {
    /// Opens what it takes privileges to open, for a server that goes on as `user`.
    pub(crate) fn open(&self, user: &str) -> anyhow::Result<Metrics> {
        let listener = self.metrics.as_ref().map(|endpoint| Listener::open(endpoint, user)).transpose()?;
        Ok(Metrics { listener, has_lines: self.stats })
    }
}

/// Ready to show what there will be to see.
pub(crate) struct Metrics {
    listener: Option<Listener>,
    has_lines: bool,
}

impl Metrics {
    /// Shows it, until the value that is returned is dropped. The threads have the CPUs and the rights of this one.
    pub(crate) fn show(self, watched: &Arc<Watched>) -> anyhow::Result<impl Sized + use<>> {
        let server = self.listener.map(|listener| Server::start(listener, Arc::clone(watched))).transpose()?;
        let monitor = self.has_lines.then(|| Monitor::start(Arc::clone(watched))).transpose()?;
        Ok((server, monitor))
    }
}
