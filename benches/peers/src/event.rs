//! One thread and epoll.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::service::{Connection, Progress, Service, concerns_one, scratch};

/// Events taken at a time.
const EVENTS: usize = 512;

/// Serves until accepting fails.
pub(crate) fn serve(listener: &TcpListener, service: &Service) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let key = |fd: i32| u64::from(fd.cast_unsigned());
    let door = key(listener.as_raw_fd());
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, door))?;

    // Connections by descriptor. Dropping one closes it, which removes it from the epoll as well.
    let mut connections = HashMap::new();
    let mut scratch = scratch();
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() != door {
                let connection: Option<&mut Box<Connection>> = connections.get_mut(&event.data());
                if connection.is_some_and(|connection| connection.advance(service, &mut scratch) == Progress::Done) {
                    connections.remove(&event.data());
                }
                continue;
            }
            loop {
                match listener.accept() {
                    Ok((stream, client)) => {
                        stream.set_nonblocking(true)?;
                        let key = key(stream.as_raw_fd());
                        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
                        connections.insert(key, Box::new(Connection::new(stream, client.ip())));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if concerns_one(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
