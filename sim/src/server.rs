//! Another server in the engine's place: one with connections, for comparison.
//!
//! It shows what the same clients on the same links get from a TCP that keeps state, and that those clients
//! are right about long replies.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use lethe::app::{App, Request};
use lethe::engine::SCRATCH_LEN;
use lethe::time::Instant;
use lethe::wire::ethernet::MacAddress;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::wire::{EthernetAddress, IpCidr};

use crate::dissect::{Frame, Network, Transport};
use crate::frame::{Arp, Ends, Icmp};
use crate::peer::Outbox;
use crate::peer::stack::{Cable, POLLS_MAX, lethe_time, set_timestamp, smoltcp_time, use_timestamps};
use crate::world::ClientId;

/// What answers clients in a world, if that is not an engine. Unlike an engine it may have timers.
pub trait Server {
    /// A frame of this client has arrived.
    fn receive(&mut self, now: Instant, client: ClientId, frame: &[u8], out: &mut Outbox);

    /// A deadline has come.
    fn wake(&mut self, now: Instant, client: ClientId, out: &mut Outbox);

    /// When it wants to be woken next because of this client.
    fn deadline(&self, client: ClientId) -> Option<Instant>;

    /// The client is gone.
    fn forget(&mut self, client: ClientId);
}

/// Room for what is sent and not acknowledged: more than any window.
const TRANSMIT_BUFFER: usize = 1 << 20;

/// Room for a request.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// Where it listens.
const PORT: u16 = 80;

/// The largest IP packet that it sends.
const MTU: usize = 1500;

/// How long smoltcp believes that it knows a neighbour, at least.
const NEIGHBOR_SECONDS: u64 = 30;

/// How a [`Reference`] is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Its hardware address.
    pub mac: MacAddress,
    /// What its sequence numbers are made from.
    pub seed: u64,
    /// It begins slowly and slows down at loss (Reno), and does not fill any window at once.
    pub is_polite: bool,
}

/// A server that remembers its connections: smoltcp, with an application of ours behind it. Each client has
/// a machine of its own, with the same address.
pub struct Reference<A> {
    app: A,
    settings: Settings,
    machines: BTreeMap<ClientId, Machine>,
}

struct Machine {
    interface: Interface,
    cable: Cable,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    introduced: Option<Instant>,
    request: Vec<u8>,
    response: Vec<u8>,
    sent: usize,
    deadline: Option<Instant>,
}

impl<A: App> Reference<A> {
    /// A server without connections yet.
    pub const fn new(app: A, settings: Settings) -> Self {
        Self { app, settings, machines: BTreeMap::new() }
    }
}

impl<A: App> Server for Reference<A> {
    fn receive(&mut self, now: Instant, client: ClientId, bytes: &[u8], out: &mut Outbox) {
        let Some(frame) = Frame::dissect(bytes) else { return };
        let Some(ends) = ends_of(&frame) else { return };
        let machine = self.machines.entry(client).or_insert_with(|| Machine::new(&self.settings, &ends));
        machine.introduce(now, &ends);
        machine.cable.received.push_back(bytes.to_vec());
        machine.run(now, &self.app, ends.client.ip(), out);
    }

    fn wake(&mut self, now: Instant, client: ClientId, out: &mut Outbox) {
        if let Some(machine) = self.machines.get_mut(&client) {
            // Who asks has been answered; what is left are timers, for which it does not matter who it is.
            machine.run(now, &self.app, IpAddr::V4(Ipv4Addr::UNSPECIFIED), out);
        }
    }

    fn deadline(&self, client: ClientId) -> Option<Instant> {
        self.machines.get(&client).and_then(|machine| machine.deadline)
    }

    fn forget(&mut self, client: ClientId) {
        self.machines.remove(&client);
    }
}

