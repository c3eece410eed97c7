//! Downloads by curl, each compared with what was to come.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use lethe_testnet::{Namespace, janitor};
use tempfile::TempDir;

/// The bytes that a download must have.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// The first so many of these bytes.
    Bytes(Arc<Vec<u8>>, usize),
    /// A copy of a file.
    File(PathBuf),
}

impl Expected {
    /// Whether a file is equal.
    fn is(&self, path: &Path) -> io::Result<bool> {
        let came = File::open(path)?;
        match self {
            Self::Bytes(bytes, len) => equal(BufReader::with_capacity(1 << 18, came), &bytes[..*len]),
            Self::File(other) => equal(BufReader::with_capacity(1 << 18, came), File::open(other)?),
        }
    }
}

impl Expected {
    /// Whether a file is a beginning of it.
    pub(crate) fn begins_with(&self, path: &Path) -> io::Result<bool> {
        let len = fs::metadata(path)?.len();
        let came = BufReader::with_capacity(1 << 18, File::open(path)?);
        match self {
            Self::Bytes(bytes, all) => Ok(len <= *all as u64 && equal(came, &bytes[..len as usize])?),
            Self::File(other) => equal(came, File::open(other)?.take(len)),
        }
    }
}

/// Whether both say the same, to their ends.
fn equal(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    let mut blocks = [vec![0; 1 << 18], vec![0; 1 << 18]];
    loop {
        let [left, right] = &mut blocks;
        let (read, beside) = (fill(&mut one, left)?, fill(&mut other, right)?);
        if left[..read] != right[..beside] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the block is full, or there is no more.
fn fill(source: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// One run of curl.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    /// How long it took.
    pub(crate) seconds: f64,
    /// Which of the expected files it is.
    pub(crate) version: Option<usize>,
    /// The error message of curl.
    pub(crate) complaint: String,
}

impl Download {
    /// Whether it is one of the expected files.
    pub(crate) fn is_right(&self) -> bool {
        self.version.is_some() && self.complaint.is_empty()
    }
}

/// How curl is run.
#[derive(Clone, Debug)]
pub(crate) struct Curl {
    /// Its namespace.
    pub(crate) space: String,
    /// The files that are expected.
    pub(crate) versions: Vec<Expected>,
    /// More options.
    pub(crate) options: Vec<String>,
    /// When it gives up, in seconds.
    pub(crate) longest: u32,
}

impl Curl {
    /// One in this namespace, which gets `expected`.
    pub(crate) fn new(space: &Namespace, expected: Expected) -> Self {
        Self { space: space.name().to_owned(), versions: vec![expected], options: Vec::new(), longest: 120 }
    }

    /// Runs it once. What comes is written to a file, so that comparing it does not slow the transfer.
    pub(crate) fn fetch(&self, url: &str, path: &Path) -> Download {
        let mut command = Namespace::command_in(&self.space, "curl");
        command.args(["-sSg", "--max-time", &self.longest.to_string(), "-w", "%{time_total}", "-o"]).arg(path);
        command.args(&self.options).arg(url).stdin(Stdio::null());
        let (mut complaint, mut seconds) = (String::new(), f64::from(self.longest));
        match command.output() {
            Ok(output) => {
                seconds = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(seconds);
                if !output.status.success() {
                    String::from_utf8_lossy(&output.stderr).trim().clone_into(&mut complaint);
                }
            }
            Err(error) => complaint = error.to_string(),
        }
        let version = self.versions.iter().position(|expected| expected.is(path).unwrap_or(false));
        let _ = fs::remove_file(path);
        Download { seconds, version, complaint }
    }
}

/// Downloads in parallel. Those that have come are there while others are still under way.
pub(crate) struct Batch {
    folder: TempDir,
    threads: Vec<JoinHandle<Vec<Download>>>,
}

impl Batch {
    /// Begins to download `urls`, so many at a time.
    pub(crate) fn start(curl: &Curl, urls: &[String], parallel: usize) -> anyhow::Result<Self> {
        let folder = janitor::folder("downloads")?;
        let paths = (0..urls.len()).map(|number| folder.path().join(number.to_string()));
        let queue: VecDeque<_> = urls.iter().cloned().zip(paths).collect();
        let queue = Arc::new(Mutex::new(queue));
        let work = || {
            let (queue, curl) = (Arc::clone(&queue), curl.clone());
            let next = move || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            std::thread::spawn(move || std::iter::from_fn(next).map(|(url, path)| curl.fetch(&url, &path)).collect())
        };
        let threads = (0..parallel.min(urls.len())).map(|_| work()).collect();
        Ok(Self { folder, threads })
    }

    /// How many of those under way have begun to come and are not yet `size` bytes.
    pub(crate) fn in_the_middle(&self, size: u64) -> anyhow::Result<usize> {
        let lens = fs::read_dir(self.folder.path())?.filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
        Ok(lens.filter(|len| (1..size).contains(len)).count())
    }

    /// Waits for all of them.
    pub(crate) fn result(self) -> Vec<Download> {
        let join = |thread: JoinHandle<Vec<Download>>| thread.join().unwrap_or_default();
        self.threads.into_iter().flat_map(join).collect()
    }
}

/// The nearest-rank percentile.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut ordered = values.to_vec();
    ordered.sort_by(f64::total_cmp);
    let rank = (ordered.len() * percent).div_ceil(100).max(1);
    ordered.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// A number of bytes, in its largest unit that has no fraction.
pub(crate) fn human(size: usize) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    let unit = units.into_iter().find(|(unit, _)| size.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{size} bytes"), |(unit, name)| format!("{} {name}", size / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for (percent, value) in [(25, 1.0), (50, 2.0), (90, 4.0), (100, 4.0)] {
            assert!((percentile(&values, percent) - value).abs() < 1e-9, "{percent}");
        }
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_file_is_right_only_to_its_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let [came, copy] = ["came", "copy"].map(|name| folder.path().join(name));
        let bytes = Arc::new(vec![7; 300_000]);
        fs::write(&copy, &bytes[..]).unwrap();
        for (len, is_right) in [(300_000, true), (299_999, false)] {
            fs::write(&came, &bytes[..len]).unwrap();
            assert_eq!(Expected::Bytes(Arc::clone(&bytes), 300_000).is(&came).unwrap(), is_right);
            assert_eq!(Expected::File(copy.clone()).is(&came).unwrap(), is_right);
        }
        for (len, begins) in [(299_999, true), (300_000, true), (0, true)] {
            fs::write(&came, &bytes[..len]).unwrap();
            assert_eq!(Expected::Bytes(Arc::clone(&bytes), 300_000).begins_with(&came).unwrap(), begins);
            assert_eq!(Expected::File(copy.clone()).begins_with(&came).unwrap(), begins);
        }
        fs::write(&came, [&bytes[..299_999], &[8]].concat()).unwrap();
        assert!(!Expected::Bytes(bytes, 300_000).begins_with(&came).unwrap());
        assert!(!Expected::File(copy.clone()).begins_with(&came).unwrap());
        assert!(!Expected::File(copy).is(&came).unwrap());
    }
}
