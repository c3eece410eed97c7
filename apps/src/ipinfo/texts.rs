//! Prepared text responses, one for each place of a database, if there are few places.

use lethe::http::Response;
use lethe::wire::checksum::Sum;

use super::answer::Answer;
use super::{Database, Form, Language};

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
    /// The most places whose responses are prepared: some 10 MB of them. Places of all cities with their coordinates
    /// are ten times as many, and theirs are made on the spot.
    const MAX_PLACES: usize = 1 << 16;

    pub(super) fn of(database: &Database<'_>) -> Self {
        let mut texts = Self { bytes: Vec::new(), entries: Vec::new() };
        if database.place_count() > Self::MAX_PLACES {
            return texts;
        }
        let mut scratch = [0; 1024];
        for place in database.places() {
            let answer = Answer::Place(std::net::Ipv4Addr::UNSPECIFIED.into(), place);
            let response = Form::Text.respond(&answer, Language::English, false, &mut scratch);
            let (start, head) = (texts.bytes.len() as u32, response.head().len() as u16);
            texts.bytes.extend(response.head());
            texts.bytes.extend(response.body());
            let sum = Sum::new().with(&texts.bytes[start as usize..]).folded();
            texts.entries.push(Entry { start, head, len: response.len() as u16, sum });
        }
        texts
    }

    /// The response for the place with this number, if it is prepared.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<Response<'_>> {
        let Entry { start, head, len, sum } = *self.entries.get(place)?;
        let response = &self.bytes[start as usize..][..len.into()];
        let (head, body) = response.split_at(head.into());
        Some(Response::prepared(head, body).with_sum(sum))
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
            assert_eq!(
                texts.get(number),
                Some(Form::Text.respond(&answer, Language::English, false, &mut scratch)),
                "{place:?}"
            );
            let Entry { start, len, sum, .. } = texts.entries[number];
            let bytes = &texts.bytes[start as usize..][..len.into()];
            assert_eq!(sum, Sum::new().with(bytes).folded(), "{place:?}");
        }
    }
}
