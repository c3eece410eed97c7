//! What must hold for any bytes at all: the bodies of the fuzz targets, which `tests/properties.rs` runs too.
//!
//! Each panics when it finds something.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use lethe::app::{App, Position, Request};
use lethe::config::{Addresses, Config, Refuse};
use lethe::cookie::Secret;
use lethe::engine::{Engine, SCRATCH_LEN};
use lethe::http::{Framing, Headers, Persistence, Problem, RequestLine, Status};
use lethe::time::Instant;
use lethe::wire::tcp::Flags;
use lethe_apps::files::{About, Builder, Coding, Files, Image};
use lethe_apps::ipinfo::IpInfo;
use lethe_apps::respond::Respond;
use lethe_apps::scores::{self, Format, Labels, Reject, Scores, write_sample};
use lethe_sim::check;
use lethe_sim::dissect::Frame;
use lethe_sim::frame::{Ends, Packet, Segment, internet_checksum};
use lethe_sim::random::Random;
use lethe_sim::run::run;
use lethe_sim::sample::Sample;
use lethe_sim::scenario::{ClientSpec, Options, Scenario, Workload};
use lethe_sim::world::Recorder;

#[path = "long_way.rs"]
mod long_way;

const NOW: Instant = Instant::from_unix_seconds(1_780_000_000);
const ISN: u32 = 1000;

/// Gives the engine what the bytes describe, and has all checkers look at what it does. What is recognized at a glance
/// is answered as by the parsers.
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
    for frame in &frames {
        long_way::is_same(engine, NOW, frame);
    }
    let frames = frames.iter().map(|frame| (NOW, frame.as_slice()));
    check::observe(engine, &mut check::all(engine), frames).unwrap();
}

/// An application of either kind.
type Answers = dyn App + Send + Sync;

static PLACES: LazyLock<IpInfo<'static>> = LazyLock::new(IpInfo::embedded);
static BYTES: LazyLock<Sample> = LazyLock::new(|| Sample::new(3000));

