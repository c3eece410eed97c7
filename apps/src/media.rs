//! Media types.

use std::ffi::OsStr;

/// The media type by the extension of a name. Text is taken to be UTF-8.
pub(crate) fn content_type(name: &OsStr) -> String {
    let guess = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let is_text = guess.starts_with("text/") || matches!(guess, "application/javascript" | "application/xml");
    if is_text { format!("{guess}; charset=utf-8") } else { guess.to_owned() }
}
