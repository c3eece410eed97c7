//! What passes an interface, recorded by tcpdump.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use lethe_sim::capture::Reader;
use nix::sys::signal::Signal;

use crate::{Namespace, Program};

/// Bytes of each frame that are kept: all headers.
const SNAP: &str = "128";

/// Room for what tcpdump has not written yet, in KiB.
const BUFFER: &str = "131072";

/// The kernel hands tcpdump the frames of a second at once, and those that it has not yet handed over are lost at its
/// end.
const LAG: Duration = Duration::from_millis(1500);

/// A recording, which ends when this is dropped.
#[derive(Debug)]
pub struct Capture {
    program: Option<Program>,
    log: BufReader<std::process::ChildStderr>,
    path: PathBuf,
}

impl Capture {
    /// Begins to record `device`; `filter` is tcpdump's, of one word each.
    ///
    /// # Errors
    ///
    /// When tcpdump is not there, or does not take the filter.
    pub fn start(space: &Namespace, device: &str, path: &Path, filter: &[&str]) -> anyhow::Result<Self> {
        let mut command = space.command("tcpdump");
        command.args(["-i", device, "-s", SNAP, "-B", BUFFER, "-Z", "root", "-w"]).arg(path).args(filter);
        let (mut program, log) = Program::start_with_log(&mut command)?;
        let mut log = BufReader::new(log);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            if log.read_line(&mut line)? == 0 {
                program.kill();
                bail!("tcpdump did not start");
            }
        }
        Ok(Self { program: Some(program), log, path: path.to_owned() })
    }

    /// Ends it, and returns how many frames it has missed.
    ///
    /// # Errors
    ///
    /// When tcpdump says nothing of that.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        sleep(LAG);
        if let Some(program) = self.program.take() {
            program.stop(Signal::SIGINT);
        }
        for line in self.log.by_ref().lines() {
            let line = line?;
            if let Some((count, "dropped by kernel")) = line.split_once(" packets ").or(line.split_once(" packet ")) {
                return count.parse().context(line.clone());
            }
        }
        bail!("{}: tcpdump did not say what it missed", self.path.display())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.program.is_some() {
            sleep(LAG);
        }
    }
}

/// The bytes of data of each TCP segment that has some, in a capture of Ethernet frames.
///
/// # Errors
///
/// When the file is no capture.
pub fn data_segments(path: &Path) -> anyhow::Result<Vec<usize>> {
    let mut reader = Reader::new(BufReader::new(File::open(path)?))?;
    let mut lengths = Vec::new();
    while let Some(packet) = reader.next().transpose()? {
        lengths.extend(segment(&packet.bytes).map(|segment| segment.length).filter(|&length| length > 0));
    }
    Ok(lengths)
}

/// What has been sent more than once on the connections of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Repeats {
    /// Segments with data of the server.
    pub segments: u64,
    /// Those of them that have bytes in them which an earlier one had, and are longer than one byte.
    pub again: u64,
    /// Segments of one byte that an earlier one had: what finds out where a client is.
    pub checks: u64,
    /// Segments of clients with data that an earlier one had: a timer has expired.
    pub timers: u64,
}

/// What was sent again of the connections to port 80 in a capture of Ethernet frames, in which no client has one port
/// twice.
///
/// # Errors
///
/// When the file is no capture.
pub fn repeats(path: &Path) -> anyhow::Result<Repeats> {
    let mut reader = Reader::new(BufReader::new(File::open(path)?))?;
    let mut repeats = Repeats::default();
    let mut seen: HashMap<(u16, u16), Seen> = HashMap::new();
    while let Some(packet) = reader.next().transpose()? {
        let Some(Segment { ports, seq, length }) = segment(&packet.bytes).filter(|segment| segment.length > 0) else {
            continue;
        };
        let is_new = seen.entry(ports).or_insert_with(|| Seen::from(seq)).add(seq, length as u32);
        let count = match (ports.0 == HTTP, length) {
            (false, _) => &mut repeats.timers,
            (true, 1) => &mut repeats.checks,
            (true, _) => &mut repeats.again,
        };
        *count += u64::from(!is_new);
        repeats.segments += u64::from(ports.0 == HTTP);
    }
    Ok(repeats)
}

