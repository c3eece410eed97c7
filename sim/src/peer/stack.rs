//! A client that is not ours: smoltcp, a TCP/IP stack for small machines.
//!
//! It resolves addresses, reassembles IPv4 fragments and keeps its connection all by itself. What it has
//! not: reassembly of IPv6 fragments (the world has to do that for it), 802.1Q tags (they are taken off and
//! put on here), any use of received SACK blocks, and an end to its patience unless
//! [`Settings::timeout`] sets one.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use lethe::time::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, IpCidr};

use super::{Outbox, Outcome, Peer};
use crate::frame::Ends;

/// Room for a request. Longer ones are sent as the room gets free.
const TRANSMIT_BUFFER: usize = 16 * 1024;

/// More calls than it takes to answer any one frame: smoltcp says when it is done.
pub(crate) const POLLS_MAX: usize = 64;

/// The length of addresses and type in front of a tag, or of a whole header without one.
const ADDRESSES_LEN: usize = 12;

thread_local! {
    /// What smoltcp's generator of timestamps, a function without arguments, returns.
    static TIMESTAMP: Cell<u32> = const { Cell::new(0) };
}

/// Has smoltcp's sockets use timestamps.
pub(crate) fn use_timestamps(socket: &mut Socket<'_>) {
    socket.set_tsval_generator(Some(|| TIMESTAMP.get()));
}

/// Sets the clock that smoltcp's timestamps are taken from.
pub(crate) fn set_timestamp(now: Instant) {
    TIMESTAMP.set((now.as_unix_nanos() / 1_000_000) as u32);
}

/// What can be set about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Both ends. It asks for the server's hardware address.
    pub ends: Ends,
    /// What it sends.
    pub request: Vec<u8>,
    /// What its initial sequence number is made from.
    pub seed: u64,
    /// Offer timestamps.
    pub timestamps: bool,
    /// The MTU, from which its MSS follows.
    pub mtu: usize,
    /// The size of its receive buffer, which is the largest window.
    pub window: usize,
    /// How long an ACK may be held back.
    pub delayed_ack: Option<Duration>,
    /// How often an idle connection is probed.
    pub keep_alive: Option<Duration>,
    /// How long the server may be silent while something is unacknowledged.
    pub timeout: Option<Duration>,
    /// Close our side right after the request.
    pub half_close: bool,
}

impl Settings {
    /// smoltcp's defaults, with timestamps, to fetch `path`.
    pub fn new(ends: &Ends, path: &str) -> Self {
        Self {
            ends: *ends,
            request: format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", ends.host()).into_bytes(),
            seed: 0,
            timestamps: true,
            mtu: 1500,
            window: 65_535,
            delayed_ack: Some(Duration::from_millis(10)),
            keep_alive: None,
            timeout: None,
            half_close: false,
        }
    }
}

/// A machine that runs smoltcp.
pub struct Stack {
    settings: Settings,
    interface: Interface,
    cable: Cable,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    is_started: bool,
    /// Bytes of the request that smoltcp has taken.
    asked: usize,
    read: Vec<u8>,
    /// The server has closed its side.
    is_end: bool,
    deadline: Option<Instant>,
    outcome: Outcome,
    complete_at: Option<Instant>,
}

