//! The servers that are compared, and how each is started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use lethe_testnet::nginx::{self, Content, Nginx};
use lethe_testnet::{Namespace, Program, wait_until};
use nix::sys::resource::{Resource, getrlimit};

use super::Setup;
use super::wire::{Wire, lasting, listed, mask};

pub(super) const ADDRESS: &str = "10.9.0.2";

/// The request of the comparison, which each server must answer alike.
pub(super) const PATH: &str = "/202.96.128.86";

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Clone, PartialEq, Eq, Debug)]
enum How {
    /// Lethe at the server's end of the wire: its kind of device with a place for the interface, and more options.
    Interface(String, Vec<String>),
    /// Lethe at a TAP.
    Tap,
    /// Lethe by DPDK's `AF_XDP` driver, with more options.
    Dpdk(Vec<String>),
    /// nginx, which has the answer in its configuration or in a file; and whether its kernel answers SYNs with cookies
    /// when there are more than it remembers.
    Nginx { file: bool, cookies: bool },
    /// A server of `benches/peers`.
    Peer(&'static str),
}

/// A server that can be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kind {
    /// Its name in the tables.
    pub(super) name: String,
    pub(super) workers: usize,
    /// Connections that it is asked to hold: with a thread or a process for each, and where all are gone over for one,
    /// more are too much for a test.
    pub(super) most_held: usize,
    /// Whether it keeps connections open where the client lets it.
    keeps: bool,
    how: How,
}

impl Kind {
    fn new(name: impl Into<String>, workers: usize, how: How) -> Self {
        Self { name: name.into(), workers, most_held: 1_000_000, keeps: false, how }
    }

    pub(super) fn lethe_tap() -> Self {
        Self::new("Lethe, tap", 1, How::Tap)
    }

    pub(super) fn lethe_packet(workers: usize) -> Self {
        let device = if workers == 1 { "packet:{}" } else { "packet:{},fanout=7" };
        let name = format!("Lethe, packet, {}", counted(workers));
        Self::new(name, workers, How::Interface(device.to_owned(), Vec::new()))
    }

    pub(super) fn lethe_xdp() -> Self {
        Self::new("Lethe, xdp", 1, How::Interface("xdp:{}".to_owned(), Vec::new()))
    }

    /// Lethe on the devices that the kernel has.
    pub(super) fn lethe() -> [Self; 3] {
        [Self::lethe_tap(), Self::lethe_packet(1), Self::lethe_xdp()]
    }

    /// Those that wait a little after each turn. Latency is not what this is for, and so they are not asked for it.
    pub(super) fn gathering() -> [Self; 2] {
        ["packet", "xdp"].map(|device| Self::with_option(device, "--gather", "50us"))
    }

    /// Lethe on a device, with one more option.
    pub(super) fn with_option(device: &str, option: &str, value: &str) -> Self {
        let how = How::Interface(format!("{device}:{{}}"), vec![option.to_owned(), value.to_owned()]);
        Self::new(format!("Lethe, {device}, {option} {value}"), 1, how)
    }

    pub(super) fn dpdk() -> Self {
        Self::new("Lethe, dpdk by net_af_xdp", 1, How::Dpdk(Vec::new()))
    }

    pub(super) fn dpdk_with_burst(burst: usize) -> Self {
        let how = How::Dpdk(vec!["--burst".to_owned(), burst.to_string()]);
        Self::new(format!("{}, --burst {burst}", Self::dpdk().name), 1, how)
    }

    /// The one with which all others are compared.
    pub(super) fn reference() -> Self {
        Self::new("nginx, return, 1 worker", 1, How::Nginx { file: false, cookies: true })
    }

    pub(super) fn without_cookies() -> Self {
        Self::new("nginx, no SYN cookies", 1, How::Nginx { file: false, cookies: false })
    }

    pub(super) fn nginx_file(workers: usize) -> Self {
        Self::new(format!("nginx, file, {}", counted(workers)), workers, How::Nginx { file: true, cookies: true })
    }

    pub(super) fn epoll() -> Self {
        Self::new("epoll, one thread", 1, How::Peer("epoll"))
    }

    pub(super) fn uring() -> Self {
        Self::new("io_uring, one thread", 1, How::Peer("uring"))
    }

    /// It, with connections that stay open.
    pub(super) fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    pub(super) fn others() -> Vec<Self> {
        let few = |name, model| Self { most_held: 10_000, ..Self::new(name, 1, How::Peer(model)) };
        vec![
            Self::new("nginx, return, 2 workers", 2, How::Nginx { file: false, cookies: true }),
            Self::nginx_file(2),
            Self::epoll(),
            Self::uring(),
            few("poll, one thread", "poll"),
            few("a thread a connection", "threads"),
            few("a process a connection", "processes"),
        ]
    }

