//! What happened to a frame, in words that stand beside it in a capture.

use std::fmt;
use std::time::Duration;

/// One thing that happened to a frame on a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Lost by chance.
    Lost,
    /// Lost with its neighbours.
    LostInBurst,
    /// Lost because nothing passes at the time.
    LostToOutage,
    /// Lost because too many frames wait already.
    QueueFull,
    /// Lost because it is longer than the path takes, and may not be cut.
    TooBig {
        /// The longest IP packet that the path takes.
        mtu: u16,
        /// Whether the sender is told.
        reported: bool,
    },
    /// The second of two copies.
    Duplicate,
    /// One bit is turned over.
    Corrupted {
        /// The byte that it is in, counted from the start of the frame.
        byte: usize,
        /// The bit, 0 being the lowest.
        bit: u8,
        /// Whether the checksums were made to fit.
        mended: bool,
    },
    /// Cut short.
    Truncated {
        /// How many bytes are left.
        len: usize,
    },
    /// One part of a packet that was cut by a router.
    Fragment {
        /// Where in the packet's payload it begins.
        offset: usize,
    },
    /// Waited in a queue.
    Queued(Duration),
    /// Was on its way this long.
    Delayed(Duration),
    /// Was held back so that others overtake it.
    HeldBack(Duration),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Lost => write!(f, "lost"),
            Self::LostInBurst => write!(f, "lost in a burst"),
            Self::LostToOutage => write!(f, "lost to an outage"),
            Self::QueueFull => write!(f, "lost, queue full"),
            Self::TooBig { mtu, reported: true } => write!(f, "lost, over the MTU of {mtu}, reported by ICMP"),
            Self::TooBig { mtu, reported: false } => write!(f, "lost in silence, over the MTU of {mtu}"),
            Self::Duplicate => write!(f, "duplicate"),
            Self::Corrupted { byte, bit, mended } => {
                write!(f, "bit {bit} of byte {byte} corrupted")?;
                if mended { write!(f, ", checksums mended") } else { Ok(()) }
            }
            Self::Truncated { len } => write!(f, "truncated to {len} bytes"),
            Self::Fragment { offset } => write!(f, "fragment at {offset}"),
            Self::Queued(wait) => write!(f, "queued {wait:?}"),
            Self::Delayed(wait) => write!(f, "delayed {wait:?}"),
            Self::HeldBack(wait) => write!(f, "held back {wait:?}"),
        }
    }
}

/// All that happened to a frame, in order.
#[derive(Clone, Copy, Debug)]
pub struct Fates<'a>(pub &'a [Fate]);

impl fmt::Display for Fates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0 else {
            return write!(f, "untouched");
        };
        write!(f, "{first}")?;
        rest.iter().try_for_each(|fate| write!(f, ", {fate}"))
    }
}
