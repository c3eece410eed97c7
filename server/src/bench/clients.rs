//! The clients of a benchmark: when they come, and from where.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use lethe::time::Instant;
use lethe_sim::frame::Ends;

/// When all clients come.
pub(super) const NOW: Instant = Instant::from_unix_seconds(1_700_000_000);

/// The family of their addresses, and of the server.
#[derive(Clone, Copy)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Both ends of client `number`, which has an address of its own.
    pub(super) fn ends(self, number: u32) -> Ends {
        let spread = number.wrapping_mul(0x9e37_79b9);
        let [_, a, b, c] = spread.to_be_bytes();
        let port = 32_768 + (number % 28_000) as u16;
        let (client, server): (SocketAddr, SocketAddr) = match self {
            Self::V4 => {
                let client = Ipv4Addr::new(10, a, b, c.clamp(1, 254));
                ((client, port).into(), (Ipv4Addr::new(192, 0, 2, 1), 80).into())
            }
            Self::V6 => {
                let client = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, (spread >> 16) as u16, spread as u16 | 1);
                ((client, port).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 80).into())
            }
        };
        Ends::between(client, server)
    }
}
