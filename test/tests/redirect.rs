//! What an author would write for the redirect application of the book, and for wrong ones, each of which is found.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use lethe::app::{App, Position, Request};
use lethe::http::{Method, Methods, Response, Status, Writer};
use lethe_test::{Breach, SimulationError, TestRequest, check_app, simulate, try_check_app};

/// The hosts that have moved, and where to.
const MOVED: [(&[u8], &str); 2] =
    [(b"old.example", "https://new.example"), (b"older.example", "https://www.new.example")];

const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// Redirects by `Host`, has no content at `/health`, and one stored page of 200 kB at `/page`.
struct Redirect {
    head: Vec<u8>,
    page: Vec<u8>,
}

impl Redirect {
    fn new() -> Self {
        Self::with_page(200_000)
    }

    fn with_page(bytes: u32) -> Self {
        let page: Vec<u8> = (0..bytes).map(|at| b"0123456789abcdefghijklmnopqrstuvwxyz\n"[at as usize % 37]).collect();
        let mut scratch = [0; 512];
        let response = Response::build(&mut scratch, Status::Ok).header("Content-Type", "text/plain").body(&page);
        Self { head: response.head().to_vec(), page }
    }

    fn stored_page(&self) -> Response<'_> {
        Response::prepared(&self.head, &self.page).stored_at(Position::new(0).expect("the first there is"))
    }
}

impl App for Redirect {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        match request.path {
            b"/health" => return Response::prepared(NO_CONTENT, b""),
            b"/page" => return self.stored_page(),
            _ => {}
        }
        let host = request.authority();
        let Some((_, new)) = MOVED.iter().find(|(old, _)| Some(*old) == host) else {
            return Response::build(scratch, Status::NotFound).body(b"There is no such site here.\n");
        };
        let location = |location: &mut Writer<'_>| {
            location.push(new);
            location.push_bytes(request.path);
        };
        Response::build(scratch, Status::MovedPermanently).header_with("Location", location).body(b"")
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        let units = Position::units(self.stored_page().len()) as u32;
        (position.value() < units).then(|| self.stored_page())
    }

    fn stores(&self) -> bool {
        true
    }
}

/// Has another answer to POST.
struct Form;

impl App for Form {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let text: &[u8] = if request.method == Method::Post { b"posted\n" } else { b"the form\n" };
        Response::build(scratch, Status::Ok).body(text)
    }

    fn methods(&self) -> Methods {
        Methods::GET_AND_HEAD.with(Method::Post)
    }
}

#[test]
fn other_methods_are_tested_as_well() {
    let requests = || ["/".into(), TestRequest::with_method("POST", "/").header("Content-Length", "0")];
    check_app(&Form, requests());
    assert!(simulate(&Form, requests()).loss("5%").split().seeds(0..5).run().unwrap().completed > 50);
    let redirect = Redirect::new();
    let said = try_check_app(&redirect, requests()).unwrap_err().to_string();
    assert_eq!(
        said,
        "`POST / HTTP/1.1`: it is no complete request for an application: App::methods does not have its method"
    );
}

fn requests() -> Vec<TestRequest> {
    let moved = ["old.example", "older.example", "neither.example"];
    let paths = ["/", "/a/long/path?with=query"];
    let mut all: Vec<TestRequest> = vec!["/page".into(), "/health".into(), TestRequest::head("/page")];
    for host in moved {
        all.extend(paths.map(|path| TestRequest::get(path).header("Cookie", &"c".repeat(300)).header("Host", host)));
    }
    all.push(TestRequest::from("GET / HTTP/1.0\r\n\r\n"));
    all
}

#[test]
fn it_keeps_the_contract() {
    check_app(&Redirect::new(), requests());
}

#[test]
fn every_client_gets_its_reply_over_any_network() {
    let app = Redirect::new();
    let report = simulate(&app, requests()).split().seeds(0..20).run().unwrap();
    assert!(report.completed > 500, "{report}");
}

#[test]
fn every_client_gets_its_reply_where_one_frame_in_twenty_is_lost() {
    let app = Redirect::new();
    let long = simulate(&app, ["/page"]).loss("5%").delay(Duration::from_millis(20)).clients(30).seeds(0..10);
    let report = long.run().unwrap();
    assert!(report.completed > 100, "{report}");
    let whole = simulate(&app, requests()).loss(0.05).reorder("10%").duplicate("5%").mtu(1400).seeds(0..10);
    assert!(whole.run().unwrap().completed > 250);
}

