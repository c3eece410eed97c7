//! What an argument is called in a file.

use clap::{Arg, ArgAction};

/// The options that are about the file.
pub(super) const NOT_IN_FILE: [&str; 2] = ["config", "print_config"];

/// The key of an argument: its long name; that of a positional one is what it is called in the code.
pub(super) fn key_of(arg: &Arg) -> Option<String> {
    let is_known =
        matches!(arg.get_action(), ArgAction::Set | ArgAction::Append | ArgAction::SetTrue | ArgAction::SetFalse);
    if !is_known {
        return None;
    }
    let name = arg.get_id().as_str();
    arg.get_long().map(str::to_owned).or_else(|| arg.is_positional().then(|| name.replace('_', "-")))
}
