//! The command line as a whole.

use clap::{Parser, Subcommand};

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