/// In some of these runs the server's MTU is so small that the first segment of the request lacks its last field.
#[test]
fn a_kept_connection_asks_nothing_that_its_first_segment_does_not_tell() {
    let long = TestRequest::get("/").header("Cookie", &"c".repeat(900)).header("Host", "old.example");
    for seed in [0, 30, 34, 43] {
        let app = Redirect::new();
        let report = simulate(&app, [long.clone()]).keep_alive(8).clients(100).seeds(seed..seed + 1).run();
        assert!(report.as_ref().is_ok_and(|report| report.completed > 0), "{report:?}");
    }
}

/// Seeds where an old connection without timestamps, between the same ports, is sent a probe, or has a cookie that is
/// so near to the new one that the responses reach into one another.
#[test]
fn an_old_connection_between_the_same_ports_breaks_no_rule() {
    let app = Redirect::with_page(150_000);
    for seed in [44, 48, 49, 58] {
        let report = simulate(&app, ["/page"]).loss("5%").split().clients(500).seeds(seed..seed + 1).run().unwrap();
        assert!(report.completed > 100, "{report}");
    }
}

#[test]
fn recorded_clients_get_answers_that_break_no_rule_however_they_are_changed() {
    let app = Redirect::new();
    let captures = lethe_test::captures("../pcaps/*.pcap").secret([0; 16]);
    let captures = captures.addresses(["10.9.0.2", "fd09::2"]).unwrap().requests_only();
    let replayed = captures.replay(&app).unwrap();
    assert!(replayed.responses() > 50);
    assert!(replayed.mutate(20).unwrap().frames > 10_000);
}

/// An application that is wrong: `Redirect`, but for some of its paths.
struct Wrong {
    inner: Redirect,
    respond: for<'a> fn(&'a Self, &Request<'_>, &'a mut [u8]) -> Response<'a>,
    asked: Cell<u64>,
    other: Vec<u8>,
}

impl Wrong {
    fn new(respond: for<'a> fn(&'a Self, &Request<'_>, &'a mut [u8]) -> Response<'a>) -> Self {
        Self { inner: Redirect::new(), respond, asked: Cell::new(0), other: vec![b'x'; 200_000] }
    }
}

impl App for Wrong {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        if request.path.starts_with(b"/wrong") {
            return (self.respond)(self, request, scratch);
        }
        self.inner.respond(request, scratch)
    }

    fn stored(&self, position: Position) -> Option<Response<'_>> {
        self.inner.stored(position)
    }

    fn stores(&self) -> bool {
        true
    }
}

/// Every request answers with another number.
fn impure<'a>(wrong: &'a Wrong, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    wrong.asked.set(wrong.asked.get() + 1);
    Response::build(scratch, Status::Ok).body_with(|body| body.push_decimal(wrong.asked.get()))
}

/// The body is shorter than the head says.
fn short<'a>(_: &'a Wrong, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
    Response::prepared(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n", b"Hello, world\n")
}

/// A page of several packets in the language that is asked for, where that has come already.
fn by_later_field<'a>(_: &'a Wrong, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    let language = request.complete_headers().and_then(|headers| headers.values("accept-language").next());
    let line: &[u8] = if language == Some(b"fr") { b"bonjour, tout le monde\n" } else { b"hello, all the world\n" };
    Response::build(scratch, Status::Ok).body_with(|body| (0..500).for_each(|_| body.push_bytes(line)))
}

/// Another page at the positions of the first.
fn overlapping<'a>(wrong: &'a Wrong, _: &Request<'_>, _: &'a mut [u8]) -> Response<'a> {
    let position = Position::new(0).expect("the first there is");
    Response::prepared(&wrong.inner.head, &wrong.other).stored_at(position)
}

/// The client's address decides, which it may; and every second time it is ignored, which it may not.
fn by_client<'a>(wrong: &'a Wrong, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
    wrong.asked.set(wrong.asked.get() + 1);
    let is_v6 = matches!(request.client, IpAddr::V6(_)) && wrong.asked.get().is_multiple_of(2);
    Response::build(scratch, Status::Ok).body(if is_v6 { b"six" } else { b"four" })
}

fn broken(wrong: &Wrong, requests: impl IntoIterator<Item = impl Into<TestRequest>>) -> String {
    try_check_app(wrong, requests).unwrap_err().to_string()
}

