//! Responses that are made beforehand and kept: a page, an image, a file.

use lethe::app::Position;
use lethe::http::{Response, Status};
use lethe::wire::checksum::Sum;

/// Room for the head of a stored response.
const HEAD_MAX: usize = 16 * 1024;

/// Names a response in the [`Store`] that it was added to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored(usize);

/// Why a response cannot be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// All responses together are longer than 4 GiB.
    Full,
    /// A header field has a CR, LF or NUL in its value, or the head is longer than 16 KiB.
    Head,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "all stored responses together are longer than 4 GiB",
            Self::Head => "a header field has a CR, LF or NUL in it, or the header fields are longer than 16 KiB",
        })
    }
}

impl std::error::Error for StoreError {}

/// Responses that are complete before the first request comes, each with its head and its `Content-Length`.
///
/// Long ones are sent at the speed of the network: the engine finds the place of an acknowledgement in the middle of a
/// response by its position, which the store hands out. An application with a store answers with [`get`](Self::get) and
/// implements [`App::stored`](lethe::App::stored) by [`at`](Self::at) and [`App::stores`](lethe::App::stores) by
/// `true`; with more than 2 GiB of responses also [`App::positions`](lethe::App::positions) by
/// [`positions`](Self::positions).
#[derive(Debug, Default)]
pub struct Store {
    /// In the order of their positions.
    kept: Vec<Kept>,
    /// The first position that is free.
    next: u32,
}

#[derive(Debug)]
struct Kept {
    position: Position,
    head: Box<[u8]>,
    body: Box<[u8]>,
    /// Over both.
    sum: u16,
}

impl Kept {
    fn response(&self) -> Response<'_> {
        Response::prepared(&self.head, &self.body).with_sum(self.sum).stored_at(self.position)
    }
}

impl Store {
    /// An empty store.
    pub const fn new() -> Self {
        Self { kept: Vec::new(), next: 0 }
    }

    /// Stores a response with these header fields, names and values; `Content-Length` and `Connection` are added.
    ///
    /// # Errors
    ///
    /// The store is full, or a field cannot be sent.
    pub fn add(
        &mut self,
        status: Status,
        fields: &[(&'static str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result<Stored, StoreError> {
        let body: Box<[u8]> = body.into().into();
        let mut scratch = vec![0; HEAD_MAX];
        let mut response = Response::build(&mut scratch, status);
        for &(name, value) in fields {
            response = response.header(name, value);
        }
        let response = response.body(&body);
        // What cannot be sent has become a 500.
        if !response.head().starts_with(status.line().as_bytes()) {
            return Err(StoreError::Head);
        }
        let (head, len): (Box<[u8]>, _) = (response.head().into(), response.len());
        let body = if response.body().is_empty() { Box::default() } else { body };
        let (first, end) = Position::reserve(self.next, len as u64).ok_or(StoreError::Full)?;
        let position = Position::new(first).ok_or(StoreError::Full)?;
        self.next = end;
        let sum = Sum::new().with(&head).with(&body).folded();
        self.kept.push(Kept { position, head, body, sum });
        Ok(Stored(self.kept.len() - 1))
    }

    /// A stored response.
    ///
    /// # Panics
    ///
    /// When `stored` is from another store that has more responses.
    pub fn get(&self, stored: Stored) -> Response<'_> {
        self.kept[stored.0].response()
    }

    /// How many positions the responses take: what [`App::positions`](lethe::App::positions) is to give.
    pub const fn positions(&self) -> u32 {
        self.next
    }

    /// The stored response that covers `position`: what [`App::stored`](lethe::App::stored) is to give.
    pub fn at(&self, position: Position) -> Option<Response<'_>> {
        let behind = self.kept.partition_point(|kept| kept.position <= position);
        let response = self.kept.get(behind.checked_sub(1)?)?.response();
        let first = response.position()?.value();
        let is_covered = ((position.value() - first) as usize) < Position::units(response.len());
        is_covered.then_some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_response_is_found_at_every_position_that_it_covers_and_at_no_other() {
        let mut store = Store::new();
        let lens = [0, 300, 200_000, 511, 10_000];
        let all = lens.map(|len| store.add(Status::Ok, &[("Content-Type", "text/plain")], vec![b'x'; len]).unwrap());
        let mut covered = 0;
        for stored in all {
            let response = store.get(stored);
            let first = response.position().unwrap().value();
            assert!(first >= covered, "no two share a position");
            covered = first + u32::try_from(Position::units(response.len())).unwrap();
            for position in (first..covered).map(|units| Position::new(units).unwrap()) {
                assert_eq!(store.at(position), Some(response));
            }
        }
        assert_eq!(store.at(Position::new(covered).unwrap()), None);
        assert_eq!(Store::new().at(Position::new(0).unwrap()), None);
    }

    #[test]
    fn a_long_response_begins_with_a_block() {
        let mut store = Store::new();
        for len in [100, 100_000, 100, 9000] {
            let stored = store.add(Status::Ok, &[], vec![0; len]).unwrap();
            let is_at_block = store.get(stored).position().unwrap().value() % Position::BLOCK as u32 == 0;
            assert!(is_at_block || len == 100, "{len}");
        }
    }

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let mut store = Store::new();
        let page = store.add(Status::Ok, &[("Content-Type", "text/html"), ("ETag", "\"1\"")], "hello").unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"1\"\r\nContent-Length: 5\r\n\
                    Connection: close\r\n\r\n";
        assert_eq!((store.get(page).head(), store.get(page).body()), (head.as_bytes(), &b"hello"[..]));
    }

    #[test]
    fn a_sum_is_that_of_head_and_body() {
        let mut store = Store::new();
        for len in [0, 1, 2, 999, 10_000] {
            for field in ["", "x"] {
                let stored = store.add(Status::Ok, &[("X", field)], vec![7; len]).unwrap();
                let response = store.get(stored);
                let bytes = [response.head(), response.body()].concat();
                assert_eq!(response.known_sum(), Some(Sum::new().with(&bytes).folded()));
            }
        }
    }

    #[test]
    fn a_field_that_cannot_be_sent_is_an_error() {
        let long = "x".repeat(HEAD_MAX);
        for value in ["a\r\nb", "a\nb", "a\0", &long] {
            assert_eq!(Store::new().add(Status::Ok, &[("X", value)], ""), Err(StoreError::Head));
        }
    }

    #[test]
    fn positions_end_where_those_of_another_version_begin() {
        let mut store = Store { kept: Vec::new(), next: Position::PER_VERSION - 2 };
        assert_eq!(store.add(Status::Ok, &[], vec![0; 1100]), Err(StoreError::Full));
        assert!(store.add(Status::Ok, &[], "fits").is_ok());
        assert_eq!(store.add(Status::Ok, &[], vec![0; 600]), Err(StoreError::Full));
        assert_eq!(store.positions(), Position::PER_VERSION - 1);
    }
}
