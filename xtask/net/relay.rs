//! A network with impairments between a client and servers: `sim/examples/relay.rs`, which joins TAP devices by the
//! links of the simulator.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;

use crate::Namespace;
use crate::program::{Program, output};

/// Joins `client` and each of `servers`: their devices are `lethe0`, and `server0`, `server1` and so on. With several
/// servers each frame of the client goes to one of them by chance. `program` is the relay, and `impairment` what
/// `lethe serve --impair` takes.
///
/// # Errors
///
/// When the relay does not start.
pub fn start(program: &Path, client: &Namespace, servers: &[&Namespace], impairment: &str) -> anyhow::Result<Program> {
    let names: Vec<String> = (0..servers.len()).map(|number| format!("server{number}")).collect();
    let mut command = client.command(program);
    command.args(["lethe0", &names.join(","), impairment]).stdout(Stdio::piped());
    let mut relay = Program::start(&mut command)?;
    let mut line = String::new();
    if let Some(output) = relay.output() {
        BufReader::new(output).read_line(&mut line)?;
    }
    ensure!(line == "ready\n", "the relay did not start");
    client.address("lethe0", 1)?;
    for (name, server) in names.iter().zip(servers) {
        output(Command::new("ip").args(["-n", client.name(), "link", "set", name, "netns", server.name()]))?;
    }
    Ok(relay)
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
