//! `serve --config FILE`: a TOML file whose keys are the options of `serve`; and the variables of the environment that
//! stand for them.
//!
//! ```toml
//! device = "packet:eth0"
//! addr = ["192.0.2.7", "2001:db8::7"]
//! stats = true
//!
//! [files]
//! path = "/srv/www"
//! ```
//!
//! **Invariant:** no option is listed here. What there is, and what each takes, is what the command line says of
//! itself. A value of the file becomes a word of the command line, unless the command line or the environment has the
//! option already; so what is refused there is refused here, and what is tested is tested once.

mod fault;
mod in_force;
mod key;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::fault::{Fault, message};
pub(crate) use self::in_force::print;
use self::key::{NOT_IN_FILE, key_of};

/// Bytes that are read of a file: more than anyone writes about one server, and an end to what has none.
const FILE_MAX: u64 = 1 << 20;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct ConfigArgs {
    /// TOML file with any of these options by their names, and the application as a table. Options of the command line
    /// go before it, and so do variables of the environment: {variable}_ADDR is --addr
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print all that is in force as such a file, and serve nothing
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// Gives each option of a command its variable of the environment, whose name begins with `prefix`.
pub(crate) fn with_variables(command: clap::Command, prefix: &str) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long() {
        Some(_) if arg.get_id() == "print_config" || arg.get_env().is_some() => arg,
        Some(long) => {
            let name = format!("{prefix}_{}", variable(long));
            arg.env(name).hide_env(true)
        }
        None => arg,
    });
    command.mut_subcommands(|app| {
        let prefix = format!("{prefix}_{}", variable(app.get_name()));
        with_variables(app, &prefix)
    })
}

/// A name as variables of the environment have it.
pub(crate) fn variable(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_").to_ascii_uppercase()
}

/// What a file says of an argument.
struct Given {
    /// The application whose argument it is; `None` for one of `serve`.
    app: Option<String>,
    arg: Arg,
    /// Its place among the arguments of its command.
    place: usize,
    key: String,
    at: usize,
    /// Words of a command line that say the same.
    words: Vec<OsString>,
    /// Whether it is in force: neither the command line nor the environment goes before it.
    is_used: bool,
}

impl Given {
    /// Whether it is told by its place on the command line, and not by a name.
    fn is_in_place(&self) -> bool {
        self.arg.is_positional()
    }
}

/// A file that has been read.
pub(crate) struct ConfigFile {
    path: PathBuf,
    text: String,
    given: Vec<Given>,
    /// The application that has a table.
    app: Option<String>,
}

impl ConfigFile {
    /// The file that a command line or the environment names for `serve`, if there is one.
    pub(crate) fn of(command: &clap::Command, line: &[OsString]) -> anyhow::Result<Option<Self>> {
        let Some(matches) = what_is_said(command, line) else { return Ok(None) };
        let Some(path) = matches.try_get_one::<PathBuf>("config").ok().flatten() else { return Ok(None) };
        let Some(serve) = command.find_subcommand("serve") else { return Ok(None) };
        let text = read(path)?;
        Self::parse(serve, path, text).map(Some)
    }

    fn parse(serve: &clap::Command, path: &Path, text: String) -> anyhow::Result<Self> {
        let mut config = Self { path: path.to_owned(), text: String::new(), given: Vec::new(), app: None };
        let parsed = DeTable::parse(&text).map_err(|error| {
            let what = error.message().trim().replace('\n', ", ");
            Fault::new(&error.span().unwrap_or_default(), what)
        });
        let done = parsed.and_then(|table| config.add(serve, None, table.get_ref()));
        config.text = text;
        done.map_err(|fault| anyhow!("{}{}", config.place(fault.at), fault.what))?;
        Ok(config)
    }

