//! What passes an interface, recorded by tcpdump.

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
        lengths.extend(data_len(&packet.bytes).filter(|&length| length > 0));
    }
    Ok(lengths)
}

/// The bytes of data of a TCP segment, by the lengths in its headers: the frame may be cut behind them.
fn data_len(frame: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(usize::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])));
    let (tcp, length) = match word(12)? {
        0x0800 => {
            let header = usize::from(frame.get(14)? & 15) * 4;
            (14 + header, word(16)?.checked_sub(header)?)
        }
        0x86dd => (54, word(18)?),
        _ => return None,
    };
    length.checked_sub(usize::from(frame.get(tcp + 12)? >> 4) * 4)
}

#[cfg(test)]
mod tests {
    use lethe_sim::frame::{Ends, Segment};

    use super::data_len;

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
