//! Any bytes as an image of files, and any changes to a right one: it is refused, or it can be used.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::files_image(bytes));