    /// Whether it is Lethe at a TAP, which is a cable of its own.
    pub(super) fn is_tap(&self) -> bool {
        self.how == How::Tap
    }
}

fn counted(workers: usize) -> String {
    if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") }
}

/// A server that answers, with its client's end of the wire. It ends when this is dropped: programs first, then the
/// wire.
pub(super) struct Running<'a> {
    programs: Vec<Program>,
    nginx: Option<nginx::Running>,
    pub(super) wire: Wire,
    pub(super) setup: &'a Setup,
    pub(super) kind: &'a Kind,
    site: Option<PathBuf>,
    /// Connections that it must be able to hold, and processes that have descriptors for so many.
    held: usize,
    parts: usize,
    /// The kernel's threads that receive for it, and its processes.
    pub(super) receivers: Vec<u32>,
    pub(super) pids: Vec<u32>,
    prefix: Option<PathBuf>,
}

impl<'a> Running<'a> {
    /// Starts one that serves the files in `site`, if there is one, the table if that is a file, else the lookup.
    /// `held` is how many connections it must be able to hold.
    pub(super) fn start(setup: &'a Setup, kind: &'a Kind, site: Option<&Path>, held: usize) -> anyhow::Result<Self> {
        let limit = getrlimit(Resource::RLIMIT_NOFILE)?.0 as usize;
        let parts = if held + 2000 < limit { 1 } else { held.div_ceil(limit / 100 * 85) };
        let wire = Wire::new(&setup.cpus, kind.workers)?;
        let site = site.map(Path::to_owned);
        let mut running = Self {
            programs: Vec::new(),
            nginx: None,
            wire,
            setup,
            kind,
            site,
            held,
            parts,
            receivers: Vec::new(),
            pids: Vec::new(),
            prefix: None,
        };
        running.launch().with_context(|| kind.name.clone())?;
        running.wait().with_context(|| kind.name.clone())?;
        running.receivers = running.wire.pin()?;
        running.pids = lasting(running.space())?;
        Ok(running)
    }

    /// Where it runs. A TAP has its client in the same namespace.
    pub(super) fn space(&self) -> &Namespace {
        if self.kind.is_tap() { &self.wire.client } else { &self.wire.server }
    }

    /// The client's interface.
    pub(super) fn near(&self) -> &str {
        if self.kind.is_tap() { "lethe0" } else { &self.wire.near }
    }

    /// The CPUs that work for it alone, if there are any.
    pub(super) fn server_cpus(&self) -> Option<Vec<usize>> {
        let (cpus, workers) = (&self.setup.cpus, self.kind.workers);
        cpus.are_apart(workers).then(|| cpus.of_server(workers))
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        match self.kind.how.clone() {
            How::Interface(device, options) => self.on_interface(&device.replace("{}", &self.wire.far), options),
            How::Tap => self.on_tap(),
            How::Dpdk(options) => self.on_dpdk(&options),
            How::Nginx { file, cookies } => self.start_nginx(file, cookies),
            How::Peer(model) => {
                self.wire.give_address()?;
                let address = format!("{ADDRESS}:80");
                let mut words = vec![model, &address];
                words.extend(self.kind.keeps.then_some("--keep-alive"));
                (0..self.parts).try_for_each(|_| self.run("lethe-peers", &words))
            }
        }
    }

    /// Starts a program on the server's CPUs.
    fn run(&mut self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let cpus = listed(&self.setup.cpus.of_server(self.kind.workers));
        let mut command = self.space().command("taskset");
        command.args(["-c", &cpus]).arg(self.setup.binaries.join(program)).args(arguments);
        self.programs.push(Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?);
        Ok(())
    }

    /// Starts `lethe serve`.
    fn serve(&mut self, device: &str, options: &[String]) -> anyhow::Result<()> {
        let site = self.site.clone().map(|site| site.display().to_string());
        let mut words = vec!["serve", "--device", device, "--addr", ADDRESS];
        words.extend(options.iter().map(String::as_str));
        words.extend(["--keep-alive", if self.kind.keeps { "on" } else { "off" }]);
        match &site {
            None => words.push("ipinfo"),
            Some(site) => words.extend([if Path::new(site).is_file() { "scores" } else { "files" }, site]),
        }
        self.run("lethe", &words)
    }

