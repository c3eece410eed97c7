//! A server under load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use lethe_testnet::nginx::{self, Content, Nginx};
use lethe_testnet::{Namespace, Server, janitor, output};
use serde_json::Value;
use signal_hook::consts::SIGINT;
use tempfile::TempDir;

use crate::programs;

const ABOUT: &str = "\
Loads a server over a veth between two network namespaces, with one command, and tells what came of it.

  open   so many connections are opened and held, and then each asks: the memory of the server, and every answer
  rate   requests at a rate, for a while: latency
  flood  the same with a flood beside it: the share of the requests that is still answered
  kept   so many connections are opened, and each asks three times, with a pause (--think) in between in which all are
         idle: fails unless all are answered, byte for byte, and the server never has a page more than at first

The server is `lethe serve --device packet:`, or nginx on the kernel's TCP (--server nginx). With --device memif both
are on DPDK, and their cards are memory that they share: no kernel, no network. Needs root, ip, and a release build,
which is made if there is none.

What stands behind -- goes to `lethe load`.";

const EXAMPLE: &str = "\
Examples:
  cargo xtask load open 1M
  cargo xtask load rate 20k
  cargo xtask load kept 1M
  cargo xtask load flood 1k --kind syn --server nginx -- --timeout 30s";

/// The clients' networks: all of 10/8 but the server itself; 10.9.0.1 is one of them, and the way back to all others.
const FROM: &str = "10.0.0.0/8";
const TO: &str = "10.9.0.2";
const WAY_BACK: &str = "10.9.0.1";
const FLOOD_FROM: &str = "198.18.0.0/15";

/// Not those of the interfaces: the kernels then see at once that a packet is not for them.
const SERVER_MAC: &str = "02:00:00:00:00:02";
const CLIENT_MAC: &str = "02:00:00:00:00:01";

/// Requests of a connection that is kept.
const REQUESTS: usize = 3;

/// Seconds for which a cookie of Lethe counts as of this minute; it is good for this one and the next.
const EPOCH: u64 = 60;

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// What is done
    what: What,
    /// Connections, or requests a second: 500, 20k, 10M
    number: String,
    /// The server
    #[arg(long, default_value = "lethe")]
    server: Kind,
    /// Of flood: its packets
    #[arg(long, default_value = "syn")]
    kind: Flood,
    /// Frames a second of the flood (as many as can be sent)
    #[arg(long)]
    flood_rate: Option<String>,
    /// How long (1s for open, else 10s)
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<String>,
    /// kept: how long all connections are idle between their requests
    #[arg(long, value_name = "TIME", default_value = "60s")]
    think: String,
    /// Bytes of a reply
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Of the server
    #[arg(long, default_value = "packet")]
    device: Device,
    #[arg(long, default_value_t = 65_535, help = "nginx: net.ipv4.tcp_max_syn_backlog")]
    backlog: u32,
    #[arg(long, help = "nginx: net.ipv4.tcp_syncookies=0")]
    no_syncookies: bool,
    /// The command `lethe`
    #[arg(long, value_name = "FILE")]
    lethe: Option<PathBuf>,
    /// open: wait for no whole minute
    #[arg(long)]
    now: bool,
    /// For `lethe load`
    #[arg(last = true)]
    more: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    Open,
    Rate,
    Flood,
    Kept,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    Lethe,
    Nginx,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Flood {
    Syn,
    Ack,
    Garbage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Device {
    Packet,
    Xdp,
    Memif,
}

/// A running server.
enum Running {
    Lethe(Server),
    Nginx { nginx: nginx::Running, _site: TempDir },
}

impl Running {
    /// The process whose memory counts: nginx's is that of its worker.
    fn pid(&self) -> anyhow::Result<u32> {
        match self {
            Self::Lethe(server) => Ok(server.pid()),
            Self::Nginx { nginx, .. } => nginx.workers()?.first().copied().context("nginx has no worker"),
        }
    }
}

/// The names of values as clap has them.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&[("ip", "iproute2")])?;
    let lethe = match &args.lethe {
        Some(lethe) => lethe.clone(),
        None => programs::release().join("lethe"),
    };
    if !lethe.exists() {
        programs::build(&["-p lethe-httpd --features dpdk"])?;
    }
    let (server, client) = (Namespace::create()?, Namespace::create()?);
    args.network(&server, &client)?;
    let folder = janitor::folder("load")?;
    let running = match args.server {
        Kind::Lethe => args.start_lethe(&lethe, &server, folder.path())?,
        Kind::Nginx => args.start_nginx(&server)?,
    };
    if args.what == What::Kept {
        return args.kept(&lethe, &client, folder.path(), running.pid()?);
    }
    args.load(&lethe, &client, folder.path(), running.pid()?)
}

