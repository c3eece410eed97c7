//! One thread and `poll`, which looks at every connection each time. `select` does the same for up to 1024 of them.

use std::io;
use std::iter;
use std::net::TcpListener;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::service::{Connection, Progress, Service, concerns_one, scratch};

/// Serves until accepting fails.
pub(crate) fn serve(listener: &TcpListener, service: &Service) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut scratch = scratch();
    let mut connections: Vec<Box<Connection>> = Vec::new();
    loop {
        let (accepts, ready) = wait(listener, &connections)?;
        let mut ready = ready.into_iter();
        connections.retain_mut(|connection| {
            !(ready.next() == Some(true) && connection.advance(service, &mut scratch) == Progress::Done)
        });
        if !accepts {
            continue;
        }
        loop {
            match listener.accept() {
                Ok((stream, client)) => {
                    stream.set_nonblocking(true)?;
                    connections.push(Box::new(Connection::new(stream, client.ip())));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if concerns_one(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits for events. Returns whether a connection can be accepted, and which ones can be read.
fn wait(listener: &TcpListener, connections: &[Box<Connection>]) -> io::Result<(bool, Vec<bool>)> {
    let sockets = iter::once(listener.as_fd()).chain(connections.iter().map(|connection| connection.stream().as_fd()));
    let mut asked: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
    poll(&mut asked, PollTimeout::NONE)?;
    let mut ready = asked.iter().map(|one| one.any().unwrap_or(true));
    Ok((ready.next() == Some(true), ready.collect()))
}