    /// Lethe at the server's end of the wire, a process a worker.
    fn on_interface(&mut self, device: &str, mut options: Vec<String>) -> anyhow::Result<()> {
        if self.kind.workers > 1 {
            let secret = self.setup.work.path().join("secret");
            fs::write(&secret, "00112233445566778899aabbccddeeff\n")?;
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
            options.extend(["--secret-file".to_owned(), secret.display().to_string()]);
        }
        (0..self.kind.workers).try_for_each(|_| self.serve(device, &options))
    }

    /// Lethe at a TAP, which is a cable of its own: the client's kernel is at the other end of it, and not of the veth.
    fn on_tap(&mut self) -> anyhow::Result<()> {
        self.wire.client.sh(&format!("ip addr del 10.9.0.1/24 dev {}", self.wire.near))?;
        self.serve("tap:lethe0,host=10.9.0.1/24", &[])?;
        // What Lethe sends is received by the client's CPUs here too.
        let script = format!(
            "ip link show lethe0 up | grep -q lethe0; echo {} >/sys/class/net/lethe0/queues/rx-0/rps_cpus",
            mask(&self.setup.cpus.client)
        );
        wait_until("the TAP is up", PATIENCE, || Ok(self.wire.client.sh(&script).ok()))?;
        self.wire.client.patient_neighbors("lethe0")
    }

    /// Lethe's worker by way of DPDK's `AF_XDP` driver.
    fn on_dpdk(&mut self, options: &[String]) -> anyhow::Result<()> {
        let prefix = format!("lethe-compare-{}", self.wire.far);
        self.prefix = Some(Path::new("/var/run/dpdk").join(&prefix));
        let (lcore, far) = (self.setup.cpus.of_server(1)[0], &self.wire.far);
        let eal = format!(
            "--eal=--no-pci --no-huge -m 128 --no-telemetry --file-prefix {prefix} --lcores 0@{lcore} \
             --vdev net_af_xdp0,iface={far},force_copy=1"
        );
        let options = [&[eal], options].concat();
        self.serve("dpdk:0", &options)
    }

    fn start_nginx(&mut self, file: bool, cookies: bool) -> anyhow::Result<()> {
        self.wire.give_address()?;
        self.wire.server.sh(&format!("echo {} >/proc/sys/net/ipv4/tcp_syncookies", u8::from(cookies)))?;
        let text = String::from_utf8_lossy(&self.setup.body).into_owned();
        let site = self.site.as_ref().unwrap_or(&self.setup.site);
        let nginx = Nginx {
            workers: self.kind.workers.max(self.parts),
            connections: 20_000.max(self.held / self.parts / 10 * 11),
            reuse_port: self.parts > 1,
            // No connection is closed because it has had a thousand requests.
            more: if self.kind.keeps { "keepalive_requests 1000000000; keepalive_timeout 600s;" } else { "" },
            ..Nginx::new(if file { Content::Files(site) } else { Content::Text(&text) })
        };
        let cpus = listed(&self.setup.cpus.of_server(self.kind.workers));
        self.nginx = Some(nginx.start(&self.wire.server, &["taskset", "-c", &cpus])?);
        Ok(())
    }

    /// What it answers, whole; an error if it does not.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut curl = self.wire.client.command("curl");
        let output = curl.args(["-sS", "--fail", "--max-time", "5", &format!("http://{ADDRESS}{path}")]).output()?;
        if !output.status.success() {
            bail!("{} does not answer: {}", self.kind.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }

    /// Fails if it answers with anything else.
    pub(super) fn check_body(&self, path: &str, expected: &[u8]) -> anyhow::Result<()> {
        let body = self.get(path)?;
        if body != expected {
            let [body, expected] = [&body, expected].map(|bytes| bytes[..bytes.len().min(60)].escape_ascii());
            bail!("{} answers {path} with {body}, and not with {expected}", self.kind.name);
        }
        Ok(())
    }

    /// Until it answers.
    fn wait(&mut self) -> anyhow::Result<()> {
        let path = match &self.site {
            None => PATH.to_owned(),
            Some(site) if site.is_file() => "/".to_owned(),
            Some(site) => {
                let names = fs::read_dir(site)?.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
                format!("/{}", names.min().context("a site without files")?)
            }
        };
        let mut last = String::new();
        let name = self.kind.name.clone();
        let answered = wait_until("it answers", PATIENCE, || match self.get(&path) {
            Ok(_) => Ok(Some(())),
            Err(error) => {
                last = error.to_string();
                if self.programs.iter_mut().any(|program| !program.is_running()) {
                    bail!("{name} ended");
                }
                Ok(None)
            }
        });
        answered.with_context(|| last)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.programs.clear();
        self.nginx = None;
        if let Some(prefix) = &self.prefix {
            let _ = fs::remove_dir_all(prefix);
        }
    }
}