/// The engines there are: made once, since nothing in them can change.
static ENGINES: LazyLock<[Engine<&'static Answers>; 4]> = LazyLock::new(|| {
    [0, 1, 2, 3].map(|choice| {
        let mut addresses = Addresses::new();
        for address in ["10.9.0.2", "fd09::2"] {
            addresses.add(address.parse().unwrap()).unwrap();
        }
        let refuse = if choice & 1 == 0 { Refuse::Drop } else { Refuse::Reset };
        let config = Config { addresses, refuse, keep_alive: false, ..Config::new(Secret::new([7; 16])) };
        let app: &Answers = match choice & 2 {
            0 => &*PLACES,
            _ => &*BYTES,
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
        let checksum = internet_checksum([pseudo_header.as_slice(), &payload]);
        payload[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }
    Packet::new(ends, protocol, payload).frame()
}

/// A handshake, and then one segment: flags, window and what it echoes from the first bytes, and the rest
/// as its payload.
fn talk(engine: &Engine<&'static Answers>, ends: &Ends, bytes: &[u8]) -> Vec<Vec<u8>> {
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
            assert!(line.path.starts_with(b"/"));
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
    // It knows versions 1.0 and 1.1 only; we take any 1.x (RFC 9110, section 6.2).
    if parsed == Err(httparse::Error::Version) {
        return;
    }
    assert!(matches!(parsed, Ok(httparse::Status::Complete(_))), "{parsed:?}");
    assert_eq!(request.method, Some(line.method.name()));
    let target = request.path.unwrap();
    let text = |bytes| str::from_utf8(bytes).expect("visible characters of ASCII");
    let path = text(line.path);
    let ours = line.query.map_or(path.to_owned(), |query| format!("{path}?{}", text(query)));
    assert!(target.ends_with(&ours) || target.len() < "http://h/".len() + ours.len(), "{target} {ours}");
}

/// Takes the bytes, behind the first of them, for a header section, behind a request line that the first one chooses;
/// and compares what it says with the fields that another parser finds, and with the rules, written down again here.
pub(crate) fn section(bytes: &[u8]) {
    const LINES: [&str; 4] =
        ["GET / HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "GET / HTTP/1.1\n", "\r\nHEAD http://h/a HTTP/1.1\r\n"];
    let Some((&choice, section)) = bytes.split_first() else { return };
    let line = LINES[usize::from(choice) % LINES.len()];
    let framing = |section: &[u8]| RequestLine::parse(&[line.as_bytes(), section].concat()).unwrap().framing();
    let found = framing(section);
    let request = [line.as_bytes(), section].concat();
    let mut fields = vec![httparse::EMPTY_HEADER; bytes.len()];
    let mut other = httparse::Request::new(&mut fields);
    match other.parse(&request) {
        Ok(httparse::Status::Complete(len)) => {
            let named: Vec<_> = other.headers.iter().map(|field| (field.name, field.value)).collect();
            assert_eq!(found, expected_framing(&request[..len], &named, request.len() - len), "{named:?}");
            let ours = RequestLine::parse(&request).unwrap().headers;
            // It takes HTAB and space from the end of a value only.
            assert!(ours.iter().eq(named.iter().map(|(name, value)| (name.as_bytes(), value.trim_ascii()))));
            let longer = match found {
                Framing::Complete { behind, persistence } => Framing::Complete { behind: behind + 1, persistence },
                other => other,
            };
            assert_eq!(framing(&[section, b"x"].concat()), longer, "what is behind it says nothing of it");
        }
        Ok(httparse::Status::Partial) => {
            assert!(matches!(found, Framing::Incomplete | Framing::Refused(Status::BadRequest)), "{found:?}");
        }
        Err(_) => assert!(matches!(found, Framing::Refused(Status::BadRequest)), "{found:?}"),
    }
    for end in 0..section.len() {
        match (framing(&section[..end]), found) {
            (Framing::Incomplete, _) => {}
            (Framing::Complete { behind, .. }, Framing::Complete { behind: more, .. }) => {
                assert_eq!(more - behind, section.len() - end);
            }
            (before, after) => assert_eq!(before, after, "once it is decided, it stays so"),
        }
    }
}

/// What RFC 9112 makes of a request with these fields.
fn expected_framing(request: &[u8], fields: &[(&str, &[u8])], behind: usize) -> Framing {
    let is_old = request.starts_with(b"GET / HTTP/1.0");
    let values = |wanted: &str| -> Vec<String> {
        let named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase()).collect()
    };
    let list = |wanted: &str| -> Vec<String> {
        let all = values(wanted);
        let elements = all.iter().flat_map(|value| value.split(',')).map(str::trim);
        elements.filter(|element| !element.is_empty()).map(str::to_owned).collect()
    };
    let is_token = |text: &str| {
        !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char))
    };
    let (hosts, lengths, codings) = (values("host"), values("content-length"), list("transfer-encoding"));
    let has_coding = !values("transfer-encoding").is_empty();
    let host_is_wrong = hosts.len() > 1 || hosts.is_empty() && !is_old || !hosts.iter().all(|host| is_valid_host(host));
    let is_length = |length: &String| length.bytes().all(|byte| byte.is_ascii_digit()) && length.parse::<u64>().is_ok();
    let length_is_wrong = lengths.len() > 1 || !lengths.iter().all(is_length);
    let name = |coding: &String| coding.split([';', ' ', '\t']).next().unwrap().to_owned();
    let chunked = codings.iter().position(|coding| name(coding) == "chunked");
    let coding_is_wrong = has_coding && (is_old || !lengths.is_empty() || codings.is_empty())
        || !codings.iter().all(|coding| is_token(&name(coding)))
        || chunked.is_some_and(|at| at + 1 < codings.len() || codings[at] != "chunked");
    if host_is_wrong || length_is_wrong || coding_is_wrong {
        return Framing::Refused(Status::BadRequest);
    }
    if codings.iter().any(|coding| coding != "chunked") {
        return Framing::Refused(Status::NotImplemented);
    }
    let expectations = values("expect");
    if !is_old && expectations.iter().any(|value| value != "100-continue") {
        return Framing::Refused(Status::ExpectationFailed);
    }
    let has_bare_lf = (1..request.len()).any(|at| request[at] == b'\n' && request[at - 1] != b'\r');
    let has_body = has_coding || lengths.iter().any(|length| length.parse() != Ok(0));
    let options = list("connection");
    let wants_close = options.iter().any(|option| option == "close" || !is_token(option));
    let closes = has_bare_lf || has_body || !expectations.is_empty() || !values("upgrade").is_empty() || wants_close;
    let persistence = match (closes, is_old) {
        (false, false) => Persistence::Keep,
        (false, true) if options.iter().any(|option| option == "keep-alive") => Persistence::KeepAlive,
        _ => Persistence::Close,
    };
    Framing::Complete { behind, persistence }
}

/// Whether it is a host with an optional port, and not empty.
fn is_valid_host(text: &str) -> bool {
    let of = |text: &str, more: &str| text.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    let is_host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        None => {
            let escapes_are_right = host
                .split('%')
                .skip(1)
                .all(|rest| rest.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())));
            !host.is_empty() && of(host, "-._~!$&'()*+,;=%") && escapes_are_right
        }
        Some(None) => false,
        Some(Some(literal)) => match literal.strip_prefix('v').map(|rest| rest.split_once('.')) {
            None => literal.parse::<std::net::Ipv6Addr>().is_ok(),
            Some(None) => false,
            Some(Some((version, rest))) => {
                let is_hex = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hex && !rest.is_empty() && of(rest, "-._~!$&'()*+,;=:")
            }
        },
    };
    is_host && is_port
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
    let workload =
        Drawn { clients: (0..CLIENTS).map(|number| scenario.client(number)).collect(), start: scenario.start };
    let engine = scenario.engine();
    let file = std::env::var_os("LETHE_PCAP");
    let mut recorder = file.map(|file| Recorder::create(file.as_ref(), None).unwrap());
    let result = run(&workload, &engine, check::all(&engine), recorder.as_mut());
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
    clients: Vec<ClientSpec>,
}