    /// Takes in what a table says: that of an application, or all of the file.
    fn add(&mut self, serve: &clap::Command, app: Option<&clap::Command>, table: &DeTable<'_>) -> Result<(), Fault> {
        let command = app.unwrap_or(serve);
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let (name, at) = (key.get_ref().as_ref(), key.span());
            if app.is_none()
                && let Some(application) = command.find_subcommand(name)
            {
                self.add_app(serve, application, &at, value)?;
                continue;
            }
            let mut arguments = command.get_arguments().enumerate();
            let found = arguments.find(|(_, arg)| key_of(arg).as_deref() == Some(name));
            let (place, arg) = found.ok_or_else(|| Fault::new(&at, unknown(serve, app, name)))?;
            if app.is_none() && NOT_IN_FILE.contains(&arg.get_id().as_str()) {
                return Err(Fault::new(&at, format!("{name}: this option stands on the command line alone")));
            }
            let wrong = |fault: Fault| Fault { at: fault.at, what: format!("{name}: {}", fault.what) };
            let words = value::words(arg, value).map_err(wrong)?;
            let app = app.map(|app| app.get_name().to_owned());
            let (arg, key, at) = (arg.clone(), name.to_owned(), at.start);
            self.given.push(Given { app, arg, place, key, at, words, is_used: false });
        }
        Ok(())
    }

    fn add_app(
        &mut self,
        serve: &clap::Command,
        app: &clap::Command,
        at: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Fault> {
        let name = app.get_name();
        let Some(table) = value.get_ref().as_table() else {
            let what = format!("{name}: this is an application, whose options are a table: [{name}]");
            return Err(Fault::new(at, what));
        };
        if let Some(other) = &self.app {
            return Err(Fault::new(at, format!("{name}: there is one application, and it is `{other}` already")));
        }
        self.app = Some(name.to_owned());
        self.add(serve, Some(app), table)
    }

    /// The command line with what the file says beside it. An application of the command line goes before that of the
    /// file, with all that belongs to it.
    pub(crate) fn fill_in(&mut self, command: &clap::Command, line: &[OsString]) -> Vec<OsString> {
        let Some(said) = what_is_said(command, line) else { return line.to_vec() };
        let is_said = |arg: &Arg| {
            let source = said.value_source(arg.get_id().as_str());
            matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        };
        let app = self.app.as_deref().filter(|_| said.subcommand_name().is_none());
        let has_places =
            self.given.iter().any(|given| given.app.is_none() && given.is_in_place() && is_said(&given.arg));
        for given in &mut self.given {
            given.is_used = match &given.app {
                None if given.is_in_place() => !has_places,
                None => !is_said(&given.arg),
                Some(_) => app.is_some() && !is_set(&given.arg),
            };
        }
        // The name of the program and of the command come first.
        let (begin, rest) = line.split_at(line.len().min(2));
        let mut words = begin.to_vec();
        words.extend(self.options(None));
        words.extend_from_slice(rest);
        match app {
            Some(app) => {
                words.push(app.into());
                words.extend(self.options(Some(app)));
                words.extend(self.places(Some(app)));
            }
            None => words.extend(self.places(None)),
        }
        words
    }

    /// What is in force for `serve`, or for an application.
    fn used(&self, app: Option<&str>) -> impl Iterator<Item = &Given> {
        self.given.iter().filter(move |given| given.is_used && given.app.as_deref() == app)
    }

    /// The words that stand for options.
    fn options(&self, app: Option<&str>) -> impl Iterator<Item = OsString> {
        self.used(app).filter(|given| !given.is_in_place()).flat_map(|given| given.words.clone())
    }

    /// The words that stand for positional arguments, in the order of the command line.
    fn places(&self, app: Option<&str>) -> Vec<OsString> {
        let mut places: Vec<&Given> = self.used(app).filter(|given| given.is_in_place()).collect();
        places.sort_by_key(|given| given.place);
        let words = places.iter().flat_map(|given| given.words.clone());
        if places.is_empty() { Vec::new() } else { std::iter::once("--".into()).chain(words).collect() }
    }

    /// What is said of the whole command line where the file has a part in what is wrong.
    pub(crate) fn explain(&self, error: &clap::Error) -> anyhow::Result<()> {
        let named = [ContextKind::InvalidArg, ContextKind::PriorArg].map(|kind| match error.get(kind) {
            Some(ContextValue::String(name)) => vec![name.as_str()],
            Some(ContextValue::Strings(names)) => names.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        });
        let mut named = named.iter().flatten().map(|name| name.split([' ', '=']).next().unwrap_or_default());
        let given = |name: &str| {
            let option = name.strip_prefix("--")?;
            self.given.iter().find(|given| given.is_used && given.arg.get_long() == Some(option))
        };
        if error.kind() == ErrorKind::ArgumentConflict
            && let Some(given) = named.find_map(given)
        {
            bail!("{}{}: {}", self.place(given.at), given.key, message(error));
        }
        Ok(())
    }

    /// What is wrong with an option of `serve`, with its place where it is one of the file.
    pub(crate) fn locate(&self, option: &str, error: anyhow::Error) -> anyhow::Error {
        let given = self.used(None).find(|given| given.arg.get_long() == Some(option));
        match given {
            Some(given) => error.context(format!("{}{option}", self.place(given.at))),
            None => error,
        }
    }

    /// Where a byte of the file is, as the beginning of a message.
    fn place(&self, at: usize) -> impl fmt::Display {
        let (line, column) = place(self.text.get(..at).unwrap_or(&self.text));
        format!("{}:{line}:{column}: ", self.path.display())
    }
}

