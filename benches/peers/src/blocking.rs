//! A thread, or a process, for each connection.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process;
use std::thread;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::service::{Connection, Progress, Service, concerns_one, scratch};

/// The stack of a thread, in bytes. Untouched pages take no memory.
const STACK: usize = 256 << 10;

/// Serves until accepting fails.
pub(crate) fn serve_by_threads(listener: &TcpListener, service: &Service) -> io::Result<()> {
    thread::scope(|scope| {
        loop {
            let (stream, client) = accept(listener)?;
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || converse(stream, client, service))?;
        }
    })
}

/// Serves until accepting fails.
pub(crate) fn serve_by_processes(listener: &TcpListener, service: &Service) -> io::Result<()> {
    loop {
        let (stream, client) = accept(listener)?;
        // SAFETY: the process has one thread, so no lock is held by another one in the child.
        #[allow(unsafe_code, reason = "no crate has a fork that is safe")]
        if let ForkResult::Child = unsafe { fork() }? {
            converse(stream, client, service);
            process::exit(0);
        }
        // Reaps the children that have ended, so that their CPU time is counted.
        while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
    }
}

fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Err(error) if concerns_one(&error) => {}
            accepted => return accepted,
        }
    }
}

fn converse(stream: TcpStream, client: SocketAddr, service: &Service) {
    let (mut connection, mut scratch) = (Connection::new(stream, client.ip()), scratch());
    while connection.advance(service, &mut scratch) == Progress::Waits {}
}
