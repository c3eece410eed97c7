//! Real clients and random frames, through DPDK.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use lethe::port::{Port, Transmit, TxChecksum, TxFrame, TxQueue};
use lethe::wire::tcp::Flags;
use lethe_hw::Destinations;
use lethe_hw::packet::{PacketConfig, PacketPort};
use lethe_sim::frame::{Ends, Icmp, Packet, Segment};
use lethe_sim::mutation::Mutation;
use lethe_sim::random::Random;
use lethe_sim::sample::expected;
use lethe_testnet::{Namespace, Server, V4, V6, output, serve};
use nix::sys::signal::Signal;

use crate::programs;

const ABOUT: &str = "\
Real clients and random frames, through DPDK's net_af_packet, for a while: nothing may be lost, and nothing leak.

In a network namespace of its own, beside frames of pure and of nearly right garbage from a seed, curl downloads 100
kB again and again over both families, and ab asks for pages. Every byte is compared. At the end every buffer must
have come back, and what the engine has counted must be what the card has. Needs root, ip, ethtool, curl, ab.";

const EXAMPLE: &str = "Example:\n  cargo xtask soak-dpdk 600";

#[derive(clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLE)]
pub(crate) struct Args {
    /// How long
    #[arg(default_value_t = 600)]
    seconds: u64,
    /// Of the garbage
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The command `lethe`, in place of one that is built now
    #[arg(long, value_name = "FILE")]
    lethe: Option<PathBuf>,
}

/// What curl downloads.
const SIZE: usize = 100_000;

/// Requests of one run of ab.
const PAGES: usize = 500;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    programs::need_root()?;
    programs::need(&[("ip", "iproute2"), ("ethtool", "ethtool"), ("curl", "curl"), ("ab", "apache2-utils")])?;
    if args.lethe.is_none() {
        programs::build(&["-p lethe-httpd --features dpdk"])?;
    }
    let lethe = args.lethe.clone().unwrap_or_else(|| programs::release().join("lethe"));
    let space = Namespace::create()?;
    space.sh("ip link add lethe0 type veth peer name client0
         sysctl -qw net.ipv6.conf.lethe0.disable_ipv6=1
         ethtool -K client0 tx off
         ip link set lethe0 up")?;
    space.address("client0", 1)?;
    let prefix = format!("lethe-soak-{}", std::process::id());
    let eal = format!(
        "--no-pci --no-huge -m 256 --no-telemetry --file-prefix {prefix} -l 0 \
         --vdev net_af_packet0,iface=lethe0,framesz=2048"
    );
    let mut command = serve(&space, &lethe, &["--device", "dpdk:0", "--eal", &eal]);
    let server = Server::launch(command.arg("sample").stderr(Stdio::null()), 2)?;
    let (over, seed) = (Arc::new(AtomicBool::new(false)), args.seed);
    let (downloads, pages, sent) = std::thread::scope(|scope| {
        let stop = Arc::clone(&over);
        let noise = scope.spawn(|| space.enter(move || garbage(seed, &stop)));
        let answered = serve_clients(&space, Duration::from_secs(args.seconds));
        // Also after an error: the scope waits for its threads.
        over.store(true, Ordering::Relaxed);
        let sent = noise.join().map_err(|_| anyhow!("the garbage ended before its time"))??;
        answered.map(|(downloads, pages)| (downloads, pages, sent))
    })?;
    server.signal(Signal::SIGINT);
    let (success, table) = server.wait();
    let _ = std::fs::remove_dir_all(format!("/var/run/dpdk/{prefix}"));
    println!("{table}\n{sent} random frames");
    println!("{downloads} downloads of 100 kB, all equal, and {pages} pages, 0 failed");
    ensure!(success, "the server has failed");
    ensure!(table.contains("  0  of 4095 buffers not given back"), "buffers have leaked");
    Ok(())
}

/// Downloads and pages, until the time is over: how many. None may fail.
fn serve_clients(space: &Namespace, time: Duration) -> anyhow::Result<(usize, usize)> {
    let (right, start) = (expected(SIZE), Instant::now());
    let (mut downloads, mut pages) = (0, 0);
    while start.elapsed() < time {
        for base in [V4, V6] {
            let url = format!("{base}/{SIZE}");
            let body = space.command("curl").args(["-sSg", "--max-time", "60", &url]).output()?;
            ensure!(body.status.success() && body.stdout == right, "{url}: {body:?}");
            downloads += 1;
        }
        let text =
            output(space.command("ab").args(["-q", "-r", "-n", &PAGES.to_string(), "-c", "20", &format!("{V4}/100")]))?;
        ensure!(text.contains("Failed requests:        0"), "{text}");
        pages += PAGES;
    }
    Ok((downloads, pages))
}