/// Both ends of a segment, or of a request for our hardware address.
fn ends_of(frame: &Frame<'_>) -> Option<Ends> {
    let (client, server) = match &frame.network {
        Network::Arp(arp) => ((arp.sender, 0).into(), (arp.target, PORT).into()),
        Network::Ip(ip) => match &ip.transport {
            Transport::Tcp(tcp) => (ip.from(tcp), ip.to(tcp)),
            Transport::Icmp(crate::dissect::Icmp { kind: 135, body, .. }) => {
                let target = <[u8; 16]>::try_from(body.get(4..20)?).ok()?;
                ((ip.source, 0).into(), (IpAddr::from(target), PORT).into())
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(Ends { client_mac: frame.source, ..Ends::between(client, server) })
}

impl Machine {
    fn new(settings: &Settings, ends: &Ends) -> Self {
        let mut config = Config::new(EthernetAddress(settings.mac.bytes()).into());
        config.random_seed = settings.seed;
        let mut cable = Cable::new(MTU);
        let mut interface = Interface::new(config, &mut cable, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let added = addresses.push(IpCidr::new(ends.server.ip().into(), 0));
            assert!(added.is_ok(), "there is room for one address");
        });
        let buffer = |size| SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(RECEIVE_BUFFER), buffer(TRANSMIT_BUFFER));
        socket.set_nagle_enabled(false);
        use_timestamps(&mut socket);
        socket.set_congestion_control(if settings.is_polite {
            CongestionControl::Reno
        } else {
            CongestionControl::None
        });
        let listens = socket.listen(PORT);
        assert!(listens.is_ok(), "a new socket can listen");
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        let (request, response) = (Vec::new(), Vec::new());
        Self { interface, cable, sockets, socket, introduced: None, request, response, sent: 0, deadline: None }
    }

    /// Tells smoltcp the client's hardware address, so that it need not ask: the engine does not either.
    fn introduce(&mut self, now: Instant, ends: &Ends) {
        let is_known =
            self.introduced.is_some_and(|at| now.as_unix_seconds() < at.as_unix_seconds() + NEIGHBOR_SECONDS);
        if is_known {
            return;
        }
        self.introduced = Some(now);
        let is_v4 = ends.client.is_ipv4();
        self.cable.received.push_back(if is_v4 {
            Arp::request(ends).frame()
        } else {
            Icmp::solicitation(ends).frame()
        });
        while self.poll(now) {}
        // The answer to that is of no use; but a timer may have expired as well.
        self.cable.sent.retain(|frame| Frame::dissect(frame).is_some_and(|frame| frame.tcp().is_some()));
    }

    fn poll(&mut self, now: Instant) -> bool {
        self.interface.poll(smoltcp_time(now), &mut self.cable, &mut self.sockets) != PollResult::None
    }

    /// Lets smoltcp and the application take turns until neither has anything to do.
    fn run(&mut self, now: Instant, app: &impl App, client: IpAddr, out: &mut Outbox) {
        set_timestamp(now);
        for _ in 0..POLLS_MAX {
            let has_changed = self.poll(now);
            self.use_socket(app, client);
            if !has_changed {
                break;
            }
        }
        self.poll(now);
        out.append(&mut self.cable.sent);
        let at = self.interface.poll_at(smoltcp_time(now), &self.sockets);
        self.deadline = at.map(|at| lethe_time(at).max(now));
    }

    /// What the application does: reads the request, sends the response, closes.
    fn use_socket(&mut self, app: &impl App, client: IpAddr) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        while socket.can_recv() {
            let taken = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap_or_default();
            self.request.extend(taken);
        }
        if self.response.is_empty() && self.request.ends_with(b"\r\n\r\n") {
            self.response = respond(app, client, &self.request);
        }
        if socket.can_send() && self.sent < self.response.len() {
            self.sent += socket.send_slice(&self.response[self.sent..]).unwrap_or(0);
            if self.sent == self.response.len() {
                socket.close();
            }
        }
    }
}