impl Args {
    fn network(&self, server: &Namespace, client: &Namespace) -> anyhow::Result<()> {
        for space in [server, client] {
            space.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")?;
        }
        server.cable("lethe0", client, "client0")?;
        server.sh("ip link set lethe0 up")?;
        client.sh("ip link set client0 up")?;
        if self.server == Kind::Nginx {
            let cookies = u8::from(!self.no_syncookies);
            server.sh(&format!(
                "sysctl -qw net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog={} net.ipv4.tcp_syncookies={cookies}
                 ip address add {TO}/24 dev lethe0
                 ip route add {FROM} via {WAY_BACK}
                 ip route add {FLOOD_FROM} via {WAY_BACK}",
                self.backlog
            ))?;
        } else if self.device == Device::Xdp {
            client.sh("ethtool -K client0 tx off")?;
        }
        Ok(())
    }

    fn start_lethe(&self, lethe: &Path, space: &Namespace, folder: &Path) -> anyhow::Result<Running> {
        let mut command = space.command(lethe);
        command.arg("serve");
        match self.device {
            Device::Memif => command.args(memif(folder, "server", 0)),
            device => command.arg("--device").arg(format!("{}:lethe0", name(&device))),
        };
        if self.what == What::Kept {
            command.args(["--keep-alive", "on"]);
        }
        let server = Server::launch(command.args(["--addr", TO, "--mac", SERVER_MAC, "sample"]), 1)?;
        if self.device == Device::Memif {
            // What connects to it has given up being root by then.
            fs::set_permissions(folder.join("memif"), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
        }
        Ok(Running::Lethe(server))
    }

    fn start_nginx(&self, space: &Namespace) -> anyhow::Result<Running> {
        let site = janitor::folder("site")?;
        fs::write(site.path().join(self.size.to_string()), vec![0; self.size])?;
        let content = Content::Files(site.path());
        let nginx = Nginx { connections: 1_048_000, backlog: 65_535, lean: true, ..Nginx::new(content) };
        Ok(Running::Nginx { nginx: nginx.start(space, &[])?, _site: site })
    }

    /// `lethe load`, with what is for every run of it.
    fn client(&self, lethe: &Path, space: &Namespace, folder: &Path) -> Command {
        let mut command = space.command(lethe);
        command.arg("load");
        match self.device {
            Device::Memif => command.args(memif(folder, "client", 1)),
            Device::Packet | Device::Xdp => command.args(["--device", "packet:client0"]),
        };
        let path = format!("/{}", self.size);
        command.args(["--mac", CLIENT_MAC, "--from", FROM, "--to", TO, "--path", &path]);
        if !self.more.iter().any(|word| word == "--compare") {
            command.args(["--compare", "all"]);
        }
        command
    }

    /// Connections that are idle between their requests: what came of them, and of the server's memory.
    fn kept(&self, lethe: &Path, space: &Namespace, folder: &Path, pid: u32) -> anyhow::Result<()> {
        let asked = REQUESTS.to_string();
        // Each connection's next request is another one.
        let paths = (1..REQUESTS).map(|more| format!("/{}", self.size + more));
        let more: Vec<_> = paths.flat_map(|path| ["--path".to_owned(), path]).collect();
        let run = |number: &str, think: &str, watch: &[&str]| {
            let mut command = self.client(lethe, space, folder);
            command.args(&more).args(["--open", number, "--keep-alive", &asked, "--think", think, "--for", "0s"]);
            command.args(["--timeout", "60s"]).args(watch).args(&self.more);
            output(&mut command)
        };
        // What a program touches once, it touches now.
        run("5k", "10ms", &["--quiet"])?;
        if self.device != Device::Memif && !self.now {
            wait_for_a_whole_epoch();
        }
        let text = run(&self.number, &self.think, &["--json", "--watch", &pid.to_string()])?;
        let result: Value = serde_json::from_str(&text).context("the result of `lethe load`")?;
        let count = |key: &str| result[key].as_u64().with_context(|| format!("{key}: {result:#}"));
        let (begun, answered) = (count("begun")?, count("answered")?);
        let marks = result["memory"].as_array().context("it was watched")?;
        let [resident, written] = ["resident_kib", "anonymous_kib"]
            .map(|key| marks.iter().filter_map(|mark| mark[key].as_u64()).collect::<Vec<_>>());
        let stages: Vec<_> = result["stages"].as_object().into_iter().flatten().collect();
        let stages: Vec<String> = stages.iter().map(|(stage, took)| format!("{stage} {took:.1}")).collect();
        println!("{begun} connections, {answered} requests answered, all bytes as they should be");
        println!("seconds: {}", stages.join(", "));
        println!("memory of the server, KiB: {resident:?}, of which it has written {written:?}");
        ensure!(answered == begun * REQUESTS as u64 && count("opened")? == begun, "not all: {result:#}");
        // Pages of code come as they are needed, and go.
        ensure!(written.iter().all(|&kib| kib <= written[0]), "the server has written more memory than at first");
        Ok(())
    }

    fn load(&self, lethe: &Path, space: &Namespace, folder: &Path, pid: u32) -> anyhow::Result<()> {
        if self.what == What::Open && self.device != Device::Memif {
            // What a program touches once, it touches now.
            output(self.client(lethe, space, folder).args(["--open", "5k", "--for", "0s", "--quiet"]))?;
        }
        let mut command = self.client(lethe, space, folder);
        let usual = if self.what == What::Open { "1s" } else { "10s" };
        command.args(["--watch", &pid.to_string(), "--for", self.duration.as_deref().unwrap_or(usual)]);
        if self.what == What::Open {
            command.args(["--open", &self.number, "--timeout", "60s"]);
            if self.server == Kind::Lethe && !self.now {
                wait_for_a_whole_epoch();
            }
        } else {
            command.args(["--rate", &self.number]);
        }
        if self.what == What::Flood {
            let rate = self.flood_rate.as_ref().map_or_else(String::new, |rate| format!("={rate}"));
            command.args(["--flood", &format!("{}{rate}", name(&self.kind)), "--flood-from", FLOOD_FROM]);
        }
        // Ctrl-C ends `lethe load`, which then prints its result; we wait for that.
        let interrupted = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))?;
        let before = available()?;
        let mut least = before;
        let mut loader = command.args(&self.more).spawn()?;
        let status = loop {
            least = least.min(available()?);
            if let Some(status) = loader.try_wait()? {
                break status;
            }
            sleep(Duration::from_millis(200));
        };
        let less = before.saturating_sub(least) >> 10;
        println!("{less:>12}  MiB less memory available on the machine at some time, clients included");
        if !status.success() && !interrupted.load(Ordering::Relaxed) {
            bail!("`lethe load` failed: {status}");
        }
        Ok(())
    }
}

/// Half of a cable of shared memory.
fn memif(folder: &Path, role: &str, lcore: u32) -> [String; 3] {
    let socket = folder.join("memif");
    let card = format!("net_memif0,role={role},socket={},socket-abstract=no,rsize=11", socket.display());
    let prefix = format!("lethe-load-{}-{role}", std::process::id());
    let eal = format!(
        "--no-pci --no-huge -m 128 --no-telemetry --log-level 3 --file-prefix {prefix} -l {lcore} --vdev {card}"
    );
    ["--device".to_owned(), "dpdk:0".to_owned(), format!("--eal={eal}")]
}

/// All of the epoch, and the next one, is left for those who open first.
fn wait_for_a_whole_epoch() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    sleep(Duration::from_secs(EPOCH - now % EPOCH));
}

/// Memory that is available on this machine, in KiB.
fn available() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    Ok(line.context("MemAvailable")?.trim().trim_end_matches(" kB").parse()?)
}
