//! The `lethe` command: the server library with the built-in applications.

mod app;
mod bench;
mod bench_data;
mod files;
mod map;
mod prepare;
mod progress;
mod scores;
mod simulate;

use std::process::ExitCode;

use lethe_server::Server;

use crate::app::{AppArgs, Application};

/// The application and its data, as every command that runs an engine takes them.
#[derive(Clone, clap::Args)]
struct Args {
    #[command(subcommand)]
    app: AppArgs,
}

fn main() -> ExitCode {
    Server::new("lethe", |args: &Args| args.app.load())
        .about("A web server that forgets every connection: each packet is answered from that packet alone")
        .version(env!("CARGO_PKG_VERSION"))
        .reload_with(|args: &Args| args.app.load_again())
        .reloads(|args| args.app.source())
        .summary(Application::summary)
        .app_name(|args| args.app.name().to_owned())
        .example("ipinfo", "/202.96.128.86")
        .command("simulate", "Run the engine and its clients in a simulated network", simulate::simulate)
        .command("bench", "Measure what a packet costs the engine", bench::bench)
        .command("prepare", "Make the data file of an application", prepare::prepare)
        .main()
}
