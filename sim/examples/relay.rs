//! A bad network between any two programs: `relay lethe0 server0 [loss=5%,delay=20ms,…]`.
//!
//! ```text
//!   kernel, client's side <── TAP ──> links of the simulator <── TAP ──> kernel, server's side
//! ```
//!
//! It makes the TAP devices and says so; each can then be moved to a network namespace of its own. So another
//! server can be measured behind the very network that `lethe serve --impair` is measured behind. With several
//! devices on the server's side, `relay lethe0 a,b`, each frame of a client goes to one of them by chance.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe::port::{Port as _, RxQueue, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::time::Instant;
use lethe_sim::clock::between;
use lethe_sim::impaired::Impaired;
use lethe_sim::link::Impairment;
use lethe_sim::random::Random;
use lethe_sim::tap::{Tap, TapConfig};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Frames taken from one device in a turn, so that none has to wait for all of another's.
const BURST: usize = 64;

const USAGE: &str = "\
usage: relay CLIENT SERVER[,SERVER...] [IMPAIRMENT]

  CLIENT, SERVER  names of TAP devices, which are made
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
    servers: Vec<Tap>,
    network: Impaired,
    choice: Random,
}

fn start(client: &str, servers: &str, impairment: &str) -> io::Result<Relay> {
    let impairment: Impairment = impairment.parse().map_err(io::Error::other)?;
    let open = |name: &str| Tap::open(&TapConfig { name: name.to_owned(), hosts: Vec::new(), mtu: None });
    let relay = Relay {
        client: open(client).map_err(io::Error::other)?,
        servers: servers.split(',').map(open).collect::<Result<_, _>>().map_err(io::Error::other)?,
        network: Impaired::new(&impairment, now()),
        choice: Random::from_seed(impairment.seed).fork("spread"),
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
        let (mut from_client, mut to_client) = self.network.queues(now(), rx, tx);
        let mut most = 0;
        while let Some(frame) = (most < BURST).then(|| from_client.receive()).flatten() {
            let server = self.choice.below(self.servers.len() as u64) as usize;
            pass(frame.bytes, &mut self.servers[server].queues().1);
            most += 1;
        }
        for server in &mut self.servers {
            let (mut from_server, _) = server.queues();
            let mut taken = 0;
            while let Some(frame) = (taken < BURST).then(|| from_server.receive()).flatten() {
                pass(frame.bytes, &mut to_client);
                taken += 1;
            }
            most = most.max(taken);
        }
        to_client.flush();
        most
    }

    /// Sleeps until a device has a frame, or the network has one for it.
    fn wait(&self) -> io::Result<()> {
        let until_arrival = self.network.next_arrival().map(|at| between(now(), at));
        let timeout = until_arrival.unwrap_or(Duration::MAX);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let devices = self.servers.iter().chain([&self.client]);
        let mut fds: Vec<PollFd<'_>> = devices.map(|tap| PollFd::new(tap.as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| events.contains(PollFlags::POLLERR));
        if fds.iter().any(gone) { Err(io::Error::other("a device is gone")) } else { Ok(()) }
    }
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
