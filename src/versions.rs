//! Versions of a data set: the one for new connections, and those that it replaced.

use core::mem;

use crate::app::{App, Generations, Position, Request};
use crate::http::{Methods, Response};

/// How many versions there are at a time: one for each generation.
const COUNT: usize = Generations::COUNT as usize;

/// An application whose data set can be replaced while it is served: one `A` for each version of the data.
///
/// `A` knows nothing of this. It answers from its own data and stores responses at positions below
/// [`Position::PER_GENERATION`]; one that it puts elsewhere is sent, but not as a stored one.
///
/// **Invariant:** a connection is answered from the version that it began with. A new version takes the next of
/// [`Generations::COUNT`] numbers, and what had that number goes. So a reply is never of two versions as long as at
/// most three replacements come while it is under way; after a fourth, what is left of it is no longer there.
///
/// Servers that answer for each other's clients count their versions alike: [`add`](Self::add) a new one everywhere
/// first, and only then [`advance`](Self::advance).
#[derive(Debug)]
pub struct Versions<A> {
    current: A,
    /// The versions that are not current, by number.
    others: [Option<A>; COUNT],
    generations: Generations,
}

impl<A> Versions<A> {
    /// With one version, which has number 0.
    pub const fn new(first: A) -> Self {
        Self::of_generation(first, 0)
    }

    /// With one version of this number, modulo [`Generations::COUNT`]: what other servers have come to by replacing
    /// theirs.
    pub const fn of_generation(first: A, generation: u8) -> Self {
        let current = generation % Generations::COUNT;
        let generations = Generations { current, live: 1 << current };
        Self { current: first, others: [const { None }; COUNT], generations }
    }

    /// Begins new connections with `next`. Returns the version that nothing is answered from any more.
    #[must_use = "dropping a version may take time that a worker does not have"]
    pub fn replace(&mut self, next: A) -> Option<A> {
        let gone = self.add(next);
        self.advance();
        gone
    }

    /// Answers connections from `next` that began with it on another server. Returns the version that nothing is
    /// answered from any more.
    #[must_use = "dropping a version may take time that a worker does not have"]
    pub fn add(&mut self, next: A) -> Option<A> {
        let number = self.next();
        self.generations.live |= 1 << number;
        self.others.get_mut(usize::from(number))?.replace(next)
    }

    /// Begins new connections with the version that was added last.
    pub fn advance(&mut self) {
        let (before, next) = (self.generations.current, self.next());
        let Some(added) = self.others.get_mut(usize::from(next)).and_then(Option::take) else { return };
        let replaced = mem::replace(&mut self.current, added);
        if let Some(slot) = self.others.get_mut(usize::from(before)) {
            *slot = Some(replaced);
        }
        self.generations.current = next;
    }

    const fn next(&self) -> u8 {
        (self.generations.current + 1) % Generations::COUNT
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
}

impl<A: App> App for Versions<A> {
    #[inline]
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let (version, generation) = self.of(request.generation);
        version.respond(request, scratch).of_generation(generation)
    }

    #[inline]
    fn methods(&self) -> Methods {
        self.current.methods()
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let (generation, within) = position.split();
        let (version, number) = self.of(generation);
        let stored = (number == generation).then(|| version.stored(within)).flatten()?;
        Some(stored.of_generation(generation))
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
    fn generations(&self) -> Generations {
        self.generations
    }
}

#[cfg(test)]
mod tests {
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
        assert!(versions.add(Letter(8, b"b")).is_none());
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
            assert!(versions.replace(Letter(0, letter)).is_none());
            assert_eq!(versions.generations(), Generations { current: number, live: (2 << number) - 1 });
        }
        assert_eq!(answer(&versions, 0).0, b"a");
        assert_eq!(versions.replace(Letter(0, b"e")).map(|gone| gone.1), Some(&b"a"[..]));
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
        let versions = Versions::of_generation(Letter(Position::PER_GENERATION, b"a"), 1);
        assert_eq!(answer(&versions, 1), (&b"a"[..], None));
        let last = Versions::of_generation(Letter(Position::PER_GENERATION - 1, b"a"), 3);
        assert_eq!(answer(&last, 3), (&b"a"[..], None), "there is no such position");
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
