//! Maps files into memory. This is the only `unsafe` code of the command.

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, MmapOptions};

/// When the pages of a mapped file are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pages {
    /// At once, so that the event loop never waits for a disk.
    Now,
    /// On demand.
    WhenUsed,
}

/// Maps a whole file.
///
/// No program may write to the file while it is mapped: access to a page that was truncated ends the process, and other
/// writes change data that was checked. A file is to be replaced by renaming another one over it, as
/// [`Output`](lethe_server::output::Output) does, which does not affect the mapping. A file without a name cannot be
/// opened by any other process.
#[expect(unsafe_code, reason = "there is no safe way to map a file")]
pub(crate) fn map(file: &File, pages: Pages) -> io::Result<Mmap> {
    // SAFETY: the bytes do not change as long as no program writes to the file, as said above. That cannot be enforced;
    // every program that maps its data, or its own code, relies on it.
    let mapped = unsafe { MmapOptions::new().map(file) }?;
    if pages == Pages::Now {
        // Huge pages if the file system has them. Linux before 5.14 does not know `PopulateRead`, and reads on demand.
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
