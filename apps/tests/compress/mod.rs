//! Compressed forms of contents, for tests.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// A style sheet, which is shorter in each form: least by brotli, then by zstd, then by gzip.
pub(crate) const STYLE: &[u8] = include_bytes!("../cases/style.css");

pub(crate) fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn brotli(contents: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::CompressorReader::new(contents, 4096, 11, 22).read_to_end(&mut encoded).unwrap();
    encoded
}
