//! Clients that make one request after the other on a connection, for as long as it stays open, and compare what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lethe_sim::random::Random;

use crate::{Namespace, content, janitor};

/// How long a response may take: on a bad network TCP waits for minutes.
const PATIENCE: Duration = Duration::from_mins(5);

/// The end of a head.
const BLANK: &[u8] = b"\r\n\r\n";

/// The addresses of the servers, one of each family.
pub const ADDRESSES: [&str; 2] = ["10.9.0.2:80", "[fd09::2]:80"];

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
    /// How many connections it has opened.
    pub opened: usize,
    /// How many requests it has sent again on a new connection, because the old one was closed before their response
    /// had begun. RFC 9112, section 9.3.1, allows that, and a server may close an idle connection at any time.
    pub again: usize,
}

/// Why there is no response.
enum Failure {
    /// The connection was closed, and no byte of a response had come.
    Closed,
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Client {
    /// One that has no connection yet. `address` has a port.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn new(address: &str) -> Self {
        let address = address.parse().expect("an address with a port");
        Self { address, stream: None, received: Vec::new(), opened: 0, again: 0 }
    }

    /// Its connection, while there is one.
    pub const fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Asks for a path, and returns head and body of the response.
    ///
    /// # Errors
    ///
    /// When the response is not whole, or more comes behind it.
    pub fn get(&mut self, path: &str) -> anyhow::Result<(String, Vec<u8>)> {
        loop {
            let is_used = self.stream.is_some();
            match self.try_get(path) {
                Ok(response) => return Ok(response),
                Err(Failure::Closed) if is_used => self.again += 1,
                Err(Failure::Closed) => bail!("{path}: closed without a response"),
                Err(Failure::Other(error)) => return Err(error.context(path.to_owned())),
            }
        }
    }

    /// As [`get`](Self::get), with the connection that is there.
    fn try_get(&mut self, path: &str) -> Result<(String, Vec<u8>), Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: lethe\r\n\r\n");
        if let Err(error) = stream.write_all(request.as_bytes()) {
            return Err(closed_by(error));
        }
        self.received.clear();
        let head_len = loop {
            if let Some(at) = self.received.windows(BLANK.len()).position(|bytes| bytes == BLANK) {
                break at + BLANK.len();
            }
            if self.receive(&mut stream)? == 0 {
                if self.received.is_empty() {
                    return Err(Failure::Closed);
                }
                Err(anyhow::anyhow!("closed in the head: {}", self.received.escape_ascii()))?;
            }
        };
        let head = String::from_utf8_lossy(&self.received[..head_len]).into_owned();
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.get(..name.len()).filter(|at| at.eq_ignore_ascii_case(name)).map(|_| line))
        };
        let length = field("Content-Length:").with_context(|| head.clone())?;
        let length: usize = length[15..].trim().parse().with_context(|| head.clone())?;
        let end = head_len + length;
        while self.received.len() < end {
            if self.receive(&mut stream)? == 0 {
                Err(anyhow::anyhow!("closed after {} of {end} bytes", self.received.len()))?;
            }
        }
        if self.received.len() > end {
            Err(anyhow::anyhow!("{} bytes that nothing asked for", self.received.len() - end))?;
        }
        if field("Connection:").is_none_or(|line| !line[11..].trim().eq_ignore_ascii_case("close")) {
            self.stream = Some(stream);
        }
        Ok((head, self.received[head_len..].to_vec()))
    }

    fn connect(&mut self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        self.opened += 1;
        Ok(stream)
    }

    /// Receives some bytes, or none where the server has closed.
    fn receive(&mut self, stream: &mut TcpStream) -> Result<usize, Failure> {
        let mut part = [0; 1 << 14];
        match stream.read(&mut part) {
            Ok(len) => {
                self.received.extend_from_slice(&part[..len]);
                Ok(len)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => self.receive(stream),
            Err(error) if self.received.is_empty() => Err(closed_by(error)),
            Err(error) => Err(error.into()),
        }
    }
}

/// What an error says before a response has begun.
fn closed_by(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Failure::Closed,
        _ => error.into(),
    }
}

/// Files of different lengths, each with bytes that no other one has at the same place.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    files: Vec<Vec<u8>>,
}

