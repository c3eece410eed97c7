//! Versions of a data set: the one for new connections, and those that it replaced.

use core::mem;

use crate::app::{App, Generations, Position, Request};
use crate::http::{Methods, Response};

/// How many versions there are at a time: one for each generation.
const COUNT: usize = Generations::COUNT as usize;

/// An application whose data set can be replaced while it is served: one `A` for each version of the data.
///
/// `A` knows nothing of this. It answers from its own data and stores responses at positions below
/// [`App::positions`]; one that it puts elsewhere is sent, but not as a stored one.
///
/// **Invariant:** a connection is answered from the version that it began with. A new version takes the next of
/// [`Generations::COUNT`] numbers, and what had that number goes. So a reply is never of two versions as long as at
/// most three replacements come while it is under way; after a fourth, what is left of it is no longer there.
/// A version whose stored responses take more than [`Position::PER_GENERATION`] positions takes two numbers: of such
/// versions a reply sees one replacement.
///
/// Servers that answer for each other's clients count their versions alike: [`add`](Self::add) a new one everywhere
/// first, and only then [`advance`](Self::advance).
#[derive(Debug)]
pub struct Versions<A> {
    current: A,
    /// The versions that are not current, by number; of two numbers, by the first.
    others: [Option<A>; COUNT],
    generations: Generations,
    /// The first numbers of versions that take two, a bit for each.
    wide: u8,
    /// The number of the version that was added and is not current yet.
    added: Option<u8>,
}

impl<A: App> Versions<A> {
    /// With one version, which has number 0.
    pub fn new(first: A) -> Self {
        Self::of_generation(first, 0)
    }

    /// With one version of this number, modulo [`Generations::COUNT`]: what other servers have come to by replacing
    /// theirs. A version that takes two numbers has an even one: that before, if this is odd.
    pub fn of_generation(first: A, generation: u8) -> Self {
        let number = generation % Generations::COUNT;
        let count = numbers_of(&first);
        let current = number - number % count;
        let generations = Generations { current, live: 1 << current };
        let wide = (count - 1) << current;
        Self { current: first, others: [const { None }; COUNT], generations, wide, added: None }
    }

    /// Begins new connections with `next`. Returns the versions that nothing is answered from any more.
    #[must_use = "dropping a version may take time that a worker does not have"]
    pub fn replace(&mut self, next: A) -> [Option<A>; COUNT] {
        let gone = self.add(next);
        self.advance();
        gone
    }

    /// Answers connections from `next` that began with it on another server. Returns the versions that nothing is
    /// answered from any more.
    #[must_use = "dropping a version may take time that a worker does not have"]
    pub fn add(&mut self, next: A) -> [Option<A>; COUNT] {
        let count = numbers_of(&next);
        let behind = self.generations.current + self.count(self.generations.current);
        let first = behind.next_multiple_of(count) % Generations::COUNT;
        // An addition that no connection has begun with makes room for the next.
        let superseded = self.added.replace(first);
        let mut gone = [const { None }; COUNT];
        for ((number, slot), gone) in (0..).zip(&mut self.others).zip(&mut gone) {
            if (first..first + count).contains(&number) || Some(number) == superseded {
                *gone = slot.take();
                self.generations.live &= !(1 << number);
            }
            if number == first {
                self.generations.live |= 1 << number;
            }
        }
        self.wide = self.wide & !(1 << first) | (count - 1) << first;
        if let Some(slot) = self.others.get_mut(usize::from(first)) {
            *slot = Some(next);
        }
        gone
    }

    /// Begins new connections with the version that was added last.
    pub fn advance(&mut self) {
        let Some(next) = self.added.take() else { return };
        let Some(added) = self.others.get_mut(usize::from(next)).and_then(Option::take) else { return };
        let replaced = mem::replace(&mut self.current, added);
        if let Some(slot) = self.others.get_mut(usize::from(self.generations.current)) {
            *slot = Some(replaced);
        }
        self.generations.current = next;
    }

    /// The version that new connections are answered from.
    pub const fn current(&self) -> &A {
        &self.current
    }

    /// The version of this number, and its number: the current one, where there is none.
    #[inline]
    fn of(&self, generation: u8) -> (&A, u8) {
        if generation != self.generations.current
            && let Some(Some(version)) = self.others.get(usize::from(generation))
        {
            return (version, generation);
        }
        (&self.current, self.generations.current)
    }

    /// How many numbers the version takes that has this one, and none before it.
    #[inline]
    const fn count(&self, number: u8) -> u8 {
        1 + (self.wide >> number & 1)
    }
}

/// How many numbers a version takes: one or two. This is asked once of each: an application may have to look it up.
fn numbers_of(version: &impl App) -> u8 {
    Position::generations_of(version.positions())
}

