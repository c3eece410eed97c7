//! Applications: what requests are answered with.
//!
//! An application is a pure function from a request and a data set to bytes. It has no place for
//! state: `respond` takes `&self`, and a client whose reply was lost sends its request again and must
//! be given the same bytes, possibly by another machine.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};

use crate::http::{Headers, Method, Methods, RequestLine, Response};

pub use crate::position::Position;

/// An application: it makes the responses that the engine sends.
pub trait App {
    /// Answers one request.
    ///
    /// The same request must give the same bytes for as long as a client may still be fetching them:
    /// no clock, no counter, no randomness, and no header field that may be in a later packet
    /// ([`Request::headers`]). `scratch` holds whatever of the response is made for this
    /// request; a body that lies in the data set is borrowed from there and never copied here.
    ///
    /// The engine asks for the [`methods`](Self::methods) that the application answers. A response to `HEAD` may carry
    /// the body all the same: the engine leaves it out and keeps its `Content-Length`.
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a>;

    /// The methods that it answers: `GET` and `HEAD`, and what an application adds. A request with another one is
    /// answered with 405 and this list.
    ///
    /// **A request changes nothing, whatever its method.** A network may deliver it twice; a client sends it again when
    /// the response is lost, possibly to another machine; and each packet with a complete request line is answered. So
    /// `POST` and the like are for what can be answered without doing anything: a redirect ([`Status::moved`]), a
    /// refusal, an `OPTIONS` of CORS. The body is never read, for it may come in later packets; those are acknowledged
    /// once the client has the response, and nothing in them is taken for a request.
    ///
    /// [`Status::moved`]: crate::http::Status::moved
    #[inline]
    fn methods(&self) -> Methods {
        Methods::GET_AND_HEAD
    }

    /// The stored response that covers `position`: one that [`respond`](Self::respond) would give with
    /// [`Response::stored_at`], and that begins at or before `position`.
    ///
    /// An ACK in the middle of a long response carries a position and nothing else. An application without
    /// stored responses need not implement this; its long responses continue when the request is retransmitted.
    #[inline]
    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let _ = position;
        None
    }

    /// Whether there are stored responses at all. Without, ACKs need not be examined.
    #[inline]
    fn stores(&self) -> bool {
        false
    }

    /// Whether it answers requests that have a `Range` field with parts of its stored responses
    /// ([`Response::part_of`]).
    #[inline]
    fn stores_parts(&self) -> bool {
        false
    }

    /// How many positions stored responses take of each version of the data set, from its first on, at most
    /// [`Position::PER_VERSION`]: with more than 2 GiB of them a version takes the place of two, so there can be two
    /// at a time instead of four ([`Versions`](crate::versions::Versions)).
    #[inline]
    fn positions(&self) -> u32 {
        Position::IN_EVERY_GENERATION
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

    fn methods(&self) -> Methods {
        (**self).methods()
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        (**self).stored(position)
    }

    fn stores(&self) -> bool {
        (**self).stores()
    }

    fn stores_parts(&self) -> bool {
        (**self).stores_parts()
    }

    fn positions(&self) -> u32 {
        (**self).positions()
    }

    fn generations(&self) -> Generations {
        (**self).generations()
    }
}

// Each second generation has positions for a whole version.
const _: () =
    assert!((Generations::COUNT as u32 - 2) * Position::PER_GENERATION + Position::PER_VERSION <= Position::COUNT);

/// Versions of a data set, numbered in a circle of [`Generations::COUNT`].
///
/// A connection belongs to the version that was current when it began, and never sees another. A version with more
/// stored responses than one number has positions takes an even number and the one behind it.
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

    /// The version that a stored response belongs to, if there is one at this position: the last that is answered from
    /// whose positions do not begin behind it.
    #[inline]
    pub fn of(self, position: Position) -> Option<u8> {
        let before = self.live & ((2 << position.generation()) - 1);
        before.checked_ilog2().map(|number| number as u8)
    }
}