/// The bytes that one side of a connection has sent, as ranges of offsets that do not touch: their starts, and their
/// ends. Offset 0 is in the middle of all.
struct Seen {
    middle: u32,
    ranges: BTreeMap<u32, u32>,
}

impl Seen {
    /// Nothing yet of a connection whose bytes are near this sequence number.
    fn from(seq: u32) -> Self {
        Self { middle: seq.wrapping_sub(1 << 31), ranges: BTreeMap::new() }
    }

    /// Adds a segment; whether none of it was there before.
    fn add(&mut self, seq: u32, length: u32) -> bool {
        let (mut start, mut end) =
            (seq.wrapping_sub(self.middle), seq.wrapping_sub(self.middle).saturating_add(length));
        let touching: Vec<(u32, u32)> =
            self.ranges.range(..=end).rev().map(|(&from, &to)| (from, to)).take_while(|&(_, to)| to >= start).collect();
        let is_new = touching.iter().all(|&(from, to)| from == end || to == start);
        for (from, to) in touching {
            self.ranges.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.ranges.insert(start, end);
        is_new
    }
}

/// The port of every server.
const HTTP: u16 = 80;

/// A TCP segment, as far as it is looked at.
struct Segment {
    /// The port that it comes from, and the one that it goes to.
    ports: (u16, u16),
    seq: u32,
    /// Bytes of data.
    length: usize,
}

/// The segment in a frame, by the lengths in its headers: the frame may be cut behind them.
fn segment(frame: &[u8]) -> Option<Segment> {
    let word = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (tcp, length) = match word(12)? {
        0x0800 => {
            let header = usize::from(frame.get(14)? & 15) * 4;
            (14 + header, usize::from(word(16)?).checked_sub(header)?)
        }
        0x86dd => (54, usize::from(word(18)?)),
        _ => return None,
    };
    let length = length.checked_sub(usize::from(frame.get(tcp + 12)? >> 4) * 4)?;
    let seq = u32::from(word(tcp + 4)?) << 16 | u32::from(word(tcp + 6)?);
    Some(Segment { ports: (word(tcp)?, word(tcp + 2)?), seq, length })
}

#[cfg(test)]
mod tests {
    use lethe::time::Instant;
    use lethe_sim::capture::Writer;
    use lethe_sim::frame::{Ends, Segment};

    use super::{Repeats, repeats};

    fn data_len(frame: &[u8]) -> Option<usize> {
        super::segment(frame).map(|segment| segment.length)
    }

    #[test]
    fn what_an_earlier_segment_had_is_sent_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::new(file.reopen().unwrap(), &["any"]).unwrap();
        let client = Ends::v4();
        let server = client.reversed();
        let segments = [
            (client, 1, 10),
            (server, u32::MAX - 50, 100),
            // Ahead of what comes next.
            (server, 149, 100),
            (server, 49, 100),
            // The client's timer: its request once more, and what that draws.
            (client, 1, 10),
            (server, 148, 1),
            (server, 100, 100),
            // A new request is none.
            (client, 11, 10),
            (server, 249, 1),
        ];
        for (ends, seq, length) in segments {
            let frame = Segment::ack(&ends).seq(seq).payload(vec![b'x'; length]).frame();
            writer.write(0, Instant::from_unix_nanos(0), &frame, None).unwrap();
        }
        drop(writer);
        assert_eq!(repeats(file.path()).unwrap(), Repeats { segments: 6, again: 1, checks: 1, timers: 1 });
    }

    #[test]
    fn data_is_what_the_headers_say_also_of_a_cut_frame() {
        for ends in [Ends::v4(), Ends::v6()] {
            let frame = Segment::ack(&ends).timestamps(1, 2).payload([b'x'; 700]).frame();
            assert_eq!(data_len(&frame), Some(700));
            assert_eq!(data_len(&frame[..128]), Some(700));
            assert_eq!(data_len(&Segment::syn(&ends).mss(1460).frame()), Some(0));
            assert_eq!(data_len(&frame[..40]), None);
        }
    }
}