/// What the application says to a request, head and body.
fn respond(app: &impl App, client: IpAddr, request: &[u8]) -> Vec<u8> {
    let path = request.split(|&byte| byte == b' ').nth(1).unwrap_or(b"/");
    let request = Request::get(path).with_client(client);
    let mut scratch = vec![0; SCRATCH_LEN];
    let response = app.respond(&request, &mut scratch);
    [response.head(), response.body()].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::sample::Sample;

    use super::*;
    use crate::link::Impairment;
    use crate::peer::client::{Client as Model, Settings as Like};
    use crate::peer::stack::{self, Stack};
    use crate::peer::{Outcome, Peer};
    use crate::random::{Probability, Random};
    use crate::world::{Client, World};

    const START: Instant = Instant::from_unix_seconds(1_780_000_000);

    /// Has a client fetch from the reference over such links.
    fn fetch(peer: Box<dyn Peer>, ends: &Ends, links: &Impairment, seed: u64) -> Outcome {
        let settings = Settings { mac: ends.server_mac, seed, is_polite: true };
        let mut world = World::of_server(Box::new(Reference::new(Sample::new(usize::MAX), settings)), START);
        world.add(
            START,
            Client {
                peer,
                mac: ends.client_mac.bytes(),
                up: links.clone(),
                down: links.clone(),
                random: Random::from_seed(seed),
                heals_after: Duration::from_mins(1),
                patience: Duration::from_mins(10),
                reassembles: true,
            },
        );
        world.next_finished().unwrap().unwrap().outcome
    }

    fn assert_complete(outcome: &Outcome, len: usize, about: &dyn std::fmt::Debug) {
        // Not `assert_eq!`: the bytes would hide the rest.
        let Outcome::Complete(read) = outcome else { panic!("{about:?}: {outcome:?}") };
        let wanted = respond(&Sample::new(len), IpAddr::V4(Ipv4Addr::UNSPECIFIED), format!("GET /{len} ").as_bytes());
        assert!(*read == wanted, "{about:?}: other bytes");
    }

    #[test]
    fn every_kind_of_client_gets_a_long_reply_from_a_server_with_state() {
        let quick = Impairment { delay: Duration::from_millis(1), ..Impairment::default() };
        for ends in [Ends::v4(), Ends::v6()] {
            let plain = Like::linux(&ends, "/100000");
            for settings in [
                plain.clone(),
                Like { timestamps: false, ..plain.clone() },
                Like { timestamps: false, sack: false, ..plain.clone() },
                Like { mss: Some(536), quick_acks: 0, ..plain.clone() },
                Like { window_scale: None, window: 5000, ..plain.clone() },
                Like { window: 500_000, ..plain.clone() },
                Like { reads: Some(50_000), ..plain.clone() },
                Like { reads: Some(50_000), window: 4000, window_scale: None, ..plain.clone() },
            ] {
                let outcome = fetch(Box::new(Model::new(settings.clone())), &ends, &quick, 1);
                assert_complete(&outcome, 100_000, &settings);
            }
        }
    }

    #[test]
    fn long_replies_are_complete_over_links_that_lose_double_and_shuffle() {
        for seed in 0..60 {
            let mut random = Random::from_seed(seed);
            let links = Impairment {
                loss: Probability::from_percent(*random.pick(&[0, 1, 5, 20])),
                duplicate: Probability::from_percent(*random.pick(&[0, 1, 20])),
                reorder: Probability::from_percent(*random.pick(&[0, 1, 20])),
                delay: Duration::from_millis(20),
                ..Impairment::default()
            };
            let ends = *random.pick(&[Ends::v4(), Ends::v6()]);
            let path = "/50000";
            let mut coin = || random.below(2) == 1;
            let peer: Box<dyn Peer> = if coin() {
                let (timestamps, sack) = (coin(), coin());
                let reads = coin().then_some(20_000);
                let quick_acks = if coin() { 16 } else { 0 };
                let window = if coin() { 64_240 } else { 8000 };
                let settings = Like { timestamps, sack, window, reads, quick_acks, ..Like::linux(&ends, path) };
                Box::new(Model::new(settings))
            } else {
                Box::new(Stack::new(stack::Settings { seed, timestamps: coin(), ..stack::Settings::new(&ends, path) }))
            };
            assert_complete(&fetch(peer, &ends, &links, seed), 50_000, &seed);
        }
    }

    #[test]
    fn ten_megabytes_are_cheap() {
        let links = Impairment { loss: Probability::from_percent(1), ..Impairment::default() };
        let ends = Ends::v4();
        let peer = Box::new(Model::new(Like::linux(&ends, "/10000000")));
        assert_complete(&fetch(peer, &ends, &links, 1), 10_000_000, &"10 MB");
    }
}