impl Site {
    /// Those of these lengths, each called by its length.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn new(lengths: &[usize]) -> anyhow::Result<Self> {
        let folder = janitor::folder("site")?;
        let files: Vec<_> = lengths.iter().map(|&len| content(len)).collect();
        for file in &files {
            std::fs::write(folder.path().join(file.len().to_string()), file)?;
        }
        Ok(Self { folder, files })
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Clients that ask for files of a site in random order, each on a connection of its own.
#[derive(Debug)]
pub struct Crowd {
    /// How many they are. Every other one uses IPv6.
    pub clients: usize,
    /// How many requests each of them makes.
    pub requests: usize,
    /// What the order is drawn from.
    pub seed: u64,
    /// The files.
    pub site: Site,
    /// How many responses have come so far.
    pub answered: AtomicUsize,
    outcome: Mutex<Outcome>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The length of each file that came as it should, and the seconds that it took.
    pub answers: Vec<(usize, f64)>,
    /// The others, with the reason of each.
    pub failures: Vec<String>,
    /// Connections that were opened.
    pub opened: usize,
    /// Requests that were sent again on a new connection.
    pub again: usize,
}

impl Crowd {
    /// One that has not begun.
    pub fn new(clients: usize, requests: usize, seed: u64, site: Site) -> Arc<Self> {
        let (answered, outcome) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { clients, requests, seed, site, answered, outcome })
    }

    /// Has all clients, who are in this namespace, make their requests.
    pub fn run(self: &Arc<Self>, space: &Namespace) -> Outcome {
        let crowd = Arc::clone(self);
        space.enter(move || {
            std::thread::scope(|scope| {
                for number in 0..crowd.clients {
                    let crowd = &crowd;
                    scope.spawn(move || crowd.be(number));
                }
            });
            std::mem::take(&mut *crowd.outcome.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// Waits until so many responses have come.
    ///
    /// # Errors
    ///
    /// When nothing comes for some minutes.
    pub fn wait_for(&self, responses: usize) -> anyhow::Result<()> {
        crate::wait_until("responses", PATIENCE, || {
            Ok((self.answered.load(Ordering::Relaxed) >= responses).then_some(()))
        })
    }

    /// Is one of the clients.
    fn be(&self, number: usize) {
        let mut random = Random::from_seed(self.seed).nth(number as u64);
        let mut client = Client::new(ADDRESSES[number % ADDRESSES.len()]);
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        for _ in 0..self.requests {
            let file = random.pick(&self.site.files);
            let begun = Instant::now();
            match ask(&mut client, file) {
                Ok(()) => answers.push((file.len(), begun.elapsed().as_secs_f64())),
                Err(error) => failures.push(format!("client {number}: {error:#}")),
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.answers.append(&mut answers);
        outcome.failures.append(&mut failures);
        outcome.opened += client.opened;
        outcome.again += client.again;
    }
}

/// Asks for a file, and compares every byte.
fn ask(client: &mut Client, file: &[u8]) -> anyhow::Result<()> {
    let path = format!("/{}", file.len());
    let (head, body) = client.get(&path)?;
    ensure!(head.starts_with("HTTP/1.1 200 ") && body == file, "{path}: other bytes, behind {head}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that reads a request, says the first of `responses` and keeps the connection, and so on; for an empty
    /// one it closes it instead.
    fn server(responses: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            for response in responses {
                while stream.read(&mut [0; 1000]).unwrap() == 0 {
                    stream = listener.accept().unwrap().0;
                }
                if response.is_empty() {
                    drop(stream);
                    stream = listener.accept().unwrap().0;
                } else {
                    stream.write_all(response.as_bytes()).unwrap();
                }
            }
            drop(stream);
        });
        address
    }

    #[test]
    fn a_connection_is_used_until_it_is_closed_and_a_request_is_repeated_where_that_is_allowed() {
        let mut client = Client::new(&server(&[
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo",
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree",
        ]));
        for (body, opened, again) in [("one", 1, 0), ("two", 1, 0), ("three", 2, 1)] {
            assert_eq!(client.get("/").unwrap().1, body.as_bytes());
            assert_eq!((client.opened, client.again), (opened, again));
        }
        assert!(client.stream().is_none());
        assert!(client.get("/").is_err(), "there is nothing more");
    }

    #[test]
    fn what_is_not_a_whole_response_alone_is_a_failure() {
        for (response, complaint) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfour", "1 bytes that nothing asked for"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nfour", "closed after"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nfour", "other bytes"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfive", "other bytes"),
            ("HTTP/1.1 200", "closed in the head"),
        ] {
            let address = server(Box::leak(Box::new([response])));
            let error = ask(&mut Client::new(&address), b"four").unwrap_err();
            assert!(format!("{error:#}").contains(complaint), "{error:#}");
        }
    }
}
