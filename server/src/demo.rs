//! `lethe demo`: servers, clients, a bad network and a view of it all, by one command on one machine.
//!
//! ```text
//! this process: the terminal ◄── counters ──┐
//!   ├── a server for each application: serve --device tap:lethedemo0 --impair loss=5% …
//!   └── its clients:                   load --device packet:lethedemo0 --rate 500/s …
//! ```
//!
//! They are processes of this program, as a person would start them by hand. Another loss, or another rate, is another
//! process: a server without state can be ended and started again at any time, and its clients notice nothing of it. So
//! the TAP device is one that stays when its server ends.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lethe_sim::random::Probability;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use crate::metrics::endpoint::Endpoint;
use crate::metrics::snapshot::Snapshot;
use crate::print::print_line;
use crate::top::client::snapshot;
use crate::top::screen::lines;
use crate::top::terminal::{Event, Terminal};

/// From one screen to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lines below the view of a server.
const FOOT: usize = 8;

/// Percentages of frames that are lost, as keys go through them.
const LOSSES: [u32; 6] = [0, 1, 2, 5, 10, 20];

/// The largest one, in percent.
const LOSS_MAX: u32 = 50;

/// Connections a second, as keys go through them.
const RATES: [u32; 8] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000];

/// An application as `demo` shows it.
#[derive(Clone, Debug)]
pub struct Demo {
    /// What stands on the command line of `serve` behind its options: `ipinfo`, or `files SITE`, where `SITE` is the
    /// path of a directory that `demo` makes.
    pub app: &'static str,
    /// What its clients ask for.
    pub path: &'static str,
    /// Files of that directory: names and contents.
    pub site: &'static [(&'static str, &'static str)],
    /// What a person can try, without the address of the server: `curl http://{addr}/8.8.8.8`.
    pub hint: &'static str,
}

#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Connections that begin in a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Share of the frames that are lost, in both directions
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = parse_loss)]
    loss: Probability,
    /// End after this time; without a terminal, print a screen then
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

const EXAMPLE: &str = "\
It takes root, for TAP devices; they, and everything else, are gone when it ends.

