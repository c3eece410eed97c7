//! The system call `bpf`: a map of sockets, one of counters, programs, and the links that attach them to an interface.
//!
//! The link is a file descriptor. The kernel detaches the program when the last process that has it open has ended,
//! however that ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lethe::port::LeftOutFrames;
use libc::c_long;
use memmap2::{MmapOptions, MmapRaw};

pub(crate) mod program;

use program::{Instruction, left_out};

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hook {
    /// In the driver, before the kernel allocates a buffer for the frame: XDP.
    Native,
    /// In the kernel's stack, with any driver: XDP as well.
    Generic,
    /// Behind the sockets that see every frame, and before the protocols: tcx, since Linux 6.6.
    Ingress,
    /// Ahead of a socket, as its filter. It is attached to the socket, and not to an interface.
    Socket,
}

impl Hook {
    const fn is_xdp(self) -> bool {
        matches!(self, Self::Native | Self::Generic)
    }

    /// The type of its programs (`enum bpf_prog_type`).
    const fn program_type(self) -> u32 {
        match self {
            Self::Native | Self::Generic => PROG_TYPE_XDP,
            Self::Ingress => PROG_TYPE_SCHED_CLS,
            Self::Socket => PROG_TYPE_SOCKET_FILTER,
        }
    }

    /// How its programs are attached (`enum bpf_attach_type`).
    const fn attach_type(self) -> u32 {
        match self {
            Self::Native | Self::Generic => ATTACH_XDP,
            Self::Ingress => ATTACH_TCX_INGRESS,
            Self::Socket => 0,
        }
    }

    /// The flags of a link.
    const fn link_flags(self) -> u32 {
        match self {
            Self::Native => 1 << 2,  // XDP_FLAGS_DRV_MODE
            Self::Generic => 1 << 1, // XDP_FLAGS_SKB_MODE
            // Behind the programs that are there.
            Self::Ingress | Self::Socket => 0,
        }
    }
}

// Commands (`enum bpf_cmd`). Their arguments are structures in `union bpf_attr`; missing fields are zero.
const MAP_CREATE: c_long = 0;
const MAP_UPDATE_ELEM: c_long = 2;
const PROG_LOAD: c_long = 5;
const LINK_CREATE: c_long = 28;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_XSKMAP: u32 = 17;
/// A map whose values can be mapped into memory.
const MAP_IS_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_SOCKET_FILTER: u32 = 1;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const ATTACH_TCX_INGRESS: u32 = 46;
/// The XDP program supports frames in several parts, and reads only the first.
const PROG_HAS_FRAGS: u32 = 1 << 5;
/// The licence of the program. It calls no function that requires GPL.
const LICENSE: &[u8] = b"MIT\0";

/// The map from queues to sockets.
#[derive(Debug)]
pub(crate) struct Sockets(OwnedFd);

impl Sockets {
    /// An empty map for `queues`.
    pub(crate) fn new(queues: u32) -> io::Result<Self> {
        create_map(MAP_TYPE_XSKMAP, 4, queues, 0).map(Self)
    }

    /// Directs the frames of `queue` to `socket`.
    #[expect(unsafe_code, reason = "a system call")]
    pub(crate) fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        #[repr(C)]
        struct Arguments {
            map: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let value = number(socket);
        let (key, value) = (address(&raw const queue), address(&raw const value));
        let mut arguments = Arguments { map: number(self.0.as_fd()), key, value, flags: 0 };
        // SAFETY: key and value have four bytes, as declared for the map.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut arguments) }.map(drop)
    }
}

impl AsRawFd for Sockets {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// What programs have left out, in memory that is shared with them.
#[derive(Debug)]
pub(crate) struct LeftOut {
    file: OwnedFd,
    memory: MmapRaw,
}

impl LeftOut {
    /// Nothing yet, and bare ACKs with options are wanted.
    pub(crate) fn new() -> io::Result<Self> {
        let file = create_map(MAP_TYPE_ARRAY, left_out::LEN.into(), 1, MAP_IS_MMAPABLE)?;
        let memory = MmapOptions::new().len(left_out::LEN.into()).map_raw(file.as_raw_fd())?;
        let new = Self { file, memory };
        new.set_wanted(true);
        Ok(new)
    }

    /// Whether bare ACKs with options are wanted.
    pub(crate) fn set_wanted(&self, wanted: bool) {
        self.number(left_out::WANTED).store(wanted.into(), Ordering::Release);
    }

    /// Frames that were left out, and their bytes.
    pub(crate) fn counted(&self) -> [u64; 2] {
        [left_out::FRAMES, left_out::BYTES].map(|at| self.number(at).load(Ordering::Relaxed))
    }

