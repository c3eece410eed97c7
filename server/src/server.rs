//! What a server is: an application, and what its author says of it.

use std::marker::PhantomData;
use std::sync::Arc;

use clap::ArgMatches;
use lethe::App;
use lethe::port::Port;

#[cfg(feature = "load")]
use crate::demo::Demo;
use crate::device::{NoPort, OwnPort, is_known};

/// Arguments of an application that has none.
#[derive(Clone, Debug, clap::Args)]
pub struct NoArgs {}

/// How an application is made of its arguments.
pub(crate) type Load<X, A> = Arc<dyn Fn(&X) -> anyhow::Result<A> + Send + Sync>;

/// Does what the arguments of a command say.
type Run = Box<dyn Fn(&ArgMatches) -> anyhow::Result<()>>;

/// A command beside those that every server has.
pub(crate) struct Extra {
    pub(crate) command: clap::Command,
    pub(crate) run: Run,
}

/// A server of an application `A`, whose arguments on the command line are `X`.
///
/// A server is described by the methods below and then becomes the program with [`main`](Self::main).
pub struct Server<X, A, P = NoPort> {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) version: &'static str,
    pub(crate) load: Load<X, A>,
    pub(crate) reload: Load<X, A>,
    pub(crate) app_name: fn(&X) -> String,
    pub(crate) source: fn(&X) -> Option<String>,
    pub(crate) summary: fn(&A) -> String,
    pub(crate) example: (&'static str, &'static str),
    pub(crate) paths: Vec<String>,
    pub(crate) extras: Vec<Extra>,
    #[cfg(feature = "load")]
    pub(crate) demos: Vec<Demo>,
    pub(crate) own_port: Option<OwnPort<P>>,
    marker: PhantomData<fn() -> P>,
}

impl<A: App + Send + Sync + 'static> Server<NoArgs, A> {
    /// A server of an application without arguments. It is made again for each command, and there is nothing to load
    /// again while it is served.
    pub fn of(name: &'static str, make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self::new(name, move |_: &NoArgs| Ok::<_, std::convert::Infallible>(make())).reloads(|_| None)
    }
}

impl<X, A> Server<X, A>
where
    X: clap::Args + Clone + Send + Sync + 'static,
    A: App + Send + Sync + 'static,
{
    /// A server whose application `load` makes of its arguments, `X`, which stand on the command line beside the
    /// options of the server. None may have the name of one of the server, as `--help` of `serve`, `replay`, `simulate`
    /// and `bench` lists them: the program says so when it is started.
    ///
    /// `serve` takes them from a file as well (`--config`), and from variables of the environment. What an argument
    /// with `hide_env_values = true` has is a secret, and `--print-config` does not show it.
    ///
    /// On SIGHUP the application is loaded again: new connections are answered
    /// from the new one, and those that began with another one from that one. An error is told, and the old one stays.
    ///
    /// An application stores its responses at positions from 0 to [`Position::PER_GENERATION`](lethe::app::Position),
    /// as a [`Store`](crate::Store) does, and never needs to know of its predecessors ([`lethe::versions::Versions`]).
    pub fn new<E: Into<anyhow::Error>>(
        name: &'static str,
        load: impl Fn(&X) -> Result<A, E> + Send + Sync + 'static,
    ) -> Self {
        let load: Load<X, A> = Arc::new(move |args| load(args).map_err(Into::into));
        Self {
            name,
            about: "A web server that keeps no state: each packet is answered from that packet alone",
            version: env!("CARGO_PKG_VERSION"),
            reload: Arc::clone(&load),
            load,
            app_name: |_| crate::message::name().to_owned(),
            source: |_| Some("the data".to_owned()),
            summary: |_| "the data".to_owned(),
            example: ("", "/"),
            paths: vec!["/".to_owned()],
            extras: Vec::new(),
            #[cfg(feature = "load")]
            demos: Vec::new(),
            own_port: None,
            marker: PhantomData,
        }
    }

    /// Adds a kind of device of the author's own, which `serve` and `load` take beside the others: `--device
    /// KIND:DETAILS` calls `open` with the details. `usage` is what `--help` says of it: `KIND:DETAILS, what that is`.
    ///
    /// ```
    /// # use lethe_server::{App, Port, Request, Response, Server, Status, anyhow};
    /// fn with_pipes<A, P>(app: fn() -> A, open: fn(&str) -> anyhow::Result<P>) -> Server<impl clap::Args, A, P>
    /// where
    ///     A: App + Send + Sync + 'static,
    ///     P: Port + 'static,
    /// {
    ///     Server::of("hello", app).with_port("pipe", "pipe:IN,OUT, frames from one named pipe to another", open)
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// When `kind` is one that every server has.
    pub fn with_port<P: Port>(
        self,
        kind: &'static str,
        usage: &'static str,
        open: impl Fn(&str) -> anyhow::Result<P> + 'static,
    ) -> Server<X, A, P> {
        assert!(!is_known(kind), "every server has a kind of device called {kind}");
        let Self { name, about, version, load, reload, app_name, source, summary, example, paths, extras, .. } = self;
        #[cfg(feature = "load")]
        let demos = self.demos;
        let own_port = Some(OwnPort { kind, usage, open: Box::new(open) });
        let marker = PhantomData;
        Server {
            name,
            about,
            version,
            load,
            reload,
            app_name,
            source,
            summary,
            example,
            paths,
            extras,
            #[cfg(feature = "load")]
            demos,
            own_port,
            marker,
        }
    }
}

