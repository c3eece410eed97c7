//! A writer whose writes are aligned to huge pages, so that the file is mapped by huge pages.
//!
//! A file system with large folios (ext4 from Linux 6.16 on) keeps the bytes of one write in one folio of the page
//! cache. A folio as large as a huge page is mapped as one: it takes one entry of the TLB in place of 512. On other
//! file systems this has no effect.

use std::io::{self, BufWriter, IntoInnerError, Seek, SeekFrom, Write};

/// Bytes of a huge page on x86-64, and on arm64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Buffers writes up to the next multiple of a huge page.
pub(crate) struct HugePageWriter<W: Write> {
    out: BufWriter<W>,
    /// The offset in the file at which the next byte is written.
    at: u64,
}

impl<W: Write> HugePageWriter<W> {
    /// Begins at the start of `out`.
    pub(crate) fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(HUGE_PAGE, out), at: 0 }
    }

    /// Flushes the buffer and returns the inner writer.
    pub(crate) fn into_inner(self) -> io::Result<W> {
        self.out.into_inner().map_err(IntoInnerError::into_error)
    }
}

impl<W: Write> Write for HugePageWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begun = (self.at % HUGE_PAGE as u64) as usize;
        if begun == 0 {
            self.flush()?;
        }
        // More than fits would make the inner buffer flush before the page is full.
        let written = self.out.write(&bytes[..bytes.len().min(HUGE_PAGE - begun)])?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write + Seek> Seek for HugePageWriter<W> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.at = self.out.seek(position)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each write begins, and how long it is.
    #[derive(Default)]
    struct Writes {
        at: u64,
        all: Vec<(u64, usize)>,
    }

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.all.push((self.at, bytes.len()));
            self.at += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Writes {
        fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
            let SeekFrom::Start(at) = position else { panic!("{position:?}") };
            self.at = at;
            Ok(at)
        }
    }

    #[test]
    fn a_huge_page_is_written_at_once_however_long_the_pieces_are() {
        for piece in [1000, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE] {
            let mut writer = HugePageWriter::new(Writes::default());
            let bytes = vec![7; piece];
            let mut total = 0;
            while total < 5 * HUGE_PAGE {
                writer.write_all(&bytes).unwrap();
                total += piece;
            }
            let written = writer.into_inner().unwrap().all;
            let expect = (0..total).step_by(HUGE_PAGE).map(|at| (at as u64, HUGE_PAGE.min(total - at)));
            assert!(written.iter().copied().eq(expect), "{piece}: {written:?}");
        }
    }

    #[test]
    fn huge_pages_behind_a_place_that_is_sought_are_written_at_once_as_well() {
        let page = HUGE_PAGE as u64;
        let mut writer = HugePageWriter::new(Writes::default());
        writer.write_all(&[7; 10]).unwrap();
        writer.seek(SeekFrom::Start(page + 100)).unwrap();
        writer.write_all(&vec![7; 2 * HUGE_PAGE]).unwrap();
        let expect = [(0, 10), (page + 100, HUGE_PAGE - 100), (2 * page, HUGE_PAGE), (3 * page, 100)];
        assert_eq!(writer.into_inner().unwrap().all, expect);
    }

    #[test]
    fn flushing_writes_what_there_is() {
        let mut writer = HugePageWriter::new(Writes::default());
        writer.write_all(&[7; 10]).unwrap();
        assert_eq!(writer.out.get_ref().all, []);
        writer.flush().unwrap();
        assert_eq!(writer.out.get_ref().all, [(0, 10)]);
    }
}