/// What the command line and the environment say of `serve`, whatever is missing there; `None` for another command, and
/// where help is asked for.
fn what_is_said(command: &clap::Command, line: &[OsString]) -> Option<ArgMatches> {
    let mut matches = command.clone().ignore_errors(true).try_get_matches_from(line).ok()?;
    matches.remove_subcommand().filter(|(name, _)| name == "serve").map(|(_, serve)| serve)
}

/// Whether the environment has an option.
fn is_set(arg: &Arg) -> bool {
    arg.get_env().is_some_and(|name| std::env::var_os(name).is_some())
}

/// What is said of a key that is none.
fn unknown(serve: &clap::Command, app: Option<&clap::Command>, name: &str) -> String {
    let has = |command: &&clap::Command| command.get_arguments().any(|arg| key_of(arg).as_deref() == Some(name));
    match app {
        None => {
            if let Some(of) = serve.get_subcommands().find(has) {
                return format!("{name}: this is an option of an application, and stands below [{}]", of.get_name());
            }
        }
        Some(app) if has(&serve) => {
            return format!("{name}: this is no option of the application, and stands above [{}]", app.get_name());
        }
        Some(_) => {}
    }
    // The command line has an opinion on what was meant.
    let command = app.unwrap_or(serve).clone();
    let error = command.no_binary_name(true).try_get_matches_from([format!("--{name}")]).err();
    let similar = match error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg)) {
        Some(ContextValue::String(similar)) => format!("; `{}` is similar", similar.trim_start_matches('-')),
        _ => String::new(),
    };
    match app {
        Some(app) => format!("{name}: `{}` has no such option{similar}", app.get_name()),
        None => format!("{name}: there is neither an option nor an application of this name{similar}"),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let name = path.display();
    let cannot = || format!("cannot read {name}");
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes)).with_context(cannot)?;
    ensure!(bytes.len() as u64 <= FILE_MAX, "{name} is longer than {FILE_MAX} bytes: it is no configuration");
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let (line, column) = place(&String::from_utf8_lossy(good));
        anyhow!("{name}:{line}:{column}: this is not UTF-8")
    })
}

