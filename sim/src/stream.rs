//! A byte stream of which pieces arrive in any order, and of which no byte may ever change.

/// The pieces that are there so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    bytes: Vec<u8>,
    /// Which bytes are there: from and to, in order, never touching each other.
    pieces: Vec<(usize, usize)>,
}

/// What a piece was for the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    /// Some of it is new; it is now part of this piece.
    New((usize, usize)),
    /// All of it was there already.
    Repeated,
}

/// A byte, counted from 0, is not what it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("byte {0} of the stream, now another than before")]
pub(crate) struct Changed(usize);

impl Stream {
    /// The bytes from the first up to the first gap.
    pub(crate) fn contiguous(&self) -> &[u8] {
        match self.pieces.first() {
            Some(&(0, end)) => &self.bytes[..end],
            _ => &[],
        }
    }

    /// The place behind the last byte that is there.
    pub(crate) fn end(&self) -> usize {
        self.pieces.last().map_or(0, |&(_, end)| end)
    }

    /// The pieces that are there: from and to, in order, never touching each other.
    pub(crate) fn pieces(&self) -> &[(usize, usize)] {
        &self.pieces
    }

    /// What is there of this part already: the first of it, if it is in several pieces.
    pub(crate) fn overlap(&self, at: usize, end: usize) -> Option<(usize, usize)> {
        let overlaps = self.pieces.iter().map(|&(from, to)| (from.max(at), to.min(end)));
        overlaps.into_iter().find(|(from, to)| from < to)
    }

    /// Forgets what is behind the first gap.
    pub(crate) fn truncate(&mut self) {
        self.bytes.truncate(self.contiguous().len());
        self.pieces.retain(|&(from, _)| from == 0);
    }

    /// Puts bytes in their place.
    pub(crate) fn insert(&mut self, at: usize, payload: &[u8]) -> Result<Inserted, Changed> {
        let end = at + payload.len();
        for &(from, to) in &self.pieces {
            let overlap = from.max(at)..to.min(end);
            if let Some(place) = overlap.into_iter().find(|&place| self.bytes[place] != payload[place - at]) {
                return Err(Changed(place));
            }
        }
        if payload.is_empty() || self.pieces.iter().any(|&(from, to)| from <= at && end <= to) {
            return Ok(Inserted::Repeated);
        }
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[at..end].copy_from_slice(payload);
        let touches = |piece: &(usize, usize)| piece.0 <= end && at <= piece.1;
        let touching = self.pieces.iter().copied().filter(touches);
        let merged = touching.fold((at, end), |whole, piece| (whole.0.min(piece.0), whole.1.max(piece.1)));
        self.pieces.retain(|piece| !touches(piece));
        let place = self.pieces.partition_point(|piece| piece.0 < merged.0);
        self.pieces.insert(place, merged);
        Ok(Inserted::New(merged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_where_they_touch_and_never_change() {
        let mut stream = Stream::default();
        assert_eq!(stream.insert(6, b"world"), Ok(Inserted::New((6, 11))));
        assert_eq!(stream.contiguous(), b"");
        assert_eq!(stream.insert(0, b"hello"), Ok(Inserted::New((0, 5))));
        assert_eq!(stream.pieces(), [(0, 5), (6, 11)]);
        assert_eq!(stream.insert(3, b"lo wo"), Ok(Inserted::New((0, 11))));
        assert_eq!(stream.contiguous(), b"hello world");
        assert_eq!(stream.insert(4, b"o w"), Ok(Inserted::Repeated));
        assert_eq!(stream.insert(4, b"o W"), Err(Changed(6)));
        stream.insert(20, b"!").unwrap();
        stream.truncate();
        assert_eq!((stream.contiguous(), stream.end()), (&b"hello world"[..], 11));
    }
}
