//! The keyed hash that the file has in place of a seat number and an identity number.
//!
//! The key is in the file as well. So the hash only prevents that identity numbers are seen in the file, searched for
//! in it, or matched with those of another file. It does not protect against an attacker who has the file and tries all
//! numbers: an identity number is a region, a birthday and three digits, which takes a machine a day. That attacker has
//! the pages anyway.

use subtle::ConstantTimeEq;

use super::number::{NUMBER_MAX, Number};

/// The bytes of a key.
pub(super) const KEY_LEN: usize = 32;

/// The bytes of a tag: enough that no two candidates have the same, and that none is guessed.
pub(super) const TAG_LEN: usize = 16;

/// The key of a file, drawn when it is made.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) [u8; KEY_LEN]);

/// A seat number and an identity number, hashed together.
///
/// The slot of a candidate depends on both numbers. So a wrong identity number leads to an unrelated record, as an
/// unknown seat number does, and timing does not tell the two cases apart.
#[derive(Clone, Copy)]
pub(super) struct Digest {
    /// The key of the perfect hash function, which gives the slot of the record.
    pub(super) slot_key: u64,
    /// Compared with the tag in the record.
    pub(super) tag: Tag,
}

/// Identifies a record.
#[derive(Clone, Copy)]
pub(super) struct Tag(pub(super) [u8; TAG_LEN]);

impl Tag {
    /// Compares in constant time, all bytes at once.
    pub(super) fn is(self, other: Self) -> bool {
        u128::from_ne_bytes(self.0).ct_eq(&u128::from_ne_bytes(other.0)).into()
    }
}

impl Key {
    /// BLAKE3 of the length of the seat number, the seat number and the secret: mostly one block of 64 bytes.
    pub(super) fn digest(&self, seat: &Number, secret: &Number) -> Digest {
        let (seat, secret) = (seat.as_bytes(), secret.as_bytes());
        let mut message = [0; 1 + 2 * NUMBER_MAX];
        let len = 1 + seat.len() + secret.len();
        message[0] = seat.len() as u8;
        message[1..][..seat.len()].copy_from_slice(seat);
        message[1 + seat.len()..len].copy_from_slice(secret);
        let hash = blake3::keyed_hash(&self.0, &message[..len]);
        let (slot_key, rest) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        let tag = rest.first_chunk().expect("24 bytes");
        Digest { slot_key: u64::from_le_bytes(*slot_key), tag: Tag(*tag) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: u8, seat: &str, secret: &str) -> [u8; TAG_LEN] {
        let [seat, secret] = [seat, secret].map(|text| Number::parse(text).unwrap());
        Key([key; KEY_LEN]).digest(&seat, &secret).tag.0
    }

    #[test]
    fn a_digest_depends_on_the_key_and_on_where_one_number_ends() {
        let all = [tag(1, "12", "34"), tag(2, "12", "34"), tag(1, "1", "234"), tag(1, "34", "12"), tag(1, "12", "35")];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| !Tag(*one).is(Tag(*other))));
        }
        assert!(Tag(tag(1, "12", "34")).is(Tag(all[0])));
    }

    /// Files go from one build to another, which has to find each candidate where this one has put it.
    #[test]
    fn a_digest_stays_what_it_is() {
        let [seat, secret] = ["0101", "99010120080101001X"].map(|text| Number::parse(text).unwrap());
        let Digest { slot_key, tag } = Key([7; KEY_LEN]).digest(&seat, &secret);
        let hash = blake3::keyed_hash(&[7; 32], b"\x04010199010120080101001X");
        assert_eq!([&slot_key.to_le_bytes()[..], &tag.0].concat(), hash.as_bytes()[..24]);
    }
}