/// One request, as far as one packet told it.
///
/// **The rule:** no byte of a response may depend on anything that is not in every packet that can draw it. A client
/// may write its request in pieces. The first piece with a complete request line is answered; if the answer is lost,
/// the client sends all of its request in one packet, and the answer goes to the same sequence numbers. So an answer
/// of several packets must be the same for both, while an answer of *one* packet arrives as a whole or not at all and
/// cannot be mixed with another.
///
/// Method, path, query, [client](Self::client), [port](Self::port) and [generation](Self::generation) are in every
/// packet that is answered. Header fields are not: once [`headers`](Self::headers) was called on a request whose header
/// section is not complete, the engine sends a response of one packet or none.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// One of the [methods](App::methods) of the application.
    pub method: Method,
    /// The path of the request target, still percent-encoded; it begins with `/`, or is `*` for `OPTIONS`.
    pub path: &'a [u8],
    /// What followed the first `?` of the target, if there was one.
    pub query: Option<&'a [u8]>,
    /// The address the request came from.
    pub client: IpAddr,
    /// The TCP port it came to.
    pub port: u16,
    /// The version of the data set to answer from: one that the application said is live.
    pub generation: u8,
    authority: Option<&'a [u8]>,
    headers: Headers<'a>,
    one_packet: usize,
    takes_parts: bool,
    /// Where it is noted that the answer may depend on header fields.
    uses_headers: Option<&'a Cell<bool>>,
}

impl<'a> Request<'a> {
    /// A `GET` for a path, with a complete header section that has no field in it, from an unspecified address, of
    /// generation 0, to port 80, whose response may be of any length in one packet. For tests of applications; the
    /// methods that begin with `with` say the rest.
    pub const fn get(path: &'a [u8]) -> Self {
        Self {
            method: Method::Get,
            path,
            query: None,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 80,
            generation: 0,
            authority: None,
            headers: Headers::NONE,
            one_packet: usize::MAX,
            takes_parts: false,
            uses_headers: None,
        }
    }

    /// The request that begins with this line.
    pub const fn of_line(line: &RequestLine<'a>) -> Self {
        let RequestLine { method, authority, path, query, headers, .. } = *line;
        Self { method, query, authority, headers, ..Self::get(path) }
    }

    /// What is in a packet, for an answer that is noted to depend on header fields where it does.
    #[inline]
    pub(crate) const fn in_packet(
        line: &RequestLine<'a>,
        (client, port): (IpAddr, u16),
        generation: u8,
        room: Room,
        uses_headers: &'a Cell<bool>,
    ) -> Self {
        let RequestLine { method, authority, path, query, headers, .. } = *line;
        let Room { one_packet, takes_parts } = room;
        let uses_headers = Some(uses_headers);
        Self {
            method,
            path,
            query,
            client,
            port,
            generation,
            authority,
            headers,
            one_packet,
            takes_parts,
            uses_headers,
        }
    }

    /// For this path.
    #[must_use]
    pub const fn with_path(self, path: &'a [u8]) -> Self {
        Self { path, ..self }
    }

    /// With this method.
    #[must_use]
    pub const fn with_method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// With what followed the first `?`.
    #[must_use]
    pub const fn with_query(self, query: Option<&'a [u8]>) -> Self {
        Self { query, ..self }
    }

    /// With these header fields: a section that is complete ends with an empty line.
    #[must_use]
    pub const fn with_headers(self, headers: Headers<'a>) -> Self {
        Self { headers, ..self }
    }

    /// From this address.
    #[must_use]
    pub const fn with_client(self, client: IpAddr) -> Self {
        Self { client, ..self }
    }

    /// To this TCP port.
    #[must_use]
    pub const fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Of this generation.
    #[must_use]
    pub const fn with_generation(self, generation: u8) -> Self {
        Self { generation, ..self }
    }

    /// With so many bytes that a response of one packet may have.
    #[must_use]
    pub const fn with_one_packet(self, one_packet: usize) -> Self {
        Self { one_packet, ..self }
    }

    /// From a client that may be sent a part of a stored response, or not.
    #[must_use]
    pub const fn with_parts(self, takes_parts: bool) -> Self {
        Self { takes_parts, ..self }
    }

