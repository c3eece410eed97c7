//! Checks that a compressed file holds the same contents as another file, so that it may be sent in its place.
//!
//! The compressed file is unpacked and compared with the other one, a piece at a time. It is rejected if a browser
//! would not unpack it, or would get other bytes. It has to be exactly one stream of its coding, since browsers read
//! only the first.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::encoding::Coding;
use super::tree::FILE_MAX;

/// The bytes of both files that are compared at a time.
const PIECE: usize = 1 << 16;

/// The largest window of zstd, by RFC 9659. Gzip has 32 KiB, and brotli at most 16 MiB.
const ZSTD_WINDOW_MAX: u64 = 8 << 20;

/// Why a compressed file is not sent in place of the file that it is named after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Flaw {
    /// It has no bytes.
    Empty,
    /// It does not unpack.
    Damaged(Coding),
    /// Something follows its end.
    More(Coding),
    /// Its window is larger than browsers accept.
    Window,
    /// It has more than [`FILE_MAX`] bytes when it is unpacked.
    Large,
    /// It was written before the file that it is named after.
    Older,
    /// It unpacks to other contents than the file has.
    Differs,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Damaged(coding) => write!(f, "it does not unpack as {}", coding.name()),
            Self::More(coding) => write!(f, "something follows the end of its {} stream", coding.name()),
            Self::Window => f.write_str("it takes more than 8 MiB of memory to unpack (RFC 9659)"),
            Self::Large => f.write_str("it has more than 1 GiB when it is unpacked"),
            Self::Older => f.write_str("it is older than the file"),
            Self::Differs => f.write_str("it has other contents than the file"),
        }
    }
}

/// How a check failed.
pub(super) enum Failure {
    /// The compressed file has a flaw.
    Flaw(Flaw),
    /// The compressed file cannot be read.
    Read(io::Error),
    /// The file cannot be read.
    File(io::Error),
    /// `progress` stopped it.
    Stopped,
}

/// Unpacks a compressed file and compares it with `file`, if there is one. `progress` is called with the bytes of each
/// piece that was unpacked, and may stop it.
pub(super) fn check(
    coding: Coding,
    form: impl Read,
    mut file: Option<impl Read>,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let mut decoder = Decoder::new(coding, Noting { inner: BufReader::new(form), failure: None })?;
    let (mut unpacked, mut expected, mut left) = (vec![0; PIECE], vec![0; PIECE], FILE_MAX);
    loop {
        let len = decoder.read(&mut unpacked)?;
        if let Some(file) = &mut file {
            // At the end of the stream one more byte is read, since the file has to end there, too.
            let there = read_full(file, &mut expected[..len.max(1)]).map_err(Failure::File)?;
            if unpacked[..len] != expected[..there] {
                return Err(Failure::Flaw(Flaw::Differs));
            }
        }
        if len == 0 {
            return decoder.finish();
        }
        left = left.checked_sub(len as u64).ok_or(Failure::Flaw(Flaw::Large))?;
        if progress(len as u64).is_break() {
            return Err(Failure::Stopped);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// A reader that keeps its error. Decoders replace it by one of their own, which does not tell a failing disk from a
/// malformed stream.
struct Noting<R> {
    inner: BufReader<R>,
    failure: Option<io::Error>,
}

impl<R: Read> Noting<R> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            kind.into()
        })
    }

    /// Why a decoder of this source failed.
    fn failure(&mut self, coding: Coding) -> Failure {
        self.failure.take().map_or(Failure::Flaw(Flaw::Damaged(coding)), Failure::Read)
    }
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        self.note(read)
    }
}

impl<R: Read> BufRead for Noting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.inner.buffer().is_empty() {
            let filled = self.inner.fill_buf().map(drop);
            self.note(filled)?;
        }
        Ok(self.inner.buffer())
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

/// The decoder of a coding.
enum Decoder<R: Read> {
    Gzip(GzDecoder<Noting<R>>),
    Zstandard(Box<Zstandard<R>>),
    Brotli(Box<Brotli<R>>),
}

impl<R: Read> Decoder<R> {
    fn new(coding: Coding, source: Noting<R>) -> Result<Self, Failure> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzDecoder::new(source)),
            Coding::Brotli => Self::Brotli(Box::new(Brotli::new(source))),
            Coding::Zstandard => Self::Zstandard(Box::new(Zstandard::new(source)?)),
        })
    }

    /// Unpacks some bytes; 0 at the end of the stream.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        match self {
            Self::Gzip(decoder) => decoder.read(out).map_err(|_| decoder.get_mut().failure(Coding::Gzip)),
            Self::Zstandard(decoder) => decoder.read(out),
            Self::Brotli(decoder) => decoder.read(out),
        }
    }

    /// Checks that the stream is intact, and that the file ends with it.
    fn finish(self) -> Result<(), Failure> {
        let (coding, mut source) = match self {
            Self::Gzip(decoder) => (Coding::Gzip, decoder.into_inner()),
            Self::Zstandard(decoder) => {
                let Zstandard { source, decoder } = *decoder;
                let stored = decoder.get_checksum_from_data();
                if stored.is_some() && stored != decoder.get_calculated_checksum() {
                    return Err(Failure::Flaw(Flaw::Damaged(Coding::Zstandard)));
                }
                (Coding::Zstandard, source)
            }
            Self::Brotli(decoder) => (Coding::Brotli, decoder.source),
        };
        let ended = source.fill_buf().map(<[u8]>::is_empty);
        match ended {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Flaw(Flaw::More(coding))),
            Err(_) => Err(source.failure(coding)),
        }
    }
}

