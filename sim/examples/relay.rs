//! A bad network between any two programs: `relay lethe0 server0 [loss=5%,delay=20ms,…]`.
//!
//! ```text
//!   kernel, client's side <── TAP ──> links of the simulator <── TAP ──> kernel, server's side
//! ```
//!
//! It makes the TAP devices and says so; each can then be moved to a network namespace of its own. So any server can
//! be measured behind the very network that `lethe serve --impair` is measured behind. There may be several devices on
//! the server's side, and all share the one network: with `relay lethe0 a,b` each frame of a client goes to one of them
//! by chance, with `relay lethe0 a+b` to the one whose address it has, as a switch does it.
//!
//! For each line on its standard input it prints a line for each of those devices: frames that came from there, their
//! bytes, those of the longest, and how many of the frames have reached the client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lethe::port::{Port as _, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::time::Instant;
use lethe_sim::clock::between;
use lethe_sim::impaired::Impaired;
use lethe_sim::link::Impairment;
use lethe_sim::random::Random;
use lethe_sim::tap::{Tap, TapConfig};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// Frames taken from one device in a turn, so that none has to wait for all of another's.
const BURST: usize = 64;

/// Where a frame has its addresses.
const DESTINATION: std::ops::Range<usize> = 0..6;
const SOURCE: std::ops::Range<usize> = 6..12;

const USAGE: &str = "\
usage: relay CLIENT SERVER[,SERVER...] [IMPAIRMENT]
       relay CLIENT SERVER[+SERVER...] [IMPAIRMENT]

  CLIENT, SERVER  names of TAP devices, which are made; frames of the client go to one of the servers, with commas by
                  chance, with a plus by its address
  IMPAIRMENT      as for `lethe serve --impair`: loss=5%,delay=20ms,seed=7

