//! A card that DPDK drives, open: for whatever is done with it.

use anyhow::Context;
use lethe_hw::dpdk::{Eal, Port, PortConfig};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::dpdk_args::{DpdkArgs, DpdkPort};
use crate::message::warn;

/// The process of the calling thread.
pub(crate) const SELF: Pid = Pid::from_raw(0);

/// DPDK, started.
pub(crate) struct Started {
    eal: Eal,
    /// Where threads may run that are no workers.
    cpus: CpuSet,
}

impl Started {
    /// Starts DPDK.
    pub(crate) fn new(args: &DpdkArgs) -> anyhow::Result<Self> {
        // EAL binds this thread to one CPU; the thread that looks after the workers must not be bound with it.
        let cpus = sched_getaffinity(SELF).context("cannot find out which CPUs may be used")?;
        let eal = Eal::start(args.eal.iter().flat_map(|arguments| arguments.split_whitespace()))?;
        Ok(Self { eal, cpus })
    }

    /// How many lcores it has.
    pub(crate) fn lcores(&self) -> usize {
        self.eal.lcores().len()
    }

    /// Opens a port with so many pairs of queues, or as many as the card has.
    pub(crate) fn open(&self, device: DpdkPort, queues: usize) -> anyhow::Result<OpenCard<'_>> {
        let queues = u16::try_from(queues).unwrap_or(u16::MAX);
        let DpdkPort { number, mtu, segmentation } = device;
        let port = Port::open(&self.eal, PortConfig { number, queues, mtu, segmentation })?;
        if !port.is_promiscuous() {
            warn("the card takes no frames but those to its own address: give that with --mac");
        }
        let name = format!("dpdk {} {}", device.number, port.name());
        Ok(OpenCard { eal: &self.eal, cpus: self.cpus, name, port })
    }
}

/// A card that DPDK drives, open.
pub(crate) struct OpenCard<'a> {
    pub(crate) eal: &'a Eal,
    /// Where threads may run that are no workers.
    pub(crate) cpus: CpuSet,
    pub(crate) name: String,
    pub(crate) port: Port<'a>,
}