impl Workload for Drawn {
    fn start(&self) -> Instant {
        self.start
    }

    fn clients(&self) -> u32 {
        self.clients.len() as u32
    }

    fn client(&self, number: u32) -> ClientSpec {
        self.clients[number as usize].clone()
    }

    fn command_line(&self) -> String {
        "LETHE_PCAP=out.pcapng, and the fuzz target `world` with this input".to_owned()
    }
}

/// Opens the bytes as an image of files; and what they make of an image that was right, with its checksums and
/// length made right again, so that they get past those. What can be opened can be used.
pub(crate) fn files_image(bytes: &[u8]) {
    open_image(bytes.to_vec());
    let mut image = SITE.clone();
    change(&mut image, bytes);
    mend_image(&mut image);
    let is_open = open_image(image);
    assert!(is_open || !bytes.is_empty(), "without a change it is right");
}

/// Makes changes to what was right: four bytes a change, where, and to what. What is left over takes from its end.
fn change(right: &mut Vec<u8>, bytes: &[u8]) {
    let (changes, rest) = bytes.as_chunks::<4>();
    for &[low, high, value, how] in changes {
        let at = usize::from(u16::from_le_bytes([low, high])) % right.len();
        match how % 3 {
            0 => right[at] = value,
            1 => right[at] ^= 1 << (value % 8),
            _ => right[at] = right[at].wrapping_add(value),
        }
    }
    if let [cut, ..] = rest {
        right.truncate(right.len().saturating_sub((*cut).into()));
    }
}

/// Makes length and checksums of an image right, as far as it says where they are.
fn mend_image(image: &mut [u8]) {
    let len = (image.len() as u64).to_le_bytes();
    image[48..56].copy_from_slice(&len);
    let index = u64::from_le_bytes(image[40..48].try_into().unwrap());
    if let Some(index) = usize::try_from(index).ok().and_then(|index| image.get(index..)) {
        let checksum = crc32fast::hash(index).to_le_bytes();
        image[56..60].copy_from_slice(&checksum);
    }
    let checksum = crc32fast::hash(&image[..60]).to_le_bytes();
    image[60..64].copy_from_slice(&checksum);
}

/// Whether it is an image; if so, it is used.
fn open_image(bytes: Vec<u8>) -> bool {
    let Ok(image) = Image::open(bytes) else { return false };
    let _ = image.check_bodies(&mut |_, _| ());
    let app = Files::new(image);
    let mut scratch = vec![0; SCRATCH_LEN];
    for path in SITE_PATHS {
        ask_files(&app, path.as_bytes(), Headers::default(), &mut scratch);
    }
    for unit in 0..8 {
        let position = Position::new(unit).unwrap();
        if let Some(stored) = app.stored(position) {
            let first = stored.position().unwrap();
            assert!(first <= position, "{first:?} covers {position:?}");
            assert!(position.value() - first.value() < u32::try_from(Position::units(stored.len())).unwrap());
        }
    }
    true
}

