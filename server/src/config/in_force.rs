//! What is in force, written as a file.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches};

use super::key::{NOT_IN_FILE, key_of};
use super::value::{Kind, takes_several};
use crate::print::Printed as _;

/// Prints all options that are in force, and the application. What an author hides (`hide_env_values`) is left out.
pub(crate) fn print(serve: &clap::Command, matches: &ArgMatches) -> anyhow::Result<()> {
    io::stdout().write_all(text(serve, matches)?.as_bytes()).printed()
}

pub(super) fn text(serve: &clap::Command, matches: &ArgMatches) -> anyhow::Result<String> {
    let mut text = String::new();
    write(&mut text, serve, matches)?;
    if let Some((name, matches)) = matches.subcommand() {
        let _ = writeln!(text, "\n[{name}]");
        let app = serve.find_subcommand(name).with_context(|| format!("there is no {name}"))?;
        write(&mut text, app, matches)?;
    }
    Ok(text)
}

fn write(text: &mut String, command: &clap::Command, matches: &ArgMatches) -> anyhow::Result<()> {
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let Some(key) = key_of(arg).filter(|_| !NOT_IN_FILE.contains(&id)) else { continue };
        let Some(values) = matches.try_get_raw(id).ok().flatten() else { continue };
        if arg.is_hide_env_values_set() {
            let _ = writeln!(text, "# {key} is a secret, and not shown");
            continue;
        }
        let values = values.map(|value| {
            let value = value.to_str().with_context(|| format!("{key} is not UTF-8, as TOML has to be"))?;
            literal(arg, value)
        });
        let values = values.collect::<anyhow::Result<Vec<_>>>()?;
        let value = match values.as_slice() {
            [one] if !takes_several(arg) => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        let _ = writeln!(text, "{key} = {value}");
    }
    Ok(())
}

/// A value of an argument as TOML.
fn literal(arg: &Arg, value: &str) -> anyhow::Result<String> {
    Ok(match (arg.get_action(), Kind::of(arg)) {
        (ArgAction::SetTrue, _) => value.to_owned(),
        // This one is false where the option is there.
        (ArgAction::SetFalse, _) => (value == "false").to_string(),
        // Without zeros at the beginning.
        (_, Kind::Integer) => value.parse::<i128>().map_or_else(|_| value.to_owned(), |number| number.to_string()),
        (_, Kind::Boolean) => value.to_owned(),
        // A string of JSON is one of TOML, but for one character.
        (_, Kind::Text | Kind::Other) => serde_json::to_string(value)?.replace('\u{7f}', "\\u007f"),
    })
}
