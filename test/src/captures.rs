//! Recorded captures of real clients, given to an application again: as they were, and changed.

use std::fmt::{self, Display};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use lethe::config::{AddressError, Addresses, Refuse};
use lethe::cookie::Secret;
use lethe::engine::SCRATCH_LEN;
use lethe::port::RxFrame;
use lethe::time::Instant;
use lethe::verdict::{ReplyKind, Stats, Verdict};
use lethe::vnet;
use lethe::wire::tcp::Flags;
use lethe::{App, Config, Engine};
use lethe_sim::capture::{CaptureError, Packet, Reader};
use lethe_sim::dissect::{Frame, Network};
use lethe_sim::mutation::{Mutation, Step};
use lethe_sim::random::Random;
use lethe_sim::{check, notation};

/// The most that is done to a capture as a whole at a time: frames lost, doubled, late or split.
const STEPS_MAX: u64 = 12;

/// The checkers that believe what a client says of itself.
const OF_HISTORY: [&str; 3] = ["cookie", "hold", "stability"];

/// How much later a frame comes that is doubled or delayed, at most.
const LATER_MAX: u64 = 20;

/// Reads the captures that this pattern names: a file, or several with `*` in the name of the file, as in
/// `"pcaps/*.pcap*"`. A relative path begins at the package that is tested.
///
/// They are captures of a Lethe server and its clients, in pcap or pcapng. A cookie is good under the secret that it
/// was made with, so [`secret`](Captures::secret) has to be that of the server. Addresses need not be said: they are
/// where connections go to.
///
/// ```
/// # fn main() -> Result<(), lethe_test::CapturesError> {
/// # let app = lethe_sim::sample::Sample::new(65_000);
/// # let app = &app;
/// lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(app)?.mutate(2)?;
/// # Ok(())
/// # }
/// ```
pub fn captures(pattern: impl AsRef<Path>) -> Captures {
    Captures {
        pattern: pattern.as_ref().to_owned(),
        secret: None,
        addresses: None,
        changes: Vec::new(),
        compares: true,
    }
}

/// Whether a segment begins with the head of a response behind which the connection stays open.
fn is_head_that_keeps(payload: &[u8]) -> bool {
    let head = payload.windows(4).position(|bytes| bytes == b"\r\n\r\n").and_then(|end| payload.get(..end + 2));
    head.is_some_and(|head| head.starts_with(b"HTTP/1.") && !head.windows(CLOSE.len()).any(|line| line == CLOSE))
}

/// The field of a response that closes its connection.
const CLOSE: &[u8] = b"\r\nConnection: close\r\n";

/// A change of the configuration.
type Change = Box<dyn Fn(&mut Config)>;

/// Captures that are to be replayed: see [`captures`].
#[must_use = "nothing happens before `replay`"]
pub struct Captures {
    pattern: PathBuf,
    secret: Option<[u8; 16]>,
    addresses: Option<Addresses>,
    changes: Vec<Change>,
    compares: bool,
}

impl fmt::Debug for Captures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is left out.
        f.debug_struct("Captures").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

impl Captures {
    /// Sets the secret of the server that was recorded.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// assert!(lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app).is_ok());
    /// let other = lethe_test::captures("../pcaps/sample-*.pcapng").secret([1; 16]).replay(&app).unwrap_err();
    /// assert!(other.to_string().contains("is not answered as it was recorded"));
    /// ```
    pub fn secret(mut self, secret: [u8; 16]) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Sets the addresses of the server. Without this call they are all that a connection of the capture is made to.
    ///
    /// ```
    /// # fn main() -> Result<(), lethe_test::CapturesError> {
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// let captures = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]);
    /// captures.addresses(["10.9.0.2", "fd09::2"])?.replay(&app)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When one is no address that a server can have, or there are too many.
    pub fn addresses<T: AsRef<str>>(mut self, all: impl IntoIterator<Item = T>) -> Result<Self, CapturesError> {
        let mut addresses = Addresses::new();
        for text in all {
            let address: IpAddr =
                text.as_ref().parse().map_err(|_| CapturesError::NoAddress(text.as_ref().to_owned()))?;
            addresses.add(address)?;
        }
        self.addresses = Some(addresses);
        Ok(self)
    }

