//! The settings of a run.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use lethe::wire::ethernet::MacAddress;

use crate::client_pool::ClientPoolError;
use crate::flood::Flood;

/// The settings of a generator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hardware address of all clients.
    pub mac: MacAddress,
    /// The MTU of the port.
    pub mtu: u16,
    /// The networks of the clients.
    pub from: Vec<IpNet>,
    /// The servers, at most one of each address family.
    pub to: Vec<SocketAddr>,
    /// Gateways, at most one of each address family. Without one the server is on the link.
    pub gateways: Vec<IpAddr>,
    /// The paths that are requested, in rotation.
    pub paths: Vec<String>,
    /// The value of `Host`; by default the server's address.
    pub host: Option<String>,
    /// The expected body; by default that of the first reply.
    pub expect: Option<Vec<u8>>,
    /// Which part of replies is compared.
    pub compare: Compare,
    /// When connections begin.
    pub plan: Plan,
    /// How connections stay open; without it each has one request, and is closed by the server.
    pub keep_alive: Option<KeepAlive>,
    /// The time after which a SYN, or a request, without an answer has failed.
    pub timeout: Duration,
    /// The MSS option; by default what fits the MTU.
    pub mss: Option<u16>,
    /// Whether timestamps are offered (RFC 7323).
    pub timestamps: bool,
    /// The most outstanding SYNs or requests, where answers set the pace.
    pub window: u32,
    /// Slow clients, and their number.
    pub slow: Vec<(Slow, u32)>,
    /// Floods, beside the clients.
    pub floods: Vec<Flood>,
    /// The networks of the source addresses of floods.
    pub flood_from: Vec<IpNet>,
    /// The seed of initial sequence numbers.
    pub seed: u64,
}

/// The part of a reply that must equal that of the expected one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compare {
    /// The status and the body. Header fields may change from reply to reply: times, cookies, numbers of requests.
    #[default]
    Body,
    /// Every byte but those of the field `Date`.
    All,
}

/// When connections begin, and requests are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Plan {
    /// Open loop: connections begin at a rate, whatever the server does, and send their request at once.
    Rate {
        /// Connections a second.
        per_second: f64,
        /// How long connections begin.
        duration: Duration,
    },
    /// All connections are opened, then held, then each sends its request.
    Open {
        /// The number of connections.
        connections: u32,
        /// The most connections, and later requests, a second; by default as fast as answers come.
        per_second: Option<f64>,
        /// How long all of them are held open before the first request.
        hold: Duration,
    },
}

/// How connections stay open for further requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// The most requests on a connection. Without a limit, and with [`Plan::Open`], each connection has one request
    /// after the other, until the time of the plan is over.
    pub requests: Option<u32>,
    /// The requests in a segment, which are answered one after the other (RFC 9112, section 9.3.2).
    pub pipeline: u32,
    /// How long all connections are idle between two requests, with [`Plan::Open`] and a number of requests.
    pub think: Duration,
}

/// A kind of slow client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slow {
    /// Opens a connection and sends nothing.
    Idle,
    /// Sends a byte of its request a second.
    Drip,
    /// Reads 536 bytes at a time.
    Window,
}

impl Slow {
    /// Its name, in reports and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Drip => "drip",
            Self::Window => "window",
        }
    }
}

/// Why settings are invalid.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// The networks of the clients are invalid.
    #[error(transparent)]
    ClientPool(#[from] ClientPoolError),
    /// The networks of the floods are invalid.
    #[error("--flood-from: {0}")]
    FloodSources(ClientPoolError),
    /// There is no server.
    #[error("there is no server: give one with --to IP[:PORT]")]
    NoServer,
    /// There are two servers of one address family.
    #[error("one server of each family: leave {0} out")]
    TwoServers(IpAddr),
    /// Clients have no server of their address family.
    #[error("clients in {0} have no server of their family: give one with --to, or leave the network out")]
    NoServerFor(IpNet),
    /// A server has no clients of its address family.
    #[error("no client can ask {0}: give a network of its family with --from")]
    NoClientFor(SocketAddr),
    /// A gateway has no server of its address family.
    #[error("gateway {0} is on the way to no server: give one of its family with --to")]
    IdleGateway(IpAddr),
    /// A path is not valid in a request line.
    #[error("{0:?} is no path: it begins with / and has no spaces, as in --path /index.html")]
    Path(String),
    /// Requests are sent together, and that makes no sense.
    #[error("a pipeline has 1 to {0} requests, and no more than a connection: lower --pipeline")]
    Pipeline(u32),
    /// A pause between requests that do not come one after the other.
    #[error("a pause between requests needs --open, and a number of requests, as in --keep-alive 3 --think 60s")]
    Think,
    /// A request does not fit one segment.
    #[error("the request for {path:?} has {len} bytes, and a segment has room for {room}: use a shorter path")]
    LongRequest {
        /// The path.
        path: String,
        /// The bytes of the request.
        len: usize,
        /// The bytes that fit a segment.
        room: usize,
    },
    /// The MSS does not fit the MTU, or is smaller than servers accept.
    #[error("an MSS is from 88 to {0} with this MTU")]
    Mss(u16),
    /// There are fewer pairs of address and port than connections.
    #[error(
        "{wanted} connections at a time need as many clients, and there are {there}: give a larger network with --from"
    )]
    TooFewClients {
        /// The connections at a time.
        wanted: u64,
        /// The number of clients.
        there: u64,
    },
    /// There are more connections than slot numbers.
    #[error("{0} connections at a time are too many: shorten --timeout, or ask for less")]
    TooMany(u64),
    /// There is nothing to do.
    #[error("nothing is to be done: ask for a rate above 0, for connections to be opened, or for a flood")]
    Nothing,
    /// The timeout does not fit the clock of a connection.
    #[error("a timeout is from 1 second to 30 minutes")]
    Timeout,
}
