use lethe_server::Request;
use lethe_test::{captures, check_app, simulate};

use super::Hello;

#[test]
fn every_path_is_a_greeting() {
    let mut scratch = [0; 1024];
    let response = Request::get(b"/a").answer(&Hello, &mut scratch).unwrap();
    assert_eq!(response.body(), b"hello\n");
    check_app(&Hello, ["/", "/a?b=c"]);
}

#[test]
fn every_client_is_greeted_under_loss() {
    simulate(&Hello, ["/"]).loss("5%").split().seeds(0..5).run().unwrap();
    simulate(&Hello, ["/"]).keep_alive(8).loss("5%").seeds(0..5).run().unwrap();
}

#[test]
fn recorded_clients_get_what_they_got() {
    captures("captures/*.pcapng").secret([0; 16]).replay(&Hello).unwrap().mutate(20).unwrap();
}