    /// Changes the configuration of the engine: to that of the server that was recorded.
    ///
    /// ```
    /// # use lethe::config::Mtu;
    /// # fn main() -> Result<(), lethe_test::CapturesError> {
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// let captures = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]);
    /// captures.config(|config| config.mtu = Mtu::ETHERNET).replay(&app)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn config(mut self, change: impl Fn(&mut Config) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Takes only what clients sent, and does not compare with the answers that were recorded: for captures of another
    /// application.
    ///
    /// ```
    /// # use lethe::http::{Response, Status};
    /// # use lethe::{App, Request};
    /// # struct Hello;
    /// # impl App for Hello {
    /// #     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    /// #         Response::build(scratch, Status::Ok).body(b"hello\n")
    /// #     }
    /// # }
    /// let captures = || lethe_test::captures("../pcaps/curl-v4.pcapng").secret([0; 16]);
    /// assert!(captures().replay(&Hello).is_err());
    /// assert!(captures().requests_only().replay(&Hello).is_ok());
    /// ```
    pub const fn requests_only(mut self) -> Self {
        self.compares = false;
        self
    }

    /// Gives what clients sent to an engine with this application, at the time that it was recorded, under the eyes of
    /// all checkers of the simulator. Where the server's answers are in the capture, the same must come again, byte by
    /// byte.
    ///
    /// ```
    /// # fn main() -> Result<(), lethe_test::CapturesError> {
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// let replayed = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app)?;
    /// assert_eq!(replayed.recordings().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first packet that breaks a rule or is answered otherwise; when a file cannot be read; and when nothing was
    /// shown, because no file was found or no response was drawn.
    pub fn replay<A: App + ?Sized>(self, app: &A) -> Result<Replayed<'_, A>, CapturesError> {
        let secret = self.secret.ok_or(CapturesError::NoSecret)?;
        let mut recordings = Vec::new();
        for file in files(&self.pattern)? {
            let config = Config { keep_alive: false, ..Config::new(Secret::new(secret)) };
            let mut recording = Recording::read(&file, config, self.addresses, &self.changes)?;
            recording.replay(app, self.compares)?;
            recordings.push(recording);
        }
        let replayed = Replayed { app, recordings };
        if replayed.responses() == 0 {
            return Err(CapturesError::NoResponse);
        }
        Ok(replayed)
    }
}

/// One file of [`Captures`], and what came of it.
///
/// ```
/// # let app = lethe_sim::sample::Sample::new(65_000);
/// # let replayed = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app).unwrap();
/// let recording = &replayed.recordings()[0];
/// assert!(recording.file().ends_with("sample-large.pcapng"));
/// assert!(recording.stats().sent_frames() > 0);
/// ```
#[derive(Clone, Debug)]
pub struct Recording {
    file: PathBuf,
    config: Config,
    /// What clients sent, and when.
    client: Vec<(Instant, Vec<u8>)>,
    /// What the server sent.
    server: Vec<Vec<u8>>,
    stats: Stats,
}

