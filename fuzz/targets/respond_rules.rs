//! Any bytes as rules, and any changes to right ones: they are refused, or answer with responses.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::respond_rules(bytes));
