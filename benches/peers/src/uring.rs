//! One thread and `io_uring`: the kernel accepts, receives, sends and closes, and reports the results.
//!
//! It does not know its clients' addresses, so its page about them (`GET /`) is not right.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::service::{Answer, Received, SCRATCH_LEN, Service, scratch};

/// Entries of the submission ring. The completion ring has [`COMPLETIONS`].
const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;

/// A connection. It is not moved while an operation is pending, since the kernel writes to it.
struct Connection {
    socket: RawFd,
    received: Received,
    answer: Answer,
}

/// The operation, in the low bits of the user data of an entry; the connection is in the upper bits.
#[derive(Clone, Copy)]
enum Task {
    Accept = 0,
    Receive = 1,
    Send = 2,
    Close = 3,
}

const TASK_BITS: u32 = 2;

struct Server<'s> {
    ring: IoUring,
    service: &'s Service,
    scratch: [u8; SCRATCH_LEN],
    /// Allocated once and reused; never freed while the ring exists.
    connections: Vec<Box<Connection>>,
    free: Vec<usize>,
    /// Entries that the ring had no room for.
    waiting: VecDeque<squeue::Entry>,
}

/// Serves until accepting fails.
pub(crate) fn serve(listener: &TcpListener, service: &Service) -> io::Result<()> {
    let ring =
        IoUring::builder().setup_cqsize(COMPLETIONS).setup_single_issuer().setup_defer_taskrun().build(SUBMISSIONS)?;
    let mut server = Server {
        ring,
        service,
        scratch: scratch(),
        connections: Vec::new(),
        free: Vec::new(),
        waiting: VecDeque::new(),
    };
    let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build();
    server.ask(0, Task::Accept, accept.clone());
    loop {
        server.submit()?;
        let completions: Vec<_> = server.ring.completion().collect();
        for completion in completions {
            let (number, result) = (completion.user_data() >> TASK_BITS, completion.result());
            let number = usize::try_from(number).expect("it is one that we gave");
            match completion.user_data() & ((1 << TASK_BITS) - 1) {
                0 => {
                    if result >= 0 {
                        server.accepted(result);
                    } else if -result != nix::errno::Errno::ECONNABORTED as i32 {
                        return Err(io::Error::from_raw_os_error(-result));
                    }
                    if !cqueue::more(completion.flags()) {
                        server.ask(0, Task::Accept, accept.clone());
                    }
                }
                1 => server.received(number, usize::try_from(result).unwrap_or(0)),
                // An error means that the client has gone.
                2 if result > 0 && server.connections[number].answer.keeps_open => server.receive(number),
                2 => server.close(number),
                _ => server.free.push(number),
            }
        }
    }
}

impl Server<'_> {
    fn ask(&mut self, number: usize, task: Task, entry: squeue::Entry) {
        self.waiting.push_back(entry.user_data((number as u64) << TASK_BITS | task as u64));
    }

    /// Submits all entries, and waits for a completion.
    fn submit(&mut self) -> io::Result<()> {
        loop {
            let mut queue = self.ring.submission();
            while !queue.is_full()
                && let Some(entry) = self.waiting.pop_front()
            {
                // SAFETY: an entry points into `connections`, to a box that is neither freed nor moved nor accessed
                // until the kernel has completed the entry.
                #[allow(unsafe_code, reason = "the kernel is given addresses")]
                unsafe { queue.push(&entry) }.expect("there is room");
            }
            drop(queue);
            if self.waiting.is_empty() {
                self.ring.submit_and_wait(1)?;
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    fn accepted(&mut self, socket: RawFd) {
        let number = self.free.pop().unwrap_or_else(|| {
            let answer = Answer { bytes: Vec::new(), keeps_open: false };
            let new = Connection { socket, received: Received::new(), answer };
            self.connections.push(Box::new(new));
            self.connections.len() - 1
        });
        let connection = &mut self.connections[number];
        connection.socket = socket;
        connection.received.clear();
        self.receive(number);
    }

    fn receive(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let room = connection.received.room();
        let entry = opcode::Recv::new(types::Fd(connection.socket), room.as_mut_ptr(), room.len() as u32).build();
        self.ask(number, Task::Receive, entry);
    }

    /// Handles `len` received bytes; 0 is the end of the stream.
    fn received(&mut self, number: usize, len: usize) {
        let connection = &mut self.connections[number];
        connection.received.add(len);
        if len == 0 {
            return self.close(number);
        }
        // Only the page about the client itself depends on the address, and that is not measured.
        let client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let Some(answer) = connection.received.answer(self.service, client, &mut self.scratch) else {
            return self.receive(number);
        };
        connection.answer = answer;
        let (bytes, count) = (connection.answer.bytes.as_ptr(), connection.answer.bytes.len() as u32);
        let entry = opcode::Send::new(types::Fd(connection.socket), bytes, count).build();
        self.ask(number, Task::Send, entry);
    }

    fn close(&mut self, number: usize) {
        let entry = opcode::Close::new(types::Fd(self.connections[number].socket)).build();
        self.ask(number, Task::Close, entry);
    }
}
