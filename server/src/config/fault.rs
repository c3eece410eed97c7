//! What is wrong, and where.

use std::ops::Range;

/// Something that is wrong at a place of the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn new(at: &Range<usize>, what: impl Into<String>) -> Self {
        Self { at: at.start, what: what.into() }
    }
}

/// What an error of the command line says, in one line, without hints and usage.
pub(super) fn message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let message = lines.join(" ");
    message.strip_prefix("error: ").unwrap_or(&message).to_owned()
}
