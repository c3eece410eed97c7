//! The cost of a request for a file, and of an ACK in the middle of one.

use std::hint::black_box;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use divan::Bencher;
use lethe::app::Position;
use lethe::http::Headers;
use lethe::{App, Request};
use lethe_apps::files::{About, Builder, Files, Image};

const FILES: u64 = 100_000;

/// A hundred thousand files of a thousand bytes, in a hundred directories.
static APP: LazyLock<Files> = LazyLock::new(|| {
    let mut builder = Builder::new(Cursor::new(Vec::new())).expect("memory can be written");
    let about = About { content_type: "text/html; charset=utf-8", ..About::OK };
    for number in 0..FILES {
        let added = builder.add(&about, 1000, &mut &[b'x'; 1000][..], &mut |_| ControlFlow::Continue(()));
        builder.name(path(number).as_bytes(), added.expect("memory can be read"), [None; 3]);
    }
    let image = builder.finish().expect("memory can be written").into_inner();
    Files::new(Image::open(image).expect("what the builder makes can be opened"))
});

fn path(number: u64) -> String {
    format!("/directory-{}/page-{number}.html", number % 100)
}

fn main() {
    divan::main();
}

/// Numbers in random order, so that little of the image is cached.
fn numbers(limit: u64) -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    }
}

fn ask(bencher: Bencher<'_, '_>, path: impl Fn(u64) -> String, fields: &'static str) {
    let app = &*APP;
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let mut next = numbers(FILES);
    bencher.with_inputs(|| path(next())).bench_local_refs(|path| {
        let headers = Headers::new(fields.as_bytes());
        let request = Request::get(path.as_bytes()).with_headers(headers);
        black_box(app.respond(&request, &mut scratch)).len()
    });
}

const FIELDS: &str = "Host: 10.9.0.2\r\nUser-Agent: curl/8\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n\r\n";

#[divan::bench]
fn respond(bencher: Bencher<'_, '_>) {
    ask(bencher, path, FIELDS);
}

#[divan::bench]
fn respond_decoded(bencher: Bencher<'_, '_>) {
    ask(bencher, |number| path(number).replace('-', "%2d"), FIELDS);
}

#[divan::bench]
fn respond_not_found(bencher: Bencher<'_, '_>) {
    ask(bencher, |number| path(number + FILES), FIELDS);
}

#[divan::bench]
fn respond_not_modified(bencher: Bencher<'_, '_>) {
    ask(bencher, path, "Host: 10.9.0.2\r\nIf-None-Match: *\r\n\r\n");
}

#[divan::bench]
fn stored(bencher: Bencher<'_, '_>) {
    let app = &*APP;
    // 1,000 bytes and their head take three units.
    let mut next = numbers(3 * FILES);
    bencher
        .with_inputs(|| Position::new(next() as u32).expect("a position"))
        .bench_local_values(|position| black_box(app.stored(position)).expect("it is stored").len());
}