/// Asks for whatever the bytes are a request for, and compares with rules that are written down again here.
pub(crate) fn files_request(bytes: &[u8]) {
    let Ok(line) = RequestLine::parse(bytes) else { return };
    let mut scratch = vec![0; SCRATCH_LEN];
    let status = ask_files(&FILES, line.path, line.headers, &mut scratch);
    let expect: &[u16] = match decoded(line.path) {
        None => &[400],
        Some(path) if path == b"/dir" => &[301],
        Some(path) if SITE_PATHS.iter().any(|known| known.as_bytes() == path) => &[200, 206, 304, 307, 416],
        Some(_) => &[404],
    };
    assert!(expect.contains(&status), "{status} for {}", line.path.escape_ascii());
}

/// The status of the answer, which is looked at from all sides.
fn ask_files(app: &Files, path: &[u8], headers: Headers<'_>, scratch: &mut [u8]) -> u16 {
    let request = Request::get(path).with_headers(headers);
    let response = app.respond(&request, scratch);
    let head = response.head();
    assert!(head.ends_with(b"\r\n\r\n") && head.windows(4).filter(|window| window == b"\r\n\r\n").count() == 1);
    let stored = response.position().map(|position| app.stored(position).unwrap());
    assert!(stored.is_none_or(|stored| stored == response), "a stored response is the one that was given");
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap();
    str::from_utf8(status).unwrap().parse().unwrap()
}

/// The path that a file would have, or `None` where there is none such.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = str::from_utf8(path).ok()?.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if byte == b'/' {
            return None;
        }
        bytes.push(byte);
        bytes.extend(rest.bytes());
    }
    let is_fit = |segment: &[u8]| segment != b".." && !segment.contains(&0) && !segment.contains(&b'\\');
    if !bytes.split(|&byte| byte == b'/').all(is_fit) {
        return None;
    }
    // Segments of one dot are left out, and the last one leaves its slash.
    let is_last = bytes.ends_with(b"/.");
    let segments: Vec<&[u8]> = bytes.split(|&byte| byte == b'/').filter(|&segment| segment != b".").collect();
    let mut path = segments.join(&b'/');
    if is_last {
        path.push(b'/');
    }
    Some(path)
}

/// What [`SITE`] has.
const SITE_PATHS: [&str; 6] = ["/", "/index.html", "/a b.css", "/dir/", "/dir/index.html", "/large"];

static FILES: LazyLock<Files> = LazyLock::new(|| Files::new(Image::open(SITE.clone()).unwrap()));

/// An image with something of everything.
static SITE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
    let mut add = |status, content_type, coding, body: &[u8]| {
        let about = About { status, content_type, coding, varies: coding.is_some(), ..About::OK };
        builder.add(&about, body.len() as u64, &mut &*body, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let index = add(Status::Ok, "text/html", None, b"index");
    let gone = add(Status::NotFound, "text/html", None, b"gone");
    let plain = add(Status::Ok, "text/css", None, &[b'p'; 600]);
    let brotli = add(Status::Ok, "text/css", Some(Coding::Brotli), b"br");
    let gzip = add(Status::Ok, "text/css", Some(Coding::Gzip), b"gzip");
    let large = add(Status::Ok, "text/plain", None, &[b'l'; 1500]);
    for path in ["/", "/index.html", "/dir/", "/dir/index.html"] {
        builder.name(path.as_bytes(), index, [None; 3]);
    }
    builder.name(b"/a b.css", plain, [Some(brotli), None, Some(gzip)]);
    builder.name(b"/large", large, [None; 3]);
    builder.redirect(b"/dir");
    builder.not_found(gone);
    builder.finish().unwrap().into_inner()
});

/// What a table says, for whoever asks nothing more of it.
struct Deaf;

impl scores::PrepareObserver for Deaf {
    fn read(&mut self, _: u64) {}
    fn rejected(&mut self, reject: &Reject) {
        assert!(!reject.to_string().is_empty());
    }
    fn warned(&mut self, warning: &scores::Warning) {
        assert!(!warning.to_string().is_empty());
    }
}