/// Sends random frames from the client's end until it is told to stop: how many.
fn garbage(seed: u64, stop: &AtomicBool) -> anyhow::Result<u64> {
    let config = PacketConfig { interface: "client0".to_owned(), fanout: None, acks: false };
    // Nothing is to come back to it: this address is none of the clients'.
    let mut port = PacketPort::open(&config, None, Destinations::new(vec![IpAddr::from([192, 0, 2, 1]).into()]))?;
    let mut random = Random::from_seed(seed);
    let frames: Vec<_> = (0..20_000).map(|_| frame(&mut random)).collect();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let (_, mut queue) = port.queues();
        for _ in 0..100 {
            let fresh = (random.below(10) == 0).then(|| frame(&mut random));
            let bytes = fresh.as_ref().unwrap_or_else(|| random.pick(&frames));
            let write = |buffer: &mut [u8]| {
                buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(TxFrame { len: bytes.len(), checksum: TxChecksum::Complete })
            };
            // Where the queue of the interface is full, this one is left out.
            sent += u64::from(matches!(queue.transmit(write), Transmit::Queued(_)));
        }
        queue.flush();
        sleep(Duration::from_millis(4));
    }
    Ok(sent)
}

/// A frame of pure or of nearly right garbage, to the server.
fn frame(random: &mut Random) -> Vec<u8> {
    let client = Ipv4Addr::new(10, 9, 0, 3 + random.below(247) as u8);
    let ends = Ends::between((client, random.next_u64() as u16).into(), (Ipv4Addr::new(10, 9, 0, 2), 80).into());
    match random.below(10) {
        0 | 1 => {
            let ether_type = random.next_u64() as u16;
            ends.ethernet(ether_type, &bytes(random, 1484))
        }
        2 => [exactly(random, 14), bytes(random, 1486)].concat(),
        3 => ends.ethernet(0x0806, &bytes(random, 60)),
        4 => ends.ethernet(0x86dd, &[&[0x60], &bytes(random, 200)[..]].concat()),
        5 => {
            let any = random.next_u64() as u8;
            let kind = *random.pick(&[8, 3, any]);
            let body = [vec![0; 4], bytes(random, 1400)].concat();
            odd(random, Icmp::new(&ends, kind, 0, body).packet())
        }
        _ => {
            let mut segment = segment(random, &ends);
            if random.below(5) == 0 {
                segment = segment.bad_checksum();
            }
            let frame = odd(random, segment.packet());
            if random.below(10) == 0 { Mutation::FlipBit(random.below(8 * 1500) as usize).apply(&frame) } else { frame }
        }
    }
}

/// The frame of a packet; one of five is a fragment of something.
fn odd(random: &mut Random, packet: Packet) -> Vec<u8> {
    if random.below(5) > 0 {
        return packet.frame();
    }
    let offset = random.below(1 << 13) as u16 * 8;
    packet.fragment(random.next_u64() as u32, offset, random.below(2) == 0).frame()
}

/// A segment with anything in it, a request among that.
fn segment(random: &mut Random, ends: &Ends) -> Segment {
    let any = random.next_u64() as u8;
    let flags = *random.pick(&[2, 16, 24, 17, 4, 18, any]);
    let mut segment = Segment::new(ends, Flags::new(flags));
    segment = segment.seq(random.next_u64() as u32).ack_number(random.next_u64() as u32);
    segment = segment.window(random.next_u64() as u16);
    let words = 4 * random.below(11) as usize;
    segment = match random.below(3) {
        0 => segment.option(&vec![1; words]),
        1 => segment.timestamps(random.next_u64() as u32, random.next_u64() as u32),
        _ => segment.option(&exactly(random, words)),
    };
    let len = *random.pick(&[0, 0, 0, 1, 5, 80, 600, 1400]);
    let payload = exactly(random, len);
    if random.below(10) >= 3 {
        return segment.payload(payload);
    }
    segment.payload([b"GET /", &payload[..len.min(20)], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat())
}

/// Random bytes, fewer than `limit`.
fn bytes(random: &mut Random, limit: usize) -> Vec<u8> {
    let len = random.below(limit as u64) as usize;
    exactly(random, len)
}

fn exactly(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.next_u64() as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_of_every_kind_and_no_frame_is_longer_than_ethernet_has_them() {
        let mut random = Random::from_seed(1);
        let frames: Vec<_> = (0..5000).map(|_| frame(&mut random)).collect();
        assert!(
            frames.iter().all(|frame| (14..=1514).contains(&frame.len())),
            "{:?}",
            frames.iter().map(Vec::len).max()
        );
        let count = |is_it: &dyn Fn(&[u8]) -> bool| frames.iter().filter(|frame| is_it(frame)).count();
        assert!(count(&|frame| frame.windows(5).any(|part| part == b"GET /")) > 500, "requests");
        for (kind, name) in [([8, 6], "ARP"), ([0x86, 0xdd], "IPv6"), ([8, 0], "IPv4")] {
            assert!(count(&|frame| frame[12..14] == kind) > 300, "{name}");
        }
        assert_eq!(frame(&mut Random::from_seed(7)), frame(&mut Random::from_seed(7)), "a seed makes the same again");
    }
}