#[test]
fn an_answer_that_changes_is_found() {
    let wrong = Wrong::new(impure);
    let said = broken(&wrong, ["/wrong"]);
    assert!(
        said.starts_with(
            "`GET /wrong HTTP/1.1`: the same request is answered with other bytes the second time, at byte "
        ),
        "{said}"
    );
    let error = simulate(&wrong, ["/page", "/wrong"]).loss("5%").run().unwrap_err().to_string();
    assert!(error.starts_with("seed 0, client "), "{error}");
    assert!(
        error.contains("\nto see it again: lethe_test::simulate(&app, requests).loss(\"5%\").seeds(0..1).run()"),
        "{error}"
    );
}

#[test]
fn a_wrong_content_length_is_found() {
    let wrong = Wrong::new(short);
    let said = broken(&wrong, ["/page", "/wrong"]);
    assert_eq!(said, "`GET /wrong HTTP/1.1`: Content-Length is 14, and the body has 13 bytes");
}

#[test]
fn a_long_answer_that_depends_on_a_field_that_may_come_later_is_found() {
    let wrong = Wrong::new(by_later_field);
    let request = || TestRequest::get("/wrong").header("Accept-Language", "fr");
    let said = broken(&wrong, [request()]);
    assert!(said.contains(" bytes of the request the response is another one, and neither fits a packet"), "{said}");
    // A request that comes whole is answered the same way each time, so only one in pieces shows it on the wire.
    let whole = || simulate(&wrong, [request()]).loss("5%").seeds(0..10);
    whole().run().unwrap();
    let error = whole().split().run().unwrap_err();
    assert!(matches!(error, SimulationError::Failed { .. }), "{error}");
    assert!(error.to_string().contains(".loss(\"5%\").split().seeds("), "{error}");
}

#[test]
fn two_pages_at_the_same_positions_are_found() {
    let wrong = Wrong::new(overlapping);
    let broken = try_check_app(&wrong, ["/page", "/wrong"]).unwrap_err();
    assert!(matches!(broken.breach, Breach::Stored { .. } | Breach::Overlap { .. }), "{broken}");
    assert!(broken.to_string().starts_with("`GET /wrong HTTP/1.1`: "), "{broken}");
    let error = simulate(&wrong, ["/wrong"]).loss("5%").run().unwrap_err();
    assert!(matches!(error, SimulationError::Failed { .. }), "{error}");
}

/// Answers everything as the wrong application answers what begins with `/wrong`.
struct All<'a>(&'a Wrong);

impl App for All<'_> {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        self.0.respond(&request.with_path(b"/wrong"), scratch)
    }
}

#[test]
fn what_depends_on_more_than_the_request_is_found_on_captures() {
    let wrong = Wrong::new(by_client);
    let captures = lethe_test::captures("../pcaps/curl-v6.pcap").secret([0; 16]).requests_only();
    let error = captures.replay(&All(&wrong)).unwrap_err().to_string();
    // Other bytes than those that the application says there, or than those for the packet by itself.
    let is_found =
        ["pairing", "purity"].map(|checker| error.starts_with(&format!("../pcaps/curl-v6.pcap: {checker}: ")));
    assert!(is_found.contains(&true), "{error}");
}

#[test]
fn a_simulation_that_shows_nothing_fails() {
    let app = Redirect::new();
    let error = simulate(&app, ["/page"]).clients(0).run().unwrap_err();
    assert!(error.to_string().starts_with("no client got a reply"), "{error}");
    let none: [&str; 0] = [];
    assert!(simulate(&app, none).run().unwrap_err().to_string().contains("there is no request"));
    assert!(try_check_app(&app, none).unwrap_err().to_string().contains("there is no request"));
    let error = simulate(&app, ["GET / HTTP/1.1\r\n"]).run().unwrap_err().to_string();
    assert!(error.contains("no empty line ends its header fields"), "{error}");
}

#[test]
fn the_frames_of_a_client_that_fails_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failed.pcapng");
    let wrong = Wrong::new(impure);
    let error = simulate(&wrong, ["/wrong"]).pcap(&file).run().unwrap_err().to_string();
    assert!(error.ends_with(&format!("its frames are in {}", file.display())), "{error}");
    assert!(std::fs::metadata(&file).unwrap().len() > 500);
}
