//! The command line as a whole.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::bail;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{ArgMatches, FromArgMatches, Subcommand};
use lethe::App;
use lethe::port::Port;

#[cfg(feature = "bench")]
use crate::bench;
use crate::config::{self, ConfigFile};
#[cfg(feature = "load")]
use crate::demo;
#[cfg(feature = "dist-docs")]
use crate::dist;
#[cfg(feature = "load")]
use crate::load;
use crate::message::{set_name, tell};
use crate::print::ReaderLeft;
use crate::server::Server;
#[cfg(feature = "simulate")]
use crate::simulate;
use crate::{check, replay, serve, serving, top, verify};

/// What every server can be told to do.
#[derive(Subcommand)]
pub(crate) enum Command<X: clap::Args> {
    /// Serve through a network device
    Serve(Box<serving::Args<X>>),
    /// Watch a server that was started with --metrics
    Top(top::Args),
    /// Run the engine over a capture file, offline
    Replay(Box<replay::Args<X>>),
    /// Be many clients of a server, Lethe or any other: at a rate, or with millions of connections open
    #[cfg(feature = "load")]
    Load(Box<load::Args>),
    /// Show all of it on this machine: servers, clients, a bad network, and a view of them
    #[cfg(feature = "load")]
    Demo(demo::Args),
    /// Run the engine and its clients in a simulated network
    #[cfg(feature = "simulate")]
    Simulate(Box<simulate::Args<X>>),
    /// Measure what a packet costs the engine
    #[cfg(feature = "bench")]
    Bench(bench::Args<X>),
    /// See whether a server answers; once, or as long as its route depends on it
    Check(check::Args),
    /// See whether the data of an application can be served, without serving it
    Verify(verify::Args<X>),
}

const EXAMPLE: &str = "\
Example:
  {name} serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2{app}
  curl http://10.9.0.2{target}";

/// What every server can do, in the order in which it is listed.
const COMMANDS: [&str; 9] = ["demo", "serve", "top", "replay", "simulate", "bench", "load", "check", "verify"];

/// The width at which help is wrapped, where the terminal is wider.
const WIDTH: usize = 100;

/// The whole command, with the commands of the author.
pub(crate) fn command<X: clap::Args, A, P>(server: &Server<X, A, P>) -> clap::Command {
    let command = clap::Command::new(server.name)
        .version(server.version)
        .max_term_width(WIDTH)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXAMPLE);
    let mut command = Command::<X>::augment_subcommands(command).about(server.about);
    for (place, extra) in (COMMANDS.len()..).zip(&server.extras) {
        let name = extra.command.get_name();
        let own = extra.command.clone();
        command = match command.find_subcommand(name) {
            Some(_) => command.mut_subcommand(name, |_| own),
            None => command.subcommand(own.display_order(place)),
        };
    }
    for (place, name) in COMMANDS.into_iter().enumerate() {
        if command.find_subcommand(name).is_some() {
            command = command.mut_subcommand(name, |command| command.display_order(place));
        }
    }
    let app = if server.example.0.is_empty() { String::new() } else { format!(" {}", server.example.0) };
    let own = server.own_port.as_ref().map_or(String::new(), |own| format!("; or {}", own.usage));
    let variable = config::variable(server.name);
    if !has_own_serve(server) {
        command = command.mut_subcommand("serve", |serve| config::with_variables(serve, &variable));
    }
    let names = [
        ("{name}", server.name),
        ("{app}", &app),
        ("{target}", server.example.1),
        ("{own}", &own),
        ("{variable}", &variable),
    ];
    fill_in(command, &names)
}

/// Whether the author has put another command in the place of `serve`.
fn has_own_serve<X, A, P>(server: &Server<X, A, P>) -> bool {
    server.extras.iter().any(|extra| extra.command.get_name() == "serve")
}