/// Rules of every kind, without files.
const RULES: &str = "\
# Each kind of answer.
[[rule]]
hosts = ['*.example']
paths = ['/moved/*']
methods = ['*']
redirect = 'https://{host}:8443/{rest}{query}'

[[rule]]
paths = ['/a', '/b/*']
status = 404
fields = { Cache-Control = 'no-store', Content-Type = 'text/html' }
body = '<p>no</p>'

[[rule]]
redirect = 'https://www.{host}{path}{query}'
";

static RESPOND: LazyLock<Respond> = LazyLock::new(|| Respond::parse(RULES, Path::new("/none/rules.toml")).unwrap());

/// Reads the bytes as rules; and what they make of rules that were right. They are refused with the name of their file,
/// or answer every request.
pub(crate) fn respond_rules(bytes: &[u8]) {
    let is_right = |text: &[u8]| match Respond::parse(&String::from_utf8_lossy(text), Path::new("/none/rules.toml")) {
        Ok(app) => {
            for target in ["/", "/a", "/moved/x?y=z", "http://h.example/moved/"] {
                ask_rules(&app, format!("GET {target} HTTP/1.1\r\nHost: www.example\r\n\r\n").as_bytes());
            }
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("/none/"), "{error}");
            false
        }
    };
    is_right(bytes);
    let mut rules = RULES.as_bytes().to_vec();
    change(&mut rules, bytes);
    assert!(is_right(&rules) || !bytes.is_empty(), "without a change they are right");
}

/// Any request for what rules answer: the head is one head, and a redirect leads to the host that was asked.
pub(crate) fn respond_request(bytes: &[u8]) {
    ask_rules(&RESPOND, bytes);
}

fn ask_rules(app: &Respond, bytes: &[u8]) {
    let Ok(line) = RequestLine::parse_for(app.methods(), bytes) else { return };
    let request = Request::of_line(&line);
    let mut scratch = vec![0; SCRATCH_LEN];
    let Some(response) = request.answer(app, &mut scratch) else { return };
    let stored = response.position().map(|position| app.stored(position).unwrap());
    assert!(stored.is_none_or(|stored| stored == response), "a stored response is the one that was given");
    let head = str::from_utf8(response.head()).unwrap();
    let lines: Vec<_> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    let is_line = |line: &&str| !line.is_empty() && line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(lines.iter().all(is_line), "{}", head.escape_default());
    let redirect = lines.iter().find_map(|line| line.strip_prefix("Location: https://"));
    if let Some(location) = redirect.filter(|_| std::ptr::eq(app, &raw const *RESPOND)) {
        let host = location.split(['/', '?', '#']).next().unwrap();
        let host = host.strip_suffix(":8443").unwrap_or(host);
        let host = host.strip_prefix("www.").unwrap_or(host);
        let asked = request.authority().unwrap().to_ascii_lowercase();
        assert!(asked.windows(host.len()).any(|part| part == host.as_bytes()), "{host}: {}", asked.escape_ascii());
    }
}

/// Reads the bytes as a table, after the first of them has said in what form and encoding; and what they make of a
/// dBASE table and of a CSV file that were right. A file that is made is in order.
pub(crate) fn scores_table(bytes: &[u8]) {
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let format = [Format::Dbf, Format::Csv, Format::Lines][usize::from(mode % 3)];
    let encoding = [None, Some("gbk"), Some("utf-8"), Some("latin1")][usize::from(mode >> 2 & 3)];
    make_scores(format, bytes, encoding, "a", "b");
    let mut table = TABLE.clone();
    change(&mut table, bytes);
    let is_made = make_scores(Format::Dbf, &table, encoding, "准考证号", "身份证号");
    assert!(is_made || !bytes.is_empty() || encoding.is_some(), "without a change it is right");
    let mut table = CSV_TABLE.to_vec();
    change(&mut table, bytes);
    let is_made = make_scores(Format::Csv, &table, encoding, "a", "b");
    assert!(is_made || !bytes.is_empty(), "without a change it is right");
}

