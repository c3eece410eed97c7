//! Records and tables of little-endian numbers in a mapped file.

pub(crate) fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

pub(crate) fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

pub(crate) fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("within the record"))
}

/// Splits a table of `count` records off the front of what has been found to be long enough.
pub(crate) fn table<const N: usize>(bytes: &[u8], count: u32) -> (&[[u8; N]], &[u8]) {
    let (table, rest) = bytes.split_at(N * count as usize);
    (table.as_chunks().0, rest)
}
