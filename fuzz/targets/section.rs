//! Any header section: what it says of the end of a request must be what the rules say of the fields that another
//! parser finds.
#![no_main]

#[allow(dead_code, reason = "each target uses its own part")]
#[path = "../../tests/support/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::section(bytes));