impl<A: App> App for Versions<A> {
    #[inline]
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let (version, number) = self.of(request.generation);
        version.respond(request, scratch).of_version(number, self.count(number))
    }

    #[inline]
    fn methods(&self) -> Methods {
        self.current.methods()
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let (version, number) = self.of(self.generations.of(position)?);
        let count = self.count(number);
        let stored = version.stored(position.within(number, count)?)?;
        Some(stored.of_version(number, count))
    }

    #[inline]
    fn stores(&self) -> bool {
        self.current.stores()
    }

    #[inline]
    fn stores_parts(&self) -> bool {
        self.current.stores_parts()
    }

    #[inline]
    fn positions(&self) -> u32 {
        self.current.positions()
    }

    #[inline]
    fn generations(&self) -> Generations {
        self.generations
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use std::vec::Vec;

    use super::*;
    use crate::http::{Method, Status};

    /// Answers with its letter, stored at the position in its first field.
    struct Letter(u32, &'static [u8]);

    impl App for Letter {
        fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            let response = Response::build(scratch, Status::Ok).body(self.1);
            Position::new(self.0).map_or(response, |position| response.stored_at(position))
        }

        fn stored(&self, position: Position) -> Option<Response<'_>> {
            (position.value() >= self.0).then(|| Response::prepared(b"", self.1).stored_at(position))
        }

        fn stores(&self) -> bool {
            true
        }

        fn positions(&self) -> u32 {
            self.0 + 1
        }
    }

    fn gone(versions: [Option<Letter>; COUNT]) -> Vec<&'static [u8]> {
        versions.into_iter().flatten().map(|version| version.1).collect()
    }

    /// The body and the position of an answer to a client of this generation.
    fn answer(app: &impl App, generation: u8) -> (&'static [u8], Option<u32>) {
        let mut scratch = [0; 200];
        let response = app.respond(&Request::get(b"/").with_generation(generation), &mut scratch);
        let body = [&b"a"[..], b"b", b"c", b"d", b"e"].into_iter().find(|&body| body == response.body());
        (body.unwrap(), response.position().map(Position::value))
    }

    const fn at(generation: u32, unit: u32) -> Position {
        Position::new(generation * Position::PER_GENERATION + unit).unwrap()
    }

    #[test]
    fn what_is_added_is_answered_from_and_new_connections_begin_with_it_after_the_advance() {
        let mut versions = Versions::of_generation(Letter(7, b"a"), 3);
        assert_eq!(versions.generations(), Generations { current: 3, live: 0b1000 });
        assert!(versions.add(Letter(8, b"b")).iter().all(Option::is_none));
        assert_eq!(versions.generations(), Generations { current: 3, live: 0b1001 });
        assert_eq!(versions.current().1, b"a");
        assert_eq!(answer(&versions, 3), (&b"a"[..], Some(at(3, 7).value())));
        assert_eq!(answer(&versions, 0), (&b"b"[..], Some(8)));
        versions.advance();
        assert_eq!(versions.generations(), Generations { current: 0, live: 0b1001 });
        assert_eq!(versions.current().1, b"b");
        assert_eq!(answer(&versions, 3).0, b"a");
    }

    #[test]
    fn a_version_that_is_not_there_is_the_current_one() {
        let mut versions = Versions::new(Letter(0, b"a"));
        versions.advance();
        assert_eq!(versions.generations(), Generations { current: 0, live: 0b0001 });
        assert_eq!(answer(&versions, 2), (&b"a"[..], Some(0)));
        assert!(versions.stored(at(2, 0)).is_none());
    }

    #[test]
    fn the_fourth_replacement_takes_the_place_of_the_first_version() {
        let mut versions = Versions::new(Letter(0, b"a"));
        for (number, letter) in [(1, b"b"), (2, b"c"), (3, b"d")] {
            assert!(versions.replace(Letter(0, letter)).iter().all(Option::is_none));
            assert_eq!(versions.generations(), Generations { current: number, live: (2 << number) - 1 });
        }
        assert_eq!(answer(&versions, 0).0, b"a");
        assert_eq!(gone(versions.replace(Letter(0, b"e"))), [b"a"]);
        assert_eq!((answer(&versions, 0).0, answer(&versions, 3).0), (&b"e"[..], &b"d"[..]));
    }

    #[test]
    fn a_stored_response_has_a_position_of_its_version() {
        let mut versions = Versions::new(Letter(5, b"a"));
        let _ = versions.replace(Letter(5, b"b"));
        for (generation, letter) in [(0, b"a"), (1, b"b")] {
            let stored = versions.stored(at(generation, 5)).unwrap();
            assert_eq!((stored.body(), stored.position()), (&letter[..], Some(at(generation, 5))));
            assert!(versions.stored(at(generation, 4)).is_none());
        }
        assert!(versions.stores());
    }

    #[test]
    fn a_response_stored_beyond_its_version_is_not_stored() {
        let versions = Versions::new(Letter(2 * Position::PER_GENERATION, b"a"));
        assert_eq!(answer(&versions, 0), (&b"a"[..], None));
        let last = Versions::of_generation(Letter(2 * Position::PER_GENERATION - 1, b"a"), 3);
        assert_eq!(answer(&last, 2), (&b"a"[..], None), "there is no such position");
    }

    #[test]
    fn a_version_of_more_than_two_gibibytes_takes_an_even_number_and_the_next() {
        let (wide, next) = (Position::IN_EVERY_GENERATION, Position::PER_GENERATION);
        for (generation, current, last, expected) in
            [(0, 0, wide - 1, 0), (3, 3, wide - 1, 3), (0, 0, wide, 0), (3, 2, wide, 2), (2, 2, next, 3)]
        {
            let versions = Versions::of_generation(Letter(last, b"a"), generation);
            assert_eq!(versions.generations(), Generations { current, live: 1 << current });
            let (_, position) = answer(&versions, current);
            let position = Position::new(position.unwrap()).unwrap();
            assert_eq!(position.generation(), expected);
            assert_eq!(versions.generations().of(position), Some(current));
            assert_eq!(versions.stored(position).unwrap().position(), Some(position));
        }
    }

    #[test]
    fn versions_of_either_width_replace_what_has_their_numbers() {
        let small = |letter| Letter(5, letter);
        let wide = |letter| Letter(Position::PER_GENERATION + 5, letter);
        let mut versions = Versions::new(small(b"a"));
        // From 1 on only an even number has the next behind it.
        assert!(gone(versions.replace(wide(b"b"))).is_empty());
        assert_eq!(versions.generations(), Generations { current: 2, live: 0b0101 });
        assert_eq!(gone(versions.replace(small(b"c"))), [b"a"]);
        assert!(gone(versions.replace(small(b"d"))).is_empty());
        assert_eq!(versions.generations(), Generations { current: 1, live: 0b0111 });
        for (generation, position, letter) in
            [(0, at(0, 5), b"c"), (1, at(1, 5), b"d"), (2, at(3, 5), b"b"), (2, at(3, 6), b"b")]
        {
            assert_eq!(versions.generations().of(position), Some(generation));
            assert_eq!(versions.stored(position).map(|stored| stored.body()), Some(&letter[..]));
        }
        assert!(versions.stored(at(2, 5)).is_none());
        assert_eq!(gone(versions.replace(wide(b"e"))), [b"b"]);
        assert_eq!(gone(versions.replace(wide(b"a"))), [b"c", b"d"]);
        assert_eq!(versions.generations(), Generations { current: 0, live: 0b0101 });
    }

    #[test]
    fn an_addition_takes_the_place_of_one_that_no_connection_began_with() {
        let mut versions = Versions::new(Letter(5, b"a"));
        assert!(gone(versions.add(Letter(5, b"b"))).is_empty());
        assert_eq!(gone(versions.add(Letter(Position::PER_GENERATION, b"c"))), [b"b"]);
        assert_eq!(versions.generations(), Generations { current: 0, live: 0b0101 });
        versions.advance();
        assert_eq!(answer(&versions, 2).0, b"c");
        versions.advance();
        assert_eq!(versions.generations(), Generations { current: 2, live: 0b0101 });
    }

    /// Counts how often it is asked how many positions it has.
    struct Asked(Cell<u32>);

    impl App for Asked {
        fn respond<'a>(&'a self, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
            Response::prepared(b"", b"").stored_at(at(0, 1))
        }

        fn stored(&self, _: Position) -> Option<Response<'_>> {
            Some(Response::prepared(b"", b""))
        }

        fn positions(&self) -> u32 {
            self.0.set(self.0.get() + 1);
            Position::PER_VERSION
        }
    }

    #[test]
    fn a_version_is_asked_once_how_many_positions_it_has() {
        let mut versions = Versions::new(Asked(Cell::new(0)));
        assert!(versions.replace(Asked(Cell::new(0))).iter().all(Option::is_none));
        for number in [0, 2] {
            let _ = versions.respond(&Request::get(b"/").with_generation(number), &mut []);
            let _ = versions.stored(at(number.into(), 1));
        }
        assert_eq!([0, 2].map(|number| versions.of(number).0.0.get()), [1, 1]);
    }

    /// Answers `PUT` as well, and stores nothing.
    struct Plain;

    impl App for Plain {
        fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            Response::build(scratch, Status::Ok).body(b"")
        }

        fn methods(&self) -> Methods {
            Methods::GET_AND_HEAD.with(Method::Put)
        }
    }

    #[test]
    fn methods_and_storing_are_those_of_the_application() {
        let versions = Versions::new(Plain);
        assert!(versions.methods().has(Method::Put) && !versions.stores());
    }
}
