//! Any bytes as a table of candidates, and any changes to a right one: it is refused, or makes a right file.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::scores_table(bytes));
