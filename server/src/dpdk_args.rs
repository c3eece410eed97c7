//! The options of `--device dpdk:PORT`, which are there also where DPDK is not: what is missing then is said later.

use clap::ValueEnum;

#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "DPDK")]
pub(crate) struct DpdkArgs {
    /// Arguments of DPDK's EAL, separated by spaces. Its lcores are the workers, as far as the card has queues
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub(crate) eal: Option<String>,
    /// What a worker does that has nothing to do
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Poll::Adaptive)]
    pub(crate) poll: Poll,
    /// What time it is. A cookie is good for a minute or two, so the frames of a capture are answered at their own
    /// time: `frames` where `net_pcap` reads a file (`rx_pcap=`), else `wall`, if nothing is said
    #[arg(long, value_enum, value_name = "WHOSE")]
    clock: Option<Time>,
}

impl DpdkArgs {
    /// What time it is: what was said, else what fits the driver.
    #[cfg_attr(not(any(feature = "dpdk", test)), expect(dead_code, reason = "there is no driver"))]
    pub(crate) fn clock(&self) -> Time {
        let reads_file = self.eal.as_ref().is_some_and(|arguments| arguments.contains("rx_pcap="));
        self.clock.unwrap_or(if reads_file { Time::Frames } else { Time::Wall })
    }
}

/// A port of DPDK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DpdkPort {
    /// Its number in DPDK's count.
    pub(crate) number: u16,
    /// The MTU to set; the driver's choice if there is none.
    pub(crate) mtu: Option<u16>,
    /// Whether the card cuts frames of two segments; our choice if nothing is said.
    pub(crate) segmentation: Option<bool>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Poll {
    /// Ask again at once
    Busy,
    /// After a pause, which grows to 50 µs
    Adaptive,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Time {
    /// The clock of the machine
    Wall,
    /// For each frame the time that the driver gives it
    Frames,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_a_time_of_its_own() {
        let clock = |eal: &str, clock| DpdkArgs { eal: Some(eal.to_owned()), poll: Poll::Adaptive, clock }.clock();
        assert_eq!(clock("--vdev net_pcap0,rx_pcap=in,tx_pcap=out", None), Time::Frames);
        assert_eq!(clock("--vdev net_pcap0,rx_pcap=in,tx_pcap=out", Some(Time::Wall)), Time::Wall);
        assert_eq!(clock("--vdev net_pcap0,rx_iface=eth0,tx_iface=eth0", None), Time::Wall);
        assert_eq!(clock("-l 0-3", Some(Time::Frames)), Time::Frames);
    }
}