/// One frame of RFC 8878, behind any number of skippable ones.
struct Zstandard<R: Read> {
    source: Noting<R>,
    decoder: FrameDecoder,
}

impl<R: Read> Zstandard<R> {
    fn new(mut source: Noting<R>) -> Result<Self, Failure> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_MAX);
        loop {
            match decoder.init(&mut source) {
                Ok(()) => return Ok(Self { source, decoder }),
                // RFC 8878, section 3.1.2: a skippable frame, which holds data of other programs.
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut source.by_ref().take(length.into()), &mut io::sink());
                    if skipped.ok() != Some(length.into()) {
                        return Err(source.failure(Coding::Zstandard));
                    }
                }
                Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(Failure::Flaw(Flaw::Window)),
                Err(_) => return Err(source.failure(Coding::Zstandard)),
            }
        }
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        // One block at a time, so that no more than the window is in memory.
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let decoded = self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
            decoded.map_err(|_| self.source.failure(Coding::Zstandard))?;
        }
        self.decoder.read(out).map_err(Failure::Read)
    }
}

/// A stream of RFC 7932, without the large windows that browsers do not accept.
struct Brotli<R: Read> {
    source: Noting<R>,
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: bool,
}

impl<R: Read> Brotli<R> {
    fn new(source: Noting<R>) -> Self {
        let [a, b, c] = [(); 3].map(|()| StandardAlloc::default());
        Self { source, state: BrotliState::new_strict(a, b, c), ended: false }
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, Failure> {
        let (mut room, mut written, mut total) = (out.len(), 0, 0);
        while written == 0 && !self.ended {
            let Ok(input) = self.source.fill_buf() else { return Err(self.source.failure(Coding::Brotli)) };
            let (is_last, mut left, mut used) = (input.is_empty(), input.len(), 0);
            let state = &mut self.state;
            let result =
                BrotliDecompressStream(&mut left, &mut used, input, &mut room, &mut written, out, &mut total, state);
            self.source.consume(used);
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput if !is_last => {}
                BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                    return Err(Failure::Flaw(Flaw::Damaged(Coding::Brotli)));
                }
            }
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte at a time, and an interruption ahead of each where it is to have some.
    struct Slow<'a> {
        bytes: &'a [u8],
        interrupts: bool,
        interrupted: bool,
    }

    fn slow(bytes: &[u8], interrupts: bool) -> Slow<'_> {
        Slow { bytes, interrupts, interrupted: false }
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = self.interrupts && !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = buffer.len().min(1);
            self.bytes.read(&mut buffer[..len])
        }
    }

    fn brotli(contents: &[u8]) -> Vec<u8> {
        let mut form = Vec::new();
        brotli::CompressorReader::new(contents, 4096, 11, 22).read_to_end(&mut form).unwrap();
        form
    }

    /// A reader that fails once so many bytes were read.
    struct Bad(usize);

    impl Read for Bad {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(self.0);
            buffer[..len].fill(b'a');
            self.0 -= len;
            if len == 0 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(len) }
        }
    }

    fn go_on(_: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn what_comes_in_pieces_is_compared_as_a_whole() {
        let contents = b"some contents of a file, some contents of a file";
        let form = brotli(contents);
        let whole = form.len();
        for (file, len, is_right) in [
            (&contents[..], whole, true),
            (&contents[1..], whole, false),
            (&contents[..contents.len() - 1], whole, false),
            (&contents[..], whole - 1, false),
        ] {
            let checked = check(Coding::Brotli, slow(&form[..len], false), Some(slow(file, true)), &mut go_on);
            assert_eq!(checked.is_ok(), is_right, "{} and {len} bytes", file.len());
        }
    }

    #[test]
    fn a_bad_disk_is_told_from_a_bad_stream_and_the_form_from_the_file() {
        let of_file = check(Coding::Brotli, &*brotli(&[b'a'; 5000]), Some(Bad(10)), &mut go_on);
        assert!(matches!(of_file, Err(Failure::File(_))));
        for coding in Coding::ALL {
            let of_form = check(coding, Bad(0), None::<&[u8]>, &mut go_on);
            assert!(matches!(of_form, Err(Failure::Read(error)) if error.kind() == io::ErrorKind::InvalidData));
        }
    }
}
