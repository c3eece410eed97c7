//! The port that runs an engine over a capture file.

use std::io::{self, Read, Write};

use lethe::port::{RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe::time::Instant;

use super::{CaptureError, Packet, Reader, Writer};
use crate::FRAME_MAX;

/// The interface of what came in.
const IN: u32 = 0;
/// The interface of what went out.
const OUT: u32 = 1;

/// A capture file as a port: its packets come in one by one, each at its own time, and what comes in and
/// goes out is written to another file, on the interfaces `in` and `out`.
///
/// ```
/// # use lethe::{app::App, engine::{Engine, SCRATCH_LEN}, turn, verdict::Stats};
/// # use lethe_sim::capture::{CaptureError, Reader, Replay};
/// # fn run(engine: &Engine<impl App>, file: &[u8]) -> Result<(Stats, Vec<u8>), CaptureError> {
/// let mut replay = Replay::new(Reader::new(file)?, Vec::new())?;
/// let mut stats = Stats::default();
/// let mut scratch = [0; SCRATCH_LEN];
/// while let Some(now) = replay.advance()? {
///     turn(engine, now, &mut replay.queues(), &mut scratch, &mut stats, 1);
/// }
/// Ok((stats, replay.finish()?))
/// # }
/// ```
pub struct Replay<R: Read, W: Write> {
    packets: Reader<R>,
    current: Option<Packet>,
    writer: Writer<W>,
    buffer: Box<[u8]>,
    /// Why a reply could not be written: a queue has no way to say so.
    failure: Option<io::Error>,
}

impl<R: Read, W: Write> Replay<R, W> {
    /// A port that reads from `packets` and writes a pcapng file to `sink`.
    pub fn new(packets: Reader<R>, sink: W) -> Result<Self, CaptureError> {
        Ok(Self {
            packets,
            current: None,
            writer: Writer::new(sink, &["in", "out"]).map_err(CaptureError::Write)?,
            buffer: vec![0; FRAME_MAX].into(),
            failure: None,
        })
    }

    /// Goes on to the next packet and tells its time; `None` at the end of the file.
    pub fn advance(&mut self) -> Result<Option<Instant>, CaptureError> {
        self.check()?;
        self.current = self.packets.next().transpose()?;
        let Some(packet) = &self.current else {
            return Ok(None);
        };
        self.writer.copy(IN, packet).map_err(CaptureError::Write)?;
        Ok(Some(packet.at))
    }

    /// The packet that [`advance`](Self::advance) went to.
    pub fn current(&self) -> Option<&Packet> {
        self.current.as_ref()
    }

    /// A receive queue that holds the current packet, and a transmit queue that writes at its time.
    pub fn queues(&mut self) -> (Rx<'_>, Tx<'_, W>) {
        let packet = self.current.as_ref();
        let tx = Tx {
            writer: &mut self.writer,
            at: packet.map_or_else(Instant::default, |packet| packet.at),
            buffer: &mut self.buffer,
            failure: &mut self.failure,
        };
        (Rx { packet }, tx)
    }

    /// Completes the file that is written and gives the sink back.
    pub fn finish(mut self) -> Result<W, CaptureError> {
        self.check()?;
        self.writer.finish().map_err(CaptureError::Write)
    }

    fn check(&mut self) -> Result<(), CaptureError> {
        self.failure.take().map_or(Ok(()), |error| Err(CaptureError::Write(error)))
    }
}

/// The receive queue of a [`Replay`]: one packet.
pub struct Rx<'a> {
    packet: Option<&'a Packet>,
}

impl RxQueue for Rx<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        self.packet.take().map(|packet| RxFrame::unchecked(&packet.bytes))
    }
}

/// The transmit queue of a [`Replay`].
pub struct Tx<'a, W: Write> {
    writer: &'a mut Writer<W>,
    at: Instant,
    buffer: &'a mut [u8],
    failure: &'a mut Option<io::Error>,
}

impl<W: Write> TxQueue for Tx<'_, W> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let Some(TxFrame { len, .. }) = write(self.buffer) else {
            return Transmit::Nothing;
        };
        let frame = self.buffer.get(..len).unwrap_or_default();
        match self.writer.write(OUT, self.at, frame, None) {
            Ok(()) => Transmit::Queued(len),
            Err(error) => {
                *self.failure = Some(error);
                Transmit::Full
            }
        }
    }

    fn flush(&mut self) {}
}
