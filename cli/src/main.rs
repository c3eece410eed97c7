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

use lethe_server::{Demo, Server};

use crate::app::{AppArgs, Application};

/// The application and its data, as every command that runs an engine takes them.
#[derive(Clone, clap::Args)]
struct Args {
    #[command(subcommand)]
    app: AppArgs,
}

/// What `lethe demo` shows.
const DEMOS: [Demo; 2] = [
    Demo { app: "ipinfo", path: "/8.8.8.8", site: &[], hint: "curl http://{addr}/8.8.8.8; curl http://{addr}/json" },
    Demo {
        app: "files SITE",
        path: "/",
        site: &[("index.html", DEMO_PAGE)],
        hint: "a browser at http://{addr}/, or curl -v http://{addr}/",
    },
];

const DEMO_PAGE: &str = "\
<!doctype html>
<html lang=en>
<meta charset=utf-8>
<title>Lethe</title>
<h1>A web server that forgets</h1>
<p>No packet of this page was sent by anything that knew of your connection. Reload it while <code>k</code> in the
terminal kills the server and starts it again.</p>
";

fn main() -> ExitCode {
    Server::new("lethe", |args: &Args| args.app.load())
        .about("A web server that forgets every connection: each packet is answered from that packet alone")
        .version(env!("CARGO_PKG_VERSION"))
        .reload_with(|args: &Args| args.app.load_again())
        .reloads(|args| args.app.source())
        .summary(Application::summary)
        .app_name(|args| args.app.name().to_owned())
        .example("ipinfo", "/202.96.128.86")
        .demos(DEMOS)
        .command("simulate", "Run the engine and its clients in a simulated network", simulate::simulate)
        .command("bench", "Measure what a packet costs the engine", bench::bench)
        .command("prepare", "Make the data file of an application", prepare::prepare)
        .main()
}