impl Stack {
    /// A machine that has not begun.
    pub fn new(settings: Settings) -> Self {
        let Ends { client_mac, client, .. } = settings.ends;
        let mut config = Config::new(EthernetAddress(client_mac.bytes()).into());
        config.random_seed = settings.seed;
        let mut cable = Cable::new(settings.mtu);
        let mut interface = Interface::new(config, &mut cable, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // All hosts are on this link.
            let added = addresses.push(IpCidr::new(client.ip().into(), 0));
            assert!(added.is_ok(), "there is room for one address");
        });
        let buffer = |size| SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(settings.window), buffer(TRANSMIT_BUFFER));
        // A request is a segment or two.
        socket.set_congestion_control(CongestionControl::None);
        socket.set_ack_delay(settings.delayed_ack.map(Into::into));
        socket.set_keep_alive(settings.keep_alive.map(Into::into));
        socket.set_timeout(settings.timeout.map(Into::into));
        if settings.timestamps {
            use_timestamps(&mut socket);
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Self {
            settings,
            interface,
            cable,
            sockets,
            socket,
            is_started: false,
            asked: 0,
            read: Vec::new(),
            is_end: false,
            deadline: None,
            outcome: Outcome::Running,
            complete_at: None,
        }
    }

    /// Lets smoltcp and the application take turns until neither has anything to do.
    fn run(&mut self, now: Instant, out: &mut Outbox) {
        set_timestamp(now);
        let time = smoltcp_time(now);
        for _ in 0..POLLS_MAX {
            self.use_socket();
            let result = self.interface.poll(time, &mut self.cable, &mut self.sockets);
            if result == smoltcp::iface::PollResult::None {
                break;
            }
        }
        self.use_socket();
        if self.is_end {
            self.complete_at.get_or_insert(now);
        }
        out.extend(self.cable.sent.drain(..).map(|frame| tagged(&self.settings.ends, frame)));
        let at = self.interface.poll_at(time, &self.sockets);
        self.deadline = at.map(|at| lethe_time(at).max(now));
        // A closed socket has nothing to wait for.
        if self.outcome != Outcome::Running {
            self.deadline = None;
        }
    }

    /// What the application does: connects, asks, reads, closes.
    fn use_socket(&mut self) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        if !self.is_started {
            self.is_started = true;
            let Ends { client, server, .. } = self.settings.ends;
            if let Err(error) = socket.connect(self.interface.context(), server, client.port()) {
                self.outcome = Outcome::Failed(format!("smoltcp cannot connect: {error}"));
            }
            return;
        }
        if socket.can_send() && self.asked < self.settings.request.len() {
            self.asked += socket.send_slice(&self.settings.request[self.asked..]).unwrap_or(0);
            if self.asked == self.settings.request.len() && self.settings.half_close {
                socket.close();
            }
        }
        while socket.can_recv() {
            let taken = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap_or_default();
            self.read.extend(taken);
        }
        if !self.is_end && socket.recv(|_| (0, ())) == Err(RecvError::Finished) {
            self.is_end = true;
            socket.close();
        }
        if self.outcome == Outcome::Running {
            self.outcome = match socket.state() {
                State::Closed | State::TimeWait if self.is_end => Outcome::Complete(self.read.clone()),
                State::Closed => Outcome::Failed("smoltcp's connection was reset, or its patience ended".to_owned()),
                _ => Outcome::Running,
            };
        }
    }
}

impl Peer for Stack {
    fn receive(&mut self, now: Instant, frame: &[u8], out: &mut Outbox) {
        if let Some(frame) = untagged(&self.settings.ends, frame) {
            self.cable.received.push_back(frame);
            self.run(now, out);
        }
    }

    fn wake(&mut self, now: Instant, out: &mut Outbox) {
        self.run(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    fn complete_at(&self) -> Option<Instant> {
        self.complete_at
    }
}

/// smoltcp counts microseconds.
pub(crate) fn smoltcp_time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((now.as_unix_nanos() / 1000).cast_signed())
}

pub(crate) fn lethe_time(time: smoltcp::time::Instant) -> Instant {
    Instant::from_unix_nanos(time.total_micros().max(0).cast_unsigned() * 1000)
}

fn tagged(ends: &Ends, mut frame: Vec<u8>) -> Vec<u8> {
    if let Some(tag) = ends.vlan {
        let [t0, t1] = tag.to_be_bytes();
        frame.splice(ADDRESSES_LEN..ADDRESSES_LEN, [0x81, 0x00, t0, t1]);
    }
    frame
}

fn untagged(ends: &Ends, frame: &[u8]) -> Option<Vec<u8>> {
    let Some(tag) = ends.vlan else { return Some(frame.to_vec()) };
    let [t0, t1] = tag.to_be_bytes();
    if frame.get(ADDRESSES_LEN..ADDRESSES_LEN + 4)? != [0x81, 0x00, t0, t1] {
        return None;
    }
    Some([&frame[..ADDRESSES_LEN], &frame[ADDRESSES_LEN + 4..]].concat())
}

/// What smoltcp takes for a network card.
pub(crate) struct Cable {
    mtu: usize,
    pub(crate) received: VecDeque<Vec<u8>>,
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Cable {
    pub(crate) const fn new(mtu: usize) -> Self {
        Self { mtu, received: VecDeque::new(), sent: Vec::new() }
    }
}

pub(crate) struct Receive(Vec<u8>);
pub(crate) struct Transmit<'a>(&'a mut Vec<Vec<u8>>);

impl Device for Cable {
    type RxToken<'a> = Receive;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Receive, Transmit<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Receive(frame), Transmit(&mut self.sent)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // smoltcp counts the Ethernet header in.
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

impl RxToken for Receive {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::bench::Bench;
    use crate::random::Random;
    use crate::testing;

