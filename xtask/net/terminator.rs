//! Programs that speak TLS in front of Lethe, with the configurations of docs/https.md.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::{Namespace, Program, root, wait_until};

/// How long it may take until one listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Port 443 in `/proc/net/tcp` and `/proc/net/tcp6`, and the state of a socket that listens.
const PORT: &str = ":01BB";
const LISTENS: &str = "0A";

/// What the line of a second server has in it, which is a comment in docs/https.md.
const SECOND: &str = "10.9.1.2:80";

/// A program that speaks TLS to clients, and plain HTTP to Lethe at 10.9.0.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "they are names of programs")]
pub enum Terminator {
    Nginx,
    Haproxy,
    Caddy,
}

impl Terminator {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Caddy];

    /// What its program is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// The word behind the fence of its blocks in docs/https.md, and the name of its configuration.
    fn kind_and_file(self) -> (&'static str, &'static str) {
        match self {
            Self::Nginx => ("nginx", "nginx.conf"),
            Self::Haproxy => ("haproxy", "haproxy.cfg"),
            Self::Caddy => ("caddyfile", "Caddyfile"),
        }
    }

    /// Its blocks in docs/https.md: the configuration, and the lines that tell Lethe the client's address.
    ///
    /// # Errors
    ///
    /// When they are not there.
    fn blocks(self) -> anyhow::Result<(String, String)> {
        let fence = format!("\n```{}\n", self.kind_and_file().0);
        let page = page()?;
        let mut blocks = page.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```\n")?.0.to_owned()));
        blocks.next().zip(blocks.next()).with_context(|| format!("docs/https.md has no two blocks of {}", self.name()))
    }

    /// The configuration of docs/https.md for Lethe at 10.9.0.2.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn config(self) -> anyhow::Result<String> {
        Ok(self.blocks()?.0 + "\n")
    }

    /// The configuration for servers at 10.9.0.2 and 10.9.1.2.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn config_of_two(self) -> anyhow::Result<String> {
        let line = |line: &str| if line.contains(SECOND) { line.replacen("# ", "", 1) } else { line.to_owned() } + "\n";
        Ok(self.config()?.lines().map(line).collect())
    }

    /// The configuration that has `ipinfo` show the client's address.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn config_with_address(self) -> anyhow::Result<String> {
        let (config, lines) = self.blocks()?;
        let before = match self {
            Self::Nginx => "        location / {",
            Self::Haproxy => "    default_backend",
            Self::Caddy => "\treverse_proxy {",
        };
        Ok(config.replacen(before, &format!("{lines}\n{before}"), 1) + "\n")
    }

    /// Starts it with a configuration in a folder that has its certificate, and waits until it listens. `before` is
    /// what its command line begins with, as `taskset -c 0`.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn start(self, space: &Namespace, folder: &Path, config: &str, before: &[&str]) -> anyhow::Result<Program> {
        let (_, file) = self.kind_and_file();
        fs::write(folder.join(file), config)?;
        // In the foreground, where the page has daemons.
        let own: &[&str] = match self {
            Self::Nginx => &["nginx", "-p", ".", "-c", file, "-g", "daemon off;"],
            Self::Haproxy => &["haproxy", "-f", file],
            Self::Caddy => &["caddy", "run", "--config", file],
        };
        let words = [before, own].concat();
        let log = folder.join("terminator.log");
        let output = fs::File::create(&log)?;
        let mut command = space.command(words[0]);
        command.args(&words[1..]).current_dir(folder).env("HOME", folder).stdin(Stdio::null());
        let mut program = Program::start(command.stdout(output.try_clone()?).stderr(output))?;
        let sockets = ["tcp", "tcp6"].map(|name| format!("/proc/{}/net/{name}", program.pid()));
        let listens = |text: String| text.lines().any(is_listener);
        wait_until(&format!("{} listens", self.name()), PATIENCE, || {
            if !program.is_running() {
                bail!("{} ended: {}", self.name(), fs::read_to_string(&log)?);
            }
            let is_there = sockets.iter().any(|path| fs::read_to_string(path).is_ok_and(listens));
            Ok(is_there.then_some(()))
        })?;
        Ok(program)
    }
}

/// Whether a line of `/proc/net/tcp` is a socket that listens on port 443.
fn is_listener(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().take(4).collect();
    matches!(words[..], [_, local, _, state] if local.ends_with(PORT) && state == LISTENS)
}

fn page() -> anyhow::Result<String> {
    fs::read_to_string(root().join("docs/https.md")).context("docs/https.md")
}

/// Makes the certificate in a folder, by the commands of docs/https.md.
///
/// # Errors
///
/// When they fail.
pub fn certificate(space: &Namespace, folder: &Path) -> anyhow::Result<()> {
    let page = page()?;
    for begin in ["openssl req", "cat cert.pem"] {
        let (_, rest) = page.split_once(&format!("\n$ {begin}")).with_context(|| format!("docs/https.md: {begin}"))?;
        // It goes on behind a backslash at the end of a line.
        let joined = rest.replace("\\\n", " ");
        let line = joined.lines().next().unwrap_or_default();
        space.sh(&format!("cd {}; {begin}{line} 2>&1", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SECOND, Terminator, is_listener};

    #[test]
    fn the_page_has_a_configuration_of_each_with_a_second_server_and_with_the_address_of_clients() {
        for terminator in Terminator::ALL {
            let commented =
                |text: &str| text.lines().filter(|line| line.contains(SECOND) && line.contains('#')).count();
            let [one, two, address] = [
                terminator.config().unwrap(),
                terminator.config_of_two().unwrap(),
                terminator.config_with_address().unwrap(),
            ];
            assert!(commented(&one) > 0 && commented(&two) == 0 && two.contains(SECOND), "{two}");
            assert!(address.contains("ip=") && address.len() > one.len(), "{address}");
        }
    }

    #[test]
    fn a_listener_is_told_from_other_sockets() {
        assert!(is_listener("   0: 00000000:01BB 00000000:0000 0A 00000000:00000000"));
        assert!(!is_listener("   0: 00000000:01BB 0100007F:D431 01 00000000:00000000"));
        assert!(!is_listener("   0: 00000000:0050 00000000:0000 0A 00000000:00000000"));
    }
}