/// Line and column of what follows a text.
fn place(before: &str) -> (usize, usize) {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use clap::Subcommand;
    use lethe_sim::sample::Sample;

    use super::*;
    use crate::args;
    use crate::server::Server;

    #[derive(Clone, Subcommand)]
    enum App {
        Files {
            path: PathBuf,
            #[arg(long)]
            clean_urls: bool,
            #[arg(long)]
            fields: Vec<String>,
            #[arg(long, hide_env_values = true)]
            password: Option<String>,
            #[arg(long, hide_env_values = true)]
            pin: Option<u16>,
        },
        Ipinfo {
            #[arg(long, conflicts_with = "lines")]
            db: Option<PathBuf>,
            #[arg(long)]
            lines: Option<u8>,
            #[arg(long, requires = "lines")]
            ratio: Option<f32>,
        },
    }

    #[derive(Clone, clap::Args)]
    struct Chosen {
        #[command(subcommand)]
        app: App,
    }

    #[derive(Clone, clap::Args)]
    struct Page {
        file: PathBuf,
        title: Option<String>,
        #[arg(long, conflicts_with = "wide")]
        narrow: bool,
        #[arg(long)]
        wide: bool,
    }

    fn chosen() -> clap::Command {
        args::command(&Server::new("lethe", |_: &Chosen| Ok::<_, Infallible>(Sample::new(10))))
    }

    fn page() -> clap::Command {
        args::command(&Server::new("page", |_: &Page| Ok::<_, Infallible>(Sample::new(10))))
    }

    fn line(words: &str) -> Vec<OsString> {
        words.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    fn parse(command: &clap::Command, text: &str) -> anyhow::Result<ConfigFile> {
        ConfigFile::parse(command.find_subcommand("serve").unwrap(), Path::new("a.toml"), text.to_owned())
    }

    /// What is in force by a file and by what follows `serve` on the command line.
    fn in_force(mut command: clap::Command, text: &str, words: &str) -> anyhow::Result<String> {
        let mut config = parse(&command, text)?;
        let line = config.fill_in(&command, &line(&format!("lethe serve {words}")));
        let matches = command
            .try_get_matches_from_mut(line)
            .map_err(|error| config.explain(&error).err().unwrap_or_else(|| anyhow!("{}", message(&error))))?;
        in_force::text(command.find_subcommand("serve").unwrap(), matches.subcommand().unwrap().1)
    }

    /// The lines among what is in force that begin with a key.
    #[track_caller]
    fn check(command: clap::Command, text: &str, words: &str, expect: &[&str]) {
        let found = in_force(command, text, words).unwrap();
        for expect in expect {
            assert!(found.lines().any(|line| line == *expect), "{expect}: {found}");
        }
    }

    #[track_caller]
    fn check_error(command: clap::Command, text: &str, expect: &str) {
        let error = in_force(command, text, "").expect_err(text);
        assert_eq!(format!("{error:#}"), expect, "{text}");
    }

    const ALL: &str = "device = \"tap:t\"\naddr = [\"10.9.0.2\"]\n";

    #[test]
    fn a_key_is_an_option_and_a_table_the_application() {
        let text = "device = 'tap:t,mtu=9000'\naddr = ['10.9.0.2', 'fd09::2/64']\ntcp-port = [0x50, 8080]\nburst = 3\n\
                    gather = '50us'\nstats = true\nrevert-backoff = false\nkeep-alive = 'off'\n\
                    [files]\npath = '/srv/a b'\nclean-urls = true\nfields = ['/* A: b, c', '-x']\n";
        let expect = [
            "device = \"tap:t,mtu=9000\"",
            "addr = [\"10.9.0.2\", \"fd09::2/64\"]",
            "tcp-port = [80, 8080]",
            "burst = 3",
            "gather = \"50us\"",
            "stats = true",
            "revert-backoff = false",
            "keep-alive = \"off\"",
            "user = \"nobody\"",
            "[files]",
            "path = \"/srv/a b\"",
            "clean-urls = true",
            "fields = [\"/* A: b, c\", \"-x\"]",
        ];
        check(chosen(), text, "", &expect);
        // One value of an option that can be repeated; and an application all of whose options are left out.
        check(chosen(), "device = 'tap:t'\naddr = '10.9.0.2'\n[ipinfo]\n", "", &["addr = [\"10.9.0.2\"]", "[ipinfo]"]);
    }

    #[test]
    fn arguments_of_an_application_without_a_name_are_keys_beside_the_others() {
        let text = format!("title = '-b'\nfile = 'a'\n{ALL}");
        check(page(), &text, "", &["file = \"a\"", "title = \"-b\""]);
        let found = in_force(page(), &text, "other").unwrap();
        assert!(found.contains("file = \"other\"\n") && !found.contains("title"), "{found}");
        check_error(page(), ALL, "the following required arguments were not provided: <FILE>");
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let text = format!("{ALL}burst = 3\n[files]\npath = 'a'\nclean-urls = true\n");
        let expect = ["device = \"tap:u\"", "addr = [\"10.9.0.3\"]", "burst = 3", "path = \"a\""];
        check(chosen(), &text, "--device tap:u --addr 10.9.0.3", &expect);
        // An application is one thing: what the file says of it is not mixed with what the command line does.
        check(chosen(), &text, "files b", &["burst = 3", "path = \"b\"", "clean-urls = false"]);
        check(chosen(), &text, "ipinfo --db c", &["burst = 3", "db = \"c\""]);
    }

    #[test]
    fn a_key_that_is_none_is_told_with_its_place_and_what_may_be_meant() {
        let neither = "there is neither an option nor an application of this name";
        check_error(chosen(), "# a\n\n  adr = 'x'\n", &format!("a.toml:3:3: adr: {neither}; `addr` is similar"));
        check_error(chosen(), "[htdocs]\n", &format!("a.toml:1:2: htdocs: {neither}"));
        check_error(chosen(), "help = true\n", &format!("a.toml:1:1: help: {neither}"));
        for own in ["config = 'b.toml'", "print-config = true"] {
            let name = own.split(' ').next().unwrap();
            let expect = format!("a.toml:1:1: {name}: this option stands on the command line alone");
            check_error(chosen(), own, &expect);
        }
        check_error(
            chosen(),
            "[files]\npath = 'a'\nclean-url = true\n",
            "a.toml:3:1: clean-url: `files` has no such option; `clean-urls` is similar",
        );
        check_error(
            chosen(),
            "[files]\npath = 'a'\naddr = '10.9.0.2'\n",
            "a.toml:3:1: addr: this is no option of the application, and stands above [files]",
        );
        check_error(
            chosen(),
            "clean-urls = true\n",
            "a.toml:1:1: clean-urls: this is an option of an application, and stands below [files]",
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_with_its_place() {
        for (text, place, what) in [
            ("stats = 'yes'", "1:9: stats", "this takes true or false, and not a string"),
            ("burst = '3'", "1:9: burst", "this takes an integer, and not a string"),
            ("burst = 3.0", "1:9: burst", "this takes an integer, and not a float"),
            ("burst = [3]", "1:9: burst", "this takes one value, and no array"),
            ("user = 1", "1:8: user", "this takes a string, and not an integer"),
            ("keep-alive = true", "1:14: keep-alive", "this takes a string, and not a boolean"),
            ("revert-backoff = 'on'", "1:18: revert-backoff", "this takes true or false, and not a string"),
            ("addr = []", "1:8: addr", "an empty array: leave the key out"),
            (
                "addr = ['10.9.0.2', ['a']]",
                "1:21: addr",
                "this takes a string, a number, or true or false, and not an array",
            ),
            (
                "gather = 1979-05-27",
                "1:10: gather",
                "this takes a string, a number, or true or false, and not a datetime",
            ),
            (
                "device = { tap = 't' }",
                "1:10: device",
                "this takes a string, a number, or true or false, and not a table",
            ),
            ("files = 'a'", "1:1: files", "this is an application, whose options are a table: [files]"),
        ] {
            check_error(chosen(), text, &format!("a.toml:{place}: {what}"));
        }
    }

    #[test]
    fn a_value_that_the_command_line_would_refuse_is_refused_in_its_words_and_with_its_place() {
        for (text, expect) in [
            ("burst = 999", "1:9: burst: `999`: 999 is not in 1..=256"),
            ("burst = -1", "1:9: burst: `-1`: -1 is not in 1..=256"),
            ("burst = 99999999999999999999999999999999999999999", "1:9: burst: this number is too large"),
            ("keep-alive = 'no'", "1:14: keep-alive: `no` is none of on, off"),
            ("user = ''\nsecret-file = ''", "2:15: secret-file: this is empty"),
            (
                "addr = [\n  '10.9.0.2',\n  '10.9.0.3:80',\n]",
                "3:3: addr: `10.9.0.3:80`: a port does not belong here, and 80 is what is served anyway: --addr \
                 10.9.0.3",
            ),
            ("[ipinfo]\nlines = 256", "2:9: lines: `256`: 256 is not in 0..=255"),
        ] {
            check_error(chosen(), text, &format!("a.toml:{expect}"));
        }
    }

    #[test]
    fn what_is_there_twice_is_told() {
        check_error(chosen(), "stats = true\nburst = 3\nstats = true\n", "a.toml:3:1: duplicate key");
        let text = format!("{ALL}[files]\npath = 'a'\n[ipinfo]\n");
        let expect = "a.toml:5:2: ipinfo: there is one application, and it is `files` already";
        check_error(chosen(), &text, expect);
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_place() {
        let error = in_force(chosen(), "stats = true\nburst 3\n", "").unwrap_err().to_string();
        assert!(error.starts_with("a.toml:2:"), "{error}");
    }

    #[test]
    fn options_that_exclude_each_other_are_told_with_a_place() {
        let text = format!("{ALL}file = 'a'\nwide = true\nnarrow = true\n");
        let error = in_force(page(), &text, "").unwrap_err().to_string();
        assert_eq!(error, "a.toml:4:1: wide: the argument '--wide' cannot be used with '--narrow'");
        // One is on the command line.
        let text = format!("{ALL}file = 'a'\nwide = true\n");
        let error = in_force(page(), &text, "--narrow").unwrap_err().to_string();
        assert_eq!(error, "a.toml:4:1: wide: the argument '--wide' cannot be used with '--narrow'");
        let text = format!("{ALL}[ipinfo]\ndb = 'a'\nlines = 3\n");
        let error = in_force(chosen(), &text, "").unwrap_err().to_string();
        assert_eq!(error, "a.toml:4:1: db: the argument '--db <DB>' cannot be used with '--lines <LINES>'");
        // A switch that is off excludes nothing.
        check(page(), &format!("{ALL}file = 'a'\nwide = false\nnarrow = true\n"), "", &["narrow = true"]);
    }

    #[test]
    fn an_option_that_needs_another_has_it_from_wherever_it_is() {
        let text = format!("{ALL}[ipinfo]\nratio = 0.5\n");
        let error = in_force(chosen(), &text, "").unwrap_err().to_string();
        assert_eq!(error, "the following required arguments were not provided: --lines <LINES>");
        check(chosen(), &format!("{text}lines = 2\n"), "", &["lines = 2", "ratio = \"0.5\""]);
    }

    #[test]
    fn what_is_in_force_is_a_file_that_says_the_same() {
        let odd = "[files]\npath = \"a\\\"\\\\\\u007f\\t\\u00e9\\n\"\n";
        let first = in_force(chosen(), &format!("{ALL}{odd}"), "--first-window 010").unwrap();
        assert!(first.contains("first-window = 10\n"), "{first}");
        assert_eq!(in_force(chosen(), &first, "").unwrap(), first);
        let first = in_force(page(), &format!("{ALL}file = 'a'"), "--narrow").unwrap();
        assert_eq!(in_force(page(), &first, "").unwrap(), first);
    }

    #[test]
    fn a_value_that_its_author_hides_is_not_printed() {
        let text = format!("{ALL}[files]\npath = 'a'\npassword = 'xyzzy'\n");
        let found = in_force(chosen(), &text, "").unwrap();
        assert!(found.contains("# password is a secret, and not shown\n") && !found.contains("xyzzy"), "{found}");
        // Nor where it is wrong.
        let error = in_force(chosen(), "[files]\npath = 'a'\npin = 70000\n", "").unwrap_err().to_string();
        assert_eq!(error, "a.toml:3:7: pin: this value is not one that the option takes");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = |path: &Path| format!("{:#}", read(path).unwrap_err());
        let missing = error(Path::new("/no/such/file"));
        assert!(missing.starts_with("cannot read /no/such/file: No such file"), "{missing}");
        let endless = error(Path::new("/dev/zero"));
        assert_eq!(endless, "/dev/zero is longer than 1048576 bytes: it is no configuration");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"stats = true\nuser = '\xff'\n").unwrap();
        let name = file.path().display();
        assert_eq!(error(file.path()), format!("{name}:2:9: this is not UTF-8"));
    }

    #[test]
    fn every_option_has_a_variable_and_help_does_not_list_them() {
        let mut command = chosen();
        let serve = command.find_subcommand_mut("serve").unwrap();
        let name = |command: &clap::Command, id: &str| {
            let mut arguments = command.get_arguments();
            arguments.find(|arg| arg.get_id() == id).unwrap().get_env().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name(serve, "secret_file"), "LETHE_SECRET_FILE");
        assert_eq!(name(serve.find_subcommand("files").unwrap(), "clean_urls"), "LETHE_FILES_CLEAN_URLS");
        assert!(serve.get_arguments().find(|arg| arg.get_id() == "print_config").unwrap().get_env().is_none());
        let help = serve.render_long_help().to_string();
        assert!(!help.contains("[env: "), "{help}");
        assert_eq!(variable("my-server"), "MY_SERVER");
    }
}