    fn settings(ends: &Ends) -> Settings {
        Settings::new(ends, "/1000")
    }

    fn fetch(settings: Settings) -> Outcome {
        let engine = testing::engine();
        Bench::new(&engine, Stack::new(settings)).run()
    }

    #[test]
    fn smoltcp_reads_a_reply_over_both_families_with_every_setting() {
        for ends in [Ends::v4(), Ends::v6(), Ends::v4().vlan(9), Ends::v6().vlan(9)] {
            for settings in [
                settings(&ends),
                Settings { timestamps: false, ..settings(&ends) },
                Settings { half_close: true, ..settings(&ends) },
                Settings { mtu: 1280, window: 2000, seed: 9, delayed_ack: None, ..settings(&ends) },
                Settings { keep_alive: Some(Duration::from_secs(1)), ..settings(&ends) },
            ] {
                assert_eq!(fetch(settings.clone()), Outcome::Complete(testing::response(1000)), "{settings:#?}");
            }
        }
    }

    #[test]
    fn smoltcp_puts_ipv4_fragments_together() {
        let settings = Settings::new(&Ends::v4(), "/9000");
        let engine = testing::engine();
        let bench = Bench::new(&engine, Stack::new(settings)).without_reassembly();
        assert_eq!(bench.run(), Outcome::Complete(testing::response(9000)));
    }

    #[test]
    fn smoltcp_makes_every_lost_frame_good() {
        for ends in [Ends::v4(), Ends::v6()] {
            let engine = testing::engine();
            let frames = Bench::new(&engine, Stack::new(settings(&ends))).count();
            for lost in 0..frames {
                let mut bench = Bench::new(&engine, Stack::new(settings(&ends)));
                bench.lose(lost);
                assert_eq!(bench.run(), Outcome::Complete(testing::response(1000)), "frame {lost} of {frames}");
            }
        }
    }

    #[test]
    fn smoltcp_gets_its_bytes_over_a_bad_cable() {
        let engine = testing::engine();
        for seed in 0..200 {
            let mut random = Random::from_seed(seed);
            let len = random.below(4000) as usize;
            let ends = *random.pick(&[Ends::v4(), Ends::v6()]);
            let timestamps = random.below(2) == 0;
            let settings = Settings {
                seed,
                timestamps,
                mtu: *random.pick(&[1500, 1280, 9000]),
                // Without timestamps, a FIN acknowledges the request before it, come or lost.
                half_close: timestamps && random.below(2) == 0,
                ..Settings::new(&ends, &format!("/{len}"))
            };
            let mut bench = Bench::new(&engine, Stack::new(settings.clone()));
            bench.bad_cable(random);
            let outcome = bench.run();
            assert!(outcome == Outcome::Complete(testing::response(len)), "seed {seed}: {settings:?}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_frames() {
        let first_frames = |seed| {
            let mut stack = Stack::new(Settings { seed, ..settings(&Ends::v4()) });
            let mut out = Outbox::new();
            stack.wake(Instant::from_unix_seconds(1), &mut out);
            let arp = crate::frame::Arp::reply(&Ends::v4().reversed()).frame();
            stack.receive(Instant::from_unix_seconds(2), &arp, &mut out);
            out
        };
        assert_eq!(first_frames(1), first_frames(1));
        assert_ne!(first_frames(1), first_frames(2));
        assert_eq!(first_frames(1).len(), 2);
    }
}
