//! `verify`: whether the application and its data can be served, without serving them.

use std::io::{self, Write};

use lethe::App;

use crate::print::Printed as _;
use crate::server::Server;

#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args<X: clap::Args> {
    #[command(flatten, next_help_heading = "Application")]
    app: X,
}

const EXAMPLE: &str = "\
The exit code is 0 where a server would start with the data, or take it on SIGHUP, and 1 where it
would not; then a message says why. No device is opened, and root is not needed.

Example:
  {name} verify{app}
  {name} verify{app} && kill -HUP $(pidof {name})";

/// Loads the application, and says what it has.
pub(crate) fn verify<X, A, P>(server: &Server<X, A, P>, args: &Args<X>) -> anyhow::Result<()>
where
    X: clap::Args,
    A: App,
{
    let app = (server.load)(&args.app)?;
    let name = (server.source)(&args.app).unwrap_or_else(|| (server.app_name)(&args.app));
    writeln!(io::stdout(), "{name} is in order: {}", (server.summary)(&app)).printed()
}
