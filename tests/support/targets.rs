//! What must hold for any bytes at all: the bodies of the fuzz targets, which `tests/properties.rs` runs too.
//!
//! Each panics when it finds something.

use std::sync::LazyLock;

use lethe::config::{Addresses, Config, Refuse};
use lethe::cookie::Secret;
use lethe::engine::Engine;
use lethe::http::{Method, Problem, RequestLine};
use lethe::time::Instant;
use lethe::wire::tcp::Flags;
use lethe_apps::Application;
use lethe_apps::ipinfo::IpInfo;
use lethe_apps::sample::Sample;
use lethe_sim::check;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Packet, Segment};
use lethe_sim::random::Random;
use lethe_sim::run::run;
use lethe_sim::scenario::{Options, Plan, Scenario, Visitor};
use lethe_sim::world::Recorder;

const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);
const ISN: u32 = 1000;

/// Gives the engine what the bytes describe, and has all checkers look at what it does.
///
/// The first byte chooses how much is made right for them, so that they get past checksums and cookies:
/// nothing, the Ethernet header, the IP header, or a whole handshake, in either family.
pub(crate) fn frame(bytes: &[u8]) {
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let engine = &ENGINES[usize::from(mode >> 3 & 3)];
    let ends = if mode & 1 == 0 { Ends::v4() } else { Ends::v6() };
    let frames = match mode >> 1 & 3 {
        0 => vec![bytes.to_vec()],
        1 => vec![ends.ethernet(if mode & 1 == 0 { 0x0800 } else { 0x86dd }, bytes)],
        2 => match bytes.split_first() {
            Some((&protocol, payload)) => vec![mend(&ends, protocol, payload)],
            None => return,
        },
        _ => talk(engine, &ends, bytes),
    };
    let frames = frames.iter().map(|frame| (NOW, frame.as_slice()));
    check::observe(engine, &mut check::all(engine), frames).unwrap();
}

/// The engines there are: made once, since nothing in them can change.
static ENGINES: LazyLock<[Engine<Application>; 4]> = LazyLock::new(|| {
    [0, 1, 2, 3].map(|choice| {
        let mut addresses = Addresses::new();
        for address in ["10.9.0.2", "fd09::2"] {
            addresses.add(address.parse().unwrap()).unwrap();
        }
        let refuse = if choice & 1 == 0 { Refuse::Drop } else { Refuse::Reset };
        let config = Config { addresses, refuse, ..Config::new(Secret::new([7; 16])) };
        let app = match choice & 2 {
            0 => Application::IpInfo(IpInfo::embedded()),
            _ => Application::Sample(Sample::new(3000)),
        };
        Engine::new(config, app)
    })
});

