//! Any bytes as a file of scores, and any changes to a right one: nothing damaged is sent.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::scores_file(bytes));
