//! A network with impairments between a client and servers: `sim/examples/relay.rs`, which joins TAP devices by the
//! links of the simulator.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

use crate::Namespace;
use crate::program::{Program, output};

/// Which server a frame of the client goes to, where there are several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Any of them, by chance.
    Chance,
    /// The one whose hardware address it has; all of them, as long as that is not known.
    Switch,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    _program: Program,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    servers: usize,
}

/// Frames on their way from a server to the client, since the relay runs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Those that the server has sent.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// The bytes of the longest.
    pub longest: u64,
    /// Those that have reached the client.
    pub delivered: u64,
}

/// Joins `client` and each of `servers`: their devices are `lethe0`, and `server0`, `server1` and so on. `program` is
/// the relay, and `impairment` what `lethe serve --impair` takes.
///
/// # Errors
///
/// When the relay does not start.
pub fn start(
    program: &Path,
    client: &Namespace,
    servers: &[&Namespace],
    way: Way,
    impairment: &str,
) -> anyhow::Result<Relay> {
    let names: Vec<String> = (0..servers.len()).map(|number| format!("server{number}")).collect();
    let between = if way == Way::Chance { "," } else { "+" };
    let mut command = client.command(program);
    command.args(["lethe0", &names.join(between), impairment]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program::start(&mut command)?;
    let (input, output) = program.input_and_output().context("they are piped")?;
    let mut relay = Relay { _program: program, input, output: BufReader::new(output), servers: servers.len() };
    ensure!(relay.line()? == "ready", "the relay did not start");
    client.address("lethe0", 1)?;
    for (name, server) in names.iter().zip(servers) {
        self::output(Command::new("ip").args(["-n", client.name(), "link", "set", name, "netns", server.name()]))?;
    }
    Ok(relay)
}

impl Relay {
    /// What each server has sent.
    ///
    /// # Errors
    ///
    /// When the relay has ended.
    pub fn counters(&mut self) -> anyhow::Result<Vec<Counters>> {
        self.input.write_all(b"\n")?;
        (0..self.servers).map(|_| Counters::parse(&self.line()?)).collect()
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Counters {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [frames, bytes, longest, delivered] = numbers[..].try_into().context("the relay has ended")?;
        Ok(Self { frames, bytes, longest, delivered })
    }
}

/// Bridges the TAP of the server in a namespace, `lethe0`, to the relay's end number `number` there.
///
/// # Errors
///
/// When a device is not there.
pub fn bridge(space: &Namespace, number: usize) -> anyhow::Result<()> {
    // No IPv6 of the bridge's own, which would speak where nothing is to listen.
    space.sh(&format!(
        "ip link add bridge type bridge; echo 1 >/proc/sys/net/ipv6/conf/bridge/disable_ipv6
         for device in lethe0 server{number} bridge; do ip link set $device up; done
         ip link set lethe0 master bridge; ip link set server{number} master bridge"
    ))?;
    Ok(())
}