/// A packet of `protocol` whose transport checksum, where there is one, is right.
fn mend(ends: &Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let at = match protocol {
        6 => 16,
        1 | 58 => 2,
        _ => usize::MAX,
    };
    if let Some(field) = at.checked_add(2).and_then(|end| payload.get_mut(at..end)) {
        field.fill(0);
        let pseudo_header: Vec<u8> = match (ends.client.ip(), ends.server.ip()) {
            (std::net::IpAddr::V4(client), std::net::IpAddr::V4(server)) if protocol == 6 => {
                [&client.octets()[..], &server.octets(), &[0, 6], &(payload.len() as u16).to_be_bytes()].concat()
            }
            (std::net::IpAddr::V6(client), std::net::IpAddr::V6(server)) => {
                let length = (payload.len() as u32).to_be_bytes();
                [&client.octets()[..], &server.octets(), &length, &[0, 0, 0, protocol]].concat()
            }
            _ => Vec::new(),
        };
        let checksum = lethe::wire::checksum::Sum::new().with(&pseudo_header).with(&payload).finish();
        payload[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }
    Packet::new(ends, protocol, payload).frame()
}

/// A handshake, and then one segment: flags, window and what it echoes from the first bytes, and the rest
/// as its payload.
fn talk(engine: &Engine<Application>, ends: &Ends, bytes: &[u8]) -> Vec<Vec<u8>> {
    let &[flags, window, offset, ref payload @ ..] = bytes else { return Vec::new() };
    let timestamps = flags & 0x80 != 0;
    let mut syn = Segment::syn(ends).seq(ISN).mss(u16::from(window) * 8);
    syn = if timestamps { syn.timestamps(5, 0) } else { syn };
    let syn = syn.frame();
    let (mut scratch, mut buffer) = (vec![0; 70_000], vec![0; 2048]);
    let mut reply = engine.handle(NOW, lethe::port::RxFrame::unchecked(&syn), &mut scratch);
    let sent = reply.next_frame(&mut buffer).unwrap();
    let syn_ack = Frame::dissect(&buffer[..sent.len]).unwrap();
    let (_, tcp) = syn_ack.tcp().unwrap();
    // Mostly right; now and then off by a little.
    let seq = ISN + 1 + u32::from(offset & 1) * 20;
    let ack = tcp.seq.value().wrapping_add(1 + u32::from(offset >> 1 & 1) * 100);
    let flags = Flags::new(flags & 0x3f | if flags & 0x40 == 0 { 0x10 } else { 0 });
    let mut segment = Segment::new(ends, flags).seq(seq).ack_number(ack).window(u16::from(window) << 8);
    if let (true, Some((base, _))) = (timestamps, tcp.timestamps) {
        segment = segment.timestamps(6, base.wrapping_add(u32::from(offset >> 2 & 3)));
    }
    vec![syn, segment.payload(payload).frame()]
}

/// Parses the bytes as a request, and compares with a parser nobody here wrote.
pub(crate) fn request(bytes: &[u8]) {
    let result = RequestLine::parse(bytes);
    let line_end = bytes.iter().skip(2).position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 3);
    match &result {
        Ok(line) => {
            assert!(line.path.starts_with('/'));
            agrees_with_httparse(bytes, line);
            // Nothing behind the line changes what it says, and nothing shorter is refused.
            for (name, value) in line.headers.iter() {
                assert!(!name.is_empty() && value.trim_ascii() == value);
            }
            for end in 0..line_end.min(bytes.len()) {
                assert!(matches!(RequestLine::parse(&bytes[..end]), Ok(_) | Err(Problem::Incomplete)), "{end}");
            }
        }
        Err(Problem::Incomplete) => {
            for end in 0..bytes.len() {
                assert!(matches!(RequestLine::parse(&bytes[..end]), Err(Problem::Incomplete)), "{end}");
            }
        }
        Err(problem) => {
            // More bytes do not mend it.
            let longer = [bytes, b" / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(RequestLine::parse(&longer).err(), Some(*problem));
        }
    }
}

fn agrees_with_httparse(bytes: &[u8], line: &RequestLine<'_>) {
    let mut fields = [httparse::EMPTY_HEADER; 0];
    let mut request = httparse::Request::new(&mut fields);
    // Without header fields they can only differ about the line.
    let end = bytes.iter().skip(2).position(|&byte| byte == b'\n').unwrap() + 3;
    let alone = [&bytes[..end], b"\r\n"].concat();
    let parsed = request.parse(&alone);
    // It knows versions 1.0 and 1.1 only; we take any 1.x (RFC 9110, section 2.5).
    if parsed == Err(httparse::Error::Version) {
        return;
    }
    assert!(matches!(parsed, Ok(httparse::Status::Complete(_))), "{parsed:?}");
    let method = match line.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
    };
    assert_eq!(request.method, Some(method));
    let target = request.path.unwrap();
    let ours = line.query.map_or(line.path.to_owned(), |query| format!("{}?{query}", line.path));
    assert!(target.ends_with(&ours) || target.len() < "http://h/".len() + ours.len(), "{target} {ours}");
}

/// How many clients come to a fuzzed world: enough to get in each other's way, and few enough for hundreds of
/// worlds a second.
const CLIENTS: u32 = 3;

/// A simulated network in which the bytes stand in for the random stream: they choose the faults, the engine's
/// settings and the clients, in this order, and what is left of them the fate of each frame. Where they end,
/// nothing bad happens any more. All checkers look on, and each client must get what it was promised.
///
/// With `LETHE_PCAP` set in the environment, every frame is written to the file that it names.
pub(crate) fn world(bytes: &[u8]) {
    let random = Random::from_bytes(bytes);
    let scenario = Scenario::draw_from(&random, Options { requests: CLIENTS, ..Options::new(0) });
    let plan = Drawn { visitors: (0..CLIENTS).map(|number| scenario.visitor(number)).collect(), start: scenario.start };
    let engine = scenario.engine();
    let file = std::env::var_os("LETHE_PCAP");
    let mut recorder = file.map(|file| Recorder::create(file.as_ref(), None).unwrap());
    let result = run(&plan, &engine, check::all(&engine), recorder.as_mut());
    if let Some(recorder) = recorder {
        recorder.finish().unwrap();
    }
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Clients that are drawn beforehand, so that the same bytes always mean the same clients.
struct Drawn {
    start: Instant,
    visitors: Vec<Visitor>,
}

impl Plan for Drawn {
    fn start(&self) -> Instant {
        self.start
    }

    fn clients(&self) -> u32 {
        self.visitors.len() as u32
    }

    fn visitor(&self, number: u32) -> Visitor {
        self.visitors[number as usize].clone()
    }

    fn command_line(&self) -> String {
        "LETHE_PCAP=out.pcapng, and the fuzz target `world` with this input".to_owned()
    }
}
