//! What `benches/cost.rs` counts, with a small file among a thousand.

#[path = "support/client.rs"]
mod client;

use std::io::Cursor;
use std::ops::ControlFlow;

use lethe_apps::files::{About, Builder, Files, Image};

fn main() {
    let mut builder = Builder::new(Cursor::new(Vec::new())).expect("memory");
    for number in 0..1000 {
        let body = [b'x'; 200];
        let len = body.len() as u64;
        let about = About { modified: Some(1_700_000_000), ..About::OK };
        let page = builder.add(&about, len, &mut &body[..], &mut |_| ControlFlow::Continue(())).expect("memory");
        builder.name(format!("/pages/{number}.html").as_bytes(), page, [None; 3]);
    }
    let image = Image::open(builder.finish().expect("memory").into_inner()).expect("what was built");
    client::run(Files::new(image), "/pages/500.html", "/");
}
