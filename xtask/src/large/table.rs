//! Rows of completion times.

use std::collections::BTreeSet;

use crate::downloads::{Download, percentile};

/// The table so far. It remembers whether every row was as it should be.
#[derive(Default)]
pub(super) struct Table {
    pub(super) wrong: usize,
}

impl Table {
    pub(super) fn head(title: &str) {
        println!("\n{title}");
        let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"];
        println!("{:<46}{:>7}{:>8}{p50:>9}{p90:>9}{p99:>9}{max:>9}  seconds", "", "number", "unequal");
    }

    pub(super) fn row(&mut self, name: &str, downloads: &[Download]) {
        let wrong: Vec<_> = downloads.iter().filter(|download| !download.is_right()).collect();
        self.wrong += wrong.len();
        let times: Vec<f64> = downloads.iter().map(|download| download.seconds).collect();
        let cells = [50, 90, 99, 100].map(|percent| format!("{:9.3}", percentile(&times, percent)));
        println!("{name:<46}{:>7}{:>8}{}", downloads.len(), wrong.len(), cells.concat());
        let complaint = |download: &&Download| match &*download.complaint {
            "" => "other bytes".to_owned(),
            complaint => complaint.to_owned(),
        };
        for complaint in wrong.iter().map(complaint).collect::<BTreeSet<_>>() {
            println!("    {complaint}");
        }
    }

    /// Says what is wrong with a download, if anything is.
    pub(super) fn note(&mut self, name: &str, download: &Download) {
        if !download.is_right() {
            self.wrong += 1;
            println!("    {name}: other bytes {}", download.complaint);
        }
    }

    pub(super) fn check(&mut self, name: &str, holds: bool, text: &str) {
        self.wrong += usize::from(!holds);
        println!("{name:<46}{text}{}", if holds { "" } else { "   <-- WRONG" });
    }
}