    /// The header fields that came in this packet.
    ///
    /// Where they are not all there ([`Headers::is_complete`]), only a response of at most
    /// [`one_packet`](Self::one_packet) bytes is sent from here on: a redirect to a path whose response is the same for
    /// all clients, for example. A longer one becomes a 431 (RFC 6585, section 5).
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        if let Some(uses_headers) = self.uses_headers {
            uses_headers.set(true);
        }
        self.headers
    }

    /// The header fields if all of them are in this packet. A `None` leaves the response free to be of any length.
    ///
    /// To be used where fields can only make the response a *short* one, as `If-None-Match` does: with and without
    /// them, all responses of more than [`one_packet`](Self::one_packet) bytes have to be the same one.
    #[inline]
    pub fn complete_headers(&self) -> Option<Headers<'a>> {
        self.headers.is_complete().then_some(self.headers)
    }

    /// Host and port that the request is for: those of a target in absolute form, or else of the `Host` field (RFC
    /// 9112, section 3.3), which counts as a call of [`headers`](Self::headers). `None` without, and with several
    /// fields.
    pub fn authority(&self) -> Option<&'a [u8]> {
        if self.authority.is_some() {
            return self.authority;
        }
        let headers = self.headers();
        let mut hosts = headers.values("host");
        hosts.next().filter(|_| hosts.next().is_none())
    }

    /// The most bytes, head and body, of a response that goes in one packet, and that cannot be mixed with another: one
    /// less than a segment of a long response has.
    pub const fn one_packet(&self) -> usize {
        self.one_packet
    }

    /// Whether the response may be a part of a stored one that is longer than a packet ([`Response::part_of`]): the
    /// request has a `Range` field and no more can come of it, and the connection of its client can stay open. Where it
    /// may not, and the part does not fit one packet, all is sent (RFC 9110, section 14.2).
    ///
    /// This counts as a call of [`headers`](Self::headers): more of the header section may still ask for a part.
    pub fn takes_parts(&self) -> bool {
        if let Some(uses_headers) = self.uses_headers {
            uses_headers.set(true);
        }
        self.takes_parts
    }

    /// What the engine sends: the response of `app`, without its body for `HEAD`; or that the header section must come
    /// in one packet, where the response depends on it, is longer than one packet, and it has not come as a whole.
    /// `None` where even that is too long.
    pub fn answer<'r, A: App + ?Sized>(self, app: &'r A, scratch: &'r mut [u8]) -> Option<Response<'r>> {
        let uses_headers = Cell::new(false);
        let response = Request { uses_headers: Some(&uses_headers), ..self }.answer_noted(&uses_headers, app, scratch);
        Some(response).filter(|response| !response.is_empty())
    }

    /// What the engine sends, for a request that notes in `uses_headers` what the answer depends on. It is empty where
    /// nothing is sent (fast: no shared place).
    #[inline]
    pub(crate) fn answer_noted<'r, A: App + ?Sized>(
        &self,
        uses_headers: &Cell<bool>,
        app: &'r A,
        scratch: &'r mut [u8],
    ) -> Response<'r> {
        let mut response = app.respond(self, scratch);
        if self.method == Method::Head {
            response = response.without_body();
        }
        // A part goes by its client's ACKs, or in one packet.
        if response.is_part() && response.len() > self.one_packet && (!self.takes_parts || response.whole().is_none()) {
            return Response::OVERFLOW;
        }
        // If the fields that it depends on are not all here it is one packet, or it is none.
        if uses_headers.get() && response.len() > self.one_packet && !self.headers.is_complete() {
            response = self.headers_cut();
        }
        response
    }

    /// Says that the header section has to come in one packet, if that fits one packet.
    #[cold]
    const fn headers_cut(&self) -> Response<'static> {
        let refusal = Response::HEADERS_CUT;
        if refusal.len() <= self.one_packet { refusal } else { Response::prepared(b"", b"") }
    }
}

