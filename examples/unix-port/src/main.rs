//! A server with a kind of device of its own: each datagram of a Unix socket is an Ethernet frame, as some virtual
//! machine monitors have their network cards.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lethe_server::anyhow::{self, Context};
use lethe_server::lethe::port::{RxFrame, RxQueue, Transmit, TxFrame, TxQueue};
use lethe_server::lethe::wire::ethernet::LINK_HEADER_MAX;
use lethe_server::{App, Port, Request, Response, Server, Status};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MTU: u16 = 1500;
const FRAME_MAX: usize = MTU as usize + LINK_HEADER_MAX;

/// A socket of our own, and the one that frames are sent to.
struct UnixPort {
    socket: UnixDatagram,
    own: PathBuf,
    peer: PathBuf,
    received: [u8; FRAME_MAX],
    sent: [u8; FRAME_MAX],
}

impl UnixPort {
    /// `OWN,PEER`: the paths of both sockets.
    fn open(details: &str) -> anyhow::Result<Self> {
        let (own, peer) = details.split_once(',').context("want two paths, as in unix:/run/hello,/run/client")?;
        let socket = UnixDatagram::bind(own).with_context(|| format!("cannot bind {own}"))?;
        socket.set_nonblocking(true)?;
        let [received, sent] = [[0; FRAME_MAX]; 2];
        Ok(Self { socket, own: own.into(), peer: peer.into(), received, sent })
    }
}

impl Drop for UnixPort {
    fn drop(&mut self) {
        // Fails where the server has given up the right to do so: then the next one needs another path.
        let _ = std::fs::remove_file(&self.own);
    }
}

impl Port for UnixPort {
    type Error = io::Error;

    fn name(&self) -> impl fmt::Display {
        format!("unix {}", self.own.display())
    }

    fn mtu(&self) -> u16 {
        MTU
    }

    fn queues(&mut self) -> (impl RxQueue, impl TxQueue) {
        let Self { socket, peer, received, sent, .. } = self;
        (Receiver { socket, buffer: received }, Sender { socket, peer, buffer: sent })
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            // The server looks what the signal was.
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

struct Receiver<'a> {
    socket: &'a UnixDatagram,
    buffer: &'a mut [u8],
}

impl RxQueue for Receiver<'_> {
    fn receive(&mut self) -> Option<RxFrame<'_>> {
        let len = self.socket.recv(self.buffer).ok()?;
        Some(RxFrame::unchecked(&self.buffer[..len]))
    }
}

struct Sender<'a> {
    socket: &'a UnixDatagram,
    peer: &'a Path,
    buffer: &'a mut [u8],
}

impl TxQueue for Sender<'_> {
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> Option<TxFrame>) -> Transmit {
        let Some(frame) = write(self.buffer) else { return Transmit::Nothing };
        match self.socket.send_to(&self.buffer[..frame.len], self.peer) {
            Ok(len) => Transmit::Queued(len),
            // A full socket, or no peer. Either way the frame is lost, as on any network.
            Err(_) => Transmit::Full,
        }
    }

    fn flush(&mut self) {}
}

struct Hello;

impl App for Hello {
    fn respond<'a>(&'a self, _: &Request<'_>, scratch: &'a mut [u8]) -> Response<'a> {
        Response::build(scratch, Status::Ok).header("Content-Type", "text/plain").body(b"hello\n")
    }
}

fn main() -> ExitCode {
    Server::of("hello", || Hello)
        .with_port("unix", "unix:OWN,PEER, frames as datagrams from one socket to the other", UnixPort::open)
        .main()
}
