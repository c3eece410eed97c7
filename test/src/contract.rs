//! What an application owes the engine, checked by asking it.
//!
//! The engine trusts an application: that it gives the same bytes for the same request, that a head says how long its
//! body is, that what it calls stored can be found again, and that no two stored responses share a position. An
//! application that breaks this corrupts downloads, or hangs its clients, and the engine cannot see it.
//! [`check_app`] can: it asks for responses as the engine would, from every side.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use lethe::app::{App, Generations, Position, Request};
use lethe::engine::SCRATCH_LEN;
use lethe::http::{Method, RequestLine, Response};
use lethe::wire::checksum::Sum;

use crate::request::{self, TestRequest, first_line};

/// The sizes that a response of one packet may have: to a client with an MSS of 536 and timestamps, one of a tunnel,
/// and one of Ethernet.
const ONE_PACKET: [usize; 3] = [523, 1207, 1447];

/// What was in the scratch buffer before.
const DIRT: [u8; 2] = [0x5a, 0xff];

/// Which part of the contract does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Breach {
    /// Nothing was asked, so nothing was checked.
    #[error("there is no request to check it with")]
    NoRequest,
    /// What is to be asked is no request that reaches an application.
    #[error("it is no complete request for an application: {0}")]
    Request(&'static str),
    /// The same request was answered with other bytes.
    #[error("the same request is answered with other bytes the second time, at byte {0}")]
    Varies(usize),
    /// The head is no head of a response (RFC 9112, sections 4 and 5).
    #[error("the head is malformed: {0}")]
    Head(String),
    /// The `Content-Length` is not the length of the body.
    #[error("Content-Length is {said}, and the body has {is} bytes")]
    Length {
        /// What the head says.
        said: String,
        /// How many there are.
        is: usize,
    },
    /// It is a 500 without a body: what is sent in place of a response that could not be made.
    #[error(
        "the answer is an empty 500: it does not fit the {SCRATCH_LEN} bytes that a response is made in (store longer \
         ones), or a field value would end its field"
    )]
    Overflow,
    /// The response to `HEAD` has another head (RFC 9110, section 9.3.2).
    #[error("HEAD has another head than GET")]
    HeadDiffers,
    /// The sum that it came with is not that of its bytes.
    #[error("its checksum is wrong: no client would take it")]
    Sum,
    /// It has a position, and `App::stores` says that there are none.
    #[error("it is stored at {0:?}, and App::stores says that nothing is: its clients' ACKs are not looked at")]
    StoresNothing(Position),
    /// Its positions end beyond the last.
    #[error("it is stored at {0:?}, and its end has no position")]
    PositionEnd(Position),
    /// Its positions are not those of its generation, which a replacement of the data may take.
    #[error("it is stored at {position:?}, outside of generation {generation}")]
    PositionGeneration {
        /// Where it begins.
        position: Position,
        /// The generation that was asked for.
        generation: u8,
    },
    /// `App::stored` does not give it for one of its positions.
    #[error("App::stored gives {got} for {position:?}, where this response is")]
    Stored {
        /// The position that was asked for.
        position: Position,
        /// What was found there.
        got: &'static str,
    },
    /// It is a part of a stored response, and no such part of that, or was not to be one.
    #[error("it is a part of what is stored at {position:?}, {why}")]
    Part {
        /// Where that is stored.
        position: Position,
        /// What is wrong.
        why: &'static str,
    },
    /// Another response has some of its positions.
    #[error("its positions from {position:?} on belong to the response to `{other}` as well")]
    Overlap {
        /// The first that both have.
        position: Position,
        /// The other request's first line.
        other: String,
    },
    /// It is longer than a packet, and another one for the same request with fewer header fields is so too.
    #[error(
        "with {cut} of {whole} bytes of the request the response is another one, and neither fits a packet: a client \
         whose request comes in pieces could get half of each"
    )]
    Mixed {
        /// How much of the request had come,
        cut: usize,
        /// and how long all of it is.
        whole: usize,
    },
    /// The generations that it names are not such.
    #[error("its generations are {0:?}: the current one is not live, or there is no such")]
    Generations(Generations),
}

