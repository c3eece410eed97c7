//! Files mapped into memory. This is the only place in the command that is `unsafe`.

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, MmapOptions};

/// When a file that is mapped is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pages {
    /// All of it at once, so that nobody who answers packets waits for a disk.
    Now,
    /// Piece by piece, as it is used.
    WhenUsed,
}

/// Maps a whole file.
///
/// Whoever may write to the file must not do so as long as it is mapped: a page that is cut off ends the
/// process, and one that is written to changes under the server. A file is put in place of another by
/// renaming it, as [`Output`](lethe_server::output::Output) does, which leaves what is mapped alone. A file without a name
/// cannot be reached by anybody.
#[expect(unsafe_code, reason = "there is no safe way to map a file")]
pub(crate) fn map(file: &File, pages: Pages) -> io::Result<Mmap> {
    // SAFETY: the bytes stay as they are for as long as nobody writes to the file, as said above. No other
    // program can be kept from that; it is what every program relies on that maps its data, or its own code.
    let mapped = unsafe { MmapOptions::new().map(file) }?;
    if pages == Pages::Now {
        // By huge pages, where there can be any. Linux before 5.14 does not know the second, and reads what is used.
        for advice in [Advice::HugePage, Advice::PopulateRead] {
            mapped.advise(advice).or_else(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Ok(()),
                _ => Err(error),
            })?;
        }
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_mapped_file_is_what_was_written_even_without_a_name() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(&map(&file, Pages::Now).unwrap()[..], b"");
        file.write_all(&[7; 10_000]).unwrap();
        for pages in [Pages::Now, Pages::WhenUsed] {
            assert_eq!(&map(&file, pages).unwrap()[..], [7; 10_000]);
        }
    }

    #[test]
    fn a_file_that_is_replaced_stays_mapped_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
        std::fs::write(&old, "old").unwrap();
        std::fs::write(&new, "new and longer").unwrap();
        let mapped = map(&File::open(&old).unwrap(), Pages::Now).unwrap();
        std::fs::rename(&new, &old).unwrap();
        assert_eq!(&mapped[..], b"old");
    }
}
