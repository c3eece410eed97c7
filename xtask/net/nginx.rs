//! nginx: its only configuration.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;

use crate::{Namespace, Program, janitor, wait_until};

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Port 80 in `/proc/net/tcp`, and a socket that listens there.
const LISTENS: &str = ":0050 00000000:0000 0A";

/// What it answers with.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The files of a folder, which every user can read.
    Files(&'a Path),
    /// This text, whatever is asked for.
    Text(&'a str),
}

/// What differs between its configurations; everything else is the same in all.
#[derive(Clone, Copy, Debug)]
pub struct Nginx<'a> {
    /// What it answers with.
    pub content: Content<'a>,
    /// Processes that answer.
    pub workers: usize,
    /// Connections of each of them.
    pub connections: usize,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Whether each worker has a socket of its own that listens.
    pub reuse_port: bool,
    /// Whether it spends as little memory as possible on a connection, and keeps none open. Otherwise it sends files
    /// without copying them, with the head in the same segment.
    pub lean: bool,
    /// More lines of its `server` block.
    pub more: &'a str,
}

impl<'a> Nginx<'a> {
    /// One worker.
    pub fn new(content: Content<'a>) -> Self {
        Self { content, workers: 1, connections: 1024, backlog: 4096, reuse_port: false, lean: false, more: "" }
    }

    /// The configuration, for a folder in which it may write.
    fn config(&self, folder: &Path) -> String {
        let Self { content, workers, connections, backlog, reuse_port, lean, more } = *self;
        let at = folder.display();
        let location = match content {
            Content::Files(root) => format!("root {};", root.display()),
            Content::Text(text) => format!("location / {{ return 200 \"{}\\n\"; }}", text.trim_end()),
        };
        let listen = format!("backlog={backlog}{}", if reuse_port { " reuseport" } else { "" });
        let files =
            if lean { "keepalive_timeout 0; client_header_buffer_size 256;" } else { "sendfile on; tcp_nopush on;" };
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = kinds.map(|kind| format!("{kind}_temp_path {at}/{kind};")).concat();
        format!(
            "user nobody nogroup; daemon off; worker_processes {workers}; worker_rlimit_nofile {};
             pid {at}/pid; error_log {at}/errors crit; events {{ worker_connections {connections}; }}
             http {{
                 {temporary} access_log off; client_header_timeout 600s; {files}
                 default_type text/plain; charset utf-8;
                 server {{ listen 80 {listen}; listen [::]:80 {listen}; {location} {more} }}
             }}\n",
            connections + 576
        )
    }

    /// Starts it, and waits until it listens. `before` is what its command line begins with, as `taskset -c 0`.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn start(&self, space: &Namespace, before: &[&str]) -> anyhow::Result<Running> {
        let folder = janitor::folder("nginx")?;
        let config = folder.path().join("conf");
        fs::write(&config, self.config(folder.path()))?;
        let mut words = before.to_vec();
        words.push("nginx");
        let mut command = space.command(words[0]);
        command.args(&words[1..]).arg("-p").arg(folder.path()).arg("-c").arg(&config);
        // Before it reads its configuration it complains of the folder for logs that it was built with.
        let mut program = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        let sockets = format!("/proc/{}/net/tcp", program.pid());
        wait_until("nginx listens", PATIENCE, || {
            if !program.is_running() {
                let errors = fs::read_to_string(folder.path().join("errors")).unwrap_or_default();
                bail!("nginx ended: {}", if errors.is_empty() { explain(&config) } else { errors });
            }
            Ok(fs::read_to_string(&sockets).is_ok_and(|text| text.contains(LISTENS)).then_some(()))
        })?;
        Ok(Running { program, _folder: folder })
    }
}

/// Has the kernel of a server with address `number` use a congestion control towards clients behind `device`.
///
/// # Errors
///
/// When it does not have that one.
pub fn use_congestion_control(space: &Namespace, device: &str, number: u8, control: &str) -> anyhow::Result<()> {
    // By route: as the default of a namespace the kernel takes only what it lets everyone choose.
    space.sh(&format!(
        "ip route replace 10.9.0.0/24 dev {device} src 10.9.0.{number} congctl {control}
         ip -6 route del fd09::/64 dev {device}; ip -6 route add fd09::/64 dev {device} congctl {control}"
    ))?;
    Ok(())
}

/// What nginx says of a configuration.
fn explain(config: &Path) -> String {
    let output = Command::new("nginx").arg("-t").arg("-c").arg(config).output();
    output.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A running nginx.
#[derive(Debug)]
pub struct Running {
    /// Its first process, which answers nothing itself.
    pub program: Program,
    _folder: TempDir,
}

impl Running {
    /// The processes that answer.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn workers(&self) -> anyhow::Result<Vec<u32>> {
        let pid = self.program.pid();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}
