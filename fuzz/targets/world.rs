//! Any bytes in place of the random stream: whatever the network and its clients do, no checker may fire.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::world(bytes));