/// Whether these bytes are a table of candidates; if so, what is made of it is looked at.
fn make_scores(format: Format, table: &[u8], encoding: Option<&str>, seat_field: &str, secret_field: &str) -> bool {
    let options = scores::Options {
        encoding: encoding.and_then(scores::encoding),
        seat_field: seat_field.to_owned(),
        secret_field: secret_field.to_owned(),
        ..scores::Options::default()
    };
    let out = Cursor::new(Vec::new());
    match scores::prepare(format, table, table.len() as u64, &options, out, &mut Deaf) {
        Ok((out, prepared)) => {
            let image = scores::Image::open(out.into_inner()).unwrap();
            assert_eq!(u64::from(image.candidates()), prepared.candidates);
            image.check_records(&mut |_, _| ()).unwrap();
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// Opens the bytes as a file of scores; and what they make of one that was right, as it is and with its checksums made
/// right again. Nothing damaged is sent, and what can be opened can be used.
pub(crate) fn scores_file(bytes: &[u8]) {
    open_scores(bytes.to_vec());
    let mut file = SCORES.clone();
    change(&mut file, bytes);
    for (candidate, page) in open_scores(file.clone()).iter().flatten().enumerate() {
        let is_right = page.ends_with(body(candidate).as_slice());
        assert!(is_right || !page.starts_with(b"HTTP/1.1 200"), "{}", page.escape_ascii());
    }
    mend_scores(&mut file);
    let is_open = open_scores(file).is_some();
    assert!(is_open || !bytes.is_empty(), "without a change it is right");
}

/// Makes lengths and checksums of a file of scores right, as far as it says where they are.
fn mend_scores(file: &mut [u8]) {
    let len = (file.len() as u64).to_le_bytes();
    file[32..40].copy_from_slice(&len);
    let index = u64::from_le_bytes(file[24..32].try_into().unwrap());
    if let Some(index) = usize::try_from(index).ok().and_then(|index| file.get(index..)) {
        let checksum = crc32fast::hash(index).to_le_bytes();
        file[120..124].copy_from_slice(&checksum);
    }
    let checksum = crc32fast::hash(&file[..124]).to_le_bytes();
    file[124..128].copy_from_slice(&checksum);
    // The header of the first record.
    let checksum = crc32fast::hash(&file[128..160]).to_le_bytes();
    file[160..164].copy_from_slice(&checksum);
}

/// If it is a file of scores, it is used, and these are the answers to whoever is in [`SCORES`].
fn open_scores(bytes: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let image = scores::Image::open(bytes).ok()?;
    let _ = image.check_records(&mut |_, _| ());
    let app = Scores::new(Arc::new(image));
    for unit in 0..80 {
        let position = Position::new(unit).unwrap();
        if let Some(stored) = app.stored(position) {
            let first = stored.position().unwrap();
            assert!(first <= position, "{first:?} covers {position:?}");
            assert!(position.value() - first.value() < u32::try_from(Position::units(stored.len())).unwrap());
        }
    }
    let ask = |candidate| {
        let mut scratch = vec![0; SCRATCH_LEN];
        let query = format!("seat={candidate}&id=1");
        let request = Request::get(b"/").with_query(Some(query.as_bytes()));
        let response = app.respond(&request, &mut scratch);
        [response.head(), response.body()].concat()
    };
    Some((0..PAGES.len()).map(ask).collect())
}

/// The bytes of the pages in [`SCORES`].
const PAGES: [usize; 4] = [0, 200, 1500, 20_000];

fn body(candidate: usize) -> Vec<u8> {
    vec![b'a' + candidate as u8; PAGES[candidate]]
}

/// A file of scores with a page of every kind.
static SCORES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut builder = scores::Builder::new(Cursor::new(Vec::new()), [7; 32], Labels::default()).unwrap();
    for candidate in 0..PAGES.len() {
        builder.add(&candidate.to_string(), "1", &body(candidate)).unwrap();
    }
    builder.finish().unwrap().into_inner()
});

/// Candidates, with quotes of each kind.
const CSV_TABLE: &[u8] =
    b"sep=;\r\na;b;\"c\";d;\r\n1;11;\"x, \"\"y\"\"\";5;\r\n2;12;\"x\ny\";6;\r\n;;;;\r\n3;13;z\"z;7;\r\n";

/// A table of candidates.
static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut table = Vec::new();
    write_sample(3, 1, &mut table, &mut |_, _| ()).unwrap();
    table
});
