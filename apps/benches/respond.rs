//! The cost of a request that is answered by rules: by its path alone, by its host, and by a redirect.

use std::hint::black_box;
use std::path::Path;
use std::sync::LazyLock;

use divan::Bencher;
use lethe::http::Headers;
use lethe::{App, Request};
use lethe_apps::respond::Respond;

const RULES: u64 = 1000;

/// A thousand rules for any host, a thousand for one each, and one that redirects all else.
static APP: LazyLock<Respond> = LazyLock::new(|| {
    let any = (0..RULES).map(|number| format!("[[rule]]\npaths = ['/rule-{number}']\nbody = '{number:010}'\n"));
    let named = (0..RULES).map(|number| {
        format!("[[rule]]\nhosts = ['host-{number}.example']\npaths = ['/named/*']\nbody = '{number:010}'\n")
    });
    let redirect = "[[rule]]\nmethods = ['*']\nredirect = 'https://{host}{path}{query}'\n".to_owned();
    let text: Vec<_> = any.chain(named).chain([redirect]).collect();
    Respond::parse(&text.concat(), Path::new("rules.toml")).expect("the rules are right")
});

fn main() {
    divan::main();
}

/// Numbers in random order, so that each request is for another rule.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % RULES
    }
}

fn ask(bencher: Bencher<'_, '_>, path: impl Fn(u64) -> String, host: impl Fn(u64) -> String) {
    let app = &*APP;
    let mut scratch = vec![0; lethe::engine::SCRATCH_LEN];
    let mut next = numbers();
    let input = || {
        let number = next();
        (path(number), format!("Host: {}\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n", host(number)))
    };
    bencher.with_inputs(input).bench_local_refs(|(path, fields)| {
        let request = Request::get(path.as_bytes()).with_headers(Headers::new(fields.as_bytes()));
        black_box(app.respond(&request, &mut scratch)).len()
    });
}

#[divan::bench]
fn by_path(bencher: Bencher<'_, '_>) {
    ask(bencher, |number| format!("/rule-{number}"), |_| "example.com".to_owned());
}

#[divan::bench]
fn by_escaped_path(bencher: Bencher<'_, '_>) {
    ask(bencher, |number| format!("/rule%2D{number}"), |_| "example.com".to_owned());
}

#[divan::bench]
fn by_host(bencher: Bencher<'_, '_>) {
    ask(bencher, |number| format!("/named/{number}"), |number| format!("host-{number}.example"));
}

#[divan::bench]
fn redirect(bencher: Bencher<'_, '_>) {
    ask(bencher, |number| format!("/page-{number}.html"), |_| "www.example.com".to_owned());
}