impl Recording {
    /// The file that it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What the engine counted.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn read(
        file: &Path,
        config: Config,
        addresses: Option<Addresses>,
        changes: &[Change],
    ) -> Result<Self, CapturesError> {
        let open = |source| CapturesError::Open { file: file.to_owned(), source };
        let unreadable = |source| CapturesError::Read { file: file.to_owned(), source };
        let reader = Reader::new(File::open(file).map_err(open)?).map_err(unreadable)?;
        let packets: Vec<Packet> = reader.collect::<Result<_, _>>().map_err(unreadable)?;
        if let Some(packet) = packets.iter().position(Packet::is_cut) {
            return Err(CapturesError::Cut { file: file.to_owned(), packet: packet + 1 });
        }
        let mut recording =
            Self { file: file.to_owned(), config, client: Vec::new(), server: Vec::new(), stats: Stats::default() };
        recording.take_config_from(&packets);
        if let Some(addresses) = addresses {
            recording.config.addresses = addresses;
        }
        for change in changes {
            change(&mut recording.config);
        }
        for packet in packets {
            if recording.is_of_server(&packet.bytes) {
                recording.server.push(packet.bytes);
            } else {
                recording.client.push((packet.at, packet.bytes));
            }
        }
        Ok(recording)
    }

    /// Takes addresses from where connections are made to, and whether they stay open from what was answered.
    fn take_config_from(&mut self, packets: &[Packet]) {
        for packet in packets {
            let Some(frame) = Frame::dissect(&packet.bytes) else { continue };
            let Some((ip, tcp)) = frame.tcp() else { continue };
            if self.config.tcp_ports.has(tcp.source_port) && is_head_that_keeps(tcp.payload) {
                self.config.keep_alive = true;
            }
            let is_syn = tcp.flags.has(Flags::SYN) && !tcp.flags.has(Flags::ACK);
            if !is_syn || !self.config.tcp_ports.has(tcp.destination_port) {
                continue;
            }
            if self.config.addresses == Addresses::new() {
                self.config.mac = frame.destination;
            }
            let is_known = self.config.addresses.iter().any(|address| address == ip.destination);
            if !is_known && frame.destination == self.config.mac {
                // More than an engine can have are clients of several servers.
                let _ = self.config.addresses.add(ip.destination);
            }
        }
    }

    fn is_of_server(&self, bytes: &[u8]) -> bool {
        let Some(frame) = Frame::dissect(bytes) else { return false };
        let is_ours = |ip: IpAddr| self.config.addresses.iter().any(|address| address == ip);
        let is_from_us = match &frame.network {
            Network::Ip(ip) => is_ours(ip.source),
            Network::Arp(arp) => is_ours(arp.sender),
            _ => false,
        };
        is_from_us || frame.source == self.config.mac
    }

    fn replay<A: App + ?Sized>(&mut self, app: &A, compares: bool) -> Result<(), CapturesError> {
        let engine = Engine::new(self.config.clone(), app);
        let mut checkers = check::all(&engine);
        let mut answers = Vec::new();
        let frames = by_reference(&self.client);
        let _name = NamedOnPanic(format!("while {} is replayed", self.file.display()));
        let observed =
            check::observe_each(&engine, &mut checkers, frames, |exchange| answers.extend_from_slice(exchange.sent));
        drop(checkers);
        let file = || self.file.clone();
        self.stats = observed.map_err(|problem| CapturesError::Rule { file: file(), round: None, problem })?;
        if !compares || self.server.is_empty() {
            return Ok(());
        }
        // Their order is the kernel's: a recorder sees a frame before or after the device does.
        let (mut recorded, mut answered) = (self.server.clone(), answers);
        recorded.sort();
        answered.sort();
        if recorded == answered {
            return Ok(());
        }
        // On the device of the server itself a recorder sees what the server has left to the kernel.
        let mut written = self.written(app);
        written.sort();
        if recorded == written {
            return Ok(());
        }
        let line = |frame: &Vec<u8>| notation::line(frame);
        let only = |these: &[Vec<u8>], those: &[Vec<u8>]| {
            let found = these.iter().find(|frame| those.binary_search(frame).is_err()).map(line);
            found.unwrap_or_else(|| "nothing but other numbers of the same frames".to_owned())
        };
        let (missing, new) = (only(&recorded, &answered), only(&answered, &recorded));
        Err(CapturesError::OtherAnswers { file: file(), missing, new })
    }

    /// What the server hands to a TAP device, whose checksums are computed by the kernel, and frames cut.
    fn written<A: App + ?Sized>(&self, app: &A) -> Vec<Vec<u8>> {
        let engine = Engine::new(Config { offload: vnet::OFFLOAD, ..self.config.clone() }, app);
        let (mut scratch, mut buffer) = (vec![0; SCRATCH_LEN], vec![0; usize::from(u16::MAX)]);
        let mut written = Vec::new();
        for (now, frame) in &self.client {
            let mut reply = engine.handle(*now, RxFrame::unchecked(frame), &mut scratch);
            while let Some(frame) = reply.next_frame(&mut buffer) {
                written.push(buffer[..frame.len].to_vec());
            }
        }
        written
    }

    /// Gives the engine a changed copy behind every packet, of a capture that is changed as a whole as well.
    fn mutate<A: App + ?Sized>(&self, app: &A, round: u32) -> Result<Stats, CapturesError> {
        let refuse = if round.is_multiple_of(2) { Refuse::Drop } else { Refuse::Reset };
        let engine = Engine::new(Config { refuse, ..self.config.clone() }, app);
        let mut random = Random::from_seed(round.into());
        let mut frames: Vec<Vec<u8>> = self.client.iter().map(|(_, frame)| frame.clone()).collect();
        for _ in 0..random.below(STEPS_MAX) {
            draw_step(&mut random).apply(&mut frames);
        }
        // Frames have the times of the capture, whatever stands there now.
        let last = self.client.last().map_or(Instant::default(), |(at, _)| *at);
        let times = || self.client.iter().map(|(at, _)| *at).chain(std::iter::repeat(last));
        let frames: Vec<(Instant, Vec<u8>)> = times().zip(frames).collect();
        let with_copy = |(at, frame): &(Instant, Vec<u8>)| {
            let copy = Mutation::draw(&mut random).apply(frame);
            [(*at, frame.clone()), (*at, copy)]
        };
        let changed: Vec<(Instant, Vec<u8>)> = frames.iter().flat_map(with_copy).collect();
        let rule = |problem| CapturesError::Rule { file: self.file.clone(), round: Some(round), problem };
        let _name = NamedOnPanic(format!("in round {round} of changes to {}", self.file.display()));
        let mut checkers = check::all(&engine);
        // The checkers see first what was true: a recorded cookie is good even if its SYN is lost here.
        check::observe(&engine, &mut checkers, by_reference(&self.client)).map_err(rule)?;
        let mut stats = check::observe(&engine, &mut checkers, by_reference(&frames)).map_err(rule)?;
        if app.stores() {
            // A client that says by its timestamp that it has got what it has not is believed: it harms itself only. A
            // change of a timestamp that leaves the checksum right is such a client.
            checkers.retain(|checker| !OF_HISTORY.contains(&checker.name()));
        }
        stats.add(&check::observe(&engine, &mut checkers, by_reference(&changed)).map_err(rule)?);
        Ok(stats)
    }
}