    #[expect(unsafe_code, reason = "memory that the kernel writes to as well")]
    fn number(&self, at: u8) -> &AtomicU64 {
        debug_assert!(at + 8 <= left_out::LEN);
        // SAFETY: the numbers are in the mapping, which begins at a page, and aligned. Programs access them atomically.
        unsafe { AtomicU64::from_ptr(self.memory.as_mut_ptr().add(at.into()).cast()) }
    }
}

impl AsRawFd for LeftOut {
    fn as_raw_fd(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

/// What a port knows of the frames that are left out of those that it receives.
pub(crate) struct Count {
    left_out: Option<Arc<LeftOut>>,
    /// Whether this port counts them: of several ports of a program one does.
    counts: bool,
    /// What has been taken of it.
    taken: [u64; 2],
}

impl Count {
    pub(crate) const fn new(left_out: Option<Arc<LeftOut>>, counts: bool) -> Self {
        Self { left_out, counts, taken: [0; 2] }
    }

    pub(crate) fn set_wanted(&self, wanted: bool) {
        if let Some(left_out) = &self.left_out {
            left_out.set_wanted(wanted);
        }
    }

    /// What was left out since this was asked last.
    pub(crate) fn take(&mut self) -> LeftOutFrames {
        let Some(left_out) = self.left_out.as_ref().filter(|_| self.counts) else { return LeftOutFrames::default() };
        let [frames, bytes] = left_out.counted();
        let [frames_before, bytes_before] = std::mem::replace(&mut self.taken, [frames, bytes]);
        LeftOutFrames { frames: frames - frames_before, bytes: bytes - bytes_before }
    }
}

/// Makes a map from numbers of 32 bits to values of so many bytes.
#[expect(unsafe_code, reason = "a system call")]
fn create_map(map_type: u32, value_size: u32, max_entries: u32, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Arguments {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    }
    let mut arguments = Arguments { map_type, key_size: 4, value_size, max_entries, flags };
    // SAFETY: the arguments have no pointer, and the command opens a file.
    unsafe { open(MAP_CREATE, &mut arguments) }
}

/// Loads a program for a hook; the kernel verifies and compiles it.
#[expect(unsafe_code, reason = "a system call")]
pub(crate) fn load(instructions: &[Instruction], hook: Hook) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Arguments {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buffer: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach_type: u32,
    }
    let mut arguments = Arguments {
        program_type: hook.program_type(),
        instruction_count: instructions.len() as u32,
        instructions: address(instructions.as_ptr()),
        license: address(LICENSE.as_ptr()),
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: if hook.is_xdp() { PROG_HAS_FRAGS } else { 0 },
        name: *b"lethe\0\0\0\0\0\0\0\0\0\0\0",
        interface: 0,
        attach_type: hook.attach_type(),
    };
    // SAFETY: the number of instructions is right, and the licence ends with a NUL. The command opens a file.
    unsafe { open(PROG_LOAD, &mut arguments) }
}

/// Attaches a program to an interface, until the link is closed.
#[expect(unsafe_code, reason = "a system call")]
pub(crate) fn attach(program: BorrowedFd<'_>, interface: u32, hook: Hook) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Arguments {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
    }
    let program = number(program);
    let mut arguments = Arguments { program, interface, attach_type: hook.attach_type(), flags: hook.link_flags() };
    // SAFETY: the arguments have no pointer, and the command opens a file.
    unsafe { open(LINK_CREATE, &mut arguments) }
}

fn number(file: BorrowedFd<'_>) -> u32 {
    file.as_raw_fd().cast_unsigned()
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// # Safety
///
/// The requirements of [`bpf`]; and the command returns a new file descriptor.
#[expect(unsafe_code, reason = "the number of a file")]
unsafe fn open<A>(command: c_long, arguments: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: by the caller's promise.
    let number = unsafe { bpf(command, arguments) }?;
    // SAFETY: the kernel has just opened it, and no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// # Safety
///
/// `arguments` begins like the structure of `command` in `union bpf_attr`, and each address in it is that of as much
/// memory as the command uses.
#[expect(unsafe_code, reason = "a system call")]
unsafe fn bpf<A>(command: c_long, arguments: &mut A) -> io::Result<c_long> {
    // SAFETY: the kernel accesses no more of the arguments than their size, and the memory that they point to, by the
    // caller's promise.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(arguments), size_of::<A>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

/// Runs a program on a frame, without an interface. Returns its verdict.
#[expect(unsafe_code, reason = "a system call")]
pub(crate) fn run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<u32> {
    const PROG_TEST_RUN: c_long = 10;
    #[repr(C)]
    struct Arguments {
        program: u32,
        result: u32,
        data_len: u32,
        room_len: u32,
        data: u64,
        room: u64,
        repeat: u32,
        duration: u32,
    }
    let program = number(program);
    let (data_len, data) = (frame.len() as u32, address(frame.as_ptr()));
    let mut arguments = Arguments { program, result: 0, data_len, room_len: 0, data, room: 0, repeat: 1, duration: 0 };
    // SAFETY: the length of the frame is right, and no output buffer is given.
    unsafe { bpf(PROG_TEST_RUN, &mut arguments) }?;
    Ok(arguments.result)
}
