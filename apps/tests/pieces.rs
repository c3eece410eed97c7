//! Requests whose header fields have not all come: what `files` and `scores` answer with then.

use std::io::Cursor;
use std::ops::ControlFlow;

use lethe::Request;
use lethe::app::App;
use lethe::engine::SCRATCH_LEN;
use lethe::http::Headers;
use lethe_apps::files::{About, Builder, Coding, Files, Image};
use lethe_apps::scores::{self, Labels, Scores};

/// The most bytes of a response in one packet, to most clients.
const ONE_PACKET: usize = 1447;

/// `/a`, of 5,000 bytes, 1,000 by brotli and 2,000 by gzip; and `/single`, of 5,000, in one form.
fn files() -> Files {
    let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
    let add = |builder: &mut Builder<_>, byte: u8, len: usize, coding, varies| {
        let about = About { content_type: "text/css", coding, varies, ..About::OK };
        builder.add(&about, len as u64, &mut &*vec![byte; len], &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let plain = add(&mut builder, b'p', 5000, None, true);
    let brotli = add(&mut builder, b'b', 1000, Some(Coding::Brotli), true);
    let gzip = add(&mut builder, b'g', 2000, Some(Coding::Gzip), true);
    builder.name(b"/a", plain, [Some(brotli), None, Some(gzip)]);
    let single = add(&mut builder, b's', 5000, None, false);
    builder.name(b"/single", single, [None; 3]);
    Files::new(Image::open(builder.finish().unwrap().into_inner()).unwrap())
}

fn results() -> Scores {
    let labels = Labels::new("", "", "").unwrap();
    let mut builder = scores::Builder::new(Cursor::new(Vec::new()), [7; 32], labels).unwrap();
    builder.add("1", "2", &[b'r'; 5000]).unwrap();
    Scores::new(scores::Image::open(builder.finish().unwrap().into_inner()).unwrap())
}

/// Head and body of the answer to a target, with these header fields, by the engine's rule.
fn ask(app: &impl App, target: &str, section: &str, one_packet: usize) -> (String, Vec<u8>) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let request = Request::get(path.as_bytes())
        .with_query(query.map(str::as_bytes))
        .with_headers(Headers::new(section.as_bytes()))
        .with_one_packet(one_packet);
    let mut scratch = vec![0; SCRATCH_LEN];
    let response = request.answer(app, &mut scratch).unwrap();
    (String::from_utf8(response.head().to_vec()).unwrap(), response.body().to_vec())
}

/// The first byte of the body and its length, or where the client is sent.
#[track_caller]
fn check(app: &impl App, target: &str, section: &str, expect: &str) {
    let (head, body) = ask(app, target, section, ONE_PACKET);
    let location = head.lines().find_map(|line| line.strip_prefix("Location: "));
    let got = match location {
        Some(location) => format!("{} {location}", &head[9..12]),
        None => format!("{} {}{}", &head[9..12], body.len(), body.first().map_or(' ', |&byte| char::from(byte))),
    };
    assert_eq!(got, expect, "{target} {section:?}");
}

#[test]
fn each_form_has_a_name_of_its_own_whatever_the_header_fields_say() {
    let app = files();
    for section in ["", "Host: h\r\n", "Accept-Encoding: br\r\n\r\n", "\r\n"] {
        check(&app, "/a?encoding=gzip", section, "200 2000g");
        check(&app, "/a?encoding=br", section, "200 1000b");
        check(&app, "/a?encoding=identity", section, "200 5000p");
        check(&app, "/a?v=3&encoding=gzip", section, "200 2000g");
        check(&app, "/single?encoding=identity", section, "200 5000s");
    }
    check(&app, "/single?encoding=gzip", "\r\n", "200 5000s");
    // There is no such form: the client's fields decide.
    check(&app, "/a?encoding=zstd", "Accept-Encoding: gzip\r\n\r\n", "200 2000g");
}

#[test]
fn a_form_longer_than_a_packet_is_had_by_its_name_while_fields_are_still_to_come() {
    let app = files();
    check(&app, "/a", "Accept-Encoding: gzip\r\n\r\n", "200 2000g");
    check(&app, "/a", "\r\n", "200 5000p");
    check(&app, "/a", "", "307 /a?encoding=identity");
    check(&app, "/a", "Accept-Encoding: gz", "307 /a?encoding=identity");
    check(&app, "/a", "Accept-Encoding: gzip\r\nCook", "307 /a?encoding=gzip");
    check(&app, "/a?v=3", "Host: h\r\n", "307 /a?encoding=identity&v=3");
    check(&app, "/a", "Accept-Encoding: br\r\nCook", "200 1000b");
}

#[test]
fn a_file_in_one_form_is_had_by_its_name_while_a_range_may_still_come_and_its_tag_is_looked_at_behind_all_fields() {
    let app = files();
    for section in ["", "Host: h\r\n", "If-None-Match: *\r\n", "Range: bytes=1-\r\n"] {
        check(&app, "/single", section, "307 /single?encoding=identity");
        check(&app, "/single?encoding=identity", section, "200 5000s");
    }
    check(&app, "/single", "\r\n", "200 5000s");
    check(&app, "/single?encoding=identity", "Range: bytes=1-1\r\n\r\n", "200 5000s");
    check(&app, "/single", "If-None-Match: *\r\n\r\n", "304 0 ");
    // To a client whose segments are shorter than that answer it could be mixed with the file.
    let (head, body) = ask(&app, "/single", "If-None-Match: *\r\n\r\n", 75);
    assert!(head.starts_with("HTTP/1.1 200 ") && body.len() == 5000, "{head}");
}

#[test]
fn what_has_not_changed_is_said_in_fewer_bytes_than_are_reserved_for_it() {
    let (head, _) = ask(&files(), "/a", "If-None-Match: *\r\nAccept-Encoding: gzip\r\n\r\n", ONE_PACKET);
    assert!(head.starts_with("HTTP/1.1 304 ") && head.contains("\r\nVary: ") && head.len() <= 160, "{}", head.len());
}

#[test]
fn a_form_of_exam_results_is_in_the_language_that_is_named_or_that_the_fields_prefer() {
    let app = results();
    let language = |target: &str, section: &str, one_packet| {
        let (head, body) = ask(&app, target, section, one_packet);
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ").map(str::to_owned));
        location.unwrap_or_else(|| {
            let body = String::from_utf8(body).unwrap();
            body.split_once("lang=").unwrap().1[..2].to_owned()
        })
    };
    let english = "Accept-Language: en\r\n";
    let whole = format!("{english}\r\n");
    assert_eq!(language("/", &whole, ONE_PACKET), "en");
    assert_eq!(language("/", "\r\n", ONE_PACKET), "zh");
    assert_eq!(language("/?lang=zh", &whole, ONE_PACKET), "zh");
    assert_eq!(language("/?lang=en", "", 523), "en");
    assert_eq!(language("/?lang=fr", &whole, ONE_PACKET), "en");
    // One packet to most clients; to one with small segments it is not.
    assert_eq!(language("/", english, ONE_PACKET), "en");
    assert_eq!(language("/", english, 523), "/?lang=en");
    assert_eq!(language("/?seat=1&id=", "", 523), "/?lang=zh&seat=1&id=");
    // A page is the same in every language.
    for (section, one_packet) in [("", 523), (english, ONE_PACKET), (&*whole, 523)] {
        assert_eq!(ask(&app, "/?seat=1&id=2", section, one_packet).1, [b'r'; 5000]);
    }
}

#[test]
fn a_redirect_of_exam_results_is_as_private_as_they_are() {
    let (head, _) = ask(&results(), "/?seat=1&id=", "", 523);
    assert!(head.contains("\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"), "{head}");
}

#[test]
fn what_just_fits_a_packet_is_sent_while_fields_are_still_to_come() {
    let app = files();
    let (head, body) = ask(&app, "/a", "Accept-Encoding: br\r\n\r\n", ONE_PACKET);
    let len = head.len() + body.len();
    let sent = |one_packet| ask(&app, "/a", "Accept-Encoding: br\r\n", one_packet).0;
    assert_eq!(sent(len), head);
    assert!(sent(len - 1).starts_with("HTTP/1.1 307 "));
    // The form is not longer than 1,208 bytes in any language, so a client with packets of that size gets it at once.
    let app = results();
    assert!(ask(&app, "/", "", 1208).0.starts_with("HTTP/1.1 200 "));
    assert!(ask(&app, "/", "", 1207).0.starts_with("HTTP/1.1 307 "));
}

#[test]
fn of_forms_that_are_as_long_and_liked_as_well_the_first_is_sent() {
    let mut builder = Builder::new(Cursor::new(Vec::new())).unwrap();
    let add = |builder: &mut Builder<_>, body: &[u8], coding| {
        let about = About { content_type: "text/css", coding, varies: true, ..About::OK };
        builder.add(&about, body.len() as u64, &mut &*body, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let plain = add(&mut builder, b"p", None);
    let brotli = add(&mut builder, b"b", Some(Coding::Brotli));
    let zstd = add(&mut builder, b"z", Some(Coding::Zstandard));
    builder.name(b"/a", plain, [Some(brotli), Some(zstd), None]);
    let long = add(&mut builder, b"long", None);
    builder.name(b"/long", long, [Some(brotli), Some(zstd), None]);
    let app = Files::new(Image::open(builder.finish().unwrap().into_inner()).unwrap());
    check(&app, "/a", "Accept-Encoding: br, zstd, identity\r\n\r\n", "200 1p");
    check(&app, "/long", "Accept-Encoding: br, zstd\r\n\r\n", "200 1b");
    check(&app, "/a", "Accept-Encoding: br, zstd, identity;q=0.5\r\n\r\n", "200 1b");
}

#[test]
fn what_is_stored_is_had_again_by_its_position() {
    fn check(app: &impl App, path: &str, query: &str) {
        let mut scratch = vec![0; SCRATCH_LEN];
        let response = app.respond(&Request::get(path.as_bytes()).with_query(Some(query.as_bytes())), &mut scratch);
        assert!(app.stores() && response.body().len() == 5000);
        assert_eq!(app.stored(response.position().unwrap()), Some(response));
    }
    check(&files(), "/single", "");
    check(&results(), "/", "seat=1&id=2");
}