fn by_reference(frames: &[(Instant, Vec<u8>)]) -> impl Iterator<Item = (Instant, &[u8])> {
    frames.iter().map(|(at, frame)| (*at, frame.as_slice()))
}

fn draw_step(random: &mut Random) -> Step {
    let at = random.below(256) as usize;
    match random.below(4) {
        0 => Step::Drop(at),
        1 => Step::Duplicate(at, random.below(LATER_MAX) as usize),
        2 => Step::Delay(at, random.below(LATER_MAX) as usize),
        _ => Step::Split(at, random.below(1500) as usize),
    }
}

/// Captures that were answered as they must be: see [`Captures::replay`].
pub struct Replayed<'a, A: ?Sized> {
    app: &'a A,
    recordings: Vec<Recording>,
}

impl<A: ?Sized> fmt::Debug for Replayed<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayed").field("recordings", &self.recordings).finish_non_exhaustive()
    }
}

impl<A: App + ?Sized> Replayed<'_, A> {
    /// What came of each file, in the order of their names.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// # let replayed = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app).unwrap();
    /// for recording in replayed.recordings() {
    ///     println!("{}: {} frames", recording.file().display(), recording.stats().sent_frames());
    /// }
    /// ```
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    /// Responses that were sent, in all files.
    ///
    /// ```
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// # let replayed = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app).unwrap();
    /// assert!(replayed.responses() > 0);
    /// ```
    pub fn responses(&self) -> u64 {
        let kinds = [ReplyKind::Response, ReplyKind::FirstWindow];
        let of_recording = |recording: &Recording| -> u64 {
            kinds.into_iter().map(|kind| recording.stats.count(Verdict::Replied(kind))).sum()
        };
        self.recordings.iter().map(of_recording).sum()
    }

    /// Gives the captures to the engine so many times more, each time with other changes: behind every packet comes a
    /// copy of it with bits flipped, bytes exchanged or cut off, checksums mended or not, and packets are lost,
    /// doubled, late, and split in two. Whatever comes, nothing may panic, and every rule of the checkers holds: the
    /// same frame is answered alike each time, replies are bounded, and no byte of a response changes. (Of an
    /// application that stores responses, the last is checked where packets come as they were sent: a changed timestamp
    /// is believed.)
    ///
    /// ```
    /// # fn main() -> Result<(), lethe_test::CapturesError> {
    /// # let app = lethe_sim::sample::Sample::new(65_000);
    /// # let replayed = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app)?;
    /// let mutated = replayed.mutate(10)?;
    /// assert!(mutated.frames > 100);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first packet that breaks a rule.
    pub fn mutate(&self, rounds: u32) -> Result<Mutated, CapturesError> {
        let mut mutated = Mutated { frames: 0, replies: 0 };
        for recording in &self.recordings {
            for round in 0..rounds {
                let stats = recording.mutate(self.app, round)?;
                mutated.frames += stats.received_frames();
                mutated.replies += stats.sent_frames();
            }
        }
        Ok(mutated)
    }
}