It runs until it is killed, or a device is gone. Example:
  relay lethe0 server0 loss=5%,delay=20ms & ip link set server0 netns server";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([client, servers], impairment) = match arguments.as_slice() {
        [client, servers] => ([client, servers], ""),
        [client, servers, impairment] => ([client, servers], impairment.as_str()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match start(client, servers, impairment).and_then(|mut relay| relay.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Relay {
    client: Tap,
    servers: Vec<Server>,
    network: Impaired,
    way: Way,
    /// The server that a hardware address belongs to, by the frames that came from it.
    owners: Owners,
    /// Whether the counters may still be asked for.
    is_asked: bool,
}

/// A device on the server's side.
struct Server {
    tap: Tap,
    counters: Counters,
}

/// Frames on their way from a server to the client.
#[derive(Clone, Copy, Default)]
struct Counters {
    frames: u64,
    bytes: u64,
    longest: usize,
    delivered: u64,
}

/// Which server a frame of the client goes to.
enum Way {
    Chance(Random),
    Switch,
}

type Address = [u8; 6];
type Owners = RefCell<HashMap<Address, usize>>;

fn start(client: &str, servers: &str, impairment: &str) -> io::Result<Relay> {
    let impairment: Impairment = impairment.parse().map_err(io::Error::other)?;
    let open = |name: &str| Tap::open(&TapConfig { name: name.to_owned(), hosts: Vec::new(), mtu: None });
    let server = |name| open(name).map(|tap| Server { tap, counters: Counters::default() });
    let (way, between) = if servers.contains('+') {
        (Way::Switch, '+')
    } else {
        (Way::Chance(Random::from_seed(impairment.seed).fork("spread")), ',')
    };
    let relay = Relay {
        client: open(client).map_err(io::Error::other)?,
        servers: servers.split(between).map(server).collect::<Result<_, _>>().map_err(io::Error::other)?,
        network: Impaired::new(&impairment, now()),
        way,
        owners: Owners::default(),
        is_asked: true,
    };
    println!("ready");
    io::stdout().flush()?;
    Ok(relay)
}

impl Relay {
    /// Carries frames until a device can no longer be used.
    fn run(&mut self) -> io::Result<()> {
        loop {
            if self.turn() < BURST {
                self.wait()?;
            }
        }
    }

    /// Carries what is there, and returns how many frames it took from the device that had most.
    fn turn(&mut self) -> usize {
        let (rx, tx) = self.client.queues();
        let mut delivered = vec![0; self.servers.len()];
        let tx = Counted { inner: tx, owners: &self.owners, delivered: &mut delivered };
        let (mut from_client, mut to_client) = self.network.queues(now(), rx, tx);
        let mut most = 0;
        while let Some(frame) = (most < BURST).then(|| from_client.receive()).flatten() {
            let servers = match &mut self.way {
                Way::Chance(random) => {
                    let one = random.below(self.servers.len() as u64) as usize;
                    one..one + 1
                }
                Way::Switch => match owner(&self.owners, frame.bytes, DESTINATION) {
                    Some(one) => one..one + 1,
                    None => 0..self.servers.len(),
                },
            };
            for server in &mut self.servers[servers] {
                pass(frame.bytes, &mut server.tap.queues().1);
            }
            most += 1;
        }
        for (number, server) in self.servers.iter_mut().enumerate() {
            let (mut from_server, _) = server.tap.queues();
            let mut taken = 0;
            while let Some(frame) = (taken < BURST).then(|| from_server.receive()).flatten() {
                server.counters.add(frame.bytes);
                if let Some(from) = address(frame.bytes, SOURCE) {
                    self.owners.borrow_mut().insert(from, number);
                }
                pass(frame.bytes, &mut to_client);
                taken += 1;
            }
            most = most.max(taken);
        }
        to_client.flush();
        drop((from_client, to_client));
        for (server, delivered) in self.servers.iter_mut().zip(delivered) {
            server.counters.delivered += delivered;
        }
        most
    }

    /// Sleeps until a device has a frame, the network has one for it, or the counters are asked for.
    fn wait(&mut self) -> io::Result<()> {
        // To the nanosecond: by milliseconds it would have to look again and again for the rest of one.
        let timeout = self.network.next_arrival().map(|at| TimeSpec::from_duration(between(now(), at)));
        let input = io::stdin();
        let devices = self.servers.iter().map(|server| &server.tap).chain([&self.client]);
        let mut fds: Vec<PollFd<'_>> = devices.map(|tap| PollFd::new(tap.as_fd(), PollFlags::POLLIN)).collect();
        if self.is_asked {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        match ppoll(&mut fds, timeout, None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let is_asked = self.is_asked && fds.pop().is_some_and(|fd| fd.any().unwrap_or(true));
        let gone = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| events.contains(PollFlags::POLLERR));
        if fds.iter().any(gone) {
            return Err(io::Error::other("a device is gone"));
        }
        if is_asked {
            self.answer(&input)?;
        }
        Ok(())
    }

    /// Prints the counters for each line that was typed.
    fn answer(&mut self, input: &io::Stdin) -> io::Result<()> {
        let mut input = input.lock();
        let typed = input.fill_buf()?;
        let (len, lines) = (typed.len(), typed.split(|&byte| byte == b'\n').skip(1).count());
        input.consume(len);
        self.is_asked = len > 0;
        let mut output = io::stdout().lock();
        for _ in 0..lines {
            for Server { counters: Counters { frames, bytes, longest, delivered }, .. } in &self.servers {
                writeln!(output, "{frames} {bytes} {longest} {delivered}")?;
            }
        }
        output.flush()
    }
}

impl Counters {
    fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        self.longest = self.longest.max(frame.len());
    }
}

/// The queue to the client, which counts what reaches it by the server that it came from.
struct Counted<'a, T> {
    inner: T,
    owners: &'a Owners,
    delivered: &'a mut [u64],
}

impl<T: TxQueue> TxQueue for Counted<'_, T> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let mut server = None;
        let written = self.inner.transmit(|buffer| {
            let frame = write(buffer)?;
            server = owner(self.owners, buffer, SOURCE);
            Some(frame)
        });
        if let (Transmit::Queued(_), Some(server)) = (written, server) {
            self.delivered[server] += 1;
        }
        written
    }

    fn flush(&mut self) {
        self.inner.flush();
    }
}

/// The server that has an address of a frame.
fn owner(owners: &Owners, frame: &[u8], end: std::ops::Range<usize>) -> Option<usize> {
    owners.borrow().get(&address(frame, end)?).copied()
}

/// The hardware address at one end of a frame.
fn address(frame: &[u8], end: std::ops::Range<usize>) -> Option<Address> {
    frame.get(end)?.try_into().ok()
}

/// Hands a frame on; where there is no room it is lost, as in any queue.
fn pass(frame: &[u8], tx: &mut impl TxQueue) {
    let written = tx.transmit(|buffer| {
        buffer.get_mut(..frame.len())?.copy_from_slice(frame);
        Some(TxFrame { len: frame.len(), checksum: TxChecksum::Complete })
    });
    debug_assert!(written != Transmit::Nothing, "a buffer holds any frame");
}

fn now() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
