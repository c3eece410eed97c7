//! Servers with sockets, to compare Lethe with.
//!
//! Each sends the same answers as `lethe serve … ipinfo`, byte for byte, with the same lookup, and closes the
//! connection, or with `--keep-alive` keeps it open. They differ in how they wait for connections, which is what is
//! compared. They are simple on purpose, as a programmer who knows the calls would write them; none has more than one
//! thread that waits.

mod blocking;
mod event;
mod poll;
mod service;
mod uring;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, sockopt};

use crate::service::Service;

const EXAMPLE: &str = "\
Example:
  lethe-peers epoll 127.0.0.1:8080
  curl http://127.0.0.1:8080/202.96.128.86";

/// Answers where an IP address is, as `lethe serve ... ipinfo` does, but by way of the kernel's TCP
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Args {
    /// How connections are waited for
    #[arg(value_enum)]
    model: Model,
    /// Address and port to listen on
    #[arg(value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Keep connections open for more requests, where clients want that
    #[arg(long)]
    keep_alive: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Model {
    /// One thread, told by epoll which connections can be read
    Epoll,
    /// One thread, which asks poll(2) about all of them each time
    Poll,
    /// A thread for each connection
    Threads,
    /// A process for each connection
    Processes,
    /// One thread, which hands its calls to the kernel by a ring
    Uring,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener = listen(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    writeln!(io::stdout(), "listening on http://{}/", listener.local_addr()?)?;
    let service = Service::new(args.keep_alive);
    match args.model {
        Model::Epoll => event::serve(&listener, &service)?,
        Model::Poll => poll::serve(&listener, &service)?,
        Model::Threads => blocking::serve_by_threads(&listener, &service)?,
        Model::Processes => blocking::serve_by_processes(&listener, &service)?,
        Model::Uring => uring::serve(&listener, &service)?,
    }
    Ok(())
}

/// Listens with `SO_REUSEPORT`, so that the kernel distributes connections over several processes, each with its limit
/// of descriptors. The standard library's backlog of 128 would drop clients of all these servers alike.
fn listen(address: SocketAddr) -> nix::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let listener = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    socket::setsockopt(&listener, sockopt::ReusePort, &true)?;
    socket::bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    socket::listen(&listener, Backlog::MAXCONN)?;
    Ok(listener.into())
}
