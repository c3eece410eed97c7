//! Prepared text responses, one for each place of a database. There are few places.

use lethe::http::Response;
use lethe::wire::checksum::Sum;

use super::answer::Answer;
use super::{Database, Form};

/// The complete response for each place of a database.
#[derive(Clone)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// The position of a response in the bytes.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    /// Length of the head, length of the whole response, and its one's complement sum.
    head: u16,
    len: u16,
    sum: u16,
}

impl Texts {
    pub(super) fn of(database: &Database<'_>) -> Self {
        let mut texts = Self { bytes: Vec::new(), entries: Vec::with_capacity(database.place_count()) };
        let mut scratch = [0; 1024];
        for place in database.places() {
            let response =
                Form::Text.respond(&Answer::Place(std::net::Ipv4Addr::UNSPECIFIED.into(), place), &mut scratch);
            let (start, head) = (texts.bytes.len() as u32, response.head().len() as u16);
            texts.bytes.extend(response.head());
            texts.bytes.extend(response.body());
            let sum = Sum::new().with(&texts.bytes[start as usize..]).folded();
            texts.entries.push(Entry { start, head, len: response.len() as u16, sum });
        }
        texts
    }

    /// The response for the place with this number.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Response<'_> {
        let Entry { start, head, len, sum } = self.entries[place];
        let response = &self.bytes[start as usize..][..len.into()];
        let (head, body) = response.split_at(head.into());
        Response::prepared(head, body).with_sum(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_is_the_one_that_is_made_on_the_spot() {
        let database = Database::embedded();
        let texts = Texts::of(&database);
        for (number, place) in database.places().enumerate() {
            let mut scratch = [0; 1024];
            let answer = Answer::Place(std::net::Ipv4Addr::LOCALHOST.into(), place);
            assert_eq!(texts.get(number), Form::Text.respond(&answer, &mut scratch), "{place:?}");
            let Entry { start, len, sum, .. } = texts.entries[number];
            let bytes = &texts.bytes[start as usize..][..len.into()];
            assert_eq!(sum, Sum::new().with(bytes).folded(), "{place:?}");
        }
    }
}
