//! The other end of the wire: the clients and attackers that talk to the engine in a simulated network.

pub mod attacker;
#[cfg(test)]
mod bench;
pub mod client;
mod resolver;
pub mod script;
pub mod stack;

use lethe::time::Instant;

/// Frames that a peer wants to send, in order.
pub type Outbox = Vec<Vec<u8>>;

/// A machine with one Ethernet port and its own idea of what to do with it.
///
/// It lives in virtual time: it acts when a frame arrives or when its own deadline has come, and at no
/// other moment.
pub trait Peer {
    /// A frame has arrived.
    fn receive(&mut self, now: Instant, frame: &[u8], out: &mut Outbox);

    /// The deadline has come, or the world has just begun.
    fn wake(&mut self, now: Instant, out: &mut Outbox);

    /// When it wants to be woken next, if nothing arrives before.
    fn deadline(&self) -> Option<Instant>;

    /// How far it has got.
    fn outcome(&self) -> Outcome;

    /// When the last byte that it came for arrived, if it has and the peer takes note of that.
    fn complete_at(&self) -> Option<Instant> {
        None
    }
}

/// How far a peer has got with what it came for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is still at it.
    Running,
    /// It read these bytes to the end of the stream, and closed.
    Complete(Vec<u8>),
    /// It has done what it came for, and that was not to read a reply.
    Done,
    /// It gave up, or saw something that no server may do; why.
    Failed(String),
}
