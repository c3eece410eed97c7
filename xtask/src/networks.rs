//! The networks that downloads go through, with a server at their end.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lethe_sim::sample::expected;
use lethe_testnet::nginx::{self, Content, Nginx};
use lethe_testnet::relay::{self, Relay, Way};
use lethe_testnet::{Capture, Namespace, Server, TAP, janitor, serve};
use tempfile::TempDir;

use crate::downloads::Expected;

/// What all networks of a run have in common.
pub(crate) struct Networks {
    pub(crate) lethe: PathBuf,
    pub(crate) relay: PathBuf,
    /// More options of `lethe serve`.
    pub(crate) options: Vec<String>,
    /// Whether kernels keep no round-trip times for their next connections.
    pub(crate) forgetful: bool,
    /// The congestion control of nginx's kernel.
    pub(crate) congestion_control: String,
    /// Where what passes a TAP is written and kept.
    pub(crate) captures: Option<PathBuf>,
    /// The longest reply of `sample` so far: the shorter ones are its beginnings.
    pattern: RefCell<Arc<Vec<u8>>>,
}

/// A client's namespace, and what it has to do with. All of it goes together, programs first.
pub(crate) struct Network {
    /// Lethe's servers, each where its TAP is.
    pub(crate) servers: Vec<Server>,
    _capture: Option<Capture>,
    _relay: Option<Relay>,
    _nginx: Option<(nginx::Running, TempDir)>,
    pub(crate) client: Namespace,
    _others: Vec<Namespace>,
}

impl Networks {
    /// Those of these programs, with nothing unusual.
    pub(crate) fn new(lethe: PathBuf, relay: PathBuf) -> Self {
        let congestion_control = "cubic".to_owned();
        let (options, pattern) = (Vec::new(), RefCell::default());
        Self { lethe, relay, options, forgetful: false, congestion_control, captures: None, pattern }
    }

    /// The reply to `GET /size` of `sample`.
    pub(crate) fn pattern(&self, size: usize) -> Expected {
        let mut pattern = self.pattern.borrow_mut();
        if pattern.len() < size {
            *pattern = Arc::new(expected(size));
        }
        Expected::Bytes(Arc::clone(&pattern), size)
    }

    /// Writes the reply to `GET /size` of `sample` to a file.
    pub(crate) fn write_pattern(&self, path: &Path, size: usize) -> std::io::Result<()> {
        self.pattern(size);
        fs::write(path, &self.pattern.borrow()[..size])
    }

    /// A namespace whose kernel forgets what it is told to.
    pub(crate) fn space(&self) -> anyhow::Result<Namespace> {
        let space = Namespace::create()?;
        let forgets = u8::from(self.forgetful);
        space.sh(&format!("echo {forgets} >/proc/sys/net/ipv4/tcp_no_metrics_save"))?;
        Ok(space)
    }

    /// `lethe serve` behind a device, with the options that are for all.
    pub(crate) fn serve(&self, space: &Namespace, device: &str, impair: &str, more: &[&str]) -> Command {
        let mut command = serve(space, &self.lethe, &["--device", device]);
        if !impair.is_empty() {
            command.args(["--impair", impair]);
        }
        command.args(&self.options).args(more);
        command
    }

    /// Lethe and its clients in one namespace, as `lethe serve` is used. `app` may begin with options.
    pub(crate) fn lethe_here(&self, impair: &str, app: &[&str]) -> anyhow::Result<Network> {
        let space = self.space()?;
        let server = Server::launch(&mut self.serve(&space, TAP, impair, app), 2)?;
        space.patient_neighbors("lethe0")?;
        let capture = self.capture(&space)?;
        let servers = vec![server];
        Ok(Network { servers, _capture: capture, _relay: None, _nginx: None, client: space, _others: Vec::new() })
    }

    /// A recording of what passes `lethe0` of a namespace, if it is wanted.
    pub(crate) fn capture(&self, space: &Namespace) -> anyhow::Result<Option<Capture>> {
        let Some(folder) = &self.captures else { return Ok(None) };
        let path = folder.join(format!("{}.pcap", space.name()));
        println!("    {}", path.display());
        Ok(Some(Capture::start(space, "lethe0", &path, &[])?))
    }

    /// Servers behind the relay, each in a namespace of its own, whose TAP is bridged to the relay's.
    pub(crate) fn lethe_behind(&self, count: usize, impair: &str, app: &[&str]) -> anyhow::Result<Network> {
        let client = self.space()?;
        let spaces = (0..count).map(|_| self.space()).collect::<anyhow::Result<Vec<_>>>()?;
        let relay = relay::start(&self.relay, &client, &spaces.iter().collect::<Vec<_>>(), Way::Chance, impair)?;
        let mut servers = Vec::new();
        for (number, space) in spaces.iter().enumerate() {
            servers.push(Server::launch(&mut self.serve(space, "tap:lethe0", "", app), 2)?);
            relay::bridge(space, number)?;
        }
        Ok(Network { servers, _capture: None, _relay: Some(relay), _nginx: None, client, _others: spaces })
    }

    /// nginx behind the relay.
    pub(crate) fn nginx_behind(&self, sizes: &[usize], impair: &str) -> anyhow::Result<Network> {
        let (client, server) = (self.space()?, self.space()?);
        let relay = relay::start(&self.relay, &client, &[&server], Way::Chance, impair)?;
        self.nginx(client, server, Some(relay), sizes)
    }

    /// nginx at the other end of a cable, without a program in between.
    pub(crate) fn nginx_on_cable(&self, sizes: &[usize], offload: bool) -> anyhow::Result<Network> {
        let (client, server) = (self.space()?, self.space()?);
        client.cable("lethe0", &server, "server0")?;
        client.address("lethe0", 1)?;
        if !offload {
            // What TAP devices do not do: cut and join segments in the kernel, and leave checksums out.
            for (space, device) in [(&client, "lethe0"), (&server, "server0")] {
                space.sh(&format!(
                    "ethtool -K {device} tso off gso off gro off tx off >/dev/null 2>&1 ||
                     ip link set {device} gso_max_segs 1"
                ))?;
            }
        }
        self.nginx(client, server, None, sizes)
    }

    /// nginx with the replies of `sample` as files, at `server0` of its namespace.
    fn nginx(
        &self,
        client: Namespace,
        server: Namespace,
        relay: Option<Relay>,
        sizes: &[usize],
    ) -> anyhow::Result<Network> {
        server.address("server0", 2)?;
        let site = janitor::folder("site")?;
        for &size in sizes {
            self.write_pattern(&site.path().join(size.to_string()), size)?;
        }
        nginx::use_congestion_control(&server, "server0", 2, &self.congestion_control)?;
        let nginx = Nginx::new(Content::Files(site.path())).start(&server, &[])?;
        let (nginx, others) = (Some((nginx, site)), vec![server]);
        Ok(Network { servers: Vec::new(), _capture: None, _relay: relay, _nginx: nginx, client, _others: others })
    }
}