impl<X, A, P> Server<X, A, P>
where
    X: clap::Args + Clone + Send + Sync + 'static,
    A: App + Send + Sync + 'static,
    P: Port,
{
    /// Does what the command line of this process says. An error is one line on standard error.
    pub fn main(self) -> ExitCode {
        set_name(self.name);
        match self.run(std::env::args_os()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.is::<ReaderLeft>() => ExitCode::SUCCESS,
            Err(error) => {
                tell(self.name, format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    /// Does what a command line says, of which the first word is the name of the program. Where the line itself is
    /// wrong, or asks for help, that is printed, and ends the process.
    fn run(&self, line: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
        let line: Vec<OsString> = line.into_iter().collect();
        #[cfg(feature = "dist-docs")]
        if let [_, word, directory] = line.as_slice()
            && word == "dist-docs"
        {
            return dist::write(command(self), directory.as_ref());
        }
        let Parsed { mut command, matches, config } = parse(self, line)?;
        if let Some((name, matches)) = matches.subcommand()
            && let Some(extra) = self.extras.iter().find(|extra| extra.command.get_name() == name)
        {
            return (extra.run)(matches);
        }
        match Command::<X>::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit()) {
            Command::Serve(args) => {
                serve::check(self, &args).map_err(|(option, error)| match &config {
                    Some(config) => config.locate(option, error),
                    None => error,
                })?;
                if args.config.print_config { print_config(&command, &matches) } else { serve::serve(self, &args) }
            }
            Command::Top(args) => top::top(&args),
            Command::Replay(args) => replay::replay(self, &args),
            #[cfg(feature = "load")]
            Command::Load(args) => load::load(self, &args),
            #[cfg(feature = "load")]
            Command::Demo(args) => demo::demo(&self.shown(), &args),
            #[cfg(feature = "simulate")]
            Command::Simulate(args) => simulate::simulate(self, &args),
            #[cfg(feature = "bench")]
            Command::Bench(args) => bench::bench(self, &args),
            Command::Check(args) => check::check(&args),
            Command::Verify(args) => verify::verify(self, &args),
        }
    }
}

/// Puts the names of the server into all texts.
fn fill_in(command: clap::Command, names: &[(&str, &str)]) -> clap::Command {
    let filled = |text: Option<&StyledStr>| {
        text.map(|text| names.iter().fold(text.to_string(), |text, (hole, name)| text.replace(hole, name)))
    };
    let after = filled(command.get_after_help());
    let command = match after {
        Some(text) => command.after_help(text),
        None => command,
    };
    let command = command.mut_args(|arg| match filled(arg.get_help()) {
        Some(text) => arg.help(text),
        None => arg,
    });
    command.mut_subcommands(|command| fill_in(command, names))
}

/// An error where an argument of the application has the name of one of the server, in one of the commands that have
/// both.
fn check_names(command: &clap::Command) -> anyhow::Result<()> {
    for of in command.get_subcommands() {
        let arguments: Vec<&clap::Arg> = of.get_arguments().collect();
        for (count, argument) in arguments.iter().enumerate() {
            let is_twice = |other: &&clap::Arg| {
                other.get_id() == argument.get_id()
                    || other.get_long().is_some() && other.get_long() == argument.get_long()
            };
            if arguments[..count].iter().any(is_twice) {
                let name = argument.get_long().map_or(argument.get_id().to_string(), |long| format!("--{long}"));
                let of = of.get_name();
                bail!("two arguments of `{of}` are called {name}: that of the application needs another name");
            }
        }
    }
    Ok(())
}

/// Prints what is in force of the options of `serve`.
fn print_config(command: &clap::Command, matches: &ArgMatches) -> anyhow::Result<()> {
    match (command.find_subcommand("serve"), matches.subcommand()) {
        (Some(serve), Some((_, matches))) => config::print(serve, matches),
        _ => bail!("there is no `serve`"),
    }
}

/// A command line that has been read, with the file that it names.
struct Parsed {
    command: clap::Command,
    matches: ArgMatches,
    config: Option<ConfigFile>,
}

/// What a command line says. What is wrong with it is said, and ends the process.
fn parse<X: clap::Args, A, P>(server: &Server<X, A, P>, line: Vec<OsString>) -> anyhow::Result<Parsed> {
    let mut command = command(server);
    check_names(&command)?;
    let mut config = if has_own_serve(server) { None } else { ConfigFile::of(&command, &line)? };
    let line = match &mut config {
        Some(config) => config.fill_in(&command, &line),
        None => line,
    };
    let words: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match command.try_get_matches_from_mut(line) {
        Ok(matches) => Ok(Parsed { command, matches, config }),
        Err(error) => {
            config.map_or(Ok(()), |config| config.explain(&error))?;
            with_hint(error, &command, &words).exit()
        }
    }
}

/// Adds to an error what is meant by an option that stands on the wrong side of the application, and which variable of
/// the environment has a wrong value.
fn with_hint(mut error: Error, command: &clap::Command, words: &[String]) -> Error {
    if let Some(hint) = hint(&error, command, words) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
    }
    error
}

fn hint(error: &Error, all: &clap::Command, words: &[String]) -> Option<String> {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return None };
    match error.kind() {
        ErrorKind::UnknownArgument => wrong_side(wrong, all, words),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => wrong_variable(wrong, all, words),
        _ => None,
    }
}

/// Where a value is that of a variable of the environment, its name.
fn wrong_variable(wrong: &str, all: &clap::Command, words: &[String]) -> Option<String> {
    let option = wrong.split([' ', '=']).next()?;
    if words.iter().any(|word| word.split('=').next() == Some(option)) {
        return None;
    }
    let command = all.find_subcommand(words.get(1)?)?;
    let app = command.get_subcommands().filter(|app| words.iter().any(|word| word == app.get_name()));
    let mut arguments = command.get_arguments().chain(app.flat_map(clap::Command::get_arguments));
    let is_it = |arg: &&clap::Arg| arg.get_long().is_some_and(|long| option.strip_prefix("--") == Some(long));
    let name = arguments.find(is_it)?.get_env()?;
    std::env::var_os(name)?;
    Some(format!("this value is that of the variable {} of the environment", name.to_string_lossy()))
}

/// Where an option stands that is on the wrong side of the application.
fn wrong_side(wrong: &str, all: &clap::Command, words: &[String]) -> Option<String> {
    let option = wrong.strip_prefix("--")?.split('=').next()?;
    let command = all.find_subcommand(words.get(1)?)?;
    let has = |command: &clap::Command| command.get_arguments().any(|argument| argument.get_long() == Some(option));
    let program = all.get_name();
    let name = command.get_name();
    let app = command.get_subcommands().find(|app| words.iter().any(|word| word == app.get_name()));
    if has(command) {
        let app = app?.get_name();
        return Some(format!(
            "--{option} is an option of `{program} {name}` and stands before the application: {program} {name} \
             --{option} … {app}"
        ));
    }
    let app = app.filter(|app| has(app)).or_else(|| command.get_subcommands().find(|app| has(app)))?.get_name();
    Some(format!(
        "--{option} is an option of the application and stands behind it: {program} {name} … {app} --{option} …"
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::path::PathBuf;

    use lethe_sim::sample::Sample;
    use lethe_sim::tap::Tap;

    use super::*;

    type Opened = anyhow::Result<Tap>;

    /// An application that is chosen by its name, as those of `lethe` are.
    #[derive(Clone, Subcommand)]
    enum Choice {
        Files { path: PathBuf },
        Ipinfo(Db),
    }

    #[derive(Clone, clap::Args)]
    struct Db {
        #[arg(long)]
        db: Option<PathBuf>,
    }

    #[derive(Clone, clap::Args)]
    struct Chosen {
        #[command(subcommand)]
        app: Choice,
    }

    fn server() -> Server<Chosen, Sample> {
        Server::new("lethe", |_: &Chosen| Ok::<_, Infallible>(Sample::new(1000))).example("ipinfo", "/8.8.8.8")
    }

    #[test]
    fn the_command_line_is_consistent() {
        command(&server()).debug_assert();
        let own = Server::of("hello", || Sample::new(10)).command("top", "Another one", |_: &Db| Ok(()));
        command(&own).debug_assert();
    }

    #[derive(Clone, clap::Args)]
    struct Usual {
        path: PathBuf,
        host: Option<String>,
        input: Option<PathBuf>,
    }

    #[derive(Clone, clap::Args)]
    struct Clashing {
        #[arg(long)]
        burst: u16,
    }

    #[derive(Clone, clap::Args)]
    struct ClashingUnseen {
        user: String,
    }

    #[test]
    fn an_argument_of_the_application_has_a_name_of_its_own() {
        let load = |_: &Usual| Ok::<_, Infallible>(Sample::new(10));
        let usual = command(&Server::new("usual", load));
        check_names(&usual).unwrap();
        usual.debug_assert();
        let clashing = Server::new("clashing", |_: &Clashing| Ok::<_, Infallible>(Sample::new(10)));
        let error = check_names(&command(&clashing)).unwrap_err().to_string();
        assert_eq!(error, "two arguments of `serve` are called --burst: that of the application needs another name");
        let unseen = Server::new("unseen", |_: &ClashingUnseen| Ok::<_, Infallible>(Sample::new(10)));
        let error = check_names(&command(&unseen)).unwrap_err().to_string();
        assert_eq!(error, "two arguments of `serve` are called user: that of the application needs another name");
    }

    #[test]
    fn every_text_has_the_name_of_the_server_in_it() {
        let hello = Server::of("hello", || Sample::new(10));
        let mut all = command(&hello);
        let mut texts = all.render_long_help().to_string();
        for command in all.get_subcommands_mut() {
            texts += &command.render_long_help().to_string();
        }
        assert!(texts.contains("hello serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2\n"), "{texts}");
        for hole in ["{name}", "{app}", "{target}", "{own}", "lethe serve", "`lethe "] {
            assert!(!texts.contains(hole), "{hole}: {texts}");
        }
    }

    #[test]
    fn a_device_of_the_server_s_own_is_in_the_help_of_commands_that_take_one() {
        let open = |_: &str| -> Opened { bail!("nothing is served") };
        let hello = Server::of("hello", || Sample::new(10)).with_port("unix", "unix:PATH, a socket", open);
        let all = command(&hello);
        for name in if cfg!(feature = "load") { &["serve", "load"][..] } else { &["serve"] } {
            let device =
                all.find_subcommand(name).unwrap().get_arguments().find(|arg| arg.get_id() == "device").unwrap();
            let help = device.get_help().unwrap().to_string();
            assert!(help.ends_with("; or unix:PATH, a socket"), "{help}");
        }
    }

    #[test]
    #[should_panic(expected = "every server has a kind of device called xdp")]
    fn a_device_of_the_server_s_own_has_a_name_of_its_own() {
        let _ = Server::of("hello", || Sample::new(10)).with_port("xdp", "", |_| -> Opened { bail!("none") });
    }

    #[test]
    fn an_option_on_the_wrong_side_of_the_application_is_told_where_it_belongs() {
        let said = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let mut command = command(&server());
            let error = command.try_get_matches_from_mut(&words).err().unwrap();
            with_hint(error, &command, &words).to_string()
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
                "lethe replay in --out out files in --mtu 1500",
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
