//! Programs that sort frames by the [rules](crate::filter) for the addresses of this server: for us, or not.
//!
//! They are generated here, in a few instructions. That needs neither a compiler for BPF nor a loader of object files.
//!
//! ```text
//!     r6 = context;  r2 = start of the frame;  r3 = its end
//!     XDP: r7 = r2;  if it has a tag: r2 += 4
//!     XDP, socket: for each kind of bare ACKs:
//!         if the frame ends too early, a field differs, it has none of the ports or of the destinations,
//!         or it has what none may have, or has options and is wanted: on to the next kind
//!         count it                                 XDP: return XDP_DROP          socket: return 0
//!     for each rule:
//!         if the frame ends too early, or a field differs: on to the next rule
//!         XDP: return bpf_redirect_map(sockets, queue, otherwise)
//!                                                  tcx: return TCX_DROP          socket: return all of it
//!     XDP: return XDP_PASS                         tcx: return TCX_NEXT          socket: return 0
//! ```
//!
//! The filter of a socket may not read the frame in memory: it loads each field by an instruction of its own. That
//! would end the program where the frame is too short, so its length is looked at first there as well.

use lethe::wire::ethernet::MacAddress;

use crate::filter::{ADDRESSES_LEN, BareAck, BareAcks, Destinations, Field, Rule, Width, bare_acks, rules};

/// `struct bpf_insn`: code, registers, offset, constant.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Instruction {
    code: u8,
    /// The destination in the low nibble, the source in the high one.
    registers: u8,
    offset: i16,
    constant: i32,
}

/// The verdict of an XDP program on a frame (`enum xdp_action`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(crate) enum Action {
    Drop = 1,
    Pass = 2,
    /// For our addresses, where there is no socket: [`SortingProgram`](crate::xdp::SortingProgram).
    Transmit = 3,
}

/// Classes, sizes and operations (RFC 9669, section 3 on).
mod code {
    pub(crate) const LOAD_BYTE: u8 = 0x71;
    pub(crate) const LOAD_HALF: u8 = 0x69;
    pub(crate) const LOAD_WORD: u8 = 0x61;
    pub(crate) const LOAD_LONG: u8 = 0x79;
    /// Of the packet of a socket, to register 0, as a number.
    pub(crate) const LOAD_PACKET_BYTE: u8 = 0x30;
    pub(crate) const LOAD_PACKET_HALF: u8 = 0x28;
    pub(crate) const LOAD_PACKET_WORD: u8 = 0x20;
    /// On 64 bits, atomically.
    pub(crate) const ADD_TO_MEMORY: u8 = 0xdb;
    /// A 64-bit constant, in two instructions.
    pub(crate) const LOAD_CONSTANT: u8 = 0x18;
    pub(crate) const MOVE: u8 = 0xbf;
    pub(crate) const MOVE_CONSTANT: u8 = 0xb7;
    pub(crate) const ADD_CONSTANT: u8 = 0x07;
    /// On 32 bits, for fields.
    pub(crate) const AND_CONSTANT: u8 = 0x54;
    /// On 64 bits, for pointers.
    pub(crate) const JUMP_IF_GREATER: u8 = 0x2d;
    /// On 32 bits, for fields.
    pub(crate) const JUMP_IF_EQUAL: u8 = 0x16;
    pub(crate) const JUMP_UNLESS_EQUAL: u8 = 0x56;
    /// On 64 bits.
    pub(crate) const JUMP_UNLESS_EQUAL_LONG: u8 = 0x55;
    pub(crate) const JUMP_IF_LESS_LONG: u8 = 0xa5;
    pub(crate) const JUMP: u8 = 0x05;
    pub(crate) const CALL: u8 = 0x85;
    pub(crate) const EXIT: u8 = 0x95;
}

/// Marks a constant as the file descriptor of a map (`BPF_PSEUDO_MAP_FD`).
const MAP: u8 = 1;

/// Marks a constant as the only value of the map with this file descriptor (`BPF_PSEUDO_MAP_VALUE`).
const MAP_VALUE: u8 = 2;

/// What the programs of bare ACKs share with the port: numbers of 64 bits, at these places.
pub(crate) mod left_out {
    /// Not zero while those with options are wanted.
    pub(crate) const WANTED: u8 = 0;
    /// How many were left out, and their bytes.
    pub(crate) const FRAMES: u8 = 8;
    pub(crate) const BYTES: u8 = 16;
    /// Bytes of all.
    pub(crate) const LEN: u8 = 24;
}

/// `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;

/// Verdicts of a tcx program (`enum tcx_action_base`): the next program is asked, or the frame is dropped.
const TCX_NEXT: i32 = -1;
pub(crate) const TCX_DROP: i32 = 2;

/// Offsets in `struct xdp_md`.
const XDP_DATA: i16 = 0;
const XDP_DATA_END: i16 = 4;
const RX_QUEUE_INDEX: i16 = 16;

/// Offsets in `struct __sk_buff`.
const SKB_LEN: i16 = 0;
const SKB_PACKET_TYPE: i16 = 4;
const SKB_DATA: i16 = 76;
const SKB_DATA_END: i16 = 80;

