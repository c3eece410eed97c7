//! Writing down what happens in a world: a pcapng file with one interface before the link and one behind
//! it, each frame with a comment that says what became of it.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io;
use std::path::Path;

use lethe::time::Instant;

use super::ClientId;
use crate::capture::Writer;
use crate::link::{Fate, Fates, Frame, Passage};

/// The end of the cable at which a frame is seen.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Client = 0,
    Server = 1,
}

/// The names of the interfaces, in the order of [`Side`].
const INTERFACES: [&str; 2] = ["client side", "server side"];

/// What writes frames down.
pub struct Recorder {
    writer: Writer<File>,
    only: Option<ClientId>,
    comment: String,
    /// Why a frame could not be written: a world does not stop for that.
    failure: Option<io::Error>,
}

impl Recorder {
    /// Writes to a file what concerns one client, or all.
    pub fn create(path: &Path, only: Option<ClientId>) -> io::Result<Self> {
        let writer = Writer::new(File::create(path)?, &INTERFACES)?;
        Ok(Self { writer, only, comment: String::new(), failure: None })
    }

    /// Completes the file.
    ///
    /// # Errors
    ///
    /// When a frame could not be written, now or before.
    pub fn finish(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)?;
        self.writer.finish().map(drop)
    }

    /// Begins the comment of a frame that has arrived.
    pub(super) fn write_fates(&mut self, fates: &[Fate]) {
        self.put(format_args!("arrived: {}", Fates(fates)));
    }

    /// Begins the comment of a frame that is sent: all that will become of it.
    pub(super) fn write_passage(&mut self, passage: &Passage) {
        let Passage { onward, lost, back } = passage;
        let copies = onward.iter().chain(lost);
        for (index, Frame { fates, .. }) in copies.enumerate() {
            let separator = if index == 0 { "sent: " } else { " | " };
            self.put(format_args!("{separator}{}", Fates(fates)));
        }
        if !back.is_empty() {
            self.put(format_args!(" | {} frame(s) back", back.len()));
        }
    }

    /// Writes a frame with the comment that was begun.
    pub(super) fn write(&mut self, at: Instant, client: ClientId, side: Side, frame: &[u8]) {
        let wanted = self.only.is_none_or(|only| only == client);
        if wanted && self.failure.is_none() {
            self.put(format_args!(" (client {})", client.0));
            self.failure = self.writer.write(side as u32, at, frame, Some(&self.comment)).err();
        }
        self.comment.clear();
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // A string takes all that it is given.
        let _ = self.comment.write_fmt(text);
    }
}