/// A request whose answer breaks the contract.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Its first line.
    pub request: String,
    /// How.
    pub breach: Breach,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.breach {
            Breach::NoRequest => write!(f, "{}", self.breach),
            _ => write!(f, "`{}`: {}", self.request, self.breach),
        }
    }
}

impl std::error::Error for Broken {}

/// Asks an application these requests, and panics at the first answer that breaks the contract.
///
/// ```
/// use lethe::http::{Response, Status};
/// use lethe::{App, Request};
///
/// struct Hello;
///
/// impl App for Hello {
///     fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
///         Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body(b"hello\n")
///     }
/// }
///
/// lethe_test::check_app(&Hello, ["/", "/a?b=c"]);
/// ```
///
/// # Panics
///
/// With what [`try_check_app`] returns.
#[track_caller]
pub fn check_app<A: App + ?Sized>(app: &A, requests: impl IntoIterator<Item = impl Into<TestRequest>>) {
    if let Err(broken) = try_check_app(app, requests) {
        panic!("{broken}");
    }
}

/// Asks an application these requests, and checks every answer.
///
/// ```
/// use lethe::http::{Response, Status};
/// use lethe::{App, Request};
///
/// /// Says that its body is longer than it is.
/// struct Wrong;
///
/// impl App for Wrong {
///     fn respond<'a>(&'a self, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
///         Response::prepared(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"hello")
///     }
/// }
///
/// let broken = lethe_test::try_check_app(&Wrong, ["/"]).unwrap_err();
/// assert_eq!(broken.to_string(), "`GET / HTTP/1.1`: Content-Length is 6, and the body has 5 bytes");
/// ```
///
/// # Errors
///
/// The first answer that breaks the contract.
pub fn try_check_app<A: App + ?Sized>(
    app: &A,
    requests: impl IntoIterator<Item = impl Into<TestRequest>>,
) -> Result<(), Broken> {
    let requests = request::all(requests);
    if requests.is_empty() {
        return Err(Broken { request: String::new(), breach: Breach::NoRequest });
    }
    let mut stored = BTreeMap::new();
    for request in &requests {
        let broken = |breach| Broken { request: first_line(request), breach };
        check_request(app, request, &mut stored).map_err(broken)?;
    }
    Ok(())
}

/// Where each stored response that was seen begins; how many positions it takes, its bytes, and its request.
type Stored = BTreeMap<u32, (u32, Vec<u8>, String)>;

fn check_request<A: App + ?Sized>(app: &A, request: &[u8], stored: &mut Stored) -> Result<(), Breach> {
    let generations = app.generations();
    if generations.current >= Generations::COUNT || generations.live >> generations.current & 1 == 0 {
        return Err(Breach::Generations(generations));
    }
    if let Some(problem) = request::problem(app, request) {
        return Err(Breach::Request(problem));
    }
    for generation in (0..Generations::COUNT).filter(|generation| generations.live >> generation & 1 == 1) {
        for one_packet in ONE_PACKET {
            check_part(app, request, generation, one_packet)?;
            check_answer(app, request, generation, one_packet, stored)?;
            check_cuts(app, request, generation, one_packet)?;
        }
    }
    Ok(())
}

/// The request in this packet, as the engine hands it over.
fn asked<'p, A: App + ?Sized>(app: &A, packet: &'p [u8], generation: u8, one_packet: usize) -> Option<Request<'p>> {
    let line = RequestLine::parse_for(app.methods(), packet).ok()?;
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    Some(Request::of_line(&line).with_client(client).with_generation(generation).with_one_packet(one_packet))
}

