//! What a server answers with.
//!
//! An application is a pure function from a request and a data set to bytes. It has no place for
//! state: `respond` takes `&self`, and a client whose reply was lost sends its request again and must
//! be given the same bytes, possibly by another machine.

use core::net::IpAddr;

use crate::http::{Headers, Method, Response};

/// An application: what stands behind the engine.
pub trait App {
    /// Answers one request.
    ///
    /// The same request must give the same bytes for as long as a client may still be fetching them:
    /// no clock, no counter, no randomness. `scratch` holds whatever of the response is made for this
    /// request; a body that lies in the data set is borrowed from there and never copied here.
    ///
    /// The engine only asks for `GET` and `HEAD`. A response to `HEAD` may carry the body all the
    /// same: the engine leaves it out and keeps its `Content-Length`.
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a>;

    /// The stored response that covers `position`: one that [`respond`](Self::respond) would give with
    /// [`Response::stored_at`], and that begins at or before `position`.
    ///
    /// An ACK in the middle of a long response names nothing but a position. An application without
    /// stored responses has nothing to do here; its long responses go on when the request comes again.
    #[inline]
    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let _ = position;
        None
    }

    /// Whether there are stored responses at all. Without, an ACK need not be looked at.
    #[inline]
    fn stores(&self) -> bool {
        false
    }

    /// The versions of the data set that are still answered from, and the one for new connections.
    #[inline]
    fn generations(&self) -> Generations {
        Generations::ONE
    }
}

impl<A: App + ?Sized> App for &A {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        (**self).respond(request, scratch)
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        (**self).stored(position)
    }

    fn stores(&self) -> bool {
        (**self).stores()
    }

    fn generations(&self) -> Generations {
        (**self).generations()
    }
}

/// Where something stands among all stored responses of an application, counted in units of
/// [`Position::UNIT`] bytes.
///
/// Each stored response begins at a position of its own and takes [`Position::units`] of them, whatever
/// version of the data set it belongs to: no two that are answered from at the same time share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(u32);

impl Position {
    /// Bytes of a response for which the position goes up by one. No full segment is smaller, so each
    /// has a position of its own.
    pub const UNIT: usize = 512;

    /// A response that is longer than a first window should begin at a multiple of this: then its clients
    /// without timestamps have a clock as well.
    pub const BLOCK: usize = 32;

    /// Positions there are: what fits a timestamp beside what else it says. 8 GiB of responses.
    pub const COUNT: u32 = (1 << 24) - (1 << 11);

    /// Positions of one version of a data set: version `g` has those from `g` times this on.
    pub const PER_GENERATION: u32 = 1 << 22;

    /// The position `units` units from the start, unless that is [`Position::COUNT`] or more.
    pub const fn new(units: u32) -> Option<Self> {
        if units < Self::COUNT { Some(Self(units)) } else { None }
    }

    /// In units.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// How many units a stored response of `len` bytes, head and body, takes. Its end has a position too.
    pub const fn units(len: usize) -> usize {
        len / Self::UNIT + 1
    }
}

/// Versions of a data set, numbered in a circle of [`Generations::COUNT`].
///
/// A connection belongs to the version that was current when it began, and never sees another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generations {
    /// The one for new connections, below [`Generations::COUNT`].
    pub current: u8,
    /// Those that are still answered from: bit `g` for number `g`. It has the current one in it.
    pub live: u8,
}

impl Generations {
    /// How many versions there can be at a time.
    pub const COUNT: u8 = 4;

    /// A data set that never changes.
    pub const ONE: Self = Self { current: 0, live: 1 };
}

/// One request, as far as its first segment told it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET` or `HEAD`.
    pub method: Method,
    /// The path of the request target, still percent-encoded; it begins with `/`.
    pub path: &'a [u8],
    /// What followed the first `?` of the target, if there was one.
    pub query: Option<&'a [u8]>,
    /// The header fields that came in the same segment as the request line.
    pub headers: Headers<'a>,
    /// The address the request came from.
    pub client: IpAddr,
    /// The version of the data set to answer from: one that the application said is live.
    pub generation: u8,
}
