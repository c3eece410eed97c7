use std::{env, fs, process};

use lethe_server::{Headers, Method, Request};
use lethe_test::{TestRequest, captures, check_app, simulate};

use super::{Args, Redirect};

/// A server whose page has so many bytes.
fn redirect(len: usize) -> Redirect {
    let page = env::temp_dir().join(format!("redirect-{}-{len}.html", process::id()));
    fs::write(&page, "About us.\n".repeat(len / 10)).unwrap();
    let args = Args { from: "old.example".to_owned(), to: "new.example".to_owned(), page };
    let redirect = Redirect::load(&args).unwrap();
    fs::remove_file(args.page).unwrap();
    redirect
}

/// Everything that there is to ask.
fn requests() -> Vec<TestRequest> {
    let old = |request: TestRequest| request.header("Host", "old.example");
    vec![
        "/about".into(),
        "/health".into(),
        "/other-host".into(),
        old(TestRequest::get("/a?b=c")),
        old(TestRequest::head("/a")),
        old(TestRequest::with_method("POST", "/a")),
        "GET /without-host HTTP/1.0\r\n\r\n".into(),
    ]
}

/// The head of the answer to a request for this path with these header fields.
fn head(method: Method, path: &[u8], fields: &[u8]) -> String {
    let (redirect, mut scratch) = (redirect(100), [0; 1024]);
    let request = Request::get(path).with_method(method).with_headers(Headers::new(fields));
    let response = request.answer(&redirect, &mut scratch).unwrap();
    String::from_utf8(response.head().to_vec()).unwrap()
}

#[test]
fn the_host_decides_what_becomes_of_a_path() {
    let old = b"Host: Old.Example\r\n\r\n";
    let moved = head(Method::Get, b"/a", old);
    assert!(moved.starts_with("HTTP/1.1 301 ") && moved.contains("\r\nLocation: http://new.example/a\r\n"), "{moved}");
    assert!(head(Method::Post, b"/a", old).starts_with("HTTP/1.1 308 "));
    assert!(head(Method::Get, b"/a", b"Host: other.example\r\n\r\n").starts_with("HTTP/1.1 421 "));
    assert!(head(Method::Get, b"/a", b"\r\n").starts_with("HTTP/1.1 400 "));
    assert!(head(Method::Get, b"/health", b"\r\n").starts_with("HTTP/1.1 204 "));
    assert!(head(Method::Get, b"/about", b"\r\n").contains("\r\nContent-Length: 100\r\n"));
}

#[test]
fn the_contract_is_kept() {
    check_app(&redirect(200_000), requests());
}

#[test]
fn every_client_gets_every_byte_under_loss() {
    simulate(&redirect(200_000), requests()).loss("5%").split().seeds(0..5).run().unwrap();
    simulate(&redirect(200_000), requests()).keep_alive(8).loss("5%").seeds(0..5).run().unwrap();
}

#[test]
fn recorded_clients_get_what_they_got() {
    let redirect = redirect(20_000);
    captures("captures/*.pcapng").secret([0; 16]).replay(&redirect).unwrap().mutate(20).unwrap();
}
