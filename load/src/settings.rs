//! What the clients are to do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use lethe::wire::ethernet::MacAddress;

use crate::client_pool::ClientPoolError;
use crate::flood::Flood;

/// Everything that a generator is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hardware address of all clients.
    pub mac: MacAddress,
    /// The largest IP packet that the port carries.
    pub mtu: u16,
    /// The networks that clients are in.
    pub from: Vec<IpNet>,
    /// The servers, at most one of each family.
    pub to: Vec<SocketAddr>,
    /// Routers on the way, at most one of each family; without one the server is on the same link.
    pub gateways: Vec<IpAddr>,
    /// What is asked for, in turns.
    pub paths: Vec<String>,
    /// The value of `Host`; the server's address, if there is none.
    pub host: Option<String>,
    /// What must come for it; if nothing is said, what came first.
    pub expect: Option<Vec<u8>>,
    /// What of a reply is compared.
    pub compare: Compare,
    /// What is done.
    pub plan: Plan,
    /// How long an answer to a SYN, and to a request, is waited for.
    pub timeout: Duration,
    /// The MSS that is announced; what fits the MTU, if there is none.
    pub mss: Option<u16>,
    /// Whether timestamps are offered (RFC 7323).
    pub timestamps: bool,
    /// The most SYNs or requests that wait for an answer where the pace is set by answers.
    pub window: u32,
    /// Clients that take their time, and how many.
    pub slow: Vec<(Slow, u32)>,
    /// Frames from nobody.
    pub floods: Vec<Flood>,
    /// Where they say that they come from.
    pub flood_from: Vec<IpNet>,
    /// What initial sequence numbers are made from.
    pub seed: u64,
}

/// What of a reply must be as in the first one for the same path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compare {
    /// The status and the body. Header fields may change from reply to reply: times, cookies, numbers of requests.
    #[default]
    Body,
    /// Every byte but those of the field `Date`.
    All,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Plan {
    /// Connections begin at their times, whatever the server does. Each asks at once.
    Rate {
        /// Connections a second.
        per_second: f64,
        /// For how long connections begin.
        duration: Duration,
    },
    /// All connections are opened, then held, then each asks.
    Open {
        /// How many.
        connections: u32,
        /// How many at most begin, and then ask, a second; as fast as answers come, if nothing is said.
        per_second: Option<f64>,
        /// How long all of them are held open before the first asks.
        hold: Duration,
    },
}

/// A client that takes its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slow {
    /// It opens a connection and says nothing.
    Idle,
    /// It sends a byte of its request a second.
    Drip,
    /// It reads 536 bytes at a time.
    Window,
}

impl Slow {
    /// For people, and as a key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Drip => "drip",
            Self::Window => "window",
        }
    }
}

/// Settings that do not fit each other.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// The networks of the clients.
    #[error(transparent)]
    ClientPool(#[from] ClientPoolError),
    /// The networks of the floods.
    #[error("--flood-from: {0}")]
    FloodSources(ClientPoolError),
    /// There is no server.
    #[error("there is nobody to ask: --to IP[:PORT]")]
    NoServer,
    /// There are two.
    #[error("one server of each family: leave {0} out")]
    TwoServers(IpAddr),
    /// There are clients of a family, and no server.
    #[error("clients in {0} have no server of their family: give one with --to, or leave the network out")]
    NoServerFor(IpNet),
    /// The other way round.
    #[error("no client can ask {0}: give a network of its family with --from")]
    NoClientFor(SocketAddr),
    /// A gateway that leads nowhere.
    #[error("gateway {0} is on the way to no server: give one of its family with --to")]
    IdleGateway(IpAddr),
    /// A path that cannot be in a request line.
    #[error("{0:?} is no path: it begins with / and has no spaces, as in --path /index.html")]
    Path(String),
    /// A request that needs two segments.
    #[error("the request for {path:?} has {len} bytes, and a segment has room for {room}: use a shorter path")]
    LongRequest {
        /// What is asked for.
        path: String,
        /// Bytes of the request.
        len: usize,
        /// Bytes that a segment has room for.
        room: usize,
    },
    /// An MSS that no frame has room for, or that servers take for a mistake.
    #[error("an MSS is from 88 to {0} with this MTU")]
    Mss(u16),
    /// There are not so many pairs of address and port.
    #[error(
        "{wanted} connections at a time need as many clients, and there are {there}: give a larger network with --from"
    )]
    TooFewClients {
        /// Connections at a time.
        wanted: u64,
        /// Clients.
        there: u64,
    },
    /// More connections than are numbered.
    #[error("{0} connections at a time are too many: shorten --timeout, or ask for less")]
    TooMany(u64),
    /// There is nothing to do.
    #[error("nothing is to be done: ask for a rate above 0, for connections to be opened, or for a flood")]
    Nothing,
    /// A time that the counters of a connection cannot tell.
    #[error("a timeout is from 1 second to 30 minutes")]
    Timeout,
}