Keys: + and - change the rate, ] and [ the loss, k kills the server and starts it again,
Tab shows the next application, q ends it.

Example:
  {name} demo
  {name} demo --rate 2000 --loss 5%
  {name} demo --for 10s                # without a terminal: one screen, after ten seconds";

fn parse_loss(text: &str) -> Result<Probability, String> {
    let loss = text.parse().ok().filter(|&loss| loss <= Probability::from_percent(LOSS_MAX));
    loss.ok_or_else(|| format!("want a share from 0% to {LOSS_MAX}%"))
}

/// Shows these applications until it is told to stop.
pub(crate) fn demo(shown: &[Demo], args: &Args) -> anyhow::Result<()> {
    ensure!(geteuid().is_root(), "TAP devices take root: try sudo");
    ensure!(!shown.is_empty(), "there is no application to show");
    let is_seen = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    ensure!(is_seen || args.duration.is_some(), "there is no terminal to draw on: --for 10s prints a screen then");
    let folder = tempfile::Builder::new().prefix("lethe-demo-").tempdir().context("no directory for the demo")?;
    let mut stages = Vec::new();
    for (number, demo) in (0..).zip(shown) {
        let mut stage = Stage::new(number, demo, &folder, args)?;
        stage.start_server()?;
        stage.start_clients()?;
        stages.push(stage);
    }
    let end = args.duration.map(|duration| Instant::now() + duration);
    if is_seen { show(&mut stages, end) } else { print_at(&mut stages, end) }
}

/// Prints a screen for each application when the time is over.
fn print_at(stages: &mut [Stage], end: Option<Instant>) -> anyhow::Result<()> {
    while end.is_none_or(|end| Instant::now() < end) {
        thread::sleep(INTERVAL);
        for stage in &mut *stages {
            stage.look()?;
        }
    }
    for stage in stages {
        print_line(stage.screen(80, 60).join("\n"))?;
    }
    Ok(())
}

fn show(stages: &mut [Stage], end: Option<Instant>) -> anyhow::Result<()> {
    let mut terminal = Terminal::enter()?;
    let mut current = 0;
    let mut next = Instant::now();
    while end.is_none_or(|end| Instant::now() < end) {
        if Instant::now() >= next {
            next += INTERVAL;
            for stage in &mut *stages {
                stage.look()?;
            }
        }
        let (width, height) = terminal.size()?;
        let Some(stage) = stages.get_mut(current) else { return Ok(()) };
        terminal.draw(&stage.screen(width, height))?;
        match terminal.wait(next.saturating_duration_since(Instant::now()))? {
            Event::Quit => return Ok(()),
            Event::Key('\t') => current = (current + 1) % stages.len(),
            Event::Key(key) => stage.press(key)?,
            Event::Resized | Event::Nothing => {}
        }
    }
    Ok(())
}

/// A server and its clients.
struct Stage {
    demo: Demo,
    number: u8,
    program: PathBuf,
    /// Where the server says how it is, and its secret lies.
    folder: PathBuf,
    loss: Probability,
    rate: u32,
    // They end in this order.
    clients: Option<Process>,
    server: Option<Process>,
    device: Device,
    /// Servers that were started.
    starts: u32,
    before: Option<Snapshot>,
    now: Option<Snapshot>,
}

impl Stage {
    fn new(number: u8, demo: &Demo, folder: &TempDir, args: &Args) -> anyhow::Result<Self> {
        let folder = folder.path().join(number.to_string());
        let site = folder.join("site");
        fs::create_dir_all(&site)?;
        for (name, text) in demo.site {
            fs::write(site.join(name), text)?;
        }
        let device = Device::new(format!("lethedemo{number}"))?;
        let program = std::env::current_exe().context("this program has no path")?;
        // The servers that follow one another have to know what the one before has sent.
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).context("there is no randomness")?;
        let secret = format!("{:032x}", u128::from_be_bytes(secret));
        fs::write(folder.join("secret"), secret)?;
        let (loss, rate) = (args.loss, args.rate);
        let (server, clients) = (None, None);
        Ok(Self {
            demo: demo.clone(),
            number,
            program,
            folder,
            loss,
            rate,
            clients,
            server,
            device,
            starts: 0,
            before: None,
            now: None,
        })
    }

    /// An address of the network of this device.
    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 119, self.number, host)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.folder.join("run/metrics.sock"))
    }

    fn start_server(&mut self) -> anyhow::Result<()> {
        drop(self.server.take());
        let site = self.folder.join("site");
        let mut command = Command::new(&self.program);
        command.args(["serve", "--device"]).arg(format!("tap:{},host={}/24", self.device.0, self.address(1)));
        command.arg("--addr").arg(self.address(2).to_string());
        command.arg("--metrics").arg(self.endpoint().to_string());
        command.arg("--secret-file").arg(self.folder.join("secret"));
        if !self.loss.is_never() {
            command.arg("--impair").arg(format!("loss={}", self.loss));
        }
        let words = self.demo.app.split_whitespace();
        command.args(words.map(|word| if word == "SITE" { site.as_os_str() } else { word.as_ref() }));
        self.server = Some(Process::start(command)?);
        self.starts += 1;
        let start = Instant::now();
        while snapshot(&self.endpoint()).is_err() {
            if let Some(said) = self.server.as_mut().and_then(Process::end) {
                bail!("the server of {} does not start: {said}", self.demo.app);
            }
            ensure!(start.elapsed() < PATIENCE, "the server of {} does not say how it is", self.demo.app);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn start_clients(&mut self) -> anyhow::Result<()> {
        drop(self.clients.take());
        let mut command = Command::new(&self.program);
        command.args(["load", "--device"]).arg(format!("packet:{}", self.device.0));
        command.arg("--from").arg(format!("{}/25", self.address(128)));
        command.arg("--to").arg(self.address(2).to_string());
        command.args(["--path", self.demo.path, "--for", "365d", "--rate"]).arg(self.rate.to_string());
        self.clients = Some(Process::start(command)?);
        Ok(())
    }

    /// Looks how the server is.
    fn look(&mut self) -> anyhow::Result<()> {
        if let Some(said) = self.clients.as_mut().and_then(Process::end) {
            bail!("the clients of {} have ended: {said}", self.demo.app);
        }
        if let Ok(now) = snapshot(&self.endpoint()) {
            self.before = self.now.replace(now);
        }
        Ok(())
    }

    fn press(&mut self, key: char) -> anyhow::Result<()> {
        match key {
            '+' | '=' | '-' => self.rate = step(RATES, self.rate, key != '-'),
            ']' | '[' => self.loss = step(LOSSES.map(Probability::from_percent), self.loss, key == ']'),
            'k' => self.server.as_ref().map_or(Ok(()), |server| server.signal(Signal::SIGKILL))?,
            _ => return Ok(()),
        }
        if matches!(key, '+' | '=' | '-') { self.start_clients() } else { self.start_server() }
    }

    /// The view of the server, of the clients, and what can be done.
    fn screen(&self, width: usize, height: usize) -> Vec<String> {
        let room = height.saturating_sub(FOOT);
        let mut screen = match &self.now {
            Some(now) => lines(self.before.as_ref(), now, width, room),
            None => vec!["the server is starting".to_owned()],
        };
        screen.resize(room, String::new());
        let clients = self.clients.as_ref().map_or_else(String::new, Process::said);
        let (clients, more) = broken(clients.trim(), width);
        let address = self.address(2).to_string();
        screen.extend([
            String::new(),
            format!("CLIENTS  {}/s   each frame lost with {}   servers started {}", self.rate, self.loss, self.starts),
            clients.to_owned(),
            more.to_owned(),
            String::new(),
            format!("try      {}", self.demo.hint.replace("{addr}", &address)),
            String::new(),
            "+ - rate   ] [ loss   k kill the server and start it again   Tab next   q quit".to_owned(),
        ]);
        screen.truncate(height);
        screen
    }
}

/// A line as two, the first of which has this width at most where there are two blanks in a row to break it at.
fn broken(line: &str, width: usize) -> (&str, &str) {
    let first = line.get(..line.len().min(width.saturating_add(2))).and_then(|first| first.rfind("  "));
    match first.filter(|_| line.len() > width) {
        Some(end) => (&line[..end], line[end..].trim_start()),
        None => (line, ""),
    }
}

/// A TAP device that is there for as long as this value.
struct Device(String);

impl Device {
    fn new(name: String) -> anyhow::Result<Self> {
        ip(&["tuntap", "add", &name, "mode", "tap"])
            .context("a demo is under way already, or TAP devices cannot be made")?;
        let device = Self(name);
        ip(&["link", "set", &device.0, "up"])?;
        Ok(device)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.0]);
    }
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words).output().context("cannot run ip: apt-get install iproute2")?;
    ensure!(output.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// The next of these steps that is more than `now`, or less; `now`, if there is none.
fn step<T: Copy + Ord, const N: usize>(steps: [T; N], now: T, is_more: bool) -> T {
    let next = if is_more {
        steps.into_iter().find(|&step| step > now)
    } else {
        steps.into_iter().rev().find(|&step| step < now)
    };
    next.unwrap_or(now)
}

/// A child, which ends with this value.
struct Process {
    child: Child,
    /// The line that it has written last to standard error.
    said: Arc<Mutex<String>>,
}

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        // In a group of its own Ctrl-C is not for it: it ends in its turn.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().context("cannot start a process")?;
        let said = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    *said.lock().unwrap_or_else(PoisonError::into_inner) = line;
                }
            });
        }
        Ok(Self { child, said })
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has said last, if it has ended.
    fn end(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|_| self.said())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).context("cannot end a process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is waited for all the same.
        let _ = self.signal(Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_the_losses() {
        assert_eq!([0, 3, 20].map(|loss| step(LOSSES, loss, true)), [1, 5, 20]);
        assert_eq!([0, 3, 1].map(|loss| step(LOSSES, loss, false)), [0, 2, 0]);
    }

    #[test]
    fn a_line_that_is_too_wide_is_broken_between_its_parts() {
        assert_eq!(broken("1 s  begun 5/s  open 7", 30), ("1 s  begun 5/s  open 7", ""));
        assert_eq!(broken("1 s  begun 5/s  open 7", 22), ("1 s  begun 5/s  open 7", ""));
        assert_eq!(broken("1 s  begun 5/s  open 7", 21), ("1 s  begun 5/s", "open 7"));
        assert_eq!(broken("1 s  begun 5/s  open 7", 14), ("1 s  begun 5/s", "open 7"));
        assert_eq!(broken("1 s  begun 5/s  open 7", 13), ("1 s", "begun 5/s  open 7"));
        assert_eq!(broken("without any of them", 5), ("without any of them", ""));
    }

    #[test]
    fn a_loss_is_a_share_of_at_most_a_half() {
        assert!(parse_loss("2.5%").is_ok() && parse_loss("0%").is_ok());
        for wrong in ["5", "-1%", "51%", "%", "x%", "NaN%"] {
            assert!(parse_loss(wrong).is_err(), "{wrong}");
        }
    }
}
