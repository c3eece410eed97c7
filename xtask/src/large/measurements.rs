//! What is measured of large replies.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use lethe_sim::random::Random;
use lethe_testnet::{Capture, Server, TAP, capture, counters, janitor, output};
use nix::sys::signal::Signal;

use super::table::Table;
use super::{Case, Family, LOSSY, Lab, Measurement, Server as Kind};
use crate::downloads::{Batch, Curl, Download, Expected, human};
use crate::networks::Network;
use crate::shared::{Contender, SharedNetwork, Site};

/// Downloads of a size: enough for a 99th percentile where it costs little.
pub(super) const COUNTS: [(usize, usize); 3] = [(14_000, 200), (100_000, 100), (1_000_000, 20)];

/// Downloads at a time.
const PARALLEL: usize = 20;

/// Networks on which something can happen in the middle of a reply: without loss, where 10 MB take some seconds, and
/// with it, where what takes as long is shorter.
const LONG: [(&str, usize); 2] = [("delay=5ms,seed=7", 10_000_000), (LOSSY, 1_000_000)];

/// Why a client's kernel may throw away a segment that reached it.
const DROPS: &str = "TcpExtTCPBacklogDrop TcpExtTCPRcvQDrop TcpExtTCPOFODrop TcpExtTCPZeroWindowDrop TcpExtPruneCalled \
                     TcpExtTCPTimeouts";