fn check_answer<A: App + ?Sized>(
    app: &A,
    packet: &[u8],
    generation: u8,
    one_packet: usize,
    seen: &mut Stored,
) -> Result<(), Breach> {
    let Some(request) = asked(app, packet, generation, one_packet) else { return Ok(()) };
    let answers = DIRT.map(|dirt| {
        let mut scratch = vec![dirt; SCRATCH_LEN];
        request.answer(app, &mut scratch).map(|response| [response.head(), response.body()].concat())
    });
    let [Some(first), Some(second)] = answers else { return Ok(()) };
    if first != second {
        let differs = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
        return Err(Breach::Varies(differs));
    }
    let mut scratch = vec![0; SCRATCH_LEN];
    let Some(response) = request.answer(app, &mut scratch) else { return Ok(()) };
    check_head(&response, request.method)?;
    if response.known_sum().is_some_and(|sum| sum != Sum::new().with(&first).folded()) {
        return Err(Breach::Sum);
    }
    // RFC 9110, section 14.2: of `GET` alone there are parts.
    let is_of_part = response.whole().is_some() || [b"HTTP/1.1 206", b"HTTP/1.1 416"].contains(&first_bytes(&response));
    if request.method == Method::Get && !is_of_part {
        let mut scratch = vec![0; SCRATCH_LEN];
        let head = request.with_method(Method::Head).answer(app, &mut scratch);
        if head.is_some_and(|head| head.head() != response.head() || !head.body().is_empty()) {
            return Err(Breach::HeadDiffers);
        }
    }
    if let Some(position) = response.position() {
        check_stored(app, &response, position, generation)?;
        check_place(&response, position, packet, seen)?;
    }
    Ok(())
}

/// Version and status.
fn first_bytes<'r>(response: &Response<'r>) -> &'r [u8; 12] {
    response.head().first_chunk().unwrap_or(&[0; 12])
}

/// Whether what is a part of a stored response is the end of that, and only where it may be.
fn check_part<A: App + ?Sized>(app: &A, packet: &[u8], generation: u8, one_packet: usize) -> Result<(), Breach> {
    let Some(request) = asked(app, packet, generation, one_packet) else { return Ok(()) };
    let mut scratch = vec![0; SCRATCH_LEN];
    for takes_parts in [false, true] {
        let response = app.respond(&request.with_parts(takes_parts), &mut scratch);
        let Some(position) = response.whole() else { continue };
        let breach = |why| Err(Breach::Part { position, why });
        check_head(&response, request.method)?;
        if !app.stores_parts() {
            return breach("and App::stores_parts says that there are none");
        }
        if !takes_parts && response.len() > one_packet {
            return breach("longer than a packet, and Request::takes_parts says that it may not be one");
        }
        let Some(whole) = app.stored(position).filter(|whole| whole.position() == Some(position)) else {
            return breach("where App::stored gives nothing that begins there");
        };
        if response.body().is_empty() || !whole.body().ends_with(response.body()) {
            return breach("and not its end");
        }
    }
    Ok(())
}

/// A status line, then fields, each a name, a colon and a value without control characters; a length that is right, and
/// nothing that says how the body is framed besides.
fn check_head(response: &Response<'_>, method: Method) -> Result<(), Breach> {
    let malformed = |what: &str| Err(Breach::Head(what.to_owned()));
    let Some(head) = str::from_utf8(response.head()).ok().and_then(|head| head.strip_suffix("\r\n\r\n")) else {
        return malformed("it does not end with an empty line, or is not UTF-8");
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let code = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    let Some(code) = code.filter(|code| (200..600).contains(code)) else {
        return malformed("its status line");
    };
    if code == 500 && method != Method::Head && response.body().is_empty() {
        return Err(Breach::Overflow);
    }
    let mut lengths = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return malformed(&format!("the field `{line}`")) };
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|byte| byte < 32 && byte != b'\t') {
            return malformed(&format!("the field `{}`", line.escape_debug()));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return malformed("it has Transfer-Encoding beside a length");
        }
        if name.eq_ignore_ascii_case("content-length") {
            lengths.push(value.trim().to_owned());
        }
    }
    let is = response.body().len();
    match lengths.as_slice() {
        [] if matches!(code, 204 | 304) && is == 0 => Ok(()),
        [said] if method == Method::Head && is == 0 && said.parse::<u64>().is_ok() => Ok(()),
        [said] if *said == is.to_string() => Ok(()),
        _ => Err(Breach::Length { said: lengths.join(" and "), is }),
    }
}

/// Whether it is found again at each of its positions.
fn check_stored<A: App + ?Sized>(
    app: &A,
    response: &Response<'_>,
    first: Position,
    generation: u8,
) -> Result<(), Breach> {
    if !app.stores() {
        return Err(Breach::StoresNothing(first));
    }
    let units = Position::units(response.len()) as u32;
    let last = first.value().checked_add(units - 1).and_then(Position::new).ok_or(Breach::PositionEnd(first))?;
    let begin = u32::from(generation) * Position::PER_GENERATION;
    let positions = begin..begin.saturating_add(app.positions().min(Position::PER_VERSION));
    let is_of_version =
        |position| app.generations().of(position) == Some(generation) && positions.contains(&position.value());
    if !is_of_version(first) || !is_of_version(last) {
        return Err(Breach::PositionGeneration { position: first, generation });
    }
    for position in (first.value()..=last.value()).filter_map(Position::new) {
        let got = match app.stored(position) {
            Some(stored) if stored == *response => continue,
            Some(_) => "another response",
            None => "nothing",
        };
        return Err(Breach::Stored { position, got });
    }
    Ok(())
}

