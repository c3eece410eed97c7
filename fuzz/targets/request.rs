//! Any request: the parser must not panic, must not change its mind, and must agree with another one.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::request(bytes));
