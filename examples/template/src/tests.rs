use lethe_server::Request;
use lethe_test::{check_app, simulate};

use super::{Args, Site};

fn site() -> Site {
    Site::load(&Args { page: "page.html".into() }).unwrap()
}

#[test]
fn a_visitor_is_greeted_by_name() {
    let (site, mut scratch) = (site(), [0; 1024]);
    let request = Request::get(b"/hello").with_query(Some(b"name=Ada+%26+Bob"));
    let response = request.answer(&site, &mut scratch).unwrap();
    assert!(response.head().starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(response.body(), b"<!doctype html><p>Hello, Ada &amp; Bob\n");
}

#[test]
fn the_contract_is_kept() {
    check_app(&site(), ["/", "/hello?name=Ada", "/nothing"]);
}

#[test]
fn every_client_gets_every_byte() {
    simulate(&site(), ["/", "/hello?name=Ada", "/nothing"]).loss("5%").split().seeds(0..5).run().unwrap();
    simulate(&site(), ["/", "/hello?name=Ada", "/nothing"]).keep_alive(8).loss("5%").seeds(0..5).run().unwrap();
}

#[test]
fn recorded_clients_get_what_they_got() {
    let site = site();
    let replayed = lethe_test::captures("captures/*.pcapng").secret([0; 16]).replay(&site).unwrap();
    replayed.mutate(20).unwrap();
}