impl<X, A, P> Server<X, A, P>
where
    X: clap::Args + Clone + Send + Sync + 'static,
    A: App + Send + Sync + 'static,
    P: Port,
{
    /// What `--help` says of the program, in one line.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// What `--version` says; that of this library, if nothing is said. Usually `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    /// Loads the application in another way while it is served: without a progress bar, for example.
    #[must_use]
    pub fn reload_with<E: Into<anyhow::Error>>(
        self,
        load: impl Fn(&X) -> Result<A, E> + Send + Sync + 'static,
    ) -> Self {
        Self { reload: Arc::new(move |args| load(args).map_err(Into::into)), ..self }
    }

    /// What is loaded again on SIGHUP, as messages call it: a path. `None` where there is nothing to load again.
    #[must_use]
    pub fn reloads(self, source: fn(&X) -> Option<String>) -> Self {
        Self { source, ..self }
    }

    /// What was loaded, as the message of a reload has it: `12 files, 3 MB`.
    #[must_use]
    pub fn summary(self, summary: fn(&A) -> String) -> Self {
        Self { summary, ..self }
    }

    /// What the application is called in metrics; the name of the command, if nothing is said.
    #[must_use]
    pub fn app_name(self, app_name: fn(&X) -> String) -> Self {
        Self { app_name, ..self }
    }

    /// The arguments of the application and a path in the examples of `--help`.
    #[must_use]
    pub fn example(self, args: &'static str, path: &'static str) -> Self {
        Self { example: (args, path), ..self }
    }

    /// Paths that `simulate` and `bench` ask for where none is given: `/`, if nothing is said. `bench` leaves those out
    /// whose response does not fit one segment.
    #[must_use]
    pub fn paths<S: Into<String>>(self, paths: impl IntoIterator<Item = S>) -> Self {
        Self { paths: paths.into_iter().map(Into::into).collect(), ..self }
    }

    /// What `demo` shows; the application of [`example`](Self::example), if nothing is said.
    #[cfg(feature = "load")]
    #[must_use]
    pub fn demos(self, demos: impl IntoIterator<Item = Demo>) -> Self {
        Self { demos: demos.into_iter().collect(), ..self }
    }

    /// What `demo` shows.
    #[cfg(feature = "load")]
    pub(crate) fn shown(&self) -> Vec<Demo> {
        let (app, path) = self.example;
        let usual = Demo { app, path, site: &[], hint: "curl http://{addr}/" };
        if self.demos.is_empty() { vec![usual] } else { self.demos.clone() }
    }

    /// Adds a command of the author's own, or puts it in the place of one that every server has.
    #[must_use]
    pub fn command<C: clap::Args>(
        mut self,
        name: &'static str,
        about: &'static str,
        run: impl Fn(&C) -> anyhow::Result<()> + 'static,
    ) -> Self {
        let command = C::augment_args(clap::Command::new(name)).about(about);
        let run = move |matches: &ArgMatches| run(&C::from_arg_matches(matches)?);
        self.extras.push(Extra { command, run: Box::new(run) });
        self
    }
}

/// A path of a request, as `simulate` and `bench` take it: it begins with `/`.
pub fn parse_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path { Ok(text.to_owned()) } else { Err("a path begins with / and has no spaces".to_owned()) }
}