/// How much of a response can go out.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// The most bytes of one that goes in one packet.
    pub(crate) one_packet: usize,
    /// Whether it may be a part of a stored one.
    pub(crate) takes_parts: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;

    /// Answers with 100 bytes. It looks at header fields where the path begins with `/f`, at complete ones where it
    /// begins with `/c`, and for the authority where it begins with `/a`.
    struct Looks;

    impl App for Looks {
        fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            match request.path {
                [b'/', b'f', ..] => drop(request.with_query(None).headers()),
                [b'/', b'c', ..] => drop(request.complete_headers()),
                [b'/', b'a', ..] => drop(request.authority()),
                _ => {}
            }
            Response::build(scratch, Status::Ok).body(&[b'x'; 100])
        }
    }

    /// The status of the answer to a request for a path, with these header fields, in packets of so many bytes.
    fn status(path: &[u8], section: &[u8], one_packet: usize) -> Option<Status> {
        let mut scratch = [0; 512];
        let request = Request::get(path).with_headers(Headers::new(section)).with_one_packet(one_packet);
        let response = request.answer(&Looks, &mut scratch)?;
        [Status::Ok, Status::RequestHeaderFieldsTooLarge]
            .into_iter()
            .find(|status| response.head().starts_with(status.line().as_bytes()))
    }

    #[test]
    fn what_depends_on_fields_that_may_still_come_is_one_packet_or_none() {
        let (cut, whole) = (b"Host: a\r\n", b"Host: a\r\n\r\n");
        for path in [&b"/f"[..], b"/a"] {
            assert_eq!(status(path, whole, 150), Some(Status::Ok));
            assert_eq!(status(path, cut, 200), Some(Status::Ok));
            assert_eq!(status(path, cut, 150), Some(Status::RequestHeaderFieldsTooLarge));
            assert_eq!(status(path, cut, 50), None);
        }
    }

    #[test]
    fn what_does_not_depend_on_fields_is_as_long_as_it_is() {
        for path in [&b"/"[..], b"/c"] {
            for section in [&b""[..], b"Host: a\r\n", b"Host: a\r\n\r\n"] {
                assert_eq!(status(path, section, 50), Some(Status::Ok));
            }
        }
    }

    #[test]
    fn an_application_that_says_nothing_of_storing_stores_nothing() {
        let position = Position::new(0).unwrap();
        assert!(Looks.stored(position).is_none() && !Looks.stores());
        assert_eq!(Looks.generations(), Generations::ONE);
    }

    /// Stores one response, and has two generations.
    struct Keeps;

    impl App for Keeps {
        fn respond<'a>(&'a self, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
            Response::OVERFLOW
        }

        fn stored(&self, position: Position) -> Option<Response<'_>> {
            Some(Response::prepared(b"kept", b"").stored_at(position))
        }

        fn stores(&self) -> bool {
            true
        }

        fn generations(&self) -> Generations {
            Generations { current: 1, live: 3 }
        }

        fn methods(&self) -> Methods {
            Methods::GET_AND_HEAD.with(Method::Put)
        }
    }

    #[test]
    fn a_reference_to_an_application_is_that_application() {
        let position = Position::new(7).unwrap();
        let by_reference: &dyn App = &&Keeps;
        assert_eq!(by_reference.stored(position), Keeps.stored(position));
        assert!(by_reference.stores() && !(&Looks as &dyn App).stores() && !App::stores(&&Looks));
        assert_eq!(by_reference.generations(), Keeps.generations());
        assert_eq!(by_reference.methods(), Keeps.methods());
    }

    #[test]
    fn a_stored_response_takes_the_positions_of_its_bytes_and_of_its_end() {
        let units = [0, 511, 512, 513, 1023, 1024, 5000].map(Position::units);
        assert_eq!(units, [1, 1, 2, 2, 2, 3, 15]);
    }

    #[test]
    fn a_request_tells_what_it_was_made_with() {
        let request = Request::get(b"/")
            .with_path(b"/a")
            .with_method(Method::Head)
            .with_query(Some(b"b"))
            .with_generation(3)
            .with_one_packet(77)
            .with_port(8080)
            .with_client(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .with_headers(Headers::new(b"Host: h\r\n\r\n"));
        assert_eq!((request.method, request.path, request.query), (Method::Head, &b"/a"[..], Some(&b"b"[..])));
        assert_eq!((request.generation, request.port, request.one_packet()), (3, 8080, 77));
        assert_eq!(request.client, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let host = |headers: Headers<'_>| headers.values("host").next().map(<[u8]>::to_vec);
        assert_eq!(host(request.headers()), Some(b"h".to_vec()));
        assert_eq!(request.complete_headers().map(host), Some(Some(b"h".to_vec())));
        assert!(request.with_headers(Headers::new(b"Host: h\r\n")).complete_headers().is_none());
    }

    #[test]
    fn the_authority_of_the_target_wins_over_host_and_two_hosts_are_none() {
        let authority = |text: &'static str| {
            let line = RequestLine::parse(text.as_bytes()).ok()?;
            Request::of_line(&line).authority()
        };
        assert_eq!(authority("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"), Some(&b"a"[..]));
        assert_eq!(authority("GET / HTTP/1.1\r\nHOST:  b:80 \r\n\r\n"), Some(&b"b:80"[..]));
        assert_eq!(authority("GET / HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n"), None);
        assert_eq!(authority("GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_request_has_all_that_its_line_has() {
        let line = RequestLine::parse(b"HEAD http://h/a?b HTTP/1.1\r\nA: c\r\n\r\n").unwrap();
        let request = Request::of_line(&line);
        assert_eq!((request.method, request.path, request.query), (Method::Head, &b"/a"[..], Some(&b"b"[..])));
        assert_eq!(request.authority(), Some(&b"h"[..]));
        assert!(request.headers().iter().eq([(&b"A"[..], &b"c"[..])]));
    }

    #[test]
    fn there_are_positions_for_8_gib_less_one_mib() {
        assert_eq!(u64::from(Position::COUNT) * Position::UNIT as u64, (8 << 30) - (1 << 20));
    }
}
