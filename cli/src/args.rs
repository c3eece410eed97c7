//! The command line as a whole.

use std::env;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::{bench, check, load, prepare, replay, serve, simulate, top};

/// A web server that forgets every connection: each packet is answered from that packet alone.
#[derive(Parser)]
#[command(name = "lethe", version, max_term_width = 100, after_help = EXAMPLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLE: &str = "\
Example:
  lethe serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 ipinfo
  curl http://10.9.0.2/202.96.128.86";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve an application through a network device
    Serve(serve::Args),
    /// Watch a server that was started with --metrics
    Top(top::Args),
    /// Run the engine over a capture file, offline
    Replay(replay::Args),
    /// Be many clients of a server, Lethe or any other: at a rate, or with millions of connections open
    Load(load::Args),
    /// Run the engine and its clients in a simulated network
    Simulate(simulate::Args),
    /// Make the data file of an application
    Prepare(prepare::Args),
    /// Measure what a packet costs the engine
    Bench(bench::Args),
    /// See whether a server answers; once, or as long as its route depends on it
    Check(check::Args),
}

/// The command line of this process. What is wrong with it is said, and ends the process.
pub(crate) fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let arguments: Vec<_> = env::args().collect();
        with_hint(error, &arguments).exit()
    })
}

/// Adds to an error what is meant by an option that stands on the wrong side of the application.
fn with_hint(mut error: Error, arguments: &[String]) -> Error {
    if let Some(hint) = hint(&error, arguments) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
    }
    error
}

fn hint(error: &Error, arguments: &[String]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return None };
    let option = wrong.strip_prefix("--")?.split('=').next()?;
    let all = Cli::command();
    let command = all.find_subcommand(arguments.get(1)?)?;
    let has = |command: &clap::Command| command.get_arguments().any(|argument| argument.get_long() == Some(option));
    let name = command.get_name();
    let app = command.get_subcommands().find(|app| arguments.iter().any(|argument| argument == app.get_name()));
    if has(command) {
        let app = app?.get_name();
        return Some(format!(
            "--{option} is an option of `lethe {name}` and stands before the application: lethe {name} --{option} … {app}"
        ));
    }
    let app = app.filter(|app| has(app)).or_else(|| command.get_subcommands().find(|app| has(app)))?.get_name();
    Some(format!("--{option} is an option of the application and stands behind it: lethe {name} … {app} --{option} …"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_option_on_the_wrong_side_of_the_application_is_told_where_it_belongs() {
        let said = |line: &str| {
            let arguments: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let error = Cli::try_parse_from(&arguments).err().unwrap();
            with_hint(error, &arguments).to_string()
        };
        for (line, hint) in [
            (
                "lethe serve --device tap:t ipinfo --addr 10.9.0.2",
                "--addr is an option of `lethe serve` and stands before the application: lethe serve --addr … ipinfo",
            ),
            (
                "lethe serve --device tap:t --addr 10.9.0.2 files public --metrics=unix:/m",
                "--metrics is an option of `lethe serve` and stands before the application",
            ),
            (
                "lethe replay in --out out scores in --mtu 1500",
                "--mtu is an option of `lethe replay` and stands before the application",
            ),
            (
                "lethe serve --db places.db --device tap:t --addr 10.9.0.2 ipinfo",
                "--db is an option of the application and stands behind it: lethe serve … ipinfo --db …",
            ),
        ] {
            assert!(said(line).contains(hint), "{line}: {}", said(line));
        }
        // What is an option of neither is said as before.
        let unknown = said("lethe serve --device tap:t --addr 10.9.0.2 ipinfo --colour");
        assert!(!unknown.contains("an option of"), "{unknown}");
    }
}