/// Whether it is alone at its positions.
fn check_place(response: &Response<'_>, first: Position, packet: &[u8], seen: &mut Stored) -> Result<(), Breach> {
    let (from, units) = (first.value(), Position::units(response.len()) as u32);
    let bytes = [response.head(), response.body()].concat();
    if let Some((&other, (other_units, other_bytes, request))) = seen.range(..from + units).next_back()
        && other + other_units > from
        && (other, other_bytes) != (from, &bytes)
    {
        let position = Position::new(from.max(other)).unwrap_or(first);
        return Err(Breach::Overlap { position, other: request.clone() });
    }
    seen.entry(from).or_insert_with(|| (units, bytes, first_line(packet)));
    Ok(())
}

/// Whether all responses of several packets, to the request and to all beginnings of it, are the same.
fn check_cuts<A: App + ?Sized>(app: &A, request: &[u8], generation: u8, one_packet: usize) -> Result<(), Breach> {
    let mut long: Option<Vec<u8>> = None;
    let mut scratch = vec![0; SCRATCH_LEN];
    for end in (1..=request.len()).rev() {
        let Some(asked) = asked(app, &request[..end], generation, one_packet) else { break };
        let Some(response) = asked.answer(app, &mut scratch) else { continue };
        if response.len() <= one_packet {
            continue;
        }
        let bytes = [response.head(), response.body()].concat();
        if long.get_or_insert_with(|| bytes.clone()) != &bytes {
            return Err(Breach::Mixed { cut: end, whole: request.len() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lethe::http::Status;
    use lethe_sim::sample::Sample;
    use lethe_sim::sites::{self, Site};

    /// An application of a function each; what is not given is as it should be.
    struct Made {
        respond: for<'a> fn(&Request<'_>, &'a mut [u8]) -> Response<'a>,
        stored: fn(Position) -> Option<Response<'static>>,
        stores: bool,
        generations: Generations,
    }

    const RIGHT: Made = Made {
        respond: |_, scratch| Response::build(scratch, Status::Ok).body(b"hello"),
        stored: |_| None,
        stores: true,
        generations: Generations::ONE,
    };

    impl App for Made {
        fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
            (self.respond)(request, scratch)
        }

        fn stored(&self, position: Position) -> Option<Response<'_>> {
            (self.stored)(position)
        }

        fn stores(&self) -> bool {
            self.stores
        }

        fn generations(&self) -> Generations {
            self.generations
        }
    }

    const REQUESTS: [&[u8]; 2] = [b"GET /a HTTP/1.1\r\nAccept: x\r\n\r\n", b"GET /b HTTP/1.1\r\nAccept: x\r\n\r\n"];

    #[track_caller]
    fn breach(app: &Made) -> Breach {
        try_check_app(app, REQUESTS).unwrap_err().breach
    }

    const PAGE: &[u8] = &[b'x'; 2000];
    const OTHER: &[u8] = &[b'y'; 2000];
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n";

    fn at(unit: u32) -> Position {
        Position::new(unit).unwrap()
    }

    fn page(body: &'static [u8], unit: u32) -> Response<'static> {
        Response::prepared(HEAD, body).stored_at(at(unit))
    }

    #[test]
    fn an_answer_that_could_not_be_made_is_found() {
        const LONG: &[u8] = &[b'x'; SCRATCH_LEN];
        let respond: for<'a> fn(&Request<'_>, &'a mut [u8]) -> Response<'a> =
            |_, scratch| Response::build(scratch, Status::Ok).body_with(|body| body.push_bytes(LONG));
        let long = Made { respond, ..RIGHT };
        assert_eq!(breach(&long), Breach::Overflow);
        let field =
            Made { respond: |_, scratch| Response::build(scratch, Status::Ok).header("A", "b\n").body(b""), ..RIGHT };
        assert_eq!(breach(&field), Breach::Overflow);
    }

    #[test]
    fn applications_that_keep_the_contract_pass() {
        assert_eq!(try_check_app(&RIGHT, REQUESTS), Ok(()));
        assert_eq!(
            try_check_app(&Sample::new(100_000), ["GET /65536 HTTP/1.1\r\n\r\n", "HEAD /32768 HTTP/1.1\r\n\r\n"]),
            Ok(())
        );
    }

    #[test]
    fn the_applications_of_this_workspace_pass() {
        for site in Site::ALL {
            let site = sites::build(site);
            // Long cookies cost much and show nothing here.
            let requests: Vec<_> = site.requests.into_iter().filter(|request| request.len() < 1000).collect();
            try_check_app(&*site.app, &requests).unwrap_or_else(|broken| panic!("{broken}"));
        }
    }

    #[test]
    fn what_is_no_complete_request_is_told() {
        for (request, why) in [
            ("GET / HTTP/1.1", "its first line does not end"),
            ("GET / HTTP/1.1\r\nHost: h\r\n", "no empty line ends its header fields"),
            ("POST / HTTP/1.1\r\n\r\n", "App::methods does not have its method"),
        ] {
            let broken = try_check_app(&RIGHT, [request]).unwrap_err();
            assert_eq!(broken.breach, Breach::Request(why));
            assert!(broken.to_string().starts_with(&format!("`{}`: ", first_line(request.as_bytes()))));
        }
    }

    #[test]
    fn a_response_that_shows_what_was_in_the_scratch_buffer_is_found() {
        let leaky = Made {
            respond: |_, scratch| Response::prepared(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", &scratch[..4]),
            ..RIGHT
        };
        assert_eq!(breach(&leaky), Breach::Varies(38));
    }

    #[test]
    fn a_wrong_length_is_found() {
        let wrong = Made { respond: |_, _| Response::prepared(HEAD, b"hello"), ..RIGHT };
        assert_eq!(breach(&wrong), Breach::Length { said: "2000".to_owned(), is: 5 });
        let none = Made { respond: |_, _| Response::prepared(b"HTTP/1.1 200 OK\r\n\r\n", b"hello"), ..RIGHT };
        assert_eq!(breach(&none), Breach::Length { said: String::new(), is: 5 });
    }

    #[test]
    fn a_malformed_head_is_found() {
        for head in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"[..],
            b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno field\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        ] {
            let lines: &'static [u8] = head;
            let request = asked(&RIGHT, REQUESTS[0], 0, 1447).unwrap();
            assert!(matches!(check_head(&Response::prepared(lines, b""), request.method), Err(Breach::Head(_))));
        }
    }

    #[test]
    fn a_wrong_sum_is_found() {
        let wrong = Made { respond: |_, _| Response::prepared(HEAD, PAGE).with_sum(7), ..RIGHT };
        assert_eq!(breach(&wrong), Breach::Sum);
    }

    #[test]
    fn a_stored_response_that_is_not_found_again_is_found() {
        assert_eq!(
            breach(&Made { respond: |_, _| page(PAGE, 10), ..RIGHT }),
            Breach::Stored { position: at(10), got: "nothing" }
        );
        let other = Made { respond: |_, _| page(PAGE, 10), stored: |_| Some(page(OTHER, 10)), ..RIGHT };
        assert_eq!(breach(&other), Breach::Stored { position: at(10), got: "another response" });
        let short = Made {
            respond: |_, _| page(PAGE, 10),
            stored: |position| (position.value() < 13).then(|| page(PAGE, 10)),
            ..RIGHT
        };
        assert_eq!(breach(&short), Breach::Stored { position: at(13), got: "nothing" });
        let forgotten =
            Made { respond: |_, _| page(PAGE, 10), stored: |_| Some(page(PAGE, 10)), stores: false, ..RIGHT };
        assert_eq!(breach(&forgotten), Breach::StoresNothing(at(10)));
    }

    #[test]
    fn a_part_that_is_none_is_found() {
        const END: &[u8] = &[b'x'; 1999];
        fn part<'a>(scratch: &'a mut [u8], body: &'static [u8], unit: u32) -> Response<'a> {
            Response::build(scratch, Status::PartialContent).body(body).part_of(at(unit))
        }
        fn may_be_part(request: &Request<'_>) -> bool {
            request.takes_parts()
        }
        struct Parts(fn(&Request<'_>) -> bool, &'static [u8], u32);
        impl App for Parts {
            fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
                if self.0(request) { part(scratch, self.1, self.2) } else { page(PAGE, 10) }
            }

            fn stored(&self, position: Position) -> Option<Response<'_>> {
                (10..20).contains(&position.value()).then(|| page(PAGE, 10))
            }

            fn stores(&self) -> bool {
                true
            }

            fn stores_parts(&self) -> bool {
                true
            }
        }
        let breach = |app: &Parts| try_check_app(app, REQUESTS).unwrap_err().breach.to_string();
        assert_eq!(try_check_app(&Parts(may_be_part, END, 10), REQUESTS), Ok(()));
        assert!(breach(&Parts(|_| true, END, 10)).contains("Request::takes_parts says that it may not"));
        assert!(breach(&Parts(may_be_part, OTHER, 10)).contains("not its end"));
        assert!(breach(&Parts(may_be_part, END, 11)).contains("nothing that begins there"));
        let none = Made { respond: |_, scratch| part(scratch, b"x", 10), ..RIGHT };
        assert!(try_check_app(&none, REQUESTS).unwrap_err().to_string().contains("App::stores_parts"));
    }

    #[test]
    fn positions_beyond_the_last_or_of_another_generation_are_found() {
        let last = Made {
            respond: |_, _| page(PAGE, Position::COUNT - 2),
            stored: |_| Some(page(PAGE, Position::COUNT - 2)),
            ..RIGHT
        };
        assert_eq!(breach(&last), Breach::PositionEnd(at(Position::COUNT - 2)));
        let astray = Made {
            respond: |_, _| page(PAGE, Position::PER_GENERATION - 1),
            stored: |_| Some(page(PAGE, Position::PER_GENERATION - 1)),
            ..RIGHT
        };
        let position = at(Position::PER_GENERATION - 1);
        assert_eq!(breach(&astray), Breach::PositionGeneration { position, generation: 0 });
        let dead = Made { generations: Generations { current: 1, live: 1 }, ..RIGHT };
        assert!(matches!(breach(&dead), Breach::Generations(_)));
    }

    #[test]
    fn two_responses_at_one_position_are_found() {
        let both = Made {
            respond: |request, _| if request.path == b"/a" { page(PAGE, 10) } else { page(OTHER, 12) },
            // What a table would say that has both.
            stored: |position| Some(if position.value() < 12 { page(PAGE, 10) } else { page(OTHER, 12) }),
            ..RIGHT
        };
        assert_eq!(breach(&both), Breach::Stored { position: at(12), got: "another response" });
        let mut seen = Stored::new();
        assert_eq!(check_place(&page(PAGE, 10), at(10), b"GET /a HTTP/1.1\r\n", &mut seen), Ok(()));
        assert_eq!(check_place(&page(PAGE, 10), at(10), b"GET /A HTTP/1.1\r\n", &mut seen), Ok(()));
        for unit in [7, 9, 10, 13] {
            let overlap = Breach::Overlap { position: at(unit.max(10)), other: "GET /a HTTP/1.1".to_owned() };
            assert_eq!(check_place(&page(OTHER, unit), at(unit), b"GET /b HTTP/1.1\r\n", &mut seen), Err(overlap));
        }
        assert_eq!(check_place(&page(OTHER, 19), at(19), b"GET /b HTTP/1.1\r\n", &mut seen), Ok(()));
    }

    #[test]
    fn long_responses_that_differ_by_fields_that_may_still_come_are_found() {
        let mixed = Made {
            respond: |request, _| {
                Response::prepared(HEAD, if request.complete_headers().is_some() { PAGE } else { OTHER })
            },
            ..RIGHT
        };
        assert_eq!(breach(&mixed), Breach::Mixed { cut: 29, whole: 30 });
        let safe = Made {
            respond: |request, _| Response::prepared(HEAD, if request.headers().is_complete() { PAGE } else { OTHER }),
            ..RIGHT
        };
        assert_eq!(try_check_app(&safe, REQUESTS), Ok(()));
    }
}