/// What came of [`Replayed::mutate`].
///
/// ```
/// # let app = lethe_sim::sample::Sample::new(65_000);
/// # let replayed = lethe_test::captures("../pcaps/sample-*.pcapng").secret([0; 16]).replay(&app).unwrap();
/// assert!(replayed.mutate(1).unwrap().to_string().contains(" frames, changed or not, drew "));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Mutated {
    /// Frames that the engine was given.
    pub frames: u64,
    /// Frames that it sent.
    pub replies: u64,
}

impl Display for Mutated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames, changed or not, drew {}", self.frames, self.replies)
    }
}

/// Says what was going on when something panics.
struct NamedOnPanic(String);

impl Drop for NamedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Why captures show nothing, or what is wrong with the answers to them.
///
/// ```
/// use lethe_test::CapturesError;
///
/// # let app = lethe_sim::sample::Sample::new(1000);
/// let error = lethe_test::captures("../pcaps/*.none").secret([0; 16]).replay(&app).unwrap_err();
/// assert!(matches!(error, CapturesError::NoFile(_)));
/// assert_eq!(error.to_string(), "there is no file ../pcaps/*.none");
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CapturesError {
    /// No file has such a name.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// The secret is missing.
    #[error("a cookie is good under the secret that it was made with: say which, with `.secret(KEY)`")]
    NoSecret,
    /// This is no IP address.
    #[error("`{0}` is no IP address")]
    NoAddress(String),
    /// This is no address for a server.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A file cannot be opened.
    #[error("{}: {source}", file.display())]
    Open {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no capture that can be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: CaptureError,
    },
    /// The recorder kept only the beginning of a packet.
    #[error("{}: packet {packet} was cut short when it was recorded", file.display())]
    Cut {
        /// In which file.
        file: PathBuf,
        /// Its number, counted from 1 as in Wireshark.
        packet: usize,
    },
    /// A checker found that a rule does not hold.
    #[error(
        "{}{}: {problem}",
        file.display(),
        round.map_or(String::new(), |round| format!(", round {round} of changes"))
    )]
    Rule {
        /// In which file.
        file: PathBuf,
        /// In which round of changes to it, if it was changed.
        round: Option<u32>,
        /// Which checker found what, and for which packet.
        problem: String,
    },
    /// The answers are others than those in the capture.
    #[error("{} is not answered as it was recorded\nmissing: {missing}\nnew:     {new}", file.display())]
    OtherAnswers {
        /// Which file.
        file: PathBuf,
        /// The first frame that was recorded and does not come.
        missing: String,
        /// The first frame that comes and was not recorded.
        new: String,
    },
    /// No packet of all the captures drew a response.
    #[error("nothing is shown: no packet drew a response; are secret and addresses those of the server?")]
    NoResponse,
}

/// Says what `Display` does: it is what `unwrap` prints in a test.
impl fmt::Debug for CapturesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// The files that a pattern names, in the order of their names.
fn files(pattern: &Path) -> Result<Vec<PathBuf>, CapturesError> {
    let none = || CapturesError::NoFile(pattern.to_owned());
    let name = pattern.file_name().and_then(|name| name.to_str()).ok_or_else(none)?;
    if !name.contains('*') {
        return Ok(vec![pattern.to_owned()]);
    }
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = |source| CapturesError::Open { file: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(open)? {
        let entry = entry.map_err(open)?;
        if entry.file_name().to_str().is_some_and(|file| fits(file, name)) {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() { Err(none()) } else { Ok(files) }
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(name) = name.strip_prefix(start) else { return false };
    (0..=name.len()).filter(|&at| name.is_char_boundary(at)).any(|at| fits(&name[at..], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_does_not_close_is_of_a_server_that_keeps_connections() {
        for (payload, keeps) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"[..], true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", false),
            (b"HTTP/1.1 204 No Content\r\n\r\n\r\nConnection: close\r\n", true),
            (b"HTTP/1.1 200 OK\r\nConnection: clo", false),
            (b"GET / HTTP/1.1\r\n\r\n", false),
        ] {
            assert_eq!(is_head_that_keeps(payload), keeps, "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (name, pattern, is_so) in [
            ("a.pcap", "a.pcap", true),
            ("a.pcap", "*.pcap", true),
            ("a.pcapng", "*.pcap*", true),
            ("a.pcapng", "*.pcap", false),
            (".pcap", "*.pcap", true),
            ("ab-ab.pcap", "a*b.pcap", true),
            ("ä.pcap", "*.pcap", true),
            ("b", "a*", false),
        ] {
            assert_eq!(fits(name, pattern), is_so, "{name} {pattern}");
        }
    }
}
