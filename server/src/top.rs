//! `lethe top`: a server's counters on a terminal, anew each second.

pub(crate) mod client;
pub(crate) mod screen;
pub(crate) mod terminal;

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::ensure;

use self::client::{fetch, snapshot};
use self::screen::lines;
use self::terminal::{Event, Terminal};
use crate::metrics::endpoint::{self, Endpoint};
use crate::print::Printed as _;

/// From one screen to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// The width of a screen that is printed where there is no terminal.
const WIDTH: usize = 80;

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Where the server was told to answer with --metrics: unix:PATH or IP:PORT
    #[arg(value_name = "WHERE", default_value = endpoint::DEFAULT)]
    server: Endpoint,
    /// Print one screen, after a second in which the rates are measured, and end
    #[arg(long, conflicts_with = "json")]
    once: bool,
    /// Print the counters as JSON, and end
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "\
Rates are of the last second. q or Ctrl-C ends it.

Example:
  {name} serve --device tap:lethe0,host=10.9.0.1/24 --addr 10.9.0.2 \\
      --metrics unix:/run/lethe/metrics.sock{app}
  {name} top
  {name} top --once 127.0.0.1:9690
  {name} top --json | jq .total.dropped";

/// Watches until it is told to stop.
pub(crate) fn top(args: &Args) -> anyhow::Result<()> {
    if args.json {
        return write!(io::stdout(), "{}", fetch(&args.server, "/stats.json")?).printed();
    }
    let first = snapshot(&args.server)?;
    if args.once {
        thread::sleep(INTERVAL);
        let now = snapshot(&args.server)?;
        let lines = lines(Some(&first), &now, WIDTH, usize::MAX);
        return writeln!(io::stdout(), "{}", lines.join("\n")).printed();
    }
    let is_seen = io::stdin().is_terminal() && io::stdout().is_terminal();
    ensure!(is_seen, "there is no terminal to draw on: --once prints a screen, --json the counters");

    let mut terminal = Terminal::enter()?;
    let (mut before, mut now, mut trouble) = (None, first, None);
    loop {
        let (width, height) = terminal.size()?;
        let mut screen = lines(before.as_ref(), &now, width, height.saturating_sub(1));
        screen.resize(height.saturating_sub(1), String::new());
        screen.push(trouble.clone().unwrap_or_else(|| format!("{}   q: quit", args.server)));
        terminal.draw(&screen)?;
        match terminal.wait(INTERVAL)? {
            Event::Quit => return Ok(()),
            Event::Resized | Event::Key(_) => {}
            // A server that is gone may come back.
            Event::Nothing => match snapshot(&args.server) {
                Ok(next) => (before, now, trouble) = (Some(now), next, None),
                Err(error) => trouble = Some(format!("{error:#}   q: quit")),
            },
        }
    }
}
