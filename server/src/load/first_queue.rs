//! A card that DPDK drives, as a port of one pair of queues.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use lethe::port::{RxQueue, TxQueue};
use lethe_hw::dpdk::{Card, Queues, Rx, Tx};

use crate::card::OpenCard;

/// Frames that a client's turn is given.
const POLLED: usize = 32;

/// The first pair of queues of a card, polled by the thread that asks.
pub(super) struct FirstQueue<'a> {
    name: String,
    mtu: u16,
    rx: Rx<'a>,
    tx: Tx<'a>,
    card: Card<'a>,
}

impl<'a> FirstQueue<'a> {
    pub(super) fn of(card: &'a mut OpenCard<'_>) -> anyhow::Result<Self> {
        let (name, mtu) = (card.name.clone(), card.port.mtu());
        let (queues, card) = card.port.queues();
        let Queues { rx, tx } = queues.into_iter().next().context("the card has no queue")?;
        Ok(Self { name, mtu, rx, tx, card })
    }
}

impl lethe::port::Port for FirstQueue<'_> {
    type Error = Infallible;

    fn name(&self) -> impl fmt::Display {
        &self.name
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        // A turn takes them all.
        self.rx.poll(POLLED);
        (&mut self.rx, &mut self.tx)
    }

    fn missed(&mut self) -> Option<u64> {
        Some(self.card.stats().missed)
    }

    /// A card that is polled is not waited for.
    fn wait(&mut self, _: Duration) -> Result<(), Infallible> {
        Ok(())
    }
}
