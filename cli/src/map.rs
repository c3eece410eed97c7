//! Files mapped into memory. This is the only place in the command that is `unsafe`.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// Maps a whole file, and has all of it read, so that nobody who answers packets waits for a disk.
///
/// Whoever may write to the file must not do so as long as it is mapped: a page that is cut off ends the
/// process, and one that is written to changes under the server. A file is put in place of another by
/// renaming it, as [`crate::output::Output`] does, which leaves what is mapped alone. A file without a name
/// cannot be reached by anybody.
#[expect(unsafe_code, reason = "there is no safe way to map a file")]
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes stay as they are for as long as nobody writes to the file, as said above. No other
    // program can be kept from that; it is what every program relies on that maps its data, or its own code.
    unsafe { MmapOptions::new().populate().map(file) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_mapped_file_is_what_was_written_even_without_a_name() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(&map(&file).unwrap()[..], b"");
        file.write_all(&[7; 10_000]).unwrap();
        assert_eq!(&map(&file).unwrap()[..], [7; 10_000]);
    }

    #[test]
    fn a_file_that_is_replaced_stays_mapped_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
        std::fs::write(&old, "old").unwrap();
        std::fs::write(&new, "new and longer").unwrap();
        let mapped = map(&File::open(&old).unwrap()).unwrap();
        std::fs::rename(&new, &old).unwrap();
        assert_eq!(&mapped[..], b"old");
    }
}
