//! An engine and an application for the tests of this crate.

#[cfg(feature = "simulator")]
use lethe::config::Refuse;
use lethe::cookie::Secret;
use lethe::http::{Response, Status};
use lethe::{App, Config, Engine, Request};

use crate::frame::Ends;

/// Answers `/N` with N bytes that tell their place, and everything else with a few words.
pub(crate) struct Sized;

/// The bytes of a body.
pub(crate) fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| b"0123456789abcdefghijklmnopqrstuvwxyz\n"[at % 37]).collect()
}

impl App for Sized {
    fn respond<'a>(&'a self, request: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        let len = str::from_utf8(request.path).unwrap().trim_start_matches('/').parse().unwrap_or(5);
        Response::build(scratch, Status::Ok).body_with(|writer| writer.push_bytes(&body(len)))
    }
}

/// What an engine of [`engine`] says to `GET /N`.
#[cfg(feature = "simulator")]
pub(crate) fn response(len: usize) -> Vec<u8> {
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let body = body(len);
    let response = Response::build(&mut scratch, Status::Ok).body(&body);
    [response.head(), response.body()].concat()
}

/// At both addresses of [`Ends`], silent towards what it does not want.
pub(crate) fn engine() -> Engine<Sized> {
    engine_with(|_| ())
}

/// An engine that refuses aloud.
#[cfg(feature = "simulator")]
pub(crate) fn resetting_engine() -> Engine<Sized> {
    engine_with(|config| config.refuse = Refuse::Reset)
}

/// An engine whose configuration was changed by `change`: without that, each response closes its connection.
pub(crate) fn engine_with(change: impl FnOnce(&mut Config)) -> Engine<Sized> {
    let mut config = Config { keep_alive: false, ..Config::new(Secret::new([7; 16])) };
    for address in [Ends::v4().server.ip(), Ends::v6().server.ip()] {
        config.addresses.add(address).expect("two addresses fit");
    }
    change(&mut config);
    Engine::new(config, Sized)
}