impl Lab<'_> {
    pub(super) fn measure(&self, measurement: Measurement, table: &mut Table) -> anyhow::Result<()> {
        match measurement {
            Measurement::Minimal => self.minimal(table),
            Measurement::Gigabyte => self.gigabyte(table),
            Measurement::Throughput => self.throughput(table),
            Measurement::Loss => self.loss(table),
            Measurement::Times => self.times(table),
            Measurement::Resent => self.resent(table),
            Measurement::Clients => self.clients(table),
            Measurement::Restart => self.restart(table),
            Measurement::Spread => self.spread(table),
            Measurement::Reload => self.reload(table),
            Measurement::Slow => self.slow(table),
        }
    }

    /// The segments that a reply takes when nothing is lost. A frame has up to two of them.
    fn minimal(&self, table: &mut Table) -> anyhow::Result<()> {
        println!("\nsegments with data, nothing lost (an odd length: the MSS less 12 for timestamps, less 1)");
        for family in self.families() {
            for size in [10_000_000, 16_777_216] {
                self.minimal_of(family, size, table)?;
            }
        }
        Ok(())
    }

    fn minimal_of(&self, family: Family, size: usize, table: &mut Table) -> anyhow::Result<()> {
        let mut network = self.networks.lethe_here("", &["sample"])?;
        let path = self.work.path().join("minimal.pcap");
        let url = format!("{}/{size}", family.base());
        let head = network.client.sh(&format!("curl -sSgI -o /dev/null -w '%{{size_header}}' '{url}'"))?;
        let capture = Capture::start(&network.client, "lethe0", &path, &["tcp and src port 80"])?;
        let curl = Curl::new(&network.client, self.networks.pattern(size));
        let download = curl.fetch(&url, &self.work.path().join("body"));
        let missed = capture.stop()?;
        let lost = network.client.sh(&format!("nstat -asz {DROPS} | awk '$2 && !/#/ {{ print $1, $2 }}'"))?;
        let counters = counters(&network.servers.remove(0).stop());
        let segment = family.mss() - 1;
        let least = (head.trim().parse::<usize>()? + size).div_ceil(segment);
        // A byte that the client has acknowledged draws an ACK at the end, or where its window is full.
        let (probes, frames): (Vec<_>, Vec<_>) = capture::data_segments(&path)?.into_iter().partition(|&len| len == 1);
        let seen: usize = frames.iter().map(|length| length.div_ceil(segment)).sum();
        let holds = download.is_right() && seen == least && missed == 0;
        let (frames, probes) = (frames.len(), probes.len());
        let mut text =
            format!("least {least}, sent {seen} in {frames} frames, probes {probes}, {:.3} s", download.seconds);
        if missed > 0 {
            write!(text, ", missed by tcpdump {missed}")?;
        }
        if !holds {
            let shown = ["first-window", "next-window", "resent", "resumed"]
                .map(|name| format!("{name} {}", counters.get(name).copied().unwrap_or(0)));
            write!(text, ", {}, client: {}", shown.join(", "), lost.replace('\n', " "))?;
        }
        table.check(&format!("{}, {}", family.name(), human(size)), holds, &text);
        if !download.is_right() {
            println!("    other bytes {}", download.complaint);
        }
        fs::remove_file(&path)?;
        Ok(())
    }

    /// 1 GB from a directory, by both families.
    fn gigabyte(&self, table: &mut Table) -> anyhow::Result<()> {
        Table::head("1 GB of files, nothing lost");
        let site = janitor::folder("site")?;
        let file = site.path().join("gigabyte");
        write_random(&file, 1_000_000_000, 1)?;
        let network = self.networks.lethe_here("", &["files", &site.path().display().to_string()])?;
        let curl = Curl { longest: 80, ..Curl::new(&network.client, Expected::File(file)) };
        for family in self.families() {
            let download = curl.fetch(&format!("{}/gigabyte", family.base()), &self.work.path().join("body"));
            let rate = 1e3 / download.seconds;
            table.row(&format!("lethe files, {}, 1 GB, {rate:.0} MB/s", family.name()), &[download]);
        }
        Ok(())
    }

    /// How fast, when nothing is lost and nothing takes time.
    fn throughput(&self, table: &mut Table) -> anyhow::Result<()> {
        Table::head("nothing lost, no delay: 10 MB, one at a time and 20 at a time");
        let size = 10_000_000;
        let paths = [
            (Kind::Lethe, "TAP"),
            (Kind::Lethe, "TAP and relay"),
            (Kind::Nginx, "TAP and relay"),
            (Kind::Nginx, "veth without offloads"),
            (Kind::Nginx, "veth"),
        ];
        for (kind, path) in paths.into_iter().filter(|(kind, _)| self.servers().contains(kind)) {
            for family in self.families() {
                let network = match (kind, path) {
                    (Kind::Lethe, "TAP") => self.networks.lethe_here("", &["sample"]),
                    (Kind::Lethe, _) => self.networks.lethe_behind(1, "", &["sample"]),
                    (Kind::Nginx, "TAP and relay") => self.networks.nginx_behind(&[size], ""),
                    (Kind::Nginx, _) => self.networks.nginx_on_cable(&[size], path == "veth"),
                }?;
                for parallel in [1, PARALLEL] {
                    let downloads = self.download(&network, family, size, PARALLEL, parallel, 120)?.result();
                    let seconds: f64 = downloads.iter().map(|download| download.seconds).sum();
                    let rate = 20.0 * 10.0 / seconds * if parallel == 1 { 1.0 } else { 20.0 };
                    let name =
                        format!("{}, {path}, {}, {parallel} at a time: {rate:.0} MB/s", kind.name(), family.name());
                    table.row(&name, &downloads);
                }
            }
        }
        Ok(())
    }

    /// Begins to download the reply of a size so often.
    fn download(
        &self,
        network: &Network,
        family: Family,
        size: usize,
        count: usize,
        parallel: usize,
        longest: u32,
    ) -> anyhow::Result<Batch> {
        let curl = Curl { longest, ..Curl::new(&network.client, self.networks.pattern(size)) };
        Batch::start(&curl, &vec![format!("{}/{size}", family.base()); count], parallel)
    }

    /// How many downloads of each size.
    fn counts(&self) -> Vec<(usize, usize)> {
        let wanted = &self.args.size;
        let counts = COUNTS.into_iter().filter(|(size, _)| wanted.is_empty() || wanted.contains(size));
        counts.map(|(size, count)| (size, self.scaled(count, 1))).collect()
    }

    /// Completion times through a bad network, next to nginx.
    fn loss(&self, table: &mut Table) -> anyhow::Result<()> {
        Table::head(&format!("{}, both ways; nginx with {}", self.args.impair, self.args.congestion_control));
        for family in self.families() {
            self.sizes_of(family, "true", "", 120, table)?;
        }
        Ok(())
    }

    /// Downloads of each size through a bad network, by a client that a shell line has made what it is.
    fn sizes_of(
        &self,
        family: Family,
        setting: &str,
        case: &str,
        longest: u32,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let site = Site::of(&self.networks, &COUNTS.map(|(size, _)| size))?;
        let contender = |kind| match kind {
            Kind::Lethe => Contender::Lethe,
            Kind::Nginx => Contender::Nginx(self.args.congestion_control.clone()),
        };
        let contenders: Vec<Contender> = self.servers().into_iter().map(contender).collect();
        let mut network = SharedNetwork::start(&self.networks, &contenders, &site, &self.args.impair)?;
        network.client.sh(setting)?;
        for (number, contender) in contenders.iter().enumerate() {
            for (size, count) in self.counts() {
                let curl = network.curl(self.networks.pattern(size), longest);
                let url = SharedNetwork::url(number, family.name(), &size.to_string());
                let downloads = Batch::start(&curl, &vec![url; count], PARALLEL)?.result();
                table.row(&format!("{}, {}{case}, {}", contender.name(), family.name(), human(size)), &downloads);
            }
        }
        network.counters()?;
        if self.args.counters {
            for server in network.servers.drain(..) {
                println!("    {:?}", counters(&server.stop()));
            }
        }
        Ok(())
    }

    /// Clients that lack something.
    fn clients(&self, table: &mut Table) -> anyhow::Result<()> {
        Table::head(&format!("{}, both ways; nginx with {}", self.args.impair, self.args.congestion_control));
        let all = [Case::NoTimestamps, Case::NoSack, Case::Mtu576, Case::Mtu1280, Case::NoWindowScaling];
        for &case in if self.args.case.is_empty() { &all[..] } else { &self.args.case } {
            let (name, setting) = without(case);
            // No IPv6 link has an MTU of less than 1280.
            let families = self.families().into_iter().filter(|family| case != Case::Mtu576 || *family == Family::V4);
            for family in families {
                self.sizes_of(family, setting, &format!(", {name}"), self.args.longest, table)?;
            }
        }
        Ok(())
    }

    /// A file with a secret, as an option of `lethe serve`.
    fn secret(&self) -> anyhow::Result<String> {
        let path = self.work.path().join("secret");
        output(Command::new("sh").args(["-ec", "umask 77; od -An -tx1 -N16 /dev/urandom | tr -d ' ' >$0"]).arg(&path))?;
        Ok(path.display().to_string())
    }

    /// Another server goes on where the first one was killed.
    fn restart(&self, table: &mut Table) -> anyhow::Result<()> {
        let count = self.scaled(50, 1);
        let secret = self.secret()?;
        for (impair, size) in LONG {
            self.networks.pattern(size);
            Table::head(&format!("kill -9 and a new server in the middle of {count} downloads, {impair}"));
            for family in self.families() {
                let space = self.networks.space()?;
                space.sh("ip tuntap add lethe0 mode tap")?;
                let start = || {
                    let more = ["--secret-file", &secret, "sample"];
                    Server::launch(&mut self.networks.serve(&space, TAP, impair, &more), 2)
                };
                let mut server = start()?;
                space.patient_neighbors("lethe0")?;
                let curl = Curl { longest: self.args.longest, ..Curl::new(&space, self.networks.pattern(size)) };
                let batch = Batch::start(&curl, &vec![format!("{}/{size}", family.base()); count], count)?;
                let mut middles = Vec::new();
                for _ in 0..self.args.kills {
                    sleep(Duration::from_secs(2));
                    server.kill();
                    middles.push(batch.in_the_middle(size as u64)?);
                    server = start()?;
                }
                let name = format!("lethe, {}, {}, killed {} x", family.name(), human(size), self.args.kills);
                table.row(&name, &batch.result());
                let enough = middles.iter().sum::<usize>() > 0;
                let middles: Vec<_> = middles.iter().map(ToString::to_string).collect();
                table.check(
                    "",
                    enough,
                    &format!("in the middle when it was killed: {} of {count}", middles.join(", ")),
                );
            }
        }
        Ok(())
    }

    /// Two servers behind one address. Neither learns what the other has done.
    fn spread(&self, table: &mut Table) -> anyhow::Result<()> {
        let secret = self.secret()?;
        for impair in ["seed=7", &self.args.impair] {
            Table::head(&format!("two servers, each packet to one of them by chance, {impair}"));
            for family in self.families() {
                let app = ["--secret-file", &secret, "sample"];
                let mut network = self.networks.lethe_behind(2, impair, &app)?;
                for (size, count) in self.counts() {
                    let batch = self.download(&network, family, size, count, PARALLEL, self.args.longest)?;
                    table.row(&format!("lethe, {}, {}", family.name(), human(size)), &batch.result());
                }
                let tables = network.servers.drain(..).map(Server::stop);
                let shares: Vec<u64> =
                    tables.map(|table| counters(&table).get("frames in").copied().unwrap_or(0)).collect();
                let even = shares.iter().all(|share| share * 5 > shares.iter().sum::<u64>() * 2);
                table.check("", even, &format!("frames that each received: {} and {}", shares[0], shares[1]));
            }
        }
        Ok(())
    }

    /// Each reply is wholly of one version, whatever comes in the middle of it.
    fn reload(&self, table: &mut Table) -> anyhow::Result<()> {
        let count = self.scaled(50, 2);
        for (impair, size) in LONG {
            Table::head(&format!("SIGHUP with another file in the middle of {count} downloads, {impair}"));
            for family in self.families() {
                self.reload_of(family, impair, size, count, table)?;
            }
        }
        Ok(())
    }

    fn reload_of(
        &self,
        family: Family,
        impair: &str,
        size: usize,
        count: usize,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let folder = janitor::folder("site")?;
        let (file, versions) = (folder.path().join("file"), ["old", "new"].map(|name| self.work.path().join(name)));
        for (path, seed) in versions.iter().zip(1..) {
            write_random(path, size, seed)?;
        }
        let put = |version: &Path| -> anyhow::Result<()> {
            let partial = folder.path().join(".file");
            fs::copy(version, &partial)?;
            Ok(fs::rename(partial, &file)?)
        };
        put(&versions[0])?;
        let network = self.networks.lethe_here(impair, &["files", &folder.path().display().to_string()])?;
        let mut curl =
            Curl { longest: self.args.longest, ..Curl::new(&network.client, Expected::File(versions[0].clone())) };
        curl.versions.push(Expected::File(versions[1].clone()));
        let url = format!("{}/file", family.base());
        let before = count * 4 / 5;
        let early = Batch::start(&curl, &vec![url.clone(); before], count)?;
        sleep(Duration::from_secs(2));
        put(&versions[1])?;
        let middle = early.in_the_middle(size as u64)?;
        network.servers[0].signal(Signal::SIGHUP);
        sleep(Duration::from_secs(1));
        let late = Batch::start(&curl, &vec![url; count - before], count)?;
        let downloads: Vec<Download> = early.result().into_iter().chain(late.result()).collect();
        table.row(&format!("lethe files, {}, {}", family.name(), human(size)), &downloads);
        let of = [0, 1].map(|version| downloads.iter().filter(|download| download.version == Some(version)).count());
        let text = format!("{} old, {} new; {middle} in the middle at the time", of[0], of[1]);
        table.check("", middle > 0 && of.iter().all(|&count| count > 0), &text);
        Ok(())
    }

    /// A client that reads so slowly that the window is closed most of the time.
    fn slow(&self, table: &mut Table) -> anyhow::Result<()> {
        let size = 2_000_000;
        let seconds = self.args.seconds;
        // Curl looks at its limit once in a hundred reads, so it may be done somewhat earlier.
        Table::head(&format!("2 MB that are read in some {seconds} s"));
        let mut under_way = Vec::new();
        for timestamps in [1, 0] {
            for family in self.families() {
                let network = self.networks.lethe_here("", &["sample"])?;
                network.client.sh(&format!("echo {timestamps} >/proc/sys/net/ipv4/tcp_timestamps"))?;
                let mut curl = Curl::new(&network.client, self.networks.pattern(size));
                curl.options = vec!["--limit-rate".to_owned(), 2_000_000_u32.div_ceil(seconds.max(1)).to_string()];
                curl.longest = seconds * 2 + 60;
                let batch = Batch::start(&curl, &[format!("{}/{size}", family.base())], 1)?;
                let with = if timestamps == 1 { "with" } else { "without" };
                under_way.push((format!("lethe, {}, {with} timestamps", family.name()), batch, network));
            }
        }
        for (name, batch, _network) in under_way {
            table.row(&name, &batch.result());
        }
        Ok(())
    }
}

/// The name of a case, and the shell line that makes it.
fn without(case: Case) -> (&'static str, &'static str) {
    match case {
        Case::AsIs => ("as-is", "true"),
        Case::NoTimestamps => ("no-timestamps", "echo 0 >/proc/sys/net/ipv4/tcp_timestamps"),
        Case::NoSack => ("no-sack", "echo 0 >/proc/sys/net/ipv4/tcp_sack"),
        Case::Mtu576 => ("mtu-576", "ip link set lethe0 mtu 576"),
        Case::Mtu1280 => ("mtu-1280", "ip link set lethe0 mtu 1280"),
        Case::NoWindowScaling => ("no-window-scaling", "echo 0 >/proc/sys/net/ipv4/tcp_window_scaling"),
    }
}

/// Writes a file of so many bytes, by a seed.
fn write_random(path: &Path, size: usize, seed: u64) -> anyhow::Result<()> {
    let mut random = Random::from_seed(seed);
    let mut left = size;
    let mut file = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    while left > 0 {
        let bytes = random.next_u64().to_le_bytes();
        let count = left.min(bytes.len());
        std::io::Write::write_all(&mut file, &bytes[..count])?;
        left -= count;
    }
    Ok(file.into_inner()?.sync_data()?)
}