/// How a program reads a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// In memory.
    Direct,
    /// By an instruction for it: the filter of a socket.
    Packet,
}

/// The XDP program that passes frames for us to the socket of their queue, by `map`, and all others to the kernel.
/// `otherwise` is the verdict on frames for us that are received by a queue without a socket. Bare ACKs to a hardware
/// address are left out, if there is a map in `left_out` to count them in.
pub(crate) fn redirect(
    destinations: &Destinations,
    map: i32,
    left_out: Option<(i32, MacAddress)>,
    otherwise: Action,
) -> Vec<Instruction> {
    let mut program = begin([XDP_DATA, XDP_DATA_END], Action::Pass as i32);
    program.push(instruction(code::MOVE, 7, 2, 0, 0));
    let has_tag = [Field { offset: 12, width: Width::Half, value: 0x8100, mask: u32::MAX }];
    program.extend(only_if(Access::Direct, &has_tag, &[instruction(code::ADD_CONSTANT, 2, 0, 0, 4)]));
    if let Some((left_out, mac)) = left_out {
        program.extend(leave_out(Access::Direct, &bare_acks(destinations, mac), left_out, Action::Drop as i32));
    }
    let redirect = [
        instruction(code::LOAD_CONSTANT, 1, MAP, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(code::LOAD_WORD, 2, 6, RX_QUEUE_INDEX, 0),
        instruction(code::MOVE_CONSTANT, 3, 0, 0, otherwise as i32),
        instruction(code::CALL, 0, 0, 0, REDIRECT_MAP),
        instruction(code::EXIT, 0, 0, 0, 0),
    ];
    program.extend(for_each(Access::Direct, &rules(destinations), &redirect));
    program.push(instruction(code::EXIT, 0, 0, 0, 0));
    program
}

/// The filter of a socket that takes frames for us but for bare ACKs to a hardware address, which are counted in the
/// map `left_out`.
pub(crate) fn socket(destinations: &Destinations, (left_out, mac): (i32, MacAddress)) -> Vec<Instruction> {
    let mut program = vec![instruction(code::MOVE, 6, 1, 0, 0)];
    program.extend(leave_out(Access::Packet, &bare_acks(destinations, mac), left_out, 0));
    let take = [instruction(code::MOVE_CONSTANT, 0, 0, 0, -1), instruction(code::EXIT, 0, 0, 0, 0)];
    program.extend(for_each(Access::Packet, &rules(destinations), &take));
    program.extend([instruction(code::MOVE_CONSTANT, 0, 0, 0, 0), instruction(code::EXIT, 0, 0, 0, 0)]);
    program
}

/// Counts bare ACKs and returns this verdict on them.
fn leave_out(access: Access, kinds: &[BareAcks], left_out: i32, verdict: i32) -> Vec<Instruction> {
    let of_kind = |acks: &BareAcks| {
        let count = [
            instruction(code::MOVE_CONSTANT, 4, 0, 0, 1),
            instruction(code::ADD_TO_MEMORY, 1, 4, left_out::FRAMES.into(), 0),
            instruction(code::MOVE_CONSTANT, 4, 0, 0, acks.len.into()),
            instruction(code::ADD_TO_MEMORY, 1, 4, left_out::BYTES.into(), 0),
            instruction(code::MOVE_CONSTANT, 0, 0, 0, verdict),
            instruction(code::EXIT, 0, 0, 0, 0),
        ];
        // Behind all fields of the frame: loading one from a socket's changes this register.
        let mut then = vec![instruction(code::LOAD_CONSTANT, 1, MAP_VALUE, 0, left_out), instruction(0, 0, 0, 0, 0)];
        if acks.kind == BareAck::Stamped {
            then.push(instruction(code::LOAD_LONG, 4, 1, left_out::WANTED.into(), 0));
            then.push(instruction(code::JUMP_UNLESS_EQUAL_LONG, 4, 0, distance(count.len()), 0));
        }
        then.extend(count);
        let then = unless_any(access, &acks.never, then);
        let then = if_any(access, &acks.destinations, then);
        let then = if_any(access, &acks.ports, then);
        only_if_long(access, &acks.fields, acks.len, &then)
    };
    kinds.iter().flat_map(of_kind).collect()
}

/// The tcx program that drops frames for us which have come to the interface's own hardware address: the kernel has
/// nothing to do with them. What goes to another one is a bridge's to forward, or dropped soon. A tag is no part of the
/// frame there.
pub(crate) fn drop(destinations: &Destinations) -> Vec<Instruction> {
    let mut program = begin([SKB_DATA, SKB_DATA_END], TCX_NEXT);
    program.extend([
        instruction(code::LOAD_WORD, 5, 6, SKB_PACKET_TYPE, 0),
        instruction(code::JUMP_IF_EQUAL, 5, 0, 1, libc::PACKET_HOST.into()),
        instruction(code::EXIT, 0, 0, 0, 0),
    ]);
    let drop = [instruction(code::MOVE_CONSTANT, 0, 0, 0, TCX_DROP), instruction(code::EXIT, 0, 0, 0, 0)];
    program.extend(for_each(Access::Direct, &rules(destinations), &drop));
    program.push(instruction(code::EXIT, 0, 0, 0, 0));
    program
}

/// Loads the start of the frame and its end, which are at these places in the context, and the verdict on frames that
/// are not for us.
fn begin([data, data_end]: [i16; 2], verdict: i32) -> Vec<Instruction> {
    vec![
        instruction(code::MOVE, 6, 1, 0, 0),
        instruction(code::LOAD_WORD, 2, 6, data, 0),
        instruction(code::LOAD_WORD, 3, 6, data_end, 0),
        instruction(code::MOVE_CONSTANT, 0, 0, 0, verdict),
    ]
}

/// `then`, for a frame that matches one of the rules.
fn for_each(access: Access, rules: &[Rule], then: &[Instruction]) -> Vec<Instruction> {
    rules.iter().flat_map(|rule| only_if(access, rule, then)).collect()
}

/// `then`, for a frame that matches one of the rules; the same instructions for all of them.
fn if_any(access: Access, rules: &[Rule], then: Vec<Instruction>) -> Vec<Instruction> {
    let mut block = vec![skip(then.len())];
    for rule in rules.iter().rev() {
        block = [only_if(access, rule, &[skip(block.len())]), block].concat();
    }
    [block, then].concat()
}

/// `then`, for a frame that matches none of the rules.
fn unless_any(access: Access, rules: &[Rule], then: Vec<Instruction>) -> Vec<Instruction> {
    rules.iter().rev().fold(then, |then, rule| [only_if(access, rule, &[skip(then.len())]), then].concat())
}

fn skip(instructions: usize) -> Instruction {
    instruction(code::JUMP, 0, 0, distance(instructions), 0)
}

/// The offset of a jump over so many instructions.
fn distance(instructions: usize) -> i16 {
    i16::try_from(instructions).expect("a program is short")
}

/// Instructions `then`, which run only if the frame has all these fields.
fn only_if(access: Access, fields: &[Field], then: &[Instruction]) -> Vec<Instruction> {
    only_if_long(access, fields, 0, then)
}

/// Instructions `then`, which run only if the frame has all these fields and so many bytes, without a tag.
fn only_if_long(access: Access, fields: &[Field], len: u8, then: &[Instruction]) -> Vec<Instruction> {
    let end = fields.iter().map(|field| field.offset + field.width.bytes()).max().unwrap_or(0).max(len);
    // The remaining instructions, which a jump on mismatch skips: two or three a field, and `then`.
    let masks = fields.iter().filter(|field| !field.is_whole()).count();
    let mut left = distance(2 * fields.len() + masks + then.len());
    let mut block = Vec::new();
    match access {
        Access::Direct => block.extend([
            instruction(code::MOVE, 4, 2, 0, 0),
            instruction(code::ADD_CONSTANT, 4, 0, 0, end.into()),
            instruction(code::JUMP_IF_GREATER, 4, 3, left, 0),
        ]),
        Access::Packet => block.extend([
            instruction(code::LOAD_WORD, 4, 6, SKB_LEN, 0),
            instruction(code::JUMP_IF_LESS_LONG, 4, 0, left, end.into()),
        ]),
    }
    for field in fields {
        // In memory it is compared as it stands there, whatever the byte order of this machine.
        let as_read = |value: u32| match (access, field.width) {
            (Access::Packet, _) | (_, Width::Byte) => value,
            (_, Width::Half) => u16::to_be(value as u16).into(),
            (_, Width::Word) => value.to_be(),
        };
        let start = if field.offset < ADDRESSES_LEN { 7 } else { 2 };
        let (register, load) = match (access, field.width) {
            (Access::Direct, Width::Byte) => (5, instruction(code::LOAD_BYTE, 5, start, field.offset.into(), 0)),
            (Access::Direct, Width::Half) => (5, instruction(code::LOAD_HALF, 5, start, field.offset.into(), 0)),
            (Access::Direct, Width::Word) => (5, instruction(code::LOAD_WORD, 5, start, field.offset.into(), 0)),
            (Access::Packet, Width::Byte) => (0, instruction(code::LOAD_PACKET_BYTE, 0, 0, 0, field.offset.into())),
            (Access::Packet, Width::Half) => (0, instruction(code::LOAD_PACKET_HALF, 0, 0, 0, field.offset.into())),
            (Access::Packet, Width::Word) => (0, instruction(code::LOAD_PACKET_WORD, 0, 0, 0, field.offset.into())),
        };
        left -= 2;
        block.push(load);
        if !field.is_whole() {
            left -= 1;
            block.push(instruction(code::AND_CONSTANT, register, 0, 0, as_read(field.mask).cast_signed()));
        }
        let value = as_read(field.value).cast_signed();
        block.push(instruction(code::JUMP_UNLESS_EQUAL, register, 0, left, value));
    }
    block.extend(then);
    block
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, constant: i32) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, constant }
}
