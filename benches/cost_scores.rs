//! What `benches/cost.rs` counts, with the page of one of a thousand candidates.

#[path = "support/client.rs"]
mod client;

use std::io::Cursor;
use std::sync::Arc;

use lethe_apps::scores::{Builder, Image, Labels, Scores};

fn main() {
    let mut builder = Builder::new(Cursor::new(Vec::new()), [7; 32], Labels::default()).expect("memory");
    for candidate in 0..1000 {
        let (seat, secret) = (format!("26990{candidate:08}"), format!("9901012008010{candidate:05}"));
        builder.add(&seat, &secret, &[b'x'; 200]).expect("a candidate");
    }
    let image = Image::open(builder.finish().expect("memory").into_inner()).expect("what was built");
    client::run(Scores::new(Arc::new(image)), "/?seat=2699000000500&id=990101200801000500", "/");
}
