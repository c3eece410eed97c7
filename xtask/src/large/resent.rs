//! What is sent again where nothing is lost.

use std::fs;

use lethe_testnet::{Capture, capture};

use super::Lab;
use super::table::Table;
use super::times::or;
use crate::compare::table;
use crate::downloads::{human, percentile};
use crate::shared::{Contender, Link, SharedNetwork, Site, undisturbed};

/// Milliseconds of round trip.
const RTTS: [u32; 6] = [5, 20, 50, 100, 200, 300];

/// Bytes, and how many downloads of each server.
const SIZES: [(usize, usize); 2] = [(1_000_000, 100), (10_000_000, 10)];

impl Lab<'_> {
    /// What Lethe sends again where nothing is lost, and timers of the client that expire.
    pub(super) fn resent(&self, wrong: &mut Table) -> anyhow::Result<()> {
        let contenders: Vec<Contender> = [Contender::Lethe].into_iter().chain(self.before()).collect();
        let sizes: Vec<(usize, usize)> = match &self.args.size[..] {
            [] => SIZES.into(),
            sizes => sizes.iter().map(|&size| (size, SIZES[0].1)).collect(),
        };
        let site = Site::of(&self.networks, &sizes.iter().map(|&(size, _)| size).collect::<Vec<_>>())?;
        let mut rows = Vec::new();
        for &rtt in or(&self.args.rtt, &RTTS) {
            let link = Link { rtt, loss: 0.0, bottleneck: None };
            println!("\n{link}");
            for &(size, count) in &sizes {
                let count = self.args.count.map_or_else(|| self.scaled(count, 1), usize::from);
                let found = undisturbed(|| {
                    let network =
                        SharedNetwork::start(&self.networks, &contenders, &site, &link.impair(self.args.seed))?;
                    let servers = 0..contenders.len();
                    let found = servers.map(|number| self.resent_by(number, &network, size, count, wrong));
                    let found = found.collect::<anyhow::Result<Vec<_>>>()?;
                    network.check_devices()?;
                    Ok(found)
                })?;
                for (contender, mut cells) in contenders.iter().zip(found) {
                    cells.splice(0..0, [rtt.to_string(), human(size), count.to_string(), contender.name()]);
                    println!("{}", cells.join("  "));
                    rows.push(cells);
                }
            }
        }
        let head = ["RTT, ms", "size", "n", "server", "segments", "again", "checks", "timers", "p50 / p90, s"];
        println!("\n{}", table(&head, &rows));
        Ok(())
    }

    /// Downloads from one server, recorded at the client: the cells of its row.
    fn resent_by(
        &self,
        number: usize,
        network: &SharedNetwork,
        size: usize,
        count: usize,
        wrong: &mut Table,
    ) -> anyhow::Result<Vec<String>> {
        let (recording, body) = (self.work.path().join("resent.pcap"), self.work.path().join("body"));
        let capture = Capture::start(&network.client, "lethe0", &recording, &["tcp port 80"])?;
        let curl = network.curl(self.networks.pattern(size), self.args.longest);
        let url = SharedNetwork::url(number, self.families()[0].name(), &size.to_string());
        let mut seconds = Vec::with_capacity(count);
        for _ in 0..count {
            let download = curl.fetch(&url, &body);
            wrong.note(&network.contenders()[number].name(), &download);
            seconds.push(download.seconds);
        }
        let missed = capture.stop()?;
        anyhow::ensure!(missed == 0, "tcpdump missed {missed} frames");
        let capture::Repeats { segments, again, checks, timers } = capture::repeats(&recording)?;
        fs::remove_file(&recording)?;
        let times = [50, 90].map(|percent| format!("{:.3}", percentile(&seconds, percent))).join(" / ");
        let cells = [segments, again, checks, timers].map(|number| number.to_string());
        Ok(cells.into_iter().chain([times]).collect())
    }
}
