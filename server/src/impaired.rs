//! A port behind a bad network: `--impair`.

use std::fmt;
use std::time::Duration;

use lethe::port::{LeftOutFrames, Port, RxQueue, TxQueue};
use lethe::wire::ethernet::MacAddress;
use lethe_sim::clock::between;
use lethe_sim::impaired::Impaired;
use lethe_sim::link::Impairment;

use crate::run::now;

/// A port, and what is wrong with the network before it.
pub(crate) struct ImpairedPort<P> {
    port: P,
    network: Impaired,
    impairment: Impairment,
}

impl<P: Port> ImpairedPort<P> {
    pub(crate) fn new(port: P, impairment: Impairment) -> Self {
        Self { port, network: Impaired::new(&impairment, now()), impairment }
    }
}

impl<P: Port> Port for ImpairedPort<P> {
    type Error = P::Error;

    fn name(&self) -> impl fmt::Display {
        format!("{}, impaired: {}", self.port.name(), self.impairment)
    }

    fn mtu(&self) -> u16 {
        self.port.mtu()
    }

    fn mac(&self) -> Option<MacAddress> {
        self.port.mac()
    }

    fn missed(&mut self) -> Option<u64> {
        self.port.missed()
    }

    fn receive_acks(&mut self, wanted: bool) {
        self.port.receive_acks(wanted);
    }

    fn take_left_out(&mut self) -> LeftOutFrames {
        self.port.take_left_out()
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        let (rx, tx) = self.port.queues();
        self.network.queues(now(), rx, tx)
    }

    /// Wakes for what arrives on the network as well.
    fn wait(&mut self, timeout: Duration) -> Result<(), P::Error> {
        let until_arrival = self.network.next_arrival().map(|at| between(now(), at));
        self.port.wait(until_arrival.map_or(timeout, |wait| wait.min(timeout)))
    }
}
