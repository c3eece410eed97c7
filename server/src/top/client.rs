//! Asks a server for its counters.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};

use crate::metrics::endpoint::Endpoint;
use crate::metrics::snapshot::Snapshot;

/// How long the server may let us wait for each piece of what it says.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most that is read: a hundred times what a server of 64 workers says.
const RESPONSE_MAX: u64 = 64 << 20;

/// What there is to be known of the server, now.
pub(crate) fn snapshot(server: &Endpoint) -> anyhow::Result<Snapshot> {
    let text = fetch(server, "/stats.json")?;
    serde_json::from_str(&text).with_context(|| format!("{server} is a server of another version"))
}

/// The body of the response to a GET of this path.
pub(crate) fn fetch(server: &Endpoint, path: &str) -> anyhow::Result<String> {
    let response = exchange(server, path).map_err(|error| explain(server, error))?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    ensure!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"),
        "what listens at {server} is not a server that was started with --metrics"
    );
    Ok(body.to_owned())
}

fn exchange(server: &Endpoint, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    let mut response = String::new();
    match server {
        Endpoint::Unix(socket) => {
            let mut stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.take(RESPONSE_MAX).read_to_string(&mut response)?;
        }
        Endpoint::Tcp { address, .. } => {
            let mut stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.take(RESPONSE_MAX).read_to_string(&mut response)?;
        }
    }
    Ok(response)
}

/// What went wrong, and what can be done about it.
fn explain(server: &Endpoint, error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow!("no answer at {server}: start the server with --metrics {server}, or name the address that it has")
        }
        ErrorKind::PermissionDenied => {
            anyhow!("{server} is not for you: ask as root, or as the user or group that the server runs as")
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => anyhow!("{server} does not answer"),
        _ => anyhow::Error::from(error).context(server.to_string()),
    }
}
